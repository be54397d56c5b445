// Requests of DNS over HTTPS as words and bytes.

import { expect } from "chai";
import { DNS_MESSAGE, freshSeconds, readHead, type RequestHead } from "../../src/listeners/doh.ts";
import { uint16s } from "../helpers/dns-client.ts";

const PACKET = Buffer.from("000001000001000000000000037777770765786d61706c65036f72670000010001", "hex");
const ENCODED = PACKET.toString("base64url");

function read(head: Partial<RequestHead>): string {
  const asks = readHead({ method: "GET", target: "/dns-query", contentType: undefined, contentLength: undefined, ...head });
  if (asks.kind === "message") return Buffer.from(asks.packet).toString("hex");
  return asks.kind === "refused" ? String(asks.status) : asks.kind;
}

describe("listeners/doh: what a request asks", () => {
  const rows: readonly [rule: string, head: Partial<RequestHead>, gives: string][] = [
    ["GET", { target: `/dns-query?dns=${ENCODED}` }, PACKET.toString("hex")],
    ["GET with other parameters beside", { target: `/dns-query?a=b&dns=${ENCODED}&c` }, PACKET.toString("hex")],
    ["GET with no parameter", { target: "/dns-query" }, "400"],
    ["GET with an empty one", { target: "/dns-query?dns=" }, "400"],
    ["GET with two", { target: `/dns-query?dns=${ENCODED}&dns=${ENCODED}` }, "400"],
    ["GET with padding", { target: `/dns-query?dns=${ENCODED}==` }, "400"],
    ["GET in the alphabet of plain base64", { target: "/dns-query?dns=ab%2Bc" }, "400"],
    ["GET of 64 KiB", { target: `/dns-query?dns=${"A".repeat(87_380)}` }, "00".repeat(65_535)],
    ["GET of more", { target: `/dns-query?dns=${"A".repeat(87_400)}` }, "414"],
    ["GET of another path", { target: `/dns?dns=${ENCODED}` }, "404"],
    ["GET of a path below", { target: `/dns-query/?dns=${ENCODED}` }, "404"],
    ["GET of a whole URL", { target: `https://dns.example.org:8443/dns-query?dns=${ENCODED}` }, PACKET.toString("hex")],
    ["GET of a whole URL of another path", { target: `https://dns.example.org?/dns-query?dns=${ENCODED}` }, "404"],
    ["POST", { method: "POST", contentType: DNS_MESSAGE }, "body"],
    ["POST with its length", { method: "POST", contentType: DNS_MESSAGE, contentLength: "33" }, "body"],
    ["POST, the type in capitals and with a parameter", { method: "POST", contentType: "Application/DNS-Message ; charset=x" }, "body"],
    ["POST of 64 KiB and more", { method: "POST", contentType: DNS_MESSAGE, contentLength: "65536" }, "413"],
    ["POST of JSON", { method: "POST", contentType: "application/dns-json" }, "415"],
    ["POST of nobody knows what", { method: "POST" }, "415"],
    ["POST of another path", { method: "POST", target: "/", contentType: DNS_MESSAGE }, "404"],
    ["HEAD", { method: "HEAD", target: `/dns-query?dns=${ENCODED}` }, "405"],
    ["PUT", { method: "PUT", contentType: DNS_MESSAGE }, "405"],
    ["nothing", { method: "", target: "" }, "404"],
  ];
  for (const [rule, head, gives] of rows) it(`${rule}: ${gives.slice(0, 6)}`, () => expect(read(head)).to.equal(gives));
});

describe("listeners/doh: how long an answer may be kept (RFC 8484 §5.1)", () => {
  const record = (type: number, ttl: number, rdata: Buffer): Buffer =>
    Buffer.concat([uint16s(0xc00c, type, 1, ttl >> 16, ttl & 0xffff, rdata.length), rdata]);
  const a = (ttl: number): Buffer => record(1, ttl, Buffer.from([192, 0, 2, 1]));
  const soa = (ttl: number, minimum: number): Buffer =>
    record(6, ttl, Buffer.concat([Buffer.from([0, 0]), Buffer.alloc(16), uint16s(minimum >> 16, minimum & 0xffff)]));
  const message = (
    rcode: number,
    answers: readonly Buffer[],
    authorities: readonly Buffer[] = [],
    additional: readonly Buffer[] = [],
  ): Buffer =>
    Buffer.concat([
      uint16s(0, 0x8180 | rcode, 1, answers.length, authorities.length, additional.length),
      PACKET.subarray(12),
      ...answers,
      ...authorities,
      ...additional,
    ]);

  const rows: readonly [rule: string, answer: Buffer, seconds: number][] = [
    ["the least TTL of the answer section", message(0, [a(300), a(30), a(100)]), 30],
    ["that of the others does not count", message(0, [a(300)], [soa(5, 5)], [a(7)]), 300],
    ["a day is 86,400 s, a TTL may be larger than 16 bits", message(0, [a(86_400)]), 86_400],
    ["NODATA: the SOA's TTL", message(0, [], [soa(20, 60)]), 20],
    ["NODATA: its MINIMUM", message(0, [], [soa(600, 60)]), 60],
    ["NXDOMAIN: its MINIMUM", message(3, [], [soa(600, 5)]), 5],
    ["NXDOMAIN behind a CNAME: the CNAME's", message(3, [record(5, 9, Buffer.from([0]))], [soa(600, 5)]), 9],
    ["NODATA without an SOA: not at all", message(0, []), 0],
    ["a referral: not at all", message(0, [], [record(2, 600, Buffer.from([0]))]), 0],
    ["TTL 0: not at all", message(0, [a(0)]), 0],
    ["SERVFAIL: not at all", message(2, [a(300)]), 0],
    ["REFUSED: not at all", message(5, []), 0],
    ["a bare header: not at all", Buffer.alloc(12), 0],
    ["what is cut off: not at all", message(0, [a(300)]).subarray(0, -2), 0],
    ["nothing: not at all", Buffer.alloc(0), 0],
  ];
  for (const [rule, answer, seconds] of rows) it(rule, () => expect(freshSeconds(answer)).to.equal(seconds));

  it("counts that are not true end", () => {
    const wrong = message(0, [a(300)]);
    wrong.writeUInt16BE(0xffff, 6);
    expect(freshSeconds(wrong)).to.equal(0);
  });
});
