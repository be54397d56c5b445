// What is counted, under CoreDNS's names. Plain values here; the `prometheus` plugin turns them into an exposition.
// `Traffic` is the hot path's part: one typed array per server block, so that counting a query allocates nothing.

import type { Rcode, Transport } from "./dns/message.ts";
import { RRTypes, type RRType } from "./dns/records.ts";
import { rcodeName } from "./dns/text.ts";

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Only for histograms. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

export interface Metric {
  /** Full name, `coredns_…` or `ndots_…`. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  collect(): Iterable<Sample>;
}

export interface Counter {
  /** Adding 0 makes the counter visible before anything has happened. */
  add(labels?: Labels, by?: number): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** One server's metrics. The same name asked for twice gives the same metric: several blocks may share one. */
export interface Metrics {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** `buckets` are upper bounds in rising order, without +Inf. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** A metric that is read when it is asked for. Registered under a name that exists, its samples join the others. */
  register(metric: Metric): void;
  all(): Iterable<Metric>;
}

/** Seconds, 0.25 ms to 8.192 s: CoreDNS's time buckets. */
export const TIME_BUCKETS: readonly number[] = Array.from({ length: 16 }, (_, n) => 0.00025 * 2 ** n);
/** Bytes: CoreDNS's size buckets. */
export const SIZE_BUCKETS: readonly number[] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000];

export function createMetrics(): Metrics {
  const own = new Map<string, Metric & (Counter | Gauge | Histogram)>();
  const registered = new Map<string, Metric[]>();

  const addTo = (metric: Metric): void => {
    const group = registered.get(metric.name);
    if (group === undefined) registered.set(metric.name, [metric]);
    else if (group[0]?.type === metric.type) group.push(metric);
    else throw new TypeError(`metric ${metric.name} is a ${group[0]?.type}, not a ${metric.type}`);
  };
  const once = <M extends Metric & (Counter | Gauge | Histogram)>(name: string, create: () => M): M => {
    const known = own.get(name);
    if (known !== undefined) return known as M;
    const metric = create();
    addTo(metric);
    own.set(name, metric);
    return metric;
  };
  return {
    counter: (name, help) => once(name, () => createCounter(name, help)),
    gauge: (name, help) => once(name, () => createGauge(name, help)),
    histogram: (name, help, buckets) => once(name, () => createHistogram(name, help, buckets)),
    register: addTo,
    *all() {
      for (const group of registered.values()) {
        const [first] = group;
        if (first === undefined) continue;
        const { name, help, type } = first;
        yield { name, help, type, collect: () => group.flatMap((metric) => [...metric.collect()]) };
      }
    },
  };
}

// One value per set of labels, found by the labels' text; callers name labels in one order.
class Series<Value> {
  readonly #values = new Map<string, { readonly labels: Labels; value: Value }>();
  readonly #create: () => Value;

  constructor(create: () => Value) {
    this.#create = create;
  }

  at(labels: Labels): { readonly labels: Labels; value: Value } {
    let key = "";
    for (const label in labels) key += `${label}\0${labels[label]}\0`;
    let entry = this.#values.get(key);
    if (entry === undefined) this.#values.set(key, (entry = { labels, value: this.#create() }));
    return entry;
  }

  entries(): Iterable<{ readonly labels: Labels; readonly value: Value }> {
    return this.#values.values();
  }
}

const NO_LABELS: Labels = Object.freeze({});

function createCounter(name: string, help: string): Metric & Counter {
  const series = new Series(() => 0);
  return {
    name,
    help,
    type: "counter",
    add: (labels = NO_LABELS, by = 1) => void (series.at(labels).value += by),
    collect: () => series.entries(),
  };
}

function createGauge(name: string, help: string): Metric & Gauge {
  const series = new Series(() => 0);
  return {
    name,
    help,
    type: "gauge",
    set: (value, labels = NO_LABELS) => void (series.at(labels).value = value),
    collect: () => series.entries(),
  };
}

function createHistogram(name: string, help: string, buckets: readonly number[]): Metric & Histogram {
  const series = new Series(() => new Float64Array(buckets.length + 2));
  return {
    name,
    help,
    type: "histogram",
    observe: (value, labels = NO_LABELS) => observe(series.at(labels).value, 0, buckets, value),
    *collect() {
      for (const { labels, value } of series.entries()) yield* histogramSamples(value, 0, buckets, labels);
    },
  };
}

