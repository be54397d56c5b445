import { expect } from "chai";
import fc from "fast-check";
import { dashed, isAddressLabel, isAddressLabelAt } from "../../src/dns/address-label.ts";
import { canonicalAddress } from "../../src/registry/kube-names.ts";

function isAt(label: string): boolean {
  return isAddressLabelAt(Uint8Array.of(0xff, label.length, ...Buffer.from(label, "latin1"), 0), 1);
}

describe("labels that look like an address", () => {
  it("every address with dashes is one", () => {
    // Some of fc.ipV6()'s texts are no addresses of Kubernetes.
    const address = fc
      .oneof(fc.ipV4(), fc.ipV6())
      .map((text) => canonicalAddress(text))
      .filter((text) => text !== undefined);
    fc.assert(fc.property(address, (text) => isAddressLabel(dashed(text))));
    fc.assert(
      fc.property(address, (text) => isAddressLabel(dashed(text))),
      { seed: 1097015662 },
    );
  });

  for (const label of ["10-0-0-1", "2001-db8--1", "--1", "a-b-c"])
    it(`${label} is one`, () => expect(isAddressLabel(label)).to.equal(true));
  for (const label of ["web", "db-0", "www-10-0-0-1", "_tcp", "", "10"])
    it(`"${label}" is none`, () => expect(isAddressLabel(label)).to.equal(false));

  it("the wire form says what the text says", () => {
    const label = fc.oneof(
      fc.string({ unit: fc.constantFrom("0", "9", "a", "f", "g", "-", "_"), maxLength: 12 }),
      fc.string({ maxLength: 63 }),
    );
    fc.assert(fc.property(label, (text) => isAt(text) === isAddressLabel(text)));
  });
});
