// The control plane in small: manifests come and go (replace), and what the API would then hold comes out as changes
// for the registry (settle). It settles who wins of two objects of one name, gives out addresses, keeps Pods of
// workloads, and evaluates selectors. No I/O; manifests.ts feeds it. An edit costs what it touches: Services and Pods
// find each other over an index by label pair.
//
//   applied      kind/ns/name → the manifest that counts: of several the first in sorted order
//   rivals       kind/ns/name → all manifests of that name, where there are several (or a change is pending)
//   services     ns/name → what belongs to one Service: manifest, slices, legacy Endpoints, what the registry was told
//   neighbours   namespace → label pair → Pods that have it, Services that look for it

import { isDeepStrictEqual } from "node:util";
import type { Finding, Position } from "../errors.ts";
import { type AddressRange, checkDisjoint, createAllocator, createClusterIPs, parseRanges } from "./cluster-ips.ts";
import { NO_LABELS } from "./manifest-fields.ts";
import {
  comparePlaces,
  keyOfManifest,
  type Labels,
  type Manifest,
  type ManifestEndpoints,
  type ManifestNamespace,
  type ManifestPod,
  type ManifestService,
  type ManifestSlice,
  type ManifestWorkload,
} from "./manifest-objects.ts";
import type { Change, EndpointSlice, Namespace, Pod, Service } from "./objects.ts";
import { manualSlice, mirrorEndpoints, type PlacedPod, podsOf, selects, slicesOf } from "./selectors.ts";

export interface ClusterOptions {
  readonly serviceCidr: readonly string[];
  readonly podCidr: readonly string[];
  /** Addresses from before a restart, by `namespace/name`. */
  readonly remembered?: ReadonlyMap<string, readonly string[]>;
  /** Whether Pods go to the registry (`pods verified` needs them). */
  readonly pods: "keep" | "drop";
  onFinding(finding: Finding): void;
  onNote(text: string): void;
}

export interface ManifestCluster {
  /** Objects of one file that are gone, and that are there now. Nothing happens until settle(). */
  replace(before: readonly Manifest[], after: readonly Manifest[]): void;
  /** The changes that follow, in batches that belong together; may be left for a while between two of them. */
  settle(): Generator<readonly Change[], void>;
  /** Allocated ClusterIPs by `namespace/name`, for the state file. */
  chosen(): Readonly<Record<string, readonly string[]>>;
}

interface ServiceState {
  readonly key: string;
  wanted: ManifestService | undefined;
  /** The last one that got its addresses. */
  accepted: { readonly service: ManifestService; readonly clusterIPs: readonly string[] } | undefined;
  manual: readonly ManifestSlice[];
  legacy: ManifestEndpoints | undefined;
  /** The label pair under which its selector is indexed. */
  pair: string | undefined;
  told: Service | undefined;
  toldSlices: readonly EndpointSlice[];
}

interface PodState extends PlacedPod {
  pod: ManifestPod;
  addresses: readonly string[];
  gone: boolean;
  told: Pod | undefined;
}

interface Neighbours {
  readonly pods: Map<string, Set<PodState>>;
  readonly services: Map<string, Set<ServiceState>>;
}

interface NamespaceState {
  objects: number;
  explicit: ManifestNamespace | undefined;
  told: Namespace | undefined;
}

// Steps of work between two chances to pause. A Service with its endpoints takes the zones and the answer table some 0.2 ms.
const STEPS_PER_BATCH = 16;

