// Rules for types, classes, TTLs, response codes and the targets of CNAMEs.

import { expect } from "chai";

import { DROP, emptyReply, Flags, type Query } from "../../../src/dns/message.ts";
import { readAnswer } from "../../../src/dns/wire.ts";
import { formatName } from "../../../src/dns/name.ts";
import { fakeHost, nextGives } from "../../helpers/fake-host.ts";
import { query as packet } from "../../helpers/dns-client.ts";
import { anAddress, lines, records, rewriting, toQuery, type Rest } from "./fixture.ts";

describe("rewrite type and class", () => {
  it("another type is asked for; the answer passes", async () => {
    const { ask, instance } = await rewriting("rewrite type ANY HINFO");
    const { asked, isUntouched } = await ask("a.nl ANY");
    expect(asked?.qtype).to.equal(13);
    expect(isUntouched).to.equal(true);
    expect((await ask("a.nl AAAA")).asked?.qtype).to.equal(28);
    expect(instance.takesClasses).to.equal(undefined);
  });

  it("class CH as IN, without a plugin that takes CH", async () => {
    const { ask, instance } = await rewriting("rewrite continue class HS CH\nrewrite class CH IN");
    expect(instance.takesClasses).to.deep.equal([4, 3]);
    for (const qclass of [3, 4]) expect((await ask({ ...toQuery("a.nl"), qclass })).asked?.qclass).to.equal(1);
  });

  it("a question of that class that its rule does not come to is refused", async () => {
    const { ask } = await rewriting("rewrite name a.nl b.nl\nrewrite class CH IN");
    const { asked, reply } = await ask({ ...toQuery("a.nl"), qclass: 3 });
    expect(asked).to.equal(undefined);
    expect(reply).to.include({ rcode: 5, by: "rewrite" });
  });
});

describe("rewrite ttl", () => {
  const next: Rest = () =>
    records("a.nl. 5 IN CNAME b.nl.\nb.nl. 3600 IN A 192.0.2.1", {
      authority: "nl. 60 IN NS ns.nl.",
      additional: "ns.nl. 120 IN A 192.0.2.2",
    });
  const rows: readonly (readonly [rule: string, ask: string, ttls: readonly number[]])[] = [
    ["ttl a.nl 15", "a.nl", [15, 15, 15, 15]],
    ["ttl a.nl 30-300", "a.nl", [30, 300, 60, 120]],
    ["ttl a.nl -30", "a.nl", [5, 30, 30, 30]],
    ["ttl a.nl 100-", "a.nl", [100, 3600, 100, 120]],
    ["ttl a.nl 15", "b.nl", [5, 3600, 60, 120]],
    ["ttl exact A.NL. 15", "a.nl", [15, 15, 15, 15]],
    ["ttl prefix a 15", "a.nl", [15, 15, 15, 15]],
    ["ttl suffix .nl 15", "a.nl", [15, 15, 15, 15]],
    ["ttl substring n 15", "a.nl", [5, 3600, 60, 120]],
    ["ttl substring .nl 15", "a.nl", [15, 15, 15, 15]],
    ["ttl regex ^[ab]\\. 15", "a.nl", [15, 15, 15, 15]],
    ["continue ttl a.nl 10-20\nrewrite ttl suffix nl 15-", "a.nl", [15, 20, 20, 20]],
    ["ttl a.nl 10-20\nrewrite ttl suffix nl 1", "a.nl", [10, 20, 20, 20]],
  ];
  for (const [rule, asks, ttls] of rows) {
    it(`${rule.replaceAll("\n", "; ")}: for ${asks} ${ttls.join(", ")}`, async () => {
      const { reply } = await (await rewriting(`rewrite ${rule}`, next)).ask(asks);
      expect([...reply.answer, ...reply.authority, ...reply.additional].map(({ ttl }) => ttl)).to.deep.equal(ttls);
    });
  }
});

