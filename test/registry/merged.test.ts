// Manifests below the Kubernetes API: random batches on both sides against a model that says for each name whose objects
// are to be seen, and the rules by name.

import { expect } from "chai";
import fc from "fast-check";
import { mergedSource } from "../../src/registry/merged.ts";
import type { Change, EndpointSlice, RegistryObject } from "../../src/registry/objects.ts";
import { createRegistry, type Source, type WritableRegistry } from "../../src/registry/registry.ts";
import { service, slice, upserts } from "../plugins/kubernetes/fixture.ts";

interface Played extends Source {
  registry: WritableRegistry;
  synced: () => void;
  fail: (error: Error) => void;
}

/** A source that a test plays by hand. */
function played(name: string): Played {
  const source: Played = {
    name,
    registry: createRegistry(),
    synced: () => undefined,
    fail: () => undefined,
    run: (registry, synced, signal) =>
      new Promise((resolve, reject) => {
        Object.assign(source, { registry, synced, fail: reject });
        signal.addEventListener("abort", () => resolve(), { once: true });
      }),
  };
  return source;
}

function merging() {
  const [upper, lower] = [played("api"), played("manifests")];
  const conflicts: string[] = [];
  const source = mergedSource({ upper, lower, onConflict: (text) => conflicts.push(text) });
  const registry = createRegistry({ sources: [source.name] });
  const ending = new AbortController();
  const run = source.run(registry, () => registry.markSynced(source.name), ending.signal);
  run.catch(() => undefined); // the tests that expect it look
  return { upper, lower, conflicts, registry, source, run, ending };
}

function keyOf(object: RegistryObject): string {
  return [object.kind, object.kind === "Namespace" ? "" : object.namespace, object.name].join("/");
}

/** What is to be seen of two states: the rule, said as simply as can be. */
function model(upper: ReadonlyMap<string, RegistryObject>, lower: ReadonlyMap<string, RegistryObject>): Map<string, RegistryObject> {
  const seen = new Map<string, RegistryObject>();
  const lowersGroup = ({ namespace, service: name }: EndpointSlice): boolean =>
    lower.has(`Service/${namespace}/${name}`) && !upper.has(`Service/${namespace}/${name}`);
  for (const [key, object] of lower) if (object.kind !== "EndpointSlice" || lowersGroup(object)) seen.set(key, object);
  for (const [key, object] of upper) if (object.kind !== "EndpointSlice" || !lowersGroup(object)) seen.set(key, object);
  return seen;
}

const names = fc.constantFrom("a", "b");
const object: fc.Arbitrary<RegistryObject> = fc.oneof(
  fc
    .record({ name: names, port: fc.integer({ min: 1, max: 3 }) })
    .map(({ name, port }) => service({ name, clusterIPs: [`10.0.0.${port}`], ports: [{ name: "", protocol: "TCP", port }] })),
  fc
    .record({ name: fc.constantFrom("s", "t", "u"), of: names, last: fc.integer({ min: 1, max: 3 }) })
    .map(({ name, of, last }) => slice({ name, service: of, endpoints: [{ addresses: [`10.1.0.${last}`], ready: true }] })),
  fc
    .record({ name: names, last: fc.integer({ min: 1, max: 3 }) })
    .map(({ name, last }): RegistryObject => ({ kind: "Pod", namespace: "default", name, addresses: [`10.1.0.${last}`] })),
  names.map((name): RegistryObject => ({ kind: "Namespace", name, labels: {} })),
);
const change: fc.Arbitrary<Change> = fc.record({ verb: fc.constantFrom("upsert", "upsert", "delete"), object });
const batches = fc.array(
  fc.record({ side: fc.constantFrom("upper", "lower"), changes: fc.array(change, { minLength: 1, maxLength: 4 }) }),
  {
    maxLength: 25,
  },
);
const sorted = (objects: Iterable<RegistryObject>): RegistryObject[] => [...objects].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

