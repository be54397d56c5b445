// The Kubernetes API as a source: made by the `kubernetes` plugin, run by the server like every Source. What is here only
// puts the parts together; each part is a file in kube/.
//
//   API server ─► client.ts ─► reflector.ts ─► stream.ts ─► mirror.ts ─► Registry         one reflector a resource
//                  bytes        list, watch     objects      projection.ts: the fields kept; what differs
//                                  │
//                                  └─► source-state.ts: known, stale, problem, log · source-metrics.ts
//   snapshot.ts ─► Registry, before the first list; and back, once all is listed
//
// The API server may be away, slow or wrong: the registry keeps what it was last told, and says so.

import { setMaxListeners } from "node:events";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { createKubeClient, type KubeAccess, type KubeClient, type KubeLimits } from "./kube/client.ts";
import { createMirror } from "./kube/mirror.ts";
import { reflect, type Problem } from "./kube/reflector.ts";
import { resourcesFor, type Resource } from "./kube/resources.ts";
import { keepSnapshot, loadSnapshot } from "./kube/snapshot.ts";
import { createSourceMetrics } from "./kube/source-metrics.ts";
import { createSourceState } from "./kube/source-state.ts";
import type { Change } from "./objects.ts";
import type { Source, WritableRegistry } from "./registry.ts";

export interface KubeApiOptions {
  readonly access: KubeAccess;
  /** Only these namespaces; up to ten are watched one by one, so that a Role in each is enough. */
  readonly namespaces?: readonly string[];
  /** A label selector; other Services are not even sent. */
  readonly serviceLabels?: string;
  /** Whether EndpointSlices are watched. */
  readonly endpoints: boolean;
  /** Whether Pods are watched (`pods verified` needs them). */
  readonly pods: "keep" | "drop";
  /** Whether endpoints keep the names of their Pods (`endpoint_pod_names` needs them); not if absent. */
  readonly podNames?: "keep" | "drop";
  /** Whether endpoints keep their topology zones (`zonal` needs them); not if absent. */
  readonly zones?: "keep" | "drop";
  /** Watches the ServiceImports of a cluster set (KEP-1645) instead of Services: a registry of its own. */
  readonly multicluster: boolean;
  /** Without a word from the API server for so long, the registry counts as stale. */
  readonly staleAfterMs: number;
  readonly snapshot?: { readonly file: string; readonly maxAgeMs: number };
  readonly limits: KubeLimits;
  readonly clock: Clock;
  /** The plugin's. */
  readonly log: Log;
  readonly metrics: Metrics;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Opens the client; injected by tests. Default: by `access`. */
  readonly connect?: () => Promise<KubeClient>;
  /** A number from 0 up to 1; injected by tests. */
  readonly random?: () => number;
}

const FORBIDDEN = 403;

/** A source that keeps the registry equal to the API server's objects. Its run() rejects with NdotsError for an access that can't be used. */
export function kubeApiSource(options: KubeApiOptions): Source {
  return { name: "kubernetes", run: (registry, synced, signal) => run(options, registry, synced, signal) };
}

async function run(options: KubeApiOptions, registry: WritableRegistry, synced: () => void, signal: AbortSignal): Promise<void> {
  const { clock, log, staleAfterMs, snapshot, serviceLabels, random } = options;
  const client = await (options.connect?.() ?? createKubeClient(options));
  const { host } = client;
  const resources = resourcesFor(options);
  const state = createSourceState({ resources, registry, clock, log, staleAfterMs, host, onSynced: synced });
  const mirrors = new Map(resources.map((resource) => [resource, mirrorOf(resource)]));
  const metrics = createSourceMetrics({
    metrics: options.metrics,
    clock,
    registry,
    resources,
    ageMs: (name) => state.ageMs(name),
    sizeOf: (resource) => mirrors.get(resource)?.size ?? 0,
    isSelective: serviceLabels !== undefined,
  });
  const apply = (changes: readonly Change[]): void => registry.apply(...changes);

  // A few for each resource; Node warns of more than ten.
  setMaxListeners(0, signal);
  try {
    const kept = snapshot && { ...snapshot, identity: identityOf(host, resources), clock, log };
    // A second run has something newer than a snapshot.
    if (kept !== undefined && !registry.synced && (await loadSnapshot({ ...kept, apply }))) {
      registry.setFreshness("snapshot");
      synced();
    }
    adopt();
    await Promise.all([
      ...resources.map((resource) => follow(resource)),
      state.watchAges(signal),
      kept === undefined ? undefined : keepSnapshot({ ...kept, registry }, signal),
    ]);
  } finally {
    metrics.close();
    client.close();
  }

  function mirrorOf(resource: Resource): ReturnType<typeof createMirror> {
    return createMirror({
      project: resource.project,
      onSkip(what) {
        metrics.skipped.add({ resource: resource.name });
        state.skipped(resource, what);
      },
    });
  }

  // What the registry holds already, from a snapshot or from a run that has failed, is compared with the first lists.
  function adopt(): void {
    for (const object of registry.objects()) {
      for (const [{ kind, namespace }, mirror] of mirrors) {
        if (kind !== object.kind || (namespace !== undefined && "namespace" in object && object.namespace !== namespace)) continue;
        mirror.adopt(object);
        break;
      }
    }
  }

  function follow(resource: Resource): Promise<void> {
    const { path, query, name } = resource;
    const mirror = mirrors.get(resource) ?? mirrorOf(resource);
    return reflect(
      {
        path,
        query,
        client,
        clock,
        mirror,
        apply,
        onListed: () => state.listed(resource),
        onApplied: (events, receivedMs) => metrics.applied(resource, events, receivedMs),
        onContact: () => state.contact(resource),
        onProblem: (problem) => (isAssumed(resource, problem) ? assumeNamespaces(resource) : state.problem(resource, problem)),
        onRelist: () => metrics.relists.add({ resource: name }),
        onRestart: (reason) => metrics.restarts.add({ resource: name, reason }),
        onTooLarge(bytes) {
          metrics.skipped.add({ resource: name });
          state.skipped(resource, `it has more than ${bytes - 1} bytes`);
        },
        ...(random !== undefined && { random }),
      },
      signal,
    );
  }

  // A namespaced Role gives no right to namespaces: those that are listed are taken as there.
  function isAssumed({ kind }: Resource, problem: Problem | undefined): boolean {
    return kind === "Namespace" && problem?.status === FORBIDDEN && options.namespaces !== undefined;
  }

  function assumeNamespaces(resource: Resource): void {
    const missing = (options.namespaces ?? []).filter((name) => registry.namespace(name) === undefined);
    for (const name of missing) {
      const object = { kind: "Namespace", name, labels: {} } as const;
      mirrors.get(resource)?.adopt(object);
      apply([{ verb: "upsert", object }]);
    }
    state.contact(resource);
    state.problem(resource, undefined);
    state.listed(resource);
  }
}

// Whose objects a snapshot has, and which of them.
function identityOf(host: string, resources: readonly Resource[]): string {
  const asked = resources.map(({ path, query }) => `${path}?${new URLSearchParams(query).toString()}`);
  return [host, ...asked].join(" ");
}
