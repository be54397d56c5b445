// A Kubernetes API server for tests: real HTTP or HTTPS on loopback, whose answers look like recordings of a real one
// (recordings/, held to them by test/fake-api/). It lists, pages and watches what a test applies, and goes wrong as told.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { finished } from "node:stream/promises";
import type { TLSSocket } from "node:tls";
import { systemClock, type Clock } from "../../../src/clock.ts";
import { createAuthority, type Authority, type Certified } from "../certificates.ts";
import { createFaults, type Fault, type Faults } from "./faults.ts";
import { kubeconfig, type KubeconfigOptions } from "./kubeconfig.ts";
import { list } from "./lists.ts";
import { newUid, timestamp, written, type KubeObject } from "./objects.ts";
import { locate, resourceOfKind, resources, type ResourceName } from "./resources.ts";
import { respondBody, respondPieces, respondSpoiled, respondStatus, respondText } from "./responses.ts";
import { failing, forbidden, notFound, tooOld, unauthorized } from "./statuses.ts";
import { createStore, type Labels, type StoredEvent } from "./store.ts";
import { errorLine, prepareWatch, withKind, type Watch } from "./watches.ts";

export interface FakeApiOptions {
  /** HTTPS with a certificate for 127.0.0.1 and localhost, valid now unless it is said otherwise. */
  readonly tls?: boolean | Validity;
  /** Bearer tokens that are let in; without them everyone is. */
  readonly tokens?: readonly string[];
  /** A client certificate of the server's authority lets in too (TLS only). */
  readonly clientCertificates?: boolean;
  readonly watchList?: "on" | "off" | "unknown";
  /** Between bookmarks; a minute, if absent. */
  readonly bookmarkMs?: number;
  readonly clock?: Clock;
  /** A free one, if absent. */
  readonly port?: number;
  /** The last revision before the first change. */
  readonly revision?: number;
  /** Objects that are there at the start. */
  readonly objects?: Iterable<KubeObject>;
  /** Whether requests are remembered in `requests`; not for long benches. */
  readonly record?: "requests" | "nothing";
}

export interface Validity {
  readonly validFrom?: Date;
  readonly validTo?: Date;
}

/** A request that came, in order. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly verb: "list" | "watch" | "get" | "other";
  readonly resource: ResourceName | undefined;
  readonly namespace: string | undefined;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage["headers"];
  /** By the clock's monotonic(). */
  readonly atMs: number;
}

export interface FakeApi extends AsyncDisposable {
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  /** PEM of the authority that signed the server's certificate. */
  readonly authority: Authority;
  readonly faults: Faults;
  readonly requests: ApiRequest[];
  /** The tokens that are let in; add and delete to rotate. Empty: everyone is let in. */
  readonly tokens: Set<string>;
  readonly revision: number;
  /** Open watches, of one resource or all. */
  watches(resource?: ResourceName): readonly Watch[];
  /** Creates or changes an object, with the defaults of a real server; returns it as stored. */
  apply(object: KubeObject): KubeObject;
  /** Stores a JSON text as the object `namespace/name`, whatever it is. `{rv}` in it becomes the revision. */
  applyRaw(resource: ResourceName, key: string, json: string, labels?: Labels): void;
  delete(kind: string, namespace: string, name: string): void;
  /** Forgets all past versions: watches and continued lists from before get a 410. */
  compact(): void;
  /** Sends a line to open watches, without storing anything. */
  send(resource: ResourceName, line: string | { readonly type: string; readonly object: unknown }): void;
  /** A bookmark to open watches, of one resource or all. */
  bookmark(resource?: ResourceName): void;
  /** ERROR 410 to open watches, and their end. */
  expire(resource?: ResourceName): void;
  /** The end of open watches, as by their timeout. */
  endWatches(resource?: ResourceName): void;
  /** Keeps back what open watches would get, until release(); `order` may drop, repeat and reorder the lines. */
  hold(resource: ResourceName): void;
  release(resource: ResourceName, order?: (lines: readonly string[]) => readonly string[]): void;
  /** Half-open: connections stay and nothing comes any more; new requests are not answered until resume(). */
  stall(): void;
  /** New connections work again; what stalled stays so. */
  resume(): void;
  /** Breaks all connections. */
  cut(): void;
  /** Closes the port and breaks all connections; the objects stay. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
  /** 403 for this resource: everywhere, or everywhere but in these namespaces. */
  forbid(resource: ResourceName, except?: readonly string[]): void;
  allow(resource: ResourceName): void;
  /** Another certificate for connections to come. */
  certify(validity?: Validity): void;
  /** A kubeconfig's text for this server; without `token`, with the first of the server's tokens. */
  kubeconfig(options?: KubeconfigOptions): string;
  /** A certificate that `clientCertificates` lets in. */
  clientCertificate(commonName?: string): Certified;
}

const USER = "system:serviceaccount:kube-system:coredns";

