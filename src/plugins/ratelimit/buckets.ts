// Token buckets, one for each group of addresses, in bounded memory. Called by ratelimit for each query; pure but for the
// time that it is told.

import { masked, withoutZone } from "../../dns/networks.ts";
import { addressToBytes } from "../../dns/rdata.ts";

export interface BucketOptions {
  /** Tokens a second, and the most that a bucket holds. */
  readonly rate: number;
  readonly burst: number;
  /** Addresses with these first bits in common have one bucket. */
  readonly ipv4Bits: number;
  readonly ipv6Bits: number;
  /** Buckets at most: the one that was used longest ago makes room, and is full when its addresses come again. */
  readonly most: number;
}

export interface Buckets {
  /** Takes a token; false if there is none. What is no address has none to take, and gets true. */
  take(address: string, nowMs: number): boolean;
  readonly size: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

const IPV4_BYTES = 4;

export function createBuckets({ rate, burst, ipv4Bits, ipv6Bits, most }: BucketOptions): Buckets {
  const buckets = new Map<string, Bucket>(); // in the order of their last use
  return {
    take(address, nowMs) {
      const bytes = addressToBytes(withoutZone(address));
      if (bytes === undefined) return true;
      const key = bytes.length === IPV4_BYTES ? `4${masked(bytes, ipv4Bits)}` : `6${masked(bytes, ipv6Bits)}`;
      const bucket = buckets.get(key) ?? { tokens: burst, atMs: nowMs };
      buckets.delete(key);
      buckets.set(key, bucket);
      if (buckets.size > most) buckets.delete(buckets.keys().next().value ?? key);
      return spend(bucket, nowMs);
    },
    get size() {
      return buckets.size;
    },
  };

  function spend(bucket: Bucket, nowMs: number): boolean {
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * rate);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}
