// Holds an answer against what a case expects, and against what is true of every answer: used for every place where
// the cases are run.

import { decode as decodeWithDnsPacket } from "dns-packet";
import { decodeMessage, type DecodedMessage } from "../../src/dns/decode.ts";
import { DEFAULT_UDP_BYTES, Flags, MAX_MESSAGE_BYTES, OPTION_EDE, questionEnd } from "../../src/dns/message.ts";
import { formatName } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { rcodeName } from "../../src/dns/text.ts";
import type { Case, Expectation } from "./cases.ts";

/** What is wrong with the answer to a case: nothing, if the list is empty. */
export function judge(each: Case, answer: Uint8Array | undefined, transport: "udp" | "tcp"): string[] {
  const expected = transport === "tcp" && each.tcp !== undefined && each.tcp !== "skip" ? each.tcp : each.expect;
  if ("drop" in expected) return answer === undefined ? [] : [`sent ${answer.length} bytes`];
  if (answer === undefined) return ["sent nothing"];
  const message = decodeMessage(answer);
  if (message === undefined) return [`the answer is not sound: ${Buffer.from(answer).toString("hex")}`];
  const problems: string[] = [];
  const same = (what: string, found: unknown, wanted: unknown): void => {
    if (found !== wanted) problems.push(`${what} is ${String(found)}, not ${String(wanted)}`);
  };
  const asked = each.packet;
  const askedFlags = asked.readUInt16BE(2);
  same("id", message.id, asked.readUInt16BE(0));
  same("opcode", message.opcode, (askedFlags >> 11) & 15);
  same("QR", message.flags & Flags.QR, Flags.QR);
  same("RD", message.flags & Flags.RD, askedFlags & Flags.RD);
  same("Z", message.flags & 0x40, 0);
  same("AD", message.flags & Flags.AD, 0);
  if ("header" in expected) {
    same("length", answer.length, 12);
    same("rcode", rcodeName(message.rcode), expected.header);
    same("AA, TC, RA, CD", message.flags & (Flags.AA | Flags.TC | Flags.RA | Flags.CD), 0);
    return problems;
  }
  same("CD", message.flags & Flags.CD, askedFlags & Flags.CD);
  const end = questionEnd(asked);
  same("question", hex(answer.subarray(12, end)), hex(asked.subarray(12, end)));
  judgeSections(message, expected, same);
  judgeEdns(message, asked, end, same);
  const maxBytes = expected.maxBytes ?? (transport === "udp" ? DEFAULT_UDP_BYTES : MAX_MESSAGE_BYTES);
  if (answer.length > maxBytes) problems.push(`${answer.length} bytes, more than ${maxBytes}`);
  try {
    same("dns-packet's count of answers", decodeWithDnsPacket(Buffer.from(answer)).answers?.length, message.answer.length);
  } catch (error) {
    problems.push(`dns-packet can't read it: ${String(error)}`);
  }
  return problems;
}

type Same = (what: string, found: unknown, wanted: unknown) => void;

function judgeSections(message: DecodedMessage, expected: Extract<Expectation, { rcode: string }>, same: Same): void {
  same("rcode", rcodeName(message.rcode), expected.rcode);
  const ours = expected.answers !== undefined || expected.soa === true;
  same("AA", (message.flags & Flags.AA) !== 0, ours);
  same("RA", message.flags & Flags.RA, 0);
  same("TC", (message.flags & Flags.TC) !== 0, expected.truncated === true);
  const [least, most] = expected.answers ?? [0, 0];
  same(`number of answers in ${least}–${most}`, message.answer.length >= least && message.answer.length <= most, true);
  for (const { owner } of message.answer) same("owner", formatName(owner), formatName(message.question?.qname ?? owner));
  const soas = message.authority.filter(({ type }) => type === RRTypes.SOA).length;
  same("number of SOAs", soas, expected.soa === true ? 1 : 0);
}

function judgeEdns(message: DecodedMessage, asked: Buffer, end: number, same: Same): void {
  const opt = optOf(asked, end);
  same("OPT", message.edns !== undefined, opt !== undefined);
  if (message.edns === undefined || opt === undefined) return;
  same("EDNS version", message.edns.version, 0);
  same("EDNS size", message.edns.udpSize, DEFAULT_UDP_BYTES);
  same("DO", message.edns.dnssecOk, opt.dnssecOk);
  same("options other than extended errors", message.edns.options.filter(({ code }) => code !== OPTION_EDE).length, 0);
}

// The OPT record of a case's packet, found where the cases put it: right behind the question.
function optOf(asked: Buffer, end: number): { readonly dnssecOk: boolean } | undefined {
  if (asked.readUInt16BE(10) === 0 || asked[end] !== 0 || asked.readUInt16BE(end + 1) !== RRTypes.OPT) return undefined;
  return { dnssecOk: (asked.readUInt16BE(end + 7) & 0x8000) !== 0 };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
