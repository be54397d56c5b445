// rewrite — asks for something else than the client did, and makes the answer look as if it had not. Rules are met in the order
// of the file and undone in reverse. The answer table goes on to serve what no rule can apply to: rules say so themselves.

import { andThen } from "../../chain.ts";
import { followAlias } from "../../chase.ts";
import { emptyReply, DROP, Rcodes, type Query, type Records, type Reply } from "../../dns/message.ts";
import { recordsOf } from "../../dns/wire.ts";
import { definePlugin, type Answer, type Host, type Instance, type MaybePromise, type Plugin, type Touches } from "../../plugin.ts";
import { aliasesTo, redirectIn, rewriteAnswer, rewriteRcode, type AnswerRule } from "./answers.ts";
import { textOf } from "./names.ts";
import type { Metadata, Rule } from "./rule.ts";
import { syntax } from "./syntax.ts";

const NAME = "rewrite";

const plugin: Plugin<readonly Rule[]> = definePlugin({ name: NAME, syntax, setup: (rules, host) => setup(rules, host) });
export default plugin;

function setup(rules: readonly Rule[], host: Host): Instance {
  const transparent = touchesOf(rules);
  const takesClasses = rules.flatMap(({ takesClass }) => takesClass ?? []);
  return {
    ...(transparent !== undefined && { transparent }),
    ...(takesClasses.length > 0 && { takesClasses }),
    handle(query, next) {
      let asked = query;
      let qname = textOf(query.qname);
      const met: AnswerRule[] = [];
      const metadata: Metadata = (label) => host.instance("metadata")?.metadata?.(query, label);
      for (const rule of rules) {
        const change = rule.apply(asked, qname, metadata);
        if (change === undefined) continue;
        if ("invalid" in change) return { ...emptyReply(Rcodes.SERVFAIL, NAME), error: `invalid name after rewrite: ${change.invalid}` };
        if (change.query.qname !== asked.qname) qname = textOf(change.query.qname);
        asked = change.query;
        met.push(...change.answer);
        if (rule.stops) break;
      }
      // Taken for a rule that did not come to it: what stands behind holds class IN.
      if (asked.qclass === query.qclass && takesClasses.includes(asked.qclass)) return emptyReply(Rcodes.REFUSED, NAME);
      const answer = next(asked);
      if (met.length === 0) return answer;
      const lastFirst = met.reverse();
      return andThen(answer, (reply) => undo(reply, asked, lastFirst));
    },
  };

  function undo(reply: Answer, asked: Query, rules: readonly AnswerRule[]): MaybePromise<Answer> {
    if (reply === DROP) return DROP;
    const records = recordsOf(reply);
    const redirect = redirectIn(records.answer, rules);
    if (redirect === undefined) return rewritten(reply, records, rules);
    const found = followAlias(asked, aliasesTo(redirect, records, rules), redirect.target, (query) => host.ask(query));
    return andThen(found, (end) => (end === DROP ? DROP : { ...end, rcode: rewriteRcode(end.rcode, rules) }));
  }
}

// Another server's message stays byte for byte where nothing in it changes.
function rewritten(reply: Reply, records: Records, rules: readonly AnswerRule[]): Reply {
  const changed = rewriteAnswer(records, rules);
  return changed === records ? reply : changed;
}

// A question that no rule applies to stays what it is, so rules that come later see it as it was asked.
function touchesOf(rules: readonly Rule[]): true | Touches | undefined {
  const all: Touches[] = [];
  for (const { touches } of rules) {
    if (touches === undefined) return undefined;
    all.push(touches);
  }
  const matches = all.flatMap((touches) => touches.matches ?? []);
  const missing = all.flatMap(({ missingBelow }) => missingBelow ?? []);
  return {
    names: all.flatMap(({ names = [] }) => names),
    below: all.flatMap(({ below = [] }) => below),
    types: all.flatMap(({ types = [] }) => types),
    ...(matches.length > 0 && { matches: (name) => matches.some((isFound) => isFound(name)) }),
    ...(missing.length > 0 && { missingBelow: (encloser) => missing.some((isOpen) => isOpen(encloser)) }),
  };
}
