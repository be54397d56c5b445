// The table's memory: what is put is found, what is removed is not, under any order of both.

import { expect } from "chai";
import fc from "fast-check";
import { createEncoder } from "../../src/answers/encode.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { emptyReply, Rcodes } from "../../src/dns/message.ts";
import { parseRecordSets, rcodeName, typeName } from "../../src/dns/text.ts";
import { exchangeOf } from "../helpers/exchange.ts";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import type { CompiledAnswer, CompiledName, Kept } from "../../src/answers/compiled.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { Exchange, readQuestion, Verdicts } from "../../src/dns/question.ts";
import { parseName } from "../../src/dns/name.ts";
import { query } from "../helpers/dns-client.ts";

const TYPE_A = 1;
const encoder = createEncoder();

function compiled(body: Uint8Array, rotateCount = 0): CompiledName {
  return {
    zone: 0,
    block: 0,
    askChain: false,
    openBelow: false,
    partial: false,
    reasonBelow: "",
    reason: "",
    answers: [
      {
        type: TYPE_A,
        answerCount: Math.max(1, rotateCount),
        authorityCount: 0,
        additionalCount: 0,
        body,
        rotateAt: 0,
        rotateCount,
        rotateSize: rotateCount === 0 ? 0 : body.length / rotateCount,
      },
    ],
  };
}

function newTable(): TableWriter {
  const table = new TableWriter();
  table.setZone(0, {
    apex: parseName("example.org"),
    soa: undefined,
    soaPointers: [],
    soaLabels: [],
    complete: true,
    namesNearest: false,
    staleness: "",
    udpSize: 1232,
  });
  return table;
}

// The body that the table gives for a name, or undefined if it asks the chain.
function bodyOf(table: TableWriter, name: string): Uint8Array | undefined {
  const io = new Exchange(4096);
  io.in = query({ name, type: "A" });
  io.inEnd = io.in.length;
  expect(readQuestion(io)).to.equal(Verdicts.OK);
  const hit = createHit();
  if (table.reader.answer(io, hit) !== Outcomes.HIT) return undefined;
  return io.out.slice(io.questionEnd, hit.length);
}

describe("answer table", () => {
  it("holds what was put last and not what was removed, whatever the order (property)", () => {
    const step = fc.record({
      verb: fc.constantFrom("put", "put", "remove"),
      name: fc.integer({ min: 0, max: 40 }).map((n) => `n${n}.example.org`),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = newTable();
        const model = new Map<string, Uint8Array>();
        for (const { verb, name, bytes } of steps) {
          if (verb === "put") {
            table.put(parseName(name), compiled(bytes));
            model.set(name, bytes);
          } else {
            table.remove(parseName(name));
            model.delete(name);
          }
        }
        expect(table.size).to.equal(model.size);
        for (let n = 0; n <= 40; n++) {
          const name = `n${n}.example.org`;
          expect(bodyOf(table, name), name).to.deep.equal(model.get(name));
        }
      }),
      { numRuns: 50 },
    );
  });

  it("finds every one of 20,000 names after growing", () => {
    const table = newTable();
    for (let n = 0; n < 20_000; n++) table.put(parseName(`n${n}.example.org`), compiled(Buffer.from(`body ${n}`)));
    expect(table.size).to.equal(20_000);
    for (let n = 0; n < 20_000; n += 7) expect(Buffer.from(bodyOf(table, `n${n}.example.org`) ?? []).toString()).to.equal(`body ${n}`);
  });

  it("reuses the memory of entries that were replaced", () => {
    const table = newTable();
    for (let round = 0; round < 200_000; round++) table.put(parseName(`n${round % 100}.example.org`), compiled(new Uint8Array(100)));
    expect(table.bytes).to.be.below(5 * 1024 * 1024);
  });

  it("an entry that grows and shrinks leaves little unused memory behind", () => {
    const table = newTable();
    for (let size = 1; size <= 100; size++) {
      for (let n = 0; n < 500; n++) table.put(parseName(`n${n}.example.org`), compiled(new Uint8Array(16 * size)));
    }
    expect(table.bytes).to.be.below(17 * 1024 * 1024); // 0.9 MiB live; 42 MiB if every size were kept apart
  });

  it("rotates records of one length, each round from the next one", () => {
    const table = newTable();
    table.put(parseName("web.example.org"), compiled(Uint8Array.of(1, 1, 2, 2, 3, 3), 3));
    const rounds = Array.from({ length: 6 }, () => [...(bodyOf(table, "web.example.org") ?? [])].join(""));
    expect(new Set(rounds)).to.deep.equal(new Set(["112233", "223311", "331122"]));
    expect(rounds.slice(0, 3)).to.deep.equal(rounds.slice(3));
  });

  it("leaves a name of more types than an entry can hold to the chain", () => {
    const table = newTable();
    const [answer] = compiled(new Uint8Array(16_000)).answers;
    if (answer === undefined) throw new Error("no answer");
    const answers = Array.from({ length: 300 }, (_, type) => ({ ...answer, type: type + 1 }));
    table.put(parseName("web.example.org"), { ...compiled(answer.body), answers });
    expect(bodyOf(table, "web.example.org")).to.equal(undefined);
    table.put(parseName("web.example.org"), { ...compiled(answer.body), answers: answers.slice(0, 64) });
    expect(bodyOf(table, "web.example.org")).to.not.equal(undefined);
  });

  it("asks the chain about names that nothing encloses", () => {
    expect(bodyOf(newTable(), "web.example.org")).to.equal(undefined);
  });
});

