// The zones of `k8s_external`: views of the Services that can be reached from outside, which work out what stands at a name when it
// is asked. node() is the single source of truth for the answer table and the handler.
//
//   ZONE ─┬─ dns ── ns1 (A, AAAA)
//         └─ NAMESPACE ── SERVICE ─┬─ _PROTOCOL ── _PORT
//                                  └─ ENDPOINT                 REVERSE-ZONE ── … ── address (PTR)

import { isWithin, labelsBelow, nameBelow, type Name } from "../../dns/name.ts";
import { nameRdata, soaRdata } from "../../dns/rdata.ts";
import { RRTypes, type RecordSet } from "../../dns/records.ts";
import { addressOfReverseName, reverseName } from "../../dns/reverse.ts";
import { addressSets, srvSet } from "../../dns/rrsets.ts";
import type { NamesListener, Node, Zone } from "../../dns/zone.ts";
import type { ClusterView } from "../../registry/served-cluster.ts";
import { namesAbove, type ExternalService, type Externals, type TouchedExternals } from "./externals.ts";

export interface ExternalZoneOptions {
  readonly apex: Name;
  /** Undefined: no `kubernetes` is there, so there is nothing. */
  readonly cluster: () => ClusterView | undefined;
  readonly externals: () => Externals | undefined;
  /** The label below which the name server stands. */
  readonly apexLabel: string;
  /** Seconds, 0–3600. */
  readonly ttl: number;
  /** False where names that don't exist may go on down the chain. */
  readonly complete: boolean;
}

/** The parts in which the two kinds of zones differ. */
interface Content {
  /** What stands at a name, which is not the apex. */
  node(name: Name): Node | undefined;
  names(externals: Externals): Iterable<Name>;
  touched(touched: TouchedExternals): Iterable<Name>;
  /** The zone that the name server stands in. */
  readonly home: Name;
}

const NAME_SERVER = "ns1";
const HOSTMASTER = "hostmaster";

