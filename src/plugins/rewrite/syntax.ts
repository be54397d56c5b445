// The Corefile's `rewrite` lines → rules. A line is a rule, and so is a block, whose lines are read as if they stood in one: that
// is why this is no syntax table. Everything is checked here, and what is wrong with any of the rules is told.

import { caseless, isProblem, oneOf } from "../../config/arguments.ts";
import { readArgument, type Directive, type Report, type Syntax } from "../../config/directive.ts";
import { compileGoRegexp, type GoRegexp } from "../../config/go-regexp.ts";
import type { Token } from "../../config/tokens.ts";
import { lowerCase, tryName } from "../../dns/name.ts";
import { RRClasses } from "../../dns/records.ts";
import { nearest, type Position } from "../../errors.ts";
import type { AnswerRule } from "./answers.ts";
import { certainEnd } from "./certain-end.ts";
import { readEdns, EDNS_USAGE } from "./edns-syntax.ts";
import {
  exactMatch,
  fillGroups,
  groupsIn,
  MATCHES,
  prefixMatch,
  qualified,
  regexMatch,
  substringMatch,
  suffixMatch,
  type MatchKind,
  type NameMatch,
} from "./names.ts";
import { changesAnswer, renames, type Auto, type Reader, type Rule, type Words } from "./rule.ts";
import { CLASS, RCODE, TTL, TYPE } from "./values.ts";

const MATCH_KIND = caseless(oneOf(...MATCHES));
const HOW = `[${MATCHES.join("|")}]`;

const FIELDS: Readonly<Record<string, { readonly usage: readonly string[]; readonly read: Reader }>> = {
  name: { usage: [`${HOW} FROM TO [answer auto|name FROM TO|value FROM TO]...`], read: readName },
  type: { usage: ["FROM TO"], read: readType },
  class: { usage: ["FROM TO"], read: readClass },
  ttl: { usage: [`${HOW} NAME SECONDS|MIN-MAX`], read: readTtl },
  rcode: { usage: [`${HOW} NAME FROM TO`], read: readRcode },
  cname: { usage: [`${HOW} FROM TO`], read: readCname },
  edns0: { usage: EDNS_USAGE, read: readEdns },
};

/** The rules of a server block, in the order of the file. */
export const syntax: Syntax<readonly Rule[]> = {
  repeat: "merge",
  usage: (name) =>
    Object.entries(FIELDS).flatMap(([field, { usage }]) => usage.map((words) => `${name} [continue|stop] ${field} ${words}`)),
  read(lines, outer) {
    let failed = false;
    const report: Report = {
      error(at, message) {
        failed = true;
        outer.error(at, `rewrite: ${message}`);
      },
      warning: (at, message) => outer.warning(at, `rewrite: ${message}`),
    };
    const rules = lines.map((line) => readRule(line, report)).filter((rule) => rule !== undefined);
    return failed ? [] : [rules];
  },
};

function readRule(line: Directive, report: Report): Rule | undefined {
  const [first, ...others] = wordsOf(line, report);
  const mode = first === undefined ? "" : lowerCase(first.text);
  const hasMode = mode === "continue" || mode === "stop";
  const [field, tokens] = hasMode ? [others[0], others.slice(1)] : [first, others];
  const known = Object.keys(FIELDS);
  if (field === undefined) {
    report.error(line, `expected [continue|stop] and one of ${known.join(", ")}`);
    return undefined;
  }
  const name = lowerCase(field.text);
  if (!Object.hasOwn(FIELDS, name)) {
    const meant = nearest(name, hasMode ? known : [...known, "continue", "stop"]);
    const why = name === "answer" ? "a rule for answers stands behind a name rule" : `expected ${known.join(", ")}, found "${field.text}"`;
    report.error(field, meant === undefined ? why : `${why}, did you mean "${meant}"?`);
    return undefined;
  }
  const { usage, read } = FIELDS[name] as (typeof FIELDS)[string];
  const expected = (wanted: string): undefined => {
    const found = tokens.length === 0 ? "nothing" : `"${tokens.map(({ text }) => text).join(" ")}"`;
    report.error(field, `${name}: expected ${wanted}, found ${found}${line.block === undefined ? "" : "; a block holds one rule"}`);
    return undefined;
  };
  const prefixed: Report = {
    error: (at, message) => report.error(at, `${name}: ${message}`),
    warning: (at, message) => report.warning(at, `${name}: ${message}`),
  };
  const rule = read({ tokens, at: field, report: prefixed, expected: (wanted) => expected(wanted === "" ? usage.join(" or ") : wanted) });
  return rule === undefined ? undefined : { ...rule, stops: mode !== "continue" };
}

