// A zone: what it answers, which names it has, and when they change. An interface first: for the cluster it is a
// view that computes rrsets from the registry on demand and stores none; MapZone is the one that stores them.

import type { Name } from "./name.ts";
import type { RecordSet, RRType } from "./records.ts";

/** What a zone holds at one name. */
export interface Node {
  /** The rrsets at the name, at most one of a type; empty for an empty non-terminal. */
  readonly rrsets: readonly RecordSet[];
  /** Only the chain can answer: the reply depends on more than this zone (an alias that leaves it). */
  readonly askChain?: true;
  /** Set with `askChain` and without rrsets: what stands here is not known, for this reason (EDE text, at most 64 bytes): SERVFAIL. */
  readonly unknown?: string;
  /**
   * Names below this one exist without end or outside this zone's knowledge: absence proves nothing. "addresses": those
   * only whose label right below it looks like an address (dns/address-label.ts); they are not listed.
   */
  readonly openBelow?: true | "addresses";
  /** Types that are not listed are not this zone's business: they go on down the chain (search aliases). */
  readonly partial?: true;
  /** The name is not this zone's but another's: a referral answers all but DS at the cut itself. Comes with `askChain`. */
  readonly cut?: ZoneCut;
  /** The DNAME above this name, of which the CNAME here is made; goes in front of it (RFC 6672 §3.1). Comes with `askChain`. */
  readonly dname?: RecordSet;
  /** Why a name right below this one does not exist (EDE text, at most 64 bytes). */
  readonly reasonBelow?: string;
  /** Why there are no records of a type that is not listed (EDE text, at most 64 bytes). */
  readonly reason?: string;
  /** Set with `askChain` and without rrsets: the name does not exist (NXDOMAIN), for this reason and not its parent's. */
  readonly absent?: string;
  /** A and AAAA of the rrsets' targets, in their order, where the zone finds them all in one walk: the same as their nodes have. */
  readonly addressesOf?: (targets: Iterable<Name>) => readonly RecordSet[];
  /** Set with `partial`; the rrsets are the alias' CNAME. lookup() follows it. */
  readonly alias?: Alias;
}

/** Another name for a name in `zone`: questions of `types` are answered with the CNAME and what stands at the target. */
export interface Alias {
  readonly zone: Zone;
  readonly target: Name;
  /** CNAME, and every type whose absence at the target is an answer too; other types go on down the chain. */
  readonly types: readonly RRType[];
}

/** Where authority passes to another zone (RFC 1034 §4.2.1). */
export interface ZoneCut {
  /** The owner is the cut. */
  readonly ns: RecordSet;
  /** A and AAAA of those servers whose names are in this zone's data. */
  readonly glue: readonly RecordSet[];
}

/** Which names changed. */
export type NamesListener = (names: Iterable<Name>) => void;

/** Authoritative data below an apex. The same zone serves the table, the chain and transfers. */
export interface Zone {
  readonly apex: Name;
  /** Absence of a name is an answer (NXDOMAIN). False where such names go on down the chain. */
  readonly complete: boolean;
  /** All is known. Until then only the chain is asked, which answers what node() knows, and denies nothing. */
  readonly ready: boolean;
  /** Why `ready` is false (EDE text, at most 64 bytes). */
  readonly notReadyReason?: string | undefined;
  /** Why all that is here may be old (EDE text, at most 64 bytes): every answer says so. */
  readonly staleness?: string | undefined;
  /** The SOA rrset with its TTL already the negative TTL (RFC 2308 §3); undefined for a zone without authority (search). */
  soa(): RecordSet | undefined;
  /** What stands at the name; undefined: the name does not exist. `name` is within the apex. */
  node(name: Name): Node | undefined;
  /** All records, glue and what stands below a cut included: what a transfer hands out. Undefined: there are none yet, or the zone stores none. */
  records?(): readonly RecordSet[] | undefined;
  /** Every name that node() knows, empty non-terminals included, names without end not, nor those that are "addresses" below another. */
  names(): Iterable<Name>;
  /**
   * Tells the names whose node may have changed; none where it is the zone that has: it is `ready` now, or says something
   * else of `staleness` or `namesNearest`. Returns the way to stop.
   */
  subscribe(listener: NamesListener): () => void;
  /** NXDOMAIN with OPT asks the chain, for it knows a nearer reason. */
  readonly namesNearest?: boolean;
}

/** The zone of a cluster, as short names are looked for in it. */
export interface ClusterZone extends Zone {
  /** Whether any namespace that is served has a Service with this label. */
  hasServiceNamed(label: string): boolean;
  /** Of a cluster set (KEP-1645): in no Pod's search list. */
  readonly isClusterSet: boolean;
}

export function isClusterZone(zone: Zone): zone is ClusterZone {
  return "hasServiceNamed" in zone;
}
