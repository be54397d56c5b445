// Questions over TCP and TLS: a few connections to one upstream, many questions on each at once, answers in any order
// by their ids (RFC 7766 §6.2, RFC 7858 §3.3). Where an upstream takes TCP only, all of its questions go this way.

import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";

import { MAX_MESSAGE_BYTES, putUint16, uint16 } from "../../dns/message.ts";
import { hostPort, wordsOf } from "./address-words.ts";
import type { Asker, Exchange, KeepOptions, Reuse, Transport } from "./exchange.ts";
import { keptCopy, match, randomUint16 } from "./packet.ts";

/** Questions on one connection before another is opened. */
const PIPELINED = 32;
/** Connections to one upstream; then questions share them. */
const MAX_CONNECTIONS = 16;
const LENGTH_BYTES = 2;
/** Connections that may end under one question. */
const MAX_ENDED = 4;

/** What a TLS connection is made with; Node's own options. */
export type TlsOptions = Pick<ConnectionOptions, "ca" | "cert" | "key" | "servername">;

export interface StreamOptions extends KeepOptions {
  readonly address: string;
  readonly port: number;
  /** TLS; absent: TCP. */
  readonly tls?: TlsOptions;
  readonly reuse: Reuse;
}

export function createStream(options: StreamOptions): Transport {
  return new StreamPool(options);
}

class StreamPool implements Transport {
  readonly options: StreamOptions;
  readonly protocol: "tcp" | "tcp-tls";
  #connections: Connection[] = [];
  #session: Buffer | undefined;

  constructor(options: StreamOptions) {
    this.options = options;
    this.protocol = options.tls === undefined ? "tcp" : "tcp-tls";
  }

  ask(packet: Buffer, asker: Asker, nowMs: number): Exchange {
    const exchange = new StreamExchange(this.protocol, packet, asker, nowMs);
    this.place(exchange, nowMs);
    return exchange;
  }

