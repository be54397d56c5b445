// What a rule of `rewrite` is once it has been read, and the rules for names, by what they do to a question and its answer.
// syntax.ts makes them, rewrite.ts runs them.

import type { Report } from "../../config/directive.ts";
import type { Token } from "../../config/tokens.ts";
import type { Query } from "../../dns/message.ts";
import { tryName } from "../../dns/name.ts";
import type { RRClass } from "../../dns/records.ts";
import type { Position } from "../../errors.ts";
import type { Touches } from "../../plugin.ts";
import type { AnswerRule } from "./answers.ts";
import { replaceSuffix, textOf, type NameMatch } from "./names.ts";

/** What a rule makes of a question. */
export type Change =
  | { readonly query: Query; readonly answer: readonly AnswerRule[] }
  /** The text that a name became, and that is none. */
  | { readonly invalid: string };

/** What `metadata` knows of the question under a label. */
export type Metadata = (label: string) => string | undefined;

export interface Rule {
  /** The last one for a question that it applies to. */
  readonly stops: boolean;
  /** Undefined where it does not apply. `qname` is the question's name as textOf() writes it. */
  apply(query: Query, qname: string, metadata: Metadata): Change | undefined;
  /** The questions it may apply to so that the answer table would be wrong; undefined where that could be any. */
  readonly touches: Touches | undefined;
  /** The class, other than IN, whose questions it is for. */
  readonly takesClass?: RRClass;
}

/** The words of a rule behind its field. */
export interface Words {
  readonly tokens: readonly Token[];
  readonly at: Position;
  readonly report: Report;
  /** Tells that the words are not what they should be: `wanted`, or all that the field takes where it is "". */
  expected(wanted: string): undefined;
}

/** Reads a rule but for `continue` or `stop`; undefined after an error was reported. */
export type Reader = (words: Words) => Omit<Rule, "stops"> | undefined;

/** How a rule for names has the answer rewritten, beside what it is told to. */
export type Auto = { readonly kind: "none" } | { readonly kind: "back" } | { readonly kind: "suffix"; readonly from: string };

/**
 * Asks for another name.
 * @param answer what is done to the answer; comes behind what `auto` does, and so is done first.
 */
export function renames(match: NameMatch, to: string, auto: Auto, answer: readonly AnswerRule[]): Omit<Rule, "stops"> {
  const swapped = auto.kind === "suffix" ? onNames((text) => replaceSuffix(text, to, auto.from) ?? text) : [];
  const fixed = [...swapped, ...answer];
  return {
    touches: match.touches,
    apply(query, qname) {
      const text = match.replace(qname, to);
      if (text === undefined) return undefined;
      const name = tryName(text);
      if (name === undefined) return { invalid: text };
      return { query: { ...query, qname: name }, answer: auto.kind === "back" ? [...mapsBack(textOf(name), qname), ...answer] : fixed };
    },
  };
}

/** Leaves the question alone and has something done to its answer. */
export function changesAnswer(match: NameMatch, rule: AnswerRule): Omit<Rule, "stops"> {
  const answer = [rule];
  return {
    touches: match.touches,
    apply: (query, qname) => (match.replace(qname, "") === undefined ? undefined : { query, answer }),
  };
}

// The name that was asked for in the place of the one that was looked up, and of the names below it.
function mapsBack(now: string, before: string): readonly AnswerRule[] {
  const below = `.${now}`;
  return onNames((text) => (text === now ? before : (replaceSuffix(text, below, `.${before}`) ?? text)));
}

function onNames(rewrite: (text: string) => string): readonly AnswerRule[] {
  return [
    { field: "owner", rewrite },
    { field: "value", rewrite },
  ];
}
