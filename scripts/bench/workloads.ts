// What speed.ts asks: kinds of queries, each as a file for dnsperf, and which of the servers are asked them.

import { randomBytes, randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BenchService, queries, ZONE } from "./data.ts";

export interface Workload {
  readonly name: string;
  /** Lines for dnsperf: name and type. */
  readonly lines: (services: readonly BenchService[], headless: readonly BenchService[]) => string;
  readonly rcode: "NOERROR" | "NXDOMAIN";
  readonly flags?: readonly string[];
  /** Only ndots and the floor are asked it: others have no such names, or it tells nothing about them. */
  readonly ours?: true;
}

const RANDOM_NAMES = 100_000;
const EXTERNAL_NAMES = 1_000;
const OPT = ["-e"];

const hits: Workload["lines"] = (services) => queries(services, ({ host }) => `${host} A`);
const missing: Workload["lines"] = (services) => queries(services, ({ name, namespace }) => `no-${name}.${namespace}.svc.${ZONE} A`);
const wrongType: Workload["lines"] = (services) => queries(services, ({ host }) => `${host} AAAA`);
const random: Workload["lines"] = (services) =>
  times(RANDOM_NAMES, () => `${randomBytes(8).toString("hex")}.${pick(services).namespace}.svc.${ZONE} A`);

/** The first is the one by which latency is measured. */
export const workloads: readonly [Workload, ...Workload[]] = [
  { name: "A", lines: hits, rcode: "NOERROR" },
  { name: "A, OPT", lines: hits, flags: OPT, rcode: "NOERROR" },
  { name: "NXDOMAIN", lines: missing, rcode: "NXDOMAIN", ours: true },
  { name: "NXDOMAIN, OPT", lines: missing, flags: OPT, rcode: "NXDOMAIN" },
  { name: "NXDOMAIN, random", lines: random, rcode: "NXDOMAIN", ours: true },
  { name: "NXDOMAIN, random, OPT", lines: random, flags: OPT, rcode: "NXDOMAIN" },
  { name: "NODATA", lines: wrongType, rcode: "NOERROR", ours: true },
  { name: "NODATA, OPT", lines: wrongType, flags: OPT, rcode: "NOERROR" },
  { name: "SRV", lines: (services) => queries(services, ({ host }) => `_http._tcp.${host} SRV`), rcode: "NOERROR" },
  { name: "20 addresses", lines: (_, headless) => queries(headless, ({ host }) => `${host} A`), rcode: "NOERROR" },
  {
    name: "search walk, OPT",
    // What Go's resolver asks in a pod before it asks for the name itself.
    lines: (services) =>
      times(EXTERNAL_NAMES, (nth) =>
        [`${pick(services).namespace}.svc.${ZONE}`, `svc.${ZONE}`, ZONE]
          .flatMap((suffix) => ["A", "AAAA"].map((type) => `www-${nth}.example.org.${suffix} ${type}`))
          .join("\n"),
      ),
    flags: OPT,
    rcode: "NXDOMAIN",
    ours: true,
  },
  {
    name: "miss",
    // Names without end, which no table holds (`pods insecure`).
    lines: (services) =>
      times(RANDOM_NAMES, () => `10-${randomInt(256)}-${randomInt(256)}-${randomInt(256)}.${pick(services).namespace}.pod.${ZONE} A`),
    rcode: "NOERROR",
    ours: true,
  },
  { name: "TCP", lines: hits, flags: ["-m", "tcp", "-c", "4"], rcode: "NOERROR" },
];

/** The names of the workloads that every server may be asked. */
export const shared: readonly string[] = workloads.filter(({ ours }) => ours !== true).map(({ name }) => name);

export function queryFile(folder: string, { name }: Workload): string {
  return join(folder, `${name.replaceAll(/\W+/g, "-")}.queries`);
}

export function writeQueries(folder: string, services: readonly BenchService[], headless: readonly BenchService[]): void {
  for (const workload of workloads) writeFileSync(queryFile(folder, workload), workload.lines(services, headless));
}

function times(count: number, line: (nth: number) => string): string {
  return Array.from({ length: count }, (_, nth) => `${line(nth)}\n`).join("");
}

function pick(services: readonly BenchService[]): BenchService {
  return services[randomInt(services.length)] as BenchService;
}
