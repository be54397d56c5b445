// Whole zones over TCP: who gets them, in how many messages, and how secondaries hear of changes.

import { createSocket, type Socket } from "node:dgram";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { emptyReply, type Query, type Records } from "../../src/dns/message.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { soaRdata } from "../../src/dns/rdata.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { formatRecord, parseRecordSets, rcodeName } from "../../src/dns/text.ts";
import { readAnswer, recordsOf } from "../../src/dns/wire.ts";
import type { Zone } from "../../src/dns/zone.ts";
import { startServer, type ServerAddress } from "../../src/index.ts";
import type { Instance } from "../../src/plugin.ts";
import transfer, { setUpTransfer } from "../../src/plugins/transfer/transfer.ts";
import { ask } from "../../src/testing.ts";
import { encodeTransfer, framedMessages, isSeveralMessages } from "../../src/transfer-messages.ts";
import { replaceableZone, type ReplaceableZone } from "../../src/zones/replaceable-zone.ts";
import { headerOf, tcpConnection, uint16s, query as packet } from "../helpers/dns-client.ts";
import { fakeClock } from "../helpers/fake-clock.ts";
import { fakeHost, nextGives, query, readDirective, type FakeHost } from "../helpers/fake-host.ts";
import { needsPrograms } from "../helpers/needs.ts";

const APEX = parseName("example.org");
const TEXT = `
  @        SOA ns hostmaster 7 2 3 4 30
  @        NS ns
  ns       A 192.0.2.53
  child    NS ns.child
  ns.child A 192.0.2.54
  x.child  TXT "occluded"`;

function zoneOf(text: string): Zone {
  return createZone({ apex: APEX, records: parseRecordSets(text, { origin: APEX, ttl: 60 }) });
}

interface Fixture {
  readonly instance: Instance;
  readonly host: FakeHost;
  readonly zone: ReplaceableZone;
  readonly clock: ReturnType<typeof fakeClock>;
  transfer(asked?: Partial<Query> & { readonly name?: string }): Records;
}

function fixture(lines: string, zone: Zone | "none" = zoneOf(TEXT)): Fixture {
  const { options, findings } = readDirective(transfer, lines);
  expect(findings).to.deep.equal([]);
  const served = replaceableZone({ apex: APEX, zone: zone === "none" ? undefined : zone, fallthrough: [] });
  const host = fakeHost("transfer", { localZones: () => [served] });
  const clock = fakeClock();
  const instance = setUpTransfer(options[0] ?? [], host, clock);
  return {
    instance,
    host,
    zone: served,
    clock,
    transfer({ name = "example.org", ...asked } = {}) {
      const whole: Query = { ...query(name, { type: RRTypes.AXFR, client: { transport: "tcp" } }), ...asked };
      return instance.handle?.(whole, nextGives(undefined)) as Records;
    },
  };
}

const lines = ({ rcode, answer }: Records): string[] => [
  rcodeName(rcode),
  ...answer.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata))),
];

