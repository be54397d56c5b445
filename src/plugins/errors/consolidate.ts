// Counts errors that look alike and tells their number once a period. Called by errors.ts for every failed query.

import { formatGoDuration } from "../../config/arguments.ts";
import type { GoRegexp } from "../../config/go-regexp.ts";
import type { Log } from "../../log.ts";

/** What to count together, and how to tell. */
export interface Pattern {
  readonly periodMs: number;
  readonly regexp: Pick<GoRegexp, "test">;
  /** The expression as written. */
  readonly source: string;
  readonly level: "warning" | "error" | "info" | "debug";
  /** The first error of a period is logged as it is. */
  readonly showFirst: boolean;
}

export interface Consolidator {
  /** True if a pattern matches `text`: then `line` is counted, not to be logged. The first match wins. */
  takes(text: string, line: string): boolean;
  /** Tells what was counted so far. */
  stop(): void;
}

/** Runs `done` after `delayMs`; returns what cancels it. */
export type Schedule = (done: () => void, delayMs: number) => () => void;

const byTimer: Schedule = (done, delayMs) => {
  const timer = setTimeout(done, delayMs).unref();
  return () => clearTimeout(timer);
};

export function createConsolidator(patterns: readonly Pattern[], log: Log, schedule: Schedule = byTimer): Consolidator {
  const counts = patterns.map((pattern) => ({ pattern, count: 0, cancel: () => {} }));

  const tell = (entry: (typeof counts)[number]): void => {
    const { pattern, count } = entry;
    entry.count = 0;
    if (count === 0 || (count === 1 && pattern.showFirst)) return; // the only one has been told
    log[pattern.level](`${count} errors like '${pattern.source}' occurred in last ${formatGoDuration(pattern.periodMs)}`);
  };
  return {
    takes(text, line) {
      const entry = counts.find(({ pattern }) => pattern.regexp.test(text));
      if (entry === undefined) return false;
      entry.count++;
      if (entry.count === 1) {
        if (entry.pattern.showFirst) log[entry.pattern.level](line);
        entry.cancel = schedule(() => tell(entry), entry.pattern.periodMs);
      }
      return true;
    },
    stop() {
      for (const entry of counts) {
        entry.cancel();
        tell(entry);
      }
    },
  };
}
