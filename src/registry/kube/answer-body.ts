// The body of an API server's answer: decoded bytes as they come, a bound on how long a list may stand still, and the
// connection let go however it ends. Made by client.ts, read by the reflector.

import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { Clock } from "../../clock.ts";
import { bodyError, givenUp, KubeError } from "./kube-error.ts";

export interface AnswerBodyOptions {
  readonly clock: Clock;
  /** Time without a byte while the reader waits for one. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
  readonly contact: () => void;
  /** Called once: at the end, or when the rest is given up. */
  readonly ended: () => void;
}

/** Bytes pulled by their reader. Ends once; then the connection is free for the next request, or closed. */
export class AnswerBody implements AsyncIterable<Uint8Array> {
  readonly #response: IncomingMessage;
  readonly #source: Readable;
  readonly #options: AnswerBodyOptions;
  readonly #end = new AbortController();
  readonly #aborted = (): void => this.giveUp(givenUp());
  #waitingSinceMs: number | undefined;

  /** `source` is the decoded response, or the response itself. */
  constructor(response: IncomingMessage, source: Readable, options: AnswerBodyOptions) {
    this.#response = response;
    this.#source = source;
    this.#options = options;
    source.on("error", () => {}); // also tells those who read; without a listener it would end the process
    options.signal.addEventListener("abort", this.#aborted, { once: true });
    if (options.signal.aborted) this.#aborted();
    else if (options.idleMs < Infinity) void this.#watchIdle(); // never rejects
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { clock, contact } = this.#options;
    const chunks = this.#source[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    try {
      for (;;) {
        this.#waitingSinceMs = clock.monotonic();
        const { done, value } = await chunks.next();
        this.#waitingSinceMs = undefined;
        if (done === true) break;
        contact();
        yield value;
      }
      if (!this.#response.complete) throw new KubeError("cut", "the answer is cut short");
    } catch (error) {
      throw bodyError(error);
    } finally {
      this.giveUp(givenUp());
    }
  }

  giveUp(why: KubeError): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    this.#options.signal.removeEventListener("abort", this.#aborted);
    // Also an answer that has come whole and was not read: it would keep its connection for ever.
    if (!this.#source.readableEnded) this.#source.destroy(why);
    this.#options.ended();
  }

  async #watchIdle(): Promise<void> {
    const { clock, idleMs } = this.#options;
    while (!this.#end.signal.aborted) {
      await clock.delay(idleMs / 2, this.#end.signal);
      const isIdle = this.#waitingSinceMs !== undefined && clock.monotonic() - this.#waitingSinceMs >= idleMs;
      if (isIdle) this.giveUp(new KubeError("timeout", `the answer stood still for ${idleMs / 1000} s`));
    }
  }
}
