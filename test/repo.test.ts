// The structure of the tree: who may import whom, what every file and plugin brings, what the documents promise.
// Rules are tables; a new file falls under them without a new test.

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect } from "chai";
import { readBlocks } from "../src/config/blocks.ts";
import { parseCorefile } from "../src/config/corefile.ts";
import type { Plugin } from "../src/plugin.ts";
import { plugins } from "./helpers/every-plugin.ts";
import { needs } from "./helpers/needs.ts";
import { codeBlocks, filesIn, findCycle, importsOf, read, root } from "./helpers/source-tree.ts";

const sources = filesIn("src", ".ts");

// `from` may import nothing of ours but `only`, or anything but `never` (beginnings of paths).
const layers: readonly { from: string; only?: readonly string[]; never?: readonly string[] }[] = [
  { from: "src/errors.ts", only: [] },
  { from: "src/dns/", only: ["src/dns/", "src/errors.ts"] },
  { from: "src/config/", only: ["src/config/", "src/dns/", "src/errors.ts", "src/plugin.ts"] },
  { from: "src/registry/", never: ["src/plugins/", "src/answers/", "src/listeners/", "src/server.ts", "src/setup.ts", "src/cli"] },
  { from: "src/answers/", never: ["src/plugins/", "src/listeners/", "src/server.ts", "src/setup.ts", "src/cli"] },
  { from: "src/listeners/", never: ["src/plugins/", "src/server.ts", "src/setup.ts", "src/cli"] },
  { from: "src/respond.ts", never: ["src/plugins/", "src/listeners/", "src/server.ts", "src/setup.ts", "src/cli"] },
  { from: "src/plugin.ts", never: ["src/plugins/", "src/listeners/", "src/server.ts", "src/setup.ts", "src/cli"] },
  { from: "src/plugins/", never: ["src/answers/", "src/listeners/", "src/server.ts", "src/setup.ts", "src/cli"] },
  { from: "src/server.ts", never: ["src/cli"] },
];

// A package is the business of few files. `lazy`: a value import must be an import() or require() where it is used.
const packages: Readonly<Record<string, { from: readonly string[]; lazy?: boolean }>> = {
  commander: { from: ["src/cli/program.ts"], lazy: true },
  "dns-packet": { from: ["src/cli/", "src/testing.ts"], lazy: true },
  pino: { from: ["src/log.ts"], lazy: true },
  "prom-client": { from: ["src/plugins/prometheus/"], lazy: true },
  yaml: { from: ["src/registry/"] },
  "lru-cache": { from: ["src/plugins/", "src/answers/"] },
  "ipaddr.js": { from: ["src/"] },
  koffi: { from: ["src/listeners/"], lazy: true },
  re2js: { from: ["src/config/go-regexp.ts"], lazy: true },
};

// No sockets, files or processes in the protocol; strings and bytes only.
const nodeModules: readonly { from: string; only: readonly string[] }[] = [
  { from: "src/dns/", only: ["node:buffer", "node:net", "node:util"] }, // net for isIP()
  { from: "src/errors.ts", only: [] },
];

describe("import graph", () => {
  it("has no cycle", () => {
    const graph = new Map(
      sources.map((file) => [
        file,
        importsOf(file)
          .filter(({ ours }) => ours)
          .map(({ target }) => target),
      ]),
    );
    expect(findCycle(graph)?.join(" → ")).to.equal(undefined);
  });

  it("names only files that exist", () => {
    const missing = sources.flatMap((file) =>
      importsOf(file)
        .filter(({ ours, target }) => ours && !existsSync(join(root, target)))
        .map(({ target }) => `${file}: ${target}`),
    );
    expect(missing).to.deep.equal([]);
  });

  for (const { from, only, never } of layers) {
    it(`${from} imports ${only === undefined ? `nothing of ${never?.join(" ")}` : `only ${only.join(" ") || "nothing of ours"}`}`, () => {
      const wrong = importsFrom(from).filter(
        ({ target, ours }) => ours && (only === undefined ? startsWithAny(target, never ?? []) : !startsWithAny(target, only)),
      );
      expect(wrong.map(show)).to.deep.equal([]);
    });
  }

  for (const { from, only } of nodeModules) {
    it(`${from} does no I/O: of Node it imports ${only.join(" ") || "nothing"}`, () => {
      const wrong = importsFrom(from).filter(({ target }) => target.startsWith("node:") && !only.includes(target));
      expect(wrong.map(show)).to.deep.equal([]);
    });
  }

  it("a plugin imports no sibling", () => {
    const wrong = importsFrom("src/plugins/").filter(({ file, target }) => {
      const folder = dirname(file);
      return folder !== "src/plugins" && target.startsWith("src/plugins/") && dirname(target) !== folder;
    });
    expect(wrong.map(show)).to.deep.equal([]);
  });

  it("external packages are imported where they belong, the heavy ones lazily", () => {
    const wrong = importsFrom("src/").filter(({ file, target, ours, typeOnly, lazy }) => {
      if (ours || target.startsWith("node:")) return false;
      const rule = packages[target];
      return rule === undefined || !startsWithAny(file, rule.from) || (rule.lazy === true && !typeOnly && !lazy);
    });
    expect(wrong.map(show)).to.deep.equal([]);
  });
});

