// Small HTTP endpoints (health, ready, metrics) on addresses that plugins may share. Opened by server.ts once the
// blocks are set up. They face the cluster's network, so everything about a connection is bounded.

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

import { listenErrorAt, NdotsError, type Position } from "./errors.ts";
import type { Log } from "./log.ts";

/** One path at one address. */
export interface HttpRoute {
  /** "" is every address. */
  readonly host: string;
  /** 0: the kernel chooses; never shared. */
  readonly port: number;
  /** `/health` */
  readonly path: string;
  /** Answers GET and HEAD; never throws. */
  handle(request: HttpRequest): HttpAnswer | Promise<HttpAnswer>;
}

/** A route and the line that asks for it, for messages. */
export interface AskedRoute extends HttpRoute {
  readonly at?: Position;
}

export interface HttpRequest {
  readonly accept: string | undefined;
  /** What stands behind the path's `?`. */
  readonly query: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

export interface HttpServers {
  /**
   * Opens the addresses of the routes that are not open yet, or none: rejects with NDOTS_ERR_LISTEN, naming the paths, the
   * address and the first line that asks for it. Until the switch what was served there before still is. The same path twice at one address: the first counts.
   */
  prepare(routes: readonly AskedRoute[]): Promise<HttpSwitch>;
  /** Closes, at once for idle connections; idempotent. */
  stop(): Promise<void>;
  /** Where each path is served. */
  readonly addresses: readonly HttpAddress[];
}

/** Routes that wait to be served: one of both is to be called. */
export interface HttpSwitch {
  /** Serves them and nothing else; resolves when the addresses that are no longer used are closed. */
  commit(): Promise<void>;
  /** Closes what was opened for them. */
  cancel(): Promise<void>;
}

export interface HttpAddress {
  readonly address: string;
  readonly port: number;
  readonly paths: readonly string[];
}

/** A probe or scrape sends its request at once. */
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** How often Node looks for connections past these times; its default of 30 s would make all of them that long. */
const CHECK_INTERVAL_MS = 1_000;
/** A client that does not read its answer. */
const INACTIVITY_TIMEOUT_MS = 30_000;
/** Kubelet and a few scrapers; each connection is a file descriptor that DNS over TCP may need. */
const MAX_CONNECTIONS = 100;
const MAX_HEADER_BYTES = 8 * 1024;
/** How long stop() waits for answers under way. */
const STOP_GRACE_MS = 1_000;

export function createHttpServers(log: Log): HttpServers {
  let sites: readonly Site[] = [];
  return {
    async prepare(routes) {
      const wanted: { readonly site: Site; readonly routes: AskedRoute[] }[] = [];
      for (const route of routes) {
        const shared = wanted.find(({ site }) => route.port !== 0 && site.host === route.host && site.port === route.port);
        if (shared !== undefined) {
          if (!shared.routes.some(({ path }) => path === route.path)) shared.routes.push(route);
          continue;
        }
        const open = sites.find((site) => isSame(site, route) && !wanted.some((other) => other.site === site));
        wanted.push({ site: open ?? { host: route.host, port: route.port, routes: [], server: undefined }, routes: [route] });
      }
      const opened = wanted.filter(({ site }) => site.server === undefined);
      const cancel = (): Promise<void> => closeAll(opened.map(({ site }) => site));
      try {
        for (const { site, routes: own } of opened) await open(site, own);
      } catch (error) {
        await cancel();
        throw error;
      }
      return {
        cancel,
        async commit() {
          const before = sites;
          for (const { site, routes: own } of wanted) site.routes = own;
          sites = wanted.map(({ site }) => site);
          await closeAll(before.filter((site) => !sites.includes(site)));
        },
      };
    },
    stop: () => closeAll(sites),
    get addresses() {
      return sites.flatMap(({ server, routes }) => {
        const bound = server?.address() as AddressInfo | null | undefined;
        return bound ? [{ address: bound.address, port: bound.port, paths: routes.map(({ path }) => path) }] : [];
      });
    },
  };

  async function open(site: Site, routes: readonly AskedRoute[]): Promise<void> {
    const { createServer } = await import("node:http");
    const server = createServer(
      { maxHeaderSize: MAX_HEADER_BYTES, connectionsCheckingInterval: CHECK_INTERVAL_MS },
      (request, response) => void answer(site.routes, request, response, log),
    );
    boundConnections(server);
    server.headersTimeout = HEADERS_TIMEOUT_MS;
    server.requestTimeout = REQUEST_TIMEOUT_MS;
    server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
    server.timeout = INACTIVITY_TIMEOUT_MS;
    await listen(server, site, routes);
    site.server = server;
  }
}

// Where the kernel chose the port, the path tells.
function isSame(site: Site, { host, port, path }: HttpRoute): boolean {
  return site.host === host && site.port === port && (port !== 0 || site.routes.some((route) => route.path === path));
}

/** One listening address and what is served there. */
interface Site {
  readonly host: string;
  readonly port: number;
  routes: readonly HttpRoute[];
  server: Server | undefined;
}

// At the bound the connection that has been silent for longest makes room: with Server.maxConnections, which turns
// newcomers away, a hundred silent clients would keep the probes out.
function boundConnections(server: Server): void {
  const open = new Set<Socket>();
  /** Without a request under way, the longest silent first. */
  const idle = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (open.size >= MAX_CONNECTIONS) {
      const [longest = socket] = idle;
      open.delete(longest);
      idle.delete(longest);
      longest.destroy();
      if (longest === socket) return;
    }
    open.add(socket);
    idle.add(socket);
    socket.once("close", () => {
      open.delete(socket);
      idle.delete(socket);
    });
  });
  server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.once("close", () => {
      if (open.has(socket)) idle.add(socket);
    });
  });
}

