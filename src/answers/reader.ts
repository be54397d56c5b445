// Reads the answer table: the hottest code of all, run for every packet by every listener thread. It allocates nothing
// on a hit and takes no lock; what keeps an entry from being written over while it is read is told in answers/table.ts.

import { randomInt } from "node:crypto";
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { countDown, cutBody, type Cut } from "../dns/body.ts";
import { encodeOpt } from "../dns/encode.ts";
import { Flags, HEADER_BYTES, MAX_MESSAGE_BYTES, MIN_UDP_BYTES, OPT_BYTES, putUint16, Rcodes } from "../dns/message.ts";
import { isAddressLabelAt } from "../dns/address-label.ts";
import type { Exchange } from "../dns/question.ts";
import { RRTypes } from "../dns/records.ts";
import { Outcomes, type AnswerTable, type Hit, type Outcome } from "./answer-table.ts";
import { copy, copyRotated, isEqual } from "./bytes.ts";
import {
  ANSWER_AUTHORITATIVE,
  ANSWER_BEGINNING,
  ANSWER_RCODE_SHIFT,
  ANSWER_RECURSION_AVAILABLE,
  ANSWER_REMEMBERED,
  CHUNK_SHIFT,
  DELETED,
  ENTRY_ASK_CHAIN,
  ENTRY_OPEN_BELOW,
  ENTRY_OPEN_TO_ADDRESSES,
  ENTRY_PARTIAL,
  EPOCH,
  FREE,
  HEAD_BYTES,
  READERS,
  READER_WORDS,
  REASONS,
  REMEMBERED_HEAD_BYTES,
  SEED,
  SLOTS,
  STALENESS_SHIFT,
  TYPES_SHIFT,
  TableMemory,
  UNIT_BYTES,
  UNIT_MASK,
  ZONES,
  ZONE_COMPLETE,
  ZONE_HAS_SOA,
  ZONE_NAMES_NEAREST,
  mix,
  step,
  type Grown,
  type SharedTable,
} from "./memory.ts";

/** Opens the table in a thread that has been given it. */
export function openTable({ control, grown, reader, updates }: SharedTable): TableReader {
  const memory = new TableMemory(control);
  for (const each of grown) memory.take(each);
  return new TableReader(memory, reader, updates);
}

const NO_ZONE = -1;

/** One thread's reader. Between leave() and enter() it must not be asked. */
export class TableReader implements AnswerTable {
  readonly #memory: TableMemory;
  readonly #control: Int32Array;
  readonly #epochAt: number;
  readonly #updates: MessagePort | undefined;
  readonly #seed: number;
  #knownZone = NO_ZONE;
  #knownSizeWord = 0;
  #turn = randomInt(2 ** 30); // round robin starts anywhere (a cluster's replicas must not agree)
  readonly #hashes = new Int32Array(128); // of each suffix of the question, by label; not mixed
  #out: Uint8Array = new Uint8Array(0);
  #outView: DataView = new DataView(this.#out.buffer);
  #name: Uint8Array = this.#out;
  #nameView: DataView = this.#outView;
  readonly #cut: Cut = { length: 0, answers: 0, authority: 0, additional: 0, truncated: false };

  /** @param updates brings what `memory` lacks; undefined where the memory is the writer's own. */
  constructor(memory: TableMemory, reader: number, updates: MessagePort | undefined) {
    this.#memory = memory;
    this.#control = memory.control;
    this.#epochAt = READERS + reader * READER_WORDS;
    this.#updates = updates;
    this.#seed = memory.control[SEED] as number;
    if (updates !== undefined) this.#useSlots(Atomics.load(memory.control, SLOTS));
  }

