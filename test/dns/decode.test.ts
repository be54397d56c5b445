import { expect } from "chai";
import { decodeMessage } from "../../src/dns/decode.ts";
import { formatName } from "../../src/dns/name.ts";
import { formatRecord } from "../../src/dns/text.ts";

const QUESTION = "03 777777 07 6578616d706c65 03 6f7267 00 0001 0001"; // www.example.org. A, at offset 12; example.org. at 16
const head = (counts: string, flags = "8180"): string => `abcd ${flags} ${counts}`;
const decode = (...hex: string[]) => decodeMessage(Buffer.from(hex.join("").replaceAll(" ", ""), "hex"));

const A = "c00c 0001 0001 00000005 0004 c0000201";
const OPT = "00 0029 04d0 00 00 8000";

describe("dns/decode: what a reply says", () => {
  it("header, question, sections, with names and rdata uncompressed", () => {
    const message = decode(
      head("0001 0002 0001 0001", "8583"),
      QUESTION,
      "c00c 0005 0001 00000005 0006 03 776562 c010", // web.example.org. at 45
      "c02d 0001 0001 00000005 0004 c0000201",
      "c010 0006 0001 00000005 001d 02 6e73 c010 01 68 c010 00000001 00000002 00000003 00000004 00000005",
      "c010 000f 0001 00000005 0004 000a c02d",
    );
    expect(message && { ...message, question: message.question && formatName(message.question.qname) }).to.deep.include({
      id: 0xabcd,
      flags: 0x8583,
      opcode: 0,
      rcode: 3,
      question: "www.example.org.",
      edns: undefined,
    });
    expect([message?.question?.qtype, message?.question?.qclass]).to.deep.equal([1, 1]);
    const lines = (section: "answer" | "authority" | "additional"): string[] =>
      (message?.[section] ?? []).map((each) => formatRecord(each, each.rdata));
    expect(lines("answer")).to.deep.equal(["www.example.org. 5 IN CNAME web.example.org.", "web.example.org. 5 IN A 192.0.2.1"]);
    expect(lines("authority")).to.deep.equal(["example.org. 5 IN SOA ns.example.org. h.example.org. 1 2 3 4 5"]);
    expect(lines("additional")).to.deep.equal(["example.org. 5 IN MX 10 web.example.org."]);
  });

  it("a bare header has no question", () =>
    expect(decode(head("0000 0000 0000 0000", "8181"))).to.deep.include({ rcode: 1, question: undefined }));

  it("names in SRV may have come compressed (RFC 3597 §4)", () => {
    const srv = decode(head("0001 0001 0000 0000"), QUESTION, "c00c 0021 0001 00000005 0008 0000 0000 0050 c010")?.answer[0];
    expect(srv && formatRecord(srv, srv.rdata)).to.equal("www.example.org. 5 IN SRV 0 0 80 example.org.");
  });

  it("a TTL with its top bit set is 0 (RFC 2181 §8)", () => {
    expect(decode(head("0001 0001 0000 0000"), QUESTION, A.replace("00000005", "80000000"))?.answer[0]?.ttl).to.equal(0);
  });

  it("the OPT record: size, version, DO, upper bits of the rcode, options, extended error", () => {
    const message = decode(
      head("0001 0000 0000 0001", "8180"),
      QUESTION,
      "00 0029 04d0 01 02 8000",
      "000d",
      "0003 0001 78",
      "000f 0004 000e 6869",
    );
    expect(message?.rcode).to.equal(16);
    expect(message?.additional).to.deep.equal([]);
    expect(message?.edns).to.deep.include({ udpSize: 1232, version: 2, dnssecOk: true, ede: { code: 14, text: "hi" } });
    expect(message?.edns?.options.map(({ code, data }) => [code, Buffer.from(data).toString()])).to.deep.equal([
      [3, "x"],
      [15, "\0\x0ehi"],
    ]);
  });
});

describe("dns/decode: what is not sound is nothing", () => {
  const rows: [rule: string, ...hex: string[]][] = [
    ["no bytes", ""],
    ["a runt", "abcd8180"],
    ["two questions", head("0002 0000 0000 0000"), QUESTION, QUESTION],
    ["counts larger than the message", head("ffff ffff ffff ffff")],
    ["more records than bytes", head("0001 ffff 0000 0000"), QUESTION],
    ["a question cut short", head("0001 0000 0000 0000"), QUESTION.slice(0, -5)],
    ["a question that is a pointer to itself", head("0001 0000 0000 0000"), "c00c 0001 0001 0000"],
    ["a record cut short", head("0001 0001 0000 0000"), QUESTION, A.slice(0, -2)],
    ["a record that is missing", head("0001 0002 0000 0000"), QUESTION, A],
    ["an owner that points forward", head("0001 0001 0000 0000"), QUESTION, A.replace("c00c", "c030")],
    ["an owner without its fixed fields", head("0001 0001 0000 0000"), QUESTION, "03 777777 07 6578616d706c65 00"],
    ["a stray byte at the end", head("0001 0001 0000 0000"), QUESTION, A, "00"],
    ["an RDLENGTH past the end", head("0001 0001 0000 0000"), QUESTION, A.replace("0004 c0", "0005 c0")],
    ["a name longer than its RDLENGTH", head("0001 0001 0000 0000"), QUESTION, "c00c 0005 0001 00000005 0001 c00c"],
    ["a name that is none", head("0001 0001 0000 0000"), QUESTION, "c00c 0005 0001 00000005 0001 41"],
    ["an MX without a name", head("0001 0001 0000 0000"), QUESTION, "c00c 000f 0001 00000005 0001 00"],
    ["two OPT records", head("0001 0000 0000 0002"), QUESTION, OPT, "0000", OPT, "0000"],
    ["an OPT record with an owner", head("0001 0000 0000 0001"), QUESTION, OPT.replace("00 ", "c00c "), "0000"],
    ["an OPT record in the answer", head("0001 0001 0000 0000"), QUESTION, OPT, "0000"],
    ["an option past RDLENGTH", head("0001 0000 0000 0001"), QUESTION, OPT, "0005 0003 0002 78"],
    ["three stray bytes of options", head("0001 0000 0000 0001"), QUESTION, OPT, "0003 000000"],
    ["an extended error without its code", head("0001 0000 0000 0001"), QUESTION, OPT, "0005 000f 0001 00"],
  ];
  for (const [rule, ...hex] of rows) it(rule, () => expect(decode(...hex)).to.equal(undefined));

  it("a bomb of 64 KB, every owner behind 120 pointers, is read in the time of its bytes", () => {
    const chain = Buffer.alloc(242); // as rdata at 23: the root, then pointers to each other
    for (let at = 2; at < chain.length; at += 2) chain.writeUInt16BE(0xc000 | (23 + at - 2), at);
    const first = Buffer.concat([Buffer.from("00 03e8 0001 00000005 00f2".replaceAll(" ", ""), "hex"), chain]);
    const other = Buffer.from(`c${(23 + 240).toString(16).padStart(3, "0")}03e800010000000500 00`.replaceAll(" ", ""), "hex");
    const header = Buffer.from("abcd8180 0000 1389 0000 0000".replaceAll(" ", ""), "hex"); // 5,001 answers
    const bomb = Buffer.concat([header, first, ...Array.from({ length: 5000 }, () => other)]);
    const started = performance.now();
    expect(decodeMessage(bomb)?.answer).to.have.length(5001);
    expect(performance.now() - started).to.be.below(200);
  });
});
