// What a template does with questions and with the Corefile: which it takes, the reply around the records, what it touches, what
// it counts, what is refused. The language has a test of its own, and so have the recipes.

import { expect } from "chai";
import fc from "fast-check";

import { DROP, emptyReply, Flags, Rcodes, type Query, type Records } from "../../../src/dns/message.ts";
import { formatName, parseName, type Name } from "../../../src/dns/name.ts";
import { RRClasses, RRTypes, type RRType } from "../../../src/dns/records.ts";
import { formatRecord, parseRecordSets } from "../../../src/dns/text.ts";
import type { Answer, Handler, Host, Next, Touches } from "../../../src/plugin.ts";
import template from "../../../src/plugins/template/template.ts";
import { fakeHost, nextGives, query, readDirective, setUp, type Asked, type FakeHost } from "../../helpers/fake-host.ts";
import { startServer } from "../../../src/index.ts";
import { ask, service } from "../../../src/testing.ts";
import { anyName } from "../../properties/arbitraries.ts";

const NEXT: Records = emptyReply(Rcodes.REFUSED, "next");

async function instanceOf(lines: string, overrides: Partial<Host> = {}) {
  const host = fakeHost("template", overrides);
  return { host, instance: await setUp(template, lines, host) };
}

/** Asks one template; what it hands on gets NEXT. */
async function asked(
  lines: string,
  name: string | Name,
  options: Asked & { readonly qclass?: number; readonly overrides?: Partial<Host> } = {},
) {
  const { host, instance } = await instanceOf(lines, options.overrides);
  const question: Query = { ...query(name, options), qclass: options.qclass ?? RRClasses.IN };
  const reply = (await (instance.handle as Handler)(question, nextGives(NEXT))) as Records;
  return { host, reply };
}

function texts(reply: Records): string[] {
  return [...reply.answer, ...reply.authority, ...reply.additional].flatMap((rrset) =>
    rrset.rdata.map((rdata) => formatRecord(rrset, rdata)),
  );
}

const samples = (host: FakeHost, name: string) =>
  [...host.metrics.all()]
    .filter((metric) => metric.name === name)
    .flatMap((metric) => [...metric.collect()].filter(({ value }) => value > 0));

const A = 'answer "{{ .Name }} 60 IN A 192.0.2.1"';

