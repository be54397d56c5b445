// Asks a server many questions at once over UDP, and puts its answers in few words, in which two servers' can be compared.

import { decodeMessage, type DecodedRecord } from "../../../src/dns/decode.ts";
import { Flags } from "../../../src/dns/message.ts";
import { formatName } from "../../../src/dns/name.ts";
import { RRTypes } from "../../../src/dns/records.ts";
import { formatRecord, rcodeName, typeOf } from "../../../src/dns/text.ts";
import { query, udpClient, type Target } from "../../helpers/dns-client.ts";
import { shortened, spelledOut, type Question } from "./questions.ts";

/** `NOERROR aa rd | ANSWER; … | AUTHORITY | ADDITIONAL`, empty ends left out; rrsets sorted, `@` for the name asked. */
export type Answer = string;

/** Large enough that nothing in a small cluster is cut. */
const UDP_BYTES = 4096;
/** Fewer than a socket's buffer holds. */
const AT_ONCE = 50;
/** A bound for a failing test. */
const WAIT_MS = 5000;

/** The answers, in the order of the questions; "nothing" where none comes. */
export async function askAll(target: Target, questions: readonly Question[], waitMs = WAIT_MS): Promise<Answer[]> {
  const client = await udpClient(target);
  const answers: Answer[] = questions.map(() => "nothing");
  try {
    for (let at = 0; at < questions.length; at += AT_ONCE) {
      const batch = questions.slice(at, at + AT_ONCE);
      batch.forEach((question, index) => client.send(packetFor(question, at + index)));
      for (let left = batch.length; left > 0; left--) {
        const packet = await client.receive(waitMs);
        if (packet === undefined) break;
        const id = packet.readUInt16BE(0);
        answers[id] = inWords(packet, questions[id] ?? "");
      }
    }
  } finally {
    client.close();
  }
  return answers;
}

function packetFor(question: Question, id: number): Buffer {
  const [name = "", type = ""] = spelledOut(question).split(" ");
  const qtype = typeOf(type);
  if (qtype === undefined) throw new Error(`${question}: no such type`);
  return query({ name, type: qtype, id, edns: { udpSize: UDP_BYTES } });
}

function inWords(packet: Buffer, question: Question): Answer {
  const message = decodeMessage(packet);
  if (message === undefined) return `not sound: ${packet.toString("hex")}`;
  const asked = spelledOut(question).split(" ")[0]?.toLowerCase() ?? "";
  const flags = (["AA", "TC", "RD", "RA", "AD", "CD"] as const).filter((name) => (message.flags & Flags[name]) !== 0);
  const head = [rcodeName(message.rcode), ...flags.map((flag) => flag.toLowerCase())].join(" ");
  const sections = [message.answer, message.authority, message.additional].map((records) => section(records, asked));
  return [head, ...sections]
    .join(" | ")
    .replace(/( \| )+$/, "")
    .replaceAll(" |  | ", " || ");
}

function section(records: readonly DecodedRecord[], asked: string): string {
  const texts = records.map((record) => {
    const text = record.type === RRTypes.SOA ? soa(record) : formatRecord(record, record.rdata);
    const [owner = "", ttl, , ...rest] = text.split(" ");
    return [
      owner.toLowerCase() === asked ? "@" : shortened(owner),
      ttl,
      ...rest.map((part) => shortened(part).replace(new RegExp(`^${escaped(shortened(asked))}$`), "@")),
    ].join(" ");
  });
  return texts.toSorted().join("; ");
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

// Without its data, which is every zone's own.
function soa({ owner, ttl }: DecodedRecord): string {
  return `${formatName(owner)} ${ttl} IN SOA`;
}
