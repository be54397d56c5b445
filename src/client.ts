// The asking side: builds a query, reads the answer, shows it in zone file form. For the library's query(), the
// testing helpers and the CLI; the server never uses it on what it receives.

import { createSocket } from "node:dgram";
import { randomInt } from "node:crypto";
import { connect } from "node:net";
import { decodeMessage, type DecodedRecord } from "./dns/decode.ts";
import { Flags, HEADER_BYTES, OPT_BYTES, putUint16, DEFAULT_UDP_BYTES, type Ede } from "./dns/message.ts";
import { nameToWire, parseName } from "./dns/name.ts";
import { RRTypes } from "./dns/records.ts";
import { formatRecord, rcodeName, rdataToText, typeOf } from "./dns/text.ts";
import { NdotsError } from "./errors.ts";

/** An answer, as a person reads it. */
export interface Result {
  /** `NOERROR`, `NXDOMAIN`, … */
  readonly rcode: string;
  /** `aa`, `tc`, `rd`, `ra`, `ad`, `cd` as far as they are set. */
  readonly flags: readonly string[];
  /** Records in zone file form: `web.default.svc.cluster.local. 5 IN A 10.0.0.1` */
  readonly answer: readonly string[];
  readonly authority: readonly string[];
  readonly additional: readonly string[];
  /** The addresses in the answer, in its order. */
  readonly addresses: readonly string[];
  /** The server's reason (RFC 8914), if it gave one. */
  readonly ede?: Ede;
  /** The message itself. */
  readonly message: Uint8Array;
}

/** Builds a query with RD and an OPT record. Throws NDOTS_ERR_NAME or NDOTS_ERR_USAGE. */
export function buildQuery(name: string, type: string): Uint8Array {
  const qtype = typeOf(type.toUpperCase());
  if (qtype === undefined) throw new NdotsError("NDOTS_ERR_USAGE", `"${type}" is no record type; try A, AAAA, SRV, PTR, TXT or TYPE65`);
  const qname = nameToWire(parseName(name));
  const message = new Uint8Array(HEADER_BYTES + qname.length + 4 + OPT_BYTES);
  putUint16(message, 0, randomInt(65_536));
  putUint16(message, 2, Flags.RD);
  putUint16(message, 4, 1);
  putUint16(message, 10, 1);
  message.set(qname, HEADER_BYTES);
  const at = HEADER_BYTES + qname.length;
  putUint16(message, at, qtype);
  putUint16(message, at + 2, 1);
  putUint16(message, at + 5, RRTypes.OPT);
  putUint16(message, at + 7, DEFAULT_UDP_BYTES);
  return message;
}

/** Reads an answer; throws NDOTS_ERR_NO_ANSWER if it is none. */
export function readResult(message: Uint8Array): Result {
  const decoded = decodeMessage(message);
  if (decoded === undefined) throw new NdotsError("NDOTS_ERR_NO_ANSWER", `the answer of ${message.length} bytes is no DNS message`);
  const { flags, rcode, answer, authority, additional, edns } = decoded;
  return {
    rcode: rcodeName(rcode),
    flags: FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name),
    answer: answer.map(toText),
    authority: authority.map(toText),
    additional: additional.map(toText),
    addresses: answer.filter(({ type }) => type === RRTypes.A || type === RRTypes.AAAA).map(({ type, rdata }) => rdataToText(type, rdata)),
    ...(edns?.ede !== undefined && { ede: edns.ede }),
    message,
  };
}

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [Flags.AA, "aa"],
  [Flags.TC, "tc"],
  [Flags.RD, "rd"],
  [Flags.RA, "ra"],
  [Flags.AD, "ad"],
  [Flags.CD, "cd"],
];

function toText(record: DecodedRecord): string {
  return formatRecord(record, record.rdata);
}

export interface AskOptions {
  readonly transport?: "udp" | "tcp";
  /** Milliseconds until the promise is rejected. */
  readonly timeoutMs?: number;
}

/** Where a server listens. */
export interface ServerAddress {
  readonly address: string;
  readonly port: number;
}

/** Sends a query to a server and waits for the answer. Rejects with NDOTS_ERR_NO_ANSWER when none comes in time. */
export async function ask(server: ServerAddress, name: string, type: string, options: AskOptions = {}): Promise<Result> {
  const { transport = "udp", timeoutMs = 5_000 } = options;
  const query = buildQuery(name, type);
  const signal = AbortSignal.timeout(timeoutMs);
  const answer = await (transport === "udp" ? askUdp(server, query, signal) : askTcp(server, query, signal)).catch((cause: unknown) => {
    const reason = signal.aborted ? `no answer within ${timeoutMs} ms` : (cause as Error).message;
    throw new NdotsError("NDOTS_ERR_NO_ANSWER", `${server.address}:${server.port}: ${reason}`, { cause });
  });
  return readResult(answer);
}

function askUdp({ address, port }: ServerAddress, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: address.includes(":") ? "udp6" : "udp4" });
    const end = (settle: () => void): void => {
      signal.removeEventListener("abort", onAbort);
      socket.close();
      settle();
    };
    const onAbort = (): void => end(() => reject(signal.reason as Error));
    signal.addEventListener("abort", onAbort);
    socket.once("error", (error) => end(() => reject(error)));
    socket.on("message", (message) => {
      if (message[0] === query[0] && message[1] === query[1]) end(() => resolve(message));
    });
    socket.send(query, port, address);
  });
}

function askTcp({ address, port }: ServerAddress, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, signal });
    let received = Buffer.alloc(0);
    const framed = Buffer.alloc(2 + query.length);
    framed.writeUInt16BE(query.length);
    framed.set(query, 2);
    socket.write(framed);
    socket.once("error", reject);
    socket.once("end", () => reject(new Error("closed without an answer")));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE()) return;
      socket.destroy();
      resolve(received.subarray(2, 2 + received.readUInt16BE()));
    });
  });
}
