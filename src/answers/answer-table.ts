// What the query path knows of the answer table: a question goes in, an answer or "ask the chain" comes out. The
// memory behind it is answers/memory.ts, its writer answers/table.ts, its readers answers/reader.ts.

import type { Exchange } from "../dns/question.ts";

/** What answer() did. */
export const Outcomes = {
  /** `io.out` holds the answer. */
  HIT: 1,
  /** Only the plugin chain can tell. */
  ASK_CHAIN: 2,
} as const;
export type Outcome = (typeof Outcomes)[keyof typeof Outcomes];

/** Wire question → wire answer; one writer, many readers. Contract: test/contracts/table-is-chain.test.ts. */
export interface AnswerTable {
  /**
   * Answers the question that readQuestion() found in `io`. On HIT sets `length`, `rcode`, `replyFlags`,
   * `answerCount`, `block` and `zone` in `hit`.
   */
  answer(io: Exchange, hit: Hit): Outcome;
}

/** What a hit was, for metrics and observers: one preallocated object per listener. */
export interface Hit {
  /** Octets of the answer in `io.out`. */
  length: number;
  rcode: number;
  replyFlags: number;
  answerCount: number;
  /** Index of the server block. */
  block: number;
  /** Index of the zone, as given to setZone(). */
  zone: number;
}

export function createHit(): Hit {
  return { length: 0, rcode: 0, replyFlags: 0, answerCount: 0, block: 0, zone: 0 };
}
