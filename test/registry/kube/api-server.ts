// An HTTP(S) server on loopback that answers as a test says, for the client's own tests: what goes wrong on the wire is
// easier to say here than to the fake API server, which knows resources.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { fileURLToPath } from "node:url";

export interface ApiServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Connections accepted so far, and open ones. */
  readonly accepted: number;
  readonly sockets: ReadonlySet<Socket>;
  readonly server: Server;
}

export interface ApiServerOptions {
  /** The certificate's name among the fixtures; plain HTTP without. */
  readonly certificate?: string;
  /** Asks for a client certificate of the fixtures' authority and demands it. */
  readonly demandsClient?: boolean;
  readonly host?: string;
}

export function fixture(name: string): string {
  return fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
}

export async function apiServer(handler: RequestListener, options: ApiServerOptions = {}): Promise<ApiServer> {
  const { certificate, demandsClient = false, host = "127.0.0.1" } = options;
  const pem = (name: string): string => readFileSync(fixture(name), "utf8");
  const server =
    certificate === undefined
      ? createHttpServer(handler)
      : createHttpsServer(
          {
            cert: pem(`${certificate}.crt`),
            key: pem(`${certificate}.key`),
            ca: pem("ca.crt"),
            requestCert: demandsClient,
            rejectUnauthorized: demandsClient,
          },
          handler,
        );
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on("connection", (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", () => {});
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    server,
    port,
    url: `${certificate === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`,
    sockets,
    get accepted() {
      return accepted;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
