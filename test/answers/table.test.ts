// The table's memory: what is put is found, what is removed is not, under any order of both.

import { expect } from "chai";
import fc from "fast-check";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import { TableWriter, type CompiledName } from "../../src/answers/table.ts";
import { Exchange, readQuestion, Verdicts } from "../../src/dns/question.ts";
import { parseName } from "../../src/dns/name.ts";
import { query } from "../helpers/dns-client.ts";

const TYPE_A = 1;

function compiled(body: Uint8Array, rotateCount = 0): CompiledName {
  return {
    zone: 0,
    block: 0,
    askChain: false,
    openBelow: false,
    partial: false,
    reasonBelow: "",
    reason: "",
    answers: [
      {
        type: TYPE_A,
        answerCount: Math.max(1, rotateCount),
        authorityCount: 0,
        additionalCount: 0,
        body,
        rotateAt: 0,
        rotateCount,
        rotateSize: rotateCount === 0 ? 0 : body.length / rotateCount,
      },
    ],
  };
}

function newTable(): TableWriter {
  const table = new TableWriter();
  table.setZone(0, {
    apex: parseName("example.org"),
    soa: undefined,
    soaPointers: [],
    soaLabels: [],
    complete: true,
    namesNearest: false,
    udpSize: 1232,
  });
  return table;
}

// The body that the table gives for a name, or undefined if it asks the chain.
function bodyOf(table: TableWriter, name: string): Uint8Array | undefined {
  const io = new Exchange(4096);
  io.in = query({ name, type: "A" });
  io.inEnd = io.in.length;
  expect(readQuestion(io)).to.equal(Verdicts.OK);
  const hit = createHit();
  if (table.reader.answer(io, hit) !== Outcomes.HIT) return undefined;
  return io.out.slice(io.questionEnd, hit.length);
}

describe("answer table", () => {
  it("holds what was put last and not what was removed, whatever the order (property)", () => {
    const step = fc.record({
      verb: fc.constantFrom("put", "put", "remove"),
      name: fc.integer({ min: 0, max: 40 }).map((n) => `n${n}.example.org`),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = newTable();
        const model = new Map<string, Uint8Array>();
        for (const { verb, name, bytes } of steps) {
          if (verb === "put") {
            table.put(parseName(name), compiled(bytes));
            model.set(name, bytes);
          } else {
            table.remove(parseName(name));
            model.delete(name);
          }
        }
        expect(table.size).to.equal(model.size);
        for (let n = 0; n <= 40; n++) {
          const name = `n${n}.example.org`;
          expect(bodyOf(table, name), name).to.deep.equal(model.get(name));
        }
      }),
      { numRuns: 50 },
    );
  });

  it("finds every one of 20,000 names after growing", () => {
    const table = newTable();
    for (let n = 0; n < 20_000; n++) table.put(parseName(`n${n}.example.org`), compiled(Buffer.from(`body ${n}`)));
    expect(table.size).to.equal(20_000);
    for (let n = 0; n < 20_000; n += 7) expect(Buffer.from(bodyOf(table, `n${n}.example.org`) ?? []).toString()).to.equal(`body ${n}`);
  });

  it("reuses the memory of entries that were replaced", () => {
    const table = newTable();
    for (let round = 0; round < 200_000; round++) table.put(parseName(`n${round % 100}.example.org`), compiled(new Uint8Array(100)));
    expect(table.bytes).to.be.below(5 * 1024 * 1024);
  });

  it("an entry that grows and shrinks leaves little unused memory behind", () => {
    const table = newTable();
    for (let size = 1; size <= 100; size++) {
      for (let n = 0; n < 500; n++) table.put(parseName(`n${n}.example.org`), compiled(new Uint8Array(16 * size)));
    }
    expect(table.bytes).to.be.below(17 * 1024 * 1024); // 0.9 MiB live; 42 MiB if every size were kept apart
  });

  it("rotates records of one length, each round from the next one", () => {
    const table = newTable();
    table.put(parseName("web.example.org"), compiled(Uint8Array.of(1, 1, 2, 2, 3, 3), 3));
    const rounds = Array.from({ length: 6 }, () => [...(bodyOf(table, "web.example.org") ?? [])].join(""));
    expect(new Set(rounds)).to.deep.equal(new Set(["112233", "223311", "331122"]));
    expect(rounds.slice(0, 3)).to.deep.equal(rounds.slice(3));
  });

  it("asks the chain about names that nothing encloses", () => {
    expect(bodyOf(newTable(), "web.example.org")).to.equal(undefined);
  });
});
