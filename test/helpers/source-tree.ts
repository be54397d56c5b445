// The sources as data, for test/repo.test.ts: files, their imports, and what is written in their READMEs.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root: string = fileURLToPath(new URL("../..", import.meta.url));

export interface Import {
  /** A file of ours, relative to the root, or a package's name, `node:` included. */
  readonly target: string;
  readonly ours: boolean;
  /** Gone after compilation. */
  readonly typeOnly: boolean;
  /** `import()`: loaded when the code comes by. */
  readonly lazy: boolean;
}

export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** Files below a folder, relative to the root, sorted. */
export function filesIn(folder: string, extension: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

/** What a TypeScript file imports or re-exports. */
export function importsOf(file: string): Import[] {
  const text = read(file).replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
  const found: Import[] = [];
  for (const [, typeWord, target = ""] of text.matchAll(/^(?:import|export)(\s+type)?\s[^;"']*?from\s*["']([^"']+)["']/gm)) {
    found.push(importOf(file, target, typeWord !== undefined, false));
  }
  for (const [, target = ""] of text.matchAll(/^import\s*["']([^"']+)["']/gm)) found.push(importOf(file, target, false, false));
  for (const [, before = "", target = ""] of text.matchAll(/(typeof |: |<)?\bimport\(\s*["']([^"']+)["']\s*\)/g)) {
    found.push(importOf(file, target, before !== "", true));
  }
  for (const [, target = ""] of text.matchAll(/\brequire\(\s*["']([^"']+)["']\s*\)|createRequire\([^)]*\)\(["']([^"']+)["']\)/g)) {
    if (target !== "") found.push(importOf(file, target, false, true));
  }
  return found;
}

function importOf(file: string, target: string, typeOnly: boolean, lazy: boolean): Import {
  if (target.startsWith(".")) return { target: relative(root, resolve(root, dirname(file), target)), ours: true, typeOnly, lazy };
  const name = target.startsWith("node:") ? target : target.split("/", target.startsWith("@") ? 2 : 1).join("/");
  return { target: name, ours: false, typeOnly, lazy };
}

/** The first cycle of a graph as a path from a file back to itself. */
export function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const finished = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    if (finished.has(file)) return undefined;
    const at = path.indexOf(file);
    if (at >= 0) return [...path.slice(at), file];
    path.push(file);
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next);
      if (cycle !== undefined) return cycle;
    }
    path.pop();
    finished.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

export interface CodeBlock {
  readonly language: string;
  readonly text: string;
  /** The `##` heading it stands under. */
  readonly section: string;
  readonly line: number;
}

/** Fenced code of a Markdown text. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let section = "";
  let open: { language: string; line: number; lines: string[] } | undefined;
  for (const [index, line] of markdown.split("\n").entries()) {
    const fence = /^ {0,3}```+\s*(\S*)/.exec(line);
    if (open !== undefined && fence !== null) {
      blocks.push({ language: open.language, text: open.lines.join("\n"), section, line: open.line });
      open = undefined;
    } else if (open !== undefined) {
      open.lines.push(line);
    } else if (fence !== null) {
      open = { language: fence[1] ?? "", line: index + 2, lines: [] };
    } else if (/^##? /.test(line)) {
      section = line.replace(/^##? /, "").trim();
    }
  }
  return blocks;
}
