// The program as users run it: `node dist/cli.js` in a process of its own. scripts/test builds dist first.

import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root: string = fileURLToPath(new URL("../..", import.meta.url));
export const cli: string = join(root, "dist/cli.js");

/** Longest wait for a line or an exit: far above what a loaded machine takes. */
const PATIENCE_MS = 10_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** What came on standard output so far. */
  stdout(): string;
  /** Resolves with the match once standard output holds it; rejects with all output if the process ends first. */
  shows(pattern: RegExp): Promise<RegExpExecArray>;
  /** The process's end. */
  readonly ended: Promise<Ended>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Options {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string;
  /** For a server that serves many tests. */
  readonly patienceMs?: number;
}

/** Runs a command to its end. */
export async function ndots(args: readonly string[], options: Options = {}): Promise<Ended> {
  await using running = startNdots(args, options);
  return await running.ended;
}

export function startNdots(args: readonly string[], options: Options = {}): Running {
  return startProcess(process.execPath, [cli, ...args], options);
}

export function startProcess(
  program: string,
  args: readonly string[],
  { cwd, env, stdin, patienceMs = PATIENCE_MS }: Options = {},
): Running {
  if (!existsSync(cli)) throw new Error("dist/cli.js is missing: run scripts/test, which builds");
  const spawnOptions: SpawnOptions = { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } };
  if (cwd !== undefined) spawnOptions.cwd = cwd;
  const child = spawn(program, args, spawnOptions);
  child.stdin?.on("error", () => undefined).end(stdin ?? "");
  let stdout = "";
  let stderr = "";
  const onOutput = new Set<() => void>();
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const look of onOutput) look();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, stdout, stderr }) as Ended);
  const impatience = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  void ended.finally(() => clearTimeout(impatience)).catch(() => undefined);

  return {
    child,
    stdout: () => stdout,
    ended,
    shows(pattern) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(stdout);
          if (match === null) return;
          onOutput.delete(look);
          resolve(match);
        };
        onOutput.add(look);
        look();
        ended.then(
          (end) => reject(new Error(`ended before ${pattern} came: ${JSON.stringify(end)}`)),
          (error: unknown) => reject(error as Error),
        );
      });
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    },
  };
}

export interface Folder {
  readonly path: string;
  [Symbol.dispose](): void;
}

/** A folder with these files, gone at the end of its scope. */
export function temporaryFolder(files: Readonly<Record<string, string>> = {}): Folder {
  const path = mkdtempSync(join(tmpdir(), "ndots-test-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
