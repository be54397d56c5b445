// Which questions the answer table leaves to the rules: never too few, or clients would get answers that are not rewritten.

import { expect } from "chai";
import fc from "fast-check";

import { formatName, isWithin, parentOf, parseName, ROOT, type Name } from "../../../src/dns/name.ts";
import { certainEnd } from "../../../src/plugins/rewrite/certain-end.ts";
import type { Touches } from "../../../src/plugin.ts";
import { DROP, isWire } from "../../../src/dns/message.ts";
import rewrite from "../../../src/plugins/rewrite/rewrite.ts";
import { AT, fakeHost, query, readDirective } from "../../helpers/fake-host.ts";
import { anAddress, rewriting } from "./fixture.ts";

function shown(touches: true | Touches | undefined): string {
  if (touches === undefined || touches === true) return touches === true ? "nothing" : "everything";
  const { names = [], below = [], types = [], matches, missingBelow } = touches;
  const of = (texts: readonly string[], is: ((name: Name) => boolean) | undefined, sign: string): string[] =>
    texts.filter((text) => is?.(parseName(text)) === true).map((text) => sign + text);
  return (
    [
      ...names.map((name) => `=${formatName(name)}`),
      ...below.map((name) => `*${formatName(name)}`),
      ...types,
      ...of(["a.nl.", "a.com.", "x.b."], matches, "?"),
      ...of(["nl.", "c.com."], missingBelow, "?*."),
    ].join(" ") || "nothing"
  );
}

