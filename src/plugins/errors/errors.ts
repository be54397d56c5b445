// errors — logs why queries failed, one line each; `consolidate` turns floods of one error into one line a period.

import { goDuration, oneOf } from "../../config/arguments.ts";
import { directive, each, none, once, readArgument, type Options, type Property, type Shape } from "../../config/directive.ts";
import { goRegexp } from "../../config/go-regexp.ts";
import { formatName } from "../../dns/name.ts";
import { typeName } from "../../dns/text.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";
import { createConsolidator, type Pattern } from "./consolidate.ts";

type ErrorsOptions = Options<true, { readonly stacktrace: Property<true | undefined>; readonly consolidate: Property<readonly Pattern[]> }>;

const plugin: Plugin<ErrorsOptions> = definePlugin({
  name: "errors",
  syntax: directive({ options: { stacktrace: once(none()), consolidate: each(consolidation()) } }),
  setup({ consolidate }, { log }) {
    const consolidator = createConsolidator(consolidate, log);
    return {
      observeError({ qname, qtype }, { rcode, error = "" }) {
        const line = `${rcode} ${formatName(qname)} ${typeName(qtype)}: ${error}`;
        if (!consolidator.takes(error, line)) log.error(line);
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
  const pattern = goRegexp("REGEXP");
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
      const regexp = readArgument(pattern, regexpToken, report);
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