/** Services as SERVICE.NAMESPACE.ZONE. */
export function externalZone(options: ExternalZoneOptions): Zone {
  const { apex, apexLabel, ttl } = options;
  const nameServer = nameBelow(apex, NAME_SERVER, apexLabel) ?? apex;
  return zoneOf(options, {
    home: apex,
    node(name) {
      const [namespace, service, ...more] = (labelsBelow(name, apex) ?? []).toReversed();
      if (namespace === undefined) return undefined;
      if (namespace === apexLabel) return nameServerNode(name, service, more);
      if (service === undefined) return options.cluster()?.served.hasNamespace(namespace) === true ? { rrsets: [] } : undefined;
      const found = options.externals()?.service(namespace, service);
      return found && serviceNode(name, found, more);
    },
    *names(externals) {
      for (const label of [[apexLabel], [NAME_SERVER, apexLabel]]) yield* named(...label);
      for (const namespace of options.cluster()?.served.namespaces() ?? []) yield* named(namespace);
      for (const service of externals.services()) yield* namesOf(service);
    },
    *touched({ namespaces, services }) {
      yield* named(NAME_SERVER, apexLabel);
      for (const namespace of namespaces) yield* named(namespace);
      for (const service of services) yield* namesOf(service);
    },
  });

  // Whoever fronts the server may change without notice: only the chain answers.
  function nameServerNode(name: Name, label: string | undefined, more: readonly string[]): Node | undefined {
    if (label === undefined) return { rrsets: [] };
    if (name !== nameServer || more.length > 0) return undefined;
    const addresses = nameServerAddresses(options);
    return { rrsets: addressSets(name, ttl, addresses), askChain: true };
  }

  function serviceNode(name: Name, service: ExternalService, [first, second, ...more]: readonly string[]): Node | undefined {
    const base = nameBelow(apex, service.name, service.namespace);
    if (base === undefined || more.length > 0) return undefined;
    if (first === undefined) return atPorts(name, base, service, undefined);
    const protocol = withoutUnderscore(first);
    if (second !== undefined) {
      const port = withoutUnderscore(second);
      const node = atPorts(
        name,
        base,
        service,
        (each) => each.name !== "" && each.name.toLowerCase() === port && each.protocol.toLowerCase() === protocol,
      );
      return node.rrsets.length === 0 ? undefined : node;
    }
    const named = service.endpoints.filter(({ label }) => label === first);
    if (named.length > 0) return { rrsets: recordsOf(name, base, { ...service, endpoints: named }, undefined) };
    const ports = service.endpoints.length > 0 ? service.endpoints.flatMap((endpoint) => endpoint.ports) : service.ports;
    const isProtocol = ports.some((port) => port.name !== "" && port.protocol.toLowerCase() === protocol);
    // Without underscores names are rare, and not worth answers in the table.
    return isProtocol ? { rrsets: [], ...(first === protocol && { askChain: true, openBelow: true }) } : undefined;
  }

  function atPorts(name: Name, base: Name, service: ExternalService, isAsked: IsAsked | undefined): Node {
    const rrsets = recordsOf(name, base, service, isAsked);
    const leadsAway = rrsets.some(({ type }) => type === RRTypes.CNAME);
    const isWorthIt = name === base || labelsBelow(name, base)?.every((label) => label.startsWith("_")) === true;
    return { rrsets, ...((leadsAway || !isWorthIt) && { askChain: true }) };
  }

  function recordsOf(owner: Name, base: Name, service: ExternalService, isAsked: IsAsked | undefined): RecordSet[] {
    const { addresses, hostnames, ports, endpoints } = service;
    const wanted = <P extends PortLike>(all: readonly P[]): readonly P[] => (isAsked === undefined ? all : all.filter(isAsked));
    if (endpoints.length > 0) {
      const asked = endpoints.filter((endpoint) => isAsked === undefined || endpoint.ports.some(isAsked));
      const targets = asked.flatMap(({ label, ports: own }) => {
        const name = nameBelow(base, label);
        return name === undefined ? [] : wanted(own).flatMap(({ port }) => (port === undefined ? [] : [{ port, name }]));
      });
      return [
        ...addressSets(
          owner,
          ttl,
          asked.map(({ address }) => address),
        ),
        ...srvSet(owner, ttl, targets),
      ];
    }
    const asked = wanted(ports);
    if (isAsked !== undefined && asked.length === 0) return [];
    const names = [...(addresses.length > 0 ? [base] : []), ...hostnames];
    const srv = srvSet(
      owner,
      ttl,
      names.flatMap((name) => asked.map(({ port }) => ({ port, name }))),
    );
    const [hostname] = hostnames;
    if (addresses.length > 0 || hostname === undefined) return [...addressSets(owner, ttl, addresses), ...srv];
    return [{ owner, type: RRTypes.CNAME, ttl, rdata: [nameRdata(hostname)] }, ...srv];
  }

  function* namesOf({ namespace, name, ports, endpoints }: ExternalService): Generator<Name> {
    yield* named(name, namespace);
    const all = endpoints.length > 0 ? endpoints.flatMap((endpoint) => endpoint.ports) : ports;
    for (const { name: port, protocol } of all) {
      if (port === "") continue;
      const [bare, label] = [protocol.toLowerCase(), `_${protocol.toLowerCase()}`];
      yield* named(label, name, namespace);
      yield* named(`_${port.toLowerCase()}`, label, name, namespace);
      // Only the chain answers these: they are listed so that they are not denied.
      yield* named(bare, name, namespace);
      yield* named(port.toLowerCase(), label, name, namespace);
    }
    for (const { label } of endpoints) yield* named(label, name, namespace);
  }

  function* named(...labels: readonly string[]): Generator<Name> {
    const name = nameBelow(apex, ...labels);
    if (name !== undefined) yield name;
  }
}

interface PortLike {
  readonly name: string;
  readonly protocol: string;
}

