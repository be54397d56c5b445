// Questions over UDP: one socket for each outstanding question, connected, so that the kernel drops what comes from
// elsewhere and tells of refusals; after a few questions it takes another random port. Node's dgram costs some 7 µs a
// question this way, and a new port 3 µs more (a new socket: 13 µs).

import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";

import { putUint16 } from "../../dns/message.ts";
import { hostPort, wordsOf } from "./address-words.ts";
import type { Asker, Exchange, KeepOptions, Reuse, Transport } from "./exchange.ts";
import { keptCopy, match, randomUint16 } from "./packet.ts";

/** Questions asked from one port. 10^5 questions use more than 10^4 ports (there are 28,232 by default on Linux). */
const USES_PER_PORT = 3;
/** Sockets for one upstream; when so many wait, questions share them. Below what a process may have open everywhere. */
const MAX_SOCKETS = 512;

export interface UdpOptions extends KeepOptions {
  readonly address: string;
  readonly port: number;
  readonly reuse: Reuse;
}

export function createUdp(options: UdpOptions): Transport {
  return new UdpPool(options);
}

class UdpPool implements Transport {
  readonly options: UdpOptions;
  readonly #sockets: UdpSocket[] = [];
  /** The last one was used last. */
  readonly #idle: UdpSocket[] = [];
  #closed = false;

  constructor(options: UdpOptions) {
    this.options = options;
  }

  ask(packet: Buffer, asker: Asker, nowMs: number): Exchange {
    const exchange = new UdpExchange(packet, asker, nowMs);
    const { reuse } = this.options;
    let socket = this.#idle.pop();
    if (socket !== undefined) {
      reuse.hit("udp");
      if (socket.uses >= USES_PER_PORT && !socket.takeOtherPort()) {
        this.drop(socket);
        socket = undefined;
      }
    } else if (this.#sockets.length >= MAX_SOCKETS) {
      socket = this.#sockets[randomUint16() % this.#sockets.length];
    }
    if (socket === undefined) {
      reuse.miss("udp");
      socket = this.#open(nowMs);
    }
    socket.send(exchange);
    return exchange;
  }

  // Where no more can be opened (EMFILE) questions share those that are.
  #open(nowMs: number): UdpSocket {
    const socket = new UdpSocket(this, nowMs);
    const shared = socket.isBroken ? this.#sockets[randomUint16() % this.#sockets.length] : undefined;
    if (shared === undefined) this.#sockets.push(socket);
    else socket.close();
    return shared ?? socket;
  }

  /** A socket has nothing to wait for. */
  release(socket: UdpSocket, nowMs: number): void {
    const { maxIdle, maxAgeMs } = this.options;
    if (this.#closed || (maxIdle > 0 && this.#idle.length >= maxIdle) || (maxAgeMs > 0 && nowMs - socket.openedAtMs >= maxAgeMs)) {
      this.drop(socket);
      return;
    }
    socket.usedAtMs = nowMs;
    this.#idle.push(socket);
  }

  drop(socket: UdpSocket): void {
    const at = this.#sockets.indexOf(socket);
    if (at < 0) return;
    const last = this.#sockets.pop() as UdpSocket;
    if (last !== socket) this.#sockets[at] = last;
    const idleAt = this.#idle.indexOf(socket);
    if (idleAt >= 0) this.#idle.splice(idleAt, 1);
    socket.close();
  }

  sweep(nowMs: number): void {
    const { expireMs } = this.options;
    const kept = this.#idle.findIndex(({ usedAtMs }) => nowMs - usedAtMs < expireMs);
    for (const socket of this.#idle.slice(0, kept < 0 ? undefined : kept)) this.drop(socket);
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets.splice(0)) socket.close();
    this.#idle.length = 0;
  }
}

class UdpSocket {
  readonly #pool: UdpPool;
  readonly #socket: Socket;
  /** One, unless all sockets wait. */
  readonly #waiting: UdpExchange[] = [];
  readonly openedAtMs: number;
  usedAtMs: number;
  /** Questions asked from this port. */
  uses = 0;
  #closed = false;
  #broken: NodeJS.ErrnoException | undefined;

