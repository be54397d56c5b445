// Big clusters for benches, object by object as they are asked for: Services with their EndpointSlices, one headless
// Service of many slices, namespaces. Labels, owners and annotations are what a real cluster's objects carry.

import { createHash } from "node:crypto";
import type { KubeObject } from "./objects.ts";

export interface BigCluster {
  readonly services: number;
  readonly endpointsEach: number;
  readonly namespaces: number;
  /** Endpoints of the Service `big` in the namespace `bench`, in slices of 100 as the controller makes them. */
  readonly headlessEndpoints: number;
  readonly pods?: number;
}

/** The cluster that the figures are about. */
export const REFERENCE_CLUSTER: BigCluster = { services: 10_000, endpointsEach: 10, namespaces: 3000, headlessEndpoints: 5000 };

const SLICE_ENDPOINTS = 100;

export function* bigCluster(size: BigCluster): Generator<KubeObject> {
  for (let n = 0; n < size.namespaces; n++) yield namespace(n);
  yield { kind: "Namespace", metadata: { name: "bench" } };
  for (let n = 0; n < size.services; n++) {
    const space = namespaceOf(n, size);
    yield service(space, n);
    yield sliceOf(space, `svc-${n}`, 0, size.endpointsEach, n * size.endpointsEach);
  }
  if (size.headlessEndpoints > 0) yield headless();
  for (let at = 0; at < size.headlessEndpoints; at += SLICE_ENDPOINTS) {
    const count = Math.min(SLICE_ENDPOINTS, size.headlessEndpoints - at);
    yield sliceOf("bench", "big", at / SLICE_ENDPOINTS, count, size.services * size.endpointsEach + at);
  }
  for (let n = 0; n < (size.pods ?? 0); n++) yield pod(namespaceOf(n, size), n);
}

/** The namespace of Service `svc-N`. */
export function namespaceOf(n: number, size: Pick<BigCluster, "namespaces">): string {
  return `team-${n % size.namespaces}`;
}

/** The ClusterIP of Service `svc-N`. */
export function clusterIPOf(n: number): string {
  return `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

/** The address of the Nth endpoint of the cluster. */
export function endpointAddress(n: number): string {
  return `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

function namespace(n: number): KubeObject {
  return {
    kind: "Namespace",
    metadata: { name: `team-${n}`, labels: { "pod-security.kubernetes.io/enforce": "baseline", team: `t${n % 40}` } },
  };
}

function service(space: string, n: number): KubeObject {
  const name = `svc-${n}`;
  const labels = labelsOf(name);
  const ports = [
    { name: "http", protocol: "TCP", port: 80, targetPort: "http" },
    { name: "metrics", protocol: "TCP", port: 9090, targetPort: 9090 },
  ];
  const annotations = {
    "kubectl.kubernetes.io/last-applied-configuration": `${JSON.stringify({
      apiVersion: "v1",
      kind: "Service",
      metadata: { annotations: {}, labels, name, namespace: space },
      spec: { ports, selector: { "app.kubernetes.io/name": name } },
    })}\n`,
    "prometheus.io/scrape": "true",
  };
  const clusterIP = clusterIPOf(n);
  return {
    kind: "Service",
    metadata: { name, namespace: space, uid: uidOf(`${space}/${name}`), labels, annotations },
    spec: { ports, selector: { "app.kubernetes.io/name": name }, clusterIP },
  };
}

function headless(): KubeObject {
  return {
    kind: "Service",
    metadata: { name: "big", namespace: "bench", labels: labelsOf("big") },
    spec: { ports: [{ name: "http", port: 80 }], selector: { "app.kubernetes.io/name": "big" }, clusterIP: "None" },
  };
}

function sliceOf(space: string, name: string, index: number, count: number, first: number): KubeObject {
  const endpoints = Array.from({ length: count }, (_, at) => endpoint(space, name, first + at));
  const suffix = shortHash(`${space}/${name}/${index}`);
  return {
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${suffix}`,
      generateName: `${name}-`,
      namespace: space,
      uid: uidOf(`${space}/${name}/${index}`),
      labels: {
        ...labelsOf(name),
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": name,
        ...(name === "big" && { "service.kubernetes.io/headless": "" }),
      },
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2026-11-21T02:48:38Z" },
      ownerReferences: [
        { apiVersion: "v1", kind: "Service", name, uid: uidOf(`${space}/${name}`), controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: "IPv4",
    endpoints,
    ports: [
      { name: "http", protocol: "TCP", port: 8080 },
      { name: "metrics", protocol: "TCP", port: 9090 },
    ],
  };
}

function endpoint(space: string, name: string, n: number): object {
  return {
    addresses: [endpointAddress(n)],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: { kind: "Pod", namespace: space, name: `${name}-6c8d5f7b9d-${shortHash(String(n))}`, uid: uidOf(`pod/${n}`) },
    nodeName: `node-${n % 200}`,
    zone: `eu-1${"abc"[n % 3]}`,
  };
}

function pod(space: string, n: number): KubeObject {
  const podIP = endpointAddress(n);
  return {
    kind: "Pod",
    metadata: { name: `pod-${n}`, namespace: space, labels: labelsOf(`svc-${n}`) },
    spec: {
      nodeName: `node-${n % 200}`,
      containers: [{ name: "main", image: `registry.example.org/team/app:${n}`, ports: [{ containerPort: 8080 }] }],
    },
    status: { phase: "Running", podIP, podIPs: [{ ip: podIP }] },
  };
}

function labelsOf(name: string): Record<string, string> {
  return {
    "app.kubernetes.io/instance": name,
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/name": name,
    "app.kubernetes.io/version": "1.27.3",
    "helm.sh/chart": `${name}-1.27.3`,
  };
}

// The same on every run.
function uidOf(text: string): string {
  const hex = createHash("md5").update(text).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function shortHash(text: string): string {
  return createHash("md5").update(text).digest("hex").slice(0, 5);
}
