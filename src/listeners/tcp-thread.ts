// TCP for every address in one thread of its own (tcp-worker.ts), so that neither holds up the other: the main thread's work
// delays no table hit, and a thousand connections delay no UDP answer. Called by server.ts. Here are the thread's life,
// the answers to what it hands over, and its counters.

import { createHit } from "../answers/answer-table.ts";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import { NdotsError } from "../errors.ts";
import type { SharedFront } from "../front.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Responder } from "../respond.ts";
import { startWorker } from "../threads.ts";
import { codeOf, within } from "./bind.ts";
import type { ListenAddress, Listener } from "./listener.ts";
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
import { TCP_CLOSED } from "./tcp.ts";

export interface TcpThread {
  /** The thread runs while it has listeners. */
  listener(options: ThreadedTcpOptions): Listener;
  /** False while the thread is being replaced. */
  readonly isAlive: boolean;
}

export interface ThreadedTcpOptions extends ListenAddress {
  readonly responder: Responder;
  /** Makes what a thread needs to answer for this address; called again for a thread that replaces another. */
  share(): SharedFront;
  /** The thread no longer reads what share() made. */
  unshare(front: SharedFront): void;
}

export interface TcpThreadOptions {
  readonly log: Log;
  readonly metrics: Pick<Metrics, "register">;
  readonly limits?: Partial<TcpLimits>;
}

/** An address and what becomes of it. */
interface Served extends ThreadedTcpOptions {
  readonly id: number;
  readonly received: Float64Array;
  bound: ListenAddress;
  front: SharedFront | undefined;
  state: "starting" | "listening" | "stopping";
  /** The thread listens, or why it does not. */
  onStarted(failure?: Error): void;
  onStopped(): void;
}

/** One thread from its start to its end. */
interface Run {
  readonly post: (message: ToThread, front?: SharedFront) => void;
  readonly terminate: () => Promise<unknown>;
}

/** A thread that neither answers nor fails is replaced after so many looks; one that starts has longer. */
const LOOK_MS = 1000;
const SILENT_LOOKS = 3;
const STARTING_LOOKS = 20;
/** The first replacement starts at once, those after it wait: 0.25 s, doubled each time, until one has lasted. */
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 10_000;
const LASTING_MS = 20_000;
/** An address that a new thread does not get is tried again. */
const RELISTEN_MS = 5_000;
/** For the thread's word that it has stopped, beyond the grace that it gives its clients. */
const REPLY_MS = 250;

/** A thousand connections take some 20 MiB. */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

