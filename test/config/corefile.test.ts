// The Corefile's grammar: what is read, and what is said about what can't be.

import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskFiles, parseCorefile } from "../../src/config/corefile.ts";
import type { Corefile } from "../../src/config/corefile.ts";
import type { Directive } from "../../src/config/directive.ts";
import type { CorefileFiles } from "../../src/config/imports.ts";
import { formatName } from "../../src/dns/name.ts";
import { formatFinding } from "../../src/errors.ts";
import { K3S, KUBEADM, OPENSHIFT } from "../helpers/cluster-corefiles.ts";
import { filesOf, type Tree } from "../helpers/corefile-tree.ts";

function parse(text: string, options: { tree?: Tree; env?: Readonly<Record<string, string>> } = {}): Corefile {
  const { tree = {}, env = {} } = options;
  return parseCorefile({ file: "Corefile", text, env, files: filesOf(tree) });
}

/** One line of text for a tree of directives. */
function flat(directives: readonly Directive[]): string {
  return directives
    .map(({ name, args, block }) => {
      const words = [name, ...args.map((arg) => (arg.quoted || arg.text === "" ? JSON.stringify(arg.text) : arg.text))].join(" ");
      return block === undefined ? words : `${words} {${flat(block)}}`;
    })
    .join("; ");
}

function shown(corefile: Corefile): string[] {
  return corefile.blocks.map((block) => {
    const keys = block.keys.map((key) => formatName(key.zone) + (key.port === undefined ? "" : `:${key.port}`));
    return `${keys.join(" ")} {${flat(block.directives)}}`;
  });
}

const findings = (corefile: Corefile): string[] => corefile.findings.map(formatFinding);

