// Another server's answers as replies: read, looked at and written again they say the same, whoever asked.

import { expect } from "chai";
import fc from "fast-check";

import { decodeMessage, type DecodedMessage, type DecodedRecord } from "../../src/dns/decode.ts";
import { encodeReply, toWire } from "../../src/dns/encode.ts";
import { Flags, MAX_MESSAGE_BYTES, questionEnd, type Query, type Records, type Reply, type Wire } from "../../src/dns/message.ts";
import { nameToWire } from "../../src/dns/name.ts";
import type { RecordSet } from "../../src/dns/records.ts";
import { formatRecord } from "../../src/dns/text.ts";
import { readAnswer, recordsOf } from "../../src/dns/wire.ts";
import { judge } from "../../src/plugins/cache/judge.ts";
import { uint16s } from "../helpers/dns-client.ts";
import { queryOf } from "../helpers/exchange.ts";
import { anyName, anyRecordSet, plainName } from "./arbitraries.ts";

const section = fc.array(anyRecordSet, { maxLength: 6 });
const edns = fc.option(fc.record({ udpSize: fc.nat({ max: 65_535 }), dnssecOk: fc.boolean() }), { nil: undefined });
const anyQuery = fc
  .record({ name: fc.oneof(plainName, anyName).map(nameToWire), id: fc.nat({ max: 65_535 }), flags: fc.nat({ max: 0x07ff }), edns })
  .map((options) => queryOf(options));
const anyReply: fc.Arbitrary<Records> = fc.record({
  rcode: fc.nat({ max: 15 }),
  authoritative: fc.boolean(),
  authenticated: fc.boolean(),
  by: fc.constant("upstream"),
  answer: section,
  authority: section,
  additional: section,
});
/** A client that asks the same in other letters, and one that asks for another name. */
const anyAsker = fc.record({ id: fc.nat({ max: 65_535 }), flags: fc.nat({ max: 0x07ff }), edns });

function encode(query: Query, reply: Reply, maxBytes = MAX_MESSAGE_BYTES): Buffer {
  const out = new Uint8Array(MAX_MESSAGE_BYTES);
  return Buffer.from(out.subarray(0, encodeReply(out, query, reply, { maxBytes, udpSize: 1232 })));
}

function decoded(packet: Uint8Array): DecodedMessage {
  return decodeMessage(packet) ?? expect.fail(`not sound: ${Buffer.from(packet).toString("hex")}`);
}

function read(packet: Uint8Array): Wire {
  return readAnswer(Buffer.from(packet), "forward") ?? expect.fail(`not read: ${Buffer.from(packet).toString("hex")}`);
}

type Lines = readonly [answer: string[], authority: string[], additional: string[]];
const linesOfSets = (sets: readonly RecordSet[]): string[] => sets.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata)));
const lines = (records: readonly DecodedRecord[]): string[] => records.map((record) => formatRecord(record, record.rdata));
const linesOf = ({ answer, authority, additional }: DecodedMessage): Lines => [lines(answer), lines(authority), lines(additional)];

function otherSpelling(query: Query): Query {
  const wire = Buffer.from(query.wire);
  for (let at = 12; at < questionEnd(wire) - 4;) {
    const end = at + 1 + (wire[at] as number);
    for (let letter = at + 1; letter < end; letter++) {
      const byte = wire[letter] as number;
      if (byte >= 0x61 && byte <= 0x7a && letter % 2 === 0) wire[letter] = byte & ~0x20;
    }
    at = end;
  }
  return { ...query, wire };
}

