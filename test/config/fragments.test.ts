// Files that a Corefile imports by a pattern: one that is wrong is left out, or its last good version goes on.

import { expect } from "chai";
import fc from "fast-check";
import { readBlocks } from "../../src/config/blocks.ts";
import { parseCorefile, type Corefile } from "../../src/config/corefile.ts";
import { directive } from "../../src/config/directive.ts";
import { acceptFragments, isImportStrict, type AcceptedFragments } from "../../src/config/fragments.ts";
import type { ReplacedFragments } from "../../src/config/imports.ts";
import { formatFinding, type Finding } from "../../src/errors.ts";
import { filesOf, type Tree } from "../helpers/corefile-tree.ts";

const MAIN = ". {\n import c/*.override\n errors\n}\nimport c/*.server\n";
const known = new Map(["errors", "log", "whoami", "health"].map((name) => [name, { syntax: directive() }]));

function parse(text: string, tree: Tree, replaced: ReplacedFragments = new Map()): Corefile {
  return parseCorefile({ file: "Corefile", text, files: filesOf(tree), replaced });
}

// What setting up would find, as far as a syntax without plugins goes: zones that are served twice are wrong, too.
function trialOf(text: string, tree: Tree): { trials: number; run(replaced: ReplacedFragments): readonly Finding[] } {
  const self = {
    trials: 0,
    run(replaced: ReplacedFragments) {
      self.trials++;
      const corefile = parse(text, tree, replaced);
      const seen = new Set<string>();
      const twice = corefile.blocks.flatMap(({ keys }) => keys).filter(({ zone }) => seen.size === seen.add(zone).size);
      const overlaps = twice.map(({ file, line, column, text: key }): Finding => {
        return { severity: "error", file, line, column, message: `cannot serve ${key}` };
      });
      return [...corefile.findings, ...readBlocks(corefile, known).findings, ...overlaps];
    },
  };
  return self;
}

async function accept(
  tree: Tree,
  lastGood: Tree = {},
  text: string = MAIN,
): Promise<AcceptedFragments & { shown: string; trials: number }> {
  const trial = trialOf(text, tree);
  const { globbed } = parse(text, tree);
  const accepted = await acceptFragments({ globbed, lastGood: new Map(Object.entries(lastGood)), trial: trial.run });
  const used = parse(text, tree, accepted.replaced);
  const shown = used.blocks.map(({ keys, directives }) => `${keys[0]?.text}: ${directives.map(({ name }) => name).join(" ")}`);
  return { ...accepted, shown: shown.join("; "), trials: trial.trials };
}

const textsOf = (findings: readonly Finding[]): string[] => findings.map(formatFinding);

