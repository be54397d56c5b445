// A zone transfer as messages (RFC 5936 §2.2): a reply whose records fill one message or several. Made by respond.ts, sent by
// listeners/tcp-connection.ts. Several travel as one piece, as any other answer does, between the threads, too:
//
//   0 0 [length message][length message]…      no answer begins so: its third octet has the QR bit, a length here has not

import { encodeReply } from "./dns/encode.ts";
import { OPT_BYTES, questionEnd, RR_FIXED_BYTES, uint16, type Query, type Records } from "./dns/message.ts";
import type { Rdata, RecordSet } from "./dns/records.ts";
import { timeSlice } from "./time-slice.ts";

/** Below 2^15, for lengths to begin with a 0 bit. Compression reaches no further than half of that. */
export const MAX_MESSAGE_BYTES = 32_767;
const MARK_BYTES = 2;
const LENGTH_BYTES = 2;

/** One message, or several behind their mark. Long ones are made in slices of time. */
export async function encodeTransfer(query: Query, reply: Records, udpSize: number): Promise<Uint8Array> {
  const parts = [...partsOf(reply, MAX_MESSAGE_BYTES - questionEnd(query.wire) - OPT_BYTES)];
  const limits = { maxBytes: MAX_MESSAGE_BYTES, udpSize };
  const slice = timeSlice();
  const pieces: Uint8Array[] = [Buffer.alloc(MARK_BYTES)];
  for (const part of parts) {
    if (slice.isOver()) await slice.next();
    const message = Buffer.allocUnsafe(limits.maxBytes);
    const length = encodeReply(message, query, { ...reply, answer: part }, limits);
    if (parts.length === 1) return message.subarray(0, length);
    const head = Buffer.alloc(LENGTH_BYTES);
    head.writeUInt16BE(length);
    pieces.push(head, Buffer.from(message.subarray(0, length)));
  }
  return Buffer.concat(pieces);
}

/** Rrsets that fit into a message each, however little they compress. */
function* partsOf({ answer }: Records, room: number): Generator<readonly RecordSet[]> {
  let part: RecordSet[] = [];
  let left = room;
  for (const rrset of answer) {
    let taken: Rdata[] = [];
    for (const rdata of rrset.rdata) {
      const bytes = rrset.owner.length + RR_FIXED_BYTES + rdata.length;
      if (bytes > left) {
        if (taken.length > 0) part.push({ ...rrset, rdata: taken });
        if (part.length > 0) yield part;
        part = [];
        taken = [];
        left = room;
      }
      taken.push(rdata);
      left -= bytes;
    }
    part.push({ ...rrset, rdata: taken });
  }
  yield part;
}

export function isSeveralMessages(answer: Uint8Array): boolean {
  return answer.length > MARK_BYTES + LENGTH_BYTES && uint16(answer, 0) === 0 && (uint16(answer, MARK_BYTES) & 0x8000) === 0;
}

/** The messages behind their lengths. */
export function framedMessages(answer: Uint8Array): Buffer {
  return Buffer.from(answer.buffer, answer.byteOffset + MARK_BYTES, answer.length - MARK_BYTES);
}
