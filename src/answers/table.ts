// The answer table: wire question → wire answer, in memory that all threads share. One writer (answers/compile.ts, on
// the main thread), any number of lock-free readers (answers/reader.ts).
//
//   control  epoch · number of the slots in use · hash seed · reasons[256] · zones[65,536] · an epoch of each reader
//   slots    Int32Array, open addressing by the hash of the name:  0 = never used, -1 = deleted, else an entry's unit
//   arena    chunks of 4 MiB in units of 16 bytes; freed entries are kept by size class for reuse. In 32-bit words:
//
//     entry   │ hash │ flags 8, name length 8, reason below 8, reason 8 │ zone 16, block 16 │ units 24, answers 8 │
//             │ name… │ answer │ answer │ …
//     answer  │ type 16, body length 16 │ answers 16, additional 16 │ rotate at 16, size 16 │ count 16, authority 8 │ body…
//     zone    │ flags 8, apex 8, pointers 8 │ UDP size │ SOA length 16, labels length 16 │ units │ SOA… pointers… labels…
//     reason  │ length │ – │ – │ units │ the EDE option as it stands in an OPT record…
//
//   body     everything behind the question: its compression pointers are right because the entry's name is the
//            question's. `rotate…` say where `count` equally long records stand that round robin may rotate.
//   zone     one negative answer (SOA), appended when answering, so that a new serial rewrites one small entry.
//
// A missing name is answered from its closest encloser: the entry knows the zone, and why a name right below it does
// not exist; the zone knows whether it is complete.
//
// Why no reader sees half an entry. Entries are immutable. A new one is written with plain stores, then published by
// one Atomics.store of its unit (to a slot, a zone's or a reason's word), and found by one Atomics.load: atomics are
// sequentially consistent, so who sees the unit sees the entry. The memory of a replaced entry is written to again only
// when no reader can still hold its unit: enter() stores the epoch as the reader's own *before* it looks anything up,
// leave() stores 0. The writer unpublishes, then raises the epoch from E to E+1, then looks at the readers' own. One
// that is 0, or above E, belongs to a reader whose next (or every) look-up comes behind the unpublishing; any other
// holds the memory back. A reader never waits for the writer, nor the writer for a reader: it takes new memory
// meanwhile. A thread that hangs in a batch holds back what is replaced until it is detached, which its supervisor
// does within seconds; until then the table grows by what the compiler writes (about 50 MB/s if it did nothing else).
//
// Growth: a new chunk or array of slots is posted to every reader before anything in it is published; postMessage()
// queues at once, and readers fetch when they meet a chunk or, at enter(), slots that they don't know.

import { randomInt } from "node:crypto";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { EdeCodes, OPTION_EDE, putUint16 } from "../dns/message.ts";
import type { Name } from "../dns/name.ts";
import {
  CHUNK_BYTES,
  CHUNK_SHIFT,
  DELETED,
  ENTRY_ASK_CHAIN,
  ENTRY_OPEN_BELOW,
  ENTRY_PARTIAL,
  EPOCH,
  FIRST_SLOTS,
  FREE,
  hashOf,
  HEAD_BYTES,
  MAX_READERS,
  MAX_REASONS,
  READER_WORDS,
  READERS,
  REASONS,
  SEED,
  SLOTS,
  TableMemory,
  UNIT_BYTES,
  UNIT_MASK,
  ZONE_COMPLETE,
  ZONE_HAS_SOA,
  ZONE_NAMES_NEAREST,
  ZONES,
  type Grown,
  type SharedTable,
} from "./memory.ts";
import { TableReader } from "./reader.ts";

export { createHit, Outcomes, type AnswerTable, type Hit, type Outcome } from "./answer-table.ts";

/** One type's answer at a name. Sizes in bytes; offsets from the start of the body. */
export interface CompiledAnswer {
  readonly type: number;
  readonly answerCount: number;
  readonly authorityCount: number;
  readonly additionalCount: number;
  readonly body: Uint8Array;
  readonly rotateAt: number;
  /** 0 or 1: nothing to rotate. */
  readonly rotateCount: number;
  readonly rotateSize: number;
}

/** All that the table knows of a name. */
export interface CompiledName {
  readonly zone: number;
  readonly block: number;
  /** Ask the chain for everything at this name. */
  readonly askChain: boolean;
  /** Ask the chain for names below that have no entry. */
  readonly openBelow: boolean;
  /** Ask the chain for types that have no answer here. */
  readonly partial: boolean;
  /** Why a name right below does not exist; "" for no reason. */
  readonly reasonBelow: string;
  /** Why there is no answer of another type; "" for no reason. */
  readonly reason: string;
  readonly answers: readonly CompiledAnswer[];
}

