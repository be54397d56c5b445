// What a `forward` line may say, and what is said to those that are wrong.

import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

import { FindingsError } from "../../../src/errors.ts";
import { parseTo } from "../../../src/plugins/forward/endpoint.ts";
import forwardPlugin from "../../../src/plugins/forward/forward.ts";
import { parseNameservers } from "../../../src/plugins/forward/resolv-conf.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";
import { AT, fakeHost, readDirective } from "../../helpers/fake-host.ts";
import { startUpstream } from "../../helpers/upstream.ts";
import { forwarding } from "./forwarding.ts";

const upstreams = [
  ["192.0.2.1", { scheme: "dns", address: "192.0.2.1", port: 53, serverName: "" }],
  ["192.0.2.1:5353", { scheme: "dns", address: "192.0.2.1", port: 5353, serverName: "" }],
  ["dns://192.0.2.1", { scheme: "dns", address: "192.0.2.1", port: 53, serverName: "" }],
  ["2001:db8::1", { scheme: "dns", address: "2001:db8::1", port: 53, serverName: "" }],
  ["[2001:db8::1]:5353", { scheme: "dns", address: "2001:db8::1", port: 5353, serverName: "" }],
  ["fe80::1%eth0", { scheme: "dns", address: "fe80::1%eth0", port: 53, serverName: "" }],
  ["[fe80::1%eth0]:5353", { scheme: "dns", address: "fe80::1%eth0", port: 5353, serverName: "" }],
  ["tls://9.9.9.9", { scheme: "tls", address: "9.9.9.9", port: 853, serverName: "" }],
  ["tls://9.9.9.9%dns.quad9.net", { scheme: "tls", address: "9.9.9.9", port: 853, serverName: "dns.quad9.net" }],
  ["tls://9.9.9.9%dns.quad9.net:10853", { scheme: "tls", address: "9.9.9.9", port: 10853, serverName: "dns.quad9.net" }],
  ["tls://[2620:fe::fe%dns.quad9.net]:853", { scheme: "tls", address: "2620:fe::fe", port: 853, serverName: "dns.quad9.net" }],
  ["tls://2620:fe::fe%dns.quad9.net", { scheme: "tls", address: "2620:fe::fe", port: 853, serverName: "dns.quad9.net" }],
  ["https://9.9.9.9", { scheme: "https", address: "9.9.9.9", port: 443, serverName: "" }],
  ["/etc/resolv.conf", { file: "/etc/resolv.conf" }],
  ["conf/resolv.conf", { file: "conf/resolv.conf" }],
] as const;

