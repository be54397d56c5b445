// The resources that the fake API server has, and the shape of what it sends of each. Everything else takes its names,
// paths and kinds from this table.

export interface Resource {
  /** As in paths: `services`. */
  readonly name: string;
  readonly kind: string;
  /** "" for the core group. */
  readonly group: string;
  readonly apiVersion: string;
  readonly namespaced: boolean;
  /** What a bookmark holds beside its metadata: the empty struct, as Go writes it. */
  readonly empty: Readonly<Record<string, unknown>>;
}

export type ResourceName = "services" | "endpointslices" | "endpoints" | "pods" | "namespaces" | "serviceimports";

export const resources: Readonly<Record<ResourceName, Resource>> = {
  services: {
    name: "services",
    kind: "Service",
    group: "",
    apiVersion: "v1",
    namespaced: true,
    empty: { spec: {}, status: { loadBalancer: {} } },
  },
  endpointslices: {
    name: "endpointslices",
    kind: "EndpointSlice",
    group: "discovery.k8s.io",
    apiVersion: "discovery.k8s.io/v1",
    namespaced: true,
    empty: { addressType: "", endpoints: null, ports: null },
  },
  endpoints: { name: "endpoints", kind: "Endpoints", group: "", apiVersion: "v1", namespaced: true, empty: {} },
  pods: {
    name: "pods",
    kind: "Pod",
    group: "",
    apiVersion: "v1",
    namespaced: true,
    empty: { spec: { containers: null }, status: {} },
  },
  namespaces: { name: "namespaces", kind: "Namespace", group: "", apiVersion: "v1", namespaced: false, empty: { spec: {}, status: {} } },
  serviceimports: {
    name: "serviceimports",
    kind: "ServiceImport",
    group: "multicluster.x-k8s.io",
    apiVersion: "multicluster.x-k8s.io/v1alpha1",
    namespaced: true,
    empty: { spec: { ports: null, type: "" } },
  },
};

export function resourceOfKind(kind: string): ResourceName {
  const found = (Object.keys(resources) as ResourceName[]).find((name) => resources[name].kind === kind);
  if (found === undefined) throw new Error(`the fake API server has no kind ${kind}`);
  return found;
}

export interface Located {
  readonly resource: ResourceName;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

const CORE = /^\/api\/v1(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+))?$/;
const GROUP = /^\/apis\/([^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+))?$/;

/** What a path names; undefined for what is no resource of ours. */
export function locate(path: string): Located | undefined {
  const own = /^\/api\/v1\/namespaces(?:\/([^/]+))?$/.exec(path);
  if (own !== null) return { resource: "namespaces", namespace: undefined, name: own[1] };
  const core = CORE.exec(path);
  if (core !== null) return located("v1", core[2], core[1], core[3]);
  const group = GROUP.exec(path);
  return group === null ? undefined : located(group[1], group[3], group[2], group[4]);
}

function located(apiVersion = "", resource = "", namespace?: string, name?: string): Located | undefined {
  const known = resources[resource as ResourceName] as Resource | undefined;
  if (known?.apiVersion !== apiVersion) return undefined;
  const part = (text: string | undefined): string | undefined => (text === undefined ? undefined : decodeURIComponent(text));
  return { resource: resource as ResourceName, namespace: part(namespace), name: part(name) };
}
