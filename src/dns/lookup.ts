// Looking a name up in authoritative data (RFC 1034 §4.3.2): the one place that turns what stands at a name into an
// answer. Handlers answer queries with it and the answer table is compiled with it, so both say the same. Pure.

import { EdeCodes, emptyReply, Rcodes, type Records } from "./message.ts";
import { isWithin, parentOf, readName, type Name } from "./name.ts";
import { RRTypes, type Rdata, type RecordSet, type RRType } from "./records.ts";
import type { Node, Zone, ZoneCut } from "./zone.ts";

/** What a zone says to a question. `answer` holds the CNAMEs that led there, and then the rrset asked for. */
export type Lookup =
  | { readonly kind: "answer"; readonly answer: readonly RecordSet[]; readonly additional: readonly RecordSet[] }
  /** The answer ends in a CNAME whose `target` is yet to be looked up. */
  | { readonly kind: "cname"; readonly answer: readonly RecordSet[]; readonly target: Name }
  /** The name exists, the type does not: NOERROR with the SOA of `zone`. `reason` is "" where none is known. */
  | { readonly kind: "nodata"; readonly answer: readonly RecordSet[]; readonly zone: Zone; readonly reason: string }
  /** The name does not exist in `zone`; `reason` as in "nodata". */
  | { readonly kind: "nxdomain"; readonly answer: readonly RecordSet[]; readonly zone: Zone; readonly reason: string }
  /** Another zone's name: a referral, NOERROR without AA, `cut.ns` in authority and `cut.glue` in additional. */
  | { readonly kind: "delegation"; readonly answer: readonly RecordSet[]; readonly cut: ZoneCut }
  /** What stands at the name is not known, for this reason: SERVFAIL. Where `isThere` is false, the name may not exist at all. */
  | { readonly kind: "unknown"; readonly answer: readonly RecordSet[]; readonly isThere: boolean; readonly reason: string }
  /** Not this zone's business: ask the rest of the chain. */
  | { readonly kind: "ask" };

const NONE: readonly never[] = Object.freeze([]);
/** CNAMEs that are followed for one question; CoreDNS's bound. */
const MAX_HOPS = 10;

/** Looks a name up in its zone. Follows aliases, which name the zone of their target, but no other CNAME. */
export function lookup(zone: Zone, qname: Name, qtype: RRType): Lookup {
  return lookupAt(zone, zone.node(qname), qname, qtype);
}

/** The same for whoever has the name's node already. */
export function lookupAt(zone: Zone, node: Node | undefined, qname: Name, qtype: RRType): Lookup {
  if (node === undefined) {
    if (!zone.ready) return { kind: "unknown", answer: NONE, isThere: false, reason: zone.notReadyReason ?? "" };
    return { kind: "nxdomain", answer: NONE, zone, reason: reasonOf(zone, qname) };
  }
  if (node.unknown !== undefined) return { kind: "unknown", answer: NONE, isThere: true, reason: node.unknown };
  const { cut } = node;
  // DS is the one type that the parent's side of a cut answers (RFC 4035 §3.1.4.1).
  if (cut !== undefined && (qtype !== RRTypes.DS || qname !== cut.ns.owner)) return { kind: "delegation", answer: NONE, cut };
  if (node.absent !== undefined) return { kind: "nxdomain", answer: NONE, zone, reason: node.absent };
  const cname = rrsetOf(node, RRTypes.CNAME);
  if (node.alias !== undefined && cname !== undefined && qtype !== RRTypes.CNAME) {
    if (!node.alias.types.includes(qtype)) return { kind: "ask" };
    const target = lookup(node.alias.zone, node.alias.target, qtype);
    return target.kind === "ask" ? target : { ...target, answer: [cname, ...target.answer] };
  }
  const rrset = rrsetOf(node, qtype);
  const above = node.dname === undefined ? NONE : [node.dname];
  if (rrset !== undefined) return { kind: "answer", answer: [...above, rrset], additional: additionalTo(zone, node, rrset) };
  if (cname !== undefined) return { kind: "cname", answer: [...above, cname], target: nameAt(cname.rdata[0] as Rdata, 0) };
  return node.partial === true ? { kind: "ask" } : { kind: "nodata", answer: NONE, zone, reason: node.reason ?? "" };
}

/**
 * Goes on from a lookup that ended in a CNAME for as long as the targets are in `zones`. A target elsewhere, or one that only the
 * chain may deny, leaves "cname"; a loop, or more than ten CNAMEs, are an answer that ends there.
 */
export function chase(zones: readonly Zone[], first: Lookup, qtype: RRType): Lookup {
  let found = first;
  for (let hops = 1; found.kind === "cname"; hops++) {
    const { target, answer } = found;
    const zone = zoneOf(zones, target);
    if (zone === undefined) return found;
    if (hops === MAX_HOPS || answer.some(({ owner, type }) => owner === target && type === RRTypes.CNAME))
      return { kind: "answer", answer, additional: NONE };
    const next: Lookup = lookup(zone, target, qtype);
    if (next.kind === "ask" || (!zone.complete && isMissing(next))) return found;
    found = { ...next, answer: [...answer, ...next.answer] };
  }
  return found;
}

