// The sources of a server: who is told of a failure, what runs again, and what a configuration may not share.

import { expect } from "chai";
import { createMetrics } from "../src/metrics.ts";
import type { SourceSpec } from "../src/plugin.ts";
import type { Source } from "../src/registry/registry.ts";
import { createSources, type Lease } from "../src/sources.ts";
import { fakeClock, type FakeClock } from "./helpers/fake-clock.ts";
import { fakeLog } from "./helpers/fake-host.ts";

type Run = Source["run"];

function place(): { readonly lease: Lease; readonly clock: FakeClock; readonly lines: string[] } {
  const log = fakeLog();
  const clock = fakeClock();
  const lease = createSources({ log, metrics: createMetrics(), report: () => undefined, clock }).lease();
  return { lease, clock, lines: log.lines };
}

function spec(key: string, run: Run, more: Partial<SourceSpec> = {}): SourceSpec {
  return { key, create: () => ({ name: key, run }), ...more };
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

const delivers: Run = (_registry, synced, signal) => {
  synced();
  return untilAborted(signal);
};

describe("sources", () => {
  it("one that fails while the start waits for it fails the start, and is let go without another word", async () => {
    const { lease, lines } = place();
    lease.of("test", spec("a", delivers));
    lease.of(
      "test",
      spec("b", () => Promise.reject(new Error("no such cluster"))),
    );
    const error: unknown = await lease.run(new AbortController().signal).catch((reason: unknown) => reason);
    expect(String(error)).to.equal("Error: no such cluster");
    await lease.end();
    expect(lines).to.deep.equal([]);
  });

  it("one that fails later is told and run again, also if it has not delivered anything yet", async () => {
    const { lease, clock, lines } = place();
    let runs = 0;
    const late: Run = async (_registry, synced, signal) => {
      if (++runs > 1) return delivers(_registry, synced, signal);
      await clock.delay(6_000, signal);
      throw new Error("gone");
    };
    const registry = lease.of("test", spec("late", late, { startupTimeoutMs: 5_000 }));
    const started = lease.run(new AbortController().signal);
    await clock.advance(5_000);
    await started;
    expect(lines.at(-1)).to.equal("[WARNING] plugin/test: starting server with unsynced Kubernetes API");
    await clock.advance(1_000);
    expect(lines.at(-1)).to.contain("source late failed and is started again in 1 s: Error: gone");
    await clock.advance(1_000);
    expect(registry.synced).to.equal(true);
    await lease.end();
  });

  it("a start that is given up says nothing of what it has waited for", async () => {
    const { lease, lines } = place();
    lease.of(
      "test",
      spec("never", (_registry, _synced, signal) => untilAborted(signal), { startupTimeoutMs: 5_000 }),
    );
    const giveUp = new AbortController();
    const started = lease.run(giveUp.signal);
    giveUp.abort();
    await started;
    await lease.end();
    expect(lines).to.deep.equal(["[INFO] plugin/test: waiting for Kubernetes API before starting server"]);
  });

  it("two that differ can't write one file", () => {
    const { lease } = place();
    lease.of("test", spec("a", delivers, { writes: "/tmp/cluster" }));
    lease.of("test", spec("a", delivers, { writes: "/tmp/cluster" })); // the same one
    lease.of("test", spec("b", delivers, { writes: "/tmp/other" }));
    expect(() => lease.of("test", spec("c", delivers, { writes: "/tmp/cluster" }))).to.throw(/^\/tmp\/cluster is written by another/);
  });

  it("what only looks loads the files of one that asks other hosts, and not more", async () => {
    const { lease } = place();
    const ran: string[] = [];
    const running =
      (name: string): Run =>
      async (_registry, synced) => {
        ran.push(name);
        synced();
      };
    lease.of("test", spec("api", running("api"), { remote: true }));
    lease.of("test", spec("both", running("both"), { remote: true, local: spec("files", running("files")) }));
    await lease.load();
    expect(ran).to.deep.equal(["files"]);
  });
});
