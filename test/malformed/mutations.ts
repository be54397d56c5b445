// What can be wrong with an upstream's answer: mutations of a real one, drawn from a seed, so that a failing one can be
// made again. Id and question stay as they are, unless a mutation says otherwise: with others the packet is none for us.

import { HEADER_BYTES, questionEnd } from "../../src/dns/message.ts";
import { randomFrom } from "../conformance/coredns/random-cluster.ts";
import { uint16s } from "../helpers/dns-client.ts";

/** A whole number below `below`. */
export type Draw = (below: number) => number;

/** The same numbers for the same seed, everywhere. */
export function drawFrom(seed: number): Draw {
  const random = randomFrom(seed);
  return (below) => Math.floor(random() * below);
}

/** A message like `message`, but wrong, or odd. */
export type Mutation = (message: Buffer, draw: Draw) => Buffer;

const OPT_TYPE = 41;
const TSIG_TYPE = 250;
const TTLS = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const COUNTS = [0, 1, 2, 255, 0xffff];

/** By name; all leave id and question alone. */
export const mutations: Readonly<Record<string, Mutation>> = {
  "flipped bits": (message, draw) => {
    const bytes = Buffer.from(message);
    for (let left = 1 + draw(8); left > 0; left--) {
      const at = behindQuestion(bytes, draw);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << draw(8));
    }
    return bytes;
  },
  "other flags": (message, draw) => {
    const bytes = Buffer.from(message);
    bytes[2] = 0x80 | (draw(256) & 0x07); // a response, opcode 0
    bytes[3] = draw(256);
    return bytes;
  },
  "cut short": (message, draw) => message.subarray(0, questionEnd(message) + draw(message.length - questionEnd(message))),
  "cut short, TC": (message, draw) => {
    const bytes = Buffer.from(message.subarray(0, questionEnd(message) + draw(message.length - questionEnd(message))));
    bytes[2] = (bytes[2] as number) | 0x02;
    return bytes;
  },
  "another count": (message, draw) => {
    const bytes = Buffer.from(message);
    bytes.writeUInt16BE(COUNTS[draw(COUNTS.length)] as number, 6 + 2 * draw(3));
    return bytes;
  },
  "counts in other sections": (message, draw) => {
    const bytes = Buffer.from(message);
    const counts = [6, 8, 10].map((at) => message.readUInt16BE(at));
    for (let left = 3; left > 0; left--) bytes.writeUInt16BE(counts.splice(draw(left), 1)[0] as number, 4 + 2 * left);
    return bytes;
  },
  "a pointer": (message, draw) => {
    const bytes = Buffer.from(message);
    bytes.writeUInt16BE(0xc000 | draw(bytes.length + 8), Math.min(inRecords(bytes, draw), bytes.length - 2));
    return bytes;
  },
  "an owner that points somewhere": (message, draw) => withOwner(message, draw, uint16s(0xc000 | draw(message.length))),
  "an owner that points to itself": (message, draw) => withOwner(message, draw, (at) => uint16s(0xc000 | at)),
  "an owner that points in a circle": (message, draw) =>
    withOwner(message, draw, (at) => Buffer.concat([Buffer.of(1, 0x61), uint16s(0xc000 | at)])),
  "an owner of 300 octets": (message, draw) => withOwner(message, draw, Buffer.concat([Buffer.alloc(300, "\x09aaaaaaaaa"), Buffer.of(0)])),
  "an owner of many labels": (message, draw) => withOwner(message, draw, Buffer.concat([Buffer.alloc(252, "\x01a"), Buffer.of(0)])),
  "an odd owner": (message, draw) => withOwner(message, draw, Buffer.of(3, 0, 0x2e, 0xff, 0)),
  "other TTLs": (message, draw) => {
    const bytes = Buffer.from(message);
    for (const { fixedAt } of recordsOf(bytes)) bytes.writeUInt32BE(TTLS[draw(TTLS.length)] as number, fixedAt + 4);
    return bytes;
  },
  "another type": (message, draw) => withWord(message, draw, 0, [1, 2, 5, 6, 12, 15, 33, OPT_TYPE, TSIG_TYPE, 46, 47, 39, 255, 65_280]),
  "another class": (message, draw) => withWord(message, draw, 2, [0, 2, 3, 254, 255, 0x8001]),
  "another RDLENGTH": (message, draw) => withWord(message, draw, 8, [0, 1, 3, 5, 16, 255, 0xffff]),
  "an OPT record in any place": (message, draw) => withRecord(message, draw, opt(draw)),
  "two OPT records behind": (message, draw) => append(append(message, opt(draw)), opt(draw)),
  "an OPT record with broken options": (message, draw) => append(message, record(Buffer.of(0), OPT_TYPE, randomBytes(1 + draw(30), draw))),
  "an EDE that is no text": (message, draw) =>
    append(message, record(Buffer.of(0), OPT_TYPE, Buffer.concat([uint16s(15, 202, draw(65_536)), Buffer.alloc(200, 0xff)]))),
  "a TSIG record in any place": (message, draw) => withRecord(message, draw, record(Buffer.of(0), TSIG_TYPE, randomBytes(40, draw))),
  "a record behind OPT": (message, draw) => append(append(message, opt(draw)), record(Buffer.of(0xc0, 12), 1, Buffer.of(192, 0, 2, 9))),
  "records twice": (message) => twice(message),
  "bytes behind": (message, draw) => Buffer.concat([message, randomBytes(1 + draw(100), draw)]),
  "bytes taken out": (message, draw) => {
    const at = inRecords(message, draw);
    return Buffer.concat([message.subarray(0, at), message.subarray(at + 1 + draw(12))]);
  },
  "bytes put in": (message, draw) => {
    const at = inRecords(message, draw);
    return Buffer.concat([message.subarray(0, at), randomBytes(1 + draw(12), draw), message.subarray(at)]);
  },
  "noise behind the question": (message, draw) => {
    const end = questionEnd(message);
    return Buffer.concat([message.subarray(0, end), randomBytes(message.length - end, draw)]);
  },
  "a name that goes on behind its record": (message, draw) => {
    // The second name of a SOA starts in the TTL and is as long as what stands behind.
    const { fixedAt, end } = anyRecord(message, draw);
    const bytes = Buffer.concat([message, Buffer.alloc(63, 0)]);
    bytes.writeUInt16BE(6, fixedAt);
    bytes.writeUInt16BE(0xc000 | (fixedAt + 7), fixedAt + 10);
    bytes[fixedAt + 7] = Math.min(63, end - fixedAt - 6);
    return bytes;
  },
  "the question alone": (message) => message.subarray(0, questionEnd(message)),
};

