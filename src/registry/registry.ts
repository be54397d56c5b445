// The cluster as last seen: indexes over the objects, and a batched feed of changes. Sources and tests write
// through apply(); the Zone views read. Nothing here knows where the objects come from.

import { isIPv4 } from "node:net";
import type { Applied, Change, EndpointSlice, Namespace, Pod, RegistryObject, Service } from "./objects.ts";

/** Called after a batch is applied, with the changes that really changed something; never with an empty batch. */
export type ChangeListener = (changes: readonly Applied[]) => void;

/**
 * How well what is held is known to be so: `current`; from a `snapshot` of an earlier run, until the source has delivered
 * everything; `stale`: the source has been out of reach for longer than it is meant to be.
 */
export type Freshness = "current" | "snapshot" | "stale";

export interface Registry {
  /** True once every source has delivered its first full state, or a snapshot of it; never goes back. */
  readonly synced: boolean;
  /** Whether all objects of a kind are held: some kinds may be refused to a source. All are once `synced`. */
  knows(kind: RegistryObject["kind"]): boolean;
  readonly freshness: Freshness;
  /** What keeps a source from delivering, for people: `endpointslices: 403 Forbidden`; undefined while nothing does. */
  readonly problem: string | undefined;
  /** Milliseconds since the epoch of the last change; the time of creation before any. */
  readonly changedAtMs: number;
  service(namespace: string, name: string): Service | undefined;
  services(): Iterable<Service>;
  slices(namespace: string, service: string): readonly EndpointSlice[];
  namespace(name: string): Namespace | undefined;
  namespaces(): Iterable<Namespace>;
  /** Pods that have this address (canonical text). */
  podsAt(address: string): readonly Pod[];
  /** Services whose ClusterIP this is (canonical text). */
  servicesAt(address: string): readonly Service[];
  /** Slices with an endpoint of this address (canonical text), ready or not. */
  slicesAt(address: string): readonly EndpointSlice[];
  /** Applies a batch at once: listeners and queries see all of it or nothing. */
  apply(...changes: readonly Change[]): void;
  subscribe(listener: ChangeListener): () => void;
  /** Called when `synced`, knows(), `freshness` or `problem` says something else. */
  onState(listener: () => void): () => void;
  /** Resolves when synced is true; at once if it is. */
  whenSynced(): Promise<void>;
}

export interface RegistryOptions {
  /** Names of the sources to wait for; synced at once without any. */
  readonly sources?: readonly string[];
  /** Milliseconds since the epoch; injected by tests. */
  readonly now?: () => number;
}

/** A registry, and the right to say how its sources fare. */
export interface WritableRegistry extends Registry {
  /** All that is held; what changes while it is walked is met or not. */
  objects(): Iterable<RegistryObject>;
  /** By its own name. */
  slice(namespace: string, name: string): EndpointSlice | undefined;
  pod(namespace: string, name: string): Pod | undefined;
  markSynced(source: string): void;
  /** All objects of the kind are held, while others are still awaited. */
  markKnown(kind: RegistryObject["kind"]): void;
  setFreshness(freshness: Freshness): void;
  setProblem(problem: string | undefined): void;
}

/** A source of objects: manifests, the Kubernetes API, a snapshot. */
export interface Source {
  readonly name: string;
  /** Fills the registry and keeps it filled until the signal aborts; calls `synced` after the first full state. */
  run(registry: WritableRegistry, synced: () => void, signal: AbortSignal): Promise<void>;
}

const NONE: readonly never[] = Object.freeze([]);