// A histogram's cells from `at`: one per bucket (not cumulative), one above the last, the sum.
function observe(cells: Float64Array, at: number, buckets: readonly number[], value: number): void {
  let index = 0;
  while (index < buckets.length && value > (buckets[index] as number)) index++;
  (cells[at + index] as number)++;
  (cells[at + buckets.length + 1] as number) += value;
}

function* histogramSamples(cells: Float64Array, at: number, buckets: readonly number[], labels: Labels): Generator<Sample> {
  let count = 0;
  for (const [index, bound] of buckets.entries()) {
    count += cells[at + index] as number;
    yield { labels: { ...labels, le: String(bound) }, value: count, suffix: "_bucket" };
  }
  count += cells[at + buckets.length] as number;
  yield { labels: { ...labels, le: "+Inf" }, value: count, suffix: "_bucket" };
  yield { labels, value: cells[at + buckets.length + 1] as number, suffix: "_sum" };
  yield { labels, value: count, suffix: "_count" };
}

const PROTO_LABELS = ["udp", "tcp"] as const; // TLS and HTTPS count as tcp
const FAMILY_LABELS = ["1", "2"] as const; // IPv4, IPv6 (IANA address family numbers)

// The types that CoreDNS counts by name.
const COUNTED_TYPES = [
  "A",
  "AAAA",
  "ANY",
  "AXFR",
  "CNAME",
  "DNSKEY",
  "DS",
  "HTTPS",
  "IXFR",
  "MX",
  "NS",
  "NSEC",
  "NSEC3",
  "PTR",
  "RRSIG",
  "SOA",
  "SRV",
  "SVCB",
  "TXT",
] as const;
const TYPE_LABELS: readonly string[] = [...COUNTED_TYPES, "other"];
const OTHER_TYPE = COUNTED_TYPES.length;
const TYPE_INDEX = new Uint8Array(RRTypes.ANY + 1).fill(OTHER_TYPE);
for (const [index, type] of COUNTED_TYPES.entries()) TYPE_INDEX[RRTypes[type]] = index;

/** Response codes 0 to 23 (BADCOOKIE) are assigned (RFC 6895 §2.3, RFC 7873 §8). */
const RCODES = 24;
/** Plugins that write replies, the server itself included; far more than there are. Those beyond share a place. */
const MAX_PLUGINS = 32;

// One block's cells:
//
//   requests: proto × family × type │ DO │ responses: plugin × rcode │ seconds │ request bytes × proto │ reply bytes × proto
const REQUESTS = 0;
const DO_REQUESTS = REQUESTS + PROTO_LABELS.length * FAMILY_LABELS.length * TYPE_LABELS.length;
const RESPONSES = DO_REQUESTS + 1;
const SECONDS = RESPONSES + MAX_PLUGINS * RCODES;
const SIZE_CELLS = SIZE_BUCKETS.length + 2;
const REQUEST_BYTES = SECONDS + TIME_BUCKETS.length + 2;
const REPLY_BYTES = REQUEST_BYTES + PROTO_LABELS.length * SIZE_CELLS;
const CELLS = REPLY_BYTES + PROTO_LABELS.length * SIZE_CELLS;

/** The counters of one server block. */
export interface Traffic {
  /** Counts one answered query. Primitives only, allocates nothing. `by` is the plugin that wrote the reply, "" the server itself. */
  count(
    transport: Transport,
    family: 4 | 6,
    qtype: RRType,
    rcode: Rcode,
    requestBytes: number,
    replyBytes: number,
    durationMs: number,
    dnssecOk: boolean,
    by: string,
  ): void;
}

/** A server block as labels: `dns://:53`, `cluster.local.` (or `dropped` for queries that no block takes), "" without a view. */
export interface BlockLabels {
  readonly server: string;
  readonly zone: string;
  readonly view: string;
}

/** Makes the counters of one server block and registers them. */
export function createTraffic(metrics: Metrics, { server, zone, view }: BlockLabels): Traffic {
  const cells = new Float64Array(CELLS);
  const plugins = new Map<string, number>();
  const labels = { server, zone, view };
  registerTraffic(metrics, labels, cells, plugins);
  return {
    count(transport, family, qtype, rcode, requestBytes, replyBytes, durationMs, dnssecOk, by) {
      const proto = transport === "udp" ? 0 : 1;
      const type = qtype < TYPE_INDEX.length ? (TYPE_INDEX[qtype] as number) : OTHER_TYPE;
      let plugin = plugins.get(by);
      if (plugin === undefined) plugins.set(by, (plugin = Math.min(plugins.size, MAX_PLUGINS - 1)));
      (cells[REQUESTS + (proto * FAMILY_LABELS.length + (family === 6 ? 1 : 0)) * TYPE_LABELS.length + type] as number)++;
      if (dnssecOk) (cells[DO_REQUESTS] as number)++;
      (cells[RESPONSES + plugin * RCODES + (rcode < RCODES ? rcode : RCODES - 1)] as number)++;
      observe(cells, SECONDS, TIME_BUCKETS, durationMs / 1000);
      observe(cells, REQUEST_BYTES + proto * SIZE_CELLS, SIZE_BUCKETS, requestBytes);
      observe(cells, REPLY_BYTES + proto * SIZE_CELLS, SIZE_BUCKETS, replyBytes);
    },
  };
}

