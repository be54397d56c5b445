// The server's own addresses as its zone tells them.

import { expect } from "chai";
import { createOwnAddresses } from "../../../src/plugins/kubernetes/own-addresses.ts";

describe("own addresses", () => {
  const interfaces = () => ["127.0.0.1", "192.0.2.7", "::1", "fe80::1", "2001:DB8::7"];
  const rows: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["before start there are none", [], []],
    ["an address is itself", ["192.0.2.53"], ["192.0.2.53"]],
    ["the wildcard is every interface's, without loopback and link-local", ["::"], ["192.0.2.7", "2001:db8::7"]],
    ["each address counts once", ["0.0.0.0", "192.0.2.7"], ["192.0.2.7", "2001:db8::7"]],
    ["loopback means nothing to others", ["127.0.0.53", "::1"], []],
  ];
  for (const [rule, listening, gives] of rows) {
    it(rule, () => expect(createOwnAddresses(() => listening, interfaces)()).to.deep.equal(gives));
  }

  it("interfaces are looked at again only when the sockets change", () => {
    let listening = ["::"];
    let looks = 0;
    const own = createOwnAddresses(
      () => listening,
      () => {
        looks++;
        return [];
      },
    );
    own();
    own();
    expect(looks).to.equal(1);
    listening = ["0.0.0.0"];
    own();
    expect(looks).to.equal(2);
  });
});
