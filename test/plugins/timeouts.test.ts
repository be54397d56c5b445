import { expect } from "chai";
import timeouts from "../../src/plugins/timeouts/timeouts.ts";
import { fakeHost, readDirective, setUp } from "../helpers/fake-host.ts";

describe("plugins/timeouts", () => {
  const reads: readonly [text: string, gives: object][] = [
    ["timeouts {\n read 2s\n}", { readMs: 2000 }],
    ["timeouts {\n read 15\n write 30s\n idle 1h30m\n}", { readMs: 15_000, writeMs: 30_000, idleMs: 5_400_000 }],
    ["timeouts {\n maxtcpqueries 128\n}", { queries: 128 }],
    ["timeouts {\n maxtcpqueries -1\n}", { queries: Number.POSITIVE_INFINITY }],
    ["timeouts {\n idle 1m\n}\ntimeouts {\n read 24h\n}", { readMs: 86_400_000, idleMs: 60_000 }],
  ];
  for (const [text, gives] of reads) {
    it(text.replaceAll(/\s+/g, " "), async () => {
      expect((await setUp(timeouts, text, fakeHost("timeouts"))).connections).to.deep.equal(gives);
    });
  }

  const refuses: readonly [text: string, says: string][] = [
    ["timeouts", "says nothing; give at least one of read, write, idle, maxtcpqueries"],
    ["timeouts {\n}", "says nothing; give at least one of read, write, idle, maxtcpqueries"],
    ["timeouts 5s {\n read 5s\n}", 'takes no arguments, found "5s"'],
    ["timeouts {\n read 500ms\n}", 'must be a duration like "30s", "1m30s" or "500ms", at least 1000 ms'],
    ["timeouts {\n read 25h\n}", "at most 86400000 ms"],
    ["timeouts {\n read soon\n}", 'found "soon"'],
    ["timeouts {\n maxtcpqueries 0\n}", 'MAXIMUM must be -1 (no limit) or at least 1, found "0"'],
    ["timeouts {\n maxtcpqueries -2\n}", "MAXIMUM must be an integer of at least -1"],
    ["timeouts {\n connect 5s\n}", "unknown property 'connect'"],
  ];
  for (const [text, says] of refuses) {
    it(`${text.replaceAll(/\s+/g, " ")} is refused`, () => {
      expect(readDirective(timeouts, text).findings.join("\n")).to.include(says);
    });
  }
});
