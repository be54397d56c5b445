// What the TTLs of an answer are held within: the `cache` plugin's cap and minimum, for the chain and the answer table alike.

import type { Records } from "./message.ts";
import { RRTypes, type RecordSet } from "./records.ts";

/** Seconds, both ends included. */
export interface TtlRange {
  readonly min: number;
  readonly max: number;
}

/** Absent where nothing bounds them. `denial` is for the SOA in NODATA and NXDOMAIN, `success` for all other answers. */
export interface TtlBounds {
  readonly success?: TtlRange;
  readonly denial?: TtlRange;
}

/** The reply with its TTLs held within the bounds; the same object where nothing changes. */
export function boundReply(reply: Records, { success, denial }: TtlBounds): Records {
  const isDenial = reply.authority.some(({ type }) => type === RRTypes.SOA);
  const range = isDenial ? denial : success;
  if (range === undefined) return reply;
  const { answer, authority, additional } = reply;
  return {
    ...reply,
    answer: answer.map((rrset) => boundTtl(rrset, range)),
    authority: authority.map((rrset) => boundTtl(rrset, range)),
    additional: additional.map((rrset) => boundTtl(rrset, range)),
  };
}

/** An rrset with its TTL held within a range. */
export function boundTtl(rrset: RecordSet, { min, max }: TtlRange): RecordSet {
  const ttl = Math.max(Math.min(rrset.ttl, max), min);
  return ttl === rrset.ttl ? rrset : { ...rrset, ttl };
}
