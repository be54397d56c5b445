// kubernetes — answers the names of the Kubernetes DNS specification from the registry. Its zones are views of the
// registry; the answer table serves them, and its handler (zones/zone-handler.ts) says the same, from the same node(), for what the table
// leaves to the chain.

import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { zonesOfCidr } from "../../config/zones.ts";
import { formatName, isWithin, type Name } from "../../dns/name.ts";
import type { Zone } from "../../dns/zone.ts";
import type { Position } from "../../errors.ts";
import { isReverse } from "../../dns/reverse.ts";
import type { Query } from "../../dns/message.ts";
import { zoneHandler } from "../../zones/zone-handler.ts";
import { createCluster, type ClusterOptions } from "./cluster.ts";
import { DEFAULT_STALE_AFTER_MS, notReadyReason, type Readiness } from "./freshness.ts";
import { createMetadata } from "./metadata.ts";
import { frontOf } from "./front.ts";
import { createNearestNames } from "./nearest.ts";
import { syntax, type KubernetesOptions } from "./options.ts";
import { createOwnAddresses } from "./own-addresses.ts";
import { createReverseIndex, reverseZone } from "./reverse-zone.ts";
import { originOf } from "./source.ts";
import { kubernetesZone } from "./zone.ts";

const NAME = "kubernetes";
/** CoreDNS's default. */
const DEFAULT_TTL_SECONDS = 5;

const plugin: Plugin<KubernetesOptions> = definePlugin({ name: NAME, syntax, setup });
export default plugin;

async function setup(options: KubernetesOptions, host: Host, at: Position): Promise<Instance> {
  const zoneNames = options.args.length > 0 ? options.args : host.zones;
  const reverseNames = zoneNames.filter(isReverse);
  const multicluster = options.multicluster ?? [];
  const isOfClusterSet = (zone: Name): boolean => multicluster.includes(zone);
  const forwardNames = zoneNames.filter((zone) => !isReverse(zone)).sort((a, b) => Number(isOfClusterSet(a)) - Number(isOfClusterSet(b)));
  const stranger = multicluster.find((zone) => !zoneNames.includes(zone));
  if (stranger !== undefined) {
    return refuse(host, at, `multicluster: ${formatName(stranger)} is none of the plugin's zones: ${zoneNames.map(formatName).join(", ")}`);
  }
  const primary = forwardNames[0]; // the cluster's own, if there is one
  if (primary === undefined) return refuse(host, at, "at least one zone must not be a reverse zone");
  const origin = await originOf(options, host, at);
  if (origin === undefined) return {};
  const { registry } = origin;
  if (origin.fromApi) refuseEveryNamespace(host);

  const served: ClusterOptions = {
    namespaces: options.namespaces.length > 0 ? new Set(options.namespaces.flat()) : undefined,
    namespaceLabels: options.namespace_labels?.selects,
    endpointPodNames: options.endpoint_pod_names === true,
    noEndpoints: options.noendpoints === true,
    ignoreEmptyService: options.ignore !== undefined,
    staleAfterMs: options.stale_after ?? DEFAULT_STALE_AFTER_MS,
  };
  const cluster = createCluster(registry, { ...served, serviceLabels: options.labels?.selects });
  const clusterSet = origin.clusterSet && createCluster(origin.clusterSet, { ...served, isClusterSet: true });
  // Names are information in a shared cluster: the nearest one is told only where the asker owns the server.
  const { pods = "disabled", ttl = DEFAULT_TTL_SECONDS, ptr = "all", reasons = host.embedded ? "nearest" : "fixed" } = options;
  const { fallthrough = [] } = options;
  // Addresses of the cluster's own networks are nobody else's, whether or not something has them now.
  const ownNetworks = [...(options.service_cidr ?? []), ...(options.pod_cidr ?? [])].flatMap((network) => zonesOfCidr(network) ?? []);
  const isOwnReverse = (name: Name): boolean => ownNetworks.some((zone) => isWithin(name, zone));
  const fallsThrough = (name: Name): boolean => fallthrough.some((zone) => isWithin(name, zone)) && !isOwnReverse(name);
  // A zone proves absence unless names in it, or all of them, may be somebody else's.
  const isComplete = (apex: Name): boolean =>
    isOwnReverse(apex) || !fallthrough.some((zone) => isWithin(apex, zone) || isWithin(zone, apex));
  const ownAddresses = createOwnAddresses(() => host.dnsSockets().map(({ address }) => address));
  const nearest =
    reasons === "nearest" ? createNearestNames(cluster, { onSpent: () => forward.forEach((zone) => zone.refreshReasons()) }) : undefined;
  const namesNearest = (): boolean => nearest?.isSpent === false;
  const forward = forwardNames.map((apex) => {
    const common = { apex, ttl, complete: isComplete(apex), ownAddresses };
    // The Pods of a cluster set are not known, nor near names searched for.
    if (clusterSet !== undefined && isOfClusterSet(apex)) {
      const own = { pods: pods === "verified" ? "disabled" : pods, reasons: reasons === "nearest" ? "fixed" : reasons } as const;
      return kubernetesZone({ ...common, ...own, cluster: clusterSet, namesNearest: () => false });
    }
    return kubernetesZone({ ...common, cluster, pods, reasons, namesNearest, zonal: options.zonal === true });
  });
  const index = reverseNames.length === 0 ? undefined : createReverseIndex(cluster);
  const reverse =
    index === undefined
      ? []
      : reverseNames.map((apex) => reverseZone({ cluster, index, apex, forward: primary, ttl, ptr, reasons, complete: isComplete(apex) }));
  const zones: readonly Zone[] = [...forward, ...reverse];
  const explain = ({ qname, edns }: Query, zone: Zone, reason: string): string => {
    const isAsked = zone.namesNearest === true && edns !== undefined && zone.staleness === undefined;
    return nearest !== undefined && isAsked ? nearest.explain(zone.apex, qname, reason) : reason;
  };
  const readiness: Readiness = { fromSnapshot: options.ready_from_snapshot === true, whenStale: options.ready_when_stale !== "off" };

  const unreadiness = (): string | undefined => notReadyReason(cluster, readiness) ?? (clusterSet && notReadyReason(clusterSet, readiness));

  return {
    zones,
    cluster: { served: cluster, front: () => frontOf(cluster, ownAddresses()) },
    transparent: true,
    handle: zoneHandler({ name: NAME, zones, fallsThrough, ask: (query) => host.ask(query), explain }),
    metadata: createMetadata({
      zones: forwardNames,
      isOfClusterSet,
      zonal: options.zonal === true,
      podsAt: pods === "verified" ? (address) => registry.podsAt(address) : undefined,
    }),
    ready: () => unreadiness() === undefined,
    notReadyReason: () => unreadiness() ?? "",
    start() {
      for (const zone of forward) zone.refreshFront(); // only now are the sockets' addresses known
    },
    stop() {
      nearest?.close();
      index?.close();
      cluster.close();
      clusterSet?.close();
    },
  };
}

function refuse(host: Host, at: Position, message: string): Instance {
  host.report({ file: at.file, line: at.line, column: at.column, severity: "error", message: `${NAME}: ${message}` });
  return {};
}

// Whoever may make a namespace in the cluster would own the domain of its name: `com`, for one.
function refuseEveryNamespace(host: Host): void {
  const at = host.instance("search")?.everyNamespace;
  if (at === undefined) return;
  const message =
    "search: namespaces all: names of the Kubernetes API's namespaces would hide the Internet's; list the namespaces instead, or use manifests";
  host.report({ file: at.file, line: at.line, column: at.column, severity: "error", message });
}
