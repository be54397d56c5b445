// A large cluster read from the Kubernetes API over TLS: scripts/bench/run cluster. How long the first sync takes and how
// much memory, what a relist costs, how soon an event is an answer, and how soon all is right when the API is back.
// COREDNS=path measures that binary too, for comparison.

import { type Socket, createSocket } from "node:dgram";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject } from "../../test/helpers/fake-api/objects.ts";
import { namespaceOf, REFERENCE_CLUSTER } from "../../test/helpers/fake-api/big-cluster.ts";
import { CLIENT_CPU, SERVER_CPU } from "./dnsperf.ts";
import { type FakeApi, startFakeApi } from "./fake-api.ts";
import { cli, idle, type Measured, NODE_FLAGS, questionFor, residentMiB, root, start } from "./process.ts";
import { startProbe } from "./probing.ts";
import { LIMIT_HEAD, limitRow, percentile, shown, table, writeSection } from "./results.ts";

const LIMITS = {
  syncS: 4,
  peakMiB: 170,
  steadyMiB: 140,
  relist: 1.15,
  pauseMs: 20,
  p50Ms: 1.5,
  p99Ms: 4,
  busyP99Ms: 20,
  backS: 2,
  behindS: 1,
};
const ZONE = "cluster.local";
const READY_PORT = 5493;
const METRICS_PORT = 5496;
const LONGEST_S = 60;
/** Between two looks at an answer that is to change. */
const PAUSE_MS = 0.1;
const pause = new Int32Array(new SharedArrayBuffer(4));
/** Relists begin within a second and take three. */
const RELIST_MS = 10_000;
const quick = process.argv.includes("--quick");
const events = quick ? 60 : 400;

const folder = join(root, ".tmp/bench/cluster");
mkdirSync(folder, { recursive: true });
const kubeconfig = join(folder, "kubeconfig");
const size = quick ? { ...REFERENCE_CLUSTER, services: 2_000 } : REFERENCE_CLUSTER;

interface Subject {
  readonly name: string;
  readonly port: number;
  readonly program: string;
  readonly args: (corefile: string) => string[];
  /** How much longer it may take to see a change: its own reconnection. */
  readonly patienceS: number;
}

const subjects: Subject[] = [
  { name: "ndots", port: 5494, program: process.execPath, args: (file) => [...NODE_FLAGS, cli, "-conf", file], patienceS: 60 },
];
const coredns = process.env["COREDNS"];
if (coredns !== undefined && coredns !== "") {
  subjects.push({ name: "CoreDNS", port: 5495, program: coredns, args: (file) => ["-conf", file], patienceS: 60 });
}

const columns: Record<string, Figures> = {};
for (const subject of subjects) columns[subject.name] = await measure(subject);
report(columns);

interface Figures {
  readonly syncS: number;
  readonly peakMiB: number;
  readonly steadyMiB: number;
  readonly relistPeakMiB: number;
  readonly relistGapMs: number;
  readonly relistRefused: number;
  /** Upper bounds of the server's own histogram: from the event's receipt to the answer. */
  readonly ownP50Ms: number;
  readonly ownP99Ms: number;
  readonly slow: readonly number[];
  readonly busy: readonly number[];
  readonly backS: number;
  readonly behindS: number;
}

async function measure(subject: Subject): Promise<Figures> {
  const progress = (step: string): void => void process.stderr.write(`${subject.name}: ${step}…\n`);
  progress("sync");
  await using api = await startFakeApi(
    kubeconfig,
    [
      ["--tls", "--services", String(size.services), "--endpoints", String(size.endpointsEach)],
      ["--namespaces", String(size.namespaces), "--headless", String(size.headlessEndpoints)],
    ].flat(),
    CLIENT_CPU,
  );
  await api.apply(watched("10.77.0.0"));
  const corefile = join(folder, `${subject.name}.Corefile`);
  writeFileSync(corefile, corefileFor(subject.port));
  const startedMs = performance.now();
  await using server = start(subject.program, subject.args(corefile), { cpu: SERVER_CPU });
  await isReady(server);
  const syncS = (performance.now() - startedMs) / 1000;
  await idle(server.pid);
  const peakMiB = residentMiB(server.pid, "VmHWM");
  await new Promise((resolve) => setTimeout(resolve, 10_000)); // V8 gives back what it no longer needs
  const steadyMiB = residentMiB(server.pid);

  progress("relist");
  const relist = await relistOf(api, subject, server);
  progress("events");
  const before = await lags();
  const slow = await latencies(api, subject.port, quick ? 60 : 200, 20);
  const own = (await lags()).map(([bound, count], index) => [bound, count - (before[index]?.[1] ?? 0)] as const);
  const busy = await latencies(api, subject.port, events, 200);
  progress("cuts");
  const behindS = await behindUnderCuts(api, subject.port);
  progress("outage");
  const backS = await backFromOutage(api, subject);
  return { syncS, peakMiB, steadyMiB, ...relist, ownP50Ms: bound(own, 50), ownP99Ms: bound(own, 99), slow, busy, backS, behindS };
}

