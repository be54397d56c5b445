// A server whose main thread answers some 5,000 questions a second and no more, for shed.ts: a plugin that works 0.2 ms for
// each. A program of its own over dist. `overloaded.js PORT [shed]`.

import { startServer } from "../../dist/index.js";
import { definePlugin, directive, emptyReply } from "../../dist/plugin.js";

const [port, directives = ""] = process.argv.slice(2);
const WORK_MS = 0.2;
const slow = definePlugin({
  name: "slow",
  syntax: directive(),
  setup: () => ({
    handle() {
      for (const endMs = performance.now() + WORK_MS; performance.now() < endMs;);
      return emptyReply(0, "slow");
    },
  }),
});
const dns = await startServer({
  corefile: `. {\n  ${directives}\n  slow\n}\n`,
  port: Number(port),
  listeners: "auto",
  plugins: [slow],
});
process.on("message", () => process.exit(0));
process.on("disconnect", () => process.exit(0));
process.send?.({ port: dns.address.port });
