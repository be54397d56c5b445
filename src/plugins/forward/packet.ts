// The packets between us and an upstream: how a question is asked, and whether a packet answers it. Called for every
// forwarded question; pure but for the random numbers.

import { randomFillSync } from "node:crypto";

import { DNSSEC_OK, Flags, HEADER_BYTES, OPT_BYTES, putUint16, questionEnd, Rcodes, uint16, type Query } from "../../dns/message.ts";
import type { Name } from "../../dns/name.ts";
import { RRClasses, RRTypes, type RRType } from "../../dns/records.ts";

/** What we take over UDP: avoids fragmentation on any path (DNS flag day 2020). */
const OUR_UDP_BYTES = 1232;
const OPCODE_BITS = 0x7800;
const CASE_BIT = 0x20;
const NO_OPTIONS = new Uint8Array(0);

/** What of a query an upstream is asked: equal ones are asked once. */
export interface Question {
  readonly qname: Name;
  readonly qtype: RRType;
  /** RD and CD as the client has them; AD always, so that all get to know what was validated (RFC 6840 §5.7). */
  readonly flags: number;
  readonly dnssecOk: boolean;
  /** EDNS options that plugins want to be sent (`rewrite edns0`), in wire form. */
  readonly options?: Uint8Array | undefined;
}

export function questionOf({ qname, qtype, flags, edns, upstreamOptions }: Query): Question {
  const asked = (flags & (Flags.RD | Flags.CD)) | Flags.AD;
  return { qname, qtype, flags: asked, dnssecOk: edns?.dnssecOk === true, options: upstreamOptions };
}

/** Equal for equal questions. */
export function keyOf({ qname, qtype, flags, dnssecOk, options }: Question): string {
  const bits = dnssecOk ? flags | 1 : flags; // the bit is of the rcode's
  const key = String.fromCharCode(qtype >> 8, qtype & 0xff, bits >> 8, bits & 0xff) + qname;
  return options === undefined ? key : `${key}${Buffer.from(options).toString("latin1")}`;
}

/** How a question is asked. */
export interface PacketOptions {
  /** With an OPT record of our own: nothing of the client's but DO goes on, and what plugins have put in. */
  readonly edns: boolean;
  /** The name's letters in random case (0x20): what an attacker must guess, too. */
  readonly randomCase: boolean;
}

/** A query without its id. */
export function encodeQuestion(question: Question, { edns, randomCase }: PacketOptions): Buffer {
  const { qname, qtype, flags, dnssecOk, options = NO_OPTIONS } = question;
  const end = HEADER_BYTES + qname.length + 4;
  const packet = Buffer.allocUnsafe(end + (edns ? OPT_BYTES + options.length : 0));
  putUint16(packet, 2, flags);
  putUint16(packet, 4, 1);
  putUint16(packet, 6, 0);
  putUint16(packet, 8, 0);
  putUint16(packet, 10, edns ? 1 : 0);
  packet.write(qname, HEADER_BYTES, "latin1");
  if (randomCase) mixCase(packet, HEADER_BYTES, qname.length);
  putUint16(packet, end - 4, qtype);
  putUint16(packet, end - 2, RRClasses.IN);
  if (!edns) return packet;
  packet[end] = 0;
  putUint16(packet, end + 1, RRTypes.OPT);
  putUint16(packet, end + 3, OUR_UDP_BYTES);
  putUint16(packet, end + 5, 0);
  putUint16(packet, end + 7, dnssecOk ? DNSSEC_OK : 0);
  putUint16(packet, end + 9, options.length);
  packet.set(options, end + OPT_BYTES);
  return packet;
}

/** The health probe: `NAME NS`, without EDNS. */
export function encodeProbe(domain: Name, { recursive }: { readonly recursive: boolean }): Buffer {
  const question: Question = { qname: domain, qtype: RRTypes.NS, flags: recursive ? Flags.RD : 0, dnssecOk: false };
  return encodeQuestion(question, { edns: false, randomCase: false });
}

/** How a packet compares with what was asked. "case": the right answer, but for the case of letters. */
export type Match = "answer" | "case" | "other";

/** Whether `packet` is a response with the id and, byte for byte, the question of `sent`. */
export function match(packet: Uint8Array, sent: Uint8Array): Match {
  const end = questionEnd(sent);
  if (packet.length < HEADER_BYTES || packet[0] !== sent[0] || packet[1] !== sent[1]) return "other";
  const flags = uint16(packet, 2);
  if ((flags & Flags.QR) === 0 || (flags & OPCODE_BITS) !== 0) return "other";
  // Servers that do not know EDNS may leave out the question with their FORMERR: id and port must do (RFC 6891 §7).
  if (uint16(packet, 4) === 0 && packet.length === HEADER_BYTES && isEdnsRefusal(flags & 0x0f)) return "answer";
  if (packet.length < end || uint16(packet, 4) !== 1) return "other";
  let matched: Match = "answer";
  for (let at = HEADER_BYTES; at < end; at++) {
    const one = packet[at] as number;
    const other = sent[at] as number;
    if (one === other) continue;
    if (at >= end - 4 || (one ^ other) !== CASE_BIT || !isLetter(one)) return "other";
    matched = "case";
  }
  return matched;
}

/** Rcodes of a server that does not take the OPT record. */
export function isEdnsRefusal(rcode: number): boolean {
  return rcode === Rcodes.FORMERR || rcode === Rcodes.NOTIMP;
}

function isLetter(byte: number): boolean {
  const lower = byte | CASE_BIT;
  return lower >= 0x61 && lower <= 0x7a;
}

function mixCase(packet: Buffer, start: number, length: number): void {
  let bits = 0;
  for (let at = start; at < start + length; at++) {
    if ((at - start) % 16 === 0) bits = randomUint16();
    if (isLetter(packet[at] as number) && (bits & 1) !== 0) packet[at] = (packet[at] as number) ^ CASE_BIT;
    bits >>= 1;
  }
}

/** Drawn ahead: one call of the system for so many ids. */
const RANDOM_WORDS = 4096;
const words = new Uint16Array(RANDOM_WORDS);
let drawn = RANDOM_WORDS;

/** 0–65,535, unpredictable: ids, and whatever else must not be guessed. */
export function randomUint16(): number {
  if (drawn === RANDOM_WORDS) {
    randomFillSync(words);
    drawn = 0;
  }
  return words[drawn++] as number;
}

/** Of answers that come one after the other, and so are mostly forgotten one after the other. */
const SLAB_BYTES = 16 * 1024;
let slab = Buffer.alloc(0);
let used = 0;

/**
 * A copy to be kept: an answer may be remembered for long. What sockets give stands in a buffer of its own, which costs the
 * garbage collector more than the copy, and malloc() a hole of 64 KiB around it.
 */
export function keptCopy(packet: Uint8Array): Buffer {
  const { length } = packet;
  if (length > SLAB_BYTES / 8) return Buffer.from(packet);
  if (used + length > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    used = 0;
  }
  const copy = slab.subarray(used, used + length);
  copy.set(packet);
  used += length;
  return copy;
}
