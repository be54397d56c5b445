// A template compiled into functions when the Corefile is read: the part of Go's text/template that makes sense in one
// record. Called by the syntax table (template.ts). What can be known before a query comes is checked here: fields,
// functions, the number of arguments, variables. Running it is bounded in steps and length, and never throws.

import type { Problem } from "../../config/arguments.ts";
import { checkPath, isRootField } from "./fields.ts";
import { FUNCTIONS } from "./functions.ts";
import { piecesOf, type Piece, type Token } from "./tokens.ts";
import {
  called,
  emit,
  firstThatDecides,
  rendered,
  runAll,
  runRange,
  runWith,
  type Expression,
  type RangeHead,
  type Statement,
} from "./run.ts";
import { fieldOf, isTrue, TemplateError, textOf, type Struct, type Value } from "./values.ts";

export interface Template {
  readonly source: string;
  /** Fields of the query that it looks at; all of them if it hands on `.` as a whole. */
  readonly mentions: (field: string) => boolean;
  /** Groups of the regular expressions that it names. */
  readonly groups: ReadonlySet<string>;
  /** The text for one query, or why there is none. */
  render(data: Struct): string | Problem;
}

/** Blocks and parentheses within each other. */
const MAX_DEPTH = 100;

/** Compiles a template, or says why it can't be. */
export function compileTemplate(source: string): Template | Problem {
  return guarded(() => {
    const compiler = new Compiler(piecesOf(source));
    const body = compiler.whole();
    return {
      source,
      mentions: (field) => compiler.mentions.has(field) || compiler.mentions.has("."),
      groups: compiler.groups,
      render: (data) => guarded(() => rendered(body, data)),
    };
  });
}

function guarded<T>(work: () => T): T | Problem {
  try {
    return work();
  } catch (error) {
    if (error instanceof TemplateError) return { problem: error.message };
    throw error;
  }
}

const REFUSED: ReadonlySet<string> = new Set(["define", "template", "block", "call", "html", "js", "urlquery"]);
const CONSTANTS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["true", true],
  ["false", false],
  ["nil", undefined],
]);

type BlockKind = "if" | "with" | "range";

