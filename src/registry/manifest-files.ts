// Which manifest files there are, and when one may have changed. Called by manifests.ts. fs.watch is quick but not
// reliable (a watch on a file is dead after a ConfigMap's symlink swap, network file systems tell nothing), so
// directories are watched, never files, and everything is looked at again from time to time.

import { type FSWatcher, watch } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Finding } from "../errors.ts";

/** Folders are not descended into, as with `kubectl apply -f DIR`. */
const MANIFEST_NAME = /^[^.].*\.(ya?ml|json)$/;
/** Quiet time after an event: editors and `kubectl cp` write in several steps. */
const SETTLE_MS = 20;
/** But not for longer than this: an edit is to be answered within 100 ms. */
const MAX_SETTLE_MS = 60;
/** Between two looks at everything; more where a look takes long, so that looking costs at most 2 % of one CPU. */
const POLL_MS = 2_000;
const POLL_COST_FACTOR = 50;
/** Looked at together: enough to hide latency, little enough to leave the thread pool to others. */
const STATS_AT_ONCE = 16;

export interface SeenFile {
  /** What the content is known by without reading it: time, size, inode. */
  readonly identity: string;
  readonly bytes: number;
}

export interface Listing {
  /** By path, as reported. */
  readonly files: ReadonlyMap<string, SeenFile>;
  /** Paths that could not be listed (an error) or have nothing to read (a warning), and why. */
  readonly problems: ReadonlyMap<string, Problem>;
}

export type Problem = Pick<Finding, "severity" | "message">;

const EXPECTED = "manifests: expected a folder with *.yaml, *.yml or *.json files, or one such file";
const EMPTY = "manifests: no *.yaml, *.yml or *.json files here; folders in it are not read";

/** The manifest files under the paths, each a file or a folder, in sorted order. Never rejects. */
export async function listManifestFiles(paths: readonly string[]): Promise<Listing> {
  const files = new Map<string, SeenFile>();
  const problems = new Map<string, Problem>();
  for (const path of paths) {
    try {
      const entry = await stat(path);
      if (entry.isDirectory()) {
        const names = (await readdir(path)).filter((name) => MANIFEST_NAME.test(name)).sort();
        if (names.length === 0) problems.set(path, { severity: "warning", message: EMPTY });
        for (let at = 0; at < names.length; at += STATS_AT_ONCE) {
          const part = names.slice(at, at + STATS_AT_ONCE).map((name) => join(path, name));
          const identities = await Promise.all(part.map(identify));
          for (const [index, identity] of identities.entries()) if (identity !== undefined) files.set(part[index] as string, identity);
        }
      } else {
        const identity = await identify(path);
        if (identity === undefined) problems.set(path, { severity: "error", message: `${EXPECTED}: this is neither a file nor a folder` });
        else files.set(path, identity);
      }
    } catch (error) {
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      problems.set(path, { severity: "error", message: `${EXPECTED}: ${isMissing ? "there is no such file or folder" : String(error)}` });
    }
  }
  if (paths.length === 1) return { files, problems }; // sorted already
  return { files: new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1))), problems };
}

/** Undefined if it is no regular file (a FIFO would block the reader for good). */
export async function identify(path: string): Promise<SeenFile | undefined> {
  try {
    const entry = await stat(path, { bigint: true });
    if (!entry.isFile()) return undefined;
    return { identity: `${entry.mtimeNs}:${entry.size}:${entry.ino}:${entry.dev}`, bytes: Number(entry.size) };
  } catch {
    return undefined;
  }
}

/** What may have changed: these files, or anything. */
export type Hint = ReadonlySet<string> | "anything";

export interface ManifestWatch {
  /** Resolves with what may have changed since the last call; undefined once stopped. */
  next(): Promise<Hint | undefined>;
  /** Tells how long a look at everything took; the next one is due accordingly. */
  looked(tookMs: number): Promise<void>;
  stop(): void;
}

/** Watches the folders of the paths. Events that come before next() is called are kept. */
export function watchManifestFiles(paths: readonly string[]): ManifestWatch {
  const watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: string }>();
  const plainFiles = new Set<string>();
  const changed = new Set<string>();
  let anything = false;
  let following = false;
  let stopped = false;
  let settling: NodeJS.Timeout | undefined;
  let heardAtMs = 0;
  let poll: NodeJS.Timeout | undefined;
  let wake: (() => void) | undefined;

  function hear(folder: string, name: string | null): void {
    if (stopped) return;
    for (const path of paths) {
      if (resolve(path) === folder) {
        if (name !== null && MANIFEST_NAME.test(name)) changed.add(join(path, name));
        else if (name === null || name.startsWith("..")) anything = true;
      } else if (resolve(dirname(path)) === folder) {
        if (name === basename(path) && plainFiles.has(path)) changed.add(path);
        else if (name === null || name === basename(path) || name.startsWith("..")) anything = true;
      }
    }
    if (!anything && changed.size === 0) return;
    if (settling !== undefined) clearTimeout(settling);
    else heardAtMs = performance.now();
    const leftMs = heardAtMs + MAX_SETTLE_MS - performance.now();
    settling = setTimeout(() => wake?.(), Math.max(0, Math.min(SETTLE_MS, leftMs)));
  }

  /** (Re)creates the watches of folders that have appeared or been replaced. */
  async function follow(): Promise<void> {
    const folders = new Set<string>();
    for (const path of paths) {
      folders.add(resolve(dirname(path)));
      const entry = await stat(path).catch(() => undefined);
      if (entry?.isDirectory() === true) folders.add(resolve(path));
      if (entry?.isFile() === true) plainFiles.add(path);
      else plainFiles.delete(path);
    }
    for (const folder of folders) {
      const inode = await stat(folder).then(
        ({ dev, ino }) => `${dev}:${ino}`,
        () => undefined,
      );
      const known = watchers.get(folder);
      if (known !== undefined && known.inode === inode) continue;
      known?.watcher.close();
      watchers.delete(folder);
      if (inode === undefined || stopped) continue;
      try {
        // An inotify watch is a convenience: without one (ENOSPC, EMFILE) the poll still finds every change.
        const watcher = watch(folder, { persistent: false }, (_, name) => hear(folder, name));
        watcher.on("error", () => watchers.delete(folder));
        watchers.set(folder, { watcher, inode });
        // What happened before the watch stood was not heard.
        if (following) hear(folder, null);
      } catch {
        continue;
      }
    }
    following = true;
  }

  return {
    async next() {
      if (!stopped && !anything && changed.size === 0) await new Promise<void>((done) => (wake = done));
      wake = undefined;
      if (settling !== undefined) clearTimeout(settling);
      settling = undefined;
      if (stopped) return undefined;
      const hint: Hint = anything ? "anything" : new Set(changed);
      anything = false;
      changed.clear();
      return hint;
    },
    async looked(tookMs) {
      await follow();
      if (poll !== undefined) clearTimeout(poll);
      if (stopped) return;
      poll = setTimeout(
        () => {
          anything = true;
          wake?.();
        },
        Math.max(POLL_MS, tookMs * POLL_COST_FACTOR),
      ).unref();
    },
    stop() {
      stopped = true;
      if (poll !== undefined) clearTimeout(poll);
      if (settling !== undefined) clearTimeout(settling);
      for (const { watcher } of watchers.values()) watcher.close();
      watchers.clear();
      wake?.();
    },
  };
}
