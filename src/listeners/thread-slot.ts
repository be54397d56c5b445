// Keeps one listener thread running. A thread that waits in the kernel can't be ended from outside: it is told to stop
// by a word that it reads after each wait, at most one receive timeout later, and only a deaf one is terminated. One that
// ends by itself, or whose loop stands still, is replaced; its sockets stay open meanwhile, so that packets wait.

import type { Worker } from "node:worker_threads";
import type { Log } from "../log.ts";
import type { SharedFront } from "../front.ts";
import { startWorker } from "../threads.ts";
import type { Fold } from "./batch-metrics.ts";
import {
  createThreadData,
  HEARTBEAT,
  RECEIVE_TIMEOUT_MS,
  Signals,
  STOP,
  type Signal,
  type ThreadData,
  type ThreadMemories,
  type ThreadMemory,
  type ThreadSocket,
} from "./batch-shared.ts";
import { within } from "./bind.ts";
import type { ServedBy } from "./listener.ts";
import type { Handover, Misses, ReplyPoint } from "./misses.ts";
import { LONGEST_PAUSE_MS, RestartPause } from "./restart-pause.ts";
import type { UdpSocket } from "./udp-socket.ts";

/** What answers at an address; without share() the main thread answers everything. */
export type AnsweredBy = Pick<ServedBy, "responder"> & Partial<ServedBy>;

/** An address that the thread serves. */
export interface Served extends ReplyPoint {
  /** From the next thread on. */
  readonly by: AnsweredBy;
  received: number;
  socketOf(thread: number): UdpSocket;
}

export interface SlotOptions {
  readonly index: number;
  readonly worker: URL;
  readonly log: Log;
  readonly misses: Misses;
  readonly fold: Fold;
  readonly memories: ThreadMemories;
  /** What the next thread shall serve. */
  served(): readonly Served[];
  /** There is none for some time: where other threads run, the sockets are closed, so that clients get to those. */
  release(): void;
  /** Opens sockets that release() closed. */
  reopen(): void;
}

