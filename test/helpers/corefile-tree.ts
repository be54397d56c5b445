// A Corefile's imports held in memory: paths → texts; folders are what the paths say.

import type { CorefileFiles } from "../../src/config/imports.ts";

export type Tree = Readonly<Record<string, string>>;

export function filesOf(tree: Tree): CorefileFiles {
  const missing = (path: string): Error => Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
  return {
    read(path) {
      const text = tree[path];
      if (text === undefined) throw missing(path);
      return text;
    },
    list(directory) {
      const prefix = directory === "." ? "" : `${directory.replace(/\/$/, "")}/`;
      const names = Object.keys(tree).filter((path) => path.startsWith(prefix));
      if (names.length === 0) throw missing(directory);
      return [...new Set(names.map((path) => path.slice(prefix.length).split("/")[0] ?? ""))];
    },
  };
}
