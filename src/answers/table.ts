// The answer table: wire question → wire answer. One writer (answers/compile.ts), read by every listener on the
// hot path without allocation. Entries are immutable: a new one is written, then its offset published in one store,
// so that moving the memory into SharedArrayBuffers and the readers into threads changes only how memory is had.
//
//   slots  Int32Array, open addressing by the hash of the name:  0 = never used, -1 = deleted, else entry unit
//   arena  chunks of 4 MiB, entries at multiples of 16 bytes, freed entries kept by size class for reuse:
//
//     0        4       5        6        8         9         10       12
//     │ hash   │ flags │ reason │ zone   │ nameLen │ answers │ block  │ name… │ answer │ answer │ …
//     answer:  │ type 2 │ counts 3×2 │ rotateAt 2 │ rotateCount 2 │ rotateSize 2 │ bodyLen 2 │ body… │
//
//   body  everything behind the question: its compression pointers are right because the entry's name is the
//         question's. rotateAt… say where `rotateCount` equally long records stand that round robin may rotate.
//   zones one negative answer (SOA) each, appended when answering, so that a new serial rewrites no entry.
//
// A missing name is answered from its closest encloser: the entry knows the zone, whether the zone is complete,
// and why a name right below it does not exist.

import { randomInt } from "node:crypto";
import { encodeOpt, Flags, HEADER_BYTES, OPT_BYTES, putUint16, putUint32, Rcodes, replyLimit, type Ede } from "../dns/message.ts";
import type { Name } from "../dns/name.ts";
import type { Exchange } from "../dns/question.ts";
import { RRTypes } from "../dns/records.ts";

/** What answer() did. */
export const Outcomes = {
  /** `io.out` holds the answer. */
  HIT: 1,
  /** Only the plugin chain can tell. */
  ASK_CHAIN: 2,
} as const;
export type Outcome = (typeof Outcomes)[keyof typeof Outcomes];

/** Wire question → wire answer; one writer, many readers. Contract: test/contracts/table-is-chain.test.ts. */
export interface AnswerTable {
  /**
   * Answers the question that readQuestion() found in `io`. On HIT sets `length`, `rcode`, `replyFlags`,
   * `answerCount`, `block` and `zone` in `hit`.
   */
  answer(io: Exchange, hit: Hit): Outcome;
}

/** What a hit was, for metrics and observers: one preallocated object per listener. */
export interface Hit {
  /** Octets of the answer in `io.out`. */
  length: number;
  rcode: number;
  replyFlags: number;
  answerCount: number;
  /** Index of the server block. */
  block: number;
  /** Index of the zone, as given to setZone(). */
  zone: number;
}

export function createHit(): Hit {
  return { length: 0, rcode: 0, replyFlags: 0, answerCount: 0, block: 0, zone: 0 };
}

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

const UNIT_BYTES = 16; // entries are reused by size; the mean loss is half a unit
const CHUNK_BYTES = 4 * 1024 * 1024; // grows by what 20,000 names need; an entry never spans chunks
const UNITS_PER_CHUNK = CHUNK_BYTES / UNIT_BYTES;
const FIRST_SLOTS = 1024;
/** Answers longer than this are left to the chain: they fit no UDP packet, and an entry must fit a chunk. */
export const MAX_BODY_BYTES: number = 16 * 1024;

const FREE = 0;
const DELETED = -1;

const ENTRY_HEAD = 12;
const ANSWER_HEAD = 16;
const FLAG_ASK_CHAIN = 1;
const FLAG_OPEN_BELOW = 2;
const FLAG_PARTIAL = 4;

/** The table's memory and its one writer. */
export class MemoryTable implements AnswerTable {
  readonly #seed = randomInt(2 ** 32) | 0;
  readonly #chunks: Uint8Array[] = [];
  readonly #views: DataView[] = [];
  #nextUnit = 1; // unit 0 is never used: 0 means "never used" in a slot
  readonly #freeUnits: number[][] = []; // by size in units
  #slots = new Int32Array(FIRST_SLOTS);
  #names = 0;
  #deleted = 0;
  readonly #zones: CompiledZone[] = [];
  readonly #reasons: (Ede | undefined)[] = [undefined];
  readonly #reasonIndexes = new Map<string, number>([["", 0]]);
  #turn = randomInt(2 ** 30); // round robin starts anywhere (a cluster's replicas must not agree)
  readonly #hashes = new Int32Array(128); // of each suffix of the question, by label

