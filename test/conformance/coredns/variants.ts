// The configurations in which both servers are asked, with a port for each, and the Services, Namespaces and Pods by
// which one sees that a server has seen everything before them.

import type { KubeObject } from "../../helpers/fake-api/objects.ts";
import type { Question } from "./questions.ts";

export interface Variant {
  readonly name: string;
  /** Lines of the `kubernetes` block. */
  readonly options: readonly string[];
  readonly endpoints: boolean;
  readonly verifiesPods: boolean;
  readonly zonal: boolean;
  readonly inSet: boolean;
}

const MARKER = "zz-marker";
const FLAGS = ["zz-even", "zz-odd"] as const;

export const variants: readonly Variant[] = [
  variant("kubeadm's", ["pods insecure", "fallthrough in-addr.arpa ip6.arpa", "ttl 30"]),
  variant("defaults", []),
  variant("pods verified", ["pods verified", "endpoint_pod_names"], { verifiesPods: true }),
  variant("namespaces", [`namespaces default shop svc ${MARKER} ${FLAGS.join(" ")}`, "pods insecure", "ttl 0"]),
  variant("labels", ["labels team in (x)", "pods verified"], { verifiesPods: true }),
  variant("namespace_labels", ["namespace_labels team", "pods insecure"]),
  variant("noendpoints", ["noendpoints", "pods insecure"], { endpoints: false }),
  variant("ignore empty_service", ["ignore empty_service", "endpoint_pod_names"]),
  variant("zonal", ["zonal", "pods insecure"], { zonal: true }),
  variant("multicluster", ["multicluster clusterset.local"], { inSet: true }),
];

function variant(name: string, options: readonly string[], more: Partial<Variant> = {}): Variant {
  return { name, options, endpoints: true, verifiesPods: false, zonal: false, inSet: false, ...more };
}

/** A Corefile with a server for each variant, each on a loopback address of its own: 127.0.NET.1 and up. `access` is how it reaches the API server. */
export function corefileFor(net: number, port: number, access: string, which: readonly Variant[] = variants): string {
  const blocks = which.map(({ options, inSet }, at) =>
    [
      `.:${port} {`,
      `    bind ${addressFor(net, at)}`,
      "    bufsize 4096", // nothing is left out of answers for want of room
      `    kubernetes cluster.local ${inSet ? "clusterset.local " : ""}in-addr.arpa ip6.arpa {`,
      ...[access, ...options].map((line) => `        ${line}`),
      "    }",
      "}",
    ].join("\n"),
  );
  return `${blocks.join("\n")}\n`;
}

/** Where the variant's server listens. */
export function addressFor(net: number, index: number): string {
  return `127.0.${net}.${index + 1}`;
}

/** Objects that stand for the Nth state of the cluster; they are applied after all others. */
export function markers(n: number): KubeObject[] {
  const labels = { team: "x" };
  return [
    { kind: "Namespace", metadata: { name: MARKER, labels } },
    { kind: "Service", metadata: { name: "m", namespace: MARKER, labels }, spec: { clusterIP: addressOf(255, n), ports: [{ port: 1 }] } },
    { kind: "Service", metadata: { name: "h", namespace: MARKER, labels }, spec: { clusterIP: "None" } },
    {
      kind: "EndpointSlice",
      metadata: { name: "m-1", namespace: MARKER, labels: { ...labels, "kubernetes.io/service-name": "m" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [addressOf(253, 1)] }],
      ports: [{ name: "", port: 1 }],
    },
    {
      kind: "EndpointSlice",
      metadata: { name: "h-1", namespace: MARKER, labels: { ...labels, "kubernetes.io/service-name": "h" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [addressOf(254, n)] }],
    },
    {
      kind: "ServiceImport",
      metadata: { name: "c", namespace: MARKER, labels },
      spec: { type: "ClusterSetIP", ips: [addressOf(251, n)], ports: [{ protocol: "TCP", port: 1 }] },
    },
    { kind: "ServiceImport", metadata: { name: "i", namespace: MARKER, labels }, spec: { type: "Headless", ports: [] } },
    {
      kind: "EndpointSlice",
      metadata: {
        name: "i-1",
        namespace: MARKER,
        labels: { ...labels, "multicluster.kubernetes.io/service-name": "i", "multicluster.kubernetes.io/source-cluster": "east" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [addressOf(250, n)] }],
    },
    {
      kind: "Pod",
      metadata: { name: "p", namespace: MARKER, labels },
      status: { phase: "Running", podIP: addressOf(252, n), podIPs: [{ ip: addressOf(252, n) }] },
    },
    // Last: the namespace that is the sign for this state, while the other's is gone.
    { kind: "Namespace", metadata: { name: FLAGS[n % 2] as string, labels } },
  ];
}

/** The Namespace that markers() of the state before had. */
export function staleMarker(n: number): string {
  return FLAGS[(n + 1) % 2] as string;
}

/** Questions, and the answers that come once a server has seen the markers. */
export function signs(n: number, { endpoints, verifiesPods, inSet }: Variant): readonly (readonly [question: Question, answer: string])[] {
  const [now, before] = [FLAGS[n % 2], FLAGS[(n + 1) % 2]];
  return [
    [`m.${MARKER}.svc.~ A`, addressOf(255, n)],
    [`${now}.svc.~ A`, "NOERROR"],
    [`${before}.svc.~ A`, "NXDOMAIN"],
    ...(endpoints ? ([[`h.${MARKER}.svc.~ A`, addressOf(254, n)]] as const) : []),
    ...(inSet
      ? ([
          [`c.${MARKER}.svc.^ A`, addressOf(251, n)],
          [`i.${MARKER}.svc.^ A`, addressOf(250, n)],
        ] as const)
      : []),
    ...(verifiesPods ? ([[`${addressOf(252, n).replaceAll(".", "-")}.${MARKER}.pod.~ A`, addressOf(252, n)]] as const) : []),
  ];
}

function addressOf(second: number, n: number): string {
  return `10.${second}.${n >> 8}.${n & 255}`;
}
