// What plugins in front of a zone leave to the table, and the foreign answers that are kept in it.

import { expect } from "chai";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import { createCompiler } from "../../src/answers/compile.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { emptyReply, Flags, MAX_MESSAGE_BYTES, type Wire } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { readQuestion } from "../../src/dns/question.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { formatRecord, parseRecordSets, rcodeName, typeOf } from "../../src/dns/text.ts";
import { readAnswer } from "../../src/dns/wire.ts";
import type { Instance, Touches } from "../../src/plugin.ts";
import { query as packet } from "../helpers/dns-client.ts";
import { exchangeOf } from "../helpers/exchange.ts";
import { query } from "../helpers/fake-host.ts";

const ZONE = `example.org. 300 IN SOA ns.example.org. host.example.org. 1 7200 1800 86400 300
web.example.org. 300 IN A 192.0.2.1
db.sub.example.org. 300 IN A 192.0.2.2`;

const handle: NonNullable<Instance["handle"]> = (asked, next) => next(asked);
const zone = createZone({ apex: parseName("example.org"), records: parseRecordSets(ZONE) });

async function tableOf(...more: readonly (readonly [name: string, instance: Instance])[]): Promise<{
  readonly table: TableWriter;
  readonly compiler: ReturnType<typeof createCompiler>;
  ask(question: string, more?: { readonly flags?: number; readonly dnssecOk?: boolean; readonly atMs?: number }): string;
}> {
  const table = new TableWriter();
  const instances = [...more, ["zones", { handle, transparent: true, zones: [zone] }] as const].map(([name, instance]) => ({
    name,
    instance,
  }));
  const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances }], (error) => expect.fail(String(error)));
  compiler.start();
  await compiler.idle();
  return {
    table,
    compiler,
    ask(question, { flags = Flags.RD, dnssecOk = false, atMs = 5_000 } = {}) {
      const [name = "", type = "A"] = question.split(" ");
      const io = exchangeOf(packet({ name, type: typeOf(type) ?? 0, flags, ...(dnssecOk && { edns: { dnssecOk } }) }));
      io.receivedAtMs = atMs;
      readQuestion(io);
      const hit = createHit();
      if (table.reader.answer(io, hit) !== Outcomes.HIT) return "chain";
      const { answer = [], authority = [] } = decodeMessage(io.out.slice(0, hit.length)) ?? {};
      return [rcodeName(hit.rcode), ...[...answer, ...authority].map((record) => formatRecord(record, record.rdata))].join(" ");
    },
  };
}

const touching = (transparent: Touches): readonly ["touching", Instance] => ["touching", { handle, transparent }];
const name = parseName;
const SOA = "example.org. 300 IN SOA ns.example.org. host.example.org. 1 7200 1800 86400 300";
const WEB = "NOERROR web.example.org. 300 IN A 192.0.2.1";

