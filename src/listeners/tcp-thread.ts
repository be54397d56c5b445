// TCP for every address in one thread of its own (tcp-worker.ts), so that neither holds up the other: the main thread's work
// delays no table hit, and a thousand connections delay no UDP answer. The sockets are the main thread's: the thread is
// started with the first client and has duplicates, so that idle servers don't pay for it (11 MiB), and clients that come
// while it is replaced wait instead of being refused. Called by listening.ts.

import type { MessagePort } from "node:worker_threads";
import { createHit } from "../answers/answer-table.ts";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import type { SharedFront } from "../front.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Responder } from "../respond.ts";
import { startWorker } from "../threads.ts";
import { bindAddress, listenError, within } from "./bind.ts";
import type { ListenAddress, Listener } from "./listener.ts";
import type { Native } from "./native.ts";
import { CLOSE_REASONS, type TcpLimits } from "./tcp-connection.ts";
import {
  eachFrom,
  HIT_ROW,
  Outbox,
  QUESTION_ROW,
  startOfTime,
  Words,
  WORDS,
  type Batch,
  type FromThread,
  type TcpThreadData,
  type ToThread,
} from "./tcp-messages.ts";
import { TcpSockets, type TcpSocket } from "./tcp-socket.ts";
import { TCP_CLOSED } from "./tcp.ts";

export interface TcpThread {
  listener(options: ThreadedTcpOptions): Listener;
  /** "TCP thread", if it has not worked for `overMs` or clients wait for it so long. */
  standingStill(overMs: number): string | undefined;
}

export interface ThreadedTcpOptions extends ListenAddress {
  readonly responder: Responder;
  /** Makes what a thread needs to answer for this address; called again for a thread that replaces another. */
  share(): SharedFront;
  /** The thread no longer reads what share() made. */
  unshare(front: SharedFront): void;
}

export interface TcpThreadOptions {
  readonly native: Native;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "counter" | "register">;
  readonly limits?: Partial<TcpLimits>;
}

/** An address that is listened on. */
interface Served extends ThreadedTcpOptions {
  readonly id: number;
  readonly socket: TcpSocket;
  /** Until stop(). */
  isOpen: boolean;
  readonly received: Float64Array;
  /** What the thread has been given. */
  lent: Lent | undefined;
  onStopped(): void;
}

interface Lent {
  readonly front: SharedFront;
  readonly descriptor: number;
  /** The thread has the descriptor, and closes it. */
  isTaken: boolean;
}

/** One thread from its start to its end. */
interface Run {
  post(message: ToThread, transfer?: readonly MessagePort[]): void;
  terminate(): Promise<unknown>;
  readonly stillMs: number;
}

/** How long the first client waits at most, beyond the 50 ms that a thread takes to start. */
const WATCH_MS = 100;
/** A thread that neither works nor fails is ended after so many looks; one that starts has longer. */
const LOOK_MS = 1000;
const STILL_LOOKS = 3;
const STARTING_LOOKS = 20;
/** The first replacement may start at once, those after it wait: 0.25 s, doubled each time, until one has lasted. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
const LASTING_MS = 60_000;
/** For the thread's word that it has stopped, beyond the grace that it gives its clients. */
const REPLY_MS = 250;
/** A thousand connections take some 20 MiB. */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

