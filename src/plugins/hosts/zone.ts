// The entries of a hosts file as a zone for the answer table: what is listed is answered there, everything else by the
// chain. A hosts file has no SOA and no authority over what it lacks, so this zone is never complete and denies nothing.
// Its apex is the root, for an address's name is answered wherever it stands.

import { isWithin, ROOT, type Name } from "../../dns/name.ts";
import { nameRdata } from "../../dns/rdata.ts";
import { RRTypes, type RecordSet } from "../../dns/records.ts";
import type { NamesListener, Node, Zone } from "../../dns/zone.ts";
import { tellChanges } from "../../zones/telling.ts";
import { addressesOf, compareNames, type Addresses, type HostsTable } from "./entries.ts";

export interface HostsZone extends Zone {
  /** What the name has; undefined where it is in none of the zones, or nothing is said of it. */
  addresses(name: Name): Addresses | undefined;
  /** The PTR rrset of a reverse name. */
  pointers(name: Name): RecordSet | undefined;
  addressSets(name: Name, addresses: Addresses): readonly RecordSet[];
  /** What the file says now, answered at once; resolves when all who follow have been told. */
  replace(table: HostsTable): Promise<void>;
}

export interface HostsZoneOptions {
  readonly table: HostsTable;
  readonly zones: readonly Name[];
  /** Names that go on down the chain where they are not listed. */
  readonly passes: (name: Name) => boolean;
  /** Seconds. */
  readonly ttl: number;
}

export function hostsZone({ table: first, zones, passes, ttl }: HostsZoneOptions): HostsZone {
  let table = first;
  const listeners = new Set<NamesListener>();

  function addressSets(owner: Name, { v4, v6 }: Addresses): readonly RecordSet[] {
    const sets: RecordSet[] = [];
    if (v4.length > 0) sets.push({ owner, type: RRTypes.A, ttl, rdata: v4 });
    if (v6.length > 0) sets.push({ owner, type: RRTypes.AAAA, ttl, rdata: v6 });
    return sets;
  }

  const isOurs = (name: Name): boolean => zones.some((zone) => isWithin(name, zone));

  const zone: HostsZone = {
    apex: ROOT,
    complete: false,
    ready: true,
    soa: () => undefined,
    addresses: (name) => (isOurs(name) ? addressesOf(table, name) : undefined),
    pointers(name) {
      const hosts = table.reverse.get(name);
      return hosts && { owner: name, type: RRTypes.PTR, ttl, rdata: hosts.map(nameRdata) };
    },
    addressSets,
    node(name): Node | undefined {
      const addresses = zone.addresses(name);
      const pointers = zone.pointers(name);
      const rrsets = [...(addresses === undefined ? [] : addressSets(name, addresses)), ...(pointers === undefined ? [] : [pointers])];
      // Without `fallthrough` what is not listed is refused, whatever the plugins behind this one have: only the chain says so.
      const isRefusing = isOurs(name) && !passes(name);
      const isParent = table.wildcardParents.has(name);
      if (rrsets.length === 0 && !isRefusing && !isParent) return undefined;
      // A name that has a wildcard's addresses is told to nobody when they change.
      const isWritten = addresses === undefined ? rrsets.length > 0 || !isRefusing : table.names.has(name);
      return { rrsets, partial: true, ...((isRefusing || isParent) && { openBelow: true }), ...(!isWritten && { askChain: true }) };
    },
    *names() {
      for (const apex of zones) if (!passes(apex)) yield apex;
      yield* table.names.keys();
      yield* table.wildcardParents;
      yield* table.reverse.keys();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async replace(next) {
      const before = table;
      table = next;
      await tellChanges(compareNames(before, next), listeners);
    },
  };
  return zone;
}
