// One connection of a DNS over HTTPS client, HTTP/2 or HTTP/1.1: requests in, answers out, all of it bounded. Made by
// https.ts behind the handshake. Node.js reads the protocols; what a request asks is in doh.ts.

import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import { constants, performServerHandshake, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Verdicts } from "../dns/question.ts";
import { ignore } from "./accepting.ts";
import { codeOf, plainAddress } from "./bind.ts";
import { WIND_DOWN_IDLE_MS, type CloseReason, type Connection, type ConnectionService } from "./connection.ts";
import { DNS_MESSAGE, freshSeconds, readHead, type RequestHead } from "./doh.ts";
import type { ListenAddress } from "./listener.ts";

/** What a listener's connections share. */
export interface HttpsService extends ConnectionService {
  /** Reads HTTP/1.1; listens nowhere. */
  readonly http1: HttpServer;
  onAnswer(status: number): void;
}

/** Requests in parts that wait for the rest, of one connection: two of the largest. */
const MAX_WAITING_BYTES = 2 * MAX_MESSAGE_BYTES;
/** A query of 12 kB in a URL; more is for POST. */
export const MAX_HEADER_BYTES: number = 16 * 1024;
const MIB_OF_SESSION = 1;

/** A request, whichever version of HTTP it came by. */
interface Request extends RequestHead {
  readonly body: Readable;
  sinceMs: number;
  state: "read" | "asked" | "answered";
  /** Of the body, or of the answer. */
  bytes: number;
  /** Once. */
  respond(status: number, headers: Readonly<Record<string, string | number>>, body: Uint8Array | undefined): void;
  /** Nothing more of it; over HTTP/1.1 nothing more of the connection either, for this reason. */
  abort(reason: CloseReason): void;
}

export class HttpsConnection implements Connection {
  readonly remoteAddress: string;
  hasAsked = false;
  idleSinceMs: number;
  readonly #socket: TLSSocket;
  readonly #service: HttpsService;
  readonly #session: ServerHttp2Session | undefined;
  readonly #bound: ListenAddress;
  readonly #open = new Set<Request>();
  #isDraining = false;
  #closingSinceMs: number | undefined;
  #isCounted = false; // why it ends

  constructor(socket: TLSSocket, remoteAddress: string, bound: ListenAddress, service: HttpsService) {
    this.#socket = socket;
    this.#service = service;
    this.#bound = bound;
    this.remoteAddress = remoteAddress;
    this.idleSinceMs = service.now();
    socket.once("close", () => {
      this.#closingSinceMs ??= service.now();
      service.onClosed(this);
    });
    socket.once("end", () => {
      this.#isCounted = true; // it is the client that ends it
      this.drain();
    });
    if (socket.alpnProtocol === "h2") this.#session = this.#openSession();
    else service.http1.emit("connection", socket);
  }

  get isIdle(): boolean {
    return this.#open.size === 0 && this.#closingSinceMs === undefined;
  }

