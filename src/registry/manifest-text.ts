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

export interface Text {
  readonly documents: readonly TextDocument[];
  /** What is wrong with the text as YAML; the documents are then not to be trusted. */
  readonly findings: readonly TextFinding[];
}

// Depth of the parser's stack, two or three entries a level. Manifests need about 20 levels; a hundred thousand
// brackets overflow the stack inside the regular expression engine, which ends the process (tried on Node 20).
const MAX_STACK = 400;
// Uses of anchors, weighed by size (yaml's own default; it stops a billion laughs).
const MAX_ALIASES = 100;
const MAX_FINDINGS = 10;

/** Reads all documents of a text; empty ones are left out. Never throws. */
export function readDocuments(text: string): Text {
  const lines = new LineCounter();
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
  if (control !== null) {
    const code = control[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    return refused(positionIn(text, control.index), `control characters are not allowed, found U+${code}`);
  }
  const json = readJson(text);
  if (json !== undefined) return { documents: [json], findings: [] };

  const documents: TextDocument[] = [];
  const findings: TextFinding[] = [];
  const at = (offset: number): TextPosition => toPosition(lines, offset);
  try {
    for (const document of compose(text, lines)) {
      const wrong = faultsOf(document, at);
      findings.push(...wrong.slice(0, MAX_FINDINGS - findings.length));
      if (wrong.length > 0) continue;
      const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
      if (value !== null && value !== undefined) documents.push({ value, locate: (path) => locate(document, path, at) });
    }
  } catch (error) {
    if (error instanceof TooDeep) findings.push({ ...at(error.offset), message: "is nested too deeply" });
    else if (error instanceof ReferenceError) findings.push({ ...at(0), message: "too many uses of anchors (*name)" });
    else findings.push({ ...at(0), message: `can't be read: ${error instanceof Error ? error.message : String(error)}` });
  }
  return { documents, findings };
}

function refused(position: TextPosition, message: string): Text {
  return { documents: [], findings: [{ ...position, message }] };
}

// JSON.parse is ten times as fast as YAML; positions are worked out from the YAML reading when something is wrong.
// A List is read as YAML, for each of its items needs a position.
function readJson(text: string): TextDocument | undefined {
  const start = /^\s*\{/.exec(text);
  if (start === null) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (Array.isArray((value as { readonly items?: unknown }).items)) return undefined;
  return {
    value,
    locate(path) {
      if (path.length === 0) return positionIn(text, start[0].length - 1);
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

class TooDeep extends Error {
  readonly offset: number;
  constructor(offset: number) {
    super("too deep");
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
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    if (parser.stack.length > MAX_STACK) throw new TooDeep(parser.offset);
  }
  yield* parser.end();
}

function faultsOf(document: Document.Parsed, at: (offset: number) => TextPosition): TextFinding[] {
  // A line indented under a value that is already complete ("kind: Service", then "  name: x") is reported by the
  // parser at the value; the person who wrote it looks for the line with the second colon.
  const tooFar = document.errors.find((error) => error.code === "MULTILINE_IMPLICIT_KEY");
  if (tooFar !== undefined) {
    const message = "mapping values are not allowed here: the line is indented too far, or its parent key is missing above it";
    return [{ ...at(tooFar.pos[1] - 1), message }];
  }
  const faults = document.errors.map((error) => ({ ...at(error.pos[0]), message: error.message }));
  for (const warning of document.warnings) faults.push({ ...at(warning.pos[0]), message: `${warning.message}: tags are not supported` });
  if (faults.length > 0) return faults;
  visit(document, {
    Map(_, map) {
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
