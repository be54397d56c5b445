// Syntax tables and the kinds of arguments: what they read, what they say, what they list.

import { expect } from "chai";
import {
  address,
  caseless,
  cidr,
  decimal,
  filePath,
  goDuration,
  httpUrl,
  integer,
  ipAddress,
  isProblem,
  oneOf,
  word,
  zone,
} from "../../src/config/arguments.ts";
import type { ArgType } from "../../src/config/arguments.ts";
import { parseCorefile } from "../../src/config/corefile.ts";
import { args, deprecated, directive, each, none, once, one, optional, rest, zones, zonesOrAll } from "../../src/config/directive.ts";
import type { Syntax } from "../../src/config/directive.ts";
import { formatName, ROOT } from "../../src/dns/name.ts";
import type { Name } from "../../src/dns/name.ts";

/** Reads the lines of one server block; findings as `LINE:COLUMN: message`. */
function read<O>(syntax: Syntax<O>, lines: string): { options: readonly O[]; says: string[] } {
  const block = parseCorefile({ file: "Corefile", text: `. {\n${lines}\n}` }).blocks[0];
  const says: string[] = [];
  const options = syntax.read(block?.directives ?? [], {
    error: (at, message) => says.push(`${at.line - 1}:${at.column}: ${message}`),
    warning: (at, message) => says.push(`${at.line - 1}:${at.column}: warning: ${message}`),
  });
  return { options, says };
}

