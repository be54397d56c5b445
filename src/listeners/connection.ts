// What is true of every connection, whatever is spoken over it: how it is capped, timed and ended, and why. Used by
// accepting.ts and by what it accepts for: tcp.ts, tls.ts, https.ts.

import type { Exchange } from "../dns/question.ts";
import type { ConnectionTimes } from "../plugin.ts";
import type { Responder } from "../respond.ts";

/** An open connection, as far as it is capped, timed and ended. */
export interface Connection {
  readonly remoteAddress: string;
  readonly hasAsked: boolean;
  /** When the last answer went, or the connection opened. */
  readonly idleSinceMs: number;
  /** Nothing received, worked out or being sent. */
  readonly isIdle: boolean;
  /** Closes what would be over its time at `nowMs`. */
  checkTimeouts(nowMs: number): void;
  /** Sends what is written, then ends. */
  close(reason: CloseReason): void;
  /** Answers what it has, then closes. */
  drain(): void;
  destroy(): void;
}

/** What the connections of a listener share. */
export interface ConnectionService {
  readonly io: Exchange;
  /** Of the next message: another configuration may take over at any time. */
  responder: Pick<Responder, "respond">;
  limits: TcpLimits;
  /** Connections end behind their next answer. */
  isWindingDown: boolean;
  /** DNS messages so far, over all connections. */
  received: number;
  now(): number;
  onClosing(reason: CloseReason): void;
  onClosed(connection: Connection): void;
}

export interface TcpLimits {
  /** From the first byte of a message to its last, however many come between; also for the first message. */
  readonly readMs: number;
  /** From the last answer to the next message. */
  readonly idleMs: number;
  /** Output of which the client takes nothing. */
  readonly writeMs: number;
  /** Output that the client takes too slowly to ever be done. */
  readonly drainMs: number;
  /** Messages of one connection; behind the last answer it ends. */
  readonly queries: number;
  /** Promised answers of one connection; behind them its input waits. */
  readonly inFlight: number;
  /** Output that waits for the client; above it, its input waits. */
  readonly unsentBytes: number;
  /** Open at one time; one more closes the one that has been idle longest. */
  readonly connections: number;
  /** The same from one address: one more is closed at once. Off by default: a whole node may come from one address. */
  readonly connectionsPerAddress: number;
}

/** Who has not asked again for so long is not about to, most likely: where an end can't come together with an answer. */
export const WIND_DOWN_IDLE_MS = 200;

/** The times are CoreDNS's: clients are tuned to them. */
export const DEFAULT_TCP_LIMITS: TcpLimits = {
  readMs: 3000,
  idleMs: 10_000,
  writeMs: 5000,
  drainMs: 10_000,
  queries: Number.POSITIVE_INFINITY,
  inFlight: 100,
  unsentBytes: 256 * 1024,
  connections: 1000,
  connectionsPerAddress: Number.POSITIVE_INFINITY,
};

/** The limits of a listener, with the times that a configuration says. */
export function withTimes(limits: TcpLimits, times: ConnectionTimes = {}): TcpLimits {
  const { writeMs = limits.writeMs } = times;
  return { ...limits, ...times, drainMs: Math.max(limits.drainMs, DRAIN_WRITES * writeMs) };
}

/** A client that takes something now and then is given so many write timeouts for all. */
const DRAIN_WRITES = 2;

/** Why the server closed a connection; the `reason` label of `ndots_tcp_closed_total`. */
export const CLOSE_REASONS = [
  "bad_length",
  "read_timeout",
  "idle",
  "write_timeout",
  "max_queries",
  "cap",
  "address_cap",
  "handshake",
  "bad_http",
  "stopping",
] as const;
export type CloseReason = (typeof CLOSE_REASONS)[number];
