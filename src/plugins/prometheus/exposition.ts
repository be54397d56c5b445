// Our metrics and those of the process as text, in the format that the scraper prefers. prom-client writes the
// formats and reads the process; it is loaded when a server with `prometheus` starts, for it takes some 30 ms.

import type { Metric as PromMetric, PrometheusContentType } from "prom-client";

import type { Metric, Metrics } from "../../metrics.ts";

const OPEN_METRICS = /application\/openmetrics-text/;

type PromClient = typeof import("prom-client");

/** The exposition for a scraper that sent this `Accept` header. */
export async function exposition(
  metrics: Metrics,
  accept: string | undefined,
): Promise<{ readonly body: string; readonly contentType: string }> {
  const { client, processMetrics } = await loadPromClient();
  const contentType =
    accept !== undefined && OPEN_METRICS.test(accept) ? client.Registry.OPENMETRICS_CONTENT_TYPE : client.Registry.PROMETHEUS_CONTENT_TYPE;
  // A registry for each scrape: prom-client renames counters in place when it writes OpenMetrics.
  const registry = new client.Registry();
  registry.setContentType(contentType as PrometheusContentType);
  for (const metric of metrics.all()) registry.registerMetric(toProm(metric));
  for (const metric of processMetrics) registry.registerMetric(toPromAlias(metric));
  return { body: await registry.metrics(), contentType };
}

// The process has one set of metrics, however many servers run in it, and prom-client's observers can't be taken down.
let loading: Promise<Loaded> | undefined;

interface Loaded {
  readonly client: PromClient;
  readonly processMetrics: readonly PromMetric[];
}

/** Loads prom-client and starts its observers, once for the process. */
export function loadPromClient(): Promise<Loaded> {
  return (loading ??= load());
}

async function load(): Promise<Loaded> {
  const { default: client } = await import("prom-client");
  const register = new client.Registry();
  client.collectDefaultMetrics({ register });
  return { client, processMetrics: register.getMetricsAsArray() as unknown as PromMetric[] };
}

/** The part of prom-client's metrics that its registry reads. `name` changes under OpenMetrics, hence read late. */
interface Readable {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  get(): Promise<{ readonly name: string }>;
}

function toProm({ name, help, type, collect }: Metric): PromMetric {
  const readable: Readable = {
    name,
    help,
    type,
    async get() {
      const values = Array.from(collect(), ({ labels, value, suffix }) => ({
        labels,
        value,
        ...(suffix === undefined ? {} : { metricName: `${readable.name}${suffix}` }),
      }));
      return { name: readable.name, help, type, values };
    },
  };
  return readable as unknown as PromMetric;
}

function toPromAlias(metric: PromMetric): PromMetric {
  const { name, help, type, get } = metric as unknown as Readable;
  const readable: Readable = { name, help, type, get: async () => ({ ...(await get.call(metric)), name: readable.name }) };
  return readable as unknown as PromMetric;
}
