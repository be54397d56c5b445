// What the API server sends, reduced to the objects of the registry: only the fields of objects.ts are read, so that the
// rest (managedFields, annotations) dies young. Pure; called by mirror.ts. The server has validated what it stores; what is
// wrong all the same is refused as a whole (Unfit), for half an object would be an answer that nobody meant.

import { canonicalAddress, checkLabel, checkPort, checkSubdomain, familyOf } from "../kube-names.ts";
import { invalid, isObject } from "../manifest-fields.ts";
import type { Path } from "../manifest-text.ts";
import type { Endpoint, EndpointPort, EndpointSlice, Namespace, Pod, Protocol, RegistryObject, Service, ServicePort } from "../objects.ts";
import { packEndpoints, packedSlice } from "../packed-slice.ts";
import { address, checked, fields, isNothing, list, object, oneOf, text, texts, type Raw, Unfit } from "./raw-fields.ts";

export { Unfit } from "./raw-fields.ts";

/** The object to keep; undefined for one that DNS has no use for. Throws Unfit. */
export type Project<T extends RegistryObject = RegistryObject> = (raw: Raw) => T | undefined;

/** What every object has: what it is called, and which state of it this is. */
export interface Identity {
  /** "" for what lives in no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** metadata.resourceVersion; NaN if it is no number. Compared, as Kubernetes allows since 1.35 and etcd always meant. */
  readonly version: number;
}

const SERVICE_LABEL = "kubernetes.io/service-name";
/** KEP-1645's. */
export const IMPORT_LABEL = "multicluster.kubernetes.io/service-name";
const CLUSTER_LABEL = "multicluster.kubernetes.io/source-cluster";
const TOLERATE_UNREADY = "service.alpha.kubernetes.io/tolerate-unready-endpoints";
const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";
const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const SLICE_CONTROLLER = "endpointslice-controller.k8s.io";
const NONE: readonly never[] = Object.freeze([]);
const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});

/** Throws Unfit for what has no name. */
export function identify(raw: unknown): Identity {
  if (!isObject(raw)) throw new Unfit([], invalid(raw, "must be an object"));
  const metadata = fields(raw, "metadata");
  const name = text(metadata["name"], ["metadata", "name"]);
  const namespace = text(metadata["namespace"], ["metadata", "namespace"]);
  if (name === "") throw new Unfit(["metadata", "name"], "Required value");
  return { namespace, name, version: versionOf(metadata["resourceVersion"]) };
}

/** The number in a resourceVersion; NaN for anything else. */
export function versionOf(value: unknown): number {
  return typeof value === "string" && /^\d{1,20}$/.test(value) ? Number(value) : Number.NaN;
}

export function projectService(raw: Raw): Service {
  const metadata = fields(raw, "metadata");
  const spec = fields(raw, "spec");
  const type = oneOf(spec["type"], SERVICE_TYPES, ["spec", "type"]) ?? "ClusterIP";
  const listed = texts(spec["clusterIPs"], ["spec", "clusterIPs"]);
  const first = text(spec["clusterIP"], ["spec", "clusterIP"]);
  const asked = listed.length > 0 ? listed : first === "" ? NONE : [first];
  const headless = type !== "ExternalName" && asked[0] === "None";
  const external = externalOf(raw, spec);
  return {
    kind: "Service",
    ...headOf(metadata, checkLabel),
    type,
    clusterIPs: headless || type === "ExternalName" ? NONE : clusterIPsOf(asked),
    headless,
    ports: share(list(spec["ports"], ["spec", "ports"]).map(servicePort)),
    externalName: type === "ExternalName" ? externalName(spec) : "",
    publishNotReadyAddresses: spec["publishNotReadyAddresses"] === true || annotation(metadata, TOLERATE_UNREADY) === "true",
    labels: labelsOf(metadata),
    ...(external.length > 0 ? { external } : {}),
  };
}

