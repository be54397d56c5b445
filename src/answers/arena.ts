// The writer's side of the table's memory: gives out units, takes replaced ones back when no reader can hold them any
// more, and grows. Used by answers/table.ts only, whose picture says why it is right.

import { MessageChannel, type MessagePort } from "node:worker_threads";
import {
  CHUNK_BYTES,
  CHUNK_SHIFT,
  EPOCH,
  MAX_READERS,
  READER_WORDS,
  READERS,
  SLOTS,
  UNIT_BYTES,
  UNIT_MASK,
  type Grown,
  type SharedTable,
  type TableMemory,
} from "./memory.ts";

/** Replaced units are looked at for reuse in batches of it. */
const RECLAIM_AT = 64;
/** A unit's size shares the last word of its head with 8 bits of its owner's. */
export const SIZE_BITS = 24;
const SIZE_MASK: number = 2 ** SIZE_BITS - 1;

// Units that nobody finds any more since the epoch was `epoch`.
interface Retired {
  readonly epoch: number;
  readonly units: readonly number[];
}

interface Slots {
  readonly number: number;
  readonly length: number;
  readonly epoch: number;
}

export class Arena {
  readonly #memory: TableMemory;
  readonly #readers = new Map<number, MessagePort>();
  #nextUnit = 0;
  readonly #freeUnits: number[][] = []; // by size in units
  #replaced: number[] = []; // in the current epoch
  readonly #retired: Retired[] = []; // in earlier ones, oldest first
  #nextSlots = 0;
  #spareSlots: Slots | undefined;

  constructor(memory: TableMemory) {
    this.#memory = memory;
    memory.control[EPOCH] = 1; // 0 in a reader's place: it reads nothing
    this.#addChunk();
  }

  get bytes(): number {
    return this.#memory.words.length * CHUNK_BYTES + this.#memory.slots.byteLength;
  }

  attach(): SharedTable {
    let reader = 1; // 0 is this thread's
    while (this.#readers.has(reader)) reader++;
    if (reader >= MAX_READERS) throw new RangeError(`an answer table has at most ${MAX_READERS - 1} readers`);
    const { port1, port2 } = new MessageChannel();
    port1.unref();
    this.#readers.set(reader, port1);
    const { control } = this.#memory;
    return { control: control.buffer as SharedArrayBuffer, grown: this.#memory.grown(), reader, updates: port2 };
  }

  detach(reader: number): void {
    this.#readers.get(reader)?.close();
    this.#readers.delete(reader);
    Atomics.store(this.#memory.control, READERS + reader * READER_WORDS, 0);
  }

  /** A unit of at least so many bytes: the size is noted in its head, all else is to be written. */
  allocate(bytes: number): number {
    const units = sizeClass(Math.ceil(bytes / UNIT_BYTES));
    const unit = this.#reuse(units) ?? this.#extend(units);
    this.#sizeWords(unit)[sizeAt(unit)] = units;
    return unit;
  }

  /** Takes back a unit that nobody finds any more. */
  retire(unit: number): void {
    if (this.#replaced.push(unit) >= RECLAIM_AT) this.#reclaim();
  }

  /**
   * An array for `length` slots, or for twice as many, empty, to be filled and then given to useSlots(). Two arrays of one
   * length take turns, so that a reader that seldom looks is sent few.
   */
  slotsFor(length: number): number {
    const spare = this.#spareSlots?.length === length ? this.#spareSlots : undefined;
    if (spare === undefined) return this.#addSlots(length);
    if (!this.#isPast(spare.epoch)) return this.#addSlots(length * 2);
    this.#memory.slotsOf(spare.number).fill(0);
    return spare.number;
  }

  useSlots(number: number): void {
    const { control, slotsNumber, slots } = this.#memory;
    this.#memory.useSlots(number);
    Atomics.store(control, SLOTS, number);
    this.#spareSlots = { number: slotsNumber, length: slots.length, epoch: control[EPOCH] as number };
    this.#raiseEpoch();
  }

  #addSlots(length: number): number {
    const slots = this.#nextSlots++;
    this.#post({ slots, buffer: new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT) });
    return slots;
  }

  #reuse(units: number): number | undefined {
    const unit = this.#freeUnits[units]?.pop();
    if (unit !== undefined || this.#hasRoom(units)) return unit;
    this.#reclaim(); // before another chunk
    return this.#freeUnits[units]?.pop();
  }

  #extend(units: number): number {
    if (!this.#hasRoom(units)) this.#addChunk();
    const unit = this.#nextUnit;
    this.#nextUnit += units;
    return unit;
  }

  #hasRoom(units: number): boolean {
    return this.#nextUnit + units <= this.#memory.words.length << CHUNK_SHIFT;
  }

  #addChunk(): void {
    const chunk = this.#memory.words.length;
    this.#post({ chunk, buffer: new SharedArrayBuffer(CHUNK_BYTES) });
    this.#nextUnit = (chunk << CHUNK_SHIFT) + 1; // unit 0 would look like a free slot
  }

  #post(grown: Grown): void {
    this.#memory.take(grown);
    for (const port of this.#readers.values()) port.postMessage(grown);
  }

  #reclaim(): void {
    if (this.#replaced.length > 0) {
      this.#retired.push({ epoch: this.#memory.control[EPOCH] as number, units: this.#replaced });
      this.#replaced = [];
      this.#raiseEpoch();
    }
    for (let oldest = this.#retired[0]; oldest !== undefined && this.#isPast(oldest.epoch); oldest = this.#retired[0]) {
      this.#retired.shift();
      for (const unit of oldest.units) {
        const units = (this.#sizeWords(unit)[sizeAt(unit)] as number) & SIZE_MASK;
        (this.#freeUnits[units] ??= []).push(unit);
      }
    }
  }

  #raiseEpoch(): void {
    const { control } = this.#memory;
    Atomics.store(control, EPOCH, ((control[EPOCH] as number) + 1) | 0 || 1);
  }

  // Whether no reader can still hold what was unpublished in an epoch. Epochs wrap, so their difference is compared.
  #isPast(epoch: number): boolean {
    const { control } = this.#memory;
    for (const reader of this.#readers.keys()) {
      const own = Atomics.load(control, READERS + reader * READER_WORDS);
      if (own !== 0 && ((own - epoch) | 0) <= 0) return false;
    }
    return true;
  }

  #sizeWords(unit: number): Int32Array {
    return this.#memory.words[unit >>> CHUNK_SHIFT] as Int32Array;
  }
}

function sizeAt(unit: number): number {
  return ((unit & UNIT_MASK) << 2) + 3;
}

// Small entries keep their own size; above 16 units there are four classes to each doubling, so that an entry that
// grows record by record leaves few sizes behind, and at most a fifth of an entry is unused.
function sizeClass(units: number): number {
  if (units <= 16) return units;
  const step = 2 ** (Math.floor(Math.log2(units)) - 2);
  return Math.ceil(units / step) * step;
}
