// Clients from outside private networks are told of once.

import { expect } from "chai";

import { createClientGuard } from "../../../src/plugins/forward/clients.ts";

const own = [
  "10.1.2.3",
  "172.16.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "127.0.0.1",
  "169.254.1.1",
  "::1",
  "fe80::1",
  "fd00::1",
  "::ffff:10.1.2.3",
];
const others = ["203.0.114.9", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2a00:1450::1"];

function guard(server: object = {}): { readonly warned: string[]; readonly check: (address: string) => void } {
  const warned: string[] = [];
  const nodeAddresses = (): ReadonlySet<string> => new Set(["198.51.101.7"]);
  return { warned, check: createClientGuard({ server, warn: (text) => void warned.push(text), now: () => 0, nodeAddresses }) };
}

describe("plugins/forward: clients", () => {
  for (const address of [...own, "198.51.101.7"]) {
    it(`${address} is one's own`, () => {
      const { warned, check } = guard();
      check(address);
      expect(warned).to.deep.equal([]);
    });
  }

  for (const address of others) {
    it(`${address} is from outside: told, without the address`, () => {
      const { warned, check } = guard();
      check(address);
      expect(warned).to.have.length(1);
      expect(warned[0])
        .to.match(/outside private networks/)
        .and.not.include(address);
    });
  }

  it("all blocks of a server tell once", () => {
    const server = {};
    const one = guard(server);
    const other = guard(server);
    for (const { check } of [one, other, one]) for (const address of others) check(address);
    expect([...one.warned, ...other.warned]).to.have.length(1);
  });
});