/** Nothing of the zone's is there. Where it is not complete the name may be somebody else's, whether or not all of it is known. */
export function isMissing(found: Lookup): boolean {
  return found.kind === "nxdomain" || (found.kind === "unknown" && !found.isThere);
}

/** The zone with the longest apex that the name is in. */
export function zoneOf(zones: readonly Zone[], name: Name): Zone | undefined {
  let best: Zone | undefined;
  for (const zone of zones) {
    if ((best === undefined || zone.apex.length > best.apex.length) && isWithin(name, zone.apex)) best = zone;
  }
  return best;
}

/** The nearest name above one that does not exist (RFC 4592 §3.3.1), and what stands there. */
export function closestEncloser(zone: Zone, qname: Name): { readonly name: Name; readonly node: Node } | undefined {
  for (let name = qname; name.length > zone.apex.length;) {
    name = parentOf(name);
    const node = zone.node(name);
    if (node !== undefined) return { name, node };
  }
  return undefined;
}

function reasonOf(zone: Zone, qname: Name): string {
  return closestEncloser(zone, qname)?.node.reasonBelow ?? "";
}

export function rrsetOf(node: Node, type: RRType): RecordSet | undefined {
  return node.rrsets.find((rrset) => rrset.type === type);
}

/** Where the names stand in the rdata of types whose targets' addresses are worth sending along. */
export const TARGET_AT: ReadonlyMap<RRType, number> = new Map([
  [RRTypes.NS, 0],
  [RRTypes.MX, 2],
  [RRTypes.SRV, 6],
  [RRTypes.SVCB, 2],
  [RRTypes.HTTPS, 2],
]);

// Addresses of the names in an rrset of the node, as far as the zone holds them (RFC 1034 §4.3.2 step 6, RFC 2782).
function additionalTo(zone: Zone, node: Node, rrset: RecordSet): readonly RecordSet[] {
  const at = TARGET_AT.get(rrset.type);
  if (at === undefined) return NONE;
  const targets = new Set(rrset.rdata.map((rdata) => nameAt(rdata, at)));
  if (node.addressesOf !== undefined) return node.addressesOf(targets);
  const found: RecordSet[] = [];
  for (const target of targets) {
    if (!isWithin(target, zone.apex)) continue;
    for (const other of zone.node(target)?.rrsets ?? NONE) {
      if (other.type === RRTypes.A || other.type === RRTypes.AAAA) found.push(other);
    }
  }
  return found;
}

function nameAt(rdata: Rdata, at: number): Name {
  const read = readName(rdata, at);
  if (read === undefined) throw new RangeError("rdata that we made holds no name");
  return read.name;
}

/**
 * The reply that a zone's plugin gives; undefined for what is not the zone's business.
 * @param zone the one that was asked, if what it holds may be old.
 */
export function replyFrom(found: Lookup, by: string, zone?: Zone): Records | undefined {
  const reply = freshReply(found, by);
  return reply === undefined || zone === undefined || found.kind === "unknown" ? reply : withStaleness(reply, zone);
}

/** Says that the zone may be old, if it may, in the place of other reasons: the table does so too. */
export function withStaleness(reply: Records, { staleness }: Zone): Records {
  return staleness === undefined ? reply : { ...reply, ede: { code: EdeCodes.STALE, text: staleness } };
}

function freshReply(found: Lookup, by: string): Records | undefined {
  switch (found.kind) {
    case "answer":
      return { ...emptyReply(Rcodes.NOERROR, by), authoritative: true, answer: found.answer, additional: found.additional };
    case "cname":
      return { ...emptyReply(Rcodes.NOERROR, by), authoritative: true, answer: found.answer };
    case "nodata":
    case "nxdomain": {
      const { kind, answer, zone, reason } = found;
      const rcode = kind === "nodata" ? Rcodes.NOERROR : Rcodes.NXDOMAIN;
      const head = { ...emptyReply(rcode, by), authoritative: true, answer, authority: soaOf(zone) };
      return reason === "" ? head : { ...head, ede: { code: EdeCodes.OTHER, text: reason } };
    }
    case "delegation":
      // AA speaks of the first owner in the answer: ours, if a CNAME led here (RFC 1034 §6.2.6, RFC 2181 §10.1).
      return {
        ...emptyReply(Rcodes.NOERROR, by),
        authoritative: found.answer.length > 0,
        answer: found.answer,
        authority: [found.cut.ns],
        additional: found.cut.glue,
      };
    case "unknown":
      return { ...emptyReply(Rcodes.SERVFAIL, by), ede: { code: EdeCodes.NOT_READY, text: found.reason } };
    case "ask":
      return undefined;
    default:
      return found satisfies never;
  }
}

function soaOf(zone: Zone): readonly RecordSet[] {
  const soa = zone.soa();
  return soa === undefined ? NONE : [soa];
}
