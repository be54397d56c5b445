// What a rollout costs those who ask: scripts/bench/run rollout. Two servers behind a Service IP as kube-proxy makes them
// (nftables DNAT and conntrack in a network namespace), 5,000 q/s over UDP and 200 over TCP by clients that ask once, a
// Service that changes 20 times a second. One server gets SIGTERM, its endpoint goes some seconds later; and a server
// reloads a hundred times. COREDNS=path measures that binary too. Needs root, and nft and conntrack.

import { once } from "node:events";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { changingService, monotonicMs, keepChanging, startLoad, type LoadReport, WAYS } from "../../test/helpers/rollout.ts";
import { createServiceNetwork, SERVICE_IP, type ServiceNetwork } from "../../test/helpers/service-network.ts";
import { CLIENT_CPU, SERVER_CPU } from "./dnsperf.ts";
import { type FakeApi, startFakeApi } from "./fake-api.ts";
import { cli, MALLOC_ENV, type Measured, NODE_FLAGS, residentMiB, root, start } from "./process.ts";
import { LIMIT_HEAD, limitRow, median, shown, table, writeSection } from "./results.ts";

const LOAD = { address: SERVICE_IP, udpPerSecond: 5_000, tcpPerSecond: 200 };
const CHANGES_PER_SECOND = 20;
const ENDPOINTS = ["10.244.0.2", "10.244.0.3"] as const;
const KILLED_S = 30;
const LONGEST_START_MS = 20_000;
/** Load before what is measured, and behind it. */
const BEFORE_MS = 3_000;
const AFTER_MS = 2_000;
const RSS_GROWTH_MIB = 8;
const quick = process.argv.includes("--quick");
const delays = quick ? [2] : [0, 2, 5, 8];
const reloads = quick ? 20 : 100;
const RELOAD_EVERY_MS = 300;

interface Subject {
  readonly name: string;
  readonly command: (corefile: string) => string[];
  readonly started: RegExp;
}

const subjects: Subject[] = [
  { name: "ndots", command: (file) => [process.execPath, ...NODE_FLAGS, cli, "-conf", file], started: /^\[INFO\] listening on/m },
];
const coredns = process.env["COREDNS"];
if (coredns !== undefined && coredns !== "") {
  subjects.push({ name: "CoreDNS", command: (file) => [coredns, "-conf", file], started: /^CoreDNS-/m });
}

const folder = join(root, ".tmp/bench/rollout");
mkdirSync(folder, { recursive: true });
const kubeconfig = join(folder, "kubeconfig");

interface Stopped extends LoadReport {
  readonly delayS: number;
  readonly endedS: number;
  readonly code: number | null;
}

interface Reloaded extends LoadReport {
  readonly reloads: number;
  readonly growthMiB: number;
  readonly moreDescriptors: number;
}

const stops: Record<string, Stopped[]> = {};
const reloaded: Record<string, Reloaded> = {};
for (const subject of subjects) {
  for (const delayS of delays) (stops[subject.name] ??= []).push(await stopUnderLoad(subject, delayS));
  reloaded[subject.name] = await reloadUnderLoad(subject);
}
report();

// ── a server stops ───────────────────────────────────────────────────────────────────────────────────────────

async function stopUnderLoad(subject: Subject, delayS: number): Promise<Stopped> {
  const [leaving, staying] = ENDPOINTS;
  await using network = await createNetwork();
  await using api = await startApi(network);
  await using first = await startServer(network, subject, leaving);
  await using _second = await startServer(network, subject, staying);
  let endedS = KILLED_S;
  const times: string[] = [];
  const whole = await underLoad(network, api, async () => {
    await delay(BEFORE_MS);
    const ended = once(first.child, "exit");
    const sentMs = performance.now();
    const note = (what: string): void => void times.push(`${what} at ${monotonicMs().toFixed(1)}`);
    note("SIGTERM");
    first.child.kill("SIGTERM");
    const kill = setTimeout(() => first.child.kill("SIGKILL"), KILLED_S * 1000);
    const removed = delay(delayS * 1000).then(async () => {
      await network.lead([staying]);
      note("removed");
      await network.forget(leaving);
      note("forgotten");
    });
    await ended;
    note("ended");
    clearTimeout(kill);
    endedS = (performance.now() - sentMs) / 1000;
    await removed;
    await delay(AFTER_MS);
  });
  console.log(times.join(", "));
  const stopped = { ...whole, delayS, endedS, code: first.child.exitCode };
  tell(`${subject.name}, endpoint removed after ${delayS} s, exit ${stopped.code} after ${endedS.toFixed(1)} s`, stopped);
  return stopped;
}

