// Contract: the answer table says what the plugin chain says of hosts files and zone files, too, byte for byte, also behind
// changes of them. Random files, random changes, random questions.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import { createCompiler } from "../../src/answers/compile.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { DROP, emptyReply, MAX_MESSAGE_BYTES, replyLimit, type Records } from "../../src/dns/message.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { parseName } from "../../src/dns/name.ts";
import { readQuestion, Verdicts } from "../../src/dns/question.ts";
import { readZoneFile } from "../../src/dns/zone-file.ts";
import type { Zone } from "../../src/dns/zone.ts";
import hosts, { setUpHosts } from "../../src/plugins/hosts/hosts.ts";
import type { HostsOptions } from "../../src/plugins/hosts/options.ts";
import { silentLog } from "../../src/log.ts";
import { createServer, type Server } from "../../src/server.ts";
import { zoneHandler } from "../../src/zones/zone-handler.ts";
import { replaceableZone } from "../../src/zones/replaceable-zone.ts";
import { query } from "../helpers/dns-client.ts";
import { fakeClock } from "../helpers/fake-clock.ts";
import { AT, fakeHost, readDirective } from "../helpers/fake-host.ts";
import { exchangeOf, queryOf } from "../helpers/exchange.ts";

const APEX = parseName("example.org");
const label = fc.constantFrom("a", "b", "c", "*", "ns", "w");
const owner = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
const target = fc.oneof(
  owner.filter((name) => !name.includes("*")),
  fc.constantFrom("a.example.net.", "dns-version.cluster.local.", "x.sub"),
);

const record = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(owner, fc.constantFrom("A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", 'TXT "x"')) },
  {
    weight: 3,
    arbitrary: fc.tuple(
      owner,
      fc.tuple(fc.constantFrom("MX 10", "SRV 0 0 80", "PTR"), target).map((parts) => parts.join(" ")),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      owner,
      target.map((name) => `NS ${name}`),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      owner,
      target.map((name) => `DNAME ${name}`),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      owner,
      target.map((name) => `CNAME ${name}`),
    ),
  },
);

// An owner has one alias or other records, and one DNAME.
const zoneText = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.array(record, { maxLength: 14 })).map(([serial, rows]) => {
  const isSingle = (data: string): boolean => /^[CD]NAME/.test(data);
  const others = new Set(rows.filter(([, data]) => !isSingle(data)).map(([name]) => name));
  const singles = new Map(rows.filter(([name, data]) => isSingle(data) && !others.has(name)));
  const lines = [...rows.filter(([, data]) => !isSingle(data)), ...singles].map(([name, data]) => `${name} 60 ${data}\n`);
  return `@ 60 SOA ns hostmaster ${serial} 2 3 4 30\n@ 60 NS ns\n${lines.join("")}`;
});

const hostName = fc.oneof(
  owner.map((name) => `${name}.example.net`),
  owner.map((name) => `${name}.example.org`),
  fc.constantFrom("a.svc.cluster.local", "*.default.svc.cluster.local", "dns-version.cluster.local", "a"),
);
const hostsText = fc
  .array(fc.tuple(fc.constantFrom("192.0.2.1", "192.0.2.2", "2001:db8::1"), hostName), { maxLength: 10 })
  .map((rows) => rows.map((row) => `${row.join(" ")}\n`).join(""));

const fewNames = fc.constantFrom("a.example.net", "*.example.net", "b.a.example.net", "*.a.example.net", "a.b.example.net", "example.net");
const fewHosts = fc
  .array(fc.tuple(fc.constantFrom("192.0.2.1", "192.0.2.2"), fewNames), { maxLength: 5 })
  .map((rows) => rows.map((row) => `${row.join(" ")}\n`).join(""));
const ofFewHosts = fc.record({
  name: fc.oneof({ weight: 3, arbitrary: fewNames }, fc.constantFrom("1.2.0.192.in-addr.arpa", "2.2.0.192.in-addr.arpa", "c.example.net")),
  type: fc.constantFrom("A", "A", "PTR", "AAAA"),
  udpSize: fc.constantFrom(undefined, 1232),
  transport: fc.constantFrom("udp", "tcp"),
});

