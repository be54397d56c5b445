// k8s_external — shows the Services of `kubernetes` that can be reached from outside, by external IPs or a load balancer, in a zone of
// their own: SERVICE.NAMESPACE.ZONE.

import { integer } from "../../config/arguments.ts";
import { directive, none, once, one, zones, zonesOrAll, type Options, type Property } from "../../config/directive.ts";
import { MAX_LABEL_BYTES, formatName, isWithin, type Name } from "../../dns/name.ts";
import { isReverse } from "../../dns/reverse.ts";
import { findingAt, refusalAt, type Position } from "../../errors.ts";
import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import type { ClusterView } from "../../registry/served-cluster.ts";
import { zoneHandler } from "../../zones/zone-handler.ts";
import { createExternals, type Externals } from "./externals.ts";
import { externalReverseZone, externalZone } from "./zone.ts";

const NAME = "k8s_external";
/** CoreDNS's. */
const DEFAULT_TTL_SECONDS = 5;
const MAX_TTL_SECONDS = 3600;
const DEFAULT_APEX_LABEL = "dns";

type ExternalOptions = Options<
  readonly Name[],
  {
    readonly apex: Property<string | undefined>;
    readonly ttl: Property<number | undefined>;
    readonly headless: Property<true | undefined>;
    readonly fallthrough: Property<readonly Name[] | undefined>;
  }
>;

const plugin: Plugin<ExternalOptions> = definePlugin({
  name: NAME,
  syntax: directive({
    args: zones(),
    options: {
      apex: once(one({ usage: "APEX", parse: parseLabel })),
      ttl: once(one(integer({ usage: "TTL", min: 0, max: MAX_TTL_SECONDS }))),
      headless: once(none()),
      fallthrough: once(zonesOrAll()),
    },
  }),
  setup,
});
export default plugin;

function parseLabel(text: string): string | { readonly problem: string } {
  const isLabel = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/i.test(text) && text.length <= MAX_LABEL_BYTES;
  return isLabel ? text.toLowerCase() : { problem: `must be one label, found "${text}"` };
}

function setup(options: ExternalOptions, host: Host, at: Position): Instance {
  const { args, apex: apexLabel = DEFAULT_APEX_LABEL, ttl = DEFAULT_TTL_SECONDS, headless } = options;
  const served = args.length > 0 ? args : host.zones;
  const forward = served.find((zone) => !isReverse(zone));
  if (forward === undefined) {
    const message = `at least one zone must not be a reverse zone; given: ${served.map(formatName).join(", ")}`;
    host.report(findingAt(at, "error", `${NAME}: ${message}`));
    return {};
  }
  const { fallthrough = [] } = options;
  // `kubernetes` is set up after this plugin: its cluster is asked for when it is first needed.
  let externals: Externals | undefined;
  const cluster = (): ClusterView | undefined => host.instance("kubernetes")?.cluster;
  const common = {
    cluster,
    externals: () => {
      const view = cluster();
      return (externals ??= view && createExternals(view.served, headless === true ? "served" : "hidden"));
    },
    apexLabel,
    ttl,
  };
  const own = served.map((apex) => {
    const complete = !fallthrough.some((zone) => isWithin(apex, zone) || isWithin(zone, apex));
    return isReverse(apex) ? externalReverseZone({ ...common, apex, complete, forward }) : externalZone({ ...common, apex, complete });
  });
  return {
    zones: own,
    transparent: true,
    handle: zoneHandler({
      name: NAME,
      zones: own,
      fallsThrough: (name) => fallthrough.some((zone) => isWithin(name, zone)),
      ask: (query) => host.ask(query),
    }),
    start() {
      if (cluster() !== undefined) return;
      throw refusalAt(at, `${NAME}: kubernetes plugin not loaded: it must be in the same server block`);
    },
    stop() {
      externals?.close();
    },
  };
}
