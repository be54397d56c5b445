// The text of one manifest file → checked objects, findings and notes. Pure; runs in the main thread for small files
// and in manifest-worker.ts for large ones. Kinds that DNS has no use for are skipped with one note each.

import type { Finding, Position } from "../errors.ts";
import { Fields, formatPath, type Intern, invalid, isObject } from "./manifest-fields.ts";
import type {
  IpFamilyPolicy,
  Manifest,
  ManifestEndpoints,
  ManifestHead,
  ManifestNamespace,
  ManifestPod,
  ManifestService,
  ManifestSlice,
  ManifestWorkload,
  PodTemplate,
  WorkloadKind,
} from "./manifest-objects.ts";
import { type Path, readDocuments, type TextDocument } from "./manifest-text.ts";
import {
  canonicalAddress,
  checkLabel,
  checkPort,
  checkPortName,
  checkSubdomain,
  type Family,
  familyOf,
  NOT_AN_ADDRESS,
} from "./kube-names.ts";
import type { Endpoint, EndpointPort, Protocol, ServicePort, ServiceType } from "./objects.ts";
import { packEndpoints } from "./packed-slice.ts";

export interface ParsedManifests {
  readonly objects: readonly Manifest[];
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
}

export interface ManifestText {
  readonly file: string;
  readonly text: string;
  /** For objects that name none. */
  readonly namespace: string;
}

type Project = (fields: Fields, head: ManifestHead, context: Context) => Manifest | undefined;

interface Context {
  /** Something is left out that is no fault. */
  note(what: string): void;
}

interface Kind {
  /** API groups that have it; "" is the core group. A Service of another group is another kind. */
  readonly groups: readonly string[];
  readonly checkName: (name: string) => string | undefined;
  readonly project: Project;
}

const APPS = ["apps", "extensions"];
const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["Service", { groups: [""], checkName: checkLabel, project: projectService }],
  ["Endpoints", { groups: [""], checkName: checkSubdomain, project: projectEndpoints }],
  ["EndpointSlice", { groups: ["discovery.k8s.io"], checkName: checkSubdomain, project: projectSlice }],
  ["Pod", { groups: [""], checkName: checkSubdomain, project: projectPod }],
  ["Namespace", { groups: [""], checkName: checkLabel, project: projectNamespace }],
  ["Deployment", { groups: APPS, checkName: checkSubdomain, project: workload("Deployment") }],
  ["ReplicaSet", { groups: APPS, checkName: checkSubdomain, project: workload("ReplicaSet") }],
  ["ReplicationController", { groups: [""], checkName: checkSubdomain, project: workload("ReplicationController") }],
  ["StatefulSet", { groups: APPS, checkName: checkSubdomain, project: workload("StatefulSet") }],
  ["DaemonSet", { groups: APPS, checkName: checkSubdomain, project: workload("DaemonSet") }],
]);

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const satisfies readonly Protocol[];
const SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"] as const satisfies readonly ServiceType[];
const FAMILIES = ["IPv4", "IPv6"] as const satisfies readonly Family[];
const POLICIES = ["SingleStack", "PreferDualStack", "RequireDualStack"] as const satisfies readonly IpFamilyPolicy[];
const SERVICE_LABEL = "kubernetes.io/service-name";
const TOLERATE_UNREADY = "service.alpha.kubernetes.io/tolerate-unready-endpoints";
// Pods that one workload may stand for: a cluster's documented limit is 150,000 in all.
const MAX_REPLICAS = 10_000;
// Findings kept of one file: nobody reads more, and a hostile file must not fill the memory with them.
const MAX_FINDINGS = 100;

