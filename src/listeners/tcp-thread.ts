// TCP for every address in one thread of its own (tcp-worker.ts), so that neither holds up the other: the main thread's work
// delays no table hit, and a thousand connections delay no UDP answer. The sockets are the main thread's: the thread is
// started with the first client and has duplicates, so that idle servers don't pay for it (10 MiB), and clients that come
// while it is replaced wait instead of being refused. Called by listening.ts.

import type { SharedFront } from "../front.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { bindAddress, listenError, openBeside, within, type Neighbour } from "./bind.ts";
import type { ListenAddress, Listener, ServedBy } from "./listener.ts";
import type { Native } from "./native.ts";
import { CLOSE_REASONS, type TcpLimits } from "./connection.ts";
import { closedCounter } from "./tcp-messages.ts";
import { RestartPause } from "./restart-pause.ts";
import { startRun, type Run } from "./tcp-run.ts";
import { TcpSockets, type TcpSocket } from "./tcp-socket.ts";
import { TCP_CLOSED, tcpListener, type TcpListener } from "./tcp.ts";

export interface TcpThread {
  listener(options: ThreadedTcpOptions): Listener;
  /** "TCP thread", if it has not worked for `overMs` or clients wait for it so long. */
  standingStill(overMs: number): string | undefined;
}

export interface ThreadedTcpOptions extends ListenAddress, ServedBy {}

export interface TcpThreadOptions {
  readonly native: Native;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "counter" | "register">;
  readonly limits?: Partial<TcpLimits>;
  /** The thread's module without its extension; tests give one that fails. */
  readonly worker?: URL;
}

/** An address that is listened on. */
interface Served extends ListenAddress {
  readonly id: number;
  readonly socket: TcpSocket;
  by: ServedBy;
  /** Until stop(). */
  isOpen: boolean;
  /** On the main thread, where no thread can be had. The socket is its own. */
  portable: TcpListener | undefined;
  isWindingDown: boolean;
  readonly received: Float64Array;
}

/** What a thread has of an address, until it says that it has stopped there or has ended. */
interface Lent {
  readonly to: Run;
  readonly of: Served;
  by: ServedBy;
  front: SharedFront;
  /** Posted to the thread, until it says that it answers from the first of them. */
  readonly next: Successor[];
  descriptor: number | undefined;
  /** The thread has the descriptor, and closes it. */
  isTaken: boolean;
  onBack(): void;
}

interface Successor extends Pick<Lent, "by" | "front"> {
  onServing(): void;
}

/** How long the first client waits at most, beyond the 50 ms that a thread takes to start. */
const WATCH_MS = 100;
/** So many threads in a row that never listened: the system gives none (RLIMIT_NPROC, a limit of pids, EMFILE). */
const VAIN_STARTS = 2;
/** For the thread's word that it has stopped, beyond the grace that it gives its clients. */
const REPLY_MS = 250;

