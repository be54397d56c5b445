// Which resources of the Kubernetes API are followed, and where they are: a table, cut to what the options ask for. A row
// is one list and watch: a cluster-wide one, or one in each of a few namespaces, for which a namespaced Role is enough.

import type { RegistryObject, Service } from "../objects.ts";
import {
  IMPORT_LABEL,
  projectImportedSlice,
  projectNamespace,
  projectPod,
  projectService,
  projectServiceImport,
  projectSlice,
  type Project,
} from "./projection.ts";

export interface ResourceOptions {
  /** Only these namespaces; all if absent. */
  readonly namespaces?: readonly string[] | undefined;
  /** A label selector for Services, EndpointSlices and Pods, as CoreDNS has it; for the server to evaluate. */
  readonly serviceLabels?: string | undefined;
  readonly endpoints: boolean;
  readonly pods: "keep" | "drop";
  /** Whether endpoints keep the names of their Pods, and their topology zones; not if absent. */
  readonly podNames?: "keep" | "drop" | undefined;
  readonly zones?: "keep" | "drop" | undefined;
  /** The cluster set's ServiceImports and their slices (KEP-1645), instead of the cluster's own Services and slices. */
  readonly multicluster: boolean;
}

/** One list and watch. */
export interface Resource {
  /** As RBAC and URLs call it, and as the metrics' label. */
  readonly name: string;
  readonly kind: RegistryObject["kind"];
  /** The only namespace that is asked for. */
  readonly namespace: string | undefined;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly project: Project;
}

/** Namespaces that are watched one by one; with more, the cluster is watched as a whole: each watch is a connection. */
const MAX_SINGLE_NAMESPACES = 10;

export function resourcesFor(options: ResourceOptions): Resource[] {
  const { namespaces, serviceLabels, endpoints, pods, podNames = "drop", zones = "drop", multicluster } = options;
  const listed = namespaces === undefined ? undefined : new Set(namespaces);
  const places = listed === undefined || listed.size > MAX_SINGLE_NAMESPACES ? [undefined] : [...listed];
  const labelSelector = serviceLabels === undefined ? {} : { labelSelector: serviceLabels };
  const kept = { podNames, zones };
  const slice: Project = (raw) => (multicluster ? projectImportedSlice(raw, kept) : projectSlice(raw, kept));
  const namespaced = (name: string, kind: RegistryObject["kind"], root: string, project: Project, query = {}): Resource[] =>
    places.map((namespace) => ({
      name,
      kind,
      namespace,
      path: namespace === undefined ? `${root}/${name}` : `${root}/namespaces/${encodeURIComponent(namespace)}/${name}`,
      query,
      project: only(project, listed, ({ namespace: at }) => at),
    }));
  const ofNamespaces: Resource = {
    name: "namespaces",
    kind: "Namespace",
    namespace: undefined,
    path: "/api/v1/namespaces",
    query: {},
    project: only(projectNamespace, listed, ({ name }) => name),
  };
  if (multicluster) {
    const imported = { labelSelector: IMPORT_LABEL };
    return [
      ofNamespaces,
      ...namespaced("serviceimports", "Service", "/apis/multicluster.x-k8s.io/v1alpha1", projectServiceImport),
      ...(endpoints ? namespaced("endpointslices", "EndpointSlice", "/apis/discovery.k8s.io/v1", slice, imported) : []),
    ];
  }
  return [
    ofNamespaces,
    ...namespaced("services", "Service", "/api/v1", serviceLabels === undefined ? unlabelledService : projectService, labelSelector),
    ...(endpoints ? namespaced("endpointslices", "EndpointSlice", "/apis/discovery.k8s.io/v1", slice, labelSelector) : []),
    ...(pods === "keep" ? namespaced("pods", "Pod", "/api/v1", projectPod, labelSelector) : []),
  ];
}

// Labels are only there to be selected by: those of 10,000 Services, five each, take 3 MiB.
function unlabelledService(raw: Readonly<Record<string, unknown>>): Service {
  return projectService({ ...raw, metadata: { ...(raw["metadata"] as object), labels: undefined } });
}

// What is in other namespaces is not kept, whoever sends it.
function only<T extends RegistryObject>(
  project: Project<T>,
  listed: ReadonlySet<string> | undefined,
  placeOf: (metadata: { readonly namespace?: unknown; readonly name?: unknown }) => unknown,
): Project<T> {
  if (listed === undefined) return project;
  return (raw) => (listed.has(placeOf((raw["metadata"] ?? {}) as object) as string) ? project(raw) : undefined);
}