// A block is read only behind less than a rule, as in CoreDNS.
function wordsOf(line: Directive, report: Report): readonly Token[] {
  if (line.block === undefined) return line.args;
  if (line.args.length > 1) report.error(line, "takes no block behind a rule");
  const nested = line.block.flatMap((inner) => {
    if (inner.block !== undefined) report.error(inner, "takes no block");
    const { file, line: row, column, name } = inner;
    return [{ file, line: row, column, text: name, quoted: false }, ...inner.args];
  });
  return [...line.args, ...nested];
}

function readName({ tokens, report, expected }: Words): Omit<Rule, "stops"> | undefined {
  const [first, second, third, ...more] = tokens;
  if (first === undefined || second === undefined) return expected("");
  const kind = third === undefined ? "exact" : readArgument(MATCH_KIND, first, report);
  const [from, to] = third === undefined ? [first, second] : [second, third];
  if (kind === undefined) return undefined;
  const match = readMatch(kind, from, report);
  const answer = readAnswers(more, report);
  if (match === undefined || answer === undefined) return undefined;
  if (match.pattern !== undefined && !areGroupsThere(match.pattern, to, report)) return undefined;
  if (kind === "exact" && tryName(to.text) === undefined) {
    report.error(to, `TO must be a domain name, found "${to.text}"`);
    return undefined;
  }
  return renames(match, qualified(to.text), autoOf(kind, qualified(from.text), answer.auto), answer.rules);
}

function autoOf(kind: MatchKind, from: string, isAsked: boolean): Auto {
  if (kind === "exact") return { kind: "back" };
  if (!isAsked) return { kind: "none" };
  return kind === "suffix" ? { kind, from } : { kind: "back" };
}

// `answer auto|(name|value FROM TO)`, any number of times; behind the first, `answer` may be left out.
function readAnswers(
  tokens: readonly Token[],
  report: Report,
): { readonly auto: boolean; readonly rules: readonly AnswerRule[] } | undefined {
  const rules: AnswerRule[] = [];
  let auto = false;
  let isNamed = false;
  for (let at = 0; at < tokens.length;) {
    const word = tokens[at] as Token;
    if (word.text === "answer") at++;
    else if (at === 0) return told(word, `expected answer, found "${word.text}"`);
    const kind = tokens[at++];
    if (kind === undefined) return told(word, "answer: expected auto, name FROM TO or value FROM TO, found nothing");
    const [from, to] = [tokens[at], tokens[at + 1]];
    // `answer name auto` is how CoreDNS's documentation writes `answer auto`, too.
    const isAuto = kind.text === "name" && from?.text === "auto" && (to === undefined || to.text === "answer");
    if (kind.text === "auto" || isAuto) {
      auto = true;
      at += isAuto ? 1 : 0;
    } else if (kind.text !== "name" && kind.text !== "value") {
      return told(kind, `answer: expected auto, name or value, found "${kind.text}"`);
    } else if (from === undefined || to === undefined) {
      return told(kind, `answer ${kind.text}: expected FROM TO`);
    } else {
      const pattern = readPattern(from, report);
      if (pattern === undefined || !areGroupsThere(pattern, to, report)) return undefined;
      const target = qualified(to.text);
      isNamed ||= kind.text === "name";
      rules.push({
        field: kind.text === "name" ? "owner" : "value",
        rewrite: (text) => fillGroups(pattern.exec(text), target) ?? text,
      });
      at += 2;
    }
    if (auto && isNamed) return told(kind, "answer auto can't stand beside answer name");
  }
  return { auto, rules };

  function told(at: Position, message: string): undefined {
    report.error(at, message);
  }
}

function readType({ tokens, report, expected }: Words): Omit<Rule, "stops"> | undefined {
  const [from, to, more] = tokens;
  if (from === undefined || to === undefined || more !== undefined) return expected("");
  const [asked, instead] = [readArgument(TYPE, from, report), readArgument(TYPE, to, report)];
  if (asked === undefined || instead === undefined) return undefined;
  return {
    touches: { types: [asked] },
    apply: (query) => (query.qtype === asked ? { query: { ...query, qtype: instead }, answer: [] } : undefined),
  };
}

function readClass({ tokens, report, expected }: Words): Omit<Rule, "stops"> | undefined {
  const [from, to, more] = tokens;
  if (from === undefined || to === undefined || more !== undefined) return expected("");
  const [asked, instead] = [readArgument(CLASS, from, report), readArgument(CLASS, to, report)];
  if (asked === undefined || instead === undefined) return undefined;
  return {
    touches: asked === RRClasses.IN ? undefined : {}, // the answer table holds class IN alone
    ...(asked !== RRClasses.IN && { takesClass: asked }),
    apply: (query) => (query.qclass === asked ? { query: { ...query, qclass: instead }, answer: [] } : undefined),
  };
}