/** An empty cluster, but for the namespace `default`. Throws NDOTS_ERR_RANGE for ranges that can't be used. */
export function createManifestCluster(options: ClusterOptions): ManifestCluster {
  const serviceRanges = parseRanges(options.serviceCidr);
  const podRanges = parseRanges(options.podCidr);
  checkDisjoint(serviceRanges, podRanges);
  const clusterIPs = createClusterIPs(serviceRanges, options.remembered);
  const podAddresses = createAllocator(podRanges);
  const applied = new Map<string, Manifest>();
  const rivals = new Map<string, readonly Manifest[]>();
  const services = new Map<string, ServiceState>();
  const pods = new Map<string, PodState>();
  const neighbours = new Map<string, Neighbours>();
  const namespaces = new Map<string, NamespaceState>([["default", { objects: 1, explicit: undefined, told: undefined }]]);
  /** Pods of manifests by the controller they name: such a controller's Pods are known and need not be made up. */
  const owned = new Map<string, number>();
  const podsOfWorkload = new Map<string, readonly ManifestPod[]>();
  const refused = new Map<ServiceState, string>();
  const reported = new WeakMap<Manifest, Manifest>();
  const noted = new WeakSet<Manifest>();

  const dirtyNames = new Set<string>();
  const dirtyWorkloads = new Set<string>();
  const dirtyPods = new Set<string>();
  const dirtyServices = new Set<ServiceState>();
  const dirtyNamespaces = new Set<string>(["default"]);

  function* settle(): Generator<readonly Change[], void> {
    const made: ManifestPod[] = [];
    yield* paced(dirtyNames, applyWinner);
    yield* paced([...dirtyWorkloads].sort(), (key) => made.push(...renewWorkload(key)));
    yield* paced(made, (pod) => putPod(pod, podKey(pod)));
    yield* acceptServices();
    const ended = yield* tellNamespaces();
    yield* batched(dirtyPods, tellPod);
    yield* batched(dirtyServices, tellService);
    yield ended;
    for (const set of [dirtyNames, dirtyWorkloads, dirtyPods, dirtyServices, dirtyNamespaces]) set.clear();
  }

  function applyWinner(key: string): void {
    const before = applied.get(key);
    const [winner, ...losers] = [...claimsOf(key)].sort((a, b) => comparePlaces(a.at, b.at));
    for (const loser of losers) reportDuplicate(loser, winner as Manifest);
    if (losers.length === 0) rivals.delete(key);
    if (winner === before) return;
    if (before !== undefined) countIn(before, -1);
    if (winner === undefined) applied.delete(key);
    else {
      countIn(winner, 1);
      applied.set(key, winner);
    }
    apply(before, winner);
  }

  function claimsOf(key: string): readonly Manifest[] {
    const winner = applied.get(key);
    return rivals.get(key) ?? (winner === undefined ? [] : [winner]);
  }

  function reportDuplicate(loser: Manifest, winner: Manifest): void {
    if (reported.get(loser) === winner) return;
    reported.set(loser, winner);
    const name = loser.namespace === "" ? loser.name : `${loser.namespace}/${loser.name}`;
    const message = `${loser.kind} "${name}" is already defined at ${formatPlace(winner.at)}: that one is served, the first in sorted order`;
    options.onFinding({ ...loser.at, severity: "error", message });
  }

  function countIn(object: Manifest, step: 1 | -1): void {
    const name = object.kind === "Namespace" ? object.name : object.namespace;
    const state = namespaces.get(name) ?? { objects: 0, explicit: undefined, told: undefined };
    namespaces.set(name, state);
    state.objects += step;
    if (object.kind === "Namespace") state.explicit = step === 1 ? object : undefined;
    dirtyNamespaces.add(name);
  }

  function apply(before: Manifest | undefined, after: Manifest | undefined): void {
    const object = (after ?? before) as Manifest;
    switch (object.kind) {
      case "Namespace":
        return;
      case "Service":
        serviceState(object.namespace, object.name).wanted = after as ManifestService | undefined;
        return;
      case "EndpointSlice": {
        const [gone, come] = [before as ManifestSlice | undefined, after as ManifestSlice | undefined];
        if (gone !== undefined) {
          const state = serviceState(gone.namespace, gone.service);
          state.manual = state.manual.filter((slice) => slice !== gone);
        }
        if (come !== undefined) {
          const state = serviceState(come.namespace, come.service);
          state.manual = state.manual.concat(come);
        }
        return;
      }
      case "Endpoints":
        serviceState(object.namespace, object.name).legacy = after as ManifestEndpoints | undefined;
        return;
      case "Pod": {
        for (const [pod, step] of [
          [before, -1],
          [after, 1],
        ] as const)
          if (pod !== undefined) countOwned(pod as ManifestPod, step);
        putPod(after as ManifestPod | undefined, podKey(object));
        // A StatefulSet gets back the Pod whose name a manifest had taken.
        dirtyWorkloads.add(`StatefulSet/${object.namespace}/${object.name.replace(/-\d+$/, "")}`);
        return;
      }
      default:
        dirtyWorkloads.add(keyOfManifest(object));
    }
  }

  function serviceState(namespace: string, name: string): ServiceState {
    const key = [namespace, name].join("/"); // a template keeps its pieces: 32 bytes for each Service
    let state = services.get(key);
    if (state === undefined) {
      state = {
        key,
        wanted: undefined,
        accepted: undefined,
        manual: [],
        legacy: undefined,
        pair: undefined,
        told: undefined,
        toldSlices: [],
      };
      services.set(key, state);
    }
    dirtyServices.add(state);
    return state;
  }

  // A dump of a cluster has the Deployment, its ReplicaSet and the Pods; the Pods are what is true.
  function countOwned(pod: ManifestPod, step: 1 | -1): void {
    if (pod.owner === undefined) return;
    const [kind, name] = pod.owner.split("/") as [string, string];
    const keys = [`${kind}/${pod.namespace}/${name}`];
    if (kind === "ReplicaSet") keys.push(`Deployment/${pod.namespace}/${name.replace(/-[^-]*$/, "")}`);
    for (const key of keys) {
      const count = (owned.get(key) ?? 0) + step;
      if (count === 0) owned.delete(key);
      else owned.set(key, count);
      if (applied.has(key)) dirtyWorkloads.add(key);
    }
  }

  /** Takes back the Pods that a workload no longer stands for; gives those it stands for now. */
  function renewWorkload(key: string): readonly ManifestPod[] {
    const workload = applied.get(key) as ManifestWorkload | undefined;
    const belongsToOther = workload?.kind === "ReplicaSet" && workload.owner?.startsWith("Deployment/") === true;
    const now = workload === undefined || belongsToOther || owned.has(key) ? [] : podsOf(workload);
    const names = new Set(now.map(podKey));
    for (const pod of podsOfWorkload.get(key) ?? []) {
      // A manifest's own Pod of that name is not the workload's to take away.
      if (!names.has(podKey(pod)) && pods.get(podKey(pod))?.pod === pod) putPod(undefined, podKey(pod));
    }
    if (now.length > 0) podsOfWorkload.set(key, now);
    else podsOfWorkload.delete(key);
    return now.filter((pod) => !applied.has(keyOfManifest(pod)));
  }

  function putPod(pod: ManifestPod | undefined, key: string): void {
    dirtyPods.add(key);
    const state = pods.get(key);
    const hasOwn = state !== undefined && !state.gone && state.pod.addresses === undefined;
    if (state !== undefined && !state.gone) {
      indexPod(state, "remove");
      if (!(hasOwn && pod !== undefined && pod.addresses === undefined))
        for (const address of state.addresses) podAddresses.release(key, address);
    }
    if (pod === undefined) {
      if (state !== undefined) state.gone = true;
      return;
    }
    const addresses = hasOwn && pod.addresses === undefined ? state.addresses : addressesFor(pod, key);
    const next: PodState = state ?? { pod, addresses, gone: false, told: undefined };
    Object.assign(next, { pod, addresses, gone: false });
    pods.set(key, next);
    indexPod(next, "add");
  }

  function addressesFor(pod: ManifestPod, key: string): readonly string[] {
    if (pod.addresses !== undefined) {
      for (const address of pod.addresses) podAddresses.claim(key, address);
      return pod.addresses;
    }
    const addresses: string[] = [];
    for (const range of podRanges) {
      const address = podAddresses.allocate(key, range);
      if (address === undefined) exhausted(pod, range);
      else addresses.push(address);
    }
    return addresses.slice();
  }

  function exhausted(pod: ManifestPod, range: AddressRange): void {
    const message = `Pod "${podKey(pod)}" gets no address: pod_cidr ${range.cidr} is full (${range.size} addresses)`;
    options.onFinding({ ...pod.at, severity: "error", message });
  }

  function indexPod(placed: PodState, verb: "add" | "remove"): void {
    const near = neighboursOf(placed.pod.namespace);
    for (const pair of pairsOf(placed.pod.labels)) {
      const sharing = near.pods.get(pair) ?? new Set<PodState>();
      if (verb === "add") near.pods.set(pair, sharing.add(placed));
      else if (sharing.delete(placed) && sharing.size === 0) near.pods.delete(pair);
      for (const state of near.services.get(pair) ?? []) {
        if (selects(state.accepted?.service.selector ?? NO_LABELS, placed.pod.labels)) dirtyServices.add(state);
      }
    }
  }

  function neighboursOf(namespace: string): Neighbours {
    const found = neighbours.get(namespace) ?? { pods: new Map(), services: new Map() };
    neighbours.set(namespace, found);
    return found;
  }

  function* acceptServices(): Generator<readonly Change[], void> {
    const asking = new Set<ManifestService>();
    for (const state of dirtyServices) {
      if (state.wanted === undefined) withdraw(state);
      else if (state.wanted !== state.accepted?.service) asking.add(state.wanted);
    }
    for (const state of refused.keys()) if (state.wanted !== undefined) asking.add(state.wanted);
    const inOrder = clusterIPs.order([...asking]);
    clusterIPs.exchange(inOrder);
    // Twice, for what one Service gives back may be what another asks for.
    const failed = new Map<ManifestService, string>();
    yield* paced(inOrder, (service) => accept(service, failed));
    yield* paced([...failed.keys()], (service) => accept(service, failed));
    for (const [service, fault] of failed) {
      const message = `Service "${service.namespace}/${service.name}": ${fault}`;
      const state = services.get(`${service.namespace}/${service.name}`) as ServiceState;
      if (refused.get(state) !== message) options.onFinding({ ...service.at, severity: "error", message });
      refused.set(state, message);
    }
  }

  function accept(service: ManifestService, failed: Map<ManifestService, string>): void {
    const state = services.get(`${service.namespace}/${service.name}`) as ServiceState;
    const allocation = clusterIPs.allocate(service);
    if ("error" in allocation) {
      failed.set(service, allocation.error);
      return;
    }
    failed.delete(service);
    refused.delete(state);
    state.accepted = { service, clusterIPs: allocation.addresses };
    dirtyServices.add(state);
    indexSelector(state);
  }

  function withdraw(state: ServiceState): void {
    refused.delete(state);
    if (state.accepted === undefined) return;
    const { namespace, name } = state.accepted.service;
    clusterIPs.release(namespace, name);
    state.accepted = undefined;
    indexSelector(state, namespace);
  }

  // Under the pair that the fewest Services look for: one that all have (app.kubernetes.io/part-of) finds too many.
  function indexSelector(state: ServiceState, namespace: string = state.key.slice(0, state.key.indexOf("/"))): void {
    const index = neighboursOf(namespace).services;
    if (state.pair !== undefined) {
      const sharing = index.get(state.pair);
      sharing?.delete(state);
      if (sharing?.size === 0) index.delete(state.pair);
    }
    const pairs = pairsOf(state.accepted?.service.selector ?? NO_LABELS);
    state.pair = pairs.reduce<string | undefined>(
      (best, pair) => (best === undefined || sizeOf(index, pair) < sizeOf(index, best) ? pair : best),
      undefined,
    );
    if (state.pair !== undefined) index.set(state.pair, (index.get(state.pair) ?? new Set<ServiceState>()).add(state));
  }

  function* tellNamespaces(): Generator<readonly Change[], readonly Change[]> {
    const begun: Change[] = [];
    const ended: Change[] = [];
    for (const name of dirtyNamespaces) {
      const state = namespaces.get(name) as NamespaceState;
      if (state.objects === 0) {
        if (state.told !== undefined) ended.push({ verb: "delete", object: state.told });
        namespaces.delete(name);
        neighbours.delete(name);
        continue;
      }
      const object: Namespace = { kind: "Namespace", name, labels: state.explicit?.labels ?? NO_LABELS };
      if (!isDeepStrictEqual(object, state.told)) begun.push({ verb: "upsert", object });
      state.told = object;
    }
    yield begun;
    return ended;
  }

  function tellPod(key: string): readonly Change[] {
    const state = pods.get(key);
    if (state?.gone === true) pods.delete(key);
    if (state === undefined || options.pods === "drop") return [];
    if (state.gone) return state.told === undefined ? [] : [{ verb: "delete", object: state.told }];
    const { namespace, name, gone } = state.pod;
    const object: Pod = { kind: "Pod", namespace, name, addresses: gone ? [] : state.addresses };
    if (isDeepStrictEqual(object, state.told)) return [];
    state.told = object;
    return [{ verb: "upsert", object }];
  }

  function tellService(state: ServiceState): readonly Change[] {
    const changes: Change[] = [];
    const { accepted, told } = state;
    const service = accepted === undefined ? undefined : registryService(accepted.service, accepted.clusterIPs);
    const slices = accepted === undefined ? [] : registrySlices(state, accepted.service);
    if (service === undefined && told !== undefined) changes.push({ verb: "delete", object: told });
    if (service !== undefined && !isDeepStrictEqual(service, told)) changes.push({ verb: "upsert", object: service });
    const before = new Map(state.toldSlices.map((slice) => [slice.name, slice]));
    for (const slice of slices) {
      if (!isDeepStrictEqual(slice, before.get(slice.name))) changes.push({ verb: "upsert", object: slice });
      before.delete(slice.name);
    }
    for (const slice of before.values()) changes.push({ verb: "delete", object: slice });
    state.told = service;
    state.toldSlices = slices;
    if (accepted === undefined) noteOrphans(state);
    if (state.wanted === undefined && state.manual.length === 0 && state.legacy === undefined) services.delete(state.key);
    return changes;
  }

  function registrySlices(state: ServiceState, service: ManifestService): EndpointSlice[] {
    if (service.type === "ExternalName") return [];
    const manual = state.manual.map((slice) => manualSlice(service, slice));
    manual.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (service.selector !== undefined) {
      const { selector } = service;
      const candidates = neighboursOf(service.namespace).pods.get(state.pair as string) ?? new Set<PodState>();
      const selected = [...candidates].filter(({ pod }) => selects(selector, pod.labels));
      selected.sort((a, b) => (a.pod.name < b.pod.name ? -1 : 1));
      return [...slicesOf(service, selected, clusterIPs.families(service)), ...manual];
    }
    if (manual.length > 0 || state.legacy === undefined) return manual;
    return mirrorEndpoints(service, state.legacy);
  }

  function noteOrphans(state: ServiceState): void {
    if (state.wanted !== undefined) return;
    for (const slice of state.manual) {
      if (noted.has(slice)) continue;
      noted.add(slice);
      options.onNote(
        `${formatPlace(slice.at)}: EndpointSlice ${slice.namespace}/${slice.name}: ignored: there is no Service "${state.key}"`,
      );
    }
  }

  return {
    settle,
    chosen: () => clusterIPs.chosen(),
    replace(before, after) {
      for (const object of before) {
        const key = keyOfManifest(object);
        rivals.set(
          key,
          claimsOf(key).filter((other) => other !== object),
        );
        dirtyNames.add(key);
      }
      for (const object of after) {
        const key = keyOfManifest(object);
        rivals.set(key, [...claimsOf(key), object]);
        dirtyNames.add(key);
      }
    },
  };
}

