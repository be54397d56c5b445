// What a query costs, against the C floor and Debian's servers in the same run: scripts/bench/run speed. Each server has
// one core, dnsperf the other; servers take turns within a round, and the median of the rounds counts.

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { benchServices, headlessServices } from "./data.ts";
import { type Answers, flood, type Load, pace, SERVER_CPU } from "./dnsperf.ts";
import { NDOTS, NDOTS_BIND, NDOTS_LOG, type Peer, prepareFloor, preparePeers, RIVALS } from "./peers.ts";
import { answering, cpuTime, idle, type Measured, pin, residentMiB, root, start } from "./process.ts";
import { LIMIT_HEAD, limitRow, median, percentile, shown, table, writeSection } from "./results.ts";
import { queryFile, type Workload, workloads, writeQueries } from "./workloads.ts";

/** As many as Go's or glibc's resolvers of a busy node have open together; enough to keep every server at work. */
const OUTSTANDING = 100;
const FIXED_RATE = 10_000;
const FLOOR = "C floor";

/** CPU a query: of `server` with `workload`, at most `times` what `to` takes with it. */
const limits: readonly {
  readonly server: string;
  readonly workload: string;
  readonly times: number;
  readonly to: string;
  readonly toWorkload?: string;
}[] = [
  { server: NDOTS, workload: "A", times: 1.3, to: FLOOR },
  { server: NDOTS, workload: "A, OPT", times: 1.3, to: FLOOR },
  ...RIVALS.flatMap((to) => ["A", "A, OPT"].map((workload) => ({ server: NDOTS, workload, times: 1, to }))),
  { server: NDOTS_BIND, workload: "A", times: 1.45, to: FLOOR },
  { server: NDOTS_BIND, workload: "A, OPT", times: 1.45, to: FLOOR },
  ...workloads
    .filter(({ name }) => /^(NXDOMAIN|NODATA)/.test(name))
    .map(({ name }) => ({ server: NDOTS, workload: name, times: 1.4, to: FLOOR })),
  { server: NDOTS, workload: "20 addresses", times: 1.6, to: FLOOR },
  { server: NDOTS, workload: "SRV", times: 1.6, to: FLOOR },
  { server: NDOTS, workload: "miss", times: 3, to: FLOOR },
  { server: NDOTS, workload: "TCP", times: 1.5, to: "Knot" },
  { server: NDOTS_LOG, workload: "A", times: 3, to: NDOTS },
];
/** A search walk that the table answers leaves the main thread nothing but its timers. */
const MAIN_LIMIT_MICROSECONDS = 0.1;

interface Sample {
  readonly perSecond: number;
  /** CPU a query. */
  readonly microseconds: number;
  readonly userMicroseconds: number;
  readonly mainMicroseconds: number;
  readonly lost: number;
}

interface Running {
  readonly peer: Peer;
  readonly pid: number;
  /** By workload; one a round. */
  readonly samples: Map<string, Sample[]>;
  readonly latencies: number[];
  /** Queries answered so far. */
  answered: number;
}

const quick = process.argv.includes("--quick");
const rounds = quick ? 1 : 3;
const seconds = quick ? 0.5 : 1;

const folder = join(root, ".tmp/bench");
mkdirSync(folder, { recursive: true });
const services = benchServices();
const headless = headlessServices();
const started: Measured[] = [];
try {
  const peers = preparePeers(folder, services, headless);
  writeQueries(folder, services, headless);
  const running: Running[] = [];
  for (const peer of peers) running.push(await run(peer, services.at(-1)?.host ?? ""));
  for (const { pid } of running) await idle(pid);
  const floors = await warmUp(running);
  await measure(running, floors);
  report([floorRow(floors), ...running]);
} finally {
  for (const server of started) await server[Symbol.asyncDispose]();
  rmSync(join(folder, "queries.log"), { force: true });
}

async function run(peer: Peer, name: string): Promise<Running> {
  const server = start(peer.program, peer.args, { cpu: SERVER_CPU, ...peer });
  started.push(server);
  await answering(server, peer.port, name);
  pin(server, SERVER_CPU);
  return { peer, pid: server.pid, samples: new Map(), latencies: [], answered: 0 };
}

