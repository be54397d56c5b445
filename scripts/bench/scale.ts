// What a large cluster costs: 10,000 Services with 50,000 endpoints from manifests, edits, a single large file:
// scripts/bench/run scale. A client in a process of its own asks each millisecond all the while.

import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { benchServices, manifestPath, serviceWithEndpoints, writeManifests, ZONE, type BenchService } from "./data.ts";
import type { ProbeReport } from "./probe.ts";
import { startProbe } from "./probing.ts";
import { askOnce, cli, idle, NODE_FLAGS, type Measured, residentMiB, root, start } from "./process.ts";
import { LIMIT_HEAD, limitRow, median, table, writeSection } from "./results.ts";

const LIMITS = { loadSeconds: 10, loadedMiB: 150, editMs: 100, pauseMs: 20, largeSeconds: 8 };
const LARGE_FILE_BYTES = 7_000_000;
const PORT = 5490;
const LONGEST_LOAD_MS = 60_000;

const quick = process.argv.includes("--quick");
const edits = quick ? 3 : 20;
const folder = join(root, ".tmp/bench/scale");
mkdirSync(folder, { recursive: true });
const rows = [...(await manyFiles()), ...(await withoutFlags()), ...(await largeFile("documents")), ...(await largeFile("List"))];
writeSection(
  "Scale",
  `10,000 Services with 5 endpoints each, one file a Service (Service and EndpointSlice). A client asks for one of them each millisecond;
a pause is its longest time without an answer, less the time in which the server's main thread or the client waited for a CPU that
another program had; the time with these waits stands below it. The server is started as \`scripts/start\` and the image start it.

${table(LIMIT_HEAD, rows)}`,
);
if (rows.some((row) => row.at(-1) === "FAIL")) process.exitCode = 1;

async function manyFiles(): Promise<string[][]> {
  const services = benchServices();
  const manifests = join(folder, "many");
  writeManifests(manifests, services, serviceWithEndpoints);
  const startedMs = performance.now();
  await using server = startNdots("many", manifests);
  const last = services.at(-1) as BenchService;
  await using probe = await startProbe(PORT, last.host, server.pid);
  await until(server, () => addressOf(last.host), last.address);
  const loadSeconds = (performance.now() - startedMs) / 1000;
  await idle(server.pid);
  const loadedMiB = residentMiB(server.pid);
  const peakMiB = residentMiB(server.pid, "VmHWM");
  const loading = await probe.report();

  const took: number[] = [];
  for (let nth = 0; nth < edits; nth++) {
    const service = services[(nth * 97) % services.length] as BenchService;
    const address = `10.0.200.${nth}`;
    writeFileSync(manifestPath(manifests, service), serviceWithEndpoints({ ...service, address }));
    const writtenMs = performance.now();
    await until(server, () => addressOf(service.host), address);
    took.push(performance.now() - writtenMs);
  }
  const editing = await probe.report();
  return [
    limitRow("10,000 files: loaded and answered", loadSeconds, LIMITS.loadSeconds, "s"),
    limitRow("10,000 files: RSS once loaded", loadedMiB, LIMITS.loadedMiB, "MiB"),
    ["10,000 files: highest RSS", `${peakMiB.toFixed(0)} MiB`, "", ""],
    limitRow("10,000 files: longest pause while loading", loading.longestGapMs, LIMITS.pauseMs, "ms"),
    withWaits(loading),
    limitRow(`one Service's edit answered, slowest of ${edits}`, Math.max(...took), LIMITS.editMs, "ms"),
    limitRow("one Service's edit answered, median", median(took), LIMITS.editMs, "ms"),
    limitRow("longest pause while editing", editing.longestGapMs, LIMITS.pauseMs, "ms"),
    withWaits(editing),
  ];
}

// `node dist/cli.js`, as it comes from npm, over the same files.
async function withoutFlags(): Promise<string[][]> {
  const last = benchServices().at(-1) as BenchService;
  await using server = start(process.execPath, [cli, "-conf", join(folder, "many.Corefile")]);
  await until(server, () => addressOf(last.host), last.address);
  await idle(server.pid);
  return [["10,000 files: RSS once loaded, `node dist/cli.js`", `${residentMiB(server.pid).toFixed(0)} MiB`, "", ""]];
}

