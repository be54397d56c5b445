import { expect } from "chai";
import { chase, lookup, replyFrom } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { formatRecord, parseRecordSets, typeOf } from "../../src/dns/text.ts";
import type { RecordSet } from "../../src/dns/records.ts";
import type { Zone } from "../../src/dns/zone.ts";

function zoneOf(text: string): Zone {
  const apex = parseName("example.org.");
  return createZone({ apex, records: parseRecordSets(text, { origin: apex, ttl: 60 }) });
}

const lines = (rrsets: readonly RecordSet[]): string[] => rrsets.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata)));

// What stands at a name: its records, those of the cut above it, or that it does not exist.
function at(zone: Zone, name: string): string[] | string {
  const node = zone.node(parseName(name));
  if (node === undefined) return "NXDOMAIN";
  if (node.cut !== undefined) return ["referral", ...lines([node.cut.ns, ...node.cut.glue])];
  return node.rrsets.length === 0 ? "NODATA" : lines(node.rrsets);
}

describe("dns/map-zone: what stands at a name", () => {
  const zone = zoneOf(`
    @                SOA   ns hostmaster 1 7200 1800 86400 30
    @                NS    ns
    ns               A     192.0.2.53
    www              CNAME web
    web              A     192.0.2.1
    web              TXT   "hello"
    host.deep.in     A     192.0.2.2
    ; wildcards
    *.wild           TXT   "any"
    *.wild           A     192.0.2.3
    here.wild        A     192.0.2.4
    sub.ent.wild     A     192.0.2.5
    x.*.stars        A     192.0.2.6
    ; a zone cut
    child            NS    ns.child
    child            NS    ns.example.net.
    child            DS    1 13 2 00
    ns.child         A     192.0.2.7
    ns.child         AAAA  2001:db8::7
    *.child          A     192.0.2.8
    deeper.child     NS    ns
    other            NS    ns
    __proto__        A     192.0.2.9
    a\\.b            A     192.0.2.10`);

  const rows: [rule: string, name: string, gives: string[] | string][] = [
    ["the records of the name", "web.example.org.", ["web.example.org. 60 IN A 192.0.2.1", 'web.example.org. 60 IN TXT "hello"']],
    ["names are compared without case", "WEB.Example.ORG.", ["web.example.org. 60 IN A 192.0.2.1", 'web.example.org. 60 IN TXT "hello"']],
    ["an alias is its record", "www.example.org.", ["www.example.org. 60 IN CNAME web.example.org."]],
    ["a missing name does not exist", "nope.example.org.", "NXDOMAIN"],
    ["a name below one that exists does not exist", "a.web.example.org.", "NXDOMAIN"],
    ["an empty non-terminal gives NODATA", "deep.in.example.org.", "NODATA"],
    ["so does an empty non-terminal above it", "in.example.org.", "NODATA"],
    ["below an empty non-terminal nothing exists", "other.deep.in.example.org.", "NXDOMAIN"],
    ["a name like a property of every object does not exist", "constructor.example.org.", "NXDOMAIN"],
    ["and may be given", "__proto__.example.org.", ["__proto__.example.org. 60 IN A 192.0.2.9"]],
    ["a dot inside a label is not a separator", "a.b.example.org.", "NXDOMAIN"],
    ["a dot inside a label is found", "a\\.b.example.org.", ["a\\.b.example.org. 60 IN A 192.0.2.10"]],

    [
      "a wildcard stands for a missing name",
      "x.wild.example.org.",
      ['x.wild.example.org. 60 IN TXT "any"', "x.wild.example.org. 60 IN A 192.0.2.3"],
    ],
    [
      "a wildcard stands for names of several labels (RFC 4592 §2.2.1)",
      "a.b.c.wild.example.org.",
      ['a.b.c.wild.example.org. 60 IN TXT "any"', "a.b.c.wild.example.org. 60 IN A 192.0.2.3"],
    ],
    [
      "a wildcard asked for by its name is an ordinary name",
      "*.wild.example.org.",
      ['*.wild.example.org. 60 IN TXT "any"', "*.wild.example.org. 60 IN A 192.0.2.3"],
    ],
    ["a wildcard does not stand for a name that exists", "here.wild.example.org.", ["here.wild.example.org. 60 IN A 192.0.2.4"]],
    ["a wildcard does not reach below a name that exists", "x.here.wild.example.org.", "NXDOMAIN"],
    ["a wildcard does not stand for an empty non-terminal", "ent.wild.example.org.", "NODATA"],
    ["a wildcard does not reach across an empty non-terminal", "x.ent.wild.example.org.", "NXDOMAIN"],
    ["a wildcard does not stand for its own parent", "wild.example.org.", "NODATA"],
    ["a wildcard below a wildcard has an asterisk for a label like any other", "x.*.wild.example.org.", "NXDOMAIN"],
    ["a wildcard that is an empty non-terminal gives NODATA (RFC 4592 §4.9)", "y.stars.example.org.", "NODATA"],

    [
      "the zone cut gives a referral with glue",
      "child.example.org.",
      [
        "referral",
        "child.example.org. 60 IN NS ns.child.example.org.",
        "child.example.org. 60 IN NS ns.example.net.",
        "ns.child.example.org. 60 IN A 192.0.2.7",
        "ns.child.example.org. 60 IN AAAA 2001:db8::7",
      ],
    ],
    [
      "servers inside the zone come with their addresses",
      "other.example.org.",
      ["referral", "other.example.org. 60 IN NS ns.example.org.", "ns.example.org. 60 IN A 192.0.2.53"],
    ],
  ];
  for (const [rule, name, gives] of rows) it(`${rule}: ${name}`, () => expect(at(zone, name)).to.deep.equal(gives));

  const referral = at(zone, "child.example.org.");
  for (const name of ["ns.child", "x.child", "*.child", "a.b.c.child", "deeper.child", "x.deeper.child"]) {
    it(`names below a zone cut belong to the cut nearest to the apex: ${name}.example.org.`, () => {
      expect(at(zone, `${name}.example.org.`)).to.deep.equal(referral);
    });
  }

  it("DS at the cut is this zone's", () => {
    expect(lines(zone.node(parseName("child.example.org."))?.rrsets ?? [])).to.include("child.example.org. 60 IN DS 1 13 2 00");
  });

  it("NS at the apex is no cut", () => expect(zone.node(zone.apex)?.cut).to.equal(undefined));

  it("names() lists every name and empty non-terminal once, none below a cut, none that a wildcard stands for", () => {
    expect([...zone.names()].map((name) => formatName(name).replace("example.org.", "")).toSorted()).to.deep.equal(
      [
        "",
        "*.stars.",
        "*.wild.",
        "__proto__.",
        "a\\.b.",
        "child.",
        "deep.in.",
        "ent.wild.",
        "here.wild.",
        "host.deep.in.",
        "in.",
        "ns.",
        "other.",
      ]
        .concat(["stars.", "sub.ent.wild.", "web.", "wild.", "www.", "x.*.stars."])
        .toSorted(),
    );
  });

  it("absence proves nothing beside a wildcard and below a cut, and only there", () => {
    const open = [...zone.names()].filter((name) => zone.node(name)?.openBelow === true).map(formatName);
    expect(open.toSorted()).to.deep.equal(["child.example.org.", "other.example.org.", "stars.example.org.", "wild.example.org."]);
  });

  it("is complete, ready and never changes", () => {
    expect([zone.complete, zone.ready]).to.deep.equal([true, true]);
    zone.subscribe(() => expect.fail("told of a change"))();
  });

  it("a name outside the zone does not exist", () => expect(at(zone, "example.net.")).to.equal("NXDOMAIN"));
});

