// nsid — says which server has answered, to those who ask with the EDNS option for it (RFC 5001). Questions with that option
// never come from the answer table (front.ts), so the plugin costs the others nothing.

import { hostname } from "node:os";

import { andThen } from "../../chain.ts";
import { word } from "../../config/arguments.ts";
import { directive, rest, type Options } from "../../config/directive.ts";
import { OPTION_HEAD_BYTES, OPTION_NSID, putUint16, uint16, type Query } from "../../dns/message.ts";
import { DROP, definePlugin, type Answer, type Instance, type Plugin } from "../../plugin.ts";

/** So that there is room for an answer beside it in the smallest reply (RFC 1035 §4.2.1). */
const MAX_DATA_BYTES = 128;

const plugin: Plugin<Options<readonly string[], Record<never, never>>> = definePlugin({
  name: "nsid",
  syntax: directive({
    args: { ...rest(word("DATA")), usage: "[DATA]" },
    check({ args }, report, at) {
      const bytes = Buffer.byteLength(args.join(" "));
      if (bytes > MAX_DATA_BYTES) report.error(at, `DATA has at most ${MAX_DATA_BYTES} octets, found ${bytes}`);
    },
  }),
  setup: ({ args }) => setup(args.length === 0 ? hostname() : args.join(" ")),
});
export default plugin;

function setup(data: string): Instance {
  const option = Buffer.concat([Buffer.alloc(OPTION_HEAD_BYTES), Buffer.from(data)]);
  putUint16(option, 0, OPTION_NSID);
  putUint16(option, 2, option.length - OPTION_HEAD_BYTES);
  const tell = (answer: Answer): Answer =>
    answer === DROP ? DROP : { ...answer, options: answer.options === undefined ? option : Buffer.concat([option, answer.options]) };
  return {
    transparent: true,
    handle: (query, next) => (asksNsid(query) ? andThen(next(query), tell) : next(query)),
  };
}

// Lengths were checked when the packet was read.
function asksNsid({ edns }: Query): boolean {
  const options = edns?.options ?? new Uint8Array(0);
  for (let at = 0; at < options.length; at += OPTION_HEAD_BYTES + uint16(options, at + 2)) {
    if (uint16(options, at) === OPTION_NSID) return true;
  }
  return false;
}
