// The main thread's half of the batch listener: answers what the listener threads hand over, and tells the observers
// of hits. Takes records from the threads' rings in turns of the event loop, sends the answers of a turn in one call.

import { setImmediate as nextTurn } from "node:timers";
import type { Hit } from "../answers/answer-table.ts";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import type { Responder } from "../respond.ts";
import { createCounters, dropIndex, failuresOf, LOG_WOKEN, Layout, RETURN_BYTES, Signals, WOKEN, type ThreadData } from "./batch-shared.ts";
import { BATCH, CONTROL_BYTES, Messages, NAME_BYTES, sendAll } from "./messages.ts";
import { AF_INET6, MSG_DONTWAIT, type Native } from "./native.ts";
import { RingReader } from "./ring.ts";
import { addressAt, familyAt, portAt, SOCKADDR_BYTES, SOCKADDR_IPV4_BYTES } from "./sockaddr.ts";

/** Where a packet came to and its answer leaves from. */
export interface ReplyPoint {
  /** As the responder is told. */
  readonly address: string;
  readonly port: number;
  /** A descriptor that is open now; undefined: all are closed. */
  readonly fd: number | undefined;
  isOwnAddress(address: string): boolean;
  /** Told of each query that is dropped because too many wait; undefined: they all wait, as long as there is room. */
  readonly onShed?: (() => void) | undefined;
}

/** What is left to do for a thread's packets, also when the thread has gone. */
export interface Handover {
  readonly data: Pick<ThreadData, "control" | "misses" | "hits">;
  /** By the thread's socket index. */
  readonly points: readonly ReplyPoint[];
  /** By the same: those whose table the thread had, as only they know what its hits are. */
  readonly responders: readonly Responder[];
}

/** What may wait where the oldest are dropped: 1,024 usual questions, some 20 to 50 ms of work. */
const SHED_BYTES = 1024 * (Layout.MISS_PACKET + 64);
/** Longest time in one turn of the event loop. */
const TURN_MS = 2;
/** The clock is read once for so many records. */
const RECORDS_PER_LOOK = 16;
/** How long lines of the query log may wait for others. */
const HITS_DELAY_MS = 10;
/** Answers of one call of sendmmsg, and one of the largest. */
const OUT_BYTES = MAX_MESSAGE_BYTES + 1 + BATCH * 1280;

const OVERLOAD = dropIndex("overload");
const SOURCE_OWN = dropIndex("source_own");

interface Source extends Handover {
  readonly missReader: RingReader;
  readonly missTimes: Float64Array;
  readonly hitReader: RingReader | undefined;
  readonly hitTimes: Float64Array;
}

export class Misses {
  /** What this side drops and fails to send, in the cells of a thread. */
  readonly counters: Float64Array = createCounters(0);
  readonly #native: Native;
  readonly #maxPending: number;
  readonly #sources = new Map<Handover, Source>();
  readonly #replies: Replies;
  readonly #io = new Exchange(0);
  readonly #hit: Hit = { length: 0, rcode: 0, replyFlags: 0, answerCount: 0, block: 0, zone: 0 };
  #pending = 0;
  #isScheduled = false;
  #hitsTimer: NodeJS.Timeout | undefined;
  #areHitsScheduled = false;
  #isFlushing = false;
  #onIdle: (() => void) | undefined;

