// Zones from master files: what is answered, what falls through, what is wrong, and what happens when files change.

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { DROP, emptyReply, type Records } from "../../src/dns/message.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { formatRecord, rcodeName, typeOf } from "../../src/dns/text.ts";
import { FindingsError, formatFinding } from "../../src/errors.ts";
import { startServer } from "../../src/index.ts";
import type { Answer, Instance, MaybePromise } from "../../src/plugin.ts";
import { setUpFiles, default as file } from "../../src/plugins/file/file.ts";
import { ask as askSocket } from "../../src/testing.ts";
import { fakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { fakeHost, query, readDirective, type FakeHost } from "../helpers/fake-host.ts";
import { root } from "../helpers/ndots-process.ts";

const foreign: Records = emptyReply(5, "next");
const unhandled: Records = { ...emptyReply(5, ""), unhandled: true };
const SOA = "@ 60 SOA ns hostmaster 7 2 3 4 30\n";
const DENIAL = "authority example.org. 30 IN SOA ns.example.org. hostmaster.example.org. 7 2 3 4 30";

describe("plugins/file", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ndots-file-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  interface Fixture {
    readonly instance: Instance;
    readonly host: FakeHost;
    readonly clock: FakeClock;
    readonly findings: readonly string[];
    ask(question: string, next?: Records): Promise<string>;
  }

  async function fixture(lines: string, zones: readonly string[] = ["."]): Promise<Fixture> {
    const { options, findings } = readDirective(file, lines);
    const [first] = options;
    if (first === undefined) throw new Error(findings.join("\n"));
    const whole = (asked: { readonly qname: string }): MaybePromise<Answer> => ({
      ...emptyReply(0, "chain"),
      answer: [{ owner: asked.qname as never, type: 1, ttl: 9, rdata: [Buffer.from([203, 0, 113, 1])] }],
    });
    const host = fakeHost("file", { zones: zones.map(parseName), file: join(folder, "Corefile"), ask: whole });
    const clock = fakeClock(Date.now() + 60_000); // files are written long ago
    const instance = await setUpFiles(first, host, clock);
    await instance.start?.();
    return {
      instance,
      host,
      clock,
      get findings() {
        return [...findings, ...host.reported.map(formatFinding)].map((text) => text.replaceAll(folder, "FOLDER"));
      },
      async ask(question, next = foreign) {
        const [name = "", type = "A"] = question.split(" ");
        const answer = await instance.handle?.(query(name, { type: typeOf(type) ?? 0 }), () => next);
        if (answer === undefined || answer === DROP) throw new Error("no reply");
        return show(answer as Records);
      },
    };
  }

  function show(reply: Records): string {
    if (reply === foreign) return "next";
    const sections = ["answer", "authority", "additional"] as const;
    const records = sections.flatMap((section) =>
      reply[section].flatMap((rrset) =>
        rrset.rdata.map((rdata) => (section === "answer" ? "" : `${section} `) + formatRecord(rrset, rdata)),
      ),
    );
    return [rcodeName(reply.rcode) + (reply.authoritative ? " aa" : ""), ...records].join(", ");
  }

  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);

  it("serves the example zone", async () => {
    const { ask, findings } = await fixture(`file ${join(root, "zones/example.org.zone")} example.org`);
    expect(findings).to.deep.equal([]);
    const soa = "example.org. 300 IN SOA ns1.example.org. hostmaster.example.org. 2026112101 7200 900 1209600 300";
    expect(await ask("www.example.org A")).to.equal("NOERROR aa, www.example.org. 300 IN A 192.0.2.80");
    expect(await ask("example.org MX")).to.equal(
      "NOERROR aa, example.org. 3600 IN MX 10 mail.example.org., additional mail.example.org. 3600 IN A 192.0.2.25",
    );
    expect(await ask("blog.example.org A")).to.equal(
      "NOERROR aa, blog.example.org. 3600 IN CNAME www.example.org., www.example.org. 300 IN A 192.0.2.80",
    );
    expect(await ask("any.apps.example.org A")).to.equal("NOERROR aa, any.apps.example.org. 3600 IN A 192.0.2.81");
    expect(await ask("host-9.example.org A")).to.equal("NOERROR aa, host-9.example.org. 3600 IN A 192.0.2.109");
    expect(await ask("host-10.example.org A")).to.equal(`NXDOMAIN aa, authority ${soa}`);
    expect(await ask("www.example.org TXT")).to.equal(`NOERROR aa, authority ${soa}`);
    expect(await ask("x.lab.example.org A")).to.equal(
      "NOERROR, authority lab.example.org. 3600 IN NS ns.lab.example.org., additional ns.lab.example.org. 3600 IN A 203.0.113.53",
    );
    expect(await ask("a.old.example.org A")).to.equal(
      "NOERROR aa, old.example.org. 3600 IN DNAME new.example.org., a.old.example.org. 3600 IN CNAME a.new.example.org., a.new.example.org. 3600 IN A 192.0.2.90",
    );
  });

  describe("what falls through", () => {
    const rows: readonly {
      readonly rule: string;
      readonly block: string;
      readonly ask: string;
      readonly next?: Records;
      readonly gives: string;
    }[] = [
      { rule: "a name of another zone", block: "file zone example.org", ask: "example.net A", gives: "next" },
      { rule: "nothing without fallthrough", block: "file zone example.org", ask: "nosuch.example.org A", gives: `NXDOMAIN aa, ${DENIAL}` },
      { rule: "a name that does not exist", block: "file zone example.org {\nfallthrough\n}", ask: "nosuch.example.org A", gives: "next" },
      {
        rule: "an empty non-terminal, as in CoreDNS",
        block: "file zone example.org {\nfallthrough\n}",
        ask: "b.example.org A",
        gives: "next",
      },
      {
        rule: "an empty non-terminal without fallthrough is NODATA",
        block: "file zone example.org",
        ask: "b.example.org A",
        gives: `NOERROR aa, ${DENIAL}`,
      },
      {
        rule: "not a type that a name lacks",
        block: "file zone example.org {\nfallthrough\n}",
        ask: "a.b.example.org TXT",
        gives: `NOERROR aa, ${DENIAL}`,
      },
      {
        rule: "only names of the zones it is for",
        block: "file zone example.org {\nfallthrough x.example.org\n}",
        ask: "nosuch.example.org A",
        gives: `NXDOMAIN aa, ${DENIAL}`,
      },
      {
        rule: "names of the zones it is for",
        block: "file zone example.org {\nfallthrough x.example.org\n}",
        ask: "a.x.example.org A",
        gives: "next",
      },
      {
        rule: "what nobody takes does not exist",
        block: "file zone example.org {\nfallthrough\n}",
        ask: "nosuch.example.org A",
        next: unhandled,
        gives: `NXDOMAIN aa, ${DENIAL}`,
      },
      {
        rule: "the longest of several zones answers, whatever the order",
        block: "file zone example.org\nfile sub sub.example.org",
        ask: "a.sub.example.org A",
        gives: "NOERROR aa, a.sub.example.org. 60 IN A 192.0.2.2",
      },
      {
        rule: "an alias is followed into another zone of the plugin",
        block: "file zone example.org\nfile sub sub.example.org",
        ask: "alias.example.org A",
        gives: "NOERROR aa, alias.example.org. 60 IN CNAME a.sub.example.org., a.sub.example.org. 60 IN A 192.0.2.2",
      },
      {
        rule: "an alias that leads elsewhere is asked of the whole chain",
        block: "file zone example.org",
        ask: "far.example.org A",
        gives: "NOERROR aa, far.example.org. 60 IN CNAME www.example.net., www.example.net. 9 IN A 203.0.113.1",
      },
      {
        rule: "a file for two zones",
        block: "file both example.org example.com",
        ask: "a.example.com A",
        gives: "NOERROR aa, a.example.com. 60 IN A 192.0.2.3",
      },
    ];
    for (const { rule, block, ask, next, gives } of rows) {
      it(`${rule}: ${block.replaceAll("\n", " ")}: ${ask}`, async () => {
        write("zone", `${SOA}a.b 60 A 192.0.2.1\nalias 60 CNAME a.sub\nfar 60 CNAME www.example.net.\n`);
        write("sub", `${SOA}a 60 A 192.0.2.2\n`);
        write("both", `${SOA}a 60 A 192.0.2.3\n`);
        expect(await (await fixture(block)).ask(ask, next)).to.equal(gives);
      });
    }
  });

  describe("what is wrong", () => {
    const failure = async (lines: string): Promise<readonly string[]> => {
      try {
        await fixture(lines);
      } catch (error) {
        if (error instanceof FindingsError) return error.findings.map((finding) => formatFinding(finding).replaceAll(folder, "FOLDER"));
        throw error;
      }
      return [];
    };

    it("errors in the file refuse the configuration, with their lines", async () => {
      write("zone", `${SOA}a 60 A x\nb 60 NOSUCH y\n`);
      expect(await failure("file zone example.org")).to.deep.equal([
        'FOLDER/zone:2: A: "x" is not an IPv4 address',
        'FOLDER/zone:3: expected a type, as A or TYPE65280, found "NOSUCH"',
      ]);
    });

    it("a file that is missing is waited for: a warning, and SERVFAIL with the reason until it is there", async () => {
      const given = await fixture("file zone example.org {\nreload 10s\nfallthrough\n}");
      expect(given.findings).to.deep.equal([
        'Corefile:2:1: warning: file: Failed to open "FOLDER/zone": no such file: trying again in 10s',
      ]);
      expect(await given.ask("a.example.org A")).to.equal("SERVFAIL");
      write("zone", `${SOA}a 60 A 192.0.2.1\n`);
      await eventually(given, "a.example.org A", "NOERROR aa, a.example.org. 60 IN A 192.0.2.1");
      await given.instance.stop?.();
    });

    it("with reload 0 it must be there", async () => {
      expect(await failure("file zone example.org {\nreload 0\n}")).to.deep.equal([
        'Corefile:2:1: file: Failed to open "FOLDER/zone": no such file',
      ]);
    });

    it("a zone that is given twice is refused", async () => {
      write("zone", SOA);
      expect(await failure("file zone example.org\nfile zone example.org")).to.deep.equal([
        "Corefile:3:1: file: example.org. is served from FOLDER/zone already",
      ]);
    });

    it("CoreDNS's other options are read, with a warning", async () => {
      write("zone", SOA);
      expect((await fixture("file zone example.org {\nreload_by_mtime\nupstream 192.0.2.1\n}")).findings).to.deep.equal([
        "Corefile:3:1: warning: file: reload_by_mtime: ignored: files are always compared by content",
        "Corefile:4:1: warning: file: upstream: ignored: targets of CNAMEs are asked of the server itself",
      ]);
    });

    for (const [name, text, why] of [
      ["../outside", "", "is not in the folder FOLDER/in"],
      ["/etc/passwd", "", "is not in the folder FOLDER/in"],
      ["link", "", "is not in the folder FOLDER/in"],
      ["gone", "", "no such file"],
      ["folder", "", "is not a regular file"],
    ] as const) {
      it(`$INCLUDE ${name} is refused: ${why}${text}`, async () => {
        mkdirSync(join(folder, "in/folder"), { recursive: true });
        write("outside", "a 60 A 192.0.2.1\n");
        symlinkSync("../outside", join(folder, "in/link"));
        write("in/zone", `${SOA}$INCLUDE ${name}\n`);
        expect(await failure("file in/zone example.org")).to.deep.equal([`FOLDER/in/zone:2: $INCLUDE ${name}: ${why}`]);
      });
    }
  });

  const soon = async ({ clock }: Fixture): Promise<void> => {
    await clock.advance(60_000);
    // Files are read by the thread pool, which the clock does not hold: what is asked of it behind that is answered behind it.
    for (let turn = 0; turn < 8; turn++) await stat(folder);
    await clock.settle();
  };
  const eventually = async (given: Fixture, question: string, gives: string): Promise<void> => {
    for (let tries = 0; tries < 500 && (await given.ask(question)) !== gives; tries++) await soon(given);
    expect(await given.ask(question)).to.equal(gives);
  };
  const untilLogged = async (given: Fixture, text: string): Promise<void> => {
    const isThere = (): boolean => given.host.lines.some((line) => line.includes(text));
    for (let tries = 0; tries < 500 && !isThere(); tries++) await soon(given);
    expect(isThere(), given.host.lines.join("\n")).to.equal(true);
  };

  describe("changes", () => {
    const a = (address: string): string => `NOERROR aa, a.example.org. 60 IN A ${address}`;

    it("are answered, and the names that differ are told", async () => {
      write("zone", `${SOA}a 60 A 192.0.2.1\nb 60 A 192.0.2.2\nm 60 MX 0 b\n*.w 60 A 192.0.2.3\nc.d 60 A 192.0.2.4\n`);
      const given = await fixture("file zone example.org");
      const told: string[] = [];
      given.instance.zones?.[0]?.subscribe((names) => void told.push(...[...names].map(formatName)));
      write("zone", `${SOA.replace(" 7 ", " 8 ")}a 60 A 192.0.2.9\nb 60 A 192.0.2.2\nm 60 MX 0 b\nc.d 60 A 192.0.2.4\n`);
      await eventually(given, "a.example.org A", a("192.0.2.9"));
      expect(told.sort()).to.deep.equal(["*.w.example.org.", "a.example.org.", "example.org.", "m.example.org.", "w.example.org."]);
      await untilLogged(
        given,
        `[INFO] plugin/file: Successfully reloaded zone "example.org." in "${join(folder, "zone")}" with 8 SOA serial`,
      );
      expect(given.host.lines).to.have.length(1);
      await given.instance.stop?.();
    });

    it("without a new serial are answered too, with a warning", async () => {
      write("zone", `${SOA}a 60 A 192.0.2.1\n`);
      const given = await fixture("file zone example.org");
      write("zone", `${SOA}a 60 A 192.0.2.2\n`);
      await eventually(given, "a.example.org A", a("192.0.2.2"));
      await untilLogged(given, 'Zone "example.org." has changed, its SOA serial 7 has not');
      await given.instance.stop?.();
    });

    it("that are wrong, and a file that is gone, leave the zone as it was", async () => {
      write("zone", `${SOA}a 60 A 192.0.2.1\n`);
      const given = await fixture("file zone example.org");
      write("zone", `${SOA}a 60 A 192.0.2.\n`);
      await untilLogged(
        given,
        `[ERROR] plugin/file: Parsing zone "example.org.": ${join(folder, "zone")}:2: A: "192.0.2." is not an IPv4 address`,
      );
      expect(await given.ask("a.example.org A")).to.equal(a("192.0.2.1"));
      rmSync(join(folder, "zone"));
      await untilLogged(given, `[ERROR] plugin/file: Failed to open zone "example.org." in "${join(folder, "zone")}": no such file`);
      for (let times = 0; times < 3; times++) await soon(given);
      expect(await given.ask("a.example.org A")).to.equal(a("192.0.2.1"));
      expect(given.host.lines).to.have.length(2);
      write("zone", `${SOA}a 60 A 192.0.2.3\n`);
      await eventually(given, "a.example.org A", a("192.0.2.3"));
      await given.instance.stop?.();
    });

    it("of an included file, and behind a symbolic link that is swapped", async () => {
      for (const [version, address] of [
        ["one", "192.0.2.1"],
        ["two", "192.0.2.2"],
      ] as const) {
        mkdirSync(join(folder, version));
        write(`${version}/zone`, `${SOA}$INCLUDE hosts\n`);
        write(`${version}/hosts`, `a 60 A ${address}\n`);
      }
      symlinkSync("one", join(folder, "..data"));
      symlinkSync("..data/zone", join(folder, "zone"));
      symlinkSync("..data/hosts", join(folder, "hosts"));
      const given = await fixture("file zone example.org");
      expect(await given.ask("a.example.org A")).to.equal(a("192.0.2.1"));
      write("one/hosts", "a 60 A 192.0.2.3\n");
      await eventually(given, "a.example.org A", a("192.0.2.3"));
      symlinkSync("two", join(folder, "..tmp"));
      renameSync(join(folder, "..tmp"), join(folder, "..data"));
      await eventually(given, "a.example.org A", a("192.0.2.2"));
      await given.instance.stop?.();
    });

    it("are not looked for with reload 0", async () => {
      write("zone", SOA);
      expect((await fixture("file zone example.org {\nreload 0\n}")).clock.waiting).to.deep.equal([]);
      expect((await fixture("file zone example.org")).clock.waiting).to.deep.equal([60_000]);
    });
  });

  it("over a socket: table and chain, a change, an alias into the cluster", async () => {
    write("zone", `${SOA}a 60 A 192.0.2.1\n*.w 60 A 192.0.2.2\nversion 60 CNAME dns-version.cluster.local.\n`);
    const corefile = `. {
      file zone example.org {
        reload 100ms
      }
      kubernetes cluster.local
    }`;
    await using dns = await startServer({ corefile, file: join(folder, "Corefile"), address: "127.0.0.1", port: 0 });
    const asked = async (name: string, type = "A"): Promise<string> => {
      const { rcode, answer, authority } = await askSocket(dns.address, name, type);
      return [rcode, ...answer, ...authority].join(", ");
    };
    expect(await asked("a.example.org")).to.equal("NOERROR, a.example.org. 60 IN A 192.0.2.1");
    expect(await asked("a.example.org", "TXT")).to.equal(`NOERROR, ${DENIAL.slice(10)}`);
    expect(await asked("nosuch.example.org")).to.equal(`NXDOMAIN, ${DENIAL.slice(10)}`);
    expect(await asked("x.w.example.org")).to.equal("NOERROR, x.w.example.org. 60 IN A 192.0.2.2");
    expect(await asked("version.example.org", "TXT")).to.include('dns-version.cluster.local. 28800 IN TXT "1.1.0"');
    write("zone", `${SOA}b 60 A 192.0.2.1\n`);
    for (let tries = 0; tries < 300 && (await asked("b.example.org")).startsWith("NX"); tries++)
      await new Promise((done) => setTimeout(done, 20));
    expect(await asked("b.example.org")).to.equal("NOERROR, b.example.org. 60 IN A 192.0.2.1");
    expect(await asked("a.example.org")).to.equal(`NXDOMAIN, ${DENIAL.slice(10)}`);
    expect(await asked("x.w.example.org")).to.equal(`NXDOMAIN, ${DENIAL.slice(10)}`);
  });
});
