// Names of clients that are sound on the wire and odd in every other way, through the plugins that take names apart or put them
// together: whoever asks gets one sound answer to that very question, and nothing throws.

import { expect } from "chai";

import { DEFAULT_UDP_BYTES } from "../../src/dns/message.ts";
import { startServer } from "../../src/index.ts";
import { namespace, service } from "../../src/testing.ts";
import { headerOf, nameBytes, query, udpClient } from "../helpers/dns-client.ts";
import { fakeLog } from "../helpers/fake-host.ts";
import { startUpstream } from "../helpers/upstream.ts";
import { faults } from "./foreign.ts";
import { drawFrom, type Draw } from "./mutations.ts";

const SUFFIXES = [
  "",
  "example.org.",
  "alias.test.",
  "default.svc.cluster.local.",
  "example.org.default.svc.cluster.local.",
  "svc.cluster.local.",
  "1.0.0.10.in-addr.arpa.",
  "ip6.arpa.",
  "made.test.",
];
const LABELS = [
  "\0",
  ".",
  "a.b",
  '"',
  "\\",
  " ",
  "\n",
  ";",
  "{{ .Name }}",
  "$1",
  "%s",
  "*",
  "_http",
  "xn--e1afmkfd",
  "__proto__",
  "\x1b[31m",
  "(",
  ")",
  "@",
];
const TYPES = [1, 28, 5, 12, 16, 33, 15, 6, 2, 35, 43, 64, 65, 255, 65_280];
const QUESTIONS = 1200;
const AT_ONCE = 100;

const COREFILE = (upstream: string): string => `. {
  errors
  log . "{remote} {name} {type} {class} {rcode} {/view/name}" {
    class error
  }
  metadata
  loadbalance
  dns64
  acl {
    block type TXT net 192.0.2.0/24
  }
  rewrite continue name regex (.*)\\.long\\.test\\. {1}.{1}.{1}.{1}.example.org. answer auto
  rewrite continue name regex ^(.)(.*)\\.alias\\.test\\.$ {2}{1}.example.org. answer auto
  rewrite stop name substring x .y. answer auto
  autopath @kubernetes
  cache
  template IN A made.test {
    match ^(?P<first>.*)\\.made\\.test\\.$
    answer "{{ .Name }} 60 IN A 192.0.2.1"
    answer "{{ .Group.first }}.other.test. 60 IN A 192.0.2.2"
    fallthrough
  }
  template IN TXT made.test {
    answer "{{ .Name }} 60 IN TXT \\"{{ .Name }}\\""
  }
  template IN CNAME made.test {
    match "^(?P<a>[^.]*)\\."
    answer "{{ .Name }} 60 IN CNAME {{ .Group.a }}"
  }
  hosts {
    10.0.0.1 web.example.org
    2001:db8::1 web.example.org
    fallthrough
  }
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
  }
  forward . ${upstream} {
    max_fails 0
    read_timeout 500ms
  }
}`;

// Any name that the wire can hold, often long, often with labels that mean something to somebody.
function oddName(draw: Draw): Buffer {
  const suffix = nameBytes(SUFFIXES[draw(SUFFIXES.length)] as string);
  const labels: Buffer[] = [];
  let left = 255 - suffix.length;
  for (let count = draw(6); count > 0 && left > 1; count--) {
    const known = Buffer.from(LABELS[draw(LABELS.length)] as string, "latin1");
    const size = Math.min(1 + draw(63), left - 1);
    const label = draw(2) === 0 ? known.subarray(0, size) : Buffer.from(Array.from({ length: size }, () => draw(256)));
    labels.push(Buffer.of(label.length), label);
    left -= 1 + label.length;
  }
  return Buffer.concat([...labels, suffix]);
}

describe("malformed: odd names of clients, through plugins that work on names", () => {
  it("one sound answer each", async function () {
    this.timeout(30_000);
    const log = fakeLog();
    await using upstream = await startUpstream({ records: "*.example.org. 60 IN A 192.0.2.1\nexample.org. 60 IN SOA a. b. 1 2 3 4 5" });
    await using dns = await startServer({ corefile: COREFILE(upstream.to), log });
    dns.registry.apply(
      { verb: "upsert", object: namespace("prod") },
      { verb: "upsert", object: service({ name: "web", clusterIPs: ["10.96.0.7"] }) },
      { verb: "upsert", object: service({ name: "ext", type: "ExternalName", externalName: "www.example.org" }) },
    );
    const draw = drawFrom(6);
    const client = await udpClient(dns.address);
    for (let first = 0; first < QUESTIONS; first += AT_ONCE) {
      const asked = new Map<number, Buffer>();
      for (let id = first; id < first + AT_ONCE; id++) {
        const edns = [undefined, {}, { udpSize: 4096, dnssecOk: true }][draw(3)];
        asked.set(id, query({ name: oddName(draw), type: TYPES[draw(TYPES.length)] as number, id, edns }));
      }
      for (const packet of asked.values()) client.send(packet);
      for (let left = AT_ONCE; left > 0; left--) {
        const answer = await client.receive(5000);
        const packet = answer && asked.get(headerOf(answer).id);
        if (answer === undefined || packet === undefined)
          throw new Error(`no answer to ${[...asked.values()].map((each) => each.toString("hex")).join(" ")}`);
        asked.delete(headerOf(answer).id);
        expect(faults(answer, packet, DEFAULT_UDP_BYTES), packet.toString("hex")).to.deep.equal([]);
      }
    }
    client.close();
    expect(log.lines.filter((line) => /panic/.test(line))).to.deep.equal([]);
    // oxlint-disable-next-line no-control-regex -- what must not be in a log
    expect(log.lines.filter((line) => /[\0-\x08\x0b-\x1f\x7f]/.test(line))).to.deep.equal([]);
  });
});
