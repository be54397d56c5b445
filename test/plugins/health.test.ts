import { createSocket } from "node:dgram";
import { expect } from "chai";

import { parseName } from "../../src/dns/name.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { createHttpServers, type HttpRoute } from "../../src/http.ts";
import { createMetrics, type Metrics, type Sample } from "../../src/metrics.ts";
import type { Instance } from "../../src/plugin.ts";
import { createDnsProbe } from "../../src/plugins/health/dns-probe.ts";
import health from "../../src/plugins/health/health.ts";
import { createPulse, STANDSTILL_MS } from "../../src/plugins/health/pulse.ts";
import { createSelfProbe } from "../../src/plugins/health/self-probe.ts";
import { fakeHost, fakeLog, get, readDirective, setUp } from "../helpers/fake-host.ts";

describe("plugins/health", () => {
  it("answers OK on :8080 by default, ready or not", async () => {
    const host = fakeHost("health");
    const instance = await setUp(health, "health", host);
    host.waiting = [{ plugin: "kubernetes", reason: "no API" }];
    host.draining = true;
    expect(host.routes[0]).to.include({ host: "", port: 8080, path: "/health" });
    expect(await get(host, "/health")).to.deep.equal({ status: 200, body: "OK" });
    expect(instance.lameduckMs, "left to the server").to.equal(undefined);
  });

  it("takes an address and a lameduck time", async () => {
    const host = fakeHost("health");
    const instance = await setUp(health, "health localhost:8091 {\n lameduck 5s\n}", host);
    expect(host.routes[0]).to.include({ host: "localhost", port: 8091 });
    expect(instance.lameduckMs).to.equal(5000);
    expect(host.reported).to.deep.equal([]);
  });

  it("warns where the lameduck time outlasts Kubernetes' patience", async () => {
    const host = fakeHost("health");
    await setUp(health, "health {\n lameduck 120s\n}", host);
    expect(host.reported).to.have.length(1);
    expect(host.reported[0]).to.include({ severity: "warning", line: 2 });
    expect(host.reported[0]?.message).to.match(/^health: lameduck 120s: Kubernetes kills/);
  });

  it("is unhealthy when a thread stands still for 15 s, and says which (C121, coredns#3860)", async () => {
    const host = fakeHost("health", { standingStill: (overMs) => (overMs === STANDSTILL_MS ? "UDP thread 2" : undefined) });
    await setUp(health, "health :0", host);
    expect(await get(host, "/health")).to.include({ status: 500, body: "UDP thread 2 stands still" });
  });

  it("is unhealthy only when the event loop stands still for 15 s (C122)", () => {
    let nowMs = 0;
    const pulse = createPulse({ intervalMs: 1000, now: () => nowMs });
    const at = (ms: number): boolean => {
      nowMs = ms;
      return pulse.standsStill();
    };
    pulse.beat();
    expect([at(1000), at(10_000), at(15_999), at(16_000)]).to.deep.equal([false, false, false, true]);
    pulse.beat();
    expect(pulse.standsStill(), "the beat itself was late").to.equal(true);
    nowMs = 17_000;
    pulse.beat();
    expect(pulse.standsStill()).to.equal(false);
  });

  it("measures its own endpoint", async () => {
    const servers = createHttpServers(fakeLog());
    const health: HttpRoute = { host: "127.0.0.1", port: 0, path: "/health", handle: () => ({ status: 200, body: "OK" }) };
    await (await servers.prepare([health])).commit();
    const metrics = createMetrics();
    const log = fakeLog();
    const probe = createSelfProbe({ host: "127.0.0.1", port: servers.addresses[0]?.port ?? 0, metrics, log });
    const end = probe.every(3_600_000);
    await probe.once();
    await servers.stop();
    await probe.once();
    end();
    const values = new Map([...metrics.all()].map(({ name, collect }) => [name, [...collect()]]));
    const duration = values.get("coredns_health_request_duration_seconds") ?? [];
    expect(duration.filter(({ suffix }) => suffix === "_bucket").map(({ labels }) => labels["le"])).to.deep.equal([
      "0.00025",
      "0.0025",
      "0.025",
      "0.25",
      "2.5",
      "+Inf",
    ]);
    expect(duration.find(({ suffix }) => suffix === "_count")?.value).to.equal(1);
    expect(values.get("coredns_health_request_failures_total")).to.deep.equal([{ labels: {}, value: 1 }]);
    expect(log.lines).to.have.length(1);
    expect(log.lines[0]).to.match(/^\[WARNING\] Local health request to "http:\/\/127\.0\.0\.1:\d+\/health" failed: /);
  });

  describe("its own DNS query", () => {
    const samples = (metrics: Metrics): ReadonlyMap<string, readonly Sample[]> =>
      new Map([...metrics.all()].map(({ name, collect }) => [name, [...collect()]]));
    const zone = parseName("cluster.local.");

    it("is the SOA of the cluster's zone, and its time is measured", async () => {
      const metrics = createMetrics();
      const asked: string[] = [];
      await using server = await udpServer((packet) => {
        asked.push(packet.subarray(2).toString("latin1"));
        return [Buffer.from([0, 0, 9]), packet]; // the first one is somebody else's answer
      });
      const probe = createDnsProbe({ target: { address: "127.0.0.1", port: server.port }, zone, metrics });
      await probe.once();
      probe.close();
      expect(asked).to.deep.equal(["\0\0\0\x01\0\0\0\0\0\0\x07cluster\x05local\0\0\x06\0\x01"]);
      const found = samples(metrics);
      expect(found.get("ndots_health_dns_duration_seconds")?.find(({ suffix }) => suffix === "_count")?.value).to.equal(1);
      expect(found.get("ndots_health_dns_failures_total")?.[0]?.value).to.equal(0);
    });

    it("counts as failed when there is no answer, and not when the server stops (coredns#3860)", async () => {
      const metrics = createMetrics();
      await using server = await udpServer(() => []);
      const probe = createDnsProbe({ target: { address: "127.0.0.1", port: server.port }, zone, metrics, timeoutMs: 20 });
      await probe.once();
      expect(samples(metrics).get("ndots_health_dns_failures_total")?.[0]?.value).to.equal(1);
      const last = probe.once();
      probe.close();
      await last;
      await probe.once();
      expect(samples(metrics).get("ndots_health_dns_failures_total")?.[0]?.value).to.equal(1);
    });

    for (const [title, siblings, asks] of [
      ["is asked where kubernetes is in the block", { kubernetes: { zones: [createZone({ apex: zone, records: [] })] } }, true],
      ["is not asked without a zone of ours", { whoami: {} }, false],
      ["is not asked where log would write it", { kubernetes: { zones: [createZone({ apex: zone, records: [] })] }, log: {} }, false],
    ] as const) {
      it(title, async () => {
        const host = fakeHost("health", { dnsSockets: () => [{ address: "127.0.0.1", port: 9 }] });
        host.siblings = siblings as Record<string, Instance>;
        const instance = await setUp(health, "health :0", host);
        await instance.start?.();
        expect([...host.metrics.all()].some(({ name }) => name.startsWith("ndots_health_dns"))).to.equal(asks);
        expect((await get(host, "/health")).status, "whatever it finds").to.equal(200);
        await instance.stop?.();
      });
    }
  });

  it("starts and stops without holding the process", async () => {
    const host = fakeHost("health");
    const instance = await setUp(health, "health :0", host);
    await instance.start?.();
    expect(await get(host, "/health")).to.include({ status: 200 });
    await instance.stop?.();
  });

  for (const [lines, finding] of [
    ["health :99999", 'ADDRESS must be HOST:PORT with a port of 0–65535, found ":99999"'],
    ["health {\n lameduck 5\n}", 'lameduck: DURATION must be a duration like "30s", "1m30s" or "500ms", found "5"'],
    ["health {\n lameduk 5s\n}", "did you mean 'lameduck'?"],
  ] as const) {
    it(`refuses ${JSON.stringify(lines)}`, () => expect(readDirective(health, lines).findings.join("\n")).to.contain(finding));
  }
});

// Answers each packet with those that `answers` gives.
async function udpServer(answers: (packet: Buffer) => readonly Buffer[]): Promise<{ readonly port: number } & AsyncDisposable> {
  const socket = createSocket("udp4");
  socket.on("message", (packet, { port, address }) => answers(packet).forEach((answer) => socket.send(answer, port, address)));
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { port: socket.address().port, [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())) };
}
