// Upstreams out of a file like /etc/resolv.conf: which it names, which of them are asked, and what is said of the others.
// Pure; forward.ts reads the file, and again whenever it changes.

import { isIP } from "node:net";
import { posix } from "node:path";

import type { Endpoint } from "./endpoint.ts";

/** CoreDNS's bound, of a line and so of a file. */
export const MAX_UPSTREAMS = 15;
const DNS_PORT = 53;
/** Docker's own resolver: it is at a loopback address of every container, and never this server. */
const DOCKER_RESOLVER = "127.0.0.11";
/** What systemd-resolved itself asks, where its stub is in the file. */
const BEHIND_SYSTEMD = "/run/systemd/resolve/resolv.conf";

export interface Nameservers {
  readonly endpoints: readonly Endpoint[];
  /** Said once: what of the file is not used, and what to do. */
  readonly warnings: readonly string[];
  /** Why nothing in it can be used. */
  readonly problem: string | undefined;
}

/** @param file its path, for the words. */
export function parseNameservers(text: string, file: string): Nameservers {
  const addresses = [...new Set(text.split("\n").map(nameserverOf))].filter((address) => address !== undefined);
  const loopback = addresses.filter(isLoopback);
  const asked = addresses.filter((address) => !isLoopback(address));
  const warnings: string[] = [];
  let problem: string | undefined;
  if (addresses.length === 0) problem = `no nameservers found in ${file}`;
  else if (asked.length === 0) problem = `${loopbackWords(loopback, file)}, and there is no other nameserver`;
  else if (loopback.length > 0) warnings.push(`${loopbackWords(loopback, file)}: skipped`);
  if (asked.length > MAX_UPSTREAMS) warnings.push(`${file} names ${asked.length} nameservers: the first ${MAX_UPSTREAMS} are asked`);
  const endpoints = asked.slice(0, MAX_UPSTREAMS).map((address): Endpoint => ({ scheme: "dns", address, port: DNS_PORT, serverName: "" }));
  return { endpoints, warnings, problem };
}

function nameserverOf(line: string): string | undefined {
  const [keyword, address = ""] = line.trim().split(/\s+/);
  return keyword === "nameserver" && isIP(address) !== 0 ? address : undefined;
}

function isLoopback(address: string): boolean {
  return (address.startsWith("127.") && address !== DOCKER_RESOLVER) || address === "::1";
}

function loopbackWords(addresses: readonly string[], file: string): string {
  const one = addresses.length === 1;
  const fix =
    addresses.includes("127.0.0.53") && posix.normalize(file) !== BEHIND_SYSTEMD
      ? `write 'forward . ${BEHIND_SYSTEMD}' (in Kubernetes: give the kubelet that file as resolvConf)`
      : `write the addresses of the upstreams instead of ${file}`;
  return `${addresses.join(", ")} in ${file} ${one ? "is a loopback address" : "are loopback addresses"}: it may be this server itself, and its questions would go round; ${fix}, or name it in the Corefile if it is another server`;
}
