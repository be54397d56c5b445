// Small clusters at random, dense with what makes answers differ: names that are shared or look like addresses, slices that
// overlap or belong to nobody, ports without name or number. Everything in them is what an API server would accept.

import type { KubeObject } from "../../helpers/fake-api/objects.ts";

/** Numbers from 0 to below 1, the same for the same seed. */
export type Random = () => number;

/** mulberry32: enough for choices. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

interface Port {
  readonly name?: string;
  readonly protocol: string;
  readonly port: number;
}

const NAMESPACES = ["default", "shop", "a", "svc", "pod", "10-0-0-1", "kube-system"];
const SERVICES = ["web", "db", "api", "a", "svc", "tcp", "kube-dns", "x-10-0-0-1", "web-2"];
const HOSTNAMES = ["db-0", "db-1", "web", "http", "tcp", "10-1-0-1"];
/** Topology zones, of which one has dots. */
export const ZONES: readonly string[] = ["eu-1a", "eu-1b", "rack.example.com"];
const PORTS: readonly Port[] = [
  { name: "http", protocol: "TCP", port: 80 },
  { name: "https", protocol: "TCP", port: 443 },
  { name: "dns", protocol: "UDP", port: 53 },
  { name: "dns-tcp", protocol: "TCP", port: 53 },
  { name: "sig", protocol: "SCTP", port: 2905 },
  { name: "web", protocol: "TCP", port: 80 },
];
const EXTERNAL_NAMES = [
  "www.example.com",
  "WWW.Example.COM",
  "web.default.svc.cluster.local",
  "db.default.svc.cluster.local",
  "missing.default.svc.cluster.local",
  "default.svc.cluster.local",
  "192.0.2.7",
  "single",
];

/** A cluster's objects, namespaces first; as one of a set of clusters it has ServiceImports too. */
export function randomCluster(random: Random, { inSet = false }: { readonly inSet?: boolean } = {}): KubeObject[] {
  const namespaces = some(NAMESPACES, 1 + below(random, 4), random);
  const objects: KubeObject[] = namespaces.map((name) => ({
    kind: "Namespace",
    metadata: { name, ...(random() < 0.3 && { labels: { team: pick(["x", "y"], random) } }) },
  }));
  const taken = new Set<string>();
  for (const namespace of namespaces) {
    for (const name of some(SERVICES, below(random, 5), random)) {
      const service = randomService(name, namespace, taken, random);
      objects.push(service, ...slicesFor(service, random));
    }
    if (inSet) for (const name of some(SERVICES, below(random, 4), random)) objects.push(...randomImport(name, namespace, random));
    if (random() < 0.2) objects.push(slice(`orphan`, "gone", namespace, [{ protocol: "TCP", port: 80 }], "IPv4", random));
    if (random() < 0.05) objects.push(slice(`nobody`, undefined, namespace, [{ protocol: "TCP", port: 80 }], "IPv4", random));
    for (let n = below(random, 3); n > 0; n--) objects.push(randomPod(`pod-${n}`, namespace, random));
  }
  return objects;
}

function randomService(name: string, namespace: string, taken: Set<string>, random: Random): KubeObject {
  const labels = random() < 0.4 ? { labels: { team: pick(["x", "y"], random) } } : {};
  const metadata = { name, namespace, ...labels };
  if (random() < 0.15) return { kind: "Service", metadata, spec: { type: "ExternalName", externalName: pick(EXTERNAL_NAMES, random) } };
  const isHeadless = random() < 0.4;
  const ports = randomPorts(random, isHeadless);
  const families = pick([["IPv4"], ["IPv4"], ["IPv6"], ["IPv4", "IPv6"]], random);
  const clusterIPs = isHeadless ? ["None"] : families.map((family) => unused(family, taken, random));
  const spec = {
    ...(ports.length > 0 && { ports }),
    ...(random() < 0.8 && { selector: { app: name } }),
    clusterIP: clusterIPs[0],
    clusterIPs,
    type: isHeadless ? "ClusterIP" : pick(["ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"], random),
    ...(random() < 0.2 && { publishNotReadyAddresses: true }),
    ipFamilies: families,
  };
  return { kind: "Service", metadata, spec };
}

// One port may be without a name; several all have one (as the API server insists).
function randomPorts(random: Random, mayBeNone: boolean): Port[] {
  const count = (mayBeNone ? 0 : 1) + below(random, 3);
  if (count === 1 && random() < 0.4) return [{ protocol: pick(["TCP", "UDP"], random), port: pick([80, 53, 9000], random) }];
  return some(PORTS, count, random).filter((port, at, all) => all.findIndex((other) => sameSocket(port, other)) === at);
}

function sameSocket(a: Port, b: Port): boolean {
  return a.port === b.port && a.protocol === b.protocol;
}

