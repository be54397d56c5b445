// forward in a server, asked through its sockets; and what is counted.

import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";

import { decodeMessage } from "../../../src/dns/decode.ts";
import { startServer } from "../../../src/index.ts";
import { query, tcpConnection, udpAsk } from "../../helpers/dns-client.ts";
import { startUpstream } from "../../helpers/upstream.ts";
import { forwarding } from "./forwarding.ts";
import { fakeHost } from "../../helpers/fake-host.ts";

const RECORDS = `
  *.example.org. 300 IN A 192.0.2.1
  big.example.org. 300 IN TXT ${Array.from({ length: 12 }, () => `"${"x".repeat(200)}"`).join(" ")}
`;

describe("plugins/forward in a server", () => {
  it("answers over UDP and TCP with the client's id and case", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await startServer({ corefile: `. {\n forward . ${upstream.to}\n}`, port: 0 });
    const asked = query({ name: "WwW.Example.org.", id: 4711 });
    const udp = await udpAsk(dns.address, asked);
    const connection = await tcpConnection(dns.address);
    connection.send(asked);
    const tcp = await connection.receive();
    connection.close();
    for (const reply of [udp, tcp]) {
      expect(reply?.readUInt16BE(0)).to.equal(4711);
      expect(reply?.subarray(12, asked.length)).to.deep.equal(asked.subarray(12));
      expect(decodeMessage(reply as Buffer)?.answer).to.have.length(1);
    }
  });

  it("an answer that is too long for the client's UDP is cut with TC, and whole over TCP", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await startServer({ corefile: `. {\n forward . ${upstream.to}\n}`, port: 0 });
    const asked = query({ name: "big.example.org.", type: "TXT" });
    const udp = decodeMessage((await udpAsk(dns.address, asked)) as Buffer);
    expect((udp?.flags ?? 0) & 0x0200).to.equal(0x0200);
    const connection = await tcpConnection(dns.address);
    connection.send(asked);
    expect(decodeMessage((await connection.receive()) as Buffer)?.answer).to.have.length(1);
    connection.close();
  });

  it("of several lines the first that fits answers; next leads to the one behind it", async () => {
    await using one = await startUpstream({ records: "a.example.org. 5 IN A 192.0.2.1" });
    await using two = await startUpstream({ records: "a.example.org. 5 IN A 192.0.2.2\nb.example.org. 5 IN A 192.0.2.2" });
    await using three = await startUpstream({ records: "*.example.com. 5 IN A 192.0.2.3" });
    const lines = `forward example.org ${one.to} {\n next NXDOMAIN\n }\n forward example.org ${two.to}\n forward . ${three.to}`;
    await using dns = await startServer({ corefile: `. {\n ${lines}\n}`, port: 0 });
    const rows = [
      ["a.example.org.", "192.0.2.1"],
      ["b.example.org.", "192.0.2.2"],
      ["c.example.com.", "192.0.2.3"],
    ] as const;
    for (const [name, address] of rows) expect((await dns.query(name, "A")).addresses).to.deep.equal([address]);
    expect([one.asked.length, two.asked.length, three.asked.length]).to.deep.equal([2, 1, 1]);
  });

  it("a reload changes the upstreams, and questions on their way get their answers", async () => {
    let release = (): void => {};
    const after = new Promise<void>((resolve) => (release = resolve));
    await using one = await startUpstream({ records: RECORDS, script: { after } });
    await using two = await startUpstream({ records: RECORDS });
    await using dns = await startServer({ corefile: `. {\n forward . ${one.to}\n}`, port: 0 });
    const asked = udpAsk(dns.address, query({ name: "a.example.org." }), 5000);
    await one.received(1);
    const reloading = dns.reload(`. {\n forward . ${two.to}\n}`);
    const bound = Date.now() + 5000;
    for (let tries = 0; two.asked.length === 0 && Date.now() < bound; tries++) {
      await Promise.race([udpAsk(dns.address, query({ name: `b${tries}.example.org.` })), pause(10)]);
    }
    release();
    await reloading;
    expect(decodeMessage((await asked) as Buffer)?.answer).to.have.length(1);
    expect(two.asked.length).to.be.greaterThan(0);
  });

  it("requests, answers and connections are counted under CoreDNS's names, and with legacy_metrics under the removed ones", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    for (const legacy of [false, true]) {
      const host = fakeHost("forward");
      host.siblings["prometheus"] = { legacyMetrics: legacy } as object;
      await using forward = await forwarding(`forward . ${upstream.to}`, { host });
      await forward.ask("a.example.org.");
      await forward.ask("b.example.org.");
      const counted = (name: string, suffix?: string): number | undefined =>
        [...([...host.metrics.all()].find((metric) => metric.name === name)?.collect() ?? [])].find((sample) => sample.suffix === suffix)
          ?.value;
      expect(counted("coredns_proxy_request_duration_seconds", "_count")).to.equal(2);
      expect(counted("coredns_proxy_conn_cache_misses_total")).to.equal(1);
      expect(counted("coredns_proxy_conn_cache_hits_total")).to.equal(1);
      expect(counted("coredns_forward_requests_total")).to.equal(legacy ? 2 : undefined);
      expect(counted("coredns_forward_responses_total")).to.equal(legacy ? 2 : undefined);
      const [labels] = [...([...host.metrics.all()].find(({ name }) => name === "coredns_proxy_conn_cache_hits_total")?.collect() ?? [])];
      expect(labels?.labels).to.deep.equal({ proxy_name: "forward", to: upstream.to, proto: "udp" });
    }
  });
});
