// The loop of a listener thread: many packets from the kernel in one call, their answers back in another. What the
// front can't answer goes to the main thread through a ring. Run by batch-worker.ts. Nothing is allocated for a packet,
// and the thread never returns to an event loop until it is told to stop.

import { ASK_CHAIN, type Front } from "../front.ts";
import { Exchange, Verdicts } from "../dns/question.ts";
import type { Hit } from "../answers/answer-table.ts";
import {
  dropIndex,
  failuresOf,
  FAULTS,
  HEARTBEAT,
  LOG_LOST,
  LOG_WOKEN,
  PACKET_BYTES,
  PACKET_STRIDE,
  PACKETS,
  RECEIVE_MESSAGES,
  RECEIVE_TIMEOUT_MS,
  RECEIVED,
  Layout,
  REPLIES,
  REPLY_STRIDE,
  SEND_MESSAGES,
  Signals,
  STOP,
  WOKEN,
  type Signal,
  type ThreadData,
  type ThreadSocket,
} from "./batch-shared.ts";
import { BATCH, CONTROL_BYTES, Messages, NAME_BYTES, sendAll, toReplyControl } from "./messages.ts";
import { EAGAIN, EINTR, MSG_DONTWAIT, MSG_WAITFORONE, type Native } from "./native.ts";
import { RingWriter } from "./ring.ts";
import { defectAt, familyAt, portAt } from "./sockaddr.ts";

/** A front over a table that wants to know when it is being read. */
export interface ThreadFront extends Front {
  /** Before a batch. */
  enter(): void;
  /** After it: nothing of the table is held while the thread waits. */
  leave(): void;
}

/** Told of hits that somebody wants to observe. */
export type OnHit = (io: Exchange, hit: Hit, durationMs: number) => void;

export interface LoopOptions {
  readonly native: Native;
  readonly data: ThreadData;
  /** The front of each socket. */
  createFront(socket: ThreadSocket, onHit: OnHit): ThreadFront;
  /** To the main thread. */
  signal(signal: Signal): void;
}

/** Full batches in a row that one socket of several may have before the others are asked. */
const BATCHES_IN_A_ROW = 8;
/** Batches that are still answered when the thread is told to stop: as many as a receive buffer holds. */
const LAST_BATCHES = 128;
/**
 * Packets a second that are answered with an error, or refused, by the main thread (error-limit.ts bounds what it sends),
 * or that come from the port they go to.
 */
const ODD_PER_SECOND = 2_000;
/** What to do about an error of recvmmsg is unknown; to spin is wrong. */
const PAUSE_MS = 10;
/** So many in a row, a second, and the thread is deaf though its heart beats: it ends, and another takes its place. */
const MAX_ERRORS = 100;

const OVERLOAD = dropIndex("overload");
const ERROR_RATE = dropIndex("error_rate");

