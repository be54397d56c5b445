// The forward zone of a cluster: a view that works out what stands at a name when it is asked, and keeps nothing but
// its subscribers. node() is the single source of truth: the answer table and the handler both derive from it.
//
//   ZONE ─┬─ dns-version (TXT)      dns ── ns (A, AAAA)
//         ├─ svc ── NAMESPACE ── SERVICE ─┬─ ENDPOINT
//         │                               └─ _PROTOCOL ── _PORT
//         └─ pod ── NAMESPACE ── 10-244-0-9 (computed: never listed)

import { isAddressLabel } from "../../dns/address-label.ts";
import { labelsBelow, nameBelow, type Name } from "../../dns/name.ts";
import { addressToBytes, nameRdata, soaRdata, txtRdata } from "../../dns/rdata.ts";
import { RRTypes, type RecordSet } from "../../dns/records.ts";
import { addressSets } from "../../dns/rrsets.ts";
import { addressText } from "../../dns/reverse.ts";
import type { ClusterZone, NamesListener, Node } from "../../dns/zone.ts";
import type { Service } from "../../registry/objects.ts";
import type { Front, Touched } from "../../registry/served-cluster.ts";
import type { Cluster } from "./cluster.ts";
import { frontOf } from "./front.ts";
import { createServiceRecords } from "./service-records.ts";

export type PodsMode = "disabled" | "insecure" | "verified";
export type ReasonsMode = "off" | "fixed" | "nearest";

export interface KubernetesZoneOptions {
  readonly cluster: Cluster;
  readonly apex: Name;
  /** Seconds, 0–3600. */
  readonly ttl: number;
  readonly pods: PodsMode;
  readonly reasons: ReasonsMode;
  /** False where names that don't exist may go on down the chain. */
  readonly complete: boolean;
  /** NXDOMAIN may get a nearer reason now (`reasons nearest`). */
  readonly namesNearest: () => boolean;
  /** The server's own addresses, for NS and ns.dns; no wildcards, no loopback. */
  readonly ownAddresses: () => readonly string[];
  /** Headless Services have names for each topology zone. */
  readonly zonal?: boolean;
}

/** The forward zone, with what others in its server block ask of it. */
export interface KubernetesZone extends ClusterZone {
  /** The server's own addresses may have changed: looks again which Services front this server, and tells the names that follow from it. */
  refreshFront(): void;
  /** What namesNearest() says has changed. */
  refreshReasons(): void;
}

/** The version of the DNS specification that the records follow; its TTL is CoreDNS's. */
const SPEC_VERSION = "1.1.0";
const SPEC_VERSION_TTL_SECONDS = 28_800;
/** `_port._proto.service.namespace.svc` */
const MAX_LABELS = 5;
/** What is below a Service's name where topology zones are named. */
const ZONAL_LABEL = "_zone";

/** EDE text for the types that a name lacks. */
export const NO_SUCH_TYPE = "no records of this type";

/** EDE texts for what is missing right below a name; at most 64 bytes each. */
const Reasons = {
  zone: "no such name in the cluster's zone",
  namespace: "no such namespace",
  service: "no such Service",
  endpoint: "no such endpoint or port",
  port: "no such port",
  leaf: "no names below this one",
  directive: "neither pin nor prefer",
  podsDisabled: "Pod names are disabled (pods disabled)",
  podInsecure: "not the name of an address",
  podVerified: "no such Pod",
} as const;

