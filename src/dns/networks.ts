// Sets of networks and addresses, for whoever decides by address (acl, view). However many there are, a look-up masks the
// address once for each prefix length that occurs. Pure.

import { addressToBytes } from "./rdata.ts";

/** The bits of `bytes` behind `prefix` don't count. 4 bytes are IPv4, 16 are IPv6; neither holds the other. */
export interface Network {
  readonly bytes: ArrayLike<number>;
  readonly prefix: number;
}

export interface Networks {
  /** `address` is text, as in a Client; what is none is in no network. */
  has(address: string): boolean;
}

/** @example createNetworks([{ bytes: [192, 0, 2, 0], prefix: 24 }]).has("192.0.2.7") */
export function createNetworks(networks: readonly Network[]): Networks {
  // Octets of an address → prefix length → the networks of it.
  const families = new Map<number, Map<number, Set<string>>>();
  for (const { bytes, prefix } of networks) {
    const lengths = families.get(bytes.length) ?? new Map<number, Set<string>>();
    families.set(bytes.length, lengths);
    lengths.set(prefix, (lengths.get(prefix) ?? new Set<string>()).add(masked(bytes, prefix)));
  }
  return {
    has(address) {
      const bytes = addressToBytes(withoutZone(address));
      const lengths = bytes && families.get(bytes.length);
      if (bytes === undefined || lengths === undefined) return false;
      for (const [prefix, known] of lengths) if (known.has(masked(bytes, prefix))) return true;
      return false;
    },
  };
}

/** The first `prefix` bits of an address, as a key. */
export function masked(bytes: ArrayLike<number>, prefix: number): string {
  const whole = prefix >> 3;
  let key = "";
  for (let index = 0; index < whole; index++) key += String.fromCharCode(bytes[index] ?? 0);
  const spareBits = prefix & 7;
  return spareBits === 0 ? key : key + String.fromCharCode((bytes[whole] ?? 0) & (0xff << (8 - spareBits)) & 0xff);
}

/** An address without the name of its interface: `fe80::1%eth0` (RFC 4007 §11). */
export function withoutZone(address: string): string {
  const at = address.indexOf("%");
  return at < 0 ? address : address.slice(0, at);
}