/** Serves the sockets until the stop word is set. */
export function runLoop({ native, data, createFront, signal }: LoopOptions): void {
  const { control, counters, memory, sockets } = data;
  const received = new Messages(native, memory, RECEIVE_MESSAGES);
  const replies = new Messages(native, memory, SEND_MESSAGES);
  const failures = failuresOf(counters);
  const misses = new RingWriter(data.misses);
  const missTimes = new Float64Array(misses.bytes.buffer);
  const hits = data.hits === undefined ? undefined : new RingWriter(data.hits);
  const hitTimes = hits === undefined ? missTimes : new Float64Array(hits.bytes.buffer);
  const io = exchangeOver(memory);
  const fronts = sockets.map((socket) => (socket.front < 0 ? NO_FRONT : createFront(socket, onHit)));
  let current = 0; // the packet that is being answered, and the socket it came from
  let currentSocket = 0;
  const errors = new Int32Array(sockets.length); // of recvmmsg in a row, by socket
  let oddWindowMs = Number.NEGATIVE_INFINITY;
  let oddInWindow = 0;

  for (let index = 0; index < BATCH; index++) {
    received.setPayload(index, PACKETS + index * PACKET_STRIDE, PACKET_BYTES);
    replies.setPayload(index, REPLIES + index * REPLY_STRIDE, 0);
    received.reset(index, CONTROL_BYTES);
  }
  signal(Signals.RUNNING);
  if (sockets.length === 1) while (isToRun()) serve(0, MSG_WAITFORONE);
  else serveMany();
  for (let index = 0; index < sockets.length; index++) {
    for (let batch = 0; batch < LAST_BATCHES && serve(index, MSG_DONTWAIT) > 0; batch++);
  }
  if (hits !== undefined && hits.used > 0) signal(Signals.HITS_NOW);

  function isToRun(): boolean {
    Atomics.add(control, HEARTBEAT, 1);
    return Atomics.load(control, STOP) === 0;
  }

  // Stays on a socket that gave a full batch; asks the kernel which has something only when none gave anything.
  function serveMany(): void {
    const ready = createPollSet(native, sockets);
    while (isToRun()) {
      if (ready.wait() === 0) continue;
      for (let index = 0; index < sockets.length; index++) {
        if (!ready.has(index)) continue;
        for (let batch = 0; batch < BATCHES_IN_A_ROW && serve(index, MSG_DONTWAIT) === BATCH; batch++);
      }
    }
  }

  /** One batch of one socket; returns how many packets it had. */
  function serve(socketIndex: number, flags: number): number {
    const { fd, port, hasPacketInfo } = sockets[socketIndex] as ThreadSocket;
    const count = native.recvmmsg(fd, received.address, BATCH, flags);
    if (count <= 0) {
      if (count === -EAGAIN) errors[socketIndex] = 0;
      else if (count !== -EINTR) pause(socketIndex, count);
      return 0;
    }
    errors[socketIndex] = 0;
    counters[RECEIVED + socketIndex] = (counters[RECEIVED + socketIndex] as number) + count;
    const front = fronts[socketIndex] as ThreadFront;
    io.receivedAtMs = performance.now(); // in all threads from the same beginning
    io.localPort = port;
    currentSocket = socketIndex;
    let queued = 0;
    let handedOver = 0;
    front.enter();
    for (let index = 0; index < count; index++) {
      const nameAt = received.nameAt(index);
      const defect = defectAt(memory, nameAt);
      if (defect >= 0) {
        count1(defect);
        continue;
      }
      current = index;
      io.inAt = PACKETS + index * PACKET_STRIDE;
      io.inEnd = io.inAt + received.length(index);
      io.outAt = REPLIES + queued * REPLY_STRIDE;
      io.family = familyAt(memory, nameAt);
      const remotePort = portAt(memory, nameAt);
      io.remotePort = remotePort;
      io.verdict = Verdicts.OK;
      // From our own port: perhaps ourselves. The main thread knows our addresses, and is asked as seldom as of odd packets.
      const length = remotePort === port ? ASK_CHAIN : answer(front);
      if (length > 0) {
        if (hasPacketInfo) toReplyControl(memory, received.controlAt(index));
        replies.setName(queued, nameAt, received.nameLength(index));
        replies.setControl(queued, received.controlAt(index), received.controlLength(index));
        replies.setPayloadLength(queued, length);
        queued++;
      } else if (length === ASK_CHAIN) handedOver += handOver(hasPacketInfo);
    }
    front.leave();
    if (queued > 0) sendAll(native, fd, replies, queued, 0, failures);
    if (handedOver > 0 && Atomics.exchange(control, WOKEN, 1) === 0) signal(Signals.MISSES);
    for (let index = 0; index < count; index++) received.reset(index, CONTROL_BYTES);
    return count;
  }

  // One packet at which the look-up fails is the chain's business; it must not end the thread for all others.
  function answer(front: ThreadFront): number {
    try {
      return front.answer(io);
    } catch (error) {
      tellFault(error instanceof Error ? (error.stack ?? error.message) : String(error));
      return ASK_CHAIN;
    }
  }

  function handOver(hasPacketInfo: boolean): number {
    if ((io.verdict !== Verdicts.OK || io.remotePort === io.localPort) && !isOddAllowed()) return 0;
    const packetBytes = io.inEnd - io.inAt;
    const at = misses.claim(Layout.MISS_PACKET + packetBytes);
    if (at < 0) {
      count1(OVERLOAD);
      return 0;
    }
    const { bytes, words } = misses;
    const nameAt = received.nameAt(current);
    const controlAt = received.controlAt(current);
    if (hasPacketInfo) toReplyControl(memory, controlAt);
    missTimes[at >> 3] = io.receivedAtMs;
    words[(at + Layout.SOCKET) >> 2] = currentSocket;
    words[(at + Layout.PACKET_LENGTH) >> 2] = packetBytes;
    copy(memory, nameAt, bytes, at + Layout.NAME, NAME_BYTES);
    words[(at + Layout.CONTROL_LENGTH) >> 2] = received.controlLength(current);
    copy(memory, controlAt, bytes, at + Layout.CONTROL, CONTROL_BYTES);
    copy(memory, io.inAt, bytes, at + Layout.MISS_PACKET, packetBytes);
    misses.commit();
    return 1;
  }

  function isOddAllowed(): boolean {
    if (io.receivedAtMs - oddWindowMs >= 1000) {
      oddWindowMs = io.receivedAtMs;
      oddInWindow = 0;
    }
    if (oddInWindow < ODD_PER_SECOND) {
      oddInWindow++;
      return true;
    }
    count1(ERROR_RATE);
    return false;
  }

  function onHit(_io: Exchange, hit: Hit, durationMs: number): void {
    if (hits === undefined) return;
    const packetBytes = io.inEnd - io.inAt;
    const at = hits.claim(Layout.HIT_PACKET + packetBytes);
    if (at < 0) return count1(LOG_LOST);
    const { bytes, words } = hits;
    hitTimes[at >> 3] = io.receivedAtMs;
    words[(at + Layout.SOCKET) >> 2] = currentSocket;
    words[(at + Layout.PACKET_LENGTH) >> 2] = packetBytes;
    copy(memory, received.nameAt(current), bytes, at + Layout.NAME, NAME_BYTES);
    hitTimes[(at + Layout.DURATION) >> 3] = durationMs;
    const word = (at + Layout.HIT) >> 2;
    words[word] = hit.length;
    words[word + 1] = hit.rcode;
    words[word + 2] = hit.replyFlags;
    words[word + 3] = hit.answerCount;
    words[word + 4] = hit.block;
    words[word + 5] = hit.zone;
    copy(memory, io.inAt, bytes, at + Layout.HIT_PACKET, packetBytes);
    hits.commit();
    const woken = Atomics.load(control, LOG_WOKEN);
    if (woken === Signals.HITS_NOW) return;
    const wanted = hits.used * 2 > bytes.length ? Signals.HITS_NOW : Signals.HITS_SOON;
    if (woken === wanted) return;
    Atomics.store(control, LOG_WOKEN, wanted);
    signal(wanted);
  }

  function count1(cell: number): void {
    counters[cell] = (counters[cell] as number) + 1;
  }

  function pause(socketIndex: number, result: number): void {
    const fault = `recvmmsg: ${native.errorName(-result)}`;
    tellFault(fault);
    errors[socketIndex] = (errors[socketIndex] as number) + 1;
    if ((errors[socketIndex] as number) >= MAX_ERRORS) throw new Error(`${fault}, ${MAX_ERRORS} times in a row`);
    Atomics.wait(control, STOP, 0, PAUSE_MS);
  }

  // The first in words; a bad moment may bring thousands.
  function tellFault(fault: string): void {
    if (counters[FAULTS] === 0) signal({ fault });
    count1(FAULTS);
  }
}

