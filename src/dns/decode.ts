// Reads whole messages: for tests, the library's query() and the CLI client, which must see what was really sent.
// Strict where a server would be lenient: anything that does not add up, down to one stray byte, makes it undefined.
// Never throws; counts are held against the message's size before anything is read. Not for the query path.

import {
  COMPRESSIBLE,
  HEADER_BYTES,
  OPTION_EDE,
  OPTION_HEAD_BYTES,
  RR_FIXED_BYTES,
  uint16,
  uint32,
  type Ede,
  type NameLayout,
  type Rcode,
} from "./message.ts";
import { readName, ROOT, type Name } from "./name.ts";
import { RRTypes, type Rdata, type RRClass, type RRType } from "./records.ts";

export interface DecodedQuestion {
  readonly qname: Name;
  readonly qtype: RRType;
  readonly qclass: RRClass;
}

export interface DecodedRecord {
  readonly owner: Name;
  readonly type: RRType;
  readonly rrclass: RRClass;
  /** Seconds; 0 where the top bit was set (RFC 2181 §8). */
  readonly ttl: number;
  /** Uncompressed; names in it in lower case. */
  readonly rdata: Rdata;
}

/** The OPT record (RFC 6891 §6.1). */
export interface DecodedEdns {
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  readonly options: readonly { readonly code: number; readonly data: Uint8Array }[];
  /** The first extended error (RFC 8914). */
  readonly ede: Ede | undefined;
}

export interface DecodedMessage {
  readonly id: number;
  /** The header's second word; bits in `Flags`. */
  readonly flags: number;
  readonly opcode: number;
  /** All 12 bits where there is an OPT record. */
  readonly rcode: Rcode;
  /** Undefined in an error reply that is a bare header. */
  readonly question: DecodedQuestion | undefined;
  readonly answer: readonly DecodedRecord[];
  readonly authority: readonly DecodedRecord[];
  /** Without the OPT record. */
  readonly additional: readonly DecodedRecord[];
  readonly edns: DecodedEdns | undefined;
}

/** Reads a message of at most one question; undefined if it is not sound. */
export function decodeMessage(bytes: Uint8Array): DecodedMessage | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const flags = uint16(bytes, 2);
  const counts = [uint16(bytes, 6), uint16(bytes, 8), uint16(bytes, 10)];
  const questions = uint16(bytes, 4);
  const records = counts.reduce((sum, count) => sum + count, 0);
  const least = HEADER_BYTES + questions * QUESTION_MIN_BYTES + records * RECORD_MIN_BYTES;
  if (questions > 1 || least > bytes.length) return undefined;

  let at = HEADER_BYTES;
  let question: DecodedQuestion | undefined;
  if (questions === 1) {
    const found = readName(bytes, at);
    if (found === undefined || found.end + 4 > bytes.length) return undefined;
    question = { qname: found.name, qtype: uint16(bytes, found.end), qclass: uint16(bytes, found.end + 2) };
    at = found.end + 4;
  }

  const sections: DecodedRecord[][] = [];
  let edns: DecodedEdns | undefined;
  let extendedRcode = 0;
  for (const [index, count] of counts.entries()) {
    const section: DecodedRecord[] = [];
    for (let left = count; left > 0; left--) {
      const found = readRecord(bytes, at);
      if (found === undefined) return undefined;
      at = found.end;
      if (found.record.type === RRTypes.OPT) {
        if (edns !== undefined || index !== ADDITIONAL || found.record.owner !== ROOT) return undefined;
        edns = readEdns(found.record, found.ttl);
        if (edns === undefined) return undefined;
        extendedRcode = found.ttl >>> 24;
      } else section.push(found.record);
    }
    sections.push(section);
  }
  if (at !== bytes.length) return undefined;
  const [answer = [], authority = [], additional = []] = sections;
  const rcode = (extendedRcode << 4) | (flags & 0x0f);
  return { id: uint16(bytes, 0), flags, opcode: (flags >> 11) & 0x0f, rcode, question, answer, authority, additional, edns };
}

/** The index of the section that an OPT record may stand in. */
const ADDITIONAL = 2;
/** A root name and TYPE, CLASS. */
const QUESTION_MIN_BYTES = 5;
/** A root name and TYPE, CLASS, TTL, RDLENGTH. */
const RECORD_MIN_BYTES = 11;

/** Where else names may have come compressed (RFC 3597 §4): never sent so by us, yet understood. */
export const NAMES_IN_RDATA: ReadonlyMap<RRType, NameLayout> = new Map<RRType, NameLayout>([
  ...COMPRESSIBLE,
  [RRTypes.RP, { skip: 0, names: 2 }],
  [RRTypes.AFSDB, { skip: 2, names: 1 }],
  [RRTypes.SRV, { skip: 6, names: 1 }],
  [RRTypes.KX, { skip: 2, names: 1 }],
  [RRTypes.DNAME, { skip: 0, names: 1 }],
]);

function readRecord(bytes: Uint8Array, start: number): { record: DecodedRecord; ttl: number; end: number } | undefined {
  const found = readName(bytes, start);
  if (found === undefined || found.end + RR_FIXED_BYTES > bytes.length) return undefined;
  const at = found.end;
  const end = at + RR_FIXED_BYTES + uint16(bytes, at + 8);
  if (end > bytes.length) return undefined;
  const type = uint16(bytes, at);
  const ttl = uint32(bytes, at + 4);
  const rdata = readRdata(bytes, type, at + RR_FIXED_BYTES, end);
  if (rdata === undefined) return undefined;
  const record = { owner: found.name, type, rrclass: uint16(bytes, at + 2), ttl: ttl > 0x7fff_ffff ? 0 : ttl, rdata };
  return { record, ttl, end };
}

function readRdata(bytes: Uint8Array, type: RRType, start: number, end: number): Rdata | undefined {
  const layout = NAMES_IN_RDATA.get(type);
  if (layout === undefined) return bytes.slice(start, end);
  if (start + layout.skip > end) return undefined;
  const parts: Uint8Array[] = [bytes.subarray(start, start + layout.skip)];
  let at = start + layout.skip;
  for (let index = 0; index < layout.names; index++) {
    const found = readName(bytes, at);
    if (found === undefined || found.end > end) return undefined;
    parts.push(Buffer.from(found.name, "latin1"));
    at = found.end;
  }
  return Buffer.concat([...parts, bytes.subarray(at, end)]);
}

// `ttl` is the field as it came: extended rcode, version, flags.
function readEdns({ rrclass, rdata }: DecodedRecord, ttl: number): DecodedEdns | undefined {
  const options: { code: number; data: Uint8Array }[] = [];
  for (let at = 0; at < rdata.length;) {
    if (at + OPTION_HEAD_BYTES > rdata.length) return undefined;
    const end = at + OPTION_HEAD_BYTES + uint16(rdata, at + 2);
    if (end > rdata.length) return undefined;
    options.push({ code: uint16(rdata, at), data: rdata.subarray(at + OPTION_HEAD_BYTES, end) });
    at = end;
  }
  const error = options.find(({ code }) => code === OPTION_EDE)?.data;
  if (error !== undefined && error.length < 2) return undefined;
  const ede = error && { code: uint16(error, 0), text: Buffer.from(error.subarray(2)).toString() };
  return { udpSize: rrclass, version: (ttl >>> 16) & 0xff, dnssecOk: (ttl & 0x8000) !== 0, options, ede };
}
