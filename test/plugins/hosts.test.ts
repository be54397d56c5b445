// A hosts file and inline entries, asked without a socket, over one, and behind changes of the file.

import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { DROP, emptyReply, type Records } from "../../src/dns/message.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { formatRecord, rcodeName, typeOf } from "../../src/dns/text.ts";
import { formatFinding } from "../../src/errors.ts";
import { startServer } from "../../src/index.ts";
import type { Instance } from "../../src/plugin.ts";
import { setUpHosts, default as hosts } from "../../src/plugins/hosts/hosts.ts";
import { MAX_NAMES_OF_ADDRESS } from "../../src/plugins/hosts/entries.ts";
import { fakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { ask } from "../../src/testing.ts";
import { AT, fakeHost, query, readDirective, type FakeHost } from "../helpers/fake-host.ts";

const foreign: Records = emptyReply(5, "next");

describe("plugins/hosts", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ndots-hosts-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  interface Fixture {
    readonly instance: Instance;
    readonly host: FakeHost;
    readonly clock: FakeClock;
    readonly warnings: readonly string[];
    ask(question: string): string;
  }

  async function fixture(block: string, zones: readonly string[] = ["."]): Promise<Fixture> {
    const { options, findings } = readDirective(hosts, block.replaceAll("FOLDER", folder));
    expect(findings).to.deep.equal([]);
    const host = fakeHost("hosts", { zones: zones.map(parseName), file: join(folder, "Corefile") });
    const clock = fakeClock(Date.now() + 60_000); // files are written long ago
    const [first] = options;
    if (first === undefined) throw new Error("no options");
    const instance = await setUpHosts(first, host, AT, clock);
    await instance.start?.();
    return {
      instance,
      host,
      clock,
      get warnings() {
        return host.reported.map((finding) => formatFinding(finding).replaceAll(folder, "FOLDER"));
      },
      ask(question) {
        const [name = "", type = "A"] = question.split(" ");
        const answer = instance.handle?.(query(name, { type: typeOf(type) ?? 0 }), () => foreign);
        if (answer === undefined || answer === DROP || answer instanceof Promise) throw new Error("no reply");
        return show(answer as Records);
      },
    };
  }

  function show(reply: Records): string {
    if (reply === foreign) return "next";
    expect(reply.by).to.equal("hosts");
    const records = reply.answer.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata)));
    return [rcodeName(reply.rcode) + (reply.authoritative ? " aa" : ""), ...records].join(", ");
  }

  const FILE = `# a comment
127.0.0.1 localhost
192.0.2.1\texample.org example # aliases
192.0.2.2 Example.ORG
2001:db8::1 example.org
192.0.2.10 *.wild.example.org
2001:db8::10 *.wild.example.org
192.0.2.11 www.wild.example.org
::ffff:192.0.2.12 mapped.example.org
fe80::1%eth0 link.example.org
192.0.2.13 trailing.example.org.
192.0.2.1 example.org
192.0.2.1 other.example.net
`;

  describe("what it answers", () => {
    const file = "hosts FOLDER/hosts";
    const rows: readonly { readonly rule: string; readonly block: string; readonly ask: string; readonly gives: string }[] = [
      {
        rule: "A, in the order of the lines, each once",
        block: file,
        ask: "example.org A",
        gives: "NOERROR aa, example.org. 3600 IN A 192.0.2.1, example.org. 3600 IN A 192.0.2.2",
      },
      { rule: "AAAA", block: file, ask: "EXAMPLE.org AAAA", gives: "NOERROR aa, example.org. 3600 IN AAAA 2001:db8::1" },
      { rule: "an alias", block: file, ask: "example A", gives: "NOERROR aa, example. 3600 IN A 192.0.2.1" },
      {
        rule: "a name with a trailing dot",
        block: file,
        ask: "trailing.example.org A",
        gives: "NOERROR aa, trailing.example.org. 3600 IN A 192.0.2.13",
      },
      {
        rule: "an address in IPv6's form for IPv4 is A",
        block: file,
        ask: "mapped.example.org A",
        gives: "NOERROR aa, mapped.example.org. 3600 IN A 192.0.2.12",
      },
      {
        rule: "the interface behind an address is left out",
        block: file,
        ask: "link.example.org AAAA",
        gives: "NOERROR aa, link.example.org. 3600 IN AAAA fe80::1",
      },
      { rule: "the other family is NODATA", block: file, ask: "localhost AAAA", gives: "NOERROR aa" },
      { rule: "another type is NODATA", block: file, ask: "localhost TXT", gives: "NOERROR aa" },
      {
        rule: "PTR gives every name",
        block: file,
        ask: "1.2.0.192.in-addr.arpa PTR",
        gives:
          "NOERROR aa, 1.2.0.192.in-addr.arpa. 3600 IN PTR example.org., 1.2.0.192.in-addr.arpa. 3600 IN PTR example., 1.2.0.192.in-addr.arpa. 3600 IN PTR other.example.net.",
      },
      {
        rule: "PTR of an IPv6 address",
        block: file,
        ask: `${"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"}.ip6.arpa PTR`,
        gives: "NOERROR aa, 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 3600 IN PTR example.org.",
      },
      {
        rule: "PTR of an address that is not listed goes on, whatever `fallthrough` says",
        block: file,
        ask: "9.2.0.192.in-addr.arpa PTR",
        gives: "next",
      },
      { rule: "PTR of a name goes on", block: file, ask: "example.org PTR", gives: "next" },
      { rule: "a wildcard has no PTR", block: file, ask: "10.2.0.192.in-addr.arpa PTR", gives: "next" },
      {
        rule: "a wildcard stands for one label",
        block: file,
        ask: "apps.wild.example.org A",
        gives: "NOERROR aa, apps.wild.example.org. 3600 IN A 192.0.2.10",
      },
      {
        rule: "a wildcard does not stand for two labels",
        block: `${file} {\nfallthrough\n}`,
        ask: "a.b.wild.example.org A",
        gives: "next",
      },
      { rule: "a wildcard does not stand for its parent", block: `${file} {\nfallthrough\n}`, ask: "wild.example.org A", gives: "next" },
      {
        rule: "a wildcard is no name's that is written",
        block: file,
        ask: "www.wild.example.org A",
        gives: "NOERROR aa, www.wild.example.org. 3600 IN A 192.0.2.11",
      },
      {
        rule: "a wildcard is no name's that is written, in neither family",
        block: file,
        ask: "www.wild.example.org AAAA",
        gives: "NOERROR aa",
      },
      {
        rule: "a wildcard by its own name",
        block: file,
        ask: "*.wild.example.org A",
        gives: "NOERROR aa, *.wild.example.org. 3600 IN A 192.0.2.10",
      },
      { rule: "a name that is not listed is SERVFAIL", block: file, ask: "nosuch.example.org A", gives: "SERVFAIL" },
      { rule: "with fallthrough it goes on", block: `${file} {\nfallthrough\n}`, ask: "nosuch.example.org A", gives: "next" },
      {
        rule: "with fallthrough for its zone it goes on",
        block: `${file} {\nfallthrough example.org\n}`,
        ask: "nosuch.example.org A",
        gives: "next",
      },
      {
        rule: "with fallthrough for another zone it does not",
        block: `${file} {\nfallthrough example.net\n}`,
        ask: "nosuch.example.org A",
        gives: "SERVFAIL",
      },
      {
        rule: "fallthrough is for names that are not listed",
        block: `${file} {\nfallthrough\n}`,
        ask: "localhost TXT",
        gives: "NOERROR aa",
      },
      {
        rule: "fallthrough_unsupported hands on other types",
        block: `${file} {\nfallthrough\nfallthrough_unsupported\n}`,
        ask: "localhost TXT",
        gives: "next",
      },
      {
        rule: "fallthrough_unsupported hands on addresses not",
        block: `${file} {\nfallthrough\nfallthrough_unsupported\n}`,
        ask: "localhost AAAA",
        gives: "NOERROR aa",
      },
      {
        rule: "fallthrough_unsupported is for the zones of fallthrough",
        block: `${file} {\nfallthrough example.org\nfallthrough_unsupported\n}`,
        ask: "localhost TXT",
        gives: "NOERROR aa",
      },
      { rule: "names outside of the zones go on", block: `${file} example.org`, ask: "localhost A", gives: "next" },
      {
        rule: "names inside the zones are answered",
        block: `${file} example.org example.net`,
        ask: "other.example.net A",
        gives: "NOERROR aa, other.example.net. 3600 IN A 192.0.2.1",
      },
      {
        rule: "PTR is answered wherever it stands, with the names in the zones",
        block: `${file} example.net`,
        ask: "1.2.0.192.in-addr.arpa PTR",
        gives: "NOERROR aa, 1.2.0.192.in-addr.arpa. 3600 IN PTR other.example.net.",
      },
      { rule: "no_reverse", block: `${file} {\nno_reverse\n}`, ask: "1.2.0.192.in-addr.arpa PTR", gives: "next" },
      { rule: "ttl", block: `${file} {\nttl 60\n}`, ask: "localhost A", gives: "NOERROR aa, localhost. 60 IN A 127.0.0.1" },
      {
        rule: "inline entries",
        block: "hosts FOLDER/none {\n192.0.2.9 a.example.org b.example.org\nfallthrough\n}",
        ask: "b.example.org A",
        gives: "NOERROR aa, b.example.org. 3600 IN A 192.0.2.9",
      },
      {
        rule: "inline entries behind the file's",
        block: `${file} {\n192.0.2.9 localhost\n}`,
        ask: "localhost A",
        gives: "NOERROR aa, localhost. 3600 IN A 127.0.0.1, localhost. 3600 IN A 192.0.2.9",
      },
      {
        rule: "an entry behind fallthrough",
        block: "hosts FOLDER/none {\nfallthrough\n192.0.2.9 a.example.org\n}",
        ask: "a.example.org A",
        gives: "NOERROR aa, a.example.org. 3600 IN A 192.0.2.9",
      },
    ];
    for (const { rule, block, ask, gives } of rows) {
      it(`${rule}: ${block.replaceAll("\n", " ")}: ${ask}`, async () => {
        writeFileSync(join(folder, "hosts"), FILE);
        expect((await fixture(block)).ask(ask)).to.equal(gives);
      });
    }

    it("the server block's zones are its own unless it names some", async () => {
      writeFileSync(join(folder, "hosts"), FILE);
      const { ask } = await fixture("hosts FOLDER/hosts", ["example.net"]);
      expect(ask("localhost A")).to.equal("next");
      expect(ask("example.net A")).to.equal("SERVFAIL");
    });

    it("an address with very many names gives the first thousand", async () => {
      writeFileSync(join(folder, "hosts"), Array.from({ length: 5_000 }, (_, n) => `0.0.0.0 ads${n}.example.org\n`).join(""));
      const { ask } = await fixture("hosts FOLDER/hosts");
      expect(ask("0.0.0.0.in-addr.arpa PTR").split(", ")).to.have.length(1 + MAX_NAMES_OF_ADDRESS);
      expect(ask("ads4999.example.org A")).to.include("0.0.0.0");
    });
  });

  describe("what is wrong", () => {
    it("a line without an address or with a name that is none is told with file and line, and the rest goes on", async () => {
      writeFileSync(
        join(folder, "hosts"),
        "192.0.2.1 a.example.org\nfoo a.example.org\n192.0.2.300 b\n192.0.2.3\n192.0.2.4 x..y good.example.org .\n",
      );
      const { ask, warnings } = await fixture("hosts FOLDER/hosts");
      expect(warnings).to.deep.equal([
        'FOLDER/hosts:2: warning: hosts: "foo" is not an IP address; ignored',
        'FOLDER/hosts:3: warning: hosts: "192.0.2.300" is not an IP address; ignored',
        "FOLDER/hosts:4: warning: hosts: no name behind 192.0.2.3; ignored",
        'FOLDER/hosts:5: warning: hosts: "x..y": a label is empty; ignored',
        'FOLDER/hosts:5: warning: hosts: "." is not the name of a host; ignored',
      ]);
      expect(ask("good.example.org A")).to.include("192.0.2.4");
    });

    it("a file of another kind has ten warnings and a count", async () => {
      writeFileSync(join(folder, "hosts"), "no hosts file\n".repeat(500));
      const { warnings } = await fixture("hosts FOLDER/hosts");
      expect(warnings).to.have.length(11);
      expect(warnings.at(-1)).to.equal("FOLDER/hosts:0: warning: hosts: 490 more entries are ignored");
    });

    it("a misspelt option is an entry without an address: a warning at its line", async () => {
      const { warnings } = await fixture("hosts FOLDER/hosts {\nfallthrogh\n}");
      expect(warnings).to.deep.equal([
        "Corefile:2:5: warning: hosts: File does not exist: FOLDER/hosts",
        "Corefile:3:1: warning: hosts: \"fallthrogh\" is not an IP address, did you mean 'fallthrough'?; ignored",
      ]);
    });

    it("a folder is told, a missing /etc/hosts is not", async () => {
      expect((await fixture("hosts FOLDER")).warnings).to.deep.equal(["Corefile:2:5: warning: hosts: Hosts file FOLDER is a directory"]);
    });

    const errors: readonly (readonly [string, string])[] = [
      ["hosts {\nttl 0\n}", 'Corefile:3:5: hosts: ttl: SECONDS must be 1–65535, found "0"'],
      ["hosts {\nttl\n}", "Corefile:3:1: hosts: ttl: expected SECONDS, found nothing"],
      ["hosts {\nreload soon\n}", 'Corefile:3:8: hosts: reload: DURATION must be a duration like "30s", "1m30s" or "500ms", found "soon"'],
      ["hosts {\nfallthrough_unsupported\n}", "Corefile:2:1: hosts: fallthrough_unsupported requires fallthrough"],
      [
        "hosts {\nfallthrough\nfallthrough_unsupported all\n}",
        'Corefile:4:25: hosts: fallthrough_unsupported: takes no arguments, found "all"',
      ],
      ["hosts a\nhosts b", "Corefile:3:1: hosts: this plugin can only be used once per Server Block"],
    ];
    for (const [block, message] of errors) {
      it(`${block.replaceAll("\n", " ")} is refused`, () => {
        expect(readDirective(hosts, block).findings).to.deep.equal([message]);
      });
    }
  });

  describe("changes of the file", () => {
    // Files are read by the thread pool, which the clock does not hold: what is asked of it behind that is answered behind it.
    const soon = async ({ clock }: Fixture): Promise<void> => {
      await clock.advance(5_000);
      for (let turn = 0; turn < 8; turn++) await stat(folder);
      await clock.settle();
    };
    const eventually = async (given: Fixture, question: string, gives: string): Promise<void> => {
      for (let tries = 0; tries < 200 && given.ask(question) !== gives; tries++) await soon(given);
      expect(given.ask(question)).to.equal(gives);
    };
    const answer = (address: string): string => `NOERROR aa, a.example.org. 3600 IN A ${address}`;

    it("is answered, and its names are told to the table, no others", async () => {
      const path = join(folder, "hosts");
      writeFileSync(path, "192.0.2.1 a.example.org\n192.0.2.2 b.example.org\n192.0.2.4 *.w.example.org\n");
      const given = await fixture("hosts FOLDER/hosts");
      const told: string[] = [];
      given.instance.zones?.[0]?.subscribe((names) => void told.push(...[...names].map(formatName)));
      writeFileSync(path, "192.0.2.3 a.example.org\n192.0.2.2 b.example.org\n");
      await eventually(given, "a.example.org A", answer("192.0.2.3"));
      expect(told.sort()).to.deep.equal([
        "*.w.example.org.",
        "1.2.0.192.in-addr.arpa.",
        "3.2.0.192.in-addr.arpa.",
        "a.example.org.",
        "w.example.org.",
      ]);
      await given.instance.stop?.();
    });

    it("behind a symbolic link that is swapped, as a ConfigMap's", async () => {
      for (const [version, address] of [
        ["one", "192.0.2.1"],
        ["two", "192.0.2.2"],
      ] as const) {
        mkdirSync(join(folder, version));
        writeFileSync(join(folder, version, "NodeHosts"), `${address} a.example.org\n`);
      }
      symlinkSync("one", join(folder, "..data"));
      symlinkSync("..data/NodeHosts", join(folder, "NodeHosts"));
      const given = await fixture("hosts NodeHosts");
      expect(given.ask("a.example.org A")).to.equal(answer("192.0.2.1"));
      symlinkSync("two", join(folder, "..tmp"));
      renameSync(join(folder, "..tmp"), join(folder, "..data"));
      await eventually(given, "a.example.org A", answer("192.0.2.2"));
      await given.instance.stop?.();
    });

    it("a file that vanishes leaves what was read, with one line in the log, and counts again when it is back", async () => {
      const path = join(folder, "hosts");
      writeFileSync(path, "192.0.2.1 a.example.org\n");
      const given = await fixture("hosts FOLDER/hosts");
      rmSync(path);
      const isTold = (): boolean => given.host.lines.some((line) => line.includes("WARNING"));
      for (let tries = 0; tries < 200 && !isTold(); tries++) await soon(given);
      for (let tries = 0; tries < 3; tries++) await soon(given);
      expect(given.host.lines.filter((line) => line.includes("WARNING"))).to.deep.equal([
        `[WARNING] plugin/hosts: Hosts file ${path} no such file: what was read before is answered`,
      ]);
      expect(given.ask("a.example.org A")).to.equal(answer("192.0.2.1"));
      writeFileSync(path, "192.0.2.2 a.example.org\n");
      await eventually(given, "a.example.org A", answer("192.0.2.2"));
      await given.instance.stop?.();
    });

    it("reload 0 looks never; reload D every D", async () => {
      writeFileSync(join(folder, "hosts"), "");
      expect((await fixture("hosts FOLDER/hosts {\nreload 0\n}")).clock.waiting).to.deep.equal([]);
      const { clock, instance } = await fixture("hosts FOLDER/hosts {\nreload 15s\n}");
      expect(clock.waiting).to.deep.equal([15_000]);
      await instance.stop?.();
      expect(clock.waiting).to.deep.equal([]);
    });

    it("is counted", async () => {
      writeFileSync(join(folder, "hosts"), "192.0.2.1 a.example.org b.example.org\n192.0.2.1 *.example.org\n");
      const { host } = await fixture("hosts FOLDER/hosts {\n192.0.2.2 c.example.org\n}");
      const samples = [...host.metrics.all()].flatMap(({ name, collect }) =>
        [...collect()].map(({ labels, value }) => ({ name, labels, value })),
      );
      expect(samples[0]).to.deep.equal({ name: "coredns_hosts_entries", labels: { hostsfile: join(folder, "hosts") }, value: 7 });
      expect(samples[1]?.name).to.equal("coredns_hosts_reload_timestamp_seconds");
      expect(samples[1]?.value).to.be.closeTo(Date.now() / 1_000, 60);
    });
  });

  it("over a socket, in front of kubernetes: listed names, wildcards, what is not listed, and a change", async () => {
    const path = join(folder, "hosts");
    writeFileSync(path, "192.0.2.1 node.internal extra.default.svc.cluster.local\n192.0.2.4 *.apps.cluster.local\n");
    const corefile = `. {
      hosts hosts {
        192.0.2.2 host.minikube.internal
        reload 100ms
        fallthrough
      }
      kubernetes cluster.local
    }`;
    await using dns = await startServer({ corefile, file: join(folder, "Corefile"), address: "127.0.0.1", port: 0 });
    const asked = async (name: string, type = "A"): Promise<string> => {
      const { rcode, answer } = await ask(dns.address, name, type);
      return [rcode, ...answer].join(", ");
    };
    expect(await asked("host.minikube.internal")).to.equal("NOERROR, host.minikube.internal. 3600 IN A 192.0.2.2");
    expect(await asked("extra.default.svc.cluster.local")).to.equal("NOERROR, extra.default.svc.cluster.local. 3600 IN A 192.0.2.1");
    expect(await asked("x.apps.cluster.local")).to.equal("NOERROR, x.apps.cluster.local. 3600 IN A 192.0.2.4");
    expect(await asked("apps.cluster.local")).to.equal("NXDOMAIN");
    expect(await asked("other.default.svc.cluster.local")).to.equal("NXDOMAIN");
    writeFileSync(path, "192.0.2.9 node.internal\n");
    for (let tries = 0; tries < 200 && !(await asked("node.internal")).endsWith("192.0.2.9"); tries++)
      await new Promise((done) => setTimeout(done, 20));
    expect(await asked("node.internal")).to.equal("NOERROR, node.internal. 3600 IN A 192.0.2.9");
    expect(await asked("extra.default.svc.cluster.local")).to.equal("NXDOMAIN");
    expect(await asked("x.apps.cluster.local")).to.equal("NXDOMAIN");
  });

  it("without fallthrough it hides the names of the plugins behind it, as CoreDNS does", async () => {
    const corefile = `. {
      hosts none cluster.local {
        192.0.2.2 a.cluster.local
      }
      kubernetes cluster.local
    }`;
    await using dns = await startServer({ corefile, file: join(folder, "Corefile"), address: "127.0.0.1", port: 0 });
    expect((await ask(dns.address, "dns-version.cluster.local", "TXT")).rcode).to.equal("SERVFAIL");
    expect((await ask(dns.address, "nosuch.cluster.local", "A")).rcode).to.equal("SERVFAIL");
    expect((await ask(dns.address, "a.cluster.local", "A")).answer).to.have.length(1);
  });
});