const FOUND = "must be an IP address, IP:PORT, tls://IP, https://IP or a file like /etc/resolv.conf, found";
const wrong = [
  ["forward", "Corefile:2:1: forward: expected FROM TO..., found nothing"],
  ["forward .", 'Corefile:2:9: forward: expected FROM TO..., found "."'],
  [
    "forward . dns.example.org",
    `Corefile:2:11: forward: TO ${FOUND} "dns.example.org"; hosts by name are not supported yet, write their addresses`,
  ],
  ["forward . 192.0.2.1:99999", `Corefile:2:11: forward: TO ${FOUND} "192.0.2.1:99999"`],
  ["forward . 192.0.2.1%eth0", `Corefile:2:11: forward: TO ${FOUND} "192.0.2.1%eth0"`],
  [
    "forward . https://9.9.9.9/other",
    "Corefile:2:11: forward: TO paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default): https://9.9.9.9/other",
  ],
  ["forward . grpc://9.9.9.9", "Corefile:2:11: forward: TO 'grpc' is not supported as a destination protocol in forward: grpc://9.9.9.9"],
  [
    `forward . ${Array.from({ length: 16 }, (_, index) => `192.0.2.${index}`).join(" ")}`,
    "Corefile:2:1: forward: more than 15 TOs configured: 16",
  ],
  [
    "forward . 192.0.2.1 {\n policy fast\n}",
    'Corefile:3:9: forward: policy: must be random, round_robin, sequential or fastest, found "fast"',
  ],
  ["forward . 192.0.2.1 {\n failover NOERROR\n}", 'Corefile:3:11: forward: failover: RCODE must be another than NOERROR, found "NOERROR"'],
  [
    "forward . 192.0.2.1 {\n next BAD\n}",
    'Corefile:3:7: forward: next: RCODE must be an rcode like SERVFAIL, REFUSED or NXDOMAIN, found "BAD"',
  ],
  [
    "forward . 192.0.2.1 {\n next NXDOMIAN\n}",
    'Corefile:3:7: forward: next: RCODE must be an rcode like SERVFAIL, REFUSED or NXDOMAIN, found "NXDOMIAN", did you mean "NXDOMAIN"?',
  ],
  ["forward . 192.0.2.1 {\n ipv6 of\n}", 'Corefile:3:7: forward: ipv6: must be on or off, found "of", did you mean "off"?'],
  ["forward . 192.0.2.1 {\n health_check 1s rec\n}", "Corefile:3:18: forward: health_check: unknown option rec; known: no_rec, domain"],
  ["forward . 192.0.2.1 {\n max_age 5s\n}", "Corefile:2:1: forward: max_age (5000 ms) must not be less than expire (10000 ms)"],
  [
    "forward . 192.0.2.1 {\n hedge 0s\n}",
    'Corefile:3:8: forward: hedge: must be p95 or a duration like "50ms" of at least 1 ms, found "0s"',
  ],
  [
    "forward . 192.0.2.1 {\n resolver 192.0.2.9\n}",
    "Corefile:3:2: forward: resolver: not supported yet; upstreams by name are not supported yet, write their addresses",
  ],
  [
    "forward . tls://9.9.9.9%a.example.org {\n tls_servername b.example.org\n}",
    "Corefile:2:1: forward: tls_servername ('b.example.org') and a name behind an upstream ('a.example.org') can't both be given",
  ],
] as const;

const BEHIND = "write 'forward . /run/systemd/resolve/resolv.conf' (in Kubernetes: give the kubelet that file as resolvConf)";
const files: readonly {
  readonly rule: string;
  readonly text: string;
  readonly to: readonly string[];
  readonly said?: RegExp;
  readonly problem?: RegExp;
}[] = [
  {
    rule: "nameservers in their order, each once",
    text: "# ours\nsearch example.org\nnameserver 192.0.2.1\n; x\nnameserver\t2001:db8::1\nnameserver 192.0.2.1\n",
    to: ["192.0.2.1", "2001:db8::1"],
  },
  { rule: "an IPv6 zone id", text: "nameserver fe80::1%eth0\n", to: ["fe80::1%eth0"] },
  {
    rule: "a loopback address beside another",
    text: "nameserver 127.0.0.53\nnameserver 192.0.2.1",
    to: ["192.0.2.1"],
    said: new RegExp(BEHIND.replace(/[()./]/g, "\\$&")),
  },
  {
    rule: "nothing but a loopback address",
    text: "nameserver 127.0.0.53",
    to: [],
    problem: /127\.0\.0\.53 in r is a loopback address: .*systemd.*no other nameserver/,
  },
  { rule: "nothing but ::1", text: "nameserver ::1", to: [], problem: /write the addresses of the upstreams instead of r/ },
  { rule: "Docker's resolver", text: "nameserver 127.0.0.11", to: ["127.0.0.11"] },
  { rule: "an empty file", text: "", to: [], problem: /^no nameservers found in r$/ },
  { rule: "what is no address", text: "nameserver dns.example.org\nnameserver\n", to: [], problem: /no nameservers/ },
  {
    rule: "more than 15",
    text: Array.from({ length: 17 }, (_, index) => `nameserver 192.0.2.${index + 1}`).join("\n"),
    to: Array.from({ length: 15 }, (_, index) => `192.0.2.${index + 1}`),
    said: /names 17 nameservers: the first 15/,
  },
];