const question = fc.record({
  name: fc.oneof(
    fc.tuple(owner, fc.constantFrom("", "x.", "*.")).map(([name, below]) => `${below}${name}.example.org`),
    hostName,
    fc.constantFrom("example.org", "x.sub.example.org", "sub.example.org", "example.net", "cluster.local", "svc.cluster.local", "."),
    fc.constantFrom("1.2.0.192.in-addr.arpa", "9.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa", "x.default.svc.cluster.local"),
  ),
  type: fc.constantFrom("A", "AAAA", "TXT", "MX", "SRV", "NS", "PTR", "CNAME", "DNAME", "SOA", "DS", "ANY"),
  udpSize: fc.constantFrom(undefined, 512, 1232),
  transport: fc.constantFrom("udp", "tcp"),
});
const questions = fc.array(question, { minLength: 30, maxLength: 60 });

const COREFILES = {
  "all falls through hosts, nothing through files": `. {
    hosts hosts {
      fallthrough
    }
    kubernetes cluster.local
    file zone example.org
    file sub sub.example.org
  }`,
  "some falls through each": `. {
    hosts hosts example.org example.net cluster.local {
      192.0.2.9 b.example.org
      fallthrough example.org svc.cluster.local
      fallthrough_unsupported
      ttl 60
    }
    kubernetes cluster.local
    file zone example.org {
      fallthrough a.example.org
    }
    whoami
  }`,
  "nothing falls through hosts": `. {
    hosts hosts example.net svc.cluster.local
    kubernetes cluster.local
    file zone example.org {
      fallthrough
    }
  }`,
};

