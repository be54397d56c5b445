// The program as users run it, that also says what it holds: memory once its garbage is collected, descriptors, threads, and
// what its event loop waits for. For tests of what stays behind.

import { setTimeout as pause } from "node:timers/promises";
import { until } from "./listening.ts";
import { cli, startProcess, type Options, type Running } from "./ndots-process.ts";

const STEADY_MS = 100;
const MEASURED_MS = 20_000;

export interface Measured {
  readonly heap: number;
  readonly external: number;
  readonly rss: number;
  /** By what they are open to. */
  readonly descriptors: Readonly<Record<string, number>>;
  readonly threads: number;
  /** Handles and timers of the event loop, by kind. */
  readonly resources: Readonly<Record<string, number>>;
}

// In the program: SIGCONT has it collect its garbage and say what is left.
const MEASURE = `
  import { readdirSync, readlinkSync } from "node:fs";
  const countsOf = (kinds) => Object.fromEntries([...new Set(kinds)].sort().map((kind) => [kind, kinds.filter((each) => each === kind).length]));
  const openTo = (fd) => {
    try {
      return [readlinkSync("/proc/self/fd/" + fd).replace(/:\\[\\d+\\]$/, "")];
    } catch {
      return []; // the folder's own, closed by now
    }
  };
  process.on("SIGCONT", async () => {
    for (let times = 0; times < 4; times++) {
      gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { heapUsed: heap, external, rss } = process.memoryUsage();
    const resources = countsOf(process.getActiveResourcesInfo());
    const descriptors = countsOf(readdirSync("/proc/self/fd").flatMap(openTo));
    const threads = readdirSync("/proc/self/task").length;
    process.stdout.write("measured " + JSON.stringify({ heap, external, rss, descriptors, threads, resources }) + "\\n");
  });`;

/** `nodeOptions` go before the program. */
export function startMeasured(args: readonly string[], options: Options & { readonly nodeOptions?: readonly string[] } = {}): Running {
  const preload = `data:text/javascript,${encodeURIComponent(MEASURE)}`;
  const { nodeOptions = [], ...others } = options;
  return startProcess(process.execPath, [...nodeOptions, "--expose-gc", "--import", preload, cli, ...args], others);
}

/** What goes with a client may still be on its way: measured until nothing has come or gone for a while. */
export async function measure(running: Running, steadyMs = STEADY_MS): Promise<Measured> {
  const endMs = performance.now() + MEASURED_MS;
  let [last, sinceMs] = ["", 0];
  for (;;) {
    const already = told(running, /^measured.*\n/gm);
    running.child.kill("SIGCONT");
    await until(() => told(running, /^measured.*\n/gm) > already, "it is measured", MEASURED_MS);
    const found = JSON.parse(running.stdout().split("measured ").at(-1)?.split("\n")[0] ?? "") as Measured;
    const { descriptors, threads, resources } = found;
    const counts = JSON.stringify([threads, descriptors, resources]);
    if (counts !== last) [last, sinceMs] = [counts, performance.now()];
    if (performance.now() > Math.min(sinceMs + steadyMs, endMs)) return found;
    await pause(20);
  }
}

function told(running: Running, pattern: RegExp): number {
  return running.stdout().match(pattern)?.length ?? 0;
}