/** A ServiceImport (KEP-1645) is a Service of its cluster set's registry. */
export function projectServiceImport(raw: Raw): Service {
  const metadata = fields(raw, "metadata");
  const spec = fields(raw, "spec");
  const headless = oneOf(spec["type"], IMPORT_TYPES, ["spec", "type"]) === "Headless";
  return {
    kind: "Service",
    ...headOf(metadata, checkLabel),
    type: "ClusterIP",
    clusterIPs: headless ? NONE : clusterIPsOf(texts(spec["ips"], ["spec", "ips"])),
    headless,
    ports: share(list(spec["ports"], ["spec", "ports"]).map(servicePort)),
    externalName: "",
    publishNotReadyAddresses: false,
    labels: labelsOf(metadata),
  };
}

/** What of an endpoint is kept beside its addresses and hostname: of 100,000 endpoints, each takes 1 to 3 MiB. */
export interface EndpointFields {
  readonly podNames: "keep" | "drop";
  readonly zones: "keep" | "drop";
}

const ALL_FIELDS: EndpointFields = { podNames: "keep", zones: "keep" };

/** Undefined for a slice that is no Service's, or that has names instead of addresses. */
export function projectSlice(raw: Raw, kept: EndpointFields = ALL_FIELDS): EndpointSlice | undefined {
  return sliceOf(raw, SERVICE_LABEL, kept);
}

/** The slices of ServiceImports: which Service, and in which cluster, say labels of their own. */
export function projectImportedSlice(raw: Raw, kept: EndpointFields = ALL_FIELDS): EndpointSlice | undefined {
  return sliceOf(raw, IMPORT_LABEL, kept);
}

function sliceOf(raw: Raw, serviceLabel: string, kept: EndpointFields): EndpointSlice | undefined {
  const metadata = fields(raw, "metadata");
  const head = headOf(metadata, checkSubdomain);
  const owner = labels(metadata)[serviceLabel];
  const addressType = oneOf(raw["addressType"], ADDRESS_TYPES, ["addressType"]);
  if (owner === undefined || owner === "" || addressType === "FQDN") return undefined;
  if (addressType === undefined) throw new Unfit(["addressType"], "Required value");
  const service = intern(checked(owner, checkLabel, ["metadata", "labels", serviceLabel]));
  const endpoints = list(raw["endpoints"], ["endpoints"]).map((item, index) => endpointOf(item, addressType, ["endpoints", index], kept));
  const ports = share(list(raw["ports"], ["ports"]).map(endpointPort));
  const cluster = serviceLabel === IMPORT_LABEL ? text(labels(metadata)[CLUSTER_LABEL], ["metadata", "labels", CLUSTER_LABEL]) : "";
  const ofCluster = cluster === "" ? {} : { cluster: intern(cluster) };
  return packedSlice({ kind: "EndpointSlice", ...head, service, addressType, ports, ...ofCluster }, packEndpoints(endpoints));
}

/** A Pod that has finished, or whose node is lost, may have given its addresses back: others may have them by now. */
export function projectPod(raw: Raw): Pod {
  const status = fields(raw, "status");
  const phase = status["phase"];
  const isGone = phase === "Succeeded" || phase === "Failed" || phase === "Unknown";
  return { kind: "Pod", ...headOf(fields(raw, "metadata"), checkSubdomain), addresses: isGone ? NONE : podIPs(status) };
}

export function projectNamespace(raw: Raw): Namespace {
  const metadata = fields(raw, "metadata");
  return { kind: "Namespace", name: nameOf(metadata, checkLabel), labels: labelsOf(metadata) };
}

/** When what a slice shows happened, as its controller wrote it: milliseconds since the epoch; undefined if it says nothing. */
export function triggerTimeOf(raw: unknown): number | undefined {
  const metadata = isObject(raw) && isObject(raw["metadata"]) ? raw["metadata"] : undefined;
  return metadata === undefined ? undefined : timeOf(annotation(metadata, TRIGGER_TIME));
}

