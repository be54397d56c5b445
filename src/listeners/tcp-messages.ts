// What the main thread (tcp-thread.ts) and the TCP thread (tcp-worker.ts) tell each other. Packets travel in batches, one
// for a turn of the event loop: a message costs as much as answering several of them.

import type { Exchange } from "../dns/question.ts";
import type { SharedFront } from "../front.ts";
import type { ConnectionTimes } from "../plugin.ts";
import type { ListenAddress } from "./listener.ts";
import type { Counter } from "../metrics.ts";
import { CLOSE_REASONS, type CloseReason, type TcpLimits } from "./connection.ts";

/** What the thread starts with. */
export interface TcpThreadData {
  readonly limits: Partial<TcpLimits>;
  /** This thread's own; see Words. */
  readonly words: Int32Array;
  /** Connections closed, by the index of the reason, of this thread and those before it. */
  readonly closed: Float64Array;
  /** Hits that no observer was told of, at index 0. */
  readonly unobserved: Float64Array;
}

/** Indexes in `words`. */
export const Words = {
  /** Counted up by the thread as long as its event loop turns. */
  BEAT: 0,
  /** Hits that the main thread has told the observers of; wraps around. */
  OBSERVED: 1,
} as const;
export const WORDS = 2;

export type ToThread =
  | {
      readonly kind: "listen";
      readonly listener: number;
      readonly at: ListenAddress;
      /** Of the socket; the thread's own. */
      readonly descriptor: number;
      readonly front: SharedFront;
      readonly times: ConnectionTimes;
      /** Counts messages, at index 0. */
      readonly received: Float64Array;
    }
  | { readonly kind: "serve"; readonly listener: number; readonly front: SharedFront; readonly times: ConnectionTimes }
  | { readonly kind: "windDown"; readonly listener: number }
  | { readonly kind: "stop"; readonly listener: number; readonly graceMs: number }
  | { readonly kind: "answers"; readonly batch: Batch };

export type FromThread =
  | { readonly kind: "listening"; readonly listener: number }
  /** The answer to "serve": what was sent before, and nothing behind it, came from the front before. */
  | { readonly kind: "serving"; readonly listener: number }
  | { readonly kind: "stopped"; readonly listener: number }
  | { readonly kind: "questions"; readonly batch: Batch }
  | { readonly kind: "hits"; readonly batch: Batch }
  | { readonly kind: "error"; readonly message: string };

/**
 * Packets one behind the other in `bytes`. Each has a row of numbers in `rows`, first its length; what comes from a
 * client has two addresses, the client's and ours.
 */
export interface Batch {
  readonly rows: readonly number[];
  readonly addresses: readonly string[];
  readonly bytes: Uint8Array;
}

// The rows, behind the length.
/** Token; what the main thread is to answer with. */
export const ANSWER_ROW = 2;
/** Listener, when it was received, ports of the client and ours, token. */
export const QUESTION_ROW = 6;
/** The same without a token; duration; the numbers of the hit. */
export const HIT_ROW = 12;

/** Counts connections closed, by reason, in numbers that every thread can read. */
export function closedCounter(closed: Float64Array): Counter {
  return { add: ({ reason } = {}) => void (closed[CLOSE_REASONS.indexOf(reason as CloseReason)] as number)++ };
}

/** So many packets of clients go into one batch, so that who takes batches one at a time is never held up for long. */
export const MAX_BATCH = 256;

/** Gathers packets and sends them when the event loop has done what it is at. */
export class Outbox {
  readonly #send: (batch: Batch) => void;
  #rows: number[] = [];
  #addresses: string[] = [];
  #bytes: Uint8Array = new Uint8Array(BUFFER_BYTES);
  #length = 0;

  constructor(send: (batch: Batch) => void) {
    this.#send = send;
  }

  /** @param row the numbers behind the packet's length. */
  add(packet: Uint8Array, ...row: readonly number[]): void {
    if (this.#rows.length === 0) setImmediate(() => this.flush());
    this.#rows.push(packet.length, ...row);
    const end = this.#length + packet.length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(2 * end);
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(packet, this.#length);
    this.#length = end;
  }

  /** The same for a packet of a client. */
  addFrom(io: Exchange, listener: number, receivedAtMs: number, ...row: readonly number[]): void {
    this.add(io.in.subarray(io.inAt, io.inEnd), listener, receivedAtMs, io.remotePort, io.localPort, ...row);
    this.#addresses.push(io.remoteAddress, io.localAddress);
    if (this.#addresses.length === 2 * MAX_BATCH) this.flush();
  }

  flush(): void {
    const rows = this.#rows;
    if (rows.length === 0) return;
    const addresses = this.#addresses;
    const bytes = this.#bytes.slice(0, this.#length); // a view would bring its whole buffer along
    this.#rows = [];
    this.#addresses = [];
    this.#length = 0;
    if (this.#bytes.length > BUFFER_BYTES) this.#bytes = new Uint8Array(BUFFER_BYTES);
    this.#send({ rows, addresses, bytes });
  }
}

/** What most turns need; more is let go. */
const BUFFER_BYTES = 16 * 1024;

/** Puts each packet of a batch from addFrom() into `io`, and calls `each` with its listener and where its own numbers stand in `rows`. */
export function eachFrom(
  { rows, addresses, bytes }: Batch,
  rowLength: number,
  io: Exchange,
  each: (listener: number, at: number) => void,
): void {
  io.in = bytes;
  io.transport = "tcp";
  let end = 0;
  let client = 0;
  for (let at = 0; at < rows.length; at += rowLength) {
    io.inAt = end;
    io.inEnd = end += rows[at] as number;
    io.receivedAtMs = rows[at + 2] as number;
    io.remotePort = rows[at + 3] as number;
    io.localPort = rows[at + 4] as number;
    io.remoteAddress = addresses[client++] as string;
    io.localAddress = addresses[client++] as string;
    io.family = io.remoteAddress.includes(":") ? 6 : 4;
    each(rows[at + 1] as number, at + 5);
  }
}
