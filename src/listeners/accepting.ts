// Accepts the connections of one address, caps them and sweeps them: what plain TCP (tcp.ts), TLS (tls.ts) and HTTPS
// (https.ts) have in common. What a connection does is its own business. One coarse timer looks at all connections: a timer
// each would cost every query two system calls' worth of time, and nobody minds a timeout that is 0.1 s early.

import { closeSync, openSync } from "node:fs";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { Log } from "../log.ts";
import { bindAddress, codeOf, within } from "./bind.ts";
import type { Connection, ConnectionService } from "./connection.ts";
import type { ListenAddress, Listener } from "./listener.ts";

/** Time, for tests to hold still. */
export interface SweepClock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `run` every `intervalMs` until the returned function is called; keeps no process alive. */
  every(intervalMs: number, run: () => void): () => void;
}

export interface AcceptingOptions extends ListenAddress {
  /** Of a socket that listens on the address already; it is closed with this. */
  readonly descriptor?: number | undefined;
  readonly log: Pick<Log, "error">;
  readonly clock?: SweepClock | undefined;
}

export type Connect = (socket: Socket, remoteAddress: string, bound: ListenAddress) => Connection;

export interface Accepting {
  start(): Promise<void>;
  readonly bound: ListenAddress;
  /** The connection has ended. */
  remove(connection: Connection): void;
  /** It goes on as another, on the same socket. */
  replace(before: Connection, after: Connection): void;
  stop(graceMs: number): Promise<void>;
}

export function createAccepting(
  { address, port, descriptor, log, clock = SYSTEM_CLOCK }: AcceptingOptions,
  service: Pick<ConnectionService, "limits" | "onClosing">,
  connect: Connect,
): Accepting {
  const connections = new Set<Connection>();
  const perAddress = new Map<string, number>();
  let server: Server | undefined;
  let bound: ListenAddress = { address, port };
  let stopSweeping: () => void = () => {};
  let stopping: Promise<void> | undefined;
  let lastProbeMs = 0;
  let lastWarningMs = Number.NEGATIVE_INFINITY;

  return {
    async start() {
      if (descriptor === undefined) {
        server = await bindAddress("tcp", bound, (host) => openServer({ host, port, exclusive: true }, accept));
        const opened = server.address();
        if (opened !== null && typeof opened === "object") bound = { address: opened.address, port: opened.port };
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
    remove,
    replace(before, after) {
      if (connections.delete(before)) connections.add(after);
      else after.destroy();
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
    const most = service.limits;
    const fromAddress = perAddress.get(remoteAddress) ?? 0;
    if (fromAddress >= most.connectionsPerAddress) {
      service.onClosing("address_cap");
      return void socket.destroy();
    }
    if (connections.size >= most.connections && !makeRoom()) {
      service.onClosing("cap");
      return void socket.destroy();
    }
    perAddress.set(remoteAddress, fromAddress + 1);
    connections.add(connect(socket, remoteAddress, bound));
  }

  // Closes the connection that has been idle longest, those that never asked first: clients that keep theirs open for
  // their next query lose it last.
  function makeRoom(): boolean {
    let choice: Connection | undefined;
    for (const candidate of connections) {
      if (!candidate.isIdle) continue;
      const isBetter =
        choice === undefined || (candidate.hasAsked === choice.hasAsked ? candidate.idleSinceMs < choice.idleSinceMs : choice.hasAsked);
      if (isBetter) choice = candidate;
    }
    choice?.close("cap");
    return choice !== undefined;
  }

  function remove(connection: Connection): void {
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

/** A listener of accepted connections. */
export function acceptingListener<Served>(
  transport: Listener["transport"],
  accepting: Accepting,
  service: ConnectionService,
  serve: (served: Served) => Promise<void>,
): Omit<Listener, "serve"> & { serve(served: Served): Promise<void>; windDown(): void } {
  return {
    transport,
    serve,
    start: () => accepting.start(),
    get bound() {
      return accepting.bound;
    },
    get received() {
      return service.received;
    },
    windDown() {
      service.isWindingDown = true;
    },
    stop: (graceMs) => accepting.stop(graceMs),
  };
}

const SWEEP_MS = 100;
const PROBE_MS = 1000;
/** At most one line in this time about descriptors. */
const WARNING_MS = 10_000;
/** Not yet accepted: a burst up to the cap must not wait for the clients' second SYN. */
export const BACKLOG = 1024;

export const SYSTEM_CLOCK: SweepClock = {
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

/** For the errors of sockets that "close" tells of, too. */
export function ignore(): void {}
