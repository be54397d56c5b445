// Another server's answers, told on: byte for byte but for id, flags, the question's case and size.

import { expect } from "chai";
import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { emptyReply, Flags, isWire, MAX_MESSAGE_BYTES, type Query, type Records, type Reply, type Wire } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { formatRecord, parseRecordSets, typeOf } from "../../src/dns/text.ts";
import { readAnswer, recordsOf } from "../../src/dns/wire.ts";
import { query } from "../helpers/fake-host.ts";

const RECORDS = "www.example.org. 60 IN CNAME web.example.org.\nweb.example.org. 30 IN A 192.0.2.1\nweb.example.org. 30 IN A 192.0.2.2";

function upstream(records: string, asked: Query, more: Partial<Records> = {}): Uint8Array {
  const reply = { ...emptyReply(0, ""), answer: parseRecordSets(records), ...more };
  const out = new Uint8Array(MAX_MESSAGE_BYTES);
  return out.slice(0, encodeReply(out, asked, reply, { maxBytes: MAX_MESSAGE_BYTES, udpSize: 1232 }));
}

function read(packet: Uint8Array): Wire {
  return readAnswer(packet, "forward") ?? expect.fail("not sound");
}

function told(asked: Query, reply: Reply, maxBytes = MAX_MESSAGE_BYTES): Uint8Array {
  const out = new Uint8Array(MAX_MESSAGE_BYTES);
  return out.slice(0, encodeReply(out, asked, reply, { maxBytes, udpSize: 1232 }));
}

describe("dns/wire: another server's answer", () => {
  const asked = query("www.example.org", { id: 7, edns: {} });

  it("is told on byte for byte, with the client's id, flags and spelling", () => {
    const packet = upstream(RECORDS, asked);
    const mixed = Buffer.from(query("www.example.org", { id: 9 }).wire);
    mixed.write("WwW", 13, "latin1");
    const answer = told({ ...query("www.example.org", { id: 9 }), wire: mixed }, read(packet));
    const end = mixed.length;
    expect(Buffer.from(answer.subarray(end))).to.deep.equal(Buffer.from(packet.subarray(end, packet.length - 11))); // less its OPT record
    expect(Buffer.from(answer.subarray(12, end))).to.deep.equal(mixed.subarray(12));
    expect([answer[0], answer[1]]).to.deep.equal([0, 9]);
    expect(((answer[2] as number) << 8) | (answer[3] as number)).to.equal(Flags.QR | Flags.RD | Flags.RA);
  });

  it("keeps records of unknown types and names that it does not know how to compress", () => {
    const type = typeOf("TYPE65280") ?? 0;
    const odd = query("odd.example.org", { type, edns: {} });
    const packet = upstream("odd.example.org. 60 IN TYPE65280 \\# 4 0A000001", odd);
    const answer = decodeMessage(told(odd, read(packet)));
    expect(answer?.answer.map(({ rdata, ttl }) => [Buffer.from(rdata).toString("hex"), ttl])).to.deep.equal([["0a000001", 60]]);
  });

  it("is cut to whole records, with TC, where the client takes less", () => {
    const many = Array.from({ length: 60 }, (_, index) => `www.example.org. 60 IN A 192.0.2.${index}`).join("\n");
    const answer = told(query("www.example.org"), read(upstream(many, asked)), 512);
    const decoded = decodeMessage(answer) ?? expect.fail("not sound");
    expect(answer.length).to.be.at.most(512);
    expect(decoded.answer.length).to.be.within(20, 40);
    expect(decoded.flags & Flags.TC).to.equal(Flags.TC);
  });

  it("that was cut already says so", () => {
    const packet = upstream(RECORDS, asked);
    packet[2] = (packet[2] as number) | 0x02;
    expect((decodeMessage(told(asked, read(packet)))?.flags ?? 0) & Flags.TC).to.equal(Flags.TC);
    expect((decodeMessage(told(asked, recordsOf(read(packet))))?.flags ?? 0) & Flags.TC).to.equal(Flags.TC);
  });

  it("has RD as in the question, unless a reply wants it otherwise", () => {
    const rd = (of: Query, recursionDesired?: boolean): boolean =>
      ((decodeMessage(told(of, { ...read(upstream(RECORDS, asked)), ...(recursionDesired !== undefined && { recursionDesired }) }))
        ?.flags ?? 0) &
        Flags.RD) !==
      0;
    expect([rd(asked), rd(asked, false), rd(asked, true)]).to.deep.equal([true, false, true]);
    const without = query("www.example.org", { flags: 0 });
    expect([rd(without), rd(without, false), rd(without, true)]).to.deep.equal([false, false, true]);
  });

  it("to another question than the client's is encoded anew", () => {
    const other = query("alias.example.net", { edns: {} });
    const decoded = decodeMessage(told(other, read(upstream(RECORDS, asked))));
    expect(decoded?.question?.qname).to.equal(parseName("alias.example.net"));
    expect(decoded?.answer.map(({ owner, type, ttl, rdata }) => formatRecord({ owner, type, ttl }, rdata))).to.deep.equal(
      RECORDS.split("\n"),
    );
  });

  it("as records has them in its sections", () => {
    const soa = "example.org. 30 IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 30";
    const records = recordsOf(read(upstream(RECORDS, asked, { authority: parseRecordSets(soa) })));
    expect(isWire(records)).to.equal(false);
    const lines = (sets: Records["answer"]): string[] => sets.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata)));
    expect([lines(records.answer), lines(records.authority)]).to.deep.equal([RECORDS.split("\n"), [soa]]);
    expect(records.recursionAvailable).to.equal(true);
  });

  it("keeps its extended rcode and error, and loses its OPT record", () => {
    const packet = upstream("", asked, { rcode: 23, ede: { code: 9, text: "no DNSKEY" } });
    const wire = read(packet);
    expect([wire.rcode, wire.ede]).to.deep.equal([23, { code: 9, text: "no DNSKEY" }]);
    expect(decodeMessage(wire.message)?.edns).to.equal(undefined);
  });

  it("has AD for who asked with AD or DO, and for nobody else (RFC 6840 §5.8)", () => {
    const wire = { ...read(upstream(RECORDS, asked)), authenticated: true };
    const flags = (of: Query): number => (decodeMessage(told(of, wire))?.flags ?? 0) & Flags.AD;
    expect(flags(query("www.example.org"))).to.equal(0);
    expect(flags(query("www.example.org", { flags: Flags.RD | Flags.AD }))).to.equal(Flags.AD);
    expect(flags(query("www.example.org", { edns: { dnssecOk: true } }))).to.equal(Flags.AD);
  });

  it("that does not add up is none", () => {
    const packet = upstream(RECORDS, asked);
    for (let length = 0; length < packet.length; length++)
      expect(readAnswer(packet.subarray(0, length), "forward"), `${length}`).to.equal(undefined);
    for (let at = 4; at < packet.length; at++) {
      const broken = packet.slice();
      broken[at] = 0xff;
      const wire = readAnswer(broken, "forward");
      if (wire !== undefined) told(asked, wire, 512); // never throws
    }
  });
});
