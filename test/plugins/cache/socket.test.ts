// `cache` between real sockets: clients here, a scripted upstream there, the answer table in between.

import { expect } from "chai";

import { decodeMessage, type DecodedMessage } from "../../../src/dns/decode.ts";
import { EdeCodes, Flags, Rcodes } from "../../../src/dns/message.ts";
import { formatName } from "../../../src/dns/name.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { startServer } from "../../../src/index.ts";
import { silentLog } from "../../../src/log.ts";
import { createServer } from "../../../src/server.ts";
import { service } from "../../../src/testing.ts";
import { query, udpClient, type QueryOptions, type Target, type UdpClient } from "../../helpers/dns-client.ts";
import { startUpstream } from "../../helpers/upstream.ts";

const SOA = "example.org. 300 IN SOA ns.example.org. hostmaster.example.org. 1 7200 3600 1209600 60";
const RECORDS = `
  ${SOA}
  web.example.org. 300 IN A 192.0.2.1
  www.example.org. 300 IN CNAME web.example.org.
`;

interface Got extends DecodedMessage {
  readonly packet: Buffer;
  readonly lines: readonly string[];
}

// One answer over UDP; the client's address may be any of loopback's.
async function ask(target: Target, options: QueryOptions, address = "127.0.0.1"): Promise<Got> {
  const client = await udpClient(target, { address });
  try {
    return await askWith(client, options);
  } finally {
    client.close();
  }
}

async function askWith(client: UdpClient, options: QueryOptions): Promise<Got> {
  client.send(query(options));
  const packet = await client.receive(5000);
  const message = packet === undefined ? undefined : decodeMessage(packet);
  if (packet === undefined || message === undefined) throw new Error("no answer");
  return { ...message, packet, lines: message.answer.map((record) => formatRecord(record, record.rdata).replace(/ \d+ /, " * ")) };
}

