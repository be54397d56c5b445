// Long work cut into pieces, between which the event loop runs: queries that miss the table, timers, other sources. For
// whatever reads thousands of objects, lines or records; it asks after a step whether it is time to let go.

/** Work between two turns of the event loop: answers may be held up for 20 ms, and one step takes up to 9 on top. */
const SLICE_MS = 4;

export interface TimeSlice {
  isOver(): boolean;
  /** Resolves in the next turn, in which a new piece begins. */
  next(): Promise<void>;
}

export function timeSlice(): TimeSlice {
  let began = performance.now();
  return {
    isOver: () => performance.now() - began > SLICE_MS,
    async next() {
      await new Promise<void>((done) => setImmediate(done));
      began = performance.now();
    },
  };
}

/** Runs a generator to its end, a slice at a time; each yield is a step. */
export async function inSlices<T>(steps: Iterator<unknown, T>): Promise<T> {
  const slice = timeSlice();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (slice.isOver()) await slice.next();
  }
}
