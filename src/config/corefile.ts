// The Corefile: text → server blocks with positions. CoreDNS's grammar, whole: several keys, snippets, imports,
// environment variables, the form without braces. Called at start, at reload and by `ndots check`; it never throws for
// bad input but goes on and collects every finding. What the directives mean is for blocks.ts.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { basename } from "node:path";
import type { Finding, Position } from "../errors.ts";
import type { Directive } from "./directive.ts";
import { createTokenStream } from "./imports.ts";
import type { CorefileFiles, ReplacedFragments, TokenStream } from "./imports.ts";
import { parseServerKey } from "./server-keys.ts";
import type { ServerKey } from "./server-keys.ts";
import { unsetHint, type Environment, type LexedToken, type Token } from "./tokens.ts";

export interface CorefileInput {
  /** For messages, and the place that imports are relative to. */
  readonly file: string;
  readonly text: string;
  /** Nothing is taken from the process unless it is given here. */
  readonly env?: Environment;
  /** Absent: importing a file is an error. */
  readonly files?: CorefileFiles;
  /** What stands in the place of files that a pattern matched: fragments.ts. */
  readonly replaced?: ReplacedFragments;
}

export interface Corefile {
  readonly blocks: readonly ServerBlock[];
  readonly findings: readonly Finding[];
  /** Every file and folder looked at, the Corefile itself first: what a reload has to watch. */
  readonly files: readonly string[];
  /** The files that a pattern matched, in its order, with the text that was read; undefined: left out, or not readable. */
  readonly globbed: ReadonlyMap<string, string | undefined>;
  /** SHA-512 in hex over the text, and the path and text of every import in the order of reading. */
  readonly digest: string;
}

export interface ServerBlock extends Position {
  readonly keys: readonly ServerKey[];
  readonly directives: readonly Directive[];
}

// Real Corefiles need 2 levels below the server block; the bound keeps braces from exhausting the stack.
const MAX_DEPTH = 32;
// A Corefile of this size is a mistake, most likely an import of something else.
const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** Reads a Corefile. `blocks` holds what could be read; use it only if no finding is an error. */
export function parseCorefile(input: CorefileInput): Corefile {
  const findings: Finding[] = [];
  const seen = new Set([input.file]);
  const { file, text, env = {}, files, replaced = new Map() } = input;
  const globbed = new Map<string, string | undefined>();
  const hash = createHash("sha512").update(text);
  // No text can be taken for the next file's path: lengths stand in front.
  const onRead = (path: string, read: string | undefined): void =>
    void hash.update(`\n${path.length} ${path} ${read?.length ?? "unreadable"}\n${read ?? ""}`);
  const stream = createTokenStream({ file, text, env, files, findings, seen, replaced, globbed, onRead });
  const blocks: ServerBlock[] = [];
  const parser: Parser = {
    stream,
    findings,
    error: ({ file, line, column }, message) => findings.push({ severity: "error", file, line, column, message }),
  };
  for (let token = stream.peekLine(); token !== undefined; token = stream.peekLine()) {
    if (token.kind === "close") {
      stream.take();
      parser.error(token, 'unexpected "}", no block is open');
      continue;
    }
    const block = readServerBlock(token, parser);
    if (block !== undefined) blocks.push(block);
  }
  return { blocks, findings: distinct(findings), files: [...seen], globbed, digest: hash.digest("hex") };
}

interface Parser {
  readonly stream: TokenStream;
  readonly findings: Finding[];
  error(at: Position, message: string): void;
}

// Undefined for a snippet, which is only remembered.
function readServerBlock(first: LexedToken, parser: Parser): ServerBlock | undefined {
  const { stream, findings, error } = parser;
  const { tokens, opened } = readKeys(parser);
  const names = tokens.flatMap((token) => token.text.split(",").map((text) => ({ token, text })));
  const keys = names.filter(({ text }) => text !== "");
  const snippet = keys.map(({ text }) => /^\((.*)\)$/s.exec(text)?.[1]).find((name) => name !== undefined);
  if (snippet !== undefined) {
    if (keys.length > 1) error(first, `a snippet has exactly one name, found ${keys.length}`);
    if (opened === undefined) error(first, `snippet (${snippet}) needs a block: (${snippet}) {`);
    else stream.defineSnippet(snippet, readSnippet(opened, parser), first);
    return undefined;
  }
  if (keys.length === 0) error(first, `a server block needs a key, like .:53 or example.org${unsetHint(first)}`);
  const directives = readLines(opened, 1, parser);
  const stray = stream.peek();
  if (opened === undefined && stray !== undefined) {
    stream.take();
    error(stray, `unexpected "}": the "{" behind ${keys[0]?.text} in line ${first.line} is missing`);
  }
  const { file, line, column } = first;
  return { file, line, column, keys: keys.flatMap(({ token, text }) => parseServerKey(token, text, findings)), directives };
}