describe("properties: another server's answers", () => {
  it("encode ∘ read = id: the client gets the same records, byte for byte behind the question", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, anyAsker, (asked, reply, asker) => {
        const packet = encode(asked, reply);
        const client = otherSpelling(queryOf({ ...asker, name: nameToWire(asked.qname), type: asked.qtype }));
        const told = encode(client, read(packet));
        const message = decoded(told);
        expect(linesOf(message)).to.deep.equal(linesOf(decoded(packet)));
        const end = questionEnd(asked.wire);
        const records = packet.length - end - (asked.edns === undefined ? 0 : 11);
        expect(told.subarray(end, end + records).equals(packet.subarray(end, end + records))).to.equal(true);
        expect(told.subarray(12, end).equals(client.wire.slice(12, end) as Buffer)).to.equal(true);
        expect([message.id, message.rcode]).to.deep.equal([asker.id, reply.rcode]);
        expect(message.flags & (Flags.RA | Flags.AA | Flags.TC)).to.equal(Flags.RA | (reply.authoritative ? Flags.AA : 0));
        const wantsAd = (asker.flags & Flags.AD) !== 0 || asker.edns?.dnssecOk === true;
        expect((message.flags & Flags.AD) !== 0).to.equal(wantsAd && (packet.readUInt16BE(2) & Flags.AD) !== 0);
      }),
    );
  });

  it("recordsOf ∘ read: what plugins see are the records that were sent", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, (asked, reply) => {
        const seen = recordsOf(read(encode(asked, reply)));
        // A set's TTL is its least; records of one owner and type side by side are one set.
        const withoutTtl = (sets: readonly RecordSet[]): string[] => linesOfSets(sets.map((set) => ({ ...set, ttl: 0 })));
        for (const part of ["answer", "authority", "additional"] as const)
          expect(withoutTtl(seen[part])).to.deep.equal(withoutTtl(reply[part]));
        expect([seen.rcode, seen.authoritative, seen.recursionAvailable]).to.deep.equal([reply.rcode, reply.authoritative, true]);
      }),
    );
  });

  it("told under another name than it was asked for, it has the same records behind the client's question", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, plainName, anyAsker, (asked, reply, name, asker) => {
        const wire = read(encode(asked, reply));
        const client = queryOf({ ...asker, name: nameToWire(name) });
        const message = decoded(encode(client, wire));
        expect(message.question?.qname).to.equal(name);
        if ((message.flags & Flags.TC) === 0) expect(linesOf(message)).to.deep.equal(linesOf(decoded(encode(client, recordsOf(wire)))));
      }),
    );
  });

  it("cut to any limit: whole records in order, TC exactly if some of answer or authority is missing, and OPT", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, anyAsker, fc.integer({ min: 512, max: 2000 }), (asked, reply, asker, limit) => {
        const client = queryOf({ ...asker, name: nameToWire(asked.qname), type: asked.qtype });
        const wire = read(encode(asked, reply));
        const told = encode(client, wire, limit);
        expect(told.length).to.be.at.most(limit);
        const message = decoded(told);
        const all = linesOf(decoded(encode(client, wire)));
        const sent = linesOf(message);
        for (const [index, part] of sent.entries()) expect(part).to.deep.equal(all[index]?.slice(0, part.length));
        const isCut = sent[0].length < all[0].length || sent[1].length < all[1].length;
        expect((message.flags & Flags.TC) !== 0).to.equal(isCut);
        if (sent[0].length < all[0].length) expect(sent[1]).to.have.length(0);
        if (isCut) expect(sent[2]).to.have.length(0);
        expect(message.edns !== undefined).to.equal(client.edns !== undefined);
      }),
      { numRuns: 200 },
    );
  });

  it("OPT and TSIG behind the records are taken out, and nothing else", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, fc.uint8Array({ maxLength: 40 }), (asked, reply, rdata) => {
        const plain = encode({ ...asked, edns: undefined }, reply);
        const record = (type: number): Buffer => Buffer.concat([Buffer.of(0), uint16s(type, 255, 0, 0, rdata.length), rdata]);
        const signed = Buffer.concat([plain, record(41), record(250)]);
        signed.writeUInt16BE(signed.readUInt16BE(10) + 2, 10);
        expect(Buffer.from(read(signed).message).equals(plain)).to.equal(true);
      }),
    );
  });

  it("what is worth remembering is sound, has one TTL, and no record that the answer had not", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, (asked, reply) => {
        const { qname, qtype, qclass } = asked;
        const lifetimes = { success: { min: 5, max: 3600 }, denial: { min: 5, max: 1800 }, failureSeconds: 5 };
        const answer = { ...reply, answer: reply.answer.map((set) => ({ ...set, owner: qname })) };
        const worth = judge(toWire(answer, asked), { qname, qtype, qclass }, lifetimes);
        if (typeof worth === "string") return;
        const message = decoded(encode(asked, worth.wire));
        const ttls = new Set([...message.answer, ...message.authority, ...message.additional].map(({ ttl }) => ttl));
        expect([...ttls].every((ttl) => ttl === worth.ttlSeconds)).to.equal(true);
        const timeless = (all: Lines): string[] => all.flat().map((line) => line.replace(/ \d+ IN /, " IN "));
        const before = new Set(timeless(linesOf(decoded(encode(asked, answer)))));
        for (const line of timeless(linesOf(message))) expect(before.has(line), line).to.equal(true);
      }),
    );
  });

  it("any bytes are read, or refused, and never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, likely) => {
        if (likely) bytes.set(Uint8Array.of(0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 1, 0, 1).subarray(0, bytes.length));
        const wire = readAnswer(bytes, "forward");
        if (wire !== undefined) decoded(encode(queryOf({}), wire));
      }),
      { numRuns: 2000 },
    );
  });
});
