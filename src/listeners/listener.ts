// What every listener is: sockets of one transport on one address, answering through a Responder.

import type { Metrics } from "../metrics.ts";
import type { Log } from "../log.ts";
import type { Responder } from "../respond.ts";

export interface ListenAddress {
  /** An IP address; "" is the wildcard: one dual-stack socket, or IPv4 alone where there is no IPv6. */
  readonly address: string;
  /** 0: the kernel chooses. */
  readonly port: number;
}

export interface ListenerOptions extends ListenAddress {
  readonly responder: Responder;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Contract: test/contracts/listener.ts runs over every implementation. */
export interface Listener {
  readonly transport: "udp" | "tcp";
  /** Opens the sockets; afterwards `bound` says where. Rejects with NDOTS_ERR_LISTEN, naming the address and the fix. */
  start(): Promise<void>;
  /** Where it listens, the wildcard as "::" or "0.0.0.0". */
  readonly bound: ListenAddress;
  /** Packets or messages taken from the network so far, answered or not. */
  readonly received: number;
  /** Takes nothing new, finishes what it has (at most `graceMs`), closes. Idempotent. */
  stop(graceMs: number): Promise<void>;
}
