// The compiler: large changes in slices, blocks that share an address, zones that fail.

import { expect } from "chai";
import { createCompiler } from "../../src/answers/compile.ts";
import type { ServedZone } from "../../src/answers/published.ts";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { parseName, type Name } from "../../src/dns/name.ts";
import { readQuestion } from "../../src/dns/question.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import type { NamesListener, Zone } from "../../src/dns/zone.ts";
import { query } from "../helpers/dns-client.ts";
import { exchangeOf } from "../helpers/exchange.ts";

const SOA = "example.org. 30 IN SOA ns.example.org. host.example.org. 1 7200 1800 86400 30\n";

function served(zone: Zone, rest: Partial<ServedZone> = {}): ServedZone {
  const instance = { transparent: true, zones: [zone] } as const;
  return { zone: parseName("."), udpSize: 1232, instances: [{ name: "test", instance }], ...rest };
}

function outcome(table: TableWriter, name: string): string {
  const io = exchangeOf(query({ name }));
  readQuestion(io);
  const hit = createHit();
  return table.reader.answer(io, hit) === Outcomes.HIT ? `hit ${hit.rcode}` : "chain";
}

function edeOf(table: TableWriter, name: string): unknown {
  const io = exchangeOf(query({ name, edns: {} }));
  readQuestion(io);
  const hit = createHit();
  expect(table.reader.answer(io, hit)).to.equal(Outcomes.HIT);
  return decodeMessage(io.out.slice(0, hit.length))?.edns?.ede;
}

