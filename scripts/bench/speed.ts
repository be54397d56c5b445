// What a query costs, against Debian's servers in the same run: scripts/bench/run speed. Each server has one core,
// dnsperf the other; servers take turns within a round, and the median of the rounds counts.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { benchServices, queries, ZONE, type BenchService } from "./data.ts";
import { type Peer, preparePeers } from "./peers.ts";
import { answering, cpuTime, idle, type Measured, residentMiB, root, runOn, start } from "./process.ts";
import { median, percentile, shown, table, writeSection } from "./results.ts";

const CLIENT_CPU = 0;
const SERVER_CPU = 1;
/** As many as Go's or glibc's resolvers of a busy node have open together; enough to keep every server at work. */
const OUTSTANDING = 100;
const FIXED_RATE = 10_000;
const TARGET_RATIO = 2.8;

interface Workload {
  readonly name: string;
  readonly toQuery: (service: BenchService) => string;
  readonly flags?: readonly string[];
  readonly rcode: "NOERROR" | "NXDOMAIN";
}

const hit = ({ host }: BenchService): string => `${host} A`;
const workloads: readonly Workload[] = [
  { name: "A", toQuery: hit, rcode: "NOERROR" },
  { name: "A, EDNS", toQuery: hit, flags: ["-e"], rcode: "NOERROR" },
  { name: "NXDOMAIN", toQuery: ({ name, namespace }) => `no-${name}.${namespace}.svc.${ZONE} A`, rcode: "NXDOMAIN" },
  { name: "NXDOMAIN, EDNS", toQuery: ({ name, namespace }) => `no-${name}.${namespace}.svc.${ZONE} A`, flags: ["-e"], rcode: "NXDOMAIN" },
  { name: "SRV", toQuery: ({ host }) => `_http._tcp.${host} SRV`, rcode: "NOERROR" },
  { name: "TCP", toQuery: hit, flags: ["-m", "tcp", "-c", "4"], rcode: "NOERROR" },
];

interface Sample {
  readonly rate: number;
  readonly microseconds: number;
  readonly userMicroseconds: number;
  readonly lost: number;
}

const quick = process.argv.includes("--quick");
const rounds = quick ? 1 : 3;
const seconds = quick ? 1 : 2;

const folder = join(root, ".tmp/bench");
mkdirSync(folder, { recursive: true });
const services = benchServices();
const peers = preparePeers(folder, services);
const running: [Peer, Measured][] = [];
try {
  for (const peer of peers) {
    const server = start(peer.program, peer.args, SERVER_CPU);
    running.push([peer, server]);
    await answering(server, peer.port, services.at(-1)?.host ?? "");
    await idle(server.pid);
  }
  await report();
} finally {
  for (const [, server] of running) await server[Symbol.asyncDispose]();
}

