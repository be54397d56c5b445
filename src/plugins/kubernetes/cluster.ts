// What of the registry a `kubernetes` block serves: the exposed namespaces, the selected Services and their published
// endpoints, and which of their names a batch of changes touches. The zone views stand on it; it makes no records.

import type { Applied, Endpoint, EndpointPort, EndpointSlice, Service } from "../../registry/objects.ts";
import { addressesOf, type Registry } from "../../registry/registry.ts";
import type { Published, ServedCluster, Touched, TouchedService } from "../../registry/served-cluster.ts";
import { isAddressLabel } from "../../dns/address-label.ts";
import { addPorts, clusterOf, endpointLabel } from "./endpoint-labels.ts";
import { DEFAULT_STALE_AFTER_MS, stalenessOf, unknownReason } from "./freshness.ts";
import type { LabelSelector } from "./label-selector.ts";

export interface ClusterOptions {
  /** Only these namespaces; all if undefined. */
  readonly namespaces?: ReadonlySet<string> | undefined;
  /** Only namespaces, or Services, with these labels. */
  readonly namespaceLabels?: LabelSelector | undefined;
  readonly serviceLabels?: LabelSelector | undefined;
  /** Endpoints are called after their Pods where they have no hostname. */
  readonly endpointPodNames?: boolean;
  /** Serve nothing of EndpointSlices. */
  readonly noEndpoints?: boolean;
  /** A ClusterIP Service without ready endpoints does not exist. */
  readonly ignoreEmptyService?: boolean;
  /** The registry is a cluster set's (KEP-1645): endpoints are called after their cluster too. */
  readonly isClusterSet?: boolean;
  /** From when on the API server has been out of reach for too long, in words. */
  readonly staleAfterMs?: number;
}

export interface Cluster extends ServedCluster {
  readonly registry: Registry;
  readonly isClusterSet: boolean;
  /** Published endpoints with this label. */
  publishedAs(service: Service, label: string): readonly Published[];
  /** Whether a cluster of a cluster set has published endpoints of the Service: an empty non-terminal. */
  hasCluster(service: Service, label: string): boolean;
  /** Whether what stands at a Service's name, or at a label right below it, depends on endpoints that are not known. */
  lacksEndpoints(service: Service, label: string | undefined): boolean;
  /** Why there is nothing at a Service's name; undefined where there is. */
  absence(service: Service): string | undefined;
  /** The labels in front of a Service's name below which something stands and is listed, as in TouchedService. */
  below(service: Service): Set<string>;
  /** Whether a named port of the Service has the protocol, `_tcp` for example: an empty non-terminal. */
  hasProtocol(service: Service, label: string): boolean;
  /** The Services and published endpoints that have an address: Services first, they win over endpoints. */
  usersOf(address: string): readonly AddressUser[];
  /** Lets go of the registry. */
  close(): void;
}

export interface AddressUser {
  readonly service: Service;
  /** The endpoint's label; undefined for a ClusterIP. */
  readonly label?: string;
}

/** EDE texts, at most 64 bytes each. */
export const NO_READY_ENDPOINTS = "no ready endpoints";
export const NO_ENDPOINTS_WATCHED = "endpoints are not served (noendpoints)";
export const EXTERNAL_ADDRESS = "ExternalName is an IP address, not a name";

const NONE: readonly never[] = Object.freeze([]);

