// What may have been meant by a name that does not exist, for the text of its NXDOMAIN (`reasons nearest`). Looks only
// at what the block exposes, at a bounded rate over a bounded number of names, and remembers what it found. When a
// second's look-ups are spent the answer table takes over with the constant texts: a flood costs the main thread nothing.

import { LRUCache } from "lru-cache";
import { labelsBelow, type Name } from "../../dns/name.ts";
import { nearest } from "../../errors.ts";
import type { Cluster } from "./cluster.ts";

const SECOND_MS = 1000;
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
  /** No look-ups are left in this second. */
  readonly isSpent: boolean;
  close(): void;
}

export interface NearestOptions {
  /** Milliseconds; injected by tests. */
  readonly now?: () => number;
  /** `isSpent` has changed. */
  readonly onSpent?: () => void;
}

export function createNearestNames(cluster: Cluster, { now = Date.now, onSpent = () => {} }: NearestOptions = {}): NearestNames {
  const remembered = new LRUCache<Name, string>({ max: MAX_REMEMBERED });
  cluster.subscribe(() => remembered.clear());
  let startedMs = Number.NEGATIVE_INFINITY; // of the second that lookUps and walked count
  let lookUps = 0;
  let walked = 0;
  let spent: NodeJS.Timeout | undefined; // until the next second
  return {
    explain(apex, qname, reason) {
      let found = remembered.get(qname);
      if (found === undefined) {
        if (now() - startedMs >= SECOND_MS) beginSecond();
        if (spent !== undefined) return reason;
        lookUps++;
        found = nearestTo(labelsBelow(qname, apex) ?? []) ?? "";
        if (walked <= MAX_WALKED_PER_SECOND) remembered.set(qname, found); // else the walk was cut short
        if (lookUps >= MAX_PER_SECOND || walked >= MAX_WALKED_PER_SECOND) spend();
      }
      const text = `${reason}; nearest: ${found}`;
      return found === "" || Buffer.byteLength(text) > MAX_TEXT_BYTES ? reason : text;
    },
    get isSpent() {
      return spent !== undefined;
    },
    close: () => clearTimeout(spent),
  };

  function beginSecond(): void {
    startedMs = now();
    lookUps = walked = 0;
    if (spent === undefined) return;
    clearTimeout(spent);
    spent = undefined;
    onSpent();
  }

  // Nobody may ask in the next second, for the table answers meanwhile: a timer begins it.
  function spend(): void {
    spent = setTimeout(beginSecond, SECOND_MS).unref();
    onSpent();
  }

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
