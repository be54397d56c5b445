// The cluster that is measured, in every form that a server or a client reads: manifests, a zone file, the lines of
// Unbound and dnsmasq, queries for dnsperf. Written by speed.ts and scale.ts; the same names and addresses everywhere.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const ZONE = "cluster.local";
const SERVICES = 10_000;
const SERVICES_PER_NAMESPACE = 100;
const ENDPOINTS_PER_SERVICE = 5;
const HEADLESS_SERVICES = 100;
const ENDPOINTS_PER_HEADLESS = 20;
const TTL_SECONDS = 30;
/** 10.0.0.0/24 is left to `kubernetes` and `kube-dns`. */
const FIRST_ADDRESS = 256;

export interface BenchService {
  readonly namespace: string;
  readonly name: string;
  readonly host: string;
  /** The ClusterIP; `None` for a headless Service. */
  readonly address: string;
  readonly endpoints: readonly string[];
}

export function benchServices(count: number = SERVICES, endpointsEach: number = ENDPOINTS_PER_SERVICE): BenchService[] {
  return Array.from({ length: count }, (_, index) => {
    const namespace = `ns-${Math.floor(index / SERVICES_PER_NAMESPACE)}`;
    return benchService(`svc-${index}`, namespace, addressIn(0, FIRST_ADDRESS + index), index * endpointsEach, endpointsEach);
  });
}

/** Headless Services in the namespaces of the others. */
export function headlessServices(): BenchService[] {
  const FIRST_ENDPOINT = 0x10_0000; // behind those of the others
  return Array.from({ length: HEADLESS_SERVICES }, (_, index) =>
    benchService(`big-${index}`, `ns-${index}`, "None", FIRST_ENDPOINT + index * ENDPOINTS_PER_HEADLESS, ENDPOINTS_PER_HEADLESS),
  );
}

function benchService(name: string, namespace: string, address: string, firstEndpoint: number, endpointCount: number): BenchService {
  return {
    name,
    namespace,
    host: `${name}.${namespace}.svc.${ZONE}`,
    address,
    endpoints: Array.from({ length: endpointCount }, (_, nth) => addressIn(128, FIRST_ADDRESS + firstEndpoint + nth)),
  };
}

function addressIn(net: number, index: number): string {
  return `10.${net + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

export function serviceManifest({ namespace, name, address }: BenchService): string {
  return `apiVersion: v1
kind: Service
metadata:
  name: ${name}
  namespace: ${namespace}
  labels:
    app: ${name}
spec:
  clusterIP: ${address}
  ports:
    - name: http
      protocol: TCP
      port: 80
      targetPort: 8080
`;
}

/** A Service and its EndpointSlice, as `kubectl get -o yaml` would show them without what the server adds. */
export function serviceWithEndpoints(service: BenchService): string {
  const { namespace, name, endpoints } = service;
  const listed = endpoints.map(
    (address, nth) => `  - addresses:
      - ${address}
    conditions:
      ready: true
    targetRef:
      kind: Pod
      name: ${name}-${nth}
      namespace: ${namespace}
`,
  );
  return `${serviceManifest(service)}---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: ${name}-1
  namespace: ${namespace}
  labels:
    kubernetes.io/service-name: ${name}
addressType: IPv4
ports:
  - name: http
    protocol: TCP
    port: 8080
endpoints:
${listed.join("")}`;
}

/** One file a Service. */
export function writeManifests(folder: string, services: readonly BenchService[], toText: (service: BenchService) => string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const service of services) writeFileSync(manifestPath(folder, service), toText(service));
}

export function manifestPath(folder: string, { namespace, name }: BenchService): string {
  return join(folder, `${namespace}.${name}.yaml`);
}

export function zoneFile(services: readonly BenchService[]): string {
  const lines = services.flatMap((service) => [
    ...addressesOf(service).map((address) => `${service.host}. ${TTL_SECONDS} IN A ${address}\n`),
    `_http._tcp.${service.host}. ${TTL_SECONDS} IN SRV 0 100 80 ${service.host}.\n`,
  ]);
  return `${ZONE}. ${TTL_SECONDS} IN SOA ns.dns.${ZONE}. hostmaster.${ZONE}. 1 7200 1800 86400 ${TTL_SECONDS}
${ZONE}. ${TTL_SECONDS} IN NS ns.dns.${ZONE}.
ns.dns.${ZONE}. ${TTL_SECONDS} IN A 10.0.0.10
${lines.join("")}`;
}

export function unboundData(services: readonly BenchService[]): string {
  const quoted = zoneFile(services)
    .trimEnd()
    .split("\n")
    .map((line) => `local-data: "${line}"\n`);
  return `local-zone: "${ZONE}." static\n${quoted.join("")}`;
}

/** Addresses for dnsmasq. It gets no SRV records: it walks the list of them for every name that it does not know. */
export function hostsFile(services: readonly BenchService[]): string {
  return services.flatMap((service) => addressesOf(service).map((address) => `${address} ${service.host}\n`)).join("");
}

function addressesOf({ address, endpoints }: BenchService): readonly string[] {
  return address === "None" ? endpoints : [address];
}

/** Queries for dnsperf, in an order that caches can't guess. */
export function queries(services: readonly BenchService[], toQuery: (service: BenchService) => string): string {
  const STRIDE = 7919; // a prime: visits every service once
  return services.map((_, index) => `${toQuery(services[(index * STRIDE) % services.length] as BenchService)}\n`).join("");
}
