// What `forward` counts, under CoreDNS's names; with `legacy_metrics` of `prometheus` also under those that CoreDNS has
// removed and old dashboards still ask for. One series for each upstream, found without making a string for a question.

import { rcodeName } from "../../dns/text.ts";
import { histogramSamples, observe, TIME_BUCKETS, type Labels, type Metrics, type Sample } from "../../metrics.ts";
import type { Protocol, Reuse } from "./exchange.ts";

export interface ForwardMetrics {
  /** Counters of the upstream; the same for the same `to`. */
  upstream(to: string): UpstreamMetrics;
  allUnhealthy(): void;
  rejected(): void;
  /** A client's question was being asked already. */
  joined(): void;
  hedged(): void;
}

export interface UpstreamMetrics extends Reuse {
  answered(rcode: number, durationMs: number): void;
  probeFailed(): void;
}

const PROXY_NAME = "forward";

/** @param legacy also under the removed names. */
export function createForwardMetrics(metrics: Metrics, { legacy }: { readonly legacy: boolean }): ForwardMetrics {
  const upstreams = new Map<string, Series>();
  const broken = metrics.counter(
    "coredns_forward_healthcheck_broken_total",
    "Counter of the number of complete failures of the healthchecks.",
  );
  const rejects = metrics.counter(
    "coredns_forward_max_concurrent_rejects_total",
    "Counter of the number of queries rejected because the concurrent queries were at maximum.",
  );
  const joined = metrics.counter("ndots_forward_joined_total", "Questions that were being asked already, for another client.");
  const hedges = metrics.counter(
    "ndots_forward_hedges_total",
    "Questions that were sent to a second upstream because the first took long.",
  );
  for (const counter of [broken, rejects, joined, hedges]) counter.add(undefined, 0);
  const all = function* (samples: (series: Series) => Iterable<Sample>): Generator<Sample> {
    for (const series of upstreams.values()) yield* samples(series);
  };
  const register = (type: "counter" | "histogram", name: string, help: string, samples: (series: Series) => Iterable<Sample>): void =>
    metrics.register({ name, help, type, collect: () => all(samples) });

  register("histogram", "coredns_proxy_request_duration_seconds", "Histogram of the time each request took.", (series) =>
    series.durations((rcode) => ({ proxy_name: PROXY_NAME, to: series.to, rcode })),
  );
  register("counter", "coredns_proxy_healthcheck_failures_total", "Counter of the number of failed healthchecks.", (series) => [
    { labels: { proxy_name: PROXY_NAME, to: series.to }, value: series.probeFailures },
  ]);
  register("counter", "coredns_proxy_conn_cache_hits_total", "Counter of connection cache hits per upstream and protocol.", (series) =>
    byProtocol(series.hits, (proto) => ({ proxy_name: PROXY_NAME, to: series.to, proto })),
  );
  register("counter", "coredns_proxy_conn_cache_misses_total", "Counter of connection cache misses per upstream and protocol.", (series) =>
    byProtocol(series.misses, (proto) => ({ proxy_name: PROXY_NAME, to: series.to, proto })),
  );
  if (legacy) {
    register("counter", "coredns_forward_requests_total", "Counter of requests made per upstream.", (series) => [
      { labels: { to: series.to }, value: series.requests() },
    ]);
    register("counter", "coredns_forward_responses_total", "Counter of responses received per upstream.", (series) =>
      series.responses((rcode) => ({ to: series.to, rcode })),
    );
    register("histogram", "coredns_forward_request_duration_seconds", "Histogram of the time each request took.", (series) =>
      series.durations((rcode) => ({ to: series.to, rcode })),
    );
    register("counter", "coredns_forward_healthcheck_failures_total", "Counter of the number of failed healthchecks.", (series) => [
      { labels: { to: series.to }, value: series.probeFailures },
    ]);
    register("counter", "coredns_forward_conn_cache_hits_total", "Counter of connection cache hits per upstream and protocol.", (series) =>
      byProtocol(series.hits, (proto) => ({ to: series.to, proto })),
    );
    register(
      "counter",
      "coredns_forward_conn_cache_misses_total",
      "Counter of connection cache misses per upstream and protocol.",
      (series) => byProtocol(series.misses, (proto) => ({ to: series.to, proto })),
    );
  }
  return {
    upstream(to) {
      let series = upstreams.get(to);
      if (series === undefined) upstreams.set(to, (series = new Series(to)));
      return series;
    },
    allUnhealthy: () => broken.add(),
    rejected: () => rejects.add(),
    joined: () => joined.add(),
    hedged: () => hedges.add(),
  };
}

type Protocols = Record<Protocol, number>;

class Series implements UpstreamMetrics {
  readonly to: string;
  /** By rcode: a bucket each, one above the last, the sum. */
  readonly #cells = new Map<number, Float64Array>();
  probeFailures = 0;
  readonly hits: Protocols = { udp: 0, tcp: 0, "tcp-tls": 0, https: 0 };
  readonly misses: Protocols = { udp: 0, tcp: 0, "tcp-tls": 0, https: 0 };

  constructor(to: string) {
    this.to = to;
  }

  answered(rcode: number, durationMs: number): void {
    let cells = this.#cells.get(rcode);
    if (cells === undefined) this.#cells.set(rcode, (cells = new Float64Array(TIME_BUCKETS.length + 2)));
    observe(cells, 0, TIME_BUCKETS, durationMs / 1000);
  }

  probeFailed(): void {
    this.probeFailures++;
  }

  hit(protocol: Protocol): void {
    this.hits[protocol]++;
  }

  miss(protocol: Protocol): void {
    this.misses[protocol]++;
  }

  *durations(labels: (rcode: string) => Labels): Generator<Sample> {
    for (const [rcode, cells] of this.#cells) yield* histogramSamples(cells, 0, TIME_BUCKETS, labels(rcodeName(rcode)));
  }

  *responses(labels: (rcode: string) => Labels): Generator<Sample> {
    for (const [rcode, cells] of this.#cells) yield { labels: labels(rcodeName(rcode)), value: countOf(cells) };
  }

  requests(): number {
    let sum = 0;
    for (const cells of this.#cells.values()) sum += countOf(cells);
    return sum;
  }
}

function countOf(cells: Float64Array): number {
  return cells.subarray(0, TIME_BUCKETS.length + 1).reduce((sum, count) => sum + count, 0);
}

function* byProtocol(counts: Protocols, labels: (protocol: string) => Labels): Generator<Sample> {
  for (const [protocol, value] of Object.entries(counts)) if (value > 0) yield { labels: labels(protocol), value };
}
