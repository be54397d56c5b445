// The first half of the query path, the same in every thread: header policy → question → answer table. What it can't
// answer is the main thread's: what only the plugin chain knows, and packets that ask nothing sound.

import { createHit, Outcomes, type AnswerTable, type Hit } from "./answers/answer-table.ts";
import type { SharedTable } from "./answers/memory.ts";
import { readQuestion, Verdicts, type Exchange } from "./dns/question.ts";
import { countQuery } from "./traffic.ts";

/** The question is the main thread's: see `verdict` in the exchange for why. */
export const ASK_CHAIN = -1;

export interface Front {
  /** The length of the answer in `io.out` from `io.outAt`; 0: send nothing; or ASK_CHAIN. Allocates nothing. */
  answer(io: Exchange): number;
}

/** What is done for a server block with each hit. */
export interface FrontBlock {
  /** Counters of this thread; undefined: nothing is counted. */
  readonly cells: Float64Array | undefined;
  /** Somebody wants to be told of each hit. */
  readonly observed: boolean;
}

export interface FrontOptions {
  readonly table: AnswerTable;
  /** By the table's block index. */
  readonly blocks: readonly FrontBlock[];
  /** By the table's zone index: the position of its owner among the counters' plugins. */
  readonly owners: Uint8Array;
  /** Milliseconds on the monotonic clock. */
  readonly now: () => number;
  /** Told of hits in observed blocks; `io` and `hit` are its own only during the call. */
  readonly onHit: (io: Exchange, hit: Hit, durationMs: number) => void;
}

/** What a thread needs to answer for an address, as it is posted to the thread. */
export interface SharedFront extends Pick<FrontOptions, "blocks" | "owners"> {
  readonly table: SharedTable;
}

export function createFront({ table, blocks, owners, now, onHit }: FrontOptions): Front {
  const hit = createHit();
  return {
    answer(io) {
      const verdict = readQuestion(io);
      if (verdict !== Verdicts.OK) return verdict === Verdicts.DROP ? 0 : ASK_CHAIN;
      if (io.asksNsid) return ASK_CHAIN;
      if (table.answer(io, hit) !== Outcomes.HIT) return ASK_CHAIN;
      const { cells, observed } = blocks[hit.block] as FrontBlock;
      if (cells === undefined && !observed) return hit.length;
      const durationMs = now() - io.receivedAtMs;
      if (cells !== undefined) {
        const { transport, family, qtype, dnssecOk } = io;
        const plugin = owners[hit.zone] as number;
        countQuery(cells, transport, family, qtype, hit.rcode, io.inEnd - io.inAt, hit.length, durationMs, dnssecOk, plugin);
      }
      if (observed) onHit(io, hit, durationMs);
      return hit.length;
    },
  };
}
