// Rules for names: what is asked for instead, and how the answer is made to fit.

import { expect } from "chai";

import type { Name } from "../../../src/dns/name.ts";
import { query } from "../../helpers/fake-host.ts";
import { anAddress, lines, records, rewriting, toQuery } from "./fixture.ts";
import { textOf } from "../../../src/plugins/rewrite/names.ts";

describe("rewrite name: what is asked for", () => {
  const rows: readonly { readonly rules: string; readonly ask: string; readonly asks: string }[] = [
    { rules: "rewrite name a.example b.example", ask: "a.example", asks: "b.example." },
    { rules: "rewrite name exact A.example. B.Example", ask: "a.example", asks: "b.example." },
    { rules: "rewrite name a.example b.example", ask: "x.a.example", asks: "x.a.example." },
    { rules: "rewrite stop name a.example b.example", ask: "a.example", asks: "b.example." },
    { rules: "rewrite name prefix prefix to", ask: "prefix.nl", asks: "to.nl." },
    { rules: "rewrite name prefix prefix to", ask: "prefixes.nl", asks: "prefixes.nl." },
    { rules: "rewrite name suffix .suffix. .nl.", ask: "my.suffix", asks: "my.nl." },
    { rules: "rewrite name suffix .suffix .nl", ask: "suffix", asks: "suffix." },
    { rules: "rewrite name suffix suffix nl", ask: "mysuffix", asks: "mynl." },
    { rules: "rewrite name SUFFIX .schmoogle.com. .google.com.", ask: "mail.schmoogle.com", asks: "mail.google.com." },
    { rules: "rewrite name substring from.substring to", ask: "a.from.substring.nl", asks: "a.to.nl." },
    { rules: "rewrite name substring a b", ask: "a.a.nl", asks: "b.b.nl." },
    { rules: "rewrite name substring $& x", ask: "a.nl", asks: "a.nl." },
    { rules: "rewrite name substring a $&", ask: "a.nl", asks: "$&.nl." },
    { rules: "rewrite name regex (f.*m)\\.regex\\.(nl) to.{2}", ask: "from.regex.nl", asks: "to.nl." },
    { rules: "rewrite name regex (core)\\.(dns)\\.(rocks)\\.(.*) {2}.{1}.{3}.{4}", ask: "core.dns.rocks.nl", asks: "dns.core.rocks.nl." },
    {
      rules: "rewrite name regex (.*)-(us-west-1)\\.example\\.org {1}.service.{2}.consul",
      ask: "ftp-us-west-1.example.org",
      asks: "ftp.service.us-west-1.consul.",
    },
    {
      rules: "rewrite name regex (.*)\\.example\\.com {1}.default.svc.cluster.local",
      ask: "web.example.com.lan",
      asks: "web.default.svc.cluster.local.",
    },
    {
      rules: "rewrite name regex (.*)\\.example\\.com\\.$ {1}.default.svc.cluster.local",
      ask: "web.example.com.lan",
      asks: "web.example.com.lan.",
    },
    { rules: "rewrite name regex ^(x)?a\\.nl {1}b.nl", ask: "a.nl", asks: "b.nl." },
    { rules: "rewrite name regex a\\.nl {0}b.nl", ask: "a.nl", asks: "a.nlb.nl." },
    { rules: 'rewrite name regex "(a) ?\\.nl" "{1}.b.nl"', ask: "a.nl", asks: "a.b.nl." },
    // In the order of the file; the first that applies is the last, unless it goes on.
    { rules: "rewrite name a.nl b.nl\nrewrite name b.nl c.nl", ask: "a.nl", asks: "b.nl." },
    { rules: "rewrite continue name a.nl b.nl\nrewrite name b.nl c.nl\nrewrite name c.nl d.nl", ask: "a.nl", asks: "c.nl." },
    { rules: "rewrite continue name b.nl c.nl\nrewrite name a.nl b.nl", ask: "a.nl", asks: "b.nl." },
    // A block is the same as its words in one line.
    { rules: "rewrite {\nname a.nl b.nl\n}", ask: "a.nl", asks: "b.nl." },
    { rules: "rewrite continue {\nname suffix\n.nl .be\n}\nrewrite name a.be c.be", ask: "a.nl", asks: "c.be." },
    // The case of letters is the client's business.
    { rules: "rewrite name a.example b.example", ask: "A.Example", asks: "b.example." },
  ];
  for (const { rules, ask, asks } of rows) {
    it(`${rules.replaceAll("\n", "; ")}: ${ask} → ${asks}`, async () => {
      const { asked } = await (await rewriting(rules)).ask(ask);
      expect(asked === undefined ? undefined : textOf(asked.qname)).to.equal(asks);
    });
  }

  it("gives SERVFAIL with CoreDNS's words where a name is none afterwards", async () => {
    for (const [rules, ask, text] of [
      ["rewrite name prefix foo. .", "foo.nl", ".nl."],
      [`rewrite name substring a ${"x".repeat(64)}`, "a.nl", `${"x".repeat(64)}.nl.`],
      ["rewrite name regex (.*)\\.nl {1}..be", "a.nl", "a..be."],
    ] as const) {
      const { asked, reply } = await (await rewriting(rules)).ask(ask);
      expect(asked).to.equal(undefined);
      expect(reply).to.include({ rcode: 2, by: "rewrite", error: `invalid name after rewrite: ${text}` });
    }
  });

  it("a dot inside a label is no separator", async () => {
    const odd = "\x05a.org\x03net\0" as Name;
    for (const rules of ["rewrite name suffix .org.net .be", "rewrite name regex \\.org\\.net x.be", "rewrite name exact a.org.net b.be"]) {
      const { asked } = await (await rewriting(rules)).ask(query(odd));
      expect(asked?.qname).to.equal(odd);
    }
  });

  it("leaves everything else of the question as it is", async () => {
    const asks = { ...toQuery("a.nl AAAA"), hops: 3 };
    const { asked } = await (await rewriting("rewrite name a.nl b.nl")).ask(asks);
    expect(asked).to.deep.equal({ ...asks, qname: toQuery("b.nl").qname });
  });
});

