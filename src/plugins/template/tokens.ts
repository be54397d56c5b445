// A template's text cut into plain text and actions (`{{ … }}`), and the actions into tokens, as Go's text/template does.
// Called by compile.ts. What is wrong is thrown as a TemplateError, which compile.ts turns into a finding.

import { TemplateError } from "./values.ts";

export interface Token {
  readonly kind: "field" | "variable" | "word" | "constant" | "mark";
  /** As written; a field with its dot. */
  readonly text: string;
  /** Of a constant. */
  readonly value?: string | bigint;
  /** Blanks stand in front: `.A .B` are two values, `.A.B` is one. */
  readonly spaced: boolean;
}

/** Plain text, or the tokens of one action. */
export type Piece = string | readonly Token[];

// Sticky: each is tried where the last one ended.
const COMMENT = /\/\*[^]*?\*\/(?=\s-\}\}|\}\})/y;
const RIGHT = /(\s+-)?\}\}/y;
const TOKEN =
  /(?<blank>\s+)|(?<quoted>"(?:[^"\\\n]|\\[^\n])*")|`(?<raw>[^`]*)`|(?<char>'(?:[^'\\\n]|\\[^\n])*')|(?<field>\.[A-Za-z_]\w*)|(?<variable>\$\w*)|(?<integer>[+-]?\d\w*)(?!\.)|(?<word>[A-Za-z_]\w*)|(?<mark>:=|[.|(),=])/uy;

/** The largest integer of Go's: 64 bits. */
const MAX_INTEGER = 2n ** 64n - 1n;
const MIN_INTEGER = -(2n ** 63n);

/** Cuts a template into pieces; empty texts and comments are left out. */
export function piecesOf(source: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimStart = false;
  for (;;) {
    const open = source.indexOf("{{", at);
    let text = source.slice(at, open < 0 ? source.length : open);
    const trimEnd = open >= 0 && /^-\s/.test(source.slice(open + 2, open + 4));
    if (trimStart) text = text.replace(/^[ \t\r\n]+/, "");
    if (trimEnd) text = text.replace(/[ \t\r\n]+$/, "");
    if (text !== "") pieces.push(text);
    if (open < 0) return pieces;
    const action = actionFrom(source, open + (trimEnd ? 3 : 2));
    if (action.tokens !== undefined) pieces.push(action.tokens);
    trimStart = action.trims;
    at = action.end;
  }
}

interface Action {
  /** Undefined for a comment. */
  readonly tokens: Token[] | undefined;
  /** The offset behind `}}`. */
  readonly end: number;
  /** It ended with `-}}`. */
  readonly trims: boolean;
}

function actionFrom(source: string, start: number): Action {
  let at = start;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  take(/\s+/y);
  const isComment = take(COMMENT) !== null;
  if (!isComment) at = start;

  const tokens: Token[] = [];
  let spaced = true;
  for (;;) {
    const right = take(RIGHT);
    if (right !== null) return { tokens: isComment ? undefined : tokens, end: at, trims: right[1] !== undefined };
    if (at >= source.length) throw new TemplateError("an action is not closed: }} is missing");
    const groups = take(TOKEN)?.groups;
    if (groups === undefined) throw new TemplateError(unexpected(source.slice(at)));
    if (groups["blank"] === undefined) tokens.push(tokenOf(groups, spaced));
    spaced = groups["blank"] !== undefined;
  }
}

function unexpected(rest: string): string {
  if (/^["'`]/.test(rest)) return `a string is not closed: ${rest}`;
  if (/^[+-]?\.?\d/.test(rest)) return `only whole numbers are supported, found "${/^\S+/.exec(rest)?.[0]}"`;
  return `unexpected "${[...rest][0]}" in an action`;
}

function tokenOf(groups: Readonly<Record<string, string | undefined>>, spaced: boolean): Token {
  const { quoted, raw, char, field, variable, integer, word, mark } = groups;
  if (quoted !== undefined) return { kind: "constant", text: quoted, value: unquote(quoted), spaced };
  if (raw !== undefined) return { kind: "constant", text: `\`${raw}\``, value: raw, spaced };
  if (char !== undefined) {
    const [first, ...more] = unquote(char);
    if (first === undefined || more.length > 0) throw new TemplateError(`${char} is not one character`);
    return { kind: "constant", text: char, value: BigInt(first.codePointAt(0) as number), spaced };
  }
  if (integer !== undefined) return { kind: "constant", text: integer, value: integerOf(integer), spaced };
  if (field !== undefined) return { kind: "field", text: field, spaced };
  if (variable !== undefined) return { kind: "variable", text: variable, spaced };
  if (word !== undefined) return { kind: "word", text: word, spaced };
  return { kind: "mark", text: mark as string, spaced };
}

const ESCAPES: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

// A string or character between quotes, with Go's escapes; `\"` in the one, `\'` in the other.
function unquote(text: string): string {
  const quote = text[0] as string;
  return text.slice(1, -1).replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gsu, (escape, body: string) => {
    const simple = ESCAPES[body] ?? (body === quote || body === "\\" ? body : undefined);
    if (simple !== undefined) return simple;
    const code = /^[0-7]{3}$/.test(body) ? Number.parseInt(body, 8) : body.length > 1 ? Number.parseInt(body.slice(1), 16) : Number.NaN;
    if (!(code <= 0x10_ffff)) throw new TemplateError(`unknown escape ${escape} in ${text}`);
    return String.fromCodePoint(code);
  });
}

function integerOf(text: string): bigint {
  const sign = text.startsWith("-") ? -1n : 1n;
  const digits = text
    .replace(/^[+-]/, "")
    .replaceAll("_", "")
    .replace(/^0(?=\d)/, "0o");
  if (!/^(\d+|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(digits)) throw new TemplateError(`bad number "${text}"`);
  const value = sign * BigInt(digits);
  if (value > MAX_INTEGER || value < MIN_INTEGER) throw new TemplateError(`"${text}" does not fit into 64 bits`);
  return value;
}
