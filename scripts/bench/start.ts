// How long it takes to start: scripts/bench/run start. The command, from exec to its first answer; and the library, as a
// test that uses it sees it. Each run is a fresh process over dist: the import, the first startServer() after it, a later one.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { answering, cli, NODE_FLAGS, root, start } from "./process.ts";
import { LIMIT_HEAD, limitRow, median, table, writeSection } from "./results.ts";

const LIMITS = { callMs: 50, withImportMs: 200, firstAnswerMs: 300 };
const PORT = 5483;

const runs = process.argv.includes("--quick") ? 10 : 30;
const shipped = join(root, "zones/Corefile");
const cases: readonly { readonly name: string; readonly options: object }[] = [
  { name: "empty cluster", options: {} },
  { name: "manifests of zones/", options: { manifests: join(root, "zones") } },
  { name: "zones/Corefile", options: { corefile: readFileSync(shipped, "utf8"), file: shipped } },
];

interface Run {
  readonly importMs: number;
  readonly firstMs: number;
  readonly laterMs: number;
}

const program = `
const beganMs = performance.now();
const { startServer } = await import(${JSON.stringify(join(root, "dist/index.js"))});
const importedMs = performance.now();
const options = JSON.parse(process.argv[1]);
const first = await startServer(options);
const firstMs = performance.now();
await first.close();
const laterBeganMs = performance.now();
const later = await startServer(options);
const laterMs = performance.now() - laterBeganMs;
await later.close();
console.log(JSON.stringify({ importMs: importedMs - beganMs, firstMs: firstMs - importedMs, laterMs }));
`;

const rows: string[][] = [await firstAnswer()];
for (const { name, options } of cases) {
  const taken: Run[] = [];
  for (let nth = 0; nth < runs; nth++) {
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program, JSON.stringify(options)]);
    taken.push(JSON.parse(stdout) as Run);
  }
  rows.push(
    limitRow(`${name}: startServer(), first call`, median(taken.map(({ firstMs }) => firstMs)), LIMITS.callMs, "ms"),
    limitRow(`${name}: startServer(), later call`, median(taken.map(({ laterMs }) => laterMs)), LIMITS.callMs, "ms"),
    limitRow(`${name}: import and first call`, median(taken.map(({ importMs, firstMs }) => importMs + firstMs)), LIMITS.withImportMs, "ms"),
  );
}
writeSection("Start", `From \`dist\`, a fresh process each time; medians of ${runs}.\n\n${table(LIMIT_HEAD, rows)}`);
if (rows.some((row) => row.at(-1) === "FAIL")) process.exitCode = 1;

async function firstAnswer(): Promise<string[]> {
  const taken: number[] = [];
  for (let nth = 0; nth < runs; nth++) {
    const startedMs = performance.now();
    await using server = start(process.execPath, [...NODE_FLAGS, cli, "-conf", shipped, "-p", String(PORT)]);
    await answering(server, PORT, "kubernetes.default.svc.cluster.local");
    taken.push(performance.now() - startedMs);
  }
  return limitRow("zones/Corefile: first answer after exec", median(taken), LIMITS.firstAnswerMs, "ms");
}
