// Reads manifest files: refused by their size before they are opened, parsed here when few and small, in a worker
// thread when many or large, so that answers go on and the parser's garbage goes with the thread. Called by
// manifest-folder.ts.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Worker } from "node:worker_threads";
import type { Finding } from "../errors.ts";
import { startWorker } from "../threads.ts";
import type { Intern } from "./manifest-fields.ts";
import type { Manifest } from "./manifest-objects.ts";
import { type ParsedManifests, parseManifests } from "./manifest-projection.ts";

/** Larger files are refused: 16 MiB hold about 60,000 Services. */
export const MAX_FILE_BYTES: number = 16 * 1024 * 1024;
// Parsed in the main thread up to here: 32 KiB take about 9 ms (0.27 ms a KiB), and no pause may exceed 20 ms.
const MAX_INLINE_BYTES = 32 * 1024;
// In all: starting a worker takes about as long as this much text.
const MAX_INLINE_TOTAL_BYTES = 256 * 1024;
// For one step of the worker. A 16 MiB file takes 10–20 s; what takes longer is an attack on the parser.
const MAX_STEP_MS = 60_000;
// A small young generation keeps the worker's memory low. The rest is a last resort: manifest-text.ts bounds a document
// to less, for running out of memory in a worker may end the process.
const WORKER_LIMITS = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 2048 };

export type FileContent =
  | { readonly state: "missing" }
  | { readonly state: "unchanged" }
  | { readonly state: "refused"; readonly finding: Finding }
  | { readonly state: "read"; readonly hash: string; readonly isEmpty: boolean; readonly parsed: ParsedManifests };

/** A file to read, and what is known of it. */
export interface FileToRead {
  readonly file: string;
  readonly bytes: number;
  /** Of the content that is known already; "" if none is. */
  readonly hash: string;
}

/** What the worker is asked: to begin with files, or to go on. */
export type WorkerRequest = { readonly files: readonly FileToRead[]; readonly namespace: string } | "next";

/** A file, or some of its objects; what is said of the file is the same in all its parts. The worker answers with a few. */
export interface FilePart {
  readonly file: string;
  readonly content: FileContent;
  readonly objects: readonly Manifest[];
  readonly isLast: boolean;
}

/** Reads the files in their order; objects that name no namespace get `namespace`. */
export async function* readManifestFiles(files: readonly FileToRead[], namespace: string): AsyncGenerator<readonly [string, FileContent]> {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total <= MAX_INLINE_TOTAL_BYTES && files.every(({ bytes }) => bytes <= MAX_INLINE_BYTES)) {
    const intern = interner();
    for (const { file, hash } of files) yield [file, readSmall(() => readFileSync(file), file, hash, namespace, intern)];
    return;
  }
  for (const { file, bytes } of files) {
    if (bytes > MAX_FILE_BYTES) yield [file, refused(file, `is ${bytes} bytes: files over ${MAX_FILE_BYTES} bytes are refused`)];
  }
  let left = files.filter(({ bytes }) => bytes <= MAX_FILE_BYTES);
  while (left.length > 0) {
    const done = new Set<string>();
    try {
      for await (const [file, content] of readInWorker(left, namespace)) {
        done.add(file);
        yield [file, content];
      }
      return;
    } catch (error) {
      // The worker died of a file, the first that is not done; the others have a new one.
      left = left.filter(({ file }) => !done.has(file));
      const [victim] = left.splice(0, 1);
      if (victim === undefined) return;
      yield [victim.file, refused(victim.file, `can't be read: ${error instanceof Error ? error.message : String(error)}`)];
    }
  }
}

async function* readInWorker(files: readonly FileToRead[], namespace: string): AsyncGenerator<readonly [string, FileContent]> {
  const worker = startWorker(new URL("./manifest-worker", import.meta.url), { resourceLimits: WORKER_LIMITS });
  const compact = compactor();
  try {
    let objects: Manifest[] = [];
    for (let request: WorkerRequest = { files, namespace }; ; request = "next") {
      const parts = await ask(worker, request);
      if (parts.length === 0) return;
      for (const part of parts) {
        for (const object of part.objects) objects.push(compact(object) as Manifest);
        if (!part.isLast) continue;
        const { content } = part;
        const file = compact(part.file) as string; // the same string as in the objects' positions
        yield [file, content.state === "read" ? { ...content, parsed: { ...content.parsed, objects: objects.slice() } } : content];
        objects = [];
      }
    }
  } finally {
    await worker.terminate();
  }
}

/** Reads one file at once. Never throws. */
export function readSmall(load: () => Uint8Array, file: string, hash: string, namespace: string, intern: Intern): FileContent {
  let bytes: Uint8Array;
  try {
    bytes = load();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { state: "missing" };
    return refused(file, `can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const found = createHash("sha256").update(bytes).digest("base64");
  if (found === hash) return { state: "unchanged" };
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return refused(file, "is not text in UTF-8");
  }
  return { state: "read", hash: found, isEmpty: bytes.length === 0, parsed: parseManifests({ file, text, namespace }, intern) };
}

// What comes from another thread has a copy of each string for each use, and roomier objects than literals have: this
// saves nearly half of the memory.
function compactor(): (value: unknown) => unknown {
  const strings = new Map<string, string>();
  const alike = new Map<string, unknown>();

  function compact(value: unknown): unknown {
    if (typeof value === "string") {
      const same = strings.get(value);
      if (same === undefined) strings.set(value, value);
      return same ?? value;
    }
    if (Array.isArray(value)) return value.map(compact);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, ALIKE.has(key) ? shared(item) : compact(item)]));
  }

  function shared(value: unknown): unknown {
    const key = JSON.stringify(value);
    const known = alike.get(key);
    if (known !== undefined) return known;
    const first = compact(value);
    alike.set(key, first);
    return first;
  }

  return compact;
}

/** Fields that are the same in many objects: one value serves all, for none is ever changed. */
const ALIKE: ReadonlySet<string> = new Set(["ports", "ipFamilies"]);

function refused(file: string, message: string): FileContent {
  return { state: "refused", finding: { file, line: 1, column: 0, severity: "error", message } };
}

function interner(): Intern {
  const known = new Map<string, string>();
  return (text) => {
    const same = known.get(text);
    if (same !== undefined) return same;
    const copy = Buffer.from(text).toString();
    known.set(copy, copy);
    return copy;
  };
}

function ask(worker: Worker, request: WorkerRequest): Promise<readonly FilePart[]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(() => reject(new Error(`took longer than ${MAX_STEP_MS / 1000} s`))), MAX_STEP_MS);
    const onMessage = (parts: readonly FilePart[]): void => settle(() => resolve(parts));
    const onError = (error: unknown): void => settle(() => reject(error as Error));
    const onExit = (): void => settle(() => reject(new Error("the thread that read it has ended")));
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    worker.postMessage(request);

    function settle(then: () => void): void {
      clearTimeout(timer);
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      then();
    }
  });
}
