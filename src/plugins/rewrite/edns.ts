// EDNS options that rules put into a query or take out of it, for whoever is asked behind. Pure.

import { DEFAULT_UDP_BYTES, OPTION_HEAD_BYTES, putUint16, uint16, type Query } from "../../dns/message.ts";
import { addressToBytes } from "../../dns/rdata.ts";

export const ACTIONS = ["set", "append", "replace", "unset"] as const;
/** `append` adds where there is none, `replace` changes what is there, `set` does either. */
export type Action = (typeof ACTIONS)[number];

/** OPTION-CODE of a client's subnet (RFC 7871 §6). */
export const OPTION_SUBNET = 8;

const NONE = new Uint8Array(0);

/**
 * The query with the option edited, for plugins and for upstreams; undefined where there was nothing to do, and so the rule
 * does not apply.
 */
export function editOption(query: Query, action: Action, code: number, data: Uint8Array): Query | undefined {
  const { edns = { udpSize: DEFAULT_UDP_BYTES, dnssecOk: false, options: NONE }, upstreamOptions = NONE } = query;
  const isThere = optionsIn(edns.options).some((option) => option.code === code);
  if (action === "unset") {
    if (!isThere) return query;
    return { ...query, edns: { ...edns, options: without(edns.options, code) }, upstreamOptions: without(upstreamOptions, code) };
  }
  if (isThere ? action === "append" : action === "replace") return undefined;
  const option = Buffer.concat([Buffer.alloc(OPTION_HEAD_BYTES), data]);
  putUint16(option, 0, code);
  putUint16(option, 2, data.length);
  return {
    ...query,
    edns: { ...edns, options: withOption(edns.options, code, option) },
    upstreamOptions: withOption(upstreamOptions, code, option),
  };
}

/** The client's network as an option's data (RFC 7871 §6): its first bits, as many octets as they need. */
export function subnetOf({ client }: Query, ipv4Bits: number, ipv6Bits: number): Uint8Array | undefined {
  const address = addressToBytes(client.address);
  if (address === undefined) return undefined;
  const isIpv4 = address.length === 4;
  const bits = isIpv4 ? ipv4Bits : ipv6Bits;
  const network = Buffer.from(address.subarray(0, Math.ceil(bits / 8)));
  const last = network.length - 1;
  if (bits % 8 !== 0) network[last] = (network[last] as number) & (0xff00 >> (bits % 8));
  return Buffer.concat([Uint8Array.of(0, isIpv4 ? 1 : 2, bits, 0), network]);
}

/** What the variables of CoreDNS's stand for; undefined where it is not known, and then the rule does not apply. */
export const VARIABLES: Readonly<Record<string, (query: Query, qname: string) => Uint8Array | undefined>> = {
  "{qname}": (_query, qname) => Buffer.from(qname),
  "{qtype}": ({ qtype }) => twoBytes(qtype),
  "{client_ip}": ({ client }) => addressToBytes(client.address),
  "{client_port}": ({ client }) => twoBytes(client.port),
  "{protocol}": ({ client }) => Buffer.from(client.transport === "udp" ? "udp" : "tcp"),
  "{server_ip}": ({ client }) => addressToBytes(client.localAddress),
  "{server_port}": ({ client }) => twoBytes(client.localPort),
};

interface Option {
  readonly code: number;
  /** With its head. */
  readonly bytes: Uint8Array;
}

// Lengths were checked when the packet was read.
function optionsIn(bytes: Uint8Array): Option[] {
  const options: Option[] = [];
  for (let at = 0; at + OPTION_HEAD_BYTES <= bytes.length;) {
    const end = at + OPTION_HEAD_BYTES + uint16(bytes, at + 2);
    options.push({ code: uint16(bytes, at), bytes: bytes.subarray(at, end) });
    at = end;
  }
  return options;
}

function without(bytes: Uint8Array, code: number): Uint8Array {
  return joined(optionsIn(bytes).filter((option) => option.code !== code));
}

// In the place of the first that is there, or at the end.
function withOption(bytes: Uint8Array, code: number, option: Uint8Array): Uint8Array {
  const options = optionsIn(bytes);
  const at = options.findIndex((other) => other.code === code);
  options.splice(at < 0 ? options.length : at, at < 0 ? 0 : 1, { code, bytes: option });
  return joined(options);
}

function joined(options: readonly Option[]): Uint8Array {
  return Buffer.concat(options.map(({ bytes }) => bytes));
}

function twoBytes(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}
