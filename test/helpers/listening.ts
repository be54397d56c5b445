// What a listener needs around it in a test: a responder that says what it was asked, a log and counters that can be
// read, a clock that stands still, and a bounded wait for what another side of a socket does.

import { setImmediate as nextTurn } from "node:timers/promises";
import { Flags, HEADER_BYTES, Rcodes } from "../../src/dns/message.ts";
import { qnameOf, readQuestion, Verdicts, type Exchange } from "../../src/dns/question.ts";
import { formatName } from "../../src/dns/name.ts";
import type { Log } from "../../src/log.ts";
import type { Counter, Labels, Metric, Metrics } from "../../src/metrics.ts";
import type { Responder } from "../../src/respond.ts";
import type { SweepClock } from "../../src/listeners/accepting.ts";
import { tcpConnection, query, type Target, type TcpConnection } from "./dns-client.ts";

/** One query that reached the responder. */
export interface Asked {
  readonly qname: string;
  readonly id: number;
  readonly transport: string;
  readonly family: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
}

export interface FakeResponder extends Responder {
  readonly asked: Asked[];
  /** Answers to `slow.…` queries that wait, in the order in which they were asked. */
  readonly waiting: { readonly id: number; answer(): void; drop(): void }[];
}

/**
 * Answers with the question. The first label changes that: `slow` waits for the test, `silent` gets nothing,
 * `bytes-N` gets N bytes. What readQuestion() refuses gets its rcode in a bare header.
 */
export function fakeResponder(): FakeResponder {
  const asked: Asked[] = [];
  const waiting: FakeResponder["waiting"] = [];
  return { asked, waiting, respond, observed: () => {} };

  function respond(io: Exchange): number | Promise<Uint8Array | undefined> {
    const verdict = readQuestion(io);
    if (verdict === Verdicts.DROP) return 0;
    if (verdict !== Verdicts.OK) return writeHeader(io, RCODES[verdict] ?? Rcodes.REFUSED);
    const qname = formatName(qnameOf(io));
    const { id, transport, family, remoteAddress, remotePort, localPort } = io;
    asked.push({ qname, id, transport, family, remoteAddress, remotePort, localPort });
    const [label = ""] = qname.split(".");
    if (label === "silent") return 0;
    const answer = answerTo(io, /^bytes-(\d+)$/.exec(label)?.[1]);
    if (label === "slow") {
      return new Promise((resolve) => waiting.push({ id, answer: () => resolve(answer), drop: () => resolve(undefined) }));
    }
    io.out.set(answer, io.outAt);
    return answer.length;
  }
}

const RCODES: Readonly<Partial<Record<number, number>>> = { [Verdicts.FORMERR]: Rcodes.FORMERR, [Verdicts.NOTIMP]: Rcodes.NOTIMP };

function answerTo(io: Exchange, bytes: string | undefined): Buffer {
  const question = Buffer.from(io.in.subarray(io.inAt, io.questionEnd));
  const answer = Buffer.alloc(bytes === undefined ? question.length : Number(bytes));
  question.copy(answer);
  answer.writeUInt16BE(Flags.QR | (io.flags & Flags.RD), 2);
  answer.writeUInt32BE(0, 8);
  return answer;
}

function writeHeader(io: Exchange, rcode: number): number {
  const out = Buffer.from(io.out.buffer, io.out.byteOffset + io.outAt, HEADER_BYTES).fill(0);
  out.writeUInt16BE(io.id, 0);
  out.writeUInt16BE(Flags.QR | (io.flags & (0x7800 | Flags.RD)) | rcode, 2);
  return HEADER_BYTES;
}

export interface RecordedLog extends Log {
  /** `warning: text` */
  readonly lines: string[];
}

export function recordedLog(): RecordedLog {
  const lines: string[] = [];
  const log: RecordedLog = {
    lines,
    debug: () => {},
    info: (message) => lines.push(`info: ${message}`),
    warning: (message) => lines.push(`warning: ${message}`),
    error: (message) => lines.push(`error: ${message}`),
    line: (text) => lines.push(text),
    query: (text) => lines.push(text),
    plugin: () => log,
    enableDebug: () => {},
  };
  return log;
}

export interface CountedMetrics extends Metrics {
  /** The value of a counter, or of a registered metric, for the one label value; 0 if it was never counted. */
  count(name: string, label: string): number;
}

export function countedMetrics(): CountedMetrics {
  const values = new Map<string, number>();
  const registered: Metric[] = [];
  const counter = (name: string): Counter => ({
    add: (labels: Labels = {}, by = 1) => {
      const key = `${name} ${Object.values(labels).join(",")}`;
      values.set(key, (values.get(key) ?? 0) + by);
    },
  });
  const metrics: CountedMetrics = {
    counter,
    scope: () => ({ ...metrics, close: () => {} }),
    gauge: () => ({ set: () => {} }),
    histogram: () => ({ observe: () => {} }),
    register: (metric) => registered.push(metric),
    all: () => [],
    count: (name, label) => {
      const samples = registered.filter((metric) => metric.name === name).flatMap((metric) => [...metric.collect()]);
      const found = samples.filter(({ labels }) => Object.values(labels).join(",") === label);
      return found.reduce((sum, { value }) => sum + value, values.get(`${name} ${label}`) ?? 0);
    },
  };
  return metrics;
}

export interface FakeClock extends SweepClock {
  /** Moves the time on in sweeps, as the clock of a machine would. */
  advance(ms: number): void;
}

export function fakeClock(): FakeClock {
  let nowMs = 1000;
  const timers = new Set<{ readonly intervalMs: number; dueMs: number; readonly run: () => void }>();
  return {
    now: () => nowMs,
    every: (intervalMs, run) => {
      const timer = { intervalMs, dueMs: nowMs + intervalMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance: (ms) => {
      const untilMs = nowMs + ms;
      for (;;) {
        const next = [...timers].sort((a, b) => a.dueMs - b.dueMs)[0];
        if (next === undefined || next.dueMs > untilMs) break;
        nowMs = next.dueMs;
        next.dueMs += next.intervalMs;
        next.run();
      }
      nowMs = untilMs;
    },
  };
}

/** Waits, turn by turn of the event loop, until `condition` holds; fails after `boundMs`. */
export async function until(condition: () => boolean, what: string, boundMs = 5000): Promise<void> {
  const endMs = performance.now() + boundMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${boundMs} ms: ${what}`);
    await nextTurn();
  }
}

/** A TCP listener has seen all that was sent to it before: it answers a query on a connection of its own. */
export async function settled(target: Target, connect: (target: Target) => Promise<TcpConnection> = tcpConnection): Promise<void> {
  const connection = await connect(target);
  connection.send(query({ name: "control.example.org.", id: 0xffff }));
  if ((await connection.receive()) === undefined) throw new Error("the control query got no answer");
  connection.close();
}
