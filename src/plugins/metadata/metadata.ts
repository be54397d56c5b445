// metadata — lets plugins ask others what they know of a query: log's `{/kubernetes/namespace}`, template's `.Meta`. A label
// is worked out when it is asked for, by the plugin that its first part names; nothing is collected, and no query is slower.

import { directive, zones } from "../../config/directive.ts";
import { isWithin, type Name } from "../../dns/name.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

const plugin: Plugin<{ readonly args: readonly Name[] }> = definePlugin({
  name: "metadata",
  syntax: directive({ args: zones() }),
  setup({ args }, host) {
    const within = args.length > 0 ? args : host.zones;
    return {
      metadata(query, label) {
        const slash = label.indexOf("/");
        if (slash <= 0 || !within.some((zone) => isWithin(query.qname, zone))) return undefined;
        return host.instance(label.slice(0, slash))?.metadata?.(query, label);
      },
    };
  },
});
export default plugin;
