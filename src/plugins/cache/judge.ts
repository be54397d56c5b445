// What a foreign reply is worth remembering: its class, for how long, and which of its records (RFC 2308, RFC 5452 §6).
// Reads the message as bytes and hands on the same bytes: nothing is decoded and encoded again. Pure.

import { nameEnd } from "../../dns/body.ts";
import { TARGET_AT } from "../../dns/lookup.ts";
import {
  Flags,
  HEADER_BYTES,
  putUint16,
  putUint32,
  questionEnd,
  Rcodes,
  RR_FIXED_BYTES,
  uint16,
  uint32,
  type Wire,
} from "../../dns/message.ts";
import { isWithin, readName, ROOT, type Name } from "../../dns/name.ts";
import { RRClasses, RRTypes, type RRClass, type RRType } from "../../dns/records.ts";
import type { TtlBounds } from "../../dns/ttl.ts";

export interface Question {
  readonly qname: Name;
  readonly qtype: RRType;
  readonly qclass: RRClass;
}

export type Kind = "success" | "denial" | "failure";

/** How long replies are remembered. */
export interface Lifetimes extends Required<TtlBounds> {
  /** Of SERVFAIL and NOTIMP; 0: not at all. */
  readonly failureSeconds: number;
}

/** What is left of a reply: `wire` has no records but those that belong to the question, all with the TTL `ttlSeconds`. */
export interface Worth {
  readonly kind: Kind;
  /** 0: for whoever has asked, and not to be remembered. */
  readonly ttlSeconds: number;
  readonly wire: Wire;
}

/** "stranger": the reply answers another question, or with records of other names. "unfit": it is just not to be remembered. */
export type Verdict = Worth | "stranger" | "unfit";

/** @param wire sound, as readAnswer() or encodeReply() make it. */
export function judge(wire: Wire, question: Question, lifetimes: Lifetimes): Verdict {
  const { message, rcode } = wire;
  if (!asks(message, question)) return "stranger";
  if ((uint16(message, 2) & Flags.TC) !== 0 || question.qtype === RRTypes.AXFR || question.qtype === RRTypes.IXFR) return "unfit";
  if (rcode === Rcodes.SERVFAIL || rcode === Rcodes.NOTIMP) {
    const { failureSeconds } = lifetimes;
    return failureSeconds === 0 ? "unfit" : { kind: "failure", ttlSeconds: failureSeconds, wire: cut(wire, [], 0) };
  }
  if (rcode !== Rcodes.NOERROR && rcode !== Rcodes.NXDOMAIN) return "unfit";

  const records = recordsIn(message, question.qname);
  if (records === undefined) return "stranger";
  const answer = records.filter(({ section }) => section === ANSWER);
  const chain = chainFrom(question, answer, message);
  if (chain === undefined || !answer.every((record) => isOfChain(record, chain.names, question.qclass))) return "stranger";
  const kept = related(records, chain.names, question.qclass, message);
  const soa = kept.find(({ section, type }) => section === AUTHORITY && type === RRTypes.SOA);
  // NXDOMAIN with the very record that was asked for says two things at once.
  if (chain.answered ? rcode === Rcodes.NXDOMAIN : soa === undefined) return "unfit";

  const least = Math.min(...kept.map(({ ttl }) => ttl), chain.answered || soa === undefined ? MAX_TTL : minimumOf(soa, message));
  const kind = chain.answered ? "success" : "denial";
  const { min, max } = lifetimes[kind];
  const ttlSeconds = least === 0 ? 0 : Math.max(Math.min(least, max), min);
  return { kind, ttlSeconds, wire: cut(wire, kept, ttlSeconds) };
}

/** A copy of the message in which every record has the TTL `seconds`. */
export function withTtl(message: Uint8Array, seconds: number): Uint8Array {
  const copy = message.slice();
  let at = questionEnd(message);
  for (let left = uint16(message, 6) + uint16(message, 8) + uint16(message, 10); left > 0; left--) {
    const fixedAt = nameEnd(message, at);
    putUint32(copy, fixedAt + 4, seconds);
    at = fixedAt + RR_FIXED_BYTES + uint16(message, fixedAt + 8);
  }
  return copy;
}

const ANSWER = 0;
const AUTHORITY = 1;
const ADDITIONAL = 2;
const MAX_TTL = 2 ** 31 - 1;
/** Of SOA rdata: two names of at least a byte each, and five numbers. */
const SOA_MIN_BYTES = 22;

/** One record of a message. */
interface Place {
  readonly section: typeof ANSWER | typeof AUTHORITY | typeof ADDITIONAL;
  readonly owner: Name;
  readonly type: RRType;
  readonly rrclass: RRClass;
  /** 0 where the top bit is set (RFC 2181 §8). */
  readonly ttl: number;
  /** Offset of TYPE. */
  readonly fixedAt: number;
  readonly end: number;
}

interface Chain {
  /** The qname, and where CNAMEs lead from it, in their order. */
  readonly names: readonly Name[];
  /** The last of the names has what was asked for. */
  readonly answered: boolean;
}

function asks(message: Uint8Array, { qname, qtype, qclass }: Question): boolean {
  for (let index = 0; index < qname.length; index++) {
    const byte = message[HEADER_BYTES + index] as number;
    // Length bytes are no capitals: they are below "A".
    if ((byte >= 0x41 && byte <= 0x5a ? byte | CASE_BIT : byte) !== qname.charCodeAt(index)) return false;
  }
  const at = HEADER_BYTES + qname.length;
  return uint16(message, at) === qtype && uint16(message, at + 2) === qclass;
}

