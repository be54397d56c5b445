// printf for templates: Go's verbs for strings, integers and booleans, with flags, width and precision. Called by
// functions.ts. A verb that does not fit its value fails the template: Go would put `%!d(string=x)` into the record.

import { isList, kindOf, TemplateError, textOf, type Value } from "./values.ts";

/** Columns that a field may be padded to: no record needs more than a character-string has. */
const MAX_WIDTH = 255;
const VERB = /%(?<flags>[-+# 0]*)(?<width>\d*)(?:\.(?<precision>\d*))?(?<verb>[^]?)/gu;
const RADIX: Readonly<Record<string, number>> = { b: 2, o: 8, d: 10, x: 16, X: 16 };

interface Verb {
  readonly verb: string;
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
}

/** What Go's fmt.Sprintf gives. Throws TemplateError. */
export function formatted(format: string, args: readonly Value[]): string {
  let used = 0;
  const text = format.replace(VERB, (whole, ...rest) => {
    const groups = rest.at(-1) as { flags: string; width: string; precision?: string; verb: string };
    const { flags, verb } = groups;
    if (verb === "%") return "%";
    if (used === args.length) throw new TemplateError(`printf: ${whole} has no value`);
    const width = Number(groups.width);
    const precision = groups.precision === undefined ? undefined : Number(groups.precision);
    if (width > MAX_WIDTH || (precision ?? 0) > MAX_WIDTH) throw new TemplateError(`printf: ${whole} is wider than ${MAX_WIDTH}`);
    return padded(one({ verb, flags, width, precision }, args[used++], whole), flags, width);
  });
  if (used < args.length) throw new TemplateError(`printf: more values than verbs in "${format}"`);
  return text;
}

/** A value as Go's print functions and `%v` write it. */
export function argumentText(value: Value): string {
  return value === undefined ? "<nil>" : textOf(value);
}

function one(spec: Verb, value: Value, whole: string): string {
  const { verb, flags, precision } = spec;
  if (verb === "v" && typeof value !== "bigint" && typeof value !== "string") return argumentText(value);
  if (verb === "t" && typeof value === "boolean") return String(value);
  if (typeof value === "bigint") {
    const radix = verb === "v" ? 10 : RADIX[verb];
    if (radix !== undefined) return integer(value, radix, spec);
    if (verb === "c" && value >= 0n && value <= 0x10_ffffn) return String.fromCodePoint(Number(value));
  }
  if (typeof value === "string") {
    if (verb === "s" || verb === "v") return precision === undefined ? value : [...value].slice(0, precision).join("");
    if (verb === "q") return JSON.stringify(value);
    if (verb === "x" || verb === "X") {
      const hex = Buffer.from(value).toString("hex");
      return (flags.includes("#") ? "0x" : "") + (verb === "X" ? hex.toUpperCase() : hex);
    }
  }
  if (verb === "s" && isList(value)) return textOf(value);
  throw new TemplateError(`printf: ${whole} can't print ${kindOf(value)}`);
}

function integer(value: bigint, radix: number, { verb, flags, width, precision }: Verb): string {
  const digits = (value < 0n ? -value : value).toString(radix);
  const sign = value < 0n ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  const prefix = flags.includes("#") ? ({ 2: "0b", 8: "0", 16: "0x" }[radix] ?? "") : "";
  const zeros = flags.includes("0") && !flags.includes("-") && precision === undefined;
  const least = precision ?? (zeros ? width - sign.length : 0);
  const text = prefix + digits.padStart(least, "0");
  return sign + (verb === "X" ? text.toUpperCase() : text);
}

function padded(text: string, flags: string, width: number): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  return (flags.includes("0") ? "0" : " ").repeat(missing) + text;
}
