// view — chooses the queries that its server block answers. Of blocks with the same zone, the first that takes a query
// gets it. It is no part of the chain; blocks with it are not served from the table.

import type { Position } from "../../errors.ts";
import { word } from "../../config/arguments.ts";
import { directive, each, one, type Options, type Property, type Report, type Shape } from "../../config/directive.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";
import { compileCondition, type Condition } from "./expression.ts";
import { ExpressionError } from "./tokens.ts";

const plugin: Plugin<Options<string, { readonly expr: Property<readonly Condition[]> }>> = definePlugin({
  name: "view",
  syntax: directive({ args: one(word("NAME")), options: { expr: each(expression()) } }),
  setup: ({ args: name, expr: conditions }, host) => ({
    view: name,
    metadata: (_query, label) => (label === "view/name" ? name : undefined),
    filter(query) {
      const metadata = (label: string): string | undefined => host.instance("metadata")?.metadata?.(query, label);
      return conditions.every((condition) => condition({ query, metadata }));
    },
  }),
});
export default plugin;

// The rest of the line, with one blank between its words, as CoreDNS has it.
function expression(): Shape<Condition> {
  return {
    usage: "EXPRESSION",
    read(tokens, at, report) {
      if (tokens.length === 0) {
        report.error(at, "expected EXPRESSION, found nothing");
        return undefined;
      }
      try {
        return compileCondition(tokens.map(({ text }) => text).join(" "));
      } catch (error) {
        if (error instanceof ExpressionError) tell(error, tokens, report);
        else throw error;
        return undefined;
      }
    },
  };
}

// At the word in the file in which the expression goes wrong.
function tell({ message, at }: ExpressionError, tokens: readonly (Position & { readonly text: string })[], report: Report): void {
  let start = 0;
  let wrong = tokens[0];
  for (const token of tokens) {
    if (start <= at) wrong = token;
    start += token.text.length + 1;
  }
  if (wrong !== undefined) report.error(wrong, message);
}
