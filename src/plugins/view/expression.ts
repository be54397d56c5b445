// Expressions that choose queries: a subset of the language that CoreDNS has from expr-lang, parsed and checked when the
// configuration is read. What runs for each query is a tree of closures: no text is read any more, and nothing can fail.

import { isProblem, type Problem } from "../../config/arguments.ts";
import { compileGoRegexp } from "../../config/go-regexp.ts";
import { nearest } from "../../errors.ts";
import { functions, type Compiled, type Kind, type Subject, type Value } from "./functions.ts";
import { ExpressionError, tokensOf, type ExpressionToken } from "./tokens.ts";

export type Condition = (subject: Subject) => boolean;

/** Reads an expression that is true or false. Throws an ExpressionError, which knows the place. */
export function compileCondition(text: string): Condition {
  const whole = new Parser(tokensOf(text)).whole();
  return (subject) => whole.of(subject) === true;
}

/** How deep parentheses, calls and negations may stand in each other. */
const MAX_DEPTH = 100;

type Comparison = (one: Value, other: Value) => boolean;

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  "==": (one, other) => one === other,
  "!=": (one, other) => one !== other,
  "<": (one, other) => one < other,
  "<=": (one, other) => one <= other,
  ">": (one, other) => one > other,
  ">=": (one, other) => one >= other,
};

type Arithmetic = (one: number, other: number) => number;

const SUMS: Readonly<Record<string, Arithmetic>> = { "+": (one, other) => one + other, "-": (one, other) => one - other };
const PRODUCTS: Readonly<Record<string, Arithmetic>> = {
  "*": (one, other) => one * other,
  "/": (one, other) => one / other,
  "%": (one, other) => one % other,
};

type TextTest = (text: string, part: string) => boolean;

const TEXT_TESTS: Readonly<Record<string, TextTest>> = {
  contains: (text, part) => text.includes(part),
  startsWith: (text, part) => text.startsWith(part),
  endsWith: (text, part) => text.endsWith(part),
};

const OPERATOR_NAMES = ["in", "matches", ...Object.keys(TEXT_TESTS)];
/** In expr-lang, but not here. */
const WORDS_NOT_HERE = new Set(["nil", "let", "if", "else"]);
const KIND_NAMES: Readonly<Record<Kind, string>> = { string: "a text", number: "a number", condition: "a condition", list: "a list" };