function readTtl({ tokens, report, expected }: Words): Omit<Rule, "stops"> | undefined {
  const found = readMatched(tokens, 1, report, expected);
  const range = found === undefined ? undefined : readArgument(TTL, found.rest[0] as Token, report);
  return found === undefined || range === undefined ? undefined : changesAnswer(found.match, { field: "ttl", ...range });
}

function readRcode({ tokens, report, expected }: Words): Omit<Rule, "stops"> | undefined {
  const found = readMatched(tokens, 2, report, expected);
  if (found === undefined) return undefined;
  const [from, to] = found.rest.map((token) => readArgument(RCODE, token, report));
  return from === undefined || to === undefined ? undefined : changesAnswer(found.match, { field: "rcode", from, to });
}

// What the target of a CNAME is, only the answer says: no question can be told from others before.
function readCname({ tokens, report, expected }: Words): Omit<Rule, "stops"> | undefined {
  if ((tokens.length !== 2 && tokens.length !== 3) || tokens.some(({ text }) => text === "")) return expected("");
  const kind = tokens.length === 2 ? "exact" : readArgument(MATCH_KIND, tokens[0] as Token, report);
  const [from, to] = tokens.slice(-2) as [Token, Token];
  const match = kind === undefined ? undefined : readTarget(kind, from, report);
  if (match === undefined) return undefined;
  const target = lowerCase(to.text);
  const answer: readonly AnswerRule[] = [{ field: "cname", redirect: (text) => match.replace(text, target) }];
  return { touches: undefined, apply: (query) => ({ query, answer }) };
}

// CoreDNS compares in lower case here, also what a pattern finds, and takes beginnings and parts as they are.
function readTarget(kind: MatchKind, from: Token, report: Report): NameMatch | undefined {
  if (kind === "prefix") return prefixMatch(lowerCase(from.text));
  if (kind === "substring") return substringMatch(lowerCase(from.text));
  return readMatch(kind, kind === "regex" ? { ...from, text: `(?i)${from.text}` } : from, report);
}

// `[exact|…] NAME` and as many words behind it as the field has.
function readMatched(
  tokens: readonly Token[],
  behind: number,
  report: Report,
  expected: Words["expected"],
): { readonly match: NameMatch; readonly rest: readonly Token[] } | undefined {
  const extra = tokens.length - behind - 1;
  if (extra !== 0 && extra !== 1) return expected("");
  const kind = extra === 0 ? "exact" : readArgument(MATCH_KIND, tokens[0] as Token, report);
  const match = kind === undefined ? undefined : readMatch(kind, tokens[extra] as Token, report);
  return match === undefined ? undefined : { match, rest: tokens.slice(extra + 1) };
}

function readMatch(kind: MatchKind, from: Token, report: Report): (NameMatch & { readonly pattern?: GoRegexp }) | undefined {
  switch (kind) {
    case "exact": {
      const name = tryName(from.text);
      if (name === undefined) report.error(from, `must be a domain name, found "${from.text}"`);
      return name === undefined ? undefined : exactMatch(name);
    }
    case "prefix":
      return prefixMatch(qualified(from.text));
    case "suffix":
      return suffixMatch(qualified(from.text));
    case "substring":
      return substringMatch(qualified(from.text));
    case "regex": {
      const pattern = readPattern(from, report);
      return pattern === undefined ? undefined : { ...regexMatch(pattern), pattern };
    }
    default:
      return kind satisfies never;
  }
}

function readPattern(token: Token, report: Report): GoRegexp | undefined {
  const pattern = compileGoRegexp(token.text);
  if (isProblem(pattern)) {
    report.error(token, pattern.problem);
    return undefined;
  }
  if (certainEnd(token.text)?.text.endsWith(".") === false) {
    report.warning(token, `"${token.text}" never matches, as every name ends in a dot: write \\.$`);
  }
  return pattern;
}

function areGroupsThere({ names, source }: GoRegexp, to: Token, report: Report): boolean {
  const used = groupsIn(to.text).filter((group) => group > 0);
  const groups = names.length - 1;
  if (used.length > groups) {
    report.error(to, `"${to.text}" refers to more groups than there are in "${source}"`);
    return false;
  }
  if (used.some((group) => group > groups))
    report.warning(to, `"${to.text}" refers to a group that "${source}" has not: it stays as it is`);
  return true;
}
