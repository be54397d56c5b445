// Snapshots of a registry: what is written is read back, as of one moment although changes go on; what is not surely ours
// and fresh is not used, and the log says why.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { keepSnapshot, loadSnapshot } from "../../../src/registry/kube/snapshot.ts";
import type { Change, RegistryObject } from "../../../src/registry/objects.ts";
import { createRegistry, type WritableRegistry } from "../../../src/registry/registry.ts";
import { namespace, pod, service, slice } from "../../../src/testing.ts";
import { fakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { fakeLog } from "../../helpers/fake-host.ts";
import { until } from "../../helpers/listening.ts";

const SECOND = 1000;
const HOUR = 3_600_000;
const IDENTITY = "https://192.0.2.1:443";

const OBJECTS: readonly RegistryObject[] = [
  namespace("default", { team: "ä" }),
  service({ name: "web", clusterIPs: ["10.0.0.80", "fd00::80"], ports: [{ name: "http", port: 80 }], labels: { app: "web" } }),
  service({ name: "ext", type: "ExternalName", externalName: "www.example.org" }),
  service({ name: "db", headless: true }),
  slice({
    service: "db",
    endpoints: [
      { addresses: ["10.244.0.5"], ready: true, hostname: "db-0", zone: "a" },
      { addresses: ["10.244.0.6"], ready: false, podName: "db-1" },
    ],
    ports: [{ name: "sql", port: 5432 }, { name: "any" }],
  }),
  slice({ service: "not-there-yet", endpoints: [] }),
  pod({ name: "db-0", addresses: ["10.244.0.5"] }),
];

describe("snapshot of a registry", () => {
  let folder: string;
  let file: string;
  let clock: FakeClock;
  let lines: string[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ndots-snapshot-"));
    file = join(folder, "registry.snapshot");
    clock = fakeClock();
    lines = [];
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("gives back every object, and no more, with the rights of one user", async () => {
    const registry = registryOf(OBJECTS);
    await saveOf(registry);
    expect((await stat(file)).mode & 0o777).to.equal(0o600);
    expect(await readdir(folder)).to.deep.equal(["registry.snapshot"]);
    await clock.advance(90 * SECOND);
    expect(dump(await load())).to.deep.equal(dump(registry.objects()));
    expect(lines).to.deep.equal([`[INFO] snapshot ${file}: ${OBJECTS.length} objects as of 90 s ago`]);
  });

  it("a large one is read and written in small batches", async () => {
    const services = Array.from({ length: 3000 }, (_, n) => service({ name: `s-${n}`, clusterIPs: [`10.0.${n >> 8}.${n & 255}`] }));
    await saveOf(registryOf(services));
    const batches: number[] = [];
    const registry = createRegistry();
    expect(
      await loadSnapshot({
        ...options(),
        apply: (changes) => {
          batches.push(changes.length);
          registry.apply(...changes);
        },
      }),
    ).to.equal(true);
    expect(dump(registry.objects())).to.deep.equal(dump(services));
    expect(Math.max(...batches)).to.be.below(400);
  });

  it("what changes while it is written is in it, as it was at the end", async () => {
    const services = Array.from({ length: 2000 }, (_, n) => service({ name: `s-${n}`, clusterIPs: [`10.0.${n >> 8}.${n & 255}`] }));
    const registry = registryOf(services);
    // The objects are asked for one by one: the registry changes behind and before the place where the writer is.
    const objects = registry.objects.bind(registry);
    let met = 0;
    const changing: WritableRegistry = {
      ...registry,
      synced: true,
      freshness: "current",
      *objects() {
        for (const object of objects()) {
          yield object;
          if (++met % 100 !== 0) continue;
          registry.apply({ verb: "delete", object: service({ name: `s-${met - 50}` }) });
          registry.apply({ verb: "upsert", object: service({ name: `s-${met - 20}`, clusterIPs: ["10.9.9.9"] }) });
          registry.apply({ verb: "upsert", object: service({ name: `new-${met}` }) });
        }
      },
    };
    await saveOf(changing);
    expect(dump(await load())).to.deep.equal(dump(registry.objects()));
  });

  it("is written at most once a minute, when something changed, or when it grows old", async () => {
    const registry = registryOf(OBJECTS);
    const saves: number[] = [];
    const stop = keep(registry);
    const step = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second += 5) {
        await clock.advance(5 * SECOND);
        await until(() => clock.waiting.length > 0, "the writer waits");
        const savedAt = JSON.parse((await readFile(file, "utf8").catch(() => "{}")).split("\n")[0] as string).savedAtMs as number;
        if (savedAt !== undefined && saves.at(-1) !== savedAt) saves.push(savedAt);
      }
    };
    await step(30);
    expect(saves).to.have.length(1);
    registry.apply({ verb: "upsert", object: service({ name: "a" }) });
    await step(20);
    expect(saves, "not a minute has passed").to.have.length(1);
    registry.apply({ verb: "upsert", object: service({ name: "b" }) });
    await step(20);
    expect(saves).to.have.length(2);
    await step(10 * 60);
    expect(saves, "nothing changed").to.have.length(2);
    await step(6 * 60);
    expect(saves, "a quarter of its greatest age has passed").to.have.length(3);
    await stop();
  });

  it("is not written of a registry that has not synced, is a snapshot itself, or stale", async () => {
    const registry = createRegistry({ sources: ["api"] });
    registry.apply(...OBJECTS.map((object): Change => ({ verb: "upsert", object })));
    const stop = keep(registry);
    const isWritten = async (): Promise<boolean> => {
      await clock.advance(2 * 60 * SECOND);
      await until(() => clock.waiting.length > 0, "the writer waits");
      return (await readdir(folder)).length > 0;
    };
    expect(await isWritten()).to.equal(false);
    registry.setFreshness("snapshot");
    registry.markSynced("api");
    expect(await isWritten()).to.equal(false);
    registry.setFreshness("stale");
    expect(await isWritten()).to.equal(false);
    registry.setFreshness("current");
    expect(await isWritten()).to.equal(true);
    await stop();
  });

  it("C116: a file that can't be written is told once, and tried again each minute", async () => {
    file = join(folder, "none", "registry.snapshot");
    const stop = keep(registryOf(OBJECTS));
    for (let minute = 0; minute < 3; minute++) await clock.advance(60 * SECOND);
    await until(() => lines.length > 0, "the warning");
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(/^\[WARNING\] snapshot .*none\/registry.snapshot can't be written: ENOENT/);
    await mkdir(join(folder, "none"));
    await clock.advance(60 * SECOND);
    await until(() => existsSync(file), "the snapshot");
    await stop();
  });

  it("leaves nothing beside a folder that stands in its place", async () => {
    await mkdir(file);
    const stop = keep(registryOf(OBJECTS));
    await until(() => lines.length > 0, "the warning");
    await stop();
    expect(await readdir(folder)).to.deep.equal(["registry.snapshot"]);
  });

  it("what a run left half-written is replaced, with its rights, and never read", async () => {
    await writeFile(`${file}.tmp`, "half", { mode: 0o644 });
    await chmod(`${file}.tmp`, 0o644);
    expect(await loadedFrom()).to.equal(false);
    await saveOf(registryOf(OBJECTS));
    expect((await stat(file)).mode & 0o777).to.equal(0o600);
    expect(await readdir(folder)).to.deep.equal(["registry.snapshot"]);
  });

  it("a link in the place of what is written beside is not followed", async () => {
    await writeFile(join(folder, "precious"), "precious");
    await symlink(join(folder, "precious"), `${file}.tmp`);
    await saveOf(registryOf(OBJECTS));
    expect(await readFile(join(folder, "precious"), "utf8")).to.equal("precious");
    expect((await stat(file)).size).to.be.above(100);
  });

  it("no file: nothing to say", async () => {
    expect(await loadedFrom()).to.equal(false);
    expect(lines).to.deep.equal([]);
  });

  it("the snapshot of another cluster is not used", async () => {
    await saveOf(registryOf(OBJECTS));
    const refused = await loadSnapshot({ ...options(), identity: "https://192.0.2.2:443", apply: () => expect.fail() });
    expect(refused).to.equal(false);
    expect(lines).to.deep.equal([
      `[WARNING] snapshot ${file} is not used: it is of another cluster, or of another part of it (https://192.0.2.1:443)`,
    ]);
  });

  it("its identity may be long; messages are not", async () => {
    const identity = `https://192.0.2.1:443 ${"/api/v1/namespaces/a/services?labelSelector=app ".repeat(200)}`;
    const registry = registryOf(OBJECTS);
    const stop = new AbortController();
    const kept = keepSnapshot({ ...options(), identity, registry }, stop.signal);
    await until(() => existsSync(file), "the snapshot");
    stop.abort();
    await kept;
    expect(await loadSnapshot({ ...options(), identity, apply: () => {} })).to.equal(true);
    expect(await loadedFrom()).to.equal(false);
    expect(lines.at(-1)).to.have.length.below(250);
  });

  it("an old one is not used, nor one from the future; an hour of clock skew is no reason", async () => {
    await saveOf(registryOf(OBJECTS));
    clock.shiftNow(-HOUR + SECOND);
    expect(await loadedFrom()).to.equal(true);
    clock.shiftNow(-2 * SECOND);
    expect(await loadedFrom()).to.equal(false);
    clock.shiftNow(2 * HOUR);
    expect(await loadedFrom()).to.equal(true);
    clock.shiftNow(2 * SECOND);
    expect(await loadedFrom()).to.equal(false);
    expect(lines.filter((line) => line.includes("WARNING"))).to.deep.equal([
      `[WARNING] snapshot ${file} is not used: its time stamp is 60 min ahead of this machine's clock`,
      `[WARNING] snapshot ${file} is not used: it is 60 min old, more than 60 min`,
    ]);
  });

  const damages: readonly { readonly what: string; readonly damage: (content: Buffer) => Buffer | string; readonly why: string }[] = [
    { what: "empty", damage: () => "", why: "it is no snapshot" },
    { what: "something else", damage: () => "apiVersion: v1\nkind: List\n", why: "it is no snapshot" },
    { what: "null", damage: () => "null\n", why: "it is no snapshot" },
    { what: "a long line", damage: () => "x".repeat(100_000), why: "it is no snapshot" },
    { what: "a head alone", damage: (content) => content.subarray(0, content.indexOf(10) + 1), why: "it is cut short" },
    { what: "cut short", damage: (content) => content.subarray(0, content.length / 2), why: "it is cut short" },
    { what: "one byte short", damage: (content) => content.subarray(0, -1), why: "it is cut short" },
    { what: "a line too many", damage: (content) => Buffer.concat([content, Buffer.from("{}\n")]), why: "it is cut short" },
    { what: "one bit changed", damage: flipped, why: "it is cut short" },
    {
      what: "of a later version",
      damage: (content) => content.toString().replace('"snapshot":1', '"snapshot":2'),
      why: "its format is version 2",
    },
    {
      what: "signed nonsense",
      damage: (content) => signed(`${content.toString().split("\n")[0]}\n{"verb":"drop"}\n`),
      why: "a line is no change",
    },
  ];
  for (const { what, damage, why } of damages) {
    it(`a file that is broken is not used: ${what}`, async () => {
      await saveOf(registryOf(OBJECTS));
      await writeFile(file, damage(await readFile(file)));
      expect(await loadedFrom()).to.equal(false);
      expect(lines).to.have.length(1);
      expect(lines[0]).to.match(/^\[WARNING\] snapshot .* is not used: /);
      expect(lines[0]).to.include(why);
    });
  }

  it("a folder is not used", async () => {
    await mkdir(file);
    expect(await loadedFrom()).to.equal(false);
    expect(lines[0]).to.include("it is not a file");
  });

  function options() {
    return { file, maxAgeMs: HOUR, identity: IDENTITY, clock, log: fakeLog(lines) };
  }

  function keep(registry: WritableRegistry): () => Promise<void> {
    const stop = new AbortController();
    const kept = keepSnapshot({ ...options(), registry }, stop.signal);
    return () => {
      stop.abort();
      return kept;
    };
  }

  async function saveOf(registry: WritableRegistry): Promise<void> {
    const stop = keep(registry);
    await until(() => existsSync(file), "the snapshot");
    await stop();
  }

  async function load(): Promise<Iterable<RegistryObject>> {
    const registry = createRegistry();
    expect(await loadSnapshot({ ...options(), apply: (changes) => registry.apply(...changes) })).to.equal(true);
    return registry.objects();
  }

  function loadedFrom(): Promise<boolean> {
    return loadSnapshot({ ...options(), apply: () => {} });
  }
});

function registryOf(objects: readonly RegistryObject[]): WritableRegistry {
  const registry = createRegistry();
  registry.apply(...objects.map((object): Change => ({ verb: "upsert", object })));
  return registry;
}

function dump(objects: Iterable<RegistryObject>): RegistryObject[] {
  const keyOf = (object: RegistryObject): string => `${object.kind} ${"namespace" in object ? object.namespace : ""} ${object.name}`;
  return [...objects].toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

function flipped(content: Buffer): Buffer {
  const changed = Buffer.from(content);
  const at = changed.indexOf("10.0.0.80") + 8;
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

function signed(text: string): string {
  return `${text}${createHash("sha256").update(text).digest("hex")}\n`;
}
