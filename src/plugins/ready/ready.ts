// ready — an HTTP endpoint that says whether every plugin can answer. Kubernetes sends no queries before it does.

import { address, oneOf, type HostPort } from "../../config/arguments.ts";
import { directive, once, one, optional, type Options, type Property } from "../../config/directive.ts";
import { definePlugin, type Host, type Plugin } from "../../plugin.ts";

type ReadyOptions = Options<
  HostPort,
  {
    readonly monitor: Property<"until-ready" | "continuously" | undefined>;
    readonly ready_in_lameduck: Property<"on" | "off" | undefined>;
  }
>;

const DEFAULT_ADDRESS: HostPort = { host: "", port: 8181 };

const plugin: Plugin<ReadyOptions> = definePlugin({
  name: "ready",
  syntax: directive({
    args: optional(address(), DEFAULT_ADDRESS),
    options: { monitor: once(one(oneOf("until-ready", "continuously"))), ready_in_lameduck: once(one(oneOf("on", "off"))) },
  }),
  setup({ args: { host: listenHost, port }, monitor = "until-ready", ready_in_lameduck: inLameduck = "on" }, host) {
    const notReady = monitor === "continuously" ? () => host.notReady() : latched(host);
    host.http({
      host: listenHost,
      port,
      path: "/ready",
      handle({ query }) {
        if (host.draining || (inLameduck === "off" && host.stopping)) return { status: 503, body: "Shutting down" };
        const waiting = notReady();
        if (waiting.length === 0) return { status: 200, body: "OK" };
        const names = [...new Set(waiting.map(({ plugin: name }) => name))].toSorted().join(",");
        const reasons = waiting.flatMap(({ plugin: name, reason }) => (reason === "" ? [] : `${name}: ${reason}`));
        host.log.info(`Plugins not ready: "${names}"${reasons.length === 0 ? "" : ` (${reasons.join("; ")})`}`);
        return { status: 503, body: query === "verbose" ? [names, ...reasons, ""].join("\n") : names };
      },
    });
    return {};
  },
});
export default plugin;

// A plugin that was ready once is not asked again.
function latched(host: Host): Host["notReady"] {
  let waiting: ReadonlySet<string> | undefined;
  return () => {
    const now = host.notReady().filter(({ plugin: name }) => waiting === undefined || waiting.has(name));
    waiting = new Set(now.map(({ plugin: name }) => name));
    return now;
  };
}