  constructor(native: Native, maxPending: number) {
    this.#native = native;
    this.#maxPending = maxPending;
    this.#replies = new Replies(native, failuresOf(this.counters));
    Object.assign(this.#io, { transport: "udp", out: this.#replies.out });
  }

  add(handover: Handover): void {
    const missReader = new RingReader(handover.data.misses);
    const hitReader = handover.data.hits === undefined ? undefined : new RingReader(handover.data.hits);
    this.#sources.set(handover, {
      ...handover,
      missReader,
      missTimes: new Float64Array(missReader.bytes.buffer),
      hitReader,
      hitTimes: new Float64Array((hitReader ?? missReader).bytes.buffer),
    });
  }

  /**
   * The thread has gone: takes what it left, then forgets it. All in one turn, against the rule: its memory goes to the
   * next thread when this returns; two full rings, the most there can be, are some ten thousand records.
   */
  remove(handover: Handover): void {
    const source = this.#sources.get(handover);
    if (source === undefined) return;
    while (this.#takeMiss(source));
    this.#takeHits(source, Number.POSITIVE_INFINITY);
    this.#replies.flush();
    this.#sources.delete(handover);
  }

  /** A thread says that there is something. */
  wake(signal: number): void {
    if (signal === Signals.MISSES) this.#drain();
    else if (signal === Signals.HITS_NOW) this.#takeAllHits();
    else if (signal === Signals.HITS_SOON) this.#hitsTimer ??= setTimeout(() => this.#takeAllHits(), HITS_DELAY_MS);
  }

  /** Resolves when every promised answer has gone. */
  idle(): Promise<void> {
    return this.#pending === 0 ? Promise.resolve() : new Promise((resolve) => (this.#onIdle = resolve));
  }

  stop(): void {
    clearTimeout(this.#hitsTimer);
    this.#hitsTimer = undefined;
  }

  // One turn: a record of each thread after the other, so that a busy thread doesn't hold up the rest.
  #drain(): void {
    if (this.#isScheduled) return;
    const endMs = performance.now() + TURN_MS;
    let isMore = true;
    while (isMore && performance.now() < endMs) {
      isMore = false;
      for (const source of this.#sources.values()) {
        for (let count = 0; count < RECORDS_PER_LOOK && this.#takeMiss(source); count++) isMore ||= count === RECORDS_PER_LOOK - 1;
      }
    }
    this.#replies.flush();
    if (!isMore) {
      // The threads send no further message until they are told that all is taken; what came in between is ours.
      for (const { data, missReader } of this.#sources.values()) {
        Atomics.store(data.control, WOKEN, 0);
        if (!missReader.isEmpty() && Atomics.exchange(data.control, WOKEN, 1) === 0) isMore = true;
      }
    }
    if (!isMore) return;
    this.#isScheduled = true;
    nextTurn(() => {
      this.#isScheduled = false;
      this.#drain();
    });
  }

  #takeMiss({ points, responders, missReader, missTimes }: Source): boolean {
    if (!missReader.next()) return false;
    const { bytes, words, at } = missReader;
    const socket = words[(at + Layout.SOCKET) >> 2] as number;
    const point = points[socket] as ReplyPoint;
    if (point.onShed !== undefined && missReader.used > SHED_BYTES) {
      point.onShed();
      missReader.release();
      return true;
    }
    this.#answer(
      responders[socket] as Responder,
      point,
      bytes,
      at,
      at + Layout.MISS_PACKET,
      words[(at + Layout.PACKET_LENGTH) >> 2] as number,
      missTimes[at >> 3] as number,
    );
    missReader.release();
    return true;
  }

  #answer(
    responder: Responder,
    point: ReplyPoint,
    bytes: Uint8Array,
    at: number,
    packetAt: number,
    packetBytes: number,
    receivedAtMs: number,
  ): void {
    const io = this.#io;
    this.#fill(point, bytes, at, packetAt, packetBytes, receivedAtMs);
    if (io.remotePort === point.port && point.isOwnAddress(io.remoteAddress)) return this.#count(SOURCE_OWN);
    if (this.#pending >= this.#maxPending) return this.#count(OVERLOAD);
    io.outAt = this.#replies.claim(point);
    const answer = responder.respond(io);
    if (typeof answer === "number") {
      if (answer > 0) this.#replies.add(bytes, at + Layout.NAME, answer);
      return;
    }
    this.#pending++;
    const returnTo = bytes.slice(at + Layout.NAME, at + Layout.NAME + RETURN_BYTES);
    void answer.then((reply) => this.#settle(point, returnTo, reply));
  }

  #settle(point: ReplyPoint, returnTo: Uint8Array, reply: Uint8Array | undefined): void {
    this.#pending--;
    if (reply !== undefined) {
      this.#replies.out.set(reply, this.#replies.claim(point));
      this.#replies.add(returnTo, 0, reply.length);
      // Answers that are settled by the packets of one turn of the event loop leave together: a call for each costs 15 µs more.
      if (!this.#isFlushing) {
        this.#isFlushing = true;
        nextTurn(() => {
          this.#isFlushing = false;
          this.#replies.flush();
          this.#checkIdle();
        });
      }
    } else this.#checkIdle();
  }

  #checkIdle(): void {
    if (this.#pending === 0) this.#onIdle?.();
  }

  // One turn. Where threads are faster than the observers their rings fill, and what finds no room is counted. Signals
  // that come meanwhile begin no other turn: a message port hands over many of them without a look at the event loop.
  #takeAllHits(): void {
    if (this.#areHitsScheduled) return;
    clearTimeout(this.#hitsTimer);
    this.#hitsTimer = undefined;
    const endMs = performance.now() + TURN_MS;
    let isMore = false;
    for (const source of this.#sources.values()) {
      Atomics.store(source.data.control, LOG_WOKEN, 0);
      while (this.#takeHits(source, RECORDS_PER_LOOK)) {
        isMore = performance.now() >= endMs;
        if (isMore) break;
      }
    }
    if (!isMore) return;
    this.#areHitsScheduled = true;
    nextTurn(() => {
      this.#areHitsScheduled = false;
      this.#takeAllHits();
    });
  }

  /** Returns whether there may be more. */
  #takeHits({ points, responders, hitReader, hitTimes }: Source, most: number): boolean {
    if (hitReader === undefined) return false;
    const hit = this.#hit;
    for (let count = 0; count < most; count++) {
      if (!hitReader.next()) return false;
      const { bytes, words, at } = hitReader;
      const socket = words[(at + Layout.SOCKET) >> 2] as number;
      const word = (at + Layout.HIT) >> 2;
      hit.length = words[word] as number;
      hit.rcode = words[word + 1] as number;
      hit.replyFlags = words[word + 2] as number;
      hit.answerCount = words[word + 3] as number;
      hit.block = words[word + 4] as number;
      hit.zone = words[word + 5] as number;
      const packetBytes = words[(at + Layout.PACKET_LENGTH) >> 2] as number;
      this.#fill(points[socket] as ReplyPoint, bytes, at, at + Layout.HIT_PACKET, packetBytes, hitTimes[at >> 3] as number);
      (responders[socket] as Responder).observed(this.#io, hit, hitTimes[(at + Layout.DURATION) >> 3] as number);
      hitReader.release();
    }
    return true;
  }

  #fill(point: ReplyPoint, bytes: Uint8Array, at: number, packetAt: number, packetBytes: number, receivedAtMs: number): void {
    const io = this.#io;
    const nameAt = at + Layout.NAME;
    io.in = bytes;
    io.inAt = packetAt;
    io.inEnd = packetAt + packetBytes;
    io.family = familyAt(bytes, nameAt);
    io.remoteAddress = addressAt(this.#native, bytes, nameAt);
    io.remotePort = portAt(bytes, nameAt);
    io.localAddress = point.address;
    io.localPort = point.port;
    io.receivedAtMs = receivedAtMs;
  }

  #count(cell: number): void {
    this.counters[cell] = (this.counters[cell] as number) + 1;
  }
}

