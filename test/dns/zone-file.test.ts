// Master files: what BIND and RFC 1035 write, and what is wrong in a file, by its line.

import { expect } from "chai";
import { parseName } from "../../src/dns/name.ts";
import { formatRecord } from "../../src/dns/text.ts";
import { readZoneFile, type IncludedFile, type ZoneFileInput } from "../../src/dns/zone-file.ts";
import { formatFinding } from "../../src/errors.ts";

const SOA = "@ 60 IN SOA ns hostmaster 1 2 3 4 5\n";
const SOA_RECORD = "example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 5";

function read(
  text: string,
  include?: ZoneFileInput["include"],
): { readonly records: string[]; readonly findings: string[]; readonly serial: number } {
  const { records, findings, serial } = readZoneFile({
    file: "zone",
    text,
    apex: parseName("example.org."),
    ...(include !== undefined && { include }),
  });
  return {
    records: records.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata))),
    findings: findings.map(formatFinding),
    serial,
  };
}

describe("dns/zone-file: what it says", () => {
  const rows: readonly { readonly rule: string; readonly text: string; readonly gives: readonly string[] }[] = [
    { rule: "a name without a dot is relative to the apex", text: "www 60 IN A 192.0.2.1", gives: ["www.example.org. 60 IN A 192.0.2.1"] },
    {
      rule: "an owner that is left out is the one before",
      text: "www 60 IN A 192.0.2.1\n\n\t60 IN TXT x",
      gives: ["www.example.org. 60 IN A 192.0.2.1", 'www.example.org. 60 IN TXT "x"'],
    },
    {
      rule: "TTL and class in either order",
      text: "a 60 IN A 192.0.2.1\nb IN 60 A 192.0.2.1",
      gives: ["a.example.org. 60 IN A 192.0.2.1", "b.example.org. 60 IN A 192.0.2.1"],
    },
    {
      rule: "a TTL that is left out is $TTL's",
      text: "$TTL 30\na A 192.0.2.1\nb 7 A 192.0.2.1\nc A 192.0.2.1",
      gives: ["a.example.org. 30 IN A 192.0.2.1", "b.example.org. 7 IN A 192.0.2.1", "c.example.org. 30 IN A 192.0.2.1"],
    },
    {
      rule: "without $TTL it is the one before",
      text: "a 7 A 192.0.2.1\nb A 192.0.2.1",
      gives: ["a.example.org. 7 IN A 192.0.2.1", "b.example.org. 7 IN A 192.0.2.1"],
    },
    {
      rule: "BIND's units",
      text: "$TTL 1h30m\na A 192.0.2.1\nb 1W2d A 192.0.2.1",
      gives: ["a.example.org. 5400 IN A 192.0.2.1", "b.example.org. 777600 IN A 192.0.2.1"],
    },
    {
      rule: "$ORIGIN, relative to the one before",
      text: "$ORIGIN sub\na 60 A 192.0.2.1\n$ORIGIN deep\n@ 60 A 192.0.2.2\n$ORIGIN example.org.\nb 60 CNAME @",
      gives: ["a.sub.example.org. 60 IN A 192.0.2.1", "deep.sub.example.org. 60 IN A 192.0.2.2", "b.example.org. 60 IN CNAME example.org."],
    },
    {
      rule: "comments, also behind a word",
      text: "; a comment\na 60 A 192.0.2.1;another\n ; a third",
      gives: ["a.example.org. 60 IN A 192.0.2.1"],
    },
    {
      rule: "parentheses join lines",
      text: 'a 60 TXT ( "one" ; first\n"two"\n)\nb 60 A ( 192.0.2.1 )',
      gives: ['a.example.org. 60 IN TXT "one" "two"', "b.example.org. 60 IN A 192.0.2.1"],
    },
    {
      rule: "a quoted string holds what would end a word",
      text: 'a 60 TXT "a ; (b) \\" c"',
      gives: ['a.example.org. 60 IN TXT "a ; (b) \\" c"'],
    },
    { rule: "escapes in names", text: "a\\.b\\032c 60 A 192.0.2.1", gives: ["a\\.b\\032c.example.org. 60 IN A 192.0.2.1"] },
    { rule: "a type or class in any case", text: "a 60 in a 192.0.2.1", gives: ["a.example.org. 60 IN A 192.0.2.1"] },
    {
      rule: "an unknown type (RFC 3597)",
      text: "a 60 CLASS1 TYPE65280 \\# 4 0a 00 00 01",
      gives: ["a.example.org. 60 IN TYPE65280 \\# 4 0a000001"],
    },
    { rule: "a known type in its unknown form", text: "a 60 A \\# 4 c0000201", gives: ["a.example.org. 60 IN A 192.0.2.1"] },
    {
      rule: "a record that is given twice stands once",
      text: "a 60 A 192.0.2.1\na 60 A 192.0.2.2\na 60 A 192.0.2.1",
      gives: ["a.example.org. 60 IN A 192.0.2.1", "a.example.org. 60 IN A 192.0.2.2"],
    },
    {
      rule: "$GENERATE",
      text: "$GENERATE 1-5/2 host-$ 60 A 192.0.2.$",
      gives: ["host-1.example.org. 60 IN A 192.0.2.1", "host-3.example.org. 60 IN A 192.0.2.3", "host-5.example.org. 60 IN A 192.0.2.5"],
    },
    {
      rule: "$GENERATE with offset, width and base",
      text: "$GENERATE 9-10 h${1,3,x}.${0,3}.${0,4,n}a.\\$\\$ 60 PTR x${-9}",
      gives: ["h00a.009.9.0.a.$$.example.org. 60 IN PTR x0.example.org.", "h00b.010.a.0.a.$$.example.org. 60 IN PTR x1.example.org."],
    },
    {
      rule: "Windows' line ends",
      text: "a 60 A 192.0.2.1\r\nb 60 A 192.0.2.2\r\n",
      gives: ["a.example.org. 60 IN A 192.0.2.1", "b.example.org. 60 IN A 192.0.2.2"],
    },
    { rule: "an owner of digits alone", text: "1 60 PTR a", gives: ["1.example.org. 60 IN PTR a.example.org."] },
  ];
  for (const { rule, text, gives } of rows) {
    it(rule, () => {
      const { records, findings } = read(SOA + text);
      expect(findings).to.deep.equal([]);
      expect(records).to.deep.equal([SOA_RECORD, ...gives]);
    });
  }

  it("a SOA over several lines, with units and without a TTL, which is then its last field", () => {
    const { records, serial } = read("@ IN SOA ns hostmaster (\n 2026112101 ; serial\n 2h 15m 1w ; times\n 5m )\n A 192.0.2.1\n");
    expect(records).to.deep.equal([
      "example.org. 300 IN SOA ns.example.org. hostmaster.example.org. 2026112101 7200 900 604800 300",
      "example.org. 300 IN A 192.0.2.1",
    ]);
    expect(serial).to.equal(2026112101);
  });

  it("a byte order mark is none of its text", () => {
    expect(read(`\uFEFF${SOA}`).records).to.deep.equal([SOA_RECORD]);
  });

  it("$INCLUDE reads another file with an origin of its own, and goes on with the one before", () => {
    const files: Readonly<Record<string, string>> = {
      "zone/sub.zone": "a 60 A 192.0.2.1\n$ORIGIN elsewhere\n",
      "zone/other file": "b 60 A 192.0.2.2\n",
    };
    const include = (path: string, from: string): IncludedFile | string => {
      const file = `${from.split("/", 1)[0]}/${path}`;
      return files[file] === undefined ? "no such file" : { file, text: files[file] };
    };
    const { records, findings } = read(
      `${SOA}$INCLUDE sub.zone sub\n 60 TXT "the owner is from before"\n$INCLUDE "other file"\nc 60 A 192.0.2.3\n$INCLUDE gone`,
      include,
    );
    expect(findings).to.deep.equal(["zone:6: $INCLUDE gone: no such file"]);
    expect(records).to.deep.equal([]);
    expect(read(`${SOA}$INCLUDE sub.zone sub\n 60 TXT x\n$INCLUDE "other file"\nc 60 A 192.0.2.3`, include).records).to.deep.equal([
      SOA_RECORD,
      "a.sub.example.org. 60 IN A 192.0.2.1",
      'example.org. 60 IN TXT "x"',
      "b.example.org. 60 IN A 192.0.2.2",
      "c.example.org. 60 IN A 192.0.2.3",
    ]);
  });
});

