// What is known of the manifest files, and the reading of those that have changed: called by manifests.ts with a hint of
// what may have. A file that is broken keeps its last good objects.

import { performance } from "node:perf_hooks";
import type { Finding } from "../errors.ts";
import type { ManifestCluster } from "./manifest-cluster.ts";
import { type Hint, identify, listManifestFiles, type Problem, type SeenFile } from "./manifest-files.ts";
import type { Manifest } from "./manifest-objects.ts";
import { type FileContent, readManifestFiles } from "./manifest-reader.ts";
import { timeSlice } from "../time-slice.ts";

interface FileRecord {
  identity: string;
  hash: string;
  objects: readonly Manifest[];
  /** Whether a version without any error was read: from then on a broken version changes nothing. */
  whole: boolean;
  /** When it was first seen empty, in milliseconds; most writers truncate first and write then. */
  emptySinceMs: number | undefined;
}

export interface FolderOptions {
  readonly paths: readonly string[];
  readonly namespace: string;
  readonly cluster: ManifestCluster;
  readonly signal: AbortSignal;
  onFinding(finding: Finding): void;
  onNote(text: string): void;
}

export interface ManifestFolder {
  /** Reads what has changed and tells the cluster. */
  refresh(hint: Hint): Promise<void>;
  fileCount(): number;
  objectCount(): number;
}

// A file has to be empty for this long to count as emptied.
const EMPTY_MS = 1_000;
// Changed files that are told of one by one; more (a checkout, a ConfigMap) are one line.
const MAX_NEWS = 3;

/** No file is known yet. */
export function createManifestFolder({ paths, namespace, cluster, signal, onFinding, onNote }: FolderOptions): ManifestFolder {
  const records = new Map<string, FileRecord>();
  let known: ReadonlyMap<string, Problem> = new Map();
  /** What has become of files since the last refresh: one note each. */
  let news: string[] = [];
  let isFirst = true;

  async function refresh(hint: Hint): Promise<void> {
    const slice = timeSlice();
    const present = hint === "anything" ? await list() : await look(hint);
    const changed: [string, SeenFile][] = [];
    for (const [file, seen] of present) {
      if (seen === undefined) forget(file);
      else if (isBeingWritten(file, seen)) continue;
      else if (hint !== "anything" || records.get(file)?.identity !== seen.identity) changed.push([file, seen]);
      if (slice.isOver()) await slice.next(); // 10,000 files take 15 ms
    }
    const identities = new Map(changed.map(([file, { identity }]) => [file, identity]));
    const files = changed.map(([file, { bytes }]) => ({ file, bytes, hash: records.get(file)?.hash ?? "" }));
    for await (const [file, content] of readManifestFiles(files, namespace)) {
      if (signal.aborted) return;
      take(file, identities.get(file) as string, content);
      if (slice.isOver()) await slice.next();
    }
    tellNews();
  }

  // The first load has its own summary.
  function tellNews(): void {
    const told = isFirst ? [] : news.length > MAX_NEWS ? [`manifests: ${news.length} files have changed or are gone`] : news;
    for (const text of told) onNote(text);
    news = [];
    isFirst = false;
  }

  /** A file that has just become empty is looked at again before its objects are given up. */
  function isBeingWritten(file: string, { bytes }: SeenFile): boolean {
    const record = records.get(file);
    if (record === undefined) return false;
    if (bytes > 0 || record.objects.length === 0) {
      record.emptySinceMs = undefined;
      return false;
    }
    record.emptySinceMs ??= performance.now();
    record.identity = "";
    return performance.now() - record.emptySinceMs < EMPTY_MS;
  }

  async function list(): Promise<Map<string, SeenFile | undefined>> {
    const { files, problems } = await listManifestFiles(paths);
    for (const [path, problem] of problems) {
      if (known.get(path)?.message !== problem.message) onFinding({ file: path, line: 1, column: 0, ...problem });
    }
    known = problems;
    const present = new Map<string, SeenFile | undefined>(files);
    for (const file of records.keys()) if (!files.has(file)) present.set(file, undefined);
    return present;
  }

  async function look(files: ReadonlySet<string>): Promise<Map<string, SeenFile | undefined>> {
    const present = new Map<string, SeenFile | undefined>();
    for (const file of [...files].sort()) present.set(file, await identify(file));
    return present;
  }

  function forget(file: string): void {
    const record = records.get(file);
    if (record === undefined) return;
    cluster.replace(record.objects, []);
    records.delete(file);
    news.push(`${file}: gone, ${formatCount(record.objects.length)} no longer served`);
  }

  function take(file: string, identity: string, content: FileContent): void {
    if (content.state === "missing") return forget(file);
    const verb = records.has(file) ? "read again" : "read";
    const record = records.get(file) ?? { identity, hash: "", objects: [], whole: false, emptySinceMs: undefined };
    records.set(file, record);
    record.identity = identity;
    if (content.state === "unchanged") return;
    if (content.state === "refused") return onFinding(content.finding);
    // Truncated between the look at it and the reading.
    if (content.isEmpty && isBeingWritten(file, { identity, bytes: 0 })) return;
    record.hash = content.hash;
    const { objects, findings, notes } = content.parsed;
    for (const finding of findings) onFinding(finding);
    for (const note of notes) onNote(note);
    if (findings.length > 0 && record.whole) return;
    record.whole = findings.length === 0;
    cluster.replace(record.objects, objects);
    record.objects = objects;
    news.push(`${file}: ${verb}, ${formatCount(objects.length)}`);
  }

  return {
    refresh,
    fileCount: () => records.size,
    objectCount: () => [...records.values()].reduce((sum, record) => sum + record.objects.length, 0),
  };
}

function formatCount(objects: number): string {
  return objects === 1 ? "1 object" : `${objects} objects`;
}
