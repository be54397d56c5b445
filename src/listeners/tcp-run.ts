// One TCP thread from its start to its end, as the main thread sees it: answers what it hands over, tells the observers of
// its hits, and ends it when it stands still. Used by tcp-thread.ts.

import type { MessagePort } from "node:worker_threads";
import { createHit } from "../answers/answer-table.ts";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import type { Log } from "../log.ts";
import type { Responder } from "../respond.ts";
import { startWorker } from "../threads.ts";
import {
  eachFrom,
  HIT_ROW,
  MAX_BATCH,
  Outbox,
  QUESTION_ROW,
  Words,
  WORDS,
  type Batch,
  type FromThread,
  type TcpThreadData,
  type ToThread,
} from "./tcp-messages.ts";

export interface RunOptions extends Pick<TcpThreadData, "limits" | "closed" | "unobserved"> {
  readonly log: Log;
  /** The thread's module without its extension. */
  readonly worker: URL;
  responderOf(listener: number): Responder | undefined;
  /** The thread listens, and will close its descriptor. */
  onListening(listener: number): void;
  /** The thread no longer reads the front before the last one that it was given. */
  onServing(listener: number): void;
  onStopped(listener: number): void;
  /** Once a second. */
  onLook(): void;
  /** Not called for terminate(). */
  onEnd(reason: string): void;
}

export interface Run {
  post(message: ToThread, transfer?: readonly MessagePort[]): void;
  terminate(): Promise<unknown>;
  readonly startedMs: number;
  /** How long it has stood still, in time in which the main thread was awake. */
  readonly stillMs: number;
}

const LOOK_MS = 1000;
/** A thread that neither works nor fails is ended after so many looks; one that starts has longer. */
const STILL_LOOKS = 3;
const STARTING_LOOKS = 20;
/** Hits in a turn of the event loop: some 2 ms of the query log. */
const MAX_OBSERVED = MAX_BATCH;
/** A thousand connections take some 20 MiB. */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

/** Throws where the system gives no thread. */
export function startRun(options: RunOptions): Run {
  const { limits, closed, unobserved, log, responderOf } = options;
  const io = new Exchange(MAX_MESSAGE_BYTES);
  const hit = createHit();
  const words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  const workerData: TcpThreadData = { limits, words, closed, unobserved };
  const worker = startWorker(options.worker, { name: "ndots-tcp", workerData, resourceLimits: HEAP_LIMITS });
  const answers = new Outbox((batch) => run.post({ kind: "answers", batch }));
  const unobservedHits: Batch[] = [];
  let observing: NodeJS.Immediate | undefined;
  let reason = "it ended";
  let isOver = false;
  let beat = 0;
  let stillLooks = 0;
  // A main thread that was held up looks once, however long that was.
  const looking = setInterval(() => {
    options.onLook();
    const seen = Atomics.load(words, Words.BEAT);
    stillLooks = seen === beat ? stillLooks + 1 : 0;
    beat = seen;
    if (stillLooks < (beat === 0 ? STARTING_LOOKS : STILL_LOOKS)) return;
    reason = `it has done nothing for ${(stillLooks * LOOK_MS) / 1000} s`;
    void worker.terminate();
  }, LOOK_MS).unref();
  worker.on("message", receive);
  worker.on("error", (error) => {
    reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  });
  worker.on("exit", () => {
    clearInterval(looking);
    observeAll();
    if (!isOver) options.onEnd(reason);
  });
  const run: Run = {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    terminate() {
      isOver = true;
      clearInterval(looking);
      observeAll();
      return worker.terminate();
    },
    startedMs: performance.now(),
    get stillMs() {
      return stillLooks * LOOK_MS;
    },
  };
  return run;

  function receive(message: FromThread): void {
    switch (message.kind) {
      case "questions":
        return answer(message.batch);
      case "hits":
        unobservedHits.push(message.batch);
        observing ??= setImmediate(observeSome);
        return;
      case "listening":
        return options.onListening(message.listener);
      case "serving":
        observeAll(); // the hits of the front before
        return options.onServing(message.listener);
      case "stopped":
        observeAll();
        return options.onStopped(message.listener);
      case "error":
        return log.error(message.message);
      default:
        return message satisfies never;
    }
  }

  function answer(batch: Batch): void {
    eachFrom(batch, QUESTION_ROW, io, (listener, at) => {
      const token = batch.rows[at] as number;
      const given = responderOf(listener)?.respond(io) ?? 0;
      if (typeof given === "number") answers.add(io.out.subarray(0, given), token);
      else void given.then((bytes = NOTHING) => answers.add(bytes, token));
    });
  }

  // A part of them in a turn of the event loop: Node hands out a thousand messages in one, and more as long as the thread
  // hears of each that is done.
  function observeSome(): void {
    let count = 0;
    for (let next = unobservedHits[0]; next !== undefined; next = unobservedHits[0]) {
      count += next.rows.length / HIT_ROW;
      if (count > MAX_OBSERVED) break;
      unobservedHits.shift();
      observe(next);
    }
    observing = unobservedHits.length > 0 ? setImmediate(observeSome) : undefined;
  }

  function observeAll(): void {
    for (const batch of unobservedHits.splice(0)) observe(batch);
  }

  function observe(batch: Batch): void {
    const { rows } = batch;
    let count = 0;
    eachFrom(batch, HIT_ROW, io, (listener, at) => {
      hit.length = rows[at + 1] as number;
      hit.rcode = rows[at + 2] as number;
      hit.replyFlags = rows[at + 3] as number;
      hit.answerCount = rows[at + 4] as number;
      hit.block = rows[at + 5] as number;
      hit.zone = rows[at + 6] as number;
      responderOf(listener)?.observed(io, hit, rows[at] as number);
      count++;
    });
    Atomics.add(words, Words.OBSERVED, count);
  }
}

const NOTHING = new Uint8Array(0);
