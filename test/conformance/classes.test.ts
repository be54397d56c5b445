// Classes beyond IN: a plugin that answers for one of them opens it for no other plugin.

import { expect } from "chai";
import { startServer } from "../../src/index.ts";
import { service } from "../../src/testing.ts";
import { query, udpAsk } from "../helpers/dns-client.ts";

const CLASSES = { IN: 1, CH: 3 };

describe("conformance: classes", () => {
  it("a template of class ANY leaves the cluster's names, hosts and upstreams to class IN", async () => {
    await using dns = await startServer({
      corefile: `. {
  template ANY ANY made.example.org {
    rcode NXDOMAIN
  }
  hosts {
    192.0.2.1 web.example.org
    fallthrough
  }
  kubernetes cluster.local
  forward . 127.0.0.1:9
}`,
    });
    dns.registry.apply({ verb: "upsert", object: service({ name: "web" }) });
    const rcode = async (name: string, rrclass: number): Promise<number> =>
      ((await udpAsk(dns.address, query({ name, class: rrclass })))?.[3] ?? 0xff) & 15;
    expect(await rcode("made.example.org", CLASSES.CH)).to.equal(3);
    for (const name of ["web.default.svc.cluster.local", "web.example.org", "www.example.net"]) {
      expect(await rcode(name, CLASSES.CH), name).to.equal(5);
    }
    expect(await rcode("web.default.svc.cluster.local", CLASSES.IN)).to.equal(0);
  });
});
