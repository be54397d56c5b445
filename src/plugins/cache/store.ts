// What is remembered: answers and denials apart, so that a flood of names that do not exist pushes no answer out. Keys are
// whole questions in a Map, so names that collide in somebody's hash change nothing. Who asks much is told by the answer
// table, which gets the entries from here.

import { LRUCache } from "lru-cache";

import type { Reply } from "../../dns/message.ts";
import type { Name } from "../../dns/name.ts";
import type { RRType } from "../../dns/records.ts";
import type { Memory } from "../../plugin.ts";
import type { Worth } from "./judge.ts";

/** One answer that is remembered. */
export interface Entry extends Worth {
  readonly key: string;
  readonly qname: Name;
  readonly qtype: RRType;
  /** The question without DO and CD, in class IN: the answer table may tell the answer. */
  readonly isPlain: boolean;
  /** Monotonic, as all times here. */
  readonly storedMs: number;
  /** How often it was asked for without a gap, and when last. */
  asked: number;
  lastAskedMs: number;
  /** The answer table tells it. */
  inTable: boolean;
  /** A query for it is on its way; gives the reply, or undefined if that was none to put in its place. */
  refreshing: Promise<Reply | undefined> | undefined;
  /** No refresh before then: the last one failed. */
  retryMs: number;
}

export interface StoreOptions {
  /** Entries. */
  readonly successCapacity: number;
  readonly denialCapacity: number;
  /** How long after its end an entry may be told. */
  readonly staleMs: number;
  /** An answer goes before a denial that came later, for as long as it may be told. */
  readonly preferPositive: boolean;
  /** Room was needed. */
  onEvicted(type: "success" | "denial"): void;
}

export interface Store {
  /** What may be told now, fresh or stale. */
  find(key: string, nowMs: number): Entry | undefined;
  put(entry: Entry): void;
  drop(entry: Entry): void;
  /** Entries, the ones included whose time is over. */
  readonly counts: { readonly success: number; readonly denial: number };
  /** From now on the table tells what tell() gives it. */
  attach(memory: Memory): void;
  /** Lets the answer table tell the entry until `deadlineMs`. */
  tell(entry: Entry, deadlineMs: number): void;
}

/** Of messages for each entry that there may be, on average: an answer over TCP can have 64 KiB. */
const BYTES_PER_ENTRY = 1024;
/** What an entry takes besides its key and message. */
const OVERHEAD_BYTES = 256;

export function createStore({ successCapacity, denialCapacity, staleMs, preferPositive, onEvicted }: StoreOptions): Store {
  const success = createCache(successCapacity, () => onEvicted("success"));
  const denial = createCache(denialCapacity, () => onEvicted("denial"));
  let memory: Memory | undefined;

  function createCache(capacity: number, evicted: () => void): LRUCache<string, Entry> {
    return new LRUCache<string, Entry>({
      max: capacity,
      maxSize: capacity * BYTES_PER_ENTRY,
      sizeCalculation: ({ wire, key }) => wire.message.length + key.length + OVERHEAD_BYTES,
      dispose(entry, _key, reason) {
        if (reason === "evict") evicted();
        if (!entry.inTable) return;
        entry.inTable = false;
        memory?.forget(entry.qname, entry.qtype);
      },
    });
  }
  const isFresh = (entry: Entry, nowMs: number): boolean => expiryOf(entry) > nowMs;
  // RFC 8767 §4: a failure is no data that could be better than none.
  const isUsable = (entry: Entry, nowMs: number): boolean => expiryOf(entry) + (entry.kind === "failure" ? 0 : staleMs) > nowMs;

  return {
    find(key, nowMs) {
      const answer = success.get(key);
      const answerUsable = answer !== undefined && isUsable(answer, nowMs);
      if (answerUsable && (preferPositive || isFresh(answer, nowMs))) return answer;
      const denied = denial.get(key);
      if (denied !== undefined && isUsable(denied, nowMs) && !(answerUsable && denied.kind === "failure")) return denied;
      return answerUsable ? answer : undefined;
    },
    put(entry) {
      const { key, kind } = entry;
      if (kind === "success") denial.delete(key);
      // What was right before a failure may still be told.
      else if (kind === "denial" && !preferPositive) success.delete(key);
      (kind === "success" ? success : denial).set(key, entry);
    },
    drop(entry) {
      const cache = entry.kind === "success" ? success : denial;
      if (cache.peek(entry.key) === entry) cache.delete(entry.key);
    },
    get counts() {
      return { success: success.size, denial: denial.size };
    },
    attach: (given) => void (memory = given),
    tell(entry, deadlineMs) {
      if (memory === undefined || entry.inTable) return;
      memory.keep(entry.qname, entry.qtype, entry.wire, { storedAtMs: entry.storedMs, deadlineMs });
      entry.inTable = true;
    },
  };
}

export function expiryOf({ storedMs, ttlSeconds }: Entry): number {
  return storedMs + ttlSeconds * 1000;
}
