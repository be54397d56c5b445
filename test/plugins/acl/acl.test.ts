import { expect } from "chai";

import { DROP, emptyReply, Rcodes, type Reply } from "../../../src/dns/message.ts";
import { formatName } from "../../../src/dns/name.ts";
import { typeName, typeOf } from "../../../src/dns/text.ts";
import { namespace } from "../../../src/testing.ts";
import { startServer, type RunningServer } from "../../../src/index.ts";
import acl from "../../../src/plugins/acl/acl.ts";
import type { Touches } from "../../../src/plugin.ts";
import { headerOf, query as packet, udpClient } from "../../helpers/dns-client.ts";
import { fakeHost, query, readDirective, setUp, type FakeHost } from "../../helpers/fake-host.ts";
import { startUpstream } from "../../helpers/upstream.ts";

const passed: Reply = { ...emptyReply(Rcodes.NOERROR, "next") };

async function decide(host: FakeHost, lines: string, question: string, address: string): Promise<string> {
  const [name = "", type = ""] = question.split(" ");
  const instance = await setUp(acl, lines, host);
  const asked = query(name, { type: typeOf(type) ?? 0, edns: {}, client: { address, family: address.includes(":") ? 6 : 4 } });
  const answer = await instance.handle?.(asked, () => passed);
  if (answer === DROP) return "drop";
  const { rcode, by, ede, perClient } = answer as Reply;
  if (by === passed.by) return perClient === true ? "pass, for this client" : "pass";
  expect(perClient, "remembered for nobody else").to.equal(true);
  return rcode === Rcodes.REFUSED && ede?.code === 15 ? "block" : rcode === Rcodes.NOERROR && ede?.code === 17 ? "filter" : "?";
}

function samples(host: FakeHost): Record<string, number> {
  const found = [...host.metrics.all()].flatMap(({ name, collect }) =>
    [...collect()].map(({ labels, value }) => ({ name, labels, value })),
  );
  return Object.fromEntries(found.map(({ name, labels, value }) => [`${name} ${Object.values(labels).join(" ")}`, value]));
}

/** `RCODE ANSWERS` of what a client at `from` gets. */
async function ask(dns: RunningServer, from: string, name: string, type: "A" | "AAAA" = "A"): Promise<string> {
  const client = await udpClient(dns.address, { address: from });
  client.send(packet({ name, type, edns: {} }));
  const answer = await client.receive();
  client.close();
  if (answer === undefined) return "nothing";
  const { rcode, counts } = headerOf(answer);
  return `${rcode} ${counts[1]}`;
}

