// The part of a registry that `kubernetes` serves (the namespaces and Services that its options choose), for plugins of its
// server block that show it otherwise.

import type { EndpointPort, Service } from "./objects.ts";

/** How much of what is served is known: nothing may be said, or what is there but not what isn't, or all. */
export type Known = "nothing" | "services" | "all";

/** One published address of a Service. */
export interface Published {
  readonly address: string;
  /** Its label below the Service's name; in a cluster set two, the second one its cluster's, with a dot between. */
  readonly label: string;
  readonly ports: readonly EndpointPort[];
}

/** Which names a batch of changes touches: kept apart from zones, for one cluster may have several. */
export interface Touched {
  readonly namespaces: ReadonlySet<string>;
  readonly services: readonly TouchedService[];
  /** Addresses whose users changed, canonical. */
  readonly addresses: ReadonlySet<string>;
}

export interface TouchedService {
  readonly namespace: string;
  readonly name: string;
  /** The labels in front of the Service's name, with dots between: `db-0`, `_tcp`, `tcp`, `_http._tcp`, `http._tcp`. */
  readonly below: Iterable<string>;
}

/** Which Services front this server. Plain data: compared as text. */
export interface Front {
  /** Sorted; empty where no Service fronts the server. */
  readonly services: readonly { readonly namespace: string; readonly name: string }[];
  /** What ns.dns has, canonical. */
  readonly addresses: readonly string[];
}

export interface ServedCluster {
  readonly known: Known;
  /** Why not all is known. */
  readonly unknownReason: string;
  /** Why all that is known may be old; undefined while it is not. */
  readonly staleness: string | undefined;
  /** Milliseconds since the epoch of the last change. */
  readonly changedAtMs: number;
  /** The namespace exists, by an object of its own or by a Service in it, and is exposed. */
  hasNamespace(name: string): boolean;
  namespaces(): Iterable<string>;
  /** The Service if it is exposed and selected. */
  service(namespace: string, name: string): Service | undefined;
  services(): Iterable<Service>;
  /** Published endpoints, or those in a topology zone (lower case); none for an ExternalName. */
  published(service: Service, topologyZone?: string): Iterable<Published>;
  subscribe(listener: (touched: Touched) => void): () => void;
  /** Tells that `known` or `staleness` has changed. */
  onState(listener: () => void): () => void;
}

/** A cluster, and what fronts the server in it. */
export interface ClusterView {
  readonly served: ServedCluster;
  front(): Front;
}
