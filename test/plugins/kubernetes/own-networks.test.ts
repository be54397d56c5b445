// Reverse names of the cluster's own networks: they are nobody else's, whatever falls through.

import { expect } from "chai";
import { emptyReply, Rcodes } from "../../../src/dns/message.ts";
import { formatName } from "../../../src/dns/name.ts";
import type { Next } from "../../../src/plugin.ts";
import { serving } from "./fixture.ts";

const CIDRS = "service_cidr 10.0.0.0/14 fd00::/112\npod_cidr 10.244.0.0/16";
const FALLTHROUGH = "fallthrough in-addr.arpa ip6.arpa";

describe("reverse names of the cluster's own networks", () => {
  async function asked(
    block: string,
    question: string,
  ): Promise<{ readonly reply: readonly string[]; readonly elsewhere: readonly string[] }> {
    const elsewhere: string[] = [];
    const next: Next = (given) => {
      elsewhere.push(formatName(given.qname));
      return { ...emptyReply(Rcodes.NOERROR, "forward"), recursionAvailable: true };
    };
    const { ask } = await serving(block, undefined, { next });
    return { reply: await ask(question), elsewhere };
  }

  const rows: readonly (readonly [rule: string, name: string, stays: "stays" | "falls through"])[] = [
    ["service_cidr", "9.9.1.10.in-addr.arpa.", "stays"],
    ["service_cidr, in the last network of a prefix off an octet", "9.9.3.10.in-addr.arpa.", "stays"],
    ["behind it", "9.9.4.10.in-addr.arpa.", "falls through"],
    ["pod_cidr", "9.9.244.10.in-addr.arpa.", "stays"],
    ["a name above addresses in it", "9.244.10.in-addr.arpa.", "stays"],
    ["a name above it", "9.10.in-addr.arpa.", "falls through"],
    ["a name below an address", "x.9.9.244.10.in-addr.arpa.", "stays"],
    ["the other family", `9.${"0.".repeat(27)}0.d.f.ip6.arpa.`, "stays"],
    ["the other family, elsewhere", `9.${"0.".repeat(27)}1.d.f.ip6.arpa.`, "falls through"],
    ["another address", "1.2.0.192.in-addr.arpa.", "falls through"],
  ];
  for (const [rule, name, stays] of rows) {
    it(`${rule}: ${name} ${stays}`, async () => {
      const { reply, elsewhere } = await asked(
        `kubernetes cluster.local in-addr.arpa ip6.arpa {\n${CIDRS}\n${FALLTHROUGH}\n}`,
        `${name} PTR`,
      );
      expect(reply[0]).to.equal(stays === "stays" ? "NXDOMAIN" : undefined);
      expect(elsewhere).to.deep.equal(stays === "stays" ? [] : [name]);
    });
  }

  it("networks written as zones stay unless they are told to fall through", async () => {
    const zones = "kubernetes cluster.local 10.0.0.0/14";
    expect(await asked(zones, "9.9.1.10.in-addr.arpa. PTR")).to.deep.include({ elsewhere: [] });
    expect((await asked(`${zones} {\n${FALLTHROUGH}\n}`, "9.9.1.10.in-addr.arpa. PTR")).elsewhere).to.have.length(1);
  });

  it("a zone in one of them proves absence, also for the answer table", async () => {
    const { instance } = await serving(`kubernetes cluster.local 10.244.0.0/16 in-addr.arpa {\n${CIDRS}\n${FALLTHROUGH}\n}`);
    const complete = Object.fromEntries((instance.zones ?? []).map((zone) => [formatName(zone.apex), zone.complete]));
    expect(complete).to.deep.equal({ "cluster.local.": true, "244.10.in-addr.arpa.": true, "in-addr.arpa.": false });
  });

  it("addresses that something has are answered as ever", async () => {
    const { ask } = await serving(`kubernetes cluster.local in-addr.arpa {\n${CIDRS}\n${FALLTHROUGH}\n}`);
    expect(await ask("5.0.244.10.in-addr.arpa. PTR")).to.have.length(2);
  });
});
