// Reads one manifest file: refused by its size before it is opened, parsed here when small, in a short-lived worker
// thread when large, so that answers go on. Called by manifests.ts, one file at a time.

import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { Finding } from "../errors.ts";
import type { Intern } from "./manifest-fields.ts";
import type { Manifest } from "./manifest-objects.ts";
import { type ParsedManifests, parseManifests } from "./manifest-projection.ts";

/** Larger files are refused: 16 MiB hold about 60,000 Services. */
export const MAX_FILE_BYTES: number = 16 * 1024 * 1024;
// Parsed in the main thread up to here: 32 KiB take about 9 ms (0.27 ms a KiB), and no pause may exceed 20 ms.
const MAX_INLINE_BYTES = 32 * 1024;
// A 16 MiB file takes 10–20 s in a worker; what takes longer is an attack on the parser.
const MAX_PARSE_MS = 60_000;

export type FileContent =
  | { readonly state: "missing" }
  | { readonly state: "unchanged" }
  | { readonly state: "refused"; readonly finding: Finding }
  | { readonly state: "read"; readonly hash: string; readonly parsed: ParsedManifests };

export interface ManifestReader {
  /** `hash` of the content that is known already, if any. Rejects only for bugs. */
  read(file: string, hash: string | undefined): Promise<FileContent>;
  /** Ends the worker, if one runs; the reader stays usable. */
  rest(): Promise<void>;
}

/** What the worker is asked: a file, or the next objects of the file before. */
export type WorkerRequest = { readonly file: string; readonly namespace: string; readonly hash: string | undefined } | "next";
/** What it answers: about the file, or some of its objects (an empty array: that was all). */
export type WorkerReply =
  | { readonly hash: string; readonly parsed: ParsedManifests | undefined }
  | { readonly objects: readonly Manifest[] };

/** A reader for files whose objects belong to `namespace` unless they say otherwise. */
export function createManifestReader(namespace: string): ManifestReader {
  let worker: Worker | undefined;
  const interned = new Map<string, string>();
  const intern: Intern = (text) => {
    const known = interned.get(text);
    if (known !== undefined) return known;
    const copy = Buffer.from(text).toString();
    interned.set(copy, copy);
    return copy;
  };

  async function readLarge(file: string, hash: string | undefined): Promise<FileContent> {
    worker ??= startWorker("manifest-worker");
    const first = await ask(worker, { file, namespace, hash });
    if (!("parsed" in first)) throw new Error("worker out of step");
    if (first.parsed === undefined) return { state: "unchanged" };
    const objects: Manifest[] = [];
    for (;;) {
      const more = await ask(worker, "next");
      if (!("objects" in more) || more.objects.length === 0) break;
      objects.push(...more.objects);
    }
    return { state: "read", hash: first.hash, parsed: { ...first.parsed, objects } };
  }

  return {
    async read(file, hash) {
      try {
        const { size } = await stat(file);
        if (size > MAX_FILE_BYTES) return refused(file, `is ${size} bytes: files over ${MAX_FILE_BYTES} bytes are refused`);
        if (size > MAX_INLINE_BYTES) return await readLarge(file, hash);
        const bytes = await readFile(file);
        const found = hashOf(bytes);
        if (found === hash) return { state: "unchanged" };
        return { state: "read", hash: found, parsed: parseBytes(bytes, file, namespace, intern) };
      } catch (error) {
        if (codeOf(error) === "ENOENT") return { state: "missing" };
        await this.rest();
        return refused(file, `can't be read: ${error instanceof Error ? error.message : String(error)}`);
      }
    },
    async rest() {
      interned.clear();
      const ending = worker;
      worker = undefined;
      await ending?.terminate();
    },
  };
}

export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

/** UTF-8, with or without a byte order mark, as YAML and JSON have it. */
export function parseBytes(bytes: Uint8Array, file: string, namespace: string, intern: Intern): ParsedManifests {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { objects: [], findings: [{ file, line: 1, column: 0, severity: "error", message: "is not text in UTF-8" }], notes: [] };
  }
  return parseManifests({ file, text, namespace }, intern);
}

function ask(worker: Worker, request: WorkerRequest): Promise<WorkerReply> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(() => reject(new Error(`took longer than ${MAX_PARSE_MS / 1000} s`))), MAX_PARSE_MS);
    const onMessage = (reply: WorkerReply): void => settle(() => resolve(reply));
    const onError = (error: unknown): void => settle(() => reject(error as Error));
    const onExit = (): void => settle(() => reject(new Error("the worker ended")));
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    worker.postMessage(request);

    function settle(then: () => void): void {
      clearTimeout(timer);
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      then();
    }
  });
}

/** Starts a worker from a module beside this one. From sources, Node 20 can't load it without tsx's own loader. */
export function startWorker(name: string): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(new URL(`./${name}.js`, import.meta.url), { execArgv: [] });
  const loader = createRequire(import.meta.url).resolve("tsx/esm/api");
  const module = new URL(`./${name}.ts`, import.meta.url).href;
  const bootstrap = `import(${JSON.stringify(loader)}).then(({ tsImport }) => tsImport(${JSON.stringify(module)}, ${JSON.stringify(import.meta.url)}))`;
  return new Worker(bootstrap, { eval: true, execArgv: [] });
}

function refused(file: string, message: string): FileContent {
  return { state: "refused", finding: { file, line: 1, column: 0, severity: "error", message } };
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
