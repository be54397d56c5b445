// A client of the soak: asks at a steady pace, over UDP from sockets that come and go and over TCP, and checks every
// answer: `soak-client.ts PORT`. Started by soak.ts, which tells it of each change before and after it is applied.

import { randomBytes, randomInt } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, type Socket as TcpSocket } from "node:net";
import { performance } from "node:perf_hooks";
import { buildQuery, readResult, type Result } from "../../src/client.ts";
import { anyQuestion, changing, type Question, versionShown } from "./soak-cluster.ts";

export interface ChangeNews {
  readonly index: number;
  readonly version: number;
  /** Not yet when the change is about to be made. */
  readonly applied: boolean;
}

export interface ClientReport {
  readonly asked: number;
  readonly answered: number;
  /** Over UDP, a second time. */
  readonly askedAgain: number;
  readonly lost: number;
  readonly wrong: number;
  /** The first few things that were not as they should be. */
  readonly complaints: readonly string[];
}

const QUERIES_PER_TURN = 20;
const TURN_MS = 10;
const UDP_SOCKETS = 8;
const TCP_SHARE = 0.2;
const TCP_CONNECTIONS = 2;
/** A client in a pod has another port for each query; here the sockets change, so that the kernel picks other threads. */
const NEW_SOCKET_MS = 500;
/** As a resolver, a client asks again: a thread that crashes takes with it what it has in hand. */
const AGAIN_MS = 1_000;
const LOST_MS = 2_000;
/** News of a change that an answer shows already must have come by then. */
const NEWS_MS = 2_000;
/** A turn that came later than this tells of this process, not of the server. */
const LATE_MS = 300;
/** Told of a minute, of wrong answers and of lost ones. */
const COMPLAINTS = 5;
/** The id of a query that was lost is not used again for so long: the answer may still come. */
const ID_MS = 60_000;
const HEADER_BYTES = 12;
const OPT_BYTES = 11;

interface Asked {
  readonly question: Question;
  readonly query: Uint8Array;
  readonly atMs: number;
  /** The version that was applied by then. */
  readonly least: number;
  isAgain: boolean;
  isLost: boolean;
}

interface Way {
  send(id: number, asked: Asked): void;
  readonly waiting: Map<number, Asked>;
}

const port = Number(process.argv[2]);
const applied = new Uint32Array(changing.length).fill(1);
const coming = new Uint32Array(changing.length).fill(1);
let complaints: { readonly wrong: string[]; readonly lost: string[] } = { wrong: [], lost: [] };
let [asked, answered, askedAgain, lost, wrong] = [0, 0, 0, 0, 0];

const udpWays = Array.from({ length: UDP_SOCKETS }, udpWay);
/** Asked nothing new, but not yet closed. */
const oldWays = new Set<Way>();
const tcpWays = Array.from({ length: TCP_CONNECTIONS }, tcpWay);
let lastTurnMs = performance.now();

setInterval(() => {
  const nowMs = performance.now();
  const isLate = nowMs - lastTurnMs > LATE_MS;
  lastTurnMs = nowMs;
  for (let nth = 0; nth < QUERIES_PER_TURN; nth++) ask(anyQuestion());
  // Behind the answers that wait in the sockets.
  if (!isLate) setImmediate(lookForLost);
}, TURN_MS);
setInterval(() => {
  const old = udpWays.shift();
  udpWays.push(udpWay());
  if (old === undefined) return;
  oldWays.add(old);
  setTimeout(() => {
    old.close();
    oldWays.delete(old);
  }, 2 * LOST_MS);
}, NEW_SOCKET_MS);

process.on("message", (news: ChangeNews | "report") => {
  if (news === "report") {
    process.send?.({
      asked,
      answered,
      askedAgain,
      lost,
      wrong,
      complaints: [...complaints.wrong, ...complaints.lost],
    } satisfies ClientReport);
    complaints = { wrong: [], lost: [] };
    return;
  }
  (news.applied ? applied : coming)[news.index] = news.version;
});
process.on("disconnect", () => process.exit(0));

function ask(question: Question): void {
  const way = Math.random() < TCP_SHARE ? pick(tcpWays) : pick(udpWays);
  let query = buildQuery(question.name, question.type);
  if (randomInt(2) === 0) {
    query = query.subarray(0, query.length - OPT_BYTES);
    query[11] = 0; // ARCOUNT
  }
  mixCase(query);
  const id = freeId(way.waiting);
  query[0] = id >> 8;
  query[1] = id & 255;
  const least = question.changing === undefined ? 0 : (applied[question.changing.index] ?? 0);
  const one: Asked = { question, query, atMs: performance.now(), least, isAgain: false, isLost: false };
  way.waiting.set(id, one);
  asked++;
  way.send(id, one);
}

