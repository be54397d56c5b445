// What `kubectl kustomize` makes of a folder below deploy/, and the servers in it as the tests look at them: Pod,
// container, Corefile, and what that Corefile opens.

import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { readBlocks } from "../../src/config/blocks.ts";
import { parseCorefile } from "../../src/config/corefile.ts";
import { plugins } from "./every-plugin.ts";
import { needs } from "./needs.ts";
import { root } from "./source-tree.ts";

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Labels };
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }[];
  // Its fields differ from kind to kind; a test that reads them names their type.
  readonly spec?: unknown;
}

export type Labels = Readonly<Record<string, string>>;

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes: readonly { readonly name: string; readonly configMap?: { readonly name: string }; readonly projected?: unknown }[];
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly dnsPolicy: string;
  readonly dnsConfig?: {
    readonly nameservers: readonly string[];
    readonly searches: readonly string[];
    readonly options?: readonly { readonly name: string; readonly value?: string }[];
  };
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext?: { readonly sysctls?: readonly { readonly name: string; readonly value: string }[] };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly command?: readonly string[];
  readonly restartPolicy?: string;
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number; readonly protocol: string }[];
  readonly resources: { readonly requests: Labels; readonly limits: Labels };
  readonly livenessProbe: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly securityContext: {
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string; readonly host?: string };
}

/** A server that deploy/ has. */
export interface Server {
  readonly objects: readonly KubeObject[];
  readonly workload: KubeObject;
  readonly labels: Labels;
  readonly pod: PodSpec;
  readonly container: Container;
  readonly corefile: string;
}

/** Services' addresses as the kubelet gives them to containers. */
export const serviceVariables: Readonly<Record<string, string>> = {
  KUBERNETES_SERVICE_HOST: "10.96.0.1",
  KUBE_DNS_UPSTREAM_SERVICE_HOST: "10.96.0.11",
};

/** The first kubectl with kustomize 5. */
const KUBECTL_MINOR = 27;

export function needsKustomize(context: Mocha.Context): void {
  const asked = spawnSync("kubectl", ["version", "--client", "-o", "json"], { encoding: "utf8" });
  const minor = /"minor": "(\d+)/.exec(asked.stdout ?? "")?.[1];
  needs(
    context,
    Number(minor ?? 0) >= KUBECTL_MINOR,
    minor === undefined ? "not installed: kubectl" : `kubectl 1.${KUBECTL_MINOR} or newer`,
  );
}

const rendered = new Map<string, readonly KubeObject[]>();

/** @param folder below deploy/, as people would name it behind -k. */
export function render(folder: string): readonly KubeObject[] {
  const known = rendered.get(folder);
  if (known !== undefined) return known;
  const yaml = execFileSync("kubectl", ["kustomize", join(root, "deploy", folder)], { encoding: "utf8" });
  const objects = parseObjects(yaml);
  rendered.set(folder, objects);
  return objects;
}

export function readObjects(path: string): KubeObject[] {
  return parseObjects(readFileSync(join(root, path), "utf8"));
}

export function parseObjects(yaml: string): KubeObject[] {
  return parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject);
}

export function find(objects: readonly KubeObject[], kind: string, name: string): KubeObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

/** The server of a workload: its container mounts the Corefile at /etc/coredns. */
export function serverOf(objects: readonly KubeObject[], kind: string, name: string): Server {
  const workload = find(objects, kind, name);
  const { metadata, spec } = kind === "Pod" ? workload : (workload.spec as { template: KubeObject }).template;
  const pod = spec as PodSpec;
  for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
    const mount = container.volumeMounts?.find(({ mountPath }) => mountPath === "/etc/coredns");
    const volume = pod.volumes?.find((candidate) => candidate.name === mount?.name);
    if (volume?.configMap === undefined) continue;
    const corefile = find(objects, "ConfigMap", volume.configMap.name).data?.["Corefile"] ?? "";
    return { objects, workload, labels: metadata.labels ?? {}, pod, container, corefile };
  }
  throw new Error(`${kind} ${name}: no container mounts a ConfigMap at /etc/coredns`);
}

export interface Opened {
  /** Empty: all addresses. */
  readonly hosts: readonly string[];
  readonly dnsPort: number;
  /** By path: /health, /ready, /metrics. */
  readonly http: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
  readonly lameduckMs: number;
  /** What the syntax says is wrong. */
  readonly errors: readonly string[];
}

const paths: Readonly<Record<string, string>> = { health: "/health", ready: "/ready", prometheus: "/metrics" };

/** What the first block of a Corefile opens. */
export function openedBy(corefile: string): Opened {
  const parsed = parseCorefile({ file: "Corefile", text: corefile, env: serviceVariables });
  const { blocks, findings } = readBlocks(parsed, plugins);
  const [block] = blocks;
  const http: Record<string, { host: string; port: number }> = {};
  let hosts: readonly string[] = [];
  let lameduckMs = 0;
  for (const { name, options } of block?.directives ?? []) {
    if (name === "bind") hosts = (options as { args: readonly string[] }).args;
    const path = paths[name];
    if (path !== undefined) http[path] = (options as { args: { host: string; port: number } }).args;
    if (name === "health") lameduckMs = (options as { lameduck?: number }).lameduck ?? 0;
  }
  const errors = [...parsed.findings, ...findings]
    .filter(({ severity }) => severity === "error")
    .map(({ line, message }) => `${line}: ${message}`);
  return { hosts, dnsPort: block?.keys[0]?.port ?? 53, http, lameduckMs, errors };
}

/** `170Mi` */
export function bytesOf(quantity: string): number {
  const [, number, unit = ""] = /^(\d+)(Ki|Mi|Gi)?$/.exec(quantity) ?? [];
  return Number(number) * 1024 ** ["", "Ki", "Mi", "Gi"].indexOf(unit);
}
