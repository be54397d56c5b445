// Whether hits stay quick while something else happens: scripts/bench/run churn. 100 Service changes a second, and a
// hundred thousand names that don't exist. Stretches with and without take
// turns; of each kind the quietest counts, for what other programs do to a client only adds.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BenchService, benchServices, headlessServices } from "./data.ts";
import { pace, type Paced, p99Ms, SERVER_CPU } from "./dnsperf.ts";
import { root } from "./process.ts";
import { LIMIT_HEAD, limitRow, table, writeSection } from "./results.ts";
import { changesFor, startSubject, type Subject } from "./subject.ts";
import { queryFile, workloads, writeQueries, type Workload } from "./workloads.ts";

const LIMITS = { ratio: 2, p99Ms: 2 };
const PORT = 5478;
const QUERIES_PER_SECOND = 10_000;
const CHANGES_PER_SECOND = 100;

const quick = process.argv.includes("--quick");
const stretches = quick ? 2 : 5;
const seconds = quick ? 1 : 2;

const folder = join(root, ".tmp/bench");
mkdirSync(folder, { recursive: true });
const services = benchServices();
writeQueries(folder, services, headlessServices());
const randomWorkload = workloads.find(({ name }) => name === "NXDOMAIN, random, OPT") as Workload;
const randomNames = readFileSync(queryFile(folder, randomWorkload), "latin1").split("\n");
const randomPart = join(folder, "random-part.queries");

let changes = 0;

await using subject = await prepare(PORT, "fixed");
// The dearest setting: names that don't exist are compared with those that do, by the main thread.
await using _nearest = await prepare(PORT + 1, "nearest");

const plain: Paced[] = [];
const churned: Paced[] = [];
const doubled: Paced[] = [];
const flooded: Paced[] = [];
const compared: Paced[] = [];
for (let nth = 0; nth < stretches; nth++) {
  plain.push(await hitsFor(PORT));
  churned.push((await Promise.all([hitsFor(PORT), churn(subject)]))[0]);
  doubled.push((await Promise.all([hitsFor(PORT), hitsFor(PORT)]))[0]);
  const share = QUERIES_PER_SECOND * seconds; // no name comes twice
  writeFileSync(randomPart, `${randomNames.slice(nth * share, (nth + 1) * share).join("\n")}\n`);
  flooded.push((await Promise.all([hitsFor(PORT), randomFor(PORT)]))[0]);
  compared.push((await Promise.all([hitsFor(PORT + 1), randomFor(PORT + 1)]))[0]);
}

const p99 = (all: readonly Paced[]): number => Math.min(...all.map(p99Ms));
const lost = (all: readonly Paced[]): number => all.reduce((sum, one) => sum + one.lost, 0);
const shownMs = (all: readonly Paced[]): string => `${p99(all).toFixed(3)} ms`;
const names = `${QUERIES_PER_SECOND * seconds * stretches} random names with OPT`;
const rows = [
  ["p99 of hits, nothing else", shownMs(plain), "", ""],
  limitRow(`p99 of hits, ${CHANGES_PER_SECOND} Service changes a second`, p99(churned), LIMITS.p99Ms, "ms"),
  limitRow("… to that without", p99(churned) / p99(plain), LIMITS.ratio, "×"),
  limitRow("… lost", lost(churned), 0, "queries"),
  ["p99 of hits beside as many hits", shownMs(doubled), "", ""],
  limitRow(`p99 of hits beside ${names}, to that`, p99(flooded) / p99(doubled), LIMITS.ratio, "×"),
  limitRow("… lost", lost(flooded), 0, "queries"),
  limitRow("… with `reasons nearest`", p99(compared) / p99(doubled), LIMITS.ratio, "×"),
  limitRow("… lost", lost(compared), 0, "queries"),
];
writeSection(
  "Churn",
  `10,000 Services, hits at ${QUERIES_PER_SECOND / 1000},000 queries a second, one core for the server (all its threads) and one for dnsperf; the quietest of
${stretches} × ${seconds} s; ${changes} changes in all. The random names come at the same rate.

${table(LIMIT_HEAD, rows)}`,
);
if (rows.some((row) => row.at(-1) === "FAIL")) process.exitCode = 1;

async function prepare(port: number, reasons: "fixed" | "nearest"): Promise<Subject> {
  const server = await startSubject({ port, kubernetes: `reasons ${reasons}`, cpu: SERVER_CPU });
  await server.apply(services.flatMap(changesFor));
  await server.settle();
  await Promise.all([hitsFor(port), churn(server)]); // compiled code
  return server;
}

function hitsFor(port: number): Promise<Paced> {
  return pace({ port, queryFile: queryFile(folder, workloads[0]) }, seconds, QUERIES_PER_SECOND);
}

function randomFor(port: number): Promise<Paced> {
  return pace({ port, queryFile: randomPart, flags: randomWorkload.flags ?? [] }, seconds, QUERIES_PER_SECOND);
}

// Services get other addresses, evenly over the stretch.
function churn(server: Subject): Promise<void> {
  const batches = Array.from({ length: CHANGES_PER_SECOND * seconds }, () => {
    const service = services[(changes * 97) % services.length] as BenchService;
    const address = `10.7.${(changes >> 8) & 255}.${changes & 255}`;
    changes++;
    return changesFor({ ...service, address });
  });
  return server.trickle(batches, 1000 / CHANGES_PER_SECOND);
}
