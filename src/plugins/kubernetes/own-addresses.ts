// The server's own addresses, as its zone may tell them to clients: those that it listens on, with a wildcard taken as
// the addresses of the network interfaces. Loopback and link-local ones mean nothing to others.

import { networkInterfaces } from "node:os";
import { canonicalAddress } from "../../registry/kube-names.ts";

/** The addresses behind `listening`, canonical and sorted; interfaces are looked at again only when it changes. */
export function createOwnAddresses(
  listening: () => readonly string[],
  interfaces: () => readonly string[] = interfaceAddresses,
): () => readonly string[] {
  let key: string | undefined;
  let addresses: readonly string[] = [];
  return () => {
    const current = listening();
    const currentKey = current.join(" ");
    if (currentKey === key) return addresses;
    key = currentKey;
    const all = current.flatMap((address) => (address === "0.0.0.0" || address === "::" || address === "" ? interfaces() : [address]));
    const canonical = all.map((address) => canonicalAddress(address)).filter((address) => address !== undefined);
    addresses = [...new Set(canonical)].filter((address) => !isLocal(address)).toSorted();
    return addresses;
  };
}

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
}

function isLocal(address: string): boolean {
  return /^(127\.|169\.254\.|::1$|fe[89ab])/.test(address);
}
