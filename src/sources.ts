// The sources of a server's registries. Configurations ask for them by key and share what has the same one: a source runs
// once for all that use it and ends with the last, so that a reload keeps a registry whose source stays what it is.

import { setTimeout as delay } from "node:timers/promises";
import type { Finding } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { SourceSpec } from "./plugin.ts";
import { createRegistry, type Registry, type Source, type WritableRegistry } from "./registry/registry.ts";

export interface SourcesOptions {
  readonly log: Log;
  /** Of the server's life: sources outlive configurations. */
  readonly metrics: Metrics;
  /** Told of what sources find wrong. */
  readonly report: (finding: Finding) => void;
}

export interface Sources {
  /** A configuration's share. */
  lease(): Lease;
}

/** The sources that one configuration uses. */
export interface Lease {
  /** The registry that the source fills; without one, the registry that the program fills. `plugin` asks. Throws what create() throws. */
  of(plugin: string, spec?: SourceSpec): WritableRegistry;
  /** The first source's registry, else the program's. */
  readonly first: Registry;
  /**
   * Runs those sources that no other configuration runs already. Resolves when each has delivered its first full state or its
   * time to do so is over, or when `signal` aborts; rejects if one fails before.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Runs, once, those that read files here; resolves when they have ended. For commands that only look. */
  load(): Promise<void>;
  /** Gives the share back; resolves when the sources that nobody uses any more have ended. */
  end(): Promise<void>;
}

interface Running {
  readonly registry: WritableRegistry;
  readonly source: Source;
  readonly log: Log;
  readonly startupTimeoutMs: number | undefined;
  readonly isRemote: boolean;
  readonly ending: AbortController;
  users: number;
  run: Promise<void> | undefined;
}

export function createSources({ log, metrics, report }: SourcesOptions): Sources {
  const own = createRegistry();
  const bySpec = new Map<string, Running>();

  function start(running: Running): Promise<void> {
    running.run ??= supervise(running);
    running.run.catch(() => undefined); // told by run() or end()
    return filled(running, running.run);
  }

  return {
    lease() {
      const used = new Map<string, Running>();
      return {
        of(plugin, spec) {
          if (spec === undefined) return own;
          const mine = used.get(spec.key);
          if (mine !== undefined) return mine.registry;
          let running = bySpec.get(spec.key);
          if (running === undefined) {
            const source = spec.create({ log: log.plugin(plugin), metrics, report });
            const registry = createRegistry({ sources: [source.name] });
            running = {
              registry,
              source,
              log: log.plugin(plugin),
              startupTimeoutMs: spec.startupTimeoutMs,
              isRemote: spec.remote === true,
              ending: new AbortController(),
              users: 0,
              run: undefined,
            };
            bySpec.set(spec.key, running);
          }
          running.users++;
          used.set(spec.key, running);
          return running.registry;
        },
        get first() {
          for (const { registry } of used.values()) return registry;
          return own;
        },
        async run(signal) {
          await unlessAborted(Promise.all(Array.from(used.values(), start)), signal);
        },
        async load() {
          await Promise.all([...used.values()].filter(({ isRemote }) => !isRemote).map(start));
          await this.end();
        },
        async end() {
          const ended: Promise<void>[] = [];
          for (const [key, running] of used) {
            used.delete(key);
            if (--running.users > 0) continue;
            bySpec.delete(key);
            running.ending.abort();
            if (running.run !== undefined) ended.push(running.run);
          }
          await Promise.all(ended);
        },
      };
    },
  };
}

function unlessAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const give = (): void => resolve();
    if (signal.aborted) give();
    signal.addEventListener("abort", give, { once: true });
    work.then(give, reject).finally(() => signal.removeEventListener("abort", give));
  });
}

// A source that ends or fails early ends the wait.
async function filled({ registry, log, startupTimeoutMs }: Running, run: Promise<void>): Promise<void> {
  const full = Promise.race([registry.whenSynced(), run]);
  if (startupTimeoutMs === undefined) return full;
  if (!registry.synced) log.info("waiting for Kubernetes API before starting server");
  const timer = new AbortController();
  const isLate = delay(startupTimeoutMs, "late" as const, { signal: timer.signal }).catch(() => undefined); // aborted below
  try {
    if ((await Promise.race([full, isLate])) === "late" && !registry.synced) log.warning("starting server with unsynced Kubernetes API");
  } finally {
    timer.abort();
  }
}

/** Pause before a source that has died is run again: doubled each time, within these bounds. */
const RESTART_MS = { least: 1_000, most: 30_000 };

// A source that fails before its first full state fails the start; later it is told and run again, and the registry
// goes on with what it has.
async function supervise({ source, registry, ending: { signal }, log }: Running): Promise<void> {
  for (let pauseMs = RESTART_MS.least; ; pauseMs = Math.min(2 * pauseMs, RESTART_MS.most)) {
    try {
      return await source.run(registry, () => registry.markSynced(source.name), signal);
    } catch (error) {
      if (!registry.synced || signal.aborted) throw error;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      log.error(`source ${source.name} failed and is started again in ${pauseMs / 1000} s: ${text}`);
      await delay(pauseMs, undefined, { signal }).catch(() => undefined); // aborted: nobody uses it any more
      if (signal.aborted) return;
    }
  }
}
