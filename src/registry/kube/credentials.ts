// What proves us to the API server and the API server to us: certificates, tokens, a plugin's word. Files are read
// again once a minute by content (a ConfigMap's or Secret's symlink swap replaces them under their names), plugins asked
// again when what they gave expires; both at once after a 401 or a TLS error. What was last good stays in use.

import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import type { Clock } from "../../clock.ts";
import { NdotsError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { ExecCredential } from "./exec-plugin.ts";
import { codeOf, KubeError } from "./kube-error.ts";

/** A piece of configuration: written out, or in a file that may change. */
export type Text = { readonly text: string } | { readonly file: string };

/** How to reach an API server, as configured. */
export interface KubeCluster {
  /** http or https, without query; a path is the prefix of all requests. */
  readonly server: URL;
  /** The name the certificate must have, if not the server's. */
  readonly serverName?: string;
  readonly skipVerify?: boolean;
  /** The authority's certificates, PEM. */
  readonly ca?: Text;
  readonly clientCert?: Text;
  readonly clientKey?: Text;
  readonly token?: Text;
  readonly basic?: { readonly username: string; readonly password: string };
  /** Asked where no token or basic authentication is given. */
  readonly exec?: () => Promise<ExecCredential>;
}

/** What one request presents. The same object as long as nothing has changed. */
export interface Presented {
  readonly authorization?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Credentials {
  /** What to present now. Rejects with KubeError "credentials" if there is nothing. */
  current(): Promise<Presented>;
  /** After the server refused `refused`: what to present instead, read again at once; `refused` itself if nothing has changed. */
  renew(refused: Presented): Promise<Presented>;
  /** Reads again with the next request: the server's or our certificate may have changed. */
  expire(): void;
}

/** Half the time between the kubelet's renewal of a token and the end of the old one (client-go's period). */
const REREAD_MS = 60_000;
/** A credential that ends within this time is renewed first. */
const EXPIRY_LEEWAY_MS = 10_000;

export function createCredentials(cluster: KubeCluster, { clock, log }: { readonly clock: Clock; readonly log: Log }): Credentials {
  let presented: Presented | undefined;
  let readAtMs = -Infinity;
  let plugin: ExecCredential | undefined;
  let reading: Promise<Presented> | undefined;
  let complaint = "";

  // One reading for all that ask meanwhile.
  function read(plugins: "expired" | "all"): Promise<Presented> {
    reading ??= readOnce(plugins).finally(() => (reading = undefined));
    return reading;
  }

  async function readOnce(plugins: "expired" | "all"): Promise<Presented> {
    if (cluster.exec !== undefined && (plugin === undefined || plugins === "all" || isExpired(plugin))) plugin = await cluster.exec();
    const next = await readPresented(cluster, plugin);
    readAtMs = clock.monotonic();
    complaint = "";
    if (presented === undefined || !sameAs(presented, next)) presented = next;
    return presented;
  }

  function isExpired({ expiresAtMs }: ExecCredential): boolean {
    return expiresAtMs !== undefined && expiresAtMs - EXPIRY_LEEWAY_MS <= clock.now();
  }

  return {
    async current() {
      const isFresh = clock.monotonic() - readAtMs < REREAD_MS && !(plugin !== undefined && isExpired(plugin));
      if (presented !== undefined && isFresh) return presented;
      try {
        return await read("expired");
      } catch (error) {
        if (presented === undefined) throw error;
        const { message } = error as Error;
        if (message !== complaint) log.warning(`credentials for the API server can't be read again, the last ones stay in use: ${message}`);
        complaint = message;
        readAtMs = clock.monotonic();
        return presented;
      }
    },
    async renew(refused) {
      if (presented !== undefined && presented !== refused) return presented; // another request was quicker
      return read("all");
    },
    expire() {
      readAtMs = -Infinity;
    },
  };
}

async function readPresented(cluster: KubeCluster, plugin: ExecCredential | undefined): Promise<Presented> {
  const [ca, ownCert, ownKey, ownToken] = await Promise.all([
    readText(cluster.ca, "-----BEGIN "),
    readText(cluster.clientCert, "-----BEGIN "),
    readText(cluster.clientKey, "-----BEGIN "),
    readText(cluster.token),
  ]);
  const token = ownToken ?? plugin?.token;
  const cert = ownCert ?? plugin?.cert;
  const key = ownKey ?? plugin?.key;
  const authorization = token === undefined ? basicAuthorization(cluster.basic) : bearer(token, cluster.token);
  return {
    ...(authorization !== undefined && { authorization }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

/** Rejects with KubeError "credentials"; also for an empty file, or one that does not hold what it is for: it may be being written. */
export async function readText(source: Text | undefined, mustHold = ""): Promise<string | undefined> {
  if (source === undefined) return undefined;
  if ("text" in source) return source.text.trim();
  let text: string;
  try {
    text = (await readFile(source.file, "utf8")).trim();
  } catch (error) {
    const why = READ_PROBLEMS[codeOf(error)] ?? codeOf(error);
    throw new KubeError("credentials", `${source.file}: can't be read: ${why}`, { cause: error });
  }
  if (text === "") throw new KubeError("credentials", `${source.file}: is empty`);
  if (!text.includes(mustHold)) throw new KubeError("credentials", `${source.file}: holds nothing in PEM`);
  return text;
}

const READ_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "is a folder",
};

function bearer(token: string, source: Text | undefined): string {
  if (/^[\x21-\x7e]+$/.test(token)) return `Bearer ${token}`;
  const where = source !== undefined && "file" in source ? source.file : "the token";
  throw new KubeError("credentials", `${where}: a token is one word of ASCII characters`);
}

function basicAuthorization(basic: KubeCluster["basic"]): string | undefined {
  return basic && `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString("base64")}`;
}

function sameAs(a: Presented, b: Presented): boolean {
  return a.authorization === b.authorization && a.ca === b.ca && a.cert === b.cert && a.key === b.key;
}

/** Where the kubelet puts a Pod's service account. */
export const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The API server of the cluster that this Pod runs in. Throws NDOTS_ERR_CONFIG outside of one. */
export function inClusterAccess(env: Readonly<Record<string, string | undefined>>, folder: string = SERVICE_ACCOUNT_FOLDER): KubeCluster {
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "" } = env;
  if (host === "" || port === "") {
    throw new NdotsError(
      "NDOTS_ERR_CONFIG",
      "not in a Pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; elsewhere, name a `kubeconfig` or an `endpoint`",
    );
  }
  const server = parseServer(`${isIPv6(host) ? `[${host}]` : host}:${port}`, "https");
  if (server === undefined) {
    throw new NdotsError("NDOTS_ERR_CONFIG", `KUBERNETES_SERVICE_HOST "${host}" and KUBERNETES_SERVICE_PORT "${port}" are no address`);
  }
  return {
    server,
    ca: { file: join(folder, "ca.crt") },
    token: { file: join(folder, "token") },
  };
}

/** What a server may be given as. */
export const SERVER_FORM = "[http[s]://]HOST[:PORT][/PATH]";

/** The URL of an API server, which has `scheme` if it names none; undefined if it is not of SERVER_FORM. */
export function parseServer(text: string, scheme: "http" | "https"): URL | undefined {
  let url: URL;
  try {
    url = new URL(text.includes("://") ? text : `${scheme}://${text}`);
  } catch {
    return undefined;
  }
  const isPlain = url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  return isPlain && (url.protocol === "https:" || url.protocol === "http:") ? url : undefined;
}
