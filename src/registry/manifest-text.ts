// YAML or JSON text → its documents, each with a way back from a field to line and column. Called by
// manifest-projection.ts for every file. Hostile text ends in findings, in bounded time: nesting is cut off before
// the composer recurses, aliases are counted, duplicate keys are found with a Set (the parser's own check is quadratic).

import { Composer, type Document, isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, type ParsedNode, Parser, visit } from "yaml";

export type Path = readonly (string | number)[];

export interface TextPosition {
  readonly line: number;
  readonly column: number;
}

export interface TextFinding extends TextPosition {
  readonly message: string;
}

export interface TextDocument {
  readonly value: unknown;
  /** Where the field stands; where its nearest parent that exists stands, if it is missing. */
  locate(path: Path): TextPosition;
}

// Depth of the parser's stack, two or three entries a level. Manifests need about 20 levels; a hundred thousand
// brackets overflow the stack inside the regular expression engine, which ends the process (tried on Node 20).
const MAX_STACK = 400;
// Uses of anchors, weighed by size (yaml's own default; it stops a billion laughs).
const MAX_ALIASES = 100;
const MAX_FINDINGS = 10;
// Errors of the parser, each of which costs a token and an object.
const MAX_ERRORS = 100;
// Tokens in one document. A List of 7.8 MB has 2.6 million and takes 600 MiB to compose; a document of nothing but line
// ends would take several GiB, and a worker that runs out of memory may take the process with it (tried on Node 20).
const MAX_TOKENS = 4_000_000;

/**
 * Reads the documents of a text one by one, so that only one is in memory; empty ones are left out. What is wrong with
 * the text as YAML comes as findings; the documents of such a text are not to be trusted. Never throws.
 */
export function* readDocuments(text: string): Generator<TextDocument | TextFinding> {
  const lines = new LineCounter();
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
  if (control !== null) {
    const code = control[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    yield { ...positionIn(text, control.index), message: `control characters are not allowed, found U+${code}` };
    return;
  }
  const json = readJson(text);
  if (json !== undefined) return yield json;

  const at = (offset: number): TextPosition => toPosition(lines, offset);
  let found = 0;
  try {
    for (const document of compose(text, lines)) {
      const faults = faultsOf(document, at);
      yield* faults.slice(0, MAX_FINDINGS);
      found += faults.length;
      if (found >= MAX_FINDINGS) return;
      if (found > 0) continue;
      const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
      if (value !== null && value !== undefined) yield { value, locate: (path) => locate(document, path, at) };
    }
  } catch (error) {
    if (error instanceof TooMuch) yield { ...at(error.offset), message: error.message };
    else if (error instanceof ReferenceError) yield { ...at(0), message: "too many uses of anchors (*name)" };
    else yield { ...at(0), message: `can't be read: ${error instanceof Error ? error.message : String(error)}` };
  }
}

// JSON.parse is ten times as fast as YAML; positions are worked out from the YAML reading when something is wrong.
function readJson(text: string): TextDocument | undefined {
  const start = /^\s*\{/.exec(text);
  if (start === null) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const items = Array.isArray((value as { readonly items?: unknown }).items) ? itemOffsets(text) : [];
  return {
    value,
    locate(path) {
      if (path.length === 0) return positionIn(text, start[0].length - 1);
      const item = path.length === 2 && path[0] === "items" ? items[path[1] as number] : undefined;
      if (item !== undefined) return item;
      const lines = new LineCounter();
      const at = (offset: number): TextPosition => toPosition(lines, offset);
      try {
        for (const document of compose(text, lines)) return locate(document, path, at);
      } catch {
        // Too deep for YAML, fine for JSON: the start has to do.
      }
      return positionIn(text, start[0].length - 1);
    },
  };
}

// Where the elements of a List's `items` start, for each object needs a position. The text is known to be valid JSON.
function itemOffsets(text: string): TextPosition[] {
  const starts: TextPosition[] = [];
  let [depth, line, lineStart, key, inItems] = [0, 1, 0, "", false];
  for (const match of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]\n]/g)) {
    const token = match[0];
    if (token === "\n") {
      line++;
      lineStart = match.index + 1;
    } else if (token === "{" || token === "[") {
      if (depth === 1 && token === "[") inItems = key === '"items"';
      if (depth === 2 && token === "{" && inItems) starts.push({ line, column: match.index - lineStart + 1 });
      depth++;
    } else if (token === "}" || token === "]") {
      depth--;
      if (depth === 1) inItems = false;
    } else if (depth === 1) key = token;
  }
  return starts;
}

