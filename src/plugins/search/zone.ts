// Short names as a zone: `my-nginx.`, `my-nginx.default.`, `my-nginx.default.svc.` and `my-nginx.default.cluster.local.`
// are aliases of the name in the cluster's zone. A view of that zone: it keeps nothing, and it has no authority over
// what is no alias, so that everything else goes on down the chain.

import { labelsBelow, labelsOf, nameBelow, ROOT, type Name } from "../../dns/name.ts";
import { nameRdata } from "../../dns/rdata.ts";
import { RRTypes, type RRType } from "../../dns/records.ts";
import type { ClusterZone, NamesListener, Node, Zone } from "../../dns/zone.ts";

export interface SearchZoneOptions {
  /** Where bare names are looked for, in this order. */
  readonly namespaces: readonly string[];
  /** Whether `my-nginx.NS.` is answered for every namespace, or for the listed ones only. */
  readonly qualified: "all" | "listed";
  /** The zone that the names are short for; asked for when it is first needed. */
  readonly cluster: () => ClusterZone | undefined;
  /** The TTL of the CNAMEs, in seconds, is that of the target's records; this one where it has none. */
  readonly ttl: number;
}

export interface SearchZone extends Zone {
  /** The name is short for something in a listed namespace, whether or not it is there. */
  covers(name: Name): boolean;
  /** Its absence is ours to tell: it is covered, or its namespace is there, or a Service with its label is in another one. */
  claims(name: Name): boolean;
  /** What the name may be short for, there or not, in the order in which it is looked for. */
  fullNames(name: Name): readonly Name[];
}

/** One of the names that a short one may stand for. */
interface Candidate {
  readonly full: Name;
  readonly service: string;
  readonly namespace: string;
}

/** Names are below it, so it is there (RFC 8020); whether it is more than that, only the rest of the chain knows. */
const NON_TERMINAL: Node = { rrsets: [], partial: true, askChain: true, openBelow: true };
/** The types that a short name is asked for; all others are none of ours. */
export const TYPES: readonly RRType[] = [RRTypes.A, RRTypes.AAAA, RRTypes.CNAME, RRTypes.SRV, RRTypes.HTTPS];
/** Labels right below the cluster's zone that are no namespaces. */
export const RESERVED: ReadonlySet<string> = new Set(["svc", "pod", "dns"]);

