// The syntax of `kubernetes`: CoreDNS's options, and our own for manifests and for what is done while the Kubernetes API
// is out of reach. What the options mean together for the source of the registry is source.ts's.

import { cidr, decimal, filePath, goDuration, httpUrl, integer, oneOf, word, type ArgType } from "../../config/arguments.ts";
import {
  deprecated,
  directive,
  each,
  none,
  once,
  one,
  readArgument,
  rest,
  zones,
  zonesOrAll,
  type Report,
  type Shape,
  type Syntax,
} from "../../config/directive.ts";
import type { Name } from "../../dns/name.ts";
import type { Position } from "../../errors.ts";
import { isReverse } from "../../dns/reverse.ts";
import { checkLabel } from "../../registry/kube-names.ts";
import { parseLabelSelector, type LabelSelector } from "./label-selector.ts";

/** CoreDNS's bound. */
const MAX_TTL_SECONDS = 3600;
/** Above these, timers and counters mean nothing. */
const MAX_DURATION_MS = 24 * 3_600_000;
/** An API server sends a bookmark each minute. */
const LEAST_STALE_AFTER_MS = 120_000;
const MAX_REQUESTS = 1_000_000;

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

/** `endpoint URL`; old Corefiles have several, of which CoreDNS uses the first. */
const endpoint: Shape<string> = {
  usage: "URL",
  read(tokens, at, report) {
    const urls = rest(httpUrl(), { min: 1 }).read(tokens, at, report);
    if (urls !== undefined && urls.length > 1)
      report.warning(tokens[1] ?? at, "only the first URL is used: CoreDNS has given up on several");
    return urls?.[0];
  },
};

