// A scripted upstream on loopback for tests of whatever asks other DNS servers: it answers out of RR text over UDP, TCP,
// TLS or HTTPS, misbehaves on demand, and keeps what it was asked. upstream-answers.ts makes the packets.

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

import type { TextRecord } from "../../src/dns/text.ts";
import type { Certified } from "./certificates.ts";
import { uint16s } from "./dns-client.ts";
import { freePort } from "./free-port.ts";
import { openHttps, type Serve } from "./upstream-https.ts";
import { answerTo, readAsked, spoil, textRecords, type Asked, type Behaviour } from "./upstream-answers.ts";

export type { Asked, Behaviour, Defect } from "./upstream-answers.ts";

/** What is done to a query; `index` counts the queries before it. */
export type Script = (asked: Asked, index: number) => Behaviour;

export interface UpstreamOptions {
  /** RR text, one a line; `*.` stands for any name below. Names that are not there are NXDOMAIN, with the SOA above them if there is one. */
  readonly records?: string;
  readonly script?: Script | Behaviour;
  /** What it listens on at start; both unless given. */
  readonly listen?: readonly ("udp" | "tcp")[];
  /** 127.0.0.1 unless given. */
  readonly address?: string;
  readonly port?: number;
  /** DNS over TLS, on a port of its own. */
  readonly tls?: Certified;
  /** DNS over HTTPS, on a port of its own. */
  readonly https?: Certified;
}

export interface Upstream extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** 0 without `tls`. */
  readonly tlsPort: number;
  /** 0 without `https`. */
  readonly httpsPort: number;
  /** `127.0.0.1:5300`, as a Corefile has it. */
  readonly to: string;
  /** All queries so far. */
  readonly asked: readonly Asked[];
  /** TCP, TLS and HTTPS connections that were opened, and those that are open. */
  readonly connections: { readonly opened: number; readonly open: number };
  /** What is done from now on. */
  behave(script: Script | Behaviour): void;
  /** Resolves when `count` queries have come in all; fails after 5 s. */
  received(count: number): Promise<void>;
  /** Closes the sockets, so that packets are refused; what it was asked stays. */
  down(): Promise<void>;
  /** Opens them again, on the same port. */
  up(): Promise<void>;
}

const RECEIVED_BOUND_MS = 5000;
const PORT_TRIES = 20;

