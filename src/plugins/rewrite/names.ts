// Names as rules see them: text, and the five ways to find it. Rules compare text, as in CoreDNS, not labels: the suffix
// `example.org` is found in `badexample.org`, too. Each way also says, once, which names it could ever find. Pure.

import type { GoRegexp } from "../../config/go-regexp.ts";
import { formatLabel, formatName, isWithin, labelsOf, lowerCase, ROOT, tryName, type Name } from "../../dns/name.ts";
import type { Touches } from "../../plugin.ts";
import { certainEnd } from "./certain-end.ts";

/** The ways to find a name, in the words of the Corefile. */
export const MATCHES = ["exact", "prefix", "suffix", "substring", "regex"] as const;
export type MatchKind = (typeof MATCHES)[number];

/** Finds names. */
export interface NameMatch {
  /** The name with `to` in the place of what was found; undefined where nothing was. */
  replace(text: string, to: string): string | undefined;
  /** The names it finds, and perhaps others. */
  readonly touches: Touches;
}

/** A name's text, fully qualified. A dot in it always stands between labels; one inside a label is `\046`. */
export function textOf(name: Name): string {
  const text = formatName(name);
  if (!text.includes("\\")) return text;
  return `${labelsOf(name)
    .map((label) => formatLabel(label).replaceAll("\\.", "\\046"))
    .join(".")}.`;
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
  return {
    replace: (text, to) => (text.startsWith(from) ? to + text.slice(from.length) : undefined),
    touches: anyThat((text) => text.startsWith(from), ROOT),
  };
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
  return {
    replace: (text, to) => (text.includes(from) ? text.split(from).join(to) : undefined),
    touches: anyThat((text) => text.includes(from), ROOT),
  };
}

/** Found anywhere in a name, which is then replaced as a whole; `{1}` in `to` is what the first group found. */
export function regexMatch(pattern: GoRegexp): NameMatch {
  return { replace: (text, to) => fillGroups(pattern.exec(text), to), touches: namesFoundBy(pattern) };
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

function namesFoundBy(pattern: GoRegexp): Touches {
  const isFound = (text: string): boolean => pattern.test(text);
  const end = certainEnd(pattern.source);
  if (end === undefined) return anyThat(isFound, ROOT);
  if (!end.text.endsWith(".")) return {}; // no name ends otherwise
  if (!end.whole) return namesEndingIn(end.text, isFound);
  const name = tryName(end.text);
  return name === undefined ? {} : { names: [name] };
}

// What stands before the first dot of a suffix may be the end of a longer label, so all below its parent are looked at.
function namesEndingIn(suffix: string, isFound: (text: string) => boolean = (text) => text.endsWith(suffix)): Touches {
  const dot = suffix.indexOf(".");
  const zone = tryName(suffix.slice(dot + 1));
  if (zone === undefined) return {};
  return dot === 0 && zone !== ROOT ? { below: [zone] } : anyThat(isFound, zone);
}

// Names in the zone: those that exist are looked at one by one; one that does not could be any.
function anyThat(isFound: (text: string) => boolean, zone: Name): Touches {
  return {
    matches: (name) => isFound(textOf(name)),
    missingBelow: (encloser) => isWithin(encloser, zone) || isWithin(zone, encloser),
  };
}
