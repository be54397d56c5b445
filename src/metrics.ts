// What is counted, under CoreDNS's names. Plain values here; the `prometheus` plugin turns them into an exposition.

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
  add(labels?: Labels, by?: number): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** One server's metrics. The same name registered twice gives the same metric: several blocks may share one. */
export interface Metrics {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** `buckets` are upper bounds in rising order, without +Inf. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** A metric that is read when it is asked for. */
  register(metric: Metric): void;
  all(): Iterable<Metric>;
}
