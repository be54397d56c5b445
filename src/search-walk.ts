// What a client does with its search list, done by the server. A name that the client has made longer by the first domain of the
// list is looked for where the client would look next, and what is found is told at once, behind a CNAME. Shared by plugins
// `autopath` and `search`. Pure but for the functions that it is given.

import { randomBytes } from "node:crypto";
import { andThen } from "./chain.ts";
import type { Clock } from "./clock.ts";
import { lookup, zoneOf } from "./dns/lookup.ts";
import { DROP, emptyReply, Rcodes, type Query, type Records, type Reply } from "./dns/message.ts";
import { isWithin, labelsBelow, nameBelow, ROOT, type Name } from "./dns/name.ts";
import { nameRdata } from "./dns/rdata.ts";
import { RRTypes, type RRType } from "./dns/records.ts";
import { recordsOf } from "./dns/wire.ts";
import type { Zone } from "./dns/zone.ts";
import type { Answer, MaybePromise, Next } from "./plugin.ts";

/** A name that a client's search list has made longer. */
export interface Lengthened {
  /** What the client's program has asked for, as labels; never none. */
  readonly base: readonly string[];
  /** The domains of the list behind the first, in its order. */
  readonly domains: readonly Name[];
}

/** … which is a Pod's in this namespace. */
export interface LengthenedByPod extends Lengthened {
  readonly namespace: string;
}

/** A name that is looked for in the place of the one asked for. */
export interface Candidate {
  readonly name: Name;
  /** What it ends in: if every name below that exists, this one proves nothing. */
  readonly suffix: Name;
}

/** What was found, and under which name. */
export interface Found {
  readonly name: Name;
  readonly reply: Reply;
}

export interface Walk {
  /** Of the block's plugins: what is not there is known without asking. */
  readonly zones: readonly Zone[];
  readonly wildcards: Wildcards;
  readonly ask: Next;
}

/** Labels right below a cluster's zone: names that end in them are the cluster's. */
const CLUSTER_LABELS: ReadonlySet<string> = new Set(["svc", "pod"]);

/**
 * What a name in a cluster's zone is short for, if a Pod's search list has made it longer: `google.com.default.svc.cluster.local`. The
 * namespace is in the name: who asks does not matter. None for what may be a name of the cluster itself, so that a Pod or a
 * Service that is missing never becomes somebody else's: that is a base of one label, one that ends in a namespace's name, or one that
 * ends in a Service's, for then it is an endpoint.
 */
export function lengthenedByPod(cluster: Zone, qname: Name): LengthenedByPod | undefined {
  const labels = labelsBelow(qname, cluster.apex);
  const [last, namespace, svc] = labels?.slice(-3) ?? [];
  if (labels === undefined || last === undefined || namespace === undefined || svc !== "svc") return undefined;
  const base = labels.slice(0, -2);
  if (base.length - countPortLabels(base) < 2 || CLUSTER_LABELS.has(last)) return undefined;
  const isThere = (...path: readonly string[]): boolean => {
    const name = nameBelow(cluster.apex, ...path, "svc");
    return name !== undefined && cluster.node(name) !== undefined;
  };
  if (isThere(last) || !isThere(namespace) || isThere(last, namespace)) return undefined;
  const services = nameBelow(cluster.apex, "svc");
  return { base, namespace, domains: services === undefined ? [] : [services, cluster.apex] };
}

/** The namespace whose domain a name is, `default.svc.cluster.local`: right below it are the names that lengthenedByPod() looks at. */
export function namespaceAt(cluster: Zone, name: Name): string | undefined {
  const [namespace, svc, ...more] = labelsBelow(name, cluster.apex) ?? [];
  return svc === "svc" && more.length === 0 ? namespace : undefined;
}

/** The names that a client asks for next, in its order: the base in each domain, and then as it stands. */
export function candidatesOf({ base, domains }: Lengthened): Candidate[] {
  const ending = base.length === 1 ? [] : base.slice(-1);
  return [...domains, ROOT].flatMap((domain) => {
    const name = nameBelow(domain, ...base);
    const suffix = nameBelow(domain, ...ending);
    return name === undefined || suffix === undefined ? [] : [{ name, suffix }];
  });
}

/**
 * The first candidate that exists; undefined if none does, or if that can't be said. In our own zones one counts only if it has
 * records of the type. Elsewhere NODATA counts too: the client would stop there with the other address family.
 */