describe("arguments", () => {
  const rows: readonly {
    kind: string;
    type: ArgType<unknown>;
    takes: readonly [text: string, value: unknown][];
    refuses: readonly (readonly [text: string, problem: string])[];
  }[] = [
    { kind: "word", type: word("NAME"), takes: [["a", "a"]], refuses: [["", 'must be not empty, found ""']] },
    { kind: "file path", type: filePath(), takes: [["/a b", "/a b"]], refuses: [["", 'must be a file\'s path, found ""']] },
    {
      kind: "one of words",
      type: oneOf("disabled", "insecure", "verified"),
      takes: [["insecure", "insecure"]],
      refuses: [
        ["x", 'must be disabled, insecure or verified, found "x"'],
        ["insecur", 'must be disabled, insecure or verified, found "insecur", did you mean "insecure"?'],
      ],
    },
    {
      kind: "one of words in any case",
      type: caseless(oneOf("set", "clear")),
      takes: [["SET", "set"]],
      refuses: [["x", 'must be set or clear, found "x"']],
    },
    { kind: "a single word", type: oneOf("on"), takes: [["on", "on"]], refuses: [["xyz", 'must be on, found "xyz"']] },
    {
      kind: "integer",
      type: integer({ usage: "TTL", min: 1, max: 3600 }),
      takes: [
        ["1", 1],
        ["+3600", 3600],
      ],
      refuses: [
        ["0", "1"],
        ["3601", ""],
        ["-1", ""],
        ["1.5", ""],
        ["1e2", ""],
        ["", ""],
      ].map(([text = ""]) => [text, `must be 1–3600, found "${text}"`]),
    },
    {
      kind: "integer without bounds",
      type: integer({ usage: "N" }),
      takes: [["0", 0]],
      refuses: [["-1", 'must be an integer of at least 0, found "-1"']],
    },
    {
      kind: "Go duration",
      type: goDuration(),
      takes: [
        ["5s", 5000],
        ["1m30s", 90_000],
        ["500ms", 500],
        ["1.5h", 5_400_000],
        [".5s", 500],
        ["0", 0],
        ["10us", 0.01],
        ["10µs", 0.01],
        ["+1s", 1000],
      ],
      refuses: ["5", "s", "", "-5s", "5 s", "1d", "5s5"].map((text) => [
        text,
        `must be a duration like "30s", "1m30s" or "500ms", found "${text}"`,
      ]),
    },
    {
      kind: "bounded duration",
      type: goDuration("TIME", { minMs: 1000, maxMs: 5000 }),
      takes: [["5s", 5000]],
      refuses: [["6s", 'must be a duration like "30s", "1m30s" or "500ms", at least 1000 ms, at most 5000 ms, found "6s"']],
    },
    {
      kind: "decimal number",
      type: decimal("QPS"),
      takes: [
        ["0", 0],
        ["2.5", 2.5],
        [".5", 0.5],
        ["7.", 7],
      ],
      refuses: ["", "-1", "1e3", "Infinity", "0x10", "."].map((text) => [text, `must be a number of at least 0, found "${text}"`] as const),
    },
    {
      kind: "URL",
      type: httpUrl(),
      takes: [
        ["https://192.0.2.1:6443", "https://192.0.2.1:6443"],
        ["https://a.example/prefix", "https://a.example/prefix"],
        ["localhost:8080", "localhost:8080"],
        ["https://[2001:db8::1]:6443", "https://[2001:db8::1]:6443"],
      ],
      refuses: [
        ...["", "ftp://a", "https://", "https://a:b", "https://a?b", "https://a#b", "https://a b"].map(
          (text) => [text, `must be a URL like https://192.0.2.1:6443, found "${text}"`] as const,
        ),
        ["https://u:secret@a", "must not hold a user or password"],
      ],
    },
    {
      kind: "IP address",
      type: ipAddress(),
      takes: [
        ["192.0.2.1", "192.0.2.1"],
        ["::1", "::1"],
      ],
      refuses: [["192.0.2", 'must be an IP address, found "192.0.2"']],
    },
    {
      kind: "network",
      type: cidr(),
      takes: [["10.0.0.0/16", "10.0.0.0/16"]],
      refuses: [["10.0.0.0", 'must be a network like 192.0.2.0/24 or 2001:db8::/32, found "10.0.0.0"']],
    },
    {
      kind: "address",
      type: address({ host: "localhost", port: 9153 }),
      takes: [
        [":8080", { host: "localhost", port: 8080 }],
        ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
        ["[::1]:8080", { host: "::1", port: 8080 }],
        ["[::1]", { host: "::1", port: 9153 }],
        ["::1", { host: "::1", port: 9153 }],
        ["example.org", { host: "example.org", port: 9153 }],
        ["localhost:0", { host: "localhost", port: 0 }],
      ],
      refuses: ["", ":65536", "a:b", "[a]:1", "1:2:3", "a b:1", "http://a:1"].map((text) => [
        text,
        `must be HOST:PORT or HOST with a port of 0–65535, found "${text}"`,
      ]),
    },
    {
      kind: "address that needs its port",
      type: address(),
      takes: [[":53", { host: "", port: 53 }]],
      refuses: [["a", 'must be HOST:PORT with a port of 0–65535, found "a"']],
    },
  ];
  for (const { kind, type, takes, refuses } of rows) {
    it(kind, () => {
      for (const [text, value] of takes) expect(type.parse(text), text).to.deep.equal(value);
      for (const [text, problem] of refuses) expect(type.parse(text), text).to.deep.equal({ problem });
    });
  }

  it("a zone is a list of names", () => {
    const takes = (text: string): string[] => {
      const value = zone().parse(text);
      return isProblem(value) ? [value.problem] : value.map(formatName);
    };
    expect(takes("Example.org")).to.deep.equal(["example.org."]);
    expect(takes("192.0.2.0/23")).to.deep.equal(["2.0.192.in-addr.arpa.", "3.0.192.in-addr.arpa."]);
    expect(takes("a..b")).to.deep.equal(['must be a zone or a network: not a domain name: "a..b": a label is empty']);
  });
});