// The words before the brace; a comma at the end of a line goes on in the next one.
function readKeys({ stream, error }: Parser): { readonly tokens: readonly Token[]; readonly opened: Position | undefined } {
  const tokens: LexedToken[] = [];
  for (let token = stream.peek(); token !== undefined; token = stream.peek()) {
    const continued = tokens.at(-1)?.text.endsWith(",") ?? true;
    if (token.kind === "open") {
      stream.take();
      if (continued && tokens.length > 0) error(token, 'expected another key after the comma, found "{"');
      return { tokens, opened: token };
    }
    if (token.kind === "close" || (token.first && !continued)) break;
    stream.take();
    const glued = withoutBrace(token, error);
    tokens.push(glued ?? token);
    if (glued !== undefined) return { tokens, opened: token };
  }
  const last = tokens.at(-1);
  if (last?.text.endsWith(",")) error(last, "expected another key after the comma, found nothing");
  return { tokens, opened: undefined };
}

// `.:53{` would be one word for CoreDNS, with odd consequences. Reads it as meant, after an error.
function withoutBrace(token: LexedToken, error: Parser["error"]): LexedToken | undefined {
  const match = /^(.*[^{])\{$/s.exec(token.text);
  if (match === null || token.kind !== "word" || token.quoted) return undefined;
  error(token, `"{" must stand alone: write "${match[1]} {"`);
  return { ...token, text: match[1] ?? "" };
}

function readSnippet(opened: Position, { stream, error }: Parser): LexedToken[] {
  const tokens: LexedToken[] = [];
  let depth = 1;
  for (let token = stream.take(); token !== undefined; token = stream.take()) {
    if (token.kind === "open") depth++;
    if (token.kind === "close" && --depth === 0) return tokens;
    tokens.push(token);
  }
  if (!stream.stopped) error(opened, neverClosed);
  return tokens;
}

const neverClosed = 'this "{" is never closed, expected a "}"';

// The lines of a block, to its "}"; without `opened`, to the end of the file or to a "}" that is left to the caller.
function readLines(opened: Position | undefined, depth: number, parser: Parser): Directive[] {
  const { stream, error } = parser;
  const lines: Directive[] = [];
  if (opened !== undefined && depth > MAX_DEPTH) {
    error(opened, `blocks are nested more than ${MAX_DEPTH} deep, the rest is not read`);
    stream.stop();
    return lines;
  }
  for (let token = stream.peekLine(); token !== undefined; token = stream.peekLine()) {
    if (token.kind === "close") {
      if (opened !== undefined) stream.take();
      return lines;
    }
    stream.take();
    if (token.kind === "word") {
      lines.push(readDirective(token, depth, parser));
      continue;
    }
    const last = lines.pop();
    const before = last === undefined ? "a directive" : `"${last.name}"`;
    error(token, `unexpected "{": it must stand at the end of the line of ${before}`);
    const block = readLines(token, depth + 1, parser);
    if (last !== undefined) lines.push({ ...last, block: [...(last.block ?? []), ...block] });
  }
  if (opened !== undefined && !stream.stopped) error(opened, neverClosed);
  return lines;
}

function readDirective(start: LexedToken, depth: number, parser: Parser): Directive {
  const { stream, error } = parser;
  const words = [start];
  for (let next = stream.peek(); next?.kind === "word" && !next.first; next = stream.peek()) {
    words.push(next);
    stream.take();
  }
  const next = stream.peek();
  const brace = next?.kind === "open" && !next.first;
  if (brace) stream.take();
  const last = words.at(-1) as LexedToken;
  const glued = brace ? undefined : withoutBrace(last, error);
  const [name = start, ...args] = glued === undefined ? words : [...words.slice(0, -1), glued];
  const opened = brace ? next : glued;
  const block = opened === undefined ? undefined : readLines(opened, depth + 1, parser);
  const { file, line, column } = start;
  return { file, line, column, name: name.text, args: args.map(plain), block };
}

function plain({ file, line, column, text, quoted }: LexedToken): Token {
  return { file, line, column, text, quoted };
}

// A snippet imported twice repeats its findings.
function distinct(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((finding) => [JSON.stringify(finding), finding])).values()];
}

/** The files of the machine. */
export const diskFiles: CorefileFiles = {
  read(path) {
    const { size } = statSync(path);
    if (size > MAX_FILE_BYTES) throw new Error(`${basename(path)} has ${size} bytes, at most ${MAX_FILE_BYTES} are read`);
    return readFileSync(path, "utf8");
  },
  list: (directory) => readdirSync(directory),
};
