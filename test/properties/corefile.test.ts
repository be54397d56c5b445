// The Corefile's parser over random input: it never throws, always ends, and its positions lie inside the text.

import { expect } from "chai";
import fc from "fast-check";
import { readBlocks } from "../../src/config/blocks.ts";
import { integer, word } from "../../src/config/arguments.ts";
import { parseCorefile } from "../../src/config/corefile.ts";
import type { Corefile } from "../../src/config/corefile.ts";
import { directive, each, once, one, rest } from "../../src/config/directive.ts";
import type { Directive } from "../../src/config/directive.ts";
import type { Position } from "../../src/errors.ts";

const plugins = new Map([
  ["errors", { syntax: directive() }],
  [
    "health",
    {
      syntax: directive({
        args: rest(word("A")),
        options: { lameduck: once(one(integer({ usage: "N" }))), x: each(rest(word("B"))) },
        repeat: "merge",
      }),
    },
  ],
]);

const seed = `(common) {
  errors
  import more
}
.:53, 10.0.0.0/9 example.org {
  import common
  health :8080 { # why
    lameduck "5 s"
    x {$PORT} {%ZONE%}
  }
}
import custom/*.server
tls://a {
  forward . /etc/resolv.conf
}
`;
const pieces = [
  "{",
  "}",
  '"',
  "#",
  "\n",
  " ",
  ",",
  "import common\n",
  "import Corefile\n",
  "import self\n",
  "(x) {",
  "{$A}",
  "{$",
  "\\",
  "\r",
  "\0",
  "é",
  "𝒳",
  "192.0.2.0/20",
  "::/1:5",
  "://",
];

/** Imported files: one imports itself, one is broken, the others don't exist. */
const files = {
  read(path: string): string {
    if (path === "Corefile") return seed;
    if (path === "self") return "import self\nimport more\n";
    if (path === "more") return "health {\n}\n}\n{";
    throw Object.assign(new Error("no such file"), { code: "ENOENT" });
  },
  list: (): string[] => ["a.server", "more"],
};

function parse(text: string): Corefile {
  return parseCorefile({ file: "Corefile", text, env: { A: "{", PORT: "a b", ZONE: '"' }, files });
}

function everyPosition(corefile: Corefile): Position[] {
  const ofDirective = (directive: Directive): Position[] => [directive, ...directive.args, ...(directive.block ?? []).flatMap(ofDirective)];
  const ofBlocks = corefile.blocks.flatMap((block) => [block, ...block.keys, ...block.directives.flatMap(ofDirective)]);
  return [...ofBlocks, ...corefile.findings, ...readBlocks(corefile, plugins).findings];
}

function check(text: string): void {
  const corefile = parse(text);
  for (const { file, line, column } of everyPosition(corefile)) {
    const lines = (file === "Corefile" ? text : files.read(file)).split("\n");
    // The Corefile may import itself as a file: the same name, another text.
    if (file === "Corefile" && corefile.files.length > 1 && text.includes("import Corefile")) continue;
    if (line === 1 && column === 0) continue; // about the file as a whole
    expect(line).to.be.within(1, lines.length);
    expect(column).to.be.within(1, (lines[line - 1] ?? "").length);
  }
}

describe("Corefile, random", () => {
  it("random text never throws, and its positions lie inside it", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), check), { numRuns: 300 });
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces, "a", "health", "import "), { maxLength: 60 }), (words) => check(words.join(""))),
      { numRuns: 500 },
    );
  });

  it("a Corefile with parts cut out and put in never throws", () => {
    const edit = fc.tuple(fc.nat(seed.length), fc.nat(12), fc.constantFrom("", ...pieces));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
        check(edits.reduce((text, [at, cut, piece]) => text.slice(0, at) + piece + text.slice(at + cut), seed));
      }),
      { numRuns: 500 },
    );
  });

  it("every prefix of a Corefile is survived", () => {
    for (let end = 0; end <= seed.length; end++) check(seed.slice(0, end));
  });

  interface Line {
    readonly words: readonly string[];
    readonly block: readonly Line[] | undefined;
  }
  const anyWord = fc.oneof(fc.stringMatching(/^[a-z0-9_./:-]{1,8}$/), fc.string({ maxLength: 6 }));
  const { lines } = fc.letrec<{ lines: Line[]; line: Line }>((tie) => ({
    line: fc.record({
      words: fc
        .tuple(fc.stringMatching(/^[a-z]{1,6}$/), fc.array(anyWord, { maxLength: 3 }))
        .map(([name, rest]) => [name === "import" ? "x" : name, ...rest]),
      block: fc.option(tie("lines"), { nil: undefined, depthSize: "small" }),
    }),
    lines: fc.array(tie("line"), { maxLength: 3, depthIdentifier: "lines" }),
  }));
  // Quoted where the lexer needs it. What no quoting can say (a backslash before a quote or at the end) is left out.
  const quote = (text: string): string => (/^[^\s"#{}][^\s#{}]*$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`);
  const format = ({ words, block }: Line): string =>
    `${words.map(quote).join(" ")}${block === undefined ? "" : ` {\n${block.map(format).join("")}}`}\n`;
  const strip = ({ name, args, block }: Directive): Line => ({ words: [name, ...args.map(({ text }) => text)], block: block?.map(strip) });
  const sayable = ({ words, block }: Line): boolean => words.every((text) => !/\\("|$)|\{[$%]/.test(text)) && (block ?? []).every(sayable);

  it("what is written as a Corefile is read back", () => {
    fc.assert(
      fc.property(
        lines.filter((block) => block.every(sayable)),
        (block) => {
          const corefile = parseCorefile({ file: "Corefile", text: `.:53 {\n${block.map(format).join("")}}\n` });
          expect(corefile.findings).to.deep.equal([]);
          expect(corefile.blocks[0]?.directives.map(strip)).to.deep.equal(block);
        },
      ),
      { numRuns: 300 },
    );
  });
});