/** The served part of a registry. Follows it until close(). */
export function createCluster(registry: Registry, options: ClusterOptions = {}): Cluster {
  const { namespaces: listed, namespaceLabels, serviceLabels, endpointPodNames = false } = options;
  const { noEndpoints = false, ignoreEmptyService = false, isClusterSet = false, staleAfterMs = DEFAULT_STALE_AFTER_MS } = options;
  const servicesIn = new Map<string, number>();
  const listeners = new Set<(touched: Touched) => void>();
  const stateListeners = new Set<() => void>();
  let lastSlices: readonly EndpointSlice[] = NONE;
  let lastByLabel: ReadonlyMap<string, Published[]> = new Map();
  for (const { namespace } of registry.services()) count(namespace, 1);
  const unsubscribe = registry.subscribe(follow);

  const cluster: Cluster = {
    registry,
    get known() {
      const isExposureKnown = namespaceLabels === undefined || registry.knows("Namespace");
      if (!registry.knows("Service") || !isExposureKnown) return "nothing";
      return knowsEndpoints() && registry.knows("Namespace") ? "all" : "services";
    },
    get unknownReason() {
      return unknownReason(registry);
    },
    get changedAtMs() {
      return registry.changedAtMs;
    },
    get staleness() {
      return stalenessOf(registry, staleAfterMs);
    },
    hasNamespace: (name) => (servicesIn.has(name) || registry.namespace(name) !== undefined) && exposes(name),
    *namespaces() {
      for (const { name } of registry.namespaces()) if (exposes(name)) yield name;
      for (const name of servicesIn.keys()) if (registry.namespace(name) === undefined && exposes(name)) yield name;
    },
    service(namespace, name) {
      const service = registry.service(namespace, name);
      return service !== undefined && serves(service) ? service : undefined;
    },
    *services() {
      for (const service of registry.services()) if (serves(service)) yield service;
    },
    isClusterSet,
    published,
    lacksEndpoints: ({ type, headless }, label) =>
      !knowsEndpoints() && type !== "ExternalName" && (headless || ignoreEmptyService || label !== undefined),
    publishedAs: (service, label) => publishedByLabel(service).get(label) ?? NONE,
    hasCluster: (service, label) =>
      isClusterSet && slicesOf(service).some((slice) => clusterOf(slice) === label && slice.endpoints.some(isPublished)),
    absence,
    below: (service) => {
      const labels = new Set<string>();
      if (absence(service) === undefined) addBelow(labels, service, slicesOf(service), listedBelow(service));
      return labels;
    },
    hasProtocol(service, label) {
      const isThere = ({ name, protocol }: EndpointPort): boolean => name !== "" && `_${protocol.toLowerCase()}` === label;
      if (service.type === "ExternalName") return false;
      if (!service.headless) return service.ports.some(isThere);
      // Of 50 slices none is unpacked unless its ports say so: this is asked for each of 5,000 endpoints' labels.
      return slicesOf(service).some((slice) => slice.ports.some(isThere) && slice.endpoints.some(isPublished));
    },
    usersOf(address) {
      const services = registry.servicesAt(address).filter(serves);
      if (services.length > 0) return services.map((service) => ({ service }));
      if (noEndpoints) return NONE;
      const users: AddressUser[] = [];
      for (const slice of registry.slicesAt(address)) {
        const service = cluster.service(slice.namespace, slice.service);
        if (service === undefined || service.type === "ExternalName") continue;
        for (const endpoint of slice.endpoints) {
          if (endpoint.ready && endpoint.addresses.includes(address)) users.push({ service, label: labelOf(endpoint, address, slice) });
        }
      }
      return users;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onState(listener) {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    close() {
      unsubscribe();
      unsubscribeState();
    },
  };
  let told = stateText();
  const unsubscribeState = registry.onState(followState);
  return cluster;

  function stateText(): string {
    return `${cluster.known} ${cluster.staleness}`;
  }

  function followState(): void {
    const state = stateText();
    if (state === told) return;
    told = state;
    for (const listener of stateListeners) listener();
  }

  function knowsEndpoints(): boolean {
    return noEndpoints || registry.knows("EndpointSlice");
  }

  function count(namespace: string, by: number): void {
    const left = (servicesIn.get(namespace) ?? 0) + by;
    if (left > 0) servicesIn.set(namespace, left);
    else servicesIn.delete(namespace);
  }

  function exposes(namespace: string): boolean {
    if (listed !== undefined && !listed.has(namespace)) return false;
    return namespaceLabels === undefined || namespaceLabels(registry.namespace(namespace)?.labels ?? {});
  }

  function serves(service: Service): boolean {
    return exposes(service.namespace) && (serviceLabels === undefined || serviceLabels(service.labels));
  }

  function slicesOf(service: Service): readonly EndpointSlice[] {
    return noEndpoints || service.type === "ExternalName" ? NONE : registry.slices(service.namespace, service.name);
  }

  function* published(service: Service, topologyZone?: string): Generator<Published> {
    for (const slice of slicesOf(service)) {
      const { endpoints, ports } = slice;
      for (const endpoint of endpoints) {
        if (!endpoint.ready || (topologyZone !== undefined && endpoint.zone?.toLowerCase() !== topologyZone)) continue;
        for (const address of endpoint.addresses) yield { address, label: labelOf(endpoint, address, slice), ports };
      }
    }
  }

  // Kept for the Service that was asked about last: the names of a changed slice are asked for one after the other, and
  // searching a thousand endpoints for each of a hundred takes 20 ms. The registry makes a new array for each change.
  function publishedByLabel(service: Service): ReadonlyMap<string, Published[]> {
    const slices = slicesOf(service);
    if (slices === lastSlices) return lastByLabel;
    const byLabel = new Map<string, Published[]>();
    for (const each of published(service)) {
      const sharing = byLabel.get(each.label);
      if (sharing === undefined) byLabel.set(each.label, [each]);
      else sharing.push(each);
    }
    lastSlices = slices;
    lastByLabel = byLabel;
    return byLabel;
  }

  function absence(service: Service): string | undefined {
    if (service.type === "ExternalName") return isAddress(service.externalName) ? EXTERNAL_ADDRESS : undefined;
    if (service.headless && noEndpoints) return NO_ENDPOINTS_WATCHED;
    if (!service.headless && !ignoreEmptyService) return undefined;
    const ready = slicesOf(service).some(({ endpoints }) => endpoints.some(isPublished));
    return ready ? undefined : NO_READY_ENDPOINTS;
  }

  function addBelow(
    labels: Set<string>,
    service: Service | undefined,
    slices: readonly EndpointSlice[],
    isListed: (label: string) => boolean,
  ): void {
    if (service !== undefined && service.type !== "ExternalName" && !service.headless) addPorts(labels, service.ports);
    for (const slice of slices) {
      const { endpoints, ports } = slice;
      const ofCluster = isClusterSet ? clusterOf(slice) : undefined;
      let published = false;
      for (const endpoint of endpoints) {
        if (!endpoint.ready) continue;
        for (const address of endpoint.addresses) {
          const label = labelOf(endpoint, address, slice);
          if (isListed(label)) labels.add(label);
          published = true;
        }
      }
      if (published && ofCluster !== undefined) labels.add(ofCluster);
      if (published && (service === undefined || service.headless)) addPorts(labels, ports);
    }
  }

  function labelOf(endpoint: Endpoint, address: string, slice: EndpointSlice): string {
    const label = endpointLabel(endpoint, address, endpointPodNames);
    const ofCluster = isClusterSet ? clusterOf(slice) : undefined;
    return ofCluster === undefined ? label : `${label}.${ofCluster}`;
  }

  function follow(changes: readonly Applied[]): void {
    const namespaces = new Set<string>();
    const services = new Map<string, TouchedService & { readonly below: Set<string> }>();
    const addresses = new Set<string>();
    const changed = new Set<unknown>(changes.map(({ object }) => object));

    for (const change of changes) {
      const { verb, object, previous } = change;
      switch (object.kind) {
        case "Service": {
          if (verb === "upsert" && previous === undefined) count(object.namespace, 1);
          if (verb === "delete") count(object.namespace, -1);
          if (verb === "delete" || previous === undefined) namespaces.add(object.namespace);
          const now = verb === "upsert" ? object : undefined;
          const current = registry.slices(object.namespace, object.name);
          for (const service of [now, previous as Service | undefined]) {
            if (service === undefined) continue;
            touch(service.namespace, service.name, service, current);
            for (const address of service.clusterIPs) addresses.add(address);
          }
          break;
        }
        case "EndpointSlice": {
          if (noEndpoints) break;
          for (const slice of [object, previous as EndpointSlice | undefined]) {
            if (slice === undefined) continue;
            const service = registry.service(slice.namespace, slice.service);
            // A Service that is headless no more had names that are not listed now.
            const isSame = service !== undefined && !changed.has(service);
            const below = touch(slice.namespace, slice.service, undefined, [slice], isSame ? listedBelow(service) : isAny);
            // SRV answers carry the addresses of their targets, which other slices may share.
            for (const { ports } of registry.slices(slice.namespace, slice.service)) addPorts(below, ports);
            // With ignore empty_service, the Service's own names come and go with its endpoints.
            if (ignoreEmptyService && service !== undefined) touch(slice.namespace, slice.service, service, NONE);
          }
          break;
        }
        case "Namespace":
          namespaces.add(object.name);
          if (namespaceLabels === undefined) break;
          for (const service of registry.services()) {
            if (service.namespace !== object.name) continue;
            touch(service.namespace, service.name, service, registry.slices(service.namespace, service.name));
            for (const address of service.clusterIPs) addresses.add(address);
          }
          break;
        case "Pod": // names without end: nothing to tell
          break;
        default:
          object satisfies never;
      }
    }
    const touched: Touched = { namespaces, services: [...services.values()], addresses };
    for (const listener of listeners) listener(touched);

    function touch(
      namespace: string,
      name: string,
      service: Service | undefined,
      slices: readonly EndpointSlice[],
      isListed = service === undefined ? isAny : listedBelow(service),
    ): Set<string> {
      const key = `${namespace}/${name}`;
      let entry = services.get(key);
      if (entry === undefined) services.set(key, (entry = { namespace, name, below: new Set() }));
      addBelow(entry.below, service, slices, isListed);
      for (const slice of slices) for (const address of addressesOf(slice)) addresses.add(address);
      return entry.below;
    }
  }
}

// Of endpoints' labels below a Service: its zone's nodes say the same.
function listedBelow({ headless }: Service): (label: string) => boolean {
  return headless ? isAny : (label) => !isAddressLabel(label);
}

function isAny(): boolean {
  return true;
}

function isPublished({ ready, addresses }: Endpoint): boolean {
  return ready && addresses.length > 0;
}

function isAddress(text: string): boolean {
  return text.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(text);
}
