// Serves UDP through node:dgram, wherever Node runs. Called by listening.ts; the batch listener takes its place where it can.
// One socket an address; nothing queues here but answers that are still worked out, and those are bounded. A reply
// through the wildcard leaves from the address that the kernel's routes choose: node:dgram can't say which was asked.

import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import type { Labels } from "../metrics.ts";
import { bindAddress, codeOf, plainAddress, within } from "./bind.ts";
import type { ListenAddress, Listener, ListenerOptions } from "./listener.ts";
import { ownAddresses } from "./own-addresses.ts";
import { RECEIVE_BUFFER_BYTES, warnOfSmallBuffer } from "./receive-buffer.ts";
import { sourceDefect, type SourceDefect } from "./source-policy.ts";

/** Answers that may be worked out, or wait for the socket's send buffer, at one time; behind them packets are dropped. */
const MAX_PENDING = 4096;

export interface UdpOptions extends ListenerOptions {
  readonly maxPending?: number;
}

export function udpListener(options: UdpOptions): Listener {
  const { address: host, port, log, maxPending = MAX_PENDING } = options;
  let { responder } = options;
  const dropped = options.metrics.counter("ndots_dropped_packets_total", "Packets that got no answer, by reason.");
  const io = new Exchange(MAX_MESSAGE_BYTES);
  io.transport = "udp";
  let socket: Socket | undefined;
  let bound: ListenAddress = { address: host, port };
  let isOwnAddress: (address: string) => boolean;
  let received = 0;
  let answering = 0; // promised answers
  let sending = 0; // handed to the socket
  let stopping: Promise<void> | undefined;
  let onIdle: (() => void) | undefined;

  return {
    transport: "udp",
    async start() {
      socket = await bindAddress("udp", bound, (address) => bindSocket(address, port));
      const own = socket.address();
      bound = { address: own.address, port: own.port };
      io.localAddress = own.address;
      io.localPort = own.port;
      isOwnAddress = ownAddresses(own.address);
      widen(socket);
      socket.on("message", onMessage);
      // Without a listener an error would end the process. None is fatal: ICMP's come only to connected sockets.
      socket.on("error", (error) => countFailure(error));
    },
    get bound() {
      return bound;
    },
    get received() {
      return received;
    },
    serve(served) {
      ({ responder } = served);
      return Promise.resolve();
    },
    stop(graceMs) {
      stopping ??= close(graceMs);
      return stopping;
    },
  };

  // The hot path: 7 µs of it are node:dgram's. A packet costs what dgram allocates, and one view of Buffer's pool for its answer.
  function onMessage(packet: Buffer, from: RemoteInfo): void {
    received++;
    const { port } = from;
    const address = plainAddress(from.address);
    const defect = sourceDefect(address, port);
    if (defect !== undefined) return dropped.add(REASONS[defect]);
    if (port === bound.port && isOwnAddress(address)) return dropped.add(REASONS.source_own);
    if (stopping !== undefined) return dropped.add(REASONS.stopping);
    if (answering + sending >= maxPending) return dropped.add(REASONS.overload);
    io.in = packet;
    io.inAt = 0;
    io.inEnd = packet.length;
    io.outAt = 0;
    io.family = address === from.address && from.family === "IPv6" ? 6 : 4;
    io.remoteAddress = address;
    io.remotePort = port;
    io.receivedAtMs = performance.now();
    const answer = responder.respond(io);
    if (typeof answer === "number") {
      if (answer > 0) send(copyOf(io.out, answer), port, from.address);
      return;
    }
    answering++;
    void answer.then((bytes) => {
      answering--;
      if (bytes !== undefined) send(bytes, port, from.address);
      else if (stopping !== undefined) checkIdle();
    });
  }

  function send(bytes: Uint8Array, port: number, address: string): void {
    sending++;
    try {
      (socket as Socket).send(bytes, port, address, onSent);
    } catch (error) {
      onSent(error as Error);
    }
  }

  // One function for all sends, so that none allocates a closure.
  function onSent(error: Error | null): void {
    sending--;
    if (error !== null) countFailure(error);
    if (stopping !== undefined) checkIdle();
  }

  // Counted and forgotten: the client asks again, and a retry here would feed an overload.
  function countFailure(error: unknown): void {
    dropped.add({ reason: `send_${(codeOf(error) ?? "error").toLowerCase()}` });
  }

  function checkIdle(): void {
    if (answering + sending === 0) onIdle?.();
  }

  async function close(graceMs: number): Promise<void> {
    if (socket === undefined) return;
    const open = socket;
    if (answering + sending > 0) await within(new Promise((resolve) => (onIdle = resolve)), graceMs);
    await new Promise<void>((resolve) => open.close(resolve));
  }

  function widen(open: Socket): void {
    let granted = 0;
    try {
      open.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      granted = open.getRecvBufferSize();
    } catch {
      // Some systems refuse what is over their limit instead.
    }
    warnOfSmallBuffer(log, bound, granted);
  }
}

type DropReason = SourceDefect | "source_own" | "stopping" | "overload";
// Made once: labels of a hot counter are not built for each packet.
const REASONS: Readonly<Record<DropReason, Labels>> = {
  source_port_zero: { reason: "source_port_zero" },
  source_port_reflector: { reason: "source_port_reflector" },
  source_unspecified: { reason: "source_unspecified" },
  source_broadcast: { reason: "source_broadcast" },
  source_multicast: { reason: "source_multicast" },
  source_own: { reason: "source_own" },
  stopping: { reason: "stopping" },
  overload: { reason: "overload" },
};

function bindSocket(host: string, port: number): Promise<Socket> {
  const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4", ipv6Only: false, lookup: sameAddress });
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once("error", onError);
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off("error", onError);
      resolve(socket);
    });
  });
}

// dgram looks up every destination; ours are addresses already, and dns.lookup() would cost each reply a turn of the loop.
function sameAddress(address: string, _family: unknown, callback: (error: null, address: string, family: number) => void): void {
  callback(null, address, 0);
}

// The answer as bytes of their own: dgram may keep them until the socket takes them.
function copyOf(out: Uint8Array, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let index = 0; index < length; index++) bytes[index] = out[index] as number;
  return bytes;
}
