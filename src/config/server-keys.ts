// The keys of server blocks: `[SCHEME://]ZONE[:PORT]` → zone and port, and the rule that no two blocks serve the same.
// parseServerKey is called by corefile.ts; checkOverlaps by the server, which knows the default port and the
// addresses that `bind` gives.

import { formatName } from "../dns/name.ts";
import type { Name } from "../dns/name.ts";
import type { Finding, Position } from "../errors.ts";
import { unsetHint, type Token } from "./tokens.ts";
import { parseZone } from "./zones.ts";

/** The transports that a key may name, with their ports. */
export const schemes = { dns: 53, tls: 853, quic: 853, https: 443, https3: 443, grpc: 443 } as const;
type Scheme = keyof typeof schemes;
/** DNS itself over UDP and TCP, over TLS (RFC 7858) and over HTTPS (RFC 8484). */
export type ServedScheme = Exclude<Scheme, keyof typeof UNSERVED>;

const UNSERVED = {
  quic: "Node.js has no QUIC; serve DNS over TLS, tls://, or HTTPS, https://",
  https3: "Node.js has no QUIC; serve https://, which is HTTP/2 and HTTP/1.1",
  grpc: "DNS over gRPC is not served; serve DNS over HTTPS, https://, or TLS, tls://",
} as const;

export interface ServerKey extends Position {
  /** As written. */
  readonly text: string;
  readonly scheme: ServedScheme;
  readonly zone: Name;
  /** As written; undefined leaves it to the scheme or the command line. */
  readonly port: number | undefined;
}

/** Reads one key. A network gives a key for each of its reverse zones; a key that can't be read gives none. */
export function parseServerKey(token: Token, text: string, findings: Finding[]): ServerKey[] {
  const { file, line, column } = token;
  const report = (severity: Finding["severity"], message: string): ServerKey[] => {
    findings.push({ severity, file, line, column, message: severity === "error" ? message + unsetHint(token) : message });
    return [];
  };
  const [, prefix, address = ""] = /^(?:([a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text) ?? [];
  const scheme = (prefix ?? "dns").toLowerCase();
  if (!isScheme(scheme)) {
    return report("error", `unknown scheme ${prefix}://, known: ${Object.keys(schemes).join(", ")}`);
  }
  if (isUnserved(scheme)) return report("error", `${scheme}:// is not supported: ${UNSERVED[scheme]}`);
  // What follows the last colon is a port, unless it is the end of an IPv6 network (2001:db8::/32).
  const [, host = address, portText] = /^(.*):([^:/]*)$/s.exec(address) ?? [];
  const port = portText === undefined ? undefined : Number(portText);
  if (port !== undefined && (!/^\d+$/.test(portText ?? "") || port > 65_535)) {
    return report("error", `the port of "${text}" must be 0–65535, found "${portText}"`);
  }
  const read = parseZone(host);
  if ("problem" in read) return report("error", read.problem);
  if (read.notice !== undefined) report("warning", read.notice);
  return read.zones.map((zone) => ({ file, line, column, text, scheme, zone, port }));
}

function isScheme(text: string): text is Scheme {
  return Object.hasOwn(schemes, text);
}

function isUnserved(scheme: Scheme): scheme is keyof typeof UNSERVED {
  return Object.hasOwn(UNSERVED, scheme);
}

/** The port that a key is served on: its own, else `defaultPort` for plain DNS, else its scheme's. */
export function portOf(key: ServerKey, defaultPort: number): number {
  return key.port ?? (key.scheme === "dns" ? defaultPort : schemes[key.scheme]);
}

/** A server block as far as overlaps go. */
export interface KeyedBlock {
  readonly keys: readonly ServerKey[];
  readonly directives: readonly { readonly name: string }[];
}

/**
 * Finds zones that are served twice on one port. Blocks with `view` may share a zone. `listen` gives the addresses
 * that a block is bound to; without any, it is bound to all.
 */
export function checkOverlaps<B extends KeyedBlock>(
  blocks: readonly B[],
  defaultPort: number,
  listen: (block: B) => readonly string[] = () => [],
): Finding[] {
  const findings: Finding[] = [];
  const served = new Set<string>();
  // The zone and port of every block that is bound to an address → one such block's words.
  const bound = new Map<string, string>();
  for (const block of blocks) {
    const filtered = block.directives.some((directive) => directive.name === "view");
    const addresses = listen(block);
    for (const key of block.keys) {
      const everywhere = `${key.scheme}://${formatName(key.zone)}:${portOf(key, defaultPort)}`;
      for (const address of addresses.length === 0 ? [""] : addresses) {
        const here = address === "" ? everywhere : `${everywhere} on ${address}`;
        const overlap = address === "" ? bound.get(everywhere) : served.has(everywhere) ? everywhere : undefined;
        const message = served.has(here)
          ? `cannot serve ${here} - it is already defined`
          : overlap === undefined
            ? undefined
            : `cannot serve ${here} - zone overlap listener capacity with ${overlap}`;
        if (message !== undefined) findings.push({ severity: "error", file: key.file, line: key.line, column: key.column, message });
        if (filtered) continue;
        served.add(here);
        if (address !== "") bound.set(everywhere, here);
      }
    }
  }
  return findings;
}
