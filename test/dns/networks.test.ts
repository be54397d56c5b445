import { expect } from "chai";
import fc from "fast-check";

import { parseCidr } from "../../src/config/zones.ts";
import { createNetworks, type Network } from "../../src/dns/networks.ts";

const networks = (...texts: string[]): Network[] => texts.map((text) => parseCidr(text) as Network);

describe("dns/networks", () => {
  const set = createNetworks(networks("192.0.2.0/24", "10.1.2.3/9", "198.51.100.7/32", "2001:db8::/33", "fe80::/10"));
  const rows: readonly (readonly [string, boolean])[] = [
    ["192.0.2.0", true],
    ["192.0.2.255", true],
    ["192.0.3.0", false],
    ["10.127.255.255", true],
    ["10.128.0.0", false],
    ["198.51.100.7", true],
    ["198.51.100.6", false],
    ["2001:db8:7fff::1", true],
    ["2001:db8:8000::1", false],
    ["fe80::1%eth0", true],
    ["::ffff:192.0.2.1", false],
    ["", false],
    ["localhost", false],
  ];
  for (const [address, isIn] of rows)
    it(`${address || "nothing"} is ${isIn ? "" : "not "}in it`, () => expect(set.has(address)).to.equal(isIn));

  it("/0 holds its family and not the other", () => {
    const all = createNetworks(networks("0.0.0.0/0"));
    expect([all.has("203.0.113.9"), all.has("::1")]).to.deep.equal([true, false]);
    expect(createNetworks([]).has("203.0.113.9")).to.equal(false);
  });

  it("a network holds an address if their first bits are the same", () => {
    const bytes = fc.uint8Array({ minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(bytes, bytes, fc.integer({ min: 0, max: 32 }), (network, address, prefix) => {
        const bits = (octets: Uint8Array): string => [...octets].map((octet) => octet.toString(2).padStart(8, "0")).join("");
        const same = bits(network).slice(0, prefix) === bits(address).slice(0, prefix);
        expect(createNetworks([{ bytes: network, prefix }]).has(address.join("."))).to.equal(same);
      }),
    );
  });
});
