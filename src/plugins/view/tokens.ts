// The words and signs of an expression, with their places. Called by expression.ts.

export interface ExpressionToken {
  readonly kind: "name" | "number" | "string" | "sign" | "end";
  /** As written; of a string, what it stands for. */
  readonly text: string;
  /** Offset of the first character. */
  readonly at: number;
}

/** What is wrong with an expression, and where. */
export class ExpressionError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

const SIGNS = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%"] as const;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\", "'": "'", '"': '"' };

/** Throws an ExpressionError at what is no part of an expression. The last token is `end`. */
export function tokensOf(text: string): readonly ExpressionToken[] {
  const tokens: ExpressionToken[] = [];
  for (let at = 0; at < text.length;) {
    const rest = text.slice(at);
    const [blank = ""] = /^\s+/.exec(rest) ?? [];
    if (blank !== "") {
      at += blank.length;
      continue;
    }
    const [name = ""] = /^[A-Za-z_]\w*/.exec(rest) ?? [];
    const [number = ""] = /^\d+(?:\.\d+)?/.exec(rest) ?? [];
    const sign = SIGNS.find((known) => rest.startsWith(known));
    if (name !== "") tokens.push({ kind: "name", text: name, at });
    else if (number !== "") tokens.push({ kind: "number", text: number, at });
    else if (/^['"`]/.test(rest)) {
      const { value, length } = stringAt(rest, at);
      tokens.push({ kind: "string", text: value, at });
      at += length;
      continue;
    } else if (sign !== undefined) tokens.push({ kind: "sign", text: sign, at });
    else throw new ExpressionError(`"${rest[0] ?? ""}" is not supported`, at);
    at += (name || number || (sign ?? "")).length;
  }
  tokens.push({ kind: "end", text: "the end", at: text.length });
  return tokens;
}

// Between backquotes a backslash is a backslash.
function stringAt(rest: string, at: number): { readonly value: string; readonly length: number } {
  const quote = rest[0] ?? "";
  let value = "";
  for (let index = 1; index < rest.length; index++) {
    const character = rest[index] ?? "";
    if (character === quote) return { value, length: index + 1 };
    if (character !== "\\" || quote === "`") {
      value += character;
      continue;
    }
    const escaped = ESCAPES[rest[++index] ?? ""];
    if (escaped === undefined)
      throw new ExpressionError(`"\\${rest[index] ?? ""}" is no escape; a backslash is written \\\\`, at + index - 1);
    value += escaped;
  }
  throw new ExpressionError(`the string has no end: ${quote} is missing`, at);
}
