// Answers that upstreams give, in every shape; and what is wrong with what a client gets of one. For the tests of
// answers that are wrong (mutations.ts).

import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { Flags, MAX_MESSAGE_BYTES, questionEnd, Rcodes, uint16 } from "../../src/dns/message.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { readAnswer, recordsOf } from "../../src/dns/wire.ts";
import type { Behaviour } from "../helpers/upstream-answers.ts";

/** The bit that must be zero (RFC 1035 §4.1.1). */
const Z = 0x40;
const SOA = "example.org. 300 IN SOA ns.example.org. hostmaster.example.org. 1 7200 3600 1209600 60";

/** Answers of every shape, with the question's name in them. */
export const shapes: readonly { readonly type: number; readonly given: (name: string) => Behaviour }[] = [
  { type: RRTypes.A, given: (name) => ({ answer: [1, 2, 3].map((last) => `${name} 300 IN A 192.0.2.${last}`).join("\n") }) },
  {
    type: RRTypes.A,
    given: (name) => ({
      answer: `${name} 300 IN CNAME cdn.example.net.\ncdn.example.net. 60 IN A 192.0.2.1\ncdn.example.net. 60 IN A 192.0.2.2`,
      authority: "example.net. 300 IN NS ns.example.net.\nexample.net. 300 IN NS ns2.example.net.",
      additional: "ns.example.net. 300 IN A 192.0.2.53\nns2.example.net. 300 IN A 192.0.2.54\nns2.example.net. 300 IN AAAA 2001:db8::1",
    }),
  },
  {
    type: RRTypes.MX,
    given: (name) => ({
      answer: `${name} 300 IN MX 10 mail.example.org.\n${name} 300 IN MX 20 mail2.example.org.`,
      additional: "mail.example.org. 300 IN A 192.0.2.3\nmail2.example.org. 300 IN A 192.0.2.4",
    }),
  },
  {
    type: RRTypes.SRV,
    given: (name) => ({ answer: `${name} 300 IN SRV 1 2 443 web.example.org.`, additional: "web.example.org. 300 IN A 192.0.2.3" }),
  },
  { type: RRTypes.AAAA, given: () => ({ authority: SOA }) },
  { type: RRTypes.A, given: () => ({ rcode: Rcodes.NXDOMAIN, authority: SOA }) },
  { type: RRTypes.TXT, given: (name) => ({ answer: [1, 2, 3, 4].map((n) => `${name} 300 IN TXT "${`${n}`.repeat(240)}"`).join("\n") }) },
];

/** What an upstream says, with its names compressed against each other as upstreams do. */
export function compressed(message: Buffer): Buffer {
  const wire = readAnswer(message, "test");
  if (wire === undefined) throw new Error("the answer is not sound from the start");
  const out = Buffer.alloc(MAX_MESSAGE_BYTES);
  const asked = { flags: uint16(message, 2), edns: undefined, wire: message.subarray(0, questionEnd(message)) };
  const length = encodeReply(out, asked, recordsOf(wire), { maxBytes: out.length, udpSize: 0 });
  return out.subarray(0, length);
}

/** What is wrong with `packet` as the answer to `asked`; nothing, if the list is empty. */
export function faults(packet: Uint8Array, asked: Buffer, maxBytes: number): string[] {
  const found: string[] = [];
  const message = decodeMessage(packet);
  if (message === undefined) found.push("not sound");
  if (uint16(packet, 0) !== uint16(asked, 0)) found.push("another id");
  const end = questionEnd(asked);
  if (!Buffer.from(packet.subarray(12, end)).equals(asked.subarray(12, end))) found.push("another question");
  if (packet.length > maxBytes) found.push(`${packet.length} bytes, of ${maxBytes}`);
  if ((message?.edns !== undefined) !== uint16(asked, 10) > 0) found.push("OPT");
  if (message !== undefined && (message.flags & (Flags.QR | Z)) !== Flags.QR) found.push("flags");
  return found.length === 0 ? found : [...found, Buffer.from(packet).toString("hex")];
}
