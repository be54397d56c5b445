// The answer table's memory: where everything lies in it, and one thread's views of it. The picture is in
// answers/table.ts. Buffers never move, shrink or go: the table grows by further ones, which every thread takes
// into its views when it first needs them.

import type { MessagePort } from "node:worker_threads";

/** All that a thread needs to read the table: can be cloned, `updates` has to be transferred. */
export interface SharedTable {
  readonly control: SharedArrayBuffer;
  readonly grown: readonly Grown[];
  /** Which of the readers' epochs is the thread's own. */
  readonly reader: number;
  /** Brings the buffers that are added later. */
  readonly updates: MessagePort;
}

/** A buffer of the table: a chunk of the arena, or an array of slots. Numbers are never used again. */
export type Grown =
  | { readonly chunk: number; readonly buffer: SharedArrayBuffer }
  | { readonly slots: number; readonly buffer: SharedArrayBuffer };

/** Entries start at multiples of it, and are numbered by them. 16: the mean loss is half a unit. */
export const UNIT_BYTES = 16;
/** An entry never spans chunks. 4 MiB are 20,000 names; pages that nothing was written to take no memory. */
export const CHUNK_BYTES: number = 4 * 1024 * 1024;
/** `unit >>> CHUNK_SHIFT` is the chunk, `unit & UNIT_MASK` the unit in it. */
export const CHUNK_SHIFT = 18;
export const UNIT_MASK: number = CHUNK_BYTES / UNIT_BYTES - 1;
export const FIRST_SLOTS = 1024;
/** Of longer answers the table has the beginning, for UDP: an entry must fit a chunk, and is written anew on each change. */
export const MAX_BODY_BYTES: number = 16 * 1024;

/** What a slot holds when it holds no unit: never used, or used and empty again. */
export const FREE = 0;
export const DELETED = -1;

// Words of `control`. What threads write while others read stands 64 bytes apart (a cache line).
export const EPOCH = 0;
/** The number of the array of slots in use. */
export const SLOTS = 16;
/** Of the hash: nobody outside can choose names that collide. */
export const SEED = 17;
export const REASONS = 32;
export const MAX_REASONS = 256;
export const ZONES: number = REASONS + MAX_REASONS;
export const MAX_ZONES = 65_536;
export const READERS: number = ZONES + MAX_ZONES;
export const READER_WORDS = 16;
/** More than any machine gives threads. */
export const MAX_READERS = 256;
const CONTROL_BYTES = (READERS + MAX_READERS * READER_WORDS) * 4;

/** Octets in front of an entry's name, of an answer's body, of a zone's SOA and of a reason's option. */
export const HEAD_BYTES = 16;

// Bits of an entry's flags.
export const ENTRY_ASK_CHAIN = 1;
export const ENTRY_OPEN_BELOW = 2;
export const ENTRY_PARTIAL = 4;
export const ENTRY_OPEN_TO_ADDRESSES = 8;
/** Nothing is known of the name but what was remembered of it. */
export const ENTRY_FOREIGN = 16;

// Bits of an answer's flags. Above those for a remembered one stands its rcode.
export const ANSWER_REMEMBERED = 1;
export const ANSWER_AUTHORITATIVE = 2;
export const ANSWER_RECURSION_AVAILABLE = 4;
/** Only the beginning of the body is here, more than fits any UDP answer. */
export const ANSWER_BEGINNING = 8;
export const ANSWER_RCODE_SHIFT = 4;

/** In a zone's word with the UDP size: the reason why all of its answers may be old, and the number of types of which the chain is asked. */
export const STALENESS_SHIFT = 16;
export const TYPES_SHIFT = 24;

/** What stands in front of a remembered body. */
export const REMEMBERED_HEAD_BYTES = 12;

// Bits of a zone's flags.
export const ZONE_COMPLETE = 1;
export const ZONE_NAMES_NEAREST = 2;
export const ZONE_HAS_SOA = 4;

/** One thread's views of the table's buffers; the writer and the reader of the main thread share theirs. */
export class TableMemory {
  readonly control: Int32Array;
  /** Of each chunk. */
  readonly words: Int32Array[] = [];
  readonly bytes: Uint8Array[] = [];
  readonly views: DataView[] = [];
  slots: Int32Array = new Int32Array(0);
  /** The number of `slots`. */
  slotsNumber = -1;
  readonly #slotArrays = new Map<number, Int32Array>();

  constructor(control: SharedArrayBuffer = new SharedArrayBuffer(CONTROL_BYTES)) {
    this.control = new Int32Array(control);
  }

  take(grown: Grown): void {
    if ("chunk" in grown) {
      this.words[grown.chunk] = new Int32Array(grown.buffer);
      this.bytes[grown.chunk] = new Uint8Array(grown.buffer);
      this.views[grown.chunk] = new DataView(grown.buffer);
      return;
    }
    this.#slotArrays.set(grown.slots, new Int32Array(grown.buffer));
  }

  slotsOf(number: number): Int32Array {
    return this.#slotArrays.get(number) as Int32Array;
  }

  /** False if there is no such array here. */
  useSlots(number: number): boolean {
    const slots = this.#slotArrays.get(number);
    if (slots === undefined) return false;
    this.slots = slots;
    this.slotsNumber = number;
    // Shorter ones are out of use for good.
    for (const [other, { length }] of this.#slotArrays) if (length < slots.length) this.#slotArrays.delete(other);
    return true;
  }

  /** All buffers in use, for one more thread. */
  grown(): Grown[] {
    const chunks = this.words.map((words, chunk) => ({ chunk, buffer: words.buffer as SharedArrayBuffer }));
    const slots = Array.from(this.#slotArrays, ([number, array]) => ({ slots: number, buffer: array.buffer as SharedArrayBuffer }));
    return [...chunks, ...slots];
  }
}

const PRIME = 0x01000193;

/** FNV-1a's step. Names are hashed from the end to the start, so that one pass gives the hash of every suffix. */
export function step(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, PRIME);
}

/** Spreads a hash over all bits. */
export function mix(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return mixed ^ (mixed >>> 13);
}

/** The hash of a whole name in wire form. */
export function hashOf(name: Uint8Array, seed: number): number {
  let hash = seed;
  for (let at = name.length - 1; at >= 0; at--) hash = step(hash, name[at] as number);
  return mix(hash);
}