describe("rewrite rcode", () => {
  const rows: readonly (readonly [rule: string, ask: string, rcode: number, gives: number])[] = [
    ["rcode regex (.*)\\.coredns\\.rocks SERVFAIL NOERROR", "a.coredns.rocks", 2, 0],
    ["rcode regex (.*)\\.coredns\\.rocks 2 0", "a.coredns.rocks", 2, 0],
    ["rcode regex (.*)\\.coredns\\.rocks 2 0", "a.coredns.rocks", 3, 3],
    ["rcode suffix .rocks servfail NXDOMAIN", "a.coredns.rocks", 2, 3],
    ["rcode a.nl 2 3", "b.nl", 2, 2],
    ["continue rcode a.nl 3 0\nrewrite rcode suffix .nl 2 3", "a.nl", 2, 0],
  ];
  for (const [rule, asks, rcode, gives] of rows) {
    it(`${rule.replaceAll("\n", "; ")}: for ${asks} ${rcode} gives ${gives}`, async () => {
      const { reply } = await (await rewriting(`rewrite ${rule}`, () => records("", { rcode }))).ask(asks);
      expect(reply.rcode).to.equal(gives);
    });
  }

  it("what no plugin took is an answer afterwards, and its error is still told", async () => {
    const unhandled = { ...emptyReply(5, ""), unhandled: true, error: "no next plugin found" } as const;
    const { reply } = await (await rewriting("rewrite rcode a.nl REFUSED NXDOMAIN", () => unhandled)).ask("a.nl");
    expect(reply).to.include({ rcode: 3, error: "no next plugin found" }).and.to.not.have.property("unhandled");
  });
});

describe("rewrite cname", () => {
  const chain = [
    "my-app.com. 200 IN CNAME my-app.example.",
    "my-app.example. 200 IN CNAME my-app.com.cdn.example.net.",
    "my-app.com.cdn.example.net. 300 IN A 192.0.2.1",
    "my-app.com.cdn.example.net. 300 IN A 192.0.2.2",
  ];
  const asks: Query[] = [];
  const hosting = (there: Rest): ReturnType<typeof fakeHost> =>
    fakeHost("rewrite", {
      ask(query) {
        asks.push(query);
        return there(query);
      },
    });
  beforeEach(() => void asks.splice(0));

  const redirected = [
    "my-app.com. 200 IN CNAME my-app.example.",
    "my-app.example. 200 IN CNAME my-app.com.other.cdn.com.",
    "my-app.com.other.cdn.com. 5 IN A 192.0.2.1",
  ];
  const rows: readonly (readonly [rule: string, gives: readonly string[]])[] = [
    ["cname regex (.*).cdn.example.net. {1}.other.cdn.com.", redirected],
    ["cname regex (.*)\\.CDN\\.example\\.net\\.$ {1}.other.cdn.com", redirected],
    ["cname suffix .cdn.example.net. .other.cdn.com.", redirected],
    ["cname suffix .cdn.example.net .other.cdn.com", redirected],
    ["cname substring cdn.example.net other.cdn.com", redirected],
    ["cname my-app.com.cdn.example.net my-app.com.other.cdn.com", redirected],
    ["cname exact other.example x.example", chain],
    ["cname regex (.*) a..b", chain],
  ];
  for (const [rule, gives] of rows) {
    it(rule, async () => {
      const { ask } = await rewriting(`rewrite ${rule}`, () => records(chain.join("\n")), hosting(anAddress));
      expect(lines((await ask("my-app.com")).reply.answer)).to.deep.equal(gives);
      expect(asks.map(({ qname, hops }) => `${formatName(qname)} ${hops}`)).to.deep.equal(
        gives === redirected ? ["my-app.com.other.cdn.com. 2"] : [],
      );
    });
  }

  it("cname prefix takes parts of labels, as CoreDNS does", async () => {
    const { ask } = await rewriting("rewrite cname prefix My-a your-a", () => records(chain.join("\n")), hosting(anAddress));
    expect(lines((await ask("my-app.com")).reply.answer)).to.deep.equal([
      "my-app.com. 200 IN CNAME your-app.example.",
      "your-app.example. 5 IN A 192.0.2.1",
    ]);
  });

  it("response code, reason and authority are the new target's; AA is that of the name asked for", async () => {
    const there = {
      ...records("", { rcode: 3, authority: "com. 5 IN SOA a. b. 1 2 3 4 5" }),
      authoritative: false,
      ede: { code: 0, text: "x" },
    };
    const { ask } = await rewriting(
      "rewrite cname suffix .net .com",
      () => records(chain.join("\n")),
      hosting(() => there),
    );
    const { reply } = await ask("my-app.com");
    expect(reply)
      .to.include({ rcode: 3, authoritative: true, by: "next" })
      .and.to.deep.include({ ede: { code: 0, text: "x" } });
    expect(lines(reply.answer)).to.deep.equal([chain[0], "my-app.example. 200 IN CNAME my-app.com.cdn.example.com."]);
    expect(lines(reply.authority)).to.deep.equal(["com. 5 IN SOA a. b. 1 2 3 4 5"]);
  });

  it("stands among the other rules, in reverse order", async () => {
    const rules = "rewrite continue name a.nl b.nl\nrewrite continue ttl suffix .nl 7\nrewrite cname x.be p.b.nl";
    const { ask } = await rewriting(rules, () => records("b.nl. 5 IN CNAME x.be."), hosting(anAddress));
    expect(lines((await ask("a.nl")).reply.answer)).to.deep.equal(["a.nl. 7 IN CNAME p.a.nl.", "p.b.nl. 5 IN A 192.0.2.1"]);
  });

  it("a cname rule is met by every question: without continue no rule behind it is", async () => {
    const { ask } = await rewriting("rewrite cname x.be y.be\nrewrite name a.nl b.nl");
    expect(formatName((await ask("a.nl")).asked?.qname ?? toQuery(".").qname)).to.equal("a.nl.");
  });

  it("where nobody knows the new target, the CNAME is all there is; what is dropped is dropped", async () => {
    const unhandled = { ...emptyReply(5, ""), unhandled: true } as const;
    const { ask } = await rewriting(
      "rewrite cname suffix .net .com",
      () => records(chain.join("\n"), { rcode: 3 }),
      hosting(() => unhandled),
    );
    const { reply } = await ask("my-app.com");
    expect([reply.rcode, ...lines(reply.answer)]).to.deep.equal([0, chain[0], "my-app.example. 200 IN CNAME my-app.com.cdn.example.com."]);
    const { instance } = await rewriting(
      "rewrite cname suffix .net .com",
      () => DROP,
      hosting(() => DROP),
    );
    expect(instance.handle?.(toQuery("my-app.com"), nextGives(records(chain.join("\n"))))).to.equal(DROP);
  });

  it("is not followed for ever", async () => {
    const { ask } = await rewriting("rewrite cname suffix .net .com", () => records(chain.join("\n")), hosting(anAddress));
    expect(lines((await ask({ ...toQuery("my-app.com"), hops: 10 })).reply.answer)).to.have.length(2);
    expect(asks).to.have.length(0);
    const loop = await rewriting(
      "rewrite cname a.nl b.nl",
      () => records("c.nl. 5 IN CNAME a.nl."),
      hosting(() => records("b.nl. 5 IN CNAME c.nl.\nc.nl. 5 IN CNAME b.nl.")),
    );
    expect(lines((await loop.ask("c.nl")).reply.answer)).to.deep.equal(["c.nl. 5 IN CNAME b.nl.", "b.nl. 5 IN CNAME c.nl."]);
  });

  it("a response code rule sees the new target's", async () => {
    const rules = "rewrite continue rcode my-app.com NXDOMAIN NOERROR\nrewrite cname suffix .net .com";
    const { ask } = await rewriting(
      rules,
      () => records(chain.join("\n")),
      hosting(() => records("", { rcode: 3 })),
    );
    expect((await ask("my-app.com")).reply.rcode).to.equal(0);
  });
});

