// A server's hard life: changes, ended threads, and clients that check every answer. `scripts/soak [--minutes N]`.
// Exits with 1 if an answer was lost or wrong, or if memory grew.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./process.ts";
import { changeTo, changing, firstChanges } from "./soak-cluster.ts";
import type { ChangeNews, ClientReport } from "./soak-client.ts";
import { startSubject, type Subject } from "./subject.ts";

const PORT = 5484;
const CLIENTS = 2;
const CHANGES_PER_SECOND = 100;
const KILL_EVERY_MS = 10_000;
/** Threads are new with each reload, and none is ended in its first minute. */
const RELOAD_EVERY_MS = 120_000;
/** The server waits before it replaces a thread that lived for less than a minute: clients would wait with it. */
const KILL_OLDER_THAN_MS = 65_000;
const MEMORY_EVERY_MS = 5_000;
/** Compiled code and a filled heap take this long. */
const SETTLED_MINUTES = 3;
const GROWTH_LIMIT_MIB = 1; // in ten minutes
/** What a thread takes from the kernel at once, and may have in hand when it ends. */
const BATCH = 64;
const MIB = 1024 * 1024;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes takes a number, found ${values.minutes}`);

const rssSamples: { readonly minute: number; readonly mib: number }[] = [];
let [changes, kills, reloads] = [0, 0, 0];
const ending = new AbortController();

await using subject = await startSubject({ port: PORT, lines: "multisocket 2" });
console.log(subject.describes.join("\n"));
await subject.apply(firstChanges());
await subject.settle();
await subject.wear();
const clients = Array.from({ length: CLIENTS }, () =>
  fork(join(root, "scripts/bench/soak-client.ts"), [String(PORT)], { execArgv: ["--import", "tsx"] }),
);
const startedMs = performance.now();
const lives = [churn(subject, ending.signal), every(KILL_EVERY_MS, kill), every(RELOAD_EVERY_MS, reload), every(MEMORY_EVERY_MS, measure)];
let reports: ClientReport[] = [];
for (let minute = 1; minute <= Math.ceil(minutes); minute++) {
  await Promise.race([sleepUntil(startedMs + Math.min(minute, minutes) * 60_000), ...lives]);
  reports = await Promise.all(clients.map(report));
  tell(minute);
}
ending.abort();
await Promise.all(lives);
for (const client of clients) client.disconnect();

const growth = growthMiB();
const problems = [
  ...(total("wrong") > 0 ? [`${total("wrong")} wrong answers`] : []),
  ...(total("lost") > 0 ? [`${total("lost")} lost`] : []),
  ...(total("askedAgain") > kills * BATCH
    ? [`${total("askedAgain")} asked again, more than ${kills} ended threads can have had in hand`]
    : []),
  ...(growth !== undefined && growth > GROWTH_LIMIT_MIB ? [`memory grows by ${growth.toFixed(2)} MiB in ten minutes`] : []),
];
console.log(
  `memory: ${growth === undefined ? "too short to tell" : `${growth.toFixed(2)} MiB more in ten minutes (limit ${GROWTH_LIMIT_MIB})`}`,
);
console.log(problems.length === 0 ? "soak passed" : `soak failed: ${problems.join("; ")}`);
if (problems.length > 0) {
  console.log(subject.output().split("\n").slice(-40).join("\n"));
  process.exitCode = 1;
}

// One Service after the other, evenly; the clients know what comes before it can be answered.
async function churn(server: Subject, signal: AbortSignal): Promise<void> {
  const versions = new Uint32Array(changing.length).fill(1);
  for (let dueMs = performance.now(); !signal.aborted; dueMs += 1000 / CHANGES_PER_SECOND) {
    await sleepUntil(dueMs);
    const one = changing[changes++ % changing.length];
    if (one === undefined) return;
    const version = ((versions[one.index] as number) += 1);
    tellClients({ index: one.index, version, applied: false });
    await server.apply(changeTo(one, version));
    tellClients({ index: one.index, version, applied: true });
  }
}

async function kill(): Promise<void> {
  if (await subject.kill(KILL_OLDER_THAN_MS)) kills++;
}

async function reload(): Promise<void> {
  await subject.reload(5 + (++reloads % 10));
}

async function measure(): Promise<void> {
  rssSamples.push({ minute: (performance.now() - startedMs) / 60_000, mib: (await subject.memory()) / MIB });
}

async function every(ms: number, what: () => Promise<void>): Promise<void> {
  for (let dueMs = performance.now() + ms; !ending.signal.aborted; dueMs += ms) {
    while (performance.now() < dueMs && !ending.signal.aborted) await sleepUntil(Math.min(dueMs, performance.now() + 500));
    if (!ending.signal.aborted) await what();
  }
}

function sleepUntil(atMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - performance.now())));
}

function tellClients(news: ChangeNews): void {
  for (const client of clients) client.send(news);
}

async function report(client: ChildProcess): Promise<ClientReport> {
  client.send("report");
  const [answer] = (await once(client, "message")) as [ClientReport];
  return answer;
}

function total(key: Exclude<keyof ClientReport, "complaints">): number {
  return reports.reduce((sum, one) => sum + one[key], 0);
}

function tell(minute: number): void {
  const counts = (["asked", "answered", "askedAgain", "lost", "wrong"] as const).map((key) => `${key} ${total(key)}`);
  console.log(
    `minute ${minute}: ${counts.join(", ")}; changes ${changes}, ended threads ${kills}, reloads ${reloads}; RSS ${rssSamples.at(-1)?.mib.toFixed(1)} MiB`,
  );
  for (const { complaints } of reports) for (const complaint of complaints) console.log(`  ${complaint}`);
}

// The slope of a straight line through the samples (least squares): one sample more or less decides nothing.
function growthMiB(): number | undefined {
  const late = rssSamples.filter(({ minute }) => minute >= SETTLED_MINUTES);
  if (late.length < 12) return undefined;
  const mean = (of: (sample: (typeof late)[number]) => number): number => late.reduce((sum, one) => sum + of(one), 0) / late.length;
  const [minute, mib] = [mean((one) => one.minute), mean((one) => one.mib)];
  return (10 * mean((one) => (one.minute - minute) * (one.mib - mib))) / mean((one) => (one.minute - minute) ** 2);
}
