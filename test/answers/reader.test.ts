// Readers in threads of their own: what they may hold stays, what is new reaches them, and what they cut is what the
// chain's encoder would cut.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { receiveMessageOnPort } from "node:worker_threads";
import { expect } from "chai";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import { createCompiler } from "../../src/answers/compile.ts";
import { openTable, type TableReader } from "../../src/answers/reader.ts";
import type { CompiledName } from "../../src/answers/compiled.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { lookup, replyFrom } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { replyLimit, type Records } from "../../src/dns/message.ts";
import { parseName, type Name } from "../../src/dns/name.ts";
import { readQuestion } from "../../src/dns/question.ts";
import { RRTypes, type RRType } from "../../src/dns/records.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import type { Zone } from "../../src/dns/zone.ts";
import { query } from "../helpers/dns-client.ts";
import { exchangeOf, queryOf } from "../helpers/exchange.ts";
import { needs } from "../helpers/needs.ts";
import { root } from "../helpers/source-tree.ts";

const MIB = 1024 * 1024;
const run = promisify(execFile);

function compiled(body: string): CompiledName {
  const answer = { type: RRTypes.A, answerCount: 1, authorityCount: 0, additionalCount: 0, rotateAt: 0, rotateCount: 0, rotateSize: 0 };
  return {
    zone: 0,
    block: 0,
    askChain: false,
    openBelow: false,
    partial: false,
    reasonBelow: "",
    reason: "",
    answers: [{ ...answer, body: Buffer.from(body) }],
  };
}

const nameOf = (n: number): Name => parseName(`n${n}.example.org`);

function bodyAt(reader: TableReader, name: string): string {
  const io = exchangeOf(query({ name }));
  readQuestion(io);
  const hit = createHit();
  if (reader.answer(io, hit) !== Outcomes.HIT) return "chain";
  return Buffer.from(io.out.subarray(io.questionEnd - io.inAt, hit.length)).toString();
}

// Replaces 100 names 2,000 times each: 20 MiB.
function churn(table: TableWriter): void {
  for (let round = 0; round < 200_000; round++) table.put(nameOf(round % 100), compiled(`${round}`.padEnd(40)));
}

