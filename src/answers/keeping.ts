// Foreign answers in the answer table: what `cache` and `autopath` remember, as entries that count their TTLs down. They give
// way to what is compiled, and are kept only where a table hit may skip every plugin in front.

import { findRun, NO_RUN } from "../dns/body.ts";
import { questionEnd, uint16, type Wire } from "../dns/message.ts";
import { ROOT, type Name } from "../dns/name.ts";
import { RRTypes, type RRType } from "../dns/records.ts";
import type { Instance, Memory } from "../plugin.ts";
import { route } from "../route.ts";
import type { CompiledAnswer } from "./compiled.ts";
import { MAX_BODY_BYTES } from "./memory.ts";
import { isTouched, type Published, type ServedZone } from "./published.ts";
import type { TableWriter } from "./table.ts";

/** Where one plugin keeps answers in one table. */
export interface KeptAnswers extends Pick<Memory, "keep" | "forget"> {
  /** The table's zone indexes that hits on them have. */
  readonly zones: { readonly success: number; readonly denial: number };
}

export interface Keeping {
  /** Owners of further zone indexes, from `firstZone` on. */
  readonly owners: readonly string[];
  readonly memories: ReadonlyMap<Instance, KeptAnswers>;
  /** Describes those zones. */
  start(): void;
}

interface KeepingOptions {
  readonly table: TableWriter;
  readonly served: readonly ServedZone[];
  /** Of each served zone. */
  readonly published: readonly Published[];
  readonly blockByZone: ReadonlyMap<Name, number>;
  readonly firstZone: number;
}

/** Rcodes that fit a header (RFC 1035 §4.1.1). */
const MAX_RCODE = 15;
/** An entry counts that many records in an authority section. */
const MAX_AUTHORITY = 255;

export function createKeeping({ table, served, published, blockByZone, firstZone }: KeepingOptions): Keeping {
  const owners: string[] = [];
  const udpSizes: number[] = [];
  const memories = new Map<Instance, KeptAnswers>();
  for (const [block, { instances, udpSize }] of served.entries()) {
    for (const keeper of (published[block] as Published).keepers) {
      if (memories.has(keeper)) continue;
      const name = instances.find(({ instance }) => instance === keeper)?.name ?? "";
      const zones = { success: firstZone + owners.length, denial: firstZone + owners.length + 1 };
      owners.push(`${name}/success`, `${name}/denial`);
      udpSizes.push(udpSize, udpSize);
      memories.set(keeper, keptAnswers(keeper, zones));
    }
  }
  return {
    owners,
    memories,
    start() {
      const zone = { apex: ROOT, soa: undefined, soaPointers: [], soaLabels: [], complete: false, namesNearest: false, staleness: "" };
      for (const [index, udpSize] of udpSizes.entries()) table.setZone(firstZone + index, { ...zone, udpSize });
    },
  };

  function keptAnswers(keeper: Instance, zones: KeptAnswers["zones"]): KeptAnswers {
    return {
      zones,
      keep(qname, qtype, answer, { storedAtMs, deadlineMs }) {
        const block = blockOf(qname, qtype);
        const from = block === undefined ? undefined : published[block];
        if (block === undefined || from?.keepers.includes(keeper) !== true) return;
        if (from.types.includes(qtype) || isTouched(from, qname)) return;
        const isDenial = uint16(answer.message, 6) === 0;
        const zone = isDenial ? zones.denial : zones.success;
        // Whole seconds of the listeners' clock, so that no TTL is told too long.
        const kept = {
          zone,
          storedAt: Math.floor(storedAtMs / 1000),
          deadline: Math.floor(deadlineMs / 1000),
          rcode: answer.rcode,
          authoritative: false,
          recursionAvailable: true,
        };
        const compiled = compiledAnswer(qtype, answer, from.rotates);
        if (compiled === undefined) table.forget(qname, qtype);
        else table.remember(qname, { ...compiled, kept }, { zone, block });
      },
      forget: (qname, qtype) => table.forget(qname, qtype),
    };
  }

  // A DS question belongs to the parent's block, and an entry to one block.
  function blockOf(qname: Name, qtype: RRType): number | undefined {
    return qtype === RRTypes.DS ? undefined : route(blockByZone, qname, qtype);
  }
}

// As it stands behind the question; undefined for what does not fit an entry, has an extended error, or can't be rotated.
function compiledAnswer(type: RRType, { message, rcode, ede }: Wire, rotates: ReadonlySet<RRType>): CompiledAnswer | undefined {
  const start = questionEnd(message);
  const answerCount = uint16(message, 6);
  const authorityCount = uint16(message, 8);
  if (rcode > MAX_RCODE || ede !== undefined || message.length - start > MAX_BODY_BYTES || authorityCount > MAX_AUTHORITY) return undefined;
  const run = rotates.has(type) ? findRun(message, start, message.length, answerCount, type) : NO_RUN;
  if (run === undefined) return undefined;
  return {
    type,
    answerCount,
    authorityCount,
    additionalCount: uint16(message, 10),
    body: message.slice(start),
    rotateAt: run.count === 0 ? 0 : run.at - start,
    rotateCount: run.count,
    rotateSize: run.size,
  };
}
