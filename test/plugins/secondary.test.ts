// Zones from primary servers: fetched, kept new, given up; and primaries that send what is no zone.

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { encodeReply } from "../../src/dns/encode.ts";
import { DROP, emptyReply, type Records } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { formatRecord, parseRecordSets, rcodeName, typeOf } from "../../src/dns/text.ts";
import { FindingsError } from "../../src/errors.ts";
import { startServer, type RunningServer } from "../../src/index.ts";
import type { Instance } from "../../src/plugin.ts";
import secondary, { setUpSecondary } from "../../src/plugins/secondary/secondary.ts";
import { freePort } from "../helpers/free-port.ts";
import { fakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { AT, fakeHost, query, readDirective, type FakeHost } from "../helpers/fake-host.ts";

const APEX = parseName("example.org");
const foreign: Records = emptyReply(5, "next");

interface Fixture extends AsyncDisposable {
  readonly instance: Instance;
  readonly host: FakeHost;
  readonly clock: FakeClock;
  ask(name: string): Promise<string>;
  /** Moves on by `ms` at a time until the name is answered so. */
  until(name: string, gives: string, ms?: number): Promise<void>;
}

async function fixture(lines: string): Promise<Fixture> {
  const { options, findings } = readDirective(secondary, lines);
  expect(findings).to.deep.equal([]);
  const host = fakeHost("secondary", { zones: [APEX] });
  const clock = fakeClock();
  const instance = setUpSecondary(options[0] ?? [], host, AT, clock);
  await instance.start?.();
  const given: Fixture = {
    instance,
    host,
    clock,
    async ask(name) {
      const answer = await instance.handle?.(query(name, { type: typeOf("A") ?? 0 }), () => foreign);
      if (answer === undefined || answer === DROP) throw new Error("no reply");
      if (answer === foreign) return "next";
      const { rcode, answer: rrsets } = answer as Records;
      return [rcodeName(rcode), ...rrsets.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata)))].join(", ");
    },
    async until(name, gives, ms = 0) {
      const deadlineMs = performance.now() + 5_000;
      while ((await given.ask(name)) !== gives && performance.now() < deadlineMs) await clock.advance(ms); // sockets take their time
      expect(await given.ask(name), host.lines.join("\n")).to.equal(gives);
    },
    async [Symbol.asyncDispose]() {
      await instance.stop?.();
    },
  };
  return given;
}

const a = (address: string): string => `NOERROR, a.example.org. 60 IN A ${address}`;

