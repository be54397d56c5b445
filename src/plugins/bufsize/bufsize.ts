// bufsize — bounds UDP replies and the size that our OPT record offers, so that answers are not fragmented.

import { integer } from "../../config/arguments.ts";
import { directive, optional, type Options } from "../../config/directive.ts";
import { DEFAULT_UDP_BYTES, MIN_UDP_BYTES } from "../../dns/message.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

/** Beyond this no UDP answer is useful: it would travel in fragments. */
const MAX_UDP_BYTES = 4096;

const plugin: Plugin<Options<number, Record<never, never>>> = definePlugin({
  name: "bufsize",
  syntax: directive({ args: optional(integer({ usage: "SIZE", min: MIN_UDP_BYTES, max: MAX_UDP_BYTES }), DEFAULT_UDP_BYTES) }),
  setup: ({ args: udpSizeBytes }) => ({ udpSizeBytes }),
});
export default plugin;
