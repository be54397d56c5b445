// The search list in a file like resolv.conf (resolv.conf(5)): read once, when the configuration is.

import { parseName, ROOT, type Name } from "../../dns/name.ts";
import { NdotsError } from "../../errors.ts";

/**
 * The domains, in their order. Of several `search` and `domain` lines the last counts.
 * @returns why there is none, where a domain is no domain name.
 */
export function readSearchList(text: string): readonly Name[] | { readonly problem: string } {
  let found: readonly string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "search") found = words;
    else if (keyword === "domain") found = words.slice(0, 1);
  }
  try {
    return found.map((domain) => parseName(domain)).filter((domain) => domain !== ROOT);
  } catch (error) {
    if (error instanceof NdotsError) return { problem: error.message };
    throw error;
  }
}
