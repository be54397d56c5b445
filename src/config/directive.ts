// A directive's syntax as one table: it parses the Corefile's lines into typed options, words the errors and lists the
// README's syntax. Plugin authors call directive() with shapes of lines (args, optional, rest, …) and kinds of
// arguments (arguments.ts); blocks.ts runs the tables. Nothing throws: what is wrong goes to the Report.

import { nearest } from "../errors.ts";
import type { Position } from "../errors.ts";
import { isProblem, zone } from "./arguments.ts";
import type { ArgType } from "./arguments.ts";
import type { Token } from "./tokens.ts";
import { ROOT, type Name } from "../dns/name.ts";

/** A line of a Corefile: its name, its arguments, and the lines of its block if it has one. */
export interface Directive extends Position {
  readonly name: string;
  readonly args: readonly Token[];
  /** The nested lines; `{ }` is an empty list, no braces undefined. */
  readonly block: readonly Directive[] | undefined;
}

/** Where findings go. Messages carry no position; the prefix (`cache: ttl: `) is put in front for you. */
export interface Report {
  error(at: Position, message: string): void;
  warning(at: Position, message: string): void;
}

/** What all arguments of one line look like together. */
export interface Shape<T> {
  /** As the README writes it; empty if there are none. */
  readonly usage: string;
  /** Undefined only after an error was reported. `at` is the line, for what is missing. */
  read(tokens: readonly Token[], at: Position, report: Report): T | undefined;
}

/** Reads one argument; undefined after an error was reported. For custom shapes. */
export function readArgument<T>(type: ArgType<T>, token: Token, report: Report): T | undefined {
  const value = type.parse(token.text);
  if (!isProblem(value)) return value;
  // `TTL must be …` names the value; words (`on|off`) would only repeat what the problem lists.
  const isName = type.usage === type.usage.toUpperCase();
  report.error(token, isName ? `${type.usage} ${value.problem}` : value.problem);
  return undefined;
}

/** No arguments: a flag. */
export function none(): Shape<true> {
  return sequence("", [], 0, () => true);
}

/** Exactly one argument. */
export function one<T>(type: ArgType<T>): Shape<T> {
  return sequence(type.usage, [type], 1, (values) => values[0] as T);
}

/** Exactly these arguments, as a tuple. */
export function args<T extends readonly unknown[]>(...types: { readonly [K in keyof T]: ArgType<T[K]> }): Shape<T> {
  return sequence(types.map((type) => type.usage).join(" "), types, types.length, (values) => values as unknown as T);
}

/** At most one argument. Without a fallback, a missing one reads as undefined. */
export function optional<T>(type: ArgType<T>): Shape<T | undefined>;
export function optional<T, F>(type: ArgType<T>, fallback: F): Shape<T | F>;
export function optional<T>(type: ArgType<T>, fallback?: T): Shape<T | undefined> {
  return sequence(`[${type.usage}]`, [type], 0, (values) => (values.length === 0 ? fallback : (values[0] as T)));
}

/** Any number of arguments of one kind, at least `min` (0). */
export function rest<T>(type: ArgType<T>, spec: { readonly min?: number } = {}): Shape<readonly T[]> {
  const { min = 0 } = spec;
  const usage = min > 0 ? `${type.usage}...` : `[${type.usage}...]`;
  return {
    usage,
    read(tokens, at, report) {
      if (tokens.length < min) return expected(usage, tokens, at, report);
      const values = tokens.map((token) => readArgument(type, token, report));
      return values.includes(undefined) ? undefined : (values as T[]);
    },
  };
}

/** Any number of zones or networks, at least `min` (0), in one list. */
export function zones(spec: { readonly usage?: string; readonly min?: number } = {}): Shape<readonly Name[]> {
  const { usage = "ZONES", min = 0 } = spec;
  const lists = rest(zone(usage), { min });
  return {
    usage: lists.usage,
    read: (tokens, at, report) => lists.read(tokens, at, report)?.flat(),
  };
}

/** Zones below which something holds, as `fallthrough` has them: none given is all, the root. */
export function zonesOrAll(spec: { readonly usage?: string } = {}): Shape<readonly Name[]> {
  const some = zones(spec);
  return {
    usage: some.usage,
    read(tokens, at, report) {
      const read = some.read(tokens, at, report);
      return read?.length === 0 ? [ROOT] : read;
    },
  };
}

function sequence<T>(usage: string, types: readonly ArgType<unknown>[], min: number, make: (values: readonly unknown[]) => T): Shape<T> {
  return {
    usage,
    read(tokens, at, report) {
      if (tokens.length < min || tokens.length > types.length) return expected(usage, tokens, tokens[types.length] ?? at, report);
      const values = tokens.map((token, index) => readArgument(types[index] as ArgType<unknown>, token, report));
      return values.includes(undefined) ? undefined : make(values);
    },
  };
}

function expected(usage: string, tokens: readonly Token[], at: Position, report: Report): undefined {
  const found = tokens.length === 0 ? "nothing" : `"${tokens.map((token) => token.text).join(" ")}"`;
  report.error(at, usage === "" ? `takes no arguments, found ${found}` : `expected ${usage}, found ${found}`);
}

/** What the lines of one name in a block become. */
export interface Property<T> {
  /** The README's line; undefined leaves it out. */
  usage(name: string): string | undefined;
  /** `lines` may be empty: the property was not given. */
  read(lines: readonly Directive[], report: Report): T;
}

/** A property that may be given once; a second time is an error. */
export function once<T>(shape: Shape<T>): Property<T | undefined> {
  return {
    usage: (name) => `${name} ${shape.usage}`.trimEnd(),
    read(lines, report) {
      for (const line of lines.slice(1)) report.error(line, "given twice, allowed once");
      return lines[0] === undefined ? undefined : readLine(shape, lines[0], report);
    },
  };
}

