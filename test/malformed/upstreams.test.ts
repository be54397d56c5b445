// Upstreams whose answers are wrong in every way that packets can be: no exception, and what a client gets is a sound
// message to its own question, whatever came. A failing case names its mutation and seed.

import { expect } from "chai";

import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { MAX_MESSAGE_BYTES, type Reply } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { readAnswer } from "../../src/dns/wire.ts";
import { judge } from "../../src/plugins/cache/judge.ts";
import { query, type QueryOptions } from "../helpers/dns-client.ts";
import { queryOf } from "../helpers/exchange.ts";
import { answerTo, readAsked } from "../helpers/upstream-answers.ts";
import { compressed, faults, shapes } from "./foreign.ts";
import { drawFrom, mutations, strangers } from "./mutations.ts";

/** An answer of one shape to a question for `name`. */
function answerOf(name: string, shape: number): Buffer {
  const { type, given } = shapes[shape % shapes.length] as (typeof shapes)[number];
  const asked = readAsked(query({ name, type, edns: {} }), "udp", 1);
  if (asked === undefined) throw new Error("not a query");
  return compressed(answerTo(asked, { ...given(name), noEdns: true }, []));
}

const SEEDS = 70;
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

  for (const [title, mutation] of Object.entries(mutations)) {
    it(`${title}: refused, or sound for every client`, () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const shape = seed % shapes.length;
        const { type } = shapes[shape] as (typeof shapes)[number];
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
