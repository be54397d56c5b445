// multisocket — how many threads listen for UDP queries, each on a socket of its own for every address.

import { integer } from "../../config/arguments.ts";
import { directive, optional, type Options } from "../../config/directive.ts";
import { findingAt } from "../../errors.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";
import { usableCpus } from "./cpus.ts";

/** CoreDNS's bound. */
const MOST_ASKED = 1024;
/** One thread answers over 100,000 queries a second: more than these are never busy, and each takes some 10 MiB. */
const MOST_THREADS = 64;
/** Without N: beyond it the kernel's part of the work is what limits. */
const MOST_BY_ITSELF = 4;

const plugin: Plugin<Options<number | undefined, Record<never, never>>> = definePlugin({
  name: "multisocket",
  syntax: directive({ args: optional(integer({ usage: "N", min: 1, max: MOST_ASKED }), undefined) }),
  setup({ args: asked = Math.min(usableCpus(), MOST_BY_ITSELF) }, host, at) {
    if (asked > MOST_THREADS) {
      const message = `multisocket ${asked}: ${MOST_THREADS} threads are started, each takes some 10 MiB of memory; one for each CPU is enough`;
      host.report(findingAt(at, "warning", message));
    }
    return { threads: Math.min(asked, MOST_THREADS) };
  },
});
export default plugin;
