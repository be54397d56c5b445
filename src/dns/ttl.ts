// What the TTLs of an answer are held within: the `cache` plugin's cap and minimum, for the chain and the answer table alike.

import type { Records } from "./message.ts";
import { RRTypes, type RecordSet } from "./records.ts";

/** Seconds, both ends included. */
export interface TtlRange {
  readonly min: number;
  readonly max: number;
}

/** Absent where nothing bounds them. `denial` is for SOA records, which negative answers are remembered by; `success` for all others. */
export interface TtlBounds {
  readonly success?: TtlRange;
  readonly denial?: TtlRange;
}

/** A TTL within a range. Should its ends cross, the cap goes before the minimum, as in CoreDNS. */
export function boundTtl(ttl: number, { min, max }: TtlRange): number {
  return Math.min(Math.max(ttl, min), max);
}

/** The rrset with its TTL within the bounds; the same object where it is already. */
export function boundRecordSet(rrset: RecordSet, { success, denial }: TtlBounds): RecordSet {
  const range = rrset.type === RRTypes.SOA ? denial : success;
  const ttl = range === undefined ? rrset.ttl : boundTtl(rrset.ttl, range);
  return ttl === rrset.ttl ? rrset : { ...rrset, ttl };
}

/** The reply with every TTL within the bounds; the same object where each is already. */
export function boundReply(reply: Records, bounds: TtlBounds): Records {
  const bound = (rrsets: readonly RecordSet[]): readonly RecordSet[] => {
    const bounded = rrsets.map((rrset) => boundRecordSet(rrset, bounds));
    return bounded.every((rrset, index) => rrset === rrsets[index]) ? rrsets : bounded;
  };
  const answer = bound(reply.answer);
  const authority = bound(reply.authority);
  const additional = bound(reply.additional);
  const isSame = answer === reply.answer && authority === reply.authority && additional === reply.additional;
  return isSame ? reply : { ...reply, answer, authority, additional };
}
