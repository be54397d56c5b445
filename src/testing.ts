// Helpers for tests, users' and our own: objects with sensible fields, and a client that asks a real socket.

import { parseRecord, formatRecord } from "./dns/text.ts";
import { addressForKey } from "./registry/cluster-ips.ts";
import type { Endpoint, EndpointSlice, Namespace, Pod, Service } from "./registry/objects.ts";

export { ask, type AskOptions, type Result, type ServerAddress } from "./client.ts";

/** A record in the form in which answers are shown, so that the two compare as strings. */
export function rr(text: string): string {
  const { rdata, ...record } = parseRecord(text);
  return formatRecord(record, rdata);
}

/**
 * A Service in `default`, with a ClusterIP that depends on its name alone; everything can be given.
 * @example registry.apply({ verb: "upsert", object: service({ name: "web", ports: [{ name: "http", port: 80 }] }) })
 */
export function service(fields: ServiceFields): Service {
  const { name, namespace = "default", type = "ClusterIP", headless = false, ports = [], ...rest } = fields;
  const hasAddress = !headless && type !== "ExternalName";
  return {
    kind: "Service",
    name,
    namespace,
    type,
    headless,
    clusterIPs: hasAddress ? [addressForKey(namespace, name)] : [],
    externalName: "",
    publishNotReadyAddresses: false,
    labels: {},
    ...rest,
    ports: ports.map((port) => ({ name: "", protocol: "TCP", ...port })),
  };
}

export type ServiceFields = Partial<Omit<Service, "kind" | "ports" | "name">> & {
  readonly name: string;
  readonly ports?: readonly (Partial<Service["ports"][number]> & { readonly port: number })[];
};

/** An EndpointSlice of a Service in `default`; an endpoint may be given as its bare address. */
export function slice(fields: SliceFields): EndpointSlice {
  const { service: owner, namespace = "default", endpoints = [], ports = [], ...rest } = fields;
  const full = endpoints.map((endpoint): Endpoint =>
    typeof endpoint === "string" ? { addresses: [endpoint], ready: true } : { ready: true, ...endpoint },
  );
  return {
    kind: "EndpointSlice",
    name: `${owner}-1`,
    namespace,
    service: owner,
    addressType: full[0]?.addresses[0]?.includes(":") === true ? "IPv6" : "IPv4",
    ...rest,
    endpoints: full,
    ports: ports.map((port) => ({ name: "", protocol: "TCP", ...port })),
  };
}

export type SliceFields = Partial<Omit<EndpointSlice, "kind" | "endpoints" | "ports" | "service">> & {
  readonly service: string;
  readonly endpoints?: readonly (string | (Partial<Endpoint> & Pick<Endpoint, "addresses">))[];
  readonly ports?: readonly (Partial<EndpointSlice["ports"][number]> & { readonly port?: number })[];
};

/** A Pod in `default`. */
export function pod(fields: { readonly name: string; readonly namespace?: string; readonly addresses: readonly string[] }): Pod {
  return { kind: "Pod", namespace: "default", ...fields };
}

/** A Namespace. */
export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): Namespace {
  return { kind: "Namespace", name, labels };
}
