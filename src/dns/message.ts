// Messages: what a query looks like once read, what a reply looks like before it is encoded, and the encoder.
// The reader of raw packets is dns/question.ts; by the time a Query exists its packet has been judged sound.

import { lowerCase, readName, type Name } from "./name.ts";
import { RRTypes, type Rdata, type RecordSet, type RRClass, type RRType } from "./records.ts";

/** Octets of a message header (RFC 1035 §4.1.1). */
export const HEADER_BYTES = 12;
/** The largest message TCP can frame (RFC 1035 §4.2.2). */
export const MAX_MESSAGE_BYTES = 65_535;
/** What every client takes over UDP without EDNS (RFC 1035 §4.2.1). */
export const MIN_UDP_BYTES = 512;
/** Our own EDNS size unless `bufsize` says otherwise: avoids fragmentation on any path (DNS flag day 2020). */
export const DEFAULT_UDP_BYTES = 1232;

/** Header flag bits, in the 16-bit word behind the id. */
export const Flags = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const;

/** Response codes (RFC 6895 §2.3); those above 15 need an OPT record. */
export const Rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export type Rcode = number;

/** INFO-CODEs of extended errors (RFC 8914 §4). */
export const EdeCodes = {
  OTHER: 0,
  STALE: 3,
  NOT_READY: 14,
  BLOCKED: 15,
  FILTERED: 17,
  NO_REACHABLE_AUTHORITY: 22,
  NETWORK_ERROR: 23,
} as const;

/** An extended DNS error (RFC 8914). `text` has at most 64 bytes, so that a reply never grows by more. */
export interface Ede {
  readonly code: number;
  readonly text: string;
}

export type Transport = "udp" | "tcp" | "tls" | "https";

/** Who asked, and on which of our addresses. IPv4 in dotted form, also when it came through an IPv6 socket. */
export interface Client {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
  readonly localAddress: string;
  readonly localPort: number;
  readonly transport: Transport;
}

/** What the client's OPT record said (RFC 6891). */
export interface Edns {
  /** As sent; below 512 means 512. */
  readonly udpSize: number;
  readonly dnssecOk: boolean;
  /** The options, as wire bytes, lengths checked. */
  readonly options: Uint8Array;
}

/** What one client asked. Immutable: a plugin that changes the question hands on `{ ...query, … }`. */
export interface Query {
  readonly qname: Name;
  readonly qtype: RRType;
  readonly qclass: RRClass;
  readonly id: number;
  /** The header's second word as received. */
  readonly flags: number;
  readonly edns: Edns | undefined;
  readonly client: Client;
  /** The packet as received: the question is echoed from here, case and all. */
  readonly wire: Uint8Array;
}

export interface ReplyHead {
  readonly rcode: Rcode;
  /** AA: the answer comes from a zone of our own. */
  readonly authoritative: boolean;
  /** RA: set on foreign answers, never on our own. */
  readonly recursionAvailable?: boolean;
  readonly ede?: Ede;
  /** The plugin that wrote it, for metrics; "" for the server itself. */
  readonly by: string;
  /** Why it failed, in CoreDNS's words, for the `errors` log. */
  readonly error?: string;
  /** Set by the end of the chain only: no plugin took the question. */
  readonly unhandled?: true;
}

export interface Reply extends ReplyHead {
  readonly answer: readonly RecordSet[];
  readonly authority: readonly RecordSet[];
  readonly additional: readonly RecordSet[];
}

/** "Send nothing at all." */
export const DROP: unique symbol = Symbol("DROP");

const NO_RECORDS: readonly RecordSet[] = Object.freeze([]);

/** A reply with nothing in it but its head; add sections with a spread. */
export function emptyReply(rcode: Rcode, by: string): Reply {
  return { rcode, authoritative: false, by, answer: NO_RECORDS, authority: NO_RECORDS, additional: NO_RECORDS };
}

/** What is sent around a reply, decided by the server block and the transport. */
export interface EncodeLimits {
  /** Largest message, OPT included. */
  readonly maxBytes: number;
  /** The size that our OPT record offers. */
  readonly udpSize: number;
}

/** How large a reply may be: `clientUdpSize` is 0 without EDNS, `udpSize` is the server block's bound. */
export function replyLimit(transport: Transport, clientUdpSize: number, udpSize: number): number {
  if (transport !== "udp") return MAX_MESSAGE_BYTES;
  return Math.max(MIN_UDP_BYTES, Math.min(clientUdpSize, udpSize));
}

/** The offset behind the question of a sound query packet: its name has no pointers. */
export function questionEnd(wire: Uint8Array): number {
  let at = HEADER_BYTES;
  for (let length = wire[at] ?? 0; length > 0; length = wire[at] ?? 0) at += 1 + length;
  return at + 5;
}

