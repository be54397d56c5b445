import { expect } from "chai";
import { NdotsError } from "../../src/errors.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import {
  classOf,
  formatRecord,
  parseRecord,
  parseRecordSets,
  rcodeName,
  rdataFromText,
  rdataToText,
  typeName,
  typeOf,
} from "../../src/dns/text.ts";

const ORIGIN = parseName("example.org.");

describe("dns/text: a record in canonical form reads and writes back the same", () => {
  const records = `
    web.example.org. 5 IN A 192.0.2.1
    web.example.org. 5 IN AAAA 2001:db8::1
    web.example.org. 5 IN AAAA ::
    web.example.org. 5 IN AAAA ::1
    web.example.org. 5 IN AAAA 1::
    web.example.org. 5 IN AAAA 2001:db8:0:1:1:1:1:1
    web.example.org. 5 IN AAAA 2001:0:0:1::1
    web.example.org. 5 IN AAAA 2001:db8::1:0:0:1
    example.org. 3600 IN NS ns.example.org.
    . 3600 IN NS a.root-servers.net.
    www.example.org. 0 IN CNAME web.example.org.
    1.2.0.192.in-addr.arpa. 30 IN PTR web.example.org.
    example.org. 5 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 86400 4294967295
    example.org. 2147483647 IN MX 10 mail.example.org.
    example.org. 5 IN MX 0 .
    example.org. 5 IN TXT "1.1.0"
    example.org. 5 IN TXT "a b" "" "say \\"hi\\" \\\\ ; no comment" "\\000\\255"
    _http._tcp.web.example.org. 5 IN SRV 0 100 80 web.example.org.
    web.example.org. 8482 IN HINFO "ANY obsoleted" "See RFC 8482"
    example.org. 5 IN CAA 0 issue "ca.example.net; account=1"
    example.org. 5 IN CAA 128 iodef ""
    example.org. 5 IN RP hostmaster.example.org. .
    example.org. 5 IN AFSDB 1 ns.example.org.
    example.org. 5 IN NAPTR 100 10 "s" "SIP+D2U" "!^.*$!sip:info@example.org!" _sip._udp.example.org.
    example.org. 5 IN KX 10 ns.example.org.
    example.org. 5 IN DNAME example.net.
    example.org. 5 IN DS 60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118
    example.org. 5 IN SSHFP 4 2 00ff
    example.org. 5 IN DNSKEY 257 3 13 AQID
    _443._tcp.example.org. 5 IN TLSA 3 1 1 00ff
    example.org. 5 IN SMIMEA 3 0 0 00
    example.org. 5 IN CDS 0 0 0 00
    example.org. 5 IN CDNSKEY 0 3 0 AA==
    example.org. 5 IN OPENPGPKEY AQID
    example.org. 5 IN SPF "v=spf1 -all"
    _http._tcp.example.org. 5 IN URI 10 1 "https://example.org/"
    example.org. 5 IN TYPE1000 \\# 3 0a0b0c
    example.org. 5 IN TYPE1001 \\# 0
    example.org. 5 IN HTTPS 0 svc.example.net.
    example.org. 5 IN HTTPS 1 .
    example.org. 5 IN HTTPS 1 . mandatory=alpn,port alpn="h2,h3" port=8443
    example.org. 5 IN SVCB 16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2" no-default-alpn ech=AQID key667="hello\\210qoo"
    example.org. 5 IN SVCB 1 . ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1,2001:db8::2 dohpath="/q{?dns}" ohttp key9
    \\000\\.a\\\\\\"b\\(\\)\\;\\@.example.org. 5 CH TXT "x"
    example.org. 5 CLASS9999 A 192.0.2.1
    __proto__.example.org. 5 IN A 192.0.2.1`;
  for (const line of records
    .trim()
    .split("\n")
    .map((text) => text.trim())) {
    it(line, () => {
      const { rdata, ...head } = parseRecord(line);
      expect(formatRecord(head, rdata)).to.equal(line);
    });
  }
});

