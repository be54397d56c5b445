// https — bounds of DNS over HTTPS. What is served is said by the keys of the server block, with which certificate by `tls`.

import { integer } from "../../config/arguments.ts";
import { directive, once, one, type Options, type Property } from "../../config/directive.ts";
import { findingAt } from "../../errors.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

type HttpsOptions = Options<true, { readonly max_connections: Property<number | undefined> }>;

const plugin: Plugin<HttpsOptions> = definePlugin({
  name: "https",
  syntax: directive({ options: { max_connections: once(one(integer({ usage: "POSITIVE_INTEGER" }))) } }),
  setup({ max_connections: most }, { schemes, report }, at) {
    if (!schemes.has("https")) {
      report(findingAt(at, "warning", "https: bounds nothing: no key of this server block begins with https://"));
    }
    return most === undefined ? {} : { httpsConnections: most };
  },
});
export default plugin;
