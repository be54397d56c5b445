// Adds the listener threads' counters up into the server's metrics. The cells are the threads' own and go with them; what
// they held is added before.

import type { Counter, Labels, Metrics } from "../metrics.ts";
import { DROP_REASONS, FAULTS, LOG_LOST, RECEIVED, SEND_FAILURES } from "./batch-shared.ts";

export interface Fold {
  /** @param onReceived told how many packets more each socket took */
  add(counters: Float64Array, onReceived?: (socket: number, packets: number) => void): void;
  /** Adds what has come since the last time. */
  run(): void;
  /** run(), and then forgets them. */
  remove(counters: Float64Array): void;
}

interface Entry {
  readonly seen: Float64Array;
  readonly onReceived: ((socket: number, packets: number) => void) | undefined;
}

export function createFold(metrics: Metrics, errorName: (errno: number) => string): Fold {
  const dropped = metrics.counter("ndots_dropped_packets_total", "Packets that got no answer, by reason.");
  const logLost = metrics.counter("ndots_log_dropped_total", "Lines of the query log that were lost because too many came at once.");
  const faults = metrics.counter(
    "ndots_listener_faults_total",
    "Failures of listener threads: packets at which the look-up failed, which the main thread answered, and errors of recvmmsg.",
  );
  const labels = new Map<number, Labels>(); // made once each
  const entries = new Map<Float64Array, Entry>();

  return {
    add: (counters, onReceived) => void entries.set(counters, { seen: counters.slice(), onReceived }),
    run() {
      for (const [counters, entry] of entries) fold(counters, entry);
    },
    remove(counters) {
      const entry = entries.get(counters);
      if (entry !== undefined) fold(counters, entry);
      entries.delete(counters);
    },
  };

  function fold(counters: Float64Array, { seen, onReceived }: Entry): void {
    for (let cell = 0; cell < counters.length; cell++) {
      const value = counters[cell] as number;
      const more = value - (seen[cell] as number);
      if (more === 0) continue;
      seen[cell] = value;
      if (cell >= RECEIVED) onReceived?.(cell - RECEIVED, more);
      else counterOf(cell).add(labelsOf(cell), more);
    }
  }

  function counterOf(cell: number): Counter {
    if (cell === LOG_LOST) return logLost;
    return cell === FAULTS ? faults : dropped;
  }

  function labelsOf(cell: number): Labels {
    let known = labels.get(cell);
    if (known === undefined) {
      const reason = DROP_REASONS[cell] ?? (cell < LOG_LOST ? `send_${errorName(cell - SEND_FAILURES).toLowerCase()}` : undefined);
      labels.set(cell, (known = reason === undefined ? {} : { reason }));
    }
    return known;
  }
}