  /** Names with an entry. */
  get size(): number {
    return this.#names;
  }

  /** Bytes of memory held. */
  get bytes(): number {
    return this.#chunks.length * CHUNK_BYTES + this.#slots.byteLength;
  }

  answer(io: Exchange, hit: Hit): Outcome {
    const hashes = this.#hashes;
    this.#hashSuffixes(io);
    const unit = this.#find(io.name, 0, io.nameLength, hashes[0] as number);
    if (unit === FREE) return this.#answerMissing(io, hit);
    const view = this.#views[(unit / UNITS_PER_CHUNK) | 0] as DataView;
    let at = (unit % UNITS_PER_CHUNK) * UNIT_BYTES;
    const flags = view.getUint8(at + 4);
    if ((flags & FLAG_ASK_CHAIN) !== 0) return Outcomes.ASK_CHAIN;
    hit.zone = view.getUint16(at + 6);
    hit.block = view.getUint16(at + 10);
    let left = view.getUint8(at + 9);
    at += ENTRY_HEAD + io.nameLength;
    for (; left > 0; left--) {
      if (view.getUint16(at) === io.qtype) return this.#sendBody(io, hit, unit, view, at);
      at += ANSWER_HEAD + view.getUint16(at + 14);
    }
    if ((flags & FLAG_PARTIAL) !== 0) return Outcomes.ASK_CHAIN;
    return this.#sendNegative(io, hit, Rcodes.NOERROR, 0);
  }

