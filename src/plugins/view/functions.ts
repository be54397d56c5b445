// What an expression may call: CoreDNS's functions, by name. Called by expression.ts when it compiles a call.

import { isProblem, type Problem } from "../../config/arguments.ts";
import { parseCidr } from "../../config/zones.ts";
import { MIN_UDP_BYTES, MAX_MESSAGE_BYTES, type Query, type Transport } from "../../dns/message.ts";
import { formatName } from "../../dns/name.ts";
import { createNetworks, type Networks } from "../../dns/networks.ts";
import { className, typeName } from "../../dns/text.ts";

export type Kind = "string" | "number" | "condition" | "list";
export type Value = string | number | boolean | readonly (string | number | boolean)[];

/** What an expression is about. */
export interface Subject {
  readonly query: Query;
  /** What other plugins know of the query (`metadata`); undefined if nobody does. */
  metadata(label: string): string | undefined;
}

/** An expression that is known to be right: its kind, and how its value is found. */
export interface Compiled {
  readonly kind: Kind;
  /** Of a literal: its value, which is the same for every query. */
  readonly constant?: Value;
  of(subject: Subject): Value;
}

/** Makes a call of its arguments, or says what is wrong with them. */
export type FunctionOf = (args: readonly Compiled[]) => Compiled | Problem;

export const functions: Readonly<Record<string, FunctionOf>> = {
  bufsize: plain("number", ({ client, edns }) =>
    protoOf(client.transport) === "tcp" ? MAX_MESSAGE_BYTES : Math.max(edns?.udpSize ?? 0, MIN_UDP_BYTES),
  ),
  class: plain("string", ({ qclass }) => className(qclass)),
  client_ip: plain("string", ({ client }) => client.address),
  do: plain("condition", ({ edns }) => edns?.dnssecOk === true),
  id: plain("number", ({ id }) => id),
  name: plain("string", ({ qname }) => formatName(qname)),
  opcode: plain("number", ({ flags }) => (flags >> OPCODE_SHIFT) & OPCODE_MASK),
  port: plain("string", ({ client }) => String(client.port)),
  proto: plain("string", ({ client }) => protoOf(client.transport)),
  server_ip: plain("string", ({ client }) => client.localAddress),
  server_port: plain("string", ({ client }) => String(client.localPort)),
  size: plain("number", ({ wire }) => wire.length),
  type: plain("string", ({ qtype }) => typeName(qtype)),
  incidr,
  metadata,
};

const OPCODE_SHIFT = 11;
const OPCODE_MASK = 0x0f;

function plain(kind: Kind, of: (query: Query) => Value): FunctionOf {
  return (args) => (args.length === 0 ? { kind, of: ({ query }) => of(query) } : { problem: "takes no arguments" });
}

// TLS and HTTPS come over TCP, as CoreDNS sees it.
function protoOf(transport: Transport): "udp" | "tcp" {
  return transport === "udp" ? "udp" : "tcp";
}

// The network is read once, and so must be a literal. Brackets around an IPv6 address don't count.
function incidr(args: readonly Compiled[]): Compiled | Problem {
  const [address, network] = args;
  if (args.length !== 2 || address?.kind !== "string" || network?.kind !== "string") return { problem: "takes an address and a network" };
  const networks = networksOf(network.constant);
  if (isProblem(networks)) return networks;
  return { kind: "condition", of: (subject) => networks.has(String(address.of(subject)).replace(/^\[(.*)\]$/, "$1")) };
}

function metadata(args: readonly Compiled[]): Compiled | Problem {
  const [label] = args;
  if (args.length !== 1 || label?.kind !== "string") return { problem: "takes a label, like 'kubernetes/client-namespace'" };
  return { kind: "string", of: (subject) => subject.metadata(String(label.of(subject))) ?? "" };
}

function networksOf(text: Value | undefined): Networks | Problem {
  if (typeof text !== "string") return { problem: "the network must be a text in quotes, like '192.0.2.0/24'" };
  const network = parseCidr(text);
  return network === undefined
    ? { problem: `the network must be one like '192.0.2.0/24' or '2001:db8::/32', found '${text}'` }
    : createNetworks([network]);
}