/** Starts a server; `await using api = await startFakeApi()` stops it. */
export async function startFakeApi(options: FakeApiOptions = {}): Promise<FakeApi> {
  const { clock = systemClock, watchList = "on", bookmarkMs = 60_000 } = options;
  const store = createStore(options.revision ?? 500);
  const faults = createFaults();
  const authority = createAuthority();
  const tokens = new Set(options.tokens);
  const requests: ApiRequest[] = [];
  const denied = new Map<ResourceName, readonly string[]>();
  const sockets = new Set<Socket>();
  const stalledSockets = new WeakSet<Socket>();
  const watches = new Set<Watch>();
  let stalled = false;
  let port = options.port ?? 0;
  let server = createListener();

  for (const object of options.objects ?? []) apply(object);
  await listen();

  function createListener(): Server | TlsServer {
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      answer(request, response).catch(() => response.destroy());
    };
    const timeouts = { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 };
    const made =
      options.tls === undefined || options.tls === false
        ? createServer(timeouts, handle)
        : createTlsServer({ ...timeouts, ...serverCertificate(validityOf(options.tls)), ...clientAuthority() }, handle);
    made.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.once("close", () => sockets.delete(socket));
      if (stalled) stalledSockets.add(socket);
    });
    // A client that refuses the certificate is no failure of the test.
    made.on("tlsClientError", () => {});
    return made;
  }

  function clientAuthority(): object {
    return options.clientCertificates === true ? { ca: authority.cert, requestCert: true, rejectUnauthorized: false } : {};
  }

  function serverCertificate(validity: Validity): Certified {
    return authority.issue({ commonName: "kube-apiserver", names: ["127.0.0.1", "localhost", "kubernetes.default.svc"], ...validity });
  }

  async function listen(): Promise<void> {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", headers } = request;
    const url = new URL(request.url ?? "/", "http://localhost");
    const query = Object.fromEntries(url.searchParams);
    const at = locate(url.pathname);
    const isWatch = query["watch"] === "1" || query["watch"] === "true";
    const verb = at === undefined ? "other" : at.name !== undefined ? "get" : isWatch ? "watch" : "list";
    const { resource, namespace } = at ?? { resource: undefined, namespace: undefined };
    if (options.record !== "nothing") {
      requests.push({ method, path: url.pathname, verb, resource, namespace, query, headers, atMs: clock.monotonic() });
    }
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    if (stalledSockets.has(request.socket)) return;
    // A fault stands before the question who is asking, as a broken proxy does.
    const fault = resource !== undefined && (verb === "list" || verb === "watch") ? faults.take(resource, verb) : undefined;
    if (fault?.kind === "stall") stalledSockets.add(request.socket);
    if (fault?.kind === "reset") request.socket.resetAndDestroy();
    if (fault?.kind === "stall" || fault?.kind === "reset") return;
    if (fault?.kind === "status" || fault?.kind === "body") return respondSpoiled(request, response, fault, bodyOf);
    if (!isKnown(request)) return respondStatus(request, response, unauthorized);
    if (at === undefined || resource === undefined) return respondOther(request, response, url.pathname);
    if (isDenied(resource, namespace)) return respondStatus(request, response, forbidden(USER, verb, resource, namespace));
    if (at.name !== undefined) {
      const key = resources[resource].namespaced ? `${namespace}/${at.name}` : at.name;
      const version = store.get(resource, key);
      if (version === undefined) return respondStatus(request, response, notFound(resource, at.name));
      return respondText(request, response, 200, `${withKind(resource, version.json)}\n`);
    }
    if (verb === "list") {
      const listed = list(store, { resource, namespace, query });
      if ("code" in listed) return respondStatus(request, response, listed);
      return respondPieces(request, response, listed.pieces, fault, clock, gone.signal);
    }
    const prepared = prepareWatch(store, { resource, namespace, query }, { clock, bookmarkMs, watchList });
    if ("code" in prepared) return respondStatus(request, response, prepared);
    respondBody(request, response, 200);
    response.flushHeaders();
    if (fault?.kind === "truncate") return void response.end(`{"type":"ADDED","object":`.slice(0, fault.bytes));
    const watch = prepared.start(response, gone.signal);
    watches.add(watch);
    await finished(response).catch(() => undefined);
    watches.delete(watch);
  }

  function bodyOf(fault: Fault & { kind: "status" }): ReturnType<typeof failing> {
    return failing(fault.code, fault.retryAfterSeconds);
  }

  function isKnown(request: IncomingMessage): boolean {
    if (tokens.size === 0 && options.clientCertificates !== true) return true;
    if ((request.socket as TLSSocket).authorized) return true;
    const [scheme, token = ""] = (request.headers.authorization ?? "").split(" ");
    return scheme === "Bearer" && tokens.has(token);
  }

  function isDenied(resource: ResourceName, namespace: string | undefined): boolean {
    const except = denied.get(resource);
    return except !== undefined && (namespace === undefined || !except.includes(namespace));
  }

  function open(resource?: ResourceName): Watch[] {
    return [...watches].filter((watch) => resource === undefined || watch.resource === resource);
  }

  function tell(resource: ResourceName, event: StoredEvent | undefined): void {
    if (event !== undefined) for (const watch of open(resource)) watch.event(event);
  }

  function apply(object: KubeObject): KubeObject {
    const resource = resourceOfKind(object.kind);
    const { name, namespace = "default" } = object.metadata;
    const { namespaced, kind, apiVersion } = resources[resource];
    const key = namespaced ? `${namespace}/${name}` : name;
    const before = store.get(resource, key);
    const was = before === undefined ? undefined : (JSON.parse(before.json) as KubeObject).metadata;
    let stored: KubeObject | undefined;
    const event = store.put(resource, key, (revision) => {
      const metadata = { ...object.metadata, ...(namespaced && { namespace }) };
      const fields = written(
        resource,
        { ...object, metadata },
        {
          revision,
          uid: object.metadata.uid ?? was?.uid ?? newUid(),
          creationTimestamp: (was?.["creationTimestamp"] as string | undefined) ?? timestamp(clock.now()),
          generation: 1 + ((was?.["generation"] as number | undefined) ?? 0),
        },
      );
      stored = { kind, apiVersion, ...fields } as unknown as KubeObject;
      return { json: JSON.stringify(fields), labels: stored.metadata.labels ?? {} };
    });
    tell(resource, event);
    return stored as KubeObject;
  }

  const api: FakeApi = {
    get url() {
      return `${options.tls === undefined || options.tls === false ? "http" : "https"}://127.0.0.1:${port}`;
    },
    get port() {
      return port;
    },
    get revision() {
      return store.revision;
    },
    authority,
    faults,
    requests,
    tokens,
    watches: open,
    apply,
    applyRaw(resource, key, json, labels = {}) {
      tell(
        resource,
        store.put(resource, key, (revision) => ({ json: json.replaceAll("{rv}", String(revision)), labels })),
      );
    },
    delete(kind, namespace, name) {
      const resource = resourceOfKind(kind);
      const key = resources[resource].namespaced ? `${namespace}/${name}` : name;
      // The last state, with the revision of its end.
      const last = (json: string, revision: number): string => json.replace(/"resourceVersion":"\d+"/, `"resourceVersion":"${revision}"`);
      tell(resource, store.remove(resource, key, last));
    },
    compact: store.compact,
    send(resource, line) {
      for (const watch of open(resource)) watch.line(typeof line === "string" ? line : JSON.stringify(line));
    },
    bookmark(resource) {
      for (const watch of open(resource)) watch.bookmark();
    },
    expire(resource) {
      for (const watch of open(resource)) {
        watch.line(errorLine(tooOld(store.revision - 1, store.revision)));
        watch.end();
      }
    },
    endWatches(resource) {
      for (const watch of open(resource)) watch.end();
    },
    hold(resource) {
      for (const watch of open(resource)) watch.hold();
    },
    release(resource, order = (lines) => lines) {
      for (const watch of open(resource)) watch.release(order);
    },
    stall() {
      stalled = true;
      for (const socket of sockets) stalledSockets.add(socket);
      for (const watch of watches) watch.stall();
    },
    resume() {
      stalled = false;
    },
    cut,
    async stop() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      cut();
      await closed;
    },
    async start() {
      if (server.listening) return;
      server = createListener();
      await listen();
    },
    forbid(resource, except = []) {
      denied.set(resource, except);
    },
    allow(resource) {
      denied.delete(resource);
    },
    certify(validity = {}) {
      (server as TlsServer).setSecureContext({ ...serverCertificate(validity), ...clientAuthority() });
    },
    kubeconfig: (given = {}) =>
      kubeconfig({
        url: api.url,
        ...(options.tls !== undefined && options.tls !== false && { authority: authority.cert }),
        ...([...tokens][0] !== undefined && { token: [...tokens][0] as string }),
        ...given,
      }),
    clientCertificate: (commonName = USER) => authority.issue({ commonName }),
    async [Symbol.asyncDispose]() {
      await api.stop();
    },
  };
  return api;

  function cut(): void {
    for (const socket of sockets) socket.destroy();
  }
}