describe("rewrite: what the answer table leaves to the rules", () => {
  const rows: readonly (readonly [rules: string, touches: string])[] = [
    ["name a.nl b.nl", "=a.nl."],
    ["name suffix .nl .be", "*nl."],
    ["name suffix .a.nl .be", "*a.nl."],
    ["name suffix a.nl .be", "?a.nl. ?*.nl."],
    ["name suffix nl .be", "?a.nl. ?*.nl. ?*.c.com."],
    ["name suffix . .be", "?a.nl. ?a.com. ?x.b. ?*.nl. ?*.c.com."],
    ["name suffix ..nl .be", "nothing"],
    ["name prefix a b", "?a.nl. ?a.com. ?*.nl. ?*.c.com."],
    ["name substring a b", "?a.nl. ?a.com. ?*.nl. ?*.c.com."],
    ["name substring com b", "?a.com. ?*.nl. ?*.c.com."],
    ["name regex (.*)\\.example\\.com {1}.default.svc.cluster.local", "?*.nl. ?*.c.com."],
    ["name regex ^(.*)\\.nl\\. {1}.default.svc.cluster.local", "?a.nl. ?*.nl. ?*.c.com."],
    ["name regex (.*)\\.example\\.com\\.$ {1}.default.svc.cluster.local", "*example.com."],
    ["name regex ^(.*)\\.example\\.com\\.$ {1}.default.svc.cluster.local", "*example.com."],
    ["name regex (.*)[.]example[.]com[.]$ {1}.default.svc.cluster.local", "*example.com."],
    ["name regex (.*)a\\.com\\.$ {1}.default.svc.cluster.local", "?a.com. ?*.c.com."],
    ["name regex (.*)\\.(a|b)\\.com\\.$ {1}.{2}", "*com."],
    ["name regex (.*)\\.a\\.com\\.$|b {1}.be", "?x.b. ?*.nl. ?*.c.com."],
    ["name regex (?i)(.*)A\\.com\\.$ {1}.be", "?a.com. ?*.nl. ?*.c.com."],
    ["name regex (.*).a.com\\.$ {1}.be", "?*.nl. ?*.c.com."],
    ["name regex (.*)\\.com\\.?$ {1}.be", "?a.com. ?*.nl. ?*.c.com."],
    ["name regex (.*)\\.a\\.com\\.*$ {1}.be", "?*.nl. ?*.c.com."],
    ["name regex (.*)\\.(com\\.)$ {1}.be", "?a.com. ?*.nl. ?*.c.com."],
    ["name regex (.*)\\.$ {1}.be", "?a.nl. ?a.com. ?x.b. ?*.nl. ?*.c.com."],
    ["name regex ^a\\.example\\.com\\.$ b.be", "=a.example.com."],
    ["name regex x?^a\\.com\\.$ b.be", "?a.com. ?*.c.com."],
    ["name regex (.*)\\.UPPER\\.com\\.$ {1}.be", "*com."],
    ["name regex (.*)\\\\.example\\.com\\.$ {1}.be", "?*.c.com."],
    ["type ANY HINFO", "255"],
    ["class CH IN", "nothing"],
    ["class IN CH", "everything"],
    ["ttl suffix .a.nl 5", "*a.nl."],
    ["ttl a.nl 5", "=a.nl."],
    ["rcode regex \\.a\\.nl\\.$ 2 0", "*a.nl."],
    ["cname a.nl b.nl", "everything"],
    ["edns0 subnet set 24 56", "nothing"],
    ["continue name a.nl b.nl\nrewrite type A AAAA\nrewrite ttl suffix .b.nl 5", "=a.nl. *b.nl. 1"],
    ["name x.nl b.nl\nrewrite name prefix a b\nrewrite name suffix x.b a.b", "=x.nl. ?a.nl. ?a.com. ?x.b. ?*.nl. ?*.c.com."],
    ["name a.nl b.nl\nrewrite cname a b", "everything"],
  ];
  for (const [rules, touches] of rows) {
    it(`${rules.replaceAll("\n", "; ")}: ${touches}`, async () => {
      expect(shown((await rewriting(`rewrite ${rules}`)).instance.transparent)).to.equal(touches);
    });
  }

  // Few letters, and names that mostly end as the rule says, so that the two meet often.
  const label = fc.string({ unit: fc.constantFrom("a", "b", "-", ".", "\\"), minLength: 1, maxLength: 4 });
  const labels = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "-"), minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 3 });
  const name = (end: readonly string[]): fc.Arbitrary<Name> =>
    fc
      .tuple(fc.array(label, { maxLength: 3 }), fc.integer({ min: 0, max: end.length }))
      .map(([begin, cut]) => `${[...begin, ...end.slice(cut)].map((text) => String.fromCharCode(text.length) + text).join("")}\0` as Name);
  // prettier-ignore
  const piece = fc.constantFrom(
    "a", "b", "\\.", "[.]", ".", "(.*)", "(a|b)", "|", "^", "$", "?", "*", "+", "\\\\", "\\$", "[^a]", "{2}", "\\.$", "(?i)", "\\b", "A", "\\-",
  );
  const pieces = fc.array(piece, { maxLength: 4 }).map((parts) => parts.join(""));
  const rule = labels.chain((end) => {
    const text = end.join(".");
    const escaped = end.join("\\.");
    return fc
      .oneof(
        fc.constantFrom(`exact ${text}`, `suffix .${text}`, `suffix ${text}`, `prefix ${text}`, `substring ${text}`),
        pieces.map((begin) => `regex "${begin}\\.${escaped}\\.$"`),
        pieces.map((begin) => `regex "${begin}${escaped}\\.$"`),
        fc.tuple(pieces, pieces).map(([begin, middle]) => `regex "${begin}${escaped}${middle}\\.$"`),
        fc.tuple(pieces, pieces).map(([begin, last]) => `regex "${begin}${escaped}${last}$"`),
      )
      .chain((match) => fc.tuple(fc.constant(match), fc.array(name(end), { minLength: 20, maxLength: 20 })));
  });

  it("a name that a rule finds is always among them", async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(rule, async ([match, names]) => {
        const { options } = readDirective(rewrite, `rewrite ttl ${match} 77`);
        if (options[0] === undefined) return; // no pattern
        const instance = await rewrite.setup(options[0], fakeHost("rewrite"), AT);
        const { transparent: touches } = instance;
        if (touches === undefined || touches === true) return;
        const { names: exact = [], below = [] } = touches;
        for (const qname of names) {
          const answer = await instance.handle?.(query(qname), anAddress);
          if (answer === undefined || answer === DROP || isWire(answer) || answer.answer[0]?.ttl !== 77) continue;
          found++;
          if (exact.includes(qname) || below.some((zone) => isWithin(qname, zone))) continue;
          // It may exist, or any of the names above it may be the nearest that does.
          expect(touches.matches?.(qname), `${match} finds ${formatName(qname)}`).to.equal(true);
          for (let above = qname; above !== ROOT;) {
            above = parentOf(above);
            expect(touches.missingBelow?.(above), `${match} finds ${formatName(qname)} below ${formatName(above)}`).to.equal(true);
          }
        }
      }),
      { numRuns: 500 },
    );
    expect(found).to.be.greaterThan(1000);
  });

  it("the certain end of a pattern is told only where it is certain", () => {
    expect(certainEnd("a\\.b\\.$")).to.deep.equal({ text: "a.b.", whole: false });
    expect(certainEnd("^a\\.b\\.$")).to.deep.equal({ text: "a.b.", whole: true });
    expect(certainEnd("\\.b$")).to.deep.equal({ text: ".b", whole: false });
    for (const pattern of [
      "",
      "$",
      "a",
      "a\\.",
      "a\\$",
      "a|b$",
      "(a|b$)",
      "a{2}$",
      "a+$",
      "\\Qa.$\\E$",
      "[a$]",
      "\\x{61}$",
      "(?m)a$",
      "(a$",
      "a)$",
    ]) {
      expect(certainEnd(pattern), pattern).to.equal(undefined);
    }
  });
});
