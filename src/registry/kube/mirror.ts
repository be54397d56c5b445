// What the registry should hold of one resource: takes the API server's lists and events, gives the changes that make the
// registry the same. No I/O; the reflector feeds it and applies what it gives. It refers to the registry's own objects, so
// that a new list is compared with them in place, and the versions tell what has not changed before it is even projected.
//
//   held: default/web ─► { object (the registry's), version 528, list 3 }     list: the last list that had it
//
// A list says what is so: what it lacks is deleted, and versions that go back (a restored etcd) are taken. Of events the
// last write by resourceVersion wins, whatever order they come in.

import { isDeepStrictEqual } from "node:util";
import { isObject } from "../manifest-fields.ts";
import type { Change, RegistryObject } from "../objects.ts";
import { identify, type Identity, type Project } from "./projection.ts";
import { Unfit, type Raw } from "./raw-fields.ts";

interface Held {
  object: RegistryObject;
  version: number;
  list: number;
}

export interface MirrorOptions {
  readonly project: Project;
  /** An object is left out, and why. */
  readonly onSkip: (what: string) => void;
}

export interface Mirror {
  /** Objects held. */
  readonly size: number;
  /** The registry has this already, from a snapshot or an earlier run: the first list shows what is left of it. */
  adopt(object: RegistryObject): void;
  /** A new list begins; of one that was not finished nothing stays. */
  startList(): void;
  /** One object of it. With nothing held before, it is to be applied at once; else it waits for finishList(). */
  list(raw: unknown): void;
  /** The list is whole. */
  finishList(): void;
  /** ADDED or MODIFIED: whether it changes what is kept. */
  put(raw: unknown): boolean;
  /** DELETED. */
  drop(raw: unknown): boolean;
  /** Changes to be applied, once. */
  take(): Change[];
}

/** Deleted objects whose late events are known as such: many more than are ever under way. */
const MAX_DELETED = 1024;
/** Characters of a name in the log. */
const SHOWN_NAME = 100;

export function createMirror({ project, onSkip }: MirrorOptions): Mirror {
  const held = new Map<string, Held>();
  const deleted = new Map<string, number>();
  /** What the list that is being read changes. */
  let listed = new Map<string, { readonly object: RegistryObject; readonly version: number }>();
  let pending: Change[] = [];
  let lists = 0;
  let isFirst = true;

  function upsert(key: string, object: RegistryObject, version: number): void {
    const known = held.get(key);
    if (known === undefined) held.set(key, { object, version, list: lists });
    else {
      known.object = object;
      known.version = version;
      known.list = lists;
    }
    pending.push({ verb: "upsert", object });
  }

  function remove(key: string, { object }: Held): void {
    held.delete(key);
    pending.push({ verb: "delete", object });
  }

  /** Calls `use` with what has a name; what is wrong is told. */
  function identified<T>(raw: unknown, use: (identity: Identity, key: string) => T): T | undefined {
    try {
      const identity = identify(raw);
      return use(identity, keyOf(identity.namespace, identity.name));
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      onSkip(`${nameFor(raw)}: ${error.message}`);
      return undefined;
    }
  }

  return {
    get size() {
      return held.size;
    },
    adopt(object) {
      const key = object.kind === "Namespace" ? object.name : keyOf(object.namespace, object.name);
      held.set(key, { object, version: Number.NaN, list: 0 });
    },
    startList() {
      lists++;
      listed = new Map();
      isFirst = held.size === 0;
      deleted.clear();
    },
    list(raw) {
      identified(raw, ({ version }, key) => {
        const known = held.get(key);
        if (known?.version === version) {
          known.list = lists;
          listed.delete(key);
          return;
        }
        let object: RegistryObject | undefined;
        try {
          object = project(raw as Raw);
        } catch (error) {
          // What it was stays: better the last good state than none.
          if (known !== undefined) known.list = lists;
          throw error;
        }
        if (object === undefined) return;
        if (isFirst) upsert(key, object, version);
        else if (known !== undefined && isDeepStrictEqual(known.object, object)) {
          known.version = version;
          known.list = lists;
        } else listed.set(key, { object, version });
      });
    },
    finishList() {
      for (const [key, { object, version }] of listed) upsert(key, object, version);
      for (const [key, known] of held) if (known.list !== lists) remove(key, known);
      listed = new Map();
    },
    put(raw) {
      const isChange = identified(raw, ({ version }, key) => {
        const known = held.get(key);
        if (version <= (known?.version ?? deleted.get(key) ?? Number.NaN)) return false;
        const object = project(raw as Raw);
        if (object === undefined) {
          if (known !== undefined) remove(key, known);
          return known !== undefined;
        }
        if (known !== undefined && isDeepStrictEqual(known.object, object)) {
          known.version = version;
          return false;
        }
        upsert(key, object, version);
        return true;
      });
      return isChange ?? false;
    },
    drop(raw) {
      const isChange = identified(raw, ({ version }, key) => {
        const known = held.get(key);
        if (version < (known?.version ?? deleted.get(key) ?? Number.NaN)) return false;
        if (deleted.size >= MAX_DELETED) deleted.delete(deleted.keys().next().value ?? "");
        deleted.set(key, version);
        if (known !== undefined) remove(key, known);
        return known !== undefined;
      });
      return isChange ?? false;
    },
    take() {
      const changes = pending;
      pending = [];
      return changes;
    },
  };
}

/** Changes applied in one go: some 2 ms of work for what follows from them. */
const MAX_BATCH = 64;

/**
 * Cuts changes into batches for the event loop to run in between. All slices of one Service are in one batch, in their
 * order: an endpoint that moves from one to another is never missing.
 */
export function* batchesOf(changes: readonly Change[]): Generator<readonly Change[]> {
  if (changes.length <= MAX_BATCH) {
    if (changes.length > 0) yield changes;
    return;
  }
  const groups = new Map<string, Change[]>();
  for (const change of changes) {
    const key = groupOf(change.object);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [change]);
    else group.push(change);
  }
  let batch: Change[] = [];
  for (const group of groups.values()) {
    if (batch.length > 0 && batch.length + group.length > MAX_BATCH) {
      yield batch;
      batch = [];
    }
    for (const change of group) batch.push(change);
  }
  yield batch;
}

function groupOf(object: RegistryObject): string {
  if (object.kind === "Namespace") return object.name;
  return `${object.namespace}/${object.kind === "EndpointSlice" ? object.service : object.name}`;
}

// For keys that are kept: join() makes one string, a template one more for the pieces.
function keyOf(namespace: string, name: string): string {
  return namespace === "" ? name : [namespace, name].join("/");
}

// Read without a rule, for it is told because one is broken; the log takes care of control characters.
function nameFor(raw: unknown): string {
  const metadata = isObject(raw) && isObject(raw["metadata"]) ? raw["metadata"] : {};
  const name = [metadata["namespace"], metadata["name"]].filter((part) => typeof part === "string" && part !== "").join("/");
  return name === "" ? "an object without a name" : name.slice(0, SHOWN_NAME);
}
