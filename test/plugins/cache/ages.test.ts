import { expect } from "chai";
import fc from "fast-check";

import { rig } from "./fixture.ts";

// What clients do and what time does, in any order; every upstream answer says when it was given.
const step = fc.oneof(
  fc.record({ ask: fc.constantFrom("a", "b"), dnssecOk: fc.boolean() }),
  fc.record({ wait: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({ ttl: fc.integer({ min: 1, max: 40 }) }),
);

const configurations: readonly { lines: string; staleMs: number }[] = [
  { lines: "cache", staleMs: 0 },
  { lines: "cache 10", staleMs: 0 },
  { lines: "cache {\n success 1024 15 0\n prefetch 2 5s 50%\n}", staleMs: 0 },
  { lines: "cache {\n serve_stale 7s\n prefetch 1\n}", staleMs: 7_000 },
  { lines: "cache {\n serve_stale 7s verify\n}", staleMs: 7_000 },
];

describe("plugins/cache: ages", () => {
  for (const { lines, staleMs } of configurations) {
    it(`${lines.replaceAll("\n", ";")}: nothing is told for longer than its TTL says, nor with more than is left of it`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
          const { ask, behave, clock, table } = rig(lines);
          const given: { atMs: number; ttl: number }[] = [];
          let ttl = 20;
          behave((name) => {
            given.push({ atMs: clock.monotonic(), ttl });
            return { answer: `${name} ${ttl} IN TXT "${given.length - 1}"` };
          });
          for (const now of steps) {
            if ("ttl" in now) ttl = now.ttl;
            else if ("wait" in now) await clock.advance(now.wait);
            else {
              const told = await ask(`${now.ask}.example.org`, { type: 16, edns: { dnssecOk: now.dnssecOk } });
              await clock.settle();
              const record = told?.answer[0];
              const from = given[Number(Buffer.from(record?.rdata.subarray(1) ?? []).toString())];
              if (record === undefined || from === undefined) throw new Error("no answer");
              const [min, max] = lines === "cache 10" ? [5, 10] : lines.includes("15 0") ? [0, 15] : [5, 3600];
              const lifetimeMs = Math.max(Math.min(from.ttl, max), min) * 1000;
              const ageMs = clock.monotonic() - from.atMs;
              expect(ageMs).to.be.below(lifetimeMs + Math.max(staleMs, 1));
              expect(record.ttl).to.equal(Math.max(0, Math.ceil((lifetimeMs - ageMs) / 1000)));
            }
          }
          // What the table was given it may tell until the entry ends, at the latest.
          for (const line of table.filter((one) => one.startsWith("keep"))) {
            expect(Number(/ ([\d.]+)s$/.exec(line)?.[1])).to.be.within(0, lines.includes("prefetch") ? 39 : 40);
          }
        }),
        { numRuns: 25 },
      );
    });
  }
});