  /** Publishes what stands at a name, in the place of what stood there. */
  put(name: Name, compiled: CompiledName): void {
    let bytes = ENTRY_HEAD + name.length;
    for (const answer of compiled.answers) bytes += ANSWER_HEAD + answer.body.length;
    const unit = this.#allocate(bytes);
    this.#write(unit, name, compiled);
    if ((this.#names + this.#deleted) * 2 >= this.#slots.length) this.#grow();
    const wire = Buffer.from(name, "latin1");
    const hash = this.#hash(wire);
    const slot = this.#slotOf(wire, hash);
    const old = this.#slots[slot] as number;
    this.#slots[slot] = unit; // the publishing store
    if (old > FREE) this.#retire(old);
    else this.#names++;
    if (old === DELETED) this.#deleted--;
  }

  /** Takes a name out; nothing happens if it has no entry. */
  remove(name: Name): void {
    const wire = Buffer.from(name, "latin1");
    const slot = this.#slotOf(wire, this.#hash(wire));
    const old = this.#slots[slot] as number;
    if (old <= FREE) return;
    this.#slots[slot] = DELETED;
    this.#names--;
    this.#deleted++;
    this.#retire(old);
  }

  has(name: Name): boolean {
    const wire = Buffer.from(name, "latin1");
    return this.#find(wire, 0, wire.length, this.#hash(wire)) !== FREE;
  }

  /** Replaces a zone's part in negative answers. Indexes 0–65,535. */
  setZone(index: number, zone: CompiledZone): void {
    this.#zones[index] = zone;
  }

  zone(index: number): CompiledZone | undefined {
    return this.#zones[index];
  }

  // ── answering ────────────────────────────────────────────────────────────────────────────────────────────

  #sendBody(io: Exchange, hit: Hit, unit: number, view: DataView, at: number): Outcome {
    const zone = this.#zones[hit.zone] as CompiledZone;
    const bodyLength = view.getUint16(at + 14);
    const bodyAt = io.questionEnd - io.inAt;
    const limit = this.#limitOf(io, zone.udpSize);
    if (bodyAt + bodyLength > limit) return Outcomes.ASK_CHAIN; // the chain truncates
    const { out, outAt } = io;
    const bytes = this.#chunks[(unit / UNITS_PER_CHUNK) | 0] as Uint8Array;
    copyBytes(bytes, at + ANSWER_HEAD, out, outAt + bodyAt, bodyLength);
    const rotateCount = view.getUint16(at + 10);
    if (rotateCount > 1) {
      const start = at + ANSWER_HEAD + view.getUint16(at + 8);
      const size = view.getUint16(at + 12);
      const shift = (this.#turn++ % rotateCount) * size;
      const to = outAt + bodyAt + start - at - ANSWER_HEAD;
      const whole = rotateCount * size;
      copyBytes(bytes, start + shift, out, to, whole - shift);
      copyBytes(bytes, start, out, to + whole - shift, shift);
    }
    const answerCount = view.getUint16(at + 2);
    this.#finish(
      io,
      hit,
      Rcodes.NOERROR,
      answerCount,
      view.getUint16(at + 4),
      view.getUint16(at + 6),
      bodyAt + bodyLength,
      zone,
      undefined,
    );
    return Outcomes.HIT;
  }

  #answerMissing(io: Exchange, hit: Hit): Outcome {
    for (let label = 1; label <= io.labelCount; label++) {
      const from = label === io.labelCount ? io.nameLength - 1 : (io.labels[label] as number);
      const unit = this.#find(io.name, from, io.nameLength, this.#hashes[label] as number);
      if (unit === FREE) continue;
      const view = this.#views[(unit / UNITS_PER_CHUNK) | 0] as DataView;
      const at = (unit % UNITS_PER_CHUNK) * UNIT_BYTES;
      if ((view.getUint8(at + 4) & FLAG_OPEN_BELOW) !== 0) return Outcomes.ASK_CHAIN;
      hit.zone = view.getUint16(at + 6);
      hit.block = view.getUint16(at + 10);
      const zone = this.#zones[hit.zone] as CompiledZone;
      if (!zone.complete || (zone.namesNearest && io.edns)) return Outcomes.ASK_CHAIN;
      return this.#sendNegative(io, hit, Rcodes.NXDOMAIN, view.getUint8(at + 5));
    }
    return Outcomes.ASK_CHAIN;
  }

  #sendNegative(io: Exchange, hit: Hit, rcode: number, reason: number): Outcome {
    const zone = this.#zones[hit.zone] as CompiledZone;
    const soa = zone.soa;
    if (soa === undefined || io.qtype === RRTypes.DS) return Outcomes.ASK_CHAIN; // a zone cut belongs to the parent's block
    const below = io.nameLength - zone.apex.length;
    for (const label of zone.soaLabels) if (endsWithLabel(io, below, label)) return Outcomes.ASK_CHAIN;
    const bodyAt = io.questionEnd - io.inAt;
    if (bodyAt + soa.length > this.#limitOf(io, zone.udpSize)) return Outcomes.ASK_CHAIN;
    const to = io.outAt + bodyAt;
    copyBytes(soa, 0, io.out, to, soa.length);
    for (const pointer of zone.soaPointers) {
      putUint16(io.out, to + pointer, (((soa[pointer] as number) << 8) | (soa[pointer + 1] as number)) + below);
    }
    this.#finish(io, hit, rcode, 0, 1, 0, bodyAt + soa.length, zone, this.#reasons[reason]);
    return Outcomes.HIT;
  }

