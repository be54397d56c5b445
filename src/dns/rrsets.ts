// Records that several zones make in the same way. Pure.

import type { Name } from "./name.ts";
import { addressRdata, srvRdata } from "./rdata.ts";
import { RRTypes, type RecordSet } from "./records.ts";

/** The A and AAAA rrsets of addresses in canonical text, each address once. */
export function addressSets(owner: Name, ttl: number, addresses: Iterable<string>): RecordSet[] {
  const v4: Uint8Array[] = [];
  const v6: Uint8Array[] = [];
  for (const address of new Set(addresses)) (address.includes(":") ? v6 : v4).push(addressRdata(address));
  const sets: RecordSet[] = [];
  if (v4.length > 0) sets.push({ owner, type: RRTypes.A, ttl, rdata: v4 });
  if (v6.length > 0) sets.push({ owner, type: RRTypes.AAAA, ttl, rdata: v6 });
  return sets;
}

/** One SRV record to be; equal ones are dropped before weights are given. */
export interface SrvTarget {
  readonly port: number;
  readonly name: Name;
}

/** SRV records that share the load: each target once, the weights add up to 100. */
export function srvSet(owner: Name, ttl: number, targets: readonly SrvTarget[]): RecordSet[] {
  const distinct = new Map(targets.map((target) => [`${target.port} ${target.name}`, target]));
  if (distinct.size === 0) return [];
  const weight = Math.max(1, Math.floor(100 / distinct.size));
  return [{ owner, type: RRTypes.SRV, ttl, rdata: Array.from(distinct.values(), ({ port, name }) => srvRdata(0, weight, port, name)) }];
}