describe("Corefile: what is read", () => {
  const rows: readonly { rule: string; text: string; gives: readonly string[]; tree?: Tree; env?: Readonly<Record<string, string>> }[] = [
    { rule: "a block has a key and directives", text: ".:53 {\n errors\n cache 30\n}", gives: [".:53 {errors; cache 30}"] },
    { rule: "a block may stand on one line", text: ". { kubernetes cluster.local }", gives: [". {kubernetes cluster.local}"] },
    { rule: "a directive may have a block", text: ". {\n health {\n  lameduck 5s\n }\n}", gives: [". {health {lameduck 5s}}"] },
    { rule: "an empty block is a block", text: ". {\n health { }\n ready {\n }\n}", gives: [". {health {}; ready {}}"] },
    { rule: "blocks nest", text: ". {\n a {\n  b {\n   c d\n  }\n }\n}", gives: [". {a {b {c d}}}"] },
    {
      rule: "keys are separated by spaces or commas",
      text: "a.org b.org, c.org,d.org:54 {\n}",
      gives: ["a.org. b.org. c.org. d.org.:54 {}"],
    },
    { rule: "a trailing comma goes on in the next line", text: "a.org,\nb.org {\n log\n}", gives: ["a.org. b.org. {log}"] },
    { rule: "zones are lower-cased and made fully qualified", text: "Example.ORG {\n}", gives: ["example.org. {}"] },
    { rule: "dns:// is the default scheme", text: "dns://example.org:1053 {\n}", gives: ["example.org.:1053 {}"] },
    { rule: "a key may be a port alone", text: ":1053 {\n}", gives: [".:1053 {}"] },
    { rule: "port 0 leaves the choice to the kernel", text: ".:0 {\n}", gives: [".:0 {}"] },
    {
      rule: "one server may omit the braces",
      text: ".:53\nerrors\nhealth {\n lameduck 1s\n}\nlog",
      gives: [".:53 {errors; health {lameduck 1s}; log}"],
    },
    { rule: "a key alone is a server", text: ".:53\n", gives: [".:53 {}"] },
    { rule: "the brace of a server block may stand on the next line", text: "a.org\n{\n log\n}", gives: ["a.org. {log}"] },
    { rule: "an empty file has no servers", text: " \n# nothing\n", gives: [] },
    { rule: "a network is its reverse zone", text: "10.0.0.0/8 {\n}", gives: ["10.in-addr.arpa. {}"] },
    {
      rule: "a network off the boundary is several zones",
      text: "192.0.2.0/23:54 {\n}",
      gives: ["2.0.192.in-addr.arpa.:54 3.0.192.in-addr.arpa.:54 {}"],
    },
    { rule: "an IPv6 network is no port", text: "2001:db8::/32 {\n}", gives: ["8.b.d.0.1.0.0.2.ip6.arpa. {}"] },
    { rule: "an IPv6 network may have a port", text: "2001:db8::/32:53 {\n}", gives: ["8.b.d.0.1.0.0.2.ip6.arpa.:53 {}"] },

    { rule: "# starts a comment, also in mid-token", text: ". { # x\n log a#b c\n # }\n}", gives: [". {log a}"] },
    {
      rule: "a quoted token keeps spaces, # and newlines",
      text: '. {\n log "a #\n b" c\n errors\n}',
      gives: ['. {log "a #\\n b" c; errors}'],
    },
    { rule: 'only \\" is an escape in quotes', text: '. {\n x "\\"a\\.b\\\\c"\n}', gives: ['. {x "\\"a\\\\.b\\\\\\\\c"}'] },
    { rule: "a quote in mid-token is an ordinary character", text: '. {\n x a"b c"\n}', gives: ['. {x a"b c"}'] },
    { rule: "a quoted brace is a word", text: '. {\n x "{" "}"\n}', gives: ['. {x "{" "}"}'] },
    { rule: "an empty quoted token is a token", text: '. {\n x ""\n}', gives: ['. {x ""}'] },
    { rule: "a byte order mark and carriage returns are dropped", text: "\uFEFF. {\r\n log\r\n}\r\n", gives: [". {log}"] },
    { rule: "template's double braces are words", text: ". {\n x {{ .Name }}\n}", gives: [". {x {{ .Name }}}"] },

    {
      rule: "{$NAME} and {%NAME%} are replaced",
      text: '.:{$PORT} {\n x a{%B%}c "{$B}"\n}',
      env: { PORT: "54", B: "b" },
      gives: ['.:54 {x abc "b"}'],
    },
    { rule: "an unset variable is empty", text: ". {\n x a{$NONE}b {$NONE}\n}", gives: ['. {x ab ""}'] },
    { rule: "no variable comes from a prototype", text: ". {\n x a{$constructor}b\n}", gives: [". {x ab}"] },
    { rule: "a value never splits into several tokens", text: ". {\n x {$V}\n}", env: { V: "a b" }, gives: [". {x a b}"] },
    { rule: "a value is never a brace", text: ". {\n x {$V}\n}", env: { V: "{" }, gives: [". {x {}"] },
    { rule: "a value is not replaced again", text: ". {\n x {$V}\n}", env: { V: "{$V}" }, gives: [". {x {$V}}"] },
    { rule: "{$} is left alone", text: ". {\n x {$} {$}a\n}", gives: [". {x {$} {$}a}"] },
    { rule: "a Go template's variable is damaged unless it is spaced", text: ". {\n x {{$x}} {{ $x }}\n}", gives: [". {x {} {{ $x }}}"] },

    { rule: "a snippet is imported into a block", text: "(s) {\n errors\n log\n}\n. {\n import s\n}", gives: [". {errors; log}"] },
    { rule: "a snippet on one line", text: "(s) { errors }\n. {\n log\n import s\n ready\n}", gives: [". {log; errors; ready}"] },
    {
      rule: "a snippet is imported into a directive's block",
      text: "(s) {\n lameduck 1s\n}\n. {\n health {\n  import s\n }\n}",
      gives: [". {health {lameduck 1s}}"],
    },
    {
      rule: "a snippet may hold whole servers",
      text: "(s) {\n a.org {\n  log\n }\n}\nimport s\nb.org {\n}",
      gives: ["a.org. {log}", "b.org. {}"],
    },
    {
      rule: "a snippet may import another one",
      text: "(a) {\n log\n}\n(b) {\n import a\n errors\n}\n. {\n import b\n import b\n}",
      gives: [". {log; errors; log; errors}"],
    },
    { rule: "an import in the one-line form", text: "(s) { errors }\n. { import s }", gives: [". {errors}"] },
    { rule: "import is a keyword at the start of a line only", text: ". {\n log import\n}", gives: [". {log import}"] },
    {
      rule: "a file is imported into a block",
      text: ". {\n import a.conf\n}",
      tree: { "a.conf": "log\nerrors" },
      gives: [". {log; errors}"],
    },
    {
      rule: "a file's imports are relative to it",
      text: "import d/a\n",
      tree: { "d/a": "import b\n", "d/b": "x.org {\n}" },
      gives: ["x.org. {}"],
    },
    { rule: "an absolute path is taken as it is", text: "import /etc/a\n", tree: { "/etc/a": "x.org {\n}" }, gives: ["x.org. {}"] },
    {
      rule: "a pattern's files come in order, hidden ones don't",
      text: ". {\n import d/*\n}",
      tree: { "d/b": "log", "d/a": "errors", "d/..data": "x" },
      gives: [". {errors; log}"],
    },
    {
      rule: "? matches one character",
      text: ". {\n import d/a?.x\n}",
      tree: { "d/a1.x": "log", "d/a.x": "no", "d/a12.x": "no" },
      gives: [". {log}"],
    },
    {
      rule: "a wildcard may stand for a folder",
      text: ". {\n import d/*/c\n}",
      tree: { "d/a/c": "log", "d/b/x": "no" },
      gives: [". {log}"],
    },
    { rule: "a pattern from the root", text: ". {\n import /*.c\n}", tree: { "/a.c": "log" }, gives: [". {log}"] },
    {
      rule: "a file may define snippets for later",
      text: "import s\n. {\n import a\n}",
      tree: { s: "(a) {\n log\n}" },
      gives: [". {log}"],
    },
    { rule: "the same snippet twice is no cycle", text: "(a) {\n log\n}\n. {\n import a\n import a\n}", gives: [". {log; log}"] },
  ];
  for (const { rule, text, gives, tree, env } of rows) {
    it(rule, () => {
      const corefile = parse(text, { ...(tree && { tree }), ...(env && { env }) });
      expect(findings(corefile)).to.deep.equal([]);
      expect(shown(corefile)).to.deep.equal(gives);
    });
  }
});

