// One TCP or TLS connection: cuts its input into messages, has them answered, writes the answers as they come. Made by
// tcp.ts and tls.ts.
//
//   input:   …answered│at  next message, perhaps not whole  end│room│      buffer: a chunk as received, or a copy that grew
//   output:  io.out [length answer][length answer]…  → one write            promised answers: a write for a turn's
//
// Input waits while the client has too much unanswered or untaken, so that a client bounds its own cost.

import type { Socket } from "node:net";
import { HEADER_BYTES, MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { framedMessages, isSeveralMessages } from "../transfer-messages.ts";
import { plainAddress } from "./bind.ts";
import { WIND_DOWN_IDLE_MS, type CloseReason, type Connection, type ConnectionService } from "./connection.ts";
import type { ListenAddress } from "./listener.ts";

/** What a listener's connections share. */
export interface TcpService extends ConnectionService {
  /** The responder has enough to do: each connection may have one promised answer and no more. */
  isBusy(): boolean;
}

const LENGTH_BYTES = 2;
/** Messages answered before other sockets get their turn: about a millisecond. */
const MESSAGES_PER_TURN = 128;
const NOTHING = Buffer.alloc(0);

export class TcpConnection implements Connection {
  readonly remoteAddress: string;
  idleSinceMs: number;

  readonly #socket: Socket;
  readonly #isSecure: boolean;
  readonly #service: TcpService;
  readonly #address: string;
  readonly #family: 4 | 6;
  readonly #remotePort: number;
  readonly #localAddress: string;
  readonly #localPort: number;
  readonly #onWritten: (error?: Error | null) => void;

  #buffer: Buffer = NOTHING;
  #at = 0;
  #end = 0;
  #messageSinceMs: number;
  #asked = 0;
  #inFlight = 0;
  #unsentSinceMs = 0;
  #lastTakenMs = 0;
  #isTurnOver = false;
  #hasEnded = false; // the client sent FIN
  #isDraining = false; // stop(): closed as soon as nothing is left to do
  #isClosing = false;
  #isSayingGoodbye = false; // TLS: close_notify is on its way

  constructor(socket: Socket, remoteAddress: string, bound: ListenAddress, service: TcpService) {
    this.#socket = socket;
    this.#isSecure = "encrypted" in socket;
    this.#service = service;
    this.remoteAddress = remoteAddress;
    this.#address = plainAddress(remoteAddress);
    this.#family = this.#address.includes(":") ? 6 : 4;
    this.#remotePort = socket.remotePort ?? 0;
    this.#localAddress = plainAddress(socket.localAddress ?? bound.address);
    this.#localPort = bound.port;
    this.idleSinceMs = this.#messageSinceMs = service.now();
    this.#onWritten = (error) => {
      if (error === undefined || error === null) this.#afterWrite();
    };
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => {
      this.#hasEnded = true;
      this.#proceed();
    });
    socket.on("close", () => {
      this.#isClosing = true;
      service.onClosed(this);
    });
  }

  get hasAsked(): boolean {
    return this.#asked > 0;
  }

  get isIdle(): boolean {
    return !this.#isClosing && this.#at === this.#end && this.#inFlight === 0 && this.#socket.writableLength === 0;
  }

  checkTimeouts(nowMs: number): void {
    const { limits } = this.#service;
    if (this.#socket.writableLength > 0 || this.#isSayingGoodbye) {
      if (nowMs - this.#lastTakenMs >= limits.writeMs || nowMs - this.#unsentSinceMs >= limits.drainMs) this.#abort("write_timeout");
    } else if (this.#isClosing || this.#inFlight > 0 || this.#isTurnOver) {
      return;
    } else if (this.#at < this.#end || !this.hasAsked) {
      if (nowMs - this.#messageSinceMs >= limits.readMs) this.close("read_timeout");
    } else if (nowMs - this.idleSinceMs >= limits.idleMs) {
      this.close("idle");
    } else if (this.#service.isWindingDown && this.#isSecure && nowMs - this.idleSinceMs >= WIND_DOWN_IDLE_MS) {
      this.close("stopping");
    }
  }

  close(reason: CloseReason): void {
    if (this.#isClosing) return;
    this.#service.onClosing(reason);
    this.#finish();
  }

  drain(): void {
    this.#isDraining = true;
    this.#proceed();
  }

  destroy(): void {
    this.#isClosing = true;
    this.#socket.destroy();
  }

  #abort(reason: CloseReason): void {
    this.#service.onClosing(reason);
    this.destroy();
    this.#service.onClosed(this);
  }

  #finish(): void {
    this.#isClosing = true;
    this.#buffer = NOTHING;
    this.#at = this.#end = 0;
    // What is written goes before FIN, and under TLS a word that this is the end (RFC 8446 §6.1). The write timeouts go on.
    if (this.#socket.writableLength > 0) return this.#socket.destroySoon();
    if (this.#isSecure) {
      this.#isSayingGoodbye = true;
      this.#unsentSinceMs = this.#lastTakenMs = this.#service.now();
      return this.#socket.destroySoon();
    }
    this.#socket.destroy();
    this.#service.onClosed(this);
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosing) return;
    if (this.#at === this.#end) {
      this.#messageSinceMs = this.#service.now();
      this.#buffer = chunk;
      this.#at = 0;
      this.#end = chunk.length;
    } else {
      this.#append(chunk);
    }
    this.#proceed();
  }

  // The rest of a message that came in pieces. The room doubles, so that one byte at a time costs no more than one write,
  // and never exceeds twice what was received, whatever length was announced.
  #append(chunk: Buffer): void {
    const waiting = this.#end - this.#at;
    if (this.#buffer.length - this.#end < chunk.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(2 * waiting, waiting + chunk.length));
      this.#buffer.copy(grown, 0, this.#at, this.#end);
      this.#buffer = grown;
      this.#at = 0;
      this.#end = waiting;
    }
    this.#end += chunk.copy(this.#buffer, this.#end);
  }

  // Answers all whole messages that may be answered now, in one write. Called whenever one of its reasons to stop has gone.
  #proceed(): void {
    if (this.#isClosing) return;
    const { io, limits } = this.#service;
    io.outAt = LENGTH_BYTES;
    let unsent = this.#socket.writableLength;
    let isSound = true;
    let turn = 0;
    while (this.#mayAsk() && unsent + io.outAt <= limits.unsentBytes && !this.#isTurnOver) {
      if (this.#end - this.#at < LENGTH_BYTES) break;
      const length = this.#buffer.readUInt16BE(this.#at);
      // No message is shorter than its header: whoever sends this has lost its place in the stream.
      isSound = length >= HEADER_BYTES;
      if (!isSound || this.#end - this.#at < LENGTH_BYTES + length) break;
      this.#answer(this.#at + LENGTH_BYTES, length);
      this.#at += LENGTH_BYTES + length;
      if (this.#at < this.#end) this.#messageSinceMs = io.receivedAtMs;
      if (io.outAt + MAX_MESSAGE_BYTES > io.out.length) {
        this.#flush();
        unsent = this.#socket.writableLength;
      }
      if (++turn === MESSAGES_PER_TURN) this.#endTurn();
    }
    if (this.#at === this.#end) this.#buffer = NOTHING;
    this.#flush();
    if (!isSound) return this.#inFlight > 0 ? void this.#socket.pause() : this.close("bad_length");
    this.#readOrFinish();
  }

  // Whoever may not has an answer to come, and goes on with it; or it has asked for the last time.
  #mayAsk(): boolean {
    if (this.#asked >= this.#service.limits.queries) return false;
    return this.#inFlight === 0 || (this.#inFlight < this.#service.limits.inFlight && !this.#service.isBusy());
  }

  #answer(at: number, length: number): void {
    const { io, responder } = this.#service;
    io.in = this.#buffer;
    io.inAt = at;
    io.inEnd = at + length;
    io.family = this.#family;
    io.remoteAddress = this.#address;
    io.remotePort = this.#remotePort;
    io.localAddress = this.#localAddress;
    io.localPort = this.#localPort;
    io.receivedAtMs = this.#service.now();
    this.#service.received++;
    this.#asked++;
    this.idleSinceMs = io.receivedAtMs;
    const answer = responder.respond(io);
    if (typeof answer === "number") {
      if (answer === 0) return;
      io.out[io.outAt - 2] = answer >> 8;
      io.out[io.outAt - 1] = answer;
      io.outAt += answer + LENGTH_BYTES;
      return;
    }
    this.#inFlight++;
    void answer.then((bytes) => this.#afterAnswer(bytes));
  }

  #afterAnswer(bytes: Uint8Array | undefined): void {
    this.#inFlight--;
    if (this.#isClosing) return;
    if (bytes !== undefined) {
      this.#gather();
      this.#write(isSeveralMessages(bytes) ? framedMessages(bytes) : framed(bytes));
    }
    this.idleSinceMs = this.#service.now();
    this.#proceed();
  }

  // What becomes known in one turn leaves in one piece.
  #gather(): void {
    if (this.#socket.writableCorked > 0) return;
    this.#socket.cork();
    process.nextTick(() => this.#socket.uncork());
  }

  // Writes the answers that stand in io.out.
  #flush(): void {
    const { io } = this.#service;
    const length = io.outAt - LENGTH_BYTES;
    if (length === 0) return;
    const bytes = Buffer.allocUnsafe(length);
    bytes.set(io.out.subarray(0, length));
    io.outAt = LENGTH_BYTES;
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    if (this.#socket.writableLength === 0) this.#unsentSinceMs = this.#lastTakenMs = this.#service.now();
    this.#socket.write(bytes, this.#onWritten);
  }

  #afterWrite(): void {
    this.#lastTakenMs = this.#service.now();
    if (this.#socket.writableLength > 0) return;
    this.idleSinceMs = this.#lastTakenMs;
    this.#proceed();
  }

  #endTurn(): void {
    this.#isTurnOver = true;
    setImmediate(() => {
      this.#isTurnOver = false;
      this.#proceed();
    });
  }

  // Reads on unless input has to wait; closes when the client, stop() or windDown() has ended it and all is answered.
  #readOrFinish(): void {
    const { limits } = this.#service;
    if (this.#asked >= limits.queries && this.#inFlight === 0 && !this.#isTurnOver) return this.close("max_queries");
    const isBlocked = this.#isTurnOver || !this.#mayAsk() || this.#socket.writableLength + LENGTH_BYTES > limits.unsentBytes;
    if (isBlocked) return void this.#socket.pause();
    // Under TLS the end comes a turn of the event loop behind the answer, when the client may have asked again: see checkTimeouts().
    const mayEnd = this.#service.isWindingDown && !this.#isSecure && this.hasAsked && this.#at === this.#end;
    const isLast = this.#isDraining || mayEnd;
    if ((this.#hasEnded || isLast) && this.#inFlight === 0) {
      if (!this.#hasEnded) this.#service.onClosing("stopping");
      return this.#finish();
    }
    if (!this.#socket.isPaused()) return;
    this.#messageSinceMs = this.#service.now(); // we kept the client waiting, not it us
    this.#socket.resume();
  }
}

function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
  bytes.writeUInt16BE(message.length, 0);
  bytes.set(message, LENGTH_BYTES);
  return bytes;
}