export function kubernetesZone(options: KubernetesZoneOptions): KubernetesZone {
  const { cluster, apex, ttl, pods, reasons, complete, ownAddresses, zonal = false } = options;
  const { registry } = cluster;
  const records = createServiceRecords(cluster, ttl);
  const listeners = new Set<NamesListener>();
  const svc = below("svc");
  const pod = below("pod");
  const nsDns = below("ns", "dns");
  let front = frontOf(cluster, ownAddresses());
  let stop: (() => void) | undefined;

  const zone: KubernetesZone = {
    apex,
    complete,
    get ready() {
      return cluster.known === "all";
    },
    get notReadyReason() {
      return cluster.unknownReason;
    },
    get staleness() {
      return cluster.staleness;
    },
    get namesNearest() {
      return cluster.staleness === undefined && options.namesNearest();
    },
    soa,
    node: (name) => asFarAsKnown(cluster, node(name)),
    names,
    subscribe(listener) {
      listeners.add(listener);
      stop ??= follow();
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        stop?.();
        stop = undefined;
      };
    },
    refreshFront() {
      const changed = frontChange();
      if (changed.length > 0) tell(changed);
    },
    refreshReasons: () => tell([]),
    isClusterSet: cluster.isClusterSet,
    hasServiceNamed(label) {
      for (const namespace of cluster.namespaces()) if (cluster.service(namespace, label) !== undefined) return true;
      return false;
    },
  };
  return zone;

  function follow(): () => void {
    const stops = [cluster.subscribe((touched) => (zone.ready ? tell(namesOf(touched)) : undefined)), cluster.onState(() => tell([]))];
    return () => stops.forEach((each) => each());
  }

  function soa(): RecordSet {
    return zoneSoa(apex, ttl, registry.changedAtMs);
  }

  function node(name: Name): Node | undefined {
    const labels = labelsBelow(name, apex)?.toReversed();
    if (labels === undefined || (labels.length > MAX_LABELS && !zonal)) return undefined;
    const [top, ...rest] = labels;
    switch (top) {
      case undefined:
        return leaf([soa(), nameServers()], Reasons.zone);
      case "dns-version":
        if (rest.length > 0) return undefined;
        return leaf([{ owner: name, type: RRTypes.TXT, ttl: SPEC_VERSION_TTL_SECONDS, rdata: [txtRdata(SPEC_VERSION)] }], Reasons.leaf);
      case "dns":
        if (rest.length === 0) return leaf([], Reasons.zone);
        return rest.length === 1 && rest[0] === "ns" ? leaf(addressSets(name, ttl, currentFront().addresses), Reasons.leaf) : undefined;
      case "svc":
        return serviceNode(name, rest);
      case "pod":
        return podNode(name, rest);
      default:
        return undefined;
    }
  }

  function serviceNode(name: Name, [namespace, serviceName, first, second, ...more]: readonly string[]): Node | undefined {
    if (namespace === undefined) return leaf([], Reasons.namespace);
    if (serviceName === undefined) return cluster.hasNamespace(namespace) ? leaf([], Reasons.service) : undefined;
    const service = cluster.service(namespace, serviceName);
    if (service === undefined) return undefined;
    const isOfCluster = cluster.isClusterSet && second !== undefined && first?.startsWith("_") === false && !second.startsWith("_");
    if (cluster.lacksEndpoints(service, second === undefined || isOfCluster ? first : undefined)) return unknown(cluster);
    if (zonal && service.headless && first === ZONAL_LABEL) return zonalNode(name, service, second, more);
    if (more.length > 0) return undefined;
    const absent = cluster.absence(service);
    if (absent !== undefined) return first === undefined ? missing(absent) : undefined;
    if (first === undefined) {
      const rrsets = records.atService(name, service);
      if (service.headless) return { ...leaf(rrsets, Reasons.endpoint), ...targetsOf(name, service) };
      // Nobody is sent to its endpoints by name: of 10,000 Services with ten each, listing them took 20 MiB of the table.
      if (service.type !== "ExternalName") return { ...leaf(rrsets, Reasons.endpoint), openBelow: "addresses" };
      if (rrsets.length === 0) return missing("ExternalName is not a domain name");
      return { ...leaf(rrsets, Reasons.leaf), askChain: true };
    }
    if (isOfCluster) {
      const ofEndpoint = records.atEndpoint(name, service, `${second}.${first}`);
      return ofEndpoint.length === 0 ? undefined : leaf(ofEndpoint, Reasons.leaf);
    }
    if (second !== undefined) {
      const base = nameBelow(svc, serviceName, namespace);
      const [port, protocol] = [withoutUnderscore(second), withoutUnderscore(first)];
      if (base === undefined || port === "" || protocol === "") return undefined;
      const rrsets = records.atPort(name, base, service, port, protocol);
      if (rrsets.length === 0) return undefined;
      return { ...leaf(rrsets, Reasons.leaf), ...targetsOf(base, service), ...(port === second && { askChain: true }) };
    }
    // One label may be an endpoint's and an empty non-terminal above ports at once.
    const rrsets = records.atEndpoint(name, service, first);
    const protocol = withoutUnderscore(first);
    if (cluster.hasProtocol(service, `_${protocol}`)) {
      const here: Node = leaf(rrsets, Reasons.port);
      // Without underscores names are rare: they are not worth answers in the table, and those below are not listed.
      return first === protocol ? { ...here, askChain: true, openBelow: true } : here;
    }
    if (rrsets.length === 0) return cluster.hasCluster(service, first) ? leaf([], Reasons.endpoint) : undefined;
    const here: Node = leaf(rrsets, Reasons.leaf);
    return service.headless || !isAddressLabel(first) ? here : { ...here, askChain: true, openBelow: true };
  }

  // CoreDNS's `ZONE.pin._zone.SERVICE` and `ZONE.prefer._zone.SERVICE`. Any zone may be asked for, with dots in it too: names
  // without end, which only the chain answers.
  function zonalNode(name: Name, service: Service, directive: string | undefined, zoneLabels: readonly string[]): Node | undefined {
    if (directive === undefined) return { ...leaf([], Reasons.directive), openBelow: true };
    if (directive !== "pin" && directive !== "prefer") return undefined;
    const base = nameBelow(svc, service.name, service.namespace);
    if (zoneLabels.length === 0 || base === undefined) return { ...leaf([], Reasons.leaf), askChain: true, openBelow: true };
    const topologyZone = zoneLabels.toReversed().join(".");
    const rrsets = records.atTopologyZone(name, base, service, topologyZone, directive === "prefer" ? "all" : "nothing");
    return { ...leaf(rrsets, Reasons.leaf), ...targetsOf(base, service), askChain: true, openBelow: true };
  }

  // The targets of a headless Service's ports are its endpoints.
  function targetsOf(base: Name, service: Service): Pick<Node, "addressesOf"> {
    return service.headless ? { addressesOf: (targets) => records.atTargets(base, service, targets) } : {};
  }

  function podNode(name: Name, [namespace, label, ...more]: readonly string[]): Node | undefined {
    if (namespace === undefined) return leaf([], pods === "disabled" ? Reasons.podsDisabled : Reasons.namespace);
    if (pods === "disabled" || more.length > 0 || !cluster.hasNamespace(namespace)) return undefined;
    if (label === undefined) {
      return { ...leaf([], pods === "insecure" ? Reasons.podInsecure : Reasons.podVerified), openBelow: true };
    }
    const address = podAddress(label);
    if (address === undefined) return undefined;
    if (pods === "verified" && !registry.knows("Pod")) return unknown(cluster);
    if (pods === "verified" && !registry.podsAt(address).some((each) => each.namespace === namespace)) return undefined;
    return leaf(addressSets(name, ttl, [address]), Reasons.leaf);
  }

  function* names(): Generator<Name> {
    yield* [apex, svc, pod, nsDns, below("dns"), below("dns-version")];
    for (const namespace of cluster.namespaces()) yield* namesOfNamespace(namespace);
    for (const service of cluster.services()) {
      yield* namesOfService(service.namespace, service.name, cluster.below(service));
      if (zonal && service.headless) yield* zonalName(service.namespace, service.name);
    }
  }

  function* namesOf(touched: Touched): Generator<Name> {
    yield apex; // its SOA has a new serial
    for (const namespace of touched.namespaces) yield* namesOfNamespace(namespace);
    for (const { namespace, name, below } of touched.services) {
      yield* namesOfService(namespace, name, below);
      if (zonal) yield* zonalName(namespace, name);
    }
    yield* frontChange();
  }

  function* namesOfNamespace(namespace: string): Generator<Name> {
    for (const name of pods === "disabled" ? [nameBelow(svc, namespace)] : [nameBelow(svc, namespace), nameBelow(pod, namespace)]) {
      if (name !== undefined) yield name;
    }
  }

  function* namesOfService(namespace: string, service: string, labels: Iterable<string>): Generator<Name> {
    const base = nameBelow(svc, service, namespace);
    if (base === undefined) return;
    yield base;
    for (const label of labels) {
      const name = nameBelow(base, ...label.split("."));
      if (name !== undefined) yield name;
    }
  }

  function* zonalName(namespace: string, service: string): Generator<Name> {
    const name = nameBelow(svc, ZONAL_LABEL, service, namespace);
    if (name !== undefined) yield name;
  }

  function tell(changed: Iterable<Name>): void {
    const once = new Set(changed);
    for (const listener of listeners) listener(once);
  }

  // Without subscribers nothing keeps `front` fresh, and nobody relies on it.
  function currentFront(): Front {
    return frontOf(cluster, ownAddresses());
  }

  function frontChange(): readonly Name[] {
    const now = currentFront();
    if (JSON.stringify(now) === JSON.stringify(front)) return [];
    front = now;
    return [apex, nsDns];
  }

  function nameServers(): RecordSet {
    const services = currentFront().services.map(({ namespace, name }) => nameBelow(svc, name, namespace));
    const names = services.filter((name) => name !== undefined);
    return { owner: apex, type: RRTypes.NS, ttl, rdata: (names.length === 0 ? [nsDns] : names).map(nameRdata) };
  }

  function leaf(rrsets: readonly RecordSet[], reason: string): Node {
    return reasons === "off" ? { rrsets } : { rrsets, reasonBelow: reason, reason: NO_SUCH_TYPE };
  }

  function missing(reason: string): Node {
    return { ...leaf([], reason), askChain: true, absent: reasons === "off" ? "" : reason };
  }

  function below(...labels: readonly string[]): Name {
    const name = nameBelow(apex, ...labels);
    if (name === undefined) throw new RangeError("the zone's name is too long to have names below it");
    return name;
  }
}

