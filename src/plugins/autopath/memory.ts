// What has been found for lengthened names, given to the answer table for a while: the listeners' threads tell it again, so that
// a name which many Pods ask for costs the chain one question a minute.

import type { Clock } from "../../clock.ts";
import { toWire } from "../../dns/encode.ts";
import { Flags, isPlain, type Query, type Records } from "../../dns/message.ts";
import type { Name } from "../../dns/name.ts";
import type { RRType } from "../../dns/records.ts";
import type { Memory } from "../../plugin.ts";

/**
 * Nothing tells this plugin that a namespace or Service has appeared whose name the base ends in: then the name may be the
 * cluster's. `cache` has the base's answer anyway.
 */
const MAX_KEPT_SECONDS = 60;
/** As many as `cache` remembers. */
const MAX_NAMES = 9984;
/** Of the answers in all, about half a kilobyte each. */
const MAX_BYTES = 5 * 1024 * 1024;

export interface Remembered {
  attach(memory: Memory): void;
  /** Keeps an answer if it is foreign, and the same for everybody who asks so. */
  keep(query: Query, reply: Records): void;
  /** How often the table has told what was kept. */
  hits(): number;
}

export function createRemembered(clock: Clock): Remembered {
  const kept = new Map<string, { readonly qname: Name; readonly qtype: RRType; readonly bytes: number }>();
  let bytes = 0;
  let memory: Memory | undefined;
  return {
    attach: (given) => void (memory = given),
    keep(query, reply) {
      if (
        memory === undefined ||
        !isPlain(query) ||
        (query.flags & Flags.AD) !== 0 ||
        reply.recursionAvailable !== true ||
        reply.perClient === true
      )
        return;
      const ttl = [...reply.answer, ...reply.authority].reduce((least, rrset) => Math.min(least, rrset.ttl), MAX_KEPT_SECONDS);
      if (ttl <= 0) return;
      const { qname, qtype } = query;
      const wire = toWire(reply, query);
      const storedAtMs = clock.monotonic();
      drop(`${qtype} ${qname}`);
      memory.keep(qname, qtype, wire, { storedAtMs, deadlineMs: storedAtMs + ttl * 1000 });
      kept.set(`${qtype} ${qname}`, { qname, qtype, bytes: wire.message.length });
      bytes += wire.message.length;
      for (const [key, oldest] of kept) {
        if (kept.size <= MAX_NAMES && bytes <= MAX_BYTES) break;
        drop(key);
        memory.forget(oldest.qname, oldest.qtype);
      }
    },
    hits() {
      const { success, denial } = memory?.hits() ?? { success: 0, denial: 0 };
      return success + denial;
    },
  };

  function drop(key: string): void {
    bytes -= kept.get(key)?.bytes ?? 0;
    kept.delete(key);
  }
}
