import { expect } from "chai";
import { RRClasses, RRTypes } from "../../src/dns/records.ts";

describe("dns/records: types and classes", () => {
  for (const [what, codes] of Object.entries({ RRTypes, RRClasses })) {
    it(`${what} are 16-bit numbers, each with one name`, () => {
      const values: number[] = Object.values(codes);
      expect(new Set(values).size).to.equal(values.length);
      for (const value of values) expect(value).to.be.within(1, 0xffff);
    });
  }

  // IANA "Resource Record (RR) TYPEs", those whose numbers clients and servers meet daily.
  const known =
    "A 1 NS 2 CNAME 5 SOA 6 PTR 12 MX 15 TXT 16 AAAA 28 SRV 33 OPT 41 DS 43 RRSIG 46 SVCB 64 HTTPS 65 IXFR 251 AXFR 252 ANY 255 CAA 257";
  it(known, () => {
    for (const [, name, value] of known.matchAll(/(\w+) (\d+)/g))
      expect(RRTypes[name as keyof typeof RRTypes], name).to.equal(Number(value));
  });
});