describe("Corefile: what is wrong", () => {
  const bomb = Array.from({ length: 15 }, (_, i) => `(s${i}) {\n${i === 0 ? "x" : `import s${i - 1}\nimport s${i - 1}`}\n}`).join("\n");
  const rows: readonly { rule: string; text: string; says: readonly string[]; tree?: Tree; reads?: readonly string[] }[] = [
    {
      rule: "an import that is nearly a snippet",
      text: "(snip) {\n log\n}\n. {\n import snipp\n}",
      says: ["Corefile:5:9: import snipp: no such snippet above (did you mean snip?), and no such file (snipp)"],
    },
    {
      rule: "a key whose port is an unset variable",
      text: ".:{$NOPE} {\n log\n}",
      says: ['Corefile:1:1: the port of ".:" must be 0–65535, found ""; the variable NOPE is not set'],
    },
    {
      rule: "a key that is an unset variable",
      text: "{%NOPE%} {\n log\n}",
      says: ["Corefile:1:1: a server block needs a key, like .:53 or example.org; the variable NOPE is not set"],
    },
    {
      rule: "a brace that is never closed",
      text: ". {\n log\n",
      says: ['Corefile:1:3: this "{" is never closed, expected a "}"'],
      reads: [". {log}"],
    },
    {
      rule: "a directive's brace that is never closed",
      text: ". {\n log {\n}",
      says: ['Corefile:1:3: this "{" is never closed, expected a "}"'],
    },
    {
      rule: "a snippet's brace that is never closed",
      text: "(s) {\n log {\n}",
      says: ['Corefile:1:5: this "{" is never closed, expected a "}"'],
      reads: [],
    },
    {
      rule: "a quote that is never closed",
      text: '. {\n x "a\n}\n',
      says: ['Corefile:2:4: this quote is never closed, expected another "', 'Corefile:1:3: this "{" is never closed, expected a "}"'],
    },
    { rule: "a brace that closes nothing", text: "}\n. {\n}\n", says: ['Corefile:1:1: unexpected "}", no block is open'], reads: [". {}"] },
    {
      rule: "a missing opening brace",
      text: "a.org\n log\n}\nb.org {\n}",
      says: ['Corefile:3:1: unexpected "}": the "{" behind a.org in line 1 is missing'],
      reads: ["a.org. {log}", "b.org. {}"],
    },
    { rule: "a brace before any key", text: "{\n log\n}", says: ["Corefile:1:1: a server block needs a key, like .:53 or example.org"] },
    {
      rule: "a brace glued to the key",
      text: "a.org:1053{\n log\n}",
      says: ['Corefile:1:1: "{" must stand alone: write "a.org:1053 {"'],
      reads: ["a.org.:1053 {log}"],
    },
    {
      rule: "a brace glued to a directive",
      text: ". {\n health{\n  lameduck 1s\n }\n}",
      says: ['Corefile:2:2: "{" must stand alone: write "health {"'],
      reads: [". {health {lameduck 1s}}"],
    },
    {
      rule: "a directive's brace on the next line",
      text: ". {\n health\n {\n  lameduck 1s\n }\n}",
      says: ['Corefile:3:2: unexpected "{": it must stand at the end of the line of "health"'],
      reads: [". {health {lameduck 1s}}"],
    },
    {
      rule: "a brace without a directive",
      text: ". {\n {\n log\n }\n}",
      says: ['Corefile:2:2: unexpected "{": it must stand at the end of the line of a directive'],
    },
    { rule: "a comma before the brace", text: "a.org, {\n}", says: ['Corefile:1:8: expected another key after the comma, found "{"'] },
    { rule: "a comma at the end", text: "a.org,\n", says: ["Corefile:1:1: expected another key after the comma, found nothing"] },
    {
      rule: "a scheme that is not served",
      text: "quic://a.org {\n}",
      says: ["Corefile:1:1: quic:// is not supported: Node.js has no QUIC; serve DNS over TLS, tls://, or HTTPS, https://"],
    },
    {
      rule: "an unknown scheme",
      text: "http://a.org {\n}",
      says: ["Corefile:1:1: unknown scheme http://, known: dns, tls, quic, https, https3, grpc"],
    },
    {
      rule: "a port out of range",
      text: "a.org:70000 {\n}",
      says: ['Corefile:1:1: the port of "a.org:70000" must be 0–65535, found "70000"'],
    },
    { rule: "a port that is a word", text: "a.org:dns {\n}", says: ['Corefile:1:1: the port of "a.org:dns" must be 0–65535, found "dns"'] },
    { rule: "a port that is missing", text: "a.org: {\n}", says: ['Corefile:1:1: the port of "a.org:" must be 0–65535, found ""'] },
    {
      rule: "a prefix that is too long",
      text: "192.0.2.0/33 {\n}",
      says: ['Corefile:1:1: the prefix length of 192.0.2.0 must be 0–32, found "33"'],
    },
    { rule: "a name with an empty label", text: "a..org {\n}", says: ['Corefile:1:1: not a domain name: "a..org": a label is empty'] },
    {
      rule: "an address without a prefix",
      text: "2001:db8::1:1:53 {\n}",
      says: ['Corefile:1:1: a zone has no colon, found "2001:db8::1:1" (a reverse zone is written as a network: 2001:db8::/32)'],
    },
    {
      rule: "a name that is unusual is only a warning",
      text: "_x.org {\n}",
      says: ['Corefile:1:1: warning: Domain "_x.org" does not follow RFC1035 preferred syntax'],
      reads: ["_x.org. {}"],
    },
    { rule: "two names of a snippet", text: "(a) (b) {\n}", says: ["Corefile:1:1: a snippet has exactly one name, found 2"] },
    { rule: "a snippet without a block", text: "(a)\n", says: ["Corefile:1:1: snippet (a) needs a block: (a) {"] },
    { rule: "a snippet defined twice", text: "(a) {\n}\n(a) {\n}", says: ["Corefile:3:1: snippet (a) is already defined at Corefile:1"] },
    {
      rule: "a snippet that imports itself",
      text: "(a) {\n import a\n}\n. {\n import a\n}",
      says: ["Corefile:2:9: import cycle: snippet (a) → snippet (a)"],
    },
    {
      rule: "a cycle of snippets",
      text: "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}",
      says: ["Corefile:5:9: import cycle: snippet (a) → snippet (b) → snippet (a)"],
    },
    {
      rule: "a file that imports itself",
      text: "import Corefile",
      tree: { Corefile: "import Corefile" },
      says: ["Corefile:1:8: import cycle: file Corefile → file Corefile"],
    },
    {
      rule: "a cycle of files",
      text: "import a",
      tree: { a: "import b", b: "import a" },
      says: ["b:1:8: import cycle: file a → file b → file a"],
    },
    {
      rule: "a named file that is missing",
      text: ". {\n import nothing\n}",
      says: ["Corefile:2:9: import nothing: no such snippet above, and no such file (nothing)"],
    },
    {
      rule: "a pattern without files is only a warning",
      text: ". {\n import custom/*.override\n}",
      says: ["Corefile:2:9: warning: import custom/*.override: no files match"],
      reads: [". {}"],
    },
    {
      rule: "a pattern with two wildcards",
      text: ". {\n import */*\n}",
      says: ["Corefile:2:9: import */*: a pattern has at most one * or ?, and no ["],
    },
    {
      rule: "a pattern with a bracket",
      text: ". {\n import [ab]\n}",
      says: ["Corefile:2:9: import [ab]: a pattern has at most one * or ?, and no ["],
    },
    { rule: "an import of nothing", text: ". {\n import\n}", says: ["Corefile:2:2: import takes one snippet, file or pattern, found 0"] },
    {
      rule: "an import of two things",
      text: ". {\n import a b\n}",
      says: ["Corefile:2:11: import takes one snippet, file or pattern, found 2"],
    },
    {
      rule: "an import of an empty variable",
      text: ". {\n import {$X}\n}",
      says: ["Corefile:2:9: import needs a snippet, a file or a pattern, found nothing"],
    },
    {
      rule: "a bomb of snippets is stopped",
      text: `${bomb}\n. {\n import s14\n}`,
      says: ["Corefile:9:8: more than 10000 imports of snippets, the rest is not read"],
    },
    {
      rule: "braces without end are stopped",
      text: ". {\n" + "a {\n".repeat(10_000),
      says: ["Corefile:33:3: blocks are nested more than 32 deep, the rest is not read"],
    },
    {
      rule: "every finding is reported, each once",
      text: "(s) {\n import x\n}\na.org:y {\n import s\n import s\n}\n}",
      says: [
        "Corefile:2:9: import x: no such snippet above, and no such file (x)",
        'Corefile:4:1: the port of "a.org:y" must be 0–65535, found "y"',
        'Corefile:8:1: unexpected "}", no block is open',
      ],
    },
  ];
  for (const { rule, text, says, tree, reads } of rows) {
    it(rule, () => {
      const corefile = parse(text, tree && { tree });
      expect(findings(corefile)).to.deep.equal(says);
      if (reads !== undefined) expect(shown(corefile)).to.deep.equal(reads);
    });
  }

  it("files can't be imported where none are given", () => {
    const corefile = parseCorefile({ file: "stdin", text: "import a" });
    expect(findings(corefile)).to.deep.equal(["stdin:1:8: import a: no such snippet above, and files can't be imported here"]);
  });

  it("a chain of files without end is stopped", () => {
    const files: CorefileFiles = { read: () => "import d/a", list: () => [] };
    const corefile = parseCorefile({ file: "Corefile", text: "import a", files });
    expect(corefile.findings.map(({ message }) => message)).to.deep.equal(["imports are nested more than 100 deep"]);
  });

  it("files and words are counted", () => {
    const names = Array.from({ length: 1000 }, (_, index) => `f${index}`);
    const many: CorefileFiles = { read: () => "# x", list: () => names };
    const patterns = parseCorefile({ file: "Corefile", text: "import *\n".repeat(101), files: many });
    expect(patterns.findings.map(({ message }) => message)).to.deep.equal(["more than 100000 imports of files, the rest is not read"]);
    const big = parseCorefile({ file: "Corefile", text: `(s) {\n${"x\n".repeat(20_000)}}\n.\n${"import s\n".repeat(60)}` });
    expect(big.findings.map(({ message }) => message)).to.deep.equal(["more than 1000000 words with all imports, the rest is not read"]);
  });
});

