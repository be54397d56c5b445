// Packets without a socket: an Exchange that holds one, and the Query that comes out of it. For tests of dns/ and
// of everything that takes a Query.

import { MAX_MESSAGE_BYTES, type Client, type Query } from "../../src/dns/message.ts";
import { Exchange, qnameOf, readQuestion, type Verdict } from "../../src/dns/question.ts";
import { query, type QueryOptions } from "./dns-client.ts";

/** An exchange with `packet` in it, behind other bytes and before others, as in a listener's shared buffer. */
export function exchangeOf(packet: Uint8Array, transport: "udp" | "tcp" = "udp"): Exchange {
  const io = new Exchange(MAX_MESSAGE_BYTES);
  io.in = Buffer.concat([Buffer.alloc(SURROUND_BYTES, 0xc0), packet, Buffer.alloc(SURROUND_BYTES, 0x01)]);
  io.inAt = SURROUND_BYTES;
  io.inEnd = SURROUND_BYTES + packet.length;
  io.transport = transport;
  io.remoteAddress = "192.0.2.200";
  io.remotePort = 40_000;
  io.localAddress = "192.0.2.53";
  io.localPort = 53;
  return io;
}

const SURROUND_BYTES = 40;

/** What readQuestion() says to a packet. */
export function verdictOf(packet: Uint8Array): Verdict {
  return readQuestion(exchangeOf(packet));
}

/** The Query that a sound packet is read into. */
export function queryOf(options: QueryOptions = {}, client: Partial<Client> = {}): Query {
  const wire = query(options);
  const io = exchangeOf(wire);
  readQuestion(io);
  const edns = { udpSize: io.clientUdpSize, dnssecOk: io.dnssecOk, options: io.in.subarray(io.optionsAt, io.optionsEnd) };
  return {
    qname: qnameOf(io),
    qtype: io.qtype,
    qclass: io.qclass,
    id: io.id,
    flags: io.flags,
    edns: io.edns ? edns : undefined,
    client: { address: "192.0.2.200", port: 40_000, family: 4, localAddress: "192.0.2.53", localPort: 53, transport: "udp", ...client },
    wire,
  };
}
