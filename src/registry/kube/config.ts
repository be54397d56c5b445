// A kubeconfig file (kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig) → how to reach one
// cluster as one user. Called by client.ts for `kubeconfig FILE [CONTEXT]`. What can't be honoured is refused, never left
// out: a proxy, an impersonation or an unknown way to authenticate. Values of secret fields are never quoted.

import { stat, readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { dirname, isAbsolute, resolve } from "node:path";
import type { Clock } from "../../clock.ts";
import { FindingsError, NdotsError, nearest, type Finding } from "../../errors.ts";
import { readDocuments, type Path, type TextDocument } from "../manifest-text.ts";
import { parseServer, readText, SERVER_FORM, type KubeCluster, type Text } from "./credentials.ts";
import { EXEC_VERSIONS, runExecPlugin, type ExecPlugin } from "./exec-plugin.ts";
import { codeOf } from "./kube-error.ts";

export interface KubeconfigOptions {
  readonly file: string;
  /** Default: the file's current-context. */
  readonly context?: string;
  /** For exec plugins. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/** A file with hundreds of clusters and their certificates has some MB. */
const MAX_FILE_BYTES = 8 * 1024 * 1024;

/** Rejects with NDOTS_ERR_CONFIG, which has everything that is wrong with the chosen context. */
export async function readKubeconfig({ file, context, env, clock }: KubeconfigOptions): Promise<KubeCluster> {
  const reader = new Reader(file, await openDocument(file));
  const cluster = readContext(reader, context, { env, clock });
  if (cluster === undefined || reader.findings.length > 0) throw new FindingsError("NDOTS_ERR_CONFIG", reader.findings);
  return cluster;
}

async function openDocument(file: string): Promise<TextDocument> {
  const text = await readFileText(file);
  const [first] = readDocuments(text);
  if (first !== undefined && "value" in first) return first;
  if (first === undefined) throw new NdotsError("NDOTS_ERR_CONFIG", `${file}: is empty, expected a kubeconfig`);
  // What is quoted there may be a secret.
  const message = first.message.replace(/["':].*$/s, "").trim();
  throw new FindingsError("NDOTS_ERR_CONFIG", [{ file, line: first.line, column: first.column, severity: "error", message }]);
}

async function readFileText(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size <= MAX_FILE_BYTES) return await readFile(file, "utf8");
  } catch (error) {
    throw new NdotsError("NDOTS_ERR_CONFIG", `${file}: can't be read: ${codeOf(error)}`, { cause: error });
  }
  throw new NdotsError("NDOTS_ERR_CONFIG", `${file}: is larger than ${MAX_FILE_BYTES} bytes, which no kubeconfig is`);
}

type Fields = Readonly<Record<string, unknown>>;
/** A mapping of the file, and the way to it. */
interface At {
  readonly fields: Fields;
  readonly path: Path;
}

// Reads fields of known types; what is wrong is noted, with its place, and read as missing.
class Reader {
  readonly findings: Finding[] = [];
  readonly folder: string;
  readonly root: At;
  readonly #file: string;
  readonly #document: TextDocument;

  constructor(file: string, document: TextDocument) {
    this.#file = file;
    this.#document = document;
    this.folder = dirname(resolve(file));
    const { value } = document;
    if (!isMapping(value)) this.refuse([], "expected a kubeconfig: a mapping with clusters, users, contexts");
    this.root = { fields: isMapping(value) ? value : {}, path: [] };
  }

  refuse(path: Path, message: string): undefined {
    const { line, column } = this.#document.locate(path);
    this.findings.push({ file: this.#file, line, column, severity: "error", message });
    return undefined;
  }

  text({ fields, path }: At, name: string): string | undefined {
    const value = fields[name];
    if (value === undefined || value === null || value === "") return undefined;
    return typeof value === "string" ? value : this.refuse([...path, name], `${name}: expected text, found ${typeOf(value)}`);
  }

  flag({ fields, path }: At, name: string): boolean {
    const value = fields[name] ?? false;
    if (typeof value !== "boolean") this.refuse([...path, name], `${name}: expected true or false, found ${typeOf(value)}`);
    return value === true;
  }

  mapping({ fields, path }: At, name: string): At | undefined {
    const value = fields[name];
    if (value === undefined || value === null) return undefined;
    const at = [...path, name];
    return isMapping(value) ? { fields: value, path: at } : this.refuse(at, `${name}: expected a mapping, found ${typeOf(value)}`);
  }

  list({ fields, path }: At, name: string): readonly unknown[] {
    const value = fields[name] ?? [];
    if (Array.isArray(value)) return value;
    this.refuse([...path, name], `${name}: expected a list, found ${typeOf(value)}`);
    return [];
  }

  /** Content that is in the file in base64 (`NAME-data`, which wins) or in a file of its own (`NAME`). */
  pem(at: At, name: string): Text | undefined {
    const data = this.text(at, `${name}-data`);
    if (data !== undefined) {
      const text = Buffer.from(data, "base64").toString("latin1");
      if (text.includes("-----BEGIN ")) return { text };
      return this.refuse([...at.path, `${name}-data`], `${name}-data: expected PEM in base64`);
    }
    return this.file(at, name);
  }

  file(at: At, name: string): Text | undefined {
    const file = this.text(at, name);
    return file === undefined ? undefined : { file: resolve(this.folder, file) };
  }
}

function isMapping(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeOf(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a mapping" : typeof value === "string" ? "text" : `a ${typeof value}`;
}

type Tools = Pick<KubeconfigOptions, "env" | "clock">;

function readContext(reader: Reader, wanted: string | undefined, tools: Tools): KubeCluster | undefined {
  const contexts = readNamed(reader, "contexts", "context");
  const clusters = readNamed(reader, "clusters", "cluster");
  const users = readNamed(reader, "users", "user");
  const name = wanted ?? reader.text(reader.root, "current-context");
  if (name === undefined) return reader.refuse(["current-context"], `current-context is not set; name a context${listed(contexts)}`);
  const context = contexts.get(name);
  const place: Path = wanted === undefined ? ["current-context"] : ["contexts"];
  if (context === undefined) return reader.refuse(place, `no context "${name}"${alternatives(name, contexts)}`);

  const clusterName = reader.text(context, "cluster");
  if (clusterName === undefined) return reader.refuse(context.path, `context "${name}" names no cluster`);
  const cluster = clusters.get(clusterName);
  if (cluster === undefined) {
    return reader.refuse([...context.path, "cluster"], `no cluster "${clusterName}"${alternatives(clusterName, clusters)}`);
  }
  const reached = readCluster(reader, cluster);

  const userName = reader.text(context, "user");
  if (userName === undefined) return reached;
  const user = users.get(userName);
  if (user === undefined) return reader.refuse([...context.path, "user"], `no user "${userName}"${alternatives(userName, users)}`);
  return reached && { ...reached, ...readUser(reader, user, reached, cluster, tools) };
}

// The entries of a list of `name` and `field`, by name.
function readNamed(reader: Reader, list: string, field: string): ReadonlyMap<string, At> {
  const named = new Map<string, At>();
  for (const [index, entry] of reader.list(reader.root, list).entries()) {
    const path = [list, index];
    if (!isMapping(entry)) {
      reader.refuse(path, `${list}: expected a mapping with name and ${field}, found ${typeOf(entry)}`);
      continue;
    }
    const name = reader.text({ fields: entry, path }, "name");
    if (name === undefined) reader.refuse(path, `${list}: an entry has no name`);
    else if (named.has(name)) reader.refuse(path, `${list}: "${name}" is there twice`);
    else named.set(name, reader.mapping({ fields: entry, path }, field) ?? { fields: {}, path });
  }
  return named;
}

function alternatives(name: string, known: ReadonlyMap<string, At>): string {
  const near = nearest(name, known.keys());
  return near === undefined ? listed(known) : `; did you mean "${near}"?`;
}

const MAX_LISTED = 10;

function listed(known: ReadonlyMap<string, At>): string {
  const names = [...known.keys()];
  if (names.length === 0) return "; the file has none";
  return `; there are ${names.slice(0, MAX_LISTED).join(", ")}${names.length > MAX_LISTED ? ", …" : ""}`;
}

function readCluster(reader: Reader, at: At): KubeCluster | undefined {
  if (reader.text(at, "proxy-url") !== undefined) {
    reader.refuse([...at.path, "proxy-url"], "proxy-url: proxies are not supported; the server must be reachable directly");
  }
  const ca = reader.pem(at, "certificate-authority");
  const skipVerify = reader.flag(at, "insecure-skip-tls-verify");
  if (skipVerify && ca !== undefined) {
    reader.refuse(
      [...at.path, "insecure-skip-tls-verify"],
      "insecure-skip-tls-verify: not together with certificate-authority, which would go unused",
    );
  }
  const serverName = reader.text(at, "tls-server-name");
  if (serverName !== undefined && isIP(serverName) !== 0) {
    reader.refuse([...at.path, "tls-server-name"], "tls-server-name: expected a name, found an address");
  }
  const text = reader.text(at, "server");
  if (text === undefined) return reader.refuse(at.path, "server: missing; expected the API server's URL");
  const server = parseServer(text, ca === undefined && !skipVerify ? "http" : "https");
  if (server === undefined) return reader.refuse([...at.path, "server"], `server: expected ${SERVER_FORM}, without credentials`);
  return { server, skipVerify, ...(ca && { ca }), ...(serverName !== undefined && { serverName }) };
}

const IMPERSONATION: readonly string[] = ["as", "as-uid", "as-groups", "as-user-extra"];

function readUser(reader: Reader, at: At, cluster: KubeCluster, clusterAt: At, tools: Tools): Partial<KubeCluster> {
  for (const name of IMPERSONATION) {
    if (at.fields[name] !== undefined) reader.refuse([...at.path, name], `${name}: impersonation is not supported`);
  }
  if (at.fields["auth-provider"] !== undefined) {
    reader.refuse([...at.path, "auth-provider"], "auth-provider: Kubernetes 1.26 has removed these; use exec");
  }
  const clientCert = reader.pem(at, "client-certificate");
  const clientKey = reader.pem(at, "client-key");
  if ((clientCert === undefined) !== (clientKey === undefined) && reader.findings.length === 0) {
    const [is, misses] = clientCert === undefined ? ["client-key", "client-certificate"] : ["client-certificate", "client-key"];
    reader.refuse(at.path, `${is} needs ${misses} or ${misses}-data`);
  }
  const literal = reader.text(at, "token");
  const token = reader.file(at, "tokenFile") ?? (literal === undefined ? undefined : { text: literal });
  const username = reader.text(at, "username");
  const password = reader.text(at, "password");
  const basic = username === undefined && password === undefined ? undefined : { username: username ?? "", password: password ?? "" };
  if (basic !== undefined && token !== undefined)
    reader.refuse(at.path, "a token and a username with password: only one of them is allowed");
  const plugin = readExec(reader, at, cluster, clusterAt);
  // As with kubectl: what is written down goes first.
  const isAsked = plugin !== undefined && token === undefined && basic === undefined;
  return {
    ...(clientCert && { clientCert }),
    ...(clientKey && { clientKey }),
    ...(token && { token }),
    ...(basic && { basic }),
    ...(isAsked && { exec: () => runExecPlugin(plugin, tools) }),
  };
}

const INTERACTIVE_MODES: readonly string[] = ["Never", "IfAvailable", "Always"];

function readExec(reader: Reader, user: At, cluster: KubeCluster, clusterAt: At): ExecPlugin | undefined {
  const at = reader.mapping(user, "exec");
  if (at === undefined) return undefined;
  const apiVersion = reader.text(at, "apiVersion") ?? "";
  if (!EXEC_VERSIONS.includes(apiVersion)) {
    reader.refuse([...at.path, "apiVersion"], `exec: apiVersion must be ${EXEC_VERSIONS.join(" or ")}, found "${apiVersion}"`);
  }
  // v1beta1 may leave it out.
  const mode = reader.text(at, "interactiveMode") ?? (apiVersion.endsWith("/v1") ? "" : "IfAvailable");
  if (!INTERACTIVE_MODES.includes(mode)) {
    reader.refuse([...at.path, "interactiveMode"], `exec: interactiveMode must be Never, IfAvailable or Always, found "${mode}"`);
  }
  if (mode === "Always") reader.refuse([...at.path, "interactiveMode"], "exec: interactiveMode Always needs a terminal, and there is none");
  const command = reader.text(at, "command");
  if (command === undefined) return reader.refuse(at.path, "exec: command is missing");
  const args = reader.list(at, "args");
  if (!args.every((argument) => typeof argument === "string"))
    return reader.refuse([...at.path, "args"], "exec: args must be a list of texts");
  const installHint = reader.text(at, "installHint");
  return {
    apiVersion,
    // A name without a slash is looked for in PATH, a path starts from the file.
    command: command.includes("/") && !isAbsolute(command) ? resolve(reader.folder, command) : command,
    args,
    env: readEnv(reader, at),
    ...(installHint !== undefined && { installHint }),
    ...(reader.flag(at, "provideClusterInfo") && { cluster: () => clusterInfo(clusterAt, cluster) }),
  };
}

function readEnv(reader: Reader, exec: At): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [index, entry] of reader.list(exec, "env").entries()) {
    const path = [...exec.path, "env", index];
    const at = { fields: isMapping(entry) ? entry : {}, path };
    const name = reader.text(at, "name");
    if (name === undefined) reader.refuse(path, "exec: an entry of env has no name");
    else env[name] = reader.text(at, "value") ?? "";
  }
  return env;
}

const EXEC_EXTENSION = "client.authentication.k8s.io/exec";

// The fields of ExecCredential's spec.cluster have the kubeconfig's names.
async function clusterInfo({ fields }: At, { server, serverName, skipVerify, ca }: KubeCluster): Promise<Record<string, unknown>> {
  const authority = await readText(ca, "-----BEGIN ");
  const extensions = Array.isArray(fields["extensions"]) ? (fields["extensions"] as readonly unknown[]) : [];
  const own = extensions.find((entry): entry is Fields => isMapping(entry) && entry["name"] === EXEC_EXTENSION);
  return {
    server: server.href.replace(/\/$/, ""),
    ...(serverName !== undefined && { "tls-server-name": serverName }),
    ...(skipVerify === true && { "insecure-skip-tls-verify": true }),
    ...(authority !== undefined && { "certificate-authority-data": Buffer.from(authority).toString("base64") }),
    ...(own && { config: own["extension"] }),
  };
}
