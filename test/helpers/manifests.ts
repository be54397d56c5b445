// Manifests for tests, with only what the test is about spelled out.

import type {
  ManifestEndpoints,
  ManifestPod,
  ManifestService,
  ManifestSlice,
  ManifestWorkload,
} from "../../src/registry/manifest-objects.ts";
import { packEndpoints } from "../../src/registry/packed-slice.ts";

const HEAD = { namespace: "default", at: { file: "test.yaml", line: 1, column: 1 } } as const;

export function serviceManifest(fields: Partial<ManifestService>): ManifestService {
  return {
    kind: "Service",
    ...HEAD,
    name: "web",
    type: "ClusterIP",
    headless: false,
    ports: [{ name: "", protocol: "TCP", port: 80 }],
    clusterIPs: [],
    ipFamilies: [],
    externalName: "",
    publishNotReadyAddresses: false,
    labels: {},
    ...fields,
  };
}

export function podManifest(fields: Partial<ManifestPod>): ManifestPod {
  return { kind: "Pod", ...HEAD, name: "pod", labels: {}, hostname: "", subdomain: "", ports: [], ready: true, gone: false, ...fields };
}

export function workloadManifest(fields: Partial<ManifestWorkload>): ManifestWorkload {
  const template = { labels: { app: "web" }, hostname: "", subdomain: "", ports: [] };
  return { kind: "Deployment", ...HEAD, name: "web", replicas: 1, start: 0, serviceName: "", template, ...fields };
}

export function sliceManifest(fields: Partial<ManifestSlice>): ManifestSlice {
  return {
    kind: "EndpointSlice",
    ...HEAD,
    name: "web-1",
    service: "web",
    addressType: "IPv4",
    endpoints: packEndpoints([]),
    ports: [],
    ...fields,
  };
}

export function endpointsManifest(fields: Partial<ManifestEndpoints>): ManifestEndpoints {
  return { kind: "Endpoints", ...HEAD, name: "web", subsets: [], ...fields };
}
