// errors — logs why queries failed, one line each; `consolidate` turns floods of one error into one line a period.

import { goDuration, oneOf, type ArgType } from "../../config/arguments.ts";
import { directive, each, none, once, readArgument, type Options, type Property, type Shape } from "../../config/directive.ts";
import { formatName } from "../../dns/name.ts";
import { typeName } from "../../dns/text.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";
import { createConsolidator, type Pattern } from "./consolidate.ts";

type ErrorsOptions = Options<true, { readonly stacktrace: Property<true | undefined>; readonly consolidate: Property<readonly Pattern[]> }>;

const MAX_PATTERN_CHARS = 10_000; // as CoreDNS
/** Hostile patterns take time that grows with the text: no error needs more to be recognised. */
const MAX_MATCHED_CHARS = 512;

const plugin: Plugin<ErrorsOptions> = definePlugin({
  name: "errors",
  syntax: directive({ options: { stacktrace: once(none()), consolidate: each(consolidation()) } }),
  setup({ consolidate }, { log }) {
    const consolidator = createConsolidator(consolidate, log);
    return {
      observeError({ qname, qtype }, { rcode, error = "" }) {
        const line = `${rcode} ${formatName(qname)} ${typeName(qtype)}: ${error}`;
        if (!consolidator.takes(error.slice(0, MAX_MATCHED_CHARS), line)) log.error(line);
      },
      stop: () => consolidator.stop(),
    };
  },
});
export default plugin;

// consolidate DURATION REGEXP [LEVEL] [show_first]
function consolidation(): Shape<Pattern> {
  const usage = "DURATION REGEXP [warning|error|info|debug] [show_first]";
  const duration = goDuration("DURATION", { minMs: 1 });
  const levels = oneOf("warning", "error", "info", "debug", "show_first");
  return {
    usage,
    read(tokens, at, report) {
      const [periodToken, regexpToken, ...words] = tokens;
      if (periodToken === undefined || regexpToken === undefined || words.length > 2) {
        report.error(at, `expected ${usage}, found ${tokens.length === 0 ? "nothing" : `"${tokens.map(({ text }) => text).join(" ")}"`}`);
        return undefined;
      }
      const periodMs = readArgument(duration, periodToken, report);
      const regexp = readArgument(REGEXP, regexpToken, report);
      let level: Pattern["level"] = "error";
      let showFirst = false;
      for (const [index, token] of words.entries()) {
        const value = readArgument(levels, token, report);
        if (value === undefined) return undefined;
        if (value === "show_first") showFirst = true;
        else if (index === 0) level = value;
        else report.error(token, `the level stands before show_first, found "${token.text}"`);
      }
      return periodMs === undefined || regexp === undefined ? undefined : { periodMs, regexp, source: regexpToken.text, level, showFirst };
    },
  };
}

const REGEXP: ArgType<RegExp> = {
  usage: "REGEXP",
  parse(text) {
    if (text.length > MAX_PATTERN_CHARS) return { problem: `must be at most ${MAX_PATTERN_CHARS} characters, found ${text.length}` };
    // Go writes flags in front of the pattern, JavaScript behind it.
    const [head = "", flags = ""] = /^\(\?([ims]+)\)/.exec(text) ?? [];
    try {
      return new RegExp(text.slice(head.length), [...new Set(flags)].join(""));
    } catch (error) {
      return { problem: `must be a regular expression: ${error instanceof Error ? error.message : String(error)}` };
    }
  },
};
