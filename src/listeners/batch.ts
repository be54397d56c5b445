// Serves UDP on Linux with threads that wait in the kernel for many packets at a time and answer them from shared memory.
// Called by listening.ts where native.ts finds what it needs; udp.ts takes its place elsewhere. This file opens sockets and
// says which listener has which; thread-slot.ts keeps a thread running, misses.ts answers what the threads can't.

import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { formatAddress, listenError, within } from "./bind.ts";
import { Address, type BatchAddress } from "./batch-address.ts";
import { createFold } from "./batch-metrics.ts";
import { ThreadMemories } from "./batch-shared.ts";
import type { ListenAddress, Listener, ListenerOptions } from "./listener.ts";
import { readLast } from "./last-read.ts";
import { Misses } from "./misses.ts";
import type { Native } from "./native.ts";
import { warnOfSmallBuffer } from "./receive-buffer.ts";
import { ThreadSlot, type AnsweredBy } from "./thread-slot.ts";
import { UdpSockets } from "./udp-socket.ts";

/** Promised answers at one time; behind them packets are dropped. */
const MAX_PENDING = 4096;
/** How often the threads' loops are looked at and their counters added up. */
const LOOK_MS = 250;
/** Until threads of another configuration are tried again. */
const RETRY_MS = 1000;

/** Threads that serve any number of addresses. */
export interface BatchEngine {
  /** As many as were asked for, or could be started by resize(). */
  readonly threads: number;
  /** start() opens the sockets; packets wait in the kernel until run(). */
  listener(options: BatchAddress): Listener;
  /** Starts the threads; resolves when each is in its loop. */
  run(): Promise<void>;
  /**
   * Replaces each thread by one that calls share() anew. The old one answers until the new one does. Calls that come before
   * it begins, as those of one turn, are one.
   */
  refresh(): Promise<void>;
  /** So many threads from now on. What waits for one that ends is answered. Where one can't be started, the log says so, and those there are go on. */
  resize(threads: number): Promise<void>;
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
  const { native, log, metrics, maxPending = MAX_PENDING } = options;
  const worker = options.worker ?? new URL("./batch-worker", import.meta.url);
  const sockets = new UdpSockets(native);
  const misses = new Misses(native, maxPending);
  const memories = new ThreadMemories();
  const addresses: Address[] = [];
  const fold = createFold(metrics, (errno) => native.errorName(errno));
  const shared = { native, misses, fold, memories };
  fold.add(misses.counters);
  const slots = Array.from({ length: options.threads }, (_, index) => createSlot(index));
  let isRun = false;
  let looking: NodeJS.Timeout | undefined;
  let stopped: Promise<void> | undefined;
  let onStopping = (): void => {};
  const isStopping = new Promise<void>((resolve) => (onStopping = resolve));
  let changing: Promise<void> = Promise.resolve();
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

  let requested: Promise<void> | undefined; // has not begun
  let retrying: Promise<void> | undefined;
  const engine: BatchEngine = {
    get threads() {
      return slots.length;
    },
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
      requested ??= inTurn(replaceAll);
      return requested;
    },
    resize: (threads) => inTurn(() => setThreads(threads)),
    standingStill: (overMs) => slots.find((slot) => slot.stillMs > overMs)?.name,
    stop(graceMs) {
      stopped ??= close(graceMs);
      return stopped;
    },
  };
  return engine;

  // What starts and ends threads is done one after the other.
  function inTurn(change: () => Promise<void>): Promise<void> {
    const changed = changing.then(change);
    changing = changed.catch(() => {}); // the caller's
    return changed;
  }

  function createSlot(index: number): ThreadSlot {
    return new ThreadSlot({
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
    });
  }

  async function setThreads(count: number): Promise<void> {
    while (slots.length < count && stopped === undefined) {
      const index = slots.length;
      const slot = createSlot(index);
      slots.push(slot);
      try {
        for (const address of addresses) address.open(index);
        if (isRun) await slot.start();
      } catch (error) {
        if (stopped !== undefined) return;
        log.error(`${slot.name} can't be started, ${index} ${index === 1 ? "goes" : "go"} on: ${reasonOf(error)}`);
        return endLast();
      }
    }
    while (slots.length > count && stopped === undefined) await endLast();
  }

  async function endLast(): Promise<void> {
    const slot = slots.at(-1);
    await slot?.stop();
    if (stopped !== undefined) return; // closes all
    slots.pop();
    closeSockets(slots.length, addresses);
  }

  async function replaceAll(): Promise<void> {
    requested = undefined;
    for (const slot of slots) await slot.replace();
  }

  // A thread that can't be started now may be later: until then the old one answers from what it has.
  async function replaceAtLast(): Promise<void> {
    while (stopped === undefined) {
      try {
        return await engine.refresh();
      } catch (error) {
        await (retrying ??= pause(error));
      }
    }
    return stopped;
  }

  function pause(error: unknown): Promise<void> {
    log.error(`listener threads answer as they were configured before: ${reasonOf(error)}; they are replaced in ${RETRY_MS / 1000} s`);
    return within(isStopping, RETRY_MS).finally(() => (retrying = undefined));
  }

  function look(): void {
    for (const slot of slots) slot.look(LOOK_MS);
    fold.run();
  }

  async function close(graceMs: number): Promise<void> {
    onStopping();
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
    const retired = of.flatMap((point) => {
      const socket = point.retire(index);
      return socket === undefined ? [] : [{ socket, point }];
    });
    if (isRun) readLast(retired, shared);
    for (const { socket, point } of retired) point.discard(socket);
  }

  function createListener(options: BatchAddress): Listener {
    let address: Address | undefined;
    const at: ListenAddress = { address: options.address, port: options.port };
    let by: AnsweredBy = options;
    let closing: Promise<void> | undefined;
    return {
      transport: "udp",
      async start() {
        const opened = new Address({ ...at, ...by }, sockets);
        await opened.bind(addresses);
        opened.openAll(slots.length);
        opened.by = by;
        addresses.push((address = opened));
        warnOfSmallBuffer(log, opened.bound, opened.receiveBufferBytes);
        if (!isRun) return;
        try {
          await engine.refresh();
        } catch (error) {
          await leave(opened, 0).catch(() => {}); // its sockets stay while a thread reads them
          throw listenError("udp", opened.bound, error);
        }
      },
      get bound() {
        return address?.bound ?? at;
      },
      get received() {
        fold.run();
        return address?.received ?? 0;
      },
      serve(served) {
        by = served;
        if (address === undefined) return Promise.resolve();
        address.by = served;
        return isRun ? replaceAtLast() : Promise.resolve();
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

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
    serve: (served) => listener.serve(served),
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
