// One resource of the API server, kept the same in the registry: list, watch, and what to do when either ends. Started by
// kube-api.ts, once for each resource (and namespace, where only some are watched), so that one that is refused leaves the
// others working. Nothing that comes from the server ends it.
//
//   list ──► watch from the list's version ──ends, is cut──► watch from the last version seen (0.1–1.75 s)
//    ▲                │
//    └── 0–1 s ── 410: that version is gone          a list that fails: 1–30 s, or when the server says
//
// A list is one watch request that begins with all there is (WatchList, KEP-3157), or pages where the server has none.

import { randomInt } from "node:crypto";
import type { Clock } from "../../clock.ts";
import { isObject } from "../manifest-fields.ts";
import type { Change } from "../objects.ts";
import { timeSlice } from "../../time-slice.ts";
import { KubeError, type KubeClient } from "./client.ts";
import { batchesOf, type Mirror } from "./mirror.ts";
import { versionOf } from "./projection.ts";
import { notTheList, Refused, refusalOf } from "./refusal.ts";
import { type BodyReader, MalformedBody, readDocuments, readList } from "./stream.ts";
import { watchdog } from "./watchdog.ts";

/** Why a watch had to be opened again. */
export type RestartReason = "ended" | "cut" | "stalled" | "expired" | "refused" | "malformed" | "unreachable";

export interface ReflectorOptions {
  /** `/api/v1/services` */
  readonly path: string;
  /** Sent with every request: selectors. */
  readonly query?: Readonly<Record<string, string>>;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly mirror: Mirror;
  apply(changes: readonly Change[]): void;
  /** Every list that was taken over, the first one too. */
  onListed(): void;
  /** Events of a watch that changed something, after they are applied. `receivedMs` is monotonic. */
  onApplied(events: readonly WatchEvent[], receivedMs: number): void;
  /** The server has said how this resource is: a whole list, an event, a bookmark, or an open watch. Bytes may be anybody's. */
  onContact(): void;
  /** An attempt has failed, in words for people; undefined once one has not. */
  onProblem(problem: Problem | undefined): void;
  onRelist(): void;
  onRestart(reason: RestartReason): void;
  /** An object was larger than any the server can hold. */
  onTooLarge(bytes: number): void;
  /** A number from 0 up to 1; injected by tests. */
  random?(): number;
}

