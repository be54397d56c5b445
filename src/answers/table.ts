// The answer table: wire question → wire answer, in memory that all threads share. One writer (answers/compile.ts, on
// the main thread), any number of lock-free readers (answers/reader.ts).
//
//   control  epoch · number of the slots in use · hash seed · reasons[256] · zones[65,536] · an epoch of each reader
//   slots    Int32Array, open addressing by the hash of the name:  0 = never used, -1 = deleted, else an entry's unit
//   arena    chunks of 4 MiB in units of 16 bytes; freed entries are kept by size class for reuse. In 32-bit words:
//
//     entry   │ hash │ flags 8, name length 8, reason below 8, reason 8 │ zone 16, block 16 │ units 24, answers 8 │
//             │ name… │ answer │ answer │ …
//     answer  │ type 16, body length 16 │ answers 16, additional 16 │ rotate at 16, size 16 │ count 16, authority 8, flags 8 │ body…
//     zone    │ flags 8, apex 8, pointers 8 │ UDP size 16, staleness 8, types 8 │ SOA length 16, labels length 16 │ units │ SOA… pointers… labels… types…
//     reason  │ length │ – │ – │ units │ the EDE option as it stands in an OPT record…
//
//   body     everything behind the question: its compression pointers are right because the entry's name is the
//            question's. `rotate…` say where `count` equally long records stand that round robin may rotate.
//   flags    of an answer that was remembered have its rcode, AA and RA, and three words stand in front of the body: when it
//            was stored and until when it may be told, in seconds of the listeners' clock, and whose hits it gives. Of one that
//            is too long for UDP in any case, the body is the beginning.
//   zone     one negative answer (SOA), appended when answering, so that a new serial rewrites one small entry; and the
//            reason that all of its answers have, in the place of their own.
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
// does within seconds; until then the table grows by what the compiler writes (20 MB/s if it did nothing else).
//
// Growth: a new chunk or array of slots is posted to every reader before anything in it is published; postMessage()
// queues at once, and readers fetch when they meet a chunk or, at enter(), slots that they don't know.

import { randomInt } from "node:crypto";
import { EdeCodes, OPTION_EDE, putUint16 } from "../dns/message.ts";
import type { Name } from "../dns/name.ts";
import { Arena, SIZE_BITS } from "./arena.ts";
import type { CompiledAnswer, CompiledName, CompiledZone, Kept } from "./compiled.ts";
import {
  ANSWER_AUTHORITATIVE,
  ANSWER_BEGINNING,
  ANSWER_RCODE_SHIFT,
  ANSWER_RECURSION_AVAILABLE,
  ANSWER_REMEMBERED,
  CHUNK_SHIFT,
  DELETED,
  ENTRY_ASK_CHAIN,
  ENTRY_FOREIGN,
  ENTRY_OPEN_BELOW,
  ENTRY_OPEN_TO_ADDRESSES,
  ENTRY_PARTIAL,
  FIRST_SLOTS,
  FREE,
  HEAD_BYTES,
  MAX_REASONS,
  REASONS,
  REMEMBERED_HEAD_BYTES,
  SEED,
  STALENESS_SHIFT,
  TYPES_SHIFT,
  TableMemory,
  UNIT_MASK,
  ZONES,
  ZONE_COMPLETE,
  ZONE_HAS_SOA,
  ZONE_NAMES_NEAREST,
  hashOf,
  type SharedTable,
} from "./memory.ts";
import { TableReader } from "./reader.ts";

/** The table's one writer. */
export class TableWriter {
  /** For this thread: asked without enter() and leave(), because the writer never runs meanwhile. */
  readonly reader: TableReader;
  readonly #memory = new TableMemory();
  readonly #arena = new Arena(this.#memory);
  readonly #seed = randomInt(2 ** 32) | 0;
  #names = 0;
  #deleted = 0;
  readonly #reasons = new Map<string, number>(); // by code and text

