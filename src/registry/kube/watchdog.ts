// A bound on silence: for streams whose other end may be gone without a word (a cable, a node, a NAT's memory). Used by the
// reflector around each request; it ends what listens to the signal, and says afterwards whether it was it.

import type { Clock } from "../../clock.ts";

export interface Watchdog {
  /** Aborts with the outer signal, and when nothing has been alive for too long. */
  readonly signal: AbortSignal;
  alive(): void;
  hasStalled(): boolean;
  stop(): void;
}

// Told of every chunk, so it only notes the time; one timer looks at it.
export function watchdog(clock: Clock, limitMs: number, outer: AbortSignal): Watchdog {
  const inner = new AbortController();
  const done = new AbortController();
  const abort = (): void => inner.abort();
  outer.addEventListener("abort", abort, { once: true });
  if (outer.aborted) abort();
  let aliveMs = clock.monotonic();
  let isStalled = false;
  void guard(); // delay() never rejects

  async function guard(): Promise<void> {
    for (;;) {
      await clock.delay(aliveMs + limitMs - clock.monotonic(), done.signal);
      if (done.signal.aborted) return;
      if (clock.monotonic() - aliveMs < limitMs) continue;
      isStalled = true;
      return inner.abort();
    }
  }

  return {
    signal: inner.signal,
    alive: () => void (aliveMs = clock.monotonic()),
    hasStalled: () => isStalled,
    stop() {
      done.abort();
      outer.removeEventListener("abort", abort);
    },
  };
}
