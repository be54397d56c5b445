// Reads a raw packet: header policy first, then the question, then the OPT record. Called by respond() and by
// every listener thread for each packet, so it allocates nothing and writes what it found into the Exchange.
// What it can't accept it names by its defect; a packet that passes is safe for everything behind it.

import { HEADER_BYTES, OPTION_HEAD_BYTES, OPTION_NSID, RR_FIXED_BYTES, uint16, type Transport } from "./message.ts";
import { MAX_LABEL_BYTES, MAX_NAME_BYTES, type Name } from "./name.ts";
import { RRTypes } from "./records.ts";

/**
 * One packet in and its answer out: preallocated, one per thread, socket or connection.
 *
 *   in:  …│inAt      header │ question │ … │ OPT      inEnd│…
 *   out: …│outAt     the answer, `length` bytes             │…
 */
export class Exchange {
  in: Uint8Array = new Uint8Array(0);
  inAt = 0;
  inEnd = 0;
  readonly out: Uint8Array;
  outAt = 0;

  // Who asked; set by the listener.
  transport: Transport = "udp";
  family: 4 | 6 = 4;
  remoteAddress = "";
  remotePort = 0;
  localAddress = "";
  localPort = 0;
  /** Milliseconds on the monotonic clock. */
  receivedAtMs = 0;

  // What the packet says; set by readQuestion().
  verdict: Verdict = 0;
  id = 0;
  flags = 0;
  qtype = 0;
  qclass = 0;
  /** Offset in `in` behind the question. */
  questionEnd = 0;
  /** The qname in lower case, wire form with the root byte, and its length in bytes. */
  readonly name: Uint8Array = new Uint8Array(MAX_NAME_BYTES);
  nameLength = 0;
  /** Offsets in `name` of each label, the root byte not counted. */
  readonly labels: Uint8Array = new Uint8Array(MAX_NAME_BYTES / 2);
  labelCount = 0;
  edns = false;
  dnssecOk = false;
  clientUdpSize = 0;
  optionsAt = 0;
  optionsEnd = 0;
  /** It asks who answers (RFC 5001): only the chain may know. */
  asksNsid = false;

  constructor(outBytes: number) {
    this.out = new Uint8Array(outBytes);
  }
}

/** What readQuestion() found. */
export const Verdicts = {
  /** A sound question of class IN. */
  OK: 0,
  /** Send nothing: a runt or a response. */
  DROP: 1,
  /** Answer with a bare header. */
  FORMERR: 2,
  NOTIMP: 3,
  /** Answer with the question and an OPT record. */
  BADVERS: 4,
  REFUSED: 5,
} as const;
export type Verdict = (typeof Verdicts)[keyof typeof Verdicts];

const CLASS_IN = 1;
/** OPT and one TSIG or SIG(0) are all that a query may carry (RFC 6891 §6.1.1, RFC 8945 §5.1). */
const MAX_ADDITIONAL = 2;

/** Judges the packet in `io` and fills in its question fields. Takes under a microsecond for any input. */
export function readQuestion(io: Exchange): Verdict {
  return (io.verdict = judge(io));
}