// A zone whose names are told to change by the test.
function changing(records: string): { readonly zone: Zone; readonly set: (records: string) => void; readonly tell: NamesListener } {
  let now = createZone({ apex: parseName("example.org"), records: parseRecordSets(SOA + records) });
  const listeners = new Set<NamesListener>();
  return {
    zone: {
      apex: parseName("example.org"),
      complete: true,
      ready: true,
      soa: () => now.soa(),
      node: (name) => now.node(name),
      names: () => now.names(),
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    set: (later) => void (now = createZone({ apex: parseName("example.org"), records: parseRecordSets(SOA + later) })),
    tell: (names) => listeners.forEach((listener) => listener(names)),
  };
}

const record = (n: number, address: string): string => `n${n}.example.org. 30 IN A ${address}\n`;
const names = (count: number): Name[] => Array.from({ length: count }, (_, n) => parseName(`n${n}.example.org`));

describe("compiler", () => {
  it("asks the chain for whatever a large change touches until it has compiled it, and for missing names meanwhile", async () => {
    const table = new TableWriter();
    const { zone, set, tell } = changing(record(0, "192.0.2.1"));
    const compiler = createCompiler(table, [served(zone)], fail);
    compiler.start();
    await compiler.idle();
    expect([outcome(table, "n0.example.org"), outcome(table, "n1.example.org")]).to.deep.equal(["hit 0", "hit 3"]);
    set(Array.from({ length: 5_000 }, (_, n) => record(n, "192.0.2.2")).join(""));
    tell(names(5_000));
    expect([outcome(table, "n0.example.org"), outcome(table, "n1.example.org")]).to.deep.equal(["chain", "chain"]);
    await compiler.idle();
    expect(["n0", "n1", "n4999", "n5000"].map((n) => outcome(table, `${n}.example.org`))).to.deep.equal([
      "hit 0",
      "hit 0",
      "hit 0",
      "hit 3",
    ]);
    compiler.stop();
  });

  it("takes the names of a zone that becomes ready one by one, and denies none before the last", async () => {
    const table = new TableWriter();
    const { zone: whole, tell } = changing(Array.from({ length: 5_000 }, (_, n) => record(n, "192.0.2.2")).join(""));
    let [ready, taken] = [false, 0];
    const zone: Zone = {
      ...whole,
      get ready() {
        return ready;
      },
      *names() {
        for (const name of whole.names()) {
          taken++;
          yield name;
        }
      },
    };
    const compiler = createCompiler(table, [served(zone)], fail);
    compiler.start();
    tell(names(3));
    await compiler.idle();
    expect([outcome(table, "n0.example.org"), outcome(table, "x.example.org")]).to.deep.equal(["chain", "chain"]);
    ready = true;
    tell(zone.names());
    expect([taken, outcome(table, "n0.example.org"), outcome(table, "x.example.org")]).to.deep.equal([0, "chain", "chain"]);
    await compiler.idle();
    expect(["n0", "n4999", "x"].map((n) => outcome(table, `${n}.example.org`))).to.deep.equal(["hit 0", "hit 0", "hit 3"]);
    compiler.stop();
  });

  it("denies no name of a zone that is not ready in the name of another zone above it", async () => {
    const table = new TableWriter();
    const { zone: inner, tell } = changing(record(0, "192.0.2.1"));
    const unready: Zone = { ...inner, ready: false };
    const outer = createZone({
      apex: parseName("org"),
      records: parseRecordSets("org. 30 IN SOA ns.org. host.org. 1 7200 1800 86400 30\n"),
    });
    const instances = [unready, outer].map((zone, n) => ({ name: `zone-${n}`, instance: { transparent: true, zones: [zone] } as const }));
    const compiler = createCompiler(table, [served(unready, { instances })], fail);
    compiler.start();
    tell(names(1));
    await compiler.idle();
    expect(["n0.example.org", "x.example.org", "example.org", "x.org"].map((name) => outcome(table, name))).to.deep.equal([
      "chain",
      "chain",
      "chain",
      "hit 3",
    ]);
    compiler.stop();
  });

  it("says that a zone is old from the moment when it tells so, without compiling a name", async () => {
    const table = new TableWriter();
    const { zone: whole, tell } = changing(record(0, "192.0.2.1"));
    let [staleness, asked]: [string | undefined, number] = [undefined, 0];
    const zone: Zone = {
      ...whole,
      get staleness() {
        return staleness;
      },
      node(name) {
        asked++;
        return whole.node(name);
      },
    };
    const compiler = createCompiler(table, [served(zone)], fail);
    compiler.start();
    await compiler.idle();
    const before = asked;
    const edes = (): unknown[] => ["n0", "x"].map((n) => edeOf(table, `${n}.example.org`));
    expect(edes()).to.deep.equal([undefined, undefined]);
    staleness = "it is old";
    tell([]);
    expect(edes()).to.deep.equal([
      { code: 3, text: "it is old" },
      { code: 3, text: "it is old" },
    ]);
    staleness = undefined;
    tell([]);
    expect(edes()).to.deep.equal([undefined, undefined]);
    expect(asked).to.equal(before);
    compiler.stop();
  });

  it("applies a small change at once", async () => {
    const table = new TableWriter();
    const { zone, set, tell } = changing("");
    const compiler = createCompiler(table, [served(zone)], fail);
    compiler.start();
    await compiler.idle();
    set(record(0, "192.0.2.1"));
    tell(names(1));
    expect(outcome(table, "n0.example.org")).to.equal("hit 0");
    set("");
    tell(names(1));
    expect(outcome(table, "n0.example.org")).to.equal("hit 3");
    compiler.stop();
  });

  it("leaves the names of another block's zone to the chain", async () => {
    const table = new TableWriter();
    const { zone } = changing(record(0, "192.0.2.1") + "a.sub.example.org. 30 IN A 192.0.2.3\n");
    const compiler = createCompiler(table, [served(zone), { zone: parseName("sub.example.org"), udpSize: 1232, instances: [] }], fail);
    compiler.start();
    await compiler.idle();
    expect(["n0", "a.sub", "b.sub", "sub", "c"].map((n) => outcome(table, `${n}.example.org`))).to.deep.equal([
      "hit 0",
      "chain",
      "chain",
      "chain",
      "hit 3",
    ]);
    compiler.stop();
  });

  it("serves nothing of what stands below an opaque plugin", async () => {
    const table = new TableWriter();
    const { zone } = changing(record(0, "192.0.2.1"));
    const opaque = { name: "acl", instance: { handle: () => fail("never asked") } };
    const compiler = createCompiler(table, [served(zone, { instances: [opaque, ...served(zone).instances] })], fail);
    compiler.start();
    await compiler.idle();
    expect(outcome(table, "n0.example.org")).to.equal("chain");
    compiler.stop();
  });

  it("leaves names to the chain that a zone throws at, tells it, and goes on", async () => {
    const table = new TableWriter();
    const { zone } = changing(record(0, "192.0.2.1") + record(1, "192.0.2.1"));
    const told: string[] = [];
    const broken: Zone = {
      ...zone,
      node(name) {
        if (name === parseName("n0.example.org")) throw new Error("broken node");
        return zone.node(name);
      },
      *names() {
        yield* zone.names();
        throw new Error("broken walk");
      },
    };
    const compiler = createCompiler(table, [served(broken)], (error) => told.push((error as Error).message));
    compiler.start();
    await compiler.idle();
    expect(["n0", "n1", "n2"].map((n) => outcome(table, `${n}.example.org`))).to.deep.equal(["chain", "hit 0", "chain"]);
    expect(told).to.deep.equal(["broken node", "broken walk"]);
    compiler.stop();
  });
});

function fail(error: unknown): never {
  throw error instanceof Error ? error : new Error(String(error));
}
