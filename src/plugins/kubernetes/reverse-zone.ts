// The reverse zones of a cluster: a view that works out the PTR records of an address when it is asked. What it keeps,
// once for all reverse zones of a block, is which names there are: one above addresses exists as long as one is below it.

import { isWithin, labelsBelow, nameBelow, parentOf, parseName, type Name } from "../../dns/name.ts";
import { nameRdata } from "../../dns/rdata.ts";
import { RRTypes, type Rdata } from "../../dns/records.ts";
import type { NamesListener, Node, Zone } from "../../dns/zone.ts";
import type { Cluster } from "./cluster.ts";
import { addressOfReverseName, reverseName } from "../../dns/reverse.ts";
import { asFarAsKnown, NO_SUCH_TYPE, zoneSoa, type ReasonsMode } from "./zone.ts";

/** Which reverse names exist, and which ones a change touches. */
export interface ReverseIndex {
  /** Whether names are below it. */
  isAbove(name: Name): boolean;
  /** The names in a zone, its apex not. */
  names(apex: Name): Iterable<Name>;
  subscribe(listener: (touched: ReadonlySet<Name>) => void): () => void;
  close(): void;
}

/** Follows the cluster until close(). */
export function createReverseIndex(cluster: Cluster): ReverseIndex {
  // Of each name above addresses the labels right below it, a character each: ten addresses take 32 bytes, in a Set 250.
  const labelsUnder = new Map<Name, string>();
  const listeners = new Set<(touched: ReadonlySet<Name>) => void>();
  for (const address of allAddresses(cluster)) update(address, new Set());
  const close = cluster.subscribe(({ addresses }) => {
    const touched = new Set<Name>();
    for (const address of addresses) update(address, touched);
    for (const listener of listeners) listener(touched);
  });
  return {
    isAbove: (name) => labelsUnder.has(name),
    *names(apex) {
      for (const [above, labels] of labelsUnder) {
        if (!isWithin(above, apex)) continue;
        if (above !== apex) yield above;
        if (!isRightAboveAddresses(above)) continue;
        for (const label of labels) yield childOf(above, label);
      }
    },
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
    const existed = labelsUnder.get(parentOf(name))?.includes(labelOf(name)) === true;
    if (exists || existed) touched.add(name);
    if (exists === existed) return;
    for (let [below, above] = [name, parentOf(name)]; above !== ARPA; [below, above] = [above, parentOf(above)]) {
      const label = labelOf(below);
      const labels = labelsUnder.get(above);
      const left = exists ? (labels ?? "") + label : (labels ?? "").replace(label, "");
      if (labels === undefined) labelsUnder.set(copyOf(above), left);
      else if (left === "") labelsUnder.delete(above);
      else {
        labelsUnder.set(above, left);
        return;
      }
      touched.add(above);
    }
  }
}

const ARPA: Name = parseName("arpa");
const IN_ADDR: Name = parseName("in-addr.arpa");
const IP6: Name = parseName("ip6.arpa");
const OCTETS = 4;
const NIBBLES = 32;

// The name's first label as one character: an octet's value, or the code of a nibble's digit.
function labelOf(name: Name): string {
  const label = name.slice(1, 1 + name.charCodeAt(0));
  return name.endsWith(IP6) ? label : String.fromCharCode(Number(label));
}

function childOf(above: Name, label: string): Name {
  const text = above.endsWith(IP6) ? label : String(label.charCodeAt(0));
  return (String.fromCharCode(text.length) + text + above) as Name;
}

function isRightAboveAddresses(name: Name): boolean {
  // A nibble's label takes two octets.
  if (name.endsWith(IP6)) return name.length === IP6.length + (NIBBLES - 1) * 2;
  return labelsBelow(name, IN_ADDR)?.length === OCTETS - 1;
}

// What is cut from a name keeps all of it in memory.
function copyOf(name: Name): Name {
  return Buffer.from(name, "latin1").toString("latin1") as Name;
}

function* allAddresses(cluster: Cluster): Generator<string> {
  for (const service of cluster.services()) {
    yield* service.clusterIPs;
    for (const { address } of cluster.published(service)) yield address;
  }
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
  let stop: (() => void) | undefined;
  const nsDns = nameBelow(forward, "ns", "dns") ?? forward;
  const soa = (): ReturnType<typeof zoneSoa> => zoneSoa(apex, ttl, registry.changedAtMs);

  const zone: Zone = {
    apex,
    complete,
    get ready() {
      return cluster.known === "all";
    },
    get notReadyReason() {
      return cluster.unknownReason;
    },
    get staleness() {
      return cluster.staleness;
    },
    soa,
    node: (name) => asFarAsKnown(cluster, node(name)),
    *names() {
      yield apex;
      yield* index.names(apex);
    },
    subscribe(listener) {
      listeners.add(listener);
      stop ??= follow();
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        stop?.();
        stop = undefined;
      };
    },
  };
  return zone;

  function follow(): () => void {
    const stops = [
      index.subscribe((touched) => {
        if (!zone.ready) return;
        const within = new Set([apex]); // its SOA has a new serial
        for (const name of touched) if (isWithin(name, apex)) within.add(name);
        for (const each of listeners) each(within);
      }),
      cluster.onState(() => listeners.forEach((each) => each([]))),
    ];
    return () => stops.forEach((each) => each());
  }

  function node(name: Name): Node | undefined {
    if (name === apex) return nodeWith([soa(), { owner: apex, type: RRTypes.NS, ttl, rdata: [nameRdata(nsDns)] }]);
    const address = addressOfReverseName(name);
    if (address === undefined) return index.isAbove(name) ? nodeWith([]) : undefined;
    const rdata = pointersOf(address);
    return rdata.length === 0 ? undefined : nodeWith([{ owner: name, type: RRTypes.PTR, ttl, rdata }]);
  }

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
