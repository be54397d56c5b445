// A real cluster, as KUBECONFIG names it: a namespace of our own in it, what tests put there, and accounts with few rights.
// kubectl does what depends on the user's way in (certificates, exec plugins, contexts): its proxy carries all requests.

import { randomBytes } from "node:crypto";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { temporaryFolder } from "../helpers/ndots-process.ts";

/** An object as in a manifest; the namespace is ours unless it is named, or the kind has none. */
export interface Manifest {
  readonly kind: keyof typeof PATHS;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>>; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

/** As the API server gives it back. */
export interface Applied {
  readonly metadata: { readonly resourceVersion: string; readonly [field: string]: unknown };
  readonly spec?: { readonly clusterIPs?: readonly string[]; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

/** Where the API server is, and how it proves who it is. */
export interface ApiServer {
  readonly url: string;
  /** PEM; absent: what the machine trusts, or anything at all with `isUnverified`. */
  readonly authority: string | undefined;
  readonly isUnverified: boolean;
  readonly serverName: string | undefined;
}

export interface RealCluster extends AsyncDisposable {
  readonly namespace: string;
  readonly server: ApiServer;
  /** The user's own kubeconfig: its current context, in one file. */
  readonly kubeconfig: string;
  readonly version: string;
  /** Creates, or takes the place of what is there (server-side apply). */
  apply(object: Manifest): Promise<Applied>;
  /** Sets the status, which apply() leaves out. */
  setStatus(object: Manifest, status: object): Promise<void>;
  delete(object: Manifest): Promise<void>;
  /** A token of a new account that has these rights in the namespace. */
  account(name: string, resources: readonly string[]): Promise<string>;
  /** Whether the API server knows the kind. */
  has(kind: Manifest["kind"]): Promise<boolean>;
}

const PATHS = {
  Namespace: { api: "/api/v1", plural: "namespaces", isNamespaced: false },
  Service: { api: "/api/v1", plural: "services", isNamespaced: true },
  Pod: { api: "/api/v1", plural: "pods", isNamespaced: true },
  ServiceAccount: { api: "/api/v1", plural: "serviceaccounts", isNamespaced: true },
  EndpointSlice: { api: "/apis/discovery.k8s.io/v1", plural: "endpointslices", isNamespaced: true },
  Role: { api: "/apis/rbac.authorization.k8s.io/v1", plural: "roles", isNamespaced: true },
  RoleBinding: { api: "/apis/rbac.authorization.k8s.io/v1", plural: "rolebindings", isNamespaced: true },
  ServiceImport: { api: "/apis/multicluster.x-k8s.io/v1alpha1", plural: "serviceimports", isNamespaced: true },
} as const;

const MANAGER = "ndots-test";
const GONE_MS = 60_000;
const RETRY_MS = 200;

/** Makes the namespace. All that is in it goes with it at the end. */
export async function openCluster(): Promise<RealCluster> {
  const folder = temporaryFolder({});
  const view = kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json");
  const file = join(folder.path, "kubeconfig");
  // The user's credentials: 0600 before there is anything in it.
  execFileSync("sh", ["-c", 'umask 077; cat >"$1"', "sh", file], { input: view });
  const { server, proxy } = await reach(view);
  const namespace = `ndots-test-${randomBytes(4).toString("hex")}`;
  const made = new Map<string, Manifest>();

  async function call(method: string, path: string, body?: object): Promise<Applied> {
    const headers = { "Content-Type": method === "PATCH" ? "application/apply-patch+yaml" : "application/json" };
    const response = await fetch(`${proxy.url}${path}`, { method, ...(body && { headers, body: JSON.stringify(body) }) });
    const text = await response.text();
    if (!response.ok) throw new ApiFailure(response.status, `${method} ${path}: ${text.slice(0, 500)}`);
    return JSON.parse(text) as Applied;
  }

  function pathOf({ kind, metadata }: Manifest): string {
    const { api, plural, isNamespaced } = PATHS[kind];
    return `${api}${isNamespaced ? `/namespaces/${namespace}` : ""}/${plural}/${metadata.name}`;
  }

  const cluster: RealCluster = {
    namespace,
    server,
    kubeconfig: file,
    version: ((await call("GET", "/version")) as unknown as { gitVersion: string }).gitVersion,
    apply(object) {
      made.set(pathOf(object), object);
      const { api } = PATHS[object.kind];
      const full = { apiVersion: api.replace(/^\/apis?\//, ""), ...object };
      return call("PATCH", `${pathOf(object)}?fieldManager=${MANAGER}&force=true`, full);
    },
    async setStatus(object, status) {
      const full = await call("GET", pathOf(object));
      await call("PUT", `${pathOf(object)}/status`, { ...full, status });
    },
    async delete(object) {
      made.delete(pathOf(object));
      await call("DELETE", pathOf(object), { gracePeriodSeconds: 0 }).catch(unlessMissing);
    },
    async account(name, resources) {
      const rules = [{ apiGroups: ["", "discovery.k8s.io"], resources, verbs: ["list", "watch"] }];
      const subjects = [{ kind: "ServiceAccount", name, namespace }];
      const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name };
      await cluster.apply({ kind: "ServiceAccount", metadata: { name } });
      await cluster.apply({ kind: "Role", metadata: { name }, rules });
      await cluster.apply({ kind: "RoleBinding", metadata: { name }, subjects, roleRef });
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
      const { status } = await call("POST", path, { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} });
      return (status as { token: string }).token;
    },
    async has(kind) {
      const { api, plural } = PATHS[kind];
      const found = await call("GET", api).catch(unlessMissing);
      return ((found?.["resources"] ?? []) as { name: string }[]).some(({ name }) => name === plural);
    },
    async [Symbol.asyncDispose]() {
      try {
        const left = [...made.values()].filter(({ kind }) => kind !== "Namespace");
        for (let at = 0; at < left.length; at += AT_ONCE) {
          await Promise.all(left.slice(at, at + AT_ONCE).map((object) => cluster.delete(object)));
        }
        await deleteNamespace();
      } finally {
        proxy.stop();
        folder[Symbol.dispose]();
      }
    },
  };

  async function deleteNamespace(): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}`;
    // Every cluster's controllers make it. Without them, as with an API server alone, nobody ends the namespace but us.
    const hasControllers = await call("GET", `${path}/serviceaccounts/default`).then(() => true, unlessMissing);
    await call("DELETE", path);
    if (hasControllers !== true) {
      const left = await call("GET", path);
      await call("PUT", `${path}/finalize`, { ...left, spec: { finalizers: [] } });
    }
    const endMs = performance.now() + GONE_MS;
    while ((await call("GET", path).catch(unlessMissing)) !== undefined) {
      if (performance.now() > endMs) throw new Error(`namespace ${namespace} is still ending; look after it with kubectl`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  try {
    await cluster.apply({ kind: "Namespace", metadata: { name: namespace, labels: { "ndots-test": namespace } } });
  } catch (error) {
    proxy.stop();
    folder[Symbol.dispose]();
    throw error;
  }
  return cluster;
}

/** Fewer than what an API server lets one client do at once. */
const AT_ONCE = 50;

/** Calls `each` for all, some at a time. */
export async function inBatches<T>(all: readonly T[], each: (one: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < all.length; at += AT_ONCE) await Promise.all(all.slice(at, at + AT_ONCE).map(each));
}

export class ApiFailure extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(`${status}: ${message}`);
    this.status = status;
  }
}

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof ApiFailure) || error.status !== 404) throw error;
}

function kubectl(...args: readonly string[]): string {
  return execFileSync("kubectl", args, { encoding: "utf8", maxBuffer: 16 * 1024 * 1024 });
}

interface Proxy {
  readonly url: string;
  stop(): void;
}

async function reach(view: string): Promise<{ server: ApiServer; proxy: Proxy }> {
  const { clusters } = JSON.parse(view) as { clusters: { cluster: Record<string, string | boolean | undefined> }[] };
  const { server: url, ...fields } = clusters[0]?.cluster ?? {};
  if (typeof url !== "string") throw new Error("KUBECONFIG has no current context with a server");
  const data = fields["certificate-authority-data"];
  const server: ApiServer = {
    url,
    authority: typeof data === "string" ? Buffer.from(data, "base64").toString() : undefined,
    isUnverified: fields["insecure-skip-tls-verify"] === true,
    serverName: fields["tls-server-name"] as string | undefined,
  };
  const child = spawn("kubectl", ["proxy", "--port=0"], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await Promise.race([once(child.stdout, "data"), once(child, "exit").then(() => [""])])) as [Buffer | string];
  const [, port] = /127\.0\.0\.1:(\d+)/.exec(String(line)) ?? [];
  if (port === undefined) throw new Error(`kubectl proxy did not start: ${String(line)}`);
  return { server, proxy: { url: `http://127.0.0.1:${port}`, stop: () => child.kill() } };
}
