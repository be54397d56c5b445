// Which server block a question belongs to. Asked by the query path for what the table does not hold, and by the
// table's compiler for every name.

import type { Query } from "./dns/message.ts";
import { parentOf, ROOT, type Name } from "./dns/name.ts";
import { RRTypes, type RRType } from "./dns/records.ts";

/**
 * The block with the longest zone that holds `qname`; a DS question belongs to the parent's side of a zone cut
 * (RFC 4035 §3.1.4.1).
 * @param accepts false: what stands at this zone is not meant, a zone above it may be.
 */
export function route<T>(
  byZone: ReadonlyMap<Name, T>,
  qname: Name,
  qtype: RRType,
  accepts: (block: T) => boolean = () => true,
): T | undefined {
  let first: T | undefined;
  for (let name = qname; ; name = parentOf(name)) {
    const block = byZone.get(name);
    if (block !== undefined && accepts(block)) {
      if (qtype !== RRTypes.DS || name !== qname) return block;
      first = block;
    }
    if (name === ROOT) return first;
  }
}

/**
 * The same where several blocks may have one zone: the first of them that takes the query.
 * @param blocks by zone, in the Corefile's order.
 */
export function createRouter<T>(
  blocks: Iterable<readonly [Name, T]>,
  takes: (block: T, query: Query) => boolean,
): (query: Query) => T | undefined {
  const byZone = new Map<Name, T[]>();
  for (const [zone, block] of blocks) byZone.set(zone, [...(byZone.get(zone) ?? []), block]);
  return (query) => {
    const isTaking = (block: T): boolean => takes(block, query);
    return route(byZone, query.qname, query.qtype, (same) => same.some(isTaking))?.find(isTaking);
  };
}