function validityOf(tls: true | Validity): Validity {
  return tls === true ? {} : tls;
}

const VERSION = { major: "1", minor: "36", gitVersion: "v1.36.0", goVersion: "go1.26.8", compiler: "gc", platform: "linux/amd64" };

function respondOther(request: IncomingMessage, response: ServerResponse, path: string): void {
  if (path === "/version") return respondText(request, response, 200, JSON.stringify(VERSION));
  if (path === "/healthz" || path === "/livez" || path === "/readyz") return respondText(request, response, 200, "ok", "text/plain");
  const group = /^\/api(?:s\/(.+))?\/(v1|[^/]+)$/.exec(path);
  const groupVersion = group === null ? undefined : group[1] === undefined ? group[2] : `${group[1]}/${group[2]}`;
  const found = Object.values(resources).filter(({ apiVersion }) => apiVersion === groupVersion);
  if (found.length === 0) return respondText(request, response, 404, "404 page not found\n", "text/plain; charset=utf-8");
  const list = {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion,
    resources: found.map(({ name, kind, namespaced }) => ({
      name,
      singularName: kind.toLowerCase(),
      namespaced,
      kind,
      verbs: ["get", "list", "watch"],
    })),
  };
  respondText(request, response, 200, JSON.stringify(list));
}
