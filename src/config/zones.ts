// Zones as the Corefile writes them: a domain, `.`, or a network in CIDR form that stands for its reverse zones.
// Called for server keys (corefile.ts) and for the zone arguments of directives (arguments.ts).

import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { NdotsError } from "../errors.ts";
import { parseName } from "../dns/name.ts";
import type { Name } from "../dns/name.ts";

/** What a zone's text stands for: its zones, with a notice where the text is unusual; or what is wrong with it. */
export type ZoneText = { readonly zones: readonly Name[]; readonly notice: string | undefined } | { readonly problem: string };

// Letters, digits and inner hyphens (RFC 1035 §2.3.1), digits first as well (RFC 1123 §2.1).
const preferredSyntax = /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?\.?$/i;

/** Reads "zone or CIDR". A CIDR off an octet (IPv4) or nibble (IPv6) boundary gives several zones. */
export function parseZone(text: string): ZoneText {
  const reverse = zonesOfCidr(text);
  if (reverse !== undefined) return { zones: reverse, notice: undefined };
  const [address = "", prefix] = text.split("/");
  const family = isIP(address);
  if (family !== 0 && prefix !== undefined) {
    return {
      problem: `the prefix length of ${address} must be 0–${family === 4 ? 32 : 128}, found "${prefix}"`,
    };
  }
  if (text.includes(":"))
    return {
      problem: `a zone has no colon, found "${text}" (a reverse zone is written as a network: 2001:db8::/32)`,
    };
  try {
    const plain = text === "" || text === "." || preferredSyntax.test(text);
    return {
      zones: [parseName(text)],
      notice: plain ? undefined : `Domain "${text}" does not follow RFC1035 preferred syntax`,
    };
  } catch (error) {
    if (error instanceof NdotsError) return { problem: `not a domain name: ${error.message}` };
    throw error;
  }
}

/**
 * The reverse zones of a network; undefined if `text` is no CIDR. Bits behind the prefix don't count.
 * @example zonesOfCidr("192.0.2.0/23") // 2.0.192.in-addr.arpa. and 3.0.192.in-addr.arpa.
 */
export function zonesOfCidr(text: string): Name[] | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined) return undefined;
  const [digits, bitsPerDigit, suffix] =
    cidr.bytes.length === 4
      ? [cidr.bytes.map(String), 8, "in-addr.arpa"]
      : [cidr.bytes.flatMap((byte) => [(byte >> 4).toString(16), (byte & 15).toString(16)]), 4, "ip6.arpa"];
  const labels = Math.ceil(cidr.prefix / bitsPerDigit);
  const spareBits = labels * bitsPerDigit - cidr.prefix;
  const network = digits.slice(0, labels);
  const zoneOf = (parts: readonly string[]): Name => parseName([...parts.toReversed(), suffix].join("."));
  if (spareBits === 0) return [zoneOf(network)];
  const radix = bitsPerDigit === 8 ? 10 : 16;
  const lowest = (Number.parseInt(network.at(-1) ?? "0", radix) >> spareBits) << spareBits;
  return Array.from({ length: 1 << spareBits }, (_, index) => zoneOf([...network.slice(0, -1), (lowest + index).toString(radix)]));
}

/** A network's address bytes and prefix length; undefined if `text` is no CIDR. */
export function parseCidr(text: string): { readonly bytes: readonly number[]; readonly prefix: number } | undefined {
  const match = /^([^/%]+)\/(\d{1,3})$/.exec(text);
  const address = match?.[1] ?? "";
  const prefix = Number(match?.[2]);
  const family = isIP(address);
  if (family === 0 || prefix > (family === 4 ? 32 : 128)) return undefined;
  return { bytes: ipaddr.parse(address).toByteArray(), prefix };
}