/** The header alone, a runt, nothing, another question: never an answer. */
export const strangers: Readonly<Record<string, Mutation>> = {
  "no bytes": () => Buffer.alloc(0),
  "one byte": (message) => message.subarray(0, 1),
  "half a header": (message, draw) => message.subarray(0, draw(HEADER_BYTES)),
  "the header alone": (message) => Buffer.concat([message.subarray(0, 4), uint16s(0, 0, 0, 0)]),
  "no question": (message) => Buffer.concat([message.subarray(0, 4), uint16s(0), message.subarray(6)]),
  "two questions": (message) => Buffer.concat([message.subarray(0, 4), uint16s(2), message.subarray(6)]),
  "a question that points to itself": (message) =>
    Buffer.concat([message.subarray(0, HEADER_BYTES), uint16s(0xc000 | HEADER_BYTES), message.subarray(questionEnd(message) - 4)]),
  "another opcode": (message) => Buffer.from(message).fill(0xa8, 2, 3),
  noise: (message, draw) => Buffer.concat([message.subarray(0, 2), randomBytes(message.length, draw)]),
};

/** More records than UDP takes: 64 KiB in all. */
export function grown(message: Buffer, bytes: number): Buffer {
  const text = record(Buffer.of(0xc0, HEADER_BYTES), 16, Buffer.concat([Buffer.of(199), Buffer.alloc(199, 0x78)]));
  const count = Math.floor((bytes - questionEnd(message)) / text.length);
  const counts = uint16s(count, 0, 0);
  return Buffer.concat([
    message.subarray(0, 6),
    counts,
    message.subarray(12, questionEnd(message)),
    ...Array.from({ length: count }, () => text),
  ]);
}