function corefileFor(port: number): string {
  return `.:${port} {
    errors
    ready :${READY_PORT}
    kubernetes ${ZONE} in-addr.arpa ip6.arpa {
        kubeconfig ${kubeconfig}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus 127.0.0.1:${METRICS_PORT}
    loadbalance
}
`;
}

async function isReady(server: Measured): Promise<void> {
  const giveUpMs = performance.now() + LONGEST_S * 1000;
  while (performance.now() < giveUpMs && server.child.exitCode === null) {
    const status = await fetch(`http://127.0.0.1:${READY_PORT}/ready`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not ready\n${server.output()}`);
}

// ── a relist after a 410 ─────────────────────────────────────────────────────────────────────────────────────

async function relistOf(
  api: FakeApi,
  subject: Subject,
  server: Measured,
): Promise<Pick<Figures, "relistPeakMiB" | "relistGapMs" | "relistRefused">> {
  const n = size.services - 1;
  await using probe = await startProbe(subject.port, `svc-${n}.${namespaceOf(n, size)}.svc.${ZONE}`, server.pid);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await probe.report();
  let relistPeakMiB = 0;
  const looking = setInterval(() => (relistPeakMiB = Math.max(relistPeakMiB, residentMiB(server.pid))), 20);
  await api.do({ do: "expire" });
  await new Promise((resolve) => setTimeout(resolve, RELIST_MS));
  clearInterval(looking);
  const { longestGapMs, refused } = await probe.report();
  return { relistPeakMiB, relistGapMs: longestGapMs, relistRefused: refused };
}

// ── from event to answer ─────────────────────────────────────────────────────────────────────────────────────

// From the order to the API server to the first answer that has it: the API server's part is in it.
async function latencies(api: FakeApi, port: number, count: number, perSecond: number): Promise<number[]> {
  const asker = await createAsker(port);
  const measured: number[] = [];
  let nextMs = performance.now();
  for (let nth = 1; nth <= count; nth++) {
    nextMs += 1000 / perSecond;
    const waitMs = nextMs - performance.now();
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const address = `10.77.${nth >> 8}.${nth & 255}`;
    const sentMs = performance.now();
    const applied = api.apply(watched(address));
    measured.push((await asker.until(address, LONGEST_S)) - sentMs);
    await applied;
  }
  asker.close();
  return measured;
}

// The histogram's bounds in milliseconds, and how many events were at most so long under way; of CoreDNS there is none.
async function lags(): Promise<(readonly [number, number])[]> {
  const metrics = await fetch(`http://127.0.0.1:${METRICS_PORT}/metrics`).then((response) => response.text());
  const lines = metrics.matchAll(/^ndots_kubernetes_event_lag_seconds_bucket\{resource="services",le="([\d.]+)"\} (\d+)$/gm);
  return Array.from(lines, ([, le, count]) => [Number(le) * 1000, Number(count)] as const);
}

function bound(counts: readonly (readonly [number, number])[], percent: number): number {
  const all = counts.at(-1)?.[1] ?? 0;
  return counts.find(([, count]) => count * 100 >= all * percent)?.[0] ?? Number.NaN;
}

function watched(address: string): KubeObject {
  return {
    kind: "Service",
    metadata: { name: "watched", namespace: "bench" },
    spec: { clusterIP: address, ports: [{ name: "http", port: 80, protocol: "TCP" }] },
  };
}

// Its connections are cut every 5 s while changes come: how far behind an answer ever was, in seconds.
async function behindUnderCuts(api: FakeApi, port: number): Promise<number> {
  const asker = await createAsker(port);
  let most = 0;
  for (let nth = 1; nth <= (quick ? 10 : 40); nth++) {
    if (nth % 10 === 0) await api.do({ do: "cut" }); // every 5 s
    const address = `10.78.0.${nth}`;
    const sentMs = performance.now();
    await api.apply(watched(address));
    most = Math.max(most, (await asker.until(address, LONGEST_S)) - sentMs);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  asker.close();
  return most / 1000;
}

// The API server is away, 50 objects change meanwhile, it comes back: how long until the last change is an answer.
async function backFromOutage(api: FakeApi, { port, patienceS }: Subject): Promise<number> {
  const asker = await createAsker(port);
  await api.do({ do: "stop" });
  await new Promise((resolve) => setTimeout(resolve, quick ? 5_000 : 60_000));
  for (let nth = 1; nth <= 50; nth++) await api.apply(watched(`10.79.0.${nth}`));
  await api.do({ do: "start" });
  const backMs = performance.now();
  const rightMs = await asker.until("10.79.0.50", patienceS);
  asker.close();
  return (rightMs - backMs) / 1000;
}

interface Asker {
  /** Asks without a pause until the answer is this; gives the time of the answer. */
  until(address: string, seconds: number): Promise<number>;
  close(): void;
}

async function createAsker(port: number): Promise<Asker> {
  const socket: Socket = createSocket({ type: "udp4", lookup: (address, _family, callback) => callback(null, address, 4) });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const question = questionFor(`watched.bench.svc.${ZONE}`);
  return {
    until(address, seconds) {
      const wanted = Buffer.from(address.split(".").map(Number));
      return new Promise((resolve, reject) => {
        const giveUp = setTimeout(() => finish(() => reject(new Error(`${address} is no answer after ${seconds} s`))), seconds * 1000);
        const again = setInterval(ask, 100); // one was lost
        let isDone = false;
        socket.on("message", onReply);
        ask();

        // Without a pause it would take the CPU from those whom it measures.
        function askAgain(): void {
          Atomics.wait(pause, 0, 0, PAUSE_MS);
          if (!isDone) ask();
        }
        function ask(): void {
          socket.send(question, port, "127.0.0.1");
        }
        function onReply(reply: Buffer): void {
          if (reply.includes(wanted, question.length)) finish(() => resolve(performance.now()));
          else setImmediate(askAgain);
        }
        function finish(end: () => void): void {
          clearTimeout(giveUp);
          clearInterval(again);
          isDone = true;
          socket.off("message", onReply);
          end();
        }
      });
    },
    close: () => socket.close(),
  };
}

// ── the table ────────────────────────────────────────────────────────────────────────────────────────────────

function report(figures: Readonly<Record<string, Figures>>): void {
  const { ndots, CoreDNS } = figures;
  if (ndots === undefined) throw new Error("nothing was measured");
  const row = (what: string, of: (one: Figures) => number, limit: number, unit: string): string[] => [
    ...limitRow(what, of(ndots), limit, unit),
    CoreDNS === undefined || Number.isNaN(of(CoreDNS)) ? "" : `${shown(of(CoreDNS))} ${unit}`,
  ];
  const rows = [
    row("exec → /ready 200", (one) => one.syncS, LIMITS.syncS, "s"),
    row("resident, highest until then", (one) => one.peakMiB, LIMITS.peakMiB, "MiB"),
    row("resident, steady", (one) => one.steadyMiB, LIMITS.steadyMiB, "MiB"),
    row("relist after a 410: highest resident to steady", (one) => one.relistPeakMiB / one.steadyMiB, LIMITS.relist, "×"),
    row("… longest pause of table hits", (one) => one.relistGapMs, LIMITS.pauseMs, "ms"),
    row("… wrong answers", (one) => one.relistRefused, 0, ""),
    row("event received → answer, 20 a second, p50 (bucket)", (one) => one.ownP50Ms, LIMITS.p50Ms, "ms"),
    row("… p99 (bucket)", (one) => one.ownP99Ms, LIMITS.p99Ms, "ms"),
    row("change ordered → answer seen, 20 a second, p50", (one) => percentile(one.slow, 50), LIMITS.p50Ms, "ms"),
    row("… p99", (one) => percentile(one.slow, 99), LIMITS.p99Ms, "ms"),
    row("change ordered → answer seen, 200 a second, p99", (one) => percentile(one.busy, 99), LIMITS.busyP99Ms, "ms"),
    row("connections cut every 5 s: most behind", (one) => one.behindS, LIMITS.behindS, "s"),
    row("API back after an outage: last change is an answer", (one) => one.backS, LIMITS.backS, "s"),
  ];
  const { services, endpointsEach, headlessEndpoints, namespaces } = size;
  writeSection(
    "Cluster",
    `${services} Services × ${endpointsEach} endpoints, a headless one with ${headlessEndpoints}, ${namespaces} namespaces, read over TLS from the tests' fake API
server; one core for the server, one for API server and client. What is measured from the order on
holds the API server's and the asker's part.

${table([...LIMIT_HEAD, CoreDNS === undefined ? "" : "CoreDNS"], rows)}`,
  );
  if (rows.some((cells) => cells[3] === "FAIL")) process.exitCode = 1;
}
