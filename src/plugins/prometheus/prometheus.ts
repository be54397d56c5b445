// prometheus — an HTTP endpoint with all metrics, under CoreDNS's names. Turns counting on for its server block.

import { address, type HostPort } from "../../config/arguments.ts";
import { directive, none, notYet, once, optional, type Options, type Property } from "../../config/directive.ts";
import { definePlugin, type Instance, type Plugin } from "../../plugin.ts";
import { exposition, loadPromClient } from "./exposition.ts";

type PrometheusOptions = Options<
  HostPort,
  {
    readonly runtime_metrics: Property<true | undefined>;
    readonly legacy_metrics: Property<true | undefined>;
    readonly tls: Property<undefined>;
  }
>;

/** What siblings look at. */
interface PrometheusInstance extends Instance {
  /** `forward` counts under the names that CoreDNS has removed, too. */
  readonly legacyMetrics: boolean;
}

const DEFAULT_ADDRESS: HostPort = { host: "localhost", port: 9153 };

const plugin: Plugin<PrometheusOptions> = definePlugin({
  name: "prometheus",
  syntax: directive({
    args: optional(address(), DEFAULT_ADDRESS),
    options: { runtime_metrics: once(none()), legacy_metrics: once(none()), tls: notYet("put a proxy with TLS in front of the endpoint") },
  }),
  setup({ args: { host: listenHost, port }, legacy_metrics: legacy }, host): PrometheusInstance {
    host.enableTraffic();
    host.http({
      host: listenHost,
      port,
      path: "/metrics",
      handle: async ({ accept }) => ({ status: 200, ...(await exposition(host.metrics, accept)) }),
    });
    return { legacyMetrics: legacy === true, start: async () => void (await loadPromClient()) };
  },
});
export default plugin;
