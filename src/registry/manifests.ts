// The manifests source: folders and files of YAML or JSON as the cluster. It keeps the registry equal to what the files
// say: reads what has changed, keeps the last good objects of a file that is broken, and lets manifest-cluster.ts work
// out what follows. Made by the `kubernetes` plugin and by the library; run by the server like every Source.

import { readFile, rename, writeFile } from "node:fs/promises";
import type { Finding } from "../errors.ts";
import { checkDisjoint, parseRanges } from "./cluster-ips.ts";
import { canonicalAddress } from "./kube-names.ts";
import { createManifestCluster, type ManifestCluster } from "./manifest-cluster.ts";
import { type Hint, identify, listManifestFiles, watchManifestFiles } from "./manifest-files.ts";
import type { Manifest } from "./manifest-objects.ts";
import { createManifestReader, type ManifestReader } from "./manifest-reader.ts";
import type { Registry, Source } from "./registry.ts";

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
  /** Something is left out that is no fault. */
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

interface FileRecord {
  identity: string;
  hash: string;
  objects: readonly Manifest[];
  /** Whether a version without any error was read: from then on a broken version changes nothing. */
  whole: boolean;
}

// Work between two turns of the event loop: half of the 20 ms that answers may be held up, less one file's parsing.
const SLICE_MS = 4;

/** A source that keeps the registry equal to manifests. Throws NDOTS_ERR_RANGE for CIDRs that can't be used. */
export function manifestsSource(options: ManifestsOptions): Source {
  const { paths, namespace, serviceCidr, podCidr, state, pods = "keep", watch = "on", now = Date.now, onNote, onLoaded } = options;
  checkDisjoint(parseRanges(serviceCidr), parseRanges(podCidr));
  let errors = 0;
  const onFinding = (finding: Finding): void => {
    errors++;
    options.onFinding(finding);
  };

  async function run(registry: Registry, synced: () => void, signal: AbortSignal): Promise<void> {
    const startedAt = now();
    const remembered = state === undefined ? new Map<string, readonly string[]>() : await readState(state, onFinding);
    const cluster = createManifestCluster({ serviceCidr, podCidr, remembered, pods, onFinding, onNote });
    const folder = createFolder({ paths, cluster, reader: createManifestReader(namespace), onFinding, onNote, signal });
    const watched = watch === "on" ? watchManifestFiles(paths) : undefined;
    const stop = (): void => watched?.stop();
    signal.addEventListener("abort", stop, { once: true });
    let saved = "";
    try {
      let hint: Hint | undefined = "anything";
      let first = true;
      while (hint !== undefined && !signal.aborted) {
        await watched?.looked(0);
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

interface FolderOptions {
  readonly paths: readonly string[];
  readonly cluster: ManifestCluster;
  readonly reader: ManifestReader;
  readonly signal: AbortSignal;
  onFinding(finding: Finding): void;
  onNote(text: string): void;
}

interface Folder {
  refresh(hint: Hint): Promise<void>;
  fileCount(): number;
  objectCount(): number;
}

/** What is known of the files, and the reading of those that have changed. */
function createFolder({ paths, cluster, reader, signal, onFinding, onNote }: FolderOptions): Folder {
  const records = new Map<string, FileRecord>();
  let known: ReadonlyMap<string, string> = new Map();

  async function refresh(hint: Hint): Promise<void> {
    const slice = timeSlice();
    const present = hint === "anything" ? await list() : await look(hint);
    for (const [file, identity] of present) {
      if (signal.aborted) break;
      if (identity === undefined) forget(file);
      else if (hint !== "anything" || records.get(file)?.identity !== identity) await read(file, identity);
      if (slice.isOver()) await slice.next();
    }
    await reader.rest();
  }

  async function list(): Promise<Map<string, string | undefined>> {
    const { files, problems } = await listManifestFiles(paths);
    for (const [path, problem] of problems) {
      if (known.get(path) !== problem) onFinding({ file: path, line: 1, column: 0, severity: "error", message: problem });
    }
    known = problems;
    const present = new Map<string, string | undefined>(files);
    for (const file of records.keys()) if (!files.has(file)) present.set(file, undefined);
    return present;
  }

  async function look(files: ReadonlySet<string>): Promise<Map<string, string | undefined>> {
    const present = new Map<string, string | undefined>();
    for (const file of [...files].sort()) present.set(file, await identify(file));
    return present;
  }

  function forget(file: string): void {
    const record = records.get(file);
    if (record === undefined) return;
    cluster.replace(record.objects, []);
    records.delete(file);
  }

  async function read(file: string, identity: string): Promise<void> {
    const record = records.get(file) ?? { identity: "", hash: "", objects: [], whole: false };
    const content = await reader.read(file, record.hash);
    if (content.state === "missing") return forget(file);
    records.set(file, record);
    record.identity = identity;
    if (content.state === "unchanged") return;
    if (content.state === "refused") return onFinding(content.finding);
    record.hash = content.hash;
    const { objects, findings, notes } = content.parsed;
    for (const finding of findings) onFinding(finding);
    for (const note of notes) onNote(note);
    if (findings.length > 0 && record.whole) return;
    record.whole = findings.length === 0;
    cluster.replace(record.objects, objects);
    record.objects = objects;
  }

  return {
    refresh,
    fileCount: () => records.size,
    objectCount: () => [...records.values()].reduce((sum, record) => sum + record.objects.length, 0),
  };
}

/** Says when it is time to let the event loop turn, and does so. */
function timeSlice(): { isOver(): boolean; next(): Promise<void> } {
  let began = performance.now();
  return {
    isOver: () => performance.now() - began > SLICE_MS,
    async next() {
      await new Promise<void>((done) => setImmediate(done));
      began = performance.now();
    },
  };
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
