// Another server's messages as replies: read once when they come in (plugins/forward), then told on as they are. Who has
// to look at their records decodes them with recordsOf(). Pure.

import { decodeMessage, NAMES_IN_RDATA, type DecodedRecord } from "./decode.ts";
import {
  emptyReply,
  Flags,
  HEADER_BYTES,
  isWire,
  OPTION_EDE,
  putUint16,
  questionEnd,
  Rcodes,
  RR_FIXED_BYTES,
  uint16,
  type Ede,
  type Query,
  type Records,
  type Reply,
  type Wire,
} from "./message.ts";
import { MAX_LABEL_BYTES, MAX_NAME_BYTES, MAX_POINTERS } from "./name.ts";
import { RRClasses, RRTypes, type Rdata, type RecordSet, type RRType } from "./records.ts";

const POINTER_BITS = 0xc0;
const MAX_POINTER = 0x3fff;
/** An extended error's text as we tell it, so that no reply grows by more (message.ts). */
const MAX_EDE_TEXT_BYTES = 64;

/**
 * The reply in a server's packet; undefined where the packet is not sound: records that do not add up, names that can't be
 * read. What the question must be is the caller's to check; here it is only one, and without pointers. The packet is the reply's
 * from then on: it is held, and changed.
 * @param by the plugin that asked.
 */
export function readAnswer(packet: Uint8Array, by: string): Wire | undefined {
  if (packet.length < HEADER_BYTES + 5 || uint16(packet, 4) !== 1) return undefined;
  const flags = uint16(packet, 2);
  if ((flags & Flags.QR) === 0) return undefined;
  let at = questionEnd(packet);
  if (at > packet.length || skipName(packet, HEADER_BYTES) !== at - TYPE_AND_CLASS_BYTES) return undefined;
  for (let left = uint16(packet, 6) + uint16(packet, 8); left > 0; left--) {
    const fixedAt = skipName(packet, at);
    at = recordEnd(packet, fixedAt);
    // OPT and TSIG have their place among the additional records (RFC 6891 §6.1.1, RFC 8945 §5.1).
    if (at < 0 || isOfMessage(uint16(packet, fixedAt))) return undefined;
  }
  let end = at;
  let additional = 0;
  let opt = -1;
  for (let left = uint16(packet, 10); left > 0; left--) {
    const fixedAt = skipName(packet, at);
    const next = recordEnd(packet, fixedAt);
    if (next < 0) return undefined;
    const type = uint16(packet, fixedAt);
    if (type === RRTypes.OPT && packet[at] !== 0) return undefined;
    if (type === RRTypes.OPT && opt < 0) opt = at;
    // What stands behind an OPT or TSIG record is more of them; other records there could point into what is taken out.
    if (!isOfMessage(type) && end === at) {
      end = next;
      additional++;
    }
    at = next;
  }
  // No Buffer, whatever came: the slice() of those is no copy, and who changes a message does it on a slice.
  const message = new Uint8Array(packet.buffer, packet.byteOffset, end);
  putUint16(message, 10, additional);
  const extended = opt < 0 ? 0 : (packet[opt + 5] as number) << 4;
  const ede = opt < 0 ? undefined : readEde(packet, opt + 1 + RR_FIXED_BYTES, uint16(packet, opt + 9));
  return {
    rcode: extended | (flags & 0x0f),
    authoritative: (flags & Flags.AA) !== 0,
    recursionAvailable: true,
    authenticated: (flags & Flags.AD) !== 0,
    by,
    message,
    ...(ede !== undefined && { ede }),
  };
}

/** Whether the message's question is the client's, but for the case of letters: then its records can be copied. */
export function answersQuestion({ message }: Wire, { wire }: Pick<Query, "wire">): boolean {
  const end = questionEnd(wire);
  if (questionEnd(message) !== end) return false;
  for (let at = HEADER_BYTES; at < end; at++) {
    const byte = message[at] as number;
    const other = wire[at] as number;
    if (byte === other) continue;
    const letter = byte | CASE_BIT;
    if (at >= end - TYPE_AND_CLASS_BYTES || letter !== (other | CASE_BIT) || letter < 0x61 || letter > 0x7a) return false;
  }
  return true;
}

const TYPE_AND_CLASS_BYTES = 4;

const CASE_BIT = 0x20;

