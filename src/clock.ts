// Time as what waits sees it: given to whatever has timeouts, backoffs and ages, so that tests can tell it.

import { setTimeout as wait } from "node:timers/promises";

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds on the monotonic clock: for ages and durations. */
  monotonic(): number;
  /** Resolves after `ms`; at once when `signal` aborts. Never rejects, and does not keep the process alive. */
  delay(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now(),
  delay: async (ms, signal) => wait(ms, undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined),
};