describe("merged sources", () => {
  it("show of each name the upper's object, or the lower's where the upper has none, after any batches on either side", () => {
    fc.assert(
      fc.property(batches, (given) => {
        const { upper, lower, registry } = merging();
        const states = { upper: new Map<string, RegistryObject>(), lower: new Map<string, RegistryObject>() };
        const told = new Map<string, RegistryObject>();
        let batchesTold = 0;
        registry.subscribe((applied) => {
          batchesTold++;
          for (const { verb, object: of, previous } of applied) {
            expect(previous, keyOf(of)).to.equal(told.get(keyOf(of)));
            if (verb === "upsert") told.set(keyOf(of), of);
            else told.delete(keyOf(of));
          }
        });
        const uppersOwn = new Map<string, RegistryObject>();
        upper.registry.subscribe((applied) => {
          for (const { verb, object: of } of applied) {
            if (verb === "upsert") uppersOwn.set(keyOf(of), of);
            else uppersOwn.delete(keyOf(of));
          }
        });
        for (const { side, changes } of given) {
          batchesTold = 0;
          (side === "upper" ? upper : lower).registry.apply(...changes);
          for (const { verb, object: of } of changes) {
            if (verb === "upsert") states[side].set(keyOf(of), of);
            else states[side].delete(keyOf(of));
          }
          const expected = sorted(model(states.upper, states.lower).values());
          expect(sorted(registry.objects())).to.deep.equal(expected);
          expect(sorted(told.values())).to.deep.equal(expected);
          expect(batchesTold).to.be.at.most(1);
          expect(sorted(upper.registry.objects())).to.deep.equal(sorted(states.upper.values()));
          expect(sorted(uppersOwn.values())).to.deep.equal(sorted(states.upper.values()));
          for (const name of ["a", "b"]) {
            const own = (kind: RegistryObject["kind"]) => states.upper.get(`${kind}/${kind === "Namespace" ? "" : "default"}/${name}`);
            expect(upper.registry.service("default", name)).to.equal(own("Service"));
            expect(upper.registry.pod("default", name)).to.equal(own("Pod"));
            expect(upper.registry.namespace(name)).to.equal(own("Namespace"));
            const slices = [...states.upper.values()].filter((of) => of.kind === "EndpointSlice" && of.service === name);
            expect(sorted(upper.registry.slices("default", name))).to.deep.equal(sorted(slices));
          }
        }
      }),
    );
  });

  it("hide a manifest Service with its slices while the API has one of that name, and say so once", () => {
    const { upper, lower, registry, conflicts } = merging();
    const ours = [service({ name: "web", clusterIPs: ["10.0.0.1"] }), slice({ service: "web", name: "ours" })];
    const theirs = [service({ name: "web", clusterIPs: ["10.0.0.2"] }), slice({ service: "web", name: "theirs" })];
    lower.registry.apply(...upserts(...ours));
    upper.registry.apply(...upserts(...theirs));
    expect([...registry.objects()]).to.have.members(theirs);
    upper.registry.apply(...upserts(service({ name: "web", clusterIPs: ["10.0.0.3"] })));
    expect(conflicts).to.deep.equal(['Service "default/web" is in manifests and in the Kubernetes API: the API\'s is served']);
    upper.registry.apply(...theirs.map((gone): Change => ({ verb: "delete", object: gone })));
    expect([...registry.objects()]).to.have.members(ours);
  });

  it("don't mix a manifest Service with the API's slices of that name, whose Service is gone or not there yet", () => {
    const { upper, lower, registry } = merging();
    const [ours, theirs] = [slice({ service: "web", name: "ours" }), slice({ service: "web", name: "theirs" })];
    lower.registry.apply(...upserts(service({ name: "web" }), ours));
    upper.registry.apply(...upserts(theirs));
    expect(registry.slices("default", "web")).to.deep.equal([ours]);
    upper.registry.apply(...upserts(service({ name: "web" })));
    expect(registry.slices("default", "web")).to.deep.equal([theirs]);
  });

  it("warn of a Namespace only where the manifest's has labels that the API's lacks", () => {
    const { upper, lower, conflicts } = merging();
    const namespace = (name: string, labels: Record<string, string>): RegistryObject => ({ kind: "Namespace", name, labels });
    lower.registry.apply(...upserts(namespace("same", {}), namespace("other", { team: "a" })));
    upper.registry.apply(...upserts(namespace("same", { x: "1" }), namespace("other", { team: "b" })));
    expect(conflicts).to.deep.equal(['Namespace "other" is in manifests and in the Kubernetes API: the API\'s is served']);
  });

  it("are synced when both are, and know a kind when the lower source has delivered too", () => {
    const { upper, lower, registry } = merging();
    upper.registry.markKnown("Service");
    expect([registry.knows("Service"), upper.registry.knows("Service")]).to.deep.equal([false, true]);
    lower.synced();
    expect([registry.synced, registry.knows("Service"), registry.knows("Pod")]).to.deep.equal([false, true, false]);
    upper.synced();
    expect(registry.synced).to.equal(true);
  });

  it("hand on how fresh the API's objects are, and its problem", () => {
    const { upper, registry } = merging();
    upper.registry.setFreshness("stale");
    upper.registry.setProblem("services: 403 Forbidden");
    expect([registry.freshness, registry.problem]).to.deep.equal(["stale", "services: 403 Forbidden"]);
  });

  it("end together: when one fails, the other is ended, and a second run goes on with what is there", async () => {
    const { upper, lower, registry, source, run } = merging();
    lower.registry.apply(...upserts(service({ name: "web" })));
    upper.fail(new Error("gone"));
    expect(await run.catch((error: unknown) => String(error))).to.equal("Error: gone");
    const ending = new AbortController();
    const again = source.run(registry, () => undefined, ending.signal);
    upper.registry.apply(...upserts(service({ name: "web", clusterIPs: ["10.0.0.9"] })));
    lower.registry.apply({ verb: "delete", object: service({ name: "web" }) });
    expect(registry.service("default", "web")?.clusterIPs).to.deep.equal(["10.0.0.9"]);
    ending.abort();
    await again;
  });
});
