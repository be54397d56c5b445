import { expect } from "chai";

import { NdotsError } from "../../src/errors.ts";
import type { Configuration } from "../../src/plugin.ts";
import { pollConfiguration, withJitter } from "../../src/plugins/reload/poll.ts";
import reload from "../../src/plugins/reload/reload.ts";
import { fakeClock } from "../helpers/fake-clock.ts";
import { fakeHost, readDirective, setUp } from "../helpers/fake-host.ts";

const INTERVAL_MS = 30_000;

// Each tick of the clock is one look at the files.
function poll(script: { running?: string; reload?: () => Promise<void> }): {
  files: () => string;
  reloads: number;
  readonly failures: string[];
  look(files: string | Error): Promise<void>;
  stop(): Promise<void>;
} {
  const ended = new AbortController();
  const clock = fakeClock();
  const self = {
    files: () => script.running ?? "a",
    reloads: 0,
    failures: [] as string[],
    async look(files: string | Error) {
      self.files = () => {
        if (files instanceof Error) throw files;
        return files;
      };
      await clock.advance(INTERVAL_MS);
    },
    async stop() {
      ended.abort();
      await done;
    },
  };
  const configuration: Configuration = {
    digest: script.running ?? "a",
    read: () => self.files(),
    reload: () => {
      self.reloads++;
      return script.reload?.() ?? Promise.resolve();
    },
  };
  const onFailed = (error: Error): void => void self.failures.push(error.message);
  const done = pollConfiguration({ configuration, intervalMs: INTERVAL_MS, clock, signal: ended.signal, onFailed });
  return self;
}

const notSynced = (): Promise<void> => Promise.reject(new NdotsError("NDOTS_ERR_NOT_SYNCED", "away"));
const refuse = (): Promise<void> => Promise.reject(new Error("bad"));

describe("plugins/reload: when", () => {
  it("tries again at each look what only lacks a source that is away", async () => {
    const server = poll({ reload: notSynced });
    for (const _ of [1, 2, 3]) await server.look("b");
    expect(server.reloads).to.equal(3);
    await server.look("a");
    expect(server.reloads).to.equal(3);
    await server.stop();
  });

  it("reloads when the files are others than those that run, and not before", async () => {
    const server = poll({});
    await server.look("a");
    expect(server.reloads).to.equal(0);
    await server.look("b");
    expect(server.reloads).to.equal(1);
    await server.stop();
  });

  it("does not try again what failed, until the files change again", async () => {
    const server = poll({ reload: refuse });
    for (const files of ["b", "b", "b"]) await server.look(files);
    expect(server.failures).to.deep.equal(["bad"]);
    await server.look("c");
    expect(server.failures).to.deep.equal(["bad", "bad"]);
    await server.look("b");
    expect(server.reloads).to.equal(3);
    await server.stop();
  });

  it("a bad edit that is taken back needs no reload; the same bad edit again is tried again", async () => {
    const server = poll({ reload: refuse });
    for (const files of ["b", "a", "a", "b"]) await server.look(files);
    expect(server.reloads).to.equal(2);
    await server.stop();
  });

  it("C119: a file that is gone is told once, and nothing happens when it comes back as it was", async () => {
    const server = poll({ reload: () => Promise.reject(new Error("ENOENT: Corefile")) });
    const gone = new Error("ENOENT");
    for (const files of [gone, gone, "a", "a"]) await server.look(files);
    expect(server.failures).to.deep.equal(["ENOENT: Corefile"]);
    await server.stop();
  });

  it("ends at once when it is stopped, also within the reload that stops it (PR 7562)", async () => {
    const server = poll({ reload: () => server.stop() });
    await server.look("b");
    expect(server.reloads).to.equal(1);
  }).timeout(1_000);

  it("a reload that the server's end cuts short is no failure", async () => {
    let refuseNow: (error: Error) => void = () => undefined;
    const server = poll({ reload: () => new Promise((_, reject) => (refuseNow = reject)) });
    await server.look("b");
    const stopped = server.stop();
    refuseNow(new Error("the server stops"));
    await stopped;
    expect(server.failures).to.deep.equal([]);
  });

  it("C128: processes that start together look at different times, within half the jitter of the interval", () => {
    const times = { intervalMs: 30_000, jitterMs: 15_000 };
    expect([0, 0.5, 1].map((random) => withJitter(times, random))).to.deep.equal([22_500, 30_000, 37_500]);
    expect(withJitter({ intervalMs: 10_000, jitterMs: 15_000 }, 1), "at most half the interval").to.equal(12_500);
    expect(withJitter({ intervalMs: 10_000, jitterMs: 0 }, 1)).to.equal(10_000);
  });
});

describe("plugins/reload", () => {
  it("says what runs in the log and in a metric, once for all blocks", async () => {
    const host = fakeHost("reload", { configuration: { digest: "ab12", read: () => "ab12", reload: () => Promise.resolve() } });
    const instances = [await setUp(reload, "reload", host), await setUp(reload, "reload 10s 0s", host)];
    for (const instance of instances) await instance.start?.();
    expect(host.lines).to.deep.equal(["[INFO] plugin/reload: Running configuration SHA512 = ab12"]);
    const samples = new Map([...host.metrics.all()].map(({ name, collect }) => [name, [...collect()]]));
    expect(samples.get("coredns_reload_version_info")).to.deep.equal([{ labels: { hash: "sha512", value: "ab12" }, value: 1 }]);
    expect(samples.get("coredns_reload_failed_total")).to.deep.equal([{ labels: {}, value: 0 }]);
    for (const instance of instances) await instance.stop?.();
  });

  const options = (text: string): unknown => readDirective(reload, text).options[0];
  for (const [text, args, strict] of [
    ["reload", { intervalMs: 30_000, jitterMs: 15_000 }, undefined],
    ["reload 10s", { intervalMs: 10_000, jitterMs: 15_000 }, undefined],
    ["reload 2s 0s", { intervalMs: 2_000, jitterMs: 0 }, undefined],
    ["reload 1m 1s {\n import_strict\n}", { intervalMs: 60_000, jitterMs: 1_000 }, true],
  ] as const) {
    it(`reads ${JSON.stringify(text)}`, () => expect(options(text)).to.deep.equal({ args, import_strict: strict }));
  }

  for (const [text, finding] of [
    ["reload 1s", 'INTERVAL must be a duration like "30s", "1m30s" or "500ms", at least 2000 ms, found "1s"'],
    ["reload 10", 'INTERVAL must be a duration like "30s"'],
    ["reload 10s 500ms", 'JITTER must be 0s or at least 1s, found "500ms"'],
    ["reload 10s 1s 1s", 'expected [INTERVAL] [JITTER], found "10s 1s 1s"'],
    ["reload {\n import_strikt\n}", "did you mean 'import_strict'?"],
    ["reload\nreload", "this plugin can only be used once per Server Block"],
  ] as const) {
    it(`refuses ${JSON.stringify(text)}`, () => expect(readDirective(reload, text).findings.join("\n")).to.contain(finding));
  }
});
