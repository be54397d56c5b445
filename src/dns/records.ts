// Record types, rdata and rrsets. Rdata is kept as its uncompressed wire bytes: unknown types need no code
// (RFC 3597), comparison is byte comparison, and the encoder only has to know where compressible names stand.
// Text (zone file form) goes both ways for tests, logs, zone files and the CLI.

import type { Name } from "./name.ts";

/** A 16-bit RR type. */
export type RRType = number;
/** A 16-bit RR class. */
export type RRClass = number;
/** One record's data: uncompressed wire form. */
export type Rdata = Uint8Array;

/** The RR types that ndots names (IANA "Resource Record (RR) TYPEs"). Others are `TYPEn`. */
// oxfmt-ignore
export const RRTypes = {
  A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, HINFO: 13, MX: 15, TXT: 16, RP: 17, AFSDB: 18, KEY: 25, AAAA: 28, LOC: 29, SRV: 33,
  NAPTR: 35, KX: 36, CERT: 37, DNAME: 39, OPT: 41, APL: 42, DS: 43, SSHFP: 44, IPSECKEY: 45, RRSIG: 46, NSEC: 47,
  DNSKEY: 48, DHCID: 49, NSEC3: 50, NSEC3PARAM: 51, TLSA: 52, SMIMEA: 53, CDS: 59, CDNSKEY: 60, OPENPGPKEY: 61, CSYNC: 62,
  ZONEMD: 63, SVCB: 64, HTTPS: 65, SPF: 99, EUI48: 108, EUI64: 109, TKEY: 249, TSIG: 250, IXFR: 251, AXFR: 252, MAILB: 253,
  MAILA: 254, ANY: 255, URI: 256, CAA: 257,
} as const;

/** QTYPEs and Meta-TYPEs (RFC 6895 §3.1): questions about a name, not for data that a CNAME could stand for. */
export function isMetaType(type: RRType): boolean {
  return type >= FIRST_META_TYPE && type <= RRTypes.ANY;
}

const FIRST_META_TYPE = 128;

/** The RR classes (RFC 1035 §3.2.4, RFC 2136 §2.4). */
export const RRClasses = { IN: 1, CS: 2, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const;

/** AXFR or IXFR (RFC 5936, RFC 1995). */
export function isTransfer(type: RRType): boolean {
  return type === RRTypes.AXFR || type === RRTypes.IXFR;
}

/** All records of one owner and type (RFC 2181 §5). `rdata` is never empty, in the order in which it is sent. */
export interface RecordSet {
  readonly owner: Name;
  readonly type: RRType;
  /** Seconds, 0 to 2^31-1 (RFC 2181 §8). */
  readonly ttl: number;
  readonly rdata: readonly Rdata[];
  /** IN unless said otherwise. */
  readonly rrclass?: RRClass;
}