// Precedence, loosest first: or, and, comparisons, sums, products, not. As in expr-lang, `not` binds tighter than a comparison.
class Parser {
  readonly #tokens: readonly ExpressionToken[];
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly ExpressionToken[]) {
    this.#tokens = tokens;
  }

  whole(): Compiled {
    const { at } = this.#token;
    const compiled = this.#or();
    const { kind, text, at: behind } = this.#token;
    if (kind !== "end") throw new ExpressionError(`expected an operator, found "${text}"`, behind);
    return mustBe("condition", compiled, "the expression", at);
  }

  get #token(): ExpressionToken {
    return this.#tokens[this.#next] as ExpressionToken;
  }

  #take(...texts: readonly string[]): ExpressionToken | undefined {
    const token = this.#token;
    if (token.kind === "string" || token.kind === "end" || !texts.includes(token.text)) return undefined;
    this.#next++;
    return token;
  }

  #expect(text: string): void {
    if (this.#take(text) === undefined) throw new ExpressionError(`expected "${text}", found "${this.#token.text}"`, this.#token.at);
  }

  #or(): Compiled {
    return this.#joined(
      ["||", "or"],
      () => this.#and(),
      (parts, subject) => parts.some(({ of }) => of(subject) === true),
    );
  }

  #and(): Compiled {
    return this.#joined(
      ["&&", "and"],
      () => this.#comparison(),
      (parts, subject) => parts.every(({ of }) => of(subject) === true),
    );
  }

  #joined(signs: readonly string[], part: () => Compiled, join: (parts: readonly Compiled[], subject: Subject) => boolean): Compiled {
    const { at } = this.#token;
    const parts = [part()];
    const operators: string[] = [];
    for (let sign = this.#take(...signs); sign !== undefined; sign = this.#take(...signs)) {
      operators.push(sign.text);
      parts.push(part());
    }
    if (parts.length === 1) return parts[0] as Compiled;
    for (const compiled of parts) mustBe("condition", compiled, `what stands beside ${operators[0]}`, at);
    return { kind: "condition", of: (subject) => join(parts, subject) };
  }

  #comparison(): Compiled {
    let left = this.#sum();
    for (;;) {
      const isNegated = this.#isNegatedOperator() && this.#take("not") !== undefined;
      const operator = isNegated ? this.#take(...OPERATOR_NAMES) : this.#take(...Object.keys(COMPARISONS), ...OPERATOR_NAMES);
      if (operator === undefined) return left;
      const right = this.#sum();
      const { of } = orThrow(compare(operator.text, left, right), operator.at);
      left = { kind: "condition", of: isNegated ? (subject) => of(subject) !== true : of };
    }
  }

  // `not in`, `not matches` and so on.
  #isNegatedOperator(): boolean {
    const behind = this.#tokens[this.#next + 1];
    return this.#token.kind === "name" && this.#token.text === "not" && behind?.kind === "name" && OPERATOR_NAMES.includes(behind.text);
  }

  #sum(): Compiled {
    return this.#calculated(SUMS, () => this.#calculated(PRODUCTS, () => this.#unary()));
  }

  #calculated(operators: Readonly<Record<string, Arithmetic>>, part: () => Compiled): Compiled {
    let left = part();
    for (let sign = this.#take(...Object.keys(operators)); sign !== undefined; sign = this.#take(...Object.keys(operators))) {
      const { of: one } = mustBe("number", left, `what stands left of ${sign.text}`, sign.at);
      const { of: other } = mustBe("number", part(), `what stands right of ${sign.text}`, sign.at);
      const calculate = operators[sign.text] as Arithmetic;
      left = { kind: "number", of: (subject) => calculate(Number(one(subject)), Number(other(subject))) };
    }
    return left;
  }

  #unary(): Compiled {
    if (++this.#depth > MAX_DEPTH) throw new ExpressionError("too many levels", this.#token.at);
    const compiled = this.#negated() ?? this.#primary();
    this.#depth--;
    return compiled;
  }

  #negated(): Compiled | undefined {
    const not = this.#take("!", "not");
    if (not !== undefined) {
      const { of } = mustBe("condition", this.#unary(), `what stands behind ${not.text}`, not.at);
      return { kind: "condition", of: (subject) => of(subject) !== true };
    }
    const minus = this.#take("-");
    if (minus === undefined) return undefined;
    const { constant, of } = mustBe("number", this.#unary(), "what stands behind -", minus.at);
    if (typeof constant === "number") return literal("number", -constant); // lists hold literals only
    return { kind: "number", of: (subject) => -Number(of(subject)) };
  }

  #primary(): Compiled {
    const token = this.#token;
    this.#next++;
    const { kind, text, at } = token;
    if (kind === "string") return literal("string", text);
    if (kind === "number") return literal("number", Number(text));
    if (kind === "name") return this.#named(text, at);
    if (text === "(") {
      const inner = this.#or();
      this.#expect(")");
      return inner;
    }
    if (text === "[") return this.#list();
    throw new ExpressionError(`expected a function, a value or "(", found "${text}"`, at);
  }

  #named(name: string, at: number): Compiled {
    if (name === "true" || name === "false") return literal("condition", name === "true");
    const known = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (known === undefined) throw new ExpressionError(unknownName(name), at);
    if (this.#take("(") === undefined) throw new ExpressionError(`${name} is a function: write ${name}()`, at);
    const call = known(this.#items(")"));
    return orThrow(isProblem(call) && !call.problem.startsWith(name) ? { problem: `${name}(): ${call.problem}` } : call, at);
  }

  #list(): Compiled {
    const { at } = this.#token;
    const items = this.#items("]");
    if (items.some(({ kind, constant }) => constant === undefined || kind === "list")) {
      throw new ExpressionError("a list holds texts, numbers, true and false", at);
    }
    return literal("list", items.map(({ constant }) => constant) as (string | number | boolean)[]);
  }

  #items(end: string): Compiled[] {
    const items: Compiled[] = [];
    if (this.#take(end) !== undefined) return items;
    do items.push(this.#or());
    while (this.#take(",") !== undefined);
    this.#expect(end);
    return items;
  }
}

function compare(operator: string, left: Compiled, right: Compiled): Compiled | Problem {
  const { of: one } = left;
  const { of: other } = right;
  const comparison = COMPARISONS[operator];
  if (comparison !== undefined) {
    const isOrdered = operator !== "==" && operator !== "!=";
    const fits = left.kind === right.kind && left.kind !== "list" && !(isOrdered && left.kind === "condition");
    if (!fits) return { problem: `${KIND_NAMES[left.kind]} ${operator} ${KIND_NAMES[right.kind]} can't be compared` };
    return { kind: "condition", of: (subject) => comparison(one(subject), other(subject)) };
  }
  if (operator === "in") {
    if (right.kind !== "list" || left.kind === "list") return { problem: "in must be followed by a list, like ['A', 'AAAA']" };
    const items = new Set(right.constant as readonly Value[]);
    return { kind: "condition", of: (subject) => items.has(one(subject)) };
  }
  if (left.kind !== "string" || right.kind !== "string") return { problem: `${operator} takes two texts` };
  if (operator === "matches") {
    if (typeof right.constant !== "string") return { problem: "matches must be followed by a regular expression in quotes" };
    const pattern = compileGoRegexp(right.constant);
    if (isProblem(pattern)) return { problem: `matches: ${pattern.problem}` };
    return { kind: "condition", of: (subject) => pattern.test(String(one(subject))) };
  }
  const test = TEXT_TESTS[operator] as TextTest;
  return { kind: "condition", of: (subject) => test(String(one(subject)), String(other(subject))) };
}

function literal(kind: Kind, constant: Value): Compiled {
  return { kind, constant, of: () => constant };
}

function mustBe(kind: Kind, compiled: Compiled, what: string, at: number): Compiled {
  if (compiled.kind === kind) return compiled;
  throw new ExpressionError(`${what} must be ${KIND_NAMES[kind]}, found ${KIND_NAMES[compiled.kind]}`, at);
}

function orThrow(compiled: Compiled | Problem, at: number): Compiled {
  if (isProblem(compiled)) throw new ExpressionError(compiled.problem, at);
  return compiled;
}

function unknownName(name: string): string {
  if (WORDS_NOT_HERE.has(name)) return `${name} is not supported`;
  const meant = nearest(name, Object.keys(functions));
  const known = Object.keys(functions).toSorted().join(", ");
  return `unknown name "${name}"${meant === undefined ? `; functions: ${known}; a text stands in single quotes` : `, did you mean ${meant}()?`}`;
}