function slicesFor(service: KubeObject, random: Random): KubeObject[] {
  const { name, namespace = "", labels } = service.metadata;
  // The controller copies a Service's labels; slices made by hand may have none.
  const copied = random() < 0.9 ? labels : {};
  const { ports = [], ipFamilies = [] } = service["spec"] as { ports?: Port[]; ipFamilies?: string[] };
  const slices: KubeObject[] = [];
  for (const family of ipFamilies) {
    const count = pick([0, 1, 1, 1, 2], random);
    for (let n = 0; n < count; n++)
      slices.push(slice(`${name}-${family.toLowerCase()}-${n}`, name, namespace, targets(ports, random), family, random, copied));
  }
  if (random() < 0.05) slices.push(slice(`${name}-fqdn`, name, namespace, targets(ports, random), "FQDN", random, copied));
  return slices;
}

// Endpoints' ports are the Service's with other numbers now and then, or one is missing.
function targets(ports: readonly Port[], random: Random): Port[] {
  return ports.filter(() => random() < 0.95).map((port) => (random() < 0.3 ? { ...port, port: 8000 + below(random, 2) } : port));
}

function slice(
  name: string,
  service: string | undefined,
  namespace: string,
  ports: readonly Port[],
  addressType: string,
  random: Random,
  labels: Readonly<Record<string, string>> = {},
): KubeObject {
  const endpoints = Array.from({ length: below(random, 4) }, () => endpointAddress(addressType, random)).map((address) => ({
    addresses: [address],
    conditions: conditions(random),
    ...(random() < 0.3 && { hostname: pick(HOSTNAMES, random) }),
    ...zoneOf(address),
    ...(random() < 0.8 && { targetRef: { kind: "Pod", namespace, name: `${service ?? "pod"}-${below(random, 3)}` } }),
  }));
  return {
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { ...labels, ...(service !== undefined && { "kubernetes.io/service-name": service }) } },
    addressType,
    endpoints,
    ports: ports.map((port) => ({ name: "", ...port })),
  };
}

// An address is in one place.
function zoneOf(address: string): { readonly zone?: string } {
  const zone = [...ZONES, undefined][address.charCodeAt(address.length - 1) % 4];
  return zone === undefined ? {} : { zone };
}

function conditions(random: Random): object {
  const roll = random();
  if (roll < 0.65) return { ready: true, serving: true, terminating: false };
  if (roll < 0.75) return {};
  if (roll < 0.85) return { ready: false, serving: true, terminating: true };
  return { ready: false, serving: false, terminating: false };
}

// What the clusters of a set export under one name, with a slice for each cluster that has endpoints.
function randomImport(name: string, namespace: string, random: Random): KubeObject[] {
  const isHeadless = random() < 0.5;
  const ports = randomPorts(random, false);
  const spec = { type: isHeadless ? "Headless" : "ClusterSetIP", ...(!isHeadless && { ips: [`10.4.0.${1 + below(random, 200)}`] }), ports };
  const slices = some(["east", "west"], below(random, 3), random).map((cluster) => {
    const labels = { "multicluster.kubernetes.io/service-name": name, "multicluster.kubernetes.io/source-cluster": cluster };
    return slice(`import-${name}-${cluster}`, undefined, namespace, targets(ports, random), "IPv4", random, labels);
  });
  return [{ kind: "ServiceImport", metadata: { name, namespace }, spec }, ...slices];
}

function randomPod(name: string, namespace: string, random: Random): KubeObject {
  const podIP = endpointAddress("IPv4", random);
  const podIPs = [{ ip: podIP }, ...(random() < 0.3 ? [{ ip: endpointAddress("IPv6", random) }] : [])];
  const phase = pick(["Running", "Running", "Running", "Pending", "Succeeded", "Failed", "Unknown"], random);
  const labels = random() < 0.5 ? { labels: { team: "x" } } : {};
  return { kind: "Pod", metadata: { name, namespace, ...labels }, status: { phase, podIP, podIPs } };
}

// From a few, so that they meet.
function endpointAddress(family: string, random: Random): string {
  if (family === "FQDN") return "endpoint.example.com";
  return family === "IPv6" ? pick(["fd00:1::1", "fd00:1::a", "fd00:1::", "2001:db8::1:2"], random) : `10.1.0.${1 + below(random, 6)}`;
}

function unused(family: string, taken: Set<string>, random: Random): string {
  for (;;) {
    const n = 1 + below(random, 200);
    const address = family === "IPv6" ? `fd00::${n.toString(16)}` : `10.3.0.${n}`;
    if (taken.has(address)) continue;
    taken.add(address);
    return address;
  }
}

export function below(random: Random, bound: number): number {
  return Math.floor(random() * bound);
}

export function pick<T>(choices: readonly T[], random: Random): T {
  return choices[below(random, choices.length)] as T;
}

/** So many of them, in their order. */
export function some<T>(choices: readonly T[], count: number, random: Random): T[] {
  const left = choices.map((choice) => ({ choice, rank: random() }));
  const ranks = left.map(({ rank }) => rank).sort((a, b) => a - b);
  const highest = ranks[count - 1];
  return highest === undefined ? (count <= 0 ? [] : [...choices]) : left.filter(({ rank }) => rank <= highest).map(({ choice }) => choice);
}
