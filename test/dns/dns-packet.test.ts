// What dns-packet gets wrong and we must know: it serves tests and the command line, never raw network input. A new
// version that behaves differently shows here.

import { decode, encode, type Packet } from "dns-packet";
import { expect } from "chai";
import { query, uint16s } from "../helpers/dns-client.ts";

const answers = (count: number): Packet => ({
  type: "response",
  questions: [{ type: "A", name: "web.example.org" }],
  answers: Array.from({ length: count }, () => ({ type: "A", name: "web.example.org", ttl: 5, data: "192.0.2.1" })),
});

describe("dns-packet: known misbehaviour", () => {
  it("a dot inside a label is lost", () => {
    const names = ["a\\.b.example.org.", "a.b.example.org."].map((name) => decode(query({ name })).questions?.[0]?.name);
    expect(names[0]).to.equal(names[1]);
  });
  it("label bytes go through UTF-8", () => {
    const name = decode(query({ name: `${"\\255".repeat(63)}.` })).questions?.[0]?.name ?? "";
    expect(Buffer.from(name)).to.have.length(189);
  });
  it("labels of more than 63 octets are written", () => {
    expect(encode({ questions: [{ type: "A", name: "a".repeat(300) }] })[12]).to.equal(44);
  });
  it("an A record of three bytes is an address", () => {
    const packet = Buffer.concat([
      query({ counts: [1, 1, 0, 0] }),
      Buffer.from([0xc0, 12]),
      uint16s(1, 1, 0, 5, 3),
      Buffer.from([192, 0, 2]),
      Buffer.alloc(1),
    ]);
    expect(JSON.stringify(decode(packet).answers)).to.match(/192\.0\.2\./);
  });
  it("names are not compressed", () => {
    expect(encode(answers(100)).length).to.be.greaterThan(3000);
  });
});
