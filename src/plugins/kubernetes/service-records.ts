// The rrsets of the Kubernetes DNS specification: what stands at a Service's name and at the names below it. Pure:
// the cluster in, rrsets out. Called by the forward zone for every name it is asked about.

import { nameBelow, ROOT, tryName, type Name } from "../../dns/name.ts";
import { nameRdata } from "../../dns/rdata.ts";
import { RRTypes, type RecordSet } from "../../dns/records.ts";
import { addressSets, srvSet, type SrvTarget } from "../../dns/rrsets.ts";
import type { Service } from "../../registry/objects.ts";
import type { Published } from "../../registry/served-cluster.ts";
import type { Cluster } from "./cluster.ts";

/** What a zone needs to make a Service's rrsets. */
export interface ServiceRecords {
  /** At the Service's own name (k8s-dns 2.3.1, 2.4.1, 2.5). */
  atService(owner: Name, service: Service): RecordSet[];
  /** At an endpoint's name (2.4.1); none: no such endpoint. */
  atEndpoint(owner: Name, service: Service, label: string): RecordSet[];
  /** At `_port._proto` (2.3.2, 2.4.2), labels without underscores; none: no such port. `base` is the Service's name. */
  atPort(owner: Name, base: Name, service: Service, port: string, protocol: string): RecordSet[];
  /** At a headless Service's name, but of the endpoints in a topology zone only; without any: `fallback` to all, or nothing. */
  atTopologyZone(owner: Name, base: Name, service: Service, topologyZone: string, fallback: "all" | "nothing"): RecordSet[];
  /** A and AAAA at endpoints' names, as atEndpoint() has them: one walk for all, where an SRV answer may have thousands. */
  atTargets(base: Name, service: Service, targets: Iterable<Name>): RecordSet[];
}

export function createServiceRecords(cluster: Cluster, ttl: number): ServiceRecords {
  return {
    atService(owner, service) {
      if (service.type === "ExternalName") {
        const target = tryName(service.externalName);
        return target === undefined || target === ROOT ? [] : [{ owner, type: RRTypes.CNAME, ttl, rdata: [nameRdata(target)] }];
      }
      if (service.headless) return ofEndpoints(owner, owner, cluster.published(service));
      const targets = service.ports.map(({ port }) => ({ port, name: owner }));
      return [...addressSets(owner, ttl, service.clusterIPs), ...srvSet(owner, ttl, targets)];
    },

    atEndpoint(owner, service, label) {
      const found = cluster.publishedAs(service, label);
      const targets = found.flatMap(({ ports }) => ports.flatMap(({ port }) => (port === undefined ? [] : [{ port, name: owner }])));
      return [
        ...addressSets(
          owner,
          ttl,
          found.map(({ address }) => address),
        ),
        ...srvSet(owner, ttl, targets),
      ];
    },

    atPort(owner, base, service, port, protocol) {
      const isAsked = (candidate: { readonly name: string; readonly protocol: string }): boolean =>
        candidate.name.toLowerCase() === port && candidate.protocol.toLowerCase() === protocol;
      if (service.type === "ExternalName") return [];
      if (!service.headless) {
        const ports = service.ports.filter(isAsked);
        if (ports.length === 0) return [];
        const targets = ports.map((each) => ({ port: each.port, name: base }));
        return [...addressSets(owner, ttl, service.clusterIPs), ...srvSet(owner, ttl, targets)];
      }
      const found: Published[] = [];
      for (const endpoint of cluster.published(service)) {
        const ports = endpoint.ports.filter(isAsked);
        if (ports.length > 0) found.push({ ...endpoint, ports });
      }
      return ofEndpoints(owner, base, found);
    },

    atTopologyZone(owner, base, service, topologyZone, fallback) {
      const rrsets = ofEndpoints(owner, base, cluster.published(service, topologyZone));
      return rrsets.length === 0 && fallback === "all" ? ofEndpoints(owner, base, cluster.published(service)) : rrsets;
    },

    atTargets(base, service, targets) {
      const addresses = new Map<Name, string[]>(Array.from(targets, (target) => [target, []]));
      for (const { address, label } of cluster.published(service)) {
        const name = endpointName(base, label);
        if (name !== undefined) addresses.get(name)?.push(address);
      }
      return Array.from(addresses, ([target, found]) => addressSets(target, ttl, found)).flat();
    },
  };

  function ofEndpoints(owner: Name, base: Name, endpoints: Iterable<Published>): RecordSet[] {
    const addresses: string[] = [];
    const targets: SrvTarget[] = [];
    for (const { address, label, ports } of endpoints) {
      addresses.push(address);
      const name = endpointName(base, label);
      for (const { port } of ports) if (port !== undefined && name !== undefined) targets.push({ port, name });
    }
    return [...addressSets(owner, ttl, addresses), ...srvSet(owner, ttl, targets)];
  }
}

// In a cluster set the label is two.
function endpointName(base: Name, label: string): Name | undefined {
  return label.includes(".") ? nameBelow(base, ...label.split(".")) : nameBelow(base, label);
}