// Letters in any case come back as they were (RFC 4343 §4.1).
function mixCase(query: Uint8Array): void {
  const mask = randomBytes(query.length);
  for (let at = HEADER_BYTES; query[at] !== 0; at += 1 + (query[at] as number)) {
    for (let letter = at + 1; letter <= at + (query[at] as number); letter++) {
      const code = query[letter] as number;
      if (code >= 0x61 && code <= 0x7a && (mask[letter] as number) < 128) query[letter] = code - 0x20;
    }
  }
}

function freeId(waiting: ReadonlyMap<number, unknown>): number {
  for (;;) {
    const id = randomInt(65_536);
    if (!waiting.has(id)) return id;
  }
}

function take(waiting: Map<number, Asked>, message: Uint8Array): void {
  const id = ((message[0] ?? 0) << 8) | (message[1] ?? 0);
  const one = waiting.get(id);
  if (one === undefined) return; // the answer to what was asked twice
  waiting.delete(id);
  if (one.isLost) return;
  answered++;
  const problem = problemOf(one, message);
  if (problem !== undefined) complain(one, problem);
}

function problemOf({ question, query, least }: Asked, message: Uint8Array): string | undefined {
  const end = query.length - (query[11] === 0 ? 0 : OPT_BYTES);
  if (message.length < end || Buffer.compare(query.subarray(HEADER_BYTES, end), message.subarray(HEADER_BYTES, end)) !== 0) {
    return "another question";
  }
  let result: Result;
  try {
    result = readResult(message);
  } catch (error) {
    return String(error);
  }
  if (!result.flags.includes("aa")) return `flags ${result.flags.join(" ")}`;
  if (question.changing === undefined) return question.wrong(result);
  const { index } = question.changing;
  const most = coming[index] ?? 0;
  if (versionShown(question.changing, result, least, most) !== undefined) return undefined;
  const one = question.changing;
  setTimeout(() => {
    if (versionShown(one, result, least, coming[index] ?? 0) !== undefined) return;
    complain({ question }, `${result.rcode} [${result.addresses.join(" ")}] is none of the versions ${least}–${coming[index]}`);
  }, NEWS_MS);
  return undefined;
}

function complain({ question }: Pick<Asked, "question">, problem: string): void {
  wrong++;
  if (complaints.wrong.length < COMPLAINTS) complaints.wrong.push(`${question.name} ${question.type}: ${problem}`);
}

function lookForLost(): void {
  const nowMs = performance.now();
  for (const way of [...udpWays, ...oldWays, ...tcpWays]) {
    for (const [id, one] of way.waiting) {
      const ageMs = nowMs - one.atMs;
      if (ageMs < AGAIN_MS) break; // in the order in which they were asked
      if (ageMs > ID_MS) {
        way.waiting.delete(id);
      } else if (ageMs > LOST_MS) {
        if (!one.isLost) lose(one, tcpWays.includes(way) ? "TCP" : "UDP");
      } else if (!one.isAgain && !tcpWays.includes(way)) {
        one.isAgain = true;
        askedAgain++;
        way.send(id, one);
      }
    }
  }
}

function lose(one: Asked, transport: string): void {
  one.isLost = true;
  lost++;
  if (complaints.lost.length < COMPLAINTS) complaints.lost.push(`${one.question.name} ${one.question.type}: no answer (${transport})`);
}

function udpWay(): Way & { close(): void } {
  const waiting = new Map<number, Asked>();
  const socket: UdpSocket = createSocket({ type: "udp4", lookup: (address, _family, callback) => callback(null, address, 4) });
  socket.on("error", () => undefined);
  socket.on("message", (message) => take(waiting, message));
  return {
    waiting,
    send: (_, { query }) => socket.send(query, port, "127.0.0.1"),
    close() {
      socket.close();
      waiting.clear();
    },
  };
}

// A connection that breaks is opened again, and what had no answer is asked again on it.
function tcpWay(): Way {
  const waiting = new Map<number, Asked>();
  let socket: TcpSocket;
  const RETRY_MS = 50;
  const write = ({ query }: Asked): void => {
    socket.write(Buffer.from([query.length >> 8, query.length & 255]));
    socket.write(query);
  };
  const open = (): void => {
    let received = Buffer.alloc(0);
    socket = connect({ host: "127.0.0.1", port, noDelay: true });
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE()) {
        const end = 2 + received.readUInt16BE();
        take(waiting, received.subarray(2, end));
        received = received.subarray(end);
      }
    });
    socket.on("close", () => setTimeout(open, RETRY_MS));
    for (const one of waiting.values()) if (!one.isLost) write(one);
  };
  open();
  return { waiting, send: (_, one) => void (socket.writable && write(one)) };
}

function pick<T>(list: readonly T[]): T {
  return list[randomInt(list.length)] as T;
}
