// Messages: what a query looks like once read, and what a reply looks like before it is encoded (dns/encode.ts).
// The reader of raw packets is dns/question.ts; by the time a Query exists its packet has been judged sound.

import type { Name } from "./name.ts";
import { RRClasses, RRTypes, type RecordSet, type RRClass, type RRType } from "./records.ts";

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
  /** EDNS options for upstreams, in wire form: what plugins have put in. The client's own are not passed on. */
  readonly upstreamOptions?: Uint8Array;
  /** CNAMEs that the server has followed on its own behalf to come to this question. */
  readonly hops?: number;
}

/**
 * Whether name and type alone tell the question apart, as the answer table does: class IN, without DO and CD, and without options
 * that plugins have put in for upstreams.
 */
export function isPlain({ qclass, flags, edns, upstreamOptions }: Query): boolean {
  return qclass === RRClasses.IN && (flags & Flags.CD) === 0 && edns?.dnssecOk !== true && upstreamOptions === undefined;
}

export interface ReplyHead {
  readonly rcode: Rcode;
  /** AA: the answer comes from a zone of our own. */
  readonly authoritative: boolean;
  /** RA: set on foreign answers (forwarded, remembered, made by a template), never on our own. */
  readonly recursionAvailable?: boolean;
  /** AD: an upstream has validated it (RFC 6840 §5.8). Told to askers who want to know. */
  readonly authenticated?: boolean;
  readonly ede?: Ede;
  /** The plugin that wrote it, for metrics; "" for the server itself. */
  readonly by: string;
  /** Why it failed, in CoreDNS's words, for the `errors` log. */
  readonly error?: string;
  /** Set by the end of the chain only: no plugin took the question. */
  readonly unhandled?: true;
  /** It depends on who asks, not on the question alone: never remembered. */
  readonly perClient?: true;
  /** EDNS options in wire form, for askers with an OPT record. */
  readonly options?: Uint8Array;
  /** TC: there are more records than these. */
  readonly truncated?: true;
  /** RD, where it is not to be as in the question. */
  readonly recursionDesired?: boolean;
}

/** What a plugin answers: records, or another server's message. */
export type Reply = Records | Wire;

export interface Records extends ReplyHead {
  readonly answer: readonly RecordSet[];
  readonly authority: readonly RecordSet[];
  readonly additional: readonly RecordSet[];
}

/** Another server's message, told on as it is (dns/wire.ts): only id, flags, the question's case, TTLs and size change. */
export interface Wire extends ReplyHead {
  /** Sound: a question, then as many records as the header counts. Without OPT and TSIG records. */
  readonly message: Uint8Array;
}

/** "Send nothing at all." */
export const DROP: unique symbol = Symbol("DROP");

export function isWire(reply: Reply): reply is Wire {
  return "message" in reply;
}

const NO_RECORDS: readonly RecordSet[] = Object.freeze([]);

/** A reply with nothing in it but its head; add sections with a spread. */
export function emptyReply(rcode: Rcode, by: string): Records {
  return { rcode, authoritative: false, by, answer: NO_RECORDS, authority: NO_RECORDS, additional: NO_RECORDS };
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

/** Octets of a record between its owner and its rdata: TYPE, CLASS, TTL, RDLENGTH. */
export const RR_FIXED_BYTES = 10;
/** Octets of an OPT record without options: those, and the root as its owner. */
export const OPT_BYTES = 11;
/** Octets of an EDNS option in front of its data: OPTION-CODE, OPTION-LENGTH. */
export const OPTION_HEAD_BYTES = 4;
/** OPTION-CODE of a name server's identity (RFC 5001 §2.3). */
export const OPTION_NSID = 3;
/** OPTION-CODE of an extended error (RFC 8914 §2). */
export const OPTION_EDE = 15;
/** The DO bit in the flags of an OPT record (RFC 3225 §3). */
export const DNSSEC_OK = 0x8000;

/** A 16-bit number in network order; bytes past the end read as 0. */
export function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** A 32-bit number in network order. */
export function uint32(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at) * 0x1_0000 + uint16(bytes, at + 2);
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
