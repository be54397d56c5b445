// The stream of tokens that the Corefile's parser reads, with `import` spliced in at the starts of lines: a snippet's
// tokens, or those of the files that a path or a pattern names. Every expansion is bounded and a cycle is an error, so
// that no file can make the parser run on. Pure but for the injected CorefileFiles; called by corefile.ts.

import { dirname, join } from "node:path";
import { nearest, type Finding, type Position } from "../errors.ts";
import { lexCorefile } from "./tokens.ts";
import type { Environment, LexedToken } from "./tokens.ts";

/** How files are read; both functions throw as node:fs does. */
export interface CorefileFiles {
  read(path: string): string;
  /** The names in a folder. */
  list(directory: string): readonly string[];
}

export interface TokenStream {
  /** The next token, as it stands. */
  peek(): LexedToken | undefined;
  take(): LexedToken | undefined;
  /** The next token at the start of a line: imports there are replaced by what they name. */
  peekLine(): LexedToken | undefined;
  defineSnippet(name: string, tokens: readonly LexedToken[], at: Position): void;
  /** Gives up: nothing follows, and that blocks stay open is no news. */
  stop(): void;
  readonly stopped: boolean;
}

// CoreDNS's bounds on snippets and files, and two of ours: on what a bomb of small imports may become, and on depth.
const MAX_SNIPPET_EXPANSIONS = 10_000;
const MAX_FILE_EXPANSIONS = 100_000;
const MAX_TOKENS = 1_000_000;
const MAX_IMPORT_DEPTH = 100;

interface Frame {
  readonly tokens: readonly LexedToken[];
  /** The snippets and files that this text was imported through, itself last: what it may not import. */
  readonly chain: readonly string[];
  at: number;
}

export interface StreamOptions {
  readonly file: string;
  readonly text: string;
  readonly env: Environment;
  readonly files: CorefileFiles | undefined;
  readonly findings: Finding[];
  /** Every file and folder looked at is added. */
  readonly seen: Set<string>;
  /** What stands in the place of files that a pattern matched. */
  readonly replaced: ReplacedFragments;
  /** Every file that a pattern matched is added with its text; undefined: it can't be read. */
  readonly globbed: Map<string, string | undefined>;
  /** Told of every imported file in the order of reading, with the text that is used; undefined: it can't be read. */
  readonly onRead: (path: string, text: string | undefined) => void;
}

/** Paths of files that a pattern matches → the text to read instead of theirs; undefined leaves the file out. */
export type ReplacedFragments = ReadonlyMap<string, string | undefined>;

