// What a scripted upstream sends: answers made of RR text, byte by byte, so that they can also be wrong. upstream.ts
// has the sockets. It shares nothing with the server's own encoder: what that gets wrong must not be right here.

import { decodeMessage, type DecodedMessage } from "../../src/dns/decode.ts";
import { Flags, HEADER_BYTES, Rcodes } from "../../src/dns/message.ts";
import { formatName, isWithin, nameToWire, parentOf, ROOT, type Name } from "../../src/dns/name.ts";
import { nameRdata } from "../../src/dns/rdata.ts";
import { RRTypes, type RRType } from "../../src/dns/records.ts";
import { parseRecord, typeName, type TextRecord } from "../../src/dns/text.ts";
import { uint16s } from "./dns-client.ts";

/** One query as it came. */
export interface Asked {
  readonly transport: "udp" | "tcp" | "tls" | "https";
  /** As formatName() prints it, in lower case. */
  readonly name: string;
  /** "A", "TYPE65280" */
  readonly type: string;
  readonly id: number;
  readonly flags: number;
  readonly edns: DecodedMessage["edns"];
  /** The asker's. */
  readonly port: number;
  readonly packet: Buffer;
}

/** What is done to one query; `{}` is an answer out of the records. */
export interface Behaviour {
  /** Nothing is sent. */
  readonly silent?: true;
  /** The answer, and the bad packets before it, wait for this. */
  readonly after?: Promise<unknown>;
  /** Sent before the answer, in this order. */
  readonly bad?: readonly Defect[];
  /** Instead of what the records say; with no `answer` there are no records. */
  readonly rcode?: number;
  /** RR text, one a line, instead of what the records say. */
  readonly answer?: string;
  readonly authority?: string;
  readonly additional?: string;
  /** TC, and no records. */
  readonly truncated?: true;
  /** Flags to set besides QR, RA and the query's RD and CD. */
  readonly flags?: number;
  /** No OPT record, whatever the query had. */
  readonly noEdns?: true;
  /** EDNS options, wire form. */
  readonly options?: Uint8Array;
  /** The last word: what is sent is what this makes of the answer. */
  readonly change?: (message: Buffer, asked: Asked) => Uint8Array;
  /** TCP, TLS, HTTPS: the connection is reset, before anything else is done. */
  readonly reset?: true;
  /** HTTPS: this status, and no answer. */
  readonly httpStatus?: number;
  /** TCP, TLS, HTTPS: the connection is ended behind the answer. */
  readonly end?: true;
}

/** One thing that is wrong with a packet. "stranger": the right answer with another address in it, from another port. */
export type Defect = "short" | "garbage" | "wrong-id" | "wrong-name" | "wrong-type" | "wrong-case" | "no-question" | "query" | "stranger";

/** The answer to `asked`, whole. */
export function answerTo(asked: Asked, behaviour: Behaviour, records: readonly TextRecord[]): Buffer {
  const found = find(asked, records);
  const given = behaviour.rcode !== undefined || behaviour.answer !== undefined || behaviour.authority !== undefined;
  const sections = behaviour.truncated
    ? [[], [], []]
    : [
        given ? textRecords(behaviour.answer) : found.answer,
        given ? textRecords(behaviour.authority) : found.authority,
        textRecords(behaviour.additional),
      ];
  const rcode = behaviour.rcode ?? (given ? Rcodes.NOERROR : found.rcode);
  const truncated = behaviour.truncated === true ? Flags.TC : 0;
  const flags = Flags.QR | Flags.RA | (asked.flags & (Flags.RD | Flags.CD)) | truncated | (behaviour.flags ?? 0) | (rcode & 0xf);
  const opt = asked.edns === undefined || behaviour.noEdns === true ? [] : [optRecord(asked, rcode, behaviour.options)];
  const [answer = [], authority = [], additional = []] = sections;
  const question = asked.packet.subarray(HEADER_BYTES, endOfQuestion(asked.packet));
  const message = Buffer.concat([
    uint16s(asked.id, flags, 1, answer.length, authority.length, additional.length + opt.length),
    question,
    ...[...answer, ...authority, ...additional].map((record) => recordBytes(record, asked.packet)),
    ...opt,
  ]);
  return behaviour.change === undefined ? message : Buffer.from(behaviour.change(message, asked));
}