  checkTimeouts(nowMs: number): void {
    const { readMs, writeMs, idleMs } = this.#service.limits;
    for (const request of this.#open) {
      const tookMs = nowMs - request.sinceMs;
      if (request.state === "read" && tookMs >= readMs) this.#give(request, "read_timeout");
      else if (request.state === "answered" && tookMs >= writeMs) this.#give(request, "write_timeout");
    }
    if (this.#open.size > 0) return;
    if (this.#closingSinceMs !== undefined) {
      if (nowMs - this.#closingSinceMs >= writeMs) this.destroy();
    } else if (nowMs - this.idleSinceMs >= (this.hasAsked ? idleMs : readMs)) {
      this.close(this.hasAsked ? "idle" : "read_timeout");
    } else if (this.#service.isWindingDown && nowMs - this.idleSinceMs >= WIND_DOWN_IDLE_MS) {
      this.close("stopping");
    }
  }

  close(reason: CloseReason): void {
    if (this.#closingSinceMs !== undefined) return;
    this.#closingSinceMs = this.#service.now();
    this.#count(reason);
    if (this.#session !== undefined && !this.#session.destroyed) this.#session.close(); // GOAWAY, and answers that are under way
    else if (this.#open.size === 0) this.#socket.destroySoon();
  }

  drain(): void {
    this.#isDraining = true;
    this.#endIfDone();
  }

  destroy(): void {
    this.#closingSinceMs ??= this.#service.now();
    this.#session?.destroy();
    this.#socket.destroy();
  }

  /** A request over HTTP/1.1. */
  ask1(message: IncomingMessage, response: ServerResponse): void {
    const { headers, method = "", url: target = "" } = message;
    const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
    const request: Request = {
      ...this.#begin({ method, target, contentType: headers["content-type"], contentLength: headers["content-length"] }, message),
      respond: (status, fields, body) => {
        const isCut = hasBody && !message.complete; // nobody waits for the rest
        const isEnding = this.#isDraining || this.#service.isWindingDown;
        if (isEnding) this.#count("stopping");
        const isLast = isEnding || this.#closingSinceMs !== undefined || isCut;
        response.writeHead(status, { ...fields, ...(isLast && { connection: "close" }) }).end(body);
        message.resume();
      },
      abort: (reason) => {
        this.#count(reason);
        this.destroy();
      },
    };
    response.on("error", ignore);
    response.once("close", () => this.#forget(request));
    this.#take(request);
  }

  /** What can't be read as HTTP. */
  refuse(): void {
    this.#count("bad_http");
    this.#closingSinceMs ??= this.#service.now();
  }

  #openSession(): ServerHttp2Session {
    const { inFlight } = this.#service.limits;
    const session = performServerHandshake(this.#socket, {
      maxSessionMemory: MIB_OF_SESSION,
      settings: { maxConcurrentStreams: inFlight, maxHeaderListSize: MAX_HEADER_BYTES },
    });
    session.on("error", (error) => {
      if (codeOf(error)?.startsWith("ERR_HTTP2") === true) this.refuse(); // else the client has gone
      this.#socket.destroy();
    });
    session.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => this.#ask2(stream, headers));
    session.once("close", () => this.#socket.destroySoon());
    return session;
  }

  #ask2(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const { ":method": method = "", ":path": target = "", "content-type": contentType, "content-length": contentLength } = headers;
    const request: Request = {
      ...this.#begin({ method, target, contentType, contentLength }, stream),
      respond: (status, fields, body) => {
        if (stream.destroyed || stream.closed) return;
        stream.respond({ ":status": status, ...fields }, { endStream: body === undefined });
        if (body !== undefined) stream.end(body);
        stream.resume();
      },
      abort: () => {
        if (!stream.destroyed) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      },
    };
    stream.on("error", ignore);
    stream.once("close", () => this.#forget(request));
    this.#take(request);
  }

  #begin(head: RequestHead, body: Readable): RequestHead & Pick<Request, "body" | "sinceMs" | "state" | "bytes"> {
    return { ...head, body, sinceMs: this.#service.now(), state: "read", bytes: 0 };
  }

  // A client that keeps to what it was told of never has too much open.
  #take(request: Request): void {
    if (this.#open.size >= this.#service.limits.inFlight || this.#isGone()) return request.abort("bad_http");
    this.#open.add(request);
    this.hasAsked = true;
    const asks = readHead(request);
    switch (asks.kind) {
      case "message":
        return this.#answer(request, asks.packet);
      case "body":
        return this.#read(request);
      case "refused":
        return this.#respond(request, asks.status);
      default:
        return asks satisfies never;
    }
  }

  #read(request: Request): void {
    const chunks: Buffer[] = [];
    const { body } = request;
    body.on("data", (chunk: Buffer) => {
      if (request.state !== "read") return;
      request.bytes += chunk.length;
      if (request.bytes > MAX_MESSAGE_BYTES) return this.#respond(request, 413);
      if (this.#sum("read") > MAX_WAITING_BYTES) return request.abort("bad_http");
      chunks.push(chunk);
    });
    body.once("end", () => {
      if (request.state === "read") this.#answer(request, Buffer.concat(chunks));
    });
    body.on("error", ignore); // "close" follows
  }

  #answer(request: Request, packet: Uint8Array): void {
    if (this.#isFull()) return request.abort("bad_http");
    const { io, responder } = this.#service;
    const { remotePort = 0, localAddress = this.#bound.address } = this.#socket;
    request.state = "asked";
    request.bytes = 0;
    io.in = packet;
    io.inAt = 0;
    io.inEnd = packet.length;
    io.outAt = 0;
    io.remoteAddress = plainAddress(this.remoteAddress);
    io.family = io.remoteAddress.includes(":") ? 6 : 4;
    io.remotePort = remotePort;
    io.localAddress = plainAddress(localAddress);
    io.localPort = this.#bound.port;
    io.receivedAtMs = this.#service.now();
    this.#service.received++;
    const answer = responder.respond(io);
    const { verdict } = io;
    if (verdict === Verdicts.DROP || verdict === Verdicts.FORMERR) return this.#respond(request, 400);
    if (typeof answer === "number") return this.#send(request, answer === 0 ? undefined : io.out.slice(0, answer));
    void answer.then((bytes) => this.#send(request, bytes));
  }

  // As in CoreDNS, an answer that is not to be sent is a failure of HTTP: the client waits for nothing.
  #send(request: Request, answer: Uint8Array | undefined): void {
    if (answer === undefined) return this.#respond(request, 500);
    const headers = { "content-type": DNS_MESSAGE, "content-length": answer.length, "cache-control": `max-age=${freshSeconds(answer)}` };
    this.#respond(request, 200, headers, answer);
  }

  #respond(request: Request, status: number, headers: Readonly<Record<string, string | number>> = {}, body?: Uint8Array): void {
    if (!this.#open.has(request)) return; // the client has gone
    request.state = "answered";
    request.sinceMs = this.#service.now();
    request.bytes = body?.length ?? 0;
    this.#service.onAnswer(status);
    const fields = { "content-length": 0, ...(status === 405 && { allow: "GET, POST" }), ...headers };
    request.respond(status, fields, body);
  }

  #give(request: Request, reason: CloseReason): void {
    request.abort(reason);
    this.#forget(request);
  }

  #forget(request: Request): void {
    if (!this.#open.delete(request)) return;
    this.idleSinceMs = this.#service.now();
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#open.size > 0) return;
    if (this.#closingSinceMs !== undefined && this.#session === undefined) return this.#socket.destroySoon();
    if (this.#isDraining) this.close("stopping");
  }

  #count(reason: CloseReason): void {
    if (!this.#isCounted) this.#service.onClosing(reason);
    this.#isCounted = true;
  }

  #isGone(): boolean {
    return this.#closingSinceMs !== undefined && this.#session === undefined;
  }

  // It does not take what it has asked for.
  #isFull(): boolean {
    return this.#sum("answered") > this.#service.limits.unsentBytes;
  }

  #sum(state: Request["state"]): number {
    let bytes = 0;
    for (const request of this.#open) if (request.state === state) bytes += request.bytes;
    return bytes;
  }
}
