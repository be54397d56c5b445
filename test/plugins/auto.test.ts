// Zones from the files of a folder: which are found, what is wrong, and files that come, change and go.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { DROP, emptyReply, type Records } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { formatRecord, rcodeName, typeOf } from "../../src/dns/text.ts";
import { formatFinding } from "../../src/errors.ts";
import { startServer } from "../../src/index.ts";
import type { Instance } from "../../src/plugin.ts";
import auto, { setUpAuto } from "../../src/plugins/auto/auto.ts";
import { ask as askSocket } from "../../src/testing.ts";
import { fakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { AT, fakeHost, query, readDirective, type FakeHost } from "../helpers/fake-host.ts";

const foreign: Records = emptyReply(5, "next");
const zone = (address: string): string => `@ 60 SOA ns hostmaster 7 2 3 4 30\na 60 A ${address}\n`;

describe("plugins/auto", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ndots-auto-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  interface Fixture {
    readonly instance: Instance;
    readonly host: FakeHost;
    readonly clock: FakeClock;
    readonly lines: readonly string[];
    ask(name: string): Promise<string>;
  }

  async function fixture(lines: string): Promise<Fixture> {
    const { options, findings } = readDirective(auto, lines);
    expect(findings).to.deep.equal([]);
    const [first] = options;
    if (first === undefined) throw new Error("no options");
    const host = fakeHost("auto", { zones: [parseName(".")], file: join(folder, "Corefile") });
    const clock = fakeClock(Date.now() + 60_000); // files are written long ago
    const instance = await setUpAuto(first, host, AT, clock);
    await instance.start?.();
    return {
      instance,
      host,
      clock,
      get lines() {
        return [...host.lines, ...host.reported.map(formatFinding)].map((text) => text.replaceAll(folder, "FOLDER"));
      },
      async ask(name) {
        const answer = await instance.handle?.(query(name, { type: typeOf("A") ?? 0 }), () => foreign);
        if (answer === undefined || answer === DROP) throw new Error("no reply");
        if (answer === foreign) return "next";
        const { rcode, answer: rrsets } = answer as Records;
        return [rcodeName(rcode), ...rrsets.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata)))].join(", ");
      },
    };
  }

  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  const eventually = async (given: Fixture, name: string, gives: string): Promise<void> => {
    for (let tries = 0; tries < 500 && (await given.ask(name)) !== gives; tries++) {
      await given.clock.advance(60_000);
      // Files are read by the thread pool, which the clock does not hold: what is asked of it behind that is answered behind it.
      for (let turn = 0; turn < 12; turn++) await stat(folder);
      await given.clock.settle();
    }
    expect(await given.ask(name)).to.equal(gives);
  };
  const a = (name: string, address: string): string => `NOERROR, ${name}. 60 IN A ${address}`;

  it("serves the zones of the files whose names match, in folders, too", async () => {
    mkdirSync(join(folder, "deep/er"), { recursive: true });
    mkdirSync(join(folder, "..data"));
    write("db.example.org", zone("192.0.2.1"));
    write("deep/er/db.example.com", zone("192.0.2.2"));
    write("..data/db.example.edu", zone("192.0.2.3"));
    write("example.net", zone("192.0.2.4"));
    symlinkSync("db.example.org", join(folder, "db.example.info"));
    const { ask, lines } = await fixture(`auto {\ndirectory ${folder}\n}`);
    expect(await ask("a.example.org")).to.equal(a("a.example.org", "192.0.2.1"));
    expect(await ask("b.example.org")).to.equal("NXDOMAIN");
    expect(await ask("a.example.com")).to.equal(a("a.example.com", "192.0.2.2"));
    expect(await ask("a.example.info")).to.equal(a("a.example.info", "192.0.2.1"));
    expect(await ask("a.example.edu")).to.equal("next");
    expect(await ask("a.example.net")).to.equal("next");
    expect(lines).to.deep.equal([
      "[INFO] plugin/auto: Inserting zone `example.info.' from: FOLDER/db.example.info",
      "[INFO] plugin/auto: Inserting zone `example.org.' from: FOLDER/db.example.org",
      "[INFO] plugin/auto: Inserting zone `example.com.' from: FOLDER/deep/er/db.example.com",
    ]);
  });

  it("names of its own: a pattern and a template, relative to the Corefile", async () => {
    mkdirSync(join(folder, "zones"));
    write("zones/example.org.zone", zone("192.0.2.1"));
    write("zones/example.org.zone.bak", zone("192.0.2.2"));
    expect(await (await fixture("auto {\ndirectory zones ^(.*)\\.zone$ sub.{1}\n}")).ask("a.sub.example.org")).to.include("192.0.2.1");
    expect(await (await fixture("auto {\ndirectory zones ^(?P<zone>.*)\\.zone$ {zone}\n}")).ask("a.example.org")).to.include("192.0.2.1");
  });

  it("a folder is looked through once, also where a link leads back to it", async () => {
    write("db.example.org", zone("192.0.2.1"));
    symlinkSync(".", join(folder, "again"));
    const { ask, lines } = await fixture(`auto {\ndirectory ${folder}\n}`);
    expect(await ask("a.example.org")).to.equal(a("a.example.org", "192.0.2.1"));
    expect(lines).to.deep.equal(["[INFO] plugin/auto: Inserting zone `example.org.' from: FOLDER/db.example.org"]);
  });

  it("of a folder with a hundred files that name no zone, twenty are told", async () => {
    for (let file = 0; file < 100; file++) write(`db.${file}..org`, "");
    const { lines } = await fixture(`auto {\ndirectory ${folder}\n}`);
    expect(lines.length).to.equal(21);
    expect(lines.at(-1)).to.equal("Corefile:2:5: warning: auto: FOLDER: 80 more");
  });

  it("answers only for its zones", async () => {
    write("db.example.org", zone("192.0.2.1"));
    write("db.example.com", zone("192.0.2.1"));
    const { ask, instance } = await fixture(`auto example.org {\ndirectory ${folder}\n}`);
    expect(await ask("a.example.org")).to.equal(a("a.example.org", "192.0.2.1"));
    expect(await ask("a.example.com")).to.equal("next");
    expect(instance.transparent).to.deep.equal({ below: [parseName("example.org")] });
  });

  it("tells what is wrong, once, and serves the rest", async () => {
    mkdirSync(join(folder, "two"));
    write("db.example.org", zone("192.0.2.1"));
    write("two/db.example.org", zone("192.0.2.2"));
    write("db.example.com", zone("192.0.2.x"));
    write("db.a..b", zone("192.0.2.1"));
    const given = await fixture(`auto {\ndirectory ${folder}\n}`);
    const warnings = [
      'Corefile:2:5: warning: auto: FOLDER/db.a..b: "a..b" is not the name of a zone',
      'Corefile:2:5: warning: auto: Multiple zone files match origin "example.org": using "FOLDER/db.example.org" instead of "FOLDER/two/db.example.org"',
      'Corefile:2:5: warning: auto: Parse zone `example.com.\': FOLDER/db.example.com:2: A: "192.0.2.x" is not an IPv4 address',
    ];
    expect(given.lines.slice(1)).to.deep.equal(warnings);
    expect(await given.ask("a.example.com")).to.equal("next");
    write("db.example.com", zone("192.0.2.3"));
    await eventually(given, "a.example.com", a("a.example.com", "192.0.2.3"));
    expect(given.host.reported).to.have.length(3);
    await given.instance.stop?.();
  });

  it("follows files that come, change, are wrong and go", async () => {
    const given = await fixture(`auto {\ndirectory ${folder}\n}`);
    write("db.example.org", zone("192.0.2.1"));
    await eventually(given, "a.example.org", a("a.example.org", "192.0.2.1"));
    write("db.example.org", zone("192.0.2.2"));
    await eventually(given, "a.example.org", a("a.example.org", "192.0.2.2"));
    write("db.example.org", zone("192.0.2.x"));
    for (let tries = 0; tries < 500 && given.host.reported.length === 0; tries++)
      await eventually(given, "a.example.org", a("a.example.org", "192.0.2.2"));
    expect(await given.ask("a.example.org")).to.equal(a("a.example.org", "192.0.2.2"));
    rmSync(join(folder, "db.example.org"));
    await eventually(given, "a.example.org", "next");
    expect(given.lines.filter((line) => line.includes("Deleting"))).to.deep.equal(["[INFO] plugin/auto: Deleting zone `example.org.'"]);
    await given.instance.stop?.();
  });

  it("a folder that is missing is told, and waited for", async () => {
    const given = await fixture("auto {\ndirectory later\n}");
    expect(given.lines).to.deep.equal(["Corefile:2:5: warning: auto: Directory does not exist: FOLDER/later"]);
    mkdirSync(join(folder, "later"));
    write("later/db.example.org", zone("192.0.2.1"));
    await eventually(given, "a.example.org", a("a.example.org", "192.0.2.1"));
    await given.instance.stop?.();
  });

  const errors: readonly (readonly [string, RegExp])[] = [
    ["auto", /auto: expected directory DIR \[REGEXP ORIGIN_TEMPLATE\]/],
    ["auto {\ndirectory\n}", /auto: directory: expected DIR \[REGEXP ORIGIN_TEMPLATE\], found nothing/],
    ["auto {\ndirectory a (.*)\n}", /expected DIR \[REGEXP ORIGIN_TEMPLATE\], found "a \(\.\*\)"/],
    ["auto {\ndirectory a ( {1}\n}", /REGEXP must be a regular expression of Go's/],
    ["auto {\ndirectory a abc {1}\n}", /Need at least one sub expression/],
    [
      "auto {\ndirectory a (.*)(?P<tld>x) {1}{2}{tld}{0}{3}{top}\n}",
      /^.*warning: auto: directory: ORIGIN_TEMPLATE: REGEXP has no group \{3\}, \{top\}; nothing stands there$/,
    ],
    ["auto {\ndirectory a\nreload -1s\n}", /DURATION must be a duration/],
  ];
  for (const [block, message] of errors) {
    it(`${block.replaceAll("\n", " ")} is told`, () => {
      expect(readDirective(auto, block).findings.join("\n")).to.match(message);
    });
  }

  it("over a socket, in front of nothing", async () => {
    write("db.example.org", zone("192.0.2.1"));
    const corefile = `. {\nauto {\ndirectory ${folder}\n}\nkubernetes cluster.local\n}`;
    await using dns = await startServer({ corefile, address: "127.0.0.1", port: 0 });
    expect((await askSocket(dns.address, "a.example.org", "A")).addresses).to.deep.equal(["192.0.2.1"]);
    expect((await askSocket(dns.address, "nosuch.example.org", "A")).rcode).to.equal("NXDOMAIN");
    expect((await askSocket(dns.address, "dns-version.cluster.local", "TXT")).rcode).to.equal("NOERROR");
  });
});
