// A zone that stores its records: for zone files and hosts. The name tree is worked out once, when it is made, so
// that node() is one look-up for a name that exists and a walk up to the closest encloser for one that does not.
// It never changes: who reads a file again makes a new one.

import { NdotsError } from "../errors.ts";
import { formatName, isWithin, MAX_NAME_BYTES, nameToWire, parentOf, ROOT, type Name } from "./name.ts";
import { RRTypes, type Rdata, type RecordSet, type RRType } from "./records.ts";
import { typeName } from "./text.ts";
import type { Node, Zone, ZoneCut } from "./zone.ts";

export interface ZoneOptions {
  readonly apex: Name;
  /** At most one rrset of an owner and type; the SOA at the apex, if any. Glue is recognised by where it stands. */
  readonly records: readonly RecordSet[];
}

/** Makes a zone of its records; throws NDOTS_ERR_RDATA where they can't stand in one zone. */
export function createZone(options: ZoneOptions): Zone {
  const steps = zoneSteps(options);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Names between two steps: about a millisecond. */
const NAMES_A_STEP = 200;

/** The same for large zones: yields now and then, and returns the zone. */
export function* zoneSteps({ apex, records }: ZoneOptions): Generator<undefined, Zone> {
  const stored = yield* groupByOwner(apex, records);
  const negative = negativeSoa(stored.get(apex));
  const cuts = cutsOf(apex, stored);
  const nodes = yield* treeOf(apex, stored, new Set([...cuts.keys(), ...[...stored].filter(hasDname).map(([owner]) => owner)]), cuts);
  return {
    apex,
    complete: true,
    ready: true,
    soa: () => negative,
    node: (name) => nodes.get(name) ?? nodeOfEncloser(nodes, name),
    records: () => records,
    names: () => nodes.keys(),
    subscribe: () => () => {},
  };
}

/** What signed zones have at every name (RFC 4035 §2.5). */
const BESIDE_CNAME: ReadonlySet<RRType> = new Set([RRTypes.RRSIG, RRTypes.NSEC]);

function* groupByOwner(apex: Name, records: readonly RecordSet[]): Generator<undefined, Map<Name, RecordSet[]>> {
  const stored = new Map<Name, RecordSet[]>();
  for (const [index, rrset] of records.entries()) {
    if (index % NAMES_A_STEP === 0) yield;
    const { owner, type } = rrset;
    const complain = (what: string): NdotsError => new NdotsError("NDOTS_ERR_RDATA", `${formatName(owner)} ${typeName(type)}: ${what}`);
    if (!isWithin(owner, apex)) throw complain(`is not in the zone ${formatName(apex)}`);
    if (type === RRTypes.SOA && owner !== apex) throw complain(`belongs to the apex, ${formatName(apex)}`);
    const others = stored.get(owner) ?? [];
    if (others.some((other) => other.type === type)) throw complain("is given twice");
    const withCname = others.length === 0 ? [] : [...others, rrset].filter((each) => !BESIDE_CNAME.has(each.type));
    if (withCname.length > 1 && withCname.some((each) => each.type === RRTypes.CNAME)) {
      throw complain("an owner of a CNAME has no other records (RFC 2181 §10.1)");
    }
    if ((type === RRTypes.CNAME || type === RRTypes.SOA) && rrset.rdata.length > 1) throw complain("is a single record");
    stored.set(owner, [...others, rrset]);
  }
  return stored;
}

// The SOA as negative answers carry it: how long they hold is the lesser of its TTL and its last field (RFC 2308 §3, §5).
function negativeSoa(atApex: readonly RecordSet[] | undefined): RecordSet | undefined {
  const soa = atApex?.find(({ type }) => type === RRTypes.SOA);
  const [rdata] = soa?.rdata ?? [];
  if (soa === undefined || rdata === undefined) return undefined;
  const minimum = new DataView(rdata.buffer, rdata.byteOffset, rdata.length).getUint32(rdata.length - 4);
  return { ...soa, ttl: Math.min(soa.ttl, minimum) };
}

// NS records below the apex give their name, and all below it, to another zone (RFC 1034 §4.2.1).
function cutsOf(apex: Name, stored: ReadonlyMap<Name, readonly RecordSet[]>): Map<Name, ZoneCut> {
  const cuts = new Map<Name, ZoneCut>();
  for (const [owner, rrsets] of stored) {
    const ns = rrsets.find(({ type }) => type === RRTypes.NS);
    if (ns === undefined || owner === apex) continue;
    const servers = ns.rdata.map((rdata) => Buffer.from(rdata).toString("latin1") as Name);
    const glue = servers.flatMap((server) => stored.get(server) ?? []).filter(({ type }) => type === RRTypes.A || type === RRTypes.AAAA);
    cuts.set(owner, { ns, glue });
  }
  return cuts;
}

// A DNAME gives all names below it, but not its own, to another name (RFC 6672 §2.3).
function hasDname([, rrsets]: readonly [Name, readonly RecordSet[]]): boolean {
  return rrsets.some(({ type }) => type === RRTypes.DNAME);
}

/** @param ends below these names nothing of the zone stands, whatever is written. */
function* treeOf(
  apex: Name,
  stored: ReadonlyMap<Name, readonly RecordSet[]>,
  ends: ReadonlySet<Name>,
  cuts: ReadonlyMap<Name, ZoneCut>,
): Generator<undefined, Map<Name, Node>> {
  const nodes = new Map<Name, Node>([[apex, { rrsets: stored.get(apex) ?? [], ...(ends.has(apex) && { openBelow: true }) }]]);
  let count = 0;
  for (const [owner, rrsets] of stored) {
    if (++count % NAMES_A_STEP === 0) yield;
    if (owner === apex || isBelow(owner, apex, ends)) continue;
    const cut = cuts.get(owner);
    if (cut !== undefined) nodes.set(owner, { rrsets, cut, askChain: true, openBelow: true });
    else nodes.set(owner, ends.has(owner) ? { rrsets, openBelow: true } : { rrsets });
    for (let name = parentOf(owner); !nodes.has(name); name = parentOf(name)) nodes.set(name, { rrsets: stored.get(name) ?? [] });
  }
  for (const name of nodes.keys()) {
    const parent = nodes.get(parentOf(name));
    if (isWildcard(name) && name !== apex && parent !== undefined) nodes.set(parentOf(name), { ...parent, openBelow: true });
  }
  return nodes;
}

function isBelow(name: Name, apex: Name, ends: ReadonlySet<Name>): boolean {
  for (let above = name; above !== apex;) {
    above = parentOf(above);
    if (ends.has(above)) return true;
  }
  return false;
}

const WILDCARD_LABEL = "\x01*";

function isWildcard(name: Name): boolean {
  return name.startsWith(WILDCARD_LABEL);
}

// A name that is not stored: below a cut it is another zone's, and below a DNAME another name; else the wildcard of its closest encloser, and of no
// name further up, stands for it (RFC 4592 §3.3.1, §4.2).
function nodeOfEncloser(nodes: ReadonlyMap<Name, Node>, name: Name): Node | undefined {
  let encloserName = parentOf(name);
  while (!nodes.has(encloserName) && encloserName !== ROOT) encloserName = parentOf(encloserName);
  const encloser = nodes.get(encloserName);
  if (encloser?.cut !== undefined) return { rrsets: [], cut: encloser.cut, askChain: true, openBelow: true };
  const dname = encloser?.rrsets.find(({ type }) => type === RRTypes.DNAME);
  if (dname !== undefined) return redirected(name, dname);
  const wildcard = nodes.get((WILDCARD_LABEL + encloserName) as Name);
  if (wildcard === undefined) return undefined;
  // A name that is not listed: who follows the zone is told of the wildcard's changes, not of its. Names below it are the wildcard's, too.
  return { rrsets: wildcard.rrsets.map((rrset) => ({ ...rrset, owner: name })), askChain: true, openBelow: true };
}

// RFC 6672 §2.2: the labels below the DNAME's owner, in front of its target.
function redirected(owner: Name, dname: RecordSet): Node {
  const target = Buffer.from(dname.rdata[0] as Rdata).toString("latin1");
  const name = owner.slice(0, -dname.owner.length) + target;
  if (name.length > MAX_NAME_BYTES)
    return { rrsets: [], askChain: true, openBelow: true, unknown: "a DNAME makes a name that is too long" };
  const cname = { owner, type: RRTypes.CNAME, ttl: dname.ttl, rdata: [nameToWire(name as Name)] };
  return { rrsets: [cname], dname, askChain: true, openBelow: true };
}
