import { expect } from "chai";

import { Rcodes } from "../../src/dns/message.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { formatGoDuration } from "../../src/config/arguments.ts";
import { createConsolidator, type Pattern } from "../../src/plugins/errors/consolidate.ts";
import errors from "../../src/plugins/errors/errors.ts";
import { fakeHost, fakeLog, query, readDirective, sent, setUp } from "../helpers/fake-host.ts";

const failed = (error: string) => sent({ rcode: Rcodes.SERVFAIL, error });

/** A clock that runs what is due when it is told to. */
function fakeSchedule() {
  const due = new Set<() => void>();
  return {
    due,
    schedule: (done: () => void) => {
      due.add(done);
      return () => void due.delete(done);
    },
    elapse: () => {
      const now = [...due];
      due.clear();
      for (const done of now) done();
    },
  };
}

const pattern = (source: string, overrides: Partial<Pattern> = {}): Pattern => ({
  periodMs: 30_000,
  regexp: new RegExp(source),
  source,
  level: "error",
  showFirst: false,
  ...overrides,
});

describe("plugins/errors", () => {
  it("logs rcode, name, type and text, in CoreDNS's words", async () => {
    const host = fakeHost("errors");
    const { observeError } = await setUp(errors, "errors", host);
    observeError?.(query("example.org"), failed("read udp 192.0.2.5:41870->192.0.2.8:53: i/o timeout"));
    observeError?.(query("x.example.org", { type: RRTypes.SRV }), failed("plugin/kubernetes: no next plugin found"));
    expect(host.lines).to.deep.equal([
      "[ERROR] plugin/errors: 2 example.org. A: read udp 192.0.2.5:41870->192.0.2.8:53: i/o timeout",
      "[ERROR] plugin/errors: 2 x.example.org. SRV: plugin/kubernetes: no next plugin found",
    ]);
  });

  it("counts what a pattern matches, tells on stop, and logs the rest one by one", async () => {
    const host = fakeHost("errors");
    const instance = await setUp(
      errors,
      `errors {
        stacktrace
        consolidate 5m ".* i/o timeout$" warning
        consolidate 30s "(?i)^CONNECTION refused" info show_first
      }`,
      host,
    );
    for (const text of ["a i/o timeout", "b i/o timeout", "connection refused", "Connection refused by x", "other"]) {
      instance.observeError?.(query("example.org"), failed(text));
    }
    expect(host.lines).to.deep.equal([
      "[INFO] plugin/errors: 2 example.org. A: connection refused",
      "[ERROR] plugin/errors: 2 example.org. A: other",
    ]);
    await instance.stop?.();
    expect(host.lines.slice(2)).to.deep.equal([
      "[WARNING] plugin/errors: 2 errors like '.* i/o timeout$' occurred in last 5m0s",
      "[INFO] plugin/errors: 2 errors like '(?i)^CONNECTION refused' occurred in last 30s",
    ]);
  });

  it("tells the number at the end of each period, and starts anew", () => {
    const log = fakeLog();
    const clock = fakeSchedule();
    const consolidator = createConsolidator([pattern("^a"), pattern("b")], log, clock.schedule);
    expect(consolidator.takes("ab", "line")).to.equal(true);
    expect(consolidator.takes("a", "line")).to.equal(true);
    expect(consolidator.takes("c", "line")).to.equal(false);
    expect(clock.due.size).to.equal(1);
    clock.elapse();
    consolidator.takes("b", "line");
    clock.elapse();
    expect(log.lines).to.deep.equal(["[ERROR] 2 errors like '^a' occurred in last 30s", "[ERROR] 1 errors like 'b' occurred in last 30s"]);
  });

  it("with show_first, a lone error is told once", () => {
    const log = fakeLog();
    const clock = fakeSchedule();
    const consolidator = createConsolidator([pattern("x", { showFirst: true, level: "debug" })], log, clock.schedule);
    consolidator.takes("x", "the line");
    clock.elapse();
    expect(log.lines).to.deep.equal(["[DEBUG] the line"]);
  });

  for (const [milliseconds, text] of [
    [500, "500ms"],
    [30_000, "30s"],
    [1_500, "1.5s"],
    [60_000, "1m0s"],
    [90_000, "1m30s"],
    [3_600_000, "1h0m0s"],
  ] as const) {
    it(`writes ${milliseconds} ms as Go does: ${text}`, () => expect(formatGoDuration(milliseconds)).to.equal(text));
  }

  for (const [lines, finding] of [
    ["errors now", 'Corefile:2:8: errors: takes no arguments, found "now"'],
    ["errors {\nconsolidate 5m\n}", 'expected DURATION REGEXP [warning|error|info|debug] [show_first], found "5m"'],
    ["errors {\nconsolidate 0 x\n}", "DURATION must be"],
    ["errors {\nconsolidate 5m (x\n}", "REGEXP must be a regular expression of Go's: missing closing ): `(x`"],
    ['errors {\nconsolidate 5m "a(?=b)"\n}', "invalid or unsupported Perl syntax: `(?=`"],
    ["errors {\nconsolidate 5m x fatal\n}", 'found "fatal"'],
    ["errors {\nconsolidate 5m x show_first info\n}", "the level stands before show_first"],
    [`errors {\nconsolidate 5m ${"x".repeat(10_001)}\n}`, "REGEXP must be at most 10000 characters, found 10001"],
    ["errors\nerrors", "this plugin can only be used once per Server Block"],
  ] as const) {
    it(`refuses ${JSON.stringify(lines.slice(0, 60))}`, () => expect(readDirective(errors, lines).findings.join("\n")).to.contain(finding));
  }
});