// Answers that wait for the end of the turn, all for one point.
class Replies {
  readonly out: Uint8Array;
  readonly #native: Native;
  readonly #failures: Float64Array;
  readonly #messages: Messages;
  #point: ReplyPoint | undefined;
  #count = 0;
  #nextAt = 0;

  constructor(native: Native, failures: Float64Array) {
    this.#native = native;
    this.#failures = failures;
    const memory = new Uint8Array(new ArrayBuffer(OUT_BYTES + Messages.BYTES));
    this.out = memory.subarray(0, OUT_BYTES);
    this.#messages = new Messages(native, memory, OUT_BYTES);
  }

  /** Where an answer of any size may be written in `out`. */
  claim(point: ReplyPoint): number {
    if (this.#count === BATCH || this.#point !== point || this.#nextAt + MAX_MESSAGE_BYTES > OUT_BYTES) this.flush();
    this.#point = point;
    return this.#nextAt;
  }

  /** Takes the answer that was written where claim() said; `bytes` hold the address and control data from `at`. */
  add(bytes: Uint8Array, at: number, length: number): void {
    const index = this.#count++;
    const memory = this.#messages.bytes;
    const nameAt = this.#messages.nameAt(index);
    const controlAt = this.#messages.controlAt(index);
    const controlFrom = at + Layout.CONTROL - Layout.NAME;
    for (let byte = 0; byte < NAME_BYTES; byte++) memory[nameAt + byte] = bytes[at + byte] as number;
    for (let byte = 0; byte < CONTROL_BYTES; byte++) memory[controlAt + byte] = bytes[controlFrom + byte] as number;
    const controlBytes = bytes[at + Layout.CONTROL_LENGTH - Layout.NAME] as number; // at most CONTROL_BYTES
    this.#messages.setName(index, nameAt, bytes[at] === AF_INET6 ? SOCKADDR_BYTES : SOCKADDR_IPV4_BYTES);
    this.#messages.setControl(index, controlAt, controlBytes);
    this.#messages.setPayload(index, this.#nextAt, length);
    this.#nextAt += length;
  }

  flush(): void {
    const fd = this.#point?.fd;
    if (this.#count > 0 && fd !== undefined) sendAll(this.#native, fd, this.#messages, this.#count, MSG_DONTWAIT, this.#failures);
    this.#point = undefined;
    this.#count = 0;
    this.#nextAt = 0;
  }
}
