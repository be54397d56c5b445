// What every listener is: sockets of one transport on one address, answering through a Responder.

import type { ServedScheme } from "../config/server-keys.ts";
import type { Transport } from "../dns/message.ts";
import type { SharedFront } from "../front.ts";
import type { Metrics } from "../metrics.ts";
import type { Log } from "../log.ts";
import type { ConnectionTimes, CredentialSource } from "../plugin.ts";
import type { Responder } from "../respond.ts";

export interface ListenAddress {
  /** An IP address; "" is the wildcard: one dual-stack socket, or IPv4 alone where there is no IPv6. */
  readonly address: string;
  /** 0: the kernel chooses. */
  readonly port: number;
}

/** An address, and what is spoken there. */
export interface ServedAddress extends ListenAddress {
  readonly scheme: ServedScheme;
}

/** What answers the packets of a listener. */
export interface ServedBy {
  readonly responder: Responder;
  /** Told of each query over UDP that is dropped for newer ones; undefined: none is. */
  readonly onShed?: (() => void) | undefined;
  /** Of TCP connections. */
  readonly times?: ConnectionTimes;
  /** Of listeners over TLS. */
  readonly tls?: CredentialSource | undefined;
  /** Of listeners over HTTPS. */
  readonly httpsConnections?: number | undefined;
  /** What answers here, in metrics: `https://:443`. */
  readonly server?: string;
  /** What one more thread needs to answer hits by itself; called for each start of a thread. The portable listeners need none. */
  share(): SharedFront;
  /** Takes back what share() gave: its thread no longer reads it. */
  unshare(shared: SharedFront): void;
}

export interface ListenerOptions extends ListenAddress {
  readonly responder: Responder;
  readonly times?: ConnectionTimes;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Contract: test/contracts/listener.ts runs over every implementation. */
export interface Listener {
  readonly transport: Transport;
  /** Opens the sockets; afterwards `bound` says where. Rejects with NDOTS_ERR_LISTEN, naming the address and the fix. */
  start(): Promise<void>;
  /** Where it listens, the wildcard as "::" or "0.0.0.0". */
  readonly bound: ListenAddress;
  /** Packets or messages taken from the network so far, answered or not. */
  readonly received: number;
  /**
   * From now on, others answer: what a reloaded configuration has at the same address. Nothing that was received is lost, open
   * connections stay. Resolves when no thread reads what it had before, which goes on answering until then, also where the
   * system gives no thread for some time. Contract: test/contracts/listener-serve.ts.
   */
  serve(served: ServedBy): Promise<void>;
  /**
   * Where there are connections: from now on each ends right behind an answer, when no client that waits for answers before it
   * asks again can have sent more (over TLS, where the end comes a moment behind the answer, when it has been idle); new ones are
   * taken as before. stop() would close them while queries are under way.
   */
  windDown?(): void;
  /** Takes nothing new, finishes what it has (at most `graceMs`), closes. Idempotent. */
  stop(graceMs: number): Promise<void>;
}
