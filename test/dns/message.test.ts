import { expect } from "chai";
import { decodeMessage, type DecodedMessage } from "../../src/dns/decode.ts";
import {
  EdeCodes,
  emptyReply,
  Flags,
  MAX_MESSAGE_BYTES,
  questionEnd,
  Rcodes,
  replyLimit,
  type Query,
  type Reply,
} from "../../src/dns/message.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { parseName } from "../../src/dns/name.ts";
import { RRTypes, type RecordSet } from "../../src/dns/records.ts";
import { formatRecord, parseRecordSets } from "../../src/dns/text.ts";
import { query } from "../helpers/dns-client.ts";
import { queryOf } from "../helpers/exchange.ts";

const OWNER = parseName("web.example.org.");

function encode(asked: Query, reply: Partial<Reply>, maxBytes = 1232): Buffer {
  const out = new Uint8Array(MAX_MESSAGE_BYTES).fill(0xee);
  const length = encodeReply(out, asked, { ...emptyReply(0, "test"), ...reply }, { maxBytes, udpSize: 1232 });
  expect(length).to.be.at.most(maxBytes);
  return Buffer.from(out.subarray(0, length));
}

function decoded(packet: Uint8Array): DecodedMessage {
  const message = decodeMessage(packet);
  if (message === undefined) throw new Error(`not sound: ${Buffer.from(packet).toString("hex")}`);
  return message;
}

const addresses = (count: number): RecordSet => ({
  owner: OWNER,
  type: RRTypes.A,
  ttl: 5,
  rdata: Array.from({ length: count }, (_, index) => Buffer.from([192, 0, 2 + (index >> 8), index & 255])),
});

describe("dns/message: how large a reply may be", () => {
  const rows: [transport: "udp" | "tcp" | "tls", clientUdpSize: number, udpSize: number, limit: number][] = [
    ["udp", 0, 1232, 512],
    ["udp", 100, 1232, 512],
    ["udp", 511, 1232, 512],
    ["udp", 1232, 1232, 1232],
    ["udp", 1000, 1232, 1000],
    ["udp", 4096, 1232, 1232],
    ["udp", 65_535, 4096, 4096],
    ["tcp", 0, 1232, 65_535],
    ["tls", 512, 1232, 65_535],
  ];
  for (const [transport, client, ours, limit] of rows) {
    it(`${transport}, client ${client || "without EDNS"}, ours ${ours}: ${limit}`, () =>
      expect(replyLimit(transport, client, ours)).to.equal(limit));
  }
});

describe("dns/message: the head of a reply", () => {
  it("echoes id and question byte for byte, case and all", () => {
    const asked = queryOf({ name: "WeB.\\000\\255.ExAmPlE.oRg.", id: 0xbeef });
    const packet = encode(asked, {});
    expect(packet.subarray(12)).to.deep.equal(query({ name: "WeB.\\000\\255.ExAmPlE.oRg." }).subarray(12));
    expect(packet.readUInt16BE(0)).to.equal(0xbeef);
  });

  it("copies RD and CD, nothing else of the query's flags", () => {
    expect(decoded(encode(queryOf({ flags: 0x07ff & ~0x000f }), {})).flags).to.equal(Flags.QR | Flags.RD | Flags.CD);
    expect(decoded(encode(queryOf({ flags: 0x0045 }), {})).flags).to.equal(Flags.QR);
  });

  it("sets AA and RA as the reply says", () => {
    expect(decoded(encode(queryOf({ flags: 0 }), { authoritative: true })).flags).to.equal(Flags.QR | Flags.AA);
    expect(decoded(encode(queryOf({ flags: 0 }), { recursionAvailable: true })).flags).to.equal(Flags.QR | Flags.RA);
  });

  it("carries the rcode, with its upper bits in the OPT record", () => {
    expect(decoded(encode(queryOf(), { rcode: Rcodes.NXDOMAIN })).rcode).to.equal(Rcodes.NXDOMAIN);
    const packet = encode(queryOf({ edns: {} }), { rcode: Rcodes.BADVERS });
    expect([packet.readUInt16BE(2) & 15, decoded(packet).rcode]).to.deep.equal([0, Rcodes.BADVERS]);
  });

  it("leaves out what stood behind the question", () => {
    const asked = queryOf({ trailer: Buffer.from("garbage") });
    expect(encode(asked, {})).to.have.length(questionEnd(asked.wire));
  });
});