/** Everything a file says. Never throws. */
export function parseManifests({ file, text, namespace }: ManifestText, intern: Intern): ParsedManifests {
  const findings: Finding[] = [];
  const objects: Manifest[] = [];
  const notes = new Map<string, string>();
  let isText = true;
  for (const document of readDocuments(text)) {
    if ("locate" in document) {
      readItems(document, document.value, [], undefined);
      continue;
    }
    isText = false;
    const { line, column, message } = document;
    if (findings.length < MAX_FINDINGS) findings.push({ file, line, column, severity: "error", message });
  }
  // A syntax error refuses the file: what the parser made of the rest need not be what its author meant.
  if (!isText) return { objects: [], findings, notes: [] };
  return { objects, findings, notes: [...notes.values()] };

  function readItems(document: TextDocument, value: unknown, base: Path, listed: string | undefined): void {
    const place = (path: Path): Position => ({ file, ...document.locate([...base, ...path]) });
    let broken = false;
    const report = (path: Path, message: string): void => {
      broken = true;
      if (findings.length >= MAX_FINDINGS) return;
      const finding: Finding = {
        ...place(path),
        severity: "error",
        message: path.length === 0 ? message : `${formatPath(path)}: ${message}`,
      };
      // A parent that is no object is met once for each of its fields.
      if (!findings.some((other) => other.message === finding.message && other.line === finding.line)) findings.push(finding);
    };
    if (!isObject(value)) return report([], invalid(value, "must be an object with apiVersion, kind and metadata"));
    const fields = new Fields(value, [], report, intern);
    const kind = fields.text("kind") ?? listed;
    if (kind === undefined || kind === "") return broken ? undefined : fields.required("kind");
    if (kind.endsWith("List") && Array.isArray(fields.raw("items")) && base.length === 0) {
      const itemKind = kind === "List" ? undefined : kind.slice(0, -"List".length);
      for (const [index, item] of (value["items"] as unknown[]).entries()) readItems(document, item, ["items", index], itemKind);
      return;
    }
    const apiVersion = fields.text("apiVersion");
    if (apiVersion === undefined && listed === undefined) {
      if (!broken) fields.required("apiVersion");
      return;
    }
    const group = apiVersion?.includes("/") === true ? (apiVersion.split("/")[0] as string) : "";
    const known = KINDS.get(kind);
    const note = (key: string, what: string): void => {
      if (!notes.has(key)) notes.set(key, `${file}:${place([]).line}: ${what}`);
    };
    if (known === undefined || (apiVersion !== undefined && !known.groups.includes(group))) {
      return note(`${apiVersion}/${kind}`, `skipped ${kind} (${apiVersion}): DNS has no use for this kind`);
    }
    const metadata = fields.fields("metadata");
    const name = metadata.checked("name", (text) => (text === "" ? undefined : known.checkName(text)));
    if (!metadata.has("name") || name === "") metadata.required("name");
    const ownNamespace = kind === "Namespace" ? "" : metadata.checked("namespace", (text) => (text === "" ? undefined : checkLabel(text)));
    const head: ManifestHead = {
      name: name ?? "",
      namespace: kind === "Namespace" ? "" : intern(ownNamespace === undefined || ownNamespace === "" ? namespace : ownNamespace),
      at: place([]),
    };
    const object = known.project(fields, head, {
      note: (what) => note(`${kind}/${what}`, `${kind} ${head.namespace}/${head.name}: ${what}`),
    });
    if (object !== undefined && !broken) objects.push(object);
  }
}

function projectService(fields: Fields, head: ManifestHead): ManifestService {
  const metadata = fields.fields("metadata");
  const spec = fields.fields("spec");
  const type = spec.oneOf("type", SERVICE_TYPES) ?? "ClusterIP";
  const listed = spec.texts("clusterIPs");
  const first = spec.text("clusterIP") ?? "";
  if (first !== "" && listed.length > 0 && listed[0] !== first)
    spec.fail("clusterIPs", invalid(listed, "first value must match `clusterIP`"));
  const asked = listed.length > 0 ? listed : first === "" ? [] : [first];
  const headless = asked[0] === "None";
  if (type === "ExternalName" && asked.length > 0) spec.fail("clusterIPs", "Forbidden: may not be set for ExternalName services");
  const selector = spec.labels("selector");
  const policy = spec.oneOf("ipFamilyPolicy", POLICIES);
  const ipFamilies = familiesOf(spec);
  const clusterIPs = type === "ExternalName" || headless ? [] : clusterIPsOf(spec, asked, listed.length > 0);
  if (policy === "SingleStack" && (ipFamilies.length > 1 || clusterIPs.length > 1)) {
    const which = ipFamilies.length > 1 ? "ipFamilies" : "clusterIPs";
    spec.fail("ipFamilyPolicy", invalid(policy, `must be RequireDualStack or PreferDualStack when multiple '${which}' are specified`));
  }
  const external = externalOf(fields);
  return {
    kind: "Service",
    ...head,
    type,
    headless: headless && type !== "ExternalName",
    ports: servicePorts(spec, headless || type === "ExternalName"),
    ...(Object.keys(selector).length > 0 && type !== "ExternalName" ? { selector } : {}),
    clusterIPs,
    ipFamilies,
    ...(policy === undefined ? {} : { ipFamilyPolicy: policy }),
    externalName: type === "ExternalName" ? externalName(spec) : "",
    publishNotReadyAddresses: spec.flag("publishNotReadyAddresses") ?? metadata.labels("annotations")[TOLERATE_UNREADY] === "true",
    labels: metadata.labels("labels"),
    ...(external.length > 0 ? { external } : {}),
  };
}

