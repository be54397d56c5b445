// Whether hits are answered while the main thread stands still: scripts/bench/run blocked.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { benchServices, headlessServices } from "./data.ts";
import { type Load, pace, type Paced, p99Ms, SERVER_CPU } from "./dnsperf.ts";
import { root } from "./process.ts";
import { LIMIT_HEAD, limitRow, table, writeSection } from "./results.ts";
import { changesFor, startSubject } from "./subject.ts";
import { queryFile, workloads, type Workload, writeQueries } from "./workloads.ts";

const P99_LIMIT_MS = 20;
const PORT = 5481;
const QUERIES_PER_SECOND = 10_000;
const BLOCKED_MS = 2_000;
/** Begins when the block has begun, ends before it does. */
const ASKED_SECONDS = 1.5;

const folder = join(root, ".tmp/bench");
mkdirSync(folder, { recursive: true });
const services = benchServices();
writeQueries(folder, services, headlessServices());
await using subject = await startSubject({ port: PORT, cpu: SERVER_CPU });
await subject.apply(services.flatMap(changesFor));
await subject.settle();

const rows: string[][] = [];
for (const name of ["A", "NXDOMAIN, OPT", "TCP"]) {
  const workload = workloads.find((one) => one.name === name) as Workload;
  const load: Load = { port: PORT, queryFile: queryFile(folder, workload), flags: workload.flags ?? [] };
  await pace(load, 1, QUERIES_PER_SECOND); // compiled code
  const free = await pace(load, ASKED_SECONDS, QUERIES_PER_SECOND);
  const [blocked] = await Promise.all([pace(load, ASKED_SECONDS, QUERIES_PER_SECOND), subject.block(BLOCKED_MS)]);
  rows.push(
    [`${name}: p99, main thread free`, shownMs(free), "", ""],
    limitRow(`${name}: p99, main thread blocked`, p99Ms(blocked), P99_LIMIT_MS, "ms"),
    limitRow(`${name}: lost, main thread blocked`, blocked.lost, 0, "queries"),
  );
}
writeSection(
  "Blocked",
  `The main thread sleeps for ${BLOCKED_MS / 1000} s while hits of 10,000 Services come at ${QUERIES_PER_SECOND / 1000},000 a second. ${subject.describes.at(0) ?? ""}

${table(LIMIT_HEAD, rows)}`,
);
if (rows.some((row) => row.at(-1) === "FAIL")) process.exitCode = 1;

function shownMs(paced: Paced): string {
  return `${p99Ms(paced).toFixed(3)} ms`;
}