describe("directive", () => {
  const health = directive({
    args: optional(address({ port: 8080 }), { host: "", port: 8080 }),
    options: { lameduck: once(one(goDuration())) },
  });
  const kubernetes = directive({
    args: zones(),
    options: {
      pods: once(one(oneOf("disabled", "insecure", "verified"))),
      ttl: once(one(integer({ usage: "TTL", min: 0, max: 3600 }))),
      tls: once(args(filePath("CERT"), filePath("KEY"), filePath("CA"))),
      namespaces: each(rest(word("NAMESPACE"), { min: 1 })),
      noendpoints: once(none()),
      fallthrough: once(zonesOrAll()),
      resyncperiod: deprecated(one(word("PERIOD")), "nothing is resynced"),
    },
    check(options, report, at) {
      if (options.noendpoints === true && options.namespaces.length > 0) report.error(at, "noendpoints and namespaces exclude each other");
    },
  });
  const cache = directive({ args: optional(integer({ usage: "TTL", min: 1, max: 3600 })) });
  const bind = directive({ args: rest(word("ADDRESS"), { min: 1 }), options: { except: each(one(word("ADDRESS"))) }, repeat: "merge" });
  const log = directive({ args: rest(word("NAME")), options: { class: once(one(word("CLASS"))) }, repeat: "each" });

  it("options are typed and read", () => {
    const { options, says } = read(
      kubernetes,
      "kubernetes cluster.local 10.0.0.0/8 {\n pods insecure\n ttl 30\n tls a b c\n namespaces x y\n namespaces z\n fallthrough in-addr.arpa\n}",
    );
    expect(says).to.deep.equal([]);
    const [first] = options;
    const names: readonly Name[] | undefined = first?.args;
    const pods: "disabled" | "insecure" | "verified" | undefined = first?.pods;
    const ttl: number | undefined = first?.ttl;
    const tls: readonly [string, string, string] | undefined = first?.tls;
    const flag: true | undefined = first?.noendpoints;
    expect(names?.map(formatName)).to.deep.equal(["cluster.local.", "10.in-addr.arpa."]);
    expect([pods, ttl, tls, flag]).to.deep.equal(["insecure", 30, ["a", "b", "c"], undefined]);
    expect(first?.namespaces).to.deep.equal([["x", "y"], ["z"]]);
    expect(first?.fallthrough?.map(formatName)).to.deep.equal(["in-addr.arpa."]);
  });

  it("what is not given reads as undefined, an empty list or the fallback; a flag as true", () => {
    expect(read(health, "health").options).to.deep.equal([{ args: { host: "", port: 8080 }, lameduck: undefined }]);
    expect(read(cache, "cache").options).to.deep.equal([{ args: undefined }]);
    const [first] = read(kubernetes, "kubernetes {\n noendpoints\n fallthrough\n}").options;
    expect([first?.args, first?.namespaces, first?.noendpoints]).to.deep.equal([[], [], true]);
    expect(first?.fallthrough, "no zones are all").to.deep.equal([ROOT]);
    expect(read(kubernetes, "kubernetes").options[0]?.fallthrough).to.equal(undefined);
  });

  it("merge reads the lines together, each on its own", () => {
    expect(read(bind, "bind a b {\n except x\n}\nbind c {\n except y\n}").options).to.deep.equal([
      { args: ["a", "b", "c"], except: ["x", "y"] },
    ]);
    expect(read(log, "log a\nlog b {\n class error\n}").options).to.deep.equal([
      { args: ["a"], class: undefined },
      { args: ["b"], class: "error" },
    ]);
    expect(read(directive(), "").options).to.deep.equal([]);
  });

  const wrong: readonly { rule: string; syntax: Syntax<unknown>; text: string; says: readonly string[]; reads?: number }[] = [
    { rule: "a value out of range", syntax: cache, text: "cache 0", says: ['1:7: cache: TTL must be 1–3600, found "0"'] },
    { rule: "too many arguments", syntax: cache, text: "cache 1 2", says: ['1:9: cache: expected [TTL], found "1 2"'] },
    { rule: "too few arguments", syntax: bind, text: "bind", says: ["1:1: bind: expected ADDRESS..., found nothing"] },
    { rule: "arguments where there are none", syntax: directive(), text: "ready x", says: ['1:7: ready: takes no arguments, found "x"'] },
    { rule: "a block where there is none", syntax: directive(), text: "loop {\n a\n}", says: ["1:1: loop: takes no block"] },
    {
      rule: "a property's wrong word",
      syntax: kubernetes,
      text: "kubernetes {\n pods all\n}",
      says: ['2:7: kubernetes: pods: must be disabled, insecure or verified, found "all"'],
    },
    {
      rule: "a property's missing arguments",
      syntax: kubernetes,
      text: "kubernetes {\n tls a\n}",
      says: ['2:2: kubernetes: tls: expected CERT KEY CA, found "a"'],
    },
    {
      rule: "a property's block",
      syntax: kubernetes,
      text: "kubernetes {\n ttl 5 {\n }\n}",
      says: ["2:2: kubernetes: ttl: takes no block"],
    },
    {
      rule: "a property given twice",
      syntax: kubernetes,
      text: "kubernetes {\n ttl 5\n ttl 6\n}",
      says: ["3:2: kubernetes: ttl: given twice, allowed once"],
    },
    {
      rule: "an unknown property with a near one",
      syntax: kubernetes,
      text: "kubernetes {\n tll 5\n}",
      says: [
        "2:2: kubernetes: unknown property 'tll', did you mean 'ttl'? known: fallthrough, namespaces, noendpoints, pods, resyncperiod, tls, ttl",
      ],
    },
    {
      rule: "an unknown property",
      syntax: health,
      text: "health {\n zzzzzz\n}",
      says: ["2:2: health: unknown property 'zzzzzz'; known: lameduck"],
    },
    {
      rule: "every wrong argument is reported",
      syntax: kubernetes,
      text: "kubernetes a..b c..d {\n ttl x\n}",
      says: [
        '1:12: kubernetes: ZONES must be a zone or a network: not a domain name: "a..b": a label is empty',
        '1:17: kubernetes: ZONES must be a zone or a network: not a domain name: "c..d": a label is empty',
        '2:6: kubernetes: ttl: TTL must be 0–3600, found "x"',
      ],
    },
    {
      rule: "a wrong value of a repeatable property",
      syntax: kubernetes,
      text: "kubernetes {\n namespaces\n}",
      says: ["2:2: kubernetes: namespaces: expected NAMESPACE..., found nothing"],
    },
    {
      rule: "a directive that is given twice",
      syntax: health,
      text: "health\nhealth",
      says: ["2:1: health: this plugin can only be used once per Server Block"],
      reads: 1,
    },
    {
      rule: "a deprecated property is only a warning",
      syntax: kubernetes,
      text: "kubernetes {\n resyncperiod 5m\n}",
      says: ["2:2: warning: kubernetes: resyncperiod: ignored: nothing is resynced"],
      reads: 1,
    },
    {
      rule: "a rule between options",
      syntax: kubernetes,
      text: "kubernetes {\n noendpoints\n namespaces x\n}",
      says: ["1:1: kubernetes: noendpoints and namespaces exclude each other"],
      reads: 1,
    },
  ];
  for (const { rule, syntax, text, says, reads = 0 } of wrong) {
    it(rule, () => {
      const result = read(syntax, text);
      expect(result.says).to.deep.equal(says);
      expect(result.options).to.have.length(reads);
    });
  }

  it("lists the README's syntax", () => {
    expect(directive().usage("ready")).to.deep.equal(["ready"]);
    expect(bind.usage("bind")).to.deep.equal(["bind ADDRESS... {", "    except ADDRESS", "}"]);
    expect(health.usage("health")).to.deep.equal(["health [ADDRESS] {", "    lameduck DURATION", "}"]);
    expect(kubernetes.usage("kubernetes")).to.deep.equal([
      "kubernetes [ZONES...] {",
      "    pods disabled|insecure|verified",
      "    ttl TTL",
      "    tls CERT KEY CA",
      "    namespaces NAMESPACE...",
      "    noendpoints",
      "    fallthrough [ZONES...]",
      "}",
    ]);
  });
});
