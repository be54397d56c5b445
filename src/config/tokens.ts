// The Corefile's lexer: text → tokens that know where they stand. CoreDNS's rules: white space separates, a double
// quote counts only at the start of a token, `#` starts a comment even in mid-token. Environment variables are put in
// after the split, so that a value never becomes two tokens. Pure; called by corefile.ts.

import type { Finding, Position } from "../errors.ts";

/** One word of a Corefile, environment variables filled in. */
export interface Token extends Position {
  readonly text: string;
  readonly quoted: boolean;
  /** The first variable in it that is not set, and so was read as nothing. */
  readonly unset?: string;
}

/** A token as the parser needs it: braces count only when written as such, not when a variable's value is one. */
export interface LexedToken extends Token {
  readonly kind: "word" | "open" | "close";
  /** The first token of its line. */
  readonly first: boolean;
}

/** The variables that `{$NAME}` and `{%NAME%}` may name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Splits `text` into tokens. A quote that is never closed is reported and takes the rest of the text. */
export function lexCorefile(file: string, text: string, env: Environment, findings: Finding[]): LexedToken[] {
  const tokens: LexedToken[] = [];
  let line = 1;
  let lineStart = 0;
  let lastLine = 0;
  let at = text.startsWith("\uFEFF") ? 1 : 0;

  const push = (startLine: number, column: number, raw: string, quoted: boolean): void => {
    const kind = quoted ? "word" : raw === "{" ? "open" : raw === "}" ? "close" : "word";
    tokens.push({
      file,
      line: startLine,
      column,
      ...fillIn(raw, env),
      quoted,
      kind,
      first: startLine !== lastLine,
    });
    lastLine = line;
  };

  while (at < text.length) {
    const char = text[at] as string;
    if (char === "\n") {
      line++;
      lineStart = ++at;
    } else if (isSpace(char)) {
      at++;
    } else if (char === "#") {
      at = endOfLine(text, at);
    } else if (char === '"') {
      const [startLine, column] = [line, at - lineStart + 1];
      let value = "";
      let closed = false;
      for (at++; at < text.length && !closed; at++) {
        const inside = text[at] as string;
        if (inside === "\\" && text[at + 1] === '"') {
          value += '"';
          at++;
        } else if (inside === '"') {
          closed = true;
        } else {
          value += inside;
          if (inside === "\n") {
            line++;
            lineStart = at + 1;
          }
        }
      }
      if (!closed)
        findings.push({
          severity: "error",
          file,
          line: startLine,
          column,
          message: 'this quote is never closed, expected another "',
        });
      push(startLine, column, value, true);
    } else {
      const start = at;
      while (at < text.length && text[at] !== "#" && (text[at] === "\r" || !isSpace(text[at] as string))) at++;
      push(line, start - lineStart + 1, text.slice(start, at).replaceAll("\r", ""), false);
    }
  }
  return tokens;
}

function isSpace(char: string): boolean {
  return char === " " || char === "\t" || char === "\r" || char === "\u0085" || /\s/.test(char);
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? text.length : end;
}

// One pass: a value that looks like a reference is not filled in again. `{$}` names nothing and stays.
function fillIn(raw: string, env: Environment): Pick<Token, "text" | "unset"> {
  let unset: string | undefined;
  const text = raw.replace(/\{\$([^{}]+)\}|\{%([^{}%]+)%\}/g, (_, dollar?: string, percent?: string) => {
    const name = dollar ?? percent ?? "";
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (value === undefined) unset ??= name;
    return value ?? "";
  });
  return unset === undefined ? { text } : { text, unset };
}

/** What to add to a message about `token`, if it may be wrong for want of a variable. */
export function unsetHint({ unset }: Token): string {
  return unset === undefined ? "" : `; the variable ${unset} is not set`;
}