class TooMuch extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

function compose(text: string, lines: LineCounter): Generator<Document.Parsed> {
  const composer = new Composer({ schema: "core", merge: true, uniqueKeys: false, prettyErrors: false, logLevel: "error" });
  return composer.compose(tokens(text, lines), true, text.length);
}

function* tokens(text: string, lines: LineCounter): ReturnType<Parser["parse"]> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let count = 0;
  let errors = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) {
      if (token.type === "document") count = 0;
      if (token.type === "error" && ++errors > MAX_ERRORS) throw new TooMuch(parser.offset, "has too many errors");
      yield token;
    }
    if (parser.stack.length > MAX_STACK) throw new TooMuch(parser.offset, "is nested too deeply");
    if (++count > MAX_TOKENS) throw new TooMuch(parser.offset, "the document is too large: split it with ---");
  }
  yield* parser.end();
}

function faultsOf(document: Document.Parsed, at: (offset: number) => TextPosition): TextFinding[] {
  // A line indented under a value that is already complete ("kind: Service", then "  name: x") is reported by the
  // parser at the value; the person who wrote it looks for the second colon.
  const tooFar = document.errors.find((error) => error.code === "MULTILINE_IMPLICIT_KEY");
  if (tooFar !== undefined) {
    const message = "mapping values are not allowed here: the line is indented too far, or its parent key is missing above it";
    return [{ ...at(tooFar.pos[1]), message }];
  }
  const faults = document.errors.map((error) => ({ ...at(error.pos[0]), message: error.message }));
  for (const warning of document.warnings) faults.push({ ...at(warning.pos[0]), message: `${warning.message}: tags are not supported` });
  if (faults.length > 0) return faults;
  const anchors = new Set<string | undefined>();
  visit(document, {
    Value: (_, { anchor }) => void anchors.add(anchor),
    Alias(_, { source, range }) {
      if (!anchors.has(source)) faults.push({ ...at(range?.[0] ?? 0), message: `no anchor above for the alias: "*${source}"` });
      return faults.length < MAX_FINDINGS ? undefined : visit.BREAK;
    },
    Map(_, map) {
      anchors.add(map.anchor);
      if (map.items.length < 2) return undefined;
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value) && key.value !== "<<") {
          faults.push({ ...at(key.range?.[0] ?? 0), message: `mapping key ${JSON.stringify(key.value)} is already defined` });
        }
        seen.add(key.value);
      }
      return faults.length < MAX_FINDINGS ? undefined : visit.BREAK;
    },
  });
  return faults;
}

function locate(document: Document.Parsed, path: Path, at: (offset: number) => TextPosition): TextPosition {
  let node: ParsedNode | null | undefined = document.contents;
  let offset = node?.range?.[0] ?? document.range[0];
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document) as ParsedNode | undefined;
    if (isMap(node)) {
      const pair: { readonly key: unknown; readonly value: unknown } | undefined = node.items.find(
        ({ key }) => isScalar(key) && String(key.value) === String(step),
      );
      if (pair === undefined) return at(offset);
      offset = (pair.key as ParsedNode).range[0];
      node = pair.value as ParsedNode | null;
    } else if (isSeq(node)) {
      node = node.items[Number(step)] as ParsedNode | undefined;
      if (node === undefined) return at(offset);
      offset = node.range[0];
    } else {
      return at(offset);
    }
  }
  return at(isScalar(node) || isAlias(node) ? (node.range?.[0] ?? offset) : offset);
}

function toPosition(lines: LineCounter, offset: number): TextPosition {
  const { line, col } = lines.linePos(offset);
  return line === 0 ? { line: 1, column: 1 } : { line, column: col };
}

function positionIn(text: string, offset: number): TextPosition {
  const before = text.slice(0, offset);
  const newline = before.lastIndexOf("\n");
  return { line: before.split("\n").length, column: offset - newline };
}
