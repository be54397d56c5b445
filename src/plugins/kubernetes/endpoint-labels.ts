// The labels below a Service's name: those of its endpoints, of their clusters in a cluster set, and of its ports. Used by
// cluster.ts, which says whose they are.

import { dashed } from "../../dns/address-label.ts";
import type { Endpoint, EndpointSlice, Protocol } from "../../registry/objects.ts";

/** What may be an endpoint's label; Pods' names may have dots. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** An endpoint's label below its Service: hostname, its Pod's name if asked for, or the address with dashes. */
export function endpointLabel(endpoint: Endpoint, address: string, podNames: boolean): string {
  const { hostname, podName } = endpoint;
  if (hostname !== undefined && LABEL.test(hostname)) return hostname;
  return podNames && podName !== undefined && LABEL.test(podName) ? podName : dashed(address);
}

/** The label of its cluster; an id that is none gives no names. */
export function clusterOf({ cluster }: EndpointSlice): string | undefined {
  const label = cluster?.toLowerCase();
  return label !== undefined && LABEL.test(label) ? label : undefined;
}

/** Adds those of its ports. Underscores are optional. Below a protocol without its own, names are open: nobody asks for them but by hand. */
export function addPorts(labels: Set<string>, ports: readonly { readonly name: string; readonly protocol: Protocol }[]): void {
  for (const { name, protocol } of ports) {
    if (name === "") continue;
    const proto = protocol.toLowerCase();
    const port = name.toLowerCase();
    for (const label of [proto, `_${proto}`, `${port}._${proto}`, `_${port}._${proto}`]) labels.add(label);
  }
}
