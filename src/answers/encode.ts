// Replies as the table keeps them: encoded by the chain's own encoder behind the question, then cut from it. So the
// table's bytes are the chain's bytes by construction.

import {
  emptyReply,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  putUint16,
  Rcodes,
  RR_FIXED_BYTES,
  uint16,
  type Client,
  type Query,
  type Records,
} from "../dns/message.ts";
import { findRun, NO_RUN, skipName } from "../dns/body.ts";
import { encodeReply } from "../dns/encode.ts";
import { labelsBelow, nameToWire, readName, type Name } from "../dns/name.ts";
import { RRTypes, type RecordSet, type RRType } from "../dns/records.ts";
import { MAX_BODY_BYTES } from "./memory.ts";
import type { CompiledAnswer, CompiledZone } from "./compiled.ts";

export interface Encoder {
  /** Undefined where only the chain can answer: not NOERROR, records that can't be rotated, or too many to. */
  answer(name: Name, type: RRType, reply: Records, rotates: ReadonlySet<RRType>): CompiledAnswer | undefined;
  /** A zone's SOA as it stands behind a question for the apex. */
  soa(apex: Name, soa: RecordSet): Pick<CompiledZone, "soa" | "soaPointers" | "soaLabels">;
}

const NOBODY: Client = { address: "", port: 0, family: 4, localAddress: "", localPort: 0, transport: "tcp" };
/** No UDP answer is longer (`bufsize`). */
const MAX_UDP_BYTES = 4096;

/** An encoder with a buffer of its own: one message is being encoded at a time. */
export function createEncoder(): Encoder {
  const message = new Uint8Array(MAX_MESSAGE_BYTES);

  function encode(name: Name, type: RRType, reply: Records): { readonly start: number; readonly end: number } {
    const start = HEADER_BYTES + name.length + 4;
    const wire = new Uint8Array(start);
    wire.set(nameToWire(name), HEADER_BYTES);
    putUint16(wire, start - 4, type);
    putUint16(wire, start - 2, 1);
    const query: Query = { qname: name, qtype: type, qclass: 1, id: 0, flags: 0, edns: undefined, client: NOBODY, wire };
    return { start, end: encodeReply(message, query, reply, { maxBytes: MAX_MESSAGE_BYTES, udpSize: 0 }) };
  }

  return {
    answer(name, type, reply, rotates) {
      if (reply.rcode !== Rcodes.NOERROR || reply.authority.length > 0) return undefined;
      const { start, end } = encode(name, type, reply);
      const answerCount = uint16(message, 6);
      const run = rotates.has(type) ? findRun(message, start, end, answerCount, type) : NO_RUN;
      const isLong = end - start > MAX_BODY_BYTES;
      if (run === undefined || (isLong && run.count > 1)) return undefined;
      return {
        type,
        answerCount,
        authorityCount: 0,
        additionalCount: uint16(message, 10),
        body: message.slice(start, isLong ? recordEndBehind(message, start, MAX_UDP_BYTES) : end),
        ...(isLong && { isBeginning: true }),
        rotateAt: run.count === 0 ? 0 : run.at - start,
        rotateCount: run.count,
        rotateSize: run.size,
      };
    },
    soa(apex, soa) {
      const { start, end } = encode(apex, RRTypes.SOA, { ...emptyReply(Rcodes.NOERROR, ""), authority: [soa] });
      const bytes = message.slice(start, end);
      const pointers: number[] = [];
      const ownerEnd = skipName(bytes, 0, pointers);
      const mnameEnd = skipName(bytes, ownerEnd + RR_FIXED_BYTES, pointers);
      skipName(bytes, mnameEnd, pointers);
      return { soa: bytes, soaPointers: pointers, soaLabels: labelsRightBelow(apex, soa) };
    },
  };
}

function recordEndBehind(message: Uint8Array, start: number, bytes: number): number {
  let at = start;
  while (at <= start + bytes) {
    const fixed = skipName(message, at, []);
    at = fixed + RR_FIXED_BYTES + uint16(message, fixed + 8);
  }
  return at;
}

// The SOA's names below the apex compress with a question that shares the label right below it.
function labelsRightBelow(apex: Name, soa: RecordSet): Uint8Array[] {
  const rdata = soa.rdata[0];
  const mname = rdata === undefined ? undefined : readName(rdata, 0);
  const rname = rdata === undefined || mname === undefined ? undefined : readName(rdata, mname.end);
  const labels = new Set<string>();
  for (const read of [mname, rname]) {
    const label = read === undefined ? undefined : labelsBelow(read.name, apex)?.at(-1);
    if (label !== undefined) labels.add(label);
  }
  return [...labels].map((label) => Uint8Array.of(label.length, ...Buffer.from(label, "latin1")));
}