describe("answer table: a zone that may be old", () => {
  const STALE = { code: 3, text: "it is old" };
  const APEX = parseName("example.org");
  const soa = parseRecordSets("example.org. 30 IN SOA ns.example.org. host.example.org. 1 7200 1800 86400 30")[0];

  function table(staleness: string): TableWriter {
    const writer = newTable();
    if (soa === undefined) throw new Error("no SOA");
    const zone = { apex: APEX, ...encoder.soa(APEX, soa), complete: true, namesNearest: false, udpSize: 1232 };
    writer.setZone(0, { ...zone, staleness });
    writer.put(APEX, { ...compiled(new Uint8Array(0)), answers: [], reasonBelow: "no such name" });
    writer.put(parseName("web.example.org"), { ...compiled(new Uint8Array(0)), answers: [encoded("web.example.org. 30 A 192.0.2.1")] });
    return writer;
  }

  function edeOf(writer: TableWriter, name: string): unknown {
    const io = exchangeOf(query({ name, edns: {} }));
    readQuestion(io);
    io.receivedAtMs = 1_000_000;
    const hit = createHit();
    expect(writer.reader.answer(io, hit)).to.equal(Outcomes.HIT);
    return decodeMessage(io.out.slice(0, hit.length))?.edns?.ede;
  }

  it("tells it with every answer to a client that understands it, in the place of other reasons", () => {
    expect(edeOf(table(""), "web.example.org")).to.equal(undefined);
    expect(edeOf(table(""), "nosuch.example.org")).to.deep.equal({ code: 0, text: "no such name" });
    expect(edeOf(table("it is old"), "web.example.org")).to.deep.equal(STALE);
    expect(edeOf(table("it is old"), "nosuch.example.org")).to.deep.equal(STALE);
    expect(edeOf(table("no such name"), "nosuch.example.org"), "the same text has another code").to.deep.equal({
      code: 3,
      text: "no such name",
    });
    expect(decodedWithoutEdns(table("it is old"), "web.example.org")).to.equal(undefined);
  });

  it("keeps the size of UDP answers", () => {
    const writer = table("it is old");
    const io = exchangeOf(query({ name: "web.example.org", edns: {} }));
    readQuestion(io);
    const hit = createHit();
    writer.reader.answer(io, hit);
    expect(decodeMessage(io.out.slice(0, hit.length))?.edns?.udpSize).to.equal(1232);
  });

  it("is not said of what was remembered of others", () => {
    const writer = table("it is old");
    const kept = { zone: 0, storedAt: 1000, deadline: 1030, rcode: Rcodes.NOERROR, authoritative: false, recursionAvailable: true };
    const answer = { ...encoded("www.example.net. 30 A 192.0.2.1"), kept };
    writer.remember(parseName("www.example.net"), answer, { zone: 0, block: 0 });
    expect(edeOf(writer, "www.example.net")).to.equal(undefined);
  });

  it("255 reasons are told; no further one is, nor another in its place", () => {
    const writer = newTable();
    for (let n = 0; n < 300; n++) writer.put(parseName(`n${n}.example.org`), { ...compiled(new Uint8Array(0)), reason: `reason ${n}` });
    const zone = { apex: APEX, soa: undefined, soaPointers: [], soaLabels: [], complete: true, namesNearest: false, udpSize: 1232 };
    writer.setZone(0, { ...zone, staleness: "too many" });
    expect(bodyOf(writer, "n0.example.org")).to.deep.equal(new Uint8Array(0));
    expect(edeOf(writer, "n0.example.org")).to.equal(undefined);
  });

  function encoded(records: string): CompiledAnswer {
    const answer = parseRecordSets(records);
    const [first] = answer;
    const given = first && encoder.answer(first.owner, first.type, { ...emptyReply(Rcodes.NOERROR, ""), answer }, new Set());
    if (given === undefined) throw new Error("not encoded");
    return given;
  }

  function decodedWithoutEdns(writer: TableWriter, name: string): unknown {
    const io = exchangeOf(query({ name }));
    readQuestion(io);
    const hit = createHit();
    expect(writer.reader.answer(io, hit)).to.equal(Outcomes.HIT);
    return decodeMessage(io.out.slice(0, hit.length))?.edns;
  }
});

