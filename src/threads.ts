// Starts worker threads, from sources (tsx) and from dist alike. Called by the manifests' reader and the listeners.

import { createRequire } from "node:module";
import { Worker, type WorkerOptions } from "node:worker_threads";

export type ThreadOptions = Pick<WorkerOptions, "name" | "workerData" | "transferList" | "resourceLimits">;

/** @param module the worker's module without its extension, as a URL relative to the caller's `import.meta.url`. */
export function startWorker(module: URL, options: ThreadOptions): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(new URL(`${module.href}.js`), { execArgv: [], ...options });
  // Node 20 can't load a worker's module from sources without tsx's own loader.
  const loader = createRequire(import.meta.url)
    .resolve("tsx/esm/api")
    .replace(/\.cjs$/, ".mjs");
  const source = JSON.stringify(`${module.href}.ts`);
  const bootstrap = `import(${JSON.stringify(loader)}).then(({ tsImport }) => tsImport(${source}, ${JSON.stringify(import.meta.url)}))`;
  // c8 would add up the same module twice under two translations, and count lines as missed that are not.
  const { NODE_V8_COVERAGE: _, ...env } = process.env;
  return new Worker(bootstrap, { eval: true, execArgv: [], env, ...options });
}
