// A server over a folder of manifests that a test edits, and the bounded wait for what it answers then.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, type Result } from "../../src/testing.ts";
import type { Target } from "../helpers/dns-client.ts";
import { startNdots, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";

/** Manifests are in k8s/; the port is chosen by the kernel. */
export const COREFILE = `.:0 {
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests k8s
    }
}
`;

/** A Service with one unnamed port. */
export function manifest(name: string, address: string): string {
  return `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  clusterIP: ${address}\n  ports:\n  - port: 80\n`;
}

export interface Live extends AsyncDisposable {
  readonly running: Running;
  readonly target: Target;
  write(file: string, text: string): void;
  readonly folder: Folder;
}

/** Starts the program on these files, below a folder of its own. */
export async function live(files: Readonly<Record<string, string>>, corefile = COREFILE): Promise<Live> {
  const folder = temporaryFolder({ Corefile: corefile, ...files });
  const running = startNdots([], { cwd: folder.path, patienceMs: 30_000 });
  const dispose = async (): Promise<void> => {
    await running[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  };
  try {
    const [, port] = await running.shows(/listening on 127\.0\.0\.1:(\d+)/);
    const write = (file: string, text: string): void => writeFileSync(join(folder.path, file), text);
    return { running, folder, target: { address: "127.0.0.1", port: Number(port) }, write, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Asks until the answer is as wanted; every round is a round trip to the server. */
export async function becomes(target: Target, name: string, isWanted: (result: Result) => boolean, boundMs = 8_000): Promise<void> {
  const endMs = performance.now() + boundMs;
  for (;;) {
    const result = await ask(target, name, "A");
    if (isWanted(result)) return;
    if (performance.now() > endMs) throw new Error(`not within ${boundMs} ms: ${name}, now ${result.rcode} ${result.answer.join(", ")}`);
  }
}

export const has =
  (address: string) =>
  ({ addresses }: Result): boolean =>
    addresses.length === 1 && addresses[0] === address;
export const isAbsent = ({ rcode }: Result): boolean => rcode === "NXDOMAIN";
