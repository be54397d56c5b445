// The registry's public door: what a program gives to apply() is checked as a manifest would be before any of it is
// stored. src/index.ts wraps the registry that it hands out; sources, which make their objects themselves, write past it.

import { nearest, NdotsError } from "../errors.ts";
import { canonicalAddress, checkLabel, checkPort, checkPortName, checkSubdomain, familyOf, NOT_AN_ADDRESS } from "./kube-names.ts";
import { Fields, formatPath, invalid, isObject, type Report } from "./manifest-fields.ts";
import type { Path } from "./manifest-text.ts";
import type { Change, Endpoint, EndpointPort, EndpointSlice, Namespace, Pod, RegistryObject, Service, ServicePort } from "./objects.ts";
import type { Registry } from "./registry.ts";

const VERBS = ["upsert", "delete"] as const satisfies readonly Change["verb"][];
const KINDS = ["Service", "EndpointSlice", "Pod", "Namespace"] as const satisfies readonly RegistryObject["kind"][];
const SERVICE_TYPES = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] as const satisfies readonly Service["type"][];
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const satisfies readonly ServicePort["protocol"][];
const FAMILIES = ["IPv4", "IPv6"] as const satisfies readonly EndpointSlice["addressType"][];
// Faults told of one batch: enough to mend a loop's mistake, little enough to read.
const MAX_FAULTS = 5;

/**
 * The same registry, but for an apply() that throws NDOTS_ERR_USAGE if anything in the batch is wrong, and then stores
 * nothing of it. What is stored are copies, with addresses and ExternalName targets in canonical text.
 */
export function checkedRegistry(registry: Registry): Registry {
  return {
    get synced() {
      return registry.synced;
    },
    knows: (kind) => registry.knows(kind),
    get freshness() {
      return registry.freshness;
    },
    get problem() {
      return registry.problem;
    },
    get changedAtMs() {
      return registry.changedAtMs;
    },
    service: (namespace, name) => registry.service(namespace, name),
    services: () => registry.services(),
    slices: (namespace, service) => registry.slices(namespace, service),
    namespace: (name) => registry.namespace(name),
    namespaces: () => registry.namespaces(),
    podsAt: (address) => registry.podsAt(address),
    servicesAt: (address) => registry.servicesAt(address),
    slicesAt: (address) => registry.slicesAt(address),
    apply: (...changes) => registry.apply(...checkedChanges(changes)),
    subscribe: (listener) => registry.subscribe(listener),
    onState: (listener) => registry.onState(listener),
    whenSynced: () => registry.whenSynced(),
  };
}

function checkedChanges(changes: readonly unknown[]): Change[] {
  const faults: string[] = [];
  const checked: Change[] = [];
  for (const [index, change] of changes.entries()) {
    let place = "";
    const report: Report = (path, message) => {
      const field = path.length === 0 ? "" : `${formatPath(path)}: `;
      faults.push(`registry.apply: change ${index + 1}: ${place}${field}${message}`);
    };
    const result = checkedChange(change, report, (text) => (place = `${text}: `));
    if (faults.length >= MAX_FAULTS) break;
    if (result !== undefined) checked.push(result);
  }
  if (faults.length > 0) throw new NdotsError("NDOTS_ERR_USAGE", faults.join("\n"));
  return checked;
}

function checkedChange(change: unknown, report: Report, name: (text: string) => void): Change | undefined {
  if (!isObject(change)) {
    const hint = Array.isArray(change) ? "; give the changes one by one: apply(...changes)" : "";
    report([], invalid(change, `must be { verb, object }${hint}`));
    return undefined;
  }
  const fields = fieldsOf(change, report);
  const verb = word(fields, "verb", VERBS);
  const value = fields.raw("object");
  if (value === undefined) fields.required("object");
  else if (!isObject(value)) fields.fail("object", invalid(value, `must be a ${KINDS.join(", ")}`));
  if (!isObject(value)) return undefined;
  if ("apiVersion" in value || "metadata" in value || "spec" in value) {
    const why = "is a Kubernetes manifest; must be an object of ndots (kind, namespace, name, …), as service() of ndots/testing makes them";
    fields.fail("object", why);
    return undefined;
  }
  const object = fieldsOf(value, report);
  const kind = word(object, "kind", KINDS);
  if (kind === undefined || verb === undefined) return undefined;
  const place = kind === "Namespace" ? [value["name"]] : [value["namespace"], value["name"]];
  if (place.every((part) => typeof part === "string")) name(`${kind} "${place.join("/")}"`);
  // Its other fields are not looked at, so they are not stored or told either.
  if (verb === "delete") return { verb, object: bareObject(kind, object) };
  return { verb, object: checkedObject(kind, object) };
}

