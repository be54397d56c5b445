// Go's regular expressions (RE2 syntax), as Corefiles write them: for `template`, `rewrite`, `errors`, `auto`. Matching takes
// time in proportion to the text, whatever the pattern: names come from anybody. re2js (6 ms to load) is loaded with the
// first pattern, so a Corefile without one starts without it.

import { createRequire } from "node:module";
import type { RE2JS } from "re2js";
import { isProblem, type ArgType, type Problem } from "./arguments.ts";

/** A compiled pattern. */
export interface GoRegexp {
  /** As written. */
  readonly source: string;
  /** A name for each group, by its number; "" for those without one and for 0, the whole match. */
  readonly names: readonly string[];
  /** True if the pattern is found anywhere in the text: faster than exec(). */
  test(text: string): boolean;
  /** The leftmost match and its groups; undefined for a group that took no part. Undefined without a match. */
  exec(text: string): readonly (string | undefined)[] | undefined;
}

const MAX_PATTERN_CHARS = 10_000; // as CoreDNS

/**
 * Compiles a pattern, or says why it is none.
 * @example compileGoRegexp("^ip-(?P<last>[0-9]+)[.]example[.]$")
 */
export function compileGoRegexp(text: string): GoRegexp | Problem {
  if (text.length > MAX_PATTERN_CHARS) return { problem: `must be at most ${MAX_PATTERN_CHARS} characters, found ${text.length}` };
  const compiled = compile(text);
  if (isProblem(compiled)) return compiled;
  const names = Array.from({ length: compiled.groupCount() + 1 }, () => "");
  for (const [name, group] of Object.entries(compiled.namedGroups())) names[group] = name;
  return {
    source: text,
    names,
    test: (subject) => compiled.test(subject),
    // Most names match nothing, and test() says so in a tenth of exec()'s time.
    exec: (subject) => (compiled.test(subject) ? (compiled.exec(subject) ?? undefined) : undefined),
  };
}

/** A regular expression as an argument. */
export function goRegexp(usage: string = "REGEX"): ArgType<GoRegexp> {
  return { usage, parse: compileGoRegexp };
}

let library: typeof RE2JS | undefined;

function compile(text: string): RE2JS | Problem {
  // By require(), not import(): syntax tables are read synchronously.
  library ??= (createRequire(import.meta.url)("re2js") as { RE2JS: typeof RE2JS }).RE2JS;
  try {
    return library.compile(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^error parsing regexp: /, "") : String(error);
    return { problem: `must be a regular expression of Go's: ${reason}` };
  }
}
