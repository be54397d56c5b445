// Processes that are measured: started on one CPU, their CPU time and memory read from /proc, ended by their id. Linux only.

import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createSocket } from "node:dgram";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const root: string = fileURLToPath(new URL("../..", import.meta.url));

export const cli: string = join(root, "dist/cli.js");
/** As in scripts/start and the Dockerfile. */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=2", "--v8-pool-size=2"];
export const MALLOC_ENV: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: "2", MALLOC_MMAP_THRESHOLD_: "131072" };

/** USER_HZ, the unit of /proc/PID/stat: 100 on every Linux architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
const LONGEST_START_MS = 60_000;

export interface Measured extends AsyncDisposable {
  readonly pid: number;
  readonly child: ChildProcess;
  output(): string;
}

export interface StartOptions {
  /** The only CPU that it may use. */
  readonly cpu?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** A file for its standard output. */
  readonly stdoutFile?: string;
}

/** Starts a program. What it prints is kept for the case that it ends early. */
export function start(program: string, args: readonly string[], options: StartOptions = {}): Measured {
  const { cpu, env, stdoutFile } = options;
  const [command, ...rest] = cpu === undefined ? [program, ...args] : ["taskset", "-c", String(cpu), program, ...args];
  const stdout = stdoutFile === undefined ? "pipe" : openSync(stdoutFile, "w");
  const child = spawn(command as string, rest, {
    stdio: ["ignore", stdout, "pipe"],
    cwd: root,
    env: { ...process.env, ...(program === process.execPath ? MALLOC_ENV : {}), ...env },
  });
  if (typeof stdout === "number") closeSync(stdout);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  return {
    pid: child.pid ?? 0,
    child,
    output: () => output,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const impatience = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await ended;
      clearTimeout(impatience);
    },
  };
}

/** Puts threads that have chosen a CPU themselves on `cpu`: Knot's UDP workers take the first, which is the client's. */
export function pin({ pid }: Pick<Measured, "pid">, cpu: number): void {
  execFileSync("taskset", ["-a", "-c", "-p", String(cpu), String(pid)]);
}

/** Runs a program to its end on one CPU; gives its standard output. */
export async function runOn(cpu: number, program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("taskset", ["-c", String(cpu), program, ...args], { maxBuffer: 256 * 1024 * 1024 });
  return stdout;
}

export interface CpuTime {
  readonly seconds: number;
  readonly userSeconds: number;
  /** Of the thread that the process began with: Node's main thread. */
  readonly mainSeconds: number;
}

/** CPU time of a process, its threads, and the processes that it has started. The user part is exact to 10 ms only. */
export function cpuTime(pid: number): CpuTime {
  let [seconds, userTicks] = [0, 0];
  for (const member of family(pid)) {
    const fields = statOf(member);
    // utime, and both times of children that have ended: fields 14, 16 and 17 of proc(5)
    userTicks += Number(fields[11]) + Number(fields[13]);
    seconds += (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
    for (const thread of threadsOf(member)) seconds += threadSeconds(member, thread);
  }
  return { seconds, userSeconds: userTicks / TICKS_PER_SECOND, mainSeconds: threadSeconds(pid, String(pid)) };
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

// Time on a CPU, in nanoseconds: the first number (Documentation/scheduler/sched-stats.rst). 0 for a thread that has gone.
function threadSeconds(pid: number, thread: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]) / 1e9;
  } catch {
    return 0;
  }
}

/** Resident memory in MiB; of several processes the sum, which counts shared pages for each. */
export function residentMiB(pid: number, field: "VmRSS" | "VmHWM" = "VmRSS"): number {
  let kib = 0;
  for (const member of family(pid)) {
    const line = new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${member}/status`, "utf8"));
    kib += Number(line?.[1] ?? 0);
  }
  return kib / 1024;
}

function family(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const fields = statOf(Number(entry));
    if (fields.length > 0) parents.set(Number(entry), Number(fields[1]));
  }
  const members = [pid];
  for (const member of members) for (const [child, parent] of parents) if (parent === member) members.push(child);
  return members;
}

// The fields behind the command's name, which may hold spaces: the state comes first. Empty for a process that has gone.
function statOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

/** Waits until the server answers `name` without an error; rejects if it ends or takes a minute. */
export async function answering(server: Measured, port: number, name: string): Promise<void> {
  const giveUpMs = performance.now() + LONGEST_START_MS;
  while (server.child.exitCode === null && performance.now() < giveUpMs) {
    const reply = await askOnce(port, name, 100);
    if (reply !== undefined && ((reply[3] as number) & 15) === 0) return;
  }
  throw new Error(`no answer from ${server.child.spawnargs.join(" ")}\n${server.output()}`);
}

/** One A query over UDP; undefined if nothing came in time. */
export function askOnce(port: number, name: string, timeoutMs: number): Promise<Buffer | undefined> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    const finish = (reply: Buffer | undefined): void => {
      clearTimeout(timer);
      socket.close();
      setTimeout(() => resolve(reply), reply === undefined ? 5 : 0);
    };
    socket.on("message", finish);
    socket.on("error", () => undefined); // nobody listens yet
    socket.send(questionFor(name), port, "127.0.0.1");
  });
}

/** A query of type A without EDNS, id 0. */
export function questionFor(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

/** Waits until a process is idle: under 2 % of a CPU for a second. */
export async function idle(pid: number): Promise<void> {
  const LOOK_MS = 1_000;
  for (let before = -1; ;) {
    const now = cpuTime(pid).seconds;
    if (Number.isNaN(now)) throw new Error(`process ${pid} has ended`);
    if (before >= 0 && now - before < 0.02) return;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
