// Builders of rdata in wire form, for whoever makes records in code: the cluster's view, `hosts`, `template`, tests.
// Pure; arguments are trusted to be in range. Text forms are dns/text.ts.

import { nameToWire, type Name } from "./name.ts";
import type { Rdata } from "./records.ts";

/** Octets of an address. */
const IPV4_BYTES = 4;
const IPV6_BYTES = 16;
/** Octets of a character-string without its length byte (RFC 1035 §3.3). */
const MAX_STRING_BYTES = 255;

/**
 * The 4 or 16 bytes of an address in text form (RFC 4291 §2.2); undefined where the text is none.
 * @example addressToBytes("2001:db8::1")
 */
export function addressToBytes(text: string): Uint8Array | undefined {
  return text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
}

function ipv4Bytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(IPV4_BYTES);
  let index = 0;
  let value = -1;
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 0x2e;
    if (code === 0x2e) {
      if (value < 0 || index === IPV4_BYTES) return undefined;
      bytes[index++] = value;
      value = -1;
    } else {
      // A leading zero would be octal to some readers: not an address (RFC 6943 §3.1.1).
      if (code < 0x30 || code > 0x39 || value === 0) return undefined;
      value = Math.max(value, 0) * 10 + code - 0x30;
      if (value > 255) return undefined;
    }
  }
  return index === IPV4_BYTES ? bytes : undefined;
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = IPV6_BYTES - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  const bytes = new Uint8Array(IPV6_BYTES);
  bytes.set(head, 0);
  bytes.set(tail, IPV6_BYTES - tail.length);
  return bytes;
}

// Bytes of colon-separated groups; only the last group of an address may be in IPv4 form.
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (last && index === groups.length - 1 && group.includes(".")) {
      const embedded = ipv4Bytes(group);
      if (embedded === undefined) return undefined;
      bytes.push(...embedded);
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

/** A or AAAA: the bytes of an address whose text is known to be sound. */
export function addressRdata(address: string): Rdata {
  const bytes = addressToBytes(address);
  if (bytes === undefined) throw new RangeError(`"${address}" is not an IP address`);
  return bytes;
}

/** CNAME, NS, PTR (RFC 1035 §3.3). */
export function nameRdata(name: Name): Rdata {
  return nameToWire(name);
}

/** SRV (RFC 2782); priority, weight and port are 0–65535. */
export function srvRdata(priority: number, weight: number, port: number, target: Name): Rdata {
  const rdata = Buffer.allocUnsafe(6 + target.length);
  rdata.writeUInt16BE(priority, 0);
  rdata.writeUInt16BE(weight, 2);
  rdata.writeUInt16BE(port, 4);
  rdata.write(target, 6, "latin1");
  return rdata;
}

/** TXT (RFC 1035 §3.3.14): one character-string for each text, cut where one is too long. */
export function txtRdata(...texts: readonly string[]): Rdata {
  const strings = texts.flatMap((text) => {
    const bytes = Buffer.from(text);
    const parts: Buffer[] = [];
    for (let at = 0; at === 0 || at < bytes.length; at += MAX_STRING_BYTES) parts.push(bytes.subarray(at, at + MAX_STRING_BYTES));
    return parts.flatMap((part) => [Buffer.of(part.length), part]);
  });
  return Buffer.concat(strings);
}

/** The fields of a SOA (RFC 1035 §3.3.13); times in seconds. */
export interface Soa {
  /** The primary name server. */
  readonly mname: Name;
  /** The mailbox, `@` as a dot. */
  readonly rname: Name;
  /** 0 to 2^32-1; larger values wrap (RFC 1982). */
  readonly serial: number;
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  /** Negative TTL (RFC 2308 §4). */
  readonly minimum: number;
}

/** SOA. */
export function soaRdata(soa: Soa): Rdata {
  const rdata = Buffer.allocUnsafe(soa.mname.length + soa.rname.length + 20);
  let at = rdata.write(soa.mname, 0, "latin1");
  at += rdata.write(soa.rname, at, "latin1");
  for (const value of [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum]) at = rdata.writeUInt32BE(value >>> 0, at);
  return rdata;
}
