// Whatever objects come and go, the registry ends up with what a reading of all of them at once would give: selectors,
// duplicates and namespaces against a model.

import { expect } from "chai";
import fc from "fast-check";
import { createManifestCluster, type ManifestCluster } from "../../src/registry/manifest-cluster.ts";
import { comparePlaces, keyOfManifest, type Manifest } from "../../src/registry/manifest-objects.ts";
import { createRegistry, type Registry } from "../../src/registry/registry.ts";
import { selects } from "../../src/registry/selectors.ts";
import { podManifest, serviceManifest } from "../helpers/manifests.ts";

const labels = fc.dictionary(fc.constantFrom("a", "b", "__proto__"), fc.constantFrom("1", "2"), { maxKeys: 3, noNullPrototype: true });
const namespace = fc.constantFrom("x", "y");
const place = fc.record({ file: fc.constantFrom("f1", "f2", "f3"), line: fc.integer({ min: 1, max: 9 }), column: fc.constant(1) });
const pod = fc
  .record({
    name: fc.constantFrom("p1", "p2", "p3", "p4"),
    namespace,
    labels,
    at: place,
    ready: fc.boolean(),
    gone: fc.boolean(),
    host: fc.integer({ min: 1, max: 9 }),
  })
  .map(({ host, ...fields }) => podManifest({ ...fields, addresses: [`192.0.2.${host}`] }));
const service = fc
  .record({ name: fc.constantFrom("s1", "s2"), namespace, at: place, selector: labels })
  .map(({ selector, ...fields }) => serviceManifest({ ...fields, ...(Object.keys(selector).length > 0 ? { selector } : {}) }));
const file = fc.array(fc.oneof(pod, service), { maxLength: 5 });
const steps = fc.array(fc.record({ at: fc.constantFrom("f1", "f2", "f3"), objects: file }), { maxLength: 12 });

function settle(cluster: ManifestCluster, registry: Registry): void {
  for (const changes of cluster.settle()) if (changes.length > 0) registry.apply(...changes);
}

function modelOf(manifests: readonly Manifest[]): Record<string, string[]> {
  const winners = new Map<string, Manifest>();
  for (const manifest of [...manifests].sort((a, b) => comparePlaces(a.at, b.at))) {
    if (!winners.has(keyOfManifest(manifest))) winners.set(keyOfManifest(manifest), manifest);
  }
  const model: Record<string, string[]> = {};
  for (const one of winners.values()) {
    if (one.kind !== "Service") continue;
    const endpoints: string[] = [];
    for (const other of winners.values()) {
      if (other.kind !== "Pod" || other.namespace !== one.namespace || other.gone || !selects(one.selector ?? {}, other.labels)) continue;
      endpoints.push(`${other.name} ${other.addresses?.[0]} ${other.ready}`);
    }
    model[`${one.namespace}/${one.name}`] = endpoints.sort();
  }
  return model;
}

function stateOf(registry: Registry): Record<string, string[]> {
  const state: Record<string, string[]> = {};
  for (const { namespace: ns, name } of registry.services()) {
    const endpoints = registry.slices(ns, name).flatMap((slice) => slice.endpoints);
    state[`${ns}/${name}`] = endpoints.map(({ podName, addresses, ready }) => `${podName} ${addresses[0]} ${ready}`).sort();
  }
  return state;
}

describe("the cluster of manifests, any history", () => {
  it("is what its objects say", () => {
    fc.assert(
      fc.property(steps, (history) => {
        const registry = createRegistry();
        const cluster = createManifestCluster({
          serviceCidr: ["10.0.0.0/16"],
          podCidr: ["10.244.0.0/16"],
          pods: "keep",
          onFinding() {},
          onNote() {},
        });
        const files = new Map<string, readonly Manifest[]>();
        for (const { at, objects } of history) {
          // One object of a name per file and line, as in a file that was read.
          const after = objects.map((object, index) => ({ ...object, at: { file: at, line: index + 1, column: 1 } }));
          cluster.replace(files.get(at) ?? [], after);
          files.set(at, after);
          settle(cluster, registry);
          const all = [...files.values()].flat();
          expect(stateOf(registry)).to.deep.equal(modelOf(all));
          const namespaces = new Set(["default", ...all.map((object) => object.namespace)]);
          expect(new Set([...registry.namespaces()].map(({ name }) => name))).to.deep.equal(namespaces);
        }
      }),
      { numRuns: 150 },
    );
  });
});
