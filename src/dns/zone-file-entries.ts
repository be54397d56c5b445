// The text of a master file → its entries (RFC 1035 §5.1): comments gone, lines in parentheses joined, words apart. Called
// by zone-file.ts, which knows what they mean. Words keep quotes and escapes, for these are rdata's business. Pure.

import type { Finding } from "../errors.ts";

/** One entry: a record or a directive. */
export interface ZoneFileEntry {
  /** Where it begins, from 1. */
  readonly line: number;
  /** It begins with a blank: the owner is that of the record before. */
  readonly hasNoOwner: boolean;
  /** Never empty; `"…"` with its quotes. */
  readonly words: readonly string[];
}

/** In a word: what 65,535 octets of rdata take if each is written as \DDD. */
const MAX_WORD_CHARS = 4 * 65_535 + 2;
/** In an entry: as many as rdata could hold. An open parenthesis takes the rest of the file. */
const MAX_WORDS = 65_535;

const Chars = {
  TAB: 0x09,
  NEWLINE: 0x0a,
  RETURN: 0x0d,
  SPACE: 0x20,
  QUOTE: 0x22,
  OPEN: 0x28,
  CLOSE: 0x29,
  SEMICOLON: 0x3b,
  BACKSLASH: 0x5c,
} as const;

/** Yields the entries in their order; what can't be read as one is told and ends the text. */
export function* zoneFileEntries(
  text: string,
  tell: (finding: Pick<Finding, "line" | "column" | "message">) => void,
): Generator<ZoneFileEntry> {
  let line = 1;
  let lineStart = 0;
  let at = text.startsWith("\uFEFF") ? 1 : 0;
  let words: string[] = [];
  let hasNoOwner = false;
  let firstLine = 1;
  let open: { readonly line: number; readonly column: number } | undefined;

  for (;;) {
    const char = at < text.length ? text.charCodeAt(at) : Chars.NEWLINE;
    switch (char) {
      case Chars.NEWLINE: {
        if (open === undefined && words.length > 0) {
          yield { line: firstLine, hasNoOwner, words };
          words = [];
        }
        if (at >= text.length) {
          if (open !== undefined) tell({ ...open, message: 'the "(" here is never closed' });
          return;
        }
        at++;
        line++;
        lineStart = at;
        break;
      }
      case Chars.SPACE:
      case Chars.TAB:
      case Chars.RETURN:
        if (at === lineStart && words.length === 0 && open === undefined) begin(true);
        at++;
        break;
      case Chars.SEMICOLON: {
        const end = text.indexOf("\n", at);
        at = end < 0 ? text.length : end;
        break;
      }
      case Chars.OPEN:
        if (open !== undefined) return complain("parentheses can't be nested");
        if (words.length === 0 && at === lineStart) begin(false);
        open = { line, column: at - lineStart + 1 };
        at++;
        break;
      case Chars.CLOSE:
        if (open === undefined) return complain('")" without a "("');
        open = undefined;
        at++;
        break;
      default: {
        if (at === lineStart && words.length === 0 && open === undefined) begin(false);
        const end = char === Chars.QUOTE ? endOfString(text, at) : endOfWord(text, at);
        if (end === undefined) return complain("a string that begins with a quote ends with one on its line");
        if (end - at > MAX_WORD_CHARS) return complain(`a word has at most ${MAX_WORD_CHARS} characters`);
        if (words.length === MAX_WORDS) return complain(`an entry has at most ${MAX_WORDS} words`);
        words.push(text.slice(at, end));
        at = end;
      }
    }
  }

  function begin(isBlank: boolean): void {
    hasNoOwner = isBlank;
    firstLine = line;
  }

  function complain(message: string): void {
    tell({ line, column: at - lineStart + 1, message });
  }
}

function endOfString(text: string, start: number): number | undefined {
  for (let at = start + 1; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === Chars.QUOTE) return at + 1;
    if (char === Chars.BACKSLASH) at++;
    if (text.charCodeAt(at) === Chars.NEWLINE) return undefined;
  }
  return undefined;
}

function endOfWord(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case Chars.BACKSLASH:
        if (text.charCodeAt(at + 1) !== Chars.NEWLINE) at++;
        break;
      case Chars.NEWLINE:
      case Chars.SPACE:
      case Chars.TAB:
      case Chars.RETURN:
      case Chars.SEMICOLON:
      case Chars.OPEN:
      case Chars.CLOSE:
      case Chars.QUOTE:
        return at;
      default:
    }
  }
  return Math.min(at, text.length);
}
