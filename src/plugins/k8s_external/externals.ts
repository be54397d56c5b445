// Which Services can be reached from outside of the cluster, under which addresses and names. Kept for those only, once for all
// zones of a block: a cluster has few of them, and what a change has taken away must be known.

import { isIP } from "node:net";
import { isWithin, parentOf, parseName, ROOT, tryName, type Name } from "../../dns/name.ts";
import { reverseName } from "../../dns/reverse.ts";
import type { Service, ServicePort } from "../../registry/objects.ts";
import type { Published, ServedCluster } from "../../registry/served-cluster.ts";

/** A Service as it is seen from outside. */
export interface ExternalService {
  readonly namespace: string;
  readonly name: string;
  /** External IPs and those of load balancers, canonical. */
  readonly addresses: readonly string[];
  /** Names of load balancers. */
  readonly hostnames: readonly Name[];
  readonly ports: readonly ServicePort[];
  /** With `headless`, for headless Services without external addresses: what the addresses stand for. */
  readonly endpoints: readonly Published[];
}

/** What a batch of changes has touched. */
export interface TouchedExternals {
  readonly namespaces: Iterable<string>;
  /** As they were, and as they are. */
  readonly services: readonly ExternalService[];
  readonly addresses: Iterable<string>;
}

export interface Externals {
  service(namespace: string, name: string): ExternalService | undefined;
  services(): Iterable<ExternalService>;
  /** Sorted by name. */
  usersOf(address: string): readonly ExternalService[];
  addresses(): Iterable<string>;
  /** Whether addresses' reverse names are below it. */
  isAbove(name: Name): boolean;
  subscribe(listener: (touched: TouchedExternals) => void): () => void;
  close(): void;
}

/** Follows the cluster until close(). */
export function createExternals(cluster: ServedCluster, headless: "served" | "hidden"): Externals {
  const services = new Map<string, ExternalService>();
  const users = new Map<string, Set<string>>();
  const above = new Map<Name, number>();
  const listeners = new Set<(touched: TouchedExternals) => void>();
  for (const service of cluster.services()) replace(service.namespace, service.name, new Set());
  const unsubscribe = cluster.subscribe((touched) => {
    const addresses = new Set<string>();
    const before = touched.services.map(({ namespace, name }) => services.get(keyOf(namespace, name)));
    const after = touched.services.map(({ namespace, name }) => replace(namespace, name, addresses));
    const changed = [...before, ...after].filter((service) => service !== undefined);
    for (const listener of listeners) listener({ namespaces: touched.namespaces, services: changed, addresses });
  });
  return {
    service: (namespace, name) => services.get(keyOf(namespace, name)),
    services: () => services.values(),
    usersOf: (address) => {
      const keys = [...(users.get(address) ?? [])].toSorted();
      return keys.map((key) => services.get(key)).filter((service) => service !== undefined);
    },
    addresses: () => users.keys(),
    isAbove: (name) => above.has(name),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: unsubscribe,
  };

  function replace(namespace: string, name: string, touched: Set<string>): ExternalService | undefined {
    const key = keyOf(namespace, name);
    const service = cluster.service(namespace, name);
    const next = service && externalOf(service);
    // The addresses of endpoints have no reverse names here: they are the cluster's.
    for (const address of services.get(key)?.addresses ?? []) {
      touched.add(address);
      unlist(address, key);
    }
    for (const address of next?.addresses ?? []) {
      touched.add(address);
      list(address, key);
    }
    if (next === undefined) services.delete(key);
    else services.set(key, next);
    return next;
  }

  function externalOf(service: Service): ExternalService | undefined {
    const { namespace, name, external = [], ports } = service;
    const addresses = external.filter((each) => isIP(each) !== 0);
    const hostnames = external.filter((each) => isIP(each) === 0).flatMap((each) => tryName(each) ?? []);
    const isEmpty = addresses.length + hostnames.length === 0;
    const endpoints = headless === "served" && service.headless && isEmpty ? [...cluster.published(service)] : [];
    if (isEmpty && endpoints.length === 0) return undefined;
    return { namespace, name, addresses, hostnames, ports, endpoints };
  }

  function list(address: string, key: string): void {
    const keys = users.get(address);
    if (keys !== undefined) {
      keys.add(key);
      return;
    }
    users.set(address, new Set([key]));
    for (const name of namesAbove(address)) above.set(name, (above.get(name) ?? 0) + 1);
  }

  function unlist(address: string, key: string): void {
    const keys = users.get(address);
    keys?.delete(key);
    if (keys === undefined || keys.size > 0) return;
    users.delete(address);
    for (const name of namesAbove(address)) {
      const left = (above.get(name) ?? 0) - 1;
      if (left > 0) above.set(name, left);
      else above.delete(name);
    }
  }
}

const ARPA: Name = parseName("arpa");

/** The names above an address' reverse name, below arpa. */
export function* namesAbove(address: string): Generator<Name> {
  const reverse = reverseName(address);
  if (reverse === undefined) return;
  for (let name = parentOf(reverse); name !== ARPA && name !== ROOT && isWithin(name, ARPA); name = parentOf(name)) yield name;
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}
