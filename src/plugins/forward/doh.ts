// Questions over HTTPS (RFC 8484): one HTTP/2 connection to an upstream, a stream for each question. The path is
// /dns-query, as in CoreDNS. HTTP/1.1 is not spoken.

import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { isIP } from "node:net";

import { MAX_MESSAGE_BYTES, putUint16 } from "../../dns/message.ts";
import { hostPort, wordsOf } from "./address-words.ts";
import type { Asker, Exchange, KeepOptions, Reuse, Transport } from "./exchange.ts";
import { match } from "./packet.ts";
import type { TlsOptions } from "./stream.ts";

const PATH = "/dns-query";
const CONTENT_TYPE = "application/dns-message";
const HTTPS_PORT = 443;

export type DohMethod = "GET" | "POST";

export interface DohOptions extends KeepOptions {
  readonly address: string;
  readonly port: number;
  readonly tls: TlsOptions;
  readonly method: DohMethod;
  readonly reuse: Reuse;
}

export function createDoh(options: DohOptions): Transport {
  return new DohTransport(options);
}

interface Session {
  readonly http: ClientHttp2Session;
  readonly openedAtMs: number;
  usedAtMs: number;
  waiting: number;
  answered: number;
  error: Error | undefined;
}

class DohTransport implements Transport {
  readonly #options: DohOptions;
  readonly #url: string;
  #session: Session | undefined;

  constructor(options: DohOptions) {
    const { address, port, tls } = options;
    const { servername = "" } = tls;
    this.#options = options;
    const host =
      isIP(servername) !== 0 || servername === "" ? hostPort(address, port) : `${servername}${port === HTTPS_PORT ? "" : `:${port}`}`;
    this.#url = `https://${host}`;
  }

  ask(packet: Buffer, asker: Asker, nowMs: number): Exchange {
    putUint16(packet, 0, 0); // so that equal questions are equal requests (RFC 8484 §4.1)
    const session = this.#sessionAt(nowMs);
    const exchange = new DohExchange(packet, asker, nowMs, `${this.#options.method === "GET" ? "Get" : "Post"} "${this.#url}${PATH}"`, () =>
      this.#forget(session),
    );
    session.usedAtMs = nowMs;
    session.waiting++;
    const over = (): void => void session.waiting--;
    const request = this.#request(session, packet);
    if (request === undefined) {
      over();
      process.nextTick(() => exchange.fail(session.error ?? new Error("EOF")));
    } else exchange.follow(request, session, over);
    return exchange;
  }

  sweep(nowMs: number): void {
    const { expireMs, maxAgeMs } = this.#options;
    const session = this.#session;
    if (session === undefined || session.waiting > 0) return;
    if (nowMs - session.usedAtMs >= expireMs || (maxAgeMs > 0 && nowMs - session.openedAtMs >= maxAgeMs)) this.close();
  }

  close(): void {
    this.#session?.http.destroy();
    this.#session = undefined;
  }

  #request({ http }: Session, packet: Buffer): ClientHttp2Stream | undefined {
    const { HTTP2_HEADER_METHOD: method, HTTP2_HEADER_PATH: path, HTTP2_HEADER_ACCEPT: accept } = constants;
    try {
      if (this.#options.method === "GET") {
        return http.request({ [method]: "GET", [path]: `${PATH}?dns=${packet.toString("base64url")}`, [accept]: CONTENT_TYPE });
      }
      const request = http.request({
        [method]: "POST",
        [path]: PATH,
        [accept]: CONTENT_TYPE,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: CONTENT_TYPE,
        [constants.HTTP2_HEADER_CONTENT_LENGTH]: packet.length,
      });
      request.end(packet);
      return request;
    } catch {
      return undefined; // the connection has just ended
    }
  }

  #sessionAt(nowMs: number): Session {
    const { reuse, maxAgeMs } = this.#options;
    const known = this.#session;
    if (known !== undefined && !known.http.destroyed && !known.http.closed && !(maxAgeMs > 0 && nowMs - known.openedAtMs >= maxAgeMs)) {
      reuse.hit("https");
      return known;
    }
    if (known !== undefined) this.#forget(known);
    reuse.miss("https");
    const { address, port, tls, sourceAddress } = this.#options;
    const { servername = "" } = tls;
    const http = connect(this.#url, {
      ...tls,
      host: address,
      port,
      servername: isIP(servername) === 0 ? servername : "",
      minVersion: "TLSv1.2",
      ...(sourceAddress !== undefined && { localAddress: sourceAddress }),
    });
    const session: Session = { http, openedAtMs: nowMs, usedAtMs: nowMs, waiting: 0, answered: 0, error: undefined };
    http.unref();
    http.on("error", (error) => void (session.error = error));
    http.on("goaway", () => this.#forget(session));
    http.on("close", () => this.#forget(session));
    this.#session = session;
    return session;
  }

  // What waits on it may still be answered; it ends with the last of them.
  #forget(session: Session): void {
    if (this.#session === session) this.#session = undefined;
    session.http.close();
  }
}

class DohExchange implements Exchange {
  readonly protocol = "https";
  readonly packet: Buffer;
  readonly asker: Asker;
  readonly startedAtMs: number;
  mismatches = 0;
  readonly #words: string;
  readonly #forgetSession: () => void;
  #request: ClientHttp2Stream | undefined;
  #session: Session | undefined;
  #answersBefore = 0;
  #isOver = false;

  constructor(packet: Buffer, asker: Asker, startedAtMs: number, words: string, forgetSession: () => void) {
    this.packet = packet;
    this.asker = asker;
    this.startedAtMs = startedAtMs;
    this.#words = words;
    this.#forgetSession = forgetSession;
  }

  follow(request: ClientHttp2Stream, session: Session, over: () => void): void {
    this.#request = request;
    this.#session = session;
    this.#answersBefore = session.answered;
    const chunks: Buffer[] = [];
    let bytes = 0;
    let status = 0;
    request.on("response", (headers) => {
      status = Number(headers[constants.HTTP2_HEADER_STATUS] ?? 0);
      if (headers[constants.HTTP2_HEADER_CONTENT_TYPE] !== CONTENT_TYPE && status === constants.HTTP_STATUS_OK) status = -1;
    });
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_MESSAGE_BYTES) request.close(constants.NGHTTP2_CANCEL);
      else chunks.push(chunk);
    });
    request.on("error", (error) => this.fail(error));
    request.on("end", () => this.#take(status, Buffer.concat(chunks)));
    request.on("close", () => {
      over();
      this.fail(session.error ?? new Error("EOF"));
    });
  }

  fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.asker.failed(this, `${this.#words}: ${wordsOf(error)}`);
  }

  cancel(): void {
    this.#isOver = true;
    this.#request?.close(constants.NGHTTP2_CANCEL);
  }

  giveUp(): void {
    // A connection that has been silent since may be dead: no new question must wait on it.
    if (this.#session?.answered === this.#answersBefore) this.#forgetSession();
    this.cancel();
  }

  describe(): string {
    return this.#words;
  }

  #take(status: number, body: Buffer): void {
    if (this.#isOver) return;
    if (status !== constants.HTTP_STATUS_OK) {
      return this.fail(new Error(status < 0 ? `not ${CONTENT_TYPE}` : status === 0 ? "EOF" : `unexpected HTTP status ${status}`));
    }
    if (this.#session !== undefined) this.#session.answered++;
    if (match(body, this.packet) !== "answer") return this.fail(new Error("the answer to another question"));
    this.#isOver = true;
    this.asker.answered(this, body);
  }
}
