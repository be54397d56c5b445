// Resident memory: idle, with more threads, with a large cluster: scripts/bench/run memory.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { benchServices, serviceWithEndpoints, writeManifests, ZONE } from "./data.ts";
import { answering, cli, idle, NODE_FLAGS, residentMiB, root, start } from "./process.ts";
import { LIMIT_HEAD, limitRow, table, writeSection } from "./results.ts";

const LIMITS = { idleMiB: 85, threadMiB: 10, loadedMiB: 150 };
const MOST_THREADS = 4;
const ENDPOINTS_PER_SERVICE = 10;
const PORT = 5482;

const folder = join(root, ".tmp/bench/memory");
mkdirSync(folder, { recursive: true });
const idleMiB = await residentWith("zones", join(root, "zones"), "", `kubernetes.default.svc.${ZONE}`);
const manyMiB = await residentWith("threads", join(root, "zones"), `multisocket ${MOST_THREADS}`, `kubernetes.default.svc.${ZONE}`);
const services = benchServices(10_000, ENDPOINTS_PER_SERVICE);
const manifests = join(folder, "manifests");
writeManifests(manifests, services, serviceWithEndpoints);
const last = services.at(-1)?.host ?? "";
const loadedMiB = await residentWith("many", manifests, "", last);
const loadedManyMiB = await residentWith("many-threads", manifests, `multisocket ${MOST_THREADS}`, last);
rmSync(folder, { recursive: true, force: true });

const perThread = (more: number, one: number): number => (more - one) / (MOST_THREADS - 1);
const rows = [
  limitRow("zones/, one thread, idle", idleMiB, LIMITS.idleMiB, "MiB"),
  limitRow(`zones/, each further thread (of ${MOST_THREADS})`, perThread(manyMiB, idleMiB), LIMITS.threadMiB, "MiB"),
  limitRow(`10,000 Services × ${ENDPOINTS_PER_SERVICE} endpoints, one thread`, loadedMiB, LIMITS.loadedMiB, "MiB"),
  // For the reader: the heap of the main thread is not the same to some MiB in two runs of so much work.
  ["… each further thread", `${perThread(loadedManyMiB, loadedMiB).toFixed(1)} MiB`, "", ""],
];
writeSection("Memory", `Resident, started as \`scripts/start\` and the image start it, from manifests.\n\n${table(LIMIT_HEAD, rows)}`);
if (rows.some((row) => row.at(-1) === "FAIL")) process.exitCode = 1;

async function residentWith(name: string, manifestsPath: string, extra: string, host: string): Promise<number> {
  const corefile = join(folder, `${name}.Corefile`);
  writeFileSync(
    corefile,
    `.:${PORT} {
  ${extra}
  errors
  kubernetes ${ZONE} in-addr.arpa ip6.arpa {
    manifests ${manifestsPath}
  }
  loadbalance
}
`,
  );
  await using server = start(process.execPath, [...NODE_FLAGS, cli, "-conf", corefile]);
  await answering(server, PORT, host);
  await idle(server.pid);
  return residentMiB(server.pid);
}