function servicePorts(spec: Fields, mayHaveNone: boolean): ServicePort[] {
  const items = spec.list("ports");
  if (items.length === 0 && !mayHaveNone) spec.required("ports");
  const names = new Set<string>();
  const numbers = new Set<string>();
  return items.map((item, index) => {
    const name = item.checked("name", (text) => (text === "" ? undefined : checkLabel(text))) ?? "";
    if (name === "" && items.length > 1) item.required("name");
    else if (name !== "" && names.has(name)) item.fail("name", `Duplicate value: "${name}"`);
    names.add(name);
    const protocol = item.oneOf("protocol", PROTOCOLS) ?? "TCP";
    const port = portOf(item, "port");
    if (numbers.has(`${port}/${protocol}`)) spec.fail(["ports", index], `Duplicate value: {"port":${port},"protocol":"${protocol}"}`);
    numbers.add(`${port}/${protocol}`);
    const targetPort = targetPortOf(item);
    return { name, protocol, port, ...(targetPort === undefined ? {} : { targetPort }) };
  });
}

function portOf(item: Fields, key: string): number {
  const port = item.number(key);
  if (port === undefined && !item.has(key)) item.required(key);
  const fault = port === undefined ? undefined : checkPort(port);
  if (fault !== undefined) item.fail(key, invalid(port, fault));
  return port ?? 0;
}

function targetPortOf(item: Fields): number | string | undefined {
  const raw = item.raw("targetPort");
  if (raw === undefined || raw === "" || raw === 0) return undefined;
  if (typeof raw === "string") return item.checked("targetPort", checkPortName);
  return portOf(item, "targetPort");
}

function familiesOf(spec: Fields): Family[] {
  const families: Family[] = [];
  for (const [index, text] of spec.texts("ipFamilies").entries()) {
    const family = FAMILIES.find((known) => known === text);
    if (family === undefined) spec.fail(["ipFamilies", index], `Unsupported value: "${text}": supported values: "IPv4", "IPv6"`);
    else if (families.includes(family)) spec.fail(["ipFamilies", index], `Duplicate value: "${text}"`);
    else families.push(family);
  }
  return families;
}

function clusterIPsOf(spec: Fields, asked: readonly string[], listed: boolean): string[] {
  const addresses: string[] = [];
  for (const [index, text] of asked.entries()) {
    const address = canonicalAddress(text);
    const fault =
      address === undefined
        ? NOT_AN_ADDRESS
        : addresses.some((other) => familyOf(other) === familyOf(address))
          ? "may specify no more than one IP for each IP family"
          : undefined;
    if (fault === undefined) addresses.push(address as string);
    else spec.fail(listed ? ["clusterIPs", index] : "clusterIP", invalid(text, fault));
  }
  return addresses;
}

// The API server takes lower case only and no trailing dot; both are harmless, and common in hand-written YAML.
// An address passes as a name, as it does there: the DNS answer for it is NXDOMAIN.
function externalName(spec: Fields): string {
  const text = spec.text("externalName");
  if (text === undefined || text === "") {
    spec.required("externalName");
    return "";
  }
  const name = text.toLowerCase().replace(/\.$/, "");
  const fault = checkSubdomain(name);
  if (fault !== undefined) spec.fail("externalName", invalid(text, fault));
  return name;
}

function externalOf(fields: Fields): string[] {
  const external: string[] = [];
  const spec = fields.fields("spec");
  for (const [index, text] of spec.texts("externalIPs").entries()) {
    const address = canonicalAddress(text);
    if (address === undefined) spec.fail(["externalIPs", index], invalid(text, NOT_AN_ADDRESS));
    else external.push(address);
  }
  for (const ingress of fields.fields("status").fields("loadBalancer").list("ingress")) {
    const address = ingress.checked("ip", (text) => (canonicalAddress(text) === undefined ? NOT_AN_ADDRESS : undefined));
    const hostname = ingress.checked("hostname", checkSubdomain);
    if (address !== undefined) external.push(canonicalAddress(address) ?? address);
    if (hostname !== undefined) external.push(hostname);
  }
  return external;
}