describe("source files", () => {
  it("open with a comment that says what they are for", () => {
    const silent = sources.filter((file) => !/^(#!.*\n)?(\/\/ |\/\*\*? )\S/.test(read(file)));
    expect(silent).to.deep.equal([]);
  });

  it("are named after what they hold", () => {
    const vague = sources.filter((file) =>
      /(^|[-.])(managers?|utils?|utilit(y|ies)|helpers?|common|misc|base|stuff)([-.]|$)/.test(basename(file)),
    );
    expect(vague).to.deep.equal([]);
  });

  it("have a default export only as a plugin", () => {
    const wrong = sources.filter((file) => /^export default/m.test(read(file)) && !isPluginFile(file));
    expect(wrong).to.deep.equal([]);
  });
});

describe("plugins", () => {
  const folders = filesIn("src", ".ts").filter(isPluginFile);

  for (const file of folders) {
    const name = basename(dirname(file));
    const readme = join(dirname(file), "README.md");

    it(`${name}: the README's Syntax section shows what the syntax table reads`, () => {
      const plugin = plugins.get(name) as Plugin<unknown>;
      const shown = codeBlocks(read(readme)).filter(({ section }) => section === "Syntax");
      expect(shown.map(({ text }) => normalize(text))).to.include(normalize(plugin.syntax.usage(name).join("\n")));
    });

    it(`${name}: every example in the README is a Corefile without errors`, () => {
      const examples = codeBlocks(read(readme)).filter(({ language }) => language === "corefile");
      expect(examples, `${readme} needs an example`).to.not.have.lengthOf(0);
      expect(examples.flatMap((example) => errorsIn(readme, example))).to.deep.equal([]);
    });
  }

  it("each folder is in the list, once", () => {
    expect([...plugins.values()].map((plugin) => plugin.name)).to.deep.equal([...plugins.keys()]);
    expect([...plugins.keys()].sort()).to.deep.equal(folders.map((file) => basename(dirname(file))).sort());
  });
});

describe("documents", () => {
  const manifest = JSON.parse(read("package.json")) as {
    bin: Record<string, string>;
    exports: Record<string, string | Record<string, string>>;
    files: string[];
  };

  it("the README tells every error code", () => {
    const codes = [...read("src/errors.ts").matchAll(/"(NDOTS_ERR_[A-Z_]+)"/g)].map(([, code]) => code ?? "");
    const readme = read("README.md");
    expect(codes).to.not.have.lengthOf(0);
    expect(codes.filter((code) => !readme.includes(code))).to.deep.equal([]);
  });

  it("the README has a line about each plugin", () => {
    const readme = read("README.md");
    expect([...plugins.keys()].filter((name) => !readme.includes(`\n| \`${name}\` | `))).to.deep.equal([]);
  });

  it("the README's Corefiles have no errors", () => {
    const examples = codeBlocks(read("README.md")).filter(({ language }) => language === "corefile");
    expect(examples.flatMap((example) => errorsIn("README.md", example))).to.deep.equal([]);
  });

  it("the map names every folder and file at the top of src", () => {
    const map = read("src/README.md");
    const tops = new Set(sources.map((file) => file.split("/").slice(1, 2).join("")));
    const missing = [...tops].map((top) => (top.endsWith(".ts") ? top : `${top}/`)).filter((top) => !map.includes(top));
    expect(missing).to.deep.equal([]);
  });

  it("the CHANGELOG has a section for what is not released", () => {
    expect(read("CHANGELOG.md")).to.match(/^## \[?Unreleased\]?$/m);
  });

  it("the links of README.md and src/README.md lead to files", () => {
    for (const file of ["README.md", "src/README.md", "SECURITY.md", "CHANGELOG.md"]) {
      const targets = [...read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)].map(([, target]) => target ?? "");
      const dead = targets.filter((target) => !existsSync(join(root, dirname(file), target)));
      expect(dead, file).to.deep.equal([]);
    }
  });

  it("package.json names files that the build and the tree have", function () {
    needs(this, existsSync(join(root, "dist/.built")), "not built; scripts/test builds");
    const named = [
      ...manifest.files,
      ...Object.values(manifest.bin),
      ...Object.values(manifest.exports).flatMap((target) => (typeof target === "string" ? target : Object.values(target))),
    ];
    expect(named.filter((file) => !existsSync(join(root, file)))).to.deep.equal([]);
  });

  it("the lockfile, the licence and the doors are there", () => {
    const files = [
      "LICENSE",
      "SECURITY.md",
      "package-lock.json",
      "scripts/start",
      "scripts/test",
      "scripts/check",
      ".ci/run",
      "Dockerfile",
    ];
    expect(files.filter((file) => !existsSync(join(root, file)))).to.deep.equal([]);
  });
});

function importsFrom(prefix: string): ({ file: string } & ReturnType<typeof importsOf>[number])[] {
  return sources.filter((file) => file.startsWith(prefix)).flatMap((file) => importsOf(file).map((found) => ({ file, ...found })));
}

function startsWithAny(target: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => target.startsWith(prefix));
}

function show({ file, target }: { file: string; target: string }): string {
  return `${file} → ${target}`;
}

// plugins/NAME/NAME.ts
function isPluginFile(file: string): boolean {
  const name = basename(file, ".ts");
  return file === `src/plugins/${name}/${name}.ts`;
}

// Columns are aligned and comments added by hand in a README.
function normalize(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trim().replace(/\s+/g, " "))
    .filter((line) => line !== "")
    .join("\n");
}

function errorsIn(file: string, example: { text: string; line: number }): string[] {
  const parsed = parseCorefile({ file, text: example.text, env: {} });
  return [...parsed.findings, ...readBlocks(parsed, plugins).findings]
    .filter(({ severity }) => severity === "error")
    .map(({ line, message }) => `${file}:${example.line + line - 1}: ${message}`);
}
