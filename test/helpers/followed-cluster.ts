// A server that follows a fake API server over a real connection, on a clock that the test moves: outages of minutes take
// milliseconds. The source is given its clock here and fills the registry of a server that a program embeds.

import { setImmediate as nextTurn } from "node:timers/promises";
import { buildQuery, readResult } from "../../src/client.ts";
import { createMetrics } from "../../src/metrics.ts";
import { kubeApiSource, type KubeApiOptions } from "../../src/registry/kube-api.ts";
import type { WritableRegistry } from "../../src/registry/registry.ts";
import { createServer } from "../../src/server.ts";
import { startFakeApi, type FakeApi, type FakeApiOptions } from "./fake-api/fake-api.ts";
import type { KubeObject } from "./fake-api/objects.ts";
import { fakeClock, type FakeClock } from "./fake-clock.ts";
import { fakeLog } from "./fake-host.ts";
import { temporaryFolder } from "./ndots-process.ts";

export interface FollowedCluster extends AsyncDisposable {
  readonly api: FakeApi;
  readonly clock: FakeClock;
  readonly registry: WritableRegistry;
  readonly lines: string[];
  /** `10.0.0.1 10.0.0.2` sorted, or the rcode, or `NODATA`; with ` !N` for an extended error's code. A name without a dot at its end is below cluster.local. */
  ask(name: string, type?: string): Promise<string>;
  /** Moves the clock on by at most `ms`, little by little, until the condition holds; gives the time that it took. Throws if it never does. */
  within(ms: number, what: string, condition: () => boolean | Promise<boolean>): Promise<number>;
  /** Moves the clock on, little by little; `each` is called after every step. */
  pass(ms: number, each?: () => void | Promise<void>): Promise<void>;
  /** All that was sent has come: nothing happens any more without time. */
  settle(): Promise<void>;
  /** The sum of a metric's samples whose labels have this value. */
  metric(name: string, label?: string): number;
}

export interface FollowOptions {
  readonly api?: FakeApiOptions;
  readonly objects?: readonly KubeObject[];
  /** Of the kubernetes block. */
  readonly options?: readonly string[];
  readonly source?: Partial<KubeApiOptions>;
}

/** Fine enough for bounds of a tenth of a second. */
const STEP_MS = 50;
/** For times of minutes. */
const LONG_STEP_MS = 2000;
/** As long is looked at closely. */
const FINE_MS = 10_000;
/** A bound for a failing test. */
const REAL_MS = 8000;
/** Turns of the event loop for a few messages there and back. */
const TURNS = 24;

/** Starts both; resolves once the server has listed everything. */
export async function followCluster({
  api: apiOptions,
  objects = [],
  options = [],
  source = {},
}: FollowOptions = {}): Promise<FollowedCluster> {
  const clock = fakeClock();
  const lines: string[] = [];
  const log = fakeLog(lines);
  const metrics = createMetrics();
  const api = await startFakeApi({ clock, ...apiOptions, objects });
  const folder = temporaryFolder({ kubeconfig: api.kubeconfig() });
  const server = await createServer({
    corefile: [". {", "kubernetes cluster.local in-addr.arpa ip6.arpa {", ...options, "reasons off", "}", "}"].join("\n"),
    file: "Corefile",
    port: 0,
    address: "127.0.0.1",
    embedded: true,
    strict: true,
    env: {},
    log,
  });
  const registry = server.registry as WritableRegistry;
  const ended = new AbortController();
  let isSynced = false;
  const running = kubeApiSource({
    access: { kind: "kubeconfig", file: `${folder.path}/kubeconfig` },
    endpoints: true,
    pods: "drop",
    multicluster: false,
    staleAfterMs: 300_000,
    limits: {},
    clock,
    log,
    metrics,
    env: {},
    ...source,
  }).run(registry, () => (isSynced = true), ended.signal);

  const cluster: FollowedCluster = {
    api,
    clock,
    registry,
    lines,
    async ask(name, type = "A") {
      await server.settled();
      const full = name.endsWith(".") ? name : `${name}.cluster.local.`;
      const answer = await server.ask(buildQuery(full, type), "udp");
      if (answer === undefined) return "nothing";
      const { rcode, answer: records, addresses, ede } = readResult(answer);
      const data = addresses.length > 0 ? addresses : records.map((record) => record.split(" ").slice(4).join(" "));
      const text = rcode !== "NOERROR" ? rcode : data.length === 0 ? "NODATA" : data.toSorted().join(" ");
      return ede === undefined ? text : `${text} !${ede.code}`;
    },
    async within(ms, what, condition) {
      const begunMs = clock.monotonic();
      for (;;) {
        await settle();
        if (await condition()) return clock.monotonic() - begunMs;
        if (clock.monotonic() - begunMs >= ms) break;
        await clock.advance(clock.monotonic() - begunMs < FINE_MS ? STEP_MS : LONG_STEP_MS);
      }
      // What needs no more time than that may still wait for a disk or a busy machine.
      const endMs = performance.now() + REAL_MS;
      while (performance.now() < endMs) {
        await settle();
        if (await condition()) return clock.monotonic() - begunMs;
      }
      throw new Error(`not within ${ms} ms: ${what}`);
    },
    async pass(ms, each) {
      const endMs = clock.monotonic() + ms;
      const step = ms > FINE_MS ? LONG_STEP_MS : STEP_MS;
      while (clock.monotonic() < endMs) {
        await clock.advance(Math.min(step, endMs - clock.monotonic()));
        await settle();
        await each?.();
      }
    },
    settle,
    metric(name, label) {
      const samples = [...metrics.all()].filter((metric) => metric.name === name).flatMap((metric) => [...metric.collect()]);
      const wanted = samples.filter(({ labels }) => label === undefined || Object.values(labels).includes(label));
      return wanted.reduce((sum, { value }) => sum + value, 0);
    },
    async [Symbol.asyncDispose]() {
      ended.abort();
      await running;
      await server.stop("now");
      await api[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
  try {
    const isFollowed = (): boolean => isSynced && api.watches().length === new Set(api.requests.map(({ path }) => path)).size;
    await cluster.within(5000, "everything is listed and watched", isFollowed);
    return cluster;
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw new Error(`${String(error)}; the log: ${lines.join("; ")}`);
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await nextTurn();
}
