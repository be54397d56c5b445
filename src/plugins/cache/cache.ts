// cache — remembers what other servers have answered, and bounds the TTLs of what the server answers by itself. Plain
// questions are told again by the answer table (Memory); the handler here has the rest: DNSSEC, old answers, refreshes.

import { systemClock, type Clock } from "../../clock.ts";
import { formatName, isWithin, ROOT, type Name } from "../../dns/name.ts";
import { definePlugin, type Host, type Instance, type Plugin, type TtlBounds, type TtlRange } from "../../plugin.ts";
import { createCounters, registerCounters, type Told } from "./counters.ts";
import { createHandler, type Settings } from "./handler.ts";
import { syntax, type CacheOptions } from "./options.ts";
import { createStore } from "./store.ts";

/** CoreDNS's defaults, in seconds. */
const MAX_TTL = 3600;
const MAX_DENIAL_TTL = 1800;
const MIN_TTL = 5;
const FAILURE_TTL = 5;
/** CoreDNS's sizes: a multiple of its 256 shards, with at least 4 entries each. */
const DEFAULT_CAPACITY = 9984;
const SHARDS = 256;
const MIN_CAPACITY = 1024;
const NOTHING: Told = { success: 0, denial: 0 };

const plugin: Plugin<CacheOptions> = definePlugin({
  name: "cache",
  syntax,
  setup: (options, host) => createCache(options, host, systemClock),
});
export default plugin;

/** The plugin in one server block; tests bring their clock. */
export function createCache(options: CacheOptions, host: Host, clock: Clock): Instance {
  const settings = settingsOf(options, host.zones);
  const { zones, lifetimes, stale, preferPositive } = settings;
  const counters = createCounters();
  const store = createStore({
    successCapacity: capacityOf(options.success?.capacity),
    denialCapacity: capacityOf(options.denial?.capacity),
    staleMs: stale?.upToMs ?? 0,
    preferPositive,
    onEvicted: (type) => void (type === "success" ? counters.successEvictions++ : counters.denialEvictions++),
  });
  let tableHits = (): Told => NOTHING;
  registerCounters(host, {
    counters,
    zones: zones.map(formatName).join(","),
    entries: () => store.counts,
    tableHits: () => tableHits(),
  });
  const isCovered = (name: Name): boolean => zones.some((zone) => isWithin(name, zone));
  return {
    handle: createHandler({ settings, store, counters, clock, log: host.log, localZones: () => host.localZones() }),
    // A zone has one SOA in the table, and so one bound: where only a part of it is covered, the chain answers.
    get transparent() {
      const denying = host.localZones().filter((local) => local.complete || local.soa() !== undefined);
      const below = zones.filter((zone) => denying.some(({ apex }) => zone !== apex && isWithin(zone, apex)));
      return below.length === 0 ? true : { below };
    },
    ttlBounds: (name): TtlBounds | undefined => (isCovered(name) ? lifetimes : undefined),
    remember(memory) {
      store.attach(memory);
      tableHits = () => memory.hits();
    },
  };
}

function settingsOf(options: CacheOptions, blockZones: readonly Name[]): Settings {
  const { args, success, denial, prefetch, serve_stale: stale, servfail, disable } = options;
  const disabled = (kind: "success" | "denial"): readonly Name[] => {
    const last = disable.findLast((line) => line.kind === kind);
    return last?.zones.length === 0 ? [ROOT] : (last?.zones ?? []);
  };
  const range = (min: number = MIN_TTL, max: number): TtlRange => ({ min: Math.min(min, max), max });
  return {
    zones: args.zones.length > 0 ? args.zones : blockZones,
    lifetimes: {
      success: range(success?.minTtl, success?.ttl ?? args.ttl ?? MAX_TTL),
      denial: range(denial?.minTtl, denial?.ttl ?? args.ttl ?? MAX_DENIAL_TTL),
      failureSeconds: servfail === undefined ? FAILURE_TTL : servfail / 1000,
    },
    disabled: { success: disabled("success"), denial: disabled("denial") },
    prefetch: prefetch?.amount === 0 ? undefined : prefetch,
    stale: stale?.upToMs === 0 ? undefined : stale,
    preferPositive: options.serve_stale_policy === "prefer_positive",
    keepTtl: options.keepttl === true,
  };
}

function capacityOf(entries: number = DEFAULT_CAPACITY): number {
  return Math.max(MIN_CAPACITY, Math.floor(entries / SHARDS) * SHARDS);
}
