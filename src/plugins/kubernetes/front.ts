// Which Services front this server: they are the zone's name servers. Those with an endpoint or address of the server's
// own; else kube-system/kube-dns, where every cluster has its DNS; else the server's addresses by themselves.

import type { Service } from "../../registry/objects.ts";
import type { Front } from "../../registry/served-cluster.ts";
import type { Cluster } from "./cluster.ts";

export function frontOf(cluster: Cluster, ownAddresses: readonly string[]): Front {
  const services = new Map<string, Service>();
  const add = (service: Service | undefined): void => {
    if (service !== undefined && cluster.absence(service) === undefined) services.set(`${service.namespace}/${service.name}`, service);
  };
  for (const address of ownAddresses) {
    for (const service of cluster.registry.servicesAt(address)) add(cluster.service(service.namespace, service.name));
    // Ready or not: a server that is starting is not ready yet, and its name must not change for that.
    for (const slice of cluster.registry.slicesAt(address)) add(cluster.service(slice.namespace, slice.service));
  }
  if (services.size === 0) add(cluster.service("kube-system", "kube-dns"));
  if (services.size === 0) return { services: [], addresses: ownAddresses };
  const sorted = [...services.keys()].toSorted().map((key) => services.get(key) as Service);
  const addresses = new Set<string>();
  for (const service of sorted) {
    if (!service.headless) for (const address of service.clusterIPs) addresses.add(address);
    else for (const { address } of cluster.published(service)) addresses.add(address);
  }
  return { services: sorted.map(({ namespace, name }) => ({ namespace, name })), addresses: [...addresses] };
}
