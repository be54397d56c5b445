// Server blocks with their plugins: order, what is unknown, what is missing, and zones that are served twice.

import { expect } from "chai";
import { integer, word } from "../../src/config/arguments.ts";
import { readBlocks } from "../../src/config/blocks.ts";
import type { SyntaxMap } from "../../src/config/blocks.ts";
import { executionOrder, ignoredPlugins, refusedPlugins } from "../../src/config/coredns-plugins.ts";
import { parseCorefile } from "../../src/config/corefile.ts";
import { directive, optional, rest } from "../../src/config/directive.ts";
import { checkOverlaps, portOf } from "../../src/config/server-keys.ts";
import { parseCidr, zonesOfCidr } from "../../src/config/zones.ts";
import { formatName } from "../../src/dns/name.ts";
import { formatFinding } from "../../src/errors.ts";

const plugins: SyntaxMap = new Map([
  ["errors", { syntax: directive() }],
  ["log", { syntax: directive({ args: rest(word("NAME")), repeat: "each" }) }],
  ["kubernetes", { syntax: directive({ args: optional(integer({ usage: "N", max: 9 })) }) }],
]);

function read(text: string, file = "Corefile"): { plans: string[]; says: string[] } {
  const { blocks, findings } = readBlocks(parseCorefile({ file, text, files: { read: () => "reload\ncache", list: () => [] } }), plugins);
  const plans = blocks.map(({ directives }) =>
    directives.map(({ name, options, at }) => `${at.line} ${name} ${JSON.stringify(options)}`).join("; "),
  );
  return { plans, says: findings.map(formatFinding) };
}

describe("readBlocks", () => {
  it("plugins come in execution order, repeated ones in the file's", () => {
    expect(read(". {\n kubernetes 1\n log b\n log a\n errors\n}\nexample.org {\n}")).to.deep.equal({
      plans: ['5 errors {"args":true}; 3 log {"args":["b"]}; 4 log {"args":["a"]}; 2 kubernetes {"args":1}', ""],
      says: [],
    });
  });

  const rows: readonly { rule: string; text: string; says: readonly string[] }[] = [
    ...["", "# a comment", "(a) {\n log\n}"].map((text) => ({
      rule: `without a server block there is nothing to serve: ${JSON.stringify(text)}`,
      text,
      says: ["Corefile:1: no server block, so nothing to serve; expected a key such as .:53 and a block behind it"],
    })),
    {
      rule: "an unknown directive names the nearest",
      text: ". {\n kubernets\n}",
      says: ["Corefile:2:2: Error during parsing: Unknown directive 'kubernets', did you mean 'kubernetes'?"],
    },
    {
      rule: "an unknown directive near a plugin that is missing",
      text: ". {\n cahe\n}",
      says: ["Corefile:2:2: Error during parsing: Unknown directive 'cahe', did you mean 'cache'?"],
    },
    {
      rule: "an unknown directive like no other",
      text: ". {\n qqqqqqq\n}",
      says: ["Corefile:2:2: Error during parsing: Unknown directive 'qqqqqqq'"],
    },
    {
      rule: "pprof and trace are accepted with a warning",
      text: ". {\n pprof :6053 {\n  block\n }\n}",
      says: ["Corefile:2:2: warning: pprof: ignored: there are no Go profiles here; start node with --cpu-prof or --inspect instead"],
    },
    {
      rule: "what is missing is one error",
      text: ". {\n forward . 192.0.2.1\n etcd\n cache\n forward x 192.0.2.2\n}\na.org {\n import more\n}",
      says: [
        "Corefile:2:2: Error during parsing: not in this version yet: forward (line 2, line 5), cache (line 4, more:2), reload (more:1); etcd (line 3) is not supported: records in etcd are not read; keep them in Kubernetes or in a zone file",
      ],
    },
    {
      rule: "every finding of every block is collected",
      text: ". {\n kubernetes 10\n errors x\n}\na.org {\n kubernetes\n kubernetes\n}",
      says: [
        'Corefile:3:9: errors: takes no arguments, found "x"',
        'Corefile:2:13: kubernetes: N must be 0–9, found "10"',
        "Corefile:7:2: kubernetes: this plugin can only be used once per Server Block",
      ],
    },
  ];
  for (const { rule, text, says } of rows) it(rule, () => expect(read(text).says).to.deep.equal(says));

  it("every plugin of CoreDNS is known exactly once", () => {
    expect(executionOrder).to.have.length(62); // CoreDNS's 60, ratelimit and search
    expect(new Set(executionOrder)).to.have.length(62);
    for (const name of ignoredPlugins.keys()) expect(executionOrder).to.include(name);
    expect(executionOrder.indexOf("search")).to.equal(executionOrder.indexOf("kubernetes") - 1);
    const kept = executionOrder.filter((name) => refusedPlugins.has(name));
    expect(kept).to.include.members(["etcd", "route53", "azure", "clouddns", "nomad", "dnssec", "sign", "tsig", "grpc", "quic"]);
  });
});

