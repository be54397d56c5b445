// The TCP thread, started by tcp-thread.ts: the listeners of tcp.ts for every address, over the shared answer tables. What
// the tables can't answer is handed to the main thread and comes back as a promised answer; when too much of it
// is there, a connection may have one question there at a time, which the hits of others do not notice.

import { parentPort, workerData } from "node:worker_threads";
import { openTable } from "../answers/reader.ts";
import type { Hit } from "../answers/answer-table.ts";
import type { Exchange } from "../dns/question.ts";
import { ASK_CHAIN, createFront, type SharedFront } from "../front.ts";
import { silentLog } from "../log.ts";
import {
  ANSWER_ROW,
  closedCounter,
  Outbox,
  Words,
  type Batch,
  type FromThread,
  type TcpThreadData,
  type ToThread,
} from "./tcp-messages.ts";
import { tcpListener, type TcpListener, type TcpOptions } from "./tcp.ts";

/** Questions with the main thread: what it answers in some 20 ms, so that those who ask over UDP don't wait longer. */
const BUSY_QUESTIONS = 1024;
const BUSY_BYTES = 1024 * 1024;
/** Hits that the observers have yet to be told of; more are counted only. */
const MAX_UNOBSERVED = 4096;
const BEAT_MS = 500;

const { limits, words, closed, unobserved } = workerData as TcpThreadData;
const listeners = new Map<number, { readonly started: Promise<TcpListener>; readonly received: Float64Array }>();

/** What waits for the main thread, by token. */
const waiting = new Map<number, { readonly bytes: number; readonly resolve: (answer: Uint8Array | undefined) => void }>();
let waitingBytes = 0;
let lastToken = 0;
let hitsSent = 0;
const questions = new Outbox((batch) => post({ kind: "questions", batch }));
const hits = new Outbox((batch) => post({ kind: "hits", batch }));

const log: TcpOptions["log"] = { ...silentLog, error: (message) => post({ kind: "error", message }) };
const metrics: TcpOptions["metrics"] = { counter: () => closedCounter(closed) };

setInterval(() => Atomics.add(words, Words.BEAT, 1), BEAT_MS);
Atomics.add(words, Words.BEAT, 1);

parentPort?.on("message", (message: ToThread) => {
  switch (message.kind) {
    case "listen":
      return void listeners.set(message.listener, { started: listen(message), received: message.received });
    case "serve":
      return void serve(message);
    case "windDown":
      return void windDown(message);
    case "stop":
      return void stop(message);
    case "answers":
      return takeAnswers(message.batch);
    default:
      return message satisfies never;
  }
});

// What fails here ends the thread, as everything does that should not happen; another one takes over.
async function listen({
  listener: id,
  at,
  descriptor,
  front,
  times,
  received,
}: Extract<ToThread, { kind: "listen" }>): Promise<TcpListener> {
  const listener = tcpListener({ ...at, descriptor, responder: createResponder(id, front, received), times, log, metrics, limits, isBusy });
  await listener.start();
  post({ kind: "listening", listener: id });
  return listener;
}

// Hits are told apart by what was sent before the word and what behind it: no turn of the event loop may be in between.
async function serve({ listener: id, front, times }: Extract<ToThread, { kind: "serve" }>): Promise<void> {
  const listening = listeners.get(id);
  if (listening === undefined) return; // stopped: that gives all its fronts back
  const listener = await listening.started;
  questions.flush();
  hits.flush();
  void listener.serve({ responder: createResponder(id, front, listening.received), times });
  post({ kind: "serving", listener: id });
}

async function windDown({ listener: id }: Extract<ToThread, { kind: "windDown" }>): Promise<void> {
  (await listeners.get(id)?.started)?.windDown();
}

async function stop({ listener: id, graceMs }: Extract<ToThread, { kind: "stop" }>): Promise<void> {
  const listener = await listeners.get(id)?.started;
  listeners.delete(id);
  await listener?.stop(graceMs);
  hits.flush();
  post({ kind: "stopped", listener: id });
}

function createResponder(
  listener: number,
  { table: shared, blocks, owners }: SharedFront,
  received: Float64Array,
): TcpOptions["responder"] {
  const table = openTable(shared);
  const onHit = (io: Exchange, hit: Hit, durationMs: number): void => handOverHit(listener, io, hit, durationMs);
  const front = createFront({ table, blocks, owners, now: () => performance.now(), onHit });
  return {
    respond(io) {
      (received[0] as number)++;
      table.enter();
      const length = front.answer(io);
      table.leave(); // at once: the event loop may wait without a word
      return length === ASK_CHAIN ? handOver(listener, io) : length;
    },
  };
}

function handOver(listener: number, io: Exchange): Promise<Uint8Array | undefined> {
  const token = ++lastToken;
  const bytes = io.inEnd - io.inAt;
  waitingBytes += bytes;
  questions.addFrom(io, listener, io.receivedAtMs, token);
  return new Promise((resolve) => waiting.set(token, { bytes, resolve }));
}

function isBusy(): boolean {
  return waiting.size >= BUSY_QUESTIONS || waitingBytes >= BUSY_BYTES;
}

function takeAnswers({ rows, bytes }: Batch): void {
  let end = 0;
  for (let at = 0; at < rows.length; at += ANSWER_ROW) {
    const length = rows[at] as number;
    const token = rows[at + 1] as number;
    const asked = waiting.get(token);
    waiting.delete(token);
    waitingBytes -= asked?.bytes ?? 0;
    asked?.resolve(length === 0 ? undefined : bytes.subarray(end, end + length));
    end += length;
  }
}

function handOverHit(listener: number, io: Exchange, hit: Hit, durationMs: number): void {
  if (((hitsSent - Atomics.load(words, Words.OBSERVED)) | 0) >= MAX_UNOBSERVED) {
    (unobserved[0] as number)++;
    return;
  }
  hitsSent = (hitsSent + 1) | 0;
  const { length, rcode, replyFlags, answerCount, block, zone } = hit;
  hits.addFrom(io, listener, io.receivedAtMs, durationMs, length, rcode, replyFlags, answerCount, block, zone);
}

function post(message: FromThread): void {
  parentPort?.postMessage(message);
}
