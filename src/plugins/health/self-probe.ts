// Asks our own /health once a second, so that a slow process shows in a metric before it shows to clients.

import type { Agent } from "node:http";

import type { Log } from "../../log.ts";
import type { Metrics } from "../../metrics.ts";

export interface SelfProbe {
  /** Asks once; resolves when the answer or the failure is counted. */
  once(): Promise<void>;
  /** Asks now and then; returns what ends it. */
  every(intervalMs: number): () => void;
}

/** Seconds, 0.25 ms to 2.5 s: CoreDNS's buckets of this metric. */
const BUCKETS: readonly number[] = Array.from({ length: 5 }, (_, n) => 0.00025 * 10 ** n);
const TIMEOUT_MS = 3_000;
const SLOW_MS = 1_000;

interface Options {
  readonly host: string;
  readonly port: number;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function createSelfProbe({ host, port, metrics, log }: Options): SelfProbe {
  const target = ownAddress(host);
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}/health`;
  const duration = metrics.histogram(
    "coredns_health_request_duration_seconds",
    "Histogram of the time (in seconds) each request took.",
    BUCKETS,
  );
  const failures = metrics.counter("coredns_health_request_failures_total", "The number of times the health check failed.");
  failures.add({}, 0);
  let agent: Agent | undefined;

  async function once(): Promise<void> {
    const { Agent, get } = await import("node:http");
    agent ??= new Agent({ keepAlive: true, maxSockets: 1 });
    const startedMs = performance.now();
    const failed = await new Promise<Error | undefined>((resolve) => {
      const request = get({ host: target, port, path: "/health", agent, timeout: TIMEOUT_MS }, (response) => {
        response.resume();
        response.once("end", () => resolve(undefined));
        response.once("error", resolve);
      });
      request.once("timeout", () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000}s`)));
      request.once("error", resolve);
    });
    const elapsedMs = performance.now() - startedMs;
    if (failed !== undefined) {
      failures.add();
      log.warning(`Local health request to "${url}" failed: ${failed.message}`);
      return;
    }
    duration.observe(elapsedMs / 1000);
    if (elapsedMs > SLOW_MS) log.warning(`Local health request to "${url}" took more than 1s: ${elapsedMs / 1000}s`);
  }

  return {
    once,
    every(intervalMs) {
      let asking = false;
      const timer = setInterval(() => {
        if (asking) return;
        asking = true;
        void once().finally(() => (asking = false)); // never rejects
      }, intervalMs).unref();
      return () => {
        clearInterval(timer);
        agent?.destroy();
      };
    },
  };
}

/** Where a server that listens on `host` is asked from its own machine: a wildcard is no address to send to. */
export function ownAddress(host: string): string {
  return host === "" || host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
}
