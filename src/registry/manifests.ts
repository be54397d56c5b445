// The manifests source: folders and files of YAML or JSON as the cluster. It keeps the registry equal to what the files
// say: reads what has changed, keeps the last good objects of a file that is broken, and lets manifest-cluster.ts work
// out what follows. Made by the `kubernetes` plugin and by the library; run by the server like every Source.

import { readFile, rename, writeFile } from "node:fs/promises";
import type { Finding } from "../errors.ts";
import { checkDisjoint, parseRanges } from "./cluster-ips.ts";
import { canonicalAddress } from "./kube-names.ts";
import { createManifestCluster, type ManifestCluster } from "./manifest-cluster.ts";
import { type Hint, watchManifestFiles } from "./manifest-files.ts";
import { createManifestFolder } from "./manifest-folder.ts";
import type { Registry, Source } from "./registry.ts";
import { timeSlice } from "../time-slice.ts";

export interface ManifestsOptions {
  /** Files, or folders whose *.yaml, *.yml and *.json files are read (not those of folders in them). */
  readonly paths: readonly string[];
  /** For objects that name none. */
  readonly namespace: string;
  /** One CIDR, or one of each family, the primary one first. */
  readonly serviceCidr: readonly string[];
  readonly podCidr: readonly string[];
  /** A file that keeps allocated ClusterIPs over a restart; without it they come from a hash and the other Services. */
  readonly state?: string;
  /** Whether Pods go to the registry (`pods verified` needs them). */
  readonly pods?: "keep" | "drop";
  /** Whether to go on after the first load (`ndots check` and `ndots env` don't). */
  readonly watch?: "on" | "off";
  /** Milliseconds; injected by tests. */
  readonly now?: () => number;
  /** Something is wrong in a file; told once each time the file is read. */
  onFinding(finding: Finding): void;
  /** Something is left out that is no fault, or files have changed after the first load. */
  onNote(text: string): void;
  /** After the first load, before the source counts as synced. */
  onLoaded?(summary: LoadSummary): void;
}

export interface LoadSummary {
  readonly files: number;
  readonly objects: number;
  readonly errors: number;
  readonly tookMs: number;
}

/** A source that keeps the registry equal to manifests. Throws NDOTS_ERR_RANGE for CIDRs that can't be used. */
export function manifestsSource(options: ManifestsOptions): Source {
  const { paths, namespace, serviceCidr, podCidr, state, pods = "keep", watch = "on", now = Date.now, onNote, onLoaded } = options;
  checkDisjoint(parseRanges(serviceCidr), parseRanges(podCidr));
  let errors = 0;
  const onFinding = (finding: Finding): void => {
    if (finding.severity === "error") errors++;
    options.onFinding(finding);
  };

  async function run(registry: Registry, synced: () => void, signal: AbortSignal): Promise<void> {
    const startedAt = now();
    const remembered = state === undefined ? new Map<string, readonly string[]>() : await readState(state, onFinding);
    const cluster = createManifestCluster({ serviceCidr, podCidr, remembered, pods, onFinding, onNote });
    const folder = createManifestFolder({ paths, namespace, cluster, onFinding, onNote, signal });
    const watched = watch === "on" ? watchManifestFiles(paths) : undefined;
    const stop = (): void => watched?.stop();
    signal.addEventListener("abort", stop, { once: true });
    let saved = "";
    try {
      let hint: Hint | undefined = "anything";
      let first = true;
      await watched?.looked(0);
      while (hint !== undefined && !signal.aborted) {
        const lookedAt = now();
        await folder.refresh(hint);
        await settle(registry, cluster, signal);
        if (state !== undefined) saved = await saveState(state, cluster, saved, onFinding);
        if (first && !signal.aborted) {
          onLoaded?.({ files: folder.fileCount(), objects: folder.objectCount(), errors, tookMs: now() - startedAt });
          synced();
          first = false;
        }
        if (hint === "anything") await watched?.looked(now() - lookedAt);
        hint = await watched?.next();
      }
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
  }

  return { name: "manifests", run };
}

async function settle(registry: Registry, cluster: ManifestCluster, signal: AbortSignal): Promise<void> {
  const slice = timeSlice();
  for (const changes of cluster.settle()) {
    if (changes.length > 0 && !signal.aborted) registry.apply(...changes);
    if (slice.isOver()) await slice.next();
  }
}

async function readState(file: string, onFinding: (finding: Finding) => void): Promise<Map<string, readonly string[]>> {
  const remembered = new Map<string, readonly string[]>();
  try {
    const content: unknown = JSON.parse(await readFile(file, "utf8"));
    const clusterIPs = (content as { readonly clusterIPs?: unknown } | null)?.clusterIPs;
    for (const [key, addresses] of Object.entries((clusterIPs ?? {}) as Record<string, unknown>)) {
      if (Array.isArray(addresses))
        remembered.set(
          key,
          addresses.flatMap((address) => canonicalAddress(String(address)) ?? []),
        );
    }
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return remembered;
    const message = `state file can't be read, addresses are allocated anew: ${error instanceof Error ? error.message : String(error)}`;
    onFinding({ file, line: 1, column: 0, severity: "warning", message });
  }
  return remembered;
}

// Written beside and renamed: a crash leaves the old file or the new one, never half of one.
async function saveState(file: string, cluster: ManifestCluster, saved: string, onFinding: (finding: Finding) => void): Promise<string> {
  const content = `${JSON.stringify({ clusterIPs: cluster.chosen() }, undefined, 1)}\n`;
  if (content === saved) return saved;
  try {
    await writeFile(`${file}.tmp`, content);
    await rename(`${file}.tmp`, file);
    return content;
  } catch (error) {
    const message = `state file can't be written: ${error instanceof Error ? error.message : String(error)}`;
    onFinding({ file, line: 1, column: 0, severity: "warning", message });
    return saved;
  }
}
