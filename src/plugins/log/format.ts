// Query log lines: a format with placeholders, made into a list of functions once, when the configuration is read.

import { isIPv6 } from "node:net";

import { Flags, MAX_MESSAGE_BYTES, MIN_UDP_BYTES, type Query } from "../../dns/message.ts";
import { formatName } from "../../dns/name.ts";
import { className, rcodeName, typeName } from "../../dns/text.ts";
import type { Sent } from "../../plugin.ts";

export type Format = (query: Query, sent: Sent, metadata: Metadata) => string;
/** What `metadata` says of a query, if anything. */
export type Metadata = (query: Query, label: string) => string | undefined;

const COMMON = '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}';
const FORMATS: ReadonlyMap<string, string> = new Map([
  ["{common}", COMMON],
  ["{combined}", `${COMMON} "{>opcode}"`],
]);

const ABSENT = "-";

const PLACEHOLDERS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ["{type}", ({ qtype }) => typeName(qtype)],
  ["{class}", ({ qclass }) => className(qclass)],
  ["{name}", ({ qname }) => formatName(qname)],
  ["{proto}", ({ client }) => (client.transport === "udp" ? "udp" : "tcp")],
  ["{remote}", ({ client }) => bracketed(client.address)],
  ["{local}", ({ client }) => bracketed(client.localAddress)],
  ["{port}", ({ client }) => String(client.port)],
  ["{size}", (_query, { requestBytes }) => String(requestBytes)],
  ["{rsize}", (_query, { replyBytes }) => String(replyBytes)],
  ["{rcode}", (_query, { rcode }) => rcodeName(rcode)],
  ["{duration}", (_query, { durationMs }) => `${seconds(durationMs)}s`],
  ["{>id}", ({ id }) => String(id)],
  ["{>opcode}", ({ flags }) => String((flags >> 11) & 0xf)],
  ["{>do}", ({ edns }) => String(edns?.dnssecOk ?? false)],
  ["{>bufsize}", (query) => String(bufferSize(query))],
  ["{>rflags}", (_query, { flags }) => flagsText(flags)],
]);

/** Makes a line's writer. Unknown placeholders stay as they are; metadata (`{/LABEL}`) that there is not is `-`. */
export function compileFormat(text: string): Format {
  const expanded = text.replace(/\{common\}|\{combined\}/g, (name) => FORMATS.get(name) ?? name);
  const parts = expanded.split(/(\{[^{}\s]*\})/).map((part): Format => {
    if (part.startsWith("{/")) return (query, _sent, metadata) => metadata(query, part.slice(2, -1)) || ABSENT;
    return PLACEHOLDERS.get(part) ?? (() => part);
  });
  return (query, sent, metadata) => {
    let line = "";
    for (const part of parts) line += part(query, sent, metadata);
    return line;
  };
}

function bracketed(address: string): string {
  return address === "" ? ABSENT : isIPv6(address) ? `[${address}]` : address;
}

// Nanoseconds are the finest that CoreDNS prints; trailing zeros are left out.
function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(9).replace(/\.?0+$/, "");
}

function bufferSize({ edns, client }: Query): number {
  if (client.transport !== "udp") return MAX_MESSAGE_BYTES;
  return Math.max(edns?.udpSize ?? 0, MIN_UDP_BYTES);
}

const Z = 0x0040;
const FLAG_NAMES = [
  [Flags.QR, "qr"],
  [Flags.AA, "aa"],
  [Flags.TC, "tc"],
  [Flags.RD, "rd"],
  [Flags.RA, "ra"],
  [Z, "z"],
  [Flags.AD, "ad"],
  [Flags.CD, "cd"],
] as const;

function flagsText(flags: number): string {
  let text = "";
  for (const [bit, name] of FLAG_NAMES) if ((flags & bit) !== 0) text += text === "" ? name : `,${name}`;
  return text === "" ? ABSENT : text;
}