describe("dns/map-zone: what a question is answered", () => {
  const zone = zoneOf(`
    @           SOA   ns hostmaster 1 7200 1800 86400 30
    @           NS    ns
    @           MX    10 web
    ns          A     192.0.2.53
    web         A     192.0.2.1
    a.b         A     192.0.2.2
    *.wild      CNAME web
    into-child  CNAME www.child
    out         CNAME www.example.net.
    loop        CNAME loop
    child       NS    ns.child
    child       DS    1 13 2 00
    other       NS    ns
    ns.child    A     192.0.2.7`);

  const rows: [rule: string, ask: string, kind: string, answer: string[], more?: string[]][] = [
    ["the rrset asked for", "web.example.org. A", "answer", ["web.example.org. 60 IN A 192.0.2.1"]],
    [
      "with addresses of its targets",
      "example.org. MX",
      "answer",
      ["example.org. 60 IN MX 10 web.example.org."],
      ["web.example.org. 60 IN A 192.0.2.1"],
    ],
    ["a type that is not there gives NODATA", "web.example.org. AAAA", "nodata", []],
    ["an empty non-terminal gives NODATA", "b.example.org. A", "nodata", []],
    ["a missing name gives NXDOMAIN", "x.example.org. A", "nxdomain", []],
    [
      "a wildcard's alias is followed",
      "x.wild.example.org. A",
      "answer",
      ["x.wild.example.org. 60 IN CNAME web.example.org.", "web.example.org. 60 IN A 192.0.2.1"],
    ],
    ["an alias that leaves the zone ends there", "out.example.org. A", "cname", ["out.example.org. 60 IN CNAME www.example.net."]],
    ["an alias of itself is one record", "loop.example.org. A", "answer", ["loop.example.org. 60 IN CNAME loop.example.org."]],
    ["a wildcard's own name too", "*.wild.example.org. CNAME", "answer", ["*.wild.example.org. 60 IN CNAME web.example.org."]],
    [
      "a zone cut gives a referral",
      "child.example.org. NS",
      "delegation",
      [],
      ["child.example.org. 60 IN NS ns.child.example.org.", "ns.child.example.org. 60 IN A 192.0.2.7"],
    ],
    [
      "so do glue and all else below it",
      "ns.child.example.org. A",
      "delegation",
      [],
      ["child.example.org. 60 IN NS ns.child.example.org.", "ns.child.example.org. 60 IN A 192.0.2.7"],
    ],
    ["DS at the cut is answered here (RFC 4035 §3.1.4.1)", "child.example.org. DS", "answer", ["child.example.org. 60 IN DS 1 13 2 00"]],
    ["and its absence too", "other.example.org. DS", "nodata", []],
    [
      "an alias that leads below a cut ends in the referral",
      "into-child.example.org. A",
      "delegation",
      ["into-child.example.org. 60 IN CNAME www.child.example.org."],
      ["child.example.org. 60 IN NS ns.child.example.org.", "ns.child.example.org. 60 IN A 192.0.2.7"],
    ],
  ];
  for (const [rule, ask, kind, answer, more = []] of rows) {
    it(`${rule}: ${ask}`, () => {
      const [name = "", typeText = ""] = ask.split(" ");
      const type = typeOf(typeText) ?? 0;
      const found = chase([zone], lookup(zone, parseName(name), type), type);
      expect(found.kind).to.equal(kind);
      expect("answer" in found ? lines(found.answer) : []).to.deep.equal(answer);
      const reply = replyFrom(found, "test");
      expect(lines(reply?.answer ?? [])).to.deep.equal(answer);
      expect(reply?.authoritative).to.equal(kind !== "delegation" || answer.length > 0); // a referral is not our authority
      const besides = found.kind === "delegation" ? [found.cut.ns, ...found.cut.glue] : found.kind === "answer" ? found.additional : [];
      expect(lines(besides)).to.deep.equal(more);
    });
  }
});