describe("a thread's reader of the answer table", () => {
  it("holds back the memory of what was replaced from enter() to leave()", () => {
    const table = new TableWriter();
    const reader = openTable(table.attach());
    reader.enter();
    churn(table);
    const held = table.bytes;
    expect(held).to.be.above(12 * MIB);
    reader.leave();
    churn(table);
    expect(table.bytes).to.equal(held);
    reader.enter();
    expect(bodyAt(reader, "n7.example.org").trim()).to.equal("199907");
  });

  it("holds nothing back between batches, and none once it is detached", () => {
    const table = new TableWriter();
    const idle = openTable(table.attach());
    idle.enter();
    idle.leave();
    const shared = table.attach();
    const lost = openTable(shared);
    lost.enter();
    table.detach(shared);
    churn(table);
    expect(table.bytes).to.be.below(5 * MIB);
  });

  it("holds back what was replaced in its batch only, however many batches go by", () => {
    const table = new TableWriter();
    const reader = openTable(table.attach());
    for (let batch = 0; batch < 20; batch++) {
      reader.enter();
      for (let n = 0; n < 10_000; n++) table.put(nameOf(n % 100), compiled("x".repeat(40)));
      reader.leave();
    }
    expect(table.bytes).to.be.below(9 * MIB); // 1 MiB a batch
  });

  it("finds what was published since enter() in the memory it knows, and all else from the next enter() on", () => {
    const table = new TableWriter();
    const reader = openTable(table.attach());
    reader.enter();
    table.put(nameOf(0), compiled("zero"));
    expect(bodyAt(reader, "n0.example.org")).to.equal("zero");
    for (let n = 1; n < 50_000; n++) table.put(nameOf(n), compiled(`body ${n}`)); // chunks and slots are added
    expect(bodyAt(reader, "n0.example.org")).to.equal("zero");
    reader.leave();
    reader.enter();
    for (let n = 1; n < 50_000; n += 97) expect(bodyAt(reader, `n${n}.example.org`)).to.equal(`body ${n}`);
    const late = openTable(table.attach());
    late.enter();
    expect(bodyAt(late, "n49999.example.org")).to.equal("body 49999");
  });

  it("keeps the slots it knew at enter() as they were when they went out of use, until leave()", () => {
    const table = new TableWriter();
    const reader = openTable(table.attach());
    table.put(parseName("steady.example.org"), compiled("old"));
    reader.enter();
    const seen = new Set<string>();
    for (let n = 0; n < 20_000; n++) {
      table.put(nameOf(n), compiled("here today"));
      table.remove(nameOf(n));
      if (n < 1000) continue; // other slots are in use by now
      table.put(parseName("steady.example.org"), compiled(`new ${n}`));
      seen.add(bodyAt(reader, "steady.example.org"));
    }
    expect([...seen]).to.deep.equal(["old"]);
    reader.leave();
    reader.enter();
    expect(bodyAt(reader, "steady.example.org")).to.equal("new 19999");
  });

  it("that never looks is sent a few messages only, however often slots are cleaned up", () => {
    const table = new TableWriter();
    const { updates } = table.attach();
    for (let n = 0; n < 100_000; n++) {
      table.put(nameOf(n), compiled("here today"));
      table.remove(nameOf(n));
    }
    let messages = 0;
    while (receiveMessageOnPort(updates) !== undefined) messages++;
    expect(messages).to.be.below(5);
  });

  it("sees a zone's new SOA at once", () => {
    const table = new TableWriter();
    const zone = {
      apex: parseName("example.org"),
      soaPointers: [],
      soaLabels: [],
      complete: true,
      namesNearest: false,
      staleness: "",
      udpSize: 1232,
    };
    table.setZone(0, { ...zone, soa: Buffer.from("serial 1") });
    table.put(zone.apex, { ...compiled(""), answers: [] });
    const reader = openTable(table.attach());
    reader.enter();
    expect(bodyAt(reader, "missing.example.org")).to.equal("serial 1");
    table.setZone(0, { ...zone, soa: Buffer.from("serial 2, longer") });
    expect(bodyAt(reader, "missing.example.org")).to.equal("serial 2, longer");
  });

  it("has a number that is given again after it is detached; there are 255 of them", () => {
    const table = new TableWriter();
    const attached = Array.from({ length: 255 }, () => table.attach());
    expect(() => table.attach()).to.throw("at most 255 readers");
    for (const shared of attached.slice(7)) table.detach(shared);
    expect(table.attach().reader).to.equal(8);
  });

  it("never sees a wrong byte while names are replaced (10^6 reads in two threads; scripts/stress-table.js does 10^8)", async function () {
    this.timeout(60_000);
    needs(this, existsSync(join(root, "dist/.built")), "not built; scripts/test builds");
    const { stdout } = await run(process.execPath, [join(root, "scripts/stress-table.js"), "1000000"]);
    expect(stdout).to.match(/^10000\d\d reads .* 0 wrong$/m);
  });
});

// A zone with answers that are too long for a client.
const ZONE: Zone = createZone({
  apex: parseName("example.org"),
  records: parseRecordSets(
    [
      "example.org. 30 SOA ns.example.org. host.example.org. 1 7200 1800 86400 30",
      ...Array.from({ length: 60 }, (_, n) => `many.example.org. 30 A 192.0.2.${n}`),
      ...Array.from({ length: 20 }, (_, n) => `many.example.org. 30 AAAA 2001:db8::${n + 1}`),
      ...Array.from({ length: 30 }, (_, n) => `_http._tcp.example.org. 30 SRV 0 3 80 n${n}.example.org.`),
      ...Array.from({ length: 30 }, (_, n) => `n${n}.example.org. 30 A 192.0.2.${n}`),
      ...Array.from({ length: 30 }, (_, n) => `n${n}.example.org. 30 AAAA 2001:db8::${n + 1}`),
      ...Array.from({ length: 9 }, (_, n) => `example.org. 30 MX ${n} n${n}.example.org.`),
      ...Array.from({ length: 700 }, (_, n) => `huge.example.org. 30 SRV 0 3 80 pod-${n}.huge.example.org.`),
      ...Array.from({ length: 700 }, (_, n) => `pod-${n}.huge.example.org. 30 A 10.0.${n >> 8}.${n & 255}`),
      ...Array.from({ length: 9 }, (_, n) => `n3.example.org. 30 TXT "${"text ".repeat(12)} ${n}"`),
    ].join("\n"),
  ),
});

