// What the client counts, under the names that CoreDNS gives client-go's figures; called by client.ts.

import type { Metrics } from "../../metrics.ts";

export interface RestMetrics {
  /** A request got an answer of this status, or `<error>` for none. */
  counted(code: string): void;
  /** A list was read to its end, or given up. */
  answered(ms: number): void;
  /** A request waited so long for its turn. */
  limited(ms: number): void;
}

// prometheus.DefBuckets, seconds.
const BUCKETS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** `host` is HOST:PORT. As with client-go, verb and method are the HTTP method, which is always GET here. */
export function restMetrics(metrics: Metrics, host: string): RestMetrics {
  const requests = metrics.counter(
    "coredns_kubernetes_rest_client_requests_total",
    "Number of HTTP requests, partitioned by status code, method, and host.",
  );
  const duration = metrics.histogram(
    "coredns_kubernetes_rest_client_request_duration_seconds",
    "Request latency in seconds. Broken down by verb and host.",
    BUCKETS,
  );
  const limiter = metrics.histogram(
    "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
    "Client side rate limiter latency in seconds. Broken down by verb and host.",
    BUCKETS,
  );
  const labels = { verb: "GET", host };
  return {
    counted: (code) => requests.add({ code, method: "GET", host }),
    answered: (ms) => duration.observe(ms / 1000, labels),
    limited: (ms) => limiter.observe(ms / 1000, labels),
  };
}