describe("plugins/acl", () => {
  const rows: readonly {
    readonly rule: string;
    readonly lines: string;
    readonly from: string;
    readonly ask?: string;
    readonly gives: string;
  }[] = [
    {
      rule: "without a rule that fits, allowed",
      lines: "acl {\n block net 192.0.2.0/24\n}",
      from: "198.51.100.1",
      gives: "pass, for this client",
    },
    { rule: "block by network", lines: "acl {\n block net 192.0.2.0/24\n}", from: "192.0.2.9", gives: "block" },
    { rule: "filter by type and network", lines: "acl {\n filter type A net 192.0.2.0/24\n}", from: "192.0.2.9", gives: "filter" },
    {
      rule: "… not another type",
      lines: "acl {\n filter type A net 192.0.2.0/24\n}",
      from: "192.0.2.9",
      ask: "a.example. MX",
      gives: "pass",
    },
    { rule: "drop by address", lines: "acl {\n drop net 192.0.2.9\n}", from: "192.0.2.9", gives: "drop" },
    { rule: "an address is no network", lines: "acl {\n drop net 192.0.2.9\n}", from: "192.0.2.8", gives: "pass, for this client" },
    { rule: "IPv6", lines: "acl {\n block net 2001:db8::/32\n}", from: "2001:db8:1::1", gives: "block" },
    { rule: "IPv6 with an interface's name", lines: "acl {\n block net fe80::/10\n}", from: "fe80::1%eth0", gives: "block" },
    {
      rule: "the first that fits decides",
      lines: "acl {\n allow net 192.0.2.9\n block net 192.0.2.0/24\n}",
      from: "192.0.2.9",
      gives: "pass, for this client",
    },
    { rule: "… in the file's order", lines: "acl {\n block net 192.0.2.0/24\n allow net 192.0.2.9\n}", from: "192.0.2.9", gives: "block" },
    { rule: "no conditions are all", lines: "acl {\n allow net 192.0.2.0/24\n block\n}", from: "2001:db8::1", gives: "block" },
    { rule: "the same for all clients", lines: "acl {\n allow type A\n block\n}", from: "192.0.2.9", gives: "pass" },
    { rule: "* is all", lines: "acl {\n block type * net *\n}", from: "198.51.100.1", gives: "block" },
    { rule: "* among others is all", lines: "acl {\n block type A net 192.0.2.1 *\n}", from: "198.51.100.1", gives: "block" },
    { rule: "several of each", lines: "acl {\n block net 192.0.2.1 192.0.2.9 type AAAA A\n}", from: "192.0.2.9", gives: "block" },
    { rule: "words in any case, as in CoreDNS", lines: "acl {\n BLOCK Type A NET 192.0.2.9\n}", from: "192.0.2.9", gives: "block" },
    { rule: "a zone", lines: "acl sub.example. {\n block\n}", from: "192.0.2.9", ask: "www.sub.example. A", gives: "block" },
    { rule: "… not a name outside it", lines: "acl sub.example. {\n block\n}", from: "192.0.2.9", gives: "pass" },
    {
      rule: "a network as a zone",
      lines: "acl 192.0.2.0/24 {\n block\n}",
      from: "192.0.2.9",
      ask: "7.2.0.192.in-addr.arpa. PTR",
      gives: "block",
    },
    {
      rule: "the second directive decides where no rule of the first fits",
      lines: "acl {\n block net 198.51.100.0/24\n}\nacl {\n drop\n}",
      from: "192.0.2.9",
      gives: "drop",
    },
    {
      rule: "allowed in the first, the second is not asked",
      lines: "acl {\n allow net 192.0.2.9\n}\nacl {\n block\n}",
      from: "192.0.2.9",
      gives: "pass, for this client",
    },
  ];
  for (const { rule, lines, from, ask = "a.example. A", gives } of rows) {
    it(`${rule}: ${gives}`, async () => expect(await decide(fakeHost("acl"), lines, ask, from)).to.equal(gives));
  }

  it("counts what it decides by server, zone and view", async () => {
    const host = fakeHost("acl");
    const lines = "acl . sub.example. {\n block net 192.0.2.1\n filter net 192.0.2.2\n drop net 192.0.2.3\n}";
    for (const from of ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]) await decide(host, lines, "www.sub.example. A", from);
    expect(samples(host)).to.deep.equal({
      "coredns_acl_allowed_requests_total dns://:53 ": 1,
      "coredns_acl_blocked_requests_total dns://:53  sub.example.": 1,
      "coredns_acl_filtered_requests_total dns://:53  sub.example.": 1,
      "coredns_acl_dropped_requests_total dns://:53  sub.example.": 1,
    });
  });

  it("keeps from the table what a rule may concern, and no more", async () => {
    const touched = async (lines: string): Promise<string> => {
      const { below = [], types = [] } = (await setUp(acl, lines, fakeHost("acl"))).transparent as Touches;
      return [...below.map(formatName), ...types.map(typeName)].join(" ");
    };
    expect(await touched("acl {\n block net 192.0.2.0/24\n}")).to.equal(".");
    expect(await touched("acl a.example b.example {\n block\n}")).to.equal("a.example. b.example.");
    expect(await touched("acl {\n filter type AAAA net 192.0.2.0/24\n block type ANY\n}")).to.equal("AAAA ANY");
    expect(await touched("acl a.example {\n allow type A\n block\n}\nacl {\n drop type ANY\n}")).to.equal("a.example. ANY");
  });

  const wrong: readonly (readonly [string, RegExp])[] = [
    ["acl {\n deny\n}", /^Corefile:3:2: acl: unknown property 'deny'; known: allow, block, drop, filter$/],
    ["acl {\n block A\n}", /^Corefile:3:8: acl: block: expected type or net, found "A"$/],
    ["acl {\n block type\n}", /^Corefile:3:8: acl: block: type must be followed by QTYPE, found nothing$/],
    ["acl {\n block type A net\n}", /^Corefile:3:15: acl: block: net must be followed by SOURCE, found nothing$/],
    ["acl {\n block type ABC\n}", /^Corefile:3:13: acl: block: QTYPE must be a record type .*, found "ABC"$/],
    ["acl {\n block net 192.0.2.0/33\n}", /^Corefile:3:12: acl: block: SOURCE must be an address, a network .*, found "192.0.2.0\/33"$/],
    ["acl a..b {\n}", /^Corefile:2:5: acl: ZONES must be a zone or a network/],
  ];
  for (const [lines, says] of wrong) {
    it(`refuses ${lines.replaceAll("\n", " ")}`, () => {
      const { options, findings } = readDirective(acl, lines);
      expect(findings.join("\n")).to.match(says);
      expect(options).to.deep.equal([]);
    });
  }

  it("over the socket: a client that is blocked gets nothing of what the table has", async () => {
    const corefile = `. {
      acl blocked.example {
        block net 127.0.0.2
      }
      hosts {
        192.0.2.1 www.blocked.example
        192.0.2.2 www.free.example
      }
    }`;
    await using dns = await startServer({ corefile });
    const blocked = `${Rcodes.REFUSED} 0`;
    const answered = `${Rcodes.NOERROR} 1`;
    expect(await ask(dns, "127.0.0.1", "www.blocked.example.")).to.equal(answered);
    expect(await ask(dns, "127.0.0.2", "www.blocked.example.")).to.equal(blocked);
    expect(await ask(dns, "127.0.0.2", "www.free.example.")).to.equal(answered);
  });

  it("over the socket: a client that is blocked gets nothing that was remembered (coredns#8289)", async () => {
    await using upstream = await startUpstream({ records: "*.example.org. 300 IN A 192.0.2.1\n*.example.org. 300 IN AAAA 2001:db8::1" });
    const corefile = `. {
      acl blocked.example.org {
        block net 127.0.0.2
      }
      acl {
        filter type AAAA net 127.0.0.2
      }
      cache
      forward . ${upstream.to}
    }`;
    await using dns = await startServer({ corefile });
    const gives = async (from: string, question: string, type: "A" | "AAAA", expected: string): Promise<void> => {
      expect(await ask(dns, from, question, type), `${from} ${question} ${type}`).to.equal(expected);
    };
    for (const _ of ["first", "remembered"]) {
      for (const name of ["www.blocked.example.org.", "www.free.example.org."]) {
        for (const type of ["A", "AAAA"] as const) await gives("127.0.0.1", name, type, `${Rcodes.NOERROR} 1`);
      }
      await gives("127.0.0.2", "www.blocked.example.org.", "A", `${Rcodes.REFUSED} 0`);
      await gives("127.0.0.2", "www.blocked.example.org.", "AAAA", `${Rcodes.REFUSED} 0`);
      await gives("127.0.0.2", "www.free.example.org.", "AAAA", `${Rcodes.NOERROR} 0`);
      await gives("127.0.0.2", "www.free.example.org.", "A", `${Rcodes.NOERROR} 1`);
    }
    expect(upstream.asked.length, "all else was remembered").to.equal(4);
  });

  it("over the socket: autopath tells a client that is blocked nothing that it has found for another (coredns#8290)", async () => {
    await using upstream = await startUpstream({ records: "google.com. 300 IN A 192.0.2.1\n. 300 IN SOA a. b. 1 2 3 4 5" });
    const corefile = `. {
      autopath @kubernetes
      acl google.com {
        block net 127.0.0.2
      }
      cache
      kubernetes cluster.local
      forward . ${upstream.to}
    }`;
    await using dns = await startServer({ corefile });
    dns.registry.apply({ verb: "upsert", object: namespace("default") });
    const name = "google.com.default.svc.cluster.local.";
    for (const _ of ["first", "again"]) {
      expect(await ask(dns, "127.0.0.1", name)).to.equal(`${Rcodes.NOERROR} 2`);
      expect(await ask(dns, "127.0.0.2", name)).to.equal(`${Rcodes.NXDOMAIN} 0`);
    }
  });
});
