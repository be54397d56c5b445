// Objects of a small cluster, for tests that follow an API server.

import type { KubeObject } from "../helpers/fake-api/objects.ts";

export function namespace(name: string): KubeObject {
  return { kind: "Namespace", metadata: { name } };
}

export function service(name: string, clusterIP: string, more: { readonly namespace?: string; readonly uid?: string } = {}): KubeObject {
  return {
    kind: "Service",
    metadata: { name, namespace: "default", ...more },
    spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ name: "http", port: 80 }] },
  };
}

export function headless(name: string): KubeObject {
  return service(name, "None");
}

export function slice(name: string, serviceName: string, addresses: readonly string[], space = "default"): KubeObject {
  return {
    kind: "EndpointSlice",
    metadata: { name, namespace: space, labels: { "kubernetes.io/service-name": serviceName } },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: "http", port: 80 }],
  };
}

export function pod(name: string, space: string, podIP: string): KubeObject {
  return { kind: "Pod", metadata: { name, namespace: space }, status: { phase: "Running", podIP, podIPs: [{ ip: podIP }] } };
}
