// loop — finds out whether what is forwarded comes back: it asks its own server for a name that nobody can guess and
// counts how often that name comes in. It never ends the process unless asked: what loops is answered with SERVFAIL.

import { setTimeout as delay } from "node:timers/promises";

import { directive, none, once, type Options, type Property } from "../../config/directive.ts";
import { systemClock } from "../../clock.ts";
import { Rcodes } from "../../dns/message.ts";
import { formatName, ROOT } from "../../dns/name.ts";
import { findingAt } from "../../errors.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";
import { createGuard } from "./guard.ts";
import { askOurselves, waysTo } from "./probe.ts";
import { watchForLoops } from "./watch.ts";

type LoopOptions = Options<true, { readonly fatal: Property<true | undefined> }>;

/** CoreDNS's exit code of a loop. */
const EXIT_CODE = 1;
/** The log writes once a turn of the event loop. */
const FLUSH_MS = 10;

const plugin: Plugin<LoopOptions> = definePlugin({
  name: "loop",
  syntax: directive({ options: { fatal: once(none()) } }),
  setup({ fatal }, host, at) {
    if (fatal && host.embedded) {
      const message = "loop: fatal: ignored: the process belongs to the program that has started the server";
      host.report(findingAt(at, "warning", message));
    }
    const zone = host.zones[0] ?? ROOT;
    const guard = createGuard();
    host.metrics.register({
      name: "ndots_loop_detected",
      help: "Whether forwarded queries of the server block come back: 1 or 0.",
      type: "gauge",
      collect: () => [{ labels: { ...host.labels(), zone: formatName(zone) }, value: guard.isLooping ? 1 : 0 }],
    });
    const ended = new AbortController();
    let hasFailed = false;
    const takeFailure = (): boolean => {
      const failed = hasFailed;
      hasFailed = false;
      return failed;
    };
    return {
      // What the table has was answered before: it is not forwarded. The names of probes are never in it.
      transparent: true,
      handle: guard.handle,
      observeError: (_query, { rcode }) => void (hasFailed ||= rcode === Rcodes.SERVFAIL),
      start() {
        const isFatal = fatal === true && !host.embedded;
        const { log } = host;
        // Never rejects, and ends with the signal.
        void watchForLoops({
          guard,
          zone,
          log,
          targets: () => host.dnsSockets().flatMap(waysTo),
          hasFailed: takeFailure,
          ask: askOurselves,
          clock: systemClock,
          signal: ended.signal,
          ...(isFatal && { exit }),
        });
      },
      stop: () => ended.abort(),
    };
  },
});
export default plugin;

async function exit(): Promise<never> {
  await delay(FLUSH_MS);
  process.exit(EXIT_CODE);
}