/** What may be said of a name while not all is known: what stands there, if that is, and never that nothing does. */
export function asFarAsKnown(cluster: Cluster, node: Node | undefined): Node | undefined {
  const { known } = cluster;
  if (node === undefined || known === "all" || (known === "services" && node.rrsets.length > 0)) return node;
  return unknown(cluster);
}

function unknown({ unknownReason }: Cluster): Node {
  return { rrsets: [], askChain: true, unknown: unknownReason };
}

/** The SOA of a cluster's zone, in CoreDNS's form: the serial is the time of the last change. */
export function zoneSoa(apex: Name, ttl: number, changedAtMs: number): RecordSet {
  const mname = nameBelow(apex, "ns", "dns") ?? apex;
  const rname = nameBelow(apex, "hostmaster") ?? apex;
  const serial = Math.floor(changedAtMs / 1000);
  return {
    owner: apex,
    type: RRTypes.SOA,
    ttl,
    rdata: [soaRdata({ mname, rname, serial, refresh: 7200, retry: 1800, expire: 86_400, minimum: ttl })],
  };
}

function withoutUnderscore(label: string): string {
  return label.startsWith("_") ? label.slice(1) : label;
}

/** The canonical address that a Pod's label stands for: three dashes are IPv4, else IPv6; undefined if it is none. */
function podAddress(label: string): string | undefined {
  const isV4 = /^\d+-\d+-\d+-\d+$/.test(label);
  if (!isV4 && !/^[0-9a-f-]+$/.test(label)) return undefined;
  const bytes = addressToBytes(label.replaceAll("-", isV4 ? "." : ":"));
  return bytes === undefined ? undefined : addressText(bytes);
}