function fieldsOf(value: unknown, report: Report, path: Path = []): Fields {
  return new Fields(value, path, report, (text) => text);
}

function checkedObject(kind: RegistryObject["kind"], fields: Fields): RegistryObject {
  switch (kind) {
    case "Service":
      return checkedService(fields);
    case "EndpointSlice":
      return checkedSlice(fields);
    case "Pod":
      return { kind, ...headOf(fields, checkSubdomain), addresses: addressesOf(fields, "addresses") } satisfies Pod;
    case "Namespace":
      return { kind, name: named(fields, "name", checkLabel), labels: labelsOf(fields) } satisfies Namespace;
    default:
      return kind satisfies never;
  }
}

function bareObject(kind: RegistryObject["kind"], fields: Fields): RegistryObject {
  const [none, labels] = [[], {}] as const;
  switch (kind) {
    case "Service": {
      const nothing = { type: "ClusterIP", headless: false, clusterIPs: none, ports: none, externalName: "" } as const;
      return { kind, ...headOf(fields, checkLabel), ...nothing, publishNotReadyAddresses: false, labels };
    }
    case "EndpointSlice": {
      const head = { ...headOf(fields, checkSubdomain), service: named(fields, "service", checkLabel) };
      return { kind, ...head, addressType: "IPv4", endpoints: none, ports: none };
    }
    case "Pod":
      return { kind, ...headOf(fields, checkSubdomain), addresses: none };
    case "Namespace":
      return { kind, name: named(fields, "name", checkLabel), labels };
    default:
      return kind satisfies never;
  }
}

function checkedService(fields: Fields): Service {
  const head = headOf(fields, checkLabel);
  const type = word(fields, "type", SERVICE_TYPES) ?? "ClusterIP";
  const headless = flag(fields, "headless");
  const clusterIPs = addressesOf(fields, "clusterIPs");
  const hasNone = headless ? "a headless Service" : type === "ExternalName" ? "an ExternalName" : undefined;
  if (hasNone !== undefined && clusterIPs.length > 0) fields.fail("clusterIPs", invalid(clusterIPs, `must be empty for ${hasNone}`));
  for (const [index, address] of clusterIPs.entries()) {
    if (clusterIPs.findIndex((other) => familyOf(other) === familyOf(address)) === index) continue;
    fields.fail(["clusterIPs", index], invalid(address, "may specify no more than one IP for each IP family"));
  }
  const external = fields.has("external") ? externalOf(fields) : undefined;
  return {
    kind: "Service",
    ...head,
    type,
    clusterIPs,
    headless,
    ports: listOf(fields, "ports").map(checkedServicePort),
    externalName: externalNameOf(fields, type),
    publishNotReadyAddresses: flag(fields, "publishNotReadyAddresses"),
    labels: labelsOf(fields),
    ...(external === undefined ? {} : { external }),
  };
}

function checkedServicePort(item: Fields): ServicePort {
  const targetPort = item.raw("targetPort");
  if (typeof targetPort === "string") item.checked("targetPort", checkPortName);
  else if (targetPort !== undefined) portOf(item, "targetPort");
  return {
    name: portNameOf(item),
    protocol: word(item, "protocol", PROTOCOLS) ?? "TCP",
    port: portOf(item, "port"),
    ...(targetPort === undefined ? {} : { targetPort: targetPort as number | string }),
  };
}

function externalNameOf(fields: Fields, type: Service["type"]): string {
  const text = fields.text("externalName");
  if (text === undefined && !fields.has("externalName")) fields.required("externalName", `"" unless type is ExternalName`);
  if (type !== "ExternalName" || text === undefined) return "";
  const name = text.toLowerCase().replace(/\.$/, "");
  const fault = checkSubdomain(name);
  if (fault !== undefined) fields.fail("externalName", invalid(text, fault));
  return name;
}

