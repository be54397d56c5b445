// Replies → messages. One encoder for the chain's replies and for the answer table, whose bytes are the chain's by
// construction. Another server's message is copied, unless it answers another question than the client's.

import { cutBody, type Cut } from "./body.ts";
import {
  COMPRESSIBLE,
  DNSSEC_OK,
  Flags,
  HEADER_BYTES,
  isWire,
  MAX_MESSAGE_BYTES,
  OPT_BYTES,
  OPTION_EDE,
  putUint16,
  putUint32,
  questionEnd,
  Rcodes,
  uint16,
  type Ede,
  type NameLayout,
  type Query,
  type Records,
  type Reply,
  type Wire,
} from "./message.ts";
import { lowerCase, nameToWire, readName, type Name } from "./name.ts";
import { RRTypes, type Rdata, type RecordSet, type RRType } from "./records.ts";
import { answersQuestion, recordsOf } from "./wire.ts";

/** What is sent around a reply, decided by the server block and the transport. */
export interface EncodeLimits {
  /** Largest message, OPT included. */
  readonly maxBytes: number;
  /** The size that our OPT record offers. */
  readonly udpSize: number;
}

/** What of a query a reply echoes. */
export type Question = Pick<Query, "flags" | "edns" | "wire">;

/**
 * Encodes a reply into `out` from offset 0 and returns its length. Whole records only: what does not fit is left
 * out from the end, additional rrsets silently, others with TC (RFC 2181 §9); the OPT record always fits.
 * `out` must hold `limits.maxBytes`.
 */
export function encodeReply(out: Uint8Array, query: Question, reply: Reply, limits: EncodeLimits): number {
  if (isWire(reply) && !answersQuestion(reply, query)) return encodeReply(out, query, recordsOf(reply), limits);
  const { edns, wire } = query;
  const start = questionEnd(wire);
  out.set(wire.subarray(0, start), 0);
  const end = limits.maxBytes - (edns === undefined ? 0 : OPT_BYTES);
  const { length, answers, authority, additional, truncated } = isWire(reply)
    ? copyRecords(out, start, end, reply)
    : writeRecords(out, start, end, reply, wire);
  putUint16(out, 2, flagsOf(query, reply) | (truncated ? Flags.TC : 0));
  putUint16(out, 4, 1);
  putUint16(out, 6, answers);
  putUint16(out, 8, authority);
  putUint16(out, 10, additional + (edns === undefined ? 0 : 1));
  if (edns === undefined) return start + length;
  return encodeOpt(out, start + length, limits.maxBytes, limits.udpSize, edns.dnssecOk, reply.rcode >> 4, reply.ede, reply.options);
}

/** A reply as a message to the question itself, whoever asked it and however: for what remembers replies. */
export function toWire(reply: Records, { qname, qtype, qclass }: Pick<Query, "qname" | "qtype" | "qclass">): Wire {
  const name = nameToWire(qname);
  const wire = new Uint8Array(HEADER_BYTES + name.length + 4);
  putUint16(wire, 4, 1);
  wire.set(name, HEADER_BYTES);
  putUint16(wire, HEADER_BYTES + name.length, qtype);
  putUint16(wire, HEADER_BYTES + name.length + 2, qclass);
  const scratch = Buffer.allocUnsafe(MAX_MESSAGE_BYTES);
  const question = { flags: 0, edns: undefined, wire };
  const length = encodeReply(scratch, question, reply, { maxBytes: scratch.length, udpSize: 0 });
  const { answer: _answer, authority: _authority, additional: _additional, ...head } = reply;
  return { ...head, message: Uint8Array.from(scratch.subarray(0, length)) };
}