async function report(): Promise<void> {
  const samples = new Map<string, Sample[]>();
  const latencies = new Map<string, number[]>();
  for (const workload of workloads) writeFileSync(queryFile(workload), queries(services, workload.toQuery));
  for (const [peer, { pid }] of running) await load(peer, pid, workloads[0] as Workload, 1); // compiled code, filled caches
  for (let round = 1; round <= rounds; round++) {
    process.stderr.write(`ndots: round ${round} of ${rounds}…\n`);
    for (const workload of workloads) {
      for (const [peer, { pid }] of running) {
        if (peer.lacks?.includes(workload.name) === true) continue;
        add(samples, `${peer.name}/${workload.name}`, await load(peer, pid, workload, seconds));
      }
    }
    for (const [peer] of running) add(latencies, peer.name, ...(await latency(peer)));
  }

  const figure = (peer: Peer, workload: string, of: keyof Sample): number =>
    median((samples.get(`${peer.name}/${workload}`) ?? []).map((sample) => sample[of]));
  const knot = peers[0] as Peer;
  const names = workloads.map(({ name }) => name);
  const ratio = (peer: Peer, workload: string): string => {
    const own = figure(peer, workload, "microseconds");
    return Number.isNaN(own) ? "–" : `${shown(own)} (${(own / figure(knot, workload, "microseconds")).toFixed(2)})`;
  };
  const ndots = peers.find(({ name }) => name === "ndots") as Peer;
  const reached = figure(ndots, "A", "microseconds") / figure(knot, "A", "microseconds");
  const lost = running.flatMap(([peer]) =>
    names.flatMap((name) => {
      const share = figure(peer, name, "lost");
      return share > 0.0005 ? [`${peer.name}, ${name}: ${(share * 100).toFixed(1)} % unanswered`] : [];
    }),
  );
  writeSection(
    "Speed",
    `10,000 names in \`${ZONE}\`, ${OUTSTANDING} queries under way, one core for the server and one for dnsperf; medians of ${rounds} × ${seconds} s.

CPU µs a query, user and system, and the ratio to Knot's:

${table(
  ["server", ...names],
  running.map(([peer]) => [peer.name, ...names.map((name) => ratio(peer, name))]),
)}
Of it user time:

${table(
  ["server", ...names],
  running.map(([peer]) => [peer.name, ...names.map((name) => dash(figure(peer, name, "userMicroseconds")))]),
)}
Thousand queries a second (dnsperf's own limit here is near the fastest of them):

${table(
  ["server", ...names],
  running.map(([peer]) => [peer.name, ...names.map((name) => dash(figure(peer, name, "rate") / 1000))]),
)}
Latency at ${FIXED_RATE / 1000},000 queries a second, and resident memory:

${table(
  ["server", "p50 µs", "p99 µs", "RSS MiB"],
  running.map(([peer, { pid }]) => {
    const own = latencies.get(peer.name) ?? [];
    return [peer.name, percentile(own, 50).toFixed(0), percentile(own, 99).toFixed(0), residentMiB(pid).toFixed(0)];
  }),
)}
Portable UDP, A: ${reached.toFixed(2)} × Knot's CPU a query, limit ${TARGET_RATIO}: ${reached <= TARGET_RATIO ? "PASS" : "FAIL"}.
The bare loop answers with the question and looks nothing up. NSD's memory is the sum of its processes, shared pages counted for
each. SRV: Knot, NSD and ndots add the address, Unbound does not. Over TCP (4 connections) dnsmasq forks for each connection and closes it
after 100 queries.${lost.length === 0 ? "" : `\n\nLost: ${lost.join("; ")}.`}
`,
  );
}

function dash(value: number): string {
  return Number.isNaN(value) ? "–" : shown(value);
}

function queryFile({ name }: Workload): string {
  return join(folder, `${name.replaceAll(/\W+/g, "-")}.queries`);
}

async function load(peer: Peer, pid: number, workload: Workload, lengthSeconds: number): Promise<Sample> {
  const before = cpuTime(pid);
  const output = await dnsperf(peer, workload, "-l", String(lengthSeconds), "-q", String(OUTSTANDING));
  const after = cpuTime(pid);
  const count = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? 0);
  const completed = count(/Queries completed:\s+(\d+)/);
  const right = count(new RegExp(`${workload.rcode} (\\d+)`));
  if (peer.echoes !== true && right < completed * 0.99) throw new Error(`${peer.name}: wrong answers to ${workload.name}\n${output}`);
  const userSeconds = after.userSeconds - before.userSeconds;
  const systemSeconds = after.systemSeconds - before.systemSeconds;
  return {
    rate: count(/Queries per second:\s+([\d.]+)/),
    microseconds: ((userSeconds + systemSeconds) / completed) * 1e6,
    userMicroseconds: (userSeconds / completed) * 1e6,
    lost: 1 - completed / count(/Queries sent:\s+(\d+)/),
  };
}

// Microseconds of each answer at a fixed rate.
async function latency(peer: Peer): Promise<number[]> {
  const output = await dnsperf(peer, workloads[0] as Workload, "-l", String(seconds), "-Q", String(FIXED_RATE), "-v");
  return [...output.matchAll(/^> \S+ .* ([\d.]+)$/gm)].map((match) => Number(match[1]) * 1e6);
}

function dnsperf({ port }: Peer, workload: Workload, ...how: readonly string[]): Promise<string> {
  const where = ["-s", "127.0.0.1", "-p", String(port), "-d", queryFile(workload), "-c", "1", "-t", "1"];
  return runOn(CLIENT_CPU, "dnsperf", [...where, ...how, ...(workload.flags ?? [])]);
}

function add<T>(lists: Map<string, T[]>, key: string, ...values: readonly T[]): void {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  for (const value of values) list.push(value);
}