function projectSlice(fields: Fields, head: ManifestHead, context: Context): ManifestSlice | undefined {
  const addressType = fields.oneOf("addressType", ["FQDN", "IPv4", "IPv6"]);
  if (addressType === undefined && !fields.has("addressType")) fields.required("addressType");
  const service = fields.fields("metadata").labels("labels")[SERVICE_LABEL];
  if (addressType === "FQDN") {
    context.note("ignored: addressType FQDN has no addresses");
    return undefined;
  }
  if (service === undefined || service === "") {
    context.note(`ignored: it has no label ${SERVICE_LABEL}`);
    return undefined;
  }
  if (addressType === undefined) return undefined;
  const endpoints = fields.list("endpoints").map((item) => {
    const addresses: string[] = [];
    for (const [index, text] of item.texts("addresses").entries()) {
      const address = canonicalAddress(text);
      if (address === undefined || familyOf(address) !== addressType) {
        item.fail(["addresses", index], invalid(text, `must be a valid ${addressType} address`));
      } else addresses.push(address);
    }
    if (addresses.length === 0 && !item.has("addresses")) item.required("addresses", "must contain at least 1 address");
    const ready = item.fields("conditions").flag("ready") ?? true;
    return endpointOf(item, addresses, ready, item.text("zone"));
  });
  return { kind: "EndpointSlice", ...head, service, addressType, endpoints: packEndpoints(endpoints), ports: endpointPorts(fields) };
}

function endpointOf(item: Fields, addresses: readonly string[], ready: boolean, zone: string | undefined): Endpoint {
  const hostname = item.checked("hostname", (text) => (text === "" ? undefined : checkLabel(text)));
  const target = item.fields("targetRef");
  const podName = target.text("kind") === "Pod" ? target.checked("name", checkSubdomain) : undefined;
  return {
    addresses,
    ready,
    ...(hostname === undefined || hostname === "" ? {} : { hostname }),
    ...(podName === undefined ? {} : { podName }),
    ...(zone === undefined ? {} : { zone }),
  };
}

function endpointPorts(fields: Fields): EndpointPort[] {
  const items = fields.list("ports");
  const names = new Set<string>();
  return items.map((item) => {
    const name = item.checked("name", (text) => (text === "" ? undefined : checkLabel(text))) ?? "";
    if (names.has(name)) item.fail("name", `Duplicate value: "${name}"`);
    names.add(name);
    const port = item.has("port") ? portOf(item, "port") : undefined;
    return { name, protocol: item.oneOf("protocol", PROTOCOLS) ?? "TCP", ...(port === undefined ? {} : { port }) };
  });
}

function projectEndpoints(fields: Fields, head: ManifestHead): ManifestEndpoints {
  const subsets = fields.list("subsets").map((subset) => {
    const read = (key: string, ready: boolean): Endpoint[] =>
      subset.list(key).map((item) => {
        const address = canonicalAddress(
          item.checked("ip", (text) => (canonicalAddress(text) === undefined ? NOT_AN_ADDRESS : undefined)) ?? "",
        );
        if (!item.has("ip")) item.required("ip");
        return endpointOf(item, address === undefined ? [] : [address], ready, undefined);
      });
    return { endpoints: [...read("addresses", true), ...read("notReadyAddresses", false)], ports: endpointPorts(subset) };
  });
  return { kind: "Endpoints", ...head, subsets };
}

function projectPod(fields: Fields, head: ManifestHead): ManifestPod {
  const metadata = fields.fields("metadata");
  const status = fields.fields("status");
  const phase = status.text("phase");
  const condition = status.list("conditions").find((item) => item.raw("type") === "Ready");
  const hasStatus = phase !== undefined || status.has("podIP") || status.has("podIPs") || status.has("conditions");
  const owner = ownerOf(metadata);
  return {
    kind: "Pod",
    ...head,
    ...templateOf(fields),
    ...(hasStatus ? { addresses: podIPsOf(status) } : {}),
    ready: condition === undefined ? phase === undefined || phase === "Running" : condition.raw("status") === "True",
    gone: phase === "Succeeded" || phase === "Failed" || metadata.has("deletionTimestamp"),
    ...(owner === undefined ? {} : { owner }),
  };
}

function podIPsOf(status: Fields): string[] {
  const rule = (text: string): string | undefined => (text === "" || canonicalAddress(text) !== undefined ? undefined : NOT_AN_ADDRESS);
  const texts = status.list("podIPs").map((item) => item.checked("ip", rule));
  const addresses = texts.length > 0 ? texts : [status.checked("podIP", rule)];
  return addresses.flatMap((text) => canonicalAddress(text ?? "") ?? []);
}