describe("plugins/cache: over sockets", () => {
  it("a remembered answer has the asker's id and case; 64 case variants are one upstream query (C35)", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await startServer({ corefile: `. {\n cache\n forward . ${upstream.to}\n}` });
    for (let variant = 0; variant < 64; variant++) {
      const name = [..."www.example.org."].map((char, index) => ((variant >> (index % 6)) & 1 ? char.toUpperCase() : char)).join("");
      const got = await ask(dns.address, { name, id: 1000 + variant });
      expect(got.id).to.equal(1000 + variant);
      expect(got.packet.subarray(12, 29).toString("latin1")).to.equal(
        `\x03${name.slice(0, 3)}\x07${name.slice(4, 11)}\x03${name.slice(12, 15)}\0`,
      );
      expect(got.lines).to.deep.equal(["www.example.org. * IN CNAME web.example.org.", "web.example.org. * IN A 192.0.2.1"]);
      expect(got.flags).to.equal(Flags.QR | Flags.RD | Flags.RA);
    }
    expect(upstream.asked).to.have.length(1);
  });

  it("AAAA NODATA and NXDOMAIN of an authoritative upstream have RA and no AA from memory, with and without OPT (C51)", async () => {
    // AA, and RA cleared: what an authoritative server sends.
    const script = { flags: Flags.AA, change: (message: Buffer) => Buffer.from(message).fill((message[3] as number) & ~Flags.RA, 3, 4) };
    await using upstream = await startUpstream({ records: RECORDS, script });
    await using dns = await startServer({ corefile: `. {\n cache 30\n forward . ${upstream.to}\n}` });
    for (const [name, rcode] of [["web.example.org.", Rcodes.NOERROR] as const, ["nope.example.org.", Rcodes.NXDOMAIN] as const]) {
      expect((await ask(dns.address, { name, type: "AAAA" })).flags & (Flags.AA | Flags.RA)).to.equal(Flags.AA | Flags.RA);
      for (const edns of [undefined, {}]) {
        const got = await ask(dns.address, { name, type: "AAAA", edns });
        expect(got.flags).to.equal(Flags.QR | Flags.RD | Flags.RA | rcode);
        expect(got.edns === undefined).to.equal(edns === undefined);
        expect(got.authority.map(({ owner, ttl }) => [formatName(owner), ttl <= 30])).to.deep.equal([["example.org.", true]]);
      }
    }
    expect(upstream.asked).to.have.length(2);
  });

  it("a client that acl blocks gets no remembered answer", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    const corefile = `. {\n acl {\n block net 127.0.0.2/32\n }\n cache\n forward . ${upstream.to}\n}`;
    await using dns = await startServer({ corefile });
    for (let times = 0; times < 2; times++) {
      expect((await ask(dns.address, { name: "web.example.org." })).rcode).to.equal(Rcodes.NOERROR);
      const blocked = await ask(dns.address, { name: "web.example.org." }, "127.0.0.2");
      expect([blocked.rcode, blocked.lines]).to.deep.equal([Rcodes.REFUSED, []]);
    }
    expect(upstream.asked).to.have.length(1);
  });

  it("a new Service is there at once, whatever was remembered of its name", async () => {
    await using upstream = await startUpstream({ records: `. 300 IN SOA ns. hostmaster. 1 7200 3600 1209600 300` });
    const corefile = `. {\n cache\n kubernetes cluster.local {\n fallthrough\n }\n forward . ${upstream.to}\n}`;
    await using dns = await startServer({ corefile });
    const name = "late.default.svc.cluster.local.";
    for (let times = 0; times < 2; times++) expect((await ask(dns.address, { name })).rcode).to.equal(Rcodes.NXDOMAIN);
    expect(upstream.asked).to.have.length(1);
    dns.registry.apply({ verb: "upsert", object: service({ name: "late", clusterIPs: ["10.0.0.9"] }) });
    const got = await ask(dns.address, { name });
    expect(got.lines).to.deep.equal([`${name} * IN A 10.0.0.9`]);
    expect(got.flags).to.equal(Flags.QR | Flags.AA | Flags.RD);
    dns.registry.apply({ verb: "delete", object: service({ name: "late", clusterIPs: ["10.0.0.9"] }) });
    expect((await ask(dns.address, { name })).rcode).to.equal(Rcodes.NXDOMAIN);
  });

  it("ttl 300 of kubernetes with cache 30 is answered with 30, denials too", async () => {
    const corefile = ". {\n cache 30\n kubernetes cluster.local {\n ttl 300\n }\n}";
    await using dns = await startServer({ corefile });
    dns.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.0.0.9"] }) });
    for (const edns of [undefined, { dnssecOk: true }]) {
      const got = await ask(dns.address, { name: "web.default.svc.cluster.local.", edns });
      const missing = await ask(dns.address, { name: "nope.default.svc.cluster.local.", edns });
      expect([got.answer[0]?.ttl, missing.authority[0]?.ttl]).to.deep.equal([30, 30]);
    }
  });

  it("the answer table and the chain tell the same from memory", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await startServer({ corefile: `. {\n cache\n forward . ${upstream.to}\n}` });
    const questions = [
      { name: "www.example.org." },
      { name: "Web.example.ORG.", type: "AAAA" as const },
      { name: "nope.example.org.", edns: {} },
      { name: "web.example.org.", type: "TXT" as const, edns: { udpSize: 512 } },
    ];
    for (const asked of questions) {
      await ask(dns.address, asked);
      const table = await ask(dns.address, asked);
      // Who asks for AD asks the chain.
      const chain = await ask(dns.address, { ...asked, flags: Flags.RD | Flags.AD });
      const withoutTtls = (records: DecodedMessage["answer"]): object[] =>
        records.map(({ ttl, ...rest }) => ({ ...rest, isTold: ttl > 0 }));
      for (const section of ["answer", "authority", "additional"] as const) {
        expect(withoutTtls(table[section])).to.deep.equal(withoutTtls(chain[section]));
      }
      expect([table.flags, table.edns, table.packet.length]).to.deep.equal([chain.flags, chain.edns, chain.packet.length]);
    }
    expect(upstream.asked).to.have.length(questions.length);
  });

  it("C90: with all upstreams down, what was remembered goes on being told, and says so", async () => {
    await using upstream = await startUpstream({ records: "web.example.org. 1 IN A 192.0.2.1" });
    const corefile = `. {\n cache {\n success 1024 1 0\n serve_stale 1h immediate 30s\n }\n forward . ${upstream.to}\n}`;
    await using dns = await startServer({ corefile });
    await ask(dns.address, { name: "web.example.org." });
    await upstream.down();
    // One client that asks until the second is over.
    const client = await udpClient(dns.address);
    const endMs = performance.now() + 5000;
    let old: Got | undefined;
    while (old === undefined && performance.now() < endMs) {
      const got = await askWith(client, { name: "web.example.org.", edns: {} });
      if (got.edns?.ede?.code === EdeCodes.STALE) old = got;
    }
    client.close();
    expect(old?.answer.map(({ ttl }) => ttl)).to.deep.equal([30]);
    expect([old?.rcode, old?.lines]).to.deep.equal([Rcodes.NOERROR, ["web.example.org. * IN A 192.0.2.1"]]);
    const other = await ask(dns.address, { name: "other.example.org." });
    expect(other.rcode).to.equal(Rcodes.SERVFAIL);
  });

  it("C49: DO is asked for upstream and remembered apart", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await startServer({ corefile: `. {\n cache\n forward . ${upstream.to}\n}` });
    for (let times = 0; times < 2; times++) {
      for (const dnssecOk of [false, true]) {
        const got = await ask(dns.address, { name: "web.example.org.", edns: { dnssecOk } });
        expect(got.edns?.dnssecOk).to.equal(dnssecOk);
      }
    }
    expect(upstream.asked.map(({ edns }) => edns?.dnssecOk ?? false)).to.deep.equal([false, true]);
  });

  it("C85: a truncated answer is fetched over TCP and remembered whole", async () => {
    const addresses = Array.from({ length: 60 }, (_, index) => `big.example.org. 300 IN A 192.0.2.${index}`).join("\n");
    await using upstream = await startUpstream({
      records: addresses,
      script: (asked) => (asked.transport === "udp" ? { truncated: true } : {}),
    });
    await using dns = await startServer({ corefile: `. {\n cache\n forward . ${upstream.to}\n}` });
    for (let times = 0; times < 3; times++) {
      expect((await ask(dns.address, { name: "big.example.org.", edns: { udpSize: 4096 } })).answer).to.have.length(60);
    }
    expect(upstream.asked.map(({ transport }) => transport)).to.deep.equal(["udp", "tcp"]);
  });

  it("hits that the answer table tells are counted", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    const server = await createServer({
      corefile: `. {\n prometheus 127.0.0.1:0\n cache\n forward . ${upstream.to}\n}`,
      file: "Corefile",
      port: 0,
      address: "127.0.0.1",
      embedded: true,
      strict: false,
      env: {},
      log: silentLog,
    });
    try {
      const [target] = server.addresses;
      if (target === undefined) throw new Error("not listening");
      for (let times = 0; times < 5; times++) await ask(target, { name: "web.example.org." });
      for (let times = 0; times < 3; times++) await ask(target, { name: "nope.example.org." });
      expect(upstream.asked).to.have.length(2);
      const text = await (await fetch(`http://127.0.0.1:${server.http.addresses[0]?.port}/metrics`)).text();
      const value = (metric: string, type = ""): string | undefined =>
        text
          .split("\n")
          .find((line) => line.startsWith(`coredns_cache_${metric}{`) && line.includes(type))
          ?.split(" ")[1];
      expect(value("requests_total")).to.equal("8");
      expect(value("misses_total")).to.equal("2");
      expect(value("hits_total", 'type="success"')).to.equal("4");
      expect(value("hits_total", 'type="denial"')).to.equal("2");
      expect(value("entries", 'type="denial",zones=".",view=""')).to.equal("1");
    } finally {
      await server.stop("now");
    }
  });
});