function flagsOf({ flags: asked, edns }: Question, reply: Reply): number {
  const { rcode, authoritative, recursionAvailable, authenticated, truncated, recursionDesired } = reply;
  // The upper bits of an rcode need an OPT record: the lower ones alone would be another (RFC 6891 §6.1.3).
  const headerRcode = edns === undefined && rcode > MAX_HEADER_RCODE ? Rcodes.SERVFAIL : rcode & MAX_HEADER_RCODE;
  let flags = Flags.QR | (asked & (Flags.RD | Flags.CD)) | headerRcode;
  if (authoritative) flags |= Flags.AA;
  if (truncated === true) flags |= Flags.TC;
  if (recursionAvailable === true) flags |= Flags.RA;
  if (recursionDesired !== undefined) flags = recursionDesired ? flags | Flags.RD : flags & ~Flags.RD;
  // Only who sets AD or DO knows what the bit means (RFC 6840 §5.8).
  if (authenticated === true && ((asked & Flags.AD) !== 0 || edns?.dnssecOk === true)) flags |= Flags.AD;
  return flags;
}

function writeRecords(out: Uint8Array, start: number, end: number, reply: Records, wire: Uint8Array): Cut {
  const writer = new Writer(out, end, start);
  writer.remember(wire, HEADER_BYTES);
  let truncated = false;
  const counts: [number, number, number] = [0, 0, 0];
  const sections = [reply.answer, reply.authority, reply.additional];
  for (const [index, section] of sections.entries()) {
    for (const rrset of section) {
      if (truncated) break;
      const rrsetAt = writer.at;
      let written = 0;
      for (const rdata of rrset.rdata) {
        if (!writer.record(rrset, rdata)) {
          truncated = true;
          break;
        }
        written++;
      }
      // Extra information comes as whole rrsets or not at all: nobody would ask again for the rest.
      if (truncated && index === ADDITIONAL) {
        writer.rewind(rrsetAt);
        return { length: writer.at - start, answers: counts[0], authority: counts[1], additional: counts[2], truncated: false };
      }
      counts[index] = (counts[index] ?? 0) + written;
    }
  }
  return { length: writer.at - start, answers: counts[0], authority: counts[1], additional: counts[2], truncated };
}

// The question is as long as the one it stood behind, so the records' compression pointers stay right.
function copyRecords(out: Uint8Array, start: number, end: number, { message }: Wire): Cut {
  const answers = uint16(message, 6);
  const authority = uint16(message, 8);
  const additional = uint16(message, 10);
  const cut: Cut = { length: message.length - start, answers, authority, additional, truncated: false };
  if (message.length > end) cutBody(message, start, start, end - start, answers, authority, additional, cut);
  out.set(message.subarray(start, start + cut.length), start);
  if ((uint16(message, 2) & Flags.TC) !== 0) cut.truncated = true;
  return cut;
}

/** Writes our OPT record at `at`; options and extended error only where they end before `end`. Returns the offset behind it. */
export function encodeOpt(
  out: Uint8Array,
  at: number,
  end: number,
  udpSize: number,
  dnssecOk: boolean,
  extendedRcode: number,
  ede: Ede | undefined,
  options?: Uint8Array,
): number {
  out[at] = 0;
  putUint16(out, at + 1, RRTypes.OPT);
  putUint16(out, at + 3, udpSize);
  out[at + 5] = extendedRcode;
  out[at + 6] = 0; // version 0
  putUint16(out, at + 7, dnssecOk ? DNSSEC_OK : 0);
  let to = at + OPT_BYTES;
  if (options !== undefined && to + options.length <= end) {
    out.set(options, to);
    to += options.length;
  }
  if (ede !== undefined) to = encodeEde(out, to, end, ede);
  putUint16(out, at + 9, to - at - OPT_BYTES);
  return to;
}

function encodeEde(out: Uint8Array, at: number, end: number, { code, text }: Ede): number {
  const bytes = Buffer.from(text);
  const to = at + EDE_HEAD_BYTES + bytes.length;
  if (to > end) return at;
  putUint16(out, at, OPTION_EDE);
  putUint16(out, at + 2, 2 + bytes.length);
  putUint16(out, at + 4, code);
  out.set(bytes, at + EDE_HEAD_BYTES);
  return to;
}

