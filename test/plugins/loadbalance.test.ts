import { expect } from "chai";
import fc from "fast-check";

import { DROP, type Records } from "../../src/dns/message.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { rdataToText } from "../../src/dns/text.ts";
import loadbalance, { createRotation } from "../../src/plugins/loadbalance/loadbalance.ts";
import { fakeHost, nextGives, query, readDirective, replyWith, setUp } from "../helpers/fake-host.ts";

const firsts = (reply: Records): string[] => reply.answer.map(({ type, rdata }) => rdataToText(type, rdata[0] ?? new Uint8Array(0)));

const addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
const web = replyWith(addresses.map((address) => `web.example.org. 5 IN A ${address}`).join("\n"));

describe("plugins/loadbalance", () => {
  it("puts each address first in turn", () => {
    const rotate = createRotation(4);
    const first = Array.from({ length: 6 }, () => firsts(rotate(web) as Records)[0]);
    expect(first).to.deep.equal(["192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"]);
  });

  it("turns A and AAAA separately, so that clients that ask for both see every address of either", () => {
    const rotate = createRotation(0);
    const aaaa = replyWith("web.example.org. 5 IN AAAA 2001:db8::1\nweb.example.org. 5 IN AAAA 2001:db8::2");
    const two = replyWith("web.example.org. 5 IN A 192.0.2.1\nweb.example.org. 5 IN A 192.0.2.2");
    const seen = new Set<string | undefined>();
    for (let turn = 0; turn < 2; turn++) seen.add(firsts(rotate(two) as Records)[0]).add(firsts(rotate(aaaa) as Records)[0]);
    expect(seen.size).to.equal(4);
  });

  it("keeps CNAMEs first and leaves other types as they are", () => {
    const rotate = createRotation(1);
    const reply = replyWith(
      ["t.example.org. 5 IN A 192.0.2.1", "t.example.org. 5 IN A 192.0.2.2", "w.example.org. 5 IN CNAME t.example.org."].join("\n"),
    );
    const turned = rotate(reply) as Records;
    expect(turned.answer.map(({ type }) => type)).to.deep.equal([RRTypes.CNAME, RRTypes.A]);
    expect(firsts(turned)).to.deep.equal(["t.example.org.", "192.0.2.2"]);
    const txt = replyWith('t.example.org. 5 IN TXT "a"\nt.example.org. 5 IN TXT "b"');
    expect(firsts(rotate(txt) as Records)).to.deep.equal(['"a"']);
  });

  it("loses and invents no record", () => {
    const rotate = createRotation(7);
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 250 }), { minLength: 1, maxLength: 20 }), (hosts) => {
        const reply = replyWith(hosts.map((host) => `web.example.org. 5 IN A 192.0.2.${host}`).join("\n"));
        const turned = rotate(reply) as Records;
        const sorted = (from: Records): string[] => (from.answer[0]?.rdata ?? []).map((rdata) => rdataToText(RRTypes.A, rdata)).toSorted();
        expect(sorted(turned)).to.deep.equal(sorted(reply));
      }),
      { numRuns: 50 },
    );
  });

  it("handles what comes now, later or never", async () => {
    const { handle, transparent, rotates } = await setUp(loadbalance, "loadbalance round_robin", fakeHost("loadbalance"));
    expect(transparent).to.equal(true);
    expect([...(rotates ?? [])]).to.deep.equal([RRTypes.A, RRTypes.AAAA, RRTypes.MX]);
    expect(handle?.(query("web.example.org"), nextGives(DROP))).to.equal(DROP);
    const later = (await handle?.(query("web.example.org"), async () => web)) as Records;
    expect(later.answer[0]?.rdata).to.have.length(3);
  });

  it("says that other policies are not there yet", () => {
    expect(readDirective(loadbalance, "loadbalance").findings).to.deep.equal([]);
    expect(readDirective(loadbalance, "loadbalance weighted weights.txt {\n reload 30s\n}").findings).to.deep.equal([
      "Corefile:2:13: loadbalance: weighted is not supported yet; round_robin is",
      "Corefile:3:2: loadbalance: reload: not supported yet",
    ]);
    expect(readDirective(loadbalance, "loadbalance round_robin {\n prefer 192.0.2.0/24\n}").findings.join()).to.contain(
      "prefer: not supported yet",
    );
  });
});
