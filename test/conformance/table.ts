// Tables of questions and answers in RR text, and what makes tests of them. Every row is asked in every way that the
// subject offers (UDP, TCP; ours also without the answer table), and what holds for any answer is checked with it.

import { randomInt } from "node:crypto";
import { expect } from "chai";
import { decodeMessage, type DecodedMessage, type DecodedRecord } from "../../src/dns/decode.ts";
import { DEFAULT_UDP_BYTES, Flags, HEADER_BYTES, OPTION_EDE } from "../../src/dns/message.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { formatRecord, parseRecord, rcodeName, typeOf } from "../../src/dns/text.ts";
import { query, type EdnsOptions, type QueryOptions } from "../helpers/dns-client.ts";
import { needs } from "../helpers/needs.ts";
import { exchange, isOurs, readsManifests, startSubject, type Subject, type Way } from "./subject.ts";

/** One question. What is not said is at its usual: NOERROR, AA and RD, nothing in the sections that are not named. */
export interface Row {
  /** The rule that the row shows, with the number and section it comes from. */
  readonly rule: string;
  /** `NAME TYPE`; the name is sent as it is written. */
  readonly ask: string;
  /** The answer section, in any order. `…` is the name that was asked, a TTL `*` any. */
  readonly gives?: readonly string[];
  /** The additional section, likewise. */
  readonly also?: readonly string[];
  readonly rcode?: string;
  /** The zone whose SOA is all of the authority section; that of cluster.local where the answer is negative. */
  readonly soa?: string;
  /** Set in the answer, of `aa tc rd ra ad cd`. */
  readonly flags?: string;
  /** The reason (RFC 8914); only ours is asked for it. */
  readonly ede?: string;
  /** What else is unusual about the query. */
  readonly sends?: Pick<QueryOptions, "flags" | "class" | "trailer">;
  /** false: without an OPT record. */
  readonly edns?: EdnsOptions | false;
  /** Why other servers may answer differently: the row is then asked of ours only. */
  readonly ours?: string;
  /** What of a cluster would have to run to give this answer from its API: the row is then asked of manifests only. */
  readonly manifests?: string;
}

const ZONE = "cluster.local.";

/** Makes a test of each row. `edit` changes the fixture's Corefile: such tables are for ours alone. */
export function conforms(title: string, rows: readonly Row[], edit?: (corefile: string) => string): void {
  describe(title, () => {
    let subject: Subject;

    before(async function () {
      needs(this, isOurs || edit === undefined, "the server under test has a configuration of its own");
      subject = await startSubject(edit);
    });

    after(async () => {
      await (subject as Subject | undefined)?.[Symbol.asyncDispose]();
    });

    for (const row of rows) {
      it(`${row.rule}: ${row.ask}`, async function () {
        needs(this, isOurs || row.ours === undefined, `ndots' own: ${row.ours}`);
        needs(this, readsManifests || row.manifests === undefined, `needs more of a cluster: ${row.manifests}`);
        for (const way of subject.ways) await check(row, way);
      });
    }
  });
}

async function check(row: Row, way: Way): Promise<void> {
  const [name = "", type = ""] = row.ask.split(" ");
  const qtype = typeOf(type);
  if (qtype === undefined) throw new Error(`${row.ask}: no such type`);
  const edns = row.edns === false ? undefined : (row.edns ?? { udpSize: DEFAULT_UDP_BYTES });
  const asked = { name, type: qtype, id: randomInt(65_536), ...row.sends };
  const packet = query({ ...asked, edns });
  const question = query({ ...asked, trailer: new Uint8Array(0) }).subarray(HEADER_BYTES);
  const answer = await exchange(way, packet);
  if (answer === undefined) throw new Error(`${way.name}: no answer`);
  const message = decodeMessage(answer);
  if (message === undefined) throw new Error(`${way.name}: not sound: ${answer.toString("hex")}`);
  const what = `${way.name}: `;

  const { gives = [], also = [], rcode = "NOERROR", flags = "aa rd" } = row;
  const owner = formatName(parseName(name));
  const refused = rcode !== "NOERROR" && rcode !== "NXDOMAIN";
  const negative = rcode === "NXDOMAIN" || (rcode === "NOERROR" && gives.length === 0);
  const soa = row.soa ?? (negative ? ZONE : undefined);
  expect({ rcode: rcodeName(message.rcode), flags: flagsOf(message.flags) }, `${what}head`).to.deep.equal({ rcode, flags });
  expect(shown(message.answer, gives, owner), `${what}answer`).to.deep.equal(wanted(gives, owner));
  expect(message.authority.map(ownerAndType), `${what}authority`).to.deep.equal(
    soa === undefined || refused ? [] : [`${soa} ${RRTypes.SOA}`],
  );
  for (const record of message.authority) expect(record.ttl, `${what}negative TTL (RFC 2308 §3)`).to.be.at.most(soaMinimum(record));
  if (isOurs || row.also !== undefined) {
    expect(shown(message.additional, also, owner), `${what}additional`).to.deep.equal(wanted(also, owner));
  }
  if (row.ede !== undefined && isOurs) expect(message.edns?.ede, `${what}EDE`).to.deep.equal({ code: 0, text: row.ede });
  expectSound(message, { packet, question, answer, edns, what });
}

