// A zone whose records come and go as a whole: those of a file that is read again. Called by plugins that serve zones from
// files. Who follows it is told the names whose answers differ, and no others, so that a large zone is not compiled anew.

import { isWithin, type Name } from "../dns/name.ts";
import { RRTypes, type RecordSet, type RRType } from "../dns/records.ts";
import type { NamesListener, Node, Zone } from "../dns/zone.ts";
import { tellChanges } from "./telling.ts";

export interface ReplaceableZone extends Zone {
  /** Puts other records in the place of those before, at once; resolves when all who follow have been told. */
  replace(zone: Zone): Promise<void>;
  /** Takes the records away: they are too old to be answered. Resolves as replace(). */
  withdraw(): Promise<void>;
}

export interface ReplaceableZoneOptions {
  readonly apex: Name;
  /** Absent: none yet. */
  readonly zone?: Zone | undefined;
  /** Names that are not there may be somebody else's. */
  readonly fallthrough: readonly Name[];
}

const NOT_READ = "the zone has not been read";
/** Their answers carry addresses of other names. */
const WITH_TARGETS: ReadonlySet<RRType> = new Set([RRTypes.NS, RRTypes.MX, RRTypes.SRV, RRTypes.SVCB, RRTypes.HTTPS]);

export function replaceableZone({ apex, zone: first, fallthrough }: ReplaceableZoneOptions): ReplaceableZone {
  let current = first;
  let isWithdrawn = false;
  const listeners = new Set<NamesListener>();
  const complete = !fallthrough.some((suffix) => isWithin(apex, suffix) || isWithin(suffix, apex));
  return {
    apex,
    complete,
    get ready() {
      return current !== undefined;
    },
    get notReadyReason() {
      return current === undefined ? NOT_READ : undefined;
    },
    soa: () => current?.soa(),
    node(name) {
      const node = current?.node(name);
      // As in CoreDNS, a name without records falls through, even if there are names below it.
      return node?.rrsets.length === 0 && node.cut === undefined && !complete ? { ...node, partial: true } : node;
    },
    names: () => current?.names() ?? [],
    records: () => current?.records?.(),
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async replace(next) {
      const before = current;
      current = next;
      for (const listener of listeners) listener([]); // it is ready now, or the SOA of negative answers differs
      if (before !== undefined) await tellChanges(compareNames(before, next), listeners);
      else if (isWithdrawn) await tellChanges(next.names(), listeners);
      isWithdrawn = false;
    },
    async withdraw() {
      const before = current;
      current = undefined;
      isWithdrawn = true;
      for (const listener of listeners) listener([]);
      if (before !== undefined) await tellChanges(before.names(), listeners);
    },
  };
}

// Each name, undefined for one that has not changed.
function* compareNames(before: Zone, after: Zone): Generator<Name | undefined> {
  const known = new Set(before.names());
  for (const name of known) yield isSame(before.node(name), after.node(name)) ? undefined : name;
  for (const name of after.names()) yield known.has(name) ? undefined : name;
}

function isSame(one: Node | undefined, other: Node | undefined): boolean {
  if (one === undefined || other === undefined || one.openBelow !== other.openBelow) return false;
  if (one.askChain !== other.askChain) return false; // a wildcard says the same of it, and who follows is not told when that goes
  if (one.rrsets.some(({ type }) => WITH_TARGETS.has(type)) || one.cut !== undefined || other.cut !== undefined) return false;
  return one.rrsets.length === other.rrsets.length && one.rrsets.every((rrset, index) => isSameSet(rrset, other.rrsets[index]));
}

function isSameSet(one: RecordSet, other: RecordSet | undefined): boolean {
  return (
    one.type === other?.type &&
    one.ttl === other.ttl &&
    one.rdata.length === other.rdata.length &&
    one.rdata.every((rdata, index) => Buffer.compare(rdata, other.rdata[index] ?? rdata.subarray(0, 0)) === 0)
  );
}