/** A property that may be repeated; its values in the order of the file. */
export function each<T>(shape: Shape<T>): Property<readonly T[]> {
  return {
    usage: (name) => `${name} ${shape.usage}`.trimEnd(),
    read(lines, report) {
      const values = lines.map((line) => readLine(shape, line, report));
      return values.filter((value) => value !== undefined);
    },
  };
}

/** A property that old Corefiles have: read, with a warning that says why it does nothing, and not in the README. */
export function deprecated(shape: Shape<unknown>, why: string): Property<undefined> {
  return {
    usage: () => undefined,
    read(lines, report) {
      for (const line of lines) {
        report.warning(line, `ignored: ${why}`);
        readLine(shape, line, report);
      }
    },
  };
}

/** A property of CoreDNS's that this version lacks: an error that says so, and what to do instead if anything. */
export function notYet(instead?: string): Property<undefined> {
  return {
    usage: () => undefined,
    read(lines, report) {
      for (const line of lines) report.error(line, `not supported yet${instead === undefined ? "" : `; ${instead}`}`);
    },
  };
}

function readLine<T>(shape: Shape<T>, line: Directive, report: Report): T | undefined {
  if (line.block !== undefined) report.error(line, "takes no block");
  return shape.read(line.args, line, report);
}

export type Properties = Readonly<Record<string, Property<unknown>>>;

/** The typed options of a directive: its arguments, and a member for each property. */
export type Options<A, P extends Properties> = { readonly args: A } & {
  readonly [K in keyof P]: P[K] extends Property<infer T> ? T : never;
};

/** A directive that appears twice in a server block: an error, one with all lines together, or one for each. */
export type Repeat = "once" | "merge" | "each";

/** The table of a directive. */
export interface DirectiveSpec<A, P extends Properties> {
  /** The arguments on the directive's own line; none unless given. */
  readonly args?: Shape<A>;
  /** The properties in its block; without them it takes no block. */
  readonly options?: P;
  /** `once` unless given. */
  readonly repeat?: Repeat;
  /** Rules between the options; called only if each of them was read. */
  check?(options: Options<A, P>, report: Report, at: Position): void;
}

export interface Syntax<O> {
  readonly repeat: Repeat;
  /** The README's lines: `health [ADDRESS] {`, `    lameduck DURATION`, `}`. */
  usage(name: string): readonly string[];
  /** One result for each occurrence with `each`, one in all otherwise; none where an argument could not be read. */
  read(occurrences: readonly Directive[], report: Report): readonly O[];
}

/**
 * Makes a syntax of a table.
 * @example directive({ args: optional(address()), options: { lameduck: once(one(goDuration())) } })
 */
// oxlint-disable-next-line typescript/ban-types -- `{}` as "no properties": Record<never, never> is the same type
export function directive<A = true, P extends Properties = Record<never, never>>(spec: DirectiveSpec<A, P> = {}): Syntax<Options<A, P>> {
  const shape = spec.args ?? (none() as Shape<unknown> as Shape<A>);
  const properties = spec.options ?? ({} as P);
  const repeat = spec.repeat ?? "once";
  return {
    repeat,
    usage(name) {
      const line = `${name} ${shape.usage}`.trimEnd();
      const lines = Object.entries(properties).map(([key, property]) => property.usage(key));
      const shown = lines.filter((text) => text !== undefined).map((text) => `    ${text}`);
      return shown.length === 0 ? [line] : [`${line} {`, ...shown, "}"];
    },
    read(occurrences, outer) {
      const first = occurrences[0];
      if (first === undefined) return [];
      const report = prefixed(`${first.name}: `, outer);
      if (repeat === "once") {
        for (const again of occurrences.slice(1)) report.error(again, "this plugin can only be used once per Server Block");
      }
      const groups = repeat === "each" ? occurrences.map((one) => [one]) : repeat === "once" ? [[first]] : [occurrences];
      return groups.map((lines) => readOptions(lines)).filter((options) => options !== undefined);

      function readOptions(lines: readonly Directive[]): Options<A, P> | undefined {
        let failed = false;
        const noting: Report = {
          error(at, message) {
            failed = true;
            report.error(at, message);
          },
          warning: report.warning,
        };
        const at = lines[0] ?? (first as Directive);
        const read = shape.read(
          lines.flatMap((line) => line.args),
          at,
          noting,
        );
        const options = {
          args: read,
          ...readProperties(properties, lines, noting),
        } as unknown as Options<A, P>;
        if (failed) return undefined;
        spec.check?.(options, report, at);
        return options;
      }
    },
  };
}

function readProperties(properties: Properties, lines: readonly Directive[], report: Report): Record<string, unknown> {
  const known = Object.keys(properties);
  const given = new Map<string, Directive[]>(known.map((name) => [name, []]));
  for (const line of lines) {
    if (line.block !== undefined && known.length === 0) {
      report.error(line, "takes no block");
      continue;
    }
    for (const nested of line.block ?? []) {
      const same = given.get(nested.name);
      if (same === undefined) report.error(nested, unknownProperty(nested.name, known));
      else same.push(nested);
    }
  }
  return Object.fromEntries(
    Object.entries(properties).map(([name, property]) => [name, property.read(given.get(name) ?? [], prefixed(`${name}: `, report))]),
  );
}

function unknownProperty(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  const hint = meant === undefined ? "" : `, did you mean '${meant}'?`;
  return `unknown property '${name}'${hint}${hint === "" ? ";" : ""} known: ${known.toSorted().join(", ")}`;
}

function prefixed(prefix: string, report: Report): Report {
  return {
    error: (at, message) => report.error(at, prefix + message),
    warning: (at, message) => report.warning(at, prefix + message),
  };
}
