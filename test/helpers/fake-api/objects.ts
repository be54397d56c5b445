// Objects as a real API server writes them: defaults filled in, fields in the order of the Go types, managedFields as
// server-side apply leaves them. What is applied needs to say only what a test is about; fields that no type knows are kept.

import { createHash, randomUUID } from "node:crypto";
import { resources, type ResourceName } from "./resources.ts";

/** An object as in a manifest; what is left out is filled in. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly [field: string]: unknown;
}

export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

/** What the server itself decides of an object. */
export interface Stamp {
  readonly revision: number;
  readonly uid: string;
  readonly creationTimestamp: string;
  readonly generation: number;
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
export function timestamp(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
}

/** The object without kind and apiVersion, as it stands in a list. */
export function written(resource: ResourceName, object: KubeObject, stamp: Stamp): Fields {
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object;
  const body = ordered(defaulted(resource, rest, object), BODY_FIELDS);
  return { metadata: metadataOf(resource, metadata, body, stamp), ...body };
}

function metadataOf(resource: ResourceName, metadata: Metadata, body: Fields, stamp: Stamp): Fields {
  const labels = resource === "namespaces" ? { "kubernetes.io/metadata.name": metadata.name, ...metadata.labels } : metadata.labels;
  return ordered(
    {
      ...metadata,
      uid: stamp.uid,
      resourceVersion: String(stamp.revision),
      ...(WITH_GENERATION.has(resource) && { generation: stamp.generation }),
      creationTimestamp: stamp.creationTimestamp,
      ...(labels !== undefined && { labels: sorted(labels) }),
      ...(metadata.annotations !== undefined && { annotations: sorted(metadata.annotations) }),
      ...(metadata["managedFields"] === undefined &&
        resource !== "namespaces" && { managedFields: [managed(resource, metadata, body, stamp)] }),
    },
    METADATA_FIELDS,
  );
}

const WITH_GENERATION: ReadonlySet<ResourceName> = new Set(["endpointslices", "serviceimports"]);

function managed(resource: ResourceName, metadata: Metadata, body: Fields, stamp: Stamp): Fields {
  const { labels, annotations } = metadata;
  const meta = {
    ...(annotations !== undefined && { "f:annotations": { ".": {}, ...fieldSet(sorted(annotations)) } }),
    ...(labels !== undefined && { "f:labels": { ".": {}, ...fieldSet(sorted(labels)) } }),
  };
  return {
    manager: resource === "services" ? "kubectl-client-side-apply" : "kube-controller-manager",
    operation: "Update",
    apiVersion: resources[resource].apiVersion,
    time: stamp.creationTimestamp,
    fieldsType: "FieldsV1",
    fieldsV1: { ...(Object.keys(meta).length > 0 && { "f:metadata": meta }), ...fieldSet(body) },
  };
}

// Objects one level deep, and ports by their keys, which is how the recordings look.
function fieldSet(fields: Fields, depth = 0): Fields {
  const entries = Object.entries(fields).map(([name, value]): [string, unknown] => {
    if (depth === 0 && isObject(value)) return [`f:${name}`, fieldSet(value, 1)];
    if (depth === 1 && name === "ports" && Array.isArray(value)) {
      const ports = value.map((port: Fields) => [
        `k:${JSON.stringify({ port: port["port"], protocol: port["protocol"] })}`,
        { ".": {}, ...fieldSet(port, 2) },
      ]);
      return ["f:ports", { ".": {}, ...(Object.fromEntries(ports) as Fields) }];
    }
    return [`f:${name}`, {}];
  });
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function defaulted(resource: ResourceName, rest: Fields, object: KubeObject): Fields {
  switch (resource) {
    case "services":
      return {
        ...rest,
        spec: serviceSpec((rest["spec"] ?? {}) as Fields, object.metadata),
        status: rest["status"] ?? { loadBalancer: {} },
      };
    case "endpointslices":
      return slice(rest);
    case "namespaces":
      return { ...rest, spec: rest["spec"] ?? { finalizers: ["kubernetes"] }, status: rest["status"] ?? { phase: "Active" } };
    case "pods":
      return {
        ...rest,
        spec: rest["spec"] ?? { containers: [{ name: "main", image: "main" }] },
        status: rest["status"] ?? { phase: "Running" },
      };
    case "endpoints":
    case "serviceimports":
      return rest;
    default:
      return resource satisfies never;
  }
}

function serviceSpec(spec: Fields, metadata: Metadata): Fields {
  const external = spec["type"] === "ExternalName";
  const given = spec["clusterIP"] as string | undefined;
  const listed = spec["clusterIPs"] as readonly string[] | undefined;
  const clusterIPs = listed ?? (given === undefined ? [allocated(metadata)] : given === "" ? [] : [given]);
  const families = clusterIPs.map((address) => (address.includes(":") ? "IPv6" : "IPv4"));
  const ports = spec["ports"];
  return ordered(
    {
      ...spec,
      ...(Array.isArray(ports) && { ports: ports.map(servicePort) }),
      ...(!external && {
        ...(clusterIPs.length > 0 && { clusterIP: given ?? clusterIPs[0], clusterIPs }),
        ipFamilies: spec["ipFamilies"] ?? families,
        ipFamilyPolicy: spec["ipFamilyPolicy"] ?? (families.length > 1 ? "RequireDualStack" : "SingleStack"),
        internalTrafficPolicy: spec["internalTrafficPolicy"] ?? "Cluster",
      }),
      type: spec["type"] ?? "ClusterIP",
      sessionAffinity: spec["sessionAffinity"] ?? "None",
    },
    SPEC_FIELDS,
  );
}

// Any address of the Service range will do, as long as it stays: the name decides.
function allocated({ namespace = "", name }: Metadata): string {
  const [a = 0, b = 0] = createHash("sha256").update(`${namespace}/${name}`).digest();
  return `10.96.${a}.${1 + (b % 254)}`;
}

function servicePort(port: Fields): Fields {
  return ordered({ protocol: "TCP", targetPort: port["port"], ...port }, PORT_FIELDS);
}

function slice(rest: Fields): Fields {
  const { endpoints, ports } = rest;
  return {
    addressType: "IPv4",
    ...rest,
    endpoints:
      Array.isArray(endpoints) && endpoints.length > 0
        ? endpoints.map((one: Fields) => ordered({ conditions: {}, ...one }, ENDPOINT_FIELDS))
        : null,
    ports: Array.isArray(ports) ? ports.map((one: Fields) => ordered({ name: "", protocol: "TCP", ...one }, PORT_FIELDS)) : null,
  };
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sorted(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

// Known fields in their order, then the others.
function ordered(fields: Fields, names: readonly string[]): Fields {
  const known = names.filter((name) => fields[name] !== undefined).map((name) => [name, fields[name]]);
  return { ...(Object.fromEntries(known) as Fields), ...fields };
}

export function newUid(): string {
  return randomUUID();
}

const BODY_FIELDS = ["spec", "addressType", "endpoints", "ports", "subsets", "status"];
const METADATA_FIELDS = [
  "name",
  "generateName",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "labels",
  "annotations",
  "ownerReferences",
  "finalizers",
  "managedFields",
];
const SPEC_FIELDS = [
  "ports",
  "selector",
  "clusterIP",
  "clusterIPs",
  "type",
  "externalIPs",
  "sessionAffinity",
  "externalName",
  "externalTrafficPolicy",
  "publishNotReadyAddresses",
  "ipFamilies",
  "ipFamilyPolicy",
  "internalTrafficPolicy",
];
const PORT_FIELDS = ["name", "protocol", "appProtocol", "port", "targetPort", "nodePort"];
const ENDPOINT_FIELDS = ["addresses", "conditions", "hostname", "targetRef", "nodeName", "zone", "hints"];