async function tableOf(zone: Zone, rotates: readonly RRType[] = []): Promise<TableReader> {
  const table = new TableWriter();
  const instances = [{ name: "test", instance: { transparent: true as const, zones: [zone], rotates: new Set(rotates) } }];
  const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 4096, instances }], (error) => {
    throw error;
  });
  compiler.start();
  await compiler.idle();
  compiler.stop();
  const shared = table.attach();
  const reader = openTable(shared);
  table.detach(shared);
  return reader;
}

function fromTable(reader: TableReader, packet: Uint8Array): string {
  const io = exchangeOf(packet);
  readQuestion(io);
  const hit = createHit();
  expect(reader.answer(io, hit)).to.equal(Outcomes.HIT);
  return Buffer.from(io.out.subarray(io.outAt, io.outAt + hit.length)).toString("hex");
}

function fromChain(reply: Records, options: Parameters<typeof queryOf>[0]): string {
  const asked = queryOf(options);
  const out = new Uint8Array(4096);
  const maxBytes = replyLimit("udp", asked.edns?.udpSize ?? 0, 4096);
  return Buffer.from(out.subarray(0, encodeReply(out, asked, reply, { maxBytes, udpSize: 4096 }))).toString("hex");
}

function replyTo(name: string, type: number): Records {
  const reply = replyFrom(lookup(ZONE, parseName(name), type), "");
  if (reply === undefined) throw new Error("no reply");
  return reply;
}

describe("answers that don't fit the client's UDP size", () => {
  const questions = [
    ["many.example.org", "A"],
    ["many.example.org", "AAAA"],
    ["_http._tcp.example.org", "SRV"],
    ["example.org", "MX"],
    ["n3.example.org", "TXT"],
    ["huge.example.org", "SRV"], // 44 KiB: the table has the beginning
  ] as const;

  it("are cut where the chain's encoder cuts them, at any size", async () => {
    const reader = await tableOf(ZONE);
    for (const [name, type] of questions) {
      const reply = replyTo(name, RRTypes[type]);
      expect(fromTable(reader, query({ name, type })), `${name} ${type}`).to.equal(fromChain(reply, { name, type }));
      for (let udpSize = 512; udpSize <= 4096; udpSize += 1 + (udpSize >> 9)) {
        const asked = { name, type, edns: { udpSize } };
        expect(fromTable(reader, query(asked)), `${name} ${type} ${udpSize}`).to.equal(fromChain(reply, asked));
      }
    }
  });

  it("are the chain's over TCP where the table has their beginning only", async () => {
    const io = exchangeOf(query({ name: "huge.example.org", type: "SRV" }), "tcp");
    readQuestion(io);
    expect((await tableOf(ZONE)).answer(io, createHit())).to.equal(Outcomes.ASK_CHAIN);
  });

  it("are rotated first: each is the cut of one rotation, and every rotation comes", async () => {
    const reader = await tableOf(ZONE, [RRTypes.A]);
    const reply = replyTo("many.example.org", RRTypes.A);
    const [rrset] = reply.answer;
    if (rrset === undefined) throw new Error("no rrset");
    for (const udpSize of [512, 700, 4096]) {
      const asked = { name: "many.example.org", edns: { udpSize } };
      const rotations = rrset.rdata.map((_, by) => ({ ...rrset, rdata: [...rrset.rdata.slice(by), ...rrset.rdata.slice(0, by)] }));
      const expected = new Set(rotations.map((rotation) => fromChain({ ...reply, answer: [rotation] }, asked)));
      expect(new Set(rotations.map(() => fromTable(reader, query(asked))))).to.deep.equal(expected);
    }
  });
});