async function answer(routes: readonly HttpRoute[], request: IncomingMessage, response: ServerResponse, log: Log): Promise<void> {
  try {
    const { status, body, contentType = "text/plain; charset=utf-8" } = await answerFor(routes, request);
    const bytes = Buffer.from(body);
    response.writeHead(status, {
      "content-type": contentType,
      "content-length": bytes.length,
      ...(status === 405 ? { allow: "GET, HEAD" } : {}),
    });
    response.end(request.method === "HEAD" ? undefined : bytes);
  } catch (error) {
    log.error(`HTTP ${request.url}: ${String(error)}`);
    if (response.headersSent) response.destroy();
    else response.writeHead(500, { "content-length": 0 }).end();
  }
}

function answerFor(routes: readonly HttpRoute[], request: IncomingMessage): HttpAnswer | Promise<HttpAnswer> {
  const [path, query = ""] = request.url?.split("?", 2) ?? [];
  const route = routes.find((candidate) => candidate.path === path);
  if (route === undefined) return { status: 404, body: "404 page not found\n" };
  if (request.method !== "GET" && request.method !== "HEAD") return { status: 405, body: "method not allowed\n" };
  return route.handle({ accept: request.headers.accept, query });
}

function listen(server: Server, { host, port }: Site, routes: readonly AskedRoute[]): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const paths = routes.map(({ path }) => path).join(", ");
      const message = `${paths}: can't listen on ${formatHost(host)}:${port} (TCP): ${reason(error)}`;
      const refused = new NdotsError("NDOTS_ERR_LISTEN", message, { cause: error });
      const at = routes[0]?.at;
      reject(at === undefined ? refused : listenErrorAt(at, refused));
    });
    const opened = (): void => {
      server.removeAllListeners("error");
      server.on("error", ignore); // accept() failed (EMFILE): the next connection is tried again
      resolve();
    };
    if (host === "") server.listen(port, opened);
    else server.listen(port, host, opened);
  });
}

// Out here, it keeps nothing: `routes` are of the first configuration.
function ignore(): void {}

function reason(error: NodeJS.ErrnoException): string {
  if (error.code === "EADDRINUSE") return "the address is in use";
  if (error.code === "EACCES") return "no permission; ports below 1024 need CAP_NET_BIND_SERVICE";
  if (error.code === "EADDRNOTAVAIL") return "this host has no such address";
  return error.message;
}

function formatHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

async function closeAll(sites: readonly Site[]): Promise<void> {
  await Promise.all(
    sites.map(async (site) => {
      const server = site.server;
      site.server = undefined;
      if (server === undefined) return;
      await new Promise<void>((resolve) => {
        const cut = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
        server.closeIdleConnections();
      });
    }),
  );
}
