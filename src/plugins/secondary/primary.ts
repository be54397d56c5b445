// Asks a primary server over TCP for a zone's SOA, or for the whole zone (AXFR, RFC 5936). What it sends is judged here: a zone
// that is not whole, not sound or too large is none. Called by secondary.ts.

import { randomInt } from "node:crypto";
import { connect } from "node:net";
import { decodeMessage, type DecodedMessage, type DecodedRecord } from "../../dns/decode.ts";
import { HEADER_BYTES, putUint16 } from "../../dns/message.ts";
import { isWithin, nameToWire, type Name } from "../../dns/name.ts";
import { RRClasses, RRTypes, type Rdata, type RecordSet, type RRType } from "../../dns/records.ts";
import { rcodeName } from "../../dns/text.ts";
import type { Primary } from "./options.ts";

/** What is wrong with a primary, or with what it sent. */
export class TransferError extends Error {}

const LENGTH_BYTES = 2;
/** Of one zone, as messages. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_RECORDS = 1_000_000;
/** Without a byte. */
const IDLE_MS = 10_000;
const MAX_TRANSFER_MS = 120_000;

/** The serial of the zone. Rejects with a TransferError. */
export async function askSerial(primary: Primary, apex: Name, signal: AbortSignal): Promise<number> {
  for await (const { answer } of messages(primary, apex, RRTypes.SOA, signal)) {
    const soa = answer.find(({ owner, type }) => owner === apex && type === RRTypes.SOA);
    if (soa === undefined) throw new TransferError("no SOA in the answer");
    return serialOf(soa.rdata);
  }
  throw new TransferError("no answer");
}

/** All records of the zone, the SOA first. Rejects with a TransferError. */
export async function askZone(primary: Primary, apex: Name, signal: AbortSignal): Promise<readonly RecordSet[]> {
  const sets = new Map<string, RecordSet & { readonly rdata: Rdata[] }>();
  const seen = new Set<string>();
  let count = 0;
  for await (const { answer } of messages(primary, apex, RRTypes.AXFR, signal)) {
    for (const record of answer) {
      const isSoa = record.type === RRTypes.SOA;
      if (count === 0 && !(isSoa && record.owner === apex)) throw new TransferError("a transfer begins with the zone's SOA");
      if (count > 0 && isSoa) return [...sets.values()];
      if (++count > MAX_RECORDS) throw new TransferError(`more than ${MAX_RECORDS} records`);
      take(record);
    }
  }
  throw new TransferError("the transfer ended before its last SOA");

  function take({ owner, type, rrclass, ttl, rdata }: DecodedRecord): void {
    if (rrclass !== RRClasses.IN || !isWithin(owner, apex)) throw new TransferError("a record is not of the zone");
    const key = `${type} ${owner}`;
    const record = `${key} ${Buffer.from(rdata).toString("latin1")}`;
    if (seen.has(record)) return; // an rrset has no record twice (RFC 2181 §5)
    seen.add(record);
    const set = sets.get(key);
    if (set === undefined) sets.set(key, { owner, type, ttl, rdata: [rdata] });
    else set.rdata.push(rdata);
  }
}

/** The serial is followed by four times of 32 bits. */
const BEHIND_SERIAL_BYTES = 20;

export function serialOf(soa: Rdata): number {
  if (soa.length < BEHIND_SERIAL_BYTES + 2) throw new TransferError("the SOA is not sound");
  return Buffer.from(soa.buffer, soa.byteOffset, soa.length).readUInt32BE(soa.length - BEHIND_SERIAL_BYTES);
}

// The messages that answer a question, each sound and without error; the connection ends with the loop.
async function* messages({ address, port }: Primary, apex: Name, type: RRType, signal: AbortSignal): AsyncGenerator<DecodedMessage> {
  const id = randomInt(0x1_0000);
  const socket = connect({ host: address, port, signal: AbortSignal.any([signal, AbortSignal.timeout(MAX_TRANSFER_MS)]) });
  socket.setTimeout(IDLE_MS, () => socket.destroy(new TransferError(`nothing came for ${IDLE_MS / 1_000} s`)));
  socket.write(question(id, apex, type));
  let received: Buffer = Buffer.alloc(0);
  let total = 0;
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > MAX_BYTES) throw new TransferError(`more than ${MAX_BYTES} bytes`);
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      while (received.length >= LENGTH_BYTES && received.length >= LENGTH_BYTES + received.readUInt16BE(0)) {
        const end = LENGTH_BYTES + received.readUInt16BE(0);
        yield judged(received.subarray(LENGTH_BYTES, end), id, apex);
        received = received.subarray(end);
      }
    }
  } catch (error) {
    if (error instanceof TransferError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new TransferError(code ?? message, { cause: error });
  } finally {
    socket.destroy();
  }
}

function judged(bytes: Uint8Array, id: number, apex: Name): DecodedMessage {
  const message = decodeMessage(bytes);
  const isOurs =
    message?.id === id && (message.flags & 0x8000) !== 0 && (message.question === undefined || message.question.qname === apex);
  if (message === undefined || !isOurs) throw new TransferError("the answer is not sound");
  if (message.rcode !== 0) throw new TransferError(rcodeName(message.rcode));
  return message;
}

function question(id: number, apex: Name, type: RRType): Uint8Array {
  const name = nameToWire(apex);
  const length = HEADER_BYTES + name.length + 4;
  const message = new Uint8Array(LENGTH_BYTES + length);
  putUint16(message, 0, length);
  putUint16(message, 2, id);
  putUint16(message, 6, 1);
  message.set(name, LENGTH_BYTES + HEADER_BYTES);
  putUint16(message, message.length - 4, type);
  putUint16(message, message.length - 2, RRClasses.IN);
  return message;
}
