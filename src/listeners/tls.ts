// Serves DNS over TLS (RFC 7858) through node:tls, on the main thread. Called by listening.ts. Behind the handshake a
// connection is what it is over plain TCP: tcp-connection.ts.

import { acceptingListener, createAccepting, type Accepting } from "./accepting.ts";
import { createHandshakes } from "./handshakes.ts";
import type { CredentialSource } from "../plugin.ts";
import type { Listener, ServedBy } from "./listener.ts";
import { TcpConnection } from "./tcp-connection.ts";
import { createTcpService, type TcpOptions } from "./tcp.ts";

// Its name in ALPN, as IANA has it. Zone transfers are asked for over TLS only where that was agreed on (RFC 9103 §7.1).
// A client that wants another protocol, as a browser led here, is turned away (RFC 7301 §3.2); one that wants none is not.
const PROTOCOLS = ["dot"] as const;

export interface TlsOptions extends TcpOptions {
  readonly tls: CredentialSource;
}

export interface TlsListener extends Listener {
  windDown(): void;
  serve(served: Pick<ServedBy, "responder" | "times" | "tls">): Promise<void>;
}

export function tlsListener(options: TlsOptions): TlsListener {
  // Nothing below may keep `options`: the responder that they name holds the first configuration's table.
  const { service, serve } = createTcpService(options, "tls", (connection) => accepting.remove(connection));
  const handshakes = createHandshakes({
    source: options.tls,
    protocols: PROTOCOLS,
    service,
    onSecure: (socket, before) => {
      accepting.replace(before, new TcpConnection(socket, before.remoteAddress, accepting.bound, service));
    },
  });
  const accepting: Accepting = createAccepting(options, service, (socket, remoteAddress) => handshakes.begin(socket, remoteAddress));
  return acceptingListener("tls", accepting, service, (served) => {
    handshakes.source = served.tls ?? handshakes.source;
    return serve(served);
  });
}
