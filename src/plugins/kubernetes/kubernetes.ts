// kubernetes — answers the names of the Kubernetes DNS specification from the registry. Its zones are views of the
// registry; the answer table serves them, and its handler (handler.ts) says the same, from the same node(), for what the table
// leaves to the chain.

import { dirname, resolve } from "node:path";
import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { isWithin, ROOT, type Name } from "../../dns/name.ts";
import type { Zone } from "../../dns/zone.ts";
import { NdotsError, type Position } from "../../errors.ts";
import { DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR } from "../../registry/cluster-ips.ts";
import { manifestsSource } from "../../registry/manifests.ts";
import type { Registry, Source } from "../../registry/registry.ts";
import { isReverse } from "../../dns/reverse.ts";
import { createCluster } from "./cluster.ts";
import { notReadyReason, type Readiness } from "./freshness.ts";
import { createHandler } from "./handler.ts";
import { createNearestNames } from "./nearest.ts";
import { syntax, type KubernetesOptions } from "./options.ts";
import { createOwnAddresses } from "./own-addresses.ts";
import { createReverseIndex, reverseZone } from "./reverse-zone.ts";
import { kubernetesZone } from "./zone.ts";

const NAME = "kubernetes";
/** CoreDNS's default. */
const DEFAULT_TTL_SECONDS = 5;

const plugin: Plugin<KubernetesOptions> = definePlugin({ name: NAME, syntax, setup });
export default plugin;

function setup(options: KubernetesOptions, host: Host, at: Position): Instance {
  const zoneNames = options.args.length > 0 ? options.args : host.zones;
  const forwardNames = zoneNames.filter((zone) => !isReverse(zone));
  const reverseNames = zoneNames.filter(isReverse);
  const primary = forwardNames[0];
  if (primary === undefined) return refuse(host, at, "at least one zone must not be a reverse zone");
  const registry = registryFor(options, host, at);
  if (registry === undefined) return {};

  const cluster = createCluster(registry, {
    namespaces: options.namespaces && new Set(options.namespaces),
    namespaceLabels: options.namespace_labels,
    serviceLabels: options.labels,
    endpointPodNames: options.endpoint_pod_names === true,
    noEndpoints: options.noendpoints === true,
    ignoreEmptyService: options.ignore !== undefined,
  });
  // Names are information in a shared cluster: the nearest one is told only where the asker owns the server.
  const { pods = "disabled", ttl = DEFAULT_TTL_SECONDS, ptr = "all", reasons = host.embedded ? "nearest" : "fixed" } = options;
  const fallthrough = options.fallthrough?.length === 0 ? [ROOT] : (options.fallthrough ?? []);
  const ownAddresses = createOwnAddresses(() => host.listenAddresses());
  const nearest =
    reasons === "nearest" ? createNearestNames(cluster, { onSpent: () => forward.forEach((zone) => zone.refreshReasons()) }) : undefined;
  const namesNearest = (): boolean => nearest?.isSpent === false;
  const forward = forwardNames.map((apex) =>
    kubernetesZone({ cluster, apex, ttl, pods, reasons, complete: isComplete(apex, fallthrough), namesNearest, ownAddresses }),
  );
  const index = reverseNames.length === 0 ? undefined : createReverseIndex(cluster);
  const reverse =
    index === undefined
      ? []
      : reverseNames.map((apex) =>
          reverseZone({ cluster, index, apex, forward: primary, ttl, ptr, reasons, complete: isComplete(apex, fallthrough) }),
        );
  const readiness: Readiness = { fromSnapshot: false, whenStale: true };
  const zones: readonly Zone[] = [...forward, ...reverse];

  return {
    zones,
    transparent: true,
    handle: createHandler({ zones, fallthrough, nearest }),
    ready: () => notReadyReason(registry, readiness) === undefined,
    notReadyReason: () => notReadyReason(registry, readiness) ?? "",
    start() {
      for (const zone of forward) zone.refreshFront(); // only now are the sockets' addresses known
    },
    stop() {
      nearest?.close();
      index?.close();
      cluster.close();
    },
  };
}

function refuse(host: Host, at: Position, message: string): Instance {
  host.report({ file: at.file, line: at.line, column: at.column, severity: "error", message: `${NAME}: ${message}` });
  return {};
}

// A zone proves absence unless names in it, or all of them, may be somebody else's.
function isComplete(apex: Name, fallthrough: readonly Name[]): boolean {
  return !fallthrough.some((zone) => isWithin(apex, zone) || isWithin(zone, apex));
}

function registryFor(options: KubernetesOptions, host: Host, at: Position): Registry | undefined {
  if (options.manifests === undefined) {
    if (host.embedded) return host.registry();
    refuse(host, at, 'the Kubernetes API as a source is not in this version yet; name manifests: "manifests PATH..." in its block');
    return undefined;
  }
  const folder = dirname(host.file);
  const { manifests } = options;
  const source = {
    paths: manifests.paths.map((path) => resolve(folder, path)),
    namespace: manifests.namespace,
    serviceCidr: options.service_cidr ?? [DEFAULT_SERVICE_CIDR],
    podCidr: options.pod_cidr ?? [DEFAULT_POD_CIDR],
    ...(options.state === undefined ? {} : { state: resolve(folder, options.state) }),
    pods: options.pods === "verified" ? "keep" : "drop",
  } as const;
  const create = (): Source =>
    manifestsSource({
      ...source,
      onFinding: (finding) => host.report(finding),
      onNote: (text) => host.log.info(text),
      onLoaded: ({ files, objects, errors, tookMs }) =>
        host.log.info(
          `${objects} objects from ${files} files of ${source.paths.join(", ")}, ${errors} errors, in ${Math.round(tookMs)} ms`,
        ),
    });
  try {
    return host.registry({ key: `manifests ${JSON.stringify(source)}`, create });
  } catch (error) {
    if (!(error instanceof NdotsError)) throw error;
    refuse(host, at, error.message);
    return undefined;
  }
}