function withWaits({ longestWithWaitsMs }: ProbeReport): string[] {
  return ["… waits for a CPU included", `${longestWithWaitsMs.toFixed(1)} ms`, "", ""];
}

// The file comes while the server answers from another one.
async function largeFile(form: "documents" | "List"): Promise<string[][]> {
  const services = benchServices();
  const [first, ...others] = services as [BenchService, ...BenchService[]];
  const manifests = join(folder, "large");
  writeManifests(manifests, [first], serviceWithEndpoints);
  await using server = startNdots("large", manifests);
  await until(server, () => addressOf(first.host), first.address);
  await using probe = await startProbe(PORT, first.host, server.pid);
  await probe.report();
  const { text, last } = form === "documents" ? asDocuments(others) : asList(others);
  const draft = join(folder, "large.draft");
  writeFileSync(draft, text);
  renameSync(draft, join(manifests, "large.yaml"));
  const writtenMs = performance.now();
  await until(server, () => addressOf(last.host), last.address);
  const tookSeconds = (performance.now() - writtenMs) / 1000;
  await idle(server.pid);
  const report = await probe.report();
  const what = `a file of 7 MB (${form === "documents" ? "documents" : "one List"})`;
  return [
    limitRow(`${what}: answered`, tookSeconds, LIMITS.largeSeconds, "s"),
    limitRow(`${what}: longest pause`, report.longestGapMs, LIMITS.pauseMs, "ms"),
    withWaits(report),
    [
      `${what}: RSS afterwards, highest`,
      `${residentMiB(server.pid).toFixed(0)}, ${residentMiB(server.pid, "VmHWM").toFixed(0)} MiB`,
      "",
      "",
    ],
  ];
}

interface LargeText {
  readonly text: string;
  readonly last: BenchService;
}

function asDocuments(services: readonly BenchService[]): LargeText {
  return large(services, "", (service) => `---\n${serviceWithEndpoints(service)}`);
}

function asList(services: readonly BenchService[]): LargeText {
  const asItems = (service: BenchService): string =>
    serviceWithEndpoints(service)
      .split("---\n")
      .map((text) => `- ${text.trimEnd().replaceAll("\n", "\n  ")}\n`)
      .join("");
  return large(services, "apiVersion: v1\nkind: List\nitems:\n", asItems);
}

function large(services: readonly BenchService[], head: string, toText: (service: BenchService) => string): LargeText {
  let text = head;
  for (const service of services) {
    text += toText(service);
    if (text.length >= LARGE_FILE_BYTES) return { text, last: service };
  }
  throw new Error("too few Services for the large file");
}

function startNdots(name: string, manifests: string): Measured {
  const corefile = join(folder, `${name}.Corefile`);
  writeFileSync(
    corefile,
    `.:${PORT} {
  bind 127.0.0.1
  errors
  kubernetes ${ZONE} in-addr.arpa ip6.arpa {
    manifests ${manifests}
  }
  loadbalance
}
`,
  );
  return start(process.execPath, [...NODE_FLAGS, cli, "-conf", corefile]);
}

/** The first address of the answer, as text; undefined if there is none. */
async function addressOf(host: string): Promise<string | undefined> {
  const reply = await askOnce(PORT, host, 50);
  if (reply === undefined || ((reply[3] as number) & 15) !== 0 || reply[7] === 0) return undefined;
  const rdata = questionLength(host) + 12; // a compressed owner, TYPE, CLASS, TTL, RDLENGTH
  return [...reply.subarray(rdata, rdata + 4)].join(".");
}

function questionLength(host: string): number {
  return 12 + host.length + 2 + 4;
}

// Asks until the answer is as wanted; any answer will do if none is given.
async function until(server: Measured, look: () => Promise<string | undefined>, wanted: string | undefined): Promise<void> {
  const giveUpMs = performance.now() + LONGEST_LOAD_MS;
  for (;;) {
    const found = await look();
    if (wanted === undefined ? found !== undefined : found === wanted) return;
    if (server.child.exitCode !== null || performance.now() > giveUpMs) throw new Error(`${found} is not ${wanted}\n${server.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

rmSync(folder, { recursive: true, force: true });