function* paced<T>(items: Iterable<T>, step: (item: T) => void): Generator<readonly Change[], void> {
  let steps = 0;
  for (const item of items) {
    step(item);
    if (++steps % STEPS_PER_BATCH === 0) yield [];
  }
}

function* batched<T>(items: Iterable<T>, step: (item: T) => readonly Change[]): Generator<readonly Change[], void> {
  let batch: Change[] = [];
  for (const item of items) {
    batch.push(...step(item));
    if (batch.length < STEPS_PER_BATCH) continue;
    yield batch;
    batch = [];
  }
  yield batch;
}

function registryService(manifest: ManifestService, clusterIPs: readonly string[]): Service {
  const { namespace, name, type, headless, ports, externalName, publishNotReadyAddresses, labels, external } = manifest;
  return {
    kind: "Service",
    namespace,
    name,
    type,
    clusterIPs,
    headless,
    ports,
    externalName,
    publishNotReadyAddresses,
    labels,
    ...(external === undefined ? {} : { external }),
  };
}

function podKey(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`;
}

function pairsOf(labels: Labels): string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`);
}

function sizeOf(index: ReadonlyMap<string, ReadonlySet<unknown>>, pair: string): number {
  return index.get(pair)?.size ?? 0;
}

function formatPlace(at: Position): string {
  return `${at.file}:${at.line}`;
}
