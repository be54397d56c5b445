// Upstreams whose answers are wrong in every way that packets can be: no exception, and what a client gets is a sound
// message to its own question, whatever came. A failing case names its mutation and seed.

import { expect } from "chai";

import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { Flags, MAX_MESSAGE_BYTES, questionEnd, Rcodes, uint16, type Reply } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { readAnswer, recordsOf } from "../../src/dns/wire.ts";
import { judge } from "../../src/plugins/cache/judge.ts";
import { query, type QueryOptions } from "../helpers/dns-client.ts";
import { queryOf } from "../helpers/exchange.ts";
import { answerTo, readAsked, type Behaviour } from "../helpers/upstream-answers.ts";
import { drawFrom, mutations, strangers, type Mutation } from "./mutations.ts";

/** The bit that must be zero (RFC 1035 §4.1.1). */
const Z = 0x40;
const SOA = "example.org. 300 IN SOA ns.example.org. hostmaster.example.org. 1 7200 3600 1209600 60";

/** Answers of every shape, with the question's name in them. */
const ANSWERS: readonly { readonly type: number; readonly given: (name: string) => Behaviour }[] = [
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

const all: readonly (readonly [name: string, mutation: Mutation])[] = Object.entries(mutations);

// What an upstream says, with its names compressed against each other as upstreams do.
function compressed(message: Buffer): Buffer {
  const wire = readAnswer(message, "test");
  if (wire === undefined) throw new Error("the answer is not sound from the start");
  const out = Buffer.alloc(MAX_MESSAGE_BYTES);
  const asked = { flags: uint16(message, 2), edns: undefined, wire: message.subarray(0, questionEnd(message)) };
  const length = encodeReply(out, asked, recordsOf(wire), { maxBytes: out.length, udpSize: 0 });
  return out.subarray(0, length);
}

/** What is wrong with `packet` as the answer to `asked`; nothing, if the list is empty. */
function faults(packet: Uint8Array, asked: Buffer, maxBytes: number): string[] {
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

/** An answer of one shape to a question for `name`. */
function answerOf(name: string, shape: number): Buffer {
  const { type, given } = ANSWERS[shape % ANSWERS.length] as (typeof ANSWERS)[number];
  const asked = readAsked(query({ name, type, edns: {} }), "udp", 1);
  if (asked === undefined) throw new Error("not a query");
  return compressed(answerTo(asked, { ...given(name), noEdns: true }, []));
}

const SEEDS = 150;
const LIFETIMES = { success: { min: 5, max: 3600 }, denial: { min: 5, max: 1800 }, failureSeconds: 5 };

/** Through the encoder, for clients of every kind. */
function faultsFor(reply: Reply, name: string, type: number): string[] {
  const found: string[] = [];
  for (const client of [
    { name },
    { name: name.toUpperCase(), edns: { dnssecOk: true } },
    { name: `other.${name}` },
  ] satisfies QueryOptions[]) {
    for (const maxBytes of [512, 1232, MAX_MESSAGE_BYTES]) {
      const asked = queryOf({ ...client, type });
      const out = Buffer.alloc(maxBytes);
      const length = encodeReply(out, asked, reply, { maxBytes, udpSize: 1232 });
      found.push(...faults(out.subarray(0, length), Buffer.from(asked.wire), maxBytes));
    }
  }
  return found;
}

describe("malformed: answers of upstreams, read", () => {
  const name = "web.example.org.";

  for (const [title, mutation] of all) {
    it(`${title}: refused, or sound for every client`, () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const shape = seed % ANSWERS.length;
        const { type } = ANSWERS[shape] as (typeof ANSWERS)[number];
        const wire = readAnswer(mutation(answerOf(name, shape), drawFrom(seed)), "forward");
        if (wire === undefined) continue;
        const at = `seed ${seed}`;
        expect(decodeMessage(wire.message), `${at}: ${Buffer.from(wire.message).toString("hex")}`).to.not.equal(undefined);
        expect(faultsFor(wire, name, type), at).to.deep.equal([]);
        const worth = judge(wire, { qname: parseName(name), qtype: type, qclass: 1 }, LIFETIMES);
        if (typeof worth !== "string") expect(faultsFor(worth.wire, name, type), `${at}, remembered`).to.deep.equal([]);
      }
    });
  }

  for (const [title, stranger] of Object.entries(strangers)) {
    it(`${title}: no answer`, () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const wire = readAnswer(stranger(answerOf(name, seed), drawFrom(seed)), "forward");
        if (wire !== undefined) expect(faultsFor(wire, name, RRTypes.A), `seed ${seed}`).to.deep.equal([]);
      }
    });
  }
});
