// Serves DNS over HTTPS (RFC 8484) through node:tls, node:http2 and node:http, on the main thread. Called by listening.ts.
// accepting.ts caps and sweeps, handshakes.ts does TLS; a connection's requests are https-connection.ts's.

import { createServer } from "node:http";
import type { Socket } from "node:net";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import { codeOf } from "./bind.ts";
import { acceptingListener, createAccepting, SYSTEM_CLOCK, type Accepting } from "./accepting.ts";
import { DEFAULT_TCP_LIMITS, withTimes, type TcpLimits } from "./connection.ts";
import { createHandshakes } from "./handshakes.ts";
import { HttpsConnection, MAX_HEADER_BYTES, type HttpsService } from "./https-connection.ts";
import type { Listener, ServedBy } from "./listener.ts";
import { padded } from "./padding.ts";
import { TCP_CLOSED } from "./tcp.ts";
import type { TlsOptions } from "./tls.ts";

export interface HttpsOptions extends TlsOptions {
  /** At one time; 0: as many as there are descriptors for. */
  readonly httpsConnections?: number | undefined;
  /** In metrics. */
  readonly server?: string;
}

export interface HttpsListener extends Listener {
  windDown(): void;
  serve(served: Pick<ServedBy, "responder" | "times" | "tls" | "httpsConnections" | "server">): Promise<void>;
}

/** CoreDNS's. */
const CONNECTIONS = 200;

export function httpsListener(options: HttpsOptions): HttpsListener {
  // Nothing below may keep `options`: the responder that they name holds the first configuration's table.
  const { clock = SYSTEM_CLOCK, metrics, responder, limits } = options;
  const own: TcpLimits = { ...DEFAULT_TCP_LIMITS, ...limits };
  const closed = metrics.counter(TCP_CLOSED.name, TCP_CLOSED.help);
  const answered = metrics.counter("coredns_dns_https_responses_total", "Counter of DoH responses per server and http status code.");
  const connections = new WeakMap<Socket, HttpsConnection>();
  let server = options.server ?? "";
  const service: HttpsService = {
    io: Object.assign(new Exchange(MAX_MESSAGE_BYTES), { transport: "https" }),
    responder: padded(responder),
    limits: limitsOf(own, options),
    isWindingDown: false,
    received: 0,
    http1: createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }),
    now: () => clock.now(),
    onAnswer: (status) => answered.add({ server, status: String(status) }),
    onClosing: (reason) => closed.add({ reason }),
    onClosed: (connection) => accepting.remove(connection),
  };
  service.http1.on("request", (message, response) => connections.get(message.socket)?.ask1(message, response));
  service.http1.on("clientError", (error, socket) => {
    const isBad = codeOf(error)?.startsWith("HPE_") === true; // else the client has gone
    if (isBad) connections.get(socket as Socket)?.refuse();
    if (isBad && socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    else socket.destroy();
  });
  const handshakes = createHandshakes({
    source: options.tls,
    protocols: ["h2", "http/1.1"],
    service,
    onSecure: (socket, before) => {
      const connection = new HttpsConnection(socket, before.remoteAddress, accepting.bound, service);
      connections.set(socket, connection);
      accepting.replace(before, connection);
    },
  });
  const accepting: Accepting = createAccepting(options, service, (socket, remoteAddress) => handshakes.begin(socket, remoteAddress));
  return acceptingListener("https", accepting, service, (served) => {
    handshakes.source = served.tls ?? handshakes.source;
    service.responder = padded(served.responder);
    service.limits = limitsOf(own, served);
    server = served.server ?? server;
    return Promise.resolve();
  });
}

function limitsOf(own: TcpLimits, { times, httpsConnections = CONNECTIONS }: Pick<ServedBy, "times" | "httpsConnections">): TcpLimits {
  const connections = httpsConnections === 0 ? own.connections : Math.min(own.connections, httpsConnections);
  return { ...withTimes(own, times), connections };
}
