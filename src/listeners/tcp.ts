// Serves TCP through node:net (RFC 7766, RFC 9210). Called by listening.ts or by a thread, tcp-worker.ts. This file accepts,
// caps and sweeps; tcp-connection.ts reads, answers and writes. One coarse timer looks at all connections: a timer
// each would cost every query two system calls' worth of time, and nobody minds a timeout that is 0.1 s early.

import { closeSync, openSync } from "node:fs";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import type { Metrics } from "../metrics.ts";
import type { Responder } from "../respond.ts";
import { bindAddress, codeOf, within } from "./bind.ts";
import type { ListenAddress, Listener, ListenerOptions } from "./listener.ts";
import { DEFAULT_TCP_LIMITS, TcpConnection, type CloseReason, type TcpLimits, type TcpService } from "./tcp-connection.ts";

/** Time, for tests to hold still. */
export interface SweepClock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `run` every `intervalMs` until the returned function is called; keeps no process alive. */
  every(intervalMs: number, run: () => void): () => void;
}

export interface TcpOptions extends Omit<ListenerOptions, "responder" | "metrics"> {
  readonly responder: Pick<Responder, "respond">;
  readonly metrics: Pick<Metrics, "counter">;
  readonly limits?: Partial<TcpLimits>;
  readonly clock?: SweepClock;
  /** The responder has enough to do: see TcpService. */
  readonly isBusy?: () => boolean;
  /** Of a socket that listens on the address already; it is closed with the listener. */
  readonly descriptor?: number;
}

export const TCP_CLOSED = { name: "ndots_tcp_closed_total", help: "TCP connections that the server closed, by reason." } as const;

/** What answers here needs no observers: a thread's are on the main thread. */
export interface TcpListener extends Listener {
  windDown(): void;
  serve(served: Pick<TcpOptions, "responder">): Promise<void>;
}

