// Clients of a DNS Service whose servers are replaced or reload, in a process of its own, started by rollout.ts: half of the UDP
// queries from one long-lived socket and half from a new one each, half of the TCP queries over held connections and half
// over a new one each. Nobody asks twice.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, type Socket as TcpSocket } from "node:net";
import { query as buildQuery } from "./dns-client.ts";
import { CHANGING, monotonicMs, versionIn, WAYS, type LoadOptions, type LoadReport, type ToLoad, type Way } from "./rollout.ts";

const { address, udpPerSecond, tcpPerSecond } = JSON.parse(process.argv[2] ?? "") as LoadOptions;

const PORT = 53;
/** As long as resolvers wait; what this process is kept from running does not count. */
const LOST_MS = 5_000;
/** A turn that comes later tells of this process. */
const LATE_MS = 50;
const STALE_MS = 1_000;
const TURN_MS = 2;
const HELD_CONNECTIONS = 10;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const COMPLAINTS = 10;

interface Asked {
  readonly way: Way;
  readonly packet: Buffer;
  readonly sentMs: number;
  readonly sentAwakeMs: number;
  isSettled: boolean;
  /** Lets go of what was opened for it alone. */
  onSettled(): void;
}

const question = buildQuery({ name: CHANGING });
const counts = Object.fromEntries(WAYS.map((way) => [way, { sent: 0, answered: 0, lost: 0, slowestMs: 0 }])) as Record<
  Way,
  { sent: number; answered: number; lost: number; slowestMs: number }
>;
/** In the order in which they were asked. */
const waiting: Asked[] = [];
/** When each version had come to the API server. */
const changedMs: number[] = [];
/** What the answers showed: judged in the end, when all changes are known. */
const shown: { readonly version: number; readonly sentMs: number }[] = [];
const complaints: string[] = [];
let [lastId, wrong, otherSource, opened, stalledMs] = [0, 0, 0, 0, 0];
let isEnding = false;

const longLived = new Map<number, Asked>();
const socket = udpSocket((message) => longLived.get(message.readUInt16BE(0)));
socket.bind(0, () => socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES));
const free = Array.from({ length: HELD_CONNECTIONS }, openHeld);
const ways: readonly { readonly perSecond: number; readonly ask: () => void }[] = [
  { perSecond: udpPerSecond / 2, ask: askOverSocket },
  { perSecond: udpPerSecond / 2, ask: askOverNewSocket },
  { perSecond: tcpPerSecond / 2, ask: askOverHeld },
  { perSecond: tcpPerSecond / 2, ask: askOverNewConnection },
];

process.on("disconnect", () => process.exit());
process.on("message", (message: ToLoad) => {
  if (message === "end") void finish();
  else changedMs[message.version] = message.changedMs;
});
let turnMs = monotonicMs();
/** Time in which this process ran. */
let awakeMs = 0;
let begun = ways.map(() => 0);
// In the event loop's check phase: what had come by then has been read.
const turning = setInterval(() => setImmediate(askWhatIsDue), TURN_MS);
process.send?.("asking");

function askWhatIsDue(): void {
  const nowMs = monotonicMs();
  awakeMs += Math.min(nowMs - turnMs, LATE_MS);
  stalledMs += Math.max(0, nowMs - turnMs - LATE_MS);
  turnMs = nowMs;
  if (!isEnding) {
    begun = ways.map(({ perSecond, ask }, index) => {
      const due = Math.floor((awakeMs * perSecond) / 1000);
      for (let nth = begun[index] ?? 0; nth < due; nth++) ask();
      return due;
    });
  }
  giveUpOld();
}

function giveUpOld(): void {
  const oldMs = awakeMs - LOST_MS;
  while (waiting[0] !== undefined && (waiting[0].isSettled || waiting[0].sentAwakeMs < oldMs)) lose(waiting.shift(), "no answer");
}

async function finish(): Promise<void> {
  isEnding = true;
  while (waiting.some(({ isSettled }) => !isSettled)) await new Promise((resolve) => setTimeout(resolve, 20));
  clearInterval(turning);
  const behindMs = shown.map(({ version, sentMs }) => sentMs - (changedMs[version + 1] ?? Number.POSITIVE_INFINITY));
  const report: LoadReport = {
    ways: counts,
    wrong,
    stale: behindMs.filter((ms) => ms > STALE_MS).length,
    mostBehindMs: behindMs.reduce((most, ms) => Math.max(most, ms), 0),
    otherSource,
    reopened: opened - HELD_CONNECTIONS,
    stalledMs,
    complaints,
  };
  process.send?.(report);
}

// ── a query's life ───────────────────────────────────────────────────────────────────────────────────────────

function begin(way: Way): Asked {
  const packet = Buffer.from(question);
  lastId = (lastId + 1) & 0xffff;
  packet.writeUInt16BE(lastId, 0);
  const asked: Asked = { way, packet, sentMs: monotonicMs(), sentAwakeMs: awakeMs, isSettled: false, onSettled: () => undefined };
  counts[way].sent++;
  waiting.push(asked);
  return asked;
}