interface Place {
  readonly at: number;
  readonly fixedAt: number;
  readonly end: number;
}

// Of a sound message.
function recordsOf(message: Buffer): Place[] {
  const places: Place[] = [];
  let at = questionEnd(message);
  while (at < message.length) {
    let fixedAt = at;
    for (let length = message[fixedAt] as number; length > 0 && length < 0xc0; length = message[fixedAt] as number) fixedAt += 1 + length;
    fixedAt += message[fixedAt] === 0 ? 1 : 2;
    const end = fixedAt + 10 + message.readUInt16BE(fixedAt + 8);
    places.push({ at, fixedAt, end });
    at = end;
  }
  return places;
}

function anyRecord(message: Buffer, draw: Draw): Place {
  const places = recordsOf(message);
  return places[draw(places.length)] as Place;
}

function withOwner(message: Buffer, draw: Draw, owner: Buffer | ((at: number) => Buffer)): Buffer {
  const { at, fixedAt } = anyRecord(message, draw);
  return Buffer.concat([message.subarray(0, at), typeof owner === "function" ? owner(at) : owner, message.subarray(fixedAt)]);
}

function withWord(message: Buffer, draw: Draw, offset: number, values: readonly number[]): Buffer {
  const bytes = Buffer.from(message);
  bytes.writeUInt16BE(values[draw(values.length)] as number, anyRecord(message, draw).fixedAt + offset);
  return bytes;
}

// In front of any record, and counted in its section.
function withRecord(message: Buffer, draw: Draw, bytes: Buffer): Buffer {
  const { at } = anyRecord(message, draw);
  const countAt = 6 + 2 * draw(3);
  const inserted = Buffer.concat([message.subarray(0, at), bytes, message.subarray(at)]);
  inserted.writeUInt16BE(inserted.readUInt16BE(countAt) + 1, countAt);
  return inserted;
}

function append(message: Buffer, bytes: Buffer): Buffer {
  const longer = Buffer.concat([message, bytes]);
  longer.writeUInt16BE(longer.readUInt16BE(10) + 1, 10);
  return longer;
}

function twice(message: Buffer): Buffer {
  const end = questionEnd(message);
  const answers = message.readUInt16BE(6);
  const section = message.subarray(end, recordsOf(message)[answers - 1]?.end ?? end);
  const doubled = Buffer.concat([message.subarray(0, end), section, message.subarray(end)]);
  doubled.writeUInt16BE(2 * answers, 6);
  return doubled;
}

function opt(draw: Draw): Buffer {
  return record(Buffer.of(0), OPT_TYPE, draw(2) === 0 ? Buffer.alloc(0) : Buffer.concat([uint16s(15, 6, draw(40)), Buffer.from("text")]));
}

function record(owner: Buffer, type: number, rdata: Buffer): Buffer {
  return Buffer.concat([owner, uint16s(type, 1, 0, 60, rdata.length), rdata]);
}

function randomBytes(length: number, draw: Draw): Buffer {
  return Buffer.from(Array.from({ length }, () => draw(256)));
}

function inRecords(message: Buffer, draw: Draw): number {
  const end = questionEnd(message);
  return end + draw(message.length - end);
}

// In the records, or in their counts.
function behindQuestion(message: Buffer, draw: Draw): number {
  return draw(8) === 0 ? HEADER_BYTES - 1 - draw(6) : inRecords(message, draw);
}
