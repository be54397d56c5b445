import { decode as decodeWithDnsPacket, type Answer } from "dns-packet";
import { expect } from "chai";
import fc from "fast-check";
import { decodeMessage, type DecodedMessage, type DecodedRecord } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { Flags, MAX_MESSAGE_BYTES, type Query, type Records } from "../../src/dns/message.ts";
import { formatName, nameToWire } from "../../src/dns/name.ts";
import { RRTypes, type RecordSet } from "../../src/dns/records.ts";
import { formatRecord, rdataToText } from "../../src/dns/text.ts";
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
  by: fc.constant("test"),
  answer: section,
  authority: section,
  additional: section,
  ede: fc.record({ code: fc.nat({ max: 30 }), text: fc.string({ maxLength: 60 }) }),
});

function encode(query: Query, reply: Records, maxBytes: number): Buffer {
  const out = new Uint8Array(MAX_MESSAGE_BYTES);
  return Buffer.from(out.subarray(0, encodeReply(out, query, reply, { maxBytes, udpSize: 1232 })));
}

function decoded(packet: Uint8Array): DecodedMessage {
  const message = decodeMessage(packet);
  if (message === undefined) throw new Error(`not sound: ${Buffer.from(packet).toString("hex")}`);
  return message;
}

const linesOf = (sets: readonly RecordSet[]): string[] => sets.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata)));
const lines = (records: readonly DecodedRecord[]): string[] => records.map((record) => formatRecord(record, record.rdata));
const setOf = ({ rdata, ...head }: DecodedRecord): RecordSet => ({ ...head, rdata: [rdata] });

describe("properties: the encoder", () => {
  it("decode ∘ encode = id where all fits", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, (query, reply) => {
        const message = decoded(encode(query, reply, MAX_MESSAGE_BYTES));
        expect([message.id, message.rcode, message.question?.qname]).to.deep.equal([query.id, reply.rcode, query.qname]);
        expect(lines(message.answer)).to.deep.equal(linesOf(reply.answer));
        expect(lines(message.authority)).to.deep.equal(linesOf(reply.authority));
        expect(lines(message.additional)).to.deep.equal(linesOf(reply.additional));
        expect(message.flags & Flags.TC).to.equal(0);
        expect(message.edns?.ede).to.deep.equal(query.edns === undefined ? undefined : reply.ede);
      }),
    );
  });

  it("encode ∘ decode = id: what is read and written again has the same bytes", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, (query, reply) => {
        const packet = encode(query, reply, MAX_MESSAGE_BYTES);
        const { answer, authority, additional } = decoded(packet);
        const again = { ...reply, answer: answer.map(setOf), authority: authority.map(setOf), additional: additional.map(setOf) };
        expect(encode(query, again, MAX_MESSAGE_BYTES).equals(packet)).to.equal(true);
      }),
    );
  });

  it("stays within any limit, with whole records in order, TC exactly if some of answer or authority is missing, and OPT", () => {
    fc.assert(
      fc.property(anyQuery, anyReply, fc.integer({ min: 512, max: 2000 }), (query, reply, limit) => {
        const packet = encode(query, reply, limit);
        expect(packet.length).to.be.at.most(limit);
        const message = decoded(packet);
        const all = [linesOf(reply.answer), linesOf(reply.authority), linesOf(reply.additional)] as const;
        const sent = [lines(message.answer), lines(message.authority), lines(message.additional)] as const;
        for (const [index, part] of sent.entries()) expect(part).to.deep.equal(all[index]?.slice(0, part.length));
        const cut = sent[0].length < all[0].length || sent[1].length < all[1].length;
        expect((message.flags & Flags.TC) !== 0).to.equal(cut);
        if (sent[0].length < all[0].length) expect(sent[1]).to.have.length(0);
        if (cut) expect(sent[2]).to.have.length(0);
        const wholeSets = reply.additional.map((_, index) => linesOf(reply.additional.slice(0, index)).length);
        expect([...wholeSets, all[2].length]).to.include(sent[2].length);
        expect(message.edns !== undefined).to.equal(query.edns !== undefined);
      }),
      { numRuns: 200 },
    );
  });

  it("what is sent says the same to dns-packet", () => {
    fc.assert(
      fc.property(anyReply, (reply) => {
        const packet = encode(queryOf({ name: "web.example.org.", edns: {} }), reply, MAX_MESSAGE_BYTES);
        const other = decodeWithDnsPacket(packet);
        const message = decoded(packet);
        const additionals = (other.additionals ?? []).filter(({ type }) => type !== "OPT");
        const pairs: [readonly DecodedRecord[], readonly Answer[]][] = [
          [message.answer, other.answers ?? []],
          [message.authority, other.authorities ?? []],
          [message.additional, additionals],
        ];
        for (const [ours, theirs] of pairs) {
          expect(theirs.map((record) => "ttl" in record && record.ttl)).to.deep.equal(ours.map(({ ttl }) => ttl));
          for (const [index, record] of ours.entries()) expectSame(record, theirs[index]);
        }
      }),
    );
  });
});

// Names with a dot inside a label look the same to dns-packet as those without (test/dns/dns-packet.test.ts).
const theirName = (text: string): string => text.replaceAll("\\.", ".").replace(/(.)\.$/, "$1");

function expectSame(ours: DecodedRecord, theirs: Answer | undefined): void {
  if (theirs === undefined || !("data" in theirs)) throw new Error("a record is missing");
  expect(theirName(`${theirs.name}.`)).to.equal(theirName(formatName(ours.owner)));
  const text = rdataToText(ours.type, ours.rdata);
  if (ours.type === RRTypes.A) expect(theirs.data).to.equal(text);
  if (ours.type === RRTypes.NS || ours.type === RRTypes.CNAME || ours.type === RRTypes.PTR) {
    expect(theirName(`${JSON.stringify(theirs.data).slice(1, -1)}.`)).to.equal(theirName(text));
  }
}
