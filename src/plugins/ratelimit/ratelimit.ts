// ratelimit — bounds how many queries a client may have that cost work: upstreams, plugins. What the table answers costs
// less than counting it would, and is not limited: hence transparent.

import { cidr, integer, oneOf } from "../../config/arguments.ts";
import { args, directive, none, once, one, rest, type Options, type Property } from "../../config/directive.ts";
import { parseCidr } from "../../config/zones.ts";
import { DROP, EdeCodes, emptyReply, Rcodes, type Records } from "../../dns/message.ts";
import { createNetworks } from "../../dns/networks.ts";
import { systemClock, type Clock } from "../../clock.ts";
import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { createBuckets } from "./buckets.ts";

const NAME = "ratelimit";
const MOST_QUERIES = 1_000_000;
/** Some 150 bytes each. */
const DEFAULT_CLIENTS = 10_000;
const MOST_CLIENTS = 1_000_000;
/** A host, and what one has as a matter of course (RFC 6177). */
const DEFAULT_BITS: readonly [number, number] = [32, 64];
/** Between two lines in the log. */
const LOG_MS = 60_000;

const queries = integer({ usage: "QUERIES", min: 1, max: MOST_QUERIES });
const bits = args(integer({ usage: "IPV4_BITS", min: 8, max: 32 }), integer({ usage: "IPV6_BITS", min: 16, max: 128 }));

type RatelimitOptions = Options<
  number,
  {
    readonly burst: Property<number | undefined>;
    readonly prefix: Property<readonly [number, number] | undefined>;
    readonly except: Property<readonly string[] | undefined>;
    readonly action: Property<"refuse" | "drop" | undefined>;
    readonly clients: Property<number | undefined>;
    readonly dry_run: Property<true | undefined>;
  }
>;

const plugin: Plugin<RatelimitOptions> = definePlugin({
  name: NAME,
  syntax: directive({
    args: one(queries),
    options: {
      burst: once(one(queries)),
      prefix: once(bits),
      except: once(rest(cidr("NETWORK"), { min: 1 })),
      action: once(one(oneOf("refuse", "drop"))),
      clients: once(one(integer({ usage: "COUNT", min: 1, max: MOST_CLIENTS }))),
      dry_run: once(none()),
    },
  }),
  setup: (options, host) => setUpRatelimit(options, host),
});
export default plugin;

/** The plugin's setup, with a clock that tests can move. */
export function setUpRatelimit(options: RatelimitOptions, host: Host, clock: Clock = systemClock): Instance {
  const { args: rate, burst = rate, action = "refuse", clients = DEFAULT_CLIENTS, dry_run: isDryRun = false } = options;
  const [ipv4Bits, ipv6Bits] = options.prefix ?? DEFAULT_BITS;
  const buckets = createBuckets({ rate, burst, ipv4Bits, ipv6Bits, most: clients });
  const exempt = createNetworks((options.except ?? []).flatMap((network) => parseCidr(network) ?? []));
  const exceeded = host.metrics.counter("ndots_ratelimit_exceeded_total", "Counter of queries beyond a client's limit, by what was done.");
  host.metrics.register({
    name: "ndots_ratelimit_clients",
    help: "The number of clients whose queries are counted.",
    type: "gauge",
    collect: () => [{ labels: { ...host.labels() }, value: buckets.size }],
  });
  const done = isDryRun ? "none" : action;
  let untold = 0;
  let toldMs = Number.NEGATIVE_INFINITY;

  return {
    transparent: true,
    handle(query, next) {
      const { address } = query.client;
      if (exempt.has(address) || buckets.take(address, clock.monotonic())) return next(query);
      exceeded.add({ ...host.labels(), action: done });
      tell();
      if (isDryRun) return next(query);
      return action === "drop" ? DROP : refused;
    },
  };

  // Who it was is not for the log; how many, once a minute.
  function tell(): void {
    untold++;
    const nowMs = clock.monotonic();
    if (nowMs - toldMs < LOG_MS) return;
    const what = isDryRun ? "answered all the same (dry_run)" : action === "drop" ? "dropped" : "refused";
    host.log.warning(`Limit of ${rate} queries a second exceeded: ${untold} ${untold === 1 ? "query" : "queries"} ${what}`);
    untold = 0;
    toldMs = nowMs;
  }
}

const refused: Records = {
  ...emptyReply(Rcodes.REFUSED, NAME),
  ede: { code: EdeCodes.OTHER, text: "too many queries" },
  perClient: true,
};
