// What this program calls itself: in `version`, at the start, and in coredns_build_info.

import { readFileSync } from "node:fs";

/** The package's version, as in package.json. */
export function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  return version;
}