describe("Corefile fragments", () => {
  it("where nothing is wrong one trial is enough, and every text is kept as good", async () => {
    const tree = { "c/a.override": "log", "c/b.server": "b.org {\n}" };
    const { ok, trials, failed, good, findings, shown } = await accept(tree);
    expect({ ok, trials, failed: [...failed], findings }).to.deep.equal({ ok: true, trials: 1, failed: [], findings: [] });
    expect(Object.fromEntries(good)).to.deep.equal(tree);
    expect(shown).to.equal(".: log errors; b.org: ");
  });

  const bad: readonly { rule: string; text: string; says: RegExp }[] = [
    {
      rule: "an unknown plugin",
      text: "log\nwhoam",
      says: /^c\/b\.override:2:1: .*'whoam', did you mean.* \(this file is bad: it is left out\)$/,
    },
    {
      rule: "a brace that is never closed",
      text: "health {",
      says: /^c\/b\.override:1: this file is bad: it is left out; with it, Corefile:1: this "\{" is/,
    },
    { rule: "a brace that closes the block of others", text: "}", says: /^c\/b\.override:1: .*left out; with it, Corefile:\d+: / },
    { rule: "a quote that is never closed", text: 'log "x', says: /^c\/b\.override:1:5: this quote is never closed/ },
    { rule: "an import of itself", text: "import b.override", says: /^c\/b\.override:1:8: import cycle/ },
    { rule: "arguments that a plugin refuses", text: "health x", says: /^c\/b\.override:1:\d+: health: takes no arguments/ },
    {
      rule: "a plugin that the main file has, too",
      text: "errors",
      says: /left out; with it, Corefile:3: errors: this plugin can only be used once/,
    },
  ];
  for (const { rule, text, says } of bad) {
    it(`${rule} costs its own file, not the others`, async () => {
      const { ok, failed, findings, good, shown } = await accept({
        "c/a.override": "log",
        "c/b.override": text,
        "c/c.override": "whoami",
        "c/d.server": "d.org {\n}",
      });
      expect(ok).to.equal(true);
      expect([...failed]).to.deep.equal([["c/b.override", "left out"]]);
      expect(textsOf(findings)[0]).to.match(says);
      expect(findings.every(({ severity }) => severity === "error")).to.equal(true);
      expect([...good.keys()]).to.have.members(["c/a.override", "c/c.override", "c/d.server"]);
      expect(shown).to.equal(".: log whoami errors; d.org: ");
    });
  }

  it("the last good version of a bad file goes on", async () => {
    const { failed, findings, good, shown } = await accept({ "c/a.override": "lo", "c/b.override": "whoami" }, { "c/a.override": "log" });
    expect([...failed]).to.deep.equal([["c/a.override", "last good version"]]);
    expect(textsOf(findings)[0]).to.match(/\(this file is bad: its last good version goes on\)$/);
    expect(good.get("c/a.override")).to.equal("log");
    expect(shown).to.equal(".: log whoami errors");
  });

  it("a last good version that no longer fits is left out, and kept for later", async () => {
    const { failed, good, shown } = await accept({ "c/a.override": "lo", "c/b.override": "whoami" }, { "c/a.override": "errors" });
    expect([...failed]).to.deep.equal([["c/a.override", "left out"]]);
    expect(good.get("c/a.override")).to.equal("errors");
    expect(shown).to.equal(".: whoami errors");
  });

  it("a file that is deleted is gone, whatever was good of it", async () => {
    const { ok, failed, shown } = await accept({ "c/b.override": "whoami" }, { "c/a.override": "log" });
    expect({ ok, failed: failed.size, shown }).to.deep.equal({ ok: true, failed: 0, shown: ".: whoami errors" });
  });

  it("of two files that serve one zone the first one counts", async () => {
    const { failed, findings, shown } = await accept({
      "c/a.server": "x.org {\n log\n}",
      "c/b.server": "x.org {\n}",
      "c/c.server": "y.org {\n}",
    });
    expect([...failed.keys()]).to.deep.equal(["c/b.server"]);
    expect(textsOf(findings.filter(({ severity }) => severity === "error"))).to.deep.equal([
      "c/b.server:1:1: cannot serve x.org (this file is bad: it is left out)",
    ]);
    expect(shown).to.equal(".: errors; x.org: log; y.org: ");
  });

  it("several bad files are all told, and a file that can't be read", async () => {
    const tree = { "c/a.override": "lo", "c/b.override": "health {", "c/c.override": "log" };
    const files = filesOf(tree);
    const read = (path: string): string => {
      if (path === "c/c.override") throw Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
      return files.read(path);
    };
    const parsed = (replaced: ReplacedFragments): Corefile =>
      parseCorefile({ file: "Corefile", text: MAIN, files: { ...files, read }, replaced });
    const { ok, failed, findings } = await acceptFragments({
      globbed: parsed(new Map()).globbed,
      lastGood: new Map([["c/c.override", "whoami"]]),
      trial(replaced) {
        const corefile = parsed(replaced);
        return [...corefile.findings, ...readBlocks(corefile, known).findings];
      },
    });
    expect(ok).to.equal(true);
    expect(Object.fromEntries(failed)).to.deep.equal({
      "c/a.override": "left out",
      "c/b.override": "left out",
      "c/c.override": "last good version",
    });
    expect(textsOf(findings).join("\n")).to.match(/c\/c\.override:1: .*goes on; with it, Corefile:2: import .*EACCES/);
  });

  it("what is wrong in the main file refuses all, with all that is wrong", async () => {
    const { ok, findings, good } = await accept({ "c/a.override": "lo" }, { "c/a.override": "log" }, MAIN.replace("errors", "erors"));
    expect(ok).to.equal(false);
    expect(textsOf(findings).join())
      .to.match(/'lo'/)
      .and.match(/'erors'/);
    expect(good.get("c/a.override"), "kept for the next try").to.equal("log");
  });

  it("fragments that import others are left out with them", async () => {
    const { failed, shown } = await accept({ "c/a.override": "import ../d/*", "d/x": "log", "d/y": "lo" });
    expect([...failed.keys()]).to.deep.equal(["d/y"]);
    expect(shown).to.equal(".: log errors");
  });

  it("among any mixture exactly the bad ones are left out, in at most two trials a file and two more", async () => {
    const texts = ["log", "whoami", "health", "whoam", "lo", 'log "x', "errors x", "health {", "import nowhere"];
    const good = new Set(["log", "whoami", "health"]);
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(texts, { minLength: 1 }), async (chosen) => {
        const tree = Object.fromEntries(chosen.map((text, index) => [`c/${index}.override`, text]));
        const { ok, failed, shown, trials } = await accept(tree);
        expect(ok).to.equal(true);
        expect(chosen.filter((_, index) => !failed.has(`c/${index}.override`))).to.deep.equal(chosen.filter((text) => good.has(text)));
        expect(shown).to.equal(`.: ${[...chosen.filter((text) => good.has(text)), "errors"].join(" ")}`);
        expect(trials).to.be.at.most(2 + 2 * chosen.length);
      }),
    );
  });

  it("import_strict is a line of reload's block, in any server block", () => {
    expect(isImportStrict(parse(". {\n}\na.org {\n reload 10s {\n import_strict\n }\n}", {}))).to.equal(true);
    expect(isImportStrict(parse(". {\n reload\n log import_strict\n}", {}))).to.equal(false);
  });
});

