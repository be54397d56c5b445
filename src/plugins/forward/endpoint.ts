// Where an upstream is: the TO of a `forward` line, `[SCHEME://]ADDRESS[%NAME][:PORT]`. Pure.

import { isIP } from "node:net";

import type { ArgType, Problem } from "../../config/arguments.ts";

export type Scheme = "dns" | "tls" | "https";

export interface Endpoint {
  readonly scheme: Scheme;
  readonly address: string;
  readonly port: number;
  /** The name that its certificate must have; empty if none was given. */
  readonly serverName: string;
}

/** An upstream, or a file like /etc/resolv.conf that lists some. */
export type To = Endpoint | { readonly file: string };

const PORTS = { dns: 53, tls: 853, https: 443 } as const;

/** One TO. */
export function upstreamAddress(usage: string): ArgType<To> {
  return { usage, parse: parseTo };
}

/** @example parseTo("tls://9.9.9.9%dns.quad9.net:8853") */
export function parseTo(text: string): To | Problem {
  const [, scheme, rest = ""] = /^(?:([a-z0-9]+):\/\/)?(.*)$/s.exec(text) ?? [];
  if (scheme !== undefined && scheme !== "dns" && scheme !== "tls" && scheme !== "https") {
    return { problem: `'${scheme}' is not supported as a destination protocol in forward: ${text}` };
  }
  if (scheme === "https" && rest.includes("/")) {
    return { problem: `paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default): ${text}` };
  }
  const endpoint = parseAddress(rest, scheme ?? "dns");
  if (endpoint !== undefined) return endpoint;
  if (scheme !== undefined || !looksLikeFile(rest)) {
    const hint = looksLikeName(rest) ? "; hosts by name are not supported yet, write their addresses" : "";
    return { problem: `must be an IP address, IP:PORT, tls://IP, https://IP or a file like /etc/resolv.conf, found "${text}"${hint}` };
  }
  return { file: rest };
}

// The name stands behind the address (`9.9.9.9%dns.quad9.net:853`, `[2620:fe::fe%dns.quad9.net]:853`); with dns:// it is an
// interface (`fe80::1%eth0`).
function parseAddress(text: string, scheme: Scheme): Endpoint | undefined {
  const match =
    /^\[([^[\]%]+)(?:%([^[\]:]+))?\](?:%([^[\]:]+))?(?::(\d{1,5}))?$/.exec(text) ??
    /^([^[\]%:]+)(?:%([^[\]:]+))?()(?::(\d{1,5}))?$/.exec(text) ??
    /^([^[\]%]+)(?:%([^[\]:]+))?()()$/.exec(text);
  if (match === null) return undefined;
  const [, address = "", inside, outside] = match;
  const zone = inside ?? outside ?? "";
  const digits = match[4];
  const port = digits === undefined || digits === "" ? PORTS[scheme] : Number(digits);
  if (isIP(address) === 0 || port < 1 || port > 65_535) return undefined;
  if (scheme !== "dns") return { scheme, address, port, serverName: zone };
  if (zone !== "" && isIP(address) !== 6) return undefined;
  return { scheme, address: zone === "" ? address : `${address}%${zone}`, port, serverName: "" };
}

function looksLikeFile(text: string): boolean {
  return text.includes("/");
}

function looksLikeName(text: string): boolean {
  return /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?$/i.test(text) && /[a-z]/i.test(text);
}

/** Equal for upstreams that are the same. */
export function endpointKey({ scheme, address, port, serverName }: Endpoint): string {
  return `${scheme}://${address}%${serverName}:${port}`;
}