describe("dns/map-zone: the SOA of negative answers", () => {
  const soa = (record: string): string[] => lines([zoneOf(record).soa()].filter((set) => set !== undefined));
  it("has the last field for its TTL where that is less (RFC 2308 §3)", () => {
    expect(soa("@ 3600 SOA ns hostmaster 1 2 3 4 30")).to.deep.equal([
      "example.org. 30 IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 30",
    ]);
  });
  it("keeps its own TTL where that is less", () => {
    expect(soa("@ 5 SOA ns hostmaster 1 2 3 4 30")[0]).to.match(/^example.org. 5 IN SOA/);
  });
  it("keeps its own TTL in answers to SOA questions", () => {
    const zone = zoneOf("@ 3600 SOA ns hostmaster 1 2 3 4 30");
    expect(lines(zone.node(zone.apex)?.rrsets ?? [])[0]).to.match(/^example.org. 3600 IN SOA/);
  });
  it("is absent where the zone has none", () => expect(soa("@ A 192.0.2.1")).to.deep.equal([]));
});

describe("dns/map-zone: records that can't stand in one zone", () => {
  const rows: [rule: string, text: string, says: RegExp][] = [
    ["records of another zone", "www.example.net. A 192.0.2.1", /www.example.net. A: is not in the zone example.org./],
    ["a name that only ends like the zone", "www.evilexample.org. A 192.0.2.1", /is not in the zone/],
    ["a SOA below the apex", "www SOA ns hostmaster 1 2 3 4 5", /www.example.org. SOA: belongs to the apex/],
    ["an alias beside other records", "www CNAME web\nwww A 192.0.2.1", /no other records \(RFC 2181 §10.1\)/],
    ["other records beside an alias", "www A 192.0.2.1\nwww CNAME web", /no other records/],
    ["two aliases", "www CNAME a\nwww CNAME b", /www.example.org. CNAME: is a single record/],
    ["an rrset given twice", "www A 192.0.2.1\nwww CH A 192.0.2.1", /www.example.org. A: is given twice/],
  ];
  for (const [rule, text, says] of rows) it(rule, () => expect(() => zoneOf(text)).to.throw(says));

  it("an alias may be signed (RFC 4035 §2.5)", () => {
    expect(at(zoneOf("www CNAME web\nwww RRSIG \\# 1 00\nwww NSEC \\# 1 00"), "www.example.org.")).to.have.length(3);
  });
});

