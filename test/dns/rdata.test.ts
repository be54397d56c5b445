// Builders of rdata, and addresses in text.

import { expect } from "chai";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { parseName } from "../../src/dns/name.ts";
import { addressRdata, addressToBytes, nameRdata, soaRdata, srvRdata, txtRdata } from "../../src/dns/rdata.ts";
import { addressOfReverseName, addressText, isReverse, reverseName } from "../../src/dns/reverse.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { rdataToText } from "../../src/dns/text.ts";

describe("addresses in text", () => {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["192.0.2.1", "c0000201"],
    ["0.0.0.0", "00000000"],
    ["255.255.255.255", "ffffffff"],
    ["256.0.0.1", undefined],
    ["1.2.3", undefined],
    ["1.2.3.4.5", undefined],
    ["01.2.3.4", undefined],
    ["1..2.3", undefined],
    ["", undefined],
    ["1.2.3.4 ", undefined],
    ["::", "00".repeat(16)],
    ["::1", `${"00".repeat(15)}01`],
    ["2001:db8::1", `20010db8${"00".repeat(11)}01`],
    ["2001:DB8::", `20010db8${"00".repeat(12)}`],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
    ["::ffff:192.0.2.1", `${"00".repeat(10)}ffffc0000201`],
    ["1:2:3:4:5:6:7", undefined],
    ["1:2:3:4:5:6:7:8:9", undefined],
    ["1:2:3:4:5:6:7:8::", undefined],
    ["1::2::3", undefined],
    [":::", undefined],
    [":1", undefined],
    ["12345::", undefined],
    ["g::", undefined],
    ["fe80::1%eth0", undefined],
    ["192.0.2.1::", undefined],
  ];
  for (const [text, hex] of rows) {
    it(`"${text}" ${hex === undefined ? "is none" : "is read"}`, () => {
      const bytes = addressToBytes(text);
      expect(bytes && Buffer.from(bytes).toString("hex")).to.equal(hex);
    });
  }

  it("agrees with ipaddr.js on every address but ::192.0.2.1, which that takes for ::ffff:192.0.2.1", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        fc.pre(!/^::[\d.]+$/.test(text) || !text.includes("."));
        expect([...(addressToBytes(text) ?? [])]).to.deep.equal(ipaddr.parse(text).toByteArray());
      }),
    );
  });
});

describe("reverse names", () => {
  it("name and address, both ways", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) => {
        const text = addressText(bytes);
        const name = reverseName(text) ?? expect.fail();
        expect(addressOfReverseName(name)).to.equal(text);
        expect(isReverse(name)).to.equal(true);
      }),
    );
    expect(reverseName("192.0.2.1")).to.equal(parseName("1.2.0.192.in-addr.arpa"));
    expect(reverseName("example")).to.equal(undefined);
  });

  for (const text of [
    "2.0.192.in-addr.arpa",
    "01.2.0.192.in-addr.arpa",
    "0.1.2.0.192.in-addr.arpa",
    "300.2.0.192.in-addr.arpa",
    "1.ip6.arpa",
    `${"g.".repeat(32)}ip6.arpa`,
    "example.org",
  ]) {
    it(`${text} is the name of no address`, () => expect(addressOfReverseName(parseName(text))).to.equal(undefined));
  }
});

describe("rdata", () => {
  const target = parseName("a.example.org");
  const rows = [
    [RRTypes.A, addressRdata("192.0.2.1"), "192.0.2.1"],
    [RRTypes.AAAA, addressRdata("2001:db8::1"), "2001:db8::1"],
    [RRTypes.CNAME, nameRdata(target), "a.example.org."],
    [RRTypes.SRV, srvRdata(1, 2, 65_535, target), "1 2 65535 a.example.org."],
    [RRTypes.TXT, txtRdata("a", ""), '"a" ""'],
    [RRTypes.TXT, txtRdata("x".repeat(256)), `"${"x".repeat(255)}" "x"`],
    [
      RRTypes.SOA,
      soaRdata({ mname: target, rname: target, serial: 2 ** 32 + 7, refresh: 1, retry: 2, expire: 3, minimum: 4 }),
      "a.example.org. a.example.org. 7 1 2 3 4",
    ],
  ] as const;
  for (const [type, rdata, text] of rows) it(text.slice(0, 40), () => expect(rdataToText(type, rdata)).to.equal(text));
  it("what is no address is a mistake of the caller", () => expect(() => addressRdata("example")).to.throw(RangeError));
});
