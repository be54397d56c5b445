// Two sources as one: the Kubernetes API, and manifests for what the API lacks. The upper source wins: a Service with its
// slices, a Namespace or a Pod of the lower one is served only where the upper has none of that name. Made by the
// `kubernetes` plugin. Only the lower source's objects are kept a second time, in a registry of their own.
//
//   upper ──────────────────┬─► settle(): one batch in, one batch out ─► registry
//   lower ─► its registry ──┘

import type { Applied, Change, EndpointSlice, RegistryObject, Service } from "./objects.ts";
import { addressesOf, createRegistry, type ChangeListener, type Source, type WritableRegistry } from "./registry.ts";

export interface MergedOptions {
  /** Its objects hide those of the same name. */
  readonly upper: Source;
  readonly lower: Source;
  /** An object of the lower source is hidden by a different one; told once for each. */
  onConflict(text: string): void;
}

/** A source that fills one registry from two. */
export function mergedSource({ upper, lower, onConflict }: MergedOptions): Source {
  let merge: Merge | undefined; // made once: run() may be called again with the same registry, after a failure
  return {
    name: `${upper.name}+${lower.name}`,
    async run(registry, synced, signal) {
      merge ??= createMerge(registry, onConflict);
      const awaited = new Set([upper, lower]);
      const { above, below, lowerIsIn } = merge;
      const delivered = (source: Source): void => {
        if (source === lower) lowerIsIn();
        if (awaited.delete(source) && awaited.size === 0) synced();
      };
      const ending = new AbortController();
      const either = AbortSignal.any([signal, ending.signal]);
      const runs = [upper.run(above, () => delivered(upper), either), lower.run(below, () => delivered(lower), either)];
      try {
        await Promise.all(runs);
      } finally {
        ending.abort(); // one has failed: both are run again, or neither
        await Promise.allSettled(runs);
      }
    },
  };
}

interface Merge {
  /** What the upper source writes to and reads from: its own objects only. */
  readonly above: WritableRegistry;
  readonly below: WritableRegistry;
  /** The lower source has delivered everything: kinds that the upper knows are known. */
  lowerIsIn(): void;
}

type Keyed = Pick<RegistryObject, "kind" | "name"> & { readonly namespace?: string };