/** Octets of our OPT record without options: */
export const OPT_BYTES = 11; // root, type, class, TTL, RDLENGTH
const EDE_HEAD_BYTES = 6; // OPTION-CODE, OPTION-LENGTH, INFO-CODE
/** OPTION-CODE of an extended error (RFC 8914 §2). */
export const OPTION_EDE = 15;
const DNSSEC_OK = 0x8000;

/**
 * Encodes a reply into `out` from offset 0 and returns its length. Whole records only: what does not fit is left
 * out from the end, additional rrsets silently, others with TC (RFC 2181 §9); the OPT record always fits.
 * `out` must hold `limits.maxBytes`.
 */
export function encodeReply(out: Uint8Array, query: Query, reply: Reply, limits: EncodeLimits): number {
  const end = questionEnd(query.wire);
  out.set(query.wire.subarray(0, end), 0);
  const writer = new Writer(out, limits.maxBytes - (query.edns === undefined ? 0 : OPT_BYTES), end);
  writer.remember(query.wire, HEADER_BYTES);

  let flags = Flags.QR | (query.flags & (Flags.RD | Flags.CD)) | (reply.rcode & 0x0f);
  if (reply.authoritative) flags |= Flags.AA;
  if (reply.recursionAvailable === true) flags |= Flags.RA;

  let truncated = false;
  const counts = [0, 0, 0];
  const sections = [reply.answer, reply.authority, reply.additional];
  for (const [index, section] of sections.entries()) {
    for (const rrset of section) {
      if (truncated) break;
      const start = writer.at;
      let written = 0;
      for (const rdata of rrset.rdata) {
        if (!writer.record(rrset, rdata)) {
          truncated = true;
          break;
        }
        written++;
      }
      // Extra information comes as whole rrsets or not at all: nobody would ask again for the rest.
      if (truncated && index === ADDITIONAL) writer.rewind(start);
      else counts[index] = (counts[index] ?? 0) + written;
    }
    if (truncated && index < ADDITIONAL) flags |= Flags.TC;
  }

  putUint16(out, 2, flags);
  putUint16(out, 4, 1);
  putUint16(out, 6, counts[0] ?? 0);
  putUint16(out, 8, counts[1] ?? 0);
  putUint16(out, 10, (counts[2] ?? 0) + (query.edns === undefined ? 0 : 1));
  if (query.edns === undefined) return writer.at;
  return encodeOpt(out, writer.at, limits.maxBytes, limits.udpSize, query.edns.dnssecOk, reply.rcode >> 4, reply.ede);
}

/** Writes our OPT record at `at`; the extended error only where it ends before `end`. Returns the offset behind it. */
export function encodeOpt(
  out: Uint8Array,
  at: number,
  end: number,
  udpSize: number,
  dnssecOk: boolean,
  extendedRcode: number,
  ede: Ede | undefined,
): number {
  out[at] = 0;
  putUint16(out, at + 1, RRTypes.OPT);
  putUint16(out, at + 3, udpSize);
  out[at + 5] = extendedRcode;
  out[at + 6] = 0; // version 0
  putUint16(out, at + 7, dnssecOk ? DNSSEC_OK : 0);
  const text = ede === undefined ? undefined : Buffer.from(ede.text);
  const edeBytes = text === undefined ? 0 : EDE_HEAD_BYTES + text.length;
  if (ede === undefined || text === undefined || at + OPT_BYTES + edeBytes > end) {
    putUint16(out, at + 9, 0);
    return at + OPT_BYTES;
  }
  putUint16(out, at + 9, edeBytes);
  putUint16(out, at + 11, OPTION_EDE);
  putUint16(out, at + 13, 2 + text.length);
  putUint16(out, at + 15, ede.code);
  out.set(text, at + 17);
  return at + OPT_BYTES + edeBytes;
}

/** A 16-bit number in network order; bytes past the end read as 0. */
export function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function putUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

export function putUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Where names stand in rdata. */
export interface NameLayout {
  /** Octets in front of the first. */
  readonly skip: number;
  readonly names: number;
}

/** Which names in the rdata of a type may be compressed (RFC 1035 §3.3, RFC 3597 §4): offset and count of names. */
export const COMPRESSIBLE: ReadonlyMap<RRType, NameLayout> = new Map<RRType, NameLayout>([
  [RRTypes.NS, { skip: 0, names: 1 }],
  [RRTypes.CNAME, { skip: 0, names: 1 }],
  [RRTypes.PTR, { skip: 0, names: 1 }],
  [RRTypes.SOA, { skip: 0, names: 2 }],
  [RRTypes.MX, { skip: 2, names: 1 }],
]);

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
