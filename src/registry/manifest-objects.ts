// What a manifest says, reduced to what DNS needs and checked: the shapes between the files and the registry.
// manifest-projection.ts makes them, manifest-cluster.ts turns them into registry objects as the control plane
// would. All are plain data: they cross from the worker that reads large files.

import type { Position } from "../errors.ts";
import type { Family } from "./kube-names.ts";
import type { Endpoint, EndpointPort, Protocol, ServicePort, ServiceType } from "./objects.ts";
import type { PackedEndpoints } from "./packed-slice.ts";

export type Labels = Readonly<Record<string, string>>;
export type IpFamilyPolicy = "SingleStack" | "PreferDualStack" | "RequireDualStack";

export interface ManifestHead {
  readonly name: string;
  /** "" for a Namespace. */
  readonly namespace: string;
  /** Where the object starts. */
  readonly at: Position;
}

export interface ManifestService extends ManifestHead {
  readonly kind: "Service";
  readonly type: ServiceType;
  readonly headless: boolean;
  readonly ports: readonly ServicePort[];
  /** Absent: the Service's endpoints are somebody else's business. */
  readonly selector?: Labels;
  /** Explicit addresses, canonical, primary first. */
  readonly clusterIPs: readonly string[];
  readonly ipFamilies: readonly Family[];
  readonly ipFamilyPolicy?: IpFamilyPolicy;
  readonly externalName: string;
  readonly publishNotReadyAddresses: boolean;
  readonly labels: Labels;
  readonly external?: readonly string[];
}

export interface ManifestSlice extends ManifestHead {
  readonly kind: "EndpointSlice";
  readonly service: string;
  readonly addressType: Family;
  readonly endpoints: PackedEndpoints;
  readonly ports: readonly EndpointPort[];
}

/** The legacy object: mirrored to slices unless a slice or a selector speaks for its Service. */
export interface ManifestEndpoints extends ManifestHead {
  readonly kind: "Endpoints";
  readonly subsets: readonly { readonly endpoints: readonly Endpoint[]; readonly ports: readonly EndpointPort[] }[];
}

export interface ContainerPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** What a Pod and the template of a workload have in common. */
export interface PodTemplate {
  readonly labels: Labels;
  readonly hostname: string;
  readonly subdomain: string;
  /** Named ports of the containers: what a targetPort in words refers to. */
  readonly ports: readonly ContainerPort[];
}

export interface ManifestPod extends ManifestHead, PodTemplate {
  readonly kind: "Pod";
  /** status.podIPs; absent when the manifest has no status: the Pod then runs, is ready, and gets an address. */
  readonly addresses?: readonly string[];
  readonly ready: boolean;
  /** Succeeded, Failed or being deleted: in no slice, with no address. */
  readonly gone: boolean;
  /** `Kind/name` of its controller, where the manifest tells. */
  readonly owner?: string;
}

export interface ManifestNamespace extends ManifestHead {
  readonly kind: "Namespace";
  readonly labels: Labels;
}

export type WorkloadKind = "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet" | "DaemonSet";

/** A kind that stands for `replicas` Pods. */
export interface ManifestWorkload extends ManifestHead {
  readonly kind: WorkloadKind;
  readonly replicas: number;
  /** Number of the first Pod (StatefulSet's spec.ordinals.start). */
  readonly start: number;
  /** spec.serviceName of a StatefulSet, else "". */
  readonly serviceName: string;
  readonly template: PodTemplate;
  /** `Kind/name` of its controller, where the manifest tells. */
  readonly owner?: string;
}

export type Manifest = ManifestService | ManifestSlice | ManifestEndpoints | ManifestPod | ManifestNamespace | ManifestWorkload;

/** What makes an object the same one, wherever it stands. */
export function keyOfManifest(object: Manifest): string {
  return [object.kind, object.namespace, object.name].join("/"); // a template keeps its pieces: 32 bytes for each object
}

/** Sorted order of places: file, line, column. */
export function comparePlaces(a: Position, b: Position): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
