// What is counted, under CoreDNS's names. Plain values here; the `prometheus` plugin turns them into an exposition.
// The hot path's counters are in traffic.ts.

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

/** Counts `value` in a histogram's cells from `at`: one per bucket (not cumulative), one above the last, the sum. */
export function observe(cells: Float64Array, at: number, buckets: readonly number[], value: number): void {
  let index = 0;
  while (index < buckets.length && value > (buckets[index] as number)) index++;
  (cells[at + index] as number)++;
  (cells[at + buckets.length + 1] as number) += value;
}

/** The samples of such cells. */
export function* histogramSamples(cells: Float64Array, at: number, buckets: readonly number[], labels: Labels): Generator<Sample> {
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
