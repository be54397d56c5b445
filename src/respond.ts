// THE QUERY PATH: header check → table → parse → server block → chain → size, EDNS, encode. One function, top to
// bottom, for every listener. Its first half (front.ts) runs in the listeners' threads too; what that can't answer comes
// here. What a packet does wrong is answered here; what a plugin does wrong ends here too.

import type { AnswerTable, Hit } from "./answers/answer-table.ts";
import {
  DEFAULT_UDP_BYTES,
  DROP,
  emptyReply,
  Flags,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  putUint16,
  Rcodes,
  replyLimit,
  isWire,
  uint16,
  type Client,
  type Query,
  type Records,
  type Reply,
} from "./dns/message.ts";
import type { Name } from "./dns/name.ts";
import { encodeReply } from "./dns/encode.ts";
import { answerCountOf } from "./dns/wire.ts";
import { isTransfer, RRClasses, type RRClass } from "./dns/records.ts";
import { qnameOf, readQuestion, Verdicts, type Exchange } from "./dns/question.ts";
import type { Log } from "./log.ts";
import type { Counter } from "./metrics.ts";
import type { Answer, MaybePromise, Next, Sent } from "./plugin.ts";
import type { ErrorLimiter } from "./error-limit.ts";
import { createFront } from "./front.ts";
import { createRouter } from "./route.ts";
import type { Traffic } from "./traffic.ts";
import { encodeTransfer } from "./transfer-messages.ts";

/** Answers packets. Every listener of one address calls the same one. */
export interface Responder {
  /**
   * Answers the packet in `io`. A number is the length of the answer in `io.out` from `io.outAt` (0: send nothing);
   * a promise gives the answer as bytes of its own, or undefined for nothing, and leaves `io` free for the next packet.
   * Over TCP they may be several messages (transfer-messages.ts). Never throws, never rejects.
   */
  respond(io: Exchange): number | Promise<Uint8Array | undefined>;
  /** Tells the observers of a hit that a thread has answered; `io` holds packet and client, as for respond(). */
  observed(io: Exchange, hit: Hit, durationMs: number): void;
}

/** The responder of a configuration, which ends when another has taken its place. */
export interface EndingResponder extends Responder {
  /** Resolves when no answer is promised that has not been made. */
  settled(): Promise<void>;
}

/** A server block, ready to answer for one of its zones. */
export interface Block {
  readonly zone: Name;
  readonly chain: Next;
  /** Whether it takes the query: of blocks with one zone, the first that does answers. */
  readonly filter?: ((query: Query) => boolean) | undefined;
  /** Classes beyond IN whose questions its chain is to get. */
  readonly takesClasses?: ReadonlySet<RRClass>;
  /** Whether its chain is to get AXFR and IXFR over TCP and TLS. */
  readonly takesTransfers?: boolean;
  /** The name of the plugin that threw, if a plugin did. */
  blame(error: unknown): string;
  readonly udpSize: number;
  readonly traffic: Traffic | undefined;
  readonly observers: readonly ((query: Query, sent: Sent) => void)[];
  readonly errorObservers: readonly ((query: Query, sent: Sent) => void)[];
}

export interface ResponderOptions {
  /** The blocks that share the address. The table's `block` indexes are indexes here. */
  readonly blocks: readonly Block[];
  readonly table: AnswerTable;
  /** By the table's zone index: the position of its owner among the plugins. */
  readonly owners: Uint8Array;
  /** As given to createTraffic(). */
  readonly plugins: readonly string[];
  /** Counts what no block takes, zone label "dropped". */
  readonly refusedTraffic: Traffic | undefined;
  readonly errorLimiter: ErrorLimiter;
  readonly log: Log;
  readonly panics: Counter;
  /** Milliseconds on the monotonic clock. */
  readonly now: () => number;
}

