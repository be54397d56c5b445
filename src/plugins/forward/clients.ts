// Who may ask: a forwarder that the whole internet can reach takes part in attacks (RFC 5358). The first client from
// outside is told of once, by the server, not by each block; its address is left out: it may be a person's.

import { networkInterfaces } from "node:os";

import ipaddr from "ipaddr.js";

/** What ipaddr.js calls the ranges that are one's own network: private, CGNAT, link-local, ULA, loopback. */
const OWN_RANGES: ReadonlySet<string> = new Set(["private", "carrierGradeNat", "linkLocal", "loopback", "uniqueLocal", "unspecified"]);
/** How often the node's addresses are read again for a client that is none of them. */
const REFRESH_MS = 60_000;
/** Clients whose addresses have been judged. */
const MAX_KNOWN = 4096;

/** Servers that have told, by what is one's own of a server for its whole life. */
const told = new WeakSet<object>();

export interface ClientGuardOptions {
  /** The same for all blocks and configurations of a server. */
  readonly server: object;
  readonly warn: (message: string) => void;
  /** Milliseconds on the monotonic clock. */
  readonly now: () => number;
  /** The node's own addresses; the system's interfaces unless given. */
  readonly nodeAddresses?: () => ReadonlySet<string>;
}

/** Called with every client's address. */
export function createClientGuard({ server, warn, now, nodeAddresses = systemAddresses }: ClientGuardOptions): (address: string) => void {
  const known = new Set<string>();
  let own: ReadonlySet<string> = new Set();
  let refreshedAtMs = Number.NEGATIVE_INFINITY;

  return (address) => {
    if (known.has(address) || told.has(server)) return;
    if (!isOwn(address)) {
      told.add(server);
      warn(
        "queries come from outside private networks: whoever can reach this server can use it against others; " +
          "let only your own clients in with a firewall, or with the plugin acl",
      );
      return;
    }
    if (known.size >= MAX_KNOWN) known.clear();
    known.add(address);
  };

  function isOwn(address: string): boolean {
    if (!ipaddr.isValid(address) || OWN_RANGES.has(ipaddr.process(address).range())) return true;
    if (now() - refreshedAtMs >= REFRESH_MS) {
      refreshedAtMs = now();
      own = nodeAddresses();
    }
    return own.has(address);
  }
}

function systemAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address)));
}