/** `tls CERT KEY CACERT`: the files that an `endpoint` is spoken to with. */
export interface TlsOption {
  readonly at: Position;
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

const tls: Shape<TlsOption> = {
  usage: "[CERT KEY] [CACERT]",
  read(tokens, at, report) {
    const files = rest(filePath()).read(tokens, at, report);
    if (files === undefined) return undefined;
    const [first, second, third, ...more] = files;
    if (more.length > 0) {
      report.error(tokens[3] ?? at, `expected [CERT KEY] [CACERT], found "${files.join(" ")}"`);
      return undefined;
    }
    if (first === undefined) return { at: placeOf(at) };
    if (second === undefined) return { at: placeOf(at), ca: first };
    return { at: placeOf(at), cert: first, key: second, ...(third !== undefined && { ca: third }) };
  },
};

/** `kubeconfig FILE [CONTEXT]` */
export interface KubeconfigOption {
  readonly at: Position;
  readonly file: string;
  readonly context?: string;
}

const kubeconfig: Shape<KubeconfigOption> = fileAnd(word("CONTEXT"), (at, file, context) => ({
  at,
  file,
  ...(context !== undefined && { context }),
}));

/** `snapshot FILE [MAX_AGE]` */
export interface SnapshotOption {
  readonly at: Position;
  readonly file: string;
  readonly maxAgeMs: number;
}

const HOUR_MS = 3_600_000;
const snapshot: Shape<SnapshotOption> = fileAnd(goDuration("MAX_AGE", { minMs: 1000 }), (at, file, maxAgeMs = HOUR_MS) => ({
  at,
  file,
  maxAgeMs,
}));

// A file, and one more argument that may be left out.
function fileAnd<T, R>(type: ArgType<T>, make: (at: Position, file: string, value: T | undefined) => R): Shape<R> {
  const usage = `FILE [${type.usage}]`;
  return {
    usage,
    read(tokens, at, report) {
      const [first, second, ...more] = tokens;
      if (first === undefined || more.length > 0) {
        const found = first === undefined ? "nothing" : `"${tokens.map(({ text }) => text).join(" ")}"`;
        report.error(more[0] ?? at, `expected ${usage}, found ${found}`);
        return undefined;
      }
      const file = readArgument(filePath(), first, report);
      const value = second === undefined ? undefined : readArgument(type, second, report);
      if (file === undefined || (second !== undefined && value === undefined)) return undefined;
      return make(placeOf(at), file, value);
    },
  };
}

// Of a line, without the rest of it.
function placeOf({ file, line, column }: Position): Position {
  return { file, line, column };
}

/** The name of a namespace: any other could never match one. */
const namespaceName: ArgType<string> = {
  usage: "NAMESPACE",
  parse(text) {
    const problem = checkLabel(text);
    return problem === undefined ? text : { problem: `"${text}": ${problem}` };
  },
};

/** A label selector: its text for the API server, and what it selects for us. */
export interface Selector {
  readonly text: string;
  readonly selects: LabelSelector;
}

const selector: Shape<Selector> = {
  usage: "EXPRESSION",
  read(tokens, at, report) {
    const text = tokens.map((token) => token.text).join(" ");
    const selects = text === "" ? undefined : parseLabelSelector(text);
    if (selects !== undefined) return { text, selects };
    report.error(tokens[0] ?? at, `must be a label selector like "app=web,tier in (a, b),!old", found "${text}"`);
    return undefined;
  },
};

const words = rest(word("VALUE"));
const REMOVED = "CoreDNS has removed this option";
const requests = (usage: string): ReturnType<typeof integer> => integer({ usage, max: MAX_REQUESTS });

const options = {
  endpoint: once(endpoint),
  tls: once(tls),
  kubeconfig: once(kubeconfig),
  in_cluster: once(none()),
  apiserver_qps: once(one(decimal("QPS"))),
  apiserver_burst: once(one(requests("BURST"))),
  apiserver_max_inflight: once(one(requests("MAX"))),
  startup_timeout: once(one(goDuration("DURATION", { maxMs: MAX_DURATION_MS }))),
  namespaces: each(rest(namespaceName, { min: 1 })),
  namespace_labels: once(selector),
  labels: once(selector),
  pods: once(one(oneOf("disabled", "insecure", "verified"))),
  endpoint_pod_names: once(none()),
  ttl: once(one(integer({ usage: "TTL", min: 0, max: MAX_TTL_SECONDS }))),
  fallthrough: once(zonesOrAll()),
  noendpoints: once(none()),
  ignore: once(one(oneOf("empty_service"))),
  multicluster: once(zones()),
  zonal: once(none()),
  stale_after: once(one(goDuration("DURATION", { minMs: 1000, maxMs: MAX_DURATION_MS }))),
  ready_when_stale: once(one(oneOf("on", "off"))),
  snapshot: once(snapshot),
  ready_from_snapshot: once(none()),
  ptr: once(one(oneOf("one", "all"))),
  reasons: once(one(oneOf("off", "fixed", "nearest"))),
  manifests: once(manifests),
  service_cidr: once(rest(cidr(), { min: 1 })),
  pod_cidr: once(rest(cidr(), { min: 1 })),
  state: once(one(filePath())),
  resyncperiod: deprecated(words, REMOVED),
  upstream: deprecated(words, REMOVED),
  transfer: deprecated(words, REMOVED),
};

/** What a `kubernetes` line says; absent options are undefined. */
export interface KubernetesOptions {
  readonly args: readonly Name[];
  readonly endpoint: string | undefined;
  readonly tls: TlsOption | undefined;
  readonly kubeconfig: KubeconfigOption | undefined;
  readonly in_cluster: true | undefined;
  readonly apiserver_qps: number | undefined;
  readonly apiserver_burst: number | undefined;
  readonly apiserver_max_inflight: number | undefined;
  /** Milliseconds. */
  readonly startup_timeout: number | undefined;
  /** One list a line; none: all namespaces. */
  readonly namespaces: readonly (readonly string[])[];
  readonly namespace_labels: Selector | undefined;
  readonly labels: Selector | undefined;
  readonly pods: "disabled" | "insecure" | "verified" | undefined;
  readonly endpoint_pod_names: true | undefined;
  readonly ttl: number | undefined;
  readonly fallthrough: readonly Name[] | undefined;
  readonly noendpoints: true | undefined;
  readonly ignore: "empty_service" | undefined;
  readonly multicluster: readonly Name[] | undefined;
  readonly zonal: true | undefined;
  /** Milliseconds. */
  readonly stale_after: number | undefined;
  readonly ready_when_stale: "on" | "off" | undefined;
  readonly snapshot: SnapshotOption | undefined;
  readonly ready_from_snapshot: true | undefined;
  readonly ptr: "one" | "all" | undefined;
  readonly reasons: "off" | "fixed" | "nearest" | undefined;
  readonly manifests: ManifestsOption | undefined;
  readonly service_cidr: readonly string[] | undefined;
  readonly pod_cidr: readonly string[] | undefined;
  readonly state: string | undefined;
}

export const syntax: Syntax<KubernetesOptions> = directive({ args: zones(), options, check });

/** Options that name an API server. */
const API: readonly (keyof KubernetesOptions)[] = ["endpoint", "kubeconfig", "in_cluster"];
/** Options about a connection to one: they say nothing where manifests are the only source. */
const ABOUT_API: readonly (keyof KubernetesOptions)[] = [
  "apiserver_qps",
  "apiserver_burst",
  "apiserver_max_inflight",
  "multicluster",
  "stale_after",
  "ready_when_stale",
  "snapshot",
];

function check(given: KubernetesOptions, report: Report, at: Position): void {
  const has = (option: keyof KubernetesOptions): boolean => given[option] !== undefined;
  const error = (message: string): void => report.error(at, message);
  if (given.args.length > 0 && given.args.every(isReverse)) error("at least one zone must not be a reverse zone");
  if (given.namespaces.length > 0 && has("namespace_labels")) error("namespaces and namespace_labels can't be combined");
  if (given.zonal && given.noendpoints) error("zonal answers from endpoints: it can't be combined with noendpoints");
  if (has("ready_from_snapshot") && !has("snapshot")) error('ready_from_snapshot needs "snapshot FILE" beside it');
  if (given.in_cluster && (has("endpoint") || has("kubeconfig"))) {
    error("in_cluster asks the cluster that the server runs in: it can't be combined with endpoint or kubeconfig");
  }
  if (has("kubeconfig")) {
    for (const option of ["endpoint", "tls"] as const) {
      if (has(option)) report.warning(at, `${option} is ignored: kubeconfig says where the API server is and how it is spoken to`);
    }
  } else if (has("tls") && !has("endpoint"))
    report.warning(at, "tls is ignored without endpoint: in a cluster the service account is used");
  if (given.stale_after !== undefined && given.stale_after < LEAST_STALE_AFTER_MS) {
    report.warning(at, "stale_after: from less than 2m, a cluster where nothing happens seems stale: its API server speaks once a minute");
  }
  if (!has("manifests")) {
    if (has("state")) error('state is about manifests: it needs "manifests PATH..." beside it');
  } else if (!API.some(has)) {
    for (const option of ABOUT_API) {
      if (has(option)) error(`${option} is about the Kubernetes API: it needs endpoint, kubeconfig or in_cluster beside manifests`);
    }
  }
}
