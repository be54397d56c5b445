// `rewrite` in front of `cache` and `forward`, over sockets: what upstreams are asked, and what comes of their answers.

import { expect } from "chai";

import { startServer, type RunningServer } from "../../../src/index.ts";
import { decodeMessage } from "../../../src/dns/decode.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { query, udpAsk } from "../../helpers/dns-client.ts";
import { startUpstream, type Upstream } from "../../helpers/upstream.ts";

const RECORDS = `
  example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 86400 30
  www.example.org. 300 IN A 192.0.2.1
  mail.example.org. 300 IN MX 10 mx.example.org.
  alias.example.org. 300 IN CNAME www.cdn.example.org.
  www.cdn.example.org. 300 IN A 192.0.2.2
  www.other.example.org. 200 IN A 192.0.2.3
`;

async function serve(rules: string, upstream: Upstream): Promise<RunningServer> {
  return startServer({ corefile: `. {\n${rules}\ncache 30\nforward . ${upstream.to}\n}\n` });
}

/** `RCODE` and the answer's records, and the authority's owners behind a slash. */
async function ask(dns: RunningServer, name: string, type: "A" | "AAAA" | "MX" = "A"): Promise<string[]> {
  const answer = decodeMessage((await udpAsk(dns.address, query({ name, type }), 5000)) as Buffer);
  if (answer === undefined) throw new Error("not sound");
  return [`${answer.rcode}`, ...answer.answer.map((record) => formatRecord(record, record.rdata).replace(/ \d+ IN /, " "))];
}

describe("rewrite: in front of cache and forward", () => {
  it("a name is asked of the upstream, and again of memory; the answer owns the client's name", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await serve("rewrite name suffix .corp.test .example.org answer auto", upstream);
    for (let turn = 0; turn < 3; turn++) {
      expect(await ask(dns, "WWW.corp.test")).to.deep.equal(["0", "www.corp.test. A 192.0.2.1"]);
      expect(await ask(dns, "mail.corp.test", "MX")).to.deep.equal(["0", "mail.corp.test. MX 10 mx.corp.test."]);
      expect(await ask(dns, "none.corp.test")).to.deep.equal(["3"]);
      expect(await ask(dns, "www.corp.test", "AAAA")).to.deep.equal(["0"]);
      expect(await ask(dns, "www.example.org")).to.deep.equal(["0", "www.example.org. A 192.0.2.1"]);
    }
    expect(upstream.asked).to.have.length(4); // each once: the rewritten name is remembered
  });

  it("a TTL rule holds for answers from memory, too", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await serve("rewrite ttl suffix .example.org 7", upstream);
    for (let turn = 0; turn < 3; turn++) {
      const { answer } = await dns.query("www.example.org");
      expect(answer).to.deep.equal(["www.example.org. 7 IN A 192.0.2.1"]);
    }
  });

  it("a CNAME's target is looked up anew, and remembered", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await serve("rewrite cname suffix .cdn.example.org. .other.example.org.", upstream);
    for (let turn = 0; turn < 3; turn++) {
      expect(await ask(dns, "alias.example.org")).to.deep.equal([
        "0",
        "alias.example.org. CNAME www.other.example.org.",
        "www.other.example.org. A 192.0.2.3",
      ]);
    }
    expect(upstream.asked).to.have.length(2);
  });

  it("a rule that leads to itself ends", async () => {
    await using upstream = await startUpstream({
      records: "a.example.org. 300 IN CNAME b.example.org.\nb.example.org. 300 IN A 192.0.2.1",
    });
    await using dns = await serve("rewrite cname b.example.org a.example.org", upstream);
    const [rcode, ...records] = await ask(dns, "a.example.org");
    expect(rcode).to.equal("0");
    expect(records.length).to.be.within(1, 12);
  });

  it("options go to the upstream; the client's own do not, and nothing comes back", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    const rules = "rewrite continue edns0 subnet set 24 56\nrewrite edns0 local set 0xffee {qname}";
    await using dns = await serve(rules, upstream);
    const message = await udpAsk(
      dns.address,
      query({ name: "www.example.org", edns: { options: [{ code: 10, data: Buffer.from("cookie!!") }] } }),
      5000,
    );
    expect(decodeMessage(message as Buffer)?.edns?.options).to.deep.equal([]);
    expect(await ask(dns, "mail.example.org", "MX")).to.deep.equal(["0", "mail.example.org. MX 10 mx.example.org."]);
    const sent = upstream.asked.map(({ edns }) => edns?.options.map(({ code, data }) => `${code}:${Buffer.from(data).toString("hex")}`));
    const local = (name: string): string => `65518:${Buffer.from(name).toString("hex")}`;
    expect(sent).to.deep.equal([
      ["8:000118007f0000", local("www.example.org.")],
      ["8:000118007f0000", local("mail.example.org.")],
    ]);
  });

  it("what is asked with other options is another question", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    const all = upstream.received(5);
    upstream.behave({ after: all });
    await using dns = await startServer({ corefile: `. {\nrewrite edns0 local set 1 {client_port}\nforward . ${upstream.to}\n}\n` });
    await Promise.all(Array.from({ length: 5 }, () => udpAsk(dns.address, query({ name: "www.example.org" }), 5000)));
    expect(upstream.asked).to.have.length(5);
  });
});
