#!/usr/bin/env python3
# Sends one UDP packet to loopback from each of the given source ports, also from 0 and from ports that others hold: what
# no socket of Node's can do. Needs root.   udp-from.py 4|6 DESTINATION_PORT HEX_PACKET SOURCE_PORT...
import socket
import struct
import sys

family, port, packet, sources = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3]), sys.argv[4:]
ipv6 = family == "6"
raw = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
if ipv6:
    # The kernel writes the checksum at this offset; in IPv4 it may be 0, none (RFC 768).
    raw.setsockopt(socket.IPPROTO_IPV6, 7, 6)  # IPV6_CHECKSUM
for source in sources:
    header = struct.pack("!HHHH", int(source), port, 8 + len(packet), 0)
    raw.sendto(header + packet, ("::1", 0) if ipv6 else ("127.0.0.1", 0))
