// What the fake API server holds: every version of every object since the last compaction, as JSON text, under one
// revision counter (etcd's part). The text goes out as it is, so that a big cluster costs its bytes and no more.

import type { ResourceName } from "./resources.ts";

export type Labels = Readonly<Record<string, string>>;

/** One version of an object. */
export interface Version {
  /** `namespace/name`, or the name alone. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  /** Without kind and apiVersion, as in lists. */
  readonly json: string;
  readonly labels: Labels;
  readonly deleted: boolean;
}

export interface StoredEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly version: Version;
  readonly previous: Version | undefined;
}

/** Changes kept for watches that resume, of each resource; a real server's watch cache is bounded as well. */
const MOST_EVENTS = 20_000;

export interface Store {
  readonly revision: number;
  /** Revisions before this one are forgotten. */
  readonly compactedAt: number;
  /** Counts the revision on and stores what `write` makes of it. */
  put(resource: ResourceName, key: string, write: (revision: number) => { json: string; labels: Labels }): StoredEvent;
  remove(resource: ResourceName, key: string, write: (json: string, revision: number) => string): StoredEvent | undefined;
  get(resource: ResourceName, key: string): Version | undefined;
  /** In the order of their keys, as they were at the revision. */
  list(resource: ResourceName, revision: number): Version[];
  /** What happened after the revision. */
  since(resource: ResourceName, revision: number): readonly StoredEvent[];
  /** The first revision from which since() is whole. */
  oldest(resource: ResourceName): number;
  compact(): void;
  /** Counts the revision on as a change of something else in the cluster does. */
  tick(): void;
}

/** A store whose first change has the revision after `revision`. */
export function createStore(revision: number): Store {
  const rows = new Map<ResourceName, Map<string, Version[]>>();
  const sortedKeys = new Map<ResourceName, string[]>();
  const logs = new Map<ResourceName, StoredEvent[]>();
  const dropped = new Map<ResourceName, number>();
  let compactedAt = 0;

  function rowsOf(resource: ResourceName): Map<string, Version[]> {
    return getOr(rows, resource, () => new Map<string, Version[]>());
  }

  function record(resource: ResourceName, event: StoredEvent): StoredEvent {
    const log = getOr(logs, resource, () => []);
    log.push(event);
    if (log.length > MOST_EVENTS) {
      const cut = log.splice(0, MOST_EVENTS / 2);
      dropped.set(resource, cut.at(-1)?.version.revision ?? 0);
    }
    return event;
  }

  function add(resource: ResourceName, version: Version): StoredEvent {
    const row = getOr(rowsOf(resource), version.key, () => {
      sortedKeys.delete(resource);
      return [];
    });
    const last = row.at(-1);
    row.push(version);
    // Nobody pages through versions older than the log.
    if (row.length > 8) row.splice(0, row.length - 8);
    const previous = last?.deleted === true ? undefined : last;
    return record(resource, { type: version.deleted ? "DELETED" : previous === undefined ? "ADDED" : "MODIFIED", version, previous });
  }

  function get(resource: ResourceName, key: string): Version | undefined {
    const last = rowsOf(resource).get(key)?.at(-1);
    return last?.deleted === true ? undefined : last;
  }

  return {
    get revision() {
      return revision;
    },
    get compactedAt() {
      return compactedAt;
    },
    put(resource, key, write) {
      revision++;
      const at = key.indexOf("/");
      const { json, labels } = write(revision);
      return add(resource, {
        key,
        namespace: at < 0 ? "" : key.slice(0, at),
        name: key.slice(at + 1),
        revision,
        json,
        labels,
        deleted: false,
      });
    },
    remove(resource, key, write) {
      const last = get(resource, key);
      if (last === undefined) return undefined;
      revision++;
      return add(resource, { ...last, revision, json: write(last.json, revision), deleted: true });
    },
    get,
    list(resource, at) {
      const all = rowsOf(resource);
      const keys = getOr(sortedKeys, resource, () => [...all.keys()].sort());
      const found: Version[] = [];
      for (const key of keys) {
        const version = all.get(key)?.findLast((one) => one.revision <= at);
        if (version !== undefined && !version.deleted) found.push(version);
      }
      return found;
    },
    since: (resource, after) => (logs.get(resource) ?? []).filter(({ version }) => version.revision > after),
    oldest: (resource) => Math.max(compactedAt, dropped.get(resource) ?? 0),
    compact() {
      compactedAt = revision;
      logs.clear();
      sortedKeys.clear();
      for (const all of rows.values()) {
        for (const [key, versions] of all) {
          const last = versions.at(-1);
          if (last === undefined || last.deleted) all.delete(key);
          else versions.splice(0, versions.length - 1);
        }
      }
    },
    tick() {
      revision++;
    },
  };
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const held = map.get(key);
  if (held !== undefined) return held;
  const made = make();
  map.set(key, made);
  return made;
}
