import { expect } from "chai";

import { FindingsError } from "../../src/errors.ts";
import bind, { addressesToBind } from "../../src/plugins/bind/bind.ts";
import { AT, fakeHost, readDirective, setUp } from "../helpers/fake-host.ts";

const interfaces = {
  lo: [{ address: "127.0.0.1" }, { address: "::1", scopeid: 0 }],
  eth0: [{ address: "192.0.2.5" }, { address: "2001:db8::5", scopeid: 0 }, { address: "fe80::5", scopeid: 2 }],
};

describe("plugins/bind", () => {
  for (const { wanted, except, listens } of [
    { wanted: ["192.0.2.9"], except: [], listens: ["192.0.2.9"] },
    { wanted: ["127.0.0.1", "lo"], except: [], listens: ["127.0.0.1", "::1"] },
    { wanted: ["eth0", "lo"], except: ["192.0.2.5", "::1"], listens: ["2001:db8::5", "fe80::5%eth0", "127.0.0.1"] },
    { wanted: ["eth0", "::1"], except: ["eth0"], listens: ["::1"] },
  ]) {
    it(`bind ${wanted.join(" ")} except ${except.join(" ")} listens on ${listens.join(" ")}`, () => {
      expect(addressesToBind(wanted, except, interfaces, AT)).to.deep.equal(listens);
    });
  }

  for (const [wanted, except, message] of [
    ["eth1", [], 'Corefile:2:5: bind: "eth1" is neither an IP address nor an interface, did you mean "eth0"?; interfaces: eth0, lo'],
    ["300.0.0.1", [], 'Corefile:2:5: bind: "300.0.0.1" is neither an IP address nor an interface; interfaces: eth0, lo'],
    ["lo", ["lo"], "Corefile:2:5: bind: except leaves no address of lo"],
  ] as const) {
    it(`refuses ${wanted} except ${except.join(" ")}`, () => {
      expect(() => addressesToBind([wanted], except, interfaces, AT)).to.throw(FindingsError, message);
    });
  }

  it("puts all lines of a block together", async () => {
    const instance = await setUp(bind, "bind 192.0.2.1 192.0.2.2 {\n except 192.0.2.2\n}\nbind 192.0.2.3", fakeHost("bind"));
    expect(instance.listen).to.deep.equal(["192.0.2.1", "192.0.2.3"]);
  });

  it("needs an address", () => {
    expect(readDirective(bind, "bind").findings).to.deep.equal(["Corefile:2:1: bind: expected ADDRESS|INTERFACE..., found nothing"]);
  });
});
