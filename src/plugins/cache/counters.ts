// What `cache` counts, under CoreDNS's names; what the answer table told by itself is added when it is asked for.

import type { Host } from "../../plugin.ts";
import type { Labels, Sample } from "../../metrics.ts";

/** Plain numbers: they are written in the query path, and read at a scrape. */
export interface Counters {
  requests: number;
  successHits: number;
  denialHits: number;
  misses: number;
  prefetches: number;
  drops: number;
  servedStale: number;
  successEvictions: number;
  denialEvictions: number;
}

export interface Told {
  readonly success: number;
  readonly denial: number;
}

export function createCounters(): Counters {
  return {
    requests: 0,
    successHits: 0,
    denialHits: 0,
    misses: 0,
    prefetches: 0,
    drops: 0,
    servedStale: 0,
    successEvictions: 0,
    denialEvictions: 0,
  };
}

export interface Counted {
  readonly counters: Counters;
  /** The label `zones`. */
  readonly zones: string;
  /** Entries. */
  entries(): Told;
  /** Hits of the answer table. */
  tableHits(): Told;
}

/** Registers the metrics. Help texts are CoreDNS's meanings in our words. */
export function registerCounters(host: Host, { counters, zones, entries, tableHits }: Counted): void {
  const labels = (type?: "success" | "denial"): Labels => {
    const { server, view } = host.labels();
    return type === undefined ? { server, zones, view } : { server, type, zones, view };
  };
  const byType = ({ success, denial }: Told): Sample[] => [
    { labels: labels("success"), value: success },
    { labels: labels("denial"), value: denial },
  ];
  const plain = (value: number): Sample[] => [{ labels: labels(), value }];
  const toldAlready = (): number => tableHits().success + tableHits().denial;
  const counter = (name: string, help: string, collect: () => Iterable<Sample>): void =>
    host.metrics.register({ name, help, type: "counter", collect });

  host.metrics.register({
    name: "coredns_cache_entries",
    help: "The number of elements in the cache.",
    type: "gauge",
    join: (one, other) => one + other,
    collect: () => byType(entries()),
  });
  counter("coredns_cache_hits_total", "The count of cache hits.", () => {
    const { success, denial } = tableHits();
    return byType({ success: counters.successHits + success, denial: counters.denialHits + denial });
  });
  counter("coredns_cache_evictions_total", "The count of cache evictions.", () =>
    byType({ success: counters.successEvictions, denial: counters.denialEvictions }),
  );
  counter("coredns_cache_requests_total", "The count of cache requests.", () => plain(counters.requests + toldAlready()));
  counter("coredns_cache_misses_total", "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.", () =>
    plain(counters.misses),
  );
  counter("coredns_cache_prefetch_total", "The number of times the cache has prefetched a cached item.", () => plain(counters.prefetches));
  counter("coredns_cache_drops_total", "The number responses that are not cached, because the reply is malformed.", () =>
    plain(counters.drops),
  );
  counter("coredns_cache_served_stale_total", "The number of requests served from stale cache entries.", () => plain(counters.servedStale));
}