// Compiled code and filled caches; what ndots' answers add to a question makes the floors, one for each size.
async function warmUp(running: readonly Running[]): Promise<ReadonlyMap<string, Running>> {
  const floors = new Map<string, Running>();
  const bySize = new Map<number, Running>();
  for (const server of running) {
    const { peer } = server;
    for (const workload of workloads.filter(({ name }) => peer.workloads.includes(name))) {
      const { addedBytes } = await ask(server, workload);
      if (peer.name !== NDOTS || workload.flags?.includes("tcp") === true) continue;
      const floor = bySize.get(addedBytes) ?? (await run(prepareFloor(folder, addedBytes, bySize.size), "floor"));
      bySize.set(addedBytes, floor);
      floors.set(workload.name, floor);
    }
  }
  return floors;
}

async function measure(running: readonly Running[], floors: ReadonlyMap<string, Running>): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    process.stderr.write(`ndots: round ${round} of ${rounds}…\n`);
    for (const workload of workloads) {
      const floor = floors.get(workload.name);
      for (const server of floor === undefined ? running : [floor, ...running]) {
        if (server.peer.workloads.includes(workload.name)) append(server.samples, workload.name, await sample(server, workload));
      }
    }
    for (const server of [...floors.values()].slice(0, 1).concat(running)) {
      const { microseconds, completed } = await pace(loadOf(server.peer, workloads[0]), seconds, FIXED_RATE);
      for (const value of microseconds) server.latencies.push(value);
      server.answered += completed;
    }
  }
}

async function sample(server: Running, workload: Workload): Promise<Sample> {
  const { pid } = server;
  const before = cpuTime(pid);
  const { completed, sent, perSecond } = await ask(server, workload);
  const after = cpuTime(pid);
  const microsecondsOf = (key: keyof typeof after): number => ((after[key] - before[key]) / completed) * 1e6;
  return {
    perSecond,
    microseconds: microsecondsOf("seconds"),
    userMicroseconds: microsecondsOf("userSeconds"),
    mainMicroseconds: microsecondsOf("mainSeconds"),
    lost: 1 - completed / sent,
  };
}

// A server with several addresses has a client for each.
async function ask(server: Running, workload: Workload): Promise<Pick<Answers, "completed" | "sent" | "perSecond" | "addedBytes">> {
  const { peer } = server;
  const { addresses = ["127.0.0.1"] } = peer;
  const all = await Promise.all(
    addresses.map((address) => flood({ ...loadOf(peer, workload), address }, seconds, OUTSTANDING / addresses.length)),
  );
  for (const { completed, byRcode, output } of all) {
    if (peer.echoes !== true && byRcode(workload.rcode) < completed * 0.99) {
      throw new Error(`${peer.name}: wrong answers to ${workload.name}\n${output}`);
    }
  }
  const sum = (key: "completed" | "sent" | "perSecond"): number => all.reduce((total, answers) => total + answers[key], 0);
  server.answered += sum("completed");
  return { completed: sum("completed"), sent: sum("sent"), perSecond: sum("perSecond"), addedBytes: all[0]?.addedBytes ?? 0 };
}

function loadOf({ port }: Peer, workload: Workload): Load {
  return { port, queryFile: queryFile(folder, workload), flags: workload.flags ?? [] };
}

// The floors are one row: that of a workload is the one with its answers' size.
function floorRow(floors: ReadonlyMap<string, Running>): Running {
  const samples = new Map([...floors].map(([name, floor]) => [name, floor.samples.get(name) ?? []]));
  return { ...(floors.get(workloads[0].name) as Running), samples };
}

