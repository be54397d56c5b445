// What the zones tell about changes: a subscriber that looks again only at the names that it is told about knows as
// much as one that looks at every name again.

import { expect } from "chai";
import fc from "fast-check";
import { lookup, replyFrom } from "../../../src/dns/lookup.ts";
import { formatName, parseName, type Name } from "../../../src/dns/name.ts";
import type { Zone } from "../../../src/dns/zone.ts";
import type { Change, EndpointPort, RegistryObject } from "../../../src/registry/objects.ts";
import { createRegistry } from "../../../src/registry/registry.ts";
import { fakeHost, query, setUp } from "../../helpers/fake-host.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";
import search from "../../../src/plugins/search/search.ts";
import { CLUSTER, formatReply, service, serving, slice, upserts } from "./fixture.ts";

const namespaces = fc.constantFrom("default", "a", "b");
const serviceNames = fc.constantFrom("web", "db", "tcp");
const addresses = fc.constantFrom("192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::", "2001:db8::1", "2001:db8:1::1");
const labels = fc.constantFrom<Record<string, string>>({}, { tier: "front" }, { tier: "back" });
const port = fc.record({
  name: fc.constantFrom("", "http", "sql"),
  protocol: fc.constantFrom("TCP" as const, "UDP" as const),
  port: fc.constantFrom(80, 81),
});
const ports = fc.uniqueArray(port, { maxLength: 3, selector: ({ name, protocol }) => `${name}/${protocol}` });

const objects: fc.Arbitrary<RegistryObject> = fc.oneof(
  fc
    .record({
      namespace: namespaces,
      name: serviceNames,
      ports,
      labels,
      kind: fc.constantFrom("ip", "headless", "external", "literal"),
      at: addresses,
    })
    .map(({ namespace, name, ports: own, labels: ownLabels, kind, at }) =>
      service({
        namespace,
        name,
        ports: own,
        labels: ownLabels,
        ...(kind === "ip" ? { clusterIPs: [at] } : {}),
        ...(kind === "headless" ? { headless: true } : {}),
        ...(kind === "external" ? { type: "ExternalName", externalName: "www.example.com" } : {}),
        ...(kind === "literal" ? { type: "ExternalName", externalName: "192.0.2.1" } : {}),
      }),
    ),
  fc
    .record({
      namespace: namespaces,
      service: serviceNames,
      name: fc.constantFrom("s1", "s2"),
      ports: ports as fc.Arbitrary<EndpointPort[]>,
      endpoints: fc.array(
        fc.record(
          {
            addresses: fc.array(addresses, { minLength: 1, maxLength: 2 }),
            ready: fc.boolean(),
            hostname: fc.constantFrom("x", "tcp"),
            podName: fc.constantFrom("p", "q.r"),
          },
          { requiredKeys: ["addresses", "ready"] },
        ),
        { maxLength: 3 },
      ),
    })
    .map((given) => slice(given)),
  fc.record({ name: namespaces, labels }).map(({ name, labels: own }): RegistryObject => ({ kind: "Namespace", name, labels: own })),
);

const changes: fc.Arbitrary<Change> = fc.record({
  verb: fc.constantFrom("upsert" as const, "upsert" as const, "delete" as const),
  object: objects,
});
const batches = fc.array(fc.array(changes, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 });

const blocks = fc.constantFrom(
  "",
  "noendpoints",
  "ignore empty_service",
  "endpoint_pod_names",
  "namespaces default a",
  "namespace_labels tier=front",
  "labels tier in (front, back)",
  "ptr one\npods insecure\nreasons off",
);

// All that is answered at a name, additional records included, as text.
function nodeText(zone: Zone, name: Name): string | undefined {
  const node = zone.node(name);
  if (node === undefined) return undefined;
  const { rrsets, alias, ...rest } = node;
  const types = new Set([...rrsets.map(({ type }) => type), ...(alias?.types ?? [])]);
  const answers = Array.from(types, (type) => {
    const reply = replyFrom(lookup(zone, name, type), "");
    return reply === undefined ? "" : formatReply(reply).join(" | ");
  });
  return JSON.stringify({ ...rest, answers, alias: alias && formatName(alias.target) });
}

function allNodes(zone: Zone): Map<Name, string | undefined> {
  return new Map([...zone.names()].map((name) => [name, nodeText(zone, name)]));
}

function linesOf(nodes: Iterable<[Name, string | undefined]>): string[] {
  return Array.from(nodes, ([name, text]) => `${formatName(name)} ${text}`).toSorted();
}

