// The syntax of `transfer`: which zones, to whom, and from which address secondaries are told of changes.

import { isIP } from "node:net";
import { ipAddress, type ArgType } from "../../config/arguments.ts";
import { directive, each, once, one, rest, zones, type Syntax } from "../../config/directive.ts";
import type { Name } from "../../dns/name.ts";

/** Who may have the zones: everybody, or who asks from an address, and where NOTIFY is sent. */
export type Peer = "*" | { readonly address: string; readonly port: number };

export interface TransferOptions {
  /** Empty: those of the server block. */
  readonly zones: readonly Name[];
  readonly to: readonly Peer[];
  /** NOTIFY is sent from here. */
  readonly source: string | undefined;
}

const DNS_PORT = 53;

const peer: ArgType<Peer> = {
  usage: "ADDRESS",
  parse(text) {
    if (text === "*") return "*";
    const plain = isIP(text) === 6 ? `[${text}]` : text;
    const [, bracketed, v4 = "", digits] = /^(?:\[([^[\]]*)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(plain) ?? [];
    const address = bracketed ?? v4;
    const port = digits === undefined ? DNS_PORT : Number(digits);
    const isSound = bracketed === undefined ? isIP(address) === 4 : isIP(address) === 6;
    if (!isSound || port === 0 || port > 65_535) return { problem: `must be * or an IP address, with or without a port, found "${text}"` };
    return { address, port };
  },
};

const line = directive({
  args: zones({ usage: "ZONE" }),
  options: { to: each(rest(peer, { min: 1 })), source: once(one(ipAddress())) },
  repeat: "each",
  check({ to }, report, at) {
    if (to.length === 0) report.error(at, "'to' is required");
  },
});

// The zones of all lines are one set: the longest that fits counts, whatever the order.
export const syntax: Syntax<readonly TransferOptions[]> = {
  repeat: "merge",
  usage: line.usage,
  read(occurrences, report) {
    const lines = line.read(occurrences, report).map(({ args, to, source }) => ({ zones: args, to: to.flat(), source }));
    return lines.length === 0 ? [] : [lines];
  },
};
