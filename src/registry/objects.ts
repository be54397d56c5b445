// The Kubernetes objects, reduced to the fields that DNS (and the service environment variables) need. Every
// source projects what it reads to these shapes; nothing else of an object is kept. All are immutable.

export type Protocol = "TCP" | "UDP" | "SCTP";

/** A port of a Service. `name` is "" for the unnamed one. */
export interface ServicePort {
  readonly name: string;
  readonly protocol: Protocol;
  /** 1–65535 */
  readonly port: number;
  /** Number, or the name of a container's port. Absent: same as `port`. */
  readonly targetPort?: number | string;
}

export type ServiceType = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";

export interface Service {
  readonly kind: "Service";
  readonly namespace: string;
  readonly name: string;
  readonly type: ServiceType;
  /** Canonical text forms (RFC 5952), primary first; empty for headless, ExternalName, and not allocated yet. */
  readonly clusterIPs: readonly string[];
  /** `clusterIP: None` */
  readonly headless: boolean;
  readonly ports: readonly ServicePort[];
  /** Lower-cased text without a trailing dot; "" unless type is ExternalName. */
  readonly externalName: string;
  /** spec.publishNotReadyAddresses, or the old tolerate-unready-endpoints annotation. */
  readonly publishNotReadyAddresses: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** External and load balancer addresses and names (for k8s_external); absent when there are none. */
  readonly external?: readonly string[];
}

export interface EndpointPort {
  /** "" for the unnamed one. */
  readonly name: string;
  readonly protocol: Protocol;
  /** Absent: "any port". */
  readonly port?: number;
}

export interface Endpoint {
  /** Canonical text forms of one family. */
  readonly addresses: readonly string[];
  /** Published: conditions.ready is not false, or the Service publishes addresses that are not ready. */
  readonly ready: boolean;
  readonly hostname?: string;
  /** The Pod behind it (targetRef of kind Pod). */
  readonly podName?: string;
  readonly zone?: string;
}

export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
  /**
   * The label kubernetes.io/service-name; slices without it never reach the registry. In the registry of a cluster set (KEP-1645),
   * whose Services are ServiceImports, multicluster.kubernetes.io/service-name.
   */
  readonly service: string;
  /** The cluster that the endpoints are in: multicluster.kubernetes.io/source-cluster. Only in the registry of a cluster set. */
  readonly cluster?: string;
  readonly addressType: "IPv4" | "IPv6";
  readonly endpoints: readonly Endpoint[];
  readonly ports: readonly EndpointPort[];
}

/** Kept only when `pods verified` asks for it. */
export interface Pod {
  readonly kind: "Pod";
  readonly namespace: string;
  readonly name: string;
  /** status.podIPs, canonical; empty while pending or when finished. */
  readonly addresses: readonly string[];
}

export interface Namespace {
  readonly kind: "Namespace";
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type RegistryObject = Service | EndpointSlice | Pod | Namespace;

/** What a source says has happened. A delete names the object; its other fields are not looked at. */
export interface Change {
  readonly verb: "upsert" | "delete";
  readonly object: RegistryObject;
}

/** A change as the registry tells it: `previous` is what was there, absent for a new object. */
export interface Applied extends Change {
  readonly previous?: RegistryObject;
}