export function createResponder(options: ResponderOptions): EndingResponder {
  const { blocks, owners, plugins, errorLimiter, log, now } = options;
  const routeOf = createRouter(
    blocks.map((block) => [block.zone, block]),
    ({ filter }, query) => filter === undefined || filter(query),
  );
  const takesOtherClasses = blocks.some(({ takesClasses }) => takesClasses !== undefined && takesClasses.size > 0);
  const takesTransfers = blocks.some((block) => block.takesTransfers === true);
  let promised = 0;
  const whenSettled: (() => void)[] = [];
  const front = createFront({
    table: options.table,
    blocks: blocks.map(({ traffic, observers }) => ({ cells: traffic?.cells, observed: observers.length > 0 })),
    owners,
    now,
    onHit: tellOfHit,
  });
  const scratch = new Uint8Array(MAX_MESSAGE_BYTES);

  return {
    respond(io) {
      const length = front.answer(io);
      if (length >= 0) return length;
      switch (io.verdict) {
        case Verdicts.DROP:
          return 0;
        case Verdicts.FORMERR:
          return errorLimiter.allows(io) ? bareHeader(io, Rcodes.FORMERR) : 0;
        case Verdicts.NOTIMP:
          return errorLimiter.allows(io) ? bareHeader(io, Rcodes.NOTIMP) : 0;
        case Verdicts.BADVERS:
          return errorLimiter.allows(io) ? refuse(io, Rcodes.BADVERS) : 0;
        case Verdicts.REFUSED:
          return isForChain(io) ? askChain(io) : refuse(io, Rcodes.REFUSED);
        case Verdicts.OK:
          return askChain(io);
        default:
          return io.verdict satisfies never;
      }
    },
    observed(io, hit, durationMs) {
      readQuestion(io);
      tellOfHit(io, hit, durationMs);
    },
    settled: () => (promised === 0 ? Promise.resolve() : new Promise((resolve) => whenSettled.push(resolve))),
  };

  function tellOfHit(io: Exchange, hit: Hit, durationMs: number): void {
    const block = blocks[hit.block] as Block;
    const { length, rcode, replyFlags, answerCount } = hit;
    const requestBytes = io.inEnd - io.inAt;
    const by = plugins[owners[hit.zone] as number] as string;
    tell(block.observers, block, toQuery(io), { rcode, flags: replyFlags, requestBytes, replyBytes: length, durationMs, by, answerCount });
  }

  function isForChain({ qclass, qtype, transport }: Exchange): boolean {
    if (qclass !== RRClasses.IN) return takesOtherClasses;
    return takesTransfers && isTransfer(qtype) && (transport === "tcp" || transport === "tls");
  }

  function askChain(io: Exchange): number | Promise<Uint8Array | undefined> {
    const query = toQuery(io);
    const block = blockFor(query);
    if (block === undefined) return refuse(io, Rcodes.REFUSED);
    const { receivedAtMs } = io;
    let answer: Answer | Promise<Answer>;
    try {
      answer = block.chain(query);
      if (!(answer instanceof Promise)) {
        if (!isTransfer(query.qtype)) return deliver(block, query, receivedAtMs, answer, io.out, io.outAt);
        answer = Promise.resolve(answer); // too long for `io`, maybe
      }
    } catch (error) {
      return deliver(block, query, receivedAtMs, panic(block, error), io.out, io.outAt);
    }
    const send = (settled: Answer): MaybePromise<Uint8Array | undefined> => {
      if (isTransfer(query.qtype) && settled !== DROP && !isWire(settled) && settled.rcode === Rcodes.NOERROR) {
        return deliverTransfer(block, query, receivedAtMs, settled);
      }
      const length = deliver(block, query, receivedAtMs, settled, scratch, 0);
      return length === 0 ? undefined : scratch.slice(0, length);
    };
    promised++;
    return answer
      .then(send)
      .catch((error: unknown) => send(panic(block, error)))
      .finally(() => {
        if (--promised === 0) for (const resolve of whenSettled.splice(0)) resolve();
      });
  }

  function blockFor(query: Query): Block | undefined {
    const { qtype, qclass } = query;
    const block = routeOf(query);
    if (isTransfer(qtype) && block?.takesTransfers !== true) return undefined;
    return qclass === RRClasses.IN || block?.takesClasses?.has(qclass) === true ? block : undefined;
  }

  function deliver(block: Block, query: Query, receivedAtMs: number, answer: Answer, out: Uint8Array, outAt: number): number {
    if (answer === DROP) return 0;
    const { edns, client } = query;
    const maxBytes = replyLimit(client.transport, edns === undefined ? 0 : edns.udpSize, block.udpSize);
    const bytes = outAt === 0 ? out : out.subarray(outAt);
    const length = encodeReply(bytes, query, answer, { maxBytes, udpSize: block.udpSize });
    account(block, query, receivedAtMs, answer, uint16(bytes, 2), length);
    return length;
  }

  async function deliverTransfer(block: Block, query: Query, receivedAtMs: number, answer: Records): Promise<Uint8Array> {
    const bytes = await encodeTransfer(query, answer, block.udpSize);
    account(block, query, receivedAtMs, answer, Flags.QR | Flags.AA, bytes.length);
    return bytes;
  }

  // What was sent is counted and told.
  function account(block: Block, query: Query, receivedAtMs: number, answer: Reply, flags: number, length: number): void {
    const { edns, client } = query;
    const durationMs = now() - receivedAtMs;
    const { rcode, by } = answer;
    const dnssecOk = edns !== undefined && edns.dnssecOk;
    const requestBytes = query.wire.length;
    block.traffic?.count(client.transport, client.family, query.qtype, rcode, requestBytes, length, durationMs, dnssecOk, by);
    const sent: Sent = {
      rcode,
      flags,
      requestBytes,
      replyBytes: length,
      durationMs,
      by,
      answerCount: answerCountOf(answer),
      ...(answer.error !== undefined && { error: answer.error }),
    };
    tell(block.observers, block, query, sent);
    if (sent.error !== undefined) tell(block.errorObservers, block, query, sent);
  }

  // The answer is made: what an observer throws must not take it back.
  function tell(observers: Block["observers"], block: Block, query: Query, sent: Sent): void {
    for (const observe of observers) {
      try {
        observe(query, sent);
      } catch (error) {
        panic(block, error);
      }
    }
  }

  function panic(block: Block, error: unknown): Reply {
    options.panics.add();
    const by = block.blame(error);
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error(`Recovered from panic in plugin/${by}: ${text}`);
    return { ...emptyReply(Rcodes.SERVFAIL, by), error: `plugin/${by}: ${error instanceof Error ? error.message : String(error)}` };
  }

  // The question and, for askers with EDNS, our OPT record: nothing else.
  function refuse(io: Exchange, rcode: number): number {
    const query = toQuery(io);
    const limits = { maxBytes: replyLimit(io.transport, io.clientUdpSize, DEFAULT_UDP_BYTES), udpSize: DEFAULT_UDP_BYTES };
    const length = encodeReply(io.outAt === 0 ? io.out : io.out.subarray(io.outAt), query, emptyReply(rcode, ""), limits);
    const { transport, family, qtype, dnssecOk } = io;
    options.refusedTraffic?.count(transport, family, qtype, rcode, query.wire.length, length, now() - io.receivedAtMs, dnssecOk, "");
    return length;
  }
}

