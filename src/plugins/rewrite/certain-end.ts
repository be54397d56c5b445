// How every text must end that a regular expression finds, where that can be told from the pattern: `\.example\.com\.$`
// says it, `\.example\.com` does not, for it is found in example.com.evil.org, too. Errs on the side of "can't be told":
// what it says is what the answer table relies on.

/** What a text that a pattern finds ends in. */
export interface CertainEnd {
  readonly text: string;
  /** It is the whole text. */
  readonly whole: boolean;
}

/** The literal that stands in front of the `$` at the end of a pattern of Go's; undefined where there is none, or none for certain. */
export function certainEnd(pattern: string): CertainEnd | undefined {
  const tokens = tokensOf(pattern);
  if (tokens?.pop() !== "$") return undefined;
  let text = "";
  for (let token = tokens.pop(); token !== undefined; token = tokens.pop()) {
    if (token === "^" && tokens.length === 0) return { text, whole: true };
    if (!token.startsWith(LITERAL)) break;
    text = token.slice(LITERAL.length) + text;
  }
  return text === "" ? undefined : { text, whole: false };
}

/** In front of the character that a token stands for. */
const LITERAL = "=";

// `=x` for a character that stands for itself, "$" and "^" for anchors, "other" for all else. Undefined where alternatives, flags or
// rarer syntax could make an end that looks certain none.
function tokensOf(pattern: string): string[] | undefined {
  const tokens: string[] = [];
  let depth = 0;
  for (let at = 0; at < pattern.length;) {
    const [token] = TOKEN.exec(pattern.slice(at)) ?? [];
    if (token === undefined) return undefined;
    at += token.length;
    if (token.startsWith("(")) depth++;
    if (token === ")") depth--;
    if (token === "|" && depth === 0) return undefined;
    if (token === "^" || token === "$") tokens.push(token);
    else if (/^[a-z0-9_-]$/.test(token)) tokens.push(LITERAL + token);
    else if (token === "\\." || token === "[.]") tokens.push(`${LITERAL}.`);
    else if (token === "\\-" || token === "[-]") tokens.push(`${LITERAL}-`);
    else tokens.push("other");
  }
  return depth === 0 ? tokens : undefined;
}

// An escape of one character (not \Q, \p and the like), a class without brackets in it, a group, a repetition, or one character.
const TOKEN =
  /^(?:\\[^A-Za-z0-9]|\\[dwsDWSbB]|\[\^?[^[\]\\^][^[\]\\]*\]|\((?:\?:|\?P?<[A-Za-z0-9_]+>)?(?!\?)|\{\d+(?:,\d*)?\}|[^\\[\]({}])/;
