// Whatever Services come and go: addresses are unique, never change while their Service lives, and survive a restart.

import { expect } from "chai";
import fc from "fast-check";
import { createClusterIPs, parseRanges } from "../../src/registry/cluster-ips.ts";
import type { ManifestService } from "../../src/registry/manifest-objects.ts";
import { serviceManifest } from "../helpers/manifests.ts";

const CIDRS = ["192.0.2.0/27", "2001:db8::/123"];
const NAMES = Array.from({ length: 40 }, (_, at) => `s${at}`);

const explicit = fc.integer({ min: 1, max: 30 }).map((host) => `192.0.2.${host}`);
const step = fc.record({
  name: fc.constantFrom(...NAMES),
  verb: fc.constantFrom("add", "add", "remove"),
  asks: fc.option(explicit, { nil: undefined, freq: 4 }),
  policy: fc.constantFrom("SingleStack", "PreferDualStack", "RequireDualStack"),
} as const);

describe("ClusterIPs, any history", () => {
  it("unique, stable, explicit honoured, the same after a restart", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const ips = createClusterIPs(parseRanges(CIDRS));
        const live = new Map<string, { readonly service: ManifestService; readonly addresses: readonly string[] }>();
        for (const { name, verb, asks, policy } of steps) {
          if (verb === "remove") {
            ips.release("default", name);
            live.delete(name);
            continue;
          }
          if (live.has(name)) continue;
          const service = serviceManifest({ name, ipFamilyPolicy: policy, clusterIPs: asks === undefined ? [] : [asks] });
          const got = ips.allocate(service);
          const holders = new Set([...live.values()].flatMap(({ addresses }) => addresses));
          if ("error" in got) {
            const isFull = holders.size >= 28;
            expect(isFull || (asks !== undefined && holders.has(asks)), got.error).to.equal(true);
            continue;
          }
          if (asks !== undefined) expect(got.addresses[0]).to.equal(asks);
          expect(got.addresses).to.have.length(policy === "SingleStack" ? 1 : 2);
          for (const address of got.addresses) {
            expect(holders.has(address), `${address} is given twice`).to.equal(false);
            if (asks === undefined) expect(["192.0.2.1", "192.0.2.10", "2001:db8::1", "2001:db8::a"]).to.not.include(address);
          }
          live.set(name, { service, addresses: got.addresses });
        }
        for (const { service, addresses } of live.values()) expect(ips.allocate(service)).to.deep.equal({ addresses });

        const again = createClusterIPs(parseRanges(CIDRS), new Map(Object.entries(ips.chosen())));
        const services = [...live.values()].map(({ service }) => service).reverse();
        for (const service of again.order(services))
          expect(again.allocate(service)).to.deep.equal({ addresses: live.get(service.name)?.addresses });
      }),
      { numRuns: 150 },
    );
  });
});