describe("dns/text: what is not canonical reads too", () => {
  const rows: [text: string, same: string][] = [
    ["WEB.Example.ORG. 5 in a 192.0.2.1", "web.example.org. 5 IN A 192.0.2.1"],
    ["web 5 A 192.0.2.1", "web.example.org. 5 IN A 192.0.2.1"],
    ["web IN 5 A 192.0.2.1", "web.example.org. 5 IN A 192.0.2.1"],
    ["@ HTTPS 1 . port=8443 alpn=h2,h3", 'example.org. 30 IN HTTPS 1 . alpn="h2,h3" port=8443'],
    ['@ SVCB 1 web key667="a b" key1=h2', 'example.org. 30 IN SVCB 1 web.example.org. alpn="h2" key667="a b"'],
    ["@ HTTPS 1 . mandatory=port,alpn port=1 alpn=h2", 'example.org. 30 IN HTTPS 1 . mandatory=alpn,port alpn="h2" port=1'],
    ["@ HTTPS \\# 3 000100", "example.org. 30 IN HTTPS 1 ."],
    ["@ DS 1 13 2 00 FF", "example.org. 30 IN DS 1 13 2 00ff"],
    ["@ DNSKEY 257 3 13 AQ ID", "example.org. 30 IN DNSKEY 257 3 13 AQID"],
    ["web A 192.0.2.1 ; a comment", "web.example.org. 30 IN A 192.0.2.1"],
    ["@ MX 10 mail", "example.org. 30 IN MX 10 mail.example.org."],
    ["@ CNAME @", "example.org. 30 IN CNAME example.org."],
    ["a\\.b CNAME c\\.", "a\\.b.example.org. 30 IN CNAME c\\..example.org."],
    ["a\\\\. CNAME .", "a\\\\. 30 IN CNAME ."],
    ["web AAAA 2001:DB8::192.0.2.1", "web.example.org. 30 IN AAAA 2001:db8::c000:201"],
    ["web AAAA 1:2:3:4:5:6:7::", "web.example.org. 30 IN AAAA 1:2:3:4:5:6:7:0"],
    ["web TXT plain \\065\\;é", 'web.example.org. 30 IN TXT "plain" "A;\\195\\169"'],
    ["web TYPE1 192.0.2.1", "web.example.org. 30 IN A 192.0.2.1"],
    ["web CLASS1 TYPE1 \\# 4 c000 0201", "web.example.org. 30 IN A 192.0.2.1"],
    ["web TYPE65280 \\# 2 AB CD", "web.example.org. 30 IN TYPE65280 \\# 2 abcd"],
  ];
  for (const [text, same] of rows) {
    it(text, () => {
      const { rdata, ...head } = parseRecord(text, { origin: ORIGIN, ttl: 30 });
      expect(formatRecord(head, rdata)).to.equal(same);
    });
  }
});