describe("rewrite: another server's message", () => {
  const message = packet({
    name: "b.nl",
    flags: Flags.QR | Flags.RD | Flags.RA,
    counts: [1, 1, 0, 0],
    trailer: Buffer.from("c00c0001000100000005000401020304", "hex"),
  });
  const wire = readAnswer(message, "forward");

  it("is passed on as it came where no rule changes it, and as records where one does", async () => {
    if (wire === undefined) throw new Error("not sound");
    const { instance } = await rewriting("rewrite name a.nl b.nl\nrewrite ttl b.nl 5-10\nrewrite ttl b.nl. 7");
    expect(instance.handle?.(toQuery("b.nl"), nextGives(wire))).to.equal(wire);
    const { ask } = await rewriting("rewrite name a.nl b.nl", () => wire);
    const { reply } = await ask("a.nl");
    expect(lines(reply.answer)).to.deep.equal(["a.nl. 5 IN A 1.2.3.4"]);
    expect(reply).to.include({ recursionAvailable: true, by: "forward" });
  });

  it("DROP stays DROP, now and later", async () => {
    const { instance } = await rewriting("rewrite name a.nl b.nl");
    expect(instance.handle?.(toQuery("a.nl"), nextGives(DROP))).to.equal(DROP);
    expect(await instance.handle?.(toQuery("a.nl"), () => Promise.resolve<typeof DROP>(DROP))).to.equal(DROP);
  });
});
