// The event loop's heartbeat: a loop that lags by many seconds is a process that no longer does its work.

export interface Pulse {
  /** Called every `intervalMs` by a timer. */
  beat(): void;
  /** True once a beat is, or the last one was, `STANDSTILL_MS` late. */
  standsStill(): boolean;
}

/** No pause of a healthy process comes near it. */
export const STANDSTILL_MS = 15_000;

/** @param now milliseconds on the monotonic clock. */
export function createPulse({ intervalMs, now }: { readonly intervalMs: number; readonly now: () => number }): Pulse {
  let dueMs = now() + intervalMs;
  let lastLateMs = 0;
  return {
    beat() {
      lastLateMs = now() - dueMs;
      dueMs = now() + intervalMs;
    },
    // After a stall timers run before sockets, so a request sees the late beat, not its absence.
    standsStill: () => Math.max(lastLateMs, now() - dueMs) >= STANDSTILL_MS,
  };
}
