// What compiled templates do when they run: statements that write text, within bounds of steps and length. compile.ts puts
// them together; values.ts and functions.ts know the values.

import { bounded, isList, isMap, isTrue, kindOf, sortedKeys, TemplateError, type Struct, type Value } from "./values.ts";

/** Statements that one rendering may run, and rounds of loops. */
const MAX_STEPS = 10_000;

/** One rendering. */
export interface Run {
  /** By their slots; 0 is `$`. */
  readonly variables: Value[];
  dot: Value;
  out: string;
  steps: number;
}

export type Expression = (run: Run) => Value;
export type Jump = "break" | "continue" | undefined;
export type Statement = (run: Run) => Jump;

/** The text of a whole template for one query. */
export function rendered(body: readonly Statement[], data: Struct): string {
  const run: Run = { variables: [data], dot: data, out: "", steps: 0 };
  runAll(body, run);
  return run.out;
}

/** Statements in their order, up to a jump out of the loop around them. */
export function runAll(body: readonly Statement[], run: Run): Jump {
  for (const statement of body) {
    if (++run.steps > MAX_STEPS) throw new TemplateError(`takes more than ${MAX_STEPS} steps`);
    const jump = statement(run);
    if (jump !== undefined) return jump;
  }
  return undefined;
}

/** The same with another `.`. */
export function runWith(body: readonly Statement[], dot: Value, run: Run): Jump {
  const outer = run.dot;
  run.dot = dot;
  const jump = runAll(body, run);
  run.dot = outer;
  return jump;
}

export function emit(run: Run, text: string): undefined {
  run.out = bounded(run.out + text);
}

/** What a field gives: a method is called, anything else takes no arguments. */
export function called(value: Value, args: readonly Value[] | undefined, text: string | undefined): Value {
  if (typeof value === "function") return value(args ?? []);
  if (args !== undefined) throw new TemplateError(`"${text}" is not a function, but is given arguments`);
  return value;
}

/** Go's `and` and `or`: the first argument that decides, or the last. */
export function firstThatDecides(args: readonly Expression[], truth: boolean, run: Run): Value {
  let value: Value;
  for (const arg of args) {
    value = arg(run);
    if (isTrue(value) === truth) break;
  }
  return value;
}

export interface RangeHead {
  readonly value: Expression;
  /** Slots of the variables, if it names any. */
  readonly key: number | undefined;
  readonly item: number | undefined;
}

export function runRange({ value, key, item }: RangeHead, body: readonly Statement[], otherwise: readonly Statement[], run: Run): Jump {
  let rounds = 0;
  const over = value(run);
  if (typeof over === "bigint" && key !== undefined) throw new TemplateError("range over an integer takes one variable");
  for (const [index, element] of itemsOf(over)) {
    rounds++;
    if (++run.steps > MAX_STEPS) throw new TemplateError(`takes more than ${MAX_STEPS} steps`);
    if (key !== undefined) run.variables[key] = index;
    if (item !== undefined) run.variables[item] = element;
    if (runWith(body, element, run) === "break") break;
  }
  return rounds === 0 ? runAll(otherwise, run) : undefined;
}

function* itemsOf(value: Value): Generator<readonly [Value, Value]> {
  if (isList(value)) for (const [index, element] of value.entries()) yield [BigInt(index), element];
  else if (isMap(value)) for (const key of sortedKeys(value)) yield [key, value.get(key)];
  else if (typeof value === "bigint") for (let index = 0n; index < value; index++) yield [index, index];
  else if (value !== undefined) throw new TemplateError(`range can't go over ${kindOf(value)}`);
}