/** metadata.creationTimestamp, milliseconds since the epoch. */
export function creationTimeOf(raw: unknown): number | undefined {
  return isObject(raw) && isObject(raw["metadata"]) ? timeOf(raw["metadata"]["creationTimestamp"]) : undefined;
}

/** The slice was made for a Service with a selector. */
export function isSelected(raw: unknown): boolean {
  return labelOf(raw, MANAGED_BY) === SLICE_CONTROLLER;
}

/** The Service whose slice it is; "" for none. */
export function serviceOfSlice(raw: unknown): string {
  const service = labelOf(raw, SERVICE_LABEL);
  return typeof service === "string" ? service : "";
}

function labelOf(raw: unknown, key: string): unknown {
  const metadata = isObject(raw) ? raw["metadata"] : undefined;
  return isObject(metadata) && isObject(metadata["labels"]) ? metadata["labels"][key] : undefined;
}

const SERVICE_TYPES = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] as const satisfies readonly Service["type"][];
const IMPORT_TYPES = ["ClusterSetIP", "Headless"] as const;
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const satisfies readonly Protocol[];
const ADDRESS_TYPES = ["IPv4", "IPv6", "FQDN"] as const;

function headOf(metadata: Raw, rule: (text: string) => string | undefined): { readonly namespace: string; readonly name: string } {
  const namespace = text(metadata["namespace"], ["metadata", "namespace"]);
  return { namespace: intern(checked(namespace, checkLabel, ["metadata", "namespace"])), name: nameOf(metadata, rule) };
}

function nameOf(metadata: Raw, rule: (text: string) => string | undefined): string {
  return checked(text(metadata["name"], ["metadata", "name"]), rule, ["metadata", "name"]);
}

function servicePort(raw: unknown, index: number): ServicePort {
  const path = ["spec", "ports", index];
  const item = object(raw, path);
  return { name: portName(item, path), protocol: protocolOf(item, path), port: portOf(item["port"], [...path, "port"]) };
}

function endpointPort(raw: unknown, index: number): EndpointPort {
  const path = ["ports", index];
  const item = object(raw, path);
  const head = { name: portName(item, path), protocol: protocolOf(item, path) };
  return isNothing(item["port"]) ? head : { ...head, port: portOf(item["port"], [...path, "port"]) };
}

function portName(item: Raw, path: Path): string {
  const name = text(item["name"], [...path, "name"]);
  return name === "" ? "" : intern(checked(name, checkLabel, [...path, "name"]));
}

function protocolOf(item: Raw, path: Path): Protocol {
  return oneOf(item["protocol"], PROTOCOLS, [...path, "protocol"]) ?? "TCP";
}

function portOf(value: unknown, path: Path): number {
  const fault = typeof value === "number" ? checkPort(value) : "must be a number";
  if (fault !== undefined) throw new Unfit(path, invalid(value, fault));
  return value as number;
}

function clusterIPsOf(asked: readonly string[]): string[] {
  const addresses = asked.map((each, index) => address(each, ["spec", "clusterIPs", index]));
  const families = new Set(addresses.map(familyOf));
  if (families.size < addresses.length)
    throw new Unfit(["spec", "clusterIPs"], invalid(asked, "may specify no more than one IP for each IP family"));
  return addresses;
}

// An address passes as a name, as it does in the API server: the DNS answer for it is NXDOMAIN.
function externalName(spec: Raw): string {
  const name = text(spec["externalName"], ["spec", "externalName"]).toLowerCase().replace(/\.$/, "");
  return checked(name, checkSubdomain, ["spec", "externalName"]);
}

