// A rendered record as the zone file form lets it be written: parentheses, comments, TTLs with units, 3600 s without one.
// dns/text.ts reads what is left. Called by template.ts for each record of an answer, and by options.ts.

import { isProblem, type Problem } from "../../config/arguments.ts";
import { NdotsError } from "../../errors.ts";
import { classOf, parseRecord, type TextRecord } from "../../dns/text.ts";
import type { Rdata, RecordSet } from "../../dns/records.ts";

const DEFAULT_TTL_SECONDS = 3600; // as CoreDNS
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
/** Fields of an SOA's rdata in front of those in seconds: two names and the serial. */
const SOA_HEAD_FIELDS = 3;

/** The record that a text says; undefined for a text without any, and a reason where it can't be read. */
export function readRecord(text: string): TextRecord | undefined | Problem {
  const words = wordsOf(text);
  if (isProblem(words)) return words;
  if (words.length === 0) return undefined;
  try {
    return parseRecord(withSeconds(words).join(" "), { ttl: DEFAULT_TTL_SECONDS });
  } catch (error) {
    if (error instanceof NdotsError) return { problem: error.message };
    throw error;
  }
}

// The words of the first record. What is quoted or escaped stays; in parentheses a line's end is a blank (RFC 1035 §5.1).
function wordsOf(text: string): string[] | Problem {
  const words: string[] = [];
  let isOpen = false;
  for (const [part] of text.matchAll(/"(?:[^"\\]|\\[^])*"?|(?:[^\s"\\;()]|\\[^]?)+|;[^\n]*|[()\n]/g)) {
    if (part === "(" || part === ")") {
      if (isOpen === (part === "(")) return { problem: `"${text}": "${part}" has no counterpart` };
      isOpen = part === "(";
    } else if (part === "\n") {
      if (!isOpen && words.length > 0) break;
    } else if (!part.startsWith(";")) words.push(part);
  }
  return isOpen ? { problem: `"${text}": "(" has no counterpart` } : words;
}

// `1h30m` as 5400: where the TTL stands, and in an SOA.
function withSeconds(words: readonly string[]): string[] {
  const typeAt = words.findIndex(
    (word, index) => index > 0 && (index > 2 || (secondsOf(word) === undefined && classOf(word) === undefined)),
  );
  const isSoa = words[typeAt]?.toUpperCase() === "SOA";
  return words.map((word, index) => {
    const isTime = (index > 0 && index < typeAt) || (isSoa && index > typeAt + SOA_HEAD_FIELDS);
    return isTime ? String(secondsOf(word) ?? word) : word;
  });
}

function secondsOf(word: string): number | undefined {
  if (!/^\d+(?:[smhdw]\d+)*[smhdw]?$/i.test(word)) return undefined;
  let seconds = 0;
  for (const [, amount, unit = "s"] of word.matchAll(/(\d+)([smhdw]?)/gi))
    seconds += Number(amount) * (UNIT_SECONDS[unit.toLowerCase()] ?? 1);
  return seconds;
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
