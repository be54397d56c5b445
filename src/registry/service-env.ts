// The environment variables that the kubelet sets for each Service at a container's start: the discovery mode beside
// DNS. Called by `ndots env` and by the library's env(). Pure; the names and values are the kubelet's, byte for byte.
// The kubelet goes through its Services in random order; here they come by name, so that two runs can be compared.

import type { Service } from "./objects.ts";
import type { Registry } from "./registry.ts";

export interface ServiceEnvOptions {
  /** "none" leaves only the API server's variables, as `enableServiceLinks: false` of a Pod does. */
  readonly serviceLinks?: "all" | "none";
}

// What every container gets, whatever its namespace.
const MASTER = { namespace: "default", name: "kubernetes" } as const;

/**
 * Variables for a container in a namespace, in order, each name once.
 * @example serviceEnvironment(registry, "default") // [["KUBERNETES_SERVICE_HOST", "10.0.0.1"], …]
 */
export function serviceEnvironment(
  registry: Registry,
  namespace: string,
  { serviceLinks = "all" }: ServiceEnvOptions = {},
): [string, string][] {
  const services = new Map<string, Service>();
  const master = registry.service(MASTER.namespace, MASTER.name);
  if (master !== undefined) services.set(master.name, master);
  if (serviceLinks === "all") {
    // A namespace's own Service called `kubernetes` hides the API server's, as it does for the kubelet.
    for (const service of registry.services())
      if (service.namespace === namespace && hasAddress(service)) services.set(service.name, service);
  }
  const variables = new Map<string, string>();
  const names = [...services.keys()].sort();
  for (const name of names) for (const [key, value] of variablesOf(services.get(name) as Service)) variables.set(key, value);
  return [...variables];
}

function hasAddress(service: Service): boolean {
  return !service.headless && service.clusterIPs.length > 0;
}

function* variablesOf(service: Service): Generator<[string, string]> {
  const host = service.clusterIPs[0];
  const first = service.ports[0];
  if (!hasAddress(service) || host === undefined || first === undefined) return;
  const prefix = variableName(service.name);
  yield [`${prefix}_SERVICE_HOST`, host];
  yield [`${prefix}_SERVICE_PORT`, String(first.port)];
  for (const { name, port } of service.ports) if (name !== "") yield [`${prefix}_SERVICE_PORT_${variableName(name)}`, String(port)];
  // The variables of Docker's container links, which the kubelet has set ever since.
  for (const [index, { protocol, port }] of service.ports.entries()) {
    const scheme = protocol.toLowerCase();
    const url = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
    if (index === 0) yield [`${prefix}_PORT`, url];
    const link = `${prefix}_PORT_${port}_${protocol}`;
    yield [link, url];
    yield [`${link}_PROTO`, scheme];
    yield [`${link}_PORT`, String(port)];
    yield [`${link}_ADDR`, host];
  }
}

function variableName(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}
