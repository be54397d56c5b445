// health — an HTTP endpoint that says whether the process lives. Kubernetes restarts it when it does not, so nothing
// that a restart can't mend may turn it: not the API server, not load, not a broken upstream.

import { address, goDuration, type HostPort } from "../../config/arguments.ts";
import { directive, once, one, optional, type Options, type Property } from "../../config/directive.ts";
import { findingAt } from "../../errors.ts";
import { definePlugin, type Host, type Plugin } from "../../plugin.ts";
import { createDnsProbe, type DnsProbe } from "./dns-probe.ts";
import { createPulse, STANDSTILL_MS } from "./pulse.ts";
import { createSelfProbe } from "./self-probe.ts";

type HealthOptions = Options<HostPort, { readonly lameduck: Property<number | undefined> }>;

const DEFAULT_ADDRESS: HostPort = { host: "", port: 8080 };
/** The heartbeat's and both self-probes'. */
const INTERVAL_MS = 1_000;
/** Kubernetes kills 30 s after it asked for the end (terminationGracePeriodSeconds), and draining takes up to 5 s. */
const LONGEST_LAMEDUCK_MS = 25_000;

const plugin: Plugin<HealthOptions> = definePlugin({
  name: "health",
  syntax: directive({ args: optional(address(), DEFAULT_ADDRESS), options: { lameduck: once(one(goDuration())) } }),
  setup({ args: { host: listenHost, port }, lameduck: lameduckMs }, host, at) {
    if (lameduckMs !== undefined && lameduckMs > LONGEST_LAMEDUCK_MS) {
      const message = `health: lameduck ${lameduckMs / 1000}s: Kubernetes kills the process after 30s unless the Pod's terminationGracePeriodSeconds is larger`;
      host.report(findingAt(at, "warning", message));
    }
    const pulse = createPulse({ intervalMs: INTERVAL_MS, now: () => performance.now() });
    const probe = createSelfProbe({ host: listenHost, port, metrics: host.metrics, log: host.log });
    host.http({
      host: listenHost,
      port,
      path: "/health",
      handle() {
        const still = pulse.standsStill() ? "event loop" : host.standingStill(STANDSTILL_MS);
        return still === undefined ? { status: 200, body: "OK" } : { status: 500, body: `${still} stands still` };
      },
    });
    let beating: NodeJS.Timeout | undefined;
    let stopProbing = (): void => {};
    let dns: DnsProbe | undefined;
    return {
      ...(lameduckMs !== undefined && { lameduckMs }),
      start() {
        pulse.beat();
        dns = dnsProbe(host);
        beating = setInterval(() => {
          pulse.beat();
          // The drain waits until no query comes any more.
          if (!host.stopping) void dns?.once();
        }, INTERVAL_MS).unref();
        if (port !== 0) stopProbing = probe.every(INTERVAL_MS);
      },
      stop() {
        clearInterval(beating);
        stopProbing();
        dns?.close();
      },
    };
  },
});
export default plugin;

// Only for a name that the answer table has, and not where `log` would write a line for each question.
function dnsProbe(host: Host): DnsProbe | undefined {
  const zone = host.instance("kubernetes")?.zones?.[0]?.apex;
  const [target] = host.dnsSockets();
  if (zone === undefined || target === undefined || host.instance("log") !== undefined) return undefined;
  return createDnsProbe({ target, zone, metrics: host.metrics });
}
