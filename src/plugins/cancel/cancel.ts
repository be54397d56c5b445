// cancel — answers SERVFAIL where the other plugins take longer than a client waits. What comes later is ignored. The
// table is never late, so it may skip this.

import { formatGoDuration, goDuration } from "../../config/arguments.ts";
import { directive, optional, type Options } from "../../config/directive.ts";
import { EdeCodes, emptyReply, Rcodes, type Records } from "../../dns/message.ts";
import { definePlugin, type Answer, type Plugin } from "../../plugin.ts";

const NAME = "cancel";
/** Clients give up after 5 s: CoreDNS's choice. */
const DEFAULT_TIMEOUT_MS = 5_001;
/** What a timer can hold; Node fires one of more at once. */
const LONGEST_MS = 2 ** 31 - 1;

const plugin: Plugin<Options<number, Record<never, never>>> = definePlugin({
  name: NAME,
  syntax: directive({ args: optional(goDuration("TIMEOUT", { minMs: 1, maxMs: LONGEST_MS }), DEFAULT_TIMEOUT_MS) }),
  setup({ args: timeoutMs }) {
    const tooLate: Records = {
      ...emptyReply(Rcodes.SERVFAIL, NAME),
      ede: { code: EdeCodes.OTHER, text: "no answer in time" },
      error: `plugin/${NAME}: no answer within ${formatGoDuration(timeoutMs)}`,
    };
    return {
      transparent: true,
      handle(query, next) {
        const answer = next(query);
        return answer instanceof Promise ? inTime(answer, timeoutMs, tooLate) : answer;
      },
    };
  },
});
export default plugin;

// The timer is the query's, and ends with it: a stop waits for both.
function inTime(answer: Promise<Answer>, timeoutMs: number, tooLate: Answer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(tooLate), timeoutMs).unref();
    void answer.then(resolve, reject).finally(() => clearTimeout(timer)); // never rejects
  });
}
