// Reverse names, both ways: an address and its name in in-addr.arpa or ip6.arpa (RFC 1035 §3.5, RFC 3596 §2.5). Pure.

import ipaddr from "ipaddr.js";
import { labelsBelow, nameBelow, parseName, type Name } from "./name.ts";
import { addressToBytes } from "./rdata.ts";

const IN_ADDR: Name = parseName("in-addr.arpa");
const IP6: Name = parseName("ip6.arpa");
const NIBBLES = 32;

/** Canonical text (RFC 5952) of 4 or 16 bytes. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  return (ipaddr.fromByteArray([...bytes]) as ipaddr.IPv6).toRFC5952String();
}

/** The name in in-addr.arpa or ip6.arpa (RFC 1035 §3.5, RFC 3596 §2.5); undefined for what is no address. */
export function reverseName(address: string): Name | undefined {
  const bytes = addressToBytes(address);
  if (bytes === undefined) return undefined;
  if (bytes.length === 4) return nameBelow(IN_ADDR, ...Array.from(bytes, String).toReversed());
  const nibbles = Buffer.from(bytes).toString("hex").split("");
  return nameBelow(IP6, ...nibbles.toReversed());
}

/** The canonical address of a whole reverse name; undefined for any other name, other spellings included. */
export function addressOfReverseName(name: Name): string | undefined {
  const v4 = labelsBelow(name, IN_ADDR);
  if (v4 !== undefined) {
    const bytes = v4.length === 4 ? addressToBytes(v4.toReversed().join(".")) : undefined;
    return bytes && addressText(bytes);
  }
  const v6 = labelsBelow(name, IP6);
  if (v6?.length !== NIBBLES || !v6.every((label) => /^[0-9a-f]$/.test(label))) return undefined;
  return addressText(Buffer.from(v6.toReversed().join(""), "hex"));
}

/** True for in-addr.arpa, ip6.arpa and all below. */
export function isReverse(zone: Name): boolean {
  return labelsBelow(zone, IN_ADDR) !== undefined || labelsBelow(zone, IP6) !== undefined;
}
