import { isDeepStrictEqual } from "node:util";
import { expect } from "chai";
import fc from "fast-check";
import { packEndpoints, packedSlice, unpackEndpoints } from "../../src/registry/packed-slice.ts";

const endpoint = fc.record(
  {
    addresses: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 3 }),
    ready: fc.boolean(),
    hostname: fc.string(),
    podName: fc.string(),
    zone: fc.string({ unit: "binary" }),
  },
  { requiredKeys: ["addresses", "ready"], noNullPrototype: true },
);
const HEAD = { kind: "EndpointSlice", namespace: "default", name: "web-1", service: "web", addressType: "IPv4", ports: [] } as const;
const ONE = [{ addresses: ["192.0.2.1"], ready: true, podName: "web-0" }];

describe("registry: packed slices", () => {
  it("what is packed is read again as it was", () => {
    fc.assert(
      fc.property(fc.array(endpoint), (endpoints) => {
        expect(unpackEndpoints(packEndpoints(endpoints))).to.deep.equal(endpoints);
      }),
    );
  });

  it("a packed slice is equal to one that is not, and so is a copy of it", () => {
    const slice = packedSlice(HEAD, packEndpoints(ONE));
    expect(slice).to.deep.equal({ ...HEAD, endpoints: ONE });
    expect({ ...slice }).to.deep.equal({ ...HEAD, endpoints: ONE });
    expect(JSON.parse(JSON.stringify(slice))).to.deep.equal({ ...HEAD, endpoints: ONE });
  });

  it("slices with other endpoints differ", () => {
    const other = packedSlice(HEAD, packEndpoints(ONE.map((each) => ({ ...each, ready: false }))));
    expect(isDeepStrictEqual(packedSlice(HEAD, packEndpoints(ONE)), other)).to.equal(false);
  });
});
