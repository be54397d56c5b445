// How long to wait before a thread that ended is followed by another: what ends it may end the next too. Used by what keeps
// UDP threads running (thread-slot.ts) and by the TCP thread's (tcp-thread.ts).

const FIRST_MS = 250;
export const LONGEST_PAUSE_MS = 10_000;
/** One that ran so long has not ended "again". */
const LASTING_MS = 60_000;

export class RestartPause {
  #ends = 0;

  /** After the end of a thread that ran for `ranMs`: nothing at first, then doubled each time until one has lasted. */
  next(ranMs: number): number {
    if (ranMs >= LASTING_MS) this.#ends = 0;
    const pauseMs = this.#ends === 0 ? 0 : Math.min(FIRST_MS * 2 ** (this.#ends - 1), LONGEST_PAUSE_MS);
    this.#ends++;
    return pauseMs;
  }
}
