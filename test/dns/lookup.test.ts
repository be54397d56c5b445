// Looking names up in zones, over a zone that stores its records.

import { expect } from "chai";
import { chase, closestEncloser, lookup, replyFrom, zoneOf } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { formatRecord, parseRecordSets, rcodeName, typeOf } from "../../src/dns/text.ts";
import type { Zone } from "../../src/dns/zone.ts";

const org = createZone({
  apex: parseName("example.org"),
  records: parseRecordSets(
    `example.org. 60 SOA ns.example.org. hostmaster.example.org. 1 2 3 4 5
     example.org. 60 NS ns.example.org.
     example.org. 60 NS ns.example.com.
     example.org. 60 MX 10 mail.example.org.
     ns.example.org. 60 A 192.0.2.1
     mail.example.org. 60 AAAA 2001:db8::1
     a.b.example.org. 60 A 192.0.2.2
     alias.example.org. 60 CNAME a.b.example.org.
     far.example.org. 60 CNAME www.example.com.
     away.example.org. 60 CNAME www.example.net.
     loop.example.org. 60 CNAME loop.example.org.
     dangling.example.org. 60 CNAME nosuch.example.com.`,
  ),
});
const com = createZone({
  apex: parseName("example.com"),
  records: parseRecordSets(
    `example.com. 60 SOA ns.example.com. hostmaster.example.com. 1 2 3 4 7
     www.example.com. 60 A 192.0.2.3`,
  ),
});
const zones: readonly Zone[] = [org, com];

describe("lookup", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["a.b.example.org A", "NOERROR AN a.b.example.org. 60 IN A 192.0.2.2"],
    ["b.example.org A", "NOERROR NS example.org. 5 IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 5"],
    ["c.b.example.org A", "NXDOMAIN NS example.org. 5 IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 5"],
    ["example.org MX", "NOERROR AN example.org. 60 IN MX 10 mail.example.org. AR mail.example.org. 60 IN AAAA 2001:db8::1"],
    [
      "example.org NS",
      "NOERROR AN example.org. 60 IN NS ns.example.org. AN example.org. 60 IN NS ns.example.com. AR ns.example.org. 60 IN A 192.0.2.1",
    ],
    ["alias.example.org CNAME", "NOERROR AN alias.example.org. 60 IN CNAME a.b.example.org."],
    ["alias.example.org A", "NOERROR AN alias.example.org. 60 IN CNAME a.b.example.org. AN a.b.example.org. 60 IN A 192.0.2.2"],
    ["far.example.org A", "NOERROR AN far.example.org. 60 IN CNAME www.example.com. AN www.example.com. 60 IN A 192.0.2.3"],
    [
      "far.example.org MX",
      "NOERROR AN far.example.org. 60 IN CNAME www.example.com. NS example.com. 7 IN SOA ns.example.com. hostmaster.example.com. 1 2 3 4 7",
    ],
    [
      "dangling.example.org A",
      "NXDOMAIN AN dangling.example.org. 60 IN CNAME nosuch.example.com. NS example.com. 7 IN SOA ns.example.com. hostmaster.example.com. 1 2 3 4 7",
    ],
    ["away.example.org A", "NOERROR AN away.example.org. 60 IN CNAME www.example.net."],
    ["loop.example.org A", "NOERROR AN loop.example.org. 60 IN CNAME loop.example.org."],
  ];
  for (const [question, gives] of rows) {
    it(question, () => {
      const [name = "", type = ""] = question.split(" ");
      const qtype = typeOf(type) ?? 0;
      const reply = replyFrom(chase(zones, lookup(org, parseName(name), qtype), qtype), "test") ?? expect.fail();
      const lines = [rcodeName(reply.rcode)];
      for (const [section, rrsets] of [
        ["AN", reply.answer],
        ["NS", reply.authority],
        ["AR", reply.additional],
      ] as const) {
        for (const rrset of rrsets) for (const rdata of rrset.rdata) lines.push(`${section} ${formatRecord(rrset, rdata)}`);
      }
      expect(lines.join(" ")).to.equal(gives);
      expect(reply.authoritative).to.equal(true);
    });
  }

  it("the closest encloser is the nearest name above that exists", () => {
    expect(formatName(closestEncloser(org, parseName("x.y.b.example.org"))?.name ?? parseName("."))).to.equal("b.example.org.");
    expect(closestEncloser(org, parseName("example.org"))).to.equal(undefined);
  });

  it("the zone of a name is the one with the longest apex", () => {
    const sub = createZone({ apex: parseName("b.example.org"), records: [] });
    expect(zoneOf([org, sub, com], parseName("a.b.example.org"))).to.equal(sub);
    expect(zoneOf([org, sub, com], parseName("xb.example.org"))).to.equal(org);
    expect(zoneOf([org, com], parseName("example.net"))).to.equal(undefined);
  });

  it("a partial name leaves other types to the chain, an absent one does not exist, an alias is followed", () => {
    const apex = parseName("test");
    const nodes = new Map([
      [parseName("partial.test"), { rrsets: [], partial: true }],
      [parseName("absent.test"), { rrsets: [], askChain: true, absent: "it is gone" }],
      [
        parseName("short.test"),
        {
          rrsets: parseRecordSets("short.test. 5 CNAME www.example.com."),
          partial: true,
          alias: { zone: com, target: parseName("www.example.com"), types: [1, 5, 28] },
        },
      ],
    ] as const);
    const zone: Zone = {
      apex,
      complete: true,
      ready: true,
      soa: () => undefined,
      node: (name) => nodes.get(name),
      names: () => nodes.keys(),
      subscribe: () => () => {},
    };
    expect(lookup(zone, parseName("partial.test"), 1)).to.deep.equal({ kind: "ask" });
    expect(lookup(zone, parseName("absent.test"), 1)).to.include({ kind: "nxdomain", reason: "it is gone" });
    expect(replyFrom(lookup(zone, parseName("absent.test"), 1), "")?.ede).to.deep.equal({ code: 0, text: "it is gone" });
    expect(lookup(zone, parseName("short.test"), 1))
      .to.have.property("answer")
      .with.length(2);
    expect(lookup(zone, parseName("short.test"), 5))
      .to.have.property("answer")
      .with.length(1);
    expect(lookup(zone, parseName("short.test"), 28)).to.include({ kind: "nodata", zone: com });
    expect(lookup(zone, parseName("short.test"), 16)).to.deep.equal({ kind: "ask" });
    expect(replyFrom({ kind: "ask" }, "")).to.equal(undefined);
  });
});