const STOP_MS = 3 * RECEIVE_TIMEOUT_MS;
const STANDSTILL_MS = 3_000;
const START_MS = 10_000;
/** Clients are moved to other threads when theirs is gone for longer. */
const RELEASE_MS = 500;
/** A thread holds views of shared memory and little else. Without bounds its heap could take the process's memory with it. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 32 };

export class ThreadSlot {
  readonly name: string;
  /** How long the loop has stood still, in time in which the main thread was awake. */
  stillMs = 0;
  readonly #options: SlotOptions;
  #life: Life | undefined;
  readonly #lives = new Set<Life>(); // for a moment two, in replace()
  readonly #pause = new RestartPause();
  #isStopping = false;
  #restarting: NodeJS.Timeout | undefined;

  constructor(options: SlotOptions) {
    this.#options = options;
    this.name = `listener thread ${options.index + 1}`;
  }

  get isRunning(): boolean {
    return this.#life?.isRunning === true;
  }

  /** Resolves when the thread is in its loop; rejects if it never gets there. */
  async start(): Promise<void> {
    this.#life = this.#begin();
    await this.#life.running;
  }

  /** Starts a thread beside the one there is, and ends that. One call at a time. */
  async replace(): Promise<void> {
    if (this.#life === undefined || this.#isStopping) return; // the next start brings what is new
    const next = this.#begin();
    try {
      await next.running;
    } catch (error) {
      if (this.#isStopping) return;
      throw error;
    }
    const old = this.#life as Life | undefined; // none if it ended meanwhile
    this.#life = next;
    await old?.end();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restarting);
    await Promise.all(Array.from(this.#lives, (life) => life.end()));
  }

  /** The process ends: nothing can be waited for. */
  tellToStop(): void {
    for (const life of this.#lives) life.tellToStop();
  }

  /** Looks whether the loop goes on; called every `intervalMs`. */
  look(intervalMs: number): void {
    let hasBeaten = false;
    for (const life of this.#lives) if (life.look(intervalMs) && life === this.#life) hasBeaten = true;
    this.stillMs = hasBeaten ? 0 : this.stillMs + intervalMs;
  }

  #begin(): Life {
    const life = new Life(this.name, this.#options);
    this.#lives.add(life);
    void life.gone.then((reason) => this.#afterwards(life, reason));
    return life;
  }

  #afterwards(life: Life, reason: string): void {
    this.#lives.delete(life);
    if (this.#life === life) this.#life = undefined;
    if (this.#isStopping || this.#life !== undefined) return;
    const { log } = this.#options;
    // In replace() another one starts or ends, on the same sockets: what is to be done is known when that is.
    if (this.#lives.size > 0) return log.error(`${this.name} ended: ${reason}; it was being replaced`);
    const pauseMs = this.#pause.next(life.ageMs);
    log.error(`${this.name} ended: ${reason}; starting it again ${pauseMs === 0 ? "at once" : `in ${pauseMs / 1000} s`}`);
    if (pauseMs > RELEASE_MS) this.#options.release();
    this.#restarting = setTimeout(() => this.#restart(), pauseMs);
  }

  #restart(): void {
    try {
      this.#options.reopen();
      this.#life = this.#begin();
      // What keeps it from running is told in #afterwards().
      this.#life.running.catch(() => {});
    } catch (error) {
      const pause = `in ${LONGEST_PAUSE_MS / 1000} s`;
      this.#options.log.error(`${this.name} can't be started, again ${pause}: ${error instanceof Error ? error.message : String(error)}`);
      this.#restarting = setTimeout(() => this.#restart(), LONGEST_PAUSE_MS);
    }
  }
}

// One thread, from its start to its end.
class Life {
  /** Rejects when it ends before. */
  readonly running: Promise<void>;
  /** Why it ended. */
  readonly gone: Promise<string>;
  isRunning = false;
  readonly #name: string;
  readonly #options: SlotOptions;
  readonly #served: readonly Served[];
  readonly #by: readonly AnsweredBy[];
  readonly #fronts = new Map<() => SharedFront, SharedFront>();
  readonly #memory: ThreadMemory;
  readonly #data: ThreadData;
  readonly #handover: Handover;
  readonly #worker: Worker;
  readonly #startedMs = performance.now();
  #beat = 0;
  #stillMs = 0;
  #reason: string | undefined;
  #ending: Promise<void> | undefined;

  constructor(name: string, options: SlotOptions) {
    this.#name = name;
    this.#options = options;
    this.#served = options.served();
    this.#by = this.#served.map(({ by }) => by);
    let fronts: SharedFront[];
    try {
      for (const { share } of this.#by) if (share !== undefined && !this.#fronts.has(share)) this.#fronts.set(share, share());
      fronts = [...this.#fronts.values()];
      const sockets = this.#sockets(fronts);
      this.#memory = options.memories.take();
      this.#data = createThreadData(sockets, fronts, this.#memory);
    } catch (error) {
      this.#unshare();
      throw error;
    }
    this.#handover = { data: this.#data, points: this.#served, responders: this.#by.map(({ responder }) => responder) };
    options.misses.add(this.#handover);
    options.fold.add(this.#data.counters, (socket, packets) => ((this.#served[socket] as Served).received += packets));
    try {
      this.#worker = startWorker(options.worker, {
        name: `ndots-udp-${options.index + 1}`,
        workerData: this.#data,
        transferList: fronts.map(({ table }) => table.updates),
        resourceLimits: RESOURCE_LIMITS,
      });
    } catch (error) {
      this.#clearUp(); // the system has no thread left
      throw error;
    }
    this.gone = new Promise((resolve) => {
      this.#worker.on(
        "error",
        (error: unknown) => (this.#reason ??= error instanceof Error ? (error.stack ?? error.message) : String(error)),
      );
      this.#worker.on("exit", (code) => {
        this.#clearUp();
        resolve(this.#reason ?? `exit code ${code}`);
      });
    });
    this.running = new Promise((resolve, reject) => {
      this.#worker.on("message", (signal: Signal) => {
        if (signal === Signals.RUNNING) {
          this.isRunning = true;
          resolve();
        } else this.#onSignal(signal);
      });
      void this.gone.then((reason) => reject(new Error(`${name} did not start: ${reason}`)));
    });
  }

  get ageMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Whether its loop has gone round since the last look. Ends it if that is long ago. */
  look(intervalMs: number): boolean {
    const beat = Atomics.load(this.#data.control, HEARTBEAT);
    const hasBeaten = beat !== this.#beat;
    this.#beat = beat;
    this.#stillMs = hasBeaten ? 0 : this.#stillMs + intervalMs;
    // Some more looks than the time needs: the first may have come late, or many at once after the machine slept.
    const boundMs = this.isRunning ? STANDSTILL_MS : START_MS;
    if (this.#stillMs > boundMs) void this.end(`its loop stood still for ${boundMs / 1000} s`);
    return hasBeaten;
  }

  tellToStop(): void {
    Atomics.store(this.#data.control, STOP, 1);
  }

  /** Ends it by the protocol; resolves when it has gone. */
  end(reason?: string): Promise<void> {
    this.#reason ??= reason;
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    this.tellToStop();
    const gone = this.gone.then(() => {});
    await within(gone, STOP_MS);
    await this.#worker.terminate();
    await gone;
  }

  #onSignal(signal: Signal): void {
    if (typeof signal === "number") this.#options.misses.wake(signal);
    else this.#options.log.error(`${this.#name}: ${signal.fault}`);
  }

  #clearUp(): void {
    this.isRunning = false;
    this.#options.misses.remove(this.#handover);
    this.#options.fold.remove(this.#data.counters);
    this.#options.memories.give(this.#memory);
    this.#unshare();
  }

  #unshare(): void {
    for (const { share, unshare } of this.#by) {
      const front = share === undefined ? undefined : this.#fronts.get(share);
      if (share === undefined || front === undefined) continue;
      this.#fronts.delete(share);
      unshare?.(front);
    }
  }

  #sockets(fronts: readonly SharedFront[]): ThreadSocket[] {
    return this.#served.map((address, index) => {
      const { fd, bound, hasPacketInfo } = address.socketOf(this.#options.index);
      const share = this.#by[index]?.share;
      const front = share === undefined ? undefined : this.#fronts.get(share);
      return { fd, hasPacketInfo, port: bound.port, front: front === undefined ? -1 : fronts.indexOf(front) };
    });
  }
}
