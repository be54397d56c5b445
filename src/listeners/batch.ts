// Serves UDP on Linux with threads that wait in the kernel for many packets at a time and answer them from shared memory.
// Called by listening.ts where native.ts finds what it needs; udp.ts takes its place elsewhere. This file opens sockets and
// says which listener has which; thread-slot.ts keeps a thread running, misses.ts answers what the threads can't.

import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Responder } from "../respond.ts";
import type { SharedFront } from "../front.ts";
import { bindAddress, listenError, openBeside, within, type Neighbour, formatAddress } from "./bind.ts";
import { createFold } from "./batch-metrics.ts";
import { ThreadMemories } from "./batch-shared.ts";
import type { ListenAddress, Listener, ListenerOptions } from "./listener.ts";
import { readLast } from "./last-read.ts";
import { Misses, type ReplyPoint } from "./misses.ts";
import type { Native } from "./native.ts";
import { ownAddresses } from "./own-addresses.ts";
import { warnOfSmallBuffer } from "./receive-buffer.ts";
import { ThreadSlot, type Served } from "./thread-slot.ts";
import { UdpSockets, type UdpSocket } from "./udp-socket.ts";

/** Promised answers at one time; behind them packets are dropped. */
const MAX_PENDING = 4096;
/** How often the threads' loops are looked at and their counters added up. */
const LOOK_MS = 250;

export interface BatchAddress extends ListenAddress {
  readonly responder: Responder;
  /** What a thread needs to answer from the table: called for each start of a thread, once for all addresses that give the same function. */
  readonly share?: () => SharedFront;
  /** The thread that had it is gone. */
  readonly unshare?: (shared: SharedFront) => void;
}

/** Threads that serve any number of addresses. */
export interface BatchEngine {
  readonly threads: number;
  /** start() opens the sockets; packets wait in the kernel until run(). */
  listener(options: BatchAddress): Listener;
  /** Starts the threads; resolves when each is in its loop. */
  run(): Promise<void>;
  /** Replaces each thread by one that calls share() anew. The old one answers until the new one does. */
  refresh(): Promise<void>;
  /** The name of a thread whose loop has stood still for longer. */
  standingStill(overMs: number): string | undefined;
  /** Stops everything; the same as stopping every listener. */
  stop(graceMs: number): Promise<void>;
}

export interface BatchEngineOptions {
  readonly native: Native;
  readonly threads: number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly maxPending?: number;
  /** The threads' module without its extension; tests give one that fails. */
  readonly worker?: URL;
}

export function createBatchEngine(options: BatchEngineOptions): BatchEngine {
  const { native, threads, log, metrics, maxPending = MAX_PENDING } = options;
  const worker = options.worker ?? new URL("./batch-worker", import.meta.url);
  const sockets = new UdpSockets(native);
  const misses = new Misses(native, maxPending);
  const memories = new ThreadMemories();
  const addresses: Address[] = [];
  const fold = createFold(metrics, (errno) => native.errorName(errno));
  const shared = { native, misses, fold, memories };
  fold.add(misses.counters);
  const slots = Array.from(
    { length: threads },
    (_, index) =>
      new ThreadSlot({
        index,
        worker,
        log,
        misses,
        fold,
        memories,
        served: () => addresses.filter(({ isLeaving }) => !isLeaving),
        release: () => {
          if (slots.some((slot) => slot.isRunning)) for (const address of addresses) address.close(index);
        },
        reopen: () => {
          for (const address of addresses) address.open(index);
        },
      }),
  );
  let isRun = false;
  let looking: NodeJS.Timeout | undefined;
  let stopped: Promise<void> | undefined;
  let refreshing: Promise<void> = Promise.resolve();
  const onExit = (): void => {
    for (const slot of slots) slot.tellToStop();
  };

  metrics.register({
    name: "ndots_kernel_dropped_packets_total",
    help: "Packets that found the receive buffer full, by address.",
    type: "counter",
    *collect() {
      for (const address of addresses) yield { labels: { address: formatAddress(address) }, value: address.kernelDrops() };
    },
  });

  const engine: BatchEngine = {
    threads,
    listener: (address) => createListener(address),
    async run() {
      isRun = true;
      atExit(onExit);
      looking = setInterval(look, LOOK_MS).unref();
      try {
        await Promise.all(slots.map((slot) => slot.start()));
      } catch (error) {
        await engine.stop(0);
        throw error;
      }
    },
    refresh() {
      const refreshed = refreshing.then(replaceAll);
      refreshing = refreshed.catch(() => {}); // the caller's
      return refreshed;
    },
    standingStill: (overMs) => slots.find((slot) => slot.stillMs > overMs)?.name,
    stop(graceMs) {
      stopped ??= close(graceMs);
      return stopped;
    },
  };
  return engine;

  async function replaceAll(): Promise<void> {
    for (const slot of slots) await slot.replace();
  }

  function look(): void {
    for (const slot of slots) slot.look(LOOK_MS);
    fold.run();
  }

  async function close(graceMs: number): Promise<void> {
    // A thread's sockets go when it has gone: its clients get to the others, and the last socket of an address waits for
    // the answers that are promised.
    await Promise.all(
      slots.map((slot, index) =>
        slot.stop().then(() =>
          closeSockets(
            index,
            addresses.filter(({ openSockets }) => openSockets > 1),
          ),
        ),
      ),
    );
    await within(misses.idle(), graceMs);
    misses.stop();
    clearInterval(looking);
    atExitNoMore(onExit);
    for (const slot of slots.keys()) closeSockets(slot, addresses);
    addresses.splice(0);
    fold.run();
  }

  function closeSockets(index: number, of: readonly Address[]): void {
    if (isRun)
      readLast(
        of.flatMap((point) => (point.hasSocket(index) ? [{ socket: point.socketOf(index), point }] : [])),
        shared,
      );
    for (const address of of) address.close(index);
  }

  function createListener(options: BatchAddress): Listener {
    let address: Address | undefined;
    let closing: Promise<void> | undefined;
    return {
      transport: "udp",
      async start() {
        const opened = new Address(options, sockets, threads);
        await opened.bind(addresses);
        addresses.push((address = opened));
        warnOfSmallBuffer(log, opened.bound, opened.receiveBufferBytes);
        if (isRun) await engine.refresh();
      },
      get bound() {
        return address?.bound ?? { address: options.address, port: options.port };
      },
      get received() {
        fold.run();
        return address?.received ?? 0;
      },
      stop(graceMs) {
        closing ??= address === undefined ? Promise.resolve() : leave(address, graceMs);
        return closing;
      },
    };
  }

  async function leave(address: Address, graceMs: number): Promise<void> {
    address.isLeaving = true;
    await Promise.resolve(); // others are stopped in the same breath
    if (isRun && addresses.every(({ isLeaving }) => isLeaving)) return engine.stop(graceMs);
    // Where a thread can't be replaced the old one goes on reading: the sockets stay until engine.stop() has ended it.
    if (isRun) await engine.refresh();
    if (stopped !== undefined) return stopped;
    addresses.splice(addresses.indexOf(address), 1);
    address.closeAll();
  }
}