export function tcpListener(options: TcpOptions): TcpListener {
  // Nothing below may keep `options`: the responder that they name holds the first configuration's table.
  const { responder, descriptor, port, log, clock = SYSTEM_CLOCK, isBusy = never } = options;
  const limits: TcpLimits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
  const closed = options.metrics.counter(TCP_CLOSED.name, TCP_CLOSED.help);
  const connections = new Set<TcpConnection>();
  const perAddress = new Map<string, number>();
  // Room for answers that are ready together, so that they leave in one write.
  const io = new Exchange(OUTPUT_BYTES);
  io.transport = "tcp";
  const service: TcpService = {
    io,
    responder,
    limits,
    isWindingDown: false,
    received: 0,
    now: () => clock.now(),
    isBusy,
    onClosing: (reason) => closed.add({ reason }),
    onClosed: remove,
  };
  let server: Server | undefined;
  let bound: ListenAddress = { address: options.address, port };
  let stopSweeping: () => void = () => {};
  let stopping: Promise<void> | undefined;
  let lastProbeMs = 0;
  let lastWarningMs = Number.NEGATIVE_INFINITY;

  return {
    transport: "tcp",
    async start() {
      if (descriptor === undefined) {
        server = await bindAddress("tcp", bound, (host) => openServer({ host, port, exclusive: true }, accept));
        const address = server.address();
        if (address !== null && typeof address === "object") bound = { address: address.address, port: address.port };
      } else {
        server = await openServer({ fd: descriptor }, accept);
      }
      // What accept() fails with: it goes on by itself once there are descriptors again.
      server.on("error", (error) => warnOfExhaustion(codeOf(error) ?? error.message));
      stopSweeping = clock.every(SWEEP_MS, sweep);
    },
    get bound() {
      return bound;
    },
    get received() {
      return service.received;
    },
    serve(served) {
      service.responder = served.responder;
      return Promise.resolve();
    },
    windDown() {
      service.isWindingDown = true;
    },
    stop(graceMs) {
      stopping ??= close(graceMs);
      return stopping;
    },
  };

  function accept(socket: Socket): void {
    socket.on("error", ignore); // a reset or a broken pipe: "close" follows
    const { remoteAddress } = socket;
    if (remoteAddress === undefined || stopping !== undefined) return void socket.destroy();
    const fromAddress = perAddress.get(remoteAddress) ?? 0;
    if (fromAddress >= limits.connectionsPerAddress) {
      closed.add({ reason: "address_cap" satisfies CloseReason });
      return void socket.destroy();
    }
    if (connections.size >= limits.connections && !makeRoom()) {
      closed.add({ reason: "cap" satisfies CloseReason });
      return void socket.destroy();
    }
    perAddress.set(remoteAddress, fromAddress + 1);
    connections.add(new TcpConnection(socket, remoteAddress, bound, service));
  }

  // Closes the connection that has been idle longest, those that never asked first: clients that keep theirs open for
  // their next query lose it last.
  function makeRoom(): boolean {
    let choice: TcpConnection | undefined;
    for (const candidate of connections) {
      if (!candidate.isIdle) continue;
      const isBetter =
        choice === undefined || (candidate.hasAsked === choice.hasAsked ? candidate.idleSinceMs < choice.idleSinceMs : choice.hasAsked);
      if (isBetter) choice = candidate;
    }
    choice?.close("cap");
    return choice !== undefined;
  }

  function remove(connection: TcpConnection): void {
    if (!connections.delete(connection)) return;
    const left = (perAddress.get(connection.remoteAddress) ?? 1) - 1;
    if (left > 0) perAddress.set(connection.remoteAddress, left);
    else perAddress.delete(connection.remoteAddress);
  }

  function sweep(): void {
    const nowMs = clock.now();
    // What would be late at the next sweep is closed at this one.
    for (const connection of connections) connection.checkTimeouts(nowMs + SWEEP_MS);
    if (nowMs - lastProbeMs >= PROBE_MS) {
      lastProbeMs = nowMs;
      probeDescriptors();
    }
  }

  // libuv keeps one descriptor back to accept and close what comes when there are none, and says nothing about it.
  function probeDescriptors(): void {
    try {
      closeSync(openSync("/dev/null", "r"));
    } catch (error) {
      const code = codeOf(error);
      if (code === "EMFILE" || code === "ENFILE") warnOfExhaustion(code);
    }
  }

  function warnOfExhaustion(code: string): void {
    const nowMs = clock.now();
    if (nowMs - lastWarningMs < WARNING_MS) return;
    lastWarningMs = nowMs;
    log.error(
      `TCP ${bound.address} port ${bound.port}: can't accept connections (${code}), ${connections.size} are open; raise the limit of open files (ulimit -n)`,
    );
  }

  async function close(graceMs: number): Promise<void> {
    if (server === undefined) return;
    const open = server;
    const done = new Promise<void>((resolve) => open.close(() => resolve()));
    for (const connection of connections) connection.drain();
    await within(done, graceMs);
    for (const connection of connections) connection.destroy();
    await done;
    stopSweeping();
  }
}

const SWEEP_MS = 100;
const PROBE_MS = 1000;
/** At most one line in this time about descriptors. */
const WARNING_MS = 10_000;
/** Two answers of any size behind their lengths, or some hundred usual ones. */
const OUTPUT_BYTES = 2 * (2 + MAX_MESSAGE_BYTES);
/** Not yet accepted: a burst up to the cap must not wait for the clients' second SYN. */
export const BACKLOG = 1024;

const SYSTEM_CLOCK: SweepClock = {
  now: () => performance.now(),
  every: (intervalMs, run) => {
    const timer = setInterval(run, intervalMs).unref();
    return () => clearInterval(timer);
  },
};

function openServer(where: ListenOptions & { readonly fd?: number }, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where, backlog: BACKLOG }, () => {
      server.off("error", reject);
      resolve(server);
    });
  });
}

function ignore(): void {}

function never(): boolean {
  return false;
}