/** The reply as records, for whoever looks at them or changes them. One whose records can't be read becomes SERVFAIL. */
export function recordsOf(reply: Reply): Records {
  if (!isWire(reply)) return reply;
  const { message, ...head } = reply;
  const decoded = decodeMessage(message);
  if (decoded === undefined) return { ...emptyReply(Rcodes.SERVFAIL, reply.by), error: `plugin/${reply.by}: an answer can't be read` };
  const sections = { answer: setsOf(decoded.answer), authority: setsOf(decoded.authority), additional: setsOf(decoded.additional) };
  return { ...head, ...((decoded.flags & Flags.TC) !== 0 && { truncated: true }), ...sections };
}

/** Records in the answer section. */
export function answerCountOf(reply: Reply): number {
  return isWire(reply) ? uint16(reply.message, 6) : reply.answer.length;
}

// Records of one owner and type that stand side by side. A set's TTL is its least (RFC 2181 §5.2).
function setsOf(records: readonly DecodedRecord[]): RecordSet[] {
  const sets: (Omit<RecordSet, "ttl"> & { ttl: number; readonly rdata: Rdata[] })[] = [];
  for (const { owner, type, rrclass, ttl, rdata } of records) {
    const last = sets.at(-1);
    if (last !== undefined && last.owner === owner && last.type === type && (last.rrclass ?? RRClasses.IN) === rrclass) {
      last.rdata.push(rdata);
      last.ttl = Math.min(last.ttl, ttl);
    } else sets.push({ owner, type, ttl, rdata: [rdata], ...(rrclass === RRClasses.IN ? {} : { rrclass }) });
  }
  return sets;
}

// The first extended error among the options (RFC 8914 §2), its text cut to what we tell.
function readEde(packet: Uint8Array, start: number, length: number): Ede | undefined {
  const end = start + length;
  for (let at = start; at + 4 <= end;) {
    const size = uint16(packet, at + 2);
    if (uint16(packet, at) === OPTION_EDE && size >= 2 && at + 4 + size <= end) {
      const text = packet.subarray(at + 6, Math.min(at + 4 + size, at + 6 + MAX_EDE_TEXT_BYTES));
      return { code: uint16(packet, at + 4), text: new TextDecoder().decode(text, { stream: true }) };
    }
    at += 4 + size;
  }
  return undefined;
}

/** About the message, not about names: taken out. */
function isOfMessage(type: RRType): boolean {
  return type === RRTypes.OPT || type === RRTypes.TSIG;
}

// The offset behind a record whose name ends at `fixedAt`, or -1 where it, or a name in it, can't be read.
function recordEnd(packet: Uint8Array, fixedAt: number): number {
  if (fixedAt < 0 || fixedAt + RR_FIXED_BYTES > packet.length) return -1;
  const end = fixedAt + RR_FIXED_BYTES + uint16(packet, fixedAt + 8);
  if (end > packet.length) return -1;
  const layout = NAMES_IN_RDATA.get(uint16(packet, fixedAt));
  if (layout === undefined) return end;
  let name = fixedAt + RR_FIXED_BYTES + layout.skip;
  for (let left = layout.names; left > 0; left--) {
    name = skipName(packet, name);
    if (name < 0 || name > end) return -1;
  }
  return end;
}

// The offset behind a name, or -1 where it is none: for every record of every answer, so no text is made. Stricter than readName(): what is
// pointed to ends before what points to it, so that nothing behind a record is needed to read it.
function skipName(packet: Uint8Array, start: number): number {
  // As most owners: the question's name.
  if (packet[start] === POINTER_BITS && packet[start + 1] === HEADER_BYTES && start > HEADER_BYTES) return start + 2;
  let at = start;
  let end = -1;
  let lowest = start;
  let limit = packet.length;
  let bytes = 1;
  for (let pointers = 0; at < limit;) {
    const length = packet[at] as number;
    if (length === 0) return end < 0 ? at + 1 : end;
    if (length >= POINTER_BITS) {
      if (at + 1 >= limit) return -1;
      if (end < 0) end = at + 2;
      at = uint16(packet, at) & MAX_POINTER;
      if (at < HEADER_BYTES || at >= lowest || ++pointers > MAX_POINTERS) return -1;
      limit = lowest;
      lowest = at;
      continue;
    }
    bytes += 1 + length;
    if (length > MAX_LABEL_BYTES || bytes > MAX_NAME_BYTES) return -1;
    at += 1 + length;
  }
  return -1;
}
