// A DNS client for tests that hides nothing: packets are built byte by byte, so that a test can also build wrong ones,
// and answers come back as received. Waits are bounds for a failing test, never sleeps: prove that a packet was dropped
// by asking a sound question behind it (udpClient: order is kept on loopback) rather than by waiting.

import { createSocket } from "node:dgram";
import { connect, isIPv6, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions as SecureOptions, type TLSSocket } from "node:tls";
import { RRTypes } from "../../src/dns/records.ts";

/** Where a server listens; a wildcard is reached over loopback. */
export interface Target {
  readonly address: string;
  readonly port: number;
}

export interface QueryOptions {
  /** Text with `\.` and `\DDD` escapes, or the wire form, which is taken as it is. */
  readonly name?: string | Uint8Array;
  readonly type?: keyof typeof RRTypes | number;
  readonly class?: number;
  readonly id?: number;
  /** The 16-bit word behind the id; RD alone unless given. */
  readonly flags?: number;
  /** QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT; what is written unless given. */
  readonly counts?: readonly [number, number, number, number];
  readonly edns?: EdnsOptions | undefined;
  /** Bytes behind everything else. */
  readonly trailer?: Uint8Array;
}

export interface EdnsOptions {
  readonly udpSize?: number;
  readonly version?: number;
  readonly dnssecOk?: boolean;
  readonly options?: readonly { readonly code: number; readonly data?: Uint8Array }[];
}

/** A query packet: one question of class IN with RD set, unless told otherwise. */
export function query(options: QueryOptions = {}): Buffer {
  const { name = "example.org.", type = "A", flags = 0x0100, id = 1, edns } = options;
  const [qd, an, ns, ar] = options.counts ?? [1, 0, 0, edns === undefined ? 0 : 1];
  const parts: Uint8Array[] = [
    uint16s(id, flags, qd, an, ns, ar),
    typeof name === "string" ? nameBytes(name) : name,
    uint16s(typeof type === "number" ? type : RRTypes[type], options.class ?? 1),
  ];
  if (edns !== undefined) parts.push(optRecord(edns));
  if (options.trailer !== undefined) parts.push(options.trailer);
  return Buffer.concat(parts);
}

/** The wire form of a name; nothing is checked but that a label fits its length byte. */
export function nameBytes(text: string): Buffer {
  const bytes: number[] = [];
  let label: number[] = [];
  const endLabel = (): void => {
    if (label.length > 255) throw new RangeError(`label of ${label.length} bytes in ${text}`);
    bytes.push(label.length, ...label);
    label = [];
  };
  for (const [part] of text.matchAll(/\\\d{3}|\\.|[^]/gs)) {
    if (part === ".") {
      if (label.length > 0) endLabel();
    } else if (/^\\\d/.test(part)) label.push(Number(part.slice(1)));
    else label.push(...Buffer.from(part.startsWith("\\") ? part.slice(1) : part));
  }
  if (label.length > 0) endLabel();
  return Buffer.from([...bytes, 0]);
}

/** Big-endian 16-bit words. */
export function uint16s(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => bytes.writeUInt16BE(value, index * 2));
  return bytes;
}

/** The header of an answer, read by hand. */
export function headerOf(packet: Buffer): { id: number; flags: number; rcode: number; opcode: number; counts: number[] } {
  const flags = packet.readUInt16BE(2);
  return {
    id: packet.readUInt16BE(0),
    flags,
    rcode: flags & 15,
    opcode: (flags >> 11) & 15,
    counts: [4, 6, 8, 10].map((at) => packet.readUInt16BE(at)),
  };
}

/** Sends one packet from a socket of its own; undefined when nothing comes back within `waitMs`. */
export async function udpAsk(target: Target, packet: Uint8Array, waitMs = 1000): Promise<Buffer | undefined> {
  const client = await udpClient(target);
  try {
    client.send(packet);
    return await client.receive(waitMs);
  } finally {
    client.close();
  }
}

export interface UdpClient {
  readonly port: number;
  send(packet: Uint8Array): void;
  /** The next packet, or undefined when none comes within `waitMs`. */
  receive(waitMs?: number): Promise<Buffer | undefined>;
  close(): void;
}

/** A socket that can be asked with more than once; bound to `from` when given. */
export async function udpClient(target: Target, from: { readonly address?: string; readonly port?: number } = {}): Promise<UdpClient> {
  const host = hostOf(target);
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  const inbox = createInbox<Buffer>();
  socket.on("message", (packet) => inbox.put(packet));
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ port: from.port ?? 0, ...(from.address === undefined ? {} : { address: from.address }) }, resolve);
  });
  socket.on("error", () => inbox.end());
  return {
    port: socket.address().port,
    send: (packet) => socket.send(packet, target.port, host, () => {}),
    receive: (waitMs = 1000) => inbox.take(waitMs),
    close: () => socket.close(),
  };
}