describe("dns/message: EDNS", () => {
  it("has an OPT record of our own size and version only for those who sent one; DO is copied, options are not", () => {
    expect(decoded(encode(queryOf(), {})).edns).to.equal(undefined);
    const asked = queryOf({ edns: { udpSize: 4096, dnssecOk: true, options: [{ code: 10, data: Buffer.alloc(8) }] } });
    expect(decoded(encode(asked, {})).edns).to.deep.equal({ udpSize: 1232, version: 0, dnssecOk: true, options: [], ede: undefined });
  });

  it("carries the extended error, only with OPT", () => {
    const ede = { code: EdeCodes.NOT_READY, text: "not synced, naïve" };
    expect(decoded(encode(queryOf({ edns: {} }), { ede })).edns?.ede).to.deep.equal(ede);
    expect(decoded(encode(queryOf(), { ede })).additional).to.deep.equal([]);
  });

  it("gives up the extended error, then records, never the OPT record", () => {
    const ede = { code: EdeCodes.OTHER, text: "x".repeat(64) };
    const packet = encode(queryOf({ edns: {} }), { answer: [addresses(200)], ede }, 512);
    const { edns, flags } = decoded(packet);
    expect([edns?.udpSize, edns?.ede, flags & Flags.TC]).to.deep.equal([1232, undefined, Flags.TC]);
  });
});

describe("dns/message: compression", () => {
  const sections = (text: string): RecordSet[] => parseRecordSets(text);
  const roundTrip = (name: string, text: string): Buffer => {
    const answer = sections(text);
    const packet = encode(queryOf({ name }), { answer });
    const lines = decoded(packet).answer.map((record) => formatRecord(record, record.rdata));
    expect(lines).to.deep.equal(answer.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata))));
    return packet;
  };

  it("an owner that is the question is two bytes", () => {
    expect(roundTrip("web.example.org.", "web.example.org. 5 A 192.0.2.1")).to.have.length(12 + 17 + 4 + 2 + 10 + 4);
  });
  it("owners compress to the question in the client's case", () => {
    const packet = encode(queryOf({ name: "wEb.ExAmPlE.oRg." }), { answer: sections("web.example.org. 5 A 192.0.2.1") });
    expect(packet).to.have.length(12 + 17 + 4 + 2 + 10 + 4);
  });
  for (const [type, rdata, bytes] of [
    ["NS", "ns.example.org.", 5],
    ["CNAME", "a.b.example.org.", 6],
    ["PTR", "web.example.org.", 2],
    ["MX", "10 mail.example.org.", 9],
    ["SOA", "ns.example.org. host.ns.example.org. 1 2 3 4 5", 5 + 7 + 20],
    ["NS", ".", 1],
    ["SRV", "0 0 80 web.example.org.", 6 + 17], // RFC 2782: not compressed
    ["DNAME", "\\# 17 03776562076578616d706c65036f726700", 17], // RFC 3597 §4
  ] as const) {
    it(`names in ${type} ${rdata} take ${bytes} bytes`, () => {
      expect(roundTrip("web.example.org.", `web.example.org. 5 ${type} ${rdata}`).length - (12 + 17 + 4 + 2 + 10)).to.equal(bytes);
    });
  }

  it("names behind the first 16 KiB are not pointed to: pointers have 14 bits", () => {
    const strings = Array.from({ length: 70 }, (_, index) => `"${String(index).padStart(250, "x")}"`).join(" ");
    const text = `web.example.org. 5 TXT ${strings}
      late.example.net. 5 A 192.0.2.1
      later.late.example.net. 5 A 192.0.2.2`;
    const answer = sections(text);
    const packet = encode(queryOf({ name: "web.example.org." }), { answer }, MAX_MESSAGE_BYTES);
    expect(decoded(packet).answer.map(({ owner }) => owner)).to.deep.equal(answer.map(({ owner }) => owner));
    expect(packet.indexOf(Buffer.from("\x04late\x07example\x03net\0", "latin1"), 16_384 + 100)).to.be.greaterThan(16_384);
  });

  it("malformed rdata is sent as it is, and nothing around it", () => {
    const rows: [type: number, hex: string][] = [
      [RRTypes.NS, "0361"],
      [RRTypes.MX, "00"],
      [RRTypes.SOA, "0361626300"],
      [RRTypes.CNAME, "c000"],
      [RRTypes.PTR, ""],
    ];
    for (const [type, hex] of rows) {
      const rdata = Buffer.from(hex, "hex");
      const packet = encode(queryOf({ name: "web.example.org." }), { answer: [{ owner: OWNER, type, ttl: 5, rdata: [rdata] }] });
      expect(packet.subarray(-2 - rdata.length).toString("hex")).to.equal(`00${(hex.length / 2).toString(16).padStart(2, "0")}${hex}`);
    }
  });
});

