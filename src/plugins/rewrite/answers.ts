// What rules do to answers: names of owners, names in rdata, TTLs, rcode. The rules that a question has met are given last
// first, as CoreDNS undoes them. Pure; a reply in which nothing changes comes back as it was given.

import { emptyReply, Rcodes, type Rcode, type Records } from "../../dns/message.ts";
import { nameToWire, readName, tryName, type Name } from "../../dns/name.ts";
import { RRTypes, type Rdata, type RecordSet, type RRType } from "../../dns/records.ts";
import { textOf } from "./names.ts";

/** One thing to do to an answer. Texts are as textOf() writes names; a text that is no name afterwards changes nothing. */
export type AnswerRule =
  | { readonly field: "owner" | "value"; rewrite(text: string): string }
  | { readonly field: "ttl"; readonly min: number; readonly max: number }
  | { readonly field: "rcode"; readonly from: Rcode; readonly to: Rcode }
  /** The new target of a CNAME; undefined to leave it. */
  | { readonly field: "cname"; redirect(target: string): string | undefined };

/** A CNAME that is to lead elsewhere. */
export interface Redirect {
  /** Its place in the answer section. */
  readonly index: number;
  readonly rule: AnswerRule;
  readonly target: Name;
}

/** The first CNAME of an answer that a rule leads elsewhere. */
export function redirectIn(answer: readonly RecordSet[], rules: readonly AnswerRule[]): Redirect | undefined {
  for (const [index, { type, rdata }] of answer.entries()) {
    let text = type === RRTypes.CNAME ? valueOf(RRTypes.CNAME, rdata[0] as Rdata) : undefined;
    if (text === undefined) continue;
    for (const rule of rules) {
      if (rule.field === "value") text = rule.rewrite(text);
      if (rule.field !== "cname") continue;
      const target = tryName(rule.redirect(text) ?? text);
      if (target !== undefined && textOf(target) !== text) return { index, rule, target };
    }
  }
  return undefined;
}

/** The reply as the rules make it. */
export function rewriteAnswer(records: Records, rules: readonly AnswerRule[]): Records {
  const rcode = rewriteRcode(records.rcode, rules);
  const answer = rewriteSets(records.answer, rules);
  const authority = rewriteSets(records.authority, rules);
  const additional = rewriteSets(records.additional, rules);
  if (answer === records.answer && authority === records.authority && additional === records.additional) {
    if (rcode === records.rcode) return records;
  }
  const { unhandled: _, ...head } = records; // whoever sees it now sees an answer
  return { ...head, rcode, answer, authority, additional, authenticated: false };
}

/** The CNAMEs of an answer up to the one that is led elsewhere, as the rules make them. What stood behind it is gone. */
export function aliasesTo(redirect: Redirect, records: Records, rules: readonly AnswerRule[]): Records {
  const { by, authoritative, recursionAvailable, answer } = records;
  const cnames = answer.slice(0, redirect.index + 1).filter(({ type }) => type === RRTypes.CNAME);
  return {
    ...emptyReply(Rcodes.NOERROR, by),
    authoritative,
    ...(recursionAvailable !== undefined && { recursionAvailable }),
    answer: cnames.map((set, index) => rewriteSet(set, rules, index === cnames.length - 1 ? redirect : undefined)),
  };
}

/** The rcode as the rules make it. */
export function rewriteRcode(rcode: Rcode, rules: readonly AnswerRule[]): Rcode {
  return rules.reduce((now, rule) => (rule.field === "rcode" && rule.from === now ? rule.to : now), rcode);
}

function rewriteSets(sets: readonly RecordSet[], rules: readonly AnswerRule[]): readonly RecordSet[] {
  let changed = false;
  const rewritten = sets.map((set) => {
    const made = rewriteSet(set, rules);
    changed ||= made !== set;
    return made;
  });
  return changed ? rewritten : sets;
}

function rewriteSet(set: RecordSet, rules: readonly AnswerRule[], redirect?: Redirect): RecordSet {
  const before = textOf(set.owner);
  let owner = before;
  let { ttl } = set;
  for (const rule of rules) {
    if (rule.field === "owner") owner = rule.rewrite(owner);
    if (rule.field === "ttl") ttl = Math.min(Math.max(ttl, rule.min), rule.max);
  }
  const name = owner === before ? set.owner : (tryName(owner) ?? set.owner);
  const rdata = NAME_AT.has(set.type) ? set.rdata.map((one) => rewriteValue(set.type, one, rules, redirect)) : set.rdata;
  const isSame = name === set.owner && ttl === set.ttl && rdata.every((one, index) => one === set.rdata[index]);
  return isSame ? set : { ...set, owner: name, ttl, rdata };
}

function rewriteValue(type: RRType, rdata: Rdata, rules: readonly AnswerRule[], redirect: Redirect | undefined): Rdata {
  const before = valueOf(type, rdata);
  if (before === undefined) return rdata;
  let text = before;
  for (const rule of rules) {
    if (rule.field === "value") text = rule.rewrite(text);
    else if (rule === redirect?.rule) text = textOf(redirect.target);
  }
  const name = text === before ? undefined : tryName(text);
  if (name === undefined) return rdata;
  const start = NAME_AT.get(type)?.(rdata) ?? 0;
  const end = readName(rdata, start)?.end ?? rdata.length;
  return Buffer.concat([rdata.subarray(0, start), nameToWire(name), rdata.subarray(end)]);
}

function valueOf(type: RRType, rdata: Rdata): string | undefined {
  const start = NAME_AT.get(type)?.(rdata);
  const found = start === undefined ? undefined : readName(rdata, start);
  return found === undefined ? undefined : textOf(found.name);
}

/** Where the name stands that counts as the value, for the types that CoreDNS rewrites. */
const NAME_AT: ReadonlyMap<RRType, (rdata: Rdata) => number> = new Map([
  [RRTypes.CNAME, () => 0],
  [RRTypes.DNAME, () => 0],
  [RRTypes.NS, () => 0],
  [RRTypes.PTR, () => 0],
  [RRTypes.SOA, () => 0],
  [RRTypes.MX, () => 2],
  [RRTypes.SRV, () => 6],
  [RRTypes.NAPTR, replacementAt],
]);

// NAPTR: order, preference, three character-strings, and the replacement (RFC 3403 §4.1).
function replacementAt(rdata: Rdata): number {
  let at = 4;
  for (let strings = 3; strings > 0; strings--) at += 1 + (rdata[at] ?? 0);
  return at;
}