export function createTcpThread({ log, metrics, limits = {} }: TcpThreadOptions): TcpThread {
  const served = new Map<number, Served>();
  const closed = sharedNumbers(CLOSE_REASONS.length);
  const unobserved = sharedNumbers(1);
  registerCounters(metrics, closed, unobserved);
  const io = new Exchange(MAX_MESSAGE_BYTES);
  const hit = createHit();
  let run: Run | undefined;
  let replacement: NodeJS.Timeout | undefined;
  let failures = 0;
  let lastId = 0;

  return {
    get isAlive() {
      return replacement === undefined;
    },
    listener(options) {
      const received = sharedNumbers(1);
      let bound: ListenAddress = { address: options.address, port: options.port };
      let own: Served | undefined;
      let starting: Promise<void> | undefined;
      let stopping: Promise<void> | undefined;
      return {
        transport: "tcp",
        async start() {
          const id = ++lastId;
          starting = new Promise<void>((resolve, reject) => {
            const onStarted = (failure?: Error): void => (failure === undefined ? resolve() : reject(failure));
            const { responder, share, unshare } = options;
            own = { ...bound, responder, share, unshare, id, received, bound, front: undefined, state: "starting", onStarted, onStopped };
            served.set(id, own);
            if (replacement === undefined) listen(own);
          });
          await starting;
          bound = (own as Served).bound;
        },
        get bound() {
          return bound;
        },
        get received() {
          return received[0] as number;
        },
        stop(graceMs) {
          stopping ??= Promise.resolve(starting).then(
            () => own && stop(own, graceMs),
            () => undefined, // nothing has begun
          );
          return stopping;
        },
      };
    },
  };

  function listen(address: Served): void {
    try {
      run ??= begin();
      address.front = address.share();
      const { id, bound, front, received } = address;
      run.post({ kind: "listen", listener: id, at: bound, front, received }, front);
    } catch (error) {
      failed(address, error instanceof Error ? error.message : String(error), codeOf(error));
    }
  }

  async function stop(address: Served, graceMs: number): Promise<void> {
    if (!served.has(address.id)) return;
    address.state = "stopping";
    const stopped = new Promise<void>((resolve) => {
      address.onStopped = resolve;
    });
    run?.post({ kind: "stop", listener: address.id, graceMs });
    if (run !== undefined) await within(stopped, graceMs + REPLY_MS);
    await forget(address);
  }

  // The thread ends with its last address, and no reader is taken from a thread that may still read.
  async function forget(address: Served): Promise<void> {
    served.delete(address.id);
    if (served.size === 0) {
      const last = run;
      run = undefined;
      clearTimeout(replacement);
      replacement = undefined;
      await last?.terminate();
    }
    takeBack(address);
  }

  function takeBack(address: Served): void {
    const { front } = address;
    address.front = undefined;
    if (front !== undefined) address.unshare(front);
  }

  // ── the thread's life ────────────────────────────────────────────────────────────────────────────────────

  function begin(): Run {
    const words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
    const data: TcpThreadData = { limits, mainStartMs: startOfTime(), words, closed, unobserved };
    const worker = startWorker(new URL("tcp-worker", import.meta.url), {
      name: "ndots-tcp",
      workerData: data,
      resourceLimits: HEAP_LIMITS,
    });
    const startedMs = performance.now();
    const answers = new Outbox((batch) => worker.postMessage({ kind: "answers", batch } satisfies ToThread));
    let reason = "it ended";
    let beat = 0;
    let silentLooks = 0;
    // A main thread that was held up looks once, however long that was.
    const watch = setInterval(() => {
      const seen = Atomics.load(words, Words.BEAT);
      silentLooks = seen === beat ? silentLooks + 1 : 0;
      beat = seen;
      if (silentLooks < (beat === 0 ? STARTING_LOOKS : SILENT_LOOKS)) return;
      reason = `it has done nothing for ${silentLooks} s`;
      void worker.terminate();
    }, LOOK_MS).unref();
    const started: Run = {
      post: (message, front) => worker.postMessage(message, front === undefined ? [] : [front.table.updates]),
      terminate: () => {
        clearInterval(watch);
        return worker.terminate();
      },
    };
    worker.on("message", (message: FromThread) => receive(message, words, answers));
    worker.on("error", (error) => {
      reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    worker.on("exit", () => {
      clearInterval(watch);
      if (run !== started) return; // as it was told
      run = undefined;
      if (performance.now() - startedMs >= LASTING_MS) failures = 0;
      replace(reason);
    });
    return started;
  }

  function replace(reason: string): void {
    for (const address of served.values()) {
      takeBack(address);
      if (address.state === "listening") continue;
      served.delete(address.id);
      address.onStarted(new NdotsError("NDOTS_ERR_LISTEN", `the TCP thread could not start: ${reason}`));
      address.onStopped();
    }
    if (served.size === 0) return;
    const delayMs = failures === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), LONGEST_DELAY_MS);
    failures++;
    log.error(`TCP thread: ${reason}; another one starts ${delayMs === 0 ? "now" : `in ${delayMs / 1000} s`}`);
    replacement = setTimeout(() => {
      replacement = undefined;
      try {
        run = begin();
        for (const address of served.values()) listen(address);
      } catch (error) {
        replace(String(error)); // no descriptor or no memory for a thread
      }
    }, delayMs);
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
      default: {
        const address = served.get(message.listener);
        if (address === undefined) return;
        if (message.kind === "listening") started(address, message.bound);
        else if (message.kind === "stopped") address.onStopped();
        else failed(address, message.message, message.code);
      }
    }
  }

  function started(address: Served, bound: ListenAddress): void {
    address.bound = bound;
    if (address.state === "starting") address.state = "listening";
    address.onStarted();
  }

  function failed(address: Served, message: string, code: string | undefined): void {
    if (address.state === "starting") {
      const cause = Object.assign(new Error(message), { code });
      void forget(address).then(() => address.onStarted(new NdotsError("NDOTS_ERR_LISTEN", message, { cause })));
      return;
    }
    takeBack(address);
    log.error(`TCP thread: ${message}`);
    setTimeout(() => {
      if (served.has(address.id) && address.front === undefined && run !== undefined) listen(address);
    }, RELISTEN_MS).unref();
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
  }
}

const NOTHING = new Uint8Array(0);

function onStopped(): void {}

function sharedNumbers(length: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT));
}

function registerCounters(metrics: Pick<Metrics, "register">, closed: Float64Array, unobserved: Float64Array): void {
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
  metrics.register({
    name: "ndots_log_dropped_total",
    help: "Answered queries that the query log was not told of, because too many waited.",
    type: "counter",
    collect: () => [{ labels: { transport: "tcp" }, value: unobserved[0] as number }],
  });
}
