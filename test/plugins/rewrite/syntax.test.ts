// What a `rewrite` line may say, and what is said of those that may not.

import { expect } from "chai";
import fc from "fast-check";

import rewrite from "../../../src/plugins/rewrite/rewrite.ts";
import { AT, fakeHost, readDirective } from "../../helpers/fake-host.ts";
import { anAddress, toQuery } from "./fixture.ts";

const HOW = "[exact|prefix|suffix|substring|regex]";
const NAME = `${HOW} FROM TO [answer auto|name FROM TO|value FROM TO]...`;
const LOCAL = "local set|append|replace CODE DATA [revert] or local unset CODE";
const SUBNET = "subnet set|append|replace IPV4-BITS IPV6-BITS [revert] or subnet unset";

describe("rewrite: the rules of CoreDNS are read", () => {
  const accepted = [
    "name a.com b.com",
    "name exact a.com b.com",
    "name EXACT a.com b.com",
    "name prefix a.com b.com",
    "name suffix a.com b.com",
    "name substring a.com b.com",
    "name regex ([a])\\.com new-{1}.com",
    "name regex (dns)\\.(core)\\.(rocks) {2}.{1}.{3} answer name (core)\\.(dns)\\.(rocks) {2}.{1}.{3}",
    "name substring fcore.dns.rocks dns.fcore.rocks answer name (fcore)\\.(dns)\\.(rocks) {2}.{1}.{3}",
    "name suffix .a .b answer auto",
    "name suffix .a .b answer auto value a b",
    "name suffix .a .b answer auto answer value a b answer value b c",
    "name suffix .a .b answer name a b name b c value c d",
    "name suffix .a .b answer name auto answer value a b",
    "name suffix .a .b answer name auto",
    "type any a",
    "type ANY TYPE65280",
    "class ch in",
    "ttl example.com. 30-300",
    "ttl example.com. -30",
    "ttl example.com. 30-",
    "ttl regex (.*)\\.coredns\\.rocks 15",
    "rcode regex (.*)\\.coredns\\.rocks SERVFAIL NOERROR",
    "rcode example.org 2 0",
    "rcode suffix .example.org notimpl badcookie",
    "cname exact a.example b.example",
    "cname a.example b.example",
    "cname regex (.*).cdn.example.net. {1}.other.cdn.com.",
    "edns0 local set 65518 abcdefg",
    "edns0 local set 0xffee 0x61626364 revert",
    "edns0 local append 0xffee abcdefg",
    "edns0 local replace 0xffee abcdefg revert",
    "edns0 local unset 0xffee",
    ...["{qname}", "{qtype}", "{client_ip}", "{client_port}", "{protocol}", "{server_ip}", "{server_port}"].map(
      (variable) => `edns0 local set 0xffee ${variable}`,
    ),
    "edns0 local set 0xffee {some-plugin/some-label}",
    "edns0 nsid set",
    "edns0 nsid append revert",
    "edns0 nsid unset",
    "EDNS0 Subnet SET 24 56",
    "edns0 subnet append 24 56 revert",
    "edns0 subnet unset",
  ];
  for (const rule of accepted) {
    it(rule, () => {
      for (const mode of ["", "stop ", "continue ", "STOP "]) {
        const { options, findings } = readDirective(rewrite, `rewrite ${mode}${rule}`);
        expect(findings).to.deep.equal([]);
        expect(options[0]).to.have.length(1);
        expect(options[0]?.[0]?.stops).to.equal(mode !== "continue ");
      }
    });
  }

  it("many lines are one list, in the order of the file; a block is one rule", () => {
    const text = "rewrite name a b\nrewrite stop {\nname suffix\n.a .b\nanswer auto\n}\nrewrite {\ncontinue ttl a 5\n}";
    const { options, findings } = readDirective(rewrite, text);
    expect(findings).to.deep.equal([]);
    expect(options).to.have.length(1);
    expect(options[0]?.map(({ stops }) => stops)).to.deep.equal([true, true, false]);
  });
});