describe("answer table: what plugins touch is the chain's", () => {
  const rows: readonly { readonly rule: string; readonly touches: Touches; readonly gives: Readonly<Record<string, string>> }[] = [
    {
      rule: "a name, whether it exists or not, and none beside it",
      touches: { names: [name("web.example.org"), name("new.example.org")] },
      gives: {
        "web.example.org": "chain",
        "web.example.org TXT": "chain",
        "new.example.org": "chain",
        "other.example.org": `NXDOMAIN ${SOA}`,
        "db.sub.example.org": "NOERROR db.sub.example.org. 300 IN A 192.0.2.2",
      },
    },
    {
      rule: "all names below one",
      touches: { below: [name("sub.example.org")] },
      gives: { "sub.example.org": "chain", "db.sub.example.org": "chain", "x.y.sub.example.org": "chain", "web.example.org": WEB },
    },
    {
      rule: "a type, at names that exist and at names that don't",
      touches: { types: [RRTypes.HINFO, RRTypes.AAAA] },
      gives: {
        "web.example.org HINFO": "chain",
        "web.example.org AAAA": "chain",
        "nosuch.example.org AAAA": "chain",
        "nosuch.example.org": `NXDOMAIN ${SOA}`,
        "web.example.org": WEB,
        "web.example.org TXT": `NOERROR ${SOA}`,
      },
    },
    {
      rule: "names that a plugin recognizes, of those that exist",
      touches: { matches: (one) => one === name("web.example.org"), missingBelow: (encloser) => encloser === name("example.org") },
      gives: {
        "web.example.org": "chain",
        "web.example.org TXT": "chain",
        "nosuch.example.org": "chain",
        "x.sub.example.org": `NXDOMAIN ${SOA}`,
      },
    },
    {
      rule: "missing names below some names",
      touches: { missingBelow: (encloser) => encloser === name("sub.example.org") },
      gives: {
        "x.sub.example.org": "chain",
        "y.x.sub.example.org": "chain",
        "x.db.sub.example.org": `NXDOMAIN ${SOA}`,
        "x.example.org": `NXDOMAIN ${SOA}`,
      },
    },
  ];
  for (const { rule, touches, gives } of rows) {
    it(rule, async () => {
      const { ask } = await tableOf(touching(touches));
      expect(Object.fromEntries(Object.keys(gives).map((question) => [question, ask(question)]))).to.deep.equal(gives);
    });
  }

  it("types with answers of their own too", async () => {
    const { ask } = await tableOf(touching({ types: [RRTypes.A] }));
    expect([ask("web.example.org"), ask("web.example.org TXT")]).to.deep.equal(["chain", `NOERROR ${SOA}`]);
  });

  it("an opaque plugin, and a choice by who asks, leave nothing to it", async () => {
    for (const instance of [{ handle }, { filter: () => true }]) {
      const { ask } = await tableOf(["opaque", instance]);
      expect([ask("web.example.org"), ask("nosuch.example.org")]).to.deep.equal(["chain", "chain"]);
    }
  });
});

describe("answer table: TTLs within bounds", () => {
  it("those of answers and of denials", async () => {
    const ttlBounds: Instance["ttlBounds"] = () => ({ success: { min: 5, max: 30 }, denial: { min: 5, max: 10 } });
    const { ask } = await tableOf(["cache", { handle, transparent: true, ttlBounds }]);
    expect([ask("web.example.org"), ask("web.example.org TXT"), ask("nosuch.example.org")]).to.deep.equal([
      WEB.replace("300", "30"),
      `NOERROR ${SOA.replace("300", "10")}`,
      `NXDOMAIN ${SOA.replace("300", "10")}`,
    ]);
  });
});

