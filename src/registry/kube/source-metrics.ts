// What is counted of the Kubernetes source: CoreDNS's DNS programming latency under its name and with its meaning, and the
// reflectors' work. Fed by kube-api.ts; ages and sizes are read when they are asked for.

import type { Clock } from "../../clock.ts";
import { type Counter, type Metrics, type MetricsScope, TIME_BUCKETS } from "../../metrics.ts";
import type { Registry } from "../registry.ts";
import { creationTimeOf, identify, isSelected, serviceOfSlice, triggerTimeOf } from "./projection.ts";
import type { WatchEvent } from "./reflector.ts";
import type { Resource } from "./resources.ts";

export interface SourceMetrics {
  readonly relists: Counter;
  readonly restarts: Counter;
  readonly skipped: Counter;
  /** Events that changed something, right after they were applied. `receivedMs` is monotonic. */
  applied(resource: Resource, events: readonly WatchEvent[], receivedMs: number): void;
  /** The gauges vanish; the counters stay for the next source. */
  close(): void;
}

export interface SourceMetricsOptions {
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly resources: readonly Resource[];
  /** Seconds since the server has last sent something of a resource. */
  readonly ageMs: (resource: string) => number | undefined;
  readonly sizeOf: (resource: Resource) => number;
  /** The Services that are watched have labels: one that gets them is ADDED long after it was made. */
  readonly isSelective: boolean;
}

/** Seconds: 1 ms to 524 s, CoreDNS's. */
const PROGRAMMING_BUCKETS: readonly number[] = Array.from({ length: 20 }, (_, n) => 0.001 * 2 ** n);

export function createSourceMetrics(options: SourceMetricsOptions): SourceMetrics {
  const { clock, registry, resources, ageMs, sizeOf, isSelective } = options;
  const metrics: MetricsScope = options.metrics.scope();
  const names = [...new Set(resources.map(({ name }) => name))];
  const programming = metrics.histogram(
    "coredns_kubernetes_dns_programming_duration_seconds",
    "Histogram of the time (in seconds) it took to program a dns instance.",
    PROGRAMMING_BUCKETS,
  );
  const lag = metrics.histogram(
    "ndots_kubernetes_event_lag_seconds",
    "Time from the arrival of a watch event to the answers that follow from it.",
    TIME_BUCKETS,
  );
  const counter = (name: string, help: string): Counter => {
    const made = metrics.counter(name, help);
    for (const resource of names) made.add({ resource }, 0);
    return made;
  };
  metrics.register({
    name: "ndots_kubernetes_last_contact_seconds",
    help: "Seconds since the API server has last sent something of a resource; about a minute at most while all is well.",
    type: "gauge",
    join: Math.max, // of several sources, the one that has heard nothing for longest
    collect: () =>
      names.flatMap((resource) => {
        const age = ageMs(resource);
        return age === undefined ? [] : [{ labels: { resource }, value: age / 1000 }];
      }),
  });
  metrics.register({
    name: "ndots_registry_objects",
    help: "Objects held, by kind.",
    type: "gauge",
    join: (one, other) => one + other,
    collect: () => {
      const sizes = new Map<string, number>();
      for (const resource of resources) sizes.set(resource.kind, (sizes.get(resource.kind) ?? 0) + sizeOf(resource));
      return [...sizes].map(([kind, value]) => ({ labels: { kind }, value }));
    },
  });

  // Headless Services as CoreDNS does it, from what the slice's controller says; what has a ClusterIP from its creation,
  // for its endpoints are nothing to DNS. Clocks differ: what seems to come from the future took no time.
  function programmed(resource: Resource, { type, object }: WatchEvent): void {
    const since = (ms: number, kind: string): void => programming.observe(Math.max(0, clock.now() - ms) / 1000, { service_kind: kind });
    if (resource.kind === "EndpointSlice") {
      const triggeredMs = triggerTimeOf(object);
      if (triggeredMs === undefined) return;
      const service = registry.service(identify(object).namespace, serviceOfSlice(object));
      if (service?.headless === true) since(triggeredMs, isSelected(object) ? "headless_with_selector" : "headless_without_selector");
    } else if (resource.kind === "Service" && type === "ADDED" && !isSelective) {
      const { namespace, name } = identify(object);
      const createdMs = creationTimeOf(object);
      if (createdMs !== undefined && registry.service(namespace, name)?.clusterIPs.length !== 0) since(createdMs, "cluster_ip");
    }
  }

  return {
    relists: counter("ndots_kubernetes_relists_total", "Lists that were needed because a watch could not go on where it was."),
    restarts: metrics.counter("ndots_kubernetes_watch_restarts_total", "Watches that ended and were opened again, by reason."),
    skipped: counter("ndots_kubernetes_skipped_objects_total", "Objects of the API server that can't be used and are left out."),
    applied(resource, events, receivedMs) {
      const seconds = (clock.monotonic() - receivedMs) / 1000;
      for (const event of events) {
        lag.observe(seconds, { resource: resource.name });
        if (registry.synced) programmed(resource, event);
      }
    },
    close: () => metrics.close(),
  };
}
