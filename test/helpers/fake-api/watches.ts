// Watches as the API server streams them: one JSON document a line, one chunk each; what is missed is replayed from the
// log, a revision that is forgotten gives an ERROR event and the end.

import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Clock } from "../../../src/clock.ts";
import type { ListRequest } from "./lists.ts";
import { resources, type ResourceName } from "./resources.ts";
import { selection, type Selects } from "./selection.ts";
import { badRequest, invalidOptions, tooLarge, tooOld, type Status } from "./statuses.ts";
import type { Store, StoredEvent, Version } from "./store.ts";

export interface WatchOptions {
  readonly clock: Clock;
  readonly bookmarkMs: number;
  /** `off`: as a server does whose feature is off; `unknown`: as one older than the feature. */
  readonly watchList: "on" | "off" | "unknown";
}

/** A watch that is open. */
export interface Watch {
  readonly resource: ResourceName;
  readonly response: ServerResponse;
  /** A change that the store has just recorded. */
  event(event: StoredEvent): void;
  /** A line as it is, without line feed. */
  line(text: string): void;
  bookmark(): void;
  /** Keeps lines back until release(). */
  hold(): void;
  release(order: (lines: readonly string[]) => readonly string[]): void;
  /** Sends nothing any more, and lets the client believe that there is nothing. */
  stall(): void;
  /** Ends the stream as a timeout does. */
  end(): void;
}

/** The head is not written yet; the watch starts with start(). */
export interface PreparedWatch {
  start(response: ServerResponse, gone: AbortSignal): Watch;
}