export function createTcpThread({ native, log, metrics, limits = {} }: TcpThreadOptions): TcpThread {
  const sockets = new TcpSockets(native);
  const served = new Map<number, Served>();
  const closed = sharedNumbers(CLOSE_REASONS.length);
  const unobserved = sharedNumbers(1);
  registerClosed(metrics, closed);
  const logLost = metrics.counter("ndots_log_dropped_total", "Lines of the query log that were lost because too many came at once.");
  let lostBefore = 0;
  const io = new Exchange(MAX_MESSAGE_BYTES);
  const hit = createHit();
  let run: Run | undefined;
  let watching: NodeJS.Timeout | undefined;
  let waitedMs = 0;
  let pauseMs = 0;
  let failures = 0;
  let lastId = 0;

  return {
    standingStill: (overMs) => ((run?.stillMs ?? waitedMs) > overMs ? "TCP thread" : undefined),
    listener(options) {
      const received = sharedNumbers(1);
      let own: Served | undefined;
      let stopping: Promise<void> | undefined;
      return {
        transport: "tcp",
        async start() {
          const { port, responder, share, unshare } = options;
          const socket = await bindAddress("tcp", options, async (host) => sockets.open(host, port));
          const id = ++lastId;
          own = { ...socket.bound, responder, share, unshare, id, socket, isOpen: true, received, lent: undefined, onStopped: () => {} };
          served.set(id, own);
          try {
            if (run === undefined) watch();
            else lend(run, own);
          } catch (error) {
            await stop(own, 0);
            throw listenError("tcp", socket.bound, error);
          }
        },
        get bound() {
          return own?.socket.bound ?? { address: options.address, port: options.port };
        },
        get received() {
          return received[0] as number;
        },
        stop(graceMs) {
          stopping ??= own === undefined ? Promise.resolve() : stop(own, graceMs);
          return stopping;
        },
      };
    },
  };

  // The thread ends with its last address.
  async function stop(address: Served, graceMs: number): Promise<void> {
    address.isOpen = false;
    sockets.close(address.socket);
    if (run !== undefined && address.lent !== undefined) {
      const stopped = new Promise<void>((resolve) => {
        address.onStopped = resolve;
      });
      run.post({ kind: "stop", listener: address.id, graceMs });
      await within(stopped, graceMs + REPLY_MS);
    }
    served.delete(address.id);
    if (served.size === 0) {
      clearInterval(watching);
      const last = run;
      run = watching = undefined;
      await last?.terminate();
    }
    takeBack(address);
  }

  // ── the thread's life ────────────────────────────────────────────────────────────────────────────────────

  // Until a client comes there is no thread.
  function watch(): void {
    watching ??= setInterval(() => {
      pauseMs -= WATCH_MS;
      if (![...served.values()].some(({ isOpen, socket }) => isOpen && sockets.hasClient(socket))) return;
      waitedMs += WATCH_MS;
      if (pauseMs > 0) return;
      clearInterval(watching);
      watching = undefined;
      begin();
    }, WATCH_MS);
  }

  function begin(): void {
    try {
      run = startRun();
      for (const address of served.values()) if (address.isOpen) lend(run, address);
      waitedMs = 0;
    } catch (error) {
      void run?.terminate();
      replace(String(error)); // no descriptor, no memory
    }
  }

  function lend(to: Run, address: Served): void {
    const { id, socket, received } = address;
    const descriptor = sockets.duplicate(socket);
    const front = address.share();
    address.lent = { front, descriptor, isTaken: false };
    to.post({ kind: "listen", listener: id, at: socket.bound, descriptor, front, received }, [front.table.updates]);
  }

  function takeBack(address: Served): void {
    const { lent, socket } = address;
    address.lent = undefined;
    if (lent === undefined) return;
    if (!lent.isTaken) sockets.closeDuplicate(socket, lent.descriptor);
    address.unshare(lent.front);
  }

  function startRun(): Run {
    const words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
    const data: TcpThreadData = { limits, mainStartMs: startOfTime(), words, closed, unobserved };
    const worker = startWorker(new URL("tcp-worker", import.meta.url), {
      name: "ndots-tcp",
      workerData: data,
      resourceLimits: HEAP_LIMITS,
    });
    const startedMs = performance.now();
    const answers = new Outbox((batch) => started.post({ kind: "answers", batch }));
    let reason = "it ended";
    let beat = 0;
    let stillLooks = 0;
    // A main thread that was held up looks once, however long that was.
    const looking = setInterval(() => {
      countLost();
      const seen = Atomics.load(words, Words.BEAT);
      stillLooks = seen === beat ? stillLooks + 1 : 0;
      beat = seen;
      if (stillLooks < (beat === 0 ? STARTING_LOOKS : STILL_LOOKS)) return;
      reason = `it has done nothing for ${(stillLooks * LOOK_MS) / 1000} s`;
      void worker.terminate();
    }, LOOK_MS).unref();
    const started: Run = {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      terminate: () => {
        clearInterval(looking);
        return worker.terminate();
      },
      get stillMs() {
        return stillLooks * LOOK_MS;
      },
    };
    worker.on("message", (message: FromThread) => receive(message, words, answers));
    worker.on("error", (error) => {
      reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    worker.on("exit", () => {
      clearInterval(looking);
      if (run !== started) return; // as it was told
      if (performance.now() - startedMs >= LASTING_MS) failures = 0;
      replace(reason);
    });
    return started;
  }

  function replace(reason: string): void {
    run = undefined;
    for (const address of served.values()) {
      takeBack(address);
      address.onStopped();
    }
    pauseMs = failures === 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
    failures++;
    const earliest = pauseMs === 0 ? "" : `, in ${pauseMs / 1000} s at the earliest`;
    log.error(`TCP thread: ${reason}; another one starts with the next client${earliest}`);
    watch();
  }

  // ── what the thread says ─────────────────────────────────────────────────────────────────────────────────

  function receive(message: FromThread, words: Int32Array, answers: Outbox): void {
    switch (message.kind) {
      case "questions":
        return answer(message.batch, answers);
      case "hits":
        return observe(message.batch, words);
      case "error":
        return log.error(message.message);
      case "listening": {
        const lent = served.get(message.listener)?.lent;
        if (lent !== undefined) lent.isTaken = true;
        return;
      }
      case "stopped":
        return served.get(message.listener)?.onStopped();
      default:
        return message satisfies never;
    }
  }

  function answer(batch: Batch, answers: Outbox): void {
    eachFrom(batch, QUESTION_ROW, io, (listener, at) => {
      const token = batch.rows[at] as number;
      const given = served.get(listener)?.responder.respond(io) ?? 0;
      if (typeof given === "number") answers.add(io.out.subarray(0, given), token);
      else void given.then((bytes = NOTHING) => answers.add(bytes, token));
    });
  }

  function observe(batch: Batch, words: Int32Array): void {
    const { rows } = batch;
    let count = 0;
    eachFrom(batch, HIT_ROW, io, (listener, at) => {
      hit.length = rows[at + 1] as number;
      hit.rcode = rows[at + 2] as number;
      hit.replyFlags = rows[at + 3] as number;
      hit.answerCount = rows[at + 4] as number;
      hit.block = rows[at + 5] as number;
      hit.zone = rows[at + 6] as number;
      served.get(listener)?.responder.observed(io, hit, rows[at] as number);
      count++;
    });
    Atomics.add(words, Words.OBSERVED, count);
    countLost();
  }

  function countLost(): void {
    const lost = unobserved[0] as number;
    if (lost > lostBefore) logLost.add({}, lost - lostBefore);
    lostBefore = lost;
  }
}

const NOTHING = new Uint8Array(0);

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
