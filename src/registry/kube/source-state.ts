// How the source fares: from what each resource has delivered, when it was last heard of and what keeps it, to the state of
// the registry and to the log. An outage is one line a minute, and nothing that the registry holds is given up for it.

import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { WritableRegistry } from "../registry.ts";
import type { Problem } from "./reflector.ts";
import type { Resource } from "./resources.ts";

export interface SourceStateOptions {
  readonly resources: readonly Resource[];
  readonly registry: WritableRegistry;
  readonly clock: Clock;
  readonly log: Log;
  /** What can't be had for so long is stale. */
  readonly staleAfterMs: number;
  /** Of the API server, for messages. */
  readonly host: string;
  /** Every resource has been listed once. */
  readonly onSynced: () => void;
}

export interface SourceState {
  /** Milliseconds since the server has last sent something of a resource (the longest of its namespaces); undefined before. */
  ageMs(resource: string): number | undefined;
  contact(resource: Resource): void;
  listed(resource: Resource): void;
  problem(resource: Resource, problem: Problem | undefined): void;
  /** An object was left out. */
  skipped(resource: Resource, what: string): void;
  /** Looks at the ages until the signal aborts. */
  watchAges(signal: AbortSignal): Promise<void>;
}

/** Between two lines about the same outage, or about objects that are left out. */
const LOG_EVERY_MS = 60_000;
/** A watch may be silent for so long: bookmarks come about each minute, and it is given up after this. */
const QUIET_MS = 130_000;
/** How often ages are looked at. */
const LOOK_MS = 1_000;

export function createSourceState(options: SourceStateOptions): SourceState {
  const { resources, registry, clock, log, staleAfterMs, host, onSynced } = options;
  const contacts = new Map<Resource, number>();
  const awaited = new Set(resources);
  const problems = new Map<Resource, string>();
  const startedMs = clock.monotonic();
  const mayTellOutage = atMostEvery(LOG_EVERY_MS, clock);
  const maySkip = atMostEvery(LOG_EVERY_MS, clock);
  let outageSinceMs: number | undefined;
  let hasTold = false;
  let skippedSince = 0;

  // What was never delivered is unknown, not stale; and silence alone is none of it while bookmarks may be on their way.
  function isStale(resource: Resource): boolean {
    const heardMs = contacts.get(resource);
    if (awaited.has(resource) || heardMs === undefined) return false;
    const bound = problems.has(resource) ? staleAfterMs : Math.max(staleAfterMs, QUIET_MS);
    return clock.monotonic() - heardMs >= bound;
  }

  function lookAtAges(): void {
    if (registry.freshness === "snapshot" && awaited.size > 0) return;
    registry.setFreshness(resources.some(isStale) ? "stale" : "current");
  }

  function tell(): void {
    const now = clock.monotonic();
    if (problems.size === 0) {
      if (hasTold && outageSinceMs !== undefined)
        log.info(`Kubernetes API at ${host}: works again after ${durationText(now - outageSinceMs)}`);
      outageSinceMs = undefined;
      hasTold = false;
      return;
    }
    outageSinceMs ??= now;
    if (!mayTellOutage()) return;
    hasTold = true;
    const lastMs = Math.max(...contacts.values());
    const since =
      contacts.size === 0 ? `nothing heard for ${durationText(now - startedMs)}` : `last heard of ${durationText(now - lastMs)} ago`;
    const then = registry.synced ? "answering with what is known" : "waiting for it";
    log.warning(`Kubernetes API at ${host}: ${textOf(resources, problems)}; ${since}, ${then}`);
  }

  return {
    ageMs(name) {
      const times = resources.filter((each) => each.name === name).map((each) => contacts.get(each) ?? Number.NaN);
      const oldest = Math.min(...times);
      return Number.isFinite(oldest) ? clock.monotonic() - oldest : undefined;
    },
    contact(resource) {
      contacts.set(resource, clock.monotonic());
      if (registry.freshness === "stale") lookAtAges();
    },
    listed(resource) {
      if (!awaited.delete(resource)) return;
      if (![...awaited].some(({ kind }) => kind === resource.kind)) registry.markKnown(resource.kind);
      if (awaited.size > 0) return;
      lookAtAges();
      onSynced();
    },
    problem(resource, problem) {
      if (problem === undefined && !problems.has(resource)) return;
      if (problem === undefined) problems.delete(resource);
      else problems.set(resource, problem.text);
      registry.setProblem(problems.size === 0 ? undefined : textOf(resources, problems));
      tell();
    },
    skipped({ name }, what) {
      skippedSince++;
      if (!maySkip()) return;
      const others = skippedSince > 1 ? ` (and ${skippedSince - 1} more since the last line)` : "";
      log.warning(`${name}: an object is left out: ${what}${others}`);
      skippedSince = 0;
    },
    async watchAges(signal) {
      while (!signal.aborted) {
        await clock.delay(LOOK_MS, signal);
        if (!signal.aborted) lookAtAges();
      }
    },
  };
}

// `services, endpointslices: connection refused by 10.96.0.1:443; pods: 403 Forbidden`
function textOf(resources: readonly Resource[], problems: ReadonlyMap<Resource, string>): string {
  const byText = new Map<string, Set<string>>();
  for (const resource of resources) {
    const text = problems.get(resource);
    if (text === undefined) continue;
    const { name, namespace } = resource;
    const place = namespace === undefined ? name : `${name} in ${namespace}`;
    byText.set(text, (byText.get(text) ?? new Set()).add(place));
  }
  return [...byText].map(([text, places]) => `${[...places].join(", ")}: ${text}`).join("; ");
}

function atMostEvery(ms: number, clock: Clock): () => boolean {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.monotonic() - last < ms) return false;
    last = clock.monotonic();
    return true;
  };
}

function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
