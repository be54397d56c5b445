// The sources of a server's registries. Configurations ask for them by key and share what has the same one: a source runs
// once for all that use it and ends with the last, so that a reload keeps a registry whose source stays what it is.

import { systemClock, type Clock } from "./clock.ts";
import { NdotsError, type Finding } from "./errors.ts";
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
  readonly clock?: Clock;
}

export interface Sources {
  /** A configuration's share. */
  lease(): Lease;
}

/** The sources that one configuration uses. */
export interface Lease {
  /**
   * The registry that the source fills; without one, the registry that the program fills. `plugin` asks. Throws what create()
   * throws, and NDOTS_ERR_CONFIG for a source whose file another one writes.
   */
  of(plugin: string, spec?: SourceSpec): WritableRegistry;
  /** The first source's registry, else the program's. */
  readonly first: Registry;
  /** Every source has delivered its first full state. */
  readonly isFilled: boolean;
  /**
   * Runs those sources that no other configuration runs already. Resolves when each has delivered its first full state or its
   * time to do so is over, or when `signal` aborts; rejects if one fails before.
   */
  run(signal: AbortSignal, during?: "start" | "reload"): Promise<void>;
  /** Runs, once, what reads files here; resolves when that has ended. For commands that only look. */
  load(): Promise<void>;
  /** Gives the share back; resolves when the sources that nobody uses any more have ended. Never rejects. */
  end(): Promise<void>;
}

interface Running {
  readonly plugin: string;
  readonly spec: SourceSpec;
  readonly registry: WritableRegistry;
  readonly source: Source;
  readonly log: Log;
  readonly clock: Clock;
  readonly ending: AbortController;
  users: number;
  run: Promise<void> | undefined;
  /** A start or reload waits for its first full state, and is to be told of a failure. */
  isAwaited: boolean;
}

export function createSources({ log, metrics, report, clock = systemClock }: SourcesOptions): Sources {
  const own = createRegistry();
  const bySpec = new Map<string, Running>();

  function create(plugin: string, spec: SourceSpec): Running {
    const context = { log: log.plugin(plugin), metrics, report };
    const source = spec.create(context);
    const registry = createRegistry({ sources: [source.name] });
    const ending = new AbortController();
    return { plugin, spec, registry, source, log: context.log, clock, ending, users: 0, run: undefined, isAwaited: true };
  }

  function start(running: Running, during: "start" | "reload"): Promise<void> {
    running.run ??= supervise(running);
    running.run.catch(() => undefined); // told by filled()
    return filled(running, running.run, during);
  }

  return {
    lease() {
      const used = new Map<string, Running>();
      return {
        of(plugin, spec) {
          if (spec === undefined) return own;
          const mine = used.get(spec.key);
          if (mine !== undefined) return mine.registry;
          if (spec.writes !== undefined && [...used.values()].some((other) => other.spec.writes === spec.writes)) {
            const message = `${spec.writes} is written by another source, which differs from this one: each needs a file of its own`;
            throw new NdotsError("NDOTS_ERR_CONFIG", message);
          }
          let running = bySpec.get(spec.key);
          if (running === undefined) bySpec.set(spec.key, (running = create(plugin, spec)));
          running.users++;
          used.set(spec.key, running);
          return running.registry;
        },
        get first() {
          for (const { registry } of used.values()) return registry;
          return own;
        },
        get isFilled() {
          return [...used.values()].every(({ registry }) => registry.synced);
        },
        async run(signal, during = "start") {
          await unlessAborted(Promise.all(Array.from(used.values(), (running) => start(running, during))), signal);
        },
        async load() {
          for (const { plugin, spec } of used.values()) if (spec.local !== undefined) this.of(plugin, spec.local);
          await Promise.all([...used.values()].filter(({ spec }) => spec.remote !== true).map((running) => start(running, "start")));
          await this.end();
        },
        async end() {
          const ended: Promise<void>[] = [];
          for (const [key, running] of used) {
            used.delete(key);
            if (--running.users > 0) continue;
            bySpec.delete(key);
            running.ending.abort();
            if (running.run !== undefined) ended.push(running.run.catch(() => undefined)); // told by filled()
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

/** A reload can wait for so many times what a start waits, for what runs goes on: a minute with the default. */
const RELOAD_PATIENCE = 12;

// A source that ends or fails early ends the wait.
async function filled(running: Running, run: Promise<void>, during: "start" | "reload"): Promise<void> {
  const {
    registry,
    log,
    clock,
    ending: { signal },
    spec: { startupTimeoutMs },
  } = running;
  const full = Promise.race([registry.whenSynced(), run]);
  const waiting = new AbortController();
  try {
    if (startupTimeoutMs === undefined) return await full;
    const isStart = during === "start";
    if (!registry.synced && isStart) log.info("waiting for Kubernetes API before starting server");
    await Promise.race([full, clock.delay(isStart ? startupTimeoutMs : RELOAD_PATIENCE * startupTimeoutMs, waiting.signal)]);
    if (!registry.synced && isStart && !signal.aborted) log.warning("starting server with unsynced Kubernetes API");
  } finally {
    waiting.abort();
    running.isAwaited = false;
  }
}

/** Pause before a source that has died is run again: doubled each time, within these bounds. */
const RESTART_MS = { least: 1_000, most: 30_000 };

// A source that fails while it is waited for fails the start; later it is told and run again, and the registry goes on
// with what it has.
async function supervise(running: Running): Promise<void> {
  const {
    source,
    registry,
    log,
    clock,
    ending: { signal },
  } = running;
  for (let pauseMs = RESTART_MS.least; ; pauseMs = Math.min(2 * pauseMs, RESTART_MS.most)) {
    try {
      return await source.run(registry, () => registry.markSynced(source.name), signal);
    } catch (error) {
      if (running.isAwaited && !registry.synced && !signal.aborted) throw error;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (signal.aborted) return log.error(`source ${source.name} failed as it ended: ${text}`);
      log.error(`source ${source.name} failed and is started again in ${pauseMs / 1000} s: ${text}`);
      await clock.delay(pauseMs, signal);
      if (signal.aborted) return;
    }
  }
}