describe("dns/text: what is wrong is said", () => {
  const rows: [text: string, says: RegExp][] = [
    ["", /found nothing/],
    ["web", /found no type/],
    ["web 5 IN", /found no type/],
    ["web AAA 192.0.2.1", /no such type: "AAA"; the nearest is AAAA/],
    ["web 5 5 5 A 192.0.2.1", /no such type: "5"/],
    ["web 2147483648 A 192.0.2.1", /a TTL is 0 to 2147483647 seconds, found 2147483648/],
    ["web A", /A: needs ipv4; found 0 fields/],
    ["web A 192.0.2.1 192.0.2.2", /found 2 fields/],
    ["web A 192.0.2.256", /A: "192.0.2.256" is not an IPv4 address/],
    ["web A 192.0.2", /is not an IPv4 address/],
    ["web AAAA 192.0.2.1", /is not an IPv6 address/],
    ["web AAAA fe80::1%eth0", /is not an IPv6 address/],
    ["web CNAME a..b", /a label is empty/],
    ["web MX 65536 a", /"65536" is not a number from 0 to 65535/],
    ["web SRV 0 0 -1 a", /"-1" is not a number/],
    ["web TXT", /TXT: needs strings/],
    [`web TXT ${"x".repeat(256)}`, /is not a string of at most 255 octets/],
    ['web TXT "open', /is not a string/],
    ['web TXT "open\\"', /is not a string/],
    ["web TXT \\999", /is not a string/],
    ["web TXT \\1", /is not a string/],
    ["web CAA 0 is-sue x", /is not a tag/],
    ["web CAA 256 issue x", /is not a number from 0 to 255/],
    ["web LOC 1 2 3", /LOC: is written \\# LENGTH HEX, found "1 2 3"/],
    ["web HTTPS 1", /HTTPS: needs 16 bits, name, parameters; found 1 fields: "1"/],
    ["web HTTPS 1 . alpn", /HTTPS: "alpn" is not parameters, as alpn=h2,h3 port=8443/],
    ["web HTTPS 1 . alpn=", /is not parameters/],
    ["web HTTPS 1 . port=65536", /is not parameters/],
    ["web HTTPS 1 . port=1 port=2", /is not parameters/],
    ["web HTTPS 1 . ipv4hint=2001:db8::1", /is not parameters/],
    ["web HTTPS 1 . no-default-alpn=x", /is not parameters/],
    ["web HTTPS 1 . mandatory=alpn", /is not parameters/],
    ["web HTTPS 1 . mandatory=mandatory,alpn alpn=h2", /is not parameters/],
    ["web HTTPS 1 . nosuch=x", /is not parameters/],
    ["web HTTPS 1 . key65535=x", /is not parameters/],
    ["web HTTPS 1 . key01=x", /is not parameters/],
    ["web HTTPS \\# 0", /HTTPS: the bytes "0" are no rdata of this type/],
    ["web DS 1 13 2 0", /DS: "0" is not an even number of hex digits/],
    ["web DNSKEY 257 3 13 A", /DNSKEY: "A" is not base64/],
    ["web DNSKEY 257 3 13", /needs 16 bits, 8 bits, 8 bits, base64; found 3 fields/],
    ["web TYPE65536 \\# 0", /no such type/],
    ["web TYPE1000 \\#", /number of octets and as many in hex/],
    ["web TYPE1000 \\# 2 ab", /number of octets and as many in hex/],
    ["web TYPE1000 \\# 1 zz", /number of octets and as many in hex/],
    ["web A \\# 3 c00002", /A: the bytes "3 c00002" are no rdata of this type/],
    ["web CNAME \\# 2 c000", /are no rdata of this type/],
    [`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(60)} A 192.0.2.1`, /at most 255 octets/],
    [`web TXT${` ${"x".repeat(255)}`.repeat(257)}`, /rdata has at most 65535 octets/],
  ];
  for (const [text, says] of rows) {
    it(text.slice(0, 60) || "(nothing)", () => {
      let error: unknown;
      try {
        parseRecord(text, { origin: ORIGIN });
      } catch (thrown) {
        error = thrown;
      }
      expect(error).to.be.instanceOf(NdotsError);
      expect((error as NdotsError).code).to.be.oneOf(["NDOTS_ERR_RDATA", "NDOTS_ERR_NAME"]);
      expect((error as NdotsError).message).to.match(says);
    });
  }
});

describe("dns/text: malformed rdata is written as bytes, never thrown", () => {
  const rows: [type: keyof typeof RRTypes, hex: string, text: string][] = [
    ["A", "c00002", "\\# 3 c00002"],
    ["A", "c000020101", "\\# 5 c000020101"],
    ["AAAA", "", "\\# 0"],
    ["CNAME", "0361", "\\# 2 0361"],
    ["CNAME", "c000", "\\# 2 c000"],
    ["CNAME", "000361", "\\# 3 000361"],
    ["MX", "000a", "\\# 2 000a"],
    ["MX", "0000c000", "\\# 4 0000c000"],
    ["SOA", "0000", "\\# 2 0000"],
    ["SOA", "000000000001000000", "\\# 9 000000000001000000"],
    ["TXT", "", "\\# 0"],
    ["TXT", "0261", "\\# 2 0261"],
    ["HINFO", "0161", "\\# 2 0161"],
    ["SRV", "0000", "\\# 2 0000"],
    ["CAA", "00", "\\# 1 00"],
    ["CAA", "0000", "\\# 2 0000"],
    ["CAA", "00022d2d", "\\# 4 00022d2d"],
  ];
  for (const [type, hex, text] of rows) {
    it(`${type} ${hex || "(empty)"}`, () => expect(rdataToText(RRTypes[type], Buffer.from(hex, "hex"))).to.equal(text));
  }
});

describe("dns/text: rrsets", () => {
  it("puts the records of one owner, class and type together, each once, comments and empty lines apart", () => {
    const sets = parseRecordSets(
      `; the zone
       web 5 A 192.0.2.2

       web 5 TXT "x"
       WEB 5 A 192.0.2.1 ; last
       web 5 A 192.0.2.2
       web 5 CH A 192.0.2.3`,
      { origin: ORIGIN },
    );
    expect(
      sets.map((set) => [formatName(set.owner), ...set.rdata.map((rdata) => formatRecord(set, rdata).replace(/^\S+ /, ""))]),
    ).to.deep.equal([
      ["web.example.org.", "5 IN A 192.0.2.2", "5 IN A 192.0.2.1"],
      ["web.example.org.", '5 IN TXT "x"'],
      ["web.example.org.", "5 CH A 192.0.2.3"],
    ]);
  });

  it("refuses two TTLs in one rrset", () => {
    expect(() => parseRecordSets("web 5 A 192.0.2.1\nweb 6 A 192.0.2.2")).to.throw(/one TTL \(RFC 2181 §5.2\), found 5 and 6/);
  });
});

describe("dns/text: types, classes and rcodes", () => {
  it("names a type, or numbers it", () => {
    expect([typeName(1), typeName(65), typeName(1000), typeName(0)]).to.deep.equal(["A", "HTTPS", "TYPE1000", "TYPE0"]);
    expect([
      typeOf("aaaa"),
      typeOf("type28"),
      typeOf("ANY"),
      typeOf("TYPE65536"),
      typeOf("TYPE"),
      typeOf("toString"),
      typeOf("__proto__"),
    ]).to.deep.equal([28, 28, 255, undefined, undefined, undefined, undefined]);
    expect([classOf("ch"), classOf("CLASS4"), classOf("constructor")]).to.deep.equal([3, 4, undefined]);
  });

  it("names an rcode as CoreDNS does", () => {
    expect([0, 3, 5, 6, 16, 23, 11].map(rcodeName)).to.deep.equal([
      "NOERROR",
      "NXDOMAIN",
      "REFUSED",
      "YXDOMAIN",
      "BADVERS",
      "BADCOOKIE",
      "RCODE11",
    ]);
  });

  it("builds rdata from fields without an origin", () => {
    expect(rdataToText(RRTypes.CNAME, rdataFromText(RRTypes.CNAME, ["Web.Example.org"]))).to.equal("web.example.org.");
  });
});
