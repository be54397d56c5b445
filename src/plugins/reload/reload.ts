// reload — puts a changed Corefile in the place of the one that runs. What that means is the server's business; here is
// when: every 30 s, a little earlier or later in each process, so that a cluster's servers don't all do it at once.

import { randomInt } from "node:crypto";
import { systemClock } from "../../clock.ts";
import { goDuration } from "../../config/arguments.ts";
import { directive, none, once, readArgument, type Options, type Property, type Shape } from "../../config/directive.ts";
import type { Metrics } from "../../metrics.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";
import { pollConfiguration, withJitter } from "./poll.ts";

interface Times {
  readonly intervalMs: number;
  readonly jitterMs: number;
}

type ReloadOptions = Options<Times, { readonly import_strict: Property<true | undefined> }>;

const DEFAULTS: Times = { intervalMs: 30_000, jitterMs: 15_000 };
const interval = goDuration("INTERVAL", { minMs: 2_000 });
const jitter = goDuration("JITTER");
const MIN_JITTER_MS = 1_000;

const times: Shape<Times> = {
  usage: "[INTERVAL] [JITTER]",
  read(tokens, at, report) {
    const [first, second, third] = tokens;
    const intervalMs = first === undefined ? DEFAULTS.intervalMs : readArgument(interval, first, report);
    const jitterMs = second === undefined ? DEFAULTS.jitterMs : readArgument(jitter, second, report);
    if (intervalMs === undefined || jitterMs === undefined) return undefined;
    if (third !== undefined) {
      report.error(third, `expected ${times.usage}, found "${tokens.map(({ text }) => text).join(" ")}"`);
    } else if (jitterMs > 0 && jitterMs < MIN_JITTER_MS) {
      report.error(second ?? at, `JITTER must be 0s or at least 1s, found "${second?.text}"`);
    } else {
      return { intervalMs, jitterMs };
    }
    return undefined;
  },
};

// Several blocks may say `reload`; they share their metrics and are one configuration, which is looked at once.
const polled = new WeakSet<Metrics>();

const plugin: Plugin<ReloadOptions> = definePlugin({
  name: "reload",
  // `import_strict` is read by whoever reads the files: config/fragments.ts.
  syntax: directive({ args: times, options: { import_strict: once(none()) } }),
  setup({ args }, { configuration, log, metrics }) {
    const failed = metrics.counter("coredns_reload_failed_total", "Counter of the number of failed reload attempts.");
    const info = metrics.gauge(
      "coredns_reload_version_info",
      "A metric with a constant '1' value labeled by hash, and value which type of hash generated.",
    );
    failed.add({}, 0);
    const ended = new AbortController();
    return {
      start() {
        if (polled.has(metrics)) return;
        polled.add(metrics);
        log.info(`Running configuration SHA512 = ${configuration.digest}`);
        info.set(1, { hash: "sha512", value: configuration.digest });
        const intervalMs = withJitter(args, randomInt(1_000) / 1_000);
        // Not awaited by stop(), which a reload that it has begun calls.
        void pollConfiguration({
          configuration,
          intervalMs,
          clock: systemClock,
          signal: ended.signal,
          onFailed(error) {
            failed.add();
            log.error(`Corefile changed but reload failed: ${error.message.replaceAll("\n", "; ")}`);
          },
        });
      },
      stop: () => ended.abort(),
    };
  },
});
export default plugin;