describe("plugins/transfer: what is answered", () => {
  const SOA = "example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 7 2 3 4 30";

  it("all records between two SOAs, glue and what is occluded included", () => {
    const { transfer: asked, host } = fixture("transfer {\nto *\n}");
    expect(lines(asked())).to.deep.equal([
      "NOERROR",
      SOA,
      "example.org. 60 IN NS ns.example.org.",
      "ns.example.org. 60 IN A 192.0.2.53",
      "child.example.org. 60 IN NS ns.child.example.org.",
      "ns.child.example.org. 60 IN A 192.0.2.54",
      'x.child.example.org. 60 IN TXT "occluded"',
      SOA,
    ]);
    expect(host.lines).to.deep.equal([
      '[INFO] plugin/transfer: Outgoing transfer of 7 records of zone "example.org." to 192.0.2.7 for 7 SOA serial',
    ]);
  });

  const rows: readonly (readonly [rule: string, block: string, rcode: string, name?: string])[] = [
    ["an address that is named", "transfer {\nto 192.0.2.7:5300\n}", "NOERROR"],
    ["an address that is not", "transfer {\nto 192.0.2.8 2001:db8::7\n}", "REFUSED"],
    ["a zone above", "transfer org {\nto *\n}", "NOERROR"],
    ["another zone", "transfer example.net {\nto *\n}", "REFUSED"],
    ["the longest line counts", "transfer example.org {\nto 192.0.2.8\n}\ntransfer {\nto *\n}", "REFUSED"],
    ["the longest line counts, whatever the order", "transfer {\nto 192.0.2.8\n}\ntransfer example.org {\nto *\n}", "NOERROR"],
    ["a name that is no zone's", "transfer {\nto *\n}", "REFUSED", "ns.example.org"],
  ];
  for (const [rule, block, rcode, name] of rows) {
    it(`${rule}: ${block.replaceAll("\n", " ")}`, () => {
      expect(rcodeName(fixture(block).transfer(name === undefined ? {} : { name }).rcode)).to.equal(rcode);
    });
  }

  it("other questions go on", () => {
    const next = emptyReply(0, "next");
    expect(fixture("transfer {\nto *\n}").instance.handle?.(query("example.org"), nextGives(next))).to.equal(next);
  });

  it("IXFR: the SOA alone for who has this serial or a newer one, else the whole zone", () => {
    const { transfer: asked } = fixture("transfer {\nto *\n}");
    const ixfr = (serial: number): number => {
      const rdata = soaRdata({ mname: APEX, rname: APEX, serial, refresh: 0, retry: 0, expire: 0, minimum: 0 });
      const soa = Buffer.concat([uint16s(0xc00c, RRTypes.SOA, 1, 0, 0, rdata.length), rdata]);
      const wire = packet({ type: "IXFR", counts: [1, 0, 1, 0], trailer: soa });
      return asked({ qtype: RRTypes.IXFR, wire }).answer.length;
    };
    expect([ixfr(7), ixfr(8), ixfr(6), ixfr(0xffff_fff0)]).to.deep.equal([1, 1, 7, 7]);
    expect(asked({ qtype: RRTypes.IXFR, wire: packet({ type: "IXFR" }) }).answer).to.have.length(7);
  });

  it("a zone that has not been read, or is too large, is SERVFAIL; so is more than 64 MiB a minute", async () => {
    const { transfer: asked, zone, clock } = fixture("transfer {\nto *\n}", "none");
    expect(asked()).to.include({ rcode: 2, error: "plugin/transfer: the zone has not been read" });
    const text = (count: number): string =>
      `@ SOA ns hostmaster 7 2 3 4 30\n${Array.from({ length: count }, (_, n) => `${n} TXT "${"x".repeat(200)}"\n`).join("")}`;
    await zone.replace(zoneOf(text(50_000)));
    for (let times = 0; times < 5; times++) expect(asked().rcode).to.equal(0);
    expect(asked()).to.include({ rcode: 2, error: "plugin/transfer: too many transfers at once" });
    await clock.advance(61_000);
    expect(asked().rcode).to.equal(0);
    await zone.replace(zoneOf(text(80_000)));
    expect(asked()).to.include({ rcode: 2, error: "plugin/transfer: zone example.org. is too large to transfer" });
  });

  const errors: readonly (readonly [string, string])[] = [
    ["transfer", "Corefile:2:1: transfer: 'to' is required"],
    ["transfer {\nto\n}", "Corefile:3:1: transfer: to: expected ADDRESS..., found nothing"],
    [
      "transfer {\nto example.org\n}",
      'Corefile:3:4: transfer: to: ADDRESS must be * or an IP address, with or without a port, found "example.org"',
    ],
    ["transfer {\nto *\nsource x\n}", 'Corefile:4:8: transfer: source: ADDRESS must be an IP address, found "x"'],
  ];
  for (const [block, message] of errors) {
    it(`${block.replaceAll("\n", " ")} is refused`, () => expect(readDirective(transfer, block).findings).to.deep.equal([message]));
  }
});

describe("plugins/transfer: messages", () => {
  const asked = query("example.org", { type: RRTypes.AXFR, id: 0, client: { transport: "tcp" } });
  const replyOf = (count: number): Records => {
    const rdata = Array.from({ length: count }, (_, n) => Buffer.from([10, n >> 16, n >> 8, n]));
    return { ...emptyReply(0, "transfer"), authoritative: true, answer: [{ owner: APEX, type: 1, ttl: 5, rdata }] };
  };

  it("a short one is one message", async () => {
    const bytes = await encodeTransfer(asked, replyOf(3), 1232);
    expect(isSeveralMessages(bytes)).to.equal(false);
    expect(recordsOf(readAnswer(bytes, "") ?? emptyReply(2, "")).answer[0]?.rdata).to.have.length(3);
  });

  it("a long one is several, each whole, with every record once", async () => {
    const bytes = await encodeTransfer(asked, replyOf(10_000), 1232);
    expect(isSeveralMessages(bytes)).to.equal(true);
    const framed = framedMessages(bytes);
    let records = 0;
    let messages = 0;
    for (let at = 0; at < framed.length; messages++) {
      const length = framed.readUInt16BE(at);
      const message = framed.subarray(at + 2, at + 2 + length);
      expect(message.readUInt16BE(2) & 0x8600).to.equal(0x8400); // QR, AA, no TC
      records += message.readUInt16BE(6);
      at += 2 + length;
    }
    expect(records).to.equal(10_000);
    expect(messages).to.be.greaterThan(1);
  });
});

