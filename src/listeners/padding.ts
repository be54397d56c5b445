// Padding of answers over TLS and HTTPS (RFC 7830, RFC 8467): who sees only sizes learns little of what was asked. Only for
// clients that pad their queries. Put in front of the responder by tls.ts and https.ts.

import { nameEnd } from "../dns/body.ts";
import { HEADER_BYTES, MAX_MESSAGE_BYTES, OPT_BYTES, OPTION_HEAD_BYTES, putUint16, RR_FIXED_BYTES, uint16 } from "../dns/message.ts";
import { Verdicts, type Exchange } from "../dns/question.ts";
import { RRTypes } from "../dns/records.ts";
import type { Responder } from "../respond.ts";

/** Answers are a multiple of it (RFC 8467 §4.1). */
const BLOCK_BYTES = 468;
/** OPTION-CODE (RFC 7830 §3). */
const OPTION_PADDING = 12;
/** QTYPE, QCLASS. */
export const QUESTION_FIXED_BYTES = 4;

export function padded(responder: Pick<Responder, "respond">): Pick<Responder, "respond"> {
  return {
    respond(io) {
      const answer = responder.respond(io);
      if (!isWanted(io)) return answer;
      if (typeof answer === "number") return answer === 0 ? 0 : pad(io.out.subarray(io.outAt), answer);
      return answer.then((bytes) => {
        if (bytes === undefined) return undefined;
        const wider = new Uint8Array(Math.min(MAX_MESSAGE_BYTES, bytes.length + OPTION_HEAD_BYTES + BLOCK_BYTES));
        wider.set(bytes);
        return wider.subarray(0, pad(wider, bytes.length));
      });
    },
  };
}

function isWanted(io: Exchange): boolean {
  if (io.verdict !== Verdicts.OK || !io.edns) return false;
  for (let at = io.optionsAt; at < io.optionsEnd; at += OPTION_HEAD_BYTES + uint16(io.in, at + 2)) {
    if (uint16(io.in, at) === OPTION_PADDING) return true;
  }
  return false;
}

// Returns the length that the answer in `out` has then: as it was, if there is no room or no OPT record at its end.
function pad(out: Uint8Array, length: number): number {
  const optAt = lastRecord(out, length);
  const least = length + OPTION_HEAD_BYTES;
  const target = Math.min(Math.ceil(least / BLOCK_BYTES) * BLOCK_BYTES, MAX_MESSAGE_BYTES);
  if (optAt < 0 || uint16(out, optAt + 1) !== RRTypes.OPT || least > target || target > out.length) return length;
  putUint16(out, optAt + OPT_BYTES - 2, target - optAt - OPT_BYTES);
  putUint16(out, length, OPTION_PADDING);
  putUint16(out, length + 2, target - least);
  out.fill(0, least, target);
  return target;
}

// Where the last record begins, which has the root as its owner, as OPT has; -1 if it has not.
function lastRecord(bytes: Uint8Array, length: number): number {
  let at = HEADER_BYTES;
  for (let count = uint16(bytes, 4); count > 0 && at < length; count--) at = nameEnd(bytes, at) + QUESTION_FIXED_BYTES;
  let start = -1;
  for (let count = uint16(bytes, 6) + uint16(bytes, 8) + uint16(bytes, 10); count > 0 && at < length; count--) {
    start = at;
    const fixed = nameEnd(bytes, at);
    at = fixed + RR_FIXED_BYTES + uint16(bytes, fixed + 8);
  }
  return at === length && start >= 0 && bytes[start] === 0 ? start : -1;
}
