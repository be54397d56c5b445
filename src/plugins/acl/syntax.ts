// The syntax table of `acl`: directives are lists of rules, whose order is that of the file, whatever their actions.

import { isIP } from "node:net";

import type { ArgType } from "../../config/arguments.ts";
import { directive, each, readArgument, zones, type Report, type Shape, type Syntax } from "../../config/directive.ts";
import { parseCidr } from "../../config/zones.ts";
import type { Name } from "../../dns/name.ts";
import type { Network } from "../../dns/networks.ts";
import type { RRType } from "../../dns/records.ts";
import { typeOf } from "../../dns/text.ts";
import type { Position } from "../../errors.ts";

export const ACTIONS = ["allow", "block", "filter", "drop"] as const;
export type Action = (typeof ACTIONS)[number];

export interface Rule {
  readonly action: Action;
  /** Undefined: all. */
  readonly types: ReadonlySet<RRType> | undefined;
  readonly sources: readonly Network[] | undefined;
}

/** One directive; without zones it is for those of the server block. */
export interface AclOptions {
  readonly zones: readonly Name[];
  readonly rules: readonly Rule[];
}

type Conditions = Pick<Rule, "types" | "sources">;
/** `at` is the line object that was read: it tells its place in the file. */
type ReadRule = Rule & { readonly at: Position };

const ANY = "*";

const qtype: ArgType<RRType | typeof ANY> = {
  usage: "QTYPE",
  parse: (text) => (text === ANY ? ANY : (typeOf(text) ?? { problem: `must be a record type like A or TYPE65, or *, found "${text}"` })),
};

const source: ArgType<Network | typeof ANY> = {
  usage: "SOURCE",
  parse(text) {
    if (text === ANY) return ANY;
    const network = parseCidr(isIP(text) === 0 ? text : `${text}/${isIP(text) === 4 ? 32 : 128}`);
    return network ?? { problem: `must be an address, a network like 192.0.2.0/24 or 2001:db8::/32, or *, found "${text}"` };
  },
};

function rule(action: Action): Shape<ReadRule> {
  return {
    usage: "[type QTYPE...] [net SOURCE...]",
    read(tokens, at, report) {
      const conditions = readConditions(tokens, report);
      return conditions && { action, at, ...conditions };
    },
  };
}

const one = directive({
  args: zones(),
  options: { allow: each(rule("allow")), block: each(rule("block")), filter: each(rule("filter")), drop: each(rule("drop")) },
  repeat: "each",
});

/** All directives of a server block in one: a rule that allows in one of them ends the others, too. */
export const syntax: Syntax<readonly AclOptions[]> = {
  repeat: "merge",
  usage: one.usage,
  read(occurrences, report) {
    const lowered = occurrences.map((occurrence) => ({
      ...occurrence,
      ...(occurrence.block && { block: occurrence.block.map((line) => ({ ...line, name: line.name.toLowerCase() })) }),
    }));
    const place = new Map<Position, number>(lowered.flatMap(({ block = [] }) => block).map((line, index) => [line, index]));
    const read = one.read(lowered, report);
    if (read.length < occurrences.length) return [];
    return [
      read.map(({ args, allow, block, filter, drop }) => {
        const rules = [...allow, ...block, ...filter, ...drop];
        return { zones: args, rules: rules.toSorted((a, b) => (place.get(a.at) ?? 0) - (place.get(b.at) ?? 0)) };
      }),
    ];
  },
};

type Tokens = Parameters<Shape<Conditions>["read"]>[0];

// `type A AAAA net 192.0.2.0/24 2001:db8::1`: sections in any order and number, which add up.
function readConditions(tokens: Tokens, report: Report): Conditions | undefined {
  const types: (RRType | typeof ANY | undefined)[] = [];
  const sources: (Network | typeof ANY | undefined)[] = [];
  for (let index = 0; index < tokens.length;) {
    const section = tokens[index] as Tokens[number];
    const name = section.text.toLowerCase();
    if (name !== "type" && name !== "net") {
      report.error(section, `expected type or net, found "${section.text}"`);
      return undefined;
    }
    const start = ++index;
    for (; index < tokens.length && !isSection(tokens[index]); index++) {
      const token = tokens[index] as Tokens[number];
      if (name === "type") types.push(readArgument(qtype, token, report));
      else sources.push(readArgument(source, token, report));
    }
    if (index === start) {
      report.error(section, `${name} must be followed by ${name === "type" ? "QTYPE" : "SOURCE"}, found nothing`);
      return undefined;
    }
  }
  if (types.includes(undefined) || sources.includes(undefined)) return undefined;
  const isAnyType = types.length === 0 || types.includes(ANY);
  const isAnySource = sources.length === 0 || sources.includes(ANY);
  return {
    types: isAnyType ? undefined : new Set(types as RRType[]),
    sources: isAnySource ? undefined : (sources as Network[]),
  };
}

function isSection(token: Tokens[number] | undefined): boolean {
  const name = token?.text.toLowerCase();
  return name === "type" || name === "net";
}
