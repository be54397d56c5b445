// Whether the files that a `kubernetes` block names can be used: looked at when the configuration is set up, so that
// `ndots check`, the start and a reload say the same of them, at their line of the Corefile. Asks nothing of the network; a
// service account's files are none of the configuration's, and are waited for by the client.

import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { systemClock } from "../../clock.ts";
import type { ErrorCode, Position } from "../../errors.ts";
import type { Host } from "../../plugin.ts";
import type { KubeAccess } from "../../registry/kube/client.ts";
import type { KubernetesOptions } from "./options.ts";

export interface FileProblem {
  /** The option's line. */
  readonly at: Position;
  /** Begins with the option's name. */
  readonly message: string;
}

/** What is wrong with the files of `kubeconfig`, `tls` and `snapshot`, where they are used. */
export async function fileProblems(
  { kubeconfig, tls, snapshot }: KubernetesOptions,
  used: KubeAccess | undefined,
  { env, file }: Host,
): Promise<readonly FileProblem[]> {
  const problems: FileProblem[] = [];
  if (kubeconfig !== undefined && used?.kind === "kubeconfig") {
    const message = await kubeconfigProblem(used, env);
    if (message !== undefined) problems.push({ at: kubeconfig.at, message: `kubeconfig: ${message}` });
  }
  if (tls !== undefined && used?.kind === "endpoint") {
    for (const path of Object.values(used.tls ?? {})) {
      const why = await whyUnreadable(path);
      if (why !== undefined) problems.push({ at: tls.at, message: `tls: ${path}: can't be read: ${why}` });
    }
  }
  if (snapshot !== undefined) {
    const message = await snapshotProblem(resolve(dirname(file), snapshot.file));
    if (message !== undefined) problems.push({ at: snapshot.at, message: `snapshot: ${message}` });
  }
  return problems;
}

// Its reader is loaded where there is one. What it says has the file and the line there.
async function kubeconfigProblem(used: Extract<KubeAccess, { kind: "kubeconfig" }>, env: Host["env"]): Promise<string | undefined> {
  const why = await whyUnreadable(used.file);
  if (why !== undefined) return `${used.file}: can't be read: ${why}`;
  const { readKubeconfig } = await import("../../registry/kube/config.ts");
  try {
    await readKubeconfig({ ...used, env, clock: systemClock });
    return undefined;
  } catch (error) {
    // By its code: where loaders keep two graphs of modules (tsx under mocha), a lazily loaded reader's errors are of another class.
    if (!(error instanceof Error && "code" in error && error.code === ("NDOTS_ERR_CONFIG" satisfies ErrorCode))) throw error;
    return error.message.replaceAll("\n", "; ");
  }
}

async function snapshotProblem(path: string): Promise<string | undefined> {
  const folder = dirname(path);
  if ((await kindOf(folder)) !== "folder") return `${path}: there is no folder ${folder}`;
  return (await kindOf(path)) === "folder" ? `${path}: is a folder, expected a file's path` : undefined;
}

async function kindOf(path: string): Promise<"folder" | "file" | "nothing"> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch {
    return "nothing";
  }
}

async function whyUnreadable(path: string): Promise<string | undefined> {
  try {
    if ((await stat(path)).isDirectory()) return "is a folder";
    await access(path, constants.R_OK);
    return undefined;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? "no such file" : code === "EACCES" ? "permission denied" : code;
  }
}
