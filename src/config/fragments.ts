// Which of the files that a Corefile imports by a pattern (`import custom/*.override`) are used: one team's bad fragment
// is left out, or its last good version goes on, so that it holds up nobody else. What is good is for the caller's trial
// to say, for only setting up the plugins tells. Called at start and at reload; a Corefile without findings costs one trial.

import type { Finding } from "../errors.ts";
import type { Corefile } from "./corefile.ts";
import type { ReplacedFragments } from "./imports.ts";

type MaybePromise<T> = T | Promise<T>;

export interface FragmentOptions {
  /** Of the Corefile as it is on disk. */
  readonly globbed: Corefile["globbed"];
  /** Path → text of fragments that were good before. */
  readonly lastGood: ReadonlyMap<string, string>;
  /** Reads and sets up the whole with these replacements. The last trial without an error is the one that is accepted. */
  readonly trial: (replaced: ReplacedFragments) => MaybePromise<readonly Finding[]>;
}

export interface AcceptedFragments {
  /** False: the Corefile is wrong without any fragment. `findings` then is all that is wrong in it and in them. */
  readonly ok: boolean;
  /** What parseCorefile() is to be given. */
  readonly replaced: ReplacedFragments;
  /** Errors, which are not fatal where `ok`, and what the accepted trial found. */
  readonly findings: readonly Finding[];
  /** The next call's `lastGood`. */
  readonly good: ReadonlyMap<string, string>;
  /** Fragments that are wrong, and whether their last good version goes on. */
  readonly failed: ReadonlyMap<string, "left out" | "last good version">;
}

/** Finds the fragments to use: all, else each that does no harm to those before it, in the order of their patterns. */
export async function acceptFragments({ globbed, lastGood, trial }: FragmentOptions): Promise<AcceptedFragments> {
  const whole = await trial(new Map());
  if (!whole.some(isError)) return { ok: true, replaced: new Map(), findings: whole, good: textsOf(globbed), failed: new Map() };

  const replaced = new Map<string, string | undefined>([...globbed.keys()].map((path) => [path, undefined]));
  let findings = globbed.size === 0 ? whole : await trial(new Map(replaced));
  if (findings.some(isError)) return { ok: false, replaced: new Map(), findings: whole, good: lastGood, failed: new Map() };

  const good = new Map<string, string>();
  const failed = new Map<string, "left out" | "last good version">();
  const problems: Finding[] = [];
  for (const [path, text] of globbed) {
    const problem = await add(path, text);
    if (problem === undefined) {
      if (text !== undefined) good.set(path, text);
      continue;
    }
    const before = lastGood.get(path);
    if (before !== undefined) good.set(path, before);
    const kept = before !== undefined && before !== text && (await add(path, before)) === undefined;
    failed.set(path, kept ? "last good version" : "left out");
    problems.push(...problem.map((finding) => blame(path, finding, kept ? "its last good version goes on" : "it is left out")));
  }
  return { ok: true, replaced, findings: [...problems, ...findings], good, failed };

  // What is wrong with it; undefined: it is kept. What can't be read is tried as it stands, which tells why.
  async function add(path: string, text: string | undefined): Promise<readonly Finding[] | undefined> {
    const tried = new Map(replaced);
    if (text === undefined) tried.delete(path);
    else tried.set(path, text);
    const found = await trial(tried);
    const errors = found.filter(isError);
    if (errors.length > 0) return errors;
    if (text === undefined) replaced.delete(path);
    else replaced.set(path, text);
    findings = found;
    return undefined;
  }
}

function isError({ severity }: Finding): boolean {
  return severity === "error";
}

function textsOf(globbed: Corefile["globbed"]): ReadonlyMap<string, string> {
  return new Map([...globbed].filter((entry): entry is [string, string] => entry[1] !== undefined));
}

// A brace that is missing in a fragment shows at the end of another file: the blame is the fragment's all the same.
function blame(path: string, finding: Finding, consequence: string): Finding {
  if (finding.file === path) return { ...finding, message: `${finding.message} (this file is bad: ${consequence})` };
  const message = `this file is bad: ${consequence}; with it, ${finding.file}:${finding.line}: ${finding.message}`;
  return { severity: "error", file: path, line: 1, column: 0, message };
}

/** True where a `reload` says `import_strict`: a bad fragment then refuses the whole. */
export function isImportStrict({ blocks }: Pick<Corefile, "blocks">): boolean {
  const reloads = blocks.flatMap(({ directives }) => directives.filter(({ name }) => name === "reload"));
  return reloads.some(({ block }) => block?.some(({ name }) => name === "import_strict"));
}