describe("plugins/secondary", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ndots-secondary-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  // Refresh 100 s, retry 10 s, expire 1000 s.
  const write = (serial: number, address: string): void =>
    writeFileSync(
      join(folder, "zone"),
      `@ 60 SOA ns hostmaster ${serial} 100 10 1000 30\na 60 A ${address}\n$GENERATE 1-3000 host-$ 60 TXT "${"x".repeat(40)}"\n`,
    );
  const primary = (port = 0): Promise<RunningServer> =>
    startServer({
      corefile: "example.org {\nfile zone {\nreload 100ms\n}\ntransfer {\nto 127.0.0.1\n}\n}",
      file: join(folder, "Corefile"),
      address: "127.0.0.1",
      port,
    });

  it("fetches a zone of several messages; until it is there it is SERVFAIL", async () => {
    write(1, "192.0.2.1");
    await using server = await primary();
    await using given = await fixture(`secondary {\ntransfer from 127.0.0.1:${server.address.port}\nfallthrough\n}`);
    expect(await given.ask("a.example.org")).to.equal("SERVFAIL");
    await given.until("a.example.org", a("192.0.2.1"));
    expect(await given.ask("host-3000.example.org")).to.equal("NOERROR");
    expect(await given.ask("nosuch.example.org")).to.equal("next");
    expect(given.host.lines).to.deep.equal([`[INFO] plugin/secondary: Transferred: example.org. from 127.0.0.1:${server.address.port}`]);
  });

  it("asks one primary after the other", async () => {
    write(1, "192.0.2.1");
    await using server = await primary();
    const closed = await freePort();
    await using given = await fixture(`secondary {\ntransfer from 127.0.0.1:${closed} 127.0.0.1:${server.address.port}\n}`);
    await given.until("a.example.org", a("192.0.2.1"));
    expect(given.host.lines[0]).to.equal(
      `[ERROR] plugin/secondary: Failed to transfer \`example.org.' from "127.0.0.1:${closed}": ECONNREFUSED`,
    );
  });

  it("is as new as the serial says, when it is time to look", async () => {
    write(1, "192.0.2.1");
    await using server = await primary();
    await using given = await fixture(`secondary {\ntransfer from 127.0.0.1:${server.address.port}\n}`);
    await given.until("a.example.org", a("192.0.2.1"));
    await given.clock.settle();
    expect(given.clock.waiting[0]).to.be.within(100_000, 105_000);
    write(2, "192.0.2.2");
    await given.until("a.example.org", a("192.0.2.2"), 10_000);
    write(1, "192.0.2.3"); // an older serial
    for (let times = 0; times < 30; times++) await given.clock.advance(10_000);
    expect(await given.ask("a.example.org")).to.equal(a("192.0.2.2"));
  });

  it("goes on while the primary is away, until the zone expires; then it comes back", async () => {
    write(1, "192.0.2.1");
    const first = await primary();
    const { port } = first.address;
    await using given = await fixture(`secondary {\ntransfer from 127.0.0.1:${port}\nfallthrough\n}`);
    await given.until("a.example.org", a("192.0.2.1"));
    await first.close();
    const told: number[] = [];
    given.instance.zones?.[0]?.subscribe((names) => void told.push([...names].length));
    const beforeMs = given.clock.monotonic();
    await given.until("a.example.org", "SERVFAIL", 5_000);
    expect(given.clock.monotonic() - beforeMs).to.be.greaterThan(900_000);
    expect(given.host.lines).to.include("[ERROR] plugin/secondary: Zone example.org. is expired");
    await given.clock.settle();
    expect(told.reduce((sum, count) => sum + count, 0)).to.equal(3_002);
    await using second = await primary(port);
    expect(second.address.port).to.equal(port);
    await given.until("a.example.org", a("192.0.2.1"), 5_000);
  });

  it("serves what it has fetched over a socket, and hands it on", async () => {
    write(1, "192.0.2.1");
    await using server = await primary();
    const corefile = `example.org {\nsecondary {\ntransfer from 127.0.0.1:${server.address.port}\n}\ntransfer {\nto *\n}\n}`;
    await using dns = await startServer({ corefile, address: "127.0.0.1", port: 0 });
    for (let tries = 0; tries < 200 && (await dns.query("a.example.org")).rcode === "SERVFAIL"; tries++) {
      await new Promise((done) => setTimeout(done, 20));
    }
    expect((await dns.query("a.example.org")).addresses).to.deep.equal(["192.0.2.1"]);
    await using given = await fixture(`secondary {\ntransfer from 127.0.0.1:${dns.address.port}\n}`);
    await given.until("a.example.org", a("192.0.2.1"));
  });

  describe("what a primary sends that is no zone", () => {
    let server: Server;
    let send: (socket: Socket, id: number, question: Buffer) => void;
    const sockets = new Set<Socket>();
    beforeEach(async () => {
      server = createServer((socket) => {
        sockets.add(socket);
        socket.on("error", () => {});
        socket.on("data", (bytes) => send(socket, bytes.readUInt16BE(2), bytes.subarray(2)));
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    });
    afterEach(async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    });

    const message = (question: Buffer, records: string, rcode = 0): Buffer => {
      const out = Buffer.alloc(4_096);
      const answer = records.split("|").flatMap((text) => parseRecordSets(text, { origin: APEX, ttl: 60 }));
      const asked = { flags: 0, edns: undefined, wire: question };
      const length = encodeReply(
        out,
        asked,
        { ...emptyReply(rcode, ""), authoritative: true, answer },
        { maxBytes: out.length, udpSize: 512 },
      );
      const head = Buffer.alloc(2);
      head.writeUInt16BE(length);
      return Buffer.concat([head, out.subarray(0, length)]);
    };
    const soa = "@ SOA ns hostmaster 1 100 10 1000 30";

    const rows: readonly (readonly [rule: string, send: (socket: Socket, id: number, question: Buffer) => unknown, why: string])[] = [
      ["nothing", (socket) => socket.end(), "the transfer ended before its last SOA"],
      ["garbage", (socket) => socket.write(Buffer.from("\0\x20no message, and as long as it says", "latin1")), "the answer is not sound"],
      [
        "another id",
        (socket, _, question) => {
          question[1] = (question[1] as number) ^ 1;
          socket.write(message(question, soa));
        },
        "the answer is not sound",
      ],
      ["an error", (socket, _, question) => socket.write(message(question, "", 5)), "REFUSED"],
      ["no SOA", (socket, _, question) => socket.write(message(question, "a A 192.0.2.1")), "a transfer begins with the zone's SOA"],
      [
        "half a zone",
        (socket, _, question) => socket.end(message(question, `${soa}|a A 192.0.2.1`)),
        "the transfer ended before its last SOA",
      ],
      [
        "another's records",
        (socket, _, question) => socket.write(message(question, `${soa}|a.example.net. A 192.0.2.1|${soa}`)),
        "a record is not of the zone",
      ],
      [
        "a CNAME beside others",
        (socket, _, question) => socket.write(message(question, `${soa}|a A 192.0.2.1|a CNAME b|${soa}`)),
        "a.example.org. CNAME: an owner of a CNAME has no other records (RFC 2181 §10.1)",
      ],
    ];
    for (const [rule, script, why] of rows) {
      it(`${rule}: ${why}`, async () => {
        send = (socket, id, question) => void script(socket, id, question);
        const { port } = server.address() as AddressInfo;
        await using given = await fixture(`secondary {\ntransfer from 127.0.0.1:${port}\n}`);
        for (let tries = 0; tries < 500 && given.host.lines.length < 2; tries++) await given.clock.settle();
        expect(given.host.lines.slice(0, 2)).to.deep.equal([
          `[ERROR] plugin/secondary: Failed to transfer \`example.org.' from "127.0.0.1:${port}": ${why}`,
          `[WARNING] plugin/secondary: All 'example.org.' masters failed to transfer, retrying in 250ms: 127.0.0.1:${port}: ${why}`,
        ]);
        expect(await given.ask("a.example.org")).to.equal("SERVFAIL");
      });
    }
  });

  const errors: readonly (readonly [string, string])[] = [
    ["secondary", "Corefile:2:1: secondary: secondary zones require a transfer from property"],
    ["secondary {\ntransfer 192.0.2.1\n}", 'Corefile:3:10: secondary: transfer: expected from ADDRESS..., found "192.0.2.1"'],
    [
      "secondary {\ntransfer from x\n}",
      'Corefile:3:15: secondary: transfer: ADDRESS must be an IP address, with or without a port, found "x"',
    ],
    ["secondary {\ntransfer from 192.0.2.1\ncatalog\n}", "Corefile:4:1: secondary: catalog: not supported yet; name each zone"],
  ];
  for (const [block, text] of errors) {
    it(`${block.replaceAll("\n", " ")} is refused`, () => expect(readDirective(secondary, block).findings).to.include(text));
  }

  it("a zone that is given twice is refused", () => {
    const { options } = readDirective(secondary, "secondary {\ntransfer from 192.0.2.1\n}\nsecondary {\ntransfer from 192.0.2.1\n}");
    expect(() => setUpSecondary(options[0] ?? [], fakeHost("secondary", { zones: [APEX] }), AT)).to.throw(
      FindingsError,
      "example.org. is given twice",
    );
  });
});
