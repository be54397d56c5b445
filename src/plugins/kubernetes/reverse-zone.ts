// The reverse zones of a cluster: a view that works out the PTR records of an address when it is asked. What it keeps,
// once for all reverse zones of a block, is which addresses have an answer and how many stand below each name above
// them, for an empty non-terminal exists as long as there is one.

import { isWithin, labelsBelow, nameBelow, parentOf, parseName, type Name } from "../../dns/name.ts";
import { nameRdata } from "../../dns/rdata.ts";
import { RRTypes, type Rdata } from "../../dns/records.ts";
import type { NamesListener, Node, Zone } from "../../dns/zone.ts";
import type { Cluster } from "./cluster.ts";
import { addressOfReverseName, reverseName } from "../../dns/reverse.ts";
import { NO_SUCH_TYPE, zoneSoa, type ReasonsMode } from "./zone.ts";

/** Which reverse names exist, and which ones a change touches. */
export interface ReverseIndex {
  has(address: string): boolean;
  addresses(): Iterable<string>;
  /** Names above addresses, the addresses' own not. */
  isAbove(name: Name): boolean;
  above(): Iterable<Name>;
  subscribe(listener: (touched: ReadonlySet<Name>) => void): () => void;
  close(): void;
}

/** Follows the cluster until close(). */
export function createReverseIndex(cluster: Cluster): ReverseIndex {
  const known = new Set<string>();
  const namesBelow = new Map<Name, number>();
  const listeners = new Set<(touched: ReadonlySet<Name>) => void>();
  for (const address of allAddresses(cluster)) update(address, new Set());
  const close = cluster.subscribe(({ addresses }) => {
    const touched = new Set<Name>();
    for (const address of addresses) update(address, touched);
    for (const listener of listeners) listener(touched);
  });
  return {
    has: (address) => known.has(address),
    addresses: () => known,
    isAbove: (name) => namesBelow.has(name),
    above: () => namesBelow.keys(),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close,
  };

  function update(address: string, touched: Set<Name>): void {
    const name = reverseName(address);
    if (name === undefined) return;
    const exists = cluster.usersOf(address).length > 0;
    const existed = known.has(address);
    if (exists || existed) touched.add(name);
    if (exists === existed) return;
    if (exists) known.add(address);
    else known.delete(address);
    for (let above = parentOf(name); above !== ARPA; above = parentOf(above)) {
      const before = namesBelow.get(above) ?? 0;
      const count = before + (exists ? 1 : -1);
      if (count === 0) namesBelow.delete(above);
      else namesBelow.set(above, count);
      if (before === 0 || count === 0) touched.add(above);
    }
  }
}

const ARPA: Name = parseName("arpa");
const IN_ADDR: Name = parseName("in-addr.arpa");

function* allAddresses(cluster: Cluster): Generator<string> {
  for (const service of cluster.services()) {
    yield* service.clusterIPs;
    for (const { address } of cluster.published(service)) yield address;
  }
}

// By an address's text whether it may be in the zone, without its name: spelling out 50,000 that are in another zone
// would hold up answers for 50 ms.
function addressFilter(apex: Name): (address: string) => boolean {
  const octets = labelsBelow(apex, IN_ADDR)?.toReversed();
  if (octets === undefined) return (address) => address.includes(":");
  const start = octets.map((octet) => `${octet}.`).join("");
  return (address) => address.startsWith(start) && !address.includes(":");
}

export interface ReverseZoneOptions {
  readonly cluster: Cluster;
  readonly index: ReverseIndex;
  readonly apex: Name;
  /** The forward zone that PTR records name things in. */
  readonly forward: Name;
  /** Seconds, 0–3600. */
  readonly ttl: number;
  /** All users of an address, or the first in the order of their names. */
  readonly ptr: "one" | "all";
  readonly reasons: ReasonsMode;
  readonly complete: boolean;
}

export function reverseZone(options: ReverseZoneOptions): Zone {
  const { cluster, index, apex, forward, ttl, ptr, reasons, complete } = options;
  const { registry } = cluster;
  const listeners = new Set<NamesListener>();
  const mayHold = addressFilter(apex);
  let stop: (() => void) | undefined;
  const nsDns = nameBelow(forward, "ns", "dns") ?? forward;
  const soa = (): ReturnType<typeof zoneSoa> => zoneSoa(apex, ttl, registry.changedAtMs);

  const zone: Zone = {
    apex,
    complete,
    get ready() {
      return registry.synced;
    },
    soa,
    node(name) {
      if (name === apex) return nodeWith([soa(), { owner: apex, type: RRTypes.NS, ttl, rdata: [nameRdata(nsDns)] }]);
      const address = addressOfReverseName(name);
      if (address === undefined) return index.isAbove(name) ? nodeWith([]) : undefined;
      const rdata = pointersOf(address);
      return rdata.length === 0 ? undefined : nodeWith([{ owner: name, type: RRTypes.PTR, ttl, rdata }]);
    },
    *names() {
      yield apex;
      for (const name of index.above()) if (name !== apex && isWithin(name, apex)) yield name;
      for (const address of index.addresses()) {
        if (!mayHold(address)) continue;
        const name = reverseName(address);
        if (name !== undefined && isWithin(name, apex)) yield name;
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      stop ??= index.subscribe((touched) => {
        const within = new Set([apex]); // its SOA has a new serial
        for (const name of touched) if (isWithin(name, apex)) within.add(name);
        for (const each of listeners) each(within);
      });
      // Until then the subscriber could ask about nothing.
      if (!registry.synced) void registry.whenSynced().then(() => (listeners.has(listener) ? listener(zone.names()) : undefined));
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        stop?.();
        stop = undefined;
      };
    },
  };
  return zone;

  function nodeWith(rrsets: Node["rrsets"]): Node {
    return reasons === "off" ? { rrsets } : { rrsets, reasonBelow: "no Service or endpoint has this address", reason: NO_SUCH_TYPE };
  }

  function pointersOf(address: string): Rdata[] {
    const names = new Set<Name>();
    for (const { service, label } of cluster.usersOf(address)) {
      const labels = label === undefined ? [] : [label];
      const name = nameBelow(forward, ...labels, service.name, service.namespace, "svc");
      if (name !== undefined) names.add(name);
    }
    const sorted = [...names].toSorted();
    return (ptr === "one" ? sorted.slice(0, 1) : sorted).map(nameRdata);
  }
}