describe("table ≡ chain, for files", () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), "ndots-files-table-"))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const [title, corefile] of Object.entries(COREFILES)) {
    it(title, async function () {
      this.timeout(60_000);
      await fc.assert(
        fc.asyncProperty(zoneText, zoneText, hostsText, questions, async (zone, sub, listed, asking) => {
          writeFileSync(join(folder, "zone"), zone);
          writeFileSync(join(folder, "sub"), sub);
          writeFileSync(join(folder, "hosts"), listed);
          const [on, off] = await Promise.all([start(corefile, "on"), start(corefile, "off")]);
          try {
            await on.settled();
            for (const { name, type, udpSize, transport } of asking) {
              const packet = query({ name, type: type as "A", edns: udpSize === undefined ? undefined : { udpSize } });
              const [table, chain] = await Promise.all([on, off].map((server) => answerOf(server, packet, transport as "udp")));
              expect(table, `${name} ${type} ${transport} ${udpSize}\n${zone}\n${listed}`).to.equal(chain);
            }
          } finally {
            await Promise.all([on.stop("now"), off.stop("now")]);
          }
        }),
        { numRuns: 25 },
      );
    });
  }

  function start(corefile: string, table: "on" | "off"): Promise<Server> {
    return createServer({
      corefile,
      file: join(folder, "Corefile"),
      port: 0,
      address: "127.0.0.1",
      embedded: true,
      strict: true,
      env: {},
      log: silentLog,
      table,
    });
  }

  // The serial of the cluster's SOA is the second in which the server began: 0 in both.
  async function answerOf(server: Server, packet: Uint8Array, transport: "udp" | "tcp"): Promise<string> {
    const serial = Math.floor(server.registry.changedAtMs / 1000)
      .toString(16)
      .padStart(8, "0");
    return Buffer.from((await server.ask(packet, transport)) ?? [])
      .toString("hex")
      .replaceAll(serial, "00000000");
  }

  it("behind changes of hosts", async function () {
    this.timeout(60_000);
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fewHosts, { minLength: 2, maxLength: 5 }),
        fc.constantFrom("", "fallthrough", "fallthrough example.net"),
        fc.array(ofFewHosts, { minLength: 20, maxLength: 30 }),
        async (texts, fallthrough, asked) => {
          const path = join(folder, "changing");
          writeFileSync(path, texts[0] ?? "");
          const [options] = readDirective(hosts, `hosts ${path} example.net svc.cluster.local {\n${fallthrough}\n}`).options;
          const host = fakeHost("hosts");
          const clock = fakeClock(Date.now() + 60_000);
          const instance = await setUpHosts(options as HostsOptions, host, AT, clock);
          await instance.start?.();
          const table = new TableWriter();
          const instances = [{ name: "hosts", instance }];
          const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances }], (error) =>
            expect.fail(String(error)),
          );
          compiler.start();
          for (const [index, text] of texts.entries()) {
            host.lines.length = 0;
            writeFileSync(`${path}.new`, `${text}# ${index}\n`);
            renameSync(`${path}.new`, path); // nobody reads half of it
            for (let tries = 0; tries < 500 && host.lines.length === 0; tries++) {
              await clock.advance(5_000);
              await stat(path); // behind the look at the file, in the same thread pool
            }
            expect(host.lines).to.have.length(1);
            await clock.settle();
            await compiler.idle();
            for (const { name, type, udpSize, transport } of asked) {
              const given = { name, type: type as "A", ...(udpSize !== undefined && { edns: { udpSize } }) };
              const io = exchangeOf(query(given), transport as "udp");
              if (readQuestion(io) !== Verdicts.OK || table.reader.answer(io, hit) !== Outcomes.HIT) continue;
              hits++;
              const asks = queryOf(given, { transport: transport as "udp" });
              const reply = await instance.handle?.(asks, () => emptyReply(5, "next"));
              if (reply === undefined || reply === DROP) throw new Error("no reply");
              const maxBytes = replyLimit(transport as "udp", udpSize ?? 0, 1232);
              const length = encodeReply(chainOut, asks, reply, { maxBytes, udpSize: 1232 });
              const sent = Buffer.from(io.out.subarray(0, hit.length)).toString("hex");
              expect(sent, `${name} ${type}\n${texts.join("\n")}`).to.equal(Buffer.from(chainOut.subarray(0, length)).toString("hex"));
            }
          }
          compiler.stop();
          await instance.stop?.();
        },
      ),
      { numRuns: 40 },
    );
    expect(hits).to.be.above(100);
  });

  it("behind a wildcard that has said the same of a name, and is gone", async () => {
    for (const [listed, wildcard] of [
      ["a A 192.0.2.1", "* A 192.0.2.1"],
      ["*.a A 192.0.2.1", "a.* A 192.0.2.1"],
    ]) {
      const zone = replaceableZone({ apex: APEX, fallthrough: [] });
      const table = new TableWriter();
      const instances = [{ name: "file", instance: { zones: [zone], transparent: true as const } }];
      const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances }], (error) => expect.fail(String(error)));
      compiler.start();
      for (const row of [listed, wildcard, ""]) {
        const text = `$TTL 60\n@ SOA ns hostmaster 1 2 3 4 30\n@ NS ns\n${row}\n`;
        await zone.replace(createZone({ apex: APEX, records: readZoneFile({ file: "zone", text, apex: APEX }).records }));
        await compiler.idle();
      }
      const io = exchangeOf(query({ name: "a.example.org", type: "A" }), "udp");
      readQuestion(io);
      expect(table.reader.answer(io, hit), listed).to.equal(Outcomes.ASK_CHAIN);
      compiler.stop();
    }
  });

  it("behind changes, and while a zone is withdrawn", async function () {
    this.timeout(60_000);
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.option(zoneText), { minLength: 2, maxLength: 5 }),
        fc.constantFrom([], [APEX], [parseName("a.example.org")]),
        questions,
        async (texts, fallthrough, asked) => {
          const zone = replaceableZone({ apex: APEX, fallthrough });
          const zones: readonly Zone[] = [zone];
          const ask = (): Records => ({ ...emptyReply(2, "chain") });
          const handle = zoneHandler({ name: "file", zones, fallsThrough: () => fallthrough.length > 0, ask });
          const table = new TableWriter();
          const instances = [{ name: "file", instance: { zones, handle, transparent: true as const } }];
          const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances }], (error) =>
            expect.fail(String(error)),
          );
          compiler.start();
          for (const text of texts) {
            if (text === null) await zone.withdraw();
            else await zone.replace(createZone({ apex: APEX, records: readZoneFile({ file: "zone", text, apex: APEX }).records }));
            await compiler.idle();
            for (const { name, type, udpSize, transport } of asked) {
              const options = { name, type: type as "A", ...(udpSize !== undefined && { edns: { udpSize } }) };
              const io = exchangeOf(query(options), transport as "udp");
              if (readQuestion(io) !== Verdicts.OK || table.reader.answer(io, hit) !== Outcomes.HIT) continue;
              hits++;
              const asks = queryOf(options, { transport: transport as "udp" });
              const reply = await handle(asks, () => emptyReply(5, "next"));
              if (reply === DROP) throw new Error("no reply");
              const maxBytes = replyLimit(transport as "udp", udpSize ?? 0, 1232);
              const length = encodeReply(chainOut, asks, reply, { maxBytes, udpSize: 1232 });
              const sent = Buffer.from(io.out.subarray(0, hit.length)).toString("hex");
              expect(sent, `${name} ${type}\n${texts.join("\n")}`).to.equal(Buffer.from(chainOut.subarray(0, length)).toString("hex"));
            }
          }
          compiler.stop();
        },
      ),
      { numRuns: 100 },
    );
    expect(hits).to.be.above(500);
  });
});

const hit = createHit();
const chainOut = new Uint8Array(MAX_MESSAGE_BYTES);
