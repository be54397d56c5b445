// How fast and how many requests go to the API server: `apiserver_qps`, `apiserver_burst` and `apiserver_max_inflight`.
// Without a word in the Corefile there is no limit: a client has one list or watch a resource, which limits it enough.

import type { Clock } from "../../clock.ts";
import { givenUp } from "./kube-error.ts";

export interface KubeLimits {
  /** Requests a second on average; 0 or nothing: no limit. */
  readonly qps?: number;
  /** Requests at once after a pause. */
  readonly burst?: number;
  /** Requests under way; 0 or nothing: no limit. A list is under way to its end, a watch until its answer begins. */
  readonly maxInflight?: number;
}

export interface Limiter {
  /** Resolves when a request may be sent; then its end must be told, once. Rejects when the signal aborts. */
  enter(signal: AbortSignal): Promise<() => void>;
}

// client-go's, where only the other of the two is given.
const DEFAULT_QPS = 5;
const DEFAULT_BURST = 10;

export function createLimiter({ qps, burst, maxInflight }: KubeLimits, clock: Clock): Limiter {
  const waitForRate = rateLimit(qps || (burst ? DEFAULT_QPS : Infinity), burst || DEFAULT_BURST, clock);
  const places = maxInflight || Infinity;
  const waiting: (() => void)[] = [];
  let underway = 0;

  async function takePlace(signal: AbortSignal): Promise<void> {
    refuseAborted(signal);
    if (underway < places) {
      underway++;
      return;
    }
    // A place is handed over without being given back, so that nobody comes between.
    const handed = await new Promise<boolean>((resolve) => {
      const take = (): void => {
        signal.removeEventListener("abort", giveUp);
        resolve(true);
      };
      const giveUp = (): void => {
        waiting.splice(waiting.indexOf(take), 1);
        resolve(false);
      };
      waiting.push(take);
      signal.addEventListener("abort", giveUp, { once: true });
    });
    if (!handed) refuseAborted(signal);
  }

  function leave(): void {
    const next = waiting.shift();
    if (next === undefined) underway--;
    else next();
  }

  return {
    async enter(signal) {
      await waitForRate(signal);
      await takePlace(signal);
      let left = false;
      return () => {
        if (!left) leave();
        left = true;
      };
    },
  };
}

// The generic cell rate algorithm (ITU-T I.371): one number instead of a bucket that must be filled.
function rateLimit(qps: number, burst: number, clock: Clock): (signal: AbortSignal) => Promise<void> {
  const intervalMs = 1000 / qps;
  let nextMs = -Infinity;
  return async (signal) => {
    const nowMs = clock.monotonic();
    const startMs = Math.max(nextMs, nowMs);
    nextMs = startMs + intervalMs;
    const waitMs = startMs - (burst - 1) * intervalMs - nowMs;
    if (waitMs > 0) await clock.delay(waitMs, signal);
  };
}

function refuseAborted(signal: AbortSignal): void {
  if (signal.aborted) throw givenUp();
}
