// The syntax of `kubernetes`: CoreDNS's options that need no Kubernetes API, and our own for manifests. Options that
// do need it are known, so that a Corefile that has them is told why it can't be served.

import { cidr, filePath, goDuration, integer, oneOf, word } from "../../config/arguments.ts";
import {
  deprecated,
  directive,
  none,
  once,
  one,
  readArgument,
  rest,
  zones,
  type Property,
  type Shape,
  type Syntax,
} from "../../config/directive.ts";
import type { Name } from "../../dns/name.ts";
import { parseLabelSelector, type LabelSelector } from "./label-selector.ts";
import { isReverse } from "../../dns/reverse.ts";

/** CoreDNS's bound. */
const MAX_TTL_SECONDS = 3600;

/** `manifests PATH… [namespace NS]` */
export interface ManifestsOption {
  readonly paths: readonly string[];
  /** For objects that name none. */
  readonly namespace: string;
}

const manifests: Shape<ManifestsOption> = {
  usage: "PATH... [namespace NS]",
  read(tokens, at, report) {
    const named = tokens.length > 1 && tokens.at(-2)?.text === "namespace";
    const last = tokens.at(-1);
    const paths = rest(filePath("PATH"), { min: 1 }).read(named ? tokens.slice(0, -2) : tokens, at, report);
    const namespace = named && last !== undefined ? readArgument(word("NS"), last, report) : "default";
    return paths === undefined || namespace === undefined ? undefined : { paths, namespace };
  },
};

const selector: Shape<LabelSelector> = {
  usage: "EXPRESSION",
  read(tokens, at, report) {
    const text = tokens.map((token) => token.text).join(" ");
    const parsed = text === "" ? undefined : parseLabelSelector(text);
    if (parsed !== undefined) return parsed;
    report.error(tokens[0] ?? at, `must be a label selector like "app=web,tier in (a, b),!old", found "${text}"`);
    return undefined;
  },
};

// Why options that need the API can't be had; arguments are not looked at.
function needsApi(): Property<undefined> {
  return {
    usage: () => undefined,
    read(lines, report) {
      for (const line of lines) report.error(line, "needs the Kubernetes API, which is not in this version yet");
    },
  };
}

const words = rest(word("VALUE"));
const REMOVED = "CoreDNS has removed this option";

const options = {
  pods: once(one(oneOf("disabled", "insecure", "verified"))),
  endpoint_pod_names: once(none()),
  ttl: once(one(integer({ usage: "TTL", min: 0, max: MAX_TTL_SECONDS }))),
  fallthrough: once(zones()),
  noendpoints: once(none()),
  namespaces: once(rest(word("NAMESPACE"), { min: 1 })),
  namespace_labels: once(selector),
  labels: once(selector),
  ignore: once(one(oneOf("empty_service"))),
  ptr: once(one(oneOf("one", "all"))),
  reasons: once(one(oneOf("off", "fixed", "nearest"))),
  manifests: once(manifests),
  service_cidr: once(rest(cidr(), { min: 1 })),
  pod_cidr: once(rest(cidr(), { min: 1 })),
  state: once(one(filePath())),
  startup_timeout: once(one(goDuration())),
  endpoint: needsApi(),
  tls: needsApi(),
  kubeconfig: needsApi(),
  apiserver_qps: needsApi(),
  apiserver_burst: needsApi(),
  apiserver_max_inflight: needsApi(),
  multicluster: needsApi(),
  zonal: needsApi(),
  resyncperiod: deprecated(words, REMOVED),
  upstream: deprecated(words, REMOVED),
  transfer: deprecated(words, REMOVED),
};

/** What a `kubernetes` line says; absent options are undefined. */
export interface KubernetesOptions {
  readonly args: readonly Name[];
  readonly pods: "disabled" | "insecure" | "verified" | undefined;
  readonly endpoint_pod_names: true | undefined;
  readonly ttl: number | undefined;
  readonly fallthrough: readonly Name[] | undefined;
  readonly noendpoints: true | undefined;
  readonly namespaces: readonly string[] | undefined;
  readonly namespace_labels: LabelSelector | undefined;
  readonly labels: LabelSelector | undefined;
  readonly ignore: "empty_service" | undefined;
  readonly ptr: "one" | "all" | undefined;
  readonly reasons: "off" | "fixed" | "nearest" | undefined;
  readonly manifests: ManifestsOption | undefined;
  readonly service_cidr: readonly string[] | undefined;
  readonly pod_cidr: readonly string[] | undefined;
  readonly state: string | undefined;
  readonly startup_timeout: number | undefined;
}

export const syntax: Syntax<KubernetesOptions> = directive({
  args: zones(),
  options,
  check(given, report, at) {
    if (given.args.length > 0 && given.args.every(isReverse)) report.error(at, "at least one zone must not be a reverse zone");
    if (given.namespaces !== undefined && given.namespace_labels !== undefined) {
      report.error(at, "namespaces and namespace_labels can't be combined");
    }
    if (given.manifests !== undefined) return;
    for (const option of ["service_cidr", "pod_cidr", "state"] as const) {
      if (given[option] !== undefined) report.error(at, `${option} is about manifests: it needs "manifests PATH..." beside it`);
    }
  },
});
