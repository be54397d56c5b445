// The Corefile's `rewrite edns0` rules. What they put into a query is for those who are asked behind; what our own zones and
// memory answer does not depend on it, so the answer table need not ask.

import { caseless, oneOf, type ArgType } from "../../config/arguments.ts";
import { readArgument } from "../../config/directive.ts";
import { OPTION_NSID, type Query } from "../../dns/message.ts";
import { ACTIONS, editOption, OPTION_SUBNET, subnetOf, VARIABLES, type Action } from "./edns.ts";
import type { Metadata, Rule, Words } from "./rule.ts";

export const EDNS_USAGE: readonly string[] = [
  "local set|append|replace CODE DATA [revert]",
  "local unset CODE",
  "nsid set|append|replace [revert]",
  "nsid unset",
  "subnet set|append|replace IPV4-BITS IPV6-BITS [revert]",
  "subnet unset",
];

type OptionData = (query: Query, qname: string, metadata: Metadata) => Uint8Array | undefined;

const NOTHING = new Uint8Array(0);

export function readEdns({ tokens, report, expected }: Words): Omit<Rule, "stops"> | undefined {
  const [kindToken, actionToken, ...rest] = tokens;
  if (kindToken === undefined || actionToken === undefined) return expected("");
  const kind = readArgument(KIND, kindToken, report);
  const action = readArgument(ACTION, actionToken, report);
  if (kind === undefined || action === undefined) return undefined;
  // An option is never told to the client, so there is nothing to revert.
  const args = action !== "unset" && rest.at(-1)?.text === "revert" ? rest.slice(0, -1) : rest;
  const [first, second] = args;
  const wanted = action === "unset" ? (kind === "local" ? 1 : 0) : kind === "nsid" ? 0 : 2;
  if (args.length !== wanted) return expected(EDNS_USAGE.filter((line) => line.startsWith(kind)).join(" or "));
  if (kind === "nsid") return edits(action, OPTION_NSID, () => NOTHING);
  if (kind === "subnet") {
    if (first === undefined || second === undefined) return edits(action, OPTION_SUBNET, () => NOTHING);
    const [ipv4Bits, ipv6Bits] = [readArgument(bits(32), first, report), readArgument(bits(128), second, report)];
    if (ipv4Bits === undefined || ipv6Bits === undefined) return undefined;
    return edits(action, OPTION_SUBNET, (query) => subnetOf(query, ipv4Bits, ipv6Bits));
  }
  const code = first === undefined ? undefined : readArgument(CODE, first, report);
  const data = second === undefined ? () => NOTHING : readArgument(DATA, second, report);
  return code === undefined || data === undefined ? undefined : edits(action, code, data);
}

function edits(action: Action, code: number, data: OptionData): Omit<Rule, "stops"> {
  return {
    touches: {},
    apply(query, qname, metadata) {
      const bytes = data(query, qname, metadata);
      const edited = bytes === undefined ? undefined : editOption(query, action, code, bytes);
      return edited === undefined ? undefined : { query: edited, answer: [] };
    },
  };
}

const KIND = caseless(oneOf("local", "nsid", "subnet"));
const ACTION = caseless(oneOf(...ACTIONS));

/** An option code; `0x` is hex, as Go reads numbers. */
const CODE: ArgType<number> = {
  usage: "CODE",
  parse(text) {
    const value = /^(?:0x[0-9a-f]+|0o[0-7]+|0b[01]+|0|[1-9]\d*)$/i.test(text) ? Number(text) : Number.NaN;
    return value <= 0xffff ? value : { problem: `must be 0–65535, decimal or hex like 0xffee, found "${text}"` };
  },
};

/** Text, bytes in hex behind `0x`, a variable, or a label of metadata. */
const DATA: ArgType<OptionData> = {
  usage: "DATA",
  parse(text) {
    if (text.startsWith("{") && text.endsWith("}")) return variable(text);
    const hex = text.startsWith("0x") ? text.slice(2) : undefined;
    if (hex !== undefined && !/^(?:[0-9a-f]{2})*$/i.test(hex)) return { problem: `must be bytes in hex behind 0x, found "${text}"` };
    const bytes = Buffer.from(hex ?? text, hex === undefined ? "utf8" : "hex");
    return () => bytes;
  },
};

function variable(text: string): OptionData | { readonly problem: string } {
  const known = Object.keys(VARIABLES).join(", ");
  if (Object.hasOwn(VARIABLES, text)) return VARIABLES[text] as OptionData;
  const label = text.slice(1, -1);
  if (!/^[^/]+\/./s.test(label)) return { problem: `must be text, 0x and hex, {PLUGIN/LABEL} or one of ${known}, found "${text}"` };
  return (_query, _qname, metadata) => {
    const value = metadata(label);
    return value === undefined || value === "" ? undefined : Buffer.from(value);
  };
}

function bits(max: 32 | 128): ArgType<number> {
  return {
    usage: max === 32 ? "IPV4-BITS" : "IPV6-BITS",
    parse(text) {
      const value = CODE.parse(text);
      return typeof value === "number" && value <= max ? value : { problem: `must be 0–${max}, found "${text}"` };
    },
  };
}
