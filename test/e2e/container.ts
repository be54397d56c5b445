// Containers without an engine: the Dockerfile's stages laid out in folders, and their processes in namespaces of their
// own, under a user, capabilities, sysctls and mounts as a container runtime sets them. For image.test.ts and
// deploy.test.ts. Needs root and the programs of `containerPrograms`.

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { inherited, lastOf, parseDockerfile, type Instruction, type Stage } from "../helpers/dockerfile.ts";
import { root, startProcess, type Running } from "../helpers/ndots-process.ts";

export const containerPrograms: readonly string[] = ["unshare", "nsenter", "setcap", "ip", "python3", "dig", "ldd"];

export interface Image {
  /** The root file system. */
  readonly folder: string;
  readonly instructions: readonly Instruction[];
  [Symbol.dispose](): void;
}

export interface ContainerOptions {
  /** Numbers of linux/capability.h with commas, or `-`. */
  readonly capabilities: string;
  /** `path=value` below /proc/sys, set in the container's network. */
  readonly sysctl?: string;
  /** In place of ENTRYPOINT. */
  readonly command?: readonly string[] | undefined;
  /** In place of CMD. */
  readonly args?: readonly string[];
  /** Beyond ENV. */
  readonly env?: Readonly<Record<string, string>>;
  /** Folders and files by the place where the container has them, read-only. Places are those of `mountPoints`, and `/etc/resolv.conf`. */
  readonly mounts?: Readonly<Record<string, string>>;
  /** The process whose network it joins; without it, it has one of its own with nothing but the loopback interface. */
  readonly networkOf?: number;
  /** Longest life of the process. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 20_000;

/** A runtime would make them as they are needed. */
const mountPoints = ["etc/coredns", "zones", "var/run/secrets/kubernetes.io/serviceaccount"];

const stages = parseDockerfile(readFileSync(join(root, "Dockerfile"), "utf8"));

/** Lays out the default image, or `nocap`: what COPY brings, and what the base image brings (libc and friends). */
export function layOutImage(variant: "standard" | "nocap"): Image {
  const stage = (variant === "standard" ? stages.at(-1) : stages.find(({ name }) => name === variant)) as Stage;
  const instructions = inherited(stages, stage);
  const folder = mkdtempSync(join(tmpdir(), "ndots-image-"));
  chmodSync(folder, 0o755);
  let workdir = "/";
  for (const { keyword, words, flags } of instructions) {
    if (keyword === "WORKDIR") workdir = words[0] ?? "/";
    if (keyword !== "COPY") continue;
    const target = resolve(workdir, words.at(-1) ?? "");
    for (const source of words.slice(0, -1)) {
      const intoFolder = words.at(-1)?.endsWith("/") === true;
      copy(source, flags["from"], join(folder, intoFolder ? join(target, basename(source)) : target));
    }
  }
  for (const library of librariesOf(process.execPath)) copyFile(library, join(folder, library));
  for (const name of ["proc", "tmp", "dev", ...mountPoints]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, "etc/resolv.conf"), "");
  cpSync(join(root, "zones"), join(folder, "zones"), { recursive: true, filter: (path) => !path.endsWith("Corefile") });
  return { folder, instructions, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

export function startContainer({ folder, instructions }: Image, options: ContainerOptions): Running {
  const {
    capabilities,
    sysctl = "",
    command = lastOf(instructions, "ENTRYPOINT") ?? [],
    args,
    env = {},
    mounts = {},
    networkOf,
    patienceMs = PATIENCE_MS,
  } = options;
  const [uid = ""] = (lastOf(instructions, "USER")?.[0] ?? "").split(":");
  const words = [...command, ...(args ?? lastOf(instructions, "CMD") ?? [])];
  const environment = JSON.stringify({ ...environmentOf(instructions), ...env });
  const binds = Object.entries(mounts).map(([place, source]) => `mount --bind -o ro '${source}' "$1${place}"`);
  const script = `
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    ${binds.join("\n    ")}
    mount -o remount,bind,ro "$1"
    ip link set lo up
    if [ -n "$2" ]; then mount -o remount,rw /proc/sys 2>/dev/null || mount -t proc proc /proc; printf %s "\${2#*=}" > "/proc/sys/\${2%%=*}"; fi
    image=$1; shift 2
    exec python3 "${join(root, "test/e2e/container.py")}" "$image" "$@"`;
  const namespaces = ["--mount", "--pid", "--fork", "--kill-child", ...(networkOf === undefined ? ["--net"] : [])];
  const inside = ["unshare", ...namespaces, "/bin/sh", "-euc", script, "sh", folder, sysctl, uid, capabilities, environment, ...words];
  const [program = "", ...rest] = networkOf === undefined ? inside : ["nsenter", "-t", String(networkOf), "--net", ...inside];
  return withItsChild(startProcess(program, rest, { patienceMs: 2 * patienceMs }), patienceMs);
}

// The container does not end with unshare: the kernel forgets --kill-child when the user changes.
function withItsChild(running: Running, patienceMs: number): Running {
  const kill = (): void => {
    if (running.child.exitCode !== null || running.child.signalCode !== null) return;
    const pid = pidOf(running);
    if (pid > 0) process.kill(pid, "SIGKILL");
    else running.child.kill("SIGKILL");
  };
  const impatience = setTimeout(kill, patienceMs);
  void running.ended.finally(() => clearTimeout(impatience)).catch(() => undefined);
  return {
    ...running,
    async [Symbol.asyncDispose]() {
      kill();
      await running.ended;
    },
  };
}

/** PID 1 of a container: the only child of unshare. */
export function pidOf({ child }: Running): number {
  return Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim());
}

/** /proc/PID/status of PID 1. */
export function statusOf(running: Running): string {
  return readFileSync(`/proc/${pidOf(running)}/status`, "utf8");
}

/** Runs a program of this machine in a process's network; what it writes to stdout. */
export function runInNetworkOf(pid: number, program: string, ...args: readonly string[]): string {
  return execFileSync("nsenter", ["-t", String(pid), "--net", program, ...args]).toString();
}

/** `dig` in a process's network. */
export function dig(pid: number, ...args: readonly string[]): string {
  const server = args.some((word) => word.startsWith("@")) ? [] : ["@127.0.0.1"];
  return runInNetworkOf(pid, "dig", ...server, "+time=2", "+tries=1", ...args);
}

// ENV A=1 B=2
function environmentOf(instructions: readonly Instruction[]): Record<string, string> {
  const pairs = instructions
    .filter(({ keyword }) => keyword === "ENV")
    .flatMap(({ words }) => words.map((word) => word.split("=") as [string, string]));
  return { PATH: "/usr/local/bin", ...Object.fromEntries(pairs) };
}

function copy(source: string, stage: string | undefined, target: string): void {
  if (source === "/usr/local/bin/node") {
    copyFile(realpathSync(process.execPath), target);
    if (stage === "setcap") execFileSync("setcap", ["cap_net_bind_service=+ep", target]);
  } else if (source === "/app/node_modules") {
    for (const folder of productionPackages()) cpSync(join(root, folder), join(dirname(target), folder), { recursive: true });
  } else {
    cpSync(join(root, source.replace(/^\/app\//, "")), target, { recursive: true });
  }
}

function copyFile(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target);
}

// What `npm prune --omit=dev` leaves: optional packages too, where they are for this platform.
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  return Object.entries(lock.packages)
    .filter(([folder, { dev, devOptional }]) => folder !== "" && dev !== true && devOptional !== true && existsSync(join(root, folder)))
    .map(([folder]) => folder);
}

function librariesOf(program: string): string[] {
  const listed = execFileSync("ldd", [program]).toString();
  return [...listed.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
}
