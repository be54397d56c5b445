// The values that templates handle: what is true, how they print, compare and are looked into, as Go's text/template has
// it. compile.ts and functions.ts call it. What goes wrong is a TemplateError, which never leaves the template.

/** Why a template can't be read or run. */
export class TemplateError extends Error {}

/** A function that is a field: `.Meta "name"`. */
export type Method = (args: readonly Value[]) => Value;

/** A fixed set of fields. */
export interface Struct {
  readonly [field: string]: Value;
}

/** Go's "no value" is undefined: the field of a map that lacks it. */
export type Value = string | bigint | boolean | undefined | readonly Value[] | ReadonlyMap<string, Value> | Struct | Method;

/** The longest text that a template or one of its values may grow to, in characters: no RR has more. */
export const MAX_TEXT_CHARS = 65_535;

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function isMap(value: Value): value is ReadonlyMap<string, Value> {
  return value instanceof Map;
}

function isStruct(value: Value): value is Struct {
  return typeof value === "object" && !isList(value) && !isMap(value);
}

/** What a value is, for errors. */
export function kindOf(value: Value): string {
  if (value === undefined) return "no value";
  if (typeof value === "bigint") return "an integer";
  if (typeof value === "boolean") return "a boolean";
  if (typeof value === "string") return "a string";
  if (isList(value)) return "a list";
  return isMap(value) ? "a map" : typeof value === "function" ? "a function" : "a group of fields";
}

/** Go's truth: not false, 0, empty or missing. */
export function isTrue(value: Value): boolean {
  if (isList(value)) return value.length > 0;
  if (isMap(value)) return value.size > 0;
  return typeof value === "object" || typeof value === "function" || Boolean(value);
}

/** As `{{ value }}` and `%v` print it. */
export function textOf(value: Value): string {
  if (typeof value === "string") return value;
  if (value === undefined) return "<no value>";
  if (isList(value)) return bounded(`[${value.map(textOf).join(" ")}]`);
  if (isMap(value))
    return bounded(
      `map[${sortedKeys(value)
        .map((key) => `${key}:${textOf(value.get(key))}`)
        .join(" ")}]`,
    );
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  throw new TemplateError(`${kindOf(value)} can't be printed`);
}

export function sortedKeys(map: ReadonlyMap<string, Value>): string[] {
  return [...map.keys()].sort();
}

/** `value.field`. */
export function fieldOf(value: Value, field: string): Value {
  if (isMap(value)) return value.get(field);
  if (isStruct(value) && Object.hasOwn(value, field)) return value[field];
  throw new TemplateError(`${kindOf(value)} has no field "${field}"`);
}

/** The text, unless it is too long. */
export function bounded(text: string): string {
  if (text.length > MAX_TEXT_CHARS) throw new TemplateError(`a text has more than ${MAX_TEXT_CHARS} characters`);
  return text;
}

/** Less than 0, 0, or more: for values of one basic kind. */
export function compare(left: Value, right: Value): number {
  if (typeof left === "bigint" && typeof right === "bigint") return left < right ? -1 : Number(left > right);
  // Byte order, as Go's: for UTF-8 that is the order of code points.
  if (typeof left === "string" && typeof right === "string") return Buffer.compare(Buffer.from(left), Buffer.from(right));
  throw new TemplateError(`${kindOf(left)} and ${kindOf(right)} have no order`);
}

export function isEqual(left: Value, right: Value): boolean {
  if (left === undefined || right === undefined) return left === right;
  if (typeof left === "object" || typeof left === "function") throw new TemplateError(`${kindOf(left)} can't be compared`);
  if (typeof left !== typeof right) throw new TemplateError(`${kindOf(left)} and ${kindOf(right)} can't be compared`);
  return left === right;
}
