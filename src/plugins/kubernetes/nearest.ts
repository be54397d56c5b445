// What may have been meant by a name that does not exist, for the text of its NXDOMAIN (`reasons nearest`). Looks only
// at what the block exposes, at a bounded rate over a bounded number of names, and remembers what it found.

import { LRUCache } from "lru-cache";
import { labelsBelow, type Name } from "../../dns/name.ts";
import { nearest } from "../../errors.ts";
import type { Cluster } from "./cluster.ts";

/** Look-ups in a second; beyond them the constant text has to do. */
const MAX_PER_SECOND = 200;
/** Services that the look-ups of a second walk over: 1 ms. */
const MAX_WALKED_PER_SECOND = 20_000;
/** Names that are compared in one look-up. */
const MAX_CANDIDATES = 256;
/** Answers that are remembered until the next change. */
const MAX_REMEMBERED = 1024;
/** EDE texts of ours never make a reply grow by more; a name that does not fit is left out, for half a name is none. */
const MAX_TEXT_BYTES = 64;

export interface NearestNames {
  /** `reason`, with the nearest name behind it if there is one. */
  explain(apex: Name, qname: Name, reason: string): string;
}

/** @param now milliseconds; injected by tests. */
export function createNearestNames(cluster: Cluster, now: () => number = Date.now): NearestNames {
  const remembered = new LRUCache<Name, string>({ max: MAX_REMEMBERED });
  cluster.subscribe(() => remembered.clear());
  let second = 0;
  let lookUps = 0;
  let walked = 0;
  return {
    explain(apex, qname, reason) {
      let found = remembered.get(qname);
      if (found === undefined) {
        const current = Math.floor(now() / 1000);
        if (current !== second) lookUps = walked = 0;
        second = current;
        if (lookUps >= MAX_PER_SECOND || walked >= MAX_WALKED_PER_SECOND) return reason;
        lookUps++;
        found = nearestTo(labelsBelow(qname, apex) ?? []) ?? "";
        if (walked <= MAX_WALKED_PER_SECOND) remembered.set(qname, found); // else the walk was cut short
      }
      const text = `${reason}; nearest: ${found}`;
      return found === "" || Buffer.byteLength(text) > MAX_TEXT_BYTES ? reason : text;
    },
  };

  function nearestTo(labels: readonly string[]): string | undefined {
    const [service, namespace, kind] = labels.slice(-3);
    if (kind !== "svc" || service === undefined || namespace === undefined) return undefined;
    if (cluster.service(namespace, service) !== undefined) return undefined;
    const elsewhere: string[] = [];
    for (const other of upTo(MAX_CANDIDATES, cluster.namespaces()))
      if (cluster.service(other, service) !== undefined) elsewhere.push(other);
    if (elsewhere.length > 0) return `${service}.${nearest(namespace, elsewhere) ?? elsewhere[0]}`;
    if (!cluster.hasNamespace(namespace)) return nearest(namespace, upTo(MAX_CANDIDATES, cluster.namespaces()));
    const near = nearest(service, upTo(MAX_CANDIDATES, servicesIn(namespace)));
    return near === undefined ? undefined : `${near}.${namespace}`;
  }

  function* servicesIn(namespace: string): Generator<string> {
    for (const service of cluster.registry.services()) {
      if (++walked > MAX_WALKED_PER_SECOND) return;
      if (service.namespace === namespace && cluster.service(namespace, service.name) !== undefined) yield service.name;
    }
  }
}

function* upTo<T>(count: number, items: Iterable<T>): Generator<T> {
  let left = count;
  for (const item of items) {
    if (left-- === 0) return;
    yield item;
  }
}