describe("plugins/forward: its lines", () => {
  for (const [text, to] of upstreams) it(`TO ${text}`, () => expect(parseTo(text)).to.deep.equal(to));

  for (const [lines, finding] of wrong) {
    it(`${lines.replaceAll("\n", " ").slice(0, 70)}: refused in words`, () => {
      expect(readDirective(forwardPlugin, lines).findings).to.deep.include(finding);
    });
  }

  it("takes all of CoreDNS's options", () => {
    const lines = `forward example.org 192.0.2.1 {
      except a.example.org b.example.org
      force_tcp
      prefer_udp
      expire 20s
      max_age 1h
      max_idle_conns 10
      read_timeout 3s
      max_fails 3
      max_connect_attempts 4
      health_check 1s no_rec domain example.org
      policy round_robin
      max_concurrent 1000
      next NXDOMAIN REFUSED
      next_on_nodata
      failover SERVFAIL
      failfast_all_unhealthy_upstreams
      doh_method GET
      tls_servername dns.example.org
      source_address 127.0.0.1
      tls
    }`;
    const { findings, options } = readDirective(forwardPlugin, lines);
    expect(findings).to.deep.equal([]);
    expect(options[0]).to.deep.include({ expire: 20_000, max_age: 3_600_000, max_fails: 3, next: [[3, 5]], failover: [[2]] });
  });

  it("source_address: questions come from it", async () => {
    await using upstream = await startUpstream({ records: "*.example.org. 5 IN A 192.0.2.1" });
    await using forward = await forwarding(`forward . ${upstream.to} {\n source_address 127.0.0.1\n}`);
    for (let index = 0; index < 8; index++) expect((await forward.ask(`q${index}.example.org.`)).answer).to.have.length(1);
  });
});

describe("plugins/forward: C96, files like /etc/resolv.conf", () => {
  for (const { rule, text, to, said, problem } of files) {
    it(rule, () => {
      const read = parseNameservers(text, "r");
      if (problem === undefined) expect(read.problem).to.equal(undefined);
      else expect(read.problem).to.match(problem);
      expect(read.endpoints.map(({ address }) => address)).to.deep.equal(to);
      if (said !== undefined) expect(read.warnings.join("\n")).to.match(said);
      else expect(read.warnings).to.deep.equal([]);
    });
  }

  let folder = "";
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ndots-resolv-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  async function refusal(lines: string): Promise<string> {
    const { options } = readDirective(forwardPlugin, lines);
    try {
      await forwardPlugin.setup(options[0] as (typeof options)[0], fakeHost("forward", { file: join(folder, "Corefile") }), AT);
    } catch (error) {
      if (error instanceof FindingsError) return error.message;
      throw error;
    }
    return "taken";
  }

  it("a file that can't be used is refused at start, with the reason", async () => {
    expect(await refusal("forward . missing/resolv.conf")).to.equal(
      'Corefile:2:5: forward: not an IP address or file "missing/resolv.conf": no such file',
    );
    writeFileSync(join(folder, "resolv.conf"), "nameserver 127.0.0.53\n");
    expect(await refusal(`forward . ${folder}/resolv.conf`)).to.match(/loopback address.*systemd/);
    writeFileSync(join(folder, "resolv.conf"), "");
    expect(await refusal(`forward . ${folder}/resolv.conf`)).to.match(/no nameservers found/);
  });

  it("a file that changes, also by a swapped link, changes the upstreams; one that becomes useless does not", async () => {
    const clock = fakeClock();
    const link = join(folder, "resolv.conf");
    writeFileSync(join(folder, "one"), "nameserver 192.0.2.1\n");
    writeFileSync(join(folder, "two"), "nameserver 192.0.2.2\nnameserver 192.0.2.3\n");
    symlinkSync(join(folder, "one"), link);
    await using forward = await forwarding(`forward . ${link}`, { clock });
    const lookedAgain = async (said: RegExp): Promise<void> => {
      // Files are read at their own pace, whatever the clock says.
      const bound = Date.now() + 5000;
      while (Date.now() < bound && !said.test(forward.host.lines.at(-1) ?? "")) await clock.advance(1000);
      expect(forward.host.lines.at(-1)).to.match(said);
    };
    symlinkSync(join(folder, "two"), `${link}.new`);
    renameSync(`${link}.new`, link);
    await lookedAgain(/upstreams are now 192\.0\.2\.2:53, 192\.0\.2\.3:53/);
    writeFileSync(join(folder, "two"), "");
    await lookedAgain(/no nameservers found in .*; its upstreams as last read are asked/);
    rmSync(join(folder, "two"));
    await lookedAgain(/no such file; its upstreams as last read are asked/);
  });
});