async function zonesOf(block: string, registry = createRegistry({ now: () => 0 })): Promise<readonly Zone[]> {
  const host = fakeHost("kubernetes", { registry: () => registry });
  host.addresses = ["192.0.2.1"];
  const instance = await setUp(kubernetes, `kubernetes cluster.local 192.0.2.0/24 ip6.arpa {\n${block}\n}`, host);
  host.siblings["kubernetes"] = instance;
  const short = await setUp(search, "search a default {\n namespaces all\n}", host);
  return [...(instance.zones ?? []), ...(short.zones ?? [])];
}

describe("kubernetes: changes", () => {
  it("telling the names that a change touches is as good as looking at every name again", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, batches, async (block, list) => {
        const registry = createRegistry({ now: () => 0 });
        const followed = (await zonesOf(block, registry)).map((zone) => {
          const known = allNodes(zone);
          zone.subscribe((touched) => {
            for (const name of touched) {
              const text = nodeText(zone, name);
              if (text === undefined) known.delete(name);
              else known.set(name, text);
            }
          });
          return { zone, known };
        });
        for (const batch of list) {
          registry.apply(...batch);
          for (const { zone, known } of followed) {
            const fresh = allNodes(zone);
            // A name that is not listed may be remembered as long as that only means to ask the chain.
            const kept = [...known].filter(([name, text]) => fresh.has(name) || text?.includes('"askChain":true') !== true);
            expect(linesOf(kept)).to.deep.equal(linesOf(fresh));
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  it("names() lists only names that are there, their ancestors included, each once", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, batches, async (block, list) => {
        const registry = createRegistry({ now: () => 0 });
        const zones = await zonesOf(block, registry);
        for (const batch of list) registry.apply(...batch);
        for (const zone of zones) {
          const names = [...zone.names()];
          expect(new Set(names).size).to.equal(names.length);
          for (const name of names) {
            expect(zone.node(name), formatName(name)).to.not.equal(undefined);
            if (!zone.complete) continue;
            for (let above = name; above.length > zone.apex.length;) {
              above = above.slice(1 + above.charCodeAt(0)) as Name;
              expect(names.includes(above), `${formatName(above)} above ${formatName(name)}`).to.equal(true);
            }
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it("one slice's change tells its names only", async () => {
    const { registry, instance } = await serving("kubernetes cluster.local");
    const told: string[] = [];
    instance.zones?.[0]?.subscribe((names) => told.push(...Array.from(names, formatName)));
    registry.apply(...upserts(slice({ service: "web", endpoints: [{ addresses: ["10.244.0.8"], ready: true }] })));
    expect(told.toSorted()).to.deep.equal([
      "_http._tcp.web.default.svc.cluster.local.",
      "_tcp.web.default.svc.cluster.local.",
      "cluster.local.",
      "db-0.web.default.svc.cluster.local.",
      "http._tcp.web.default.svc.cluster.local.",
      "tcp.web.default.svc.cluster.local.",
      "web.default.svc.cluster.local.",
    ]);
  });

  it("endpoints called by their address are listed of headless Services only", async () => {
    const { registry, instance } = await serving("kubernetes cluster.local");
    const told: string[] = [];
    instance.zones?.[0]?.subscribe((names) => told.push(...Array.from(names, formatName)));
    const endpoints = [{ addresses: ["10.244.0.8"], ready: true }];
    registry.apply(...upserts(slice({ service: "raw", endpoints }), slice({ service: "db", name: "db-2", endpoints })));
    expect(told).to.include("10-244-0-8.db.default.svc.cluster.local.");
    expect(told).to.not.include("10-244-0-8.raw.default.svc.cluster.local.");
    told.length = 0;
    // Headless no more: what the table has of it goes.
    registry.apply(...upserts(service({ name: "db", clusterIPs: ["10.3.0.12"] })));
    expect(told).to.include("10-244-0-8.db.default.svc.cluster.local.");
  });

  it("a registry of which all is known now makes the zones ready; until then they tell of no name", async () => {
    const registry = createRegistry({ sources: ["test"] });
    const zones = await zonesOf("", registry);
    const told: string[] = [];
    for (const zone of zones) zone.subscribe((changed) => told.push(`${zone.ready} ${[...changed].length}`));
    registry.apply(...upserts(...CLUSTER));
    registry.setProblem("services: 500");
    expect(told).to.deep.equal([]);
    registry.markSynced("test");
    expect(told).to.deep.equal(zones.map(() => "true 0"));
  });

  it("stop lets go of the registry", async () => {
    const { registry, instance } = await serving("kubernetes cluster.local in-addr.arpa");
    let told = 0;
    for (const zone of instance.zones ?? []) zone.subscribe(() => told++);
    await instance.stop?.();
    registry.apply(...upserts(service({ name: "new" })));
    expect(told).to.equal(0);
    expect(instance.handle?.(query(parseName("new.default.svc.cluster.local")), () => expect.fail())).to.have.property("rcode", 0);
  });
});
