// What the main thread and a listener thread share, made anew for each thread that is started: words to steer by,
// counters, the memory of packets and replies, and two rings. Everything is structured-cloneable.
//
//   control   STOP main → thread │ HEARTBEAT thread → main │ WOKEN, LOG_WOKEN: a message to main is under way
//   counters  received by socket… behind: dropped by reason │ send failures by errno │ lost log records │ faults

import { SOURCE_DEFECTS } from "./sockaddr.ts";
import type { SourceDefect } from "./source-policy.ts";
import { clearRing, createRing, type SharedRing } from "./ring.ts";
import { BATCH, Messages } from "./messages.ts";
import type { SharedFront } from "../front.ts";

export const STOP = 0;
export const HEARTBEAT = 1;
export const WOKEN = 2;
export const LOG_WOKEN = 3;
const CONTROL_WORDS = 16;

/** Why a packet got no answer; the `reason` label of `ndots_dropped_packets_total`. */
export type DropReason = SourceDefect | "source_own" | "overload" | "error_rate";
export const DROP_REASONS: readonly DropReason[] = [...SOURCE_DEFECTS, "source_own", "overload", "error_rate"];
export const dropIndex = (reason: DropReason): number => DROP_REASONS.indexOf(reason);

/** Linux' errnos end at 133. */
const ERRNOS = 134;
export const SEND_FAILURES: number = DROP_REASONS.length;
export const LOG_LOST: number = SEND_FAILURES + ERRNOS;
/** Packets at which the look-up threw, which the main thread answered, and errors of recvmmsg. */
export const FAULTS: number = LOG_LOST + 1;
export const RECEIVED: number = FAULTS + 1;

export function createCounters(sockets: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer((RECEIVED + sockets) * Float64Array.BYTES_PER_ELEMENT));
}

export function failuresOf(counters: Float64Array): Float64Array {
  return counters.subarray(SEND_FAILURES, SEND_FAILURES + ERRNOS);
}

/** How long a thread waits in the kernel before it looks whether it shall stop. */
export const RECEIVE_TIMEOUT_MS = 100;

/** A whole datagram fits; of most only the first page is ever touched. The odd size spreads buffers over the cache's sets. */
export const PACKET_BYTES = 65_535;
export const PACKET_STRIDE: number = 65_536 + 3 * 64;
/** Longer answers than this are truncated over UDP (`bufsize` allows no more). */
const REPLY_BYTES = 4096;
export const REPLY_STRIDE: number = REPLY_BYTES + 3 * 64;

/** Offsets in the memory of packets and replies. */
export const RECEIVE_MESSAGES = 0;
export const SEND_MESSAGES: number = Messages.BYTES;
export const PACKETS: number = 2 * Messages.BYTES;
export const REPLIES: number = PACKETS + BATCH * PACKET_STRIDE;
const MEMORY_BYTES: number = REPLIES + BATCH * REPLY_STRIDE;

/** Room for some 7,000 usual misses that come while the main thread is busy. */
const MISS_RING_BYTES = 1024 * 1024;
/** Half a million hits a second fill it in about 10 ms: then lines are lost, and counted. */
const LOG_RING_BYTES = 1024 * 1024;

/** One socket of a thread, as the thread sees it. */
export interface ThreadSocket {
  readonly fd: number;
  readonly port: number;
  readonly hasPacketInfo: boolean;
  /** Index of its front in `fronts`; -1: everything is the main thread's. */
  readonly front: number;
}

/** workerData of a listener thread. */
export interface ThreadData {
  readonly sockets: readonly ThreadSocket[];
  readonly fronts: readonly SharedFront[];
  readonly control: Int32Array;
  readonly counters: Float64Array;
  readonly memory: Uint8Array;
  readonly misses: SharedRing;
  /** Undefined: no block wants to be told of hits. */
  readonly hits: SharedRing | undefined;
}

/** What a thread posts to the main thread. */
export const Signals = { RUNNING: 0, MISSES: 1, HITS_SOON: 2, HITS_NOW: 3 } as const;
export type Signal = (typeof Signals)[keyof typeof Signals] | { readonly fault: string };

/** The large parts of what a thread is given. */
export type ThreadMemory = Pick<ThreadData, "memory" | "misses"> & { readonly hits: SharedRing };

/**
 * Takes the memory of threads that have gone for the next: glibc gives large blocks that come and go no mappings of their
 * own for long, and then every page of them is touched (measured: 100 MiB more after twenty threads).
 */
export class ThreadMemories {
  readonly #free: ThreadMemory[] = [];

  take(): ThreadMemory {
    return (
      this.#free.pop() ?? {
        memory: new Uint8Array(new SharedArrayBuffer(MEMORY_BYTES)),
        misses: createRing(MISS_RING_BYTES),
        hits: createRing(LOG_RING_BYTES),
      }
    );
  }

  /** Nobody may use it any more. */
  give(memory: ThreadMemory): void {
    clearRing(memory.misses);
    clearRing(memory.hits);
    this.#free.push(memory);
  }
}

export function createThreadData(
  sockets: readonly ThreadSocket[],
  fronts: readonly SharedFront[],
  { memory, misses, hits }: ThreadMemory,
): ThreadData {
  return {
    sockets,
    fronts,
    memory,
    misses,
    hits: fronts.some(({ blocks }) => blocks.some(({ observed }) => observed)) ? hits : undefined,
    control: new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT)),
    counters: createCounters(sockets.length),
  };
}

// Records in the rings, at a multiple of 8:
//
//   0 time 8 │ 8 socket 4 │ 12 packetLength 4 │ 16 name 32 │ 48 controlLength 4 (8) │ 56 control 40 │ 96 packet…     a miss
//   0 time 8 │ 8 socket 4 │ 12 packetLength 4 │ 16 name 32 │ 48 duration 8 │ 56 length, rcode, flags, answers, block, zone 6×4 │ 80 packet…    a hit
export const Layout = {
  SOCKET: 8,
  PACKET_LENGTH: 12,
  NAME: 16,
  CONTROL_LENGTH: 48,
  CONTROL: 56,
  MISS_PACKET: 96,
  DURATION: 48,
  HIT: 56,
  HIT_PACKET: 80,
} as const;
/** Name, control length and control of a miss: all that its reply needs. */
export const RETURN_BYTES: number = Layout.MISS_PACKET - Layout.NAME;
