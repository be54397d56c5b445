// Where a `kubernetes` block's registry comes from: the Kubernetes API, manifests, both, or the program that embeds the
// server. Works out what the options say together, and the key by which a reload finds a source that stays what it is.

import { dirname, resolve } from "node:path";
import { systemClock } from "../../clock.ts";
import { NdotsError, type Position } from "../../errors.ts";
import type { Host, SourceContext, SourceSpec } from "../../plugin.ts";
import { DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR } from "../../registry/cluster-ips.ts";
import type { KubeApiOptions } from "../../registry/kube-api.ts";
import type { KubeAccess } from "../../registry/kube/client.ts";
import { manifestsSource } from "../../registry/manifests.ts";
import { mergedSource } from "../../registry/merged.ts";
import type { Registry, Source } from "../../registry/registry.ts";
import { DEFAULT_STALE_AFTER_MS } from "./freshness.ts";
import { fileProblems } from "./files.ts";
import type { KubernetesOptions, TlsOption } from "./options.ts";

/** CoreDNS's. */
const DEFAULT_STARTUP_TIMEOUT_MS = 5_000;

/** What a block's zones are views of. */
export interface Origin {
  readonly registry: Registry;
  /** ServiceImports as Services, for the zones of `multicluster`; absent without. */
  readonly clusterSet?: Registry;
  /** The Kubernetes API is asked: its names are not the operator's alone. */
  readonly fromApi: boolean;
}

/** Undefined after it was reported why there is none. */
export async function originOf(options: KubernetesOptions, host: Host, at: Position): Promise<Origin | undefined> {
  const report = (severity: "error" | "warning", message: string, { file, line, column }: Position = at): void =>
    host.report({ file, line, column, severity, message: `kubernetes: ${message}` });
  const access = accessOf(options, host);
  const problems = await fileProblems(options, access, host);
  for (const { at: place, message } of problems) report("error", message, place);
  if (access?.kind === "in-cluster" && (host.env["KUBERNETES_SERVICE_HOST"] ?? "") === "") {
    // No error: `ndots check` is asked outside of the cluster too. The start fails with the source's.
    const instead = `name "kubeconfig FILE", "endpoint URL" or "manifests PATH..." in its block`;
    report("warning", `not in a Pod (KUBERNETES_SERVICE_HOST is not set), where it can't start; ${instead}`);
  }
  if (problems.length > 0) return undefined;
  try {
    const manifests = manifestsSpec(options, host);
    if (access === undefined) return { registry: host.registry(manifests), fromApi: false };
    const api = apiSpec(options, host, access, "cluster");
    const registry = host.registry(manifests === undefined ? api : mergedSpec(api, manifests));
    if (options.multicluster === undefined) return { registry, fromApi: true };
    return { registry, clusterSet: host.registry(apiSpec(options, host, access, "cluster set")), fromApi: true };
  } catch (error) {
    if (!(error instanceof NdotsError)) throw error;
    report("error", error.message);
    return undefined;
  }
}

// CoreDNS's precedence: kubeconfig, endpoint, the cluster that the server runs in.
function accessOf({ kubeconfig, endpoint, tls, in_cluster, manifests }: KubernetesOptions, host: Host): KubeAccess | undefined {
  const path = pathsFrom(host);
  if (kubeconfig !== undefined) {
    const { file, context } = kubeconfig;
    return { file: path(file), ...(context !== undefined && { context }), kind: "kubeconfig" };
  }
  if (endpoint !== undefined) {
    const { cert, key, ca } = tls ?? {};
    const files = Object.entries({ cert, key, ca }).flatMap(([role, file]) => (file === undefined ? [] : [[role, path(file)]]));
    return { kind: "endpoint", url: endpoint, ...(tls !== undefined && { tls: Object.fromEntries(files) as Partial<TlsOption> }) };
  }
  const isImplied = manifests === undefined && !host.embedded;
  return in_cluster === true || isImplied ? { kind: "in-cluster" } : undefined;
}