function externalOf(raw: Raw, spec: Raw): string[] {
  const external = texts(spec["externalIPs"], ["spec", "externalIPs"]).map((each, index) => address(each, ["spec", "externalIPs", index]));
  if (!isObject(raw["status"]) || !isObject(raw["status"]["loadBalancer"])) return external;
  const path = ["status", "loadBalancer", "ingress"];
  for (const [index, item] of list(raw["status"]["loadBalancer"]["ingress"], path).entries()) {
    const ingress = object(item, [...path, index]);
    const ip = text(ingress["ip"], [...path, index, "ip"]);
    const hostname = text(ingress["hostname"], [...path, index, "hostname"]);
    if (ip !== "") external.push(address(ip, [...path, index, "ip"]));
    if (hostname !== "") external.push(checked(hostname, checkSubdomain, [...path, index, "hostname"]));
  }
  return external;
}

// Called for every endpoint of the cluster: a path is made only where there is something to say.
function endpointOf(raw: unknown, family: string, path: Path, kept: EndpointFields): Endpoint {
  const item = object(raw, path);
  const addresses: string[] = [];
  for (const each of texts(item["addresses"], path)) {
    const canonical = canonicalAddress(each);
    if (canonical === undefined || familyOf(canonical) !== family)
      throw new Unfit([...path, "addresses"], invalid(each, `must be a valid ${family} address`));
    addresses.push(canonical);
  }
  const { conditions, targetRef } = item;
  const hostname = text(item["hostname"], path);
  const podName = kept.podNames === "keep" && isObject(targetRef) && targetRef["kind"] === "Pod" ? text(targetRef["name"], path) : "";
  const zone = kept.zones === "keep" ? text(item["zone"], path) : "";
  return {
    addresses,
    // Unset counts as ready, as its consumers are told to read it.
    ready: !isObject(conditions) || conditions["ready"] !== false,
    ...(hostname === "" ? {} : { hostname: checked(hostname, checkLabel, path) }),
    ...(podName === "" ? {} : { podName: checked(podName, checkSubdomain, path) }),
    ...(zone === "" ? {} : { zone }),
  };
}

function podIPs(status: Raw): string[] {
  const listed = list(status["podIPs"], ["status", "podIPs"]).map((item, index) => {
    const path = ["status", "podIPs", index];
    return text(object(item, path)["ip"], [...path, "ip"]);
  });
  const all = listed.length > 0 ? listed : [text(status["podIP"], ["status", "podIP"])];
  return all.filter((each) => each !== "").map((each) => address(each, ["status", "podIPs"]));
}

function labelsOf(metadata: Raw): Readonly<Record<string, string>> {
  const entries = Object.entries(labels(metadata));
  if (entries.length === 0) return NO_LABELS;
  return Object.fromEntries(entries.map(([key, value]) => [intern(key), intern(text(value, ["metadata", "labels", key]))]));
}

function labels(metadata: Raw): Readonly<Record<string, string>> {
  const value = metadata["labels"];
  if (isNothing(value)) return NO_LABELS;
  return object(value, ["metadata", "labels"]) as Readonly<Record<string, string>>;
}

function annotation(metadata: Raw, key: string): unknown {
  return isObject(metadata["annotations"]) ? metadata["annotations"][key] : undefined;
}

function timeOf(value: unknown): number | undefined {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

// ── one copy of what many objects have ─────────────────────────────────────────────────────────────────────────

/** Texts, or lists of ports, remembered at once: more than a cluster has namespaces, and a bound for one that makes names up. */
const MAX_SHARED = 8192;
const sharedTexts = new Map<string, string>();
const sharedPorts = new Map<string, readonly unknown[]>();

/** Namespaces, port names and labels are those of many objects: they get one copy. */
function intern(value: string): string {
  return remember(sharedTexts, value, value);
}

function share<T extends ServicePort | EndpointPort>(ports: readonly T[]): readonly T[] {
  return ports.length === 0 ? NONE : (remember(sharedPorts, JSON.stringify(ports), ports) as readonly T[]);
}

function remember<T>(shared: Map<string, T>, key: string, value: T): T {
  const known = shared.get(key);
  if (known !== undefined) return known;
  if (shared.size >= MAX_SHARED) shared.clear();
  shared.set(key, value);
  return value;
}
