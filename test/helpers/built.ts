// A module as scripts/test built it, for what starts worker threads: from sources each thread takes a second to start.

import { existsSync } from "node:fs";

/** @param path of the source below src, without its extension; give its type as `typeof import("…")`. */
export async function built<Module>(path: string): Promise<Module> {
  const url = new URL(`../../dist/${path}.js`, import.meta.url);
  if (!existsSync(url)) throw new Error(`dist/${path}.js is missing: run scripts/test, which builds`);
  return (await import(url.href)) as Module;
}