describe("Corefile digest", () => {
  const tree = { "c/a.override": "log", "c/b.override": "whoami", "c/c.server": "c.org {\n}" };
  const digest = (text: string, files: Tree): string => parse(text, files).digest;

  it("is a SHA-512 that changes with the text and with every import's path, text and absence", () => {
    const digests = [
      digest(MAIN, tree),
      digest(`${MAIN}\n`, tree),
      digest(MAIN, { ...tree, "c/a.override": "log " }),
      digest(MAIN, { ...tree, "c/b.override": "" }),
      digest(MAIN, { "c/a.override": tree["c/a.override"], "c/c.server": tree["c/c.server"] }),
      digest(MAIN, { "c/a.override": "log", "c/bb.override": "whoami", "c/c.server": tree["c/c.server"] }),
      digest(MAIN, { "c/a.override": "logwhoami", "c/b.override": "", "c/c.server": tree["c/c.server"] }),
    ];
    for (const one of digests) expect(one).to.match(/^[0-9a-f]{128}$/);
    expect(new Set(digests).size).to.equal(digests.length);
  });

  it("is the same for the same files", () => expect(digest(MAIN, { ...tree })).to.equal(digest(MAIN, tree)));

  it("changes when a missing file appears", () => {
    expect(digest("import x\n", { x: "" })).to.not.equal(digest("import x\n", {}));
  });

  it("says which files a pattern matched, with their texts, in its order", () => {
    expect([...parse(MAIN, tree).globbed]).to.deep.equal(Object.entries(tree));
    expect([...parse("import c/c.server", tree).globbed]).to.deep.equal([]);
  });
});