function report(rows: readonly Running[]): void {
  const names = workloads.map(({ name }) => name);
  const grid = (cell: (server: Running, workload: string) => string): string =>
    table(
      ["server", ...names],
      rows.map((server) => [server.peer.name, ...names.map((name) => (server.samples.has(name) ? cell(server, name) : "–"))]),
    );
  const verdicts = limitRows(rows);
  writeSection(
    "Speed",
    `10,000 names in \`cluster.local\`, ${OUTSTANDING} queries under way, one core for the server and one for dnsperf; medians of ${rounds} × ${seconds} s.
A ratio is the median of the rounds' ratios. The C floor is a blocking loop of recvmmsg and sendmmsg that answers from the address asked with
as many bytes as ndots' answer has, and looks nothing up.

${table(LIMIT_HEAD, verdicts)}
CPU µs a query, user and system, and the ratio to the floor's:

${grid((server, name) => `${shown(figure(server, name, "microseconds"))}${rows[0]?.samples.has(name) === true ? ` (${ratio(server, rows[0], name).toFixed(2)})` : ""}`)}
The ratio to Knot's:

${grid((server, name) => {
  const knot = rows.find(({ peer }) => peer.name === "Knot") as Running;
  return knot.samples.has(name) ? ratio(server, knot, name).toFixed(2) : "–";
})}
CPU µs a query of user time:

${grid((server, name) => shown(figure(server, name, "userMicroseconds")))}
Thousand queries a second (dnsperf's own limit here is near the fastest of them):

${grid((server, name) => shown(figure(server, name, "perSecond") / 1000))}
Latency at ${FIXED_RATE / 1000},000 queries a second, and resident memory:

${table(
  ["server", "p50 µs", "p99 µs", "RSS MiB"],
  rows.map(({ peer, pid, latencies }) => [
    peer.name,
    percentile(latencies, 50).toFixed(0),
    percentile(latencies, 99).toFixed(0),
    residentMiB(pid).toFixed(0),
  ]),
)}
NSD's memory is the sum of its processes, shared pages counted for each. SRV: Knot, NSD and ndots add the address, Unbound does not. Over TCP
(4 connections) dnsmasq forks for each connection and closes it after 100 queries. With two addresses to bind, a client asks each.${lostText(rows)}
`,
  );
  if (verdicts.some((row) => row.at(-1) === "FAIL")) process.exitCode = 1;
}

function limitRows(rows: readonly Running[]): string[][] {
  const named = (name: string): Running => rows.find(({ peer }) => peer.name === name) as Running;
  const ndots = named(NDOTS);
  return [
    ...limits
      .filter(({ to, workload }) => named(to).samples.has(workload))
      .map(({ server, workload, times, to }) =>
        limitRow(`${server}: ${workload}, CPU a query to ${to}'s`, ratio(named(server), named(to), workload), times, "×"),
      ),
    limitRow(
      `${NDOTS}: search walk, CPU a query of the main thread`,
      figure(ndots, "search walk, OPT", "mainMicroseconds"),
      MAIN_LIMIT_MICROSECONDS,
      "µs",
    ),
    loggedRow(named(NDOTS_LOG)),
  ];
}

// Lines are dropped and counted when the ring is full; what is dropped costs nothing, so it belongs beside the figure.
function loggedRow({ peer, answered }: Running): string[] {
  const lines = readFileSync(peer.stdoutFile ?? "", "latin1").split("\n").length - 1;
  return [`${NDOTS_LOG}: A, share of the answers that are in the log`, `${Math.min(100, (lines / answered) * 100).toFixed(1)} %`, "", ""];
}

function figure({ samples }: Running, workload: string, of: keyof Sample): number {
  return median((samples.get(workload) ?? []).map((taken) => taken[of]));
}

function ratio(server: Running, to: Running, workload: string): number {
  const others = to.samples.get(workload) ?? [];
  return median(samples(server).map(({ microseconds }, round) => microseconds / (others[round]?.microseconds ?? Number.NaN)));

  function samples(of: Running): readonly Sample[] {
    return of.samples.get(workload) ?? [];
  }
}

function lostText(rows: readonly Running[]): string {
  const lost = rows.flatMap((server) =>
    [...server.samples.keys()].flatMap((name) => {
      const share = figure(server, name, "lost");
      return share > 0.0005 ? [`${server.peer.name}, ${name}: ${(share * 100).toFixed(1)} % unanswered`] : [];
    }),
  );
  return lost.length === 0 ? "" : `\n\nLost: ${lost.join("; ")}.`;
}

function append<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  list.push(value);
}
