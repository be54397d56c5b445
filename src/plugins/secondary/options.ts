// The syntax of `secondary`: which zones, and the servers that have them.

import { isIP } from "node:net";
import type { ArgType } from "../../config/arguments.ts";
import { directive, each, notYet, once, rest, zones, zonesOrAll, type Shape, type Syntax } from "../../config/directive.ts";
import type { Name } from "../../dns/name.ts";

export interface Primary {
  readonly address: string;
  readonly port: number;
}

/** One `secondary` line. */
export interface SecondaryOptions {
  /** Empty: those of the server block. */
  readonly zones: readonly Name[];
  /** In the order in which they are asked; at least one. */
  readonly primaries: readonly Primary[];
  /** Undefined: no name; empty: all. */
  readonly fallthrough: readonly Name[] | undefined;
}

const DNS_PORT = 53;

const primary: ArgType<Primary> = {
  usage: "ADDRESS",
  parse(text) {
    const plain = isIP(text) === 6 ? `[${text}]` : text;
    const [, bracketed, v4 = "", digits] = /^(?:\[([^[\]]*)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(plain) ?? [];
    const address = bracketed ?? v4;
    const port = digits === undefined ? DNS_PORT : Number(digits);
    const isSound = bracketed === undefined ? isIP(address) === 4 : isIP(address) === 6;
    return isSound && port > 0 && port <= 65_535
      ? { address, port }
      : { problem: `must be an IP address, with or without a port, found "${text}"` };
  },
};

const from: Shape<readonly Primary[]> = {
  usage: "from ADDRESS...",
  read(tokens, at, report) {
    const [word, ...addresses] = tokens;
    if (word?.text === "from") return rest(primary, { min: 1 }).read(addresses, word, report);
    report.error(word ?? at, `expected ${from.usage}, found ${word === undefined ? "nothing" : `"${word.text}"`}`);
    return undefined;
  },
};

const line = directive({
  args: zones(),
  options: { transfer: each(from), fallthrough: once(zonesOrAll()), catalog: notYet("name each zone") },
  repeat: "each",
  check({ transfer }, report, at) {
    if (transfer.length === 0) report.error(at, "secondary zones require a transfer from property");
  },
});

// The zones of all lines are one set: the longest that fits answers, whatever the order.
export const syntax: Syntax<readonly SecondaryOptions[]> = {
  repeat: "merge",
  usage: line.usage,
  read(occurrences, report) {
    const lines = line
      .read(occurrences, report)
      .map(({ args, transfer, fallthrough }) => ({ zones: args, primaries: transfer.flat(), fallthrough }));
    return lines.length === 0 ? [] : [lines];
  },
};
