// What forwarding costs, against the C floor and Debian's forwarders in the same run: scripts/bench/run forward. The servers
// have one core and take turns; dnsperf and the upstream share the other.

import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLIENT_CPU, flood, pace, p99Ms, SERVER_CPU, type Load } from "./dnsperf.ts";
import { forwarders, NAMES, NDOTS, twoUpstreams, upstream, UPSTREAM_PORTS, type Forwarder } from "./forwarders.ts";
import { prepareFloor } from "./peers.ts";
import { answering, cpuTime, idle, pin, residentMiB, root, start, type Measured } from "./process.ts";
import { LIMIT_HEAD, limitRow, median, percentile, shown, table, writeSection } from "./results.ts";

const OUTSTANDING = 100;
const PACE = 5_000;
const FLOOD_PACE = 100_000;
const FLOOR = "C floor";
const REMEMBERED = "remembered";
const NODATA = "remembered NODATA";
const MISS = "miss";

interface Running extends Forwarder {
  readonly server: Measured;
  readonly pid: number;
  /** CPU µs a query; one a round. */
  readonly samples: Map<string, number[]>;
  /** Latency of misses at a fixed rate, µs. */
  latencies: number[];
}

const quick = process.argv.includes("--quick");
const rounds = quick ? 1 : 5;
const seconds = quick ? 1 : 2;
const floodSeconds = quick ? 10 : 60;

const folder = join(root, ".tmp/bench-forward");
mkdirSync(folder, { recursive: true });
let files = 0;
const started: Measured[] = [];
try {
  for (const port of UPSTREAM_PORTS) await run(upstream(folder, port), CLIENT_CPU);
  const servers: Running[] = [];
  for (const forwarder of forwarders(folder)) servers.push(await run(forwarder, SERVER_CPU));
  const ndots = servers.find(({ name }) => name === NDOTS) as Running;
  const known = file(Array.from({ length: NAMES }, (_, n) => `n${n}.example.org A`));
  const absent = file(Array.from({ length: NAMES }, (_, n) => `n${n}.example.org AAAA`));
  for (const { port, pid } of servers) {
    await flood({ port, queryFile: known }, 1, OUTSTANDING);
    await flood({ port, queryFile: absent }, 1, OUTSTANDING);
    await flood({ port, queryFile: misses(20_000) }, 1, OUTSTANDING);
    await idle(pid);
  }
  const { addedBytes } = await flood({ port: ndots.port, queryFile: known }, 0.2, OUTSTANDING);
  const floor = await run({ ...prepareFloor(folder, addedBytes, 0), name: FLOOR }, SERVER_CPU);

  const direct: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    process.stderr.write(`ndots: round ${round} of ${rounds}…\n`);
    await sample(floor, REMEMBERED, known);
    for (const server of servers) {
      await sample(server, REMEMBERED, known);
      await sample(server, NODATA, absent);
      await sample(server, MISS, misses(120_000 * seconds));
      server.latencies.push(...(await pace({ port: server.port, queryFile: misses(PACE * seconds) }, seconds, PACE)).microseconds);
    }
    direct.push(...(await pace({ port: UPSTREAM_PORTS[0], queryFile: misses(PACE * seconds) }, seconds, PACE)).microseconds);
  }

  const failover = await dieUnderLoad();
  const flooded = await floodRandomNames(ndots);
  report([floor, ...servers], direct, failover, flooded);
} finally {
  for (const server of started) await server[Symbol.asyncDispose]();
}

async function run(forwarder: Forwarder, cpu: number): Promise<Running> {
  const server = start(forwarder.program, forwarder.args, { cpu });
  started.push(server);
  await answering(server, forwarder.port, "n0.example.org");
  pin(server, cpu);
  return { ...forwarder, server, pid: server.pid, samples: new Map(), latencies: [] };
}

