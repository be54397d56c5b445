import { expect } from "chai";

import { startServer } from "../../src/index.ts";
import { emptyReply, type Records } from "../../src/dns/message.ts";
import { RRTypes } from "../../src/dns/records.ts";
import any from "../../src/plugins/any/any.ts";
import { service } from "../../src/testing.ts";
import { fakeHost, nextGives, query, readDirective, setUp } from "../helpers/fake-host.ts";

const HINFO = 'HINFO "ANY obsoleted" "See RFC 8482"';

describe("plugins/any", () => {
  it("answers ANY of class IN with HINFO, and passes all else (C28)", async () => {
    const passed: Records = emptyReply(0, "next");
    const { handle, transparent } = await setUp(any, "any", fakeHost("any"));
    expect(handle?.(query("a.nl", { type: RRTypes.ANY }), nextGives(undefined))).to.include({ rcode: 0, authoritative: false, by: "any" });
    expect(handle?.(query("a.nl"), nextGives(passed))).to.equal(passed);
    expect(handle?.({ ...query("a.nl", { type: RRTypes.ANY }), qclass: 3 }, nextGives(passed))).to.equal(passed);
    expect(transparent).to.deep.equal({ types: [RRTypes.ANY] });
  });

  it("also for names that the table knows, and knows not to be", async () => {
    await using dns = await startServer({ corefile: ". {\n any\n kubernetes cluster.local\n}\n" });
    dns.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.0.0.80"] }) });
    for (const name of ["web.default.svc.cluster.local.", "none.default.svc.cluster.local.", "cluster.local.", "example.org."]) {
      const { rcode, answer } = await dns.query(name, "ANY");
      expect([rcode, ...answer]).to.deep.equal(["NOERROR", `${name} 8482 IN ${HINFO}`]);
    }
    expect((await dns.query("web.default.svc.cluster.local")).addresses).to.deep.equal(["10.0.0.80"]);
    expect((await dns.query("none.default.svc.cluster.local")).rcode).to.equal("NXDOMAIN");
  });

  it("takes nothing", () => {
    expect(readDirective(any, "any x").findings).to.deep.equal(['Corefile:2:5: any: takes no arguments, found "x"']);
  });
});