/** A zone's part in negative answers. */
export interface CompiledZone {
  readonly apex: Name;
  /** SOA record as encoded behind a question for the apex itself; undefined: negative answers ask the chain. */
  readonly soa: Uint8Array | undefined;
  /** Offsets in `soa` of its compression pointers: they move with the length of the question. */
  readonly soaPointers: readonly number[];
  /** Labels right below the apex with which the SOA would compress further: such questions ask the chain. */
  readonly soaLabels: readonly Uint8Array[];
  /** NXDOMAIN may be answered: every name of the zone has its entry. */
  readonly complete: boolean;
  /** NXDOMAIN with OPT asks the chain, for it knows a nearer reason. */
  readonly namesNearest: boolean;
  /** Size of our OPT record and bound of UDP answers in the server block. */
  readonly udpSize: number;
}

/** Replaced entries are looked at for reuse in batches of it. */
const RECLAIM_AT = 64;
/** An entry's size in units shares a word with its number of answers. */
const UNITS_BITS = 24;
const UNITS_MASK: number = 2 ** UNITS_BITS - 1;

// Units that nobody finds any more since the epoch was `epoch`.
interface Retired {
  readonly epoch: number;
  readonly units: readonly number[];
}

/** The table's memory and its one writer. */
export class TableWriter {
  /** For this thread: asked without enter() and leave(), because the writer never runs meanwhile. */
  readonly reader: TableReader;
  readonly #memory = new TableMemory();
  readonly #seed = randomInt(2 ** 32) | 0;
  readonly #readers = new Map<number, MessagePort>();
  #nextUnit = 0;
  readonly #freeUnits: number[][] = []; // by size in units
  #replaced: number[] = []; // in the current epoch
  readonly #retired: Retired[] = []; // in earlier ones, oldest first
  #nextSlots = 0;
  #spareSlots: { readonly number: number; readonly length: number; readonly epoch: number } | undefined;
  #names = 0;
  #deleted = 0;
  readonly #reasons = new Map<string, number>([["", 0]]);