export interface TcpConnection {
  readonly port: number;
  /** Writes messages, each behind its length, in one write. */
  send(...packets: readonly Uint8Array[]): void;
  /** Writes bytes as they are. */
  write(bytes: Uint8Array): void;
  /** The next message without its length, or undefined at the end of the stream. Fails when none comes within `waitMs`. */
  receive(waitMs?: number): Promise<Buffer | undefined>;
  /** How the server ended the connection. */
  readonly ended: Promise<"fin" | "reset">;
  /** Stops reading, so that the server's output piles up. */
  pause(): void;
  resume(): void;
  /** Half-close: sends FIN and goes on reading. */
  end(): void;
  /** Sends RST. */
  reset(): void;
  close(): void;
}

/** Connects, with Nagle's delay off. Rejects when the connection is refused. */
export async function tcpConnection(target: Target): Promise<TcpConnection> {
  const socket = connect({ port: target.port, host: hostOf(target), noDelay: true, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return messagesOver(socket);
}

/** The same over TLS. Rejects when the handshake fails, as far as the client can tell by then (RFC 8446 §4.4.2.4). */
export async function tlsConnection(target: Target, options: SecureOptions): Promise<TcpConnection & { readonly socket: TLSSocket }> {
  const raw = connect({ port: target.port, host: hostOf(target), noDelay: true, allowHalfOpen: true });
  raw.on("error", () => {}); // the TLS socket tells
  const socket = connectTls({ servername: "localhost", ...options, socket: raw });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed during the handshake")));
  });
  return { ...messagesOver(socket), socket, port: raw.localPort ?? 0, reset: () => raw.resetAndDestroy() };
}

function messagesOver(socket: Socket): TcpConnection {
  const inbox = createInbox<Buffer>();
  let received: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      inbox.put(received.subarray(2, end));
      received = received.subarray(end);
    }
  });
  const ended = new Promise<"fin" | "reset">((resolve) => {
    socket.on("error", () => resolve("reset"));
    socket.on("end", () => resolve("fin"));
    socket.on("close", () => resolve("reset")); // without "end" before
  });
  void ended.then(() => inbox.end());
  return {
    port: socket.localPort ?? 0,
    send: (...packets) => socket.write(Buffer.concat(packets.flatMap((packet) => [uint16s(packet.length), packet]))),
    write: (bytes) => socket.write(bytes),
    receive: async (waitMs = 5000) => {
      const message = await inbox.take(waitMs);
      if (message === undefined && !inbox.ended()) throw new Error(`no message within ${waitMs} ms`);
      return message;
    },
    ended,
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    end: () => socket.end(),
    reset: () => socket.resetAndDestroy(),
    close: () => socket.destroy(),
  };
}

interface Inbox<T> {
  put(item: T): void;
  end(): void;
  ended(): boolean;
  take(waitMs: number): Promise<T | undefined>;
}

// Items in order; take() waits for the next one, until the end or the bound.
function createInbox<T>(): Inbox<T> {
  const items: T[] = [];
  const takers: ((item: T | undefined) => void)[] = [];
  let over = false;
  return {
    put: (item) => {
      const taker = takers.shift();
      if (taker === undefined) items.push(item);
      else taker(item);
    },
    end: () => {
      over = true;
      for (const taker of takers.splice(0)) taker(undefined);
    },
    ended: () => over,
    take: (waitMs) => {
      if (items.length > 0 || over) return Promise.resolve(items.shift());
      return new Promise((resolve) => {
        const taker = (item: T | undefined): void => {
          clearTimeout(timer);
          resolve(item);
        };
        const timer = setTimeout(() => {
          takers.splice(takers.indexOf(taker), 1);
          resolve(undefined);
        }, waitMs);
        takers.push(taker);
      });
    },
  };
}

function optRecord(edns: EdnsOptions): Buffer {
  const options = (edns.options ?? []).map(({ code, data = new Uint8Array(0) }) => Buffer.concat([uint16s(code, data.length), data]));
  const rdata = Buffer.concat(options);
  const ttl = uint16s((edns.version ?? 0) & 0xff, edns.dnssecOk === true ? 0x8000 : 0); // extended rcode 0, version; DO
  return Buffer.concat([Buffer.from([0]), uint16s(RRTypes.OPT, edns.udpSize ?? 1232), ttl, uint16s(rdata.length), rdata]);
}

function hostOf(target: Target): string {
  if (target.address === "::") return "::1";
  return target.address === "" || target.address === "0.0.0.0" ? "127.0.0.1" : target.address;
}
