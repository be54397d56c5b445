// Bounds the answers to packets that ask nothing: FORMERR, NOTIMP, BADVERS. A forged source address must not get
// a stream of them. Never used for answers to questions that were read: a node's pods share one network.

import type { Exchange } from "./dns/question.ts";

/** Error answers a second to one network (IPv4 /24, IPv6 /56), and in all. */
const PER_NETWORK = 200;
const IN_ALL = 2_000;
const WINDOW_MS = 1_000;

export interface ErrorLimiter {
  /** True if one more error answer may go to the sender of `io`; TCP peers are who they say and always may. */
  allows(io: Exchange): boolean;
}

/** @param onDrop told of each answer that is not sent. */
export function createErrorLimiter(onDrop: () => void): ErrorLimiter {
  const byNetwork = new Map<string, number>(); // at most IN_ALL keys: cleared each window, filled only while below it
  let windowStartMs = Number.NEGATIVE_INFINITY;
  let inAll = 0;
  return {
    allows(io) {
      if (io.transport !== "udp") return true;
      if (io.receivedAtMs - windowStartMs >= WINDOW_MS) {
        windowStartMs = io.receivedAtMs;
        byNetwork.clear();
        inAll = 0;
      }
      if (inAll < IN_ALL) {
        const network = networkOf(io.remoteAddress, io.family);
        const count = byNetwork.get(network) ?? 0;
        if (count < PER_NETWORK) {
          byNetwork.set(network, count + 1);
          inAll++;
          return true;
        }
      }
      onDrop();
      return false;
    },
  };
}

// IPv6 text from the kernel is compressed; the first three groups and a half are compared as written, which
// splits a network at most, never joins two.
function networkOf(address: string, family: 4 | 6): string {
  if (family === 4) return address.slice(0, address.lastIndexOf("."));
  const groups = address.split(":");
  return `${groups.slice(0, 3).join(":")}:${(groups[3] ?? "").padStart(4, "0").slice(0, 2)}`;
}
