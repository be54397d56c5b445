// What is counted: CoreDNS's names, labels and buckets.

import { expect } from "chai";

import {
  createMetrics,
  createServerMetrics,
  histogramSamples,
  SIZE_BUCKETS,
  TIME_BUCKETS,
  type Metrics,
  type Sample,
} from "../src/metrics.ts";
import { countQuery, createTraffic } from "../src/traffic.ts";

function samples(metrics: Metrics, name: string): Sample[] {
  for (const metric of metrics.all()) if (metric.name === name) return [...metric.collect()];
  return [];
}

const PLUGINS = ["kubernetes", ""];
const block = { server: "dns://:53", zone: "cluster.local.", view: "" };

describe("metrics", () => {
  it("gives the same metric for the same name", () => {
    const metrics = createMetrics();
    metrics.counter("ndots_x_total", "x").add({ a: "1" });
    metrics.counter("ndots_x_total", "x").add({ a: "1" }, 2);
    metrics.counter("ndots_x_total", "x").add({ a: "2" }, 0);
    expect(samples(metrics, "ndots_x_total")).to.deep.equal([
      { labels: { a: "1" }, value: 3 },
      { labels: { a: "2" }, value: 0 },
    ]);
  });

  it("joins the samples of blocks that register one name, and refuses another type", () => {
    const metrics = createMetrics();
    for (const server of ["a", "b"]) {
      metrics.register({ name: "ndots_y", help: "y", type: "gauge", collect: () => [{ labels: { server }, value: 1 }] });
    }
    expect(samples(metrics, "ndots_y").map(({ labels }) => labels["server"])).to.deep.equal(["a", "b"]);
    expect(() => metrics.counter("ndots_y", "y")).to.throw(TypeError);
  });

  it("puts an observation on a bucket's bound into that bucket, and sums cumulatively", () => {
    const metrics = createMetrics();
    const histogram = metrics.histogram("ndots_z", "z", [1, 2]);
    for (const value of [1, 1.5, 3]) histogram.observe(value);
    expect(samples(metrics, "ndots_z")).to.deep.equal([
      { labels: { le: "1" }, value: 1, suffix: "_bucket" },
      { labels: { le: "2" }, value: 2, suffix: "_bucket" },
      { labels: { le: "+Inf" }, value: 3, suffix: "_bucket" },
      { labels: {}, value: 5.5, suffix: "_sum" },
      { labels: {}, value: 3, suffix: "_count" },
    ]);
  });

  it("goes on counting where an ended scope has stopped, and forgets its gauges", () => {
    const metrics = createMetrics();
    const generations = [1, 2, 3].map((generation) => {
      const scope = metrics.scope();
      scope.counter("ndots_a_total", "a").add({}, generation);
      scope.gauge("ndots_b", "b").set(generation, { generation: String(generation) });
      scope.histogram("ndots_c", "c", [2]).observe(generation);
      scope.register({ name: "ndots_d_total", help: "d", type: "counter", collect: () => [{ labels: { x: "1" }, value: generation }] });
      scope.register({
        name: "ndots_e",
        help: "e",
        type: "histogram",
        collect: () => histogramSamples(Float64Array.of(generation, 0, 1), 0, [1], { x: "1" }),
      });
      if (generation < 3) scope.close();
      return scope;
    });
    const now = (): Record<string, number> =>
      Object.fromEntries(
        [...metrics.all()].flatMap(({ name, collect }) =>
          Array.from(collect(), ({ labels, value, suffix = "" }) => [`${name}${suffix}${JSON.stringify(Object.values(labels))}`, value]),
        ),
      );
    const counted = {
      "ndots_a_total[]": 6,
      'ndots_c_bucket["2"]': 2,
      'ndots_c_bucket["+Inf"]': 3,
      "ndots_c_sum[]": 6,
      "ndots_c_count[]": 3,
      'ndots_d_total["1"]': 6,
      'ndots_e_bucket["1","1"]': 6,
      'ndots_e_bucket["1","+Inf"]': 6,
      'ndots_e_sum["1"]': 3,
      'ndots_e_count["1"]': 6,
    };
    expect(now()).to.deep.equal({ ...counted, 'ndots_b["3"]': 3 });
    generations[2]?.close();
    expect(now()).to.deep.equal(counted);
  });

  it("joins gauges of the same labels as they say, else shows the last", () => {
    const metrics = createMetrics();
    const value = (join?: (one: number, other: number) => number): number | undefined => {
      const name = `ndots_${join?.name ?? "last"}`;
      for (const value of [7, 5]) {
        metrics.register({ name, help: "x", type: "gauge", ...(join && { join }), collect: () => [{ labels: {}, value }] });
      }
      const all = [...metrics.all()].find((metric) => metric.name === name)?.collect() ?? [];
      return Array.from(all, (sample) => sample.value).at(0);
    };
    expect([value(), value(Math.max), value((one, other) => one + other)]).to.deep.equal([5, 7, 12]);
  });

  it("shows a gauge once that two scopes set during a reload", () => {
    const metrics = createMetrics();
    const before = metrics.scope();
    before.gauge("ndots_b", "b").set(1, { x: "1" });
    metrics.scope().gauge("ndots_b", "b").set(2, { x: "1" });
    expect(samples(metrics, "ndots_b")).to.deep.equal([{ labels: { x: "1" }, value: 2 }]);
    before.close();
    expect(samples(metrics, "ndots_b")).to.deep.equal([{ labels: { x: "1" }, value: 2 }]);
  });

  it("has CoreDNS's buckets", () => {
    expect(TIME_BUCKETS[0]).to.equal(0.00025);
    expect(TIME_BUCKETS.at(-1)).to.equal(8.192);
    expect(TIME_BUCKETS).to.have.length(16);
    expect(SIZE_BUCKETS).to.deep.equal([0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000]);
  });

  it("tells the build, and no panic, from the start", () => {
    const metrics = createMetrics();
    createServerMetrics(metrics, { version: "0.1.0", revision: "abc" }).pluginEnabled.set(1, { ...block, name: "errors" });
    expect(samples(metrics, "coredns_build_info")).to.deep.equal([
      { labels: { version: "0.1.0", revision: "abc", goversion: `node ${process.version}` }, value: 1 },
    ]);
    expect(samples(metrics, "coredns_panics_total")).to.deep.equal([{ labels: {}, value: 0 }]);
    expect(samples(metrics, "coredns_plugin_enabled")).to.deep.equal([{ labels: { ...block, name: "errors" }, value: 1 }]);
  });
});