  constructor(pool: UdpPool, nowMs: number) {
    const { address, port, sourceAddress } = pool.options;
    const family = isIPv6(address) ? 6 : 4;
    this.#pool = pool;
    this.openedAtMs = this.usedAtMs = nowMs;
    // Addresses need no look-up; done this way the socket is bound and connected when the call returns.
    const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", lookup: (host, _, done) => done(null, host, family) });
    this.#socket = socket;
    socket.on("message", (packet) => this.#received(packet));
    socket.on("error", (error: NodeJS.ErrnoException) => this.#failed(error));
    socket.unref();
    try {
      if (sourceAddress !== undefined) socket.bind({ address: sourceAddress, port: 0, exclusive: true });
      socket.connect(port, address);
    } catch (error) {
      process.nextTick(() => this.#failed(error as NodeJS.ErrnoException));
    }
  }

  send(exchange: UdpExchange): void {
    const { packet } = exchange;
    exchange.socket = this;
    this.uses++;
    do putUint16(packet, 0, randomUint16());
    while (this.#waiting.length > 0 && this.#waiting.some((other) => other.packet.readUInt16BE(0) === packet.readUInt16BE(0)));
    this.#waiting.push(exchange);
    try {
      if (this.#broken !== undefined) throw this.#broken;
      this.#socket.send(packet);
    } catch (error) {
      process.nextTick(() => this.#failed(error as NodeJS.ErrnoException));
    }
  }

  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  /** On Linux a socket that is disconnected gives back the port the kernel chose, and connecting takes another. False where it can't. */
  takeOtherPort(): boolean {
    if (process.platform !== "linux") return false;
    const { address, port } = this.#pool.options;
    try {
      this.#socket.disconnect();
      this.#socket.connect(port, address);
    } catch {
      return false;
    }
    this.uses = 0;
    return true;
  }

  /** `exchange` is over. */
  settle(exchange: UdpExchange): void {
    const at = this.#waiting.indexOf(exchange);
    if (at < 0) return;
    if (this.#waiting.length === 1) this.#waiting.pop();
    else this.#waiting.splice(at, 1);
    if (this.#waiting.length === 0 && !this.#closed) this.#pool.release(this, exchange.startedAtMs);
  }

  describe(): string {
    const { address, port } = this.#pool.options;
    return `udp ${localAddress(this.#socket)}->${hostPort(address, port)}`;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  #received(packet: Buffer): void {
    for (const exchange of this.#waiting) {
      const matched = match(packet, exchange.packet);
      if (matched === "answer") {
        this.settle(exchange);
        exchange.asker.answered(exchange, keptCopy(packet));
        return;
      }
      if (matched === "other" && this.#waiting.length > 1) continue;
      exchange.mismatches++;
      exchange.asker.mismatched(exchange, matched === "case");
      return;
    }
  }

  // May be called while the constructor connects.
  #failed(error: NodeJS.ErrnoException): void {
    this.#broken = error;
    const where = this.#waiting.length === 0 ? "" : this.describe();
    const failed = this.#waiting.splice(0);
    this.#pool.drop(this);
    for (const exchange of failed) exchange.asker.failed(exchange, `read ${where}: read: ${wordsOf(error)}`);
  }
}

class UdpExchange implements Exchange {
  readonly protocol = "udp";
  readonly packet: Buffer;
  readonly asker: Asker;
  readonly startedAtMs: number;
  socket: UdpSocket | undefined;
  mismatches = 0;

  constructor(packet: Buffer, asker: Asker, startedAtMs: number) {
    this.packet = packet;
    this.asker = asker;
    this.startedAtMs = startedAtMs;
  }

  cancel(): void {
    this.socket?.settle(this);
  }

  giveUp(): void {
    this.cancel();
  }

  describe(): string {
    return `read ${this.socket?.describe() ?? "udp"}`;
  }
}

function localAddress(socket: Socket): string {
  try {
    const { address, port } = socket.address();
    return hostPort(address, port);
  } catch {
    return ":0";
  }
}
