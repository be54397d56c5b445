// NOTIFY (RFC 1996): tells secondaries that a zone has changed, so that they need not wait for their next refresh. Best effort:
// who does not answer is told again a few times, and finds out by itself in the end.

import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import type { Clock } from "../../clock.ts";
import { Flags, HEADER_BYTES, putUint16, uint16 } from "../../dns/message.ts";
import { nameToWire, type Name } from "../../dns/name.ts";
import { RRClasses, RRTypes } from "../../dns/records.ts";

export interface Notice {
  readonly apex: Name;
  readonly to: { readonly address: string; readonly port: number };
  /** Of ours; undefined: the system chooses. */
  readonly source: string | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const OPCODE_NOTIFY = 4;
/** Between two attempts, and at last for an answer. */
const WAITS_MS = [1_000, 2_000, 4_000];

/** Resolves with why it was in vain; undefined once there is an answer, or `signal` aborts. Never rejects. */
export async function notify({ apex, to, source, clock, signal }: Notice): Promise<string | undefined> {
  const socket = createSocket({ type: to.address.includes(":") ? "udp6" : "udp4" }).unref();
  const message = notice(apex);
  const ended = new AbortController();
  let outcome: string | undefined = "no answer";
  const end = (why: string | undefined): void => {
    outcome = why;
    ended.abort();
  };
  socket.on("error", (error) => end(error.message));
  socket.on("message", (answer, from) => {
    const isAnswer = answer.length >= HEADER_BYTES && uint16(answer, 0) === uint16(message, 0) && ((answer[2] as number) & 0x80) !== 0;
    if (isAnswer && from.port === to.port) end(undefined);
  });
  if (source !== undefined) socket.bind({ address: source });
  const waiting = AbortSignal.any([ended.signal, signal]);
  for (const waitMs of WAITS_MS) {
    if (waiting.aborted) break;
    socket.send(message, to.port, to.address, () => {}); // an error is an attempt in vain
    await clock.delay(waitMs, waiting);
  }
  socket.close();
  return signal.aborted ? undefined : outcome;
}

function notice(apex: Name): Uint8Array {
  const name = nameToWire(apex);
  const message = new Uint8Array(HEADER_BYTES + name.length + 4);
  putUint16(message, 0, randomInt(0x1_0000));
  putUint16(message, 2, (OPCODE_NOTIFY << 11) | Flags.AA);
  putUint16(message, 4, 1);
  message.set(name, HEADER_BYTES);
  putUint16(message, HEADER_BYTES + name.length, RRTypes.SOA);
  putUint16(message, HEADER_BYTES + name.length + 2, RRClasses.IN);
  return message;
}