/** @example await using upstream = await startUpstream({ records: "www.example.org. 300 IN A 192.0.2.1" }); */
export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const { address = "127.0.0.1", listen = ["udp", "tcp"], tls, https } = options;
  const records = textRecords(options.records);
  const asked: Asked[] = [];
  const waiters = new Set<() => void>();
  const connections = { opened: 0, open: 0 };
  let script = toScript(options.script ?? {});

  const serve: Serve = (packet, transport, port) => {
    const query = readAsked(packet, transport, port);
    if (query === undefined) return undefined;
    const behaviour = script(query, asked.length);
    asked.push(query);
    for (const wake of waiters) wake();
    return { query, behaviour };
  };
  const open = async (port: number): Promise<readonly Closable[]> => {
    const opened: Closable[] = [];
    try {
      if (listen.includes("udp")) opened.push(await openUdp(address, port, records, serve));
      if (listen.includes("tcp"))
        opened.push(await openStream(createServer({ noDelay: true }), address, port, "tcp", records, serve, connections));
    } catch (error) {
      await Promise.all(opened.map((socket) => socket.close()));
      throw error;
    }
    return opened;
  };

  const [port, first] = await openSomewhere(options.port, open);
  let sockets = first;
  const secure = tls && (await openStream(createTlsServer({ ...tls, noDelay: true }), address, 0, "tls", records, serve, connections));
  const web = https && (await openHttps(https, address, records, serve, connections));
  const down = async (): Promise<void> => {
    await Promise.all(sockets.map((socket) => socket.close()));
    sockets = [];
  };
  return {
    address,
    port,
    tlsPort: secure?.port ?? 0,
    httpsPort: web?.port ?? 0,
    to: address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`,
    asked,
    connections,
    behave: (next) => void (script = toScript(next)),
    received: (count) => untilReceived(asked, count, waiters),
    down,
    async up() {
      if (sockets.length === 0) sockets = await open(port);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([down(), secure?.close(), web?.close()]);
    },
  };
}

function toScript(script: Script | Behaviour): Script {
  return typeof script === "function" ? script : () => script;
}

// UDP and TCP have one port.
async function openSomewhere(
  port: number | undefined,
  open: (port: number) => Promise<readonly Closable[]>,
): Promise<[number, readonly Closable[]]> {
  if (port !== undefined) return [port, await open(port)];
  for (let tries = 1; ; tries++) {
    const free = await freePort();
    try {
      return [free, await open(free)];
    } catch (error) {
      if (tries === PORT_TRIES) throw error;
    }
  }
}

function untilReceived(asked: readonly Asked[], count: number, waiters: Set<() => void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      waiters.delete(check);
      reject(new Error(`the upstream was asked ${asked.length} times in ${RECEIVED_BOUND_MS} ms, not ${count}`));
    }, RECEIVED_BOUND_MS);
    function check(): void {
      if (asked.length < count) return;
      clearTimeout(timer);
      waiters.delete(check);
      resolve();
    }
    waiters.add(check);
    check();
  });
}

interface Closable {
  readonly port: number;
  close(): Promise<void>;
}

async function openUdp(address: string, port: number, records: readonly TextRecord[], serve: Serve): Promise<Closable> {
  const family = address.includes(":") ? "udp6" : "udp4";
  const socket = createSocket(family);
  const stranger = createSocket(family);
  socket.on("message", (packet, from) => void answer(packet, from));
  await Promise.all([bound(socket, address, port), bound(stranger, address, 0)]);
  // A full buffer or a closed asker is the asker's business.
  for (const each of [socket, stranger]) each.on("error", () => {});

  async function answer(packet: Buffer, from: RemoteInfo): Promise<void> {
    const served = serve(packet, "udp", from.port);
    if (served === undefined) return;
    const { query, behaviour } = served;
    if (behaviour.silent === true) return;
    await behaviour.after;
    const message = answerTo(query, behaviour, records);
    for (const defect of behaviour.bad ?? []) send(defect === "stranger" ? stranger : socket, spoil(message, defect), from);
    send(socket, message, from);
  }
  return { port: socket.address().port, close: async () => void (await Promise.all([closed(socket), closed(stranger)])) };
}

function send(socket: UdpSocket, packet: Buffer, to: RemoteInfo): void {
  try {
    socket.send(packet, to.port, to.address, () => {});
  } catch {
    // closed meanwhile
  }
}

function bound(socket: UdpSocket, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address, port }, () => {
      socket.off("error", reject);
      resolve();
    });
  });
}

function closed(socket: UdpSocket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
}

async function openStream(
  server: Server,
  address: string,
  port: number,
  transport: "tcp" | "tls",
  records: readonly TextRecord[],
  serve: Serve,
  counts: { opened: number; open: number },
): Promise<Closable> {
  const sockets = new Set<Socket>();
  server.on(transport === "tls" ? "secureConnection" : "connection", (socket: Socket) => {
    counts.opened++;
    counts.open++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      counts.open--;
      sockets.delete(socket);
    });
    let received: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        void answer(socket, Buffer.from(received.subarray(2, end)));
        received = received.subarray(end);
      }
    });
  });
  server.on("tlsClientError", () => {}); // a client that does not trust us: what the test is about
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, resolve);
  });

  async function answer(socket: Socket, packet: Buffer): Promise<void> {
    const served = serve(packet, transport, socket.remotePort ?? 0);
    if (served === undefined) return;
    const { query, behaviour } = served;
    if (behaviour.reset === true) socket.destroy();
    if (behaviour.reset === true || behaviour.silent === true) return;
    await behaviour.after;
    const message = answerTo(query, behaviour, records);
    const messages = [...(behaviour.bad ?? []).map((defect) => spoil(message, defect)), message];
    socket.write(Buffer.concat(messages.flatMap((bytes) => [uint16s(bytes.length), bytes])));
    if (behaviour.end === true) socket.end();
  }
  const at = server.address();
  return {
    port: typeof at === "object" && at !== null ? at.port : 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