describe("dns/message: truncation", () => {
  it("121 A records without EDNS: as many whole ones as 512 bytes take, and TC", () => {
    const packet = encode(queryOf({ name: "web.example.org." }), { answer: [addresses(121)] }, 512);
    const { answer, flags } = decoded(packet);
    expect([answer.length, flags & Flags.TC]).to.deep.equal([29, Flags.TC]);
  });
  it("121 A records in 1232 bytes", () => {
    const { answer, flags, edns } = decoded(encode(queryOf({ name: "web.example.org.", edns: {} }), { answer: [addresses(121)] }));
    expect([answer.length, flags & Flags.TC, edns?.udpSize]).to.deep.equal([74, Flags.TC, 1232]);
  });
  it("5,000 A records over TCP: 65,535 bytes at most", () => {
    const { answer, flags } = decoded(encode(queryOf({ name: "web.example.org." }), { answer: [addresses(5000)] }, MAX_MESSAGE_BYTES));
    expect([answer.length, flags & Flags.TC]).to.deep.equal([4093, Flags.TC]);
  });
  it("what exactly fits is sent whole, without TC", () => {
    const { answer, flags } = decoded(encode(queryOf({ name: "web.example.org." }), { answer: [addresses(10)] }, 12 + 21 + 160));
    expect([answer.length, flags & Flags.TC]).to.deep.equal([10, 0]);
  });
  it("authority that does not fit sets TC", () => {
    const authority = parseRecordSets(`example.org. 5 TXT "${"x".repeat(250)}" "${"x".repeat(250)}"`);
    const { flags } = decoded(encode(queryOf({ name: "web.example.org." }), { answer: [addresses(1)], authority }, 512));
    expect(flags & Flags.TC).to.equal(Flags.TC);
  });
  it("additional records that do not fit are left out by whole rrsets, without TC (RFC 2181 §9)", () => {
    const additional = [...parseRecordSets("a.example.org. 5 A 192.0.2.1"), addresses(40)];
    const message = decoded(encode(queryOf({ name: "web.example.org." }), { answer: [addresses(1)], additional }, 512));
    expect([message.answer.length, message.additional.length, message.flags & Flags.TC]).to.deep.equal([1, 1, 0]);
  });
  it("after a truncated answer nothing else follows", () => {
    const authority = parseRecordSets("example.org. 5 NS ns.example.org.");
    const additional = parseRecordSets("ns.example.org. 5 A 192.0.2.53");
    const message = decoded(encode(queryOf({ name: "web.example.org." }), { answer: [addresses(121)], authority, additional }, 512));
    expect([message.authority, message.additional]).to.deep.equal([[], []]);
  });
});

describe("dns/message: buffers that are used again (CVE-2021-23386)", () => {
  it("a short answer after a long one carries nothing of it", () => {
    const out = new Uint8Array(MAX_MESSAGE_BYTES);
    const limits = { maxBytes: 1232, udpSize: 1232 };
    encodeReply(out, queryOf({ name: "web.example.org.", edns: {} }), { ...emptyReply(0, ""), answer: [addresses(60)] }, limits);
    const length = encodeReply(out, queryOf({ name: "b.", edns: {} }), emptyReply(3, ""), limits);
    expect(Buffer.from(out.subarray(0, length))).to.deep.equal(encode(queryOf({ name: "b.", edns: {} }), { rcode: 3 }));
  });
});
