// The fake Kubernetes API server of the tests as a process of its own, told what to do line by line. Used by cluster.ts and
// rollout.ts; test/helpers/fake-api/ is the server.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Command } from "../../test/helpers/fake-api/control.ts";
import type { KubeObject } from "../../test/helpers/fake-api/objects.ts";
import { root } from "./process.ts";

export interface FakeApi extends AsyncDisposable {
  readonly url: string;
  /** Resolves when it is done. */
  do(command: Command): Promise<void>;
  apply(object: KubeObject): Promise<void>;
}

/** Starts it; `args` as test/helpers/fake-api/main.ts takes them, `prefix` goes before the command. */
export async function startFakeApi(
  kubeconfig: string,
  args: readonly string[],
  cpu?: number,
  prefix: readonly string[] = [],
): Promise<FakeApi> {
  const command = [
    ...prefix,
    process.execPath,
    "--import",
    "tsx",
    join(root, "test/helpers/fake-api/main.ts"),
    "--kubeconfig",
    kubeconfig,
    ...args,
  ];
  const [program = "", ...rest] = cpu === undefined ? command : ["taskset", "-c", String(cpu), ...command];
  const child: ChildProcess = spawn(program, rest, { stdio: ["pipe", "pipe", "inherit"], cwd: root });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("no pipes");
  const lines = createInterface({ input: stdout });
  const waiting: ((line: string) => void)[] = [];
  lines.on("line", (line) => waiting.shift()?.(line));
  const nextLine = (): Promise<string> => new Promise((resolve) => waiting.push(resolve));
  const first = await nextLine();
  const url = first.replace("listening ", "");
  const tell = async (what: Command): Promise<void> => {
    const answered = nextLine();
    stdin.write(`${JSON.stringify(what)}\n`);
    const answer = await answered;
    if (answer.includes('"wrong"')) throw new Error(answer);
  };
  return {
    url,
    do: tell,
    apply: (object) => tell({ do: "apply", object }),
    async [Symbol.asyncDispose]() {
      const ended = once(child, "exit");
      stdin.end();
      const impatience = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(impatience);
    },
  };
}