interface Exchanged {
  readonly packet: Buffer;
  readonly question: Buffer;
  readonly answer: Buffer;
  readonly edns: EdnsOptions | undefined;
  readonly what: string;
}

// What holds for every answer to a sound question.
function expectSound(message: DecodedMessage, { packet, question, answer, edns, what }: Exchanged): void {
  expect(message.id, `${what}id`).to.equal(packet.readUInt16BE(0));
  expect(message.flags & (Flags.QR | Z_BIT), `${what}QR, Z`).to.equal(Flags.QR);
  expect(answer.subarray(HEADER_BYTES, HEADER_BYTES + question.length).toString("latin1"), `${what}question, case and all`).to.equal(
    question.toString("latin1"),
  );
  expect(message.edns !== undefined, `${what}OPT for those who sent one (RFC 6891 §6.1.1)`).to.equal(edns !== undefined);
  if (message.edns === undefined || !isOurs) return;
  expect(message.edns.udpSize, `${what}our own UDP size`).to.equal(DEFAULT_UDP_BYTES);
  expect(message.edns.version, `${what}EDNS version`).to.equal(0);
  expect(message.edns.dnssecOk, `${what}DO is copied (RFC 3225 §3)`).to.equal(edns?.dnssecOk === true);
  expect(
    message.edns.options.filter(({ code }) => code !== OPTION_EDE),
    `${what}no option is echoed`,
  ).to.deep.equal([]);
}

const Z_BIT = 0x40;

function flagsOf(flags: number): string {
  const names = ["AA", "TC", "RD", "RA", "AD", "CD"] as const;
  return names
    .filter((name) => (flags & Flags[name]) !== 0)
    .join(" ")
    .toLowerCase();
}

function ownerAndType({ owner, type }: DecodedRecord): string {
  return `${formatName(owner)} ${type}`;
}

// The SOA's last field (RFC 1035 §3.3.13).
function soaMinimum({ rdata }: DecodedRecord): number {
  return Buffer.from(rdata).readUInt32BE(rdata.length - 4);
}

// Records as the rows write them: with `*` for the TTL where the row takes any, and SERIAL for that of a SOA, a time.
function wanted(rows: readonly string[], owner: string): string[] {
  const texts = rows.map((row) => {
    const { rdata, ...record } = parseRecord(row.replace("…", owner).replace(" * IN ", " 0 IN ").replace("SERIAL", "0"));
    const text = withoutSerial(formatRecord(record, rdata));
    return row.includes(" * IN ") ? text.replace(" 0 IN ", " * IN ") : text;
  });
  return texts.toSorted();
}

function shown(records: readonly DecodedRecord[], rows: readonly string[], owner: string): string[] {
  const expected = new Set(wanted(rows, owner));
  const texts = records.map((record) => {
    const text = withoutSerial(formatRecord(record, record.rdata));
    const anyTtl = text.replace(` ${record.ttl} IN `, " * IN ");
    return expected.has(anyTtl) ? anyTtl : text;
  });
  return texts.toSorted();
}

function withoutSerial(text: string): string {
  return text.replace(/( IN SOA \S+ \S+) \d+/, "$1 SERIAL");
}
