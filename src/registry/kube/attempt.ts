// One HTTP request up to the head of its answer: connecting, TLS and waiting have bounds of time, an abort ends it at any
// moment. Used by client.ts, once for each try.

import type { ClientRequest, IncomingMessage } from "node:http";
import type { Clock } from "../../clock.ts";
import { givenUp, KubeError } from "./kube-error.ts";

/** client-go waits 30 s; an API server in the same cluster answers in milliseconds, and another replica may. */
const CONNECT_TIMEOUT_MS = 10_000;
/** The API server ends lists after 60 s by itself (--request-timeout), and says so. */
const HEAD_TIMEOUT_MS = 65_000;
/** TCP probes on a silent connection; the kernel gives up after 10 of them, a second apart. */
const KEEP_ALIVE_MS = 30_000;

/** One request until its answer's head has come, within bounds of time. Rejects with the system's error, or KubeError. */
export class Attempt {
  hasReused = false;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #timer = new AbortController();

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  async send(open: () => ClientRequest): Promise<IncomingMessage> {
    if (this.#signal.aborted) throw givenUp();
    let request: ClientRequest | undefined;
    const abort = (): void => void request?.destroy(givenUp());
    this.#signal.addEventListener("abort", abort, { once: true });
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        request = open(); // throws for certificates and keys that can't be used
        request.on("error", reject); // for good: a late error without a listener would end the process
        // Without an error after a switch of protocols.
        request.once("close", () => reject(new KubeError("unreachable", "the connection was closed before an answer came")));
        request.once("response", (response) => {
          response.on("error", () => {}); // as above; who reads the body is told
          resolve(response);
        });
        request.once("socket", (socket) => {
          if (request?.reusedSocket === true) {
            this.hasReused = true;
            return this.#limit(request, HEAD_TIMEOUT_MS, "no answer");
          }
          socket.setKeepAlive(true, KEEP_ALIVE_MS);
          this.#limit(request, CONNECT_TIMEOUT_MS, "no connection");
          socket.once("encrypted" in socket ? "secureConnect" : "connect", () => this.#limit(request, HEAD_TIMEOUT_MS, "no answer"));
        });
        request.end();
      });
    } finally {
      this.#timer.abort();
      this.#signal.removeEventListener("abort", abort);
    }
  }

  #limit(request: ClientRequest | undefined, ms: number, what: string): void {
    this.#timer.abort();
    const timer = (this.#timer = new AbortController());
    void this.#clock.delay(ms, timer.signal).then(() => {
      if (!timer.signal.aborted) request?.destroy(new KubeError("timeout", `${what} within ${ms / 1000} s`)); // delay() never rejects
    });
  }
}