const MAX_HEADER_RCODE = 15;
const EDE_HEAD_BYTES = 6; // OPTION-CODE, OPTION-LENGTH, INFO-CODE
/** The index of the additional section. */
const ADDITIONAL = 2;
/** Pointers have 14 bits (RFC 1035 §4.1.4). */
const MAX_POINTER = 0x3fff;
const POINTER = 0xc000;

// The names of a layout; undefined where the rdata is too short for them or holds a pointer.
function namesIn(rdata: Rdata, layout: NameLayout): Name[] | undefined {
  const names: Name[] = [];
  for (let at = layout.skip; names.length < layout.names;) {
    const found = readName(rdata, at);
    if (found === undefined || found.end - at !== found.name.length) return undefined;
    names.push(found.name);
    at = found.end;
  }
  return names;
}

// Appends records behind a question, compressing against every name written before.
class Writer {
  readonly #out: Uint8Array;
  readonly #limit: number;
  readonly #offsets = new Map<string, number>();
  at: number;

  constructor(out: Uint8Array, limit: number, at: number) {
    this.#out = out;
    this.#limit = limit;
    this.at = at;
  }

  /** Takes the suffixes of an uncompressed name that already stands in the message. */
  remember(wire: Uint8Array, start: number): void {
    let end = start;
    for (let length = wire[end] ?? 0; length > 0; length = wire[end] ?? 0) end += 1 + length;
    const name = Buffer.from(wire.buffer, wire.byteOffset + start, end + 1 - start).toString("latin1");
    for (let at = 0; name.charCodeAt(at) > 0; at += 1 + name.charCodeAt(at)) this.#offsets.set(lowerCase(name.slice(at)), start + at);
  }

  /** Writes one record, or nothing and false if it does not fit. */
  record(rrset: RecordSet, rdata: Rdata): boolean {
    const start = this.at;
    if (this.#name(rrset.owner) && this.at + 10 <= this.#limit) {
      const head = this.at;
      this.at += 10;
      if (this.#rdata(rrset.type, rdata)) {
        putUint16(this.#out, head, rrset.type);
        putUint16(this.#out, head + 2, rrset.rrclass ?? 1);
        putUint32(this.#out, head + 4, rrset.ttl);
        putUint16(this.#out, head + 8, this.at - head - 10);
        return true;
      }
    }
    this.rewind(start);
    return false;
  }

  /** Takes back what was written from `start` on. */
  rewind(start: number): void {
    this.at = start;
    for (const [suffix, offset] of this.#offsets) if (offset >= start) this.#offsets.delete(suffix);
  }

  #rdata(type: RRType, rdata: Rdata): boolean {
    const layout = COMPRESSIBLE.get(type);
    const names = layout === undefined ? undefined : namesIn(rdata, layout);
    if (layout === undefined || names === undefined) return this.#bytes(rdata);
    if (!this.#bytes(rdata.subarray(0, layout.skip))) return false;
    let at = layout.skip;
    for (const name of names) {
      if (!this.#name(name)) return false;
      at += name.length;
    }
    return this.#bytes(rdata.subarray(at));
  }

  #bytes(bytes: Uint8Array): boolean {
    if (this.at + bytes.length > this.#limit) return false;
    this.#out.set(bytes, this.at);
    this.at += bytes.length;
    return true;
  }

  #name(name: Name): boolean {
    for (let from = 0; ;) {
      const length = name.charCodeAt(from);
      if (length === 0) break;
      const suffix = name.slice(from);
      const known = this.#offsets.get(suffix);
      if (known !== undefined) {
        if (this.at + 2 > this.#limit) return false;
        putUint16(this.#out, this.at, POINTER | known);
        this.at += 2;
        return true;
      }
      if (this.at + 1 + length > this.#limit) return false;
      if (this.at <= MAX_POINTER) this.#offsets.set(suffix, this.at);
      for (let index = 0; index <= length; index++) this.#out[this.at + index] = suffix.charCodeAt(index);
      this.at += 1 + length;
      from += 1 + length;
    }
    if (this.at + 1 > this.#limit) return false;
    this.#out[this.at++] = 0;
    return true;
  }
}