export function walk(query: Query, candidates: readonly Candidate[], { zones, wildcards, ask }: Walk): MaybePromise<Found | undefined> {
  return from(0);

  function from(index: number): MaybePromise<Found | undefined> {
    const candidate = candidates[index];
    if (candidate === undefined) return undefined;
    const { name, suffix } = candidate;
    if (isKnownAbsent(zones, name, query.qtype)) return from(index + 1);
    const isOwn = zones.some((zone) => zone.apex !== ROOT && isWithin(name, zone.apex));
    return andThen(ask({ ...query, qname: name }), (answer) => {
      if (answer === DROP || answer.unhandled === true) return undefined;
      if (answer.rcode === Rcodes.NXDOMAIN || (isOwn && answer.rcode === Rcodes.NOERROR && !holds(answer, query.qtype)))
        return from(index + 1);
      if (answer.rcode !== Rcodes.NOERROR) return undefined;
      const found = { name, reply: answer };
      return isOwn ? found : andThen(wildcards.isAt(suffix, query, ask), (isAt) => (isAt ? undefined : found));
    });
  }
}

// Known from the zones alone, which nobody need be asked about.
function isKnownAbsent(zones: readonly Zone[], name: Name, qtype: RRType): boolean {
  const zone = zoneOf(zones, name);
  if (zone === undefined || !zone.complete || !zone.ready) return false;
  const { kind } = lookup(zone, name, qtype);
  if (kind !== "nxdomain" && kind !== "nodata") return false;
  return !zones.some((other) => other !== zone && isWithin(name, other.apex) && other.node(name) !== undefined);
}

function holds(answer: Reply, qtype: RRType): boolean {
  return recordsOf(answer).answer.some(({ type }) => type === qtype);
}

/** The answer to the name asked for: a CNAME to the one found, and what stands there. */
export function replyFound({ qname, qtype }: Query, { name, reply }: Found, by: string): Records {
  const { answer, authority, additional, recursionAvailable, perClient, ede } = recordsOf(reply);
  const ttl = [...answer, ...authority].reduce(
    (least, rrset) => Math.min(least, rrset.ttl),
    answer.length + authority.length > 0 ? Infinity : 0,
  );
  const cname = { owner: qname, type: RRTypes.CNAME, ttl, rdata: [nameRdata(name)] };
  const isForeign = recursionAvailable === true;
  const head = {
    ...emptyReply(Rcodes.NOERROR, by),
    authoritative: !isForeign,
    ...(isForeign && { recursionAvailable }),
    ...(perClient && { perClient }),
  };
  if (qtype === RRTypes.CNAME) return { ...head, answer: [cname] };
  return { ...head, answer: [cname, ...answer], authority, additional, ...(ede !== undefined && { ede }) };
}

/** How many labels in front are a port's: `_http._tcp`, or `_tcp` alone. */
export function countPortLabels([first, second]: readonly string[]): number {
  if (first?.startsWith("_") !== true) return 0;
  return second?.startsWith("_") === true ? 2 : 1;
}

/**
 * Where every name exists, an upstream's answer proves nothing: a Pod that is missing would get an address. Found out by a name that
 * nobody has, once for what candidates end in, and only behind an answer that is to be believed.
 */
export interface Wildcards {
  /** Whether every name below `suffix` exists, or that can't be said. */
  isAt(suffix: Name, query: Query, ask: Next): MaybePromise<boolean>;
}

/** How long is known what was found out. */
const WILDCARD_MS = 600_000;
/** Names end in few top-level domains. */
const MAX_SUFFIXES = 1000;
/** As unlikely to exist as a label of 24 characters can be. */
const RANDOM_BYTES = 12;

export function createWildcards(clock: Clock, randomLabel: () => string = () => randomBytes(RANDOM_BYTES).toString("hex")): Wildcards {
  const known = new Map<Name, { readonly isAt: boolean; readonly untilMs: number }>();
  const asking = new Map<Name, Promise<boolean>>();
  return {
    isAt(suffix, query, ask) {
      const found = known.get(suffix);
      if (found !== undefined && clock.monotonic() < found.untilMs) return found.isAt;
      const underWay = asking.get(suffix);
      if (underWay !== undefined) return underWay;
      const name = nameBelow(suffix, randomLabel());
      if (name === undefined) return true;
      const given = ask({ ...query, qname: name });
      if (!(given instanceof Promise)) return keep(suffix, given);
      const result = given.then((answer) => keep(suffix, answer)).finally(() => asking.delete(suffix));
      asking.set(suffix, result);
      return result;
    },
  };

  function keep(suffix: Name, answer: Answer): boolean {
    if (answer === DROP) return true;
    if (answer.unhandled === true) return false; // no plugin takes it
    if (answer.rcode !== Rcodes.NOERROR && answer.rcode !== Rcodes.NXDOMAIN) return true;
    const isAt = answer.rcode === Rcodes.NOERROR;
    known.delete(suffix);
    known.set(suffix, { isAt, untilMs: clock.monotonic() + WILDCARD_MS });
    for (const oldest of known.keys()) {
      if (known.size <= MAX_SUFFIXES) break;
      known.delete(oldest);
    }
    return isAt;
  }
}