describe("zones served twice", () => {
  const rows: readonly { rule: string; text: string; listen?: Readonly<Record<string, readonly string[]>>; says: readonly string[] }[] = [
    { rule: "the same zone and port twice", text: ".:53 {\n}\n. {\n}", says: ["3:1: cannot serve dns://.:53 - it is already defined"] },
    {
      rule: "the same key twice in a block",
      text: "a.org A.org {\n}",
      says: ["1:7: cannot serve dns://a.org.:53 - it is already defined"],
    },
    { rule: "other zones, ports and schemes are apart", text: ".:53 .:54 a.org tls://. {\n}", says: [] },
    { rule: "blocks with a view may share a zone with a later block", text: ". {\n view a\n}\n. {\n view b\n}\n. {\n}", says: [] },
    {
      rule: "a view behind the block that takes all",
      text: ". {\n}\n. {\n view b\n}",
      says: ["3:1: cannot serve dns://.:53 - it is already defined"],
    },
    { rule: "different addresses are apart", text: ". {\n}\n. {\n}", listen: { "1": ["192.0.2.1"], "3": ["192.0.2.2"] }, says: [] },
    {
      rule: "the same address twice",
      text: ". {\n}\n. {\n}",
      listen: { "1": ["192.0.2.1"], "3": ["192.0.2.1"] },
      says: ["3:1: cannot serve dns://.:53 on 192.0.2.1 - it is already defined"],
    },
    {
      rule: "everywhere behind an address",
      text: ". {\n}\n. {\n}",
      listen: { "1": ["192.0.2.1"] },
      says: ["3:1: cannot serve dns://.:53 - zone overlap listener capacity with dns://.:53 on 192.0.2.1"],
    },
    {
      rule: "an address behind everywhere",
      text: ". {\n}\n. {\n}",
      listen: { "3": ["192.0.2.1"] },
      says: ["3:1: cannot serve dns://.:53 on 192.0.2.1 - zone overlap listener capacity with dns://.:53"],
    },
  ];
  for (const { rule, text, listen = {}, says } of rows) {
    it(rule, () => {
      const { blocks } = parseCorefile({ file: "Corefile", text });
      const found = checkOverlaps(blocks, 53, (block) => listen[block.line] ?? []);
      expect(found.map(({ line, column, message }) => `${line}:${column}: ${message}`)).to.deep.equal(says);
    });
  }

  it("tls:// and https:// are read, and each zone keeps its scheme", () => {
    const { blocks, findings } = parseCorefile({ file: "Corefile", text: "tls://a.org https://.:8443 TLS://b {\n}" });
    expect(findings).to.deep.equal([]);
    expect(blocks.flatMap(({ keys }) => keys.map(({ scheme, zone, port }) => `${scheme} ${formatName(zone)} ${port}`))).to.deep.equal([
      "tls a.org. undefined",
      "https . 8443",
      "tls b. undefined",
    ]);
  });

  it("the default port fills plain keys without a port only", () => {
    const { blocks } = parseCorefile({ file: "Corefile", text: "a b:54 tls://c https://d {\n}" });
    expect(blocks.flatMap(({ keys }) => keys.map((key) => portOf(key, 1053)))).to.deep.equal([1053, 54, 853, 443]);
  });
});

describe("reverse zones of a network", () => {
  const rows: readonly [cidr: string, first: string, count: number][] = [
    ["10.0.0.0/8", "10.in-addr.arpa.", 1],
    ["10.244.7.9/16", "244.10.in-addr.arpa.", 1],
    ["192.0.2.1/32", "1.2.0.192.in-addr.arpa.", 1],
    ["192.0.2.130/25", "128.2.0.192.in-addr.arpa.", 128],
    ["10.0.0.0/9", "0.10.in-addr.arpa.", 128],
    ["0.0.0.0/0", "in-addr.arpa.", 1],
    ["2001:db8::/33", "0.8.b.d.0.1.0.0.2.ip6.arpa.", 8],
    ["2001:DB8::/32", "8.b.d.0.1.0.0.2.ip6.arpa.", 1],
    ["::/0", "ip6.arpa.", 1],
  ];
  for (const [text, first, count] of rows) {
    it(text, () => {
      const zones = zonesOfCidr(text) ?? [];
      expect([zones[0] === undefined ? "" : formatName(zones[0]), zones.length]).to.deep.equal([first, count]);
    });
  }

  it("what is no network", () => {
    for (const text of [
      "",
      "10.0.0.0",
      "10/8",
      "010.0.0.0/8",
      "10.0.0.0/33",
      "10.0.0.0/-1",
      "::/129",
      "fe80::%1/64",
      "a/8",
      "0/25.2.0.192.in-addr.arpa",
    ]) {
      expect(zonesOfCidr(text), text).to.equal(undefined);
      expect(parseCidr(text), text).to.equal(undefined);
    }
  });
});