// Reads pieces and tokens from left to right; a method for each rule of the grammar.
class Compiler {
  readonly mentions = new Set<string>();
  readonly groups = new Set<string>();
  readonly #pieces: readonly Piece[];
  #piece = 0;
  #tokens: readonly Token[] = [];
  #at = 0;
  /** The names of variables that can be seen; a name's place is its slot. */
  #variables: string[] = ["$"];
  #depth = 0;
  #loops = 0;
  /** `.` is the query: its fields are known. Not within `with` and `range`. */
  #dotIsRoot = true;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  whole(): Statement[] {
    const { body, ending } = this.#list();
    if (ending !== undefined) throw new TemplateError(`unexpected {{ ${ending} }}`);
    return body;
  }

  // Statements up to an `end` or `else`, whose action is then the current one, or to the end of the text.
  #list(): { body: Statement[]; ending: "end" | "else" | undefined } {
    const body: Statement[] = [];
    this.#deeper(() => {
      for (; this.#piece < this.#pieces.length;) {
        const piece = this.#pieces[this.#piece++] as Piece;
        if (typeof piece === "string") {
          body.push((run) => emit(run, piece));
          continue;
        }
        this.#tokens = piece;
        this.#at = 0;
        if (this.#isWord("end") || this.#isWord("else")) return;
        body.push(this.#action());
        this.#close();
      }
      this.#tokens = [];
      this.#at = 0;
    });
    const ending = this.#isWord("end") ? "end" : this.#isWord("else") ? "else" : undefined;
    return { body, ending };
  }

  #action(): Statement {
    if (this.#tokens.length === 0) throw new TemplateError("an action is empty: {{ }}");
    for (const kind of ["if", "with", "range"] as const) if (this.#takeWord(kind)) return this.#block(kind);
    for (const jump of ["break", "continue"] as const) {
      if (!this.#takeWord(jump)) continue;
      if (this.#loops === 0) throw new TemplateError(`{{ ${jump} }} is not in a range`);
      return () => jump;
    }
    const { value, declares } = this.#declaration();
    return declares ? (run) => void value(run) : (run) => emit(run, textOf(value(run)));
  }

  #block(kind: BlockKind): Statement {
    const outerVariables = this.#variables;
    const outerRoot = this.#dotIsRoot;
    this.#variables = [...outerVariables];
    const head = kind === "range" ? this.#rangeHead() : { value: this.#declaration().value, key: undefined, item: undefined };
    this.#close();
    if (kind !== "if") this.#dotIsRoot = false;
    if (kind === "range") this.#loops++;
    const { body, ending } = this.#list();
    if (kind === "range") this.#loops--;
    this.#dotIsRoot = outerRoot;
    const otherwise = this.#otherwise(kind, ending);
    this.#variables = outerVariables;

    const { value } = head;
    if (kind === "if") return (run) => runAll(isTrue(value(run)) ? body : otherwise, run);
    if (kind === "with") {
      return (run) => {
        const found = value(run);
        return isTrue(found) ? runWith(body, found, run) : runAll(otherwise, run);
      };
    }
    return (run) => runRange(head, body, otherwise, run);
  }

  // What stands between `else` and `end`; `else if` and `else with` share that `end`.
  #otherwise(kind: BlockKind, ending: "end" | "else" | undefined): readonly Statement[] {
    if (ending === undefined) throw new TemplateError(`{{ ${kind} }} has no {{ end }}`);
    this.#at++;
    if (ending === "end") {
      this.#close();
      return [];
    }
    for (const chained of ["if", "with"] as const) {
      if (kind !== "range" && this.#takeWord(chained)) return [this.#deeper(() => this.#block(chained))];
    }
    this.#close();
    const { body, ending: last } = this.#list();
    if (last !== "end") throw new TemplateError(`{{ ${kind} }} has no {{ end }}`);
    this.#at++;
    this.#close();
    return body;
  }

  // `$x := pipeline`, `$x = pipeline`, or a pipeline.
  #declaration(): { value: Expression; declares: boolean } {
    const [name, assign] = [this.#tokens[this.#at], this.#tokens[this.#at + 1]];
    if (name?.kind !== "variable" || (assign?.text !== ":=" && assign?.text !== "=")) return { value: this.#pipeline(), declares: false };
    this.#at += 2;
    const value = this.#pipeline();
    const slot = this.#slot(name, assign);
    return { value: (run) => (run.variables[slot] = value(run)), declares: true };
  }

  // `$index, $item := pipeline`, `$item := pipeline`, or a pipeline.
  #rangeHead(): RangeHead {
    const names: Token[] = [];
    const start = this.#at;
    while (this.#tokens[this.#at]?.kind === "variable" && names.length < 2) {
      names.push(this.#tokens[this.#at++] as Token);
      if (this.#tokens[this.#at]?.text !== ",") break;
      this.#at++;
    }
    const assign = this.#tokens[this.#at];
    if (names.length === 0 || (assign?.text !== ":=" && assign?.text !== "=")) {
      this.#at = start;
      return { value: this.#pipeline(), key: undefined, item: undefined };
    }
    this.#at++;
    const value = this.#pipeline();
    const [first, second] = names.map((name) => this.#slot(name, assign));
    return second === undefined ? { value, key: undefined, item: first } : { value, key: first, item: second };
  }

  #slot(name: Token, assign: Token): number {
    if (assign.text === ":=") return this.#variables.push(name.text) - 1;
    return this.#known(name);
  }

  #known({ text }: Token): number {
    const slot = this.#variables.lastIndexOf(text);
    if (slot < 0) throw new TemplateError(`variable ${text} is not defined`);
    return slot;
  }

  // Commands between bars: what one gives is the last argument of the next.
  #pipeline(): Expression {
    let value = this.#command(undefined);
    while (this.#takeMark("|")) value = this.#command(value);
    return value;
  }

  #command(piped: Expression | undefined): Expression {
    const first = this.#peek();
    if (first?.kind === "word" && !CONSTANTS.has(first.text)) {
      this.#at++;
      return this.#call(first, this.#arguments(piped));
    }
    if (first?.text === "nil") throw new TemplateError("nil is not a command");
    const operand = this.#operand();
    const args = this.#arguments(piped);
    if (args.length === 0) return operand.value;
    if (!operand.mayBeMethod) throw new TemplateError(`"${first?.text}" is not a function, but is given arguments`);
    return (run) =>
      called(
        operand.value(run),
        args.map((arg) => arg(run)),
        first?.text,
      );
  }

  #arguments(piped: Expression | undefined): Expression[] {
    const args: Expression[] = [];
    for (let next = this.#peek(); next !== undefined && next.text !== "|" && next.text !== ")"; next = this.#peek()) {
      if (!next.spaced && next.text !== "(") throw new TemplateError(`a blank is missing before "${next.text}"`);
      args.push(this.#argument());
    }
    return piped === undefined ? args : [...args, piped];
  }

  #argument(): Expression {
    const next = this.#peek();
    if (next?.kind === "word" && !CONSTANTS.has(next.text)) {
      this.#at++;
      return this.#call(next, []);
    }
    const { value } = this.#operand();
    return (run) => called(value(run), undefined, next?.text);
  }

  #call({ text: name }: Token, args: readonly Expression[]): Expression {
    if (REFUSED.has(name)) throw new TemplateError(`"${name}" is not supported`);
    if (name === "and" || name === "or") {
      if (args.length === 0) throw new TemplateError(`${name} takes at least 1 argument, found none`);
      return (run) => firstThatDecides(args, name === "or", run);
    }
    const known = FUNCTIONS.get(name);
    if (known === undefined) {
      throw new TemplateError(`no such function "${name}"; known: ${[...FUNCTIONS.keys(), "and", "or"].toSorted().join(", ")}`);
    }
    const { min, max = Number.POSITIVE_INFINITY } = known;
    if (args.length < min || args.length > max) {
      const allowed = max === min ? `${min}` : max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min}–${max}`;
      throw new TemplateError(
        `${name} takes ${allowed} argument${allowed.endsWith(" 1") || allowed === "1" ? "" : "s"}, found ${args.length}`,
      );
    }
    return (run) => known.call(args.map((arg) => arg(run)));
  }

  // A constant, `.`, a variable, a field or parentheses, and the fields behind it.
  #operand(): { value: Expression; mayBeMethod: boolean } {
    const token = this.#peek();
    if (token === undefined) throw new TemplateError("a value is missing");
    this.#at++;
    if (token.kind === "constant") return { value: () => token.value, mayBeMethod: false };
    if (token.kind === "word") return { value: () => CONSTANTS.get(token.text), mayBeMethod: false };
    if (token.text === "(") {
      const inner = this.#deeper(() => this.#pipeline());
      if (!this.#takeMark(")")) throw new TemplateError(") is missing");
      return this.#fields(inner, false, []);
    }
    if (token.kind === "variable") {
      const slot = this.#known(token);
      return this.#fields((run) => run.variables[slot], token.text === "$", []);
    }
    if (token.kind === "field") return this.#fields((run) => run.dot, this.#dotIsRoot, [token.text.slice(1)]);
    if (token.text === ".") return this.#fields((run) => run.dot, this.#dotIsRoot, []);
    throw new TemplateError(`unexpected "${token.text}"`);
  }

  #fields(start: Expression, isRoot: boolean, path: string[]): { value: Expression; mayBeMethod: boolean } {
    for (let next = this.#peek(); next?.kind === "field" && !next.spaced; next = this.#peek()) {
      path.push(next.text.slice(1));
      this.#at++;
    }
    const [field, inner] = path;
    if (isRoot) {
      checkPath(path);
      this.mentions.add(field ?? ".");
      if (field === "Group" && inner !== undefined) this.groups.add(inner);
    } else if (field !== undefined && isRootField(field)) this.mentions.add(field); // `with .` leads back to it
    return { value: (run) => path.reduce(fieldOf, start(run)), mayBeMethod: path.length > 0 };
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #isWord(text: string): boolean {
    const next = this.#peek();
    return next?.kind === "word" && next.text === text;
  }

  #takeWord(text: string): boolean {
    const isNext = this.#isWord(text);
    if (isNext) this.#at++;
    return isNext;
  }

  #takeMark(text: string): boolean {
    const next = this.#peek();
    const isNext = next?.kind === "mark" && next.text === text;
    if (isNext) this.#at++;
    return isNext;
  }

  // The action must end here.
  #close(): void {
    const next = this.#peek();
    if (next !== undefined) throw new TemplateError(`unexpected "${next.text}"`);
  }

  #deeper<T>(parse: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw new TemplateError(`is nested more than ${MAX_DEPTH} deep`);
    const result = parse();
    this.#depth--;
    return result;
  }
}