function createMerge(target: WritableRegistry, onConflict: (text: string) => void): Merge {
  const below = createRegistry();
  const lowerSlices = new Map<string, EndpointSlice>();
  const lowerPods = new Map<string, RegistryObject>();
  /** The lower source's objects that are in the target, as they are there. */
  const shown = new Map<string, RegistryObject>();
  /** The upper source's slices that are not: their Service is the lower's. */
  const withheld = new Map<string, EndpointSlice>();
  const told = new Set<string>();
  const known = new Set<RegistryObject["kind"]>();
  let lowerIn = false;

  below.subscribe((applied) => {
    for (const { verb, object } of applied) {
      const ofKind = object.kind === "EndpointSlice" ? lowerSlices : object.kind === "Pod" ? lowerPods : undefined;
      if (verb === "delete") ofKind?.delete(keyOf(object));
      else ofKind?.set(keyOf(object), object as EndpointSlice);
      if (verb === "delete") told.delete(keyOf(object));
    }
    settle(new Map(), applied);
  });
  return { above: aboveRegistry(), below, lowerIsIn };

  function lowerIsIn(): void {
    lowerIn = true;
    for (const kind of known) target.markKnown(kind);
  }

  function isUppers(object: RegistryObject): boolean {
    return shown.get(keyOf(object)) !== object;
  }

  function own<T extends RegistryObject>(object: T | undefined): T | undefined {
    return object !== undefined && isUppers(object) ? object : undefined;
  }

  function aboveRegistry(): WritableRegistry {
    const listeners = new Set<ChangeListener>();
    const withheldSlices = (isMeant: (slice: EndpointSlice) => boolean): EndpointSlice[] => [...withheld.values()].filter(isMeant);
    return {
      get synced() {
        return target.synced;
      },
      knows: (kind) => target.knows(kind) || known.has(kind),
      get freshness() {
        return target.freshness;
      },
      get problem() {
        return target.problem;
      },
      get changedAtMs() {
        return target.changedAtMs;
      },
      service: (namespace, name) => own(target.service(namespace, name)),
      *services() {
        for (const service of target.services()) if (isUppers(service)) yield service;
      },
      slices: (namespace, name) => [
        ...target.slices(namespace, name).filter(isUppers),
        ...withheldSlices((slice) => slice.namespace === namespace && slice.service === name),
      ],
      slice: (namespace, name) => own(target.slice(namespace, name)) ?? withheld.get(keyOf({ kind: "EndpointSlice", namespace, name })),
      pod: (namespace, name) => own(target.pod(namespace, name)),
      namespace: (name) => own(target.namespace(name)),
      *namespaces() {
        for (const namespace of target.namespaces()) if (isUppers(namespace)) yield namespace;
      },
      podsAt: (address) => target.podsAt(address).filter(isUppers),
      servicesAt: (address) => target.servicesAt(address).filter(isUppers),
      slicesAt: (address) => [...target.slicesAt(address).filter(isUppers), ...withheldSlices((slice) => addressesOf(slice).has(address))],
      *objects() {
        for (const object of target.objects()) if (isUppers(object)) yield object;
        yield* withheld.values();
      },
      // Only the last change to an object in a batch counts: nobody sees those before it.
      apply(...changes) {
        const last = new Map<string, Applied>();
        for (const change of changes) {
          const key = keyOf(change.object);
          const previous = last.get(key)?.previous ?? own(inTarget(change.object)) ?? withheld.get(key);
          last.set(key, { ...change, ...(previous !== undefined && { previous }) });
        }
        settle(new Map(Array.from(last, ([key, { verb, object }]) => [key, verb === "upsert" ? object : undefined])), changes);
        const applied = [...last.values()].filter(({ verb, previous }) => verb === "upsert" || previous !== undefined);
        if (applied.length > 0) for (const listener of listeners) listener(applied);
      },
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      onState: (listener) => target.onState(listener),
      whenSynced: () => target.whenSynced(),
      markSynced: (source) => target.markSynced(source),
      markKnown(kind) {
        known.add(kind);
        if (lowerIn) target.markKnown(kind);
      },
      setFreshness: (freshness) => target.setFreshness(freshness),
      setProblem: (problem) => target.setProblem(problem),
    };
  }

  // Works out what is to be seen of everything that a batch touches, then changes the target and the books together.
  function settle(upperNow: ReadonlyMap<string, RegistryObject | undefined>, changes: readonly (Change | Applied)[]): void {
    const touched = new Map<string, Keyed>();
    for (const { object } of changes) touched.set(keyOf(object), object);
    for (const { object } of changes) {
      if (object.kind !== "Service" || (lowerService(object) === undefined && !shown.has(keyOf(object)))) continue;
      for (const slice of [...target.slices(object.namespace, object.name), ...below.slices(object.namespace, object.name)]) {
        touched.set(keyOf(slice), slice);
      }
      for (const [key, slice] of withheld)
        if (slice.namespace === object.namespace && slice.service === object.name) touched.set(key, slice);
    }

    const plan = Array.from(touched, ([key, named]) => {
      const current = inTarget(named);
      const upper = uppers(key, named);
      const lower = inLower(key, named);
      if (upper !== undefined && lower !== undefined) tellConflict(key, upper, lower);
      const seen = upper !== undefined && isSeen(upper, "upper") ? upper : undefined;
      return { key, current, upper, seen: seen ?? (lower !== undefined && isSeen(lower, "lower") ? lower : undefined) };
    });
    const out: Change[] = [];
    for (const { key, current, upper, seen } of plan) {
      if (seen !== undefined && seen !== upper) shown.set(key, seen);
      else shown.delete(key);
      if (upper?.kind === "EndpointSlice" && seen !== upper) withheld.set(key, upper);
      else withheld.delete(key);
      if (seen !== undefined && seen !== current) out.push({ verb: "upsert", object: seen });
      if (seen === undefined && current !== undefined) out.push({ verb: "delete", object: current });
    }
    if (out.length > 0) target.apply(...out);

    function uppers(key: string, named: Keyed): RegistryObject | undefined {
      if (upperNow.has(key)) return upperNow.get(key);
      const current = inTarget(named);
      return current !== undefined && isUppers(current) ? current : withheld.get(key);
    }

    // A Service and its slices are of one source; what has no Service is nobody's, and is left to the upper.
    function isSeen(object: RegistryObject, of: "upper" | "lower"): boolean {
      if (object.kind !== "EndpointSlice") return true;
      const service = { kind: "Service", namespace: object.namespace, name: object.service } as const;
      const owner = lowerService(service) !== undefined && uppers(keyOf(service), service) === undefined ? "lower" : "upper";
      return owner === of;
    }
  }

  function lowerService({ namespace = "", name }: Keyed): Service | undefined {
    return below.service(namespace, name);
  }

  function inTarget({ kind, namespace = "", name }: Keyed): RegistryObject | undefined {
    switch (kind) {
      case "Service":
        return target.service(namespace, name);
      case "EndpointSlice":
        return target.slice(namespace, name);
      case "Pod":
        return target.pod(namespace, name);
      case "Namespace":
        return target.namespace(name);
      default:
        return kind satisfies never;
    }
  }

  function inLower(key: string, { kind, namespace = "", name }: Keyed): RegistryObject | undefined {
    switch (kind) {
      case "Service":
        return below.service(namespace, name);
      case "EndpointSlice":
        return lowerSlices.get(key);
      case "Pod":
        return lowerPods.get(key);
      case "Namespace":
        return below.namespace(name);
      default:
        return kind satisfies never;
    }
  }

  // Namespaces are in both as a rule: the same one, unless the lower source has labels that the upper doesn't know of.
  function tellConflict(key: string, upper: RegistryObject, lower: RegistryObject): void {
    if (upper.kind === "EndpointSlice" || told.has(key)) return;
    if (upper.kind === "Namespace" && lower.kind === "Namespace") {
      if (Object.entries(lower.labels).every(([label, value]) => upper.labels[label] === value)) return;
    }
    told.add(key);
    const name = upper.kind === "Namespace" ? upper.name : `${upper.namespace}/${upper.name}`;
    onConflict(`${upper.kind} "${name}" is in manifests and in the Kubernetes API: the API's is served`);
  }
}

function keyOf({ kind, namespace = "", name }: Keyed): string {
  return `${kind}/${namespace}/${name}`;
}