describe("answer table: foreign answers", () => {
  const cache: Instance = { handle, transparent: true, remember: () => {} };
  const times = { storedAtMs: 5_000, deadlineMs: 35_000 };

  function foreign(records: string, question: string): Wire {
    const [owner = "", type = "A"] = question.split(" ");
    const reply = { ...emptyReply(records === "" ? 3 : 0, ""), answer: parseRecordSets(records) };
    const out = new Uint8Array(MAX_MESSAGE_BYTES);
    const length = encodeReply(out, query(owner, { type: typeOf(type) ?? 0 }), reply, { maxBytes: MAX_MESSAGE_BYTES, udpSize: 1232 });
    return readAnswer(out.slice(0, length), "forward") ?? expect.fail("not sound");
  }

  it("are told until their deadline, to askers without DO, CD and AD, and count as hits of their own", async () => {
    const { ask, compiler } = await tableOf(["cache", cache]);
    const memory = compiler.memories.get(cache) ?? expect.fail("no memory");
    memory.keep(name("www.example.net"), RRTypes.A, foreign("www.example.net. 30 IN A 192.0.2.9", "www.example.net"), times);
    memory.keep(name("gone.example.net"), RRTypes.A, foreign("", "gone.example.net"), times);
    expect(ask("www.example.net", { atMs: 15_000 })).to.equal("NOERROR www.example.net. 20 IN A 192.0.2.9");
    expect(ask("gone.example.net")).to.equal("NXDOMAIN");
    expect([ask("www.example.net AAAA"), ask("www.example.net", { atMs: 35_000 }), ask("x.www.example.net")]).to.deep.equal([
      "chain",
      "chain",
      "chain",
    ]);
    expect(ask("www.example.net", { flags: Flags.RD | Flags.CD })).to.equal("chain");
    expect(ask("www.example.net", { flags: Flags.RD | Flags.AD })).to.equal("chain");
    expect(ask("www.example.net", { dnssecOk: true })).to.equal("chain");
    expect(compiler.owners).to.deep.equal(["zones", "cache/success", "cache/denial"]);
  });

  it("are forgotten one by one, and leave no trace", async () => {
    const { ask, compiler, table } = await tableOf(["cache", cache]);
    const memory = compiler.memories.get(cache) ?? expect.fail("no memory");
    const before = table.size;
    memory.keep(name("www.example.net"), RRTypes.A, foreign("www.example.net. 30 IN A 192.0.2.9", "www.example.net"), times);
    memory.keep(name("www.example.net"), RRTypes.TXT, foreign('www.example.net. 30 IN TXT "x"', "www.example.net TXT"), times);
    memory.forget(name("www.example.net"), RRTypes.A);
    expect([ask("www.example.net"), ask("www.example.net TXT")]).to.deep.equal(["chain", 'NOERROR www.example.net. 30 IN TXT "x"']);
    memory.forget(name("www.example.net"), RRTypes.TXT);
    memory.forget(name("web.example.org"), RRTypes.A); // compiled, not remembered
    expect([ask("www.example.net TXT"), ask("web.example.org"), table.size]).to.deep.equal(["chain", WEB, before]);
  });

  it("of names and types that a plugin touches are not kept", async () => {
    const { ask, compiler } = await tableOf(touching({ below: [name("example.net")], types: [RRTypes.TXT] }), ["cache", cache]);
    const memory = compiler.memories.get(cache) ?? expect.fail("no memory");
    memory.keep(name("www.example.net"), RRTypes.A, foreign("www.example.net. 30 IN A 192.0.2.9", "www.example.net"), times);
    memory.keep(name("www.example.com"), RRTypes.TXT, foreign('www.example.com. 30 IN TXT "x"', "www.example.com TXT"), times);
    expect([ask("www.example.net"), ask("www.example.com TXT")]).to.deep.equal(["chain", "chain"]);
  });

  it("are not kept behind an opaque plugin, nor by a plugin that an opaque one separates from cache", async () => {
    const autopath: Instance = { handle, transparent: true, remember: () => {} };
    const opaque: Instance = { handle };
    for (const order of [
      [
        ["acl", opaque],
        ["cache", cache],
      ],
      [
        ["autopath", autopath],
        ["acl", opaque],
        ["cache", cache],
      ],
      [["autopath", autopath]],
    ] as const) {
      const { compiler } = await tableOf(...order);
      expect(compiler.memories.size).to.equal(0);
    }
    const { compiler } = await tableOf(["autopath", autopath], ["cache", cache]);
    expect([...compiler.memories.keys()]).to.deep.equal([autopath, cache]);
  });

  it("are turned by round robin like our own", async () => {
    const rotates = { handle, transparent: true, rotates: new Set([RRTypes.A]) } as const;
    const { ask, compiler } = await tableOf(["loadbalance", rotates], ["cache", cache]);
    const records = "www.example.net. 30 IN A 192.0.2.8\nwww.example.net. 30 IN A 192.0.2.9";
    compiler.memories.get(cache)?.keep(name("www.example.net"), RRTypes.A, foreign(records, "www.example.net"), times);
    expect(new Set([ask("www.example.net"), ask("www.example.net")]).size).to.equal(2);
  });
});