  /** Sends on the connection with the least to do, or on a new one. */
  place(exchange: StreamExchange, nowMs: number): void {
    const { reuse, maxAgeMs } = this.options;
    let best: Connection | undefined;
    for (const connection of this.#connections) {
      const tooOld = maxAgeMs > 0 && nowMs - connection.openedAtMs >= maxAgeMs;
      if (!tooOld && (best === undefined || connection.waiting < best.waiting)) best = connection;
    }
    if (best === undefined || (best.waiting >= PIPELINED && this.#connections.length < MAX_CONNECTIONS)) {
      reuse.miss(this.protocol);
      best = new Connection(this, this.#open(), nowMs);
      this.#connections.push(best);
    } else {
      reuse.hit(this.protocol);
    }
    best.send(exchange);
  }

  forget(connection: Connection): void {
    this.#connections = this.#connections.filter((other) => other !== connection);
  }

  /** One has nothing to wait for. */
  release(connection: Connection): void {
    const { maxIdle } = this.options;
    if (maxIdle > 0 && this.#connections.filter(({ waiting }) => waiting === 0).length > maxIdle) connection.close();
  }

  sweep(nowMs: number): void {
    const { expireMs, maxAgeMs } = this.options;
    for (const connection of this.#connections) {
      const old = nowMs - connection.usedAtMs >= expireMs || (maxAgeMs > 0 && nowMs - connection.openedAtMs >= maxAgeMs);
      if (connection.waiting === 0 && old) connection.close();
    }
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  #open(): Socket {
    const { address: host, port, tls, sourceAddress } = this.options;
    const common = { host, port, noDelay: true, ...(sourceAddress !== undefined && { localAddress: sourceAddress }) };
    if (tls === undefined) return connect(common);
    // A name that is sent must be one (RFC 6066 §3); an address is only checked.
    const { servername = "" } = tls;
    const socket = connectTls({
      ...common,
      ...tls,
      servername: isIP(servername) === 0 ? servername : "",
      minVersion: "TLSv1.2",
      ...(this.#session !== undefined && { session: this.#session }),
    });
    socket.on("session", (session) => void (this.#session = session));
    return socket;
  }
}

class Connection {
  readonly #pool: StreamPool;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, StreamExchange>();
  readonly openedAtMs: number;
  usedAtMs: number;
  #answered = 0;
  #isSilent = false;
  #closed = false;
  #local = ":0";
  #ready = false;
  #over = false;
  #error: NodeJS.ErrnoException | undefined;
  #received: Buffer = Buffer.alloc(0);

  constructor(pool: StreamPool, socket: Socket, nowMs: number) {
    this.#pool = pool;
    this.#socket = socket;
    this.openedAtMs = this.usedAtMs = nowMs;
    socket.unref();
    socket.on("connect", () => void (this.#local = hostPort(socket.localAddress ?? "", socket.localPort ?? 0)));
    socket.on(pool.protocol === "tcp" ? "connect" : "secureConnect", () => void (this.#ready = true));
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => void (this.#error = error));
    socket.on("end", () => socket.destroy());
    socket.on("close", () => this.#end());
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  send(exchange: StreamExchange): void {
    let id = randomUint16();
    while (this.#waiting.has(id)) id = randomUint16();
    putUint16(exchange.packet, 0, id);
    exchange.connection = this;
    exchange.answersBefore = this.#answered;
    this.#waiting.set(id, exchange);
    this.usedAtMs = exchange.startedAtMs;
    const framed = Buffer.allocUnsafe(LENGTH_BYTES + exchange.packet.length);
    putUint16(framed, 0, exchange.packet.length);
    framed.set(exchange.packet, LENGTH_BYTES);
    this.#socket.write(framed);
  }

  settle(exchange: StreamExchange): void {
    if (!this.#waiting.delete(uint16(exchange.packet, 0)) || this.#waiting.size > 0) return;
    if (this.#isSilent) this.close();
    else this.#pool.release(this);
  }

  /** No answer to it came in time. A connection that has been silent since may be dead: no new question must wait on it. */
  giveUp(exchange: StreamExchange): void {
    if (this.#answered === exchange.answersBefore) {
      this.#isSilent = true;
      this.#pool.forget(this);
    }
    this.settle(exchange);
  }

  describe(): string {
    const { address, port } = this.#pool.options;
    const to = hostPort(address, port);
    return this.#ready ? `read tcp ${this.#local}->${to}` : `dial tcp ${to}`;
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
    this.#end();
  }

  #take(chunk: Buffer): void {
    let bytes = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (bytes.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + uint16(bytes, 0);
      if (bytes.length < end) break;
      this.#answer(bytes.subarray(LENGTH_BYTES, end));
      bytes = bytes.subarray(end);
    }
    // What is left is the start of one message: a copy, so that it does not keep the whole chunk.
    this.#received = bytes.length === 0 ? EMPTY : Buffer.from(bytes);
    if (this.#received.length > LENGTH_BYTES + MAX_MESSAGE_BYTES) this.close();
  }

  #answer(packet: Buffer): void {
    const exchange = packet.length < LENGTH_BYTES ? undefined : this.#waiting.get(uint16(packet, 0));
    if (exchange === undefined) return; // of a question that is over
    if (match(packet, exchange.packet) !== "answer") {
      exchange.mismatches++;
      exchange.asker.mismatched(exchange, false);
      return;
    }
    this.#answered++;
    this.settle(exchange);
    exchange.asker.answered(exchange, keptCopy(packet));
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#pool.forget(this);
    const waiting = [...this.#waiting.values()];
    const where = waiting.length === 0 ? "" : this.describe();
    this.#waiting.clear();
    for (const exchange of waiting) {
      // The upstream ends connections that have worked: idle ones before it saw the question, or each after an answer.
      if (this.#answered > 0 && !this.#closed && ++exchange.ended < MAX_ENDED) {
        this.#pool.place(exchange, exchange.startedAtMs);
      } else exchange.asker.failed(exchange, `${where}: ${this.#words()}`);
    }
  }

  #words(): string {
    if (this.#error === undefined) return "EOF";
    const words = wordsOf(this.#error);
    return this.#ready || this.#pool.protocol === "tcp-tls" ? words : `connect: ${words}`;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

class StreamExchange implements Exchange {
  readonly protocol: "tcp" | "tcp-tls";
  readonly packet: Buffer;
  readonly asker: Asker;
  readonly startedAtMs: number;
  connection: Connection | undefined;
  mismatches = 0;
  /** What its connection had answered when it was sent. */
  answersBefore = 0;
  /** Connections that ended under it. */
  ended = 0;

  constructor(protocol: "tcp" | "tcp-tls", packet: Buffer, asker: Asker, startedAtMs: number) {
    this.protocol = protocol;
    this.packet = packet;
    this.asker = asker;
    this.startedAtMs = startedAtMs;
  }

  cancel(): void {
    this.connection?.settle(this);
  }

  giveUp(): void {
    this.connection?.giveUp(this);
  }

  describe(): string {
    return this.connection?.describe() ?? this.protocol;
  }
}
