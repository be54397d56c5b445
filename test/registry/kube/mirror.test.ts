// Lists and events turned into changes: which write wins, what a list deletes, and that a batch never tears a Service apart.

import { expect } from "chai";
import fc from "fast-check";
import { batchesOf, createMirror, type Mirror } from "../../../src/registry/kube/mirror.ts";
import { projectService, projectSlice, type Project } from "../../../src/registry/kube/projection.ts";
import type { Change, RegistryObject } from "../../../src/registry/objects.ts";
import { createRegistry, type Registry } from "../../../src/registry/registry.ts";
import { rawService, rawSlice } from "./stub-client.ts";

interface Tried {
  readonly mirror: Mirror;
  readonly registry: Registry;
  readonly skipped: string[];
  /** Applies what waits; tells it as text. */
  apply(): string[];
  /** A whole list, applied. */
  list(...items: readonly unknown[]): string[];
}

function tryOut(project: Project = projectService): Tried {
  const registry = createRegistry();
  const skipped: string[] = [];
  const mirror = createMirror({ project, onSkip: (what) => skipped.push(what) });
  const apply = (): string[] => {
    const changes = mirror.take();
    registry.apply(...changes);
    return changes.map(({ verb, object }) => `${verb} ${object.name}`);
  };
  return {
    mirror,
    registry,
    skipped,
    apply,
    list(...items) {
      mirror.startList();
      for (const item of items) mirror.list(item);
      mirror.finishList();
      return apply();
    },
  };
}

const addressOf = (registry: Registry, name: string): string | undefined => registry.service("default", name)?.clusterIPs[0];

describe("registry/kube: lists", () => {
  it("the first is given away object by object; a later one when it is whole", () => {
    const { mirror, apply } = tryOut();
    mirror.startList();
    mirror.list(rawService("a", 1));
    expect(apply()).to.deep.equal(["upsert a"]);
    mirror.finishList();
    mirror.startList();
    mirror.list(rawService("b", 2));
    expect(apply()).to.deep.equal([]);
    mirror.finishList();
    expect(apply()).to.deep.equal(["upsert b", "delete a"]);
  });

  it("what has not changed is not told again, whether by its version or by what is kept of it", () => {
    const { list } = tryOut();
    list(rawService("a", 1), rawService("b", 2));
    expect(list(rawService("a", 1), rawService("b", 3))).to.deep.equal([]);
  });

  it("an unchanged version is not even projected: a relist of a large cluster makes no garbage", () => {
    let projected = 0;
    const { list } = tryOut((raw) => {
      projected++;
      return projectService(raw);
    });
    list(rawService("a", 1), rawService("b", 2));
    list(rawService("a", 1), rawService("b", 2));
    expect(projected).to.equal(2);
  });

  it("what a list lacks was deleted, though no event has said so (coredns#3879, C104, C105)", () => {
    const { list, registry } = tryOut();
    list(rawService("gone", 1), rawService("stays", 2));
    expect(list(rawService("stays", 2))).to.deep.equal(["delete gone"]);
    expect(registry.service("default", "gone")).to.equal(undefined);
  });

  it("a list that is not finished changes nothing (C103)", () => {
    const { mirror, list, apply } = tryOut();
    list(rawService("a", 1), rawService("b", 2));
    mirror.startList();
    mirror.list(rawService("a", 9, "10.0.0.9"));
    expect(apply()).to.deep.equal([]);
    expect(list(rawService("a", 1), rawService("b", 2))).to.deep.equal([]);
  });

  it("versions that have gone back are those of a restored store: the list is right (C108)", () => {
    const { list, mirror, registry, apply } = tryOut();
    list(rawService("a", 900, "10.0.0.9"));
    list(rawService("a", 5, "10.0.0.1"));
    expect(addressOf(registry, "a")).to.equal("10.0.0.1");
    mirror.put(rawService("a", 6, "10.0.0.2"));
    apply();
    expect(addressOf(registry, "a")).to.equal("10.0.0.2");
  });

  it("what the registry held before is compared: from a snapshot nothing changes but what did", () => {
    const { mirror, list, registry } = tryOut();
    const held = [rawService("same", 1), rawService("moved", 2), rawService("gone", 3)].map(projectService);
    registry.apply(...held.map((object): Change => ({ verb: "upsert", object })));
    for (const object of held) mirror.adopt(object);
    expect(list(rawService("same", 1), rawService("moved", 2, "10.0.0.7"))).to.deep.equal(["upsert moved", "delete gone"]);
  });

  it("an object that is wrong is left out, and the others are fine; its last good state stays (C110)", () => {
    const { list, skipped, registry } = tryOut();
    list(rawService("a", 1), { ...rawService("new", 2), spec: null }, { spec: {} }, null, rawService("b", 3));
    expect(skipped).to.deep.equal([
      "default/new: spec: Required value",
      "an object without a name: metadata: Required value",
      "an object without a name: Invalid value: null: must be an object",
    ]);
    expect(list({ ...rawService("a", 7), spec: null }, rawService("b", 3))).to.deep.equal([]);
    expect(addressOf(registry, "a")).to.equal("10.0.0.1");
  });
});