function file(lines: readonly string[]): string {
  const path = join(folder, `queries-${files++ % 50}`);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

function misses(count: number): string {
  const seed = randomBytes(4).toString("hex");
  return file(Array.from({ length: count }, (_, n) => `m${seed}${n}.miss.example.org A`));
}

async function sample({ port, pid, samples }: Running, workload: string, queryFile: string): Promise<void> {
  const before = cpuTime(pid).seconds;
  const load: Load = { port, queryFile, ...(workload === MISS && { flags: ["-n", "1"] }) };
  const { completed } = await flood(load, seconds, OUTSTANDING);
  samples.set(workload, [...(samples.get(workload) ?? []), ((cpuTime(pid).seconds - before) / completed) * 1e6]);
}

interface Failover {
  readonly errorShare: number;
  readonly errorsAfterASecond: number;
}

// One of two upstreams ends without a word to anybody.
async function dieUnderLoad(): Promise<Failover> {
  const [, second] = started as [Measured, Measured];
  const two = await run(twoUpstreams(folder), SERVER_CPU);
  const load = (of: number): Load => ({ port: two.port, queryFile: misses(PACE * of) });
  await pace(load(1), 1, PACE);
  const dying = pace(load(4), 4, PACE);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  second.child.kill("SIGKILL");
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const after = pace({ ...load(1), port: two.port }, 1, 500);
  const during = await dying;
  const later = await after;
  const wrong = (all: typeof during): number => all.sent - all.byRcode("NOERROR");
  return { errorShare: wrong(during) / during.sent, errorsAfterASecond: wrong(later) };
}

interface Flooded {
  readonly perSecond: number;
  readonly rssMiB: number;
  readonly boundMiB: number;
  readonly controlP99Ms: number;
}

async function floodRandomNames({ port, pid, server }: Running): Promise<Flooded> {
  const names = misses(FLOOD_PACE * 10);
  const control = file(["n1.example.org A"]);
  const flooding = pace({ port, queryFile: names, flags: ["-n", "1000"] }, floodSeconds, FLOOD_PACE);
  const asked = await pace({ port, queryFile: control }, floodSeconds - 1, 100);
  const rssMiB = residentMiB(pid, "VmHWM");
  const { completed } = await flooding;
  const bound = /memory: at most (\d+) MiB of JavaScript heap.*?(\d+) MiB of answer table/s.exec(server.output());
  return {
    perSecond: completed / floodSeconds,
    rssMiB,
    boundMiB: Number(bound?.[1] ?? Number.NaN) + Number(bound?.[2] ?? Number.NaN),
    controlP99Ms: p99Ms(asked),
  };
}

function report(rows: readonly Running[], direct: readonly number[], failover: Failover, flooded: Flooded): void {
  const named = (name: string): Running => rows.find((row) => row.name === name) as Running;
  const figure = (name: string, workload: string): number => median(named(name).samples.get(workload) ?? []);
  const ratio = (name: string, workload: string, to: string, toWorkload = workload): number =>
    median(
      (named(name).samples.get(workload) ?? []).map((value, round) => value / (named(to).samples.get(toWorkload)?.[round] ?? Number.NaN)),
    );
  const added = (name: string): number => (percentile(named(name).latencies, 99) - percentile(direct, 99)) / 1000;
  const missLimit = Math.max(1.5 * figure("Unbound", MISS), 45);
  const limits = [
    limitRow("remembered, CPU a query to the C floor's", ratio(NDOTS, REMEMBERED, FLOOR), 1.3, "×"),
    limitRow("remembered, CPU a query to Unbound's", ratio(NDOTS, REMEMBERED, "Unbound"), 1, "×"),
    limitRow("remembered, CPU a query to dnsmasq's", ratio(NDOTS, REMEMBERED, "dnsmasq"), 1, "×"),
    limitRow("remembered NODATA, CPU a query to the C floor's", ratio(NDOTS, NODATA, FLOOR, REMEMBERED), 1.3, "×"),
    limitRow("miss, CPU a query (1.5 × Unbound's, or 45)", figure(NDOTS, MISS), Number(missLimit.toFixed(1)), "µs"),
    limitRow(`miss, p99 latency added at ${PACE} queries a second`, added(NDOTS), 1, "ms"),
    limitRow("one of two upstreams dies: failed queries", failover.errorShare * 100, 0.1, "%"),
    limitRow("one of two upstreams dies: failed queries from a second later on", failover.errorsAfterASecond, 0, ""),
    limitRow(
      `random names for ${floodSeconds} s, ${(flooded.perSecond / 1000).toFixed(0)},000 answered a second: highest RSS to the bound told at start`,
      flooded.rssMiB / flooded.boundMiB,
      1,
      "×",
    ),
    limitRow("meanwhile, p99 of a remembered name", flooded.controlP99Ms, 20, "ms"),
  ];
  writeSection(
    "Forward",
    `${NAMES} remembered names, and names that nobody has asked before, forwarded to one NSD that shares dnsperf's core; ${OUTSTANDING} queries under way, one core for the
server, medians of ${rounds} × ${seconds} s.

${table(LIMIT_HEAD, limits)}
CPU µs a query, user and system:

${table(
  ["server", REMEMBERED, NODATA, MISS, "p99 of a miss, ms"],
  rows.map((row) => [
    row.name,
    ...[REMEMBERED, NODATA, MISS].map((workload) => (row.samples.has(workload) ? shown(figure(row.name, workload)) : "–")),
    row.latencies.length === 0 ? "–" : (percentile(row.latencies, 99) / 1000).toFixed(2),
  ]),
)}
NSD itself has a p99 of ${(percentile(direct, 99) / 1000).toFixed(2)} ms. While random names come, ndots' RSS is at most ${flooded.rssMiB.toFixed(0)} MiB.
`,
  );
  if (limits.some((row) => row.at(-1) === "FAIL")) process.exitCode = 1;
}
