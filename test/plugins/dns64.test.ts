import { expect } from "chai";

import { DROP, emptyReply, Rcodes, type Query, type Records } from "../../src/dns/message.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { parseRecordSets, typeName, typeOf } from "../../src/dns/text.ts";
import { startServer } from "../../src/index.ts";
import dns64 from "../../src/plugins/dns64/dns64.ts";
import type { Answer, Next } from "../../src/plugin.ts";
import { ask } from "../../src/testing.ts";
import { startUpstream } from "../helpers/upstream.ts";
import { fakeHost, query, readDirective, replyWith, setUp, type Asked, type FakeHost } from "../helpers/fake-host.ts";
import { formatReply } from "./kubernetes/fixture.ts";

const IPV6: Asked = { type: RRTypes.AAAA, client: { address: "2001:db8::7", family: 6 } };
const nodata = (ttl: number): Records => ({
  ...emptyReply(Rcodes.NOERROR, "test"),
  authority: parseRecordSets(`example.org. ${ttl} IN SOA ns.example.org. root.example.org. 1 2 3 4 5`),
});
const a = replyWith("www.example.org. 300 IN A 192.0.2.33");

/** A chain whose answers are told by type. */
function chain(replies: Readonly<Record<string, Answer>>): Next & { readonly asked: string[] } {
  const asked: string[] = [];
  const next: Next = ({ qtype }) => {
    asked.push(typeName(qtype));
    return replies[typeName(qtype)] ?? emptyReply(Rcodes.NOERROR, "test");
  };
  return Object.assign(next, { asked });
}

async function handle(host: FakeHost, lines: string, question: Query, next: Next): Promise<Answer> {
  const instance = await setUp(dns64, lines, host);
  return (await instance.handle?.(question, next)) ?? DROP;
}

const www = (how: Asked = IPV6): Query => query("www.example.org.", how);