const CASE_BIT = 0x20;

// Undefined where an owner can't be read: the pointers of a sound message stay in it, but may lead astray.
function recordsIn(message: Uint8Array, qname: Name): Place[] | undefined {
  const places: Place[] = [];
  let at = questionEnd(message);
  for (const section of [ANSWER, AUTHORITY, ADDITIONAL] as const) {
    for (let left = uint16(message, 6 + 2 * section); left > 0; left--) {
      // Most owners are the question's name, as a pointer to it.
      const owner = uint16(message, at) === QNAME_POINTER ? { name: qname, end: at + 2 } : readName(message, at);
      if (owner === undefined) return undefined;
      const fixedAt = owner.end;
      const ttl = uint32(message, fixedAt + 4);
      const end = fixedAt + RR_FIXED_BYTES + uint16(message, fixedAt + 8);
      places.push({
        section,
        owner: owner.name,
        type: uint16(message, fixedAt),
        rrclass: uint16(message, fixedAt + 2),
        ttl: ttl > MAX_TTL ? 0 : ttl,
        fixedAt,
        end,
      });
      at = end;
    }
  }
  return places;
}

const QNAME_POINTER = 0xc000 | HEADER_BYTES;

// Follows the CNAMEs from the qname, in whatever order they came (RFC 1034 §3.6.2). Undefined where there is no one end: a loop,
// or a name with two CNAMEs (RFC 2181 §10.1).
function chainFrom({ qname, qtype }: Question, answer: readonly Place[], message: Uint8Array): Chain | undefined {
  const targets = new Map<Name, Name>();
  for (const { owner, type, fixedAt, end } of answer) {
    if (type !== RRTypes.CNAME) continue;
    const target = readName(message, fixedAt + RR_FIXED_BYTES);
    if (target?.end !== end || (targets.get(owner) ?? target.name) !== target.name) return undefined;
    targets.set(owner, target.name);
  }
  const names = [qname];
  for (let target = targets.get(qname); target !== undefined; target = targets.get(target)) {
    if (names.includes(target) || names.length > MAX_CNAMES) return undefined;
    names.push(target);
  }
  // CNAME and ANY are not asked for anew at the target.
  const end = qtype === RRTypes.CNAME || qtype === RRTypes.ANY ? qname : names.at(-1);
  return { names, answered: answer.some(({ owner, type }) => owner === end && (type === qtype || qtype === RRTypes.ANY)) };
}

/** No resolver follows more. */
const MAX_CNAMES = 32;

function isOfClass({ rrclass }: Place, qclass: RRClass): boolean {
  return rrclass === qclass || qclass === RRClasses.ANY;
}

// A DNAME stands above the name that it renames, with its signature.
function isOfChain(record: Place, names: readonly Name[], qclass: RRClass): boolean {
  const { owner, type } = record;
  if (!isOfClass(record, qclass)) return false;
  if (type === RRTypes.DNAME || type === RRTypes.RRSIG) return names.some((name) => isWithin(name, owner));
  return names.includes(owner);
}

/** Proofs, with owners all over the zone: worth something only to those who check their signatures. */
const PROOFS: ReadonlySet<RRType> = new Set([RRTypes.NSEC, RRTypes.NSEC3, RRTypes.RRSIG]);

// The records up to the first that has nothing to do with the question: what follows could be compressed with it.
function related(records: readonly Place[], names: readonly Name[], qclass: RRClass, message: Uint8Array): readonly Place[] {
  const wanted = new Set(names);
  const kept: Place[] = [];
  for (const record of records) {
    const { section, owner, type, fixedAt } = record;
    if (section === AUTHORITY && !PROOFS.has(type) && !names.some((name) => isWithin(name, owner))) break;
    if (section === ADDITIONAL && !wanted.has(owner)) break;
    if (!isOfClass(record, qclass)) break;
    const targetAt = TARGET_AT.get(type);
    const target = targetAt === undefined ? undefined : readName(message, fixedAt + RR_FIXED_BYTES + targetAt)?.name;
    if (target !== undefined && target !== ROOT) wanted.add(target);
    kept.push(record);
  }
  return kept;
}

// RFC 2308 §5: the SOA's MINIMUM, too, bounds how long a denial is remembered.
function minimumOf({ fixedAt, end }: Place, message: Uint8Array): number {
  if (end - fixedAt - RR_FIXED_BYTES < SOA_MIN_BYTES) return 0;
  const seconds = uint32(message, end - 4);
  return Math.min(seconds, MAX_TTL);
}

// A copy with nothing behind the last of `kept`, which is a beginning of the message's records.
function cut(wire: Wire, kept: readonly Place[], ttlSeconds: number): Wire {
  const { message } = wire;
  const end = kept.at(-1)?.end ?? questionEnd(message);
  const copy = message.slice(0, end);
  for (const section of [ANSWER, AUTHORITY, ADDITIONAL] as const) {
    putUint16(copy, 6 + 2 * section, kept.filter((record) => record.section === section).length);
  }
  for (const { fixedAt } of kept) putUint32(copy, fixedAt + 4, ttlSeconds);
  return { ...wire, message: copy };
}