const NO_FRONT: ThreadFront = { answer: () => ASK_CHAIN, enter() {}, leave() {} };

// The exchange of a thread: packets are read and answers written where the kernel has them.
function exchangeOver(memory: Uint8Array): Exchange {
  const io = new Exchange(0);
  return Object.assign(io, { transport: "udp" as const, in: memory, out: memory });
}

/** A call of the engine costs more than a loop over a short packet. */
const LOOP_BYTES = 256;

function copy(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  if (length > LOOP_BYTES) to.set(from.subarray(fromAt, fromAt + length), toAt);
  else for (let index = 0; index < length; index++) to[toAt + index] = from[fromAt + index] as number;
}

interface PollSet {
  /** Waits until a socket has a packet, or for the receive timeout; returns how many have. */
  wait(): number;
  has(index: number): boolean;
}

// struct pollfd: fd 4 │ events 2 │ revents 2
function createPollSet(native: Native, sockets: readonly ThreadSocket[]): PollSet {
  const POLLFD_BYTES = 8;
  const POLLIN = 1;
  const LEAST_BYTES = 256; // a smaller buffer may lie in V8's heap, and move
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(LEAST_BYTES, sockets.length * POLLFD_BYTES)));
  const words = new Int32Array(bytes.buffer);
  const address = native.addressOf(bytes);
  sockets.forEach(({ fd }, index) => (words[index * 2] = fd));
  return {
    wait() {
      for (let index = 0; index < sockets.length; index++) words[index * 2 + 1] = POLLIN;
      return Math.max(0, native.poll(address, sockets.length, RECEIVE_TIMEOUT_MS));
    },
    has: (index) => (words[index * 2 + 1] as number) >>> 16 !== 0,
  };
}
