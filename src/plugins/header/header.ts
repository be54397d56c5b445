// header — sets and clears flags in the header of questions, for the plugins behind it, and of answers.

import { andThen } from "../../chain.ts";
import { caseless, oneOf } from "../../config/arguments.ts";
import { directive, each, readArgument, type Options, type Property, type Shape } from "../../config/directive.ts";
import { Flags, type Query, type Reply } from "../../dns/message.ts";
import { DROP, definePlugin, type Answer, type Instance, type Plugin } from "../../plugin.ts";

const FLAGS = ["aa", "ra", "rd"] as const;
type Flag = (typeof FLAGS)[number];

interface Rule {
  readonly flags: readonly Flag[];
  readonly on: boolean;
}

type HeaderOptions = Options<true, { readonly query: Property<readonly Rule[]>; readonly response: Property<readonly Rule[]> }>;

const plugin: Plugin<HeaderOptions> = definePlugin({
  name: "header",
  syntax: directive({
    options: { query: each(rule()), response: each(rule()) },
    check({ query, response }, report, at) {
      if (query.length + response.length === 0) report.error(at, "expected a block with query or response, and set or clear");
    },
  }),
  setup: ({ query, response }) => setup(query, response),
});
export default plugin;

function setup(queryRules: readonly Rule[], responseRules: readonly Rule[]): Instance {
  const [setBits, clearBits] = [bitsOf(queryRules, true), bitsOf(queryRules, false)];
  const head = headOf(responseRules);
  const finish = (answer: Answer): Answer => (answer === DROP ? DROP : { ...answer, ...head });
  return {
    // What stands in a question's header makes no difference to zones of our own; answers' headers are the table's own.
    ...(responseRules.length === 0 && { transparent: true }),
    handle(query, next) {
      const flags = (query.flags | setBits) & ~clearBits;
      const asked: Query = flags === query.flags ? query : { ...query, flags };
      return responseRules.length === 0 ? next(asked) : andThen(next(asked), finish);
    },
  };
}

// The flags that end up on, or off: of two rules for one flag the later counts.
function bitsOf(rules: readonly Rule[], on: boolean): number {
  let bits = 0;
  for (const flag of FLAGS) {
    const last = rules.findLast(({ flags }) => flags.includes(flag));
    if (last?.on === on) bits |= Flags[flag.toUpperCase() as Uppercase<Flag>];
  }
  return bits;
}

function headOf(rules: readonly Rule[]): Partial<Pick<Reply, "authoritative" | "recursionAvailable" | "recursionDesired">> {
  const head: Record<string, boolean> = {};
  for (const { flags, on } of rules) for (const flag of flags) head[MEMBERS[flag]] = on;
  return head;
}

const MEMBERS = { aa: "authoritative", ra: "recursionAvailable", rd: "recursionDesired" } as const satisfies Record<Flag, keyof Reply>;

function rule(): Shape<Rule> {
  const action = caseless(oneOf("set", "clear"));
  const flag = caseless(oneOf(...FLAGS));
  const usage = "set|clear FLAGS...";
  return {
    usage,
    read([first, ...others], at, report) {
      if (first === undefined || others.length === 0) {
        report.error(at, `expected ${usage}, found ${first === undefined ? "nothing" : `"${first.text}"`}`);
        return undefined;
      }
      const on = readArgument(action, first, report);
      const flags = others.map((token) => readArgument(flag, token, report));
      return on === undefined || flags.includes(undefined) ? undefined : { on: on === "set", flags: flags as Flag[] };
    },
  };
}