describe("traffic", () => {
  it("shows nothing before the first query", () => {
    const metrics = createMetrics();
    createTraffic(metrics, block, PLUGINS);
    for (const metric of metrics.all()) expect([...metric.collect()], metric.name).to.deep.equal([]);
  });

  it("counts queries by transport, family and type; types CoreDNS has no name for are other", () => {
    const metrics = createMetrics();
    const traffic = createTraffic(metrics, block, PLUGINS);
    traffic.count("udp", 4, 1, 0, 41, 68, 0.2, false, "kubernetes");
    traffic.count("udp", 4, 1, 0, 41, 68, 0.2, true, "kubernetes");
    traffic.count("tls", 6, 28, 3, 41, 120, 2, false, "kubernetes");
    traffic.count("tcp", 6, 255, 2, 41, 41, 9000, false, "");
    traffic.count("udp", 4, 257, 16, 41, 41, 1, false, "");
    traffic.count("udp", 4, 65535, 4000, 41, 41, 1, false, "");
    expect(samples(metrics, "coredns_dns_requests_total")).to.deep.equal([
      { labels: { ...block, proto: "udp", family: "1", type: "A" }, value: 2 },
      { labels: { ...block, proto: "udp", family: "1", type: "other" }, value: 2 },
      { labels: { ...block, proto: "tcp", family: "2", type: "AAAA" }, value: 1 },
      { labels: { ...block, proto: "tcp", family: "2", type: "ANY" }, value: 1 },
    ]);
    expect(samples(metrics, "coredns_dns_do_requests_total")).to.deep.equal([{ labels: block, value: 1 }]);
    const responses = samples(metrics, "coredns_dns_responses_total");
    expect(responses[0]).to.deep.equal({ labels: { ...block, rcode: "NOERROR", plugin: "kubernetes" }, value: 2 });
    expect(responses.map(({ labels }) => `${labels["plugin"]} ${labels["rcode"]}`).slice(0, 4)).to.deep.equal([
      "kubernetes NOERROR",
      "kubernetes NXDOMAIN",
      " SERVFAIL",
      " BADVERS",
    ]);
    const durations = samples(metrics, "coredns_dns_request_duration_seconds");
    const at = (le: string): number | undefined => durations.find(({ labels }) => labels["le"] === le)?.value;
    expect([at("0.00025"), at("0.0005"), at("0.001"), at("0.002"), at("8.192"), at("+Inf")]).to.deep.equal([2, 2, 4, 5, 5, 6]);
    const sizes = samples(metrics, "coredns_dns_response_size_bytes").filter(({ suffix }) => suffix === "_sum");
    expect(sizes).to.deep.equal([
      { labels: { ...block, proto: "udp" }, value: 68 + 68 + 41 + 41, suffix: "_sum" },
      { labels: { ...block, proto: "tcp" }, value: 120 + 41, suffix: "_sum" },
    ]);
    expect(
      samples(metrics, "coredns_dns_request_size_bytes")
        .filter(({ suffix }) => suffix === "_count")
        .map(({ value }) => value),
    ).to.deep.equal([4, 2]);
  });

  it("adds up what threads have counted, also those that have ended", () => {
    const metrics = createMetrics();
    const traffic = createTraffic(metrics, block, PLUGINS);
    const total = (): number => samples(metrics, "coredns_dns_requests_total").reduce((sum, { value }) => sum + value, 0);
    const count = (cells: Float64Array): void => countQuery(cells, "udp", 4, 1, 0, 41, 68, 0.2, false, 0);
    const [one, two] = [traffic.lend(), traffic.lend()];
    for (const cells of [one, two, traffic.cells]) count(cells);
    expect(total()).to.equal(3);
    traffic.giveBack(one);
    expect(total()).to.equal(3);
    expect(traffic.lend()).to.equal(one);
    count(one);
    expect(total()).to.equal(4);
  });

  it("keeps server blocks apart", () => {
    const metrics = createMetrics();
    createTraffic(metrics, block, PLUGINS).count("udp", 4, 1, 0, 41, 68, 0.2, false, "kubernetes");
    createTraffic(metrics, { ...block, zone: "dropped" }, PLUGINS).count("udp", 4, 1, 5, 41, 41, 0.1, false, "");
    expect(samples(metrics, "coredns_dns_responses_total").map(({ labels }) => labels)).to.deep.equal([
      { ...block, rcode: "NOERROR", plugin: "kubernetes" },
      { ...block, zone: "dropped", rcode: "REFUSED", plugin: "" },
    ]);
  });
});
