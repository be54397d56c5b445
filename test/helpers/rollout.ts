// What a rollout test or bench says to its load (rollout-load.ts) and hears from it; starts it, and makes the changes whose
// order the answers must show. A Service has one address after the other, and the address tells its version.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { KubeObject } from "./fake-api/objects.ts";

/** Two kinds of UDP clients, two of TCP. */
export const WAYS = ["one UDP socket", "a UDP socket each", "held TCP connections", "a TCP connection each"] as const;
export type Way = (typeof WAYS)[number];

export interface LoadOptions {
  readonly address: string;
  readonly udpPerSecond: number;
  readonly tcpPerSecond: number;
}

export interface LoadReport {
  /** Lost is what was sent and had no answer within 5 s, or whose connection was refused or ended without one. */
  readonly ways: Readonly<
    Record<Way, { readonly sent: number; readonly answered: number; readonly lost: number; readonly slowestMs: number }>
  >;
  /** Another rcode or other records. */
  readonly wrong: number;
  /** Answers with a version that had been replaced for more than a second when the query was sent. */
  readonly stale: number;
  /** How long it had been replaced, at most. */
  readonly mostBehindMs: number;
  /** Answers with the server's own address, its flow's entry deleted between query and answer: in those of `ways`. */
  readonly otherSource: number;
  /** Held connections beyond the first ones: in the place of those that the server had closed, or because none was free. */
  readonly reopened: number;
  /** How long the load itself could not run: it asks less then, and waits longer. */
  readonly stalledMs: number;
  /** The first few, with the monotonic time in ms. */
  readonly complaints: readonly string[];
}

export type ToLoad = { readonly version: number; readonly changedMs: number } | "end";

/** The same clock in every process: CLOCK_MONOTONIC. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export const CHANGING = "turn.default.svc.cluster.local.";
const CHANGED_ADDRESS = [10, 77];

/** The Service in its nth version. */
export function changingService(version: number): KubeObject {
  const clusterIP = [...CHANGED_ADDRESS, version >> 8, version & 255].join(".");
  const spec = { clusterIP, ports: [{ name: "http", port: 80, protocol: "TCP" }] };
  return { kind: "Service", metadata: { name: "turn", namespace: "default" }, spec };
}

/** The version that an A record's four bytes show; undefined: none. */
export function versionIn(rdata: Uint8Array): number | undefined {
  const [a, b, c = 0, d = 0] = rdata;
  return a === CHANGED_ADDRESS[0] && b === CHANGED_ADDRESS[1] ? c * 256 + d : undefined;
}

export interface Load extends AsyncDisposable {
  tell(news: ToLoad): void;
  /** Ends the asking, waits for what is under way. */
  report(): Promise<LoadReport>;
}

/** Resolves once it asks. `prefix` goes before the command. */
export async function startLoad(options: LoadOptions, prefix: readonly string[]): Promise<Load> {
  const file = fileURLToPath(new URL("rollout-load.ts", import.meta.url));
  const [program, ...args] = [...prefix, process.execPath, "--import", "tsx", file, JSON.stringify(options)];
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const ended = once(child, "exit");
  await heard(child);
  return {
    tell: (news) => void child.send(news, () => undefined), // it may have ended
    async report() {
      const told = heard(child);
      child.send("end");
      return (await told) as LoadReport;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function heard(child: ChildProcess): Promise<unknown> {
  const end = new AbortController();
  child.once("exit", () => end.abort(new Error("the load ended")));
  const [message] = (await once(child, "message", { signal: end.signal })) as [unknown];
  return message;
}

/** Changes the Service evenly until it is aborted, and tells the load of each change once it is made. */
export async function keepChanging(
  apply: (object: KubeObject) => Promise<void>,
  load: Pick<Load, "tell">,
  perSecond: number,
  signal: AbortSignal,
): Promise<number> {
  let version = 0;
  for (let dueMs = monotonicMs(); !signal.aborted; dueMs += 1000 / perSecond) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - monotonicMs())));
    await apply(changingService(++version));
    load.tell({ version, changedMs: monotonicMs() });
  }
  return version;
}