export function searchZone({ namespaces, qualified, cluster, ttl }: SearchZoneOptions): SearchZone {
  const listed = new Set(namespaces);
  const zone: SearchZone = {
    apex: ROOT,
    complete: false,
    get ready() {
      return cluster()?.ready ?? false;
    },
    get notReadyReason() {
      return cluster()?.notReadyReason;
    },
    get staleness() {
      return cluster()?.staleness;
    },
    soa: () => undefined,
    node(name) {
      const target = cluster();
      const found = target && targetOf(target, name);
      if (target === undefined) return undefined;
      if (found === undefined) return isNonTerminal(target, name) ? NON_TERMINAL : undefined;
      const { name: full, askChain } = found;
      const cname = { owner: name, type: RRTypes.CNAME, ttl: found.ttl, rdata: [nameRdata(full)] };
      const alias = { zone: target, target: full, types: TYPES };
      return { rrsets: [cname], partial: true, alias, ...(askChain ? { askChain: true } : {}) };
    },
    *names() {
      const target = cluster();
      if (target === undefined) return;
      const told = new Set<Name>();
      for (const full of target.names()) {
        for (const name of aliasesOf(target, full)) {
          if (told.has(name) || zone.node(name) === undefined) continue;
          told.add(name); // a bare name stands for several full ones
          yield name;
        }
      }
    },
    subscribe(listener: NamesListener) {
      const target = cluster();
      if (target === undefined) return () => {};
      return target.subscribe((changed) => {
        const names = new Set<Name>();
        for (const full of changed) for (const name of aliasesOf(target, full)) names.add(name);
        listener(names); // none: what is said of the cluster's zone is said of this one
      });
    },
    fullNames: (name) => {
      const target = cluster();
      return target === undefined ? [] : candidates(target, name).map(({ full }) => full);
    },
    claims: (name) => {
      const target = cluster();
      if (target === undefined) return false;
      return candidates(target, name).some(
        ({ service, namespace }) => listed.has(namespace) || hasNamespace(target, namespace) || target.hasServiceNamed(service),
      );
    },
    covers: (name) => {
      const target = cluster();
      return target !== undefined && candidates(target, name).some(({ namespace }) => listed.has(namespace));
    },
  };
  return zone;

  // The full name that a name is short for: the first one that is there.
  function targetOf(target: Zone, name: Name): { readonly name: Name; readonly askChain: boolean; readonly ttl: number } | undefined {
    for (const { full } of candidates(target, name)) {
      const node = target.node(full);
      if (node === undefined || node.absent !== undefined) continue;
      const isPort = labelsOf(full)[0]?.startsWith("_") === true;
      if (isPort && node.rrsets.length === 0) continue;
      return { name: full, askChain: node.askChain === true, ttl: node.rrsets[0]?.ttl ?? ttl };
    }
    return undefined;
  }

  // Whether aliases are below a name: it is a namespace's, or a port's without the port.
  function isNonTerminal(target: Zone, name: Name): boolean {
    if (candidates(target, name).some(({ full }) => isThere(target, full))) return true;
    const inZone = labelsBelow(name, target.apex);
    const [first, second, ...more] = inZone ?? labelsOf(name);
    if (first === undefined || more.length > 0) return false;
    if (second === undefined && first === "svc") return inZone === undefined;
    const isForm = second === undefined || (second === "svc" && inZone === undefined);
    return isForm && isSearched(first) && hasNamespace(target, first);
  }

  function hasNamespace(target: Zone, namespace: string): boolean {
    const full = nameBelow(target.apex, namespace, "svc");
    return full !== undefined && isThere(target, full);
  }

  function candidates(target: Zone, name: Name): Candidate[] {
    const short = labelsBelow(name, target.apex) ?? labelsOf(name);
    const isInZone = short.length < labelsOf(name).length;
    const port = short.slice(0, countPortLabels(short));
    const [service, namespace, svc, ...more] = short.slice(port.length);
    if (service === undefined || more.length > 0) return [];
    if (svc !== undefined && (svc !== "svc" || isInZone)) return [];
    if (namespace === undefined && isInZone) return [];
    const searched = namespace === undefined ? namespaces : isSearched(namespace) ? [namespace] : [];
    return searched.flatMap((each) => {
      const full = nameBelow(target.apex, ...port, service, each, "svc");
      return full === undefined ? [] : [{ full, service, namespace: each }];
    });
  }

  function isSearched(namespace: string): boolean {
    return !RESERVED.has(namespace) && (qualified === "all" || listed.has(namespace));
  }

  // The short forms of a name in the cluster's zone; none for what is no namespace's, Service's or port's name.
  function* aliasesOf(target: Zone, full: Name): Generator<Name> {
    const labels = labelsBelow(full, target.apex) ?? [];
    const port = labels.slice(0, countPortLabels(labels));
    const [svc, namespace, service, ...more] = labels.slice(port.length).toReversed();
    if (svc !== "svc" || more.length > 0) return;
    const forms: (Name | undefined)[] = [];
    if (namespace === undefined) forms.push(nameBelow(ROOT, "svc"));
    else if (service !== undefined && listed.has(namespace)) forms.push(nameBelow(ROOT, ...port, service));
    if (namespace !== undefined && isSearched(namespace)) {
      const qualifiedLabels = [...port, ...(service === undefined ? [] : [service]), namespace];
      forms.push(
        nameBelow(ROOT, ...qualifiedLabels),
        nameBelow(ROOT, ...qualifiedLabels, "svc"),
        nameBelow(target.apex, ...qualifiedLabels),
      );
    }
    for (const name of forms) if (name !== undefined) yield name;
  }
}

// How many labels are a port's: `_http._tcp`, or `_tcp` alone.
function countPortLabels([first, second]: readonly string[]): number {
  if (first?.startsWith("_") !== true) return 0;
  return second?.startsWith("_") === true ? 2 : 1;
}

function isThere(target: Zone, full: Name): boolean {
  const node = target.node(full);
  return node !== undefined && node.absent === undefined;
}