describe("plugins/transfer: over sockets", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ndots-transfer-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const HOSTS = 3_000;
  const start = (to: string, listeners: "auto" | "portable" = "portable") => {
    writeFileSync(join(folder, "zone"), `@ 60 SOA ns hostmaster 7 2 3 4 30\n$GENERATE 1-${HOSTS} host-$ 60 TXT "${"x".repeat(40)}"\n`);
    const corefile = `. {\nfile zone example.org\ntransfer {\nto ${to}\n}\n}`;
    return startServer({ corefile, file: join(folder, "Corefile"), address: "127.0.0.1", port: 0, listeners });
  };

  async function countRecords(server: ServerAddress): Promise<{ readonly messages: number; readonly records: number }> {
    const connection = await tcpConnection(server);
    try {
      connection.send(packet({ type: "AXFR", id: 77 }));
      let messages = 0;
      let records = 0;
      while (records < HOSTS + 2) {
        const message = await connection.receive(5_000);
        if (message === undefined) break;
        expect(message.readUInt16BE(0)).to.equal(77);
        expect(headerOf(message).rcode).to.equal(0);
        messages++;
        records += message.readUInt16BE(6);
      }
      // The connection goes on.
      connection.send(packet({ name: "host-1.example.org.", type: "TXT", id: 78 }));
      expect((await connection.receive(5_000))?.readUInt16BE(0)).to.equal(78);
      return { messages, records };
    } finally {
      connection.close();
    }
  }

  for (const listeners of ["portable", "auto"] as const) {
    it(`a zone of several messages, and the connection goes on (${listeners})`, async () => {
      await using dns = await start("*", listeners);
      const { messages, records } = await countRecords(dns.address);
      expect(records).to.equal(HOSTS + 2);
      expect(messages).to.be.greaterThan(2);
    });
  }

  it("is REFUSED over UDP, and without the plugin", async () => {
    await using dns = await start("*");
    expect((await ask(dns.address, "example.org", "AXFR")).rcode).to.equal("REFUSED");
    await dns.reload(`. {\nfile ${join(folder, "zone")} example.org\n}`);
    expect((await ask(dns.address, "example.org", "AXFR", { transport: "tcp" })).rcode).to.equal("REFUSED");
  });

  it("dig takes the zone", async function () {
    needsPrograms(this, "dig");
    await using dns = await start("127.0.0.1");
    const { stdout } = await promisify(execFile)(
      "dig",
      ["@127.0.0.1", "-p", String(dns.address.port), "example.org", "AXFR", "+noall", "+answer"],
      {
        maxBuffer: 2 ** 24,
      },
    );
    expect(stdout.trim().split("\n")).to.have.length(HOSTS + 2);
  });

  it("tells secondaries at start and of each change", async () => {
    const secondary: Socket = createSocket("udp4");
    secondary.bind(0, "127.0.0.1");
    await once(secondary, "listening");
    try {
      const { instance, zone } = fixture(`transfer {\nto 127.0.0.1:${secondary.address().port}\nsource 127.0.0.1\n}`);
      const heard = async (): Promise<string> => {
        const [message, from] = (await once(secondary, "message")) as [Buffer, { readonly port: number; readonly address: string }];
        const answer = Buffer.from(message);
        answer.writeUInt16BE(answer.readUInt16BE(2) | 0x8000, 2);
        secondary.send(answer, from.port, from.address);
        return `${message.readUInt16BE(2).toString(16)} ${formatName(message.subarray(12, -4).toString("latin1") as never)} ${message.subarray(-4).toString("hex")}`;
      };
      const first = heard();
      await instance.start?.();
      expect(await first).to.equal("2400 example.org. 00060001");
      const second = heard();
      await zone.replace(zoneOf(TEXT.replace(" 7 ", " 8 ")));
      expect(await second).to.equal("2400 example.org. 00060001");
      await instance.stop?.();
    } finally {
      secondary.close();
    }
  });

  it("tells a secondary that does not answer three times, and then the log", async () => {
    const secondary: Socket = createSocket("udp4");
    secondary.bind(0, "127.0.0.1");
    await once(secondary, "listening");
    let heard = 0;
    secondary.on("message", () => heard++);
    try {
      const { instance, host, clock } = fixture(`transfer {\nto 127.0.0.1:${secondary.address().port}\n}`);
      await instance.start?.();
      for (let tries = 0; tries < 200 && host.lines.length === 0; tries++) await clock.advance(1_000);
      expect(host.lines).to.deep.equal([
        '[WARNING] plugin/transfer: Failed sending notify for zone "example.org." to 127.0.0.1: no answer',
      ]);
      for (let tries = 0; tries < 200 && heard < 3; tries++) await clock.settle();
      expect(heard).to.equal(3);
      await instance.stop?.();
    } finally {
      secondary.close();
    }
  });
});