function registerTraffic(metrics: Metrics, block: BlockLabels & Labels, cells: Float64Array, plugins: ReadonlyMap<string, number>): void {
  metrics.register({
    name: "coredns_dns_requests_total",
    help: "Counter of DNS requests made per zone, protocol and family.",
    type: "counter",
    *collect() {
      let at = REQUESTS;
      for (const proto of PROTO_LABELS) {
        for (const family of FAMILY_LABELS) {
          for (const type of TYPE_LABELS) {
            const value = cells[at++] as number;
            if (value > 0) yield { labels: { ...block, proto, family, type }, value };
          }
        }
      }
    },
  });
  metrics.register({
    name: "coredns_dns_do_requests_total",
    help: "Counter of DNS requests with DO bit set per zone.",
    type: "counter",
    *collect() {
      const value = cells[DO_REQUESTS] as number;
      if (value > 0) yield { labels: block, value };
    },
  });
  metrics.register({
    name: "coredns_dns_responses_total",
    help: "Counter of response status codes.",
    type: "counter",
    *collect() {
      for (const [plugin, index] of plugins) {
        for (let rcode = 0; rcode < RCODES; rcode++) {
          const value = cells[RESPONSES + index * RCODES + rcode] as number;
          if (value > 0) yield { labels: { ...block, rcode: rcodeName(rcode), plugin }, value };
        }
      }
    },
  });
  metrics.register({
    name: "coredns_dns_request_duration_seconds",
    help: "Histogram of the time (in seconds) each request took per zone.",
    type: "histogram",
    collect: () => nonEmpty(cells, SECONDS, TIME_BUCKETS, block),
  });
  registerSizes(
    metrics,
    "coredns_dns_request_size_bytes",
    "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
    REQUEST_BYTES,
    cells,
    block,
  );
  registerSizes(metrics, "coredns_dns_response_size_bytes", "Size of the returned response in bytes.", REPLY_BYTES, cells, block);
}

function registerSizes(metrics: Metrics, name: string, help: string, at: number, cells: Float64Array, block: Labels): void {
  metrics.register({
    name,
    help,
    type: "histogram",
    *collect() {
      for (const [index, proto] of PROTO_LABELS.entries())
        yield* nonEmpty(cells, at + index * SIZE_CELLS, SIZE_BUCKETS, { ...block, proto });
    },
  });
}

// Like a labelled metric of CoreDNS, a histogram shows from its first observation on.
function* nonEmpty(cells: Float64Array, at: number, buckets: readonly number[], labels: Labels): Generator<Sample> {
  if (cells.subarray(at, at + buckets.length + 1).some((value) => value > 0)) yield* histogramSamples(cells, at, buckets, labels);
}

/** What the server as a whole counts. */
export interface ServerMetrics {
  /** A plugin threw: the query got SERVFAIL. No labels. */
  readonly panics: Counter;
  /** 1 for each plugin in each block; labels server, zone, view, name. */
  readonly pluginEnabled: Gauge;
}

/** Registers the metrics of the whole server; `revision` is the commit, or "". */
export function createServerMetrics(metrics: Metrics, build: { readonly version: string; readonly revision: string }): ServerMetrics {
  metrics
    .gauge(
      "coredns_build_info",
      "A metric with a constant '1' value labeled by version, revision, and goversion from which CoreDNS was built.",
    )
    .set(1, { version: build.version, revision: build.revision, goversion: `node ${process.version}` });
  const panics = metrics.counter("coredns_panics_total", "A metrics that counts the number of panics.");
  panics.add(NO_LABELS, 0);
  return {
    panics,
    pluginEnabled: metrics.gauge(
      "coredns_plugin_enabled",
      "A metric that indicates whether a plugin is enabled on per server and zone basis.",
    ),
  };
}