/** Of a `_port._protocol` name; undefined is all of them, and who has none too. */
type IsAsked = (port: PortLike) => boolean;

/** PTR records of external addresses, which name Services in `forward`. */
export function externalReverseZone(options: ExternalZoneOptions & { readonly forward: Name }): Zone {
  const { apex, ttl, forward, externals } = options;
  return zoneOf(options, {
    home: forward,
    node(name) {
      const address = addressOfReverseName(name);
      if (address === undefined) return externals()?.isAbove(name) === true ? { rrsets: [] } : undefined;
      const names = (externals()?.usersOf(address) ?? []).flatMap((service) => nameBelow(forward, service.name, service.namespace) ?? []);
      return names.length === 0 ? undefined : { rrsets: [{ owner: name, type: RRTypes.PTR, ttl, rdata: names.map(nameRdata) }] };
    },
    names: (known) => reverseNames(known.addresses()),
    touched: ({ addresses }) => reverseNames(addresses),
  });

  function* reverseNames(addresses: Iterable<string>): Generator<Name> {
    for (const address of addresses) {
      const name = reverseName(address);
      if (name === undefined || !isWithin(name, apex)) continue;
      yield name;
      for (const above of namesAbove(address)) if (above !== apex && isWithin(above, apex)) yield above;
    }
  }
}

function zoneOf(options: ExternalZoneOptions, content: Content): Zone {
  const { apex, complete, ttl, apexLabel, cluster, externals } = options;
  const served = (): ClusterView["served"] | undefined => cluster()?.served;
  const below = (label: string): Name => nameBelow(content.home, label, apexLabel) ?? content.home;
  return {
    apex,
    complete,
    get ready() {
      return served()?.known === "all";
    },
    get notReadyReason() {
      return served()?.unknownReason;
    },
    get staleness() {
      return served()?.staleness;
    },
    soa,
    node(name) {
      const node = name === apex ? apexNode() : content.node(name);
      const known = served()?.known;
      if (known === undefined || known === "all" || (known === "services" && node !== undefined && node.rrsets.length > 0)) return node;
      return { rrsets: [], askChain: true, unknown: served()?.unknownReason ?? "" };
    },
    *names() {
      yield apex;
      const known = externals();
      if (known !== undefined) yield* new Set(content.names(known));
    },
    subscribe(listener: NamesListener) {
      const stops = [
        externals()?.subscribe((touched) => listener(new Set([apex, ...content.touched(touched)]))), // the apex: its SOA has a new serial
        served()?.onState(() => listener([])),
      ];
      return () => stops.forEach((stop) => stop?.());
    },
  };

  function soa(): RecordSet {
    const [mname, rname] = [below(NAME_SERVER), below(HOSTMASTER)];
    const serial = Math.floor((served()?.changedAtMs ?? 0) / 1000);
    return {
      owner: apex,
      type: RRTypes.SOA,
      ttl,
      rdata: [soaRdata({ mname, rname, serial, refresh: 7200, retry: 1800, expire: 86_400, minimum: ttl })],
    };
  }

  function apexNode(): Node {
    // With the addresses of the name server, that is; as those, only the chain knows them.
    return { rrsets: [soa(), { owner: apex, type: RRTypes.NS, ttl, rdata: [nameRdata(below(NAME_SERVER))] }], askChain: true };
  }
}

// The external addresses of the Services that front this server; its own ones if none does.
function nameServerAddresses({ cluster, externals }: ExternalZoneOptions): readonly string[] {
  const front = cluster()?.front();
  if (front === undefined || front.services.length === 0) return front?.addresses ?? [];
  return front.services.flatMap(({ namespace, name }) => {
    const found = externals()?.service(namespace, name);
    return found === undefined ? [] : [...found.addresses, ...found.endpoints.map(({ address }) => address)];
  });
}

function withoutUnderscore(label: string): string {
  return label.startsWith("_") ? label.slice(1) : label;
}
