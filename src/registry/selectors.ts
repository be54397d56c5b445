// What the control plane's controllers do, as pure functions: a workload's Pods, and a Service's Pods as
// EndpointSlices. Called by manifest-cluster.ts whenever a Service or a Pod that it selects changes.

import { hashText } from "./cluster-ips.ts";
import { checkLabel, type Family, familyOf } from "./kube-names.ts";
import type { Labels, ManifestEndpoints, ManifestPod, ManifestService, ManifestSlice, ManifestWorkload } from "./manifest-objects.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "./objects.ts";
import { packEndpoints, packedSlice, unpackEndpoints } from "./packed-slice.ts";

/** Endpoints in one slice at most, the endpointslice controller's default. */
export const MAX_ENDPOINTS_PER_SLICE = 100;
// Kubernetes' alphabet for generated names: no vowels, so no words; nothing that looks like something else.
const SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH = 5;

/** True if the labels have every pair of the selector; an empty selector selects nothing, as in a Service. */
export function selects(selector: Labels, labels: Labels): boolean {
  const pairs = Object.entries(selector);
  return pairs.length > 0 && pairs.every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/** The Pods that a workload stands for: stable names, no addresses yet. A DaemonSet has one: one node is assumed. */
export function podsOf(workload: ManifestWorkload): ManifestPod[] {
  const taken = new Set<string>();
  return Array.from({ length: workload.replicas }, (_, index) => {
    const ordinal = String(workload.start + index);
    const isSet = workload.kind === "StatefulSet";
    const key = `${workload.kind}/${workload.namespace}/${workload.name}/${ordinal}`;
    const name = isSet ? `${workload.name}-${ordinal}` : generatedName(prefixOf(workload), key, taken);
    const { labels, hostname, subdomain, ports } = workload.template;
    return {
      kind: "Pod",
      namespace: workload.namespace,
      name,
      at: workload.at,
      labels,
      hostname: isSet ? (checkLabel(name) === undefined ? name : "") : hostname,
      subdomain: isSet ? workload.serviceName : subdomain,
      ports,
      ready: true,
      gone: false,
    };
  });
}

// A Deployment's Pods carry the name of its ReplicaSet, which ends in a hash of the template.
function prefixOf(workload: ManifestWorkload): string {
  return workload.kind === "Deployment" ? `${workload.name}-${suffix(`${workload.namespace}/${workload.name}`)}` : workload.name;
}

function generatedName(prefix: string, key: string, taken: Set<string>): string {
  let name = `${prefix}-${suffix(key)}`;
  for (let attempt = 1; taken.has(name); attempt++) name = `${prefix}-${suffix(`${key} ${attempt}`)}`;
  taken.add(name);
  return name;
}

function suffix(key: string): string {
  let hash = hashText(key);
  let text = "";
  for (let index = 0; index < SUFFIX_LENGTH; index++) {
    text += SUFFIX_ALPHABET[hash % SUFFIX_ALPHABET.length] as string;
    hash = Math.floor(hash / SUFFIX_ALPHABET.length);
  }
  return text;
}

/** A Pod with its addresses: from its status, or allocated. */
export interface PlacedPod {
  readonly pod: ManifestPod;
  readonly addresses: readonly string[];
}

/**
 * The slices of a Service with a selector: one series for each family and each set of resolved ports. `pods` are those
 * that the selector matches, in the order of their names, so that a Pod stays in its slice while the others stay.
 */
export function slicesOf(service: ManifestService, pods: readonly PlacedPod[], families: readonly Family[]): EndpointSlice[] {
  const groups = new Map<string, { readonly family: Family; readonly ports: readonly EndpointPort[]; readonly endpoints: Endpoint[] }>();
  for (const family of families) {
    for (const { pod, addresses } of pods) {
      const address = pod.gone ? undefined : addresses.find((candidate) => familyOf(candidate) === family);
      if (address === undefined) continue;
      const ports = resolvePorts(service, pod);
      const key = `${family} ${ports.map((port) => `${port.name}:${port.protocol}:${port.port}`).join(" ")}`;
      const group = groups.get(key) ?? { family, ports, endpoints: [] };
      groups.set(key, group);
      const hasHostname = pod.hostname !== "" && pod.subdomain === service.name;
      group.endpoints.push({
        addresses: addresses.length === 1 ? addresses : [address],
        ready: pod.ready || service.publishNotReadyAddresses,
        ...(hasHostname ? { hostname: pod.hostname } : {}),
        podName: pod.name,
      });
    }
  }
  const slices: EndpointSlice[] = [];
  const taken = new Set<string>();
  for (const [key, { family, ports, endpoints }] of groups) {
    for (let at = 0; at < endpoints.length; at += MAX_ENDPOINTS_PER_SLICE) {
      const part = endpoints.slice(at, at + MAX_ENDPOINTS_PER_SLICE);
      const name = generatedName(service.name, `${service.namespace}/${service.name} selector ${key} ${at}`, taken);
      slices.push(sliceOf(service, name, family, part, ports));
    }
  }
  return slices;
}

// A port whose named target the Pod does not have is left out for this Pod, as the controller does.
function resolvePorts(service: ManifestService, pod: ManifestPod): EndpointPort[] {
  return service.ports.flatMap(({ name, protocol, port, targetPort }) => {
    if (typeof targetPort !== "string") return [{ name, protocol, port: targetPort ?? port }];
    const target = pod.ports.find((candidate) => candidate.name === targetPort && candidate.protocol === protocol);
    return target === undefined ? [] : [{ name, protocol, port: target.port }];
  });
}

/** Legacy Endpoints as slices, by family, as the mirroring controller makes them. */
export function mirrorEndpoints(service: ManifestService, legacy: ManifestEndpoints): EndpointSlice[] {
  const slices: EndpointSlice[] = [];
  const taken = new Set<string>();
  for (const [index, { endpoints, ports }] of legacy.subsets.entries()) {
    for (const family of ["IPv4", "IPv6"] as const) {
      const ours = endpoints.filter(({ addresses }) => addresses[0] !== undefined && familyOf(addresses[0]) === family);
      for (let at = 0; at < ours.length; at += MAX_ENDPOINTS_PER_SLICE) {
        const part = published(service, ours.slice(at, at + MAX_ENDPOINTS_PER_SLICE));
        const name = generatedName(service.name, `${service.namespace}/${service.name} mirror ${index} ${family} ${at}`, taken);
        slices.push(sliceOf(service, name, family, part, ports));
      }
    }
  }
  return slices;
}

/** A slice as written, for its Service. */
export function manualSlice(service: ManifestService, slice: ManifestSlice): EndpointSlice {
  const { namespace, name, addressType, ports } = slice;
  // As a rule the text that the manifest keeps, not another one.
  const endpoints = service.publishNotReadyAddresses
    ? packEndpoints(published(service, unpackEndpoints(slice.endpoints)))
    : slice.endpoints;
  return packedSlice({ kind: "EndpointSlice", namespace, name, service: service.name, addressType, ports }, endpoints);
}

function sliceOf(
  service: ManifestService,
  name: string,
  addressType: Family,
  endpoints: readonly Endpoint[],
  ports: readonly EndpointPort[],
): EndpointSlice {
  const head = { kind: "EndpointSlice", namespace: service.namespace, name, service: service.name, addressType, ports } as const;
  return packedSlice(head, packEndpoints(endpoints));
}

function published(service: ManifestService, endpoints: readonly Endpoint[]): readonly Endpoint[] {
  if (!service.publishNotReadyAddresses || endpoints.every(({ ready }) => ready)) return endpoints;
  return endpoints.map((endpoint) => ({ ...endpoint, ready: true }));
}
