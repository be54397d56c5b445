// The ring between threads: records come out as they went in, in order, and never more than fit.

import { Worker } from "node:worker_threads";
import { expect } from "chai";
import fc from "fast-check";
import { createRing, RingReader, RingWriter } from "../../src/listeners/ring.ts";

function put(ring: RingWriter, record: Uint8Array): boolean {
  const at = ring.claim(record.length);
  if (at < 0) return false;
  expect(at % 8).to.equal(0);
  ring.bytes.set(record, at);
  ring.commit();
  return true;
}

function take(ring: RingReader): Uint8Array | undefined {
  if (!ring.next()) return undefined;
  const record = ring.bytes.slice(ring.at, ring.at + ring.length);
  ring.release();
  return record;
}

describe("listeners/ring", () => {
  it("gives what was put, in order, whatever the order of putting and taking (property)", () => {
    const step = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.constant("take" as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const shared = createRing(1024);
        const [writer, reader] = [new RingWriter(shared), new RingReader(shared)];
        const model: Uint8Array[] = [];
        for (const what of steps) {
          if (what !== "take") {
            if (put(writer, what)) model.push(what);
            else expect(model.length).to.be.greaterThan(0);
          } else expect(take(reader)).to.deep.equal(model.shift());
        }
        while (model.length > 0) expect(take(reader)).to.deep.equal(model.shift());
        expect(take(reader)).to.equal(undefined);
        expect(writer.used).to.equal(0);
      }),
    );
  });

  it("a record that was not committed is not seen", () => {
    const shared = createRing(1024);
    const [writer, reader] = [new RingWriter(shared), new RingReader(shared)];
    writer.claim(10);
    expect(reader.next()).to.equal(false);
  });

  it("full is said, and there is room again when something is taken", () => {
    const shared = createRing(1024);
    const [writer, reader] = [new RingWriter(shared), new RingReader(shared)];
    const record = new Uint8Array(120);
    let count = 0;
    while (put(writer, record)) count++;
    expect(count).to.equal(8);
    take(reader);
    expect(put(writer, record)).to.equal(true);
    expect(put(writer, record)).to.equal(false);
  });

  it("its counts may pass 2^32", () => {
    const shared = createRing(1024);
    for (const word of [0, 16]) shared.control[word] = -512;
    const [writer, reader] = [new RingWriter(shared), new RingReader(shared)];
    for (let round = 0; round < 100; round++) {
      const record = new Uint8Array(50 + round).fill(round);
      expect(put(writer, record)).to.equal(true);
      expect(take(reader)).to.deep.equal(record);
    }
  });

  it("a hundred thousand records from another thread arrive whole and in order", async () => {
    const RECORDS = 100_000;
    const shared = createRing(4096);
    const source = `
      const { workerData: { control, bytes, module, records } } = require("node:worker_threads");
      import(module).then(({ RingWriter }) => {
        const ring = new RingWriter({ control, bytes });
        for (let record = 0; record < records;) {
          const length = 4 + (record % 90);
          const at = ring.claim(length);
          if (at < 0) continue;
          ring.words[at >> 2] = record;
          ring.bytes.fill(record, at + 4, at + length);
          ring.commit();
          record++;
        }
      });`;
    const module = new URL("../../dist/listeners/ring.js", import.meta.url).href;
    const worker = new Worker(source, { eval: true, execArgv: [], workerData: { ...shared, module, records: RECORDS } });
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    const reader = new RingReader(shared);
    let expected = 0;
    while (expected < RECORDS) {
      if (!reader.next()) {
        await new Promise(setImmediate);
        continue;
      }
      const { words, bytes, at, length } = reader;
      const isWhole = bytes.subarray(at + 4, at + length).every((byte) => byte === (expected & 0xff));
      if (words[at >> 2] !== expected || length !== 4 + (expected % 90) || !isWhole) throw new Error(`record ${expected} is broken`);
      reader.release();
      expected++;
    }
    expect(await ended).to.equal(0);
  });
});