function settle(asked: Asked, message: Buffer): void {
  if (asked.isSettled) return;
  asked.isSettled = true;
  counts[asked.way].answered++;
  counts[asked.way].slowestMs = Math.max(counts[asked.way].slowestMs, monotonicMs() - asked.sentMs);
  const version = versionOf(asked.packet, message);
  if (version !== undefined) shown.push({ version, sentMs: asked.sentMs });
  else if (wrong++ < COMPLAINTS) complaints.push(`wrong over ${asked.way}: ${message.toString("hex")}`);
  asked.onSettled();
}

function lose(asked: Asked | undefined, why: string): void {
  if (asked === undefined || asked.isSettled) return;
  asked.isSettled = true;
  counts[asked.way].lost++;
  if (complaints.length < COMPLAINTS) {
    complaints.push(`lost over ${asked.way}: ${why}; sent at ${asked.sentMs.toFixed(1)}, known at ${monotonicMs().toFixed(1)}`);
  }
  asked.onSettled();
}

// One A record and nothing behind it: the query has no OPT.
function versionOf(packet: Buffer, message: Buffer): number | undefined {
  const isSound =
    (message.readUInt16BE(2) & 15) === 0 &&
    message.readUInt16BE(6) === 1 &&
    message.readUInt16BE(0) === packet.readUInt16BE(0) &&
    message.subarray(12, packet.length).equals(packet.subarray(12));
  return isSound ? versionIn(message.subarray(-4)) : undefined;
}

// ── UDP ──────────────────────────────────────────────────────────────────────────────────────────────────────

function udpSocket(askedFor: (message: Buffer) => Asked | undefined): UdpSocket {
  const made = createSocket({ type: "udp4", lookup: (host, _family, callback) => callback(null, host, 4) });
  made.on("error", () => undefined);
  made.on("message", (message, { address: source }) => {
    const asked = askedFor(message);
    if (asked === undefined) return;
    if (source !== address && !asked.isSettled) otherSource++;
    settle(asked, message);
  });
  return made;
}

function askOverSocket(): void {
  const asked = begin("one UDP socket");
  longLived.set(asked.packet.readUInt16BE(0), asked);
  socket.send(asked.packet, PORT, address);
}

function askOverNewSocket(): void {
  const asked = begin("a UDP socket each");
  const own = udpSocket(() => asked);
  asked.onSettled = () => own.close();
  own.send(asked.packet, PORT, address);
}

// ── TCP ──────────────────────────────────────────────────────────────────────────────────────────────────────

function askOverNewConnection(): void {
  const asked = begin("a TCP connection each");
  const connection = tcpConnection(
    (message) => settle(asked, message),
    (why) => lose(asked, why),
  );
  asked.onSettled = () => connection.destroy();
  connection.write(framed(asked.packet));
}

/** An open connection whose answers have all come. */
interface Held {
  ask(asked: Asked): void;
}

// As a node's cache holds connections to the cluster's server: one query at a time over each, another one is opened where none is
// free, and one that the server has closed is forgotten.
function askOverHeld(): void {
  const asked = begin("held TCP connections");
  (free.shift() ?? openHeld()).ask(asked);
}

function openHeld(): Held {
  let current: Asked | undefined;
  opened++;
  const connection = tcpConnection(
    (message) => {
      const asked = current;
      current = undefined;
      // Not before its FIN would have been read, had the server sent it behind the answer: in the next turn of the event loop.
      setImmediate(() => setImmediate(keep));
      if (asked !== undefined) settle(asked, message);
    },
    (why) => {
      connection.destroy();
      if (free.includes(held)) free.splice(free.indexOf(held), 1);
      lose(current, why);
      current = undefined;
    },
  );
  const held: Held = {
    ask(asked) {
      current = asked;
      connection.write(framed(asked.packet));
    },
  };
  return held;

  function keep(): void {
    if (connection.destroyed || connection.readableEnded) return;
    if (free.length < HELD_CONNECTIONS) free.push(held);
    else connection.end();
  }
}

function tcpConnection(onMessage: (message: Buffer) => void, onEnd: (why: string) => void): TcpSocket {
  const connection = connect({ host: address, port: PORT, noDelay: true });
  let received = Buffer.alloc(0);
  connection.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE()) {
      const end = 2 + received.readUInt16BE();
      onMessage(received.subarray(2, end));
      received = received.subarray(end);
    }
  });
  connection.on("end", () => onEnd("closed"));
  connection.on("error", (error: NodeJS.ErrnoException) => onEnd(error.code ?? error.message));
  connection.on("close", () => onEnd("closed"));
  return connection;
}

function framed(packet: Buffer): Buffer {
  return Buffer.concat([Buffer.from([packet.length >> 8, packet.length & 255]), packet]);
}
