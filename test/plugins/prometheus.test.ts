import { expect } from "chai";

import { createServerMetrics } from "../../src/metrics.ts";
import { createTraffic } from "../../src/traffic.ts";
import prometheus from "../../src/plugins/prometheus/prometheus.ts";
import { fakeHost, get, readDirective, setUp } from "../helpers/fake-host.ts";

const block = { server: "dns://:53", zone: "cluster.local.", view: "" };

/** Sample lines by metric name, as a scraper reads them. */
function parseExposition(text: string): Map<string, { type: string; lines: string[] }> {
  const metrics = new Map<string, { type: string; lines: string[] }>();
  let current: { type: string; lines: string[] } | undefined;
  for (const line of text.split("\n")) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type !== null) metrics.set(type[1] ?? "", (current = { type: type[2] ?? "", lines: [] }));
    else if (line !== "" && !line.startsWith("#")) current?.lines.push(line);
  }
  return metrics;
}

async function scraped(accept?: string) {
  const host = fakeHost("prometheus");
  await setUp(prometheus, "prometheus :9153", host);
  createServerMetrics(host.metrics, { version: "0.1.0", revision: "abc" });
  createTraffic(host.metrics, block, ["", "kubernetes"]).count("udp", 4, 1, 0, 41, 68, 0.2, true, "kubernetes");
  return { host, answer: await get(host, "/metrics", accept) };
}

describe("plugins/prometheus", () => {
  it("listens on localhost:9153 unless told otherwise, and has its block counted", async () => {
    const host = fakeHost("prometheus");
    await setUp(prometheus, "prometheus", host);
    expect(host.routes[0]).to.include({ host: "localhost", port: 9153, path: "/metrics" });
    expect(host.traffic).to.equal(true);
  });

  it("gives CoreDNS's names, labels and buckets in the text format", async () => {
    const { answer } = await scraped();
    expect(answer.contentType).to.equal("text/plain; version=0.0.4; charset=utf-8");
    const metrics = parseExposition(answer.body);
    const labels = 'server="dns://:53",zone="cluster.local.",view=""';
    for (const [name, type, line] of [
      ["coredns_build_info", "gauge", `coredns_build_info{version="0.1.0",revision="abc",goversion="node ${process.version}"} 1`],
      ["coredns_panics_total", "counter", "coredns_panics_total 0"],
      ["coredns_dns_requests_total", "counter", `coredns_dns_requests_total{${labels},proto="udp",family="1",type="A"} 1`],
      ["coredns_dns_do_requests_total", "counter", `coredns_dns_do_requests_total{${labels}} 1`],
      ["coredns_dns_responses_total", "counter", `coredns_dns_responses_total{${labels},rcode="NOERROR",plugin="kubernetes"} 1`],
      ["coredns_dns_request_duration_seconds", "histogram", `coredns_dns_request_duration_seconds_bucket{${labels},le="0.00025"} 1`],
      ["coredns_dns_request_size_bytes", "histogram", `coredns_dns_request_size_bytes_sum{${labels},proto="udp"} 41`],
      ["coredns_dns_response_size_bytes", "histogram", `coredns_dns_response_size_bytes_bucket{${labels},proto="udp",le="100"} 1`],
    ] as const) {
      expect(metrics.get(name)?.type, name).to.equal(type);
      expect(metrics.get(name)?.lines, name).to.include(line);
    }
    const bounds = (name: string): string[] => (metrics.get(name)?.lines ?? []).flatMap((line) => /le="([^"]+)"/.exec(line)?.[1] ?? []);
    expect(bounds("coredns_dns_request_duration_seconds")).to.deep.equal([
      ...Array.from({ length: 16 }, (_, n) => String(0.00025 * 2 ** n)),
      "+Inf",
    ]);
    expect(bounds("coredns_dns_response_size_bytes").join(" ")).to.equal(
      "0 100 200 300 400 511 1023 2047 4095 8291 16000 32000 48000 64000 +Inf",
    );
  });

  it("adds the metrics of the process, and fakes none of Go's", async () => {
    const { answer } = await scraped();
    const names = [...parseExposition(answer.body).keys()];
    expect(names).to.include.members([
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
      "process_start_time_seconds",
      "nodejs_eventloop_lag_seconds",
    ]);
    expect(names.filter((name) => name.startsWith("go_"))).to.deep.equal([]);
  });

  it("speaks OpenMetrics to whom prefers it, and text again afterwards", async () => {
    const { host, answer } = await scraped("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3");
    expect(answer.contentType).to.equal("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(answer.body).to.match(/\n# EOF\n$/);
    const metrics = parseExposition(answer.body);
    expect(metrics.get("coredns_panics")?.lines).to.deep.equal(["coredns_panics_total 0"]);
    expect(metrics.get("process_cpu_seconds")?.lines[0]).to.match(/^process_cpu_seconds_total \d/);
    expect(metrics.get("coredns_dns_request_duration_seconds")?.lines.at(-1)).to.match(/^coredns_dns_request_duration_seconds_count\{/);
    const again = parseExposition((await get(host, "/metrics")).body);
    expect([...again.keys()]).to.include.members(["coredns_panics_total", "process_cpu_seconds_total"]);
  });

  it("escapes label values", async () => {
    const host = fakeHost("prometheus");
    await setUp(prometheus, "prometheus", host);
    host.metrics.gauge("ndots_odd", "an odd one").set(1, { zone: 'a"b\\c\nd' });
    expect((await get(host, "/metrics")).body).to.contain('ndots_odd{zone="a\\"b\\\\c\\nd"} 1');
  });

  it("takes runtime_metrics, and says that tls is not supported yet", () => {
    expect(readDirective(prometheus, "prometheus {\n runtime_metrics\n}").findings).to.deep.equal([]);
    expect(readDirective(prometheus, "prometheus {\n tls cert.pem key.pem\n}").findings.join()).to.contain(
      "prometheus: tls: not supported yet",
    );
  });
});
