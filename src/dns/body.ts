// What is done to the records of a message that is made already: cut one to what fits a client's UDP limit, as encodeReply()
// in dns/encode.ts does (RFC 2181 §9), and count down the TTLs of one that was remembered. Records of a rotated run have
// one length, so where they end does not depend on the turn.

import { COMPRESSIBLE, putUint32, RR_FIXED_BYTES, uint16, uint32, type NameLayout } from "./message.ts";
import type { RRType } from "./records.ts";

/** What is left of a body. */
export interface Cut {
  /** In bytes. */
  length: number;
  answers: number;
  authority: number;
  additional: number;
  /** TC: records of the answer or authority section are missing. */
  truncated: boolean;
}

const POINTER_BITS = 0xc0;
const MAX_POINTER = 0x3fff;

/**
 * @param start offset in `bytes` of the body that the table made for a question of its name.
 * @param bodyAt offset of the body in the message.
 * @param room bytes that the body may take.
 */
export function cutBody(
  bytes: Uint8Array,
  start: number,
  bodyAt: number,
  room: number,
  answers: number,
  authority: number,
  additional: number,
  cut: Cut,
): void {
  const end = start + room;
  const plain = answers + authority;
  let at = start;
  let kept = 0;
  for (; kept < plain; kept++) {
    const next = recordEnd(bytes, at);
    if (next > end) break;
    at = next;
  }
  cut.answers = Math.min(kept, answers);
  cut.authority = kept - cut.answers;
  cut.truncated = kept < plain;
  cut.additional = cut.truncated ? 0 : keptAdditional(bytes, at, bodyAt - start, end, additional);
  for (let left = cut.additional; left > 0; left--) at = recordEnd(bytes, at);
  cut.length = at - start;
}

// How many of the additional records fit: whole rrsets only, none behind the first that does not.
function keptAdditional(bytes: Uint8Array, start: number, toMessage: number, end: number, count: number): number {
  let at = start;
  let kept = 0;
  let rrset = -1; // the type and owner of the rrset that the record before is in
  for (let index = 0; index < count; index++) {
    const fixed = nameEnd(bytes, at);
    const next = fixed + RR_FIXED_BYTES + uint16(bytes, fixed + 8);
    const current = uint16(bytes, fixed) * 0x1_0000 + ownerOf(bytes, at, toMessage);
    if (current !== rrset) kept = index;
    if (next > end) return kept;
    rrset = current;
    at = next;
  }
  return count;
}

// Where in the message a record's owner stands first: equal owners are written once and pointed to.
function ownerOf(bytes: Uint8Array, at: number, toMessage: number): number {
  return (bytes[at] as number) >= POINTER_BITS ? uint16(bytes, at) & 0x3fff : at + toMessage;
}

function recordEnd(bytes: Uint8Array, at: number): number {
  const fixed = nameEnd(bytes, at);
  return fixed + RR_FIXED_BYTES + uint16(bytes, fixed + 8);
}

/** The offset behind a name in a sound message. Its pointers are not followed. */
export function nameEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at] ?? 0;
    if (length >= POINTER_BITS) return at + 2;
    if (length === 0) return at + 1;
    at += 1 + length;
  }
}

/** Makes the TTLs of the records at `start` smaller by `seconds`, to 0 at least. */
export function countDown(bytes: Uint8Array, start: number, records: number, seconds: number): void {
  let at = start;
  for (let left = records; left > 0; left--) {
    const fixed = nameEnd(bytes, at);
    const ttl = uint32(bytes, fixed + 4);
    putUint32(bytes, fixed + 4, Math.max(0, ttl - seconds));
    at = fixed + RR_FIXED_BYTES + uint16(bytes, fixed + 8);
  }
}

/** Records of one type that stand side by side: where in the message, how many, and the bytes of each. */
export interface Run {
  readonly at: number;
  readonly count: number;
  readonly size: number;
}
export const NO_RUN: Run = { at: 0, count: 0, size: 0 };
const NO_NAMES: NameLayout = { skip: 0, names: 0 };

/**
 * Where the records of `type` stand in the answer section; undefined if they can't change places: they are not of one
 * length side by side, or a name is compressed with one in them.
 */
export function findRun(message: Uint8Array, start: number, end: number, answerCount: number, type: RRType): Run | undefined {
  let at = start;
  let run = NO_RUN;
  const pointers: number[] = [];
  for (let index = 0; at < end; index++) {
    const fixed = skipName(message, at, pointers);
    const next = fixed + RR_FIXED_BYTES + uint16(message, fixed + 8);
    const { skip, names } = COMPRESSIBLE.get(uint16(message, fixed)) ?? NO_NAMES;
    for (let left = names, name = fixed + RR_FIXED_BYTES + skip; left > 0; left--) name = skipName(message, name, pointers);
    if (index < answerCount && uint16(message, fixed) === type) {
      if (run.count === 0) run = { at, count: 1, size: next - at };
      else if (next - at === run.size && at === run.at + run.count * run.size) run = { ...run, count: run.count + 1 };
      else return undefined;
    }
    at = next;
  }
  const last = run.at + run.count * run.size;
  const isPointedTo = pointers.map((pointer) => uint16(message, pointer) & MAX_POINTER).some((target) => target >= run.at && target < last);
  return isPointedTo ? undefined : run;
}

/** The message with the records of `run` turned left by `by` places. */
export function rotateRun(message: Uint8Array, { at, count, size }: Run, by: number): Uint8Array {
  const turned = message.slice();
  const split = at + (by % count) * size;
  const end = at + count * size;
  turned.set(message.subarray(split, end), at);
  turned.set(message.subarray(at, split), at + end - split);
  return turned;
}

/** The same; where the name ends in a pointer, the pointer's offset is added to `pointers`. */
export function skipName(bytes: Uint8Array, start: number, pointers: number[]): number {
  let at = start;
  for (;;) {
    const length = bytes[at] ?? 0;
    if (length >= POINTER_BITS) {
      pointers.push(at);
      return at + 2;
    }
    if (length === 0) return at + 1;
    at += 1 + length;
  }
}
