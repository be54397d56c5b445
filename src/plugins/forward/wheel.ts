// Timeouts for many questions at once: a wheel of lists, turned by one timer while something is on it. A question costs
// two pointer writes instead of a timer of Node's; the price is that all fires up to one tick late.

import type { Clock } from "../../clock.ts";

/** Something that falls due. It is on one wheel at most; the members are the wheel's. */
export interface Timed {
  dueAtMs: number;
  nextTimed: Timed | undefined;
  previousTimed: Timed | undefined;
  /** The wheel's list that it is in; -1 for none. */
  slot: number;
  /** Called once it is due, and off the wheel. */
  due(): void;
}

const TICK_MS = 5;
/** Some 10 s a turn; what is due later goes round again. */
const SLOTS = 2048;

export class Wheel {
  readonly #clock: Clock;
  readonly #slots: (Timed | undefined)[] = Array.from<Timed | undefined>({ length: SLOTS }).fill(undefined);
  readonly #ended = new AbortController();
  #count = 0;
  /** The tick that was looked at last. */
  #tick = 0;
  #turning = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Puts `item` on the wheel, or moves it. */
  set(item: Timed, dueAtMs: number): void {
    if (item.slot >= 0) this.clear(item);
    if (this.#count === 0) this.#tick = Math.floor(this.#clock.monotonic() / TICK_MS);
    const slot = Math.max(Math.ceil(dueAtMs / TICK_MS), this.#tick + 1) % SLOTS;
    const first = this.#slots[slot];
    item.dueAtMs = dueAtMs;
    item.slot = slot;
    item.previousTimed = undefined;
    item.nextTimed = first;
    if (first !== undefined) first.previousTimed = item;
    this.#slots[slot] = item;
    this.#count++;
    if (!this.#turning) void this.#turn(); // never rejects: delay() does not, and due() must not throw
  }

  clear(item: Timed): void {
    const { slot, nextTimed, previousTimed } = item;
    if (slot < 0) return;
    if (nextTimed !== undefined) nextTimed.previousTimed = previousTimed;
    if (previousTimed === undefined) this.#slots[slot] = nextTimed;
    else previousTimed.nextTimed = nextTimed;
    item.nextTimed = item.previousTimed = undefined;
    item.slot = -1;
    this.#count--;
  }

  /** Nothing falls due any more. */
  stop(): void {
    this.#ended.abort();
  }

  async #turn(): Promise<void> {
    this.#turning = true;
    const { signal } = this.#ended;
    while (this.#count > 0 && !signal.aborted) {
      await this.#clock.delay(TICK_MS, signal);
      if (!signal.aborted) this.#catchUp();
    }
    this.#turning = false;
  }

  #catchUp(): void {
    const nowMs = this.#clock.monotonic();
    const end = Math.floor(nowMs / TICK_MS);
    // After a long halt one turn sees everything.
    for (let tick = Math.max(this.#tick + 1, end - SLOTS + 1); tick <= end; tick++) {
      const due: Timed[] = [];
      for (let item = this.#slots[tick % SLOTS]; item !== undefined; item = item.nextTimed) if (item.dueAtMs <= nowMs) due.push(item);
      this.#tick = tick;
      for (const item of due) {
        if (item.slot < 0 || item.dueAtMs > nowMs) continue; // one before it has changed that
        this.clear(item);
        item.due();
      }
    }
    this.#tick = Math.max(this.#tick, end);
  }
}