function externalOf(fields: Fields): string[] {
  return fields.texts("external").map((text, index) => {
    const canonical = canonicalAddress(text) ?? text.toLowerCase().replace(/\.$/, "");
    if (checkSubdomain(canonical) !== undefined && canonicalAddress(canonical) === undefined)
      fields.fail(["external", index], invalid(text, `${NOT_AN_ADDRESS}, or a name`));
    return canonical;
  });
}

function checkedSlice(fields: Fields): EndpointSlice {
  const head = headOf(fields, checkSubdomain);
  const service = named(fields, "service", checkLabel);
  const addressType = word(fields, "addressType", FAMILIES) ?? "IPv4";
  const endpoints = listOf(fields, "endpoints").map((item): Endpoint => {
    const addresses = addressesOf(item, "addresses");
    for (const [index, address] of addresses.entries()) {
      if (familyOf(address) !== addressType)
        item.fail(["addresses", index], invalid(address, `must be a valid ${addressType} address, as addressType says`));
    }
    const hostname = item.checked("hostname", (text) => (text === "" ? undefined : checkLabel(text)));
    const podName = item.checked("podName", (text) => (text === "" ? undefined : checkSubdomain(text)));
    const zone = item.text("zone");
    return {
      addresses,
      ready: flag(item, "ready"),
      ...(hostname === undefined || hostname === "" ? {} : { hostname }),
      ...(podName === undefined || podName === "" ? {} : { podName }),
      ...(zone === undefined ? {} : { zone }),
    };
  });
  const ports = listOf(fields, "ports").map((item): EndpointPort => {
    const head = { name: portNameOf(item), protocol: word(item, "protocol", PROTOCOLS) ?? "TCP" };
    return item.has("port") ? { ...head, port: portOf(item, "port") } : head;
  });
  return { kind: "EndpointSlice", ...head, service, addressType, endpoints, ports };
}

function headOf(fields: Fields, rule: (text: string) => string | undefined): { readonly namespace: string; readonly name: string } {
  return { namespace: named(fields, "namespace", checkLabel), name: named(fields, "name", rule) };
}

function named(fields: Fields, key: string, rule: (text: string) => string | undefined): string {
  if (!fields.has(key)) fields.required(key);
  return fields.checked(key, rule) ?? "";
}

function portNameOf(item: Fields): string {
  if (!item.has("name")) item.required("name", `"" for the port without a name`);
  return item.checked("name", (text) => (text === "" ? undefined : checkLabel(text))) ?? "";
}

function portOf(item: Fields, key: string): number {
  const port = item.number(key);
  if (!item.has(key)) item.required(key);
  const fault = port === undefined ? undefined : checkPort(port);
  if (fault !== undefined) item.fail(key, invalid(port, fault));
  return port ?? 0;
}

function addressesOf(fields: Fields, key: string): string[] {
  return listed(fields, key)
    .texts(key)
    .map((text, index) => {
      const address = canonicalAddress(text);
      if (address === undefined) fields.fail([key, index], invalid(text, NOT_AN_ADDRESS));
      return address ?? text;
    });
}

function listOf(fields: Fields, key: string): Fields[] {
  const items = listed(fields, key).raw(key);
  // Fields takes a missing item for an empty one.
  if (Array.isArray(items))
    for (const [index, item] of items.entries()) if (item === undefined || item === null) fields.fail([key, index], "Required value");
  return fields.list(key);
}

function listed(fields: Fields, key: string): Fields {
  if (!fields.has(key)) fields.required(key, "an array, [] for none");
  return fields;
}

function labelsOf(fields: Fields): Readonly<Record<string, string>> {
  if (!fields.has("labels")) fields.required("labels", "an object, {} for none");
  return fields.labels("labels");
}

function flag(fields: Fields, key: string): boolean {
  if (!fields.has(key)) fields.required(key, "true or false");
  return fields.flag(key) ?? false;
}

function word<T extends string>(fields: Fields, key: string, allowed: readonly T[]): T | undefined {
  const value = fields.raw(key);
  const choices = allowed.map((one) => `"${one}"`).join(", ");
  if (value === undefined || value === "") {
    fields.required(key, choices);
    return undefined;
  }
  const isKnown = (allowed as readonly unknown[]).includes(value);
  const meant = typeof value === "string" && !isKnown ? nearest(value, allowed) : undefined;
  if (meant === undefined) return fields.oneOf(key, allowed);
  fields.fail(key, invalid(value, `did you mean "${meant}"? supported values: ${choices}`));
  return undefined;
}
