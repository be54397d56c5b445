// debug — lets the debug lines of every plugin through to the log.

import { directive, type Options } from "../../config/directive.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

const plugin: Plugin<Options<true, Record<never, never>>> = definePlugin({
  name: "debug",
  syntax: directive(),
  setup: (_options, host) => {
    host.log.enableDebug();
    return {};
  },
});
export default plugin;