describe("dns/zone-file: what is wrong, by its line", () => {
  const rows: readonly (readonly [text: string, ...findings: string[]])[] = [
    ["a 60 A 192.0.2.300", 'zone:2: A: "192.0.2.300" is not an IPv4 address'],
    ["\n\na 60 NOSUCH x", 'zone:4: expected a type, as A or TYPE65280, found "NOSUCH"'],
    ["a 60 IN", "zone:2: a record is [OWNER] [TTL] [CLASS] TYPE RDATA, found no type"],
    ["a A", 'zone:2: A: needs ipv4; found 0 fields: ""'],
    ["a 60 CH TXT x", 'zone:2: the class of a zone is IN, found "CH"'],
    ["a 1x A 192.0.2.1", 'zone:2: a TTL is 0 to 2147483647 seconds, or as 1h30m, found "1x"'],
    ["a 4294967295 A 192.0.2.1", 'zone:2: a TTL is 0 to 2147483647 seconds, or as 1h30m, found "4294967295"'],
    ["a 60 AXFR x", "zone:2: AXFR stands in no zone"],
    ["a..b 60 A 192.0.2.1", 'zone:2: "a..b": a label is empty'],
    ["a 60 TXT ( x\ny", 'zone:2:10: the "(" here is never closed'],
    ["a 60 TXT x )", 'zone:2:12: ")" without a "("'],
    ["a 60 TXT ((x))", "zone:2:11: parentheses can't be nested"],
    ['a 60 TXT "x\ny"', "zone:2:10: a string that begins with a quote ends with one on its line"],
    ["$TTL soon", 'zone:2: $TTL takes one TTL, as 3600 or 1h30m, found "soon"'],
    ["$ORIGIN", 'zone:2: $ORIGIN takes one name, found ""'],
    ["$INCLUDE other", "zone:2: $INCLUDE is not allowed here"],
    ["$INCLUDE", 'zone:2: $INCLUDE takes a file and may take an origin, found ""'],
    ["$NOSUCH", "zone:2: no such directive: $NOSUCH; known: $GENERATE, $INCLUDE, $ORIGIN and $TTL"],
    [
      "$GENERATE 1-x a$ A 192.0.2.1",
      'zone:2: $GENERATE takes START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE RDATA, found "1-x" for START-STOP[/STEP]',
    ],
    ["$GENERATE 1-2 a$", "zone:2: $GENERATE takes START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE RDATA, found 1 words behind 1-2"],
    ["$GENERATE 2-1 a$ A 192.0.2.1", "zone:2: 2-1: START is at most STOP, which is at most 2147483647, and STEP at least 1"],
    ["$GENERATE 0-2147483647 a$ A 192.0.2.1", "zone:2: 0-2147483647: one $GENERATE makes at most 65536 records"],
    ["$GENERATE 1-2 a${-2} A 192.0.2.1", 'zone:2: "${-2}" for 1: the number is 0 to 2147483647 and the width at most 255'],
    ["$GENERATE 1-2 a${0,1,q} A 192.0.2.1", 'zone:2: "${0,1,q}" is not ${OFFSET[,WIDTH[,BASE]]} with a BASE of d, o, x, X, n or N'],
    ["@ 60 SOA a b 1 2 3 4 6", "zone:2: example.org. has one SOA, found another"],
    ["a 60 SOA a b 1 2 3 4 5", "zone:2: the SOA belongs to example.org., found it at a.example.org."],
    ["a 60 CNAME b\na 60 CNAME c", "zone:3: a.example.org. has one CNAME, found another"],
    ["a 60 CNAME b\na 60 A 192.0.2.1", "zone:3: a.example.org. has a CNAME (line 2) and no other records (RFC 2181 §10.1), found A"],
    ["a 60 A x\nb 60 A y", 'zone:2: A: "x" is not an IPv4 address', 'zone:3: A: "y" is not an IPv4 address'],
  ];
  for (const [text, ...findings] of rows) {
    it(text.replaceAll("\n", "⏎"), () => {
      const found = read(SOA + text);
      expect(found.findings).to.deep.equal(findings);
      expect(found.records).to.deep.equal([]);
    });
  }

  it("no SOA, no owner, no TTL", () => {
    expect(read("a 60 A 192.0.2.1").findings).to.deep.equal(["zone:0: no SOA record for example.org."]);
    expect(read(" 60 A 192.0.2.1").findings).to.deep.equal(["zone:1: the first record names its owner, found a blank"]);
    expect(read("a A 192.0.2.1").findings).to.deep.equal(["zone:1: no TTL: give one here or in front, or $TTL"]);
  });

  it("a record of another zone is left out with a warning, and so is a TTL that is not its rrset's", () => {
    const { records, findings } = read(`${SOA}a.example.net. 60 A 192.0.2.1\nb 60 A 192.0.2.1\nb 61 A 192.0.2.2\n`);
    expect(findings).to.deep.equal([
      "zone:2: warning: a.example.net. A is not in the zone example.org.; ignored",
      "zone:4: warning: the records of one rrset have one TTL (RFC 2181 §5.2): 60 as in line 3, not 61",
    ]);
    expect(records).to.deep.equal([SOA_RECORD, "b.example.org. 60 IN A 192.0.2.1", "b.example.org. 60 IN A 192.0.2.2"]);
  });

  it("a file of another kind has twenty errors, however long it is", () => {
    expect(read("this is no zone file\n".repeat(10_000)).findings).to.have.length(20);
  });

  it("files that include themselves are cut off", () => {
    const { findings } = read(SOA, undefined);
    expect(findings).to.deep.equal([]);
    const deep = read(`${SOA}$INCLUDE self`, () => ({ file: "self", text: "$INCLUDE self" }));
    expect(deep.findings).to.deep.equal(["self:1: $INCLUDE goes at most 7 files deep"]);
    const wide = read(`${SOA}$INCLUDE self`, () => ({ file: "self", text: "$INCLUDE self\n".repeat(100) }));
    expect(wide.findings.length).to.be.lessThan(25);
  });

  it("more records than allowed are refused, those of $GENERATE included", () => {
    const text = `${SOA}$GENERATE 1-60 a$ 60 A 192.0.2.1\n$GENERATE 1-60 b$ 60 A 192.0.2.1\n`;
    const { records, findings } = readZoneFile({ file: "zone", text, apex: parseName("example.org."), maxRecords: 100 });
    expect(findings.map(formatFinding)).to.deep.equal(["zone:3: a zone has at most 100 records"]);
    expect(records).to.deep.equal([]);
  });
});
