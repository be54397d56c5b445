// Time as what waits sees it: given to whatever has timeouts, backoffs and ages, so that tests can tell it.

import { setMaxListeners } from "node:events";
import { setTimeout as wait } from "node:timers/promises";

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds on the monotonic clock: for ages and durations. */
  monotonic(): number;
  /** Resolves after `ms`, or after 24 days; at once when `signal` aborts. Never rejects, and does not keep the process alive. */
  delay(ms: number, signal?: AbortSignal): Promise<void>;
}

/** What a timer can hold; Node fires one of more at once. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now(),
  async delay(ms, signal) {
    // A plugin may have a hundred files or zones that wait for its one end; Node warns of more than ten.
    if (signal !== undefined) setMaxListeners(0, signal);
    await wait(Math.min(ms, LONGEST_MS), undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined);
  },
};
