// The functions that templates may call: Go's predefined ones that make sense in a record, and CoreDNS's parseInt.
// Called by compile.ts, which has checked how many arguments there are; `and` and `or` are there, for they stop early.

import { argumentText, formatted } from "./printf.ts";
import { bounded, compare, isEqual, isList, isMap, isTrue, kindOf, TemplateError, type Value } from "./values.ts";

export interface TemplateFunction {
  readonly min: number;
  /** No limit if absent. */
  readonly max?: number;
  call(args: readonly Value[]): Value;
}

export const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map(
  Object.entries<TemplateFunction>({
    eq: { min: 2, call: ([first, ...others]) => others.some((other) => isEqual(first, other)) },
    ne: { min: 2, max: 2, call: ([left, right]) => !isEqual(left, right) },
    lt: { min: 2, max: 2, call: ([left, right]) => compare(left, right) < 0 },
    le: { min: 2, max: 2, call: ([left, right]) => compare(left, right) <= 0 },
    gt: { min: 2, max: 2, call: ([left, right]) => compare(left, right) > 0 },
    ge: { min: 2, max: 2, call: ([left, right]) => compare(left, right) >= 0 },
    not: { min: 1, max: 1, call: ([value]) => !isTrue(value) },
    len: { min: 1, max: 1, call: ([value]) => length(value) },
    index: { min: 1, call: ([value, ...indexes]) => indexes.reduce<Value>(item, value) },
    slice: { min: 1, max: 3, call: ([value, from = 0n, to]) => slice(value, from, to) },
    print: { min: 0, call: (args) => bounded(printed(args)) },
    println: { min: 0, call: (args) => bounded(`${args.map(argumentText).join(" ")}\n`) },
    printf: { min: 1, call: ([format, ...args]) => bounded(formatted(stringOf(format, "printf's format"), args)) },
    parseInt: { min: 3, max: 3, call: ([text, base, bits]) => parseUint(stringOf(text, "parseInt's text"), smallOf(base), smallOf(bits)) },
  }),
);

function stringOf(value: Value, what: string): string {
  if (typeof value !== "string") throw new TemplateError(`${what} must be a string, found ${kindOf(value)}`);
  return value;
}

function smallOf(value: Value): number {
  if (typeof value !== "bigint" || value < 0n || value > 64n) {
    throw new TemplateError(`parseInt's base and bits must be 0–64, found ${typeof value === "bigint" ? value : kindOf(value)}`);
  }
  return Number(value);
}

// In octets, as Go counts.
function length(value: Value): bigint {
  if (typeof value === "string") return BigInt(Buffer.byteLength(value));
  if (isList(value)) return BigInt(value.length);
  if (isMap(value)) return BigInt(value.size);
  throw new TemplateError(`${kindOf(value)} has no length`);
}

function item(value: Value, index: Value): Value {
  if (isMap(value)) return value.get(stringOf(index, "the index of a map")) ?? "";
  if (isList(value)) return value[indexOf(index, value.length - 1)];
  if (typeof value === "string") {
    const bytes = Buffer.from(value);
    return BigInt(bytes[indexOf(index, bytes.length - 1)] as number);
  }
  throw new TemplateError(`${kindOf(value)} has no items`);
}

function slice(value: Value, from: Value, to: Value): Value {
  if (typeof value !== "string" && !isList(value)) throw new TemplateError(`${kindOf(value)} can't be sliced`);
  const whole = typeof value === "string" ? Buffer.from(value) : value;
  const end = to === undefined ? whole.length : indexOf(to, whole.length);
  const start = indexOf(from, end);
  return typeof value === "string" ? (whole as Buffer).toString("utf8", start, end) : value.slice(start, end);
}

function indexOf(value: Value, max: number): number {
  if (typeof value !== "bigint") throw new TemplateError(`an index must be an integer, found ${kindOf(value)}`);
  if (value < 0n || value > BigInt(max)) throw new TemplateError(`index ${value} is out of range`);
  return Number(value);
}

// Go's fmt.Sprint: a blank between two values of which neither is a string.
function printed(args: readonly Value[]): string {
  let text = "";
  for (const [at, value] of args.entries()) {
    if (at > 0 && typeof value !== "string" && typeof args[at - 1] !== "string") text += " ";
    text += argumentText(value);
  }
  return text;
}

const PREFIXES: Readonly<Record<string, number>> = { "0x": 16, "0b": 2, "0o": 8 };

// Go's strconv.ParseUint: no sign, no blanks; base 0 reads the prefix.
function parseUint(text: string, base: number, bits: number): bigint {
  const bad = (why: string): TemplateError => new TemplateError(`parseInt: "${text}" ${why}`);
  if (base === 1 || base > 36) throw new TemplateError(`parseInt's base must be 0 or 2–36, found ${base}`);
  let digits = text.toLowerCase();
  let radix = base;
  if (base === 0) {
    const prefixed = PREFIXES[digits.slice(0, 2)];
    radix = prefixed ?? (/^0./.test(digits) ? 8 : 10);
    digits = digits.slice(prefixed === undefined ? 0 : 2).replaceAll(/(?<=.)_(?=.)/g, "");
  }
  if (digits === "") throw bad("is no number");
  const max = 2n ** BigInt(bits === 0 ? 64 : bits) - 1n;
  let value = 0n;
  for (const digit of digits) {
    const amount = /[0-9a-z]/.test(digit) ? Number.parseInt(digit, 36) : radix;
    if (amount >= radix) throw bad(`is no number in base ${radix}`);
    value = value * BigInt(radix) + BigInt(amount);
    if (value > max) throw bad(`does not fit into ${bits === 0 ? 64 : bits} bits`);
  }
  return value;
}
