// Socket addresses: the same as text and as bytes, and the same policy on both.

import { expect } from "chai";
import fc from "fast-check";
import { plainAddress } from "../../src/listeners/bind.ts";
import type { Native } from "../../src/listeners/native.ts";
import { addressAt, defectAt, familyAt, portAt, putAddress, SOURCE_DEFECTS } from "../../src/listeners/sockaddr.ts";
import { sourceDefect } from "../../src/listeners/source-policy.ts";

const native = { interfaceName: (index: number) => `eth${index}` } as Native;
const AT = 8;

function raw(address: string, port = 1234): Uint8Array {
  const bytes = new Uint8Array(64).fill(0xff);
  putAddress(bytes.subarray(AT), address, port);
  return bytes;
}

describe("listeners/sockaddr", () => {
  for (const address of ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1", "ff02::1", "1:2:3:4:5:6:7:8"]) {
    it(`${address} comes back`, () => {
      const bytes = raw(address, 53);
      expect(addressAt(native, bytes, AT)).to.equal(address);
      expect(portAt(bytes, AT)).to.equal(53);
      expect(familyAt(bytes, AT)).to.equal(address.includes(":") ? 6 : 4);
    });
  }

  it("an IPv4 client of a dual-stack socket is shown as IPv4", () => {
    const bytes = raw("::ffff:192.0.2.1");
    expect([addressAt(native, bytes, AT), familyAt(bytes, AT)]).to.deep.equal(["192.0.2.1", 4]);
  });

  it("a link-local address has its interface", () => {
    expect(addressAt(native, raw("fe80::1%3"), AT)).to.equal("fe80::1%eth3");
    expect(addressAt(native, raw("2001:db8::1%3"), AT)).to.equal("2001:db8::1");
  });

  const octet = fc.oneof(fc.constantFrom(0, 1, 127, 223, 224, 239, 240, 255), fc.nat(255));
  const ipv4 = fc.array(octet, { minLength: 4, maxLength: 4 }).map((octets) => octets.join("."));
  const group = fc.oneof(fc.constantFrom(0, 0xff02, 0xff, 0xffff, 0xfe80), fc.nat(0xffff));
  const ipv6 = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.map((value) => value.toString(16)).join(":"));
  const address = fc.oneof(
    ipv4,
    ipv4.map((text) => `::ffff:${text}`),
    ipv6,
    fc.constantFrom("::", "::1", "0.0.0.0", "255.255.255.255"),
  );
  const port = fc.oneof(fc.nat(40), fc.nat(65_535));

  it("the source policy says the same of the bytes as of the text (property)", () => {
    fc.assert(
      fc.property(address, port, (from, fromPort) => {
        const bytes = raw(from, fromPort);
        const text = addressAt(native, bytes, AT);
        expect(SOURCE_DEFECTS[defectAt(bytes, AT)]).to.equal(sourceDefect(plainAddress(text), fromPort));
      }),
      { numRuns: 2000 },
    );
  });
});
