// Configurations that follow one another at a listener, each of which can be told from its answers, and clients that
// never stop asking and miss nothing: a query without an answer, or with one of the wrong configuration, is a failure.

import type { Hit } from "../../src/answers/answer-table.ts";
import { Flags } from "../../src/dns/message.ts";
import { qnameOf, readQuestion, Verdicts, type Exchange } from "../../src/dns/question.ts";
import { formatName } from "../../src/dns/name.ts";
import type { Listener, ServedBy } from "../../src/listeners/listener.ts";
import { sharedZone } from "./batch.ts";
import { headerOf, query, tcpConnection, udpClient } from "./dns-client.ts";

export interface Generation extends ServedBy {
  readonly number: number;
  /** Fronts that were shared, and came back. */
  readonly shared: number;
  readonly back: number;
  /** Hits of other generations that its observer was told of. */
  readonly strangers: number;
  /** Hits of its own. */
  readonly observed: number;
}

/** In the table of each generation; a responder answers it too. */
export const HIT = "www.example.org.";
/** Only the responder knows it. */
export const MISS = "www.example.net.";
/** Its answer is promised. */
export const LATER = "later.example.net.";

/** Its hits have one to three A records with its number as 10.NUMBER.x, its other answers have it as NSCOUNT. */
export async function generation(number: number): Promise<Generation> {
  const records = 1 + (number % 3);
  const lines = ["example.org. 30 SOA ns.example.org. host.example.org. 1 7200 1800 86400 30"];
  for (let record = 1; record <= records; record++) lines.push(`${HIT} 30 A 10.${number >> 8}.${number & 255}.${record}`);
  const zone = await sharedZone("example.org", lines, true);
  const counts = { shared: 0, back: 0, strangers: 0, observed: 0 };
  const own: ServedBy & { readonly number: number } = {
    number,
    responder: {
      respond: (io) => answerOf(io, number),
      observed: (_io: Exchange, { answerCount }: Hit) => void (answerCount === records ? counts.observed++ : counts.strangers++),
    },
    share() {
      counts.shared++;
      return zone.share();
    },
    unshare(front) {
      counts.back++;
      zone.unshare(front);
    },
  };
  return Object.assign(counts, own);
}

function answerOf(io: Exchange, number: number): number | Promise<Uint8Array | undefined> {
  if (readQuestion(io) !== Verdicts.OK) return 0;
  const answer = Buffer.from(io.in.subarray(io.inAt, io.questionEnd));
  answer.writeUInt16BE(Flags.QR, 2);
  answer.writeUInt16BE(number, 8);
  if (formatName(qnameOf(io)) === LATER) return new Promise((resolve) => setImmediate(() => resolve(answer)));
  io.out.set(answer, io.outAt);
  return answer.length;
}

/** Which generation an answer is of. */
export function numberOf(answer: Buffer): number {
  const [, answers, authorities] = headerOf(answer).counts;
  return answers === 0 ? (authorities as number) : answer.readUInt16BE(answer.length - 3);
}

/** What may answer now. */
export interface Bounds {
  /** Of this or a later generation is whatever is asked now. */
  oldest: number;
  newest: number;
}

export interface Load {
  /** Answers so far, by generation. */
  readonly answered: ReadonlyMap<number, number>;
  /** Set when a client has failed. */
  readonly failure: Error | undefined;
  /** Asks no more; resolves when all is answered, and rejects if something was not. */
  end(): Promise<void>;
}

/** Queries that one client has under way. */
const WINDOW = 8;
const ANSWER_MS = 3000;
const NAMES = [HIT, MISS, HIT, LATER];

/** A client that asks and is answered, whatever the transport. */
export interface Asker {
  send(...packets: readonly Buffer[]): void;
  /** Undefined at the end of the connection, or if none comes within `waitMs`. */
  receive(waitMs?: number): Promise<Buffer | undefined>;
  close(): void;
}

/** A client of the listener; over TCP it holds one connection. */
export async function askerOf({ transport, bound }: Pick<Listener, "transport" | "bound">): Promise<Asker> {
  if (transport === "tcp") return tcpConnection(bound);
  const client = await udpClient(bound);
  return { ...client, send: (...packets) => packets.forEach((packet) => client.send(packet)) };
}

/** `clients` that each keep a window of queries under way. */
export async function load(listener: Listener, bounds: Bounds, clients: number, connect: typeof askerOf = askerOf): Promise<Load> {
  const answered = new Map<number, number>();
  let isOver = false;
  let failure: Error | undefined;
  const askers = await Promise.all(Array.from({ length: clients }, () => connect(listener)));
  const done = Promise.all(askers.map(ask)).catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error(String(error));
    isOver = true;
  });
  return {
    answered,
    get failure() {
      return failure;
    },
    async end() {
      isOver = true;
      await done;
      for (const asker of askers) asker.close();
      if (failure !== undefined) throw failure;
    },
  };

  async function ask(asker: Asker): Promise<void> {
    const open = new Map<number, number>(); // the oldest generation that may answer, by id
    for (let lastId = 0; ;) {
      const packets: Buffer[] = [];
      while (!isOver && open.size < WINDOW) {
        const id = (lastId = (lastId + 1) & 0xffff);
        open.set(id, bounds.oldest);
        packets.push(query({ name: NAMES[id % NAMES.length] as string, id }));
      }
      if (packets.length > 0) asker.send(...packets);
      if (open.size === 0) return;
      const answer = await asker.receive(ANSWER_MS);
      if (answer === undefined) throw new Error(`${open.size} queries are lost, ids ${[...open.keys()].join(" ")}`);
      const { id } = headerOf(answer);
      const number = numberOf(answer);
      const oldest = open.get(id);
      if (oldest === undefined) throw new Error(`id ${id} is answered twice`);
      if (number < oldest || number > bounds.newest) throw new Error(`answered by ${number}, not ${oldest} to ${bounds.newest}`);
      open.delete(id);
      answered.set(number, (answered.get(number) ?? 0) + 1);
    }
  }
}
