// What `kubernetes` knows of a query, for `metadata`: the parts of the name asked for, and the Pod that asks. Called by other
// plugins through Instance.metadata, a label at a time.

import type { Query } from "../../dns/message.ts";
import { formatLabel, isWithin, labelsBelow, type Name } from "../../dns/name.ts";
import type { Pod } from "../../registry/objects.ts";

export interface MetadataOptions {
  /** The plugin's zones but for reverse ones. */
  readonly zones: readonly Name[];
  readonly isOfClusterSet: (zone: Name) => boolean;
  readonly zonal: boolean;
  /** Absent: Pods are not followed (`pods verified` does). */
  readonly podsAt: ((address: string) => readonly Pod[]) | undefined;
}

const PREFIX = "kubernetes/";

export function createMetadata({
  zones,
  isOfClusterSet,
  zonal,
  podsAt,
}: MetadataOptions): (query: Query, label: string) => string | undefined {
  return ({ qname, client }, label) => {
    if (!label.startsWith(PREFIX)) return undefined;
    const key = label.slice(PREFIX.length);
    if (key === "client-namespace") return sameOf(podsAt?.(client.address), "namespace");
    if (key === "client-pod-name") return sameOf(podsAt?.(client.address), "name");
    const zone = zones.filter((each) => isWithin(qname, each)).sort((a, b) => b.length - a.length)[0];
    if (zone === undefined) return undefined;
    const parts = partsOf(labelsBelow(qname, zone) ?? [], isOfClusterSet(zone), zonal);
    return Object.hasOwn(parts, key) ? parts[key] : undefined;
  };
}

// The parts of a name below the zone, by their labels' last words; none where it is no name of the specification.
function partsOf(labels: readonly string[], isOfClusterSet: boolean, zonal: boolean): Readonly<Record<string, string | undefined>> {
  const [kind, namespace, service, first, second, ...more] = labels.map(formatLabel).reverse();
  if (kind !== "svc" && kind !== "pod") return {};
  const parts = { kind, namespace, service };
  if (first === undefined) return parts;
  if (second === undefined) return { ...parts, endpoint: first };
  if (more.length > 0) {
    const isZonal = zonal && !isOfClusterSet && kind === "svc" && first === "_zone" && (second === "pin" || second === "prefer");
    return isZonal ? { ...parts, zone: more.reverse().join(".") } : {};
  }
  if (isOfClusterSet && !first.startsWith("_") && !second.startsWith("_")) return { ...parts, cluster: first, endpoint: second };
  return { ...parts, protocol: first.replace(/^_/, ""), "port-name": second.replace(/^_/, "") };
}

// What all Pods at an address have in common: those in the host's network share it.
function sameOf(pods: readonly Pod[] = [], field: "namespace" | "name"): string | undefined {
  const values = new Set(pods.map((pod) => pod[field]));
  return values.size === 1 ? [...values][0] : undefined;
}
