// What reached a socket after its thread's last look: read on the main thread, right before the socket is closed, so that a
// stop loses nothing. Called by batch.ts. It is the threads' own loop, told to stop before it begins, with nothing to
// look up in: every packet goes the way of a miss.

import type { Fold } from "./batch-metrics.ts";
import { runLoop } from "./batch-loop.ts";
import { createThreadData, STOP, type ThreadMemories } from "./batch-shared.ts";
import type { Misses } from "./misses.ts";
import type { Native } from "./native.ts";
import type { Served } from "./thread-slot.ts";
import type { UdpSocket } from "./udp-socket.ts";

/** A socket that nobody reads any more, and whose it is. */
export interface Unread {
  readonly socket: UdpSocket;
  readonly point: Served;
}

export interface LastReadOptions {
  readonly native: Native;
  readonly misses: Misses;
  readonly fold: Fold;
  readonly memories: ThreadMemories;
}

/** Answers what the sockets hold; what has no answer at once is promised, see Misses.idle(). */
export function readLast(unread: readonly Unread[], { native, misses, fold, memories }: LastReadOptions): void {
  if (unread.length === 0) return;
  const sockets = unread.map(({ socket, point }) => ({ fd: socket.fd, hasPacketInfo: socket.hasPacketInfo, port: point.port, front: -1 }));
  const memory = memories.take();
  const data = createThreadData(sockets, [], memory);
  const handover = { data, points: unread.map(({ point }) => point), responders: unread.map(({ point }) => point.by.responder) };
  Atomics.store(data.control, STOP, 1);
  misses.add(handover);
  fold.add(data.counters, (index, packets) => {
    const of = unread[index];
    if (of !== undefined) of.point.received += packets;
  });
  runLoop({ native, data, createFront: nothingToLookUpIn, signal: () => {} });
  misses.remove(handover);
  fold.remove(data.counters);
  memories.give(memory);
}

function nothingToLookUpIn(): never {
  throw new Error("these sockets have no table");
}