export function createTokenStream(options: StreamOptions): TokenStream {
  const { env, files, findings, seen, replaced, globbed, onRead } = options;
  const snippets = new Map<string, { readonly tokens: readonly LexedToken[]; readonly at: Position }>();
  const frames: Frame[] = [
    { tokens: lexCorefile(options.file, options.text, env, findings), chain: [`file ${join(options.file)}`], at: 0 },
  ];
  let tokensLeft = MAX_TOKENS;
  let snippetsLeft = MAX_SNIPPET_EXPANSIONS;
  let filesLeft = MAX_FILE_EXPANSIONS;
  let stopped = false;

  return {
    peek,
    take,
    peekLine,
    defineSnippet,
    stop,
    get stopped() {
      return stopped;
    },
  };

  function peek(): LexedToken | undefined {
    for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
      if (frame.at < frame.tokens.length) return frame.tokens[frame.at];
      frames.pop();
    }
    return undefined;
  }

  function take(): LexedToken | undefined {
    const token = peek();
    const frame = frames.at(-1);
    if (token === undefined || frame === undefined) return undefined;
    frame.at++;
    if (--tokensLeft === 0) giveUp(token, `more than ${MAX_TOKENS} words with all imports, the rest is not read`);
    return token;
  }

  function peekLine(): LexedToken | undefined {
    for (;;) {
      const token = peek();
      if (token?.text !== "import" || token.quoted) return token;
      const chain = frames.at(-1)?.chain ?? [];
      take();
      const patterns: LexedToken[] = [];
      for (let next = peek(); next?.kind === "word" && !next.first; next = peek()) {
        patterns.push(next);
        take();
      }
      if (patterns.length === 1) importPattern(patterns[0] as LexedToken, chain);
      else report(patterns[1] ?? token, `import takes one snippet, file or pattern, found ${patterns.length}`);
    }
  }

  function defineSnippet(name: string, tokens: readonly LexedToken[], at: Position): void {
    const earlier = snippets.get(name);
    if (earlier === undefined) snippets.set(name, { tokens, at });
    else report(at, `snippet (${name}) is already defined at ${earlier.at.file}:${earlier.at.line}`);
  }

  function importPattern(token: LexedToken, chain: readonly string[]): void {
    const pattern = token.text;
    const snippet = snippets.get(pattern);
    if (snippet !== undefined) {
      if (snippetsLeft-- === 0) return giveUp(token, `more than ${MAX_SNIPPET_EXPANSIONS} imports of snippets, the rest is not read`);
      return push(token, snippet.tokens, `snippet (${pattern})`, chain);
    }
    if (pattern === "") return report(token, "import needs a snippet, a file or a pattern, found nothing");
    if (files === undefined)
      return report(token, `import ${pattern}: no such snippet above${meant(pattern)}, and files can't be imported here`);
    const path = pattern.startsWith("/") ? pattern : join(dirname(token.file), pattern);
    if (!/[*?[]/.test(path)) return importFile(token, path, chain);
    if (path.includes("[") || path.replaceAll(/[^*?]/g, "").length > 1) {
      return report(token, `import ${pattern}: a pattern has at most one * or ?, and no [`);
    }
    const matches = expandPattern(path, files, seen);
    if (matches.length === 0) {
      findings.push({ severity: "warning", ...positionOf(token), message: `import ${pattern}: no files match` });
    }
    // The last in is read first.
    const texts = matches.map((match) => [match, fragmentText(token, match)] as const);
    for (const [match, text] of texts.toReversed()) if (text !== undefined) importText(token, match, text, chain);
  }

  // Undefined: there is nothing to read, which is an error only where a file is there.
  function fragmentText(token: LexedToken, path: string): string | undefined {
    if (replaced.has(path)) {
      const text = replaced.get(path);
      seen.add(path);
      globbed.set(path, text);
      onRead(path, text);
      return text;
    }
    const { text, error } = readFile(path);
    // What matches a pattern may be a folder, or be gone again.
    if (["ENOENT", "ENOTDIR", "EISDIR"].includes(error?.code ?? "")) return undefined;
    globbed.set(path, text);
    if (error !== undefined) report(token, `import ${token.text}: ${error.message} (${path})`);
    return text;
  }

  function meant(name: string): string {
    const near = nearest(name, snippets.keys());
    return near === undefined ? "" : ` (did you mean ${near}?)`;
  }

  function importFile(token: LexedToken, path: string, chain: readonly string[]): void {
    const { text, error } = readFile(path);
    if (text !== undefined) return importText(token, path, text, chain);
    const why = error?.code === "ENOENT" ? `no such snippet above${meant(token.text)}, and no such file` : error?.message;
    report(token, `import ${token.text}: ${why} (${path})`);
  }

  function readFile(path: string): { readonly text?: string; readonly error?: NodeJS.ErrnoException } {
    seen.add(path);
    try {
      const text = files?.read(path) ?? "";
      onRead(path, text);
      return { text };
    } catch (error) {
      onRead(path, undefined);
      return { error: error as NodeJS.ErrnoException };
    }
  }

  function importText(token: LexedToken, path: string, text: string, chain: readonly string[]): void {
    if (stopped) return;
    if (filesLeft-- === 0) return giveUp(token, `more than ${MAX_FILE_EXPANSIONS} imports of files, the rest is not read`);
    push(token, lexCorefile(path, text, env, findings), `file ${path}`, chain);
  }

  function push(token: LexedToken, tokens: readonly LexedToken[], source: string, chain: readonly string[]): void {
    if (chain.includes(source)) return report(token, `import cycle: ${[...chain.slice(chain.indexOf(source)), source].join(" → ")}`);
    if (chain.length > MAX_IMPORT_DEPTH) return giveUp(token, `imports are nested more than ${MAX_IMPORT_DEPTH} deep`);
    frames.push({ tokens, chain: [...chain, source], at: 0 });
  }

  function giveUp(at: Position, message: string): void {
    report(at, message);
    stop();
  }

  function stop(): void {
    stopped = true;
    frames.length = 0;
  }

  function report(at: Position, message: string): void {
    findings.push({ severity: "error", ...positionOf(at), message });
  }
}

function positionOf({ file, line, column }: Position): Position {
  return { file, line, column };
}

// The paths that a pattern with one wildcard matches, sorted. Like a shell, * and ? don't match a leading dot: a
// mounted ConfigMap has ..data beside its files. A folder that is missing has no matches.
function expandPattern(path: string, files: CorefileFiles, seen: Set<string>): string[] {
  const parts = path.split("/");
  const wild = parts.findIndex((part) => /[*?]/.test(part));
  const folder = parts.slice(0, wild).join("/") || (path.startsWith("/") ? "/" : ".");
  const [before = "", after = ""] = (parts[wild] ?? "").split(/[*?]/);
  const exactly = parts[wild]?.includes("?") ? 1 : undefined;
  seen.add(folder);
  let names: readonly string[];
  try {
    names = files.list(folder);
  } catch {
    return [];
  }
  const matching = names.filter((name) => {
    const extra = name.length - before.length - after.length;
    const fits = exactly === undefined ? extra >= 0 : extra === exactly;
    return fits && name.startsWith(before) && name.endsWith(after) && (before !== "" || !name.startsWith("."));
  });
  return matching.toSorted().map((name) => join(folder, name, ...parts.slice(wild + 1)));
}