// A header and nothing else: the packet's question can't be trusted.
function bareHeader(io: Exchange, rcode: number): number {
  const { out, outAt } = io;
  putUint16(out, outAt, io.id);
  putUint16(out, outAt + 2, Flags.QR | (io.flags & (OPCODE_MASK | Flags.RD)) | rcode);
  out.fill(0, outAt + 4, outAt + HEADER_BYTES);
  return HEADER_BYTES;
}

const OPCODE_MASK = 0x7800;

// The packet is copied: the listener's buffer is free again when respond() returns.
function toQuery(io: Exchange): Query {
  const wire = Uint8Array.prototype.slice.call(io.in, io.inAt, io.inEnd);
  const client: Client = {
    address: io.remoteAddress,
    port: io.remotePort,
    family: io.family,
    localAddress: io.localAddress,
    localPort: io.localPort,
    transport: io.transport,
  };
  return {
    qname: qnameOf(io),
    qtype: io.qtype,
    qclass: io.qclass,
    id: io.id,
    flags: io.flags,
    edns: io.edns
      ? {
          udpSize: io.clientUdpSize,
          dnssecOk: io.dnssecOk,
          options: wire.subarray(io.optionsAt - io.inAt, io.optionsEnd - io.inAt),
        }
      : undefined,
    client,
    wire,
  };
}
