// shed — under overload the newest questions are answered and the oldest dropped. What may wait, and where, is the listeners'
// business (listeners/misses.ts); here is who asks for it, and the count.

import { directive, type Options } from "../../config/directive.ts";
import { refusalAt } from "../../errors.ts";
import type { Labels } from "../../metrics.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

const plugin: Plugin<Options<true, Record<never, never>>> = definePlugin({
  name: "shed",
  syntax: directive(),
  setup(_options, { metrics, schemes, labels }, at) {
    const secure = [...schemes].find((scheme) => scheme !== "dns");
    if (secure !== undefined) {
      const message = `shed: only server blocks of plain DNS can have it, this one has a key with ${secure}://; connections over TCP and TLS are bounded one by one`;
      throw refusalAt(at, message);
    }
    const dropped = metrics.counter("coredns_shed_dropped_total", "Counter of queries and responses dropped, per server, by reason.");
    let counted: Labels | undefined; // of thousands a second
    const count = (by: number): void => dropped.add((counted ??= { server: labels().server, reason: "query" }), by);
    return { start: () => count(0), onShed: () => count(1) };
  },
});
export default plugin;