export interface Problem {
  /** `403 Forbidden`, `connection refused by 10.96.0.1:443` */
  readonly text: string;
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

/** Objects in a page. */
const PAGE = 500;
/** The server ends a watch after a random time between these, so that those of many clients don't end at once. */
const WATCH_SECONDS = { least: 300, most: 600 };
/** Bookmarks come about each minute: twice that without a byte is a connection that is only open on this side. */
const STALL_MS = 130_000;
/** Watches in a row that stay without even a bookmark: the server has not reached their version, as after its etcd was restored. */
const MAX_SILENT = 2;
/** Before a watch is opened again: at first 0.1–0.3 s, so that nobody is a second behind after a cut. */
const RESUME_MS = { least: 100, first: 200, most: 1_750 };
/** Before the list that follows an expired version: all replicas of all clients learn of it in the same moment. */
const RELIST_SPREAD_MS = 1_000;
/** Before a list is tried again, doubled each time: the first bound, and the last. */
const RETRY_MS = { least: 1_000, most: 30_000 };
/** Lists one after the other, each for a version that is gone at once, before that counts as failing. */
const MAX_VAIN = 3;
/** An API server that has just started refuses all until it has read its roles, some seconds long; who is refused still has no right. */
const MAX_BRIEF_REFUSALS = 5;
/** On top of what the server asks to wait. */
const RETRY_AFTER_SPREAD_MS = 1_000;
/**
 * A watch that is open and silent for so long is one: rubbish would have come with its head, and nothing may happen for a
 * minute. With RESUME_MS, all is well within 2 s of an API server's return.
 */
const STANDS_MS = 250;
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";
const [BAD_REQUEST, FORBIDDEN, NOT_FOUND, GONE, TOO_MANY_REQUESTS] = [400, 403, 404, 410, 429];

class Stalled extends Error {}

/** Keeps the mirror and the registry behind it the same as the server's resource until the signal aborts. Never rejects. */
export async function reflect(options: ReflectorOptions, signal: AbortSignal): Promise<void> {
  const { path, client, clock, mirror, random = randomUnit } = options;
  /** Where the watch goes on; undefined: a list is needed. */
  let version: string | undefined;
  let failures = 0;
  /** Refusals, one after the other: how long the server was away before says nothing about them. */
  let refusals = 0;
  let silent = 0;
  let hasWatchList = true;
  /** A list is whole, and not yet told of. */
  let isListed = false;
  let listedMs = Number.NEGATIVE_INFINITY;
  /** Lists that were followed by another one too soon, without a break. */
  let vain = 0;
  /** An event or a bookmark has come that is not told of yet. */
  let hasHeard = false;
  /** What was told last; at first that nothing has been heard. */
  let hasProblem = true;
  /** Continue tokens expire on servers that compact often: then all comes in one page. */
  let limit: number | undefined = PAGE;

  for (let delayMs = 0; !signal.aborted;) {
    if (delayMs > 0) await clock.delay(delayMs, signal);
    if (signal.aborted) return;
    const isList = version === undefined && !hasWatchList;
    try {
      if (version !== undefined) await watch({ resourceVersion: version });
      else if (isList) await list();
      else await watch({ sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" });
      delayMs = isList ? 0 : resumeDelay();
      if (!isList) {
        options.onRestart("ended");
        failures++; // until the next one has sent something
      }
    } catch (error) {
      if (signal.aborted) return;
      delayMs = setback(error);
    }
  }

  // What a failure means for the next attempt; gives the time until then.
  function setback(error: unknown): number {
    const { status, retryAfterMs, isExpired } = error instanceof Refused ? error : NOT_REFUSED;
    if (version !== undefined) options.onRestart(reasonOf(error));
    else if (hasWatchList && status >= BAD_REQUEST && status < 500 && !ANY_LIST_MAY_GET.has(status)) {
      hasWatchList = false;
      return 0;
    }
    if ((isExpired || silent >= MAX_SILENT) && version !== undefined) {
      version = undefined;
      silent = 0;
      vain = clock.monotonic() - listedMs < RETRY_MS.most ? vain + 1 : 0;
      failures = Math.max(0, vain - MAX_VAIN);
      options.onRelist();
      return failures === 0 ? random() * RELIST_SPREAD_MS : retryDelay(failures);
    }
    if (isExpired && limit !== undefined) {
      limit = undefined;
      return random() * RELIST_SPREAD_MS;
    }
    // A stream that was cut is opened again, and only if that fails is it a problem.
    const isCut = version !== undefined && failures === 0 && status === 0;
    if (!isCut) {
      hasProblem = true;
      options.onProblem({ text: messageOf(error), status: status === 0 ? undefined : status });
    }
    refusals = status === FORBIDDEN || status === NOT_FOUND ? refusals + 1 : 0;
    const delayMs = delayAfterFailure();
    failures++;
    return retryAfterMs === undefined ? delayMs : retryAfterMs + random() * RETRY_AFTER_SPREAD_MS;
  }

  function delayAfterFailure(): number {
    if (version === undefined) return retryDelay(refusals > 0 ? refusals - 1 : failures);
    return refusals > MAX_BRIEF_REFUSALS ? retryDelay(refusals - MAX_BRIEF_REFUSALS) : resumeDelay();
  }

  function resumeDelay(): number {
    const most = Math.min(RESUME_MS.most, RESUME_MS.least + RESUME_MS.first * 2 ** failures);
    return RESUME_MS.least + random() * (most - RESUME_MS.least);
  }

  function retryDelay(after: number): number {
    const most = Math.min(RETRY_MS.most, RETRY_MS.least * 2 ** (after + 1));
    return RETRY_MS.least + random() * (most - RETRY_MS.least);
  }

  // Pages, streamed: no more than one object is held at a time.
  async function list(): Promise<void> {
    mirror.startList();
    for (let token = ""; ;) {
      const query = { ...options.query, ...(limit !== undefined && { limit: String(limit) }), ...(token !== "" && { continue: token }) };
      const reader = readList((item) => mirror.list(item), { onTooLarge: options.onTooLarge });
      await read("list", query, reader, settle);
      const head = reader.head();
      if (!head.isList || Number.isNaN(versionOf(head.resourceVersion))) throw notTheList(reader.members);
      token = head.continue;
      if (token !== "") continue;
      finishList(head.resourceVersion);
      return settle();
    }
  }

  function finishList(at: string | undefined): void {
    mirror.finishList();
    version = at;
    isListed = true;
  }

  // With `sendInitialEvents` all there is comes first, as ADDED, up to a bookmark that says so.
  async function watch(from: Readonly<Record<string, string>>): Promise<void> {
    const { least, most } = WATCH_SECONDS;
    const timeoutSeconds = String(Math.floor(least + random() * (most - least)));
    const query = { ...options.query, watch: "true", allowWatchBookmarks: "true", timeoutSeconds, ...from };
    let isListing = version === undefined;
    let changed: WatchEvent[] = [];
    if (isListing) mirror.startList();
    const reader = readDocuments(take, { onTooLarge: options.onTooLarge });
    await read("watch", query, reader, async (receivedMs) => {
      await settle();
      if (changed.length > 0) options.onApplied(changed, receivedMs);
      changed = [];
    });
    if (isListing) throw noInitialEvents();

    function take(document: unknown): void {
      const { type, object } = isObject(document) ? document : {};
      if (typeof type !== "string") throw notTheList(document);
      switch (type) {
        case "ADDED":
        case "MODIFIED":
          if (isListing) return mirror.list(object);
          seen(object);
          if (mirror.put(object)) changed.push({ type, object });
          return;
        case "DELETED":
          seen(object);
          if (mirror.drop(object)) changed.push({ type, object });
          return;
        case "BOOKMARK":
          if (!isListing) return seen(object);
          if (!endsInitialEvents(object)) throw noInitialEvents();
          isListing = false;
          return finishList(resourceVersionOf(object));
        case "ERROR":
          throw new Refused(object, 200);
        default: // of a later API
      }
    }
  }

  // The server knows nothing of initial events: they never end.
  function noInitialEvents(): MalformedBody {
    hasWatchList = false;
    return new MalformedBody("the initial events have no end");
  }

  // Versions only go forward here: late events of an older one don't take the watch back.
  function seen(object: unknown): void {
    const now = resourceVersionOf(object);
    if (now === undefined) return;
    hasHeard = true;
    if (version !== undefined && !(versionOf(now) < versionOf(version))) version = now;
  }

  // One body; what came together is settled together.
  async function read(
    verb: "list" | "watch",
    query: Readonly<Record<string, string>>,
    reader: BodyReader,
    onChunk: (receivedMs: number) => Promise<void>,
  ): Promise<void> {
    const guard = watchdog(clock, STALL_MS, signal);
    const ended = new AbortController();
    let isSilent = false;
    try {
      const response = await client.get(path, query, { verb, signal: guard.signal });
      if (response.status !== 200) throw await refusalOf(response);
      refusals = 0;
      isSilent = true;
      if (version !== undefined) void stands(); // delay() never rejects
      for await (const chunk of response.body) {
        const receivedMs = clock.monotonic();
        guard.alive();
        isSilent = false;
        silent = 0;
        reader.push(chunk);
        await onChunk(receivedMs);
      }
      reader.end();
    } catch (error) {
      await settle(); // what came before it counts
      if (isSilent && guard.hasStalled()) silent++;
      throw guard.hasStalled() ? new Stalled(`nothing was sent for ${STALL_MS / 1000} s`) : error;
    } finally {
      ended.abort();
      guard.stop();
    }

    async function stands(): Promise<void> {
      await clock.delay(STANDS_MS, ended.signal);
      if (isSilent && !ended.signal.aborted) heard();
    }
  }

  function heard(): void {
    options.onContact();
    if (hasProblem) options.onProblem(undefined);
    hasProblem = false;
  }

  async function settle(): Promise<void> {
    const slice = timeSlice();
    for (const batch of batchesOf(mirror.take())) {
      if (slice.isOver()) await slice.next();
      options.apply(batch);
    }
    if (hasHeard) {
      hasHeard = false;
      failures = 0;
      if (version !== undefined) heard();
    }
    if (!isListed) return;
    isListed = false;
    listedMs = clock.monotonic();
    limit = PAGE;
    failures = 0;
    heard();
    options.onListed();
  }
}

const NOT_REFUSED = { status: 0, retryAfterMs: undefined, isExpired: false };
/** What says nothing about WatchList: a list would be refused too. */
const ANY_LIST_MAY_GET: ReadonlySet<number> = new Set([401, FORBIDDEN, NOT_FOUND, 408, GONE, TOO_MANY_REQUESTS]);

function reasonOf(error: unknown): RestartReason {
  if (error instanceof Stalled) return "stalled";
  if (error instanceof MalformedBody) return "malformed";
  if (error instanceof Refused) return error.isExpired ? "expired" : "refused";
  return error instanceof KubeError && error.kind !== "cut" ? "unreachable" : "cut";
}

function resourceVersionOf(object: unknown): string | undefined {
  const metadata = isObject(object) ? object["metadata"] : undefined;
  const version = isObject(metadata) ? metadata["resourceVersion"] : undefined;
  return Number.isNaN(versionOf(version)) ? undefined : (version as string);
}

function endsInitialEvents(object: unknown): boolean {
  const metadata = isObject(object) ? object["metadata"] : undefined;
  const annotations = isObject(metadata) ? metadata["annotations"] : undefined;
  return isObject(annotations) && annotations[INITIAL_EVENTS_END] === "true";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const RANDOM_STEPS = 2 ** 32;

function randomUnit(): number {
  return randomInt(RANDOM_STEPS) / RANDOM_STEPS;
}