describe("dns/map-zone: a DNAME gives the names below it to another name (RFC 6672)", () => {
  const zone = zoneOf(`
    @            SOA   ns hostmaster 1 7200 1800 86400 30
    old          DNAME new
    old          A     192.0.2.1
    hidden.old   A     192.0.2.2
    a.new        A     192.0.2.3
    b.new        CNAME a.new
    far          DNAME ${"x".repeat(60)}.${"y".repeat(60)}.${"z".repeat(60)}.example.net.
    loop         DNAME in.loop`);

  const rows: [rule: string, question: string, kind: string, gives: string[]][] = [
    ["its owner is an ordinary name", "old A", "answer", ["old.example.org. 60 IN A 192.0.2.1"]],
    ["it is a record like any other", "old DNAME", "answer", ["old.example.org. 60 IN DNAME new.example.org."]],
    [
      "a name below it is another name's alias",
      "a.old A",
      "answer",
      [
        "old.example.org. 60 IN DNAME new.example.org.",
        "a.old.example.org. 60 IN CNAME a.new.example.org.",
        "a.new.example.org. 60 IN A 192.0.2.3",
      ],
    ],
    [
      "that leads on",
      "b.old A",
      "answer",
      [
        "old.example.org. 60 IN DNAME new.example.org.",
        "b.old.example.org. 60 IN CNAME b.new.example.org.",
        "b.new.example.org. 60 IN CNAME a.new.example.org.",
        "a.new.example.org. 60 IN A 192.0.2.3",
      ],
    ],
    [
      "the alias itself may be asked for",
      "a.old CNAME",
      "answer",
      ["old.example.org. 60 IN DNAME new.example.org.", "a.old.example.org. 60 IN CNAME a.new.example.org."],
    ],
    [
      "what is written below it does not count",
      "hidden.old A",
      "nxdomain",
      ["old.example.org. 60 IN DNAME new.example.org.", "hidden.old.example.org. 60 IN CNAME hidden.new.example.org."],
    ],
    ["a name that gets too long is not known", `${"w".repeat(63)}.far A`, "unknown", []],
  ];
  for (const [rule, question, kind, gives] of rows) {
    it(`${rule}: ${question}`, () => {
      const [name = "", type = ""] = question.split(" ");
      const qtype = typeOf(type) ?? 0;
      const found = chase([zone], lookup(zone, parseName(`${name}.example.org.`), qtype), qtype);
      expect(found.kind).to.equal(kind);
      expect(lines("answer" in found ? found.answer : [])).to.deep.equal(gives);
    });
  }

  it("one that leads below itself ends after ten aliases", () => {
    const found = chase([zone], lookup(zone, parseName("a.loop.example.org."), 1), 1);
    expect(found.kind).to.equal("answer");
  });
});