  /** Before a batch of questions: what is found from here on stays as it is until leave(). */
  enter(): void {
    Atomics.store(this.#control, this.#epochAt, Atomics.load(this.#control, EPOCH));
    const slots = Atomics.load(this.#control, SLOTS); // behind the store: see answers/table.ts
    if (slots !== this.#memory.slotsNumber) this.#useSlots(slots);
    this.#knownZone = NO_ZONE;
  }

  /** After a batch, before anything that may block. */
  leave(): void {
    Atomics.store(this.#control, this.#epochAt, 0);
  }

  answer(io: Exchange, hit: Hit): Outcome {
    if (io.name !== this.#name) {
      this.#name = io.name;
      this.#nameView = new DataView(io.name.buffer, io.name.byteOffset, io.name.byteLength);
    }
    this.#hashSuffixes(io);
    const unit = this.#find(0, io.nameLength, this.#hashes[0] as number);
    if (unit === FREE) return this.#answerMissing(io, hit);
    const words = this.#memory.words[unit >>> CHUNK_SHIFT] as Int32Array;
    const at = (unit & UNIT_MASK) << 2;
    const bits = words[at + 1] as number;
    if ((bits & ENTRY_ASK_CHAIN) !== 0) return Outcomes.ASK_CHAIN;
    const from = words[at + 2] as number;
    hit.zone = from & 0xffff;
    hit.block = from >>> 16;
    let answerAt = at + ((HEAD_BYTES + io.nameLength + 3) >> 2);
    for (let left = (words[at + 3] as number) >>> 24; left > 0; left--) {
      const head = words[answerAt] as number;
      if ((head & 0xffff) === io.qtype) return this.#sendBody(io, hit, unit, answerAt);
      answerAt += (HEAD_BYTES + (head >>> 16) + 3) >> 2;
    }
    if ((bits & ENTRY_PARTIAL) !== 0) return Outcomes.ASK_CHAIN;
    return this.#sendNegative(io, hit, Rcodes.NOERROR, bits >>> 24);
  }

  #answerMissing(io: Exchange, hit: Hit): Outcome {
    const { labels, labelCount, nameLength } = io;
    for (let label = 1; label <= labelCount; label++) {
      const from = label === labelCount ? nameLength - 1 : (labels[label] as number);
      const unit = this.#find(from, nameLength, this.#hashes[label] as number);
      if (unit === FREE) continue;
      const words = this.#memory.words[unit >>> CHUNK_SHIFT] as Int32Array;
      const at = (unit & UNIT_MASK) << 2;
      const bits = words[at + 1] as number;
      if ((bits & ENTRY_OPEN_BELOW) !== 0) return Outcomes.ASK_CHAIN;
      if ((bits & ENTRY_OPEN_TO_ADDRESSES) !== 0 && isAddressLabelAt(io.name, labels[label - 1] as number)) return Outcomes.ASK_CHAIN;
      const of = words[at + 2] as number;
      hit.zone = of & 0xffff;
      hit.block = of >>> 16;
      return this.#sendNegative(io, hit, Rcodes.NXDOMAIN, (bits >>> 16) & 0xff);
    }
    return Outcomes.ASK_CHAIN;
  }

  #sendBody(io: Exchange, hit: Hit, unit: number, answerAt: number): Outcome {
    const words = this.#memory.words[unit >>> CHUNK_SHIFT] as Int32Array;
    const bytes = this.#memory.bytes[unit >>> CHUNK_SHIFT] as Uint8Array;
    const last = words[answerAt + 3] as number;
    const bits = last >>> 24;
    const isRemembered = (bits & ANSWER_REMEMBERED) !== 0;
    if (isRemembered) {
      if (io.dnssecOk || (io.flags & (Flags.AD | Flags.CD)) !== 0) return Outcomes.ASK_CHAIN;
      if (io.receivedAtMs >= (words[answerAt + 5] as number) * 1000) return Outcomes.ASK_CHAIN;
      hit.zone = words[answerAt + 6] as number;
    }
    const sizeWord = this.#sizeWordOf(hit.zone);
    const udpSize = sizeWord & 0xffff;
    const limit = limitOf(io, udpSize);
    const bodyAt = io.questionEnd - io.inAt;
    let start = answerAt * 4 + HEAD_BYTES;
    let length = (words[answerAt] as number) >>> 16;
    const counts = words[answerAt + 1] as number;
    let answers = counts & 0xffff;
    let additional = counts >>> 16;
    let authority = (last >>> 16) & 0xff;
    let flags: number = Flags.AA;
    if (isRemembered) {
      start += REMEMBERED_HEAD_BYTES;
      length -= REMEMBERED_HEAD_BYTES;
      flags = rememberedFlags(bits);
    }
    const room = limit - bodyAt - (io.edns ? OPT_BYTES : 0);
    if (length > room) {
      const cut = this.#cut;
      cutBody(bytes, start, bodyAt, room, answers, authority, additional, cut);
      ({ length, answers, authority, additional } = cut);
      if (cut.truncated) flags |= Flags.TC;
    } else if ((bits & ANSWER_BEGINNING) !== 0) return Outcomes.ASK_CHAIN;
    const rotateCount = last & 0xffff;
    const view = this.#memory.views[unit >>> CHUNK_SHIFT] as DataView;
    const out = this.#viewOf(io.out);
    const to = io.outAt + bodyAt;
    if (rotateCount > 1) {
      const rotate = words[answerAt + 2] as number;
      this.#turn = (this.#turn + 1) & 0x3fffffff;
      copyRotated(view, start, out, to, length, rotate & 0xffff, rotate >>> 16, rotateCount, this.#turn % rotateCount);
    } else copy(view, start, out, to, length);
    if (isRemembered) {
      const age = Math.floor(io.receivedAtMs / 1000) - (words[answerAt + 4] as number);
      countDown(io.out, to, answers + authority + additional, age);
    }
    this.#finish(
      io,
      hit,
      flags,
      answers,
      authority,
      additional,
      bodyAt + length,
      limit,
      udpSize,
      isRemembered ? 0 : (sizeWord >>> STALENESS_SHIFT) & 0xff,
    );
    return Outcomes.HIT;
  }

  #sendNegative(io: Exchange, hit: Hit, rcode: number, reason: number): Outcome {
    const unit = this.#zoneUnit(hit.zone);
    const words = this.#memory.words[unit >>> CHUNK_SHIFT] as Int32Array;
    const bytes = this.#memory.bytes[unit >>> CHUNK_SHIFT] as Uint8Array;
    const at = (unit & UNIT_MASK) << 2;
    const bits = words[at] as number;
    if ((bits & ZONE_HAS_SOA) === 0 || io.qtype === RRTypes.DS) return Outcomes.ASK_CHAIN; // a zone cut belongs to the parent's block
    if (rcode === Rcodes.NXDOMAIN) {
      if ((bits & ZONE_COMPLETE) === 0 || ((bits & ZONE_NAMES_NEAREST) !== 0 && io.edns)) return Outcomes.ASK_CHAIN;
    }
    const sizes = words[at + 2] as number;
    const soaLength = sizes & 0xffff;
    const below = io.nameLength - ((bits >>> 8) & 0xff);
    let from = at * 4 + HEAD_BYTES + soaLength;
    const pointersAt = from;
    const pointersEnd = from + ((bits >>> 16) & 0xff) * 2;
    const labelsEnd = pointersEnd + (sizes >>> 16);
    for (from = pointersEnd; from < labelsEnd; from += 1 + (bytes[from] as number)) {
      if (endsWithLabel(io, below, bytes, from)) return Outcomes.ASK_CHAIN;
    }
    const sizeWord = words[at + 1] as number;
    for (let left = sizeWord >>> TYPES_SHIFT; left > 0; left--, from += 2) {
      if (io.qtype === (((bytes[from] as number) << 8) | (bytes[from + 1] as number))) return Outcomes.ASK_CHAIN;
    }
    const udpSize = sizeWord & 0xffff;
    const staleness = (sizeWord >>> STALENESS_SHIFT) & 0xff;
    const limit = limitOf(io, udpSize);
    const bodyAt = io.questionEnd - io.inAt;
    if (bodyAt + soaLength + (io.edns ? OPT_BYTES : 0) > limit) return Outcomes.ASK_CHAIN;
    const { out } = io;
    const to = io.outAt + bodyAt;
    copy(this.#memory.views[unit >>> CHUNK_SHIFT] as DataView, at * 4 + HEAD_BYTES, this.#viewOf(out), to, soaLength);
    // The SOA was encoded behind the apex: its pointers move with the length of the question.
    for (from = pointersAt; from < pointersEnd; from += 2) {
      const pointer = to + (((bytes[from] as number) << 8) | (bytes[from + 1] as number));
      putUint16(out, pointer, (((out[pointer] as number) << 8) | (out[pointer + 1] as number)) + below);
    }
    this.#finish(io, hit, Flags.AA | rcode, 0, 1, 0, bodyAt + soaLength, limit, udpSize, staleness === 0 ? reason : staleness);
    return Outcomes.HIT;
  }

  /** @param flags AA, RA, TC and the rcode. */
  #finish(
    io: Exchange,
    hit: Hit,
    flags: number,
    answers: number,
    authority: number,
    additional: number,
    length: number,
    limit: number,
    udpSize: number,
    reason: number,
  ): void {
    const { in: bytes, inAt, out, outAt, edns } = io;
    const head = Flags.QR | (io.flags & (Flags.RD | Flags.CD)) | flags;
    putUint16(out, outAt, io.id);
    putUint16(out, outAt + 2, head);
    putUint16(out, outAt + 4, 1);
    putUint16(out, outAt + 6, answers);
    putUint16(out, outAt + 8, authority);
    putUint16(out, outAt + 10, edns ? additional + 1 : additional);
    copyQuestion(bytes, inAt + HEADER_BYTES, out, outAt + HEADER_BYTES, io.questionEnd - inAt - HEADER_BYTES, this.#viewOf(out));
    hit.length = length;
    if (edns) hit.length = encodeOpt(out, outAt + length, outAt + limit, udpSize, io.dnssecOk, 0, undefined) - outAt;
    if (edns && reason !== 0) this.#addReason(io, hit, limit, reason);
    hit.rcode = flags & 0xf;
    hit.replyFlags = head;
    hit.answerCount = answers;
  }

  // Appends an option to the OPT record that ends the message.
  #addReason(io: Exchange, hit: Hit, limit: number, reason: number): void {
    const unit = Atomics.load(this.#control, REASONS + reason);
    const words = this.#wordsOf(unit);
    const at = (unit & UNIT_MASK) << 2;
    const length = words[at] as number;
    if (hit.length + length > limit) return;
    const to = io.outAt + hit.length;
    copy(this.#memory.views[unit >>> CHUNK_SHIFT] as DataView, at * 4 + HEAD_BYTES, this.#viewOf(io.out), to, length);
    putUint16(io.out, to - 2, length);
    hit.length += length;
  }

  // A thread writes all its answers into one buffer.
  #viewOf(out: Uint8Array): DataView {
    if (out !== this.#out) {
      this.#out = out;
      this.#outView = new DataView(out.buffer, out.byteOffset, out.byteLength);
    }
    return this.#outView;
  }

  // ── looking up ───────────────────────────────────────────────────────────────────────────────────────────

  #hashSuffixes(io: Exchange): void {
    const { name, labels } = io;
    const hashes = this.#hashes;
    let hash = step(this.#seed, 0);
    let label = io.labelCount;
    hashes[label] = hash;
    let end = io.nameLength - 1;
    while (--label >= 0) {
      const start = labels[label] as number;
      while (--end >= start) hash = step(hash, name[end] as number);
      end++;
      hashes[label] = hash;
    }
  }

  #find(from: number, end: number, hash: number): number {
    const { slots } = this.#memory;
    const mixed = mix(hash);
    const mask = slots.length - 1;
    for (let slot = mixed & mask; ; slot = (slot + 1) & mask) {
      const unit = Atomics.load(slots, slot);
      if (unit === FREE) return FREE;
      if (unit === DELETED) continue;
      const words = this.#wordsOf(unit);
      const at = (unit & UNIT_MASK) << 2;
      if (words[at] !== mixed || (((words[at + 1] as number) >>> 8) & 0xff) !== end - from) continue;
      const view = this.#memory.views[unit >>> CHUNK_SHIFT] as DataView;
      if (isEqual(view, (unit & UNIT_MASK) * UNIT_BYTES + HEAD_BYTES, this.#nameView, from, end - from)) return unit;
    }
  }

  #zoneUnit(zone: number): number {
    const unit = Atomics.load(this.#control, ZONES + zone);
    this.#wordsOf(unit);
    return unit;
  }

  // Looked up once a batch: answers of a batch are mostly one zone's, and Node 20 makes a call of each atomic load.
  #sizeWordOf(zone: number): number {
    if (zone === this.#knownZone) return this.#knownSizeWord;
    const unit = Atomics.load(this.#control, ZONES + zone);
    const sizeWord = this.#wordsOf(unit)[((unit & UNIT_MASK) << 2) + 1] as number;
    if (this.#updates === undefined) return sizeWord; // the main thread's reader knows no batches
    this.#knownZone = zone;
    this.#knownSizeWord = sizeWord;
    return sizeWord;
  }

  // The chunk of a unit. One that isn't here yet was posted before anything in it was published.
  #wordsOf(unit: number): Int32Array {
    const words = this.#memory.words[unit >>> CHUNK_SHIFT];
    if (words !== undefined) return words;
    this.#takeUpdates();
    return this.#memory.words[unit >>> CHUNK_SHIFT] as Int32Array;
  }

  #useSlots(number: number): void {
    if (this.#memory.useSlots(number)) return;
    this.#takeUpdates();
    if (!this.#memory.useSlots(number)) throw new Error("the answer table's reader was detached");
  }

  // A thread that blocks in the kernel never runs its event loop: the messages are fetched.
  #takeUpdates(): void {
    if (this.#updates === undefined) return;
    for (let next = receiveMessageOnPort(this.#updates); next !== undefined; next = receiveMessageOnPort(this.#updates)) {
      this.#memory.take((next as { readonly message: Grown }).message);
    }
  }
}

// The message bound, OPT included, as replyLimit() has it.
function limitOf(io: Exchange, udpSize: number): number {
  if (io.transport !== "udp") return MAX_MESSAGE_BYTES;
  const asked = io.clientUdpSize < udpSize ? io.clientUdpSize : udpSize;
  return asked > MIN_UDP_BYTES ? asked : MIN_UDP_BYTES;
}

function rememberedFlags(bits: number): number {
  const aa = (bits & ANSWER_AUTHORITATIVE) === 0 ? 0 : Flags.AA;
  const ra = (bits & ANSWER_RECURSION_AVAILABLE) === 0 ? 0 : Flags.RA;
  return aa | ra | (bits >>> ANSWER_RCODE_SHIFT);
}

// True if the label that ends `below` bytes into the question's name is the one at `from` in `bytes` (length byte included).
function endsWithLabel(io: Exchange, below: number, bytes: Uint8Array, from: number): boolean {
  const length = 1 + (bytes[from] as number);
  const start = below - length;
  if (start < 0) return false;
  for (let index = 0; index < length; index++) if (io.name[start + index] !== bytes[from + index]) return false;
  return true;
}

// As the client sent it, case and all. A batch is read and answered in one memory.
function copyQuestion(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number, view: DataView): void {
  if (from === to) copy(view, fromAt, view, toAt, length);
  else for (let index = 0; index < length; index++) to[toAt + index] = from[fromAt + index] as number;
}
