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
  /** What several gauges of one name say together of the same labels; absent: what the last one says. */
  readonly join?: (one: number, other: number) => number;
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
  /**
   * A metric that is read when it is asked for. Registered under a name that exists, its samples join the others: those of
   * a counter or histogram with the same labels are added up, those of gauges are joined as they say.
   */
  register(metric: Metric): void;
  all(): Iterable<Metric>;
  /** The same metrics for a part of the server that ends before it does. */
  scope(): MetricsScope;
}

/** Metrics of one configuration, which a reload ends. */
export interface MetricsScope extends Metrics {
  /** Its gauges vanish; what its counters and histograms have counted stays, and the next scope's go on from there. */
  close(): void;
}

/** Seconds, 0.25 ms to 8.192 s: CoreDNS's time buckets. */
export const TIME_BUCKETS: readonly number[] = Array.from({ length: 16 }, (_, n) => 0.00025 * 2 ** n);
/** Bytes: CoreDNS's size buckets. */
export const SIZE_BUCKETS: readonly number[] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000];

type Own = Metric & (Counter | Gauge | Histogram);

export function createMetrics(): Metrics {
  const own = new Map<string, Own>();
  const registered = new Map<string, Metric[]>();

  const addTo = (metric: Metric): void => {
    const group = registered.get(metric.name);
    if (group === undefined) registered.set(metric.name, [metric]);
    else if (group[0]?.type === metric.type) group.push(metric);
    else throw new TypeError(`metric ${metric.name} is a ${group[0]?.type}, not a ${metric.type}`);
  };
  const once = <M extends Own>(name: string, create: () => M): M => {
    const known = own.get(name);
    if (known !== undefined) return known as M;
    const metric = create();
    addTo(metric);
    own.set(name, metric);
    return metric;
  };
  const metrics: Metrics = {
    counter: (name, help) => once(name, () => createCounter(name, help)),
    gauge: (name, help) => once(name, () => createGauge(name, help)),
    histogram: (name, help, buckets) => once(name, () => createHistogram(name, help, buckets)),
    register: addTo,
    *all() {
      for (const group of registered.values()) {
        const [first] = group;
        if (first === undefined) continue;
        const { name, help, type } = first;
        yield { name, help, type, collect: () => joined(group) };
      }
    },
    scope: () => scopeOf(metrics, registered, addTo),
  };
  return metrics;
}

function scopeOf(metrics: Metrics, registered: Map<string, Metric[]>, addTo: (metric: Metric) => void): MetricsScope {
  const added: Metric[] = [];
  const gauges = new Map<string, Metric & Gauge>();
  const scope: MetricsScope = {
    ...metrics,
    gauge(name, help) {
      let gauge = gauges.get(name);
      if (gauge === undefined) {
        gauges.set(name, (gauge = createGauge(name, help)));
        scope.register(gauge);
      }
      return gauge;
    },
    register(metric) {
      addTo(metric);
      added.push(metric);
    },
    close() {
      for (const metric of added.splice(0)) {
        const group = registered.get(metric.name) as Metric[];
        group.splice(group.indexOf(metric), 1, ...(metric.type === "gauge" ? [] : [frozen(metric)]));
        fold(group);
        if (group.length === 0) registered.delete(metric.name);
      }
    },
  };
  return scope;
}

/** What a closed scope has counted, as it was in the end. */
interface Frozen extends Metric {
  readonly frozen: Map<string, Sample>;
}

function frozen({ name, help, type, collect }: Metric): Frozen {
  const samples = bySeries(collect());
  return { name, help, type, frozen: samples, collect: () => samples.values() };
}

// However many scopes have ended, a metric has one frozen part.
function fold(group: Metric[]): void {
  const parts = group.filter((metric): metric is Frozen => "frozen" in metric);
  const [first, ...more] = parts;
  for (const part of more) {
    for (const [series, sample] of part.frozen) addSample(first?.frozen as Map<string, Sample>, series, sample);
    group.splice(group.indexOf(part), 1);
  }
}

function joined(group: readonly Metric[]): Iterable<Sample> {
  const [first] = group;
  if (group.length === 1 && first !== undefined) return first.collect();
  const join = first?.type === "gauge" ? (first.join ?? last) : sum;
  return bySeries(
    group.flatMap((metric) => [...metric.collect()]),
    join,
  ).values();
}

function bySeries(samples: Iterable<Sample>, join: Join = sum): Map<string, Sample> {
  const all = new Map<string, Sample>();
  for (const sample of samples) addSample(all, seriesOf(sample), sample, join);
  return all;
}

function addSample(all: Map<string, Sample>, series: string, sample: Sample, join: Join = sum): void {
  const known = all.get(series);
  all.set(series, known === undefined ? sample : { ...sample, value: join(known.value, sample.value) });
}

type Join = NonNullable<Metric["join"]>;
const sum: Join = (one, other) => one + other;
const last: Join = (_one, other) => other;

function seriesOf({ labels, suffix }: Sample): string {
  return `${suffix ?? ""}${textOf(labels)}`;
}

// Callers name labels in one order.
function textOf(labels: Labels): string {
  let text = "";
  for (const label in labels) text += `${label}\0${labels[label]}\0`;
  return text;
}

// One value per set of labels, found by the labels' text.
class Series<Value> {
  readonly #values = new Map<string, { readonly labels: Labels; value: Value }>();
  readonly #create: () => Value;

  constructor(create: () => Value) {
    this.#create = create;
  }

  at(labels: Labels): { readonly labels: Labels; value: Value } {
    const key = textOf(labels);
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
