// Credentials from a program, as managed clusters hand them out (`aws eks get-token`, `gke-gcloud-auth-plugin`):
// client.authentication.k8s.io/v1 and v1beta1. Called by config.ts for a user with `exec`. What the program prints is
// secret: no message quotes it, nor the program's arguments.

import type { ChildProcess } from "node:child_process";
import type { Clock } from "../../clock.ts";
import { codeOf, KubeError, shorten } from "./kube-error.ts";

export const EXEC_VERSIONS: readonly string[] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

export interface ExecPlugin {
  readonly apiVersion: string;
  /** A path, or a name to look for in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What helps somebody who doesn't have the program. */
  readonly installHint?: string;
  /** Gives `spec.cluster` of KUBERNETES_EXEC_INFO; only with provideClusterInfo. */
  readonly cluster?: () => Promise<Readonly<Record<string, unknown>>>;
}

export interface ExecCredential {
  readonly token?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Since the epoch. */
  readonly expiresAtMs?: number;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Longer than a cloud's slowest token; without a bound a program that asks for a password would hold the source for ever. */
const TIMEOUT_MS = 30_000;
/** A token and a certificate chain have a few KiB. */
const MAX_OUTPUT_BYTES = 1024 * 1024;

/** Runs the program. Rejects with KubeError "credentials" that says what to do. */
export async function runExecPlugin(
  plugin: ExecPlugin,
  { clock, env }: { readonly clock: Clock; readonly env: Env },
): Promise<ExecCredential> {
  const info = {
    kind: "ExecCredential",
    apiVersion: plugin.apiVersion,
    spec: { ...(plugin.cluster && { cluster: await plugin.cluster() }), interactive: false },
  };
  const output = await run(plugin, { ...env, ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) }, clock);
  return readCredential(output, plugin);
}

async function run(plugin: ExecPlugin, env: Env, clock: Clock): Promise<string> {
  const { spawn } = await import("node:child_process");
  const done = new AbortController();
  return new Promise<string>((resolve, reject) => {
    const child: ChildProcess = spawn(plugin.command, plugin.args, { env, stdio: ["ignore", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let complaint = "";
    const fail = (why: string): void => {
      done.abort();
      child.kill("SIGKILL");
      // A child of the program may hold the pipes.
      child.stdout?.destroy();
      child.stderr?.destroy();
      reject(new KubeError("credentials", `exec plugin ${plugin.command}: ${why}`));
    };
    child.stdout?.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT_BYTES) fail(`printed more than ${MAX_OUTPUT_BYTES} bytes`);
    });
    child.stderr?.on("data", (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-MAX_COMPLAINT_CHARS)));
    child.on("error", (error) => fail(startProblem(error, plugin)));
    child.on("close", (code, signal) => {
      done.abort();
      if (code === 0) resolve(Buffer.concat(chunks).toString());
      else fail(`ended with ${signal ?? `exit code ${code}`}${lastWords(complaint, plugin)}`);
    });
    void clock.delay(TIMEOUT_MS, done.signal).then(() => {
      if (!done.signal.aborted) fail(`gave no credentials within ${TIMEOUT_MS / 1000} s`); // delay() never rejects
    });
  });
}

function startProblem(error: Error, { installHint }: ExecPlugin): string {
  const code = codeOf(error);
  if (code !== "ENOENT") return `can't be started: ${code}`;
  return `no such program${installHint === undefined ? "" : `. ${shorten(installHint.trim())}`}`;
}

const MAX_COMPLAINT_CHARS = 4096;

// The last line a program says is most often the reason. What could be a secret in it is left out: tokens, and the
// values that the kubeconfig gives it.
function lastWords(complaint: string, { env }: ExecPlugin): string {
  let line = complaint.trim().split("\n").at(-1)?.trim() ?? "";
  for (const value of Object.values(env)) if (value !== "") line = line.replaceAll(value, "…");
  line = line.replace(/eyJ[\w.=-]+|[\w+/=-]{40,}/g, "…");
  return line === "" ? "" : `: ${shorten(line)}`;
}

function readCredential(output: string, plugin: ExecPlugin): ExecCredential {
  const wrong = (what: string): KubeError => new KubeError("credentials", `exec plugin ${plugin.command}: ${what}`);
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch {
    throw wrong("its output is not JSON"); // the parser's error quotes the text
  }
  const { apiVersion, status } = (value ?? {}) as { readonly apiVersion?: unknown; readonly status?: Readonly<Record<string, unknown>> };
  if (apiVersion !== plugin.apiVersion)
    throw wrong(`gave apiVersion ${shorten(JSON.stringify(apiVersion) ?? "none")}, expected "${plugin.apiVersion}"`);
  const field = (name: string): string | undefined => {
    const text = status?.[name];
    if (text === undefined || text === null || text === "") return undefined;
    if (typeof text !== "string") throw wrong(`status.${name} is not text`);
    return text.trim();
  };
  const token = field("token");
  const cert = field("clientCertificateData");
  const key = field("clientKeyData");
  if (token === undefined && cert === undefined && key === undefined) throw wrong("gave neither a token nor a client certificate");
  if ((cert === undefined) !== (key === undefined)) throw wrong("gave only one of clientCertificateData and clientKeyData");
  const expiry = field("expirationTimestamp");
  const expiresAtMs = expiry === undefined ? undefined : Date.parse(expiry);
  if (Number.isNaN(expiresAtMs)) throw wrong("status.expirationTimestamp is not a time (RFC 3339)");
  return {
    ...(token !== undefined && { token }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
}