  constructor() {
    const { control } = this.#memory;
    control[SEED] = this.#seed;
    control[EPOCH] = 1; // 0 in a reader's place: it reads nothing
    this.#addChunk();
    this.#useSlots(this.#addSlots(FIRST_SLOTS));
    this.reader = new TableReader(this.#memory, 0, undefined);
  }

  /** Names with an entry. */
  get size(): number {
    return this.#names;
  }

  /** Bytes of memory held. */
  get bytes(): number {
    return this.#memory.words.length * CHUNK_BYTES + this.#memory.slots.byteLength;
  }

  /** Opens the table to one more thread, which calls openTable() with it. */
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

  /** Forgets a thread that has ended: it holds no memory back any more. */
  detach({ reader }: Pick<SharedTable, "reader">): void {
    this.#readers.get(reader)?.close();
    this.#readers.delete(reader);
    Atomics.store(this.#memory.control, READERS + reader * READER_WORDS, 0);
  }

  /** Publishes what stands at a name, in the place of what stood there. */
  put(name: Name, compiled: CompiledName): void {
    const wire = Buffer.from(name, "latin1");
    const hash = hashOf(wire, this.#seed);
    const unit = this.#write(wire, hash, compiled);
    if ((this.#names + this.#deleted) * 2 >= this.#memory.slots.length) this.#rehash();
    const { slots } = this.#memory;
    const slot = this.#slotOf(wire, hash);
    const old = slots[slot] as number;
    Atomics.store(slots, slot, unit);
    if (old > FREE) this.#retire(old);
    else this.#names++;
    if (old === DELETED) this.#deleted--;
  }

  /** Takes a name out; nothing happens if it has no entry. */
  remove(name: Name): void {
    const { slots } = this.#memory;
    const wire = Buffer.from(name, "latin1");
    const slot = this.#slotOf(wire, hashOf(wire, this.#seed));
    const old = slots[slot] as number;
    if (old <= FREE) return;
    Atomics.store(slots, slot, DELETED);
    this.#names--;
    this.#deleted++;
    this.#retire(old);
  }

  has(name: Name): boolean {
    const wire = Buffer.from(name, "latin1");
    return (this.#memory.slots[this.#slotOf(wire, hashOf(wire, this.#seed))] as number) > FREE;
  }

  /** Replaces a zone's part in negative answers. Indexes 0–65,535. */
  setZone(index: number, zone: CompiledZone): void {
    const { soa = new Uint8Array(0), soaPointers, soaLabels } = zone;
    const labels = Buffer.concat(soaLabels);
    const unit = this.#allocate(HEAD_BYTES + soa.length + soaPointers.length * 2 + labels.length);
    const { words, bytes } = this.#at(unit);
    const at = (unit & UNIT_MASK) << 2;
    let flags = zone.soa === undefined ? 0 : ZONE_HAS_SOA;
    if (zone.complete) flags |= ZONE_COMPLETE;
    if (zone.namesNearest) flags |= ZONE_NAMES_NEAREST;
    words[at] = flags | (zone.apex.length << 8) | (soaPointers.length << 16);
    words[at + 1] = zone.udpSize;
    words[at + 2] = soa.length | (labels.length << 16);
    let to = at * 4 + HEAD_BYTES;
    bytes.set(soa, to);
    to += soa.length;
    for (const pointer of soaPointers) {
      putUint16(bytes, to, pointer);
      to += 2;
    }
    bytes.set(labels, to);
    const { control } = this.#memory;
    const old = control[ZONES + index] as number;
    Atomics.store(control, ZONES + index, unit);
    if (old > FREE) this.#retire(old);
  }

  // ── entries ──────────────────────────────────────────────────────────────────────────────────────────────

  #write(wire: Uint8Array, hash: number, compiled: CompiledName): number {
    let size = HEAD_BYTES + aligned(wire.length);
    for (const answer of compiled.answers) size += HEAD_BYTES + aligned(answer.body.length);
    const reasonBelow = this.#reasonOf(compiled.reasonBelow);
    const reason = this.#reasonOf(compiled.reason);
    const unit = this.#allocate(size);
    const { words, bytes } = this.#at(unit);
    let at = (unit & UNIT_MASK) << 2;
    let flags = compiled.askChain ? ENTRY_ASK_CHAIN : 0;
    if (compiled.openBelow) flags |= ENTRY_OPEN_BELOW;
    if (compiled.partial) flags |= ENTRY_PARTIAL;
    words[at] = hash;
    words[at + 1] = flags | (wire.length << 8) | (reasonBelow << 16) | (reason << 24);
    words[at + 2] = compiled.zone | (compiled.block << 16);
    words[at + 3] = (words[at + 3] as number) | (compiled.answers.length << UNITS_BITS);
    bytes.set(wire, at * 4 + HEAD_BYTES);
    at += (HEAD_BYTES + aligned(wire.length)) >> 2;
    for (const { type, body, answerCount, authorityCount, additionalCount, rotateAt, rotateSize, rotateCount } of compiled.answers) {
      words[at] = type | (body.length << 16);
      words[at + 1] = answerCount | (additionalCount << 16);
      words[at + 2] = rotateAt | (rotateSize << 16);
      words[at + 3] = rotateCount | (authorityCount << 16);
      bytes.set(body, at * 4 + HEAD_BYTES);
      at += (HEAD_BYTES + aligned(body.length)) >> 2;
    }
    return unit;
  }

  // Reasons are few constant texts, kept for good; a 256th one is not told.
  #reasonOf(text: string): number {
    const known = this.#reasons.get(text);
    if (known !== undefined) return known;
    if (this.#reasons.size === MAX_REASONS) return 0;
    const told = Buffer.from(text);
    const option = Buffer.alloc(6);
    option.writeUInt16BE(OPTION_EDE, 0);
    option.writeUInt16BE(2 + told.length, 2);
    option.writeUInt16BE(EdeCodes.OTHER, 4);
    const unit = this.#allocate(HEAD_BYTES + option.length + told.length);
    const { words, bytes } = this.#at(unit);
    const at = (unit & UNIT_MASK) << 2;
    words[at] = option.length + told.length;
    bytes.set(option, at * 4 + HEAD_BYTES);
    bytes.set(told, at * 4 + HEAD_BYTES + option.length);
    const index = this.#reasons.size;
    this.#reasons.set(text, index);
    Atomics.store(this.#memory.control, REASONS + index, unit);
    return index;
  }

  // ── slots ────────────────────────────────────────────────────────────────────────────────────────────────

  // The slot that holds the name, else the one to put it in.
  #slotOf(name: Uint8Array, hash: number): number {
    const { slots } = this.#memory;
    const mask = slots.length - 1;
    let reuse = -1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const unit = slots[slot] as number;
      if (unit === FREE) return reuse >= 0 ? reuse : slot;
      if (unit === DELETED) {
        if (reuse < 0) reuse = slot;
      } else if (this.#isAt(unit, name, hash)) return slot;
    }
  }

  #isAt(unit: number, name: Uint8Array, hash: number): boolean {
    const { words, bytes } = this.#at(unit);
    const at = (unit & UNIT_MASK) << 2;
    if (words[at] !== hash || (((words[at + 1] as number) >>> 8) & 0xff) !== name.length) return false;
    for (let index = 0, other = at * 4 + HEAD_BYTES; index < name.length; index++, other++) {
      if (bytes[other] !== name[index]) return false;
    }
    return true;
  }

  // Into twice as many slots, or into as many without the deleted ones. Two arrays of one length take turns, so that a
  // reader that seldom looks is sent few.
  #rehash(): void {
    const { control, slots: old, slotsNumber } = this.#memory;
    const spare = this.#spareSlots?.length === old.length ? this.#spareSlots : undefined;
    const isHeld = spare !== undefined && !this.#isPast(spare.epoch);
    const length = isHeld || this.#names * 4 > old.length ? old.length * 2 : old.length;
    const number = spare !== undefined && length === old.length ? spare.number : this.#addSlots(length);
    const slots = this.#memory.slotsOf(number);
    const mask = slots.length - 1;
    slots.fill(FREE);
    for (const unit of old) {
      if (unit <= FREE) continue;
      let slot = (this.#at(unit).words[(unit & UNIT_MASK) << 2] as number) & mask;
      while (slots[slot] !== FREE) slot = (slot + 1) & mask;
      slots[slot] = unit;
    }
    this.#useSlots(number);
    this.#spareSlots = { number: slotsNumber, length: old.length, epoch: control[EPOCH] as number };
    this.#raiseEpoch();
    this.#deleted = 0;
  }

  #addSlots(length: number): number {
    const slots = this.#nextSlots++;
    this.#post({ slots, buffer: new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT) });
    return slots;
  }

  #useSlots(number: number): void {
    this.#memory.useSlots(number);
    Atomics.store(this.#memory.control, SLOTS, number);
  }

  // ── memory ───────────────────────────────────────────────────────────────────────────────────────────────

  #at(unit: number): { readonly words: Int32Array; readonly bytes: Uint8Array } {
    const { words, bytes } = this.#memory;
    return { words: words[unit >>> CHUNK_SHIFT] as Int32Array, bytes: bytes[unit >>> CHUNK_SHIFT] as Uint8Array };
  }

  // A unit of at least so many bytes, its size noted and all else to be written.
  #allocate(bytes: number): number {
    const units = sizeClass(Math.ceil(bytes / UNIT_BYTES));
    const unit = this.#reuse(units) ?? this.#extend(units);
    this.#at(unit).words[((unit & UNIT_MASK) << 2) + 3] = units;
    return unit;
  }

  #reuse(units: number): number | undefined {
    const unit = this.#freeUnits[units]?.pop();
    if (unit !== undefined || this.#nextUnit + units <= this.#memory.words.length << CHUNK_SHIFT) return unit;
    this.#reclaim(); // before another chunk
    return this.#freeUnits[units]?.pop();
  }

  #extend(units: number): number {
    if (this.#nextUnit + units > this.#memory.words.length << CHUNK_SHIFT) this.#addChunk();
    const unit = this.#nextUnit;
    this.#nextUnit += units;
    return unit;
  }

  #addChunk(): void {
    const chunk = this.#memory.words.length;
    this.#post({ chunk, buffer: new SharedArrayBuffer(CHUNK_BYTES) });
    this.#nextUnit = (chunk << CHUNK_SHIFT) + 1; // in the first chunk, 0 would look like a free slot
  }

  #post(grown: Grown): void {
    this.#memory.take(grown);
    for (const port of this.#readers.values()) port.postMessage(grown);
  }

  #retire(unit: number): void {
    if (this.#replaced.push(unit) >= RECLAIM_AT) this.#reclaim();
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
        const units = (this.#at(unit).words[((unit & UNIT_MASK) << 2) + 3] as number) & UNITS_MASK;
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
}

function aligned(bytes: number): number {
  return (bytes + 3) & ~3;
}

// Small entries keep their own size; above 16 units there are four classes to each doubling, so that an entry that
// grows record by record leaves few sizes behind, and at most a fifth of an entry is unused.
function sizeClass(units: number): number {
  if (units <= 16) return units;
  const step = 2 ** (Math.floor(Math.log2(units)) - 2);
  return Math.ceil(units / step) * step;
}
