// Starts subject.js and gives it orders. Used by churn.ts, blocked.ts and the soak.

import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Change } from "../../src/registry/objects.ts";
import { service, slice } from "../../src/testing.ts";
import { type BenchService, ZONE } from "./data.ts";
import { MALLOC_ENV, NODE_FLAGS, pin, root } from "./process.ts";

export interface Subject extends AsyncDisposable {
  readonly pid: number;
  /** By which path it listens, and what else it says at the start. */
  readonly describes: readonly string[];
  /** Resolves when the changes are answered. */
  apply(changes: readonly Change[]): Promise<void>;
  /** Applies some changes after the other, in equal pauses; resolves when all are applied. */
  trickle(changes: readonly (readonly Change[])[], everyMs: number): Promise<void>;
  /** Resolves when every name is in the answer tables. */
  settle(): Promise<void>;
  /** Puts the main thread to sleep; resolves when it is awake again. */
  block(ms: number): Promise<void>;
  /** Ends its oldest thread as a crash would; resolves when that has gone, with false if there is none so old. */
  kill(olderThanMs: number): Promise<boolean>;
  /** With another TTL; resolves when the new configuration answers and the old one is gone. */
  reload(ttl: number): Promise<void>;
  /** Starts and ends threads that do nothing, so that what Node keeps of them is not taken for the server's. */
  wear(): Promise<void>;
  /** Bytes of resident memory, after a garbage collection. */
  memory(): Promise<number>;
  /** What it printed; log lines. */
  output(): string;
}

export interface SubjectOptions {
  readonly port: number;
  /** Lines of its server block besides `kubernetes` and `loadbalance`. */
  readonly lines?: string;
  /** Lines of `kubernetes`' block. */
  readonly kubernetes?: string;
  /** The only CPU that it may use. */
  readonly cpu?: number;
}

const LONGEST_ORDER_MS = 60_000;
/** A message with ten thousand Services takes long to copy. */
const CHANGES_AT_ONCE = 500;

export async function startSubject({ port, lines = "", kubernetes = "reasons fixed", cpu }: SubjectOptions): Promise<Subject> {
  const corefile = `.:${port} {
  errors
  ${lines}
  kubernetes ${ZONE} in-addr.arpa ip6.arpa {
    pods insecure
    ${kubernetes}
    ttl 5
  }
  loadbalance
}
`;
  const env = { ...process.env, ...MALLOC_ENV };
  const child = fork(join(root, "scripts/bench/subject.js"), [corefile], { execArgv: [...NODE_FLAGS, "--expose-gc"], stdio: "pipe", env });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  const waiting = new Map<number, (result: unknown) => void>();
  child.on("message", ({ id, result }: { id: number; result: unknown }) => {
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  let orders = 0;
  const answerTo = (id: number, what: string): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const impatience = setTimeout(() => reject(new Error(`${what}: no answer\n${output}`)), LONGEST_ORDER_MS);
      child.once("exit", () => reject(new Error(`${what}: it has ended\n${output}`)));
      child.setMaxListeners(0);
      waiting.set(id, (result) => {
        clearTimeout(impatience);
        resolve(result);
      });
    });
  const give = (order: string, rest: object = {}): Promise<unknown> => {
    const id = ++orders;
    child.send({ id, order, ...rest });
    return answerTo(id, order);
  };

  const describes = (await answerTo(0, "start")) as string[];
  const pid = child.pid ?? 0;
  if (cpu !== undefined) pin({ pid }, cpu);
  return {
    pid,
    describes,
    async apply(changes) {
      for (let from = 0; from < changes.length; from += CHANGES_AT_ONCE) {
        await give("apply", { changes: changes.slice(from, from + CHANGES_AT_ONCE) });
      }
    },
    trickle: async (changes, everyMs) => void (await give("trickle", { changes, everyMs })),
    settle: async () => void (await give("settle")),
    block: async (ms) => void (await give("block", { ms })),
    kill: async (olderThanMs) => (await give("kill", { olderThanMs })) as boolean,
    reload: async (ttl) => void (await give("reload", { ttl })),
    wear: async () => void (await give("wear")),
    memory: async () => (await give("memory")) as number,
    output: () => output,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      const ended = once(child, "exit");
      child.disconnect();
      const impatience = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(impatience);
    },
  };
}

/** The Service and, if it has endpoints, its slice. */
export function changesFor({ name, namespace, address, endpoints }: BenchService): Change[] {
  const isHeadless = address === "None";
  const ports = [{ name: "http", port: 80 }];
  const own = service({ name, namespace, ports, headless: isHeadless, clusterIPs: isHeadless ? [] : [address] });
  const objects = isHeadless ? [own, slice({ service: name, namespace, endpoints, ports })] : [own];
  return objects.map((object) => ({ verb: "upsert", object }));
}