  constructor() {
    this.#memory.control[SEED] = this.#seed;
    this.#arena.useSlots(this.#arena.slotsFor(FIRST_SLOTS));
    this.reader = new TableReader(this.#memory, 0, undefined);
  }

  /** Names with an entry. */
  get size(): number {
    return this.#names;
  }

  /** Bytes of memory held. */
  get bytes(): number {
    return this.#arena.bytes;
  }

  /** Opens the table to one more thread, which calls openTable() with it; `updates` is to be transferred. */
  attach(): SharedTable {
    return this.#arena.attach();
  }

  /** Forgets a thread that has ended: it holds no memory back any more. */
  detach({ reader }: Pick<SharedTable, "reader">): void {
    this.#arena.detach(reader);
  }

  /** Publishes what stands at a name, in the place of what stood there. */
  put(name: Name, compiled: CompiledName): void {
    const wire = Buffer.from(name, "latin1");
    const hash = hashOf(wire, this.#seed);
    const answers = compiled.answers.length > MAX_ANSWERS ? [] : compiled.answers;
    let flags = compiled.askChain || answers !== compiled.answers ? ENTRY_ASK_CHAIN : 0;
    if (compiled.openBelow === true) flags |= ENTRY_OPEN_BELOW;
    if (compiled.openBelow === "addresses") flags |= ENTRY_OPEN_TO_ADDRESSES;
    if (compiled.partial) flags |= ENTRY_PARTIAL;
    const bits =
      flags | (this.#reasonOf(compiled.reasonBelow, EdeCodes.OTHER) << 16) | (this.#reasonOf(compiled.reason, EdeCodes.OTHER) << 24);
    this.#publish(wire, hash, this.#write(wire, hash, bits, compiled.zone | (compiled.block << 16), answers, []));
  }

  /**
   * Adds a remembered answer to what is known of a name, in the place of one of the same type. What is compiled for the
   * name later takes its place. The caller bounds the number of names.
   * @param origin `zone` and `block` as in CompiledName, for a name without an entry.
   */
  remember(name: Name, answer: CompiledAnswer, origin: Pick<CompiledName, "zone" | "block">): void {
    const wire = Buffer.from(name, "latin1");
    const hash = hashOf(wire, this.#seed);
    const old = this.#memory.slots[this.#slotOf(wire, hash)] as number;
    let bits = ENTRY_OPEN_BELOW | ENTRY_PARTIAL | ENTRY_FOREIGN;
    let from = origin.zone | (origin.block << 16);
    let others: readonly Int32Array[] = [];
    if (old > FREE) {
      const { words } = this.#at(old);
      const at = (old & UNIT_MASK) << 2;
      bits = (words[at + 1] as number) & ~NAME_LENGTH_MASK;
      if ((bits & ENTRY_ASK_CHAIN) !== 0) return;
      from = words[at + 2] as number;
      others = this.#answersOf(old).filter((other) => ((other[0] as number) & 0xffff) !== answer.type && !isOver(other, answer.kept));
    }
    this.#publish(wire, hash, this.#write(wire, hash, bits, from, [answer], others.slice(0, MAX_ANSWERS - 1)));
  }

  /** Takes a remembered answer back; nothing happens if there is none. */
  forget(name: Name, type: number): void {
    const wire = Buffer.from(name, "latin1");
    const hash = hashOf(wire, this.#seed);
    const unit = this.#memory.slots[this.#slotOf(wire, hash)] as number;
    if (unit <= FREE) return;
    const answers = this.#answersOf(unit);
    const others = answers.filter((answer) => ((answer[0] as number) & 0xffff) !== type || !isRemembered(answer));
    if (others.length === answers.length) return;
    const { words } = this.#at(unit);
    const at = (unit & UNIT_MASK) << 2;
    const bits = (words[at + 1] as number) & ~NAME_LENGTH_MASK;
    if (others.length === 0 && (bits & ENTRY_FOREIGN) !== 0) this.remove(name);
    else this.#publish(wire, hash, this.#write(wire, hash, bits, words[at + 2] as number, [], others));
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
    this.#arena.retire(old);
  }

  has(name: Name): boolean {
    const wire = Buffer.from(name, "latin1");
    return (this.#memory.slots[this.#slotOf(wire, hashOf(wire, this.#seed))] as number) > FREE;
  }

  /** Replaces a zone's part in negative answers. Indexes 0–65,535. */
  setZone(index: number, zone: CompiledZone): void {
    const { soa = new Uint8Array(0), soaPointers, soaLabels, types = [] } = zone;
    const labels = Buffer.concat(soaLabels);
    const unit = this.#arena.allocate(HEAD_BYTES + soa.length + (soaPointers.length + types.length) * 2 + labels.length);
    const { words, bytes } = this.#at(unit);
    const at = (unit & UNIT_MASK) << 2;
    let flags = zone.soa === undefined ? 0 : ZONE_HAS_SOA;
    if (zone.complete) flags |= ZONE_COMPLETE;
    if (zone.namesNearest) flags |= ZONE_NAMES_NEAREST;
    words[at] = flags | (zone.apex.length << 8) | (soaPointers.length << 16);
    words[at + 1] = zone.udpSize | (this.#reasonOf(zone.staleness, EdeCodes.STALE) << STALENESS_SHIFT) | (types.length << TYPES_SHIFT);
    words[at + 2] = soa.length | (labels.length << 16);
    let to = at * 4 + HEAD_BYTES;
    bytes.set(soa, to);
    to += soa.length;
    for (const pointer of soaPointers) {
      putUint16(bytes, to, pointer);
      to += 2;
    }
    bytes.set(labels, to);
    to += labels.length;
    for (const type of types) {
      putUint16(bytes, to, type);
      to += 2;
    }
    const { control } = this.#memory;
    const old = control[ZONES + index] as number;
    Atomics.store(control, ZONES + index, unit);
    if (old > FREE) this.#arena.retire(old);
  }

  // ── entries ──────────────────────────────────────────────────────────────────────────────────────────────

  // Writes an entry that nobody finds yet. `others` are answers as they stand in another entry.
  #write(
    wire: Uint8Array,
    hash: number,
    bits: number,
    from: number,
    answers: readonly CompiledAnswer[],
    others: readonly Int32Array[],
  ): number {
    let size = HEAD_BYTES + aligned(wire.length);
    for (const answer of answers) size += HEAD_BYTES + aligned(sizeOf(answer));
    for (const other of others) size += other.byteLength;
    const unit = this.#arena.allocate(size);
    const { words, bytes } = this.#at(unit);
    let at = (unit & UNIT_MASK) << 2;
    words[at] = hash;
    words[at + 1] = bits | (wire.length << 8);
    words[at + 2] = from;
    words[at + 3] = (words[at + 3] as number) | ((answers.length + others.length) << SIZE_BITS);
    bytes.set(wire, at * 4 + HEAD_BYTES);
    at += (HEAD_BYTES + aligned(wire.length)) >> 2;
    for (const answer of answers) {
      const { type, body, answerCount, authorityCount, additionalCount, rotateAt, rotateSize, rotateCount, kept } = answer;
      words[at] = type | (sizeOf(answer) << 16);
      words[at + 1] = answerCount | (additionalCount << 16);
      words[at + 2] = rotateAt | (rotateSize << 16);
      words[at + 3] = rotateCount | (authorityCount << 16) | (flagsOf(answer) << 24);
      if (kept !== undefined) {
        words[at + 4] = kept.storedAt;
        words[at + 5] = kept.deadline;
        words[at + 6] = kept.zone;
      }
      bytes.set(body, at * 4 + HEAD_BYTES + sizeOf(answer) - body.length);
      at += (HEAD_BYTES + aligned(sizeOf(answer))) >> 2;
    }
    for (const other of others) {
      words.set(other, at);
      at += other.length;
    }
    return unit;
  }

  #publish(wire: Uint8Array, hash: number, unit: number): void {
    if ((this.#names + this.#deleted) * 2 >= this.#memory.slots.length) this.#rehash();
    const { slots } = this.#memory;
    const slot = this.#slotOf(wire, hash);
    const old = slots[slot] as number;
    Atomics.store(slots, slot, unit);
    if (old > FREE) this.#arena.retire(old);
    else this.#names++;
    if (old === DELETED) this.#deleted--;
  }

  #answersOf(unit: number): Int32Array[] {
    const { words } = this.#at(unit);
    let at = (unit & UNIT_MASK) << 2;
    const nameLength = ((words[at + 1] as number) >>> 8) & 0xff;
    const count = (words[at + 3] as number) >>> SIZE_BITS;
    at += (HEAD_BYTES + aligned(nameLength)) >> 2;
    return Array.from({ length: count }, () => {
      const start = at;
      at += (HEAD_BYTES + aligned((words[at] as number) >>> 16)) >> 2;
      return words.subarray(start, at);
    });
  }

  // Reasons are few constant texts, kept for good; a 256th one is not told.
  #reasonOf(text: string, code: number): number {
    if (text === "") return 0;
    const key = `${code} ${text}`;
    const known = this.#reasons.get(key);
    if (known !== undefined) return known;
    if (this.#reasons.size === MAX_REASONS - 1) return 0;
    const told = Buffer.from(text);
    const option = Buffer.alloc(6);
    option.writeUInt16BE(OPTION_EDE, 0);
    option.writeUInt16BE(2 + told.length, 2);
    option.writeUInt16BE(code, 4);
    const unit = this.#arena.allocate(HEAD_BYTES + option.length + told.length);
    const { words, bytes } = this.#at(unit);
    const at = (unit & UNIT_MASK) << 2;
    words[at] = option.length + told.length;
    bytes.set(option, at * 4 + HEAD_BYTES);
    bytes.set(told, at * 4 + HEAD_BYTES + option.length);
    const index = this.#reasons.size + 1; // 0: none
    this.#reasons.set(key, index);
    Atomics.store(this.#memory.control, REASONS + index, unit);
    return index;
  }

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

  // Into twice as many slots, or into as many without the deleted ones.
  #rehash(): void {
    const { slots: old } = this.#memory;
    const number = this.#arena.slotsFor(this.#names * 4 > old.length ? old.length * 2 : old.length);
    const slots = this.#memory.slotsOf(number);
    const mask = slots.length - 1;
    for (const unit of old) {
      if (unit <= FREE) continue;
      let slot = (this.#at(unit).words[(unit & UNIT_MASK) << 2] as number) & mask;
      while (slots[slot] !== FREE) slot = (slot + 1) & mask;
      slots[slot] = unit;
    }
    this.#arena.useSlots(number);
    this.#deleted = 0;
  }

  #at(unit: number): { readonly words: Int32Array; readonly bytes: Uint8Array } {
    const { words, bytes } = this.#memory;
    return { words: words[unit >>> CHUNK_SHIFT] as Int32Array, bytes: bytes[unit >>> CHUNK_SHIFT] as Uint8Array };
  }
}

const NAME_LENGTH_MASK = 0xff00;
/** Types at one name: 1 MiB, so that an entry fits a chunk. */
const MAX_ANSWERS = 64;

function aligned(bytes: number): number {
  return (bytes + 3) & ~3;
}

function sizeOf({ body, kept }: CompiledAnswer): number {
  return kept === undefined ? body.length : REMEMBERED_HEAD_BYTES + body.length;
}

function flagsOf({ kept, isBeginning }: CompiledAnswer): number {
  if (kept === undefined) return isBeginning === true ? ANSWER_BEGINNING : 0;
  const { rcode, authoritative, recursionAvailable } = kept;
  const bits = (authoritative ? ANSWER_AUTHORITATIVE : 0) | (recursionAvailable ? ANSWER_RECURSION_AVAILABLE : 0);
  return ANSWER_REMEMBERED | bits | (rcode << ANSWER_RCODE_SHIFT);
}

// Whether an answer in an entry was remembered and is too old to be told when `kept` is stored.
function isOver(answer: Int32Array, kept: Kept | undefined): boolean {
  return kept !== undefined && isRemembered(answer) && (answer[5] as number) <= kept.storedAt;
}

function isRemembered(answer: Int32Array): boolean {
  return ((answer[3] as number) & (ANSWER_REMEMBERED << 24)) !== 0;
}