// ── a server reloads ─────────────────────────────────────────────────────────────────────────────────────────

async function reloadUnderLoad(subject: Subject): Promise<Reloaded> {
  const [endpoint] = ENDPOINTS;
  await using network = await createNetwork();
  await using api = await startApi(network);
  await using server = await startServer(network, subject, endpoint);
  await network.lead([endpoint]);
  let done = 0;
  const memory: number[] = [];
  const descriptors: number[] = [];
  const whole = await underLoad(network, api, async () => {
    await delay(BEFORE_MS);
    for (let nth = 1; nth <= reloads; nth++) {
      writeFileSync(corefileOf(subject, endpoint), corefile(endpoint, nth));
      server.child.kill("SIGUSR1");
      await Promise.all([delay(RELOAD_EVERY_MS), isReloaded(server, nth)]);
      memory.push(residentMiB(server.pid));
      descriptors.push(openFiles(server.pid));
      done = nth;
    }
    await delay(AFTER_MS);
  });
  const part = Math.floor(reloads / 5);
  const growthMiB = median(memory.slice(-part)) - median(memory.slice(part, 2 * part));
  const moreDescriptors = median(descriptors.slice(-part)) - median(descriptors.slice(part, 2 * part));
  const result = { ...whole, reloads: done, growthMiB, moreDescriptors };
  tell(`${subject.name}, ${done} reloads, ${growthMiB.toFixed(1)} MiB and ${moreDescriptors} descriptors more`, result);
  return result;
}