describe("plugins/template", () => {
  describe("takes", () => {
    const rows: readonly {
      readonly rule: string;
      readonly lines: string;
      readonly name: string;
      readonly type?: RRType;
      readonly qclass?: number;
      readonly gives: "taken" | "next" | "SERVFAIL";
    }[] = [
      { rule: "its type", lines: `template IN A {\n${A}\n}`, name: "a.example.org", gives: "taken" },
      { rule: "no other type", lines: `template IN A {\n${A}\n}`, name: "a.example.org", type: RRTypes.AAAA, gives: "next" },
      { rule: "a question for ANY", lines: `template IN A {\n${A}\n}`, name: "a.example.org", type: RRTypes.ANY, gives: "taken" },
      { rule: "types without a name", lines: "template IN ANY {\n}", name: "a.example.org", type: 65_280, gives: "taken" },
      { rule: "a type by its number", lines: "template IN TYPE65 {\n}", name: "a.example.org", type: RRTypes.HTTPS, gives: "taken" },
      { rule: "no other class", lines: "template CH ANY {\n}", name: "a.example.org", gives: "next" },
      { rule: "its class", lines: "template CH ANY {\n}", name: "a.example.org", qclass: RRClasses.CH, gives: "taken" },
      { rule: "a question of class ANY", lines: "template CH ANY {\n}", name: "a.example.org", qclass: RRClasses.ANY, gives: "taken" },
      { rule: "every class with ANY", lines: "template ANY ANY {\n}", name: "a.example.org", qclass: RRClasses.HS, gives: "taken" },
      { rule: "the zone itself", lines: "template IN A example.org {\n}", name: "example.org", gives: "taken" },
      { rule: "names in its zone", lines: "template IN A example.net example.org {\n}", name: "a.b.example.org", gives: "taken" },
      { rule: "no name beside its zone", lines: "template IN A example.org {\n}", name: "aexample.org", gives: "next" },
      {
        rule: "reverse names of a network",
        lines: "template IN PTR 192.0.2.0/24 {\n}",
        name: "7.2.0.192.in-addr.arpa",
        type: 12,
        gives: "taken",
      },
      { rule: "a name that the first expression matches", lines: "template IN A {\nmatch ^a ^b\n}", name: "a.example.org", gives: "taken" },
      {
        rule: "a name that a later one matches",
        lines: "template IN A {\nmatch ^x\nmatch ^y ^a\n}",
        name: "a.example.org",
        gives: "taken",
      },
      { rule: "names in lower case", lines: "template IN A {\nmatch ^web[.]example[.]org[.]$\n}", name: "WEB.Example.org", gives: "taken" },
      { rule: "no name that none matches: SERVFAIL", lines: "template IN A {\nmatch ^x\n}", name: "a.example.org", gives: "SERVFAIL" },
      {
        rule: "… but with fallthrough it goes on",
        lines: "template IN A {\nmatch ^x\nfallthrough\n}",
        name: "a.example.org",
        gives: "next",
      },
      {
        rule: "… within fallthrough's zones",
        lines: "template IN A {\nmatch ^x\nfallthrough example.org\n}",
        name: "a.example.org",
        gives: "next",
      },
      {
        rule: "… and nowhere else",
        lines: "template IN A {\nmatch ^x\nfallthrough example.net\n}",
        name: "a.example.org",
        gives: "SERVFAIL",
      },
      {
        rule: "fallthrough means nothing for a name that matches",
        lines: "template IN A {\nfallthrough\n}",
        name: "a.example.org",
        gives: "taken",
      },
      {
        rule: "odd bytes as escapes",
        lines: String.raw`template IN A {${"\n"}match "^a\\032b\\\.c[.]"${"\n"}}`,
        name: "a\\032b\\.c.org",
        gives: "taken",
      },
    ];
    for (const { rule, lines, name, type, qclass, gives } of rows) {
      it(rule, async () => {
        const { reply } = await asked(lines, name, { ...(type && { type }), ...(qclass && { qclass }) });
        if (gives === "next") expect(reply).to.equal(NEXT);
        else expect(reply).to.include({ by: "template", rcode: gives === "SERVFAIL" ? Rcodes.SERVFAIL : Rcodes.NOERROR });
      });
    }

    it("names in the zones of the server block, if it has none", async () => {
      const overrides = { zones: [parseName("example.org"), parseName("example.net")] };
      expect((await asked(`template IN A {\n${A}\n}`, "a.example.net", { overrides })).reply.by).to.equal("template");
      expect((await asked(`template IN A {\n${A}\n}`, "a.example.com", { overrides })).reply).to.equal(NEXT);
    });
  });

  describe("replies", () => {
    const lines = (body: string): string => `template ANY ANY example.org org {\n${body}\n}`;

    it("with AA and RA, so that cache keeps it", async () => {
      const { reply } = await asked(lines(A), "a.example.org");
      expect(reply)
        .to.include({ authoritative: true, recursionAvailable: true, rcode: Rcodes.NOERROR })
        .and.not.to.have.property("perClient");
    });

    const rows: readonly {
      readonly rule: string;
      readonly body: string;
      readonly gives: readonly string[];
      readonly asked?: Asked & { qclass?: number };
    }[] = [
      {
        rule: "zone, name, class and type",
        body: 'answer "{{ .Name }} 5 TXT {{ .Zone }} {{ .Class }} {{ .Type }}"',
        gives: ['a.example.org. 5 IN TXT "example.org." "IN" "A"'],
      },
      {
        rule: "ANY as the template's own type",
        body: 'answer "{{ .Name }} 5 TXT {{ .Class }} {{ .Type }}"',
        asked: { type: RRTypes.ANY, qclass: RRClasses.ANY },
        gives: ['a.example.org. 5 IN TXT "ANY" "ANY"'],
      },
      {
        rule: "a type without a name by its number",
        body: 'answer "a. 5 TXT {{ .Type }}"',
        asked: { type: 65_280 },
        gives: ['a. 5 IN TXT "TYPE65280"'],
      },
      { rule: "3600 s without a TTL", body: 'answer "a. A 192.0.2.1"', gives: ["a. 3600 IN A 192.0.2.1"] },
      {
        rule: "TTLs with units",
        body: 'answer "a. 1h30m IN A 192.0.2.1" "b. IN 1w A 192.0.2.2"',
        gives: ["a. 5400 IN A 192.0.2.1", "b. 604800 IN A 192.0.2.2"],
      },
      {
        rule: "parentheses, comments and line breaks",
        body: 'authority "a. 60 IN SOA b. c. ( 1 ; serial\n 1h 10m\n 1d 30 )\n; more\nb. A 192.0.2.1"',
        gives: ["a. 60 IN SOA b. c. 1 3600 600 86400 30"],
      },
      { rule: "parentheses in strings as they are", body: String.raw`answer "a. 5 TXT \"(;)\" \;\("`, gives: ['a. 5 IN TXT "(;)" ";("'] },
      {
        rule: "no record for an empty text",
        body: `answer "{{ if eq .Type \\"MX\\" }}a. MX 1 b.{{ end }}"\nanswer "a. 5 A 192.0.2.1"`,
        gives: ["a. 5 IN A 192.0.2.1"],
      },
      {
        rule: "one TTL for an rrset, no record twice",
        body: 'answer "a. 9 A 192.0.2.1" "a. 5 A 192.0.2.2" "a. 9 A 192.0.2.1"',
        gives: ["a. 5 IN A 192.0.2.1", "a. 5 IN A 192.0.2.2"],
      },
      { rule: "records of another class", body: 'answer "a. 5 CH TXT x"', gives: ['a. 5 CH TXT "x"'] },
      {
        rule: "octets that the text form has no letters for",
        body: 'answer "{{ .Name }} 5 TXT {{ index .Match 0 }}"',
        gives: ['a.example.org. 5 IN TXT "a.example.org."'],
      },
    ];
    for (const { rule, body, asked: options, gives } of rows) {
      it(rule, async () => expect(texts((await asked(lines(body), "a.example.org", options)).reply)).to.deep.equal(gives));
    }

    it("SERVFAIL on demand, with the reason", async () => {
      const { reply } = await asked(lines("rcode SERVFAIL\nederror 15 no"), "a.example.org");
      expect(reply).to.deep.include({ rcode: Rcodes.SERVFAIL, authoritative: false, ede: { code: 15, text: "no" } });
    });

    it("an extended response code", async () => {
      expect((await asked(lines("rcode BADCOOKIE"), "a.example.org")).reply.rcode).to.equal(23);
    });

    it("per client where a template looks at the client", async () => {
      for (const field of [".Remote", ".Question.Name", ".Message.Id", '.Meta \\"x\\"', "printf `%v` (index .Message.Question 0).Qtype"]) {
        const { reply } = await asked(lines(`answer "{{ .Name }} 5 TXT x{{ ${field} }}"`), "a.example.org");
        expect(reply, field).to.include({ perClient: true, rcode: Rcodes.NOERROR });
      }
    });

    it("tells the client's address, id, flags, and the letters it wrote", async () => {
      const body =
        'answer "a. 5 TXT {{ .Remote }} {{ .Message.Id }} {{ .Message.RecursionDesired }} {{ .Message.CheckingDisabled }} {{ .Question.Name }}"';
      const { instance } = await instanceOf(lines(body));
      const question = query("web.example.org", { id: 77, flags: Flags.RD });
      const wire = Buffer.from(question.wire);
      wire.write("WeB", 13, "latin1");
      const reply = instance.handle?.({ ...question, wire }, nextGives(undefined)) as Records;
      expect(texts(reply)).to.deep.equal(['a. 5 IN TXT "192.0.2.7" "77" "true" "false" "WeB.example.org."']);
      const rewritten = instance.handle?.({ ...question, qname: parseName("other.example.org"), wire }, nextGives(undefined)) as Records;
      expect(texts(rewritten)[0]).to.contain('"other.example.org."');
    });
  });

  it("cache keeps answers, also empty ones with an SOA, but not what depends on who asks", async () => {
    const corefile = `. {
      cache 30
      template IN A {
        answer "{{ .Name }} 60 A 192.0.2.1"
      }
      template IN AAAA {
        authority "{{ .Name }} 60 SOA ns.invalid. hostmaster.invalid. (1 60 60 60 60)"
      }
      template IN TXT {
        answer "{{ .Name }} 60 TXT {{ .Message.Id }}"
      }
    }`;
    await using dns = await startServer({ corefile, address: "127.0.0.1", port: 0 });
    for (const [type, kept] of [
      ["A", true],
      ["AAAA", true],
      ["TXT", false],
    ] as const) {
      const [first, second] = [await ask(dns.address, "a.example.org", type), await ask(dns.address, "a.example.org", type)];
      expect(first.flags, type).to.include.members(["aa", "ra"]);
      expect(second.flags, type).to.include("ra");
      expect(second.flags.includes("aa"), type).to.equal(!kept); // memory is no authority
      expect(second.rcode).to.equal("NOERROR");
      expect(second.answer.length + second.authority.length).to.equal(1);
    }
  });

  describe("a CNAME at the end of the answer", () => {
    const alias = 'template IN ANY example.org {\nanswer "{{ .Name }} 60 CNAME target.example.net."\n}';
    const targets: Records = {
      ...emptyReply(Rcodes.NOERROR, "hosts"),
      recursionAvailable: true,
      answer: parseRecordSets("target.example.net. 9 A 192.0.2.9"),
    };

    it("is completed with what the server block says", async () => {
      const seen: Query[] = [];
      const overrides = { ask: (question: Query): Answer => (seen.push(question), targets) };
      const { reply } = await asked(alias, "a.example.org", { overrides });
      expect(texts(reply)).to.deep.equal(["a.example.org. 60 IN CNAME target.example.net.", "target.example.net. 9 IN A 192.0.2.9"]);
      expect(reply).to.include({ by: "template", authoritative: true, rcode: Rcodes.NOERROR });
      expect(seen.map(({ qname, qtype, hops }) => [formatName(qname), qtype, hops])).to.deep.equal([["target.example.net.", RRTypes.A, 1]]);
    });

    it("has the rcode of its end", async () => {
      const overrides = { ask: (): Answer => emptyReply(Rcodes.NXDOMAIN, "kubernetes") };
      expect((await asked(alias, "a.example.org", { overrides })).reply.rcode).to.equal(Rcodes.NXDOMAIN);
    });

    it("a late answer, and none", async () => {
      const late = { ask: (): Promise<Answer> => Promise.resolve(targets) };
      expect(texts((await asked(alias, "a.example.org", { overrides: late })).reply)).to.have.length(2);
      const { instance } = await instanceOf(alias, { ask: () => DROP });
      expect(instance.handle?.(query("a.example.org"), nextGives(undefined))).to.equal(DROP);
    });

    for (const [rule, lines, type] of [
      ["is what was asked for", alias, RRTypes.CNAME],
      ["has its records beside it", 'template IN ANY {\nanswer "a.example.org. CNAME b." "b. A 192.0.2.1"\n}', RRTypes.A],
      ["comes with another rcode", alias.replace("answer", "rcode NXDOMAIN\nanswer"), RRTypes.A],
      ["would be followed for the eleventh time", alias, RRTypes.A],
    ] as const) {
      it(`is left alone if it ${rule}`, async () => {
        const { instance } = await instanceOf(lines, {
          ask: () => {
            throw new Error("asked");
          },
        });
        const reply = (await instance.handle?.({ ...query("a.example.org", { type }), hops: 10 }, nextGives(undefined))) as Records;
        expect(texts(reply)[0]).to.contain("CNAME");
      });
    }

    it("over a socket, a loop ends", async () => {
      const corefile =
        '. {\n template IN A {\n match ^a\n answer "{{ .Name }} CNAME b."\n fallthrough\n }\n template IN A {\n answer "{{ .Name }} CNAME a."\n }\n}';
      await using dns = await startServer({ corefile, address: "127.0.0.1", port: 0 });
      const { rcode, answer } = await ask(dns.address, "a.", "A");
      expect([rcode, ...answer]).to.deep.equal(["NOERROR", "a. 3600 IN CNAME b.", "b. 3600 IN CNAME a."]);
    });
  });

  describe("failures", () => {
    const cases = [
      {
        what: "a template",
        metric: "template_failures",
        body: '"{{ .Name }} A {{ index .Match 3 }}"',
        error: "answer: index 3 is out of range",
      },
      {
        what: "a record",
        metric: "rr_failures",
        body: '"{{ .Name }} A {{ .Group.x }}"',
        error: 'answer: A: needs ipv4; found 2 fields: "<no value>"',
      },
    ] as const;
    for (const { what, metric, body, error } of cases) {
      it(`${what} that can't be made is SERVFAIL, told and counted`, async () => {
        const { host, reply } = await asked(`template IN A example.org {\nanswer ${body}\n}`, "a.example.org");
        expect(reply).to.include({ rcode: Rcodes.SERVFAIL, authoritative: false, error });
        expect(reply).not.to.have.property("recursionAvailable");
        const labels = {
          server: "dns://:53",
          zone: "example.org.",
          view: "",
          class: "IN",
          type: "A",
          section: "answer",
          template: body.slice(1, -1),
        };
        expect(samples(host, `coredns_template_${metric}_total`)).to.deep.equal([{ labels, value: 1 }]);
      });
    }

    it("what is taken is counted by zone, class and type, types without a name together", async () => {
      const { host, instance } = await instanceOf("template ANY ANY example.org {\n}");
      for (const type of [RRTypes.A, RRTypes.A, 65_280, 65_281, RRTypes.ANY])
        await instance.handle?.(query("a.example.org", { type }), nextGives(undefined));
      await instance.handle?.({ ...query("a.example.org"), qclass: 77 }, nextGives(undefined));
      await instance.handle?.(query("a.example.net"), nextGives(NEXT));
      expect(
        samples(host, "coredns_template_matches_total").map(({ labels, value }) => [labels["class"], labels["type"], value]),
      ).to.deep.equal([
        ["IN", "A", 2],
        ["IN", "", 2],
        ["IN", "ANY", 1],
        ["", "A", 1],
      ]);
    });
  });

  describe("touches", () => {
    const zones = [parseName("example.org")];
    const rows: readonly (readonly [rule: string, line: string, touches: Touches])[] = [
      ["its type at any name, for the whole block", "template IN AAAA", { types: [RRTypes.AAAA, RRTypes.ANY] }],
      ["the same for zones above the block's", "template ANY HINFO .", { types: [RRTypes.HINFO, RRTypes.ANY] }],
      ["names in zones below the block's", "template IN AAAA v4.example.org", { below: [parseName("v4.example.org")] }],
      ["all names for all types", "template ANY ANY", { below: zones }],
      ["names in its zones for all types", "template ANY ANY invalid", { below: [parseName("invalid")] }],
    ];
    for (const [rule, line, touches] of rows) {
      it(rule, async () => expect((await instanceOf(line, { zones })).instance.transparent).to.deep.equal(touches));
    }

    it("cluster names are still answered from the table, but for what a template takes", async () => {
      const corefile = `. {
        template IN AAAA {
          rcode NOERROR
        }
        template ANY ANY shop.svc.cluster.local {
          rcode NXDOMAIN
        }
        kubernetes cluster.local
        prometheus 127.0.0.1:0
      }`;
      await using dns = await startServer({ corefile, address: "127.0.0.1", port: 0 });
      dns.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.0.0.1"] }) });
      dns.registry.apply({ verb: "upsert", object: service({ name: "web", namespace: "shop", clusterIPs: ["10.0.0.2"] }) });
      const rows: readonly (readonly [string, string, string, readonly string[]])[] = [
        ["web.default.svc.cluster.local", "A", "NOERROR", ["web.default.svc.cluster.local. 5 IN A 10.0.0.1"]],
        ["web.default.svc.cluster.local", "AAAA", "NOERROR", []],
        ["none.default.svc.cluster.local", "A", "NXDOMAIN", []],
        ["none.default.svc.cluster.local", "AAAA", "NOERROR", []],
        ["web.shop.svc.cluster.local", "A", "NXDOMAIN", []],
        ["web.shop.svc.cluster.local", "MX", "NXDOMAIN", []],
      ];
      for (const [name, type, rcode, answer] of rows) {
        const given = await ask(dns.address, name, type);
        expect([given.rcode, given.answer], `${name} ${type}`).to.deep.equal([rcode, answer]);
      }
      expect((await ask(dns.address, "web.default.svc.cluster.local", "AAAA")).flags).to.include.members(["aa", "ra"]);
    });

    it("asks for questions of other classes only if it is for them", async () => {
      expect((await instanceOf("template IN A")).instance).not.to.have.property("takesClasses");
      expect((await instanceOf("template CH TXT")).instance.takesClasses).to.deep.equal([RRClasses.CH]);
      expect((await instanceOf("template ANY TXT")).instance.takesClasses).to.include(RRClasses.CH);
    });
  });

  describe("the Corefile", () => {
    const refused: readonly (readonly [lines: string, finding: string])[] = [
      ["template", "Corefile:2:1: template: expected CLASS TYPE [ZONE...], found nothing"],
      ["template IN", 'Corefile:2:1: template: expected CLASS TYPE [ZONE...], found "IN"'],
      ["template INN A", 'Corefile:2:10: template: CLASS must be IN, CH, HS, CS or ANY, found "INN"'],
      ["template IN AAAAA", 'Corefile:2:13: template: TYPE must be a type like A, AAAA or ANY, found "AAAAA"'],
      ["template IN A a..b", "template: ZONE must be a zone or a network"],
      [
        "template IN A {\nmatch (a\n}",
        "Corefile:3:7: template: match: REGEX must be a regular expression of Go's: missing closing ): `(a`",
      ],
      ["template IN A {\nmatch\n}", "Corefile:3:1: template: match: expected REGEX..., found nothing"],
      [`template IN A {\nmatch ${"x".repeat(10_001)}\n}`, "REGEX must be at most 10000 characters, found 10001"],
      [
        'template IN A {\nanswer "{{ .Nmae }} A 1"\n}',
        'Corefile:3:8: template: answer: RR must be a template of a record: no field "Nmae", did you mean "Name"?',
      ],
      [
        'template IN A {\nadditional "{{ "\n}',
        "Corefile:3:12: template: additional: RR must be a template of a record: an action is not closed",
      ],
      ['template IN A {\nauthority "a. SOA b."\n}', "Corefile:3:11: template: authority: RR must be a record: SOA: needs"],
      ["template IN A {\nanswer\n}", "answer: expected RR..., found nothing"],
      ["template IN A {\nrcode NOPE\n}", "Corefile:3:7: template: rcode: CODE must be one of NOERROR, FORMERR, SERVFAIL, NXDOMAIN"],
      ["template IN A {\nrcode NXDOMAIN\nrcode NOERROR\n}", "rcode: given twice, allowed once"],
      ["template IN A {\nederror x\n}", "ederror: CODE must be 0–65535"],
      ["template IN A {\nederror\n}", "ederror: expected CODE [TEXT], found nothing"],
      ["template IN A {\nederror 1 a b\n}", "ederror: expected CODE [TEXT]"],
      [
        `template IN A {
ederror 1 ${"é".repeat(33)}\n}`,
        `warning: template: ederror: TEXT is cut to 64 octets: "${"é".repeat(32)}"`,
      ],
      ["template IN A {\nvar x 1\n}", "var: not supported yet"],
      ["template IN A {\nexpr true\n}", "expr: not supported yet"],
      ["template IN A {\nanwser x\n}", "unknown property 'anwser', did you mean 'answer'?"],
      ["template IN A {\nupstream 192.0.2.1\n}", "Corefile:3:1: warning: template: upstream: ignored"],
    ];
    for (const [lines, finding] of refused) {
      it(`${JSON.stringify(lines.slice(0, 50))}: ${finding.slice(0, 80)}`, () =>
        expect(readDirective(template, lines).findings.join("\n")).to.contain(finding));
    }

    it("each directive is a template of its own, in the order of the file", () => {
      const { options } = readDirective(template, "template IN A a\ntemplate IN MX b\ntemplate IN A c");
      expect(options.map(({ args: { zones } }) => zones.map(formatName).join())).to.deep.equal(["a.", "b.", "c."]);
    });

    it("warns of groups that no expression has", async () => {
      const { host } = await instanceOf(
        'template IN A {\nmatch (?P<a>x) (y)\nanswer "{{ .Group.a }}{{ .Group.b }}{{ index .Match 1 }} A 192.0.2.1"\n}',
      );
      expect(host.reported.map(({ severity, message }) => `${severity}: ${message}`)).to.deep.equal([
        'warning: template: no regular expression has a group "b"',
      ]);
    });
  });

  it("gives a sound reply for any name and type, whatever its templates make of it", async () => {
    const bodies = [
      'match "^(?P<a>.*?)[.](?P<b>.*)$"\nanswer "{{ .Group.a }}.example. TXT {{ .Group.b }}" "{{ .Name }} CNAME {{ .Group.b }}"',
      'match "(?P<n>[0-9]+)"\nanswer "{{ range parseInt .Group.n 10 64 }}{{ $.Name }}{{ end }} A 192.0.2.1"\nfallthrough',
      'answer "{{ .Name }} 60 IN TXT \\"{{ .Question.Name }}\\" {{ printf `%q` .Name }} {{ slice .Name 1 }}"',
      'answer "{{ index .Match 0 }} {{ len .Name }} A {{ range .Match }}{{ . }}{{ end }}"\nauthority "{{ .Name }} SOA {{ .Name }} {{ .Zone }} ({{ .Message.Id }} 1 1 1 1)"',
    ];
    const ends: Next = () => NEXT;
    for (const body of bodies) {
      const { instance } = await instanceOf(`template ANY ANY {\n${body}\n}`, { ask: () => NEXT });
      fc.assert(
        fc.property(anyName, fc.nat({ max: 0xffff }), (name, type) => {
          const reply = instance.handle?.(query(name, { type }), ends) as Records;
          expect(reply.rcode).to.be.oneOf([Rcodes.NOERROR, Rcodes.SERVFAIL, Rcodes.REFUSED]);
          if (reply.rcode === Rcodes.SERVFAIL) expect(reply.error ?? reply.ede?.text).to.be.a("string");
        }),
      );
    }
  });
});
