// A rendered record as the zone file form lets it be written: parentheses, comments, TTLs with units, 3600 s without one.
// dns/text.ts reads what is left. Called by template.ts for each record of an answer.

import { isProblem, type Problem } from "../../config/arguments.ts";
import { NdotsError } from "../../errors.ts";
import { parseRecord, type TextRecord } from "../../dns/text.ts";
import type { Rdata, RecordSet } from "../../dns/records.ts";

const DEFAULT_TTL_SECONDS = 3600; // as CoreDNS
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** The record that a text says; undefined for a text without any, and a reason where it can't be read. */
export function readRecord(text: string): TextRecord | undefined | Problem {
  const line = oneLine(text);
  if (isProblem(line) || line === "") return line === "" ? undefined : line;
  try {
    return parseRecord(withSeconds(line), { ttl: DEFAULT_TTL_SECONDS });
  } catch (error) {
    if (error instanceof NdotsError) return { problem: error.message };
    throw error;
  }
}

// The first record as one line. What is quoted or escaped stays; in parentheses a line's end is a blank (RFC 1035 §5.1).
function oneLine(text: string): string | Problem {
  let line = "";
  let depth = 0;
  for (const [part] of text.matchAll(/"(?:[^"\\]|\\[^])*"?|\\[^]?|;[^\n]*|[()\n]|[^"\\;()\n]+/g)) {
    if (part === "(") depth++;
    else if (part === ")") depth--;
    if (depth < 0) return { problem: `"${text}": a parenthesis is closed that was not opened` };
    if (part === "\n" && depth === 0 && line.trim() !== "") break;
    line += /^[()\n;]/.test(part) ? " " : part;
  }
  return depth > 0 ? { problem: `"${text}": a parenthesis is not closed` } : line.trim();
}

// `1h30m` as 5400, where the TTL stands.
function withSeconds(line: string): string {
  return line.replace(/^(\S+\s+(?:[A-Za-z]+\s+)?)((?:\d+[smhdw])+)(?=\s)/i, (_, before: string, ttl: string) => {
    let seconds = 0;
    for (const [, amount, unit = ""] of ttl.matchAll(/(\d+)([smhdw])/gi))
      seconds += Number(amount) * (UNIT_SECONDS[unit.toLowerCase()] ?? 0);
    return before + seconds;
  });
}

/** Records as rrsets, in the order of their first records; those of one rrset get the lowest of its TTLs (RFC 2181 §5.2). */
export function setsOf(records: readonly TextRecord[]): RecordSet[] {
  const sets: (RecordSet & { ttl: number; readonly rdata: Rdata[] })[] = [];
  for (const { owner, ttl, type, rrclass, rdata } of records) {
    const set = sets.find((other) => other.owner === owner && other.type === type && other.rrclass === rrclass);
    if (set === undefined) sets.push({ owner, ttl, type, rrclass, rdata: [rdata] });
    else {
      set.ttl = Math.min(set.ttl, ttl);
      if (!set.rdata.some((other) => Buffer.compare(other, rdata) === 0)) set.rdata.push(rdata);
    }
  }
  return sets;
}
