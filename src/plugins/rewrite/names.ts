// Names as rules see them: text, and the five ways to find it. Rules compare text, as in CoreDNS, not labels: the suffix
// `example.org` is found in `badexample.org`, too. Each way also says, once, which names it could ever find. Pure.

import type { GoRegexp } from "../../config/go-regexp.ts";
import { formatLabel, formatName, labelsOf, lowerCase, parseName, ROOT, type Name } from "../../dns/name.ts";
import type { Touches } from "../../plugin.ts";
import { certainEnd } from "./certain-end.ts";

/** The ways to find a name, in the words of the Corefile. */
export const MATCHES = ["exact", "prefix", "suffix", "substring", "regex"] as const;
export type MatchKind = (typeof MATCHES)[number];

/** Finds names. */
export interface NameMatch {
  /** The name with `to` in the place of what was found; undefined where nothing was. */
  replace(text: string, to: string): string | undefined;
  /** The names it may find, and perhaps others; undefined where that could be any. */
  readonly touches: Touches | undefined;
}

/** A name's text, fully qualified. A dot in it always stands between labels; one inside a label is `\046`. */
export function textOf(name: Name): string {
  const text = formatName(name);
  if (!text.includes("\\")) return text;
  return `${labelsOf(name)
    .map((label) => formatLabel(label).replaceAll("\\.", "\\046"))
    .join(".")}.`;
}

/** The name that a text says; undefined where it is none. */
export function nameOf(text: string): Name | undefined {
  try {
    return parseName(text);
  } catch {
    return undefined;
  }
}

/** As CoreDNS reads what is to be compared with names: in lower case, with a dot at the end. */
export function qualified(text: string): string {
  const lower = lowerCase(text);
  return lower.endsWith(".") ? lower : `${lower}.`;
}

/** @param from the whole name. */
export function exactMatch(from: Name): NameMatch {
  const whole = textOf(from);
  return { replace: (text, to) => (text === whole ? to : undefined), touches: { names: [from] } };
}

/** @param from how the text of a name begins. */
export function prefixMatch(from: string): NameMatch {
  return { replace: (text, to) => (text.startsWith(from) ? to + text.slice(from.length) : undefined), touches: undefined };
}

/** @param from how the text of a name ends. */
export function suffixMatch(from: string): NameMatch {
  return { replace: (text, to) => replaceSuffix(text, from, to), touches: namesEndingIn(from) };
}

/** The text with its end replaced; undefined where it ends otherwise. */
export function replaceSuffix(text: string, from: string, to: string): string | undefined {
  return text.endsWith(from) ? text.slice(0, text.length - from.length) + to : undefined;
}

/** @param from stands anywhere in the text of a name. */
export function substringMatch(from: string): NameMatch {
  return { replace: (text, to) => (text.includes(from) ? text.split(from).join(to) : undefined), touches: undefined };
}

/** Found anywhere in a name, which is then replaced as a whole; `{1}` in `to` is what the first group found. */
export function regexMatch(pattern: GoRegexp): NameMatch {
  return { replace: (text, to) => fillGroups(pattern.exec(text), to), touches: namesFoundBy(pattern.source) };
}

/** `to` with `{N}` replaced by the N-th group; undefined without a match. References to no group stay. */
export function fillGroups(groups: readonly (string | undefined)[] | undefined, to: string): string | undefined {
  const text =
    groups &&
    to.replace(GROUP, (reference, digits: string) => (Number(digits) < groups.length ? (groups[Number(digits)] ?? "") : reference));
  return text?.endsWith("..") === true ? text.slice(0, -1) : text; // a last group may bring the dot that `to` has, too
}

/** The groups that `to` refers to. */
export function groupsIn(to: string): readonly number[] {
  return [...new Set([...to.matchAll(GROUP)].map(([, digits]) => Number(digits)))];
}

const GROUP = /\{(0|[1-9]\d*)\}/g;

// What stands before the first dot of a suffix may be the end of a longer label.
function namesEndingIn(suffix: string): Touches | undefined {
  const zone = nameOf(suffix.slice(suffix.indexOf(".") + 1));
  if (zone === ROOT) return undefined;
  return zone === undefined ? {} : { below: [zone] };
}

function namesFoundBy(pattern: string): Touches | undefined {
  const end = certainEnd(pattern);
  if (end === undefined) return undefined;
  if (!end.text.endsWith(".")) return {}; // no name ends otherwise
  if (!end.whole) return namesEndingIn(end.text);
  const name = nameOf(end.text);
  return name === undefined ? {} : { names: [name] };
}
