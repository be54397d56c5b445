// Starts probe.ts, which asks a server once a millisecond, and fetches what it has seen. Used by scale.ts and cluster.ts.

import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { ProbeReport } from "./probe.ts";
import { root } from "./process.ts";

export interface Probe extends AsyncDisposable {
  /** What it has seen since the last report. */
  report(): Promise<ProbeReport>;
}

/** @param pid the server's, whose main thread's waits for a CPU are not counted as pauses. */
export async function startProbe(port: number, name: string, pid: number): Promise<Probe> {
  const child = fork(join(root, "scripts/bench/probe.ts"), [String(port), name, String(pid)], { execArgv: ["--import", "tsx"] });
  const report = async (): Promise<ProbeReport> => {
    child.send("report");
    const [answer] = (await once(child, "message")) as [ProbeReport];
    return answer;
  };
  await report(); // it runs
  return {
    report,
    async [Symbol.asyncDispose]() {
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
    },
  };
}