/** A watch as asked for, or why there is none. */
export function prepareWatch(store: Store, { resource, namespace, query }: ListRequest, options: WatchOptions): PreparedWatch | Status {
  const selects = selection(namespace, query["labelSelector"], query["fieldSelector"]);
  if (typeof selects !== "function") return badRequest(selects.wrong);
  const { resourceVersion = "", resourceVersionMatch = "" } = query;
  const initial = options.watchList === "unknown" ? undefined : query["sendInitialEvents"];
  if (initial !== undefined && options.watchList === "off") {
    return invalidOptions("sendInitialEvents", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled");
  }
  if (initial !== undefined && resourceVersionMatch !== "NotOlderThan") {
    return invalidOptions("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  }
  if (initial === undefined && resourceVersionMatch !== "") {
    return invalidOptions("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
  }
  const revision = Number(resourceVersion);
  if (!Number.isInteger(revision) || revision < 0) return badRequest(`Invalid value: "${resourceVersion}": strconv.ParseUint: parsing`);
  if (revision > store.revision && initial !== undefined) return tooLarge(revision, store.revision);
  const start = { resource, selects, query, revision, everything: initial === "true" || (initial === undefined && revision === 0) };
  return {
    start: (response, gone) =>
      openWatch(store, response, gone, { ...start, ...options, endMark: initial === "true" && query["allowWatchBookmarks"] === "true" }),
  };
}

interface Start extends WatchOptions {
  readonly resource: ResourceName;
  readonly selects: Selects;
  readonly query: Readonly<Record<string, string>>;
  readonly revision: number;
  /** Begins with all objects. */
  readonly everything: boolean;
  readonly endMark: boolean;
}

function openWatch(store: Store, response: ServerResponse, gone: AbortSignal, start: Start): Watch {
  const { resource, selects, clock } = start;
  const { kind, apiVersion, empty } = resources[resource];
  const bookmarks = start.query["allowWatchBookmarks"] === "true";
  let held: string[] | undefined;
  let stalled = false;
  // Lines that wait for the initial events to be out.
  let behind: string[] | undefined;
  let endsBehind = false;

  function send(text: string): void {
    if (stalled || response.writableEnded || response.destroyed) return;
    if (behind !== undefined) behind.push(text);
    else if (held !== undefined) held.push(text);
    else response.write(`${text}\n`);
  }

  function bookmark(annotations?: object): string {
    const metadata = { resourceVersion: String(store.revision), ...(annotations !== undefined && { annotations }) };
    return `{"type":"BOOKMARK","object":${JSON.stringify({ kind, apiVersion, metadata, ...empty })}}`;
  }

  const watch: Watch = {
    resource,
    response,
    event(event) {
      const type = typeFor(event, selects);
      if (type !== undefined) send(eventLine(resource, type, event.version));
    },
    line: send,
    bookmark() {
      if (bookmarks) send(bookmark());
    },
    hold() {
      held ??= [];
    },
    release(order) {
      const lines = held ?? [];
      held = undefined;
      for (const line of order(lines)) send(line);
    },
    stall() {
      stalled = true;
    },
    end() {
      if (behind !== undefined) endsBehind = true;
      else if (!stalled) response.end();
    },
  };

  const oldest = store.oldest(resource);
  if (!start.everything && start.revision < oldest) {
    send(errorLine(tooOld(start.revision, oldest)));
    response.end();
    return watch;
  }
  if (start.everything) {
    behind = [];
    const all = store.list(resource, store.revision).filter(selects);
    const end = start.endMark ? bookmark({ "k8s.io/initial-events-end": "true" }) : undefined;
    void initialEvents().then(flush);
    async function initialEvents(): Promise<void> {
      for (const piece of linesOf(resource, all)) {
        if (gone.aborted || stalled) return;
        if (!response.write(piece)) await drained(response, gone);
      }
      if (end !== undefined && !stalled) response.write(`${end}\n`);
    }
  } else {
    for (const event of store.since(resource, start.revision)) watch.event(event);
  }
  void bookmarksAndEnd();
  return watch;

  function flush(): void {
    const lines = behind ?? [];
    behind = undefined;
    for (const line of lines) send(line);
    if (endsBehind) watch.end();
  }

  // Once a minute, and shortly before the end; the end after timeoutSeconds.
  async function bookmarksAndEnd(): Promise<void> {
    const endMs = clock.monotonic() + Number(start.query["timeoutSeconds"] ?? DEFAULT_TIMEOUT_SECONDS) * 1000;
    for (;;) {
      const leftMs = endMs - clock.monotonic();
      await clock.delay(Math.min(start.bookmarkMs, leftMs), gone);
      if (gone.aborted || response.writableEnded) return;
      watch.bookmark();
      // Timers may be early by a fraction of a millisecond.
      if (endMs - clock.monotonic() < 1) return watch.end();
    }
  }
}

/** `--min-request-timeout` of a real server; it takes 1 to 2 times that. */
const DEFAULT_TIMEOUT_SECONDS = 1800;

export function errorLine(status: Status): string {
  return `{"type":"ERROR","object":${JSON.stringify(status.body)}}`;
}

export function eventLine(resource: ResourceName, type: string, version: Version): string {
  return `{"type":"${type}","object":${withKind(resource, version.json)}}`;
}

/** The object as it stands alone: kind and apiVersion before the rest. */
export function withKind(resource: ResourceName, json: string): string {
  const { kind, apiVersion } = resources[resource];
  if (!json.startsWith("{")) return json; // what no server stores, put there by a test
  return `{"kind":"${kind}","apiVersion":"${apiVersion}"${json === "{}" ? "" : ","}${json.slice(1)}`;
}

// An object that enters a selection is added there, one that leaves it deleted.
function typeFor({ type, version, previous }: StoredEvent, selects: Selects): StoredEvent["type"] | undefined {
  const was = previous !== undefined && selects(previous);
  const is = !version.deleted && selects(version);
  if (type === "DELETED") return was ? type : undefined;
  if (was) return is ? "MODIFIED" : "DELETED";
  return is ? "ADDED" : undefined;
}

const PIECE_BYTES = 65_536;

function* linesOf(resource: ResourceName, versions: readonly Version[]): Generator<string> {
  let piece = "";
  for (const version of versions) {
    piece += `${eventLine(resource, "ADDED", version)}\n`;
    if (piece.length < PIECE_BYTES) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

async function drained(response: ServerResponse, gone: AbortSignal): Promise<void> {
  await once(response, "drain", { signal: gone }).catch(() => undefined);
}
