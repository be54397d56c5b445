// A clock that stands still until the test moves it: for backoffs, timeouts and ages without waiting for any of them.

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../src/clock.ts";

export interface FakeClock extends Clock {
  /** Delays that are being waited for, in ms from now, the next one first. */
  readonly waiting: readonly number[];
  /** Moves on by `ms`: what falls due on the way resolves in its order, and what it sets off runs before the next one. */
  advance(ms: number): Promise<void>;
  /** Lets everything run that waits for no time: promises, and a few turns of the event loop. */
  settle(): Promise<void>;
  /** Shifts the wall clock alone, as an operator or NTP would. */
  shiftNow(ms: number): void;
}

// Turns of the event loop in which sockets, streams and promises of a test get on: a few are needed from one end of a
// connection to the other.
const TURNS = 8;

/** @example const clock = fakeClock(); const done = clock.delay(1000); await clock.advance(1000); await done; */
export function fakeClock(startMs: number = Date.UTC(2026, 0, 1)): FakeClock {
  const pending = new Set<{ readonly at: number; readonly resolve: () => void }>();
  let elapsed = 0;
  let epoch = startMs;

  async function settle(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await nextTurn();
  }

  return {
    get waiting() {
      return [...pending].map(({ at }) => at - elapsed).sort((a, b) => a - b);
    },
    now: () => epoch + elapsed,
    monotonic: () => elapsed,
    delay: (ms, signal) =>
      new Promise((done) => {
        if (signal?.aborted === true) return done();
        const entry = { at: elapsed + Math.max(0, ms), resolve };
        function resolve(): void {
          pending.delete(entry);
          signal?.removeEventListener("abort", resolve);
          done();
        }
        pending.add(entry);
        signal?.addEventListener("abort", resolve, { once: true });
      }),
    async advance(ms) {
      const end = elapsed + ms;
      await settle();
      for (;;) {
        const due = [...pending].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        elapsed = Math.max(elapsed, due.at);
        due.resolve();
        await settle();
      }
      elapsed = end;
    },
    settle,
    shiftNow: (ms) => void (epoch += ms),
  };
}