describe("answer table: remembered answers", () => {
  const NAME = parseName("www.example.net");

  function remembered(records: string, kept: Partial<Kept> = {}): CompiledAnswer {
    const answer = parseRecordSets(records);
    const [first] = answer;
    if (first === undefined) throw new Error("no record");
    const encoded = encoder.answer(NAME, first.type, { ...emptyReply(Rcodes.NOERROR, ""), answer }, new Set());
    if (encoded === undefined) throw new Error("not encoded");
    const told = {
      zone: 0,
      storedAt: 1000,
      deadline: 1030,
      rcode: Rcodes.NOERROR,
      authoritative: false,
      recursionAvailable: true,
      ...kept,
    };
    return { ...encoded, kept: told };
  }

  // Header flags and records with their TTLs at a second of the clock.
  function askedAt(table: TableWriter, seconds: number, type: "A" | "AAAA" | "TXT" = "A"): string {
    const io = exchangeOf(query({ name: "WWW.example.net", type, edns: {} }));
    readQuestion(io);
    io.receivedAtMs = seconds * 1000 + 500;
    const hit = createHit();
    if (table.reader.answer(io, hit) !== Outcomes.HIT) return "chain";
    const message = decodeMessage(io.out.slice(0, hit.length));
    const records = (message?.answer ?? []).map(({ type: rrtype, ttl }) => `${typeName(rrtype)} ${ttl}`);
    return [hit.replyFlags.toString(16), rcodeName(hit.rcode), ...records].join(" ");
  }

  it("are told until their deadline, TTLs counted down, without AA and with RA", () => {
    const table = newTable();
    table.remember(NAME, remembered("www.example.net. 30 A 192.0.2.1\nwww.example.net. 30 A 192.0.2.2"), { zone: 0, block: 0 });
    expect([1000, 1007, 1029, 1030, 9999].map((at) => askedAt(table, at))).to.deep.equal([
      "8180 NOERROR A 30 A 30",
      "8180 NOERROR A 23 A 23",
      "8180 NOERROR A 1 A 1",
      "chain",
      "chain",
    ]);
    expect(askedAt(table, 1000, "AAAA")).to.equal("chain");
    expect(bodyOf(table, "x.www.example.net")).to.equal(undefined); // nothing is known of names below
  });

  it("keep their rcode and AA, and no TTL gets below 0", () => {
    const table = newTable();
    const kept = { rcode: Rcodes.NXDOMAIN, authoritative: true, recursionAvailable: false, deadline: 2000 };
    table.remember(NAME, remembered("www.example.net. 30 CNAME gone.example.net.", kept), { zone: 0, block: 0 });
    const io = exchangeOf(query({ name: "www.example.net", type: "CNAME" }));
    readQuestion(io);
    io.receivedAtMs = 1_500_000;
    const hit = createHit();
    expect(table.reader.answer(io, hit)).to.equal(Outcomes.HIT);
    expect([hit.rcode, hit.replyFlags.toString(16)]).to.deep.equal([Rcodes.NXDOMAIN, "8503"]);
    expect(decodeMessage(io.out.slice(0, hit.length))?.answer[0]?.ttl).to.equal(0);
  });

  it("stand beside other types' answers, give way to compiled ones, and go when they are over and another comes", () => {
    const table = newTable();
    table.remember(NAME, remembered("www.example.net. 30 A 192.0.2.1"), { zone: 0, block: 0 });
    table.remember(NAME, remembered("www.example.net. 60 AAAA 2001:db8::1", { storedAt: 1010, deadline: 1070 }), { zone: 0, block: 0 });
    expect([askedAt(table, 1010), askedAt(table, 1010, "AAAA")]).to.deep.equal(["8180 NOERROR A 20", "8180 NOERROR AAAA 60"]);
    table.remember(NAME, remembered("www.example.net. 9 A 192.0.2.1", { storedAt: 1020, deadline: 1029 }), { zone: 0, block: 0 });
    expect([askedAt(table, 1020), askedAt(table, 1020, "AAAA")]).to.deep.equal(["8180 NOERROR A 9", "8180 NOERROR AAAA 50"]);
    table.remember(NAME, remembered('www.example.net. 30 TXT "x"', { storedAt: 1029, deadline: 1059 }), { zone: 0, block: 0 });
    expect([askedAt(table, 1021), askedAt(table, 1029, "TXT")]).to.deep.equal(["chain", "8180 NOERROR TXT 30"]);
    table.put(NAME, { ...compiled(new Uint8Array(0)), partial: true, answers: [] });
    expect(askedAt(table, 1030, "AAAA")).to.equal("chain");
  });
});