/** `message` with one thing wrong; where from is the sender's business. */
export function spoil(message: Buffer, defect: Defect): Buffer {
  const bytes = Buffer.from(message);
  const end = endOfQuestion(bytes);
  switch (defect) {
    case "short":
      return bytes.subarray(0, HEADER_BYTES - 1);
    case "garbage":
      return Buffer.concat([bytes.subarray(0, 2), Buffer.alloc(40, 0xff)]);
    case "wrong-id":
      bytes.writeUInt16BE(bytes.readUInt16BE(0) ^ 0x5555, 0);
      return bytes;
    case "wrong-name":
      bytes[HEADER_BYTES + 1] = bytes[HEADER_BYTES + 1] === 0x78 ? 0x79 : 0x78;
      return bytes;
    case "wrong-type":
      bytes.writeUInt16BE(bytes.readUInt16BE(end - 4) ^ 1, end - 4);
      return bytes;
    case "wrong-case":
      for (let at = HEADER_BYTES; at < end - 4; at++) if (isLetter(bytes[at] as number)) bytes[at] = (bytes[at] as number) ^ 0x20;
      return bytes;
    case "no-question":
      return Buffer.concat([bytes.subarray(0, 4), uint16s(0, 0, 0, 0)]);
    case "query":
      bytes.writeUInt16BE(bytes.readUInt16BE(2) & ~Flags.QR, 2);
      return bytes;
    case "stranger":
      bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 0xff;
      return bytes;
    default:
      return defect satisfies never;
  }
}

/** Reads a query; undefined for what is none. */
export function readAsked(packet: Buffer, transport: Asked["transport"], port: number): Asked | undefined {
  const message = decodeMessage(packet);
  if (message?.question === undefined) return undefined;
  const { qname, qtype } = message.question;
  return {
    transport,
    name: formatName(qname),
    type: typeName(qtype),
    id: message.id,
    flags: message.flags,
    edns: message.edns,
    port,
    packet,
  };
}

/** Records of RR text, one a line; comments and empty lines are left out. */
export function textRecords(text = ""): TextRecord[] {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith(";")).map((line) => parseRecord(line));
}

interface Found {
  readonly rcode: number;
  readonly answer: readonly TextRecord[];
  readonly authority: readonly TextRecord[];
}

const MAX_CHAIN = 16;

// As an authoritative server would: exact names, `*` for any name below, CNAMEs followed, the SOA of the nearest apex.
function find(asked: Asked, records: readonly TextRecord[]): Found {
  const question = decodeMessage(asked.packet)?.question;
  if (question === undefined) return { rcode: Rcodes.FORMERR, answer: [], authority: [] };
  const { qtype } = question;
  const answer: TextRecord[] = [];
  let name = question.qname;
  let exists = false;
  for (let links = 0; links < MAX_CHAIN; links++) {
    const here = at(name, records);
    exists ||= here.length > 0 || records.some(({ owner }) => owner !== name && isWithin(owner, name));
    const wanted = here.filter(({ type }) => type === qtype || qtype === RRTypes.ANY);
    answer.push(...wanted);
    const cname = here.find(({ type }) => type === RRTypes.CNAME);
    if (wanted.length > 0 || cname === undefined) break;
    answer.push(cname);
    const target = records.find(({ owner }) => Buffer.from(nameRdata(owner)).equals(cname.rdata))?.owner;
    if (target === undefined) break;
    name = target;
  }
  const soas = records.filter(({ owner, type }) => type === RRTypes.SOA && isWithin(name, owner));
  const soa = soas.toSorted((one, other) => other.owner.length - one.owner.length)[0];
  const negative = answer.length === 0 && soa !== undefined ? [soa] : [];
  return { rcode: exists || answer.length > 0 ? Rcodes.NOERROR : Rcodes.NXDOMAIN, answer, authority: negative };
}

function at(name: Name, records: readonly TextRecord[]): TextRecord[] {
  const exact = records.filter(({ owner }) => owner === name);
  if (exact.length > 0 || name === ROOT) return exact;
  for (let above = parentOf(name); ; above = parentOf(above)) {
    const wild = records.filter(({ owner }) => owner === `\x01*${above}`);
    if (wild.length > 0) return wild.map((record) => ({ ...record, owner: name }));
    if (above === ROOT) return [];
  }
}

function recordBytes(record: TextRecord, packet: Buffer): Buffer {
  const asked = packet.subarray(HEADER_BYTES, endOfQuestion(packet) - 4).toString("latin1");
  const owner = asked.toLowerCase() === record.owner ? uint16s(0xc000 | HEADER_BYTES) : nameToWire(record.owner);
  const { type, rrclass, ttl, rdata } = record;
  return Buffer.concat([owner, uint16s(type, rrclass, ttl >>> 16, ttl & 0xffff, rdata.length), rdata]);
}

function optRecord(asked: Asked, rcode: number, options: Uint8Array = new Uint8Array(0)): Buffer {
  const dnssecOk = asked.edns?.dnssecOk === true ? 0x8000 : 0;
  return Buffer.concat([
    Buffer.from([0]),
    uint16s(RRTypes.OPT satisfies RRType, 1232, (rcode >> 4) << 8, dnssecOk, options.length),
    options,
  ]);
}

/** Behind the first question. */
function endOfQuestion(packet: Buffer): number {
  let at = HEADER_BYTES;
  while ((packet[at] ?? 0) > 0) at += 1 + (packet[at] as number);
  return at + 5;
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}
