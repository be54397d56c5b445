import { expect } from "chai";
import { formatName } from "../../src/dns/name.ts";
import { qnameOf, readQuestion, Verdicts, type Exchange } from "../../src/dns/question.ts";
import { query, uint16s, type QueryOptions } from "../helpers/dns-client.ts";
import { exchangeOf } from "../helpers/exchange.ts";

// The verdicts on wrong packets are in test/malformed; here is what is read out of sound ones.
function read(options: QueryOptions): Exchange {
  const io = exchangeOf(query(options));
  expect(readQuestion(io)).to.equal(Verdicts.OK);
  return io;
}

describe("dns/question: what a sound packet says", () => {
  it("the question, its name in lower case", () => {
    const io = read({ name: "Web.Example.ORG.", type: "AAAA", id: 0xabcd, flags: 0x0130 });
    expect(formatName(qnameOf(io))).to.equal("web.example.org.");
    expect([io.id, io.flags, io.qtype, io.qclass, io.edns]).to.deep.equal([0xabcd, 0x0130, 28, 1, false]);
    expect([io.questionEnd - io.inAt, io.nameLength]).to.deep.equal([12 + 17 + 4, 17]);
  });

  it("where each label stands", () => {
    const io = read({ name: "a.bc.def." });
    expect([...io.labels.subarray(0, io.labelCount)]).to.deep.equal([0, 2, 5]);
    expect(read({ name: "." }).labelCount).to.equal(0);
  });

  it("the name byte for byte, dots inside labels and letters beyond ASCII too", () => {
    expect(formatName(qnameOf(read({ name: "a\\.B.\\000\\201.org." })))).to.equal("a\\.b.\\000\\201.org.");
  });

  it("a name of 127 labels, 255 octets", () => {
    const io = read({ name: "a.".repeat(127) });
    expect([io.labelCount, io.nameLength, io.labels[126]]).to.deep.equal([127, 255, 252]);
  });

  it("whether it asks for the name server's identity (RFC 5001), also behind other options", () => {
    const asks = (...codes: readonly number[]): boolean =>
      read({ edns: { options: codes.map((code) => ({ code, data: Buffer.alloc(2) })) } }).asksNsid;
    expect([asks(3), asks(10, 3), asks(10, 3, 12), asks(10), asks(), asks(0x0300)]).to.deep.equal([true, true, true, false, false, false]);
    const io = read({ edns: { options: [{ code: 3 }] } });
    io.in = query({});
    io.inEnd = io.in.length;
    readQuestion(io);
    expect(io.asksNsid).to.equal(false);
  });

  it("the OPT record: size, DO, options", () => {
    const io = read({ edns: { udpSize: 4096, dnssecOk: true, options: [{ code: 10, data: Buffer.from("abcdefgh") }] } });
    expect([io.edns, io.clientUdpSize, io.dnssecOk]).to.deep.equal([true, 4096, true]);
    expect(Buffer.from(io.in.subarray(io.optionsAt, io.optionsEnd)).toString("latin1")).to.equal("\0\x0a\0\x08abcdefgh");
  });

  it("no OPT record after one that had it: the exchange is used again", () => {
    const io = read({ name: "a.b.", edns: { udpSize: 4096, dnssecOk: true, options: [{ code: 10 }] } });
    const plain = exchangeOf(query({ name: "." }));
    io.in = plain.in;
    io.inAt = plain.inAt;
    io.inEnd = plain.inEnd;
    expect(readQuestion(io)).to.equal(Verdicts.OK);
    expect([io.edns, io.dnssecOk, io.clientUdpSize, io.optionsAt, io.optionsEnd, io.labelCount, io.nameLength]).to.deep.equal([
      false,
      false,
      0,
      0,
      0,
      0,
      1,
    ]);
  });

  it("the OPT record behind another record", () => {
    const other = Buffer.concat([Buffer.from([0xc0, 12]), uint16s(1, 1, 0, 5, 4), Buffer.from([192, 0, 2, 1])]);
    const opt = Buffer.concat([Buffer.from([0]), uint16s(41, 1400, 0, 0, 0)]);
    const io = read({ counts: [1, 0, 0, 2], trailer: Buffer.concat([other, opt]) });
    expect([io.edns, io.clientUdpSize]).to.deep.equal([true, 1400]);
  });

  it("IXFR with its SOA is refused with the OPT record read (RFC 1995 §3)", () => {
    const soa = Buffer.concat([Buffer.from([0xc0, 12]), uint16s(6, 1, 0, 5, 0)]);
    const opt = Buffer.concat([Buffer.from([0]), uint16s(41, 1400, 0, 0, 0)]);
    const io = exchangeOf(query({ type: "IXFR", counts: [1, 0, 1, 1], trailer: Buffer.concat([soa, opt]) }));
    expect([readQuestion(io), io.edns]).to.deep.equal([Verdicts.REFUSED, true]);
  });

  it("nothing behind the packet's end is read: the buffer is shared", () => {
    const whole = query({ edns: { options: [{ code: 10, data: Buffer.alloc(8) }] } });
    for (let length = 0; length < whole.length; length++) {
      const io = exchangeOf(whole.subarray(0, length));
      io.in = Buffer.concat([io.in.subarray(0, io.inAt), whole]); // the rest is there, yet not part of it
      expect(readQuestion(io), `${length} bytes`).to.equal(length < 12 ? Verdicts.DROP : Verdicts.FORMERR);
    }
  });
});
