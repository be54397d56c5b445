import { expect } from "chai";

import { emptyReply, Rcodes, type Reply } from "../../src/dns/message.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { parseName } from "../../src/dns/name.ts";
import { parseRecordSets, typeOf } from "../../src/dns/text.ts";
import { startServer } from "../../src/index.ts";
import local from "../../src/plugins/local/local.ts";
import { headerOf, query as packet, udpAsk } from "../helpers/dns-client.ts";
import { fakeHost, query, readDirective, setUp, type FakeHost } from "../helpers/fake-host.ts";
import { formatReply } from "./kubernetes/fixture.ts";

const passed: Reply = emptyReply(Rcodes.REFUSED, "next");

async function ask(host: FakeHost, question: string, lines = "local"): Promise<Reply> {
  const [name = "", type = ""] = question.split(" ");
  const instance = await setUp(local, lines, host);
  return (await instance.handle?.(query(name, { type: typeOf(type) ?? 0 }), () => passed)) as Reply;
}

const soa = (owner: string): string => `authority ${owner} 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800`;

const LOOPBACK_IPV6 = `1.${"0.".repeat(31)}ip6.arpa.`;

describe("plugins/local", () => {
  const rows: readonly (readonly [string, readonly string[] | "next", string?])[] = [
    ["localhost. A", ["localhost. 604800 IN A 127.0.0.1"]],
    ["LOCALHOST. AAAA", ["localhost. 604800 IN AAAA ::1"]],
    ["localhost. MX", [soa("localhost.")]],
    [
      "localhost. NS",
      ["localhost. 604800 IN NS localhost.", "additional localhost. 604800 IN A 127.0.0.1", "additional localhost. 604800 IN AAAA ::1"],
    ],
    ["app.localhost. A", ["app.localhost. 604800 IN A 127.0.0.1"]],
    ["a.b.localhost. AAAA", ["a.b.localhost. 604800 IN AAAA ::1"]],
    ["app.localhost. TXT", [soa("localhost.")]],
    ["1.0.0.127.in-addr.arpa. PTR", ["1.0.0.127.in-addr.arpa. 604800 IN PTR localhost."]],
    ["1.0.0.127.in-addr.arpa. A", [soa("127.in-addr.arpa.")]],
    [`${LOOPBACK_IPV6} PTR`, [`${LOOPBACK_IPV6} 604800 IN PTR localhost.`]],
    [`0.${LOOPBACK_IPV6} PTR`, ["NXDOMAIN", soa(LOOPBACK_IPV6)]],
    [LOOPBACK_IPV6.replace("1", "2") + " PTR", "next"],
    ["2.0.0.127.in-addr.arpa. PTR", ["NXDOMAIN", soa("127.in-addr.arpa.")]],
    ["0.0.0.0.in-addr.arpa. PTR", ["NXDOMAIN", soa("0.in-addr.arpa.")]],
    ["255.255.255.255.in-addr.arpa. PTR", ["NXDOMAIN", soa("255.in-addr.arpa.")]],
    ["255.in-addr.arpa. A", [soa("255.in-addr.arpa.")]],
    ["localhost.example.org. A", ["localhost.example.org. 604800 IN A 127.0.0.1"]],
    ["localhost.example.org. TXT", [soa("localhost.example.org.")]],
    ["localhost.example.org. A", "next", "local {\n localhost_prefix off\n}"],
    ["app.localhost. A", ["app.localhost. 604800 IN A 127.0.0.1"], "local {\n localhost_prefix off\n}"],
    ["localhosts.example.org. A", "next"],
    ["www.example.org. A", "next"],
    ["8.8.8.8.in-addr.arpa. PTR", "next"],
    ["localhost.default.svc.cluster.local. A", "next"],
  ];
  for (const [question, gives, lines] of rows) {
    it(`${question}${lines === undefined ? "" : " with localhost_prefix off"}`, async () => {
      const records = parseRecordSets("cluster.local. 5 IN SOA ns.cluster.local. root.cluster.local. 1 0 0 0 5");
      const host = fakeHost("local");
      host.siblings["kubernetes"] = { zones: [createZone({ apex: parseName("cluster.local"), records })] };
      const answer = await ask(host, question, lines);
      if (gives === "next") expect(answer).to.equal(passed);
      else expect(formatReply(answer)).to.deep.equal(gives);
    });
  }

  it("counts names below localhost and localhost.DOMAIN, and no others", async () => {
    const host = fakeHost("local");
    for (const name of ["localhost.", "a.localhost.", "localhost.example.org.", "1.0.0.127.in-addr.arpa."]) await ask(host, `${name} A`);
    const [metric] = host.metrics.all();
    expect([...(metric?.collect() ?? [])].map(({ value }) => value)).to.deep.equal([2]);
    expect(host.lines[0]).to.equal(`[DEBUG] plugin/local: Intercepting localhost query for "a.localhost." A, from 192.0.2.7`);
  });

  it("takes on or off", () => {
    const { findings } = readDirective(local, "local {\n localhost_prefix maybe\n}");
    expect(findings).to.deep.equal([`Corefile:3:19: local: localhost_prefix: must be on or off, found "maybe"`]);
  });

  it("over the socket, in front of hosts, authoritative", async () => {
    await using dns = await startServer({
      corefile: ". {\n local\n hosts {\n 192.0.2.9 app.localhost www.example.org\n fallthrough\n }\n}",
    });
    const flagsOf = async (name: string, type: "A" | "MX"): Promise<string> => {
      const { flags, counts } = headerOf((await udpAsk(dns.address, packet({ name, type }))) as Buffer);
      return `${(flags & 0x0480).toString(16)} ${counts.join(" ")}`;
    };
    expect(await flagsOf("app.localhost.", "A"), "AA").to.equal("400 1 1 0 0");
    expect(await flagsOf("app.localhost.", "MX")).to.equal("400 1 0 1 0");
    expect(await flagsOf("localhost.example.org.", "MX"), "RA").to.equal("80 1 0 1 0");
    expect((await dns.query("app.localhost", "A")).addresses).to.deep.equal(["127.0.0.1"]);
    expect((await dns.query("www.example.org", "A")).addresses).to.deep.equal(["192.0.2.9"]);
  });
});