function judge(io: Exchange): Verdict {
  const bytes = io.in;
  const start = io.inAt;
  const end = io.inEnd;
  io.edns = false;
  io.dnssecOk = false;
  io.clientUdpSize = 0;
  io.optionsAt = io.optionsEnd = 0;
  io.asksNsid = false;
  io.nameLength = io.labelCount = 0;
  if (end - start < HEADER_BYTES) return Verdicts.DROP;
  const flags = uint16(bytes, start + 2);
  io.id = uint16(bytes, start);
  io.flags = flags;
  if ((flags & 0x8000) !== 0) return Verdicts.DROP; // a response: answering it would loop
  if ((flags & 0x7800) !== 0) return Verdicts.NOTIMP;
  const authorityCount = uint16(bytes, start + 8);
  const additionalCount = uint16(bytes, start + 10);
  if (uint16(bytes, start + 4) !== 1 || uint16(bytes, start + 6) !== 0) return Verdicts.FORMERR;
  if (authorityCount > 1 || additionalCount > MAX_ADDITIONAL) return Verdicts.FORMERR;

  let at = readQname(io, start + HEADER_BYTES);
  if (at < 0 || at + 4 > end) return Verdicts.FORMERR;
  io.qtype = uint16(bytes, at);
  io.qclass = uint16(bytes, at + 2);
  at += 4;
  io.questionEnd = at;

  if (authorityCount === 1) {
    // Only IXFR carries its SOA there (RFC 1995 §3), and we serve none.
    at = io.qtype === RRTypes.IXFR ? skipRecord(bytes, at, end) : -1;
    if (at < 0) return Verdicts.FORMERR;
  }
  let badVersion = false;
  for (let index = 0; index < additionalCount; index++) {
    const nameEnd = skipName(bytes, at, end);
    const next = skipRecord(bytes, at, end);
    if (next < 0) return Verdicts.FORMERR;
    if (uint16(bytes, nameEnd) === RRTypes.OPT) {
      if (io.edns || nameEnd !== at + 1) return Verdicts.FORMERR; // two, or an owner that is not the root (RFC 6891 §6.1.1)
      io.edns = true;
      io.clientUdpSize = uint16(bytes, nameEnd + 2);
      badVersion = bytes[nameEnd + 5] !== 0;
      io.dnssecOk = ((bytes[nameEnd + 6] as number) & 0x80) !== 0;
      io.optionsAt = nameEnd + RR_FIXED_BYTES;
      io.optionsEnd = next;
      // What another version's options look like nobody knows: BADVERS all the same (RFC 6891 §6.1.3).
      if (!badVersion && !readOptions(io, bytes, next)) return Verdicts.FORMERR;
    }
    at = next;
  }
  if (badVersion) return Verdicts.BADVERS;
  if (io.qtype === RRTypes.OPT || io.qtype === RRTypes.TKEY || io.qtype === RRTypes.TSIG) return Verdicts.FORMERR; // never asked for
  if (io.qclass !== CLASS_IN || io.qtype === RRTypes.AXFR || io.qtype === RRTypes.IXFR) return Verdicts.REFUSED;
  return Verdicts.OK;
}

/** The qname as a Name, for the chain. */
export function qnameOf(io: Exchange): Name {
  return Buffer.from(io.name.buffer, io.name.byteOffset, io.nameLength).toString("latin1") as Name;
}

// Copies the qname in lower case; returns the offset behind it, or -1. A question needs no compression: any
// pointer is refused, so no loop is possible (RFC 9267 §2).
function readQname(io: Exchange, start: number): number {
  const { in: bytes, inEnd: end, name, labels } = io;
  let at = start;
  let length = 0;
  let count = 0;
  for (;;) {
    if (at >= end) return -1;
    const size = bytes[at] as number;
    if (size > MAX_LABEL_BYTES || length + size + 1 > MAX_NAME_BYTES || at + size >= end) return -1;
    name[length] = size;
    if (size === 0) break;
    if (length + size + 2 > MAX_NAME_BYTES) return -1;
    labels[count++] = length;
    for (let index = 1; index <= size; index++) {
      const byte = bytes[at + index] as number;
      name[length + index] = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    }
    at += size + 1;
    length += size + 1;
  }
  io.nameLength = length + 1;
  io.labelCount = count;
  return at + 1;
}

// The offset behind a name that may end in a pointer, or -1. The pointer is not followed.
function skipName(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const size = bytes[at] as number;
    if (size === 0) return at + 1;
    if (size >= 0xc0) return at + 2 <= end ? at + 2 : -1;
    if (size > MAX_LABEL_BYTES || at - start > MAX_NAME_BYTES) return -1;
    at += size + 1;
  }
  return -1;
}

function skipRecord(bytes: Uint8Array, start: number, end: number): number {
  const at = skipName(bytes, start, end);
  if (at < 0 || at + RR_FIXED_BYTES > end) return -1;
  const next = at + RR_FIXED_BYTES + uint16(bytes, at + 8);
  return next <= end ? next : -1;
}

// False where their lengths do not add up.
function readOptions(io: Exchange, bytes: Uint8Array, end: number): boolean {
  let at = io.optionsAt;
  while (at < end) {
    if (at + OPTION_HEAD_BYTES > end) return false;
    if (uint16(bytes, at) === OPTION_NSID) io.asksNsid = true;
    at += OPTION_HEAD_BYTES + uint16(bytes, at + 2);
  }
  return at === end;
}
