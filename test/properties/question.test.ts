import { expect } from "chai";
import fc from "fast-check";
import { decodeMessage } from "../../src/dns/decode.ts";
import { Flags, HEADER_BYTES, Rcodes } from "../../src/dns/message.ts";
import { formatName, nameToWire, parseName } from "../../src/dns/name.ts";
import { qnameOf, readQuestion, Verdicts } from "../../src/dns/question.ts";
import { query } from "../helpers/dns-client.ts";
import { exchangeOf } from "../helpers/exchange.ts";
import { cases } from "../malformed/cases.ts";
import { createWorldResponder, respond } from "../malformed/world.ts";
import { anyName } from "./arbitraries.ts";

const corpus = cases.filter(({ packet }) => packet.length < 1000).map(({ packet }) => packet);

const byte = fc.oneof(fc.constantFrom(0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff), fc.nat({ max: 255 }));
const mutation = fc.record({ kind: fc.constantFrom("set", "insert", "delete", "cut", "repeat"), at: fc.nat({ max: 300 }), byte });

/** Packets of the cases with up to four bytes set, put in or taken out, cut short or with a piece repeated. */
const mutated = fc.tuple(fc.constantFrom(...corpus), fc.array(mutation, { maxLength: 4 })).map(([packet, mutations]) => {
  let bytes = [...packet];
  for (const { kind, at: anywhere, byte: value } of mutations) {
    const at = bytes.length === 0 ? 0 : anywhere % bytes.length;
    if (kind === "set") bytes[at] = value;
    else if (kind === "insert") bytes.splice(at, 0, value);
    else if (kind === "delete") bytes.splice(at, 1 + (value & 3));
    else if (kind === "cut") bytes = bytes.slice(0, at);
    else bytes = [...bytes.slice(0, at), ...bytes.slice(Math.max(0, at - value), at), ...bytes.slice(at)];
  }
  return Buffer.from(bytes);
});

describe("properties: questions", () => {
  it("any name is read as it was written", () => {
    fc.assert(
      fc.property(anyName, (name) => {
        const io = exchangeOf(query({ name: nameToWire(name) }));
        expect(readQuestion(io)).to.equal(Verdicts.OK);
        expect(qnameOf(io)).to.equal(name);
        const labels = [...io.labels.subarray(0, io.labelCount)];
        expect(labels.map((at) => name.slice(at + 1, at + 1 + name.charCodeAt(at))).join(".")).to.equal(
          labels.map((at, index) => name.slice(at + 1, labels[index + 1] ?? name.length - 1)).join("."),
        );
      }),
    );
  });

  it("random and mutated packets get a verdict, and an accepted one is sound", () => {
    fc.assert(
      fc.property(fc.oneof({ weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) }, { weight: 5, arbitrary: mutated }), (packet) => {
        const io = exchangeOf(packet);
        const verdict = readQuestion(io);
        expect(verdict).to.be.oneOf(Object.values(Verdicts));
        if (packet.length < HEADER_BYTES || ((packet[2] as number) & 0x80) !== 0) expect(verdict).to.equal(Verdicts.DROP);
        if (verdict !== Verdicts.OK) return;
        const name = qnameOf(io);
        expect(parseName(formatName(name))).to.equal(name);
        expect([io.optionsAt, io.optionsEnd].every((at) => at <= io.inEnd)).to.equal(true);
        expect(io.questionEnd).to.be.within(io.inAt + HEADER_BYTES + 5, io.inEnd);
      }),
      { numRuns: 3000 },
    );
  });

  it("a mutated packet gets at most one answer, and that one is sound", async () => {
    const subject = await createWorldResponder("on");
    await fc.assert(
      fc.asyncProperty(mutated, async (packet) => {
        const answer = await respond(subject, packet, "udp");
        if (answer === undefined) return;
        const message = decodeMessage(answer);
        expect(message?.id).to.equal(packet.readUInt16BE(0));
        expect((message?.flags ?? 0) & Flags.QR).to.equal(Flags.QR);
        expect(message?.rcode).to.not.equal(Rcodes.SERVFAIL);
        expect(answer.length).to.be.at.most(1232);
      }),
      { numRuns: 2000 },
    );
  });
});
