// Which addresses are a listener's own: a packet from one of them and our own port would be answered for ever.

import { networkInterfaces } from "node:os";

/** Asked only about packets from our own port number, so at most once a second it may look at the interfaces. */
const REFRESH_MS = 1000;

/** @param bound the address that is listened on, the wildcard as "::" or "0.0.0.0" */
export function ownAddresses(bound: string): (address: string) => boolean {
  if (bound !== "::" && bound !== "0.0.0.0") return (address) => address === bound;
  let known = new Set<string>();
  let readAtMs = Number.NEGATIVE_INFINITY;
  return (address) => {
    const nowMs = performance.now();
    if (nowMs - readAtMs > REFRESH_MS) {
      readAtMs = nowMs;
      known = new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((entry) => entry.address)));
    }
    return address.startsWith("127.") || address === "::1" || known.has(address);
  };
}