/** Makes paths of the Corefile absolute. */
export function pathsFrom(host: Host): (file: string) => string {
  return (file) => resolve(dirname(host.file), file);
}

// Options that only say what is served of a registry are not in the key: blocks that differ in nothing else share one.
function apiSpec(options: KubernetesOptions, host: Host, access: KubeAccess, what: "cluster" | "cluster set"): SourceSpec {
  const isClusterSet = what === "cluster set";
  const { snapshot, stale_after: staleAfterMs = DEFAULT_STALE_AFTER_MS, labels } = options;
  const namespaces = [...new Set(options.namespaces.flat())].sort();
  const settings = {
    access,
    ...(namespaces.length > 0 && { namespaces }),
    ...(labels !== undefined && !isClusterSet && { serviceLabels: labels.text }),
    endpoints: options.noendpoints !== true,
    pods: options.pods === "verified" && !isClusterSet ? "keep" : "drop",
    ...(options.endpoint_pod_names && { podNames: "keep" }),
    ...(options.zonal && { zones: "keep" }),
    multicluster: isClusterSet,
    staleAfterMs,
    ...(snapshot !== undefined && {
      snapshot: { file: pathsFrom(host)(snapshot.file) + (isClusterSet ? ".clusterset" : ""), maxAgeMs: snapshot.maxAgeMs },
    }),
    limits: {
      ...(options.apiserver_qps && { qps: options.apiserver_qps }),
      ...(options.apiserver_burst && { burst: options.apiserver_burst }),
      ...(options.apiserver_max_inflight && { maxInflight: options.apiserver_max_inflight }),
    },
  } as const satisfies Partial<KubeApiOptions>;
  const { env } = host;
  return {
    key: `api ${JSON.stringify(settings)}`,
    startupTimeoutMs: options.startup_timeout ?? DEFAULT_STARTUP_TIMEOUT_MS,
    remote: true,
    ...(settings.snapshot !== undefined && { writes: settings.snapshot.file }),
    create: ({ log, metrics }) => lazyApiSource({ ...settings, clock: systemClock, log, metrics, env }),
  };
}

// The client and all it stands on is loaded while the sockets are opened; servers without an API never load it.
function lazyApiSource(options: KubeApiOptions): Source {
  let source: Promise<Source> | undefined;
  return {
    name: "kubernetes",
    async run(registry, synced, signal) {
      source ??= import("../../registry/kube-api.ts").then(({ kubeApiSource }) => kubeApiSource(options));
      await (await source).run(registry, synced, signal);
    },
  };
}

function manifestsSpec(options: KubernetesOptions, host: Host): SourceSpec | undefined {
  const { manifests, state, service_cidr: serviceCidr = [DEFAULT_SERVICE_CIDR], pod_cidr: podCidr = [DEFAULT_POD_CIDR] } = options;
  if (manifests === undefined) return undefined;
  const path = pathsFrom(host);
  const settings = {
    paths: manifests.paths.map(path),
    namespace: manifests.namespace,
    serviceCidr,
    podCidr,
    ...(state === undefined ? {} : { state: path(state) }),
    pods: options.pods === "verified" ? "keep" : "drop",
  } as const;
  return {
    key: `manifests ${JSON.stringify(settings)}`,
    create: ({ log, report }) =>
      manifestsSource({
        ...settings,
        onFinding: report,
        onNote: (text) => log.info(text),
        onLoaded: ({ files, objects, errors, tookMs }) =>
          log.info(`${objects} objects from ${files} files of ${settings.paths.join(", ")}, ${errors} errors, in ${Math.round(tookMs)} ms`),
      }),
  };
}

function mergedSpec(api: SourceSpec, manifests: SourceSpec): SourceSpec {
  return {
    ...api,
    key: `${api.key} over ${manifests.key}`,
    local: manifests,
    create: (context: SourceContext) =>
      mergedSource({
        upper: api.create(context),
        lower: manifests.create(context),
        onConflict: (text) => context.log.warning(text),
      }),
  };
}