describe("registry/kube: events", () => {
  it("the last write by version wins: duplicates, old ones and unknown deletes are no harm (C108)", () => {
    const { mirror, apply, list, registry } = tryOut();
    list(rawService("a", 5));
    expect(mirror.put(rawService("a", 5, "10.0.0.2")), "a duplicate").to.equal(false);
    expect(mirror.put(rawService("a", 4, "10.0.0.2")), "an old one").to.equal(false);
    expect(mirror.drop(rawService("unknown", 6)), "a delete of nothing").to.equal(false);
    expect(mirror.put(rawService("b", 7)), "MODIFIED before ADDED").to.equal(true);
    expect(mirror.put(rawService("b", 6, "10.0.0.9")), "its late ADDED").to.equal(false);
    expect(apply()).to.deep.equal(["upsert b"]);
    expect(addressOf(registry, "b")).to.equal("10.0.0.1");
  });

  it("a Service made again under its name stays when the old one's DELETED comes late (C109)", () => {
    const { mirror, apply, list, registry } = tryOut();
    list(rawService("a", 5));
    mirror.put(rawService("a", 9, "10.0.0.2"));
    expect(mirror.drop(rawService("a", 8))).to.equal(false);
    apply();
    expect(addressOf(registry, "a")).to.equal("10.0.0.2");
  });

  it("what was deleted does not come back by a late event", () => {
    const { mirror, apply, list } = tryOut();
    list(rawService("a", 5));
    mirror.drop(rawService("a", 9));
    expect(mirror.put(rawService("a", 8, "10.0.0.2"))).to.equal(false);
    expect(apply()).to.deep.equal(["delete a"]);
  });

  it("an event that changes nothing of what is kept is none", () => {
    const { mirror, list, apply } = tryOut();
    list(rawService("a", 5));
    expect(mirror.put({ ...rawService("a", 6), status: { conditions: [] } })).to.equal(false);
    expect(apply()).to.deep.equal([]);
  });

  it("a slice that loses its Service is gone", () => {
    const { mirror, list, apply } = tryOut(projectSlice);
    list(rawSlice("a-1", 5, ["10.1.0.1"]));
    expect(
      mirror.put({ ...rawSlice("a-1", 6, ["10.1.0.1"]), metadata: { name: "a-1", namespace: "default", resourceVersion: "6" } }),
    ).to.equal(true);
    expect(apply()).to.deep.equal(["delete a-1"]);
  });

  it("events that are wrong change nothing, and none of it throws (C110)", () => {
    const { mirror, list, apply, skipped } = tryOut();
    list(rawService("a", 5));
    for (const raw of [undefined, null, "x", [], {}, { metadata: { name: "a", namespace: "default", resourceVersion: "9" } }]) {
      expect(mirror.put(raw)).to.equal(false);
    }
    expect(mirror.drop({ metadata: {} })).to.equal(false);
    expect(apply()).to.deep.equal([]);
    expect(skipped).to.have.lengthOf(7);
  });

  it("any order and repetition of events ends in the last write of each object (C108)", () => {
    const history = fc.array(fc.record({ name: fc.constantFrom("a", "b", "c"), deleted: fc.boolean() }), { maxLength: 12 });
    const property = fc.property(history, fc.infiniteStream(fc.nat()), (writes, shuffle) => {
      const events = writes.map(({ name, deleted }, index) => ({ deleted, raw: rawService(name, index + 1, `10.0.0.${index + 1}`) }));
      const order = [...events, ...events].map((each) => ({ each, at: shuffle.next().value as number })).sort((x, y) => x.at - y.at);
      const { mirror, apply, registry } = tryOut();
      for (const { each } of order) {
        if (each.deleted) mirror.drop(each.raw);
        else mirror.put(each.raw);
        apply();
      }
      for (const name of ["a", "b", "c"]) {
        const last = events.findLast(({ raw }) => raw.metadata["name"] === name);
        const expected = last === undefined || last.deleted ? undefined : projectService(last.raw).clusterIPs[0];
        expect(addressOf(registry, name), name).to.equal(expected);
      }
    });
    fc.assert(property);
  });
});

describe("registry/kube: batches", () => {
  const upsert = (object: RegistryObject): Change => ({ verb: "upsert", object });
  const slice = (service: string, n: number): Change => upsert(projectSlice(rawSlice(`${service}-${n}`, 1, [], service)) as RegistryObject);

  it("few changes stay together, in their order", () => {
    const changes = [slice("b", 1), slice("a", 1), slice("b", 2)];
    expect([...batchesOf(changes)]).to.deep.equal([changes]);
    expect([...batchesOf([])]).to.deep.equal([]);
  });

  it("of many, all slices of a Service are in one, in their order: a moved endpoint is never missing (C112)", () => {
    const size = fc.integer({ min: 1, max: 90 });
    const property = fc.property(fc.array(size, { minLength: 1, maxLength: 12 }), (sizes) => {
      const changes = Array.from({ length: Math.max(...sizes) }, (_, n) =>
        sizes.flatMap((count, at) => (n < count ? [slice(`svc-${at}`, n)] : [])),
      ).flat();
      const batches = [...batchesOf(changes)];
      expect(batches.flat()).to.have.members(changes);
      for (const [at, count] of sizes.entries()) {
        const ours = batches.map((batch) =>
          batch.filter(({ object }) => object.kind === "EndpointSlice" && object.service === `svc-${at}`),
        );
        const holding = ours.filter((each) => each.length > 0);
        expect(holding).to.have.lengthOf(1);
        expect(holding[0]?.map(({ object }) => object.name)).to.deep.equal(Array.from({ length: count }, (_, n) => `svc-${at}-${n}`));
      }
    });
    fc.assert(property);
  });
});
