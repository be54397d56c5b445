// log — one line for each query that was answered, in CoreDNS's formats.

import { oneOf, zone } from "../../config/arguments.ts";
import { directive, each, readArgument, rest, type Options, type Property, type Shape, type Syntax } from "../../config/directive.ts";
import { Rcodes } from "../../dns/message.ts";
import { isWithin, ROOT, type Name } from "../../dns/name.ts";
import { definePlugin, type Plugin, type Sent } from "../../plugin.ts";
import { compileFormat, type Format } from "./format.ts";

type Class = "success" | "denial" | "error" | "all";
type LogLine = Options<Target, { readonly class: Property<readonly (readonly Class[])[]> }>;

/** The arguments of a `log` line: which names, and what to write. */
interface Target {
  readonly zones: readonly Name[];
  readonly format: Format;
}

interface Rule extends Target {
  readonly classes: ReadonlySet<Class>;
}

const lines: Syntax<LogLine> = directive({
  args: target(),
  options: { class: each(rest(oneOf("success", "denial", "error", "all"), { min: 1 })) },
  repeat: "each",
});

/** All `log` lines of a block: only the first one whose names hold the qname speaks. */
const syntax: Syntax<readonly Rule[]> = {
  repeat: "merge",
  usage: (name) => lines.usage(name),
  read: (occurrences, report) => [lines.read(occurrences, report).map(toRule)],
};

const plugin: Plugin<readonly Rule[]> = definePlugin({
  name: "log",
  syntax,
  setup: (rules, host) => ({
    observe(query, sent) {
      const rule = rules.find(({ zones }) => zones.some((name) => isWithin(query.qname, name)));
      if (rule === undefined || !(rule.classes.has("all") || rule.classes.has(classOf(sent)))) return;
      host.log.query(rule.format(query, sent, (asked, label) => host.instance("metadata")?.metadata?.(asked, label)));
    },
  }),
});
export default plugin;

// log [NAMES...] [FORMAT]: the last argument is a format if it has a placeholder.
function target(): Shape<Target> {
  const names = zone("NAMES");
  return {
    usage: "[NAMES...] [FORMAT]",
    read(tokens, _at, report) {
      const last = tokens.at(-1);
      const hasFormat = last?.text.includes("{") === true;
      const zones = (hasFormat ? tokens.slice(0, -1) : tokens).map((token) => readArgument(names, token, report));
      const format = compileFormat(hasFormat ? last.text : "{common}");
      return zones.includes(undefined) ? undefined : { zones: zones.length === 0 ? [ROOT] : zones.flatMap((list) => list ?? []), format };
    },
  };
}

function toRule({ args, class: classes }: LogLine): Rule {
  return { ...args, classes: new Set(classes.length === 0 ? ["all"] : classes.flat()) };
}

// CoreDNS's classes: NXDOMAIN and NODATA are denials, other rcodes errors.
function classOf({ rcode, answerCount }: Sent): Class {
  if (rcode === Rcodes.NXDOMAIN) return "denial";
  if (rcode !== Rcodes.NOERROR) return "error";
  return answerCount === 0 ? "denial" : "success";
}