export function createTcpThread({ native, log, metrics, limits = {}, worker = WORKER }: TcpThreadOptions): TcpThread {
  const sockets = new TcpSockets(native);
  const served = new Map<number, Served>();
  const lendings = new Map<number, Lent>();
  const closed = sharedNumbers(CLOSE_REASONS.length);
  const unobserved = sharedNumbers(1);
  registerClosed(metrics, closed);
  const logLost = metrics.counter("ndots_log_dropped_total", "Lines of the query log that were lost because too many came at once.");
  let lostBefore = 0;
  let run: Run | undefined;
  let watching: NodeJS.Timeout | undefined;
  let waitedMs = 0;
  let pauseMs = 0;
  const pause = new RestartPause();
  let vainStarts = 0;
  let isPortable = false;
  let lastId = 0;

  return {
    standingStill: (overMs) => ((run?.stillMs ?? waitedMs) > overMs ? "TCP thread" : undefined),
    listener(options) {
      const at: ListenAddress = { address: options.address, port: options.port };
      const received = sharedNumbers(1);
      let by: ServedBy = options;
      let own: Served | undefined;
      let stopping: Promise<void> | undefined;
      return {
        transport: "tcp",
        async start() {
          const socket = await bindAddress("tcp", at, async (host) =>
            openBeside(host, at.port, neighbours(), (sharing) => sockets.open(host, at.port, sharing)),
          );
          const id = ++lastId;
          own = { ...socket.bound, by, id, socket, isOpen: true, portable: undefined, isWindingDown: false, received };
          served.set(id, own);
          try {
            if (isPortable) await answerHere(own);
            else if (run === undefined) watch();
            else lend(run, own);
          } catch (error) {
            await stop(own, 0);
            throw listenError("tcp", socket.bound, error);
          }
        },
        get bound() {
          return own?.socket.bound ?? at;
        },
        get received() {
          return (received[0] as number) + (own?.portable?.received ?? 0);
        },
        async serve(served) {
          by = served;
          if (own !== undefined) await serve(own, served);
        },
        windDown() {
          if (own !== undefined) windDown(own);
        },
        stop(graceMs) {
          stopping ??= own === undefined ? Promise.resolve() : stop(own, graceMs);
          return stopping;
        },
      };
    },
  };

  function neighbours(): Neighbour[] {
    const open = [...served.values()].filter(({ isOpen }) => isOpen);
    return open.map(({ socket }) => ({ bound: socket.bound, reusePort: () => sockets.share(socket) }));
  }

  // The thread ends with its last address.
  async function stop(address: Served, graceMs: number): Promise<void> {
    address.isOpen = false;
    if (address.portable === undefined) sockets.close(address.socket);
    else await address.portable.stop(graceMs);
    const lent = lendings.get(address.id);
    if (lent !== undefined) {
      const back = new Promise<void>((resolve) => {
        lent.onBack = resolve;
      });
      lent.to.post({ kind: "stop", listener: address.id, graceMs });
      await within(back, graceMs + REPLY_MS); // a thread that takes longer keeps the table until then
    }
    served.delete(address.id);
    if (served.size === 0) {
      clearInterval(watching);
      const last = run;
      run = watching = undefined;
      if (last === undefined) return;
      await last.terminate();
      takeAllBack(last);
    }
  }

  // ── the thread's life ────────────────────────────────────────────────────────────────────────────────────

  // Until a client comes there is no thread.
  function watch(): void {
    watching ??= setInterval(() => {
      pauseMs -= WATCH_MS;
      const isWanted = [...served.values()].some(({ isOpen, socket }) => isOpen && sockets.hasClient(socket));
      waitedMs = isWanted ? waitedMs + WATCH_MS : 0;
      if (!isWanted || pauseMs > 0) return;
      clearInterval(watching);
      watching = undefined;
      begin();
    }, WATCH_MS);
  }

  function begin(): void {
    let begun: Run | undefined;
    vainStarts++;
    try {
      begun = run = startRun({
        limits,
        closed,
        unobserved,
        log,
        worker,
        responderOf: (listener) => served.get(listener)?.by.responder,
        onListening: (listener) => {
          const lent = lendings.get(listener);
          if (lent !== undefined) lent.isTaken = true;
          vainStarts = 0;
        },
        onServing: succeed,
        onStopped: takeBack,
        onLook: countLost,
        onEnd: (reason) => replace(reason, begun),
      });
      for (const address of served.values()) if (address.isOpen) lend(begun, address);
      waitedMs = 0;
    } catch (error) {
      // No descriptor, no memory. What it was given is its own until it has ended.
      if (begun === undefined) replace(String(error), begun);
      else void begun.terminate().then(() => replace(String(error), begun));
    }
  }

  function lend(to: Run, of: Served): void {
    const { id, socket, received } = of;
    const { by } = of;
    const lent: Lent = { to, of, by, front: by.share(), next: [], descriptor: undefined, isTaken: false, onBack: () => {} };
    const { front } = lent;
    lendings.set(id, lent);
    const descriptor = (lent.descriptor = sockets.duplicate(socket));
    const { times = {} } = by;
    to.post({ kind: "listen", listener: id, at: socket.bound, descriptor, front, times, received }, [front.table.updates]);
    if (of.isWindingDown) windDown(of);
  }

  // Where a thread reads the front of those before it has the new one first; without one nobody does.
  function serve(address: Served, by: ServedBy): Promise<void> {
    const lent = lendings.get(address.id);
    if (lent === undefined) {
      address.by = by;
      return address.portable?.serve(by) ?? Promise.resolve();
    }
    const front = by.share();
    lent.to.post({ kind: "serve", listener: address.id, front, times: by.times ?? {} }, [front.table.updates]);
    return new Promise((resolve) => lent.next.push({ by, front, onServing: resolve }));
  }

  function windDown(address: Served): void {
    address.isWindingDown = true;
    address.portable?.windDown();
    lendings.get(address.id)?.to.post({ kind: "windDown", listener: address.id });
  }

  function succeed(listener: number): void {
    const lent = lendings.get(listener);
    if (lent !== undefined) turnOver(lent);
  }

  function turnOver(lent: Lent): void {
    const next = lent.next.shift();
    if (next === undefined) return;
    lent.by.unshare(lent.front);
    lent.front = next.front;
    lent.of.by = lent.by = next.by;
    next.onServing();
  }

  function takeBack(listener: number): void {
    const lent = lendings.get(listener);
    if (lent === undefined) return;
    lendings.delete(listener);
    if (lent.descriptor !== undefined && !lent.isTaken) sockets.closeDuplicate(lent.of.socket, lent.descriptor);
    while (lent.next.length > 0) turnOver(lent);
    lent.by.unshare(lent.front);
    lent.onBack();
  }

  function takeAllBack(ended: Run | undefined): void {
    for (const [listener, { to }] of lendings) if (to === ended) takeBack(listener);
    countLost();
  }

  function replace(reason: string, ended: Run | undefined): void {
    takeAllBack(ended);
    if (run !== ended) return; // it ended with its last address
    run = undefined;
    if (vainStarts === VAIN_STARTS) return takeOver(reason);
    pauseMs = pause.next(ended === undefined ? 0 : performance.now() - ended.startedMs);
    const earliest = pauseMs === 0 ? "" : `, in ${pauseMs / 1000} s at the earliest`;
    log.error(`TCP thread: ${reason}; another one starts with the next client${earliest}`);
    watch();
  }

  // For good: a system that gives no thread now is not asked again by each client.
  function takeOver(reason: string): void {
    log.error(`TCP thread: ${reason}; the main thread answers TCP from now on`);
    isPortable = true;
    waitedMs = 0;
    for (const address of served.values()) {
      if (address.isOpen) answerHere(address).catch((error: unknown) => log.error(String(listenError("tcp", address.socket.bound, error))));
    }
  }

  async function answerHere(address: Served): Promise<void> {
    const {
      socket,
      by: { responder, times = {} },
    } = address;
    const counted = { counter: () => closedCounter(closed) };
    address.portable = tcpListener({ ...socket.bound, descriptor: socket.fd, responder, times, log, metrics: counted, limits });
    await address.portable.start();
    if (address.isWindingDown) windDown(address);
  }

  function countLost(): void {
    const lost = unobserved[0] as number;
    if (lost > lostBefore) logLost.add({}, lost - lostBefore);
    lostBefore = lost;
  }
}

const WORKER = new URL("tcp-worker", import.meta.url);

function sharedNumbers(length: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT));
}

function registerClosed(metrics: Pick<Metrics, "register">, closed: Float64Array): void {
  metrics.register({
    ...TCP_CLOSED,
    type: "counter",
    *collect() {
      for (const [index, reason] of CLOSE_REASONS.entries()) {
        const value = closed[index] as number;
        if (value > 0) yield { labels: { reason }, value };
      }
    },
  });
}
