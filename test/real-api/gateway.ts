// What stands between our server and a real API server in tests: hands requests on, notes them, and does to them what
// networks and other versions do. Speaks TLS with an authority of its own, so that credentials come through.

import { createServer, request as secureRequest } from "node:https";
import { request as plainRequest, type IncomingMessage, type RequestOptions, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createAuthority } from "../helpers/certificates.ts";
import type { ApiServer } from "./cluster.ts";

/** A request, as an interceptor sees it. */
export interface Passing {
  readonly verb: "list" | "watch";
  /** `services` */
  readonly resource: string;
  readonly query: URLSearchParams;
  /** Of the answer, once it has come. */
  status?: number;
}

/** What to send instead. */
export interface Instead {
  readonly status: number;
  readonly body: object;
}

export interface Gateway extends AsyncDisposable {
  readonly url: string;
  /** PEM */
  readonly authority: string;
  /** All requests since the last clear(). */
  readonly passed: Passing[];
  /** Asked about each request: what it gives is the answer; a query that it changes goes on as it is. */
  intercept: ((passing: Passing) => Instead | undefined) | undefined;
  /** Resets all connections. */
  cut(): void;
  /** From now on nothing comes through connections that are open, and they stay open; new ones are as ever. */
  freeze(): void;
  /** Refuses connections until open(). */
  close(): Promise<void>;
  open(): Promise<void>;
}

export async function startGateway(upstream: ApiServer): Promise<Gateway> {
  const authority = createAuthority();
  const { cert, key } = authority.issue({ commonName: "127.0.0.1", names: ["127.0.0.1"] });
  const sockets = new Set<Socket>();
  const passed: Passing[] = [];
  let streams = new Set<{ isFrozen: boolean }>();
  const server = createServer({ cert, key }, pass);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  });
  await listen(0);
  const { port } = server.address() as AddressInfo;

  function listen(at: number): Promise<void> {
    return new Promise((resolve, reject) => server.once("error", reject).listen(at, "127.0.0.1", resolve));
  }

  function pass(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", upstream.url);
    const passing = passingOf(url);
    passed.push(passing);
    const instead = gateway.intercept?.(passing);
    if (instead !== undefined) {
      response.writeHead(instead.status, { "Content-Type": "application/json" }).end(`${JSON.stringify(instead.body)}\n`);
      return;
    }
    const stream = { isFrozen: false };
    streams.add(stream);
    const { host: _host, ...headers } = request.headers;
    const path = `${url.pathname}?${passing.query.toString()}`;
    const onward = (url.protocol === "https:" ? secureRequest : plainRequest)({ ...onwardOptions(upstream, url), path, headers });
    onward.on("response", (answer) => {
      passing.status = answer.statusCode ?? 0;
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.on("data", (chunk: Buffer) => stream.isFrozen || response.write(chunk));
      answer.on("end", () => stream.isFrozen || response.end());
      answer.on("error", () => stream.isFrozen || response.destroy());
    });
    onward.on("error", () => stream.isFrozen || response.destroy()).end();
    response.on("close", () => {
      streams.delete(stream);
      onward.destroy();
    });
  }

  const gateway: Gateway = {
    url: `https://127.0.0.1:${port}`,
    authority: authority.cert,
    passed,
    intercept: undefined,
    cut() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    freeze() {
      for (const stream of streams) stream.isFrozen = true;
      streams = new Set();
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      gateway.cut();
      await closed;
    },
    open: () => listen(port),
    async [Symbol.asyncDispose]() {
      if (server.listening) await gateway.close();
    },
  };
  return gateway;
}

function passingOf(url: URL): Passing {
  return {
    verb: url.searchParams.get("watch") === "true" ? "watch" : "list",
    resource: url.pathname.split("/").at(-1) ?? "",
    query: url.searchParams,
  };
}

function onwardOptions(
  { authority, isUnverified, serverName }: ApiServer,
  url: URL,
): RequestOptions & { ca?: string; servername?: string } {
  return {
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port,
    ...(authority !== undefined && { ca: authority }),
    ...(serverName !== undefined && { servername: serverName }),
    ...(isUnverified && { rejectUnauthorized: false }),
  } as RequestOptions & { ca?: string; servername?: string };
}

/** The body with which an API server says that a version is gone. */
export const EXPIRED: object = {
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message: "too old resource version: 1 (2)",
  reason: "Expired",
  code: 410,
};
