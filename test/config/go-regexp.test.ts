// Go regular expressions: what they match, with which groups, what is refused, in linear time. The tables are what Go 1.26 says.

import { spawnSync } from "node:child_process";
import { expect } from "chai";

import { isProblem } from "../../src/config/arguments.ts";
import { compileGoRegexp, goRegexp, type GoRegexp } from "../../src/config/go-regexp.ts";
import { root } from "../helpers/source-tree.ts";

function compiled(pattern: string): GoRegexp {
  const regexp = compileGoRegexp(pattern);
  if (isProblem(regexp)) throw new Error(regexp.problem);
  return regexp;
}

// Undefined stands for a group that took no part.
const matches: readonly { pattern: string; text: string; gives: readonly (string | undefined)[] | undefined }[] = [
  { pattern: ".*", text: "web.example.org.", gives: ["web.example.org."] },
  { pattern: "^web[.]", text: "web.example.org.", gives: ["web."] },
  { pattern: "^web[.]", text: "a.web.example.org.", gives: undefined },
  { pattern: "a$", text: "a\n", gives: undefined },
  { pattern: "(?m)a$", text: "a\nb", gives: ["a"] },
  { pattern: String.raw`\Aa\z`, text: "a", gives: ["a"] },
  { pattern: "a.b", text: "a\nb", gives: undefined },
  { pattern: "(?s)a.b", text: "a\nb", gives: ["a\nb"] },
  { pattern: "(?i)WEB[.]example", text: "x.web.EXAMPLE.org.", gives: ["web.EXAMPLE"] },
  { pattern: "(?i:w)eb", text: "Web", gives: ["Web"] },
  { pattern: String.raw`\bweb\b`, text: "x.web-1.org.", gives: ["web"] },
  { pattern: String.raw`\bweb\b`, text: "xweb.org.", gives: undefined },
  { pattern: "(?P<first>[a-z]+)[.](?P<second>[a-z]+)", text: "web.example.", gives: ["web.example", "web", "example"] },
  { pattern: "(?<first>[a-z]+)", text: "web.", gives: ["web", "web"] },
  { pattern: "(a)|(b)", text: "b", gives: ["b", undefined, "b"] },
  { pattern: "(a*)b", text: "b", gives: ["b", ""] },
  { pattern: "a|ab", text: "ab", gives: ["a"] },
  { pattern: "(?U)a+", text: "aaa", gives: ["a"] },
  { pattern: "a+?", text: "aaa", gives: ["a"] },
  { pattern: "(|a)*", text: "aa", gives: ["", ""] },
  { pattern: "x*", text: "", gives: [""] },
  { pattern: "a{,2}", text: "a{,2}", gives: ["a{,2}"] },
  { pattern: "[[:alpha:]]+", text: "1abc2", gives: ["abc"] },
  { pattern: "[[:^digit:]]+", text: "1abc2", gives: ["abc"] },
  { pattern: String.raw`\pL+`, text: "1éa2", gives: ["éa"] },
  { pattern: String.raw`\p{Greek}`, text: "aλ", gives: ["λ"] },
  { pattern: String.raw`\d+`, text: "٣4", gives: ["4"] },
  { pattern: String.raw`\w+`, text: "é_a", gives: ["_a"] },
  { pattern: String.raw`\Qa.b\E`, text: "axb a.b", gives: ["a.b"] },
  { pattern: String.raw`\x{1F600}`, text: "😀", gives: ["😀"] },
  { pattern: "^.$", text: "😀", gives: ["😀"] },
  { pattern: String.raw`[\w-]+`, text: ".a-b.", gives: ["a-b"] },
];

// Go's own words.
const refused: readonly { pattern: string; because: string }[] = [
  { pattern: "(a", because: "missing closing ): `(a`" },
  { pattern: "[a", because: "missing closing ]: `[a`" },
  { pattern: "[z-a]", because: "invalid character class range: `z-a`" },
  { pattern: "*", because: "missing argument to repetition operator: `*`" },
  { pattern: "a**", because: "invalid nested repetition operator: `**`" },
  { pattern: "a{1001}", because: "invalid repeat count: `{1001}`" },
  { pattern: "(?:a{1000}){1000}", because: "invalid repeat count: `{1000}`" },
  { pattern: "(?=a)", because: "invalid or unsupported Perl syntax: `(?=`" },
  { pattern: "(?!a)", because: "invalid or unsupported Perl syntax: `(?!`" },
  { pattern: String.raw`(a)\1`, because: String.raw`invalid escape sequence: ` + "`\\1`" },
  { pattern: String.raw`\Z`, because: "invalid escape sequence: `\\Z`" },
  { pattern: "a\\", because: "trailing backslash at end of expression" },
  { pattern: "(?P<a", because: "invalid named capture: `(?P<a`" },
];

describe("config/go-regexp", () => {
  for (const { pattern, text, gives } of matches) {
    it(`/${pattern}/ on ${JSON.stringify(text)} ${gives === undefined ? "matches nothing" : `gives ${JSON.stringify(gives)}`}`, () => {
      const regexp = compiled(pattern);
      const found = regexp.exec(text);
      expect(found && [...found]).to.deep.equal(gives);
      expect(regexp.test(text)).to.equal(gives !== undefined);
    });
  }

  for (const { pattern, because } of refused) {
    it(`refuses /${pattern}/: ${because}`, () => {
      expect(compileGoRegexp(pattern)).to.deep.equal({ problem: `must be a regular expression of Go's: ${because}` });
    });
  }

  it("names the groups by their numbers", () => {
    expect(compiled("(?P<a>x)(y)(?<b>z)").names).to.deep.equal(["", "a", "", "b"]);
    expect(compiled("x").names).to.deep.equal([""]);
  });

  it("keeps the pattern as written", () => {
    expect(compiled("(?i)^a").source).to.equal("(?i)^a");
  });

  it("takes patterns of up to 10000 characters", () => {
    expect(isProblem(compileGoRegexp("x".repeat(10_000)))).to.equal(false);
    expect(goRegexp().parse("x".repeat(10_001))).to.deep.equal({ problem: "must be at most 10000 characters, found 10001" });
  });

  it("can be matched again: no state is kept between texts", () => {
    const regexp = compiled("(?P<n>[0-9]+)");
    for (const n of ["1", "22", "3"]) expect(regexp.exec(`a${n}b`)?.[1]).to.equal(n);
  });

  // Backtracking would take longer than the universe has: the timeout is the assertion.
  for (const pattern of ["(a+)+$", "^(a|a)*$", "(?i)^(a*)*$", "(.*)*x", "^(a?){100}a{100}$"]) {
    it(`/${pattern}/ takes linear time on 60 KiB`, () => {
      const regexp = compiled(pattern);
      expect(regexp.exec(`${"a".repeat(60 * 1024)}b`)).to.equal(undefined);
    }).timeout(10_000);
  }

  it("loads its library with the first pattern, not before", () => {
    const script = `
      const { compileGoRegexp } = await import("./src/config/go-regexp.ts");
      const { createRequire } = await import("node:module");
      const loaded = () => Object.keys(createRequire(process.cwd() + "/x.js").cache).some((file) => file.includes("re2js"));
      const before = loaded();
      compileGoRegexp("x");
      console.log(before, loaded());`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--import=tsx", "--input-type=module", "-e", script], {
      cwd: root,
      encoding: "utf8",
    });
    expect(stderr).to.equal("");
    expect(stdout).to.equal("false true\n");
  });
});