/** An empty registry. */
export function createRegistry(options: RegistryOptions = {}): WritableRegistry {
  const now = options.now ?? Date.now;
  const waitingFor = new Set(options.sources);
  const listeners = new Set<ChangeListener>();
  const stateListeners = new Set<() => void>();
  const known = new Set<RegistryObject["kind"]>();
  let freshness: Freshness = "current";
  let problem: string | undefined;
  const synced = withResolvers();
  const services = new Map<string, Service>();
  const namespaces = new Map<string, Namespace>();
  const pods = new Map<string, Pod>();
  const slices = new Map<string, EndpointSlice>();
  const slicesOfService = new Map<string, EndpointSlice[]>();
  const servicesByAddress = new ByAddress<Service>();
  const slicesByAddress = new ByAddress<EndpointSlice>();
  const podsByAddress = new ByAddress<Pod>();
  let changedAtMs = now();
  if (waitingFor.size === 0) synced.resolve();

  function put(object: RegistryObject, present: boolean): RegistryObject | undefined {
    switch (object.kind) {
      case "Service": {
        const previous = replace(services, keyOf(object), object, present);
        for (const address of previous?.clusterIPs ?? NONE) servicesByAddress.remove(address, previous as Service);
        if (present) for (const address of object.clusterIPs) servicesByAddress.add(address, object);
        return previous;
      }
      case "EndpointSlice": {
        const previous = replace(slices, keyOf(object), object, present);
        if (previous !== undefined) unindexSlice(previous);
        if (present) indexSlice(object);
        return previous;
      }
      case "Pod": {
        const previous = replace(pods, keyOf(object), object, present);
        for (const address of previous?.addresses ?? NONE) podsByAddress.remove(address, previous as Pod);
        if (present) for (const address of object.addresses) podsByAddress.add(address, object);
        return previous;
      }
      case "Namespace":
        return replace(namespaces, object.name, object, present);
      default:
        return object satisfies never;
    }
  }

  function indexSlice(slice: EndpointSlice): void {
    const key = keyFor(slice.namespace, slice.service);
    const siblings = slicesOfService.get(key) ?? [];
    // concat() makes an array of the very length; push() would leave room for 16 more in each.
    const all = siblings.filter((sibling) => sibling.name !== slice.name).concat(slice);
    slicesOfService.set(key, all.length === 1 ? all : all.sort((a, b) => (a.name < b.name ? -1 : 1)));
    for (const address of addressesOf(slice)) slicesByAddress.add(address, slice);
  }

  function unindexSlice(slice: EndpointSlice): void {
    const key = `${slice.namespace}/${slice.service}`;
    const left = (slicesOfService.get(key) ?? []).filter((sibling) => sibling !== slice);
    if (left.length > 0) slicesOfService.set(key, left);
    else slicesOfService.delete(key);
    for (const address of addressesOf(slice)) slicesByAddress.remove(address, slice);
  }

  function tellState(): void {
    for (const listener of stateListeners) listener();
  }

  return {
    get synced() {
      return waitingFor.size === 0;
    },
    knows: (kind) => waitingFor.size === 0 || known.has(kind),
    get freshness() {
      return freshness;
    },
    get problem() {
      return problem;
    },
    get changedAtMs() {
      return changedAtMs;
    },
    service: (namespace, name) => services.get(`${namespace}/${name}`),
    services: () => services.values(),
    slices: (namespace, service) => slicesOfService.get(`${namespace}/${service}`) ?? NONE,
    slice: (namespace, name) => slices.get(`${namespace}/${name}`),
    pod: (namespace, name) => pods.get(`${namespace}/${name}`),
    namespace: (name) => namespaces.get(name),
    namespaces: () => namespaces.values(),
    *objects() {
      yield* namespaces.values();
      yield* services.values();
      yield* slices.values();
      yield* pods.values();
    },
    podsAt: (address) => podsByAddress.get(address),
    servicesAt: (address) => servicesByAddress.get(address),
    slicesAt: (address) => slicesByAddress.get(address),
    apply(...changes) {
      const applied: Applied[] = [];
      for (const { verb, object } of changes) {
        const previous = put(object, verb === "upsert");
        if (verb === "delete" && previous === undefined) continue;
        applied.push(previous === undefined ? { verb, object } : { verb, object, previous });
      }
      if (applied.length === 0) return;
      changedAtMs = now();
      for (const listener of listeners) listener(applied);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onState(listener) {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    whenSynced: () => synced.promise,
    markSynced(source) {
      if (!waitingFor.delete(source) || waitingFor.size > 0) return;
      synced.resolve();
      tellState();
    },
    markKnown(kind) {
      if (known.has(kind)) return;
      known.add(kind);
      tellState();
    },
    setFreshness(now) {
      if (now === freshness) return;
      freshness = now;
      tellState();
    },
    setProblem(now) {
      if (now === problem) return;
      problem = now;
      tellState();
    },
  };
}

/** Every address of a slice once. */
export function addressesOf(slice: EndpointSlice): Set<string> {
  const all = new Set<string>();
  for (const endpoint of slice.endpoints) for (const address of endpoint.addresses) all.add(address);
  return all;
}

function keyOf(object: Service | EndpointSlice | Pod): string {
  return keyFor(object.namespace, object.name);
}

// For keys that are kept: join() makes one string, a template one more for the pieces, 32 bytes that stay with the key.
function keyFor(namespace: string, name: string): string {
  return [namespace, name].join("/");
}

function replace<T>(map: Map<string, T>, key: string, value: T, present: boolean): T | undefined {
  const previous = map.get(key);
  if (present) map.set(key, value);
  else map.delete(key);
  return previous;
}

// Objects by address. Most addresses have one user: a lone value is kept bare, an array only from the second on.
class ByAddress<T extends object> {
  readonly #map = new Map<number | string, T | T[]>();

  get(address: string): readonly T[] {
    const held = this.#map.get(keyOfAddress(address));
    if (held === undefined) return NONE;
    return Array.isArray(held) ? held : [held];
  }

  add(address: string, value: T): void {
    const key = keyOfAddress(address);
    const held = this.#map.get(key);
    if (held === undefined) this.#map.set(key, value);
    else if (Array.isArray(held)) held.push(value);
    else this.#map.set(key, [held, value]);
  }

  remove(address: string, value: T): void {
    const key = keyOfAddress(address);
    const left = this.get(address).filter((other) => other !== value);
    if (left.length === 0) this.#map.delete(key);
    else this.#map.set(key, left.length === 1 ? (left[0] as T) : [...left]);
  }
}

// An IPv4 address as a 32-bit integer, which the map holds without another 32 bytes for its text.
function keyOfAddress(address: string): number | string {
  if (!isIPv4(address)) return address;
  let key = 0;
  for (const octet of address.split(".")) key = (key << 8) | Number(octet);
  return key;
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