  // The message bound without the OPT record.
  #limitOf(io: Exchange, udpSize: number): number {
    return replyLimit(io.transport, io.clientUdpSize, udpSize) - (io.edns ? OPT_BYTES : 0);
  }

  #finish(
    io: Exchange,
    hit: Hit,
    rcode: number,
    answers: number,
    authority: number,
    additional: number,
    length: number,
    zone: CompiledZone,
    reason: Ede | undefined,
  ): void {
    const { in: bytes, inAt, out, outAt } = io;
    const flags = Flags.QR | Flags.AA | (io.flags & (Flags.RD | Flags.CD)) | rcode;
    putUint16(out, outAt, io.id);
    putUint16(out, outAt + 2, flags);
    putUint16(out, outAt + 4, 1);
    putUint16(out, outAt + 6, answers);
    putUint16(out, outAt + 8, authority);
    putUint16(out, outAt + 10, io.edns ? additional + 1 : additional);
    copyBytes(bytes, inAt + HEADER_BYTES, out, outAt + HEADER_BYTES, io.questionEnd - inAt - HEADER_BYTES);
    hit.length = io.edns
      ? encodeOpt(
          out,
          outAt + length,
          outAt + replyLimit(io.transport, io.clientUdpSize, zone.udpSize),
          zone.udpSize,
          io.dnssecOk,
          0,
          reason,
        ) - outAt
      : length;
    hit.rcode = rcode;
    hit.replyFlags = flags;
    hit.answerCount = answers;
  }

  // ── looking up ───────────────────────────────────────────────────────────────────────────────────────────

  // Hashes from the root to the left, so that one pass gives the hash of every suffix at its label.
  #hashSuffixes(io: Exchange): void {
    const { name, labels } = io;
    const hashes = this.#hashes;
    let hash = this.#seed;
    let label = io.labelCount;
    hashes[label--] = mix(step(hash, 0));
    hash = step(hash, 0);
    for (let at = io.nameLength - 2; at >= 0; at--) {
      hash = step(hash, name[at] as number);
      if (label >= 0 && labels[label] === at) hashes[label--] = mix(hash);
    }
  }

  #hash(name: Uint8Array): number {
    let hash = this.#seed;
    for (let at = name.length - 1; at >= 0; at--) hash = step(hash, name[at] as number);
    return mix(hash);
  }

  #find(name: Uint8Array, from: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const unit = slots[slot] as number;
      if (unit === FREE) return FREE;
      if (unit !== DELETED && this.#isAt(unit, name, from, end, hash)) return unit;
    }
  }

  // The slot that holds the name, else the one to put it in.
  #slotOf(name: Uint8Array, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let reuse = -1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const unit = slots[slot] as number;
      if (unit === FREE) return reuse >= 0 ? reuse : slot;
      if (unit === DELETED) {
        if (reuse < 0) reuse = slot;
      } else if (this.#isAt(unit, name, 0, name.length, hash)) return slot;
    }
  }

  #isAt(unit: number, name: Uint8Array, from: number, end: number, hash: number): boolean {
    const chunk = (unit / UNITS_PER_CHUNK) | 0;
    const view = this.#views[chunk] as DataView;
    const at = (unit % UNITS_PER_CHUNK) * UNIT_BYTES;
    if (view.getInt32(at) !== hash || view.getUint8(at + 8) !== end - from) return false;
    const bytes = this.#chunks[chunk] as Uint8Array;
    for (let index = from, other = at + ENTRY_HEAD; index < end; index++, other++) {
      if (bytes[other] !== name[index]) return false;
    }
    return true;
  }

  // ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

  #write(unit: number, name: Name, compiled: CompiledName): void {
    const chunk = (unit / UNITS_PER_CHUNK) | 0;
    const bytes = this.#chunks[chunk] as Uint8Array;
    const view = this.#views[chunk] as DataView;
    let at = (unit % UNITS_PER_CHUNK) * UNIT_BYTES;
    const wire = Buffer.from(name, "latin1");
    putUint32(bytes, at, this.#hash(wire));
    let flags = compiled.askChain ? FLAG_ASK_CHAIN : 0;
    if (compiled.openBelow) flags |= FLAG_OPEN_BELOW;
    if (compiled.partial) flags |= FLAG_PARTIAL;
    view.setUint8(at + 4, flags);
    view.setUint16(at + 6, compiled.zone);
    view.setUint8(at + 8, wire.length);
    view.setUint8(at + 5, this.#reasonIndex(compiled.reasonBelow));
    view.setUint8(at + 9, compiled.answers.length);
    view.setUint16(at + 10, compiled.block);
    bytes.set(wire, at + ENTRY_HEAD);
    at += ENTRY_HEAD + wire.length;
    for (const answer of compiled.answers) {
      view.setUint16(at, answer.type);
      view.setUint16(at + 2, answer.answerCount);
      view.setUint16(at + 4, answer.authorityCount);
      view.setUint16(at + 6, answer.additionalCount);
      view.setUint16(at + 8, answer.rotateAt);
      view.setUint16(at + 10, answer.rotateCount);
      view.setUint16(at + 12, answer.rotateSize);
      view.setUint16(at + 14, answer.body.length);
      bytes.set(answer.body, at + ANSWER_HEAD);
      at += ANSWER_HEAD + answer.body.length;
    }
  }

  // Reasons are few constant texts; a 256th one is not told.
  #reasonIndex(text: string): number {
    const known = this.#reasonIndexes.get(text);
    if (known !== undefined) return known;
    if (this.#reasons.length > 255) return 0;
    this.#reasonIndexes.set(text, this.#reasons.length);
    return this.#reasons.push({ code: 0, text }) - 1;
  }

  #allocate(bytes: number): number {
    const units = sizeClass(Math.ceil(bytes / UNIT_BYTES));
    const reused = this.#freeUnits[units]?.pop();
    if (reused !== undefined) return reused;
    if (this.#nextUnit + units > this.#chunks.length * UNITS_PER_CHUNK) this.#addChunk();
    const unit = this.#nextUnit;
    this.#nextUnit += units;
    return unit;
  }

  #addChunk(): void {
    const chunk = new Uint8Array(CHUNK_BYTES);
    this.#nextUnit = this.#chunks.length * UNITS_PER_CHUNK + 1;
    this.#chunks.push(chunk);
    this.#views.push(new DataView(chunk.buffer));
  }

  #retire(unit: number): void {
    const view = this.#views[(unit / UNITS_PER_CHUNK) | 0] as DataView;
    let at = (unit % UNITS_PER_CHUNK) * UNIT_BYTES;
    const start = at;
    let left = view.getUint8(at + 9);
    at += ENTRY_HEAD + view.getUint8(at + 8);
    for (; left > 0; left--) at += ANSWER_HEAD + view.getUint16(at + 14);
    const units = sizeClass(Math.ceil((at - start) / UNIT_BYTES));
    (this.#freeUnits[units] ??= []).push(unit);
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Int32Array(this.#names * 4 > old.length ? old.length * 2 : old.length);
    const mask = slots.length - 1;
    for (const unit of old) {
      if (unit <= FREE) continue;
      const view = this.#views[(unit / UNITS_PER_CHUNK) | 0] as DataView;
      let slot = view.getInt32((unit % UNITS_PER_CHUNK) * UNIT_BYTES) & mask;
      while (slots[slot] !== FREE) slot = (slot + 1) & mask;
      slots[slot] = unit;
    }
    this.#slots = slots;
    this.#deleted = 0;
  }
}

// Small entries keep their own size; above 16 units there are four classes to each doubling, so that an entry that
// grows record by record leaves few sizes behind, and at most a fifth of an entry is unused.
function sizeClass(units: number): number {
  if (units <= 16) return units;
  const step = 2 ** (Math.floor(Math.log2(units)) - 2);
  return Math.ceil(units / step) * step;
}

// FNV-1a's step with a per-process seed; names are compared in full, so a collision costs time only.
function step(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

function mix(hash: number): number {
  let mixed = hash ^ (hash >>> 15);
  mixed = Math.imul(mixed, 0x2c1b3c6d);
  return mixed ^ (mixed >>> 13);
}

// True if the label that ends `below` bytes into the question's name is `label` (length byte included).
function endsWithLabel(io: Exchange, below: number, label: Uint8Array): boolean {
  const start = below - label.length;
  if (start < 0) return false;
  for (let index = 0; index < label.length; index++) if (io.name[start + index] !== label[index]) return false;
  return true;
}

// Short copies are quicker by hand than by TypedArray.set with a subarray, which allocates a view.
function copyBytes(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let index = 0; index < length; index++) to[toAt + index] = from[fromAt + index] as number;
}