describe("rewrite name: what is answered", () => {
  const rows: readonly {
    readonly rule: string;
    readonly rules: string;
    readonly ask: string;
    readonly next?: string;
    readonly gives: readonly string[];
  }[] = [
    { rule: "exact answers with the name asked for", rules: "rewrite name a.nl b.nl", ask: "a.nl", gives: ["a.nl. 5 IN A 192.0.2.1"] },
    {
      rule: "exact maps names below it back, too",
      rules: "rewrite name a.nl b.nl",
      ask: "a.nl SRV",
      next: "b.nl. 5 IN SRV 0 1 80 p.b.nl.\nb.nl. 5 IN SRV 0 1 80 pb.nl.",
      gives: ["a.nl. 5 IN SRV 0 1 80 p.a.nl.", "a.nl. 5 IN SRV 0 1 80 pb.nl."],
    },
    { rule: "others answer with the other name", rules: "rewrite name suffix .nl .be", ask: "a.nl", gives: ["a.be. 5 IN A 192.0.2.1"] },
    { rule: "suffix auto", rules: "rewrite name suffix .nl .be answer auto", ask: "a.nl", gives: ["a.nl. 5 IN A 192.0.2.1"] },
    {
      rule: "suffix auto turns every name around that ends so",
      rules: "rewrite name suffix .nl .be answer auto",
      ask: "a.nl",
      next: "a.be. 5 IN CNAME c.be.\nc.be. 5 IN CNAME d.lu.\nd.lu. 5 IN A 192.0.2.1",
      gives: ["a.nl. 5 IN CNAME c.nl.", "c.nl. 5 IN CNAME d.lu.", "d.lu. 5 IN A 192.0.2.1"],
    },
    { rule: "prefix auto", rules: "rewrite name prefix a b answer auto", ask: "a.nl", gives: ["a.nl. 5 IN A 192.0.2.1"] },
    { rule: "substring auto", rules: "rewrite name substring a b answer auto", ask: "a.nl", gives: ["a.nl. 5 IN A 192.0.2.1"] },
    { rule: "regex auto", rules: "rewrite name regex (.*)\\.nl {1}.be answer auto", ask: "a.nl", gives: ["a.nl. 5 IN A 192.0.2.1"] },
    {
      rule: "regex auto leaves other names of the domain alone",
      rules: "rewrite name regex (.*)\\.nl {1}.be answer auto",
      ask: "a.nl",
      next: "a.be. 5 IN CNAME c.be.\nc.be. 5 IN A 192.0.2.1",
      gives: ["a.nl. 5 IN CNAME c.be.", "c.be. 5 IN A 192.0.2.1"],
    },
    {
      rule: "answer name",
      rules:
        "rewrite stop {\nname regex (.*)-(us-west-1)\\.coredns\\.rocks {1}.service.{2}.consul\nanswer name (.*)\\.service\\.(us-west-1)\\.consul {1}-{2}.coredns.rocks\n}",
      ask: "ftp-us-west-1.coredns.rocks",
      gives: ["ftp-us-west-1.coredns.rocks. 5 IN A 192.0.2.1"],
    },
    {
      rule: "answer value",
      rules: "rewrite name suffix .nl .be answer auto value (.*)\\.lan\\.$ {1}.example.org",
      ask: "a.nl",
      next: "a.be. 5 IN CNAME c.lan.\nc.lan. 5 IN A 192.0.2.1",
      gives: ["a.nl. 5 IN CNAME c.example.org.", "c.lan. 5 IN A 192.0.2.1"],
    },
    {
      rule: "answer name auto is answer auto",
      rules: "rewrite stop {\nname suffix .arpa .arpa\nanswer name auto\nanswer value (.*)\\.service\\.consul\\. {1}.coredns.rocks.\n}",
      ask: "30.30.30.10.in-addr.arpa PTR",
      next: "30.30.30.10.in-addr.arpa. 60 IN PTR ftp-us-west-1.service.consul.",
      gives: ["30.30.30.10.in-addr.arpa. 60 IN PTR ftp-us-west-1.coredns.rocks."],
    },
    {
      rule: "a name that would be none stays",
      rules: "rewrite name suffix .nl .be answer name .* a..b",
      ask: "a.nl",
      gives: ["a.be. 5 IN A 192.0.2.1"],
    },
    {
      rule: "rules are undone in reverse order",
      rules: "rewrite continue name suffix .nl .be answer auto\nrewrite continue name a.be b.be\nrewrite name suffix .be .lu answer auto",
      ask: "a.nl",
      next: "b.lu. 5 IN A 192.0.2.1",
      gives: ["a.nl. 5 IN A 192.0.2.1"],
    },
  ];
  for (const { rule, rules, ask, next, gives } of rows) {
    it(rule, async () => {
      const { reply } = await (await rewriting(rules, next === undefined ? anAddress : () => records(next))).ask(ask);
      expect(lines(reply.answer)).to.deep.equal(gives);
    });
  }

  const values: readonly (readonly [type: string, rdata: string, gives: string])[] = [
    ["CNAME", "x.be.", "x.nl."],
    ["DNAME", "\\# 6 0178026265 00", "\\# 6 01 78 02 6e6c 00"],
    ["MX", "10 x.be.", "10 x.nl."],
    ["NS", "x.be.", "x.nl."],
    ["PTR", "x.be.", "x.nl."],
    ["SOA", "x.be. y.be. 1 2 3 4 5", "x.nl. y.be. 1 2 3 4 5"],
    ["SRV", "1 2 3 x.be.", "1 2 3 x.nl."],
    ["NAPTR", "\\# 17 0001 0002 0155 0353 4950 00 0178026265 00", "\\# 17 0001 0002 0155 0353 4950 00 0178026e6c 00"],
    ["TXT", '"x.be."', '"x.be."'],
  ];
  for (const [type, rdata, gives] of values) {
    it(`answer value in ${type} records: ${rdata} gives ${gives}`, async () => {
      const { ask } = await rewriting("rewrite name suffix .nl .be answer auto", () => records(`a.be. 5 IN ${type} ${rdata}`));
      expect(lines((await ask(`a.nl ${type}`)).reply.answer)).to.deep.equal(lines(records(`a.nl. 5 IN ${type} ${gives}`).answer));
    });
  }

  it("names in the authority and additional sections are rewritten as well", async () => {
    const soa = (name: string): string => `${name} 5 IN SOA ns.${name} m.${name} 1 2 3 4 5`;
    const { ask } = await rewriting("rewrite name suffix .nl .be answer auto", () =>
      records("", { rcode: 3, authority: soa("z.be."), additional: "x.be. 5 IN A 192.0.2.1" }),
    );
    const { reply } = await ask("a.nl");
    expect(reply.rcode).to.equal(3);
    expect(lines(reply.authority)).to.deep.equal(["z.nl. 5 IN SOA ns.z.nl. m.z.be. 1 2 3 4 5"]);
    expect(lines(reply.additional)).to.deep.equal(["x.nl. 5 IN A 192.0.2.1"]);
  });

  it("without an answer part, or where it changes nothing, the reply passes as it is", async () => {
    expect((await (await rewriting("rewrite name suffix .nl .be")).ask("a.nl")).isUntouched).to.equal(true);
    expect((await (await rewriting("rewrite name suffix .nl .be answer name x y")).ask("a.nl")).isUntouched).to.equal(true);
    expect((await (await rewriting("rewrite name a.nl b.nl")).ask("c.nl")).isUntouched).to.equal(true);
  });

  it("a changed answer is not said to be validated", async () => {
    const { ask } = await rewriting("rewrite name a.nl b.nl", async (query) => ({
      ...records(`${textOf(query.qname)} 5 IN A 192.0.2.1`),
      authenticated: true,
    }));
    expect((await ask("a.nl")).reply.authenticated).to.equal(false);
    expect((await ask("c.nl")).reply.authenticated).to.equal(true);
  });
});
