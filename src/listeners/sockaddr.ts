// Socket addresses as the kernel reads and writes them (ip(7), ipv6(7)), and the source policy of source-policy.ts on
// the raw bytes, which the batch listener's threads ask for each packet. Also as text, for the main thread.
//
//   IPv4:  family 2 │ port 2 │ address 4                       16 bytes      family little-endian, port and
//   IPv6:  family 2 │ port 2 │ flow 4 │ address 16 │ scope 4   28 bytes      addresses as on the wire

import { networkInterfaces } from "node:os";
import { uint16 } from "../dns/message.ts";
import { addressToBytes } from "../dns/rdata.ts";
import { ipv6Text } from "../dns/text.ts";
import { AF_INET, AF_INET6, type Native } from "./native.ts";
import type { SourceDefect } from "./source-policy.ts";

/** Of the longest, struct sockaddr_in6. */
export const SOCKADDR_BYTES = 28;
export const SOCKADDR_IPV4_BYTES = 16;

const PORT = 2;
const IPV4 = 4;
const IPV6 = 8;
const SCOPE = 24;

export function portAt(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at + PORT);
}

// ::ffff:0:0/96 (RFC 4291 §2.5.5.2)
function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let index = IPV6; index < IPV6 + 10; index++) if (bytes[at + index] !== 0) return false;
  return bytes[at + IPV6 + 10] === 0xff && bytes[at + IPV6 + 11] === 0xff;
}

/** 4 also for an IPv4 client of a dual-stack socket. */
export function familyAt(bytes: Uint8Array, at: number): 4 | 6 {
  return bytes[at] === AF_INET || isMapped(bytes, at) ? 4 : 6;
}

/** The defects by the number that defectAt() gives. */
export const SOURCE_DEFECTS: readonly SourceDefect[] = [
  "source_port_zero",
  "source_port_reflector",
  "source_unspecified",
  "source_broadcast",
  "source_multicast",
];
const PORT_ZERO = 0;
const PORT_REFLECTOR = 1;
const UNSPECIFIED = 2;
const BROADCAST = 3;
const MULTICAST = 4;

/** What is wrong with the sender, as an index of SOURCE_DEFECTS, or -1. The same as sourceDefect() says of the text. */
export function defectAt(bytes: Uint8Array, at: number): number {
  const port = portAt(bytes, at);
  if (port === 0) return PORT_ZERO;
  if (port === 7 || port === 13 || port === 19 || port === 37) return PORT_REFLECTOR;
  if (bytes[at] === AF_INET) return ipv4Defect(bytes, at + IPV4);
  const first = bytes[at + IPV6] as number;
  if (first === 0xff) return MULTICAST;
  if (first !== 0) return -1;
  if (isMapped(bytes, at)) return ipv4Defect(bytes, at + IPV6 + 12);
  for (let index = IPV6; index < IPV6 + 16; index++) if (bytes[at + index] !== 0) return -1;
  return UNSPECIFIED;
}

function ipv4Defect(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first !== 0 && first < 224) return -1;
  const rest = ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  if (first === 0) return rest === 0 ? UNSPECIFIED : -1;
  if (first < 240) return MULTICAST;
  return first === 255 && rest === 0xffffff ? BROADCAST : -1;
}

/** fe80::/10 (RFC 4291 §2.5.6): means something on one interface only. @param at of the IPv6 address itself */
export function isLinkLocal(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xfe && ((bytes[at + 1] as number) & 0xc0) === 0x80;
}

/** The address as text, in the form that node:dgram gives, but mapped IPv4 in dotted form. */
export function addressAt(native: Native, bytes: Uint8Array, at: number): string {
  if (bytes[at] === AF_INET) return dotted(bytes, at + IPV4);
  if (isMapped(bytes, at)) return dotted(bytes, at + IPV6 + 12);
  const text = ipv6Text(bytes, at + IPV6);
  const scope = isLinkLocal(bytes, at + IPV6) ? readScope(bytes, at) : 0;
  return scope === 0 ? text : `${text}%${native.interfaceName(scope)}`;
}

function dotted(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

function readScope(bytes: Uint8Array, at: number): number {
  return (bytes[at + SCOPE] as number) | ((bytes[at + SCOPE + 1] as number) << 8) | ((bytes[at + SCOPE + 2] as number) << 16);
}

/** Writes an address, which may end in a zone as in fe80::1%eth0, and a port; returns how long it is. */
export function putAddress(bytes: Uint8Array, address: string, port: number): number {
  const [plain = "", zone] = address.split("%");
  const wire = addressToBytes(plain);
  if (wire === undefined) throw new TypeError(`not an IP address: ${address}`);
  bytes.fill(0, 0, SOCKADDR_BYTES);
  bytes[PORT] = port >> 8;
  bytes[PORT + 1] = port & 0xff;
  if (wire.length === 4) {
    bytes[0] = AF_INET;
    bytes.set(wire, IPV4);
    return SOCKADDR_IPV4_BYTES;
  }
  bytes[0] = AF_INET6;
  bytes.set(wire, IPV6);
  const scope = scopeOf(zone);
  for (let index = 0; index < 4; index++) bytes[SCOPE + index] = scope >>> (8 * index);
  return SOCKADDR_BYTES;
}

// An interface's name or number; 0 where there is no such interface: bind() then says what it thinks of that.
function scopeOf(zone: string | undefined): number {
  if (zone === undefined) return 0;
  if (/^\d+$/.test(zone)) return Number(zone);
  return networkInterfaces()[zone]?.find((entry) => entry.family === "IPv6" && entry.scopeid !== 0)?.scopeid ?? 0;
}
