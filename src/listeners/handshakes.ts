// TLS in front of connections: takes accepted sockets through the handshake and hands on those whose certificate, if one is
// asked for, is as the configuration wants it. Used by tls.ts and https.ts. The certificate is the one that is good at the
// moment of the handshake; connections that are open keep theirs.

import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { ClientAuth, Credentials, CredentialSource } from "../plugin.ts";
import { ignore } from "./accepting.ts";
import type { CloseReason, Connection, ConnectionService } from "./connection.ts";

/** What the handshakes of a listener share. */
export interface HandshakeOptions {
  readonly source: CredentialSource;
  /** Protocols in ALPN, the best first. A client may leave the choice out, but not want others. */
  readonly protocols: readonly string[];
  /** Told of sockets that are gone, and of which nothing was made. */
  readonly service: Pick<ConnectionService, "limits" | "now" | "onClosing" | "onClosed">;
  /** The handshake is done. */
  onSecure(socket: TLSSocket, before: Connection): void;
}

export interface Handshakes {
  /** Certificates of the next connection: another configuration may take over at any time. */
  source: CredentialSource;
  begin(socket: Socket, remoteAddress: string): Connection;
}

export function createHandshakes(options: HandshakeOptions): Handshakes {
  const { protocols, service, onSecure } = options;
  const waiting = new Map<string, Handshake>();
  let server: Server | undefined;
  let served: Credentials | undefined;
  const handshakes: Handshakes = {
    source: options.source,
    begin(socket, remoteAddress) {
      const key = peerOf(socket);
      const handshake: Handshake = new Handshake(socket, remoteAddress, service);
      waiting.set(key, handshake);
      socket.once("close", () => {
        if (waiting.get(key) === handshake) waiting.delete(key);
        handshake.fail();
        service.onClosed(handshake);
      });
      current().emit("connection", socket);
      return handshake;
    },
  };
  return handshakes;

  // One for each set of certificates. It listens nowhere: node:tls takes connections that are given to it.
  function current(): Server {
    const { credentials } = handshakes.source;
    if (server === undefined || served !== credentials) {
      served = credentials;
      server = createServer({ ...tlsOptions(credentials), ALPNProtocols: [...protocols] });
      server.on("secureConnection", (socket) => take(socket, credentials.clientAuth));
      server.on("tlsClientError", ignore); // "close" follows
    }
    return server;
  }

  function take(socket: TLSSocket, clientAuth: ClientAuth): void {
    socket.on("error", ignore); // "close" follows
    const key = peerOf(socket);
    const handshake = waiting.get(key);
    if (handshake === undefined || !isAccepted(socket, clientAuth)) return void socket.destroy();
    waiting.delete(key);
    handshake.isDone = true;
    onSecure(socket, handshake);
  }
}

/** What node:tls makes a context of; throws if certificate and key don't belong together or can't be read. */
export function tlsOptions({ cert, key, ca, clientAuth }: Credentials): object {
  return {
    cert,
    key,
    ...(ca !== undefined && { ca }),
    minVersion: "TLSv1.2",
    // Asking for one handshake after the other costs a client nothing.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    requestCert: clientAuth !== "nocert",
    rejectUnauthorized: clientAuth === "require_and_verify",
  };
}

function isAccepted(socket: TLSSocket, clientAuth: ClientAuth): boolean {
  switch (clientAuth) {
    case "nocert":
    case "request":
    case "require_and_verify": // node:tls has seen to it
      return true;
    case "require":
      return hasCertificate(socket);
    case "verify_if_given":
      return socket.authorized || !hasCertificate(socket);
    default:
      return clientAuth satisfies never;
  }
}

function hasCertificate(socket: TLSSocket): boolean {
  return socket.getPeerX509Certificate() !== undefined;
}

// No two open sockets of a listener have the same peer.
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;
}

// A connection until it is one over TLS. The client's first message is timed anew.
class Handshake implements Connection {
  readonly remoteAddress: string;
  readonly hasAsked = false;
  readonly idleSinceMs: number;
  isDone = false;
  readonly #socket: Socket;
  readonly #service: HandshakeOptions["service"];

  constructor(socket: Socket, remoteAddress: string, service: HandshakeOptions["service"]) {
    this.#socket = socket;
    this.#service = service;
    this.remoteAddress = remoteAddress;
    this.idleSinceMs = service.now();
  }

  get isIdle(): boolean {
    return !this.isDone;
  }

  checkTimeouts(nowMs: number): void {
    if (nowMs - this.idleSinceMs >= this.#service.limits.readMs) this.close("read_timeout");
  }

  close(reason: CloseReason): void {
    if (this.isDone) return;
    this.#service.onClosing(reason);
    this.destroy();
  }

  drain(): void {
    this.close("stopping");
  }

  destroy(): void {
    this.isDone = true;
    this.#socket.destroy();
  }

  /** The socket has closed: if nobody has asked for that, the handshake has failed. */
  fail(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#service.onClosing("handshake");
  }
}