describe("plugins/dns64", () => {
  // RFC 6052 §2.4, which has no /72 to /88: CoreDNS takes them.
  const prefixes: readonly (readonly [string, string])[] = [
    ["", "64:ff9b::c000:221"],
    [" 2001:db8::/32", "2001:db8:c000:221::"],
    [" 2001:db8:100::/40", "2001:db8:1c0:2:21::"],
    [" 2001:db8:122::/48", "2001:db8:122:c000:2:2100::"],
    [" 2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"],
    [" 2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100:0"],
    [" 2001:db8:122:344::/96", "2001:db8:122:344::c000:221"],
    [" {\n prefix 2001:db8:122:344::/96\n}", "2001:db8:122:344::c000:221"],
    [" 2001:db8::/80", "2001:db8::c000:221:0"],
  ];
  for (const [given, address] of prefixes) {
    it(`192.0.2.33 behind${given.replaceAll("\n", "") || " the well-known prefix"} is ${address}`, async () => {
      const reply = (await handle(fakeHost("dns64"), `dns64${given}`, www(), chain({ A: a }))) as Records;
      expect(formatReply(reply)).to.deep.equal([`www.example.org. 300 IN AAAA ${address}`]);
    });
  }

  it("keeps CNAMEs, and the sections beside the answer", async () => {
    const next = chain({ A: replyWith("www.example.org. 60 IN CNAME web.example.org.\nweb.example.org. 300 IN A 192.0.2.33") });
    expect(formatReply((await handle(fakeHost("dns64"), "dns64", www(), next)) as Records)).to.deep.equal([
      "www.example.org. 60 IN CNAME web.example.org.",
      "web.example.org. 300 IN AAAA 64:ff9b::c000:221",
    ]);
  });

  it("the TTL is at most that of the SOA in the empty answer, else 600 s (RFC 6147 §5.1.7)", async () => {
    const long = replyWith("www.example.org. 3600 IN A 192.0.2.33");
    const ttl = async (aaaa: Answer): Promise<number | undefined> =>
      ((await handle(fakeHost("dns64"), "dns64", www(), chain({ AAAA: aaaa, A: long }))) as Records).answer[0]?.ttl;
    expect(await ttl(nodata(120))).to.equal(120);
    expect(await ttl(emptyReply(Rcodes.NOERROR, "test"))).to.equal(600);
  });

  const aaaa = replyWith("www.example.org. 300 IN AAAA 2001:db8::1");
  const rows: readonly {
    readonly rule: string;
    readonly lines?: string;
    readonly asks?: Asked;
    readonly aaaa?: Answer;
    readonly a?: Answer;
    readonly gives: "made" | "as it was";
    readonly types: string;
  }[] = [
    { rule: "a name with AAAA records has them", aaaa, gives: "as it was", types: "AAAA" },
    { rule: "translate_all does not mind", lines: "dns64 {\n translate_all\n}", aaaa, gives: "made", types: "AAAA A" },
    { rule: "mapped addresses are none", aaaa: replyWith("www.example.org. 300 IN AAAA ::ffff:192.0.2.1"), gives: "made", types: "AAAA A" },
    { rule: "NXDOMAIN stays (§5.1.2)", aaaa: emptyReply(Rcodes.NXDOMAIN, "test"), gives: "as it was", types: "AAAA" },
    { rule: "other errors are like empty answers", aaaa: emptyReply(Rcodes.SERVFAIL, "test"), gives: "made", types: "AAAA A" },
    { rule: "dropped stays dropped", aaaa: DROP, gives: "as it was", types: "AAAA" },
    { rule: "no A records either", aaaa: nodata(120), a: nodata(5), gives: "as it was", types: "AAAA A" },
    { rule: "A fails", aaaa: nodata(120), a: emptyReply(Rcodes.SERVFAIL, "test"), gives: "as it was", types: "AAAA A" },
    { rule: "A is dropped", aaaa: nodata(120), a: DROP, gives: "as it was", types: "AAAA A" },
    { rule: "not over IPv4", asks: { type: RRTypes.AAAA }, aaaa: nodata(120), gives: "as it was", types: "AAAA" },
    {
      rule: "… unless allowed",
      lines: "dns64 {\n allow_ipv4\n}",
      asks: { type: RRTypes.AAAA },
      aaaa: nodata(1),
      gives: "made",
      types: "AAAA A",
    },
    { rule: "not another type", asks: { ...IPV6, type: typeOf("MX") ?? 0 }, gives: "as it was", types: "MX" },
    {
      rule: "not for who validates (§5.5)",
      asks: { ...IPV6, flags: 0x0110, edns: { dnssecOk: true } },
      aaaa: nodata(120),
      gives: "as it was",
      types: "AAAA",
    },
  ];
  for (const { rule, lines = "dns64", asks = IPV6, aaaa: first, a: second = a, gives, types } of rows) {
    it(`${rule}: ${gives}`, async () => {
      const host = fakeHost("dns64");
      const next = chain({ ...(first !== undefined && { AAAA: first }), A: second });
      const answer = await handle(host, lines, www(asks), async (asked) => next(asked));
      if (gives === "made") expect(formatReply(answer as Records).join()).to.match(/IN AAAA 64:ff9b::c000:221$/);
      else if (first !== undefined) expect(answer).to.equal(first);
      expect(next.asked.join(" ")).to.equal(types);
      const [metric] = host.metrics.all();
      expect([...(metric?.collect() ?? [])].map(({ labels, value }) => [labels, value])).to.deep.equal(
        gives === "made" ? [[{ server: "dns://:53" }, 1]] : [],
      );
    });
  }

  it("a made answer is neither authentic nor signed", async () => {
    const signed = replyWith("www.example.org. 300 IN A 192.0.2.33");
    const rrsig = (covered: number): Uint8Array => Uint8Array.of(covered >> 8, covered, 8, 2, ...Array.from({ length: 15 }, () => 0));
    const owner = signed.answer[0]?.owner ?? query("a.").qname;
    const signatures = { owner, type: RRTypes.RRSIG, ttl: 300, rdata: [rrsig(RRTypes.A), rrsig(RRTypes.CNAME)] };
    const next = chain({ A: { ...signed, authenticated: true, answer: [...signed.answer, signatures] } });
    const reply = (await handle(fakeHost("dns64"), "dns64", www({ ...IPV6, edns: { dnssecOk: true } }), next)) as Records;
    expect(reply.authenticated).to.equal(false);
    expect(reply.answer.map(({ type, rdata }) => [typeName(type), rdata.length])).to.deep.equal([
      ["AAAA", 1],
      ["RRSIG", 1],
    ]);
  });

  for (const wrong of ["192.0.2.0/24", "2001:db8::/33", "2001:db8::/24", "2001:db8::/104", "2001:db8::1"]) {
    it(`refuses the prefix ${wrong}`, () => {
      const { findings } = readDirective(dns64, `dns64 ${wrong}`);
      expect(findings).to.deep.equal([
        `Corefile:2:7: dns64: PREFIX must be an IPv6 network of 32–96 bits, in whole bytes, found "${wrong}"`,
      ]);
    });
  }

  it("over the socket, in front of what the table has", async () => {
    const corefile = ". {\n dns64 {\n allow_ipv4\n }\n hosts {\n 192.0.2.33 www.example.org\n 2001:db8::1 six.example.org\n }\n}";
    await using dns = await startServer({ corefile });
    expect((await dns.query("www.example.org", "AAAA")).addresses).to.deep.equal(["64:ff9b::c000:221"]);
    expect((await dns.query("six.example.org", "AAAA")).addresses).to.deep.equal(["2001:db8::1"]);
    expect((await dns.query("www.example.org", "A")).addresses).to.deep.equal(["192.0.2.33"]);
  });

  it("over the socket, of what an upstream says, remembered or not", async () => {
    await using upstream = await startUpstream({
      records: "www.example.org. 300 IN A 192.0.2.33\nexample.org. 60 IN SOA a. b. 1 2 3 4 60",
    });
    await using dns = await startServer({ corefile: `. {\n dns64 2001:db8::/96 {\n allow_ipv4\n }\n cache\n forward . ${upstream.to}\n}` });
    for (const _ of ["asked", "remembered"]) {
      const { rcode, answer } = await ask(dns.address, "www.example.org", "AAAA");
      expect(rcode).to.equal("NOERROR");
      expect(answer.map((record) => record.replace(/ \d+ IN/, ""))).to.deep.equal(["www.example.org. AAAA 2001:db8::c000:221"]);
      expect((await ask(dns.address, "nosuch.example.org", "AAAA")).rcode).to.equal("NXDOMAIN");
    }
    expect(upstream.asked.map(({ name, type }) => `${name} ${type}`)).to.deep.equal([
      "www.example.org. AAAA",
      "www.example.org. A",
      "nosuch.example.org. AAAA",
    ]);
  });
});