describe("Corefile: files of the machine", () => {
  let folder = "";
  before(() => (folder = mkdtempSync(join(tmpdir(), "ndots-corefile-"))));
  after(() => rmSync(folder, { recursive: true }));

  it("a folder's files are read; all that was looked at is listed", () => {
    writeFileSync(join(folder, "a.override"), "log");
    writeFileSync(join(folder, "big"), Buffer.alloc(16 * 1024 * 1024 + 1));
    const text = ". {\n import *.override\n import missing/*.x\n import big\n import .\n}";
    const corefile = parseCorefile({ file: join(folder, "Corefile"), text, files: diskFiles });
    expect(shown(corefile)).to.deep.equal([". {log}"]);
    expect(corefile.files).to.deep.equal(
      ["Corefile", ".", "a.override", "missing", "big"]
        .map((name) => join(folder, name))
        .concat(folder)
        .filter((path, index, all) => all.indexOf(path) === index),
    );
    expect(corefile.findings.map(({ message }) => message.replaceAll(folder, "DIR"))).to.deep.equal([
      "import missing/*.x: no files match",
      "import big: big has 16777217 bytes, at most 16777216 are read (DIR/big)",
      "import .: EISDIR: illegal operation on a directory, read (DIR)",
    ]);
  });
});

describe("Corefile: the defaults of clusters", () => {
  const minikube = `.:53 {
    log
    errors
    hosts {
       192.0.2.1 host.minikube.internal
       fallthrough
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
    }
}
`;
  const custom = {
    "/etc/coredns/custom/a.override": "log",
    "/etc/coredns/custom/b.server": "example.org:53 {\n  forward . 192.0.2.53\n}\n",
  };
  const rows: readonly { name: string; text: string; tree: Tree; zones: readonly string[]; warnings: number }[] = [
    { name: "kubeadm", text: KUBEADM, tree: {}, zones: [".:53"], warnings: 0 },
    { name: "OpenShift", text: OPENSHIFT, tree: {}, zones: [".:5353", "hostname.bind.:5353"], warnings: 0 },
    { name: "k3s, nothing mounted", text: K3S, tree: {}, zones: [".:53"], warnings: 2 },
    { name: "k3s with its own files", text: K3S, tree: custom, zones: [".:53", "example.org.:53"], warnings: 0 },
    { name: "minikube", text: minikube, tree: {}, zones: [".:53"], warnings: 0 },
  ];
  for (const { name, text, tree, zones, warnings } of rows) {
    it(`${name}: no errors`, () => {
      const corefile = parse(text, { tree });
      expect(corefile.findings.filter(({ severity }) => severity === "error")).to.deep.equal([]);
      expect(corefile.findings).to.have.length(warnings);
      expect(corefile.blocks.flatMap(({ keys }) => keys.map((key) => `${formatName(key.zone)}:${key.port}`))).to.deep.equal(zones);
    });
  }
});