describe("rewrite: errors say where, what was found and what is allowed", () => {
  const rows: readonly (readonly [rule: string, says: string])[] = [
    ["", "2:1: rewrite: expected [continue|stop] and one of name, type, class, ttl, rcode, cname, edns0"],
    ["stop", "2:1: rewrite: expected [continue|stop] and one of name, type, class, ttl, rcode, cname, edns0"],
    ["foo", '2:9: rewrite: expected name, type, class, ttl, rcode, cname, edns0, found "foo"'],
    ["nam a b", '2:9: rewrite: expected name, type, class, ttl, rcode, cname, edns0, found "nam", did you mean "name"?'],
    ["contnue name a b", '2:9: rewrite: expected name, type, class, ttl, rcode, cname, edns0, found "contnue", did you mean "continue"?'],
    [
      "rcode example.org NXDOMIAN NOERROR",
      '2:27: rewrite: rcode: RCODE must be a response code like SERVFAIL, or its number, found "NXDOMIAN", did you mean "NXDOMAIN"?',
    ],
    ["unknown name a.com b.com", '2:9: rewrite: expected name, type, class, ttl, rcode, cname, edns0, found "unknown"'],
    ["answer name a b", "2:9: rewrite: a rule for answers stands behind a name rule"],
    ["name", `2:9: rewrite: name: expected ${NAME}, found nothing`],
    ["name a.com", `2:9: rewrite: name: expected ${NAME}, found "a.com"`],
    ["name a.com b.com c.com", '2:14: rewrite: name: must be exact, prefix, suffix, substring or regex, found "a.com"'],
    [
      "name sufix a.com b.com",
      '2:14: rewrite: name: must be exact, prefix, suffix, substring or regex, found "sufix", did you mean "suffix"?',
    ],
    ["name a..com b.com", '2:14: rewrite: name: must be a domain name, found "a..com"'],
    ["name a.com b..com", '2:20: rewrite: name: TO must be a domain name, found "b..com"'],
    ["name regex ([a]\\.com new-{1}.com", "2:20: rewrite: name: must be a regular expression of Go's: missing closing ): `([a]\\.com`"],
    ["name regex a {1}.{2}", '2:22: rewrite: name: "{1}.{2}" refers to more groups than there are in "a"'],
    ["name regex (a) {2}.b", '2:24: warning: rewrite: name: "{2}.b" refers to a group that "(a)" has not: it stays as it is'],
    ["name regex (.*)\\.org$ {1}.b", '2:20: warning: rewrite: name: "(.*)\\.org$" never matches, as every name ends in a dot: write \\.$'],
    ["name substring a.com b.com c.com", '2:36: rewrite: name: expected answer, found "c.com"'],
    ["name substring a b answer", "2:28: rewrite: name: answer: expected auto, name FROM TO or value FROM TO, found nothing"],
    ["name substring a b answer ttl 5", '2:35: rewrite: name: answer: expected auto, name or value, found "ttl"'],
    [
      "name substring a b answer name a b too.long way.too.long",
      '2:44: rewrite: name: answer: expected auto, name or value, found "too.long"',
    ],
    ["name substring a b answer name a", "2:35: rewrite: name: answer name: expected FROM TO"],
    ["name substring a b answer value (a b", "2:41: rewrite: name: must be a regular expression of Go's: missing closing ): `(a`"],
    ["name substring a b answer auto name a b", "2:40: rewrite: name: answer auto can't stand beside answer name"],
    ["name substring a b answer name a {1}", '2:42: rewrite: name: "{1}" refers to more groups than there are in "a"'],
    ["type a", '2:9: rewrite: type: expected FROM TO, found "a"'],
    ["type any a a", '2:9: rewrite: type: expected FROM TO, found "any a a"'],
    ["type ANY WV", '2:18: rewrite: type: TYPE must be a record type like A or TYPE65280, found "WV"'],
    ["class IN WV", '2:18: rewrite: class: CLASS must be a class like IN or CH, found "WV"'],
    ["class ch in in", '2:9: rewrite: class: expected FROM TO, found "ch in in"'],
    ["ttl a", `2:9: rewrite: ttl: expected ${HOW} NAME SECONDS|MIN-MAX, found "a"`],
    ["ttl exact a 5 6", `2:9: rewrite: ttl: expected ${HOW} NAME SECONDS|MIN-MAX, found "exact a 5 6"`],
    ...["-", "5-4", "x", "2147483648", "1-2-3", ""].map(
      (ttl) =>
        [
          `ttl a "${ttl}"`,
          `2:15: rewrite: ttl: SECONDS must be seconds like 30, 30-300, 30- or -300, at most 2147483647, found "${ttl}"`,
        ] as const,
    ),
    ["rcode a 1", `2:9: rewrite: rcode: expected ${HOW} NAME FROM TO, found "a 1"`],
    ["rcode a FOO 1", '2:17: rewrite: rcode: RCODE must be a response code like SERVFAIL, or its number, found "FOO"'],
    ["rcode a 24 -", '2:17: rewrite: rcode: RCODE must be a response code like SERVFAIL, or its number, found "24"'],
    ["cname a", `2:9: rewrite: cname: expected ${HOW} FROM TO, found "a"`],
    ["cname foo a b", '2:15: rewrite: cname: must be exact, prefix, suffix, substring or regex, found "foo"'],
    ["edns0 local", "2:9: rewrite: edns0: expected local set|append|replace CODE DATA [revert]"],
    ["edns0 cookie set 1", '2:15: rewrite: edns0: must be local, nsid or subnet, found "cookie"'],
    ["edns0 local foo 0xffee a", '2:21: rewrite: edns0: must be set, append, replace or unset, found "foo"'],
    ["edns0 local set 0xffee", `2:9: rewrite: edns0: expected ${LOCAL}, found "local set 0xffee"`],
    ["edns0 local set x abc", '2:25: rewrite: edns0: CODE must be 0–65535, decimal or hex like 0xffee, found "x"'],
    ["edns0 local set 65536 abc", '2:25: rewrite: edns0: CODE must be 0–65535, decimal or hex like 0xffee, found "65536"'],
    ["edns0 local set 0xffee 0xabcdefg", '2:32: rewrite: edns0: DATA must be bytes in hex behind 0x, found "0xabcdefg"'],
    ["edns0 local set 0xffee {dummy}", "2:32: rewrite: edns0: DATA must be text, 0x and hex, {PLUGIN/LABEL} or one of {qname}, {qtype}, "],
    ["edns0 local unset 0xffee revert", `2:9: rewrite: edns0: expected ${LOCAL}, found "local unset 0xffee revert"`],
    ["edns0 nsid set junk", '2:9: rewrite: edns0: expected nsid set|append|replace [revert] or nsid unset, found "nsid set junk"'],
    ["edns0 subnet set 33 56", '2:26: rewrite: edns0: IPV4-BITS must be 0–32, found "33"'],
    ["edns0 subnet set 24 -56", '2:29: rewrite: edns0: IPV6-BITS must be 0–128, found "-56"'],
    ["edns0 subnet append 24 56 72", `2:9: rewrite: edns0: expected ${SUBNET}, found "subnet append 24 56 72"`],
    ["edns0 subnet unset 24 56", `2:9: rewrite: edns0: expected ${SUBNET}, found "subnet unset 24 56"`],
    ["stop {\nttl a 5\nttl b 5\n}", `3:1: rewrite: ttl: expected ${HOW} NAME SECONDS|MIN-MAX, found "a 5 ttl b 5"; a block holds one rule`],
    ["name a b {\nanswer auto\n}", "2:1: rewrite: takes no block behind a rule"],
    ["stop {\nname a b {\nanswer\n}\n}", "3:1: rewrite: takes no block"],
  ];
  for (const [rule, says] of rows) {
    it(`${rule.replaceAll("\n", "; ") || "nothing"}: ${says.slice(0, 90)}`, () => {
      const { options, findings } = readDirective(rewrite, `rewrite ${rule}`);
      expect(findings[0]).to.contain(`Corefile:${says}`);
      expect(options).to.have.length(says.includes("warning: ") ? 1 : 0);
    });
  }

  it("all that is wrong is told at once", () => {
    expect(readDirective(rewrite, "rewrite type a\nrewrite name a b\nrewrite class b").findings).to.have.length(2);
  });

  it("whatever the words are, they give a rule or an error, and the rule an answer", async () => {
    const known =
      "stop name regex suffix answer auto value local append unset revert A IN 24 0xffee a.nl .nl . .. (.*) {1} a$ {qname} {x/y} 30- -30 SERVFAIL \\ \\046 (?i)A ü";
    const begin =
      "name|name regex|name prefix|continue name suffix|type|class|ttl|ttl regex|rcode|cname|cname substring|edns0 local set|stop|foo";
    const word = fc.oneof(
      fc.constantFrom(...known.split(" ")),
      fc.string({ maxLength: 4 }).filter((text) => /^[^\s"#{}]+$/.test(text)),
    );
    const line = fc
      .tuple(fc.constantFrom(...begin.split("|")), fc.array(word, { maxLength: 6 }))
      .map(([first, words]) => [first, ...words].join(" "));
    let rules = 0;
    await fc.assert(
      fc.asyncProperty(line, fc.constantFrom("a.nl", ".", "\\046.\\000.nl", "c.nl"), async (words, name) => {
        const { options, findings } = readDirective(rewrite, `rewrite ${words}`);
        const failed = findings.some((finding) => !finding.includes("warning: "));
        expect(options).to.have.length(failed ? 0 : 1);
        if (options[0] === undefined) return;
        rules++;
        const instance = await rewrite.setup(options[0], fakeHost("rewrite"), AT);
        const answer = await instance.handle?.(toQuery(`${name} A`), anAddress);
        expect(answer).to.have.property("rcode");
      }),
      { numRuns: 2000 },
    );
    expect(rules).to.be.greaterThan(100);
  });
});