async function isReloaded(server: Measured, times: number): Promise<void> {
  await waitFor(server, () => (server.output().match(/Reloading complete/g)?.length ?? 0) >= times, `reload ${times}`);
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

// ── servers, API server, load ────────────────────────────────────────────────────────────────────────────────

// One for each run: flows of the one before would lead to servers that have gone.
function createNetwork(): Promise<ServiceNetwork> {
  return createServiceNetwork(`ndots-rollout-${process.pid}`, ENDPOINTS);
}

async function startApi({ prefix }: ServiceNetwork): Promise<FakeApi> {
  const size = { services: 100, endpoints: 3, namespaces: 10, headless: 10 };
  const args = Object.entries(size).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const api = await startFakeApi(kubeconfig, ["--tls", ...args], CLIENT_CPU, prefix);
  await api.apply({ kind: "Namespace", metadata: { name: "default" } });
  await api.apply(changingService(0));
  return api;
}

async function startServer({ prefix }: ServiceNetwork, subject: Subject, endpoint: string): Promise<Measured> {
  const file = corefileOf(subject, endpoint);
  writeFileSync(file, corefile(endpoint, 0));
  const [program = "", ...args] = [...prefix, ...subject.command(file)];
  const server = start(program, args, { cpu: SERVER_CPU, env: MALLOC_ENV });
  await waitFor(server, () => subject.started.test(server.output()), "its start");
  return server;
}

function corefileOf(subject: Subject, endpoint: string): string {
  return join(folder, `${subject.name}-${endpoint}.Corefile`);
}

// Each reload has another TTL and has or has not another block.
function corefile(endpoint: string, nth: number): string {
  const other = `example.test:53 {\n    bind ${endpoint}\n    whoami\n}\n`;
  return `.:53 {
    bind ${endpoint}
    errors
    health ${endpoint}:8080 {
        lameduck 5s
    }
    ready ${endpoint}:8181
    prometheus ${endpoint}:9153
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig ${kubeconfig}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl ${nth % 2 === 0 ? 30 : 5}
    }
    loadbalance
}
${nth % 2 === 0 ? "" : other}`;
}

async function underLoad({ prefix }: ServiceNetwork, api: FakeApi, work: () => Promise<void>): Promise<LoadReport> {
  await using load = await startLoad(LOAD, ["taskset", "-c", String(CLIENT_CPU), ...prefix]);
  const ending = new AbortController();
  const changing = keepChanging((object) => api.apply(object), load, CHANGES_PER_SECOND, ending.signal);
  await work();
  const result = await load.report();
  ending.abort();
  await changing;
  return result;
}

async function waitFor(server: Measured, isDone: () => boolean, what: string): Promise<void> {
  const giveUpMs = performance.now() + LONGEST_START_MS;
  while (!isDone()) {
    if (server.child.exitCode !== null || performance.now() > giveUpMs) throw new Error(`${what} did not come\n${server.output()}`);
    await delay(10);
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// ── the table ────────────────────────────────────────────────────────────────────────────────────────────────

function lostOf({ ways }: LoadReport): number {
  return WAYS.reduce((sum, way) => sum + ways[way].lost, 0);
}

function tell(what: string, { ways, complaints, ...rest }: LoadReport): void {
  const { wrong, stale, mostBehindMs, otherSource, reopened } = rest;
  console.log(
    `${what}: ${WAYS.map((way) => `${way} ${ways[way].sent}/${ways[way].answered}/${ways[way].lost}`).join(", ")} (sent/answered/lost)`,
  );
  console.log(
    `  wrong ${wrong}, stale ${stale}, at most ${mostBehindMs.toFixed(0)} ms behind, slowest ${WAYS.map((way) => ways[way].slowestMs.toFixed(0)).join(", ")} ms, ${otherSource} from another source, ${reopened} connections more; the clients stood still for ${rest.stalledMs.toFixed(0)} ms`,
  );
  for (const complaint of complaints) console.log(`  ${complaint}`);
}

function report(): void {
  const [own = [], other = []] = [stops["ndots"], stops["CoreDNS"]];
  const rows: string[][] = [];
  const row = (what: string, measured: number, limit: number, unit: string, compared: number | undefined): void => {
    rows.push([...limitRow(what, measured, limit, unit), compared === undefined ? "" : `${shown(compared)} ${unit}`]);
  };
  for (const [index, stop] of own.entries()) {
    const compared = other[index];
    row(`SIGTERM, endpoint removed after ${stop.delayS} s: lost`, lostOf(stop), 0, "", compared && lostOf(compared));
    row("… stale or wrong", stop.stale + stop.wrong, 0, "", compared && compared.stale + compared.wrong);
    rows.push([
      "… most behind a change; ended after",
      `${stop.mostBehindMs.toFixed(0)} ms; ${stop.endedS.toFixed(1)} s`,
      "",
      "",
      compared === undefined ? "" : `${compared.mostBehindMs.toFixed(0)} ms; ${compared.endedS.toFixed(1)} s`,
    ]);
  }
  const [reload, comparedReload] = [reloaded["ndots"], reloaded["CoreDNS"]];
  if (reload !== undefined) {
    row(`${reload.reloads} reloads: lost`, lostOf(reload), 0, "", comparedReload && lostOf(comparedReload));
    row("… stale or wrong", reload.stale + reload.wrong, 0, "", comparedReload && comparedReload.stale + comparedReload.wrong);
    row("… more resident, last fifth to second", reload.growthMiB, RSS_GROWTH_MIB, "MiB", comparedReload?.growthMiB);
    row("… more descriptors", reload.moreDescriptors, 0, "", comparedReload?.moreDescriptors);
  }
  const sent = own.reduce((sum, { ways }) => sum + WAYS.reduce((all, way) => all + ways[way].sent, 0), 0);
  writeSection(
    "Rollout",
    `Two servers behind ${SERVICE_IP}: nftables DNAT with conntrack in a network namespace, one core for the servers, one for clients and API
server. ${LOAD.udpPerSecond} q/s over UDP (half from one socket that stays, half from a new one each), ${LOAD.tcpPerSecond} q/s over TCP (half over ten held connections,
half over a new one each), ${CHANGES_PER_SECOND} changes a second through the API; ${sent} queries in all while servers stopped. SIGTERM to one server, lameduck 5 s; then
its endpoint is removed, with its UDP flows; killed at ${KILLED_S} s. Nobody asks twice: lost is what was sent and had no answer in 5 s, or whose
connection was refused or ended before the answer; a held connection that was closed between two queries is opened anew by the next. Stale
is an answer with an address that had been replaced for more than 1 s when the query was sent. Time in which the clients' process could not run
counts neither for what it asks nor for what it waits.

${table([...LIMIT_HEAD, other.length === 0 ? "" : "CoreDNS"], rows)}`,
  );
  if (rows.some((cells) => cells[3] === "FAIL")) process.exitCode = 1;
}