/** One address with an engine of its own. */
export function batchListener(
  options: ListenerOptions & Omit<BatchEngineOptions, "threads"> & BatchAddress & { readonly threads?: number },
): Listener {
  const engine = createBatchEngine({ ...options, threads: options.threads ?? 1 });
  const listener = engine.listener(options);
  return {
    transport: "udp",
    async start() {
      await listener.start();
      await engine.run();
    },
    get bound() {
      return listener.bound;
    },
    get received() {
      return listener.received;
    },
    stop: (graceMs) => listener.stop(graceMs),
  };
}

// process.exit() would wait for ever for a thread that waits in the kernel: all are told to stop. One hook for any number of
// engines, as Node warns of many.
const exitHooks = new Set<() => void>();

function runExitHooks(): void {
  for (const hook of exitHooks) hook();
}

function atExit(hook: () => void): void {
  if (exitHooks.size === 0) process.on("exit", runExitHooks);
  exitHooks.add(hook);
}

function atExitNoMore(hook: () => void): void {
  exitHooks.delete(hook);
  if (exitHooks.size === 0) process.off("exit", runExitHooks);
}

// An address and its sockets, one for each thread.
class Address implements ReplyPoint, Served, Neighbour {
  readonly responder: Responder;
  readonly share: (() => SharedFront) | undefined;
  readonly unshare: ((shared: SharedFront) => void) | undefined;
  received = 0;
  isLeaving = false;
  #bound: ListenAddress;
  readonly #sockets: UdpSockets;
  readonly #threads: number;
  readonly #open: (UdpSocket | undefined)[] = [];
  #isOwn: (address: string) => boolean = () => false;
  #closedDrops = 0;

  constructor(options: BatchAddress, sockets: UdpSockets, threads: number) {
    this.responder = options.responder;
    this.share = options.share;
    this.unshare = options.unshare;
    this.#bound = { address: options.address, port: options.port };
    this.#sockets = sockets;
    this.#threads = threads;
  }

  /** Opens a socket for each thread. The first is bound alone, so that an address in use is refused. */
  async bind(others: readonly Address[]): Promise<void> {
    const { port } = this.#bound;
    const first = await bindAddress("udp", this.#bound, async (host) =>
      openBeside(host, port, others, (sharing) => this.#sockets.open(host, port, sharing)),
    );
    this.#open[0] = first;
    this.#bound = first.bound;
    this.#isOwn = ownAddresses(first.bound.address);
    try {
      if (this.#threads > 1) this.#sockets.share(first);
      for (let thread = 1; thread < this.#threads; thread++) this.open(thread);
    } catch (error) {
      this.closeAll();
      throw listenError("udp", first.bound, error);
    }
  }

  get bound(): ListenAddress {
    return this.#bound;
  }

  get address(): string {
    return this.#bound.address;
  }

  get port(): number {
    return this.#bound.port;
  }

  get fd(): number | undefined {
    return this.#open.find((socket) => socket !== undefined)?.fd;
  }

  get receiveBufferBytes(): number {
    return this.#sockets.receiveBufferBytes(this.#open[0] as UdpSocket);
  }

  isOwnAddress(address: string): boolean {
    return this.#isOwn(address);
  }

  get openSockets(): number {
    return this.#open.filter((socket) => socket !== undefined).length;
  }

  hasSocket(thread: number): boolean {
    return this.#open[thread] !== undefined;
  }

  socketOf(thread: number): UdpSocket {
    return this.#open[thread] as UdpSocket;
  }

  open(thread: number): void {
    this.#open[thread] ??= this.#sockets.open(this.address, this.port, "shared");
  }

  close(thread: number): void {
    const socket = this.#open[thread];
    if (socket === undefined) return;
    this.#closedDrops += this.#sockets.drops(socket);
    this.#sockets.close(socket);
    this.#open[thread] = undefined;
  }

  closeAll(): void {
    for (let thread = 0; thread < this.#threads; thread++) this.close(thread);
  }

  kernelDrops(): number {
    return this.#open.reduce((sum, socket) => sum + (socket === undefined ? 0 : this.#sockets.drops(socket)), this.#closedDrops);
  }

  reusePort(): void {
    for (const socket of this.#open) if (socket !== undefined) this.#sockets.share(socket);
  }
}