function ownerOf(metadata: Fields): string | undefined {
  const controller = metadata.list("ownerReferences").find((item) => item.raw("controller") === true);
  return controller === undefined ? undefined : `${controller.text("kind") ?? ""}/${controller.text("name") ?? ""}`;
}

/** Labels, names and ports of a Pod or of a workload's template. */
function templateOf(fields: Fields): PodTemplate {
  const spec = fields.fields("spec");
  const optionalLabel = (text: string): string | undefined => (text === "" ? undefined : checkLabel(text));
  return {
    labels: fields.fields("metadata").labels("labels"),
    hostname: spec.checked("hostname", optionalLabel) ?? "",
    subdomain: spec.checked("subdomain", optionalLabel) ?? "",
    ports: spec.list("containers").flatMap((container) =>
      container.list("ports").flatMap((item) => {
        const name = item.checked("name", (text) => (text === "" ? undefined : checkPortName(text))) ?? "";
        const protocol = item.oneOf("protocol", PROTOCOLS) ?? "TCP";
        const port = portOf(item, "containerPort");
        return name === "" ? [] : [{ name, protocol, port }];
      }),
    ),
  };
}

function projectNamespace(fields: Fields, head: ManifestHead): ManifestNamespace {
  return { kind: "Namespace", ...head, labels: fields.fields("metadata").labels("labels") };
}

function workload(kind: WorkloadKind): Project {
  return (fields, head): ManifestWorkload => {
    const spec = fields.fields("spec");
    if (!spec.has("template")) spec.required("template");
    const template = templateOf(spec.fields("template"));
    checkSelector(kind, spec, template);
    const owner = ownerOf(fields.fields("metadata"));
    return {
      kind,
      ...head,
      replicas: kind === "DaemonSet" ? 1 : replicasOf(spec),
      start: kind === "StatefulSet" ? Math.max(0, Math.trunc(spec.fields("ordinals").number("start") ?? 0)) : 0,
      serviceName:
        kind === "StatefulSet" ? (spec.checked("serviceName", (text) => (text === "" ? undefined : checkLabel(text))) ?? "") : "",
      template,
      ...(owner === undefined ? {} : { owner }),
    };
  };
}

function replicasOf(spec: Fields): number {
  const replicas = spec.number("replicas") ?? 1;
  if (!Number.isInteger(replicas) || replicas < 0) spec.fail("replicas", invalid(replicas, "must be greater than or equal to 0"));
  else if (replicas > MAX_REPLICAS) spec.fail("replicas", invalid(replicas, `must be less than or equal to ${MAX_REPLICAS}`));
  else return replicas;
  return 1;
}

// A ReplicationController without a selector takes its template's labels; the other kinds must have one (apps/v1).
function checkSelector(kind: WorkloadKind, spec: Fields, template: PodTemplate): void {
  if (kind === "ReplicationController") {
    const selector = spec.labels("selector");
    if (Object.keys(selector).length === 0 && Object.keys(template.labels).length === 0) spec.required("selector");
    if (!Object.entries(selector).every(([key, value]) => hasLabel(template, key, value))) failLabels();
    return;
  }
  if (!spec.has("selector")) return spec.required("selector");
  const selector = spec.fields("selector");
  const exact = Object.entries(selector.labels("matchLabels"));
  const expressions = selector.list("matchExpressions");
  if (exact.length === 0 && expressions.length === 0) {
    spec.fail("selector", `Invalid value: {}: empty selector is invalid for ${kind}`);
  }
  const matches =
    exact.every(([key, value]) => hasLabel(template, key, value)) && expressions.every((item) => matchesExpression(item, template));
  if (!matches) failLabels();

  function failLabels(): void {
    spec.fail(
      ["template", "metadata", "labels"],
      `Invalid value: ${JSON.stringify(template.labels)}: \`selector\` does not match template \`labels\``,
    );
  }
}

function hasLabel(template: PodTemplate, key: string, value: string): boolean {
  return Object.hasOwn(template.labels, key) && template.labels[key] === value;
}

function matchesExpression(item: Fields, template: PodTemplate): boolean {
  const key = item.text("key") ?? "";
  const value = Object.hasOwn(template.labels, key) ? template.labels[key] : undefined;
  const operator = item.oneOf("operator", ["In", "NotIn", "Exists", "DoesNotExist"]);
  const values = item.texts("values");
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case undefined:
      return true;
    default:
      return operator satisfies never;
  }
}
