// Names that a search list has made longer: what they are answered with, and which ones are left alone.

import { expect } from "chai";
import { emptyReply, Rcodes, type Query, type Wire } from "../../../src/dns/message.ts";
import { formatName, parseName } from "../../../src/dns/name.ts";
import { parseRecordSets } from "../../../src/dns/text.ts";
import { recordsOf } from "../../../src/dns/wire.ts";
import autopath from "../../../src/plugins/autopath/autopath.ts";
import { startServer } from "../../../src/index.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";
import { ask, namespace, service } from "../../../src/testing.ts";
import type { Memory, Touches } from "../../../src/plugin.ts";
import { fakeHost, readDirective, setUp } from "../../helpers/fake-host.ts";
import { temporaryFolder } from "../../helpers/ndots-process.ts";
import { formatReply, SOA } from "../kubernetes/fixture.ts";
import { resolver, ROOT_SOA, setting, type Elsewhere } from "./fixture.ts";

const ZONE = "default.svc.cluster.local.";
const missing = ["NXDOMAIN", `authority ${SOA}`];

describe("plugins/autopath: names from elsewhere", () => {
  const rows: readonly (readonly [rule: string, question: string, gives: readonly string[]])[] = [
    [
      "the first question gets the last one's answer",
      `google.com.${ZONE} A`,
      [`google.com.${ZONE} 300 IN CNAME google.com.`, "google.com. 300 IN A 192.0.2.1"],
    ],
    [
      "the other family is NODATA, not NXDOMAIN: musl would go on",
      `google.com.${ZONE} AAAA`,
      [`google.com.${ZONE} 60 IN CNAME google.com.`, `authority ${ROOT_SOA}`],
    ],
    [
      "the CNAME has the least TTL of what it leads to",
      `www.example.org.${ZONE} A`,
      [
        `www.example.org.${ZONE} 20 IN CNAME www.example.org.`,
        "www.example.org. 100 IN CNAME cdn.example.net.",
        "cdn.example.net. 20 IN A 192.0.2.2",
      ],
    ],
    ["a CNAME question gets only the CNAME", `google.com.${ZONE} CNAME`, [`google.com.${ZONE} 60 IN CNAME google.com.`]],
    [
      "letter case does not matter",
      `GOOGLE.com.${ZONE.toUpperCase()} A`,
      [`google.com.${ZONE} 300 IN CNAME google.com.`, "google.com. 300 IN A 192.0.2.1"],
    ],
    ["what is nowhere is our own NXDOMAIN", `nosuch.example.${ZONE} A`, missing],
  ];
  for (const [rule, question, gives] of rows) {
    it(rule, async () => {
      const { ask } = await setting();
      expect(await ask(question)).to.deep.equal(gives);
    });
  }

  it("the namespace is the name's: any Pod's question is answered, whoever asks", async () => {
    const { ask } = await setting();
    const how = { client: { address: "10.244.0.5" } }; // a Pod of `default`
    expect((await ask("google.com.prod.svc.cluster.local. A", how)).at(-1)).to.equal("google.com. 300 IN A 192.0.2.1");
  });

  it("nobody is asked about our own zones: one question goes out, and one more for a name that nobody has", async () => {
    const { ask, asked } = await setting();
    await ask(`google.com.${ZONE} A`);
    expect(asked).to.have.length(2);
    expect(asked[0]).to.equal("google.com. A");
    expect(asked[1]).to.match(/^[0-9a-f]{24}\.com\. A$/);
    await ask(`google.com.${ZONE} AAAA`);
    expect(asked.slice(2), "what is known of .com stays known").to.deep.equal(["google.com. AAAA"]);
    await ask(`nosuch.com.${ZONE} A`);
    expect(asked.slice(3)).to.deep.equal(["nosuch.com. A"]);
  });

  it("RA, no AA, NOERROR: glibc and Go take it also when it is empty", async () => {
    const { reply } = await setting();
    expect(await reply(`google.com.${ZONE} AAAA`)).to.include({
      rcode: Rcodes.NOERROR,
      authoritative: false,
      recursionAvailable: true,
      by: "autopath",
    });
  });

  it("is counted by server", async () => {
    const { ask, host } = await setting();
    await ask(`google.com.${ZONE} A`);
    await ask(`nosuch.com.${ZONE} A`);
    const metric = [...host.metrics.all()].find(({ name }) => name === "coredns_autopath_success_total");
    expect([...(metric?.collect() ?? [])]).to.deep.equal([{ labels: { server: "dns://:53" }, value: 1 }]);
  });
});

describe("plugins/autopath: names of our own zones", () => {
  it("the full name of a Service, made longer: five dots are not four", async () => {
    const { reply, asked } = await setting();
    const found = await reply(`web.${ZONE}${ZONE} A`);
    expect(formatReply(found)).to.deep.equal([`web.${ZONE}${ZONE} 5 IN CNAME web.${ZONE}`, `web.${ZONE} 5 IN A 10.3.0.10`]);
    expect(found).to.include({ authoritative: true }).and.not.have.property("recursionAvailable");
    expect(asked).to.deep.equal([]);
  });

  it("count only with records of the type, never as NODATA", async () => {
    const { ask, asked } = await setting();
    expect(await ask(`raw.${ZONE}${ZONE} AAAA`)).to.deep.equal(missing);
    expect(await ask(`nosuch.${ZONE}${ZONE} A`)).to.deep.equal(missing);
    expect(asked).to.deep.equal([]);
  });

  it("what exists is answered as ever", async () => {
    const { ask, asked } = await setting();
    expect(await ask(`web.${ZONE} A`)).to.deep.equal([`web.${ZONE} 5 IN A 10.3.0.10`]);
    expect(asked).to.deep.equal([]);
  });
});

describe("plugins/autopath: what may be a name of the cluster is left alone", () => {
  const everything: Elsewhere = ({ qname }) => ({
    ...emptyReply(Rcodes.NOERROR, "forward"),
    recursionAvailable: true,
    answer: parseRecordSets(`${formatName(qname)} 60 IN A 192.0.2.99`),
  });
  const rows: readonly (readonly [rule: string, name: string])[] = [
    ["a Service that is missing", `foo.${ZONE}`],
    ["a port of one", `_http._tcp.foo.${ZONE}`],
    ["a missing Pod of a StatefulSet", `web-7.web.${ZONE}`],
    ["… also if its Service has no ready endpoints", "prod-7.prod.prod.svc.cluster.local."],
    ["a Service named like its namespace: names in the namespace", "db.prod.prod.svc.cluster.local."],
    ["a Service in another namespace: the client's next question", `cart.prod.${ZONE}`],
    ["a short name with svc", `cart.prod.svc.${ZONE}`],
    ["a short name of a Pod", `10-0-0-1.prod.pod.${ZONE}`],
    ["a namespace that does not exist", "google.com.defualt.svc.cluster.local."],
    ["no namespace at all", "google.com.svc.cluster.local."],
    ["another name of the zone", "google.com.cluster.local."],
  ];
  for (const [rule, name] of rows) {
    it(rule, async () => {
      const { ask, asked } = await setting("autopath @kubernetes", { elsewhere: everything });
      expect(await ask(`${name} A`)).to.deep.equal(missing);
      expect(asked).to.deep.equal([]);
    });
  }

  it("a wildcard upstream: an endpoint of a Service that is gone does not get a stranger's address", async () => {
    const { ask, asked } = await setting("autopath @kubernetes", { elsewhere: everything });
    expect(await ask(`db-0.gone.${ZONE} A`)).to.deep.equal(missing);
    expect(await ask(`google.com.${ZONE} A`)).to.deep.equal(missing);
    expect(asked.map((each) => each.replace(/^[0-9a-f]{24}\./, "RANDOM."))).to.deep.equal([
      "db-0.gone. A",
      "RANDOM.gone. A",
      "google.com. A",
      "RANDOM.com. A",
    ]);
  });

  it("the zone of a cluster set: it is in no Pod's search list", async () => {
    const host = fakeHost("autopath", { env: { KUBERNETES_SERVICE_HOST: "10.0.0.1" } });
    const instance = await setUp(autopath, "autopath @kubernetes", host);
    host.siblings["kubernetes"] = await setUp(
      kubernetes,
      "kubernetes cluster.local clusterset.local {\nin_cluster\nmulticluster clusterset.local\n}",
      host,
    );
    const { missingBelow } = instance.transparent as Touches;
    expect(["default.svc.cluster.local", "default.svc.clusterset.local"].map((name) => missingBelow?.(parseName(name)))).to.deep.equal([
      true,
      false,
    ]);
  });

  it("a Pod with its own dnsConfig.searches: what exists there only, it finds by itself", async () => {
    const { ask } = await setting();
    const searches = [ZONE, "svc.cluster.local.", "cluster.local.", "corp.example.org."];
    const answers = await Promise.all(searches.map((domain) => ask(`example.com.${domain} A`)));
    expect(answers.slice(0, 3)).to.deep.equal([missing, missing, missing]);
  });

  it("C113: hostNetwork, node-local caches and addresses that another Pod had can't make it wrong", async () => {
    const { ask } = await setting();
    const answers = await Promise.all(
      ["10.244.0.5", "192.0.2.10", "169.254.20.10"].map((address) => ask(`google.com.${ZONE} A`, { client: { address } })),
    );
    expect(new Set(answers.map(String)).size).to.equal(1);
  });
});

describe("plugins/autopath: when it can't be said", () => {
  const failing =
    (rcode: number): Elsewhere =>
    () => ({ ...emptyReply(rcode, "forward"), recursionAvailable: true });

  for (const [what, elsewhere] of [
    ["an upstream fails", failing(Rcodes.SERVFAIL)],
    ["an upstream refuses", failing(Rcodes.REFUSED)],
    ["nobody takes the name", () => ({ ...emptyReply(Rcodes.REFUSED, ""), unhandled: true as const })],
  ] as const) {
    it(`${what}: our own NXDOMAIN, and the client goes on`, async () => {
      const { ask } = await setting("autopath @kubernetes", { elsewhere });
      expect(await ask(`google.com.${ZONE} A`)).to.deep.equal(missing);
    });
  }

  it("… also if only the name that nobody has gets no answer; that is not remembered", async () => {
    const known = resolver();
    let fails = true;
    const elsewhere = (asked: Query) => (fails && formatName(asked.qname).length > 24 ? failing(Rcodes.SERVFAIL)(asked) : known(asked));
    const { ask } = await setting("autopath @kubernetes", { elsewhere });
    expect(await ask(`google.com.${ZONE} A`)).to.deep.equal(missing);
    fails = false;
    expect(await ask(`google.com.${ZONE} A`)).to.have.length(2);
  });

  it("questions at once share the one for the name that nobody has", async () => {
    const known = resolver();
    const { ask, asked } = await setting("autopath @kubernetes", { elsewhere: async (given) => known(given) });
    await Promise.all(Array.from({ length: 20 }, () => ask(`google.com.${ZONE} A`)));
    expect(asked.filter((each) => !each.startsWith("google.com."))).to.have.length(1);
  });

  it("a name that an alias led to is not made shorter: no client has a search list there", async () => {
    const { instance } = await setting();
    const host = fakeHost("autopath");
    expect(host.lines).to.deep.equal([]);
    let calls = 0;
    const first = { ...emptyReply(Rcodes.NXDOMAIN, "kubernetes"), authoritative: true };
    const asked = { qname: parseName(`google.com.${ZONE}`), qtype: 1, qclass: 1, hops: 1 } as Query;
    expect(await instance.handle?.(asked, () => (calls++, first))).to.equal(first);
    expect(calls).to.equal(1);
  });

  it("an alias as long as no name can be is left alone", async () => {
    const { ask } = await setting();
    const label = "x".repeat(63);
    expect(await ask(`${label}.${label}.${label}.a.${ZONE} A`)).to.deep.equal(missing);
  });
});

describe("plugins/autopath: RESOLV-CONF", () => {
  it("names in the first domain are looked for in the others, and as they stand", async () => {
    using folder = temporaryFolder({
      "search.conf": "nameserver 192.0.2.53\nsearch old.example\nsearch lan.example corp.example.org # ours\n",
    });
    const { ask, asked } = await setting("autopath lan.example search.conf", { file: `${folder.path}/Corefile` });
    expect(await ask("wiki.lan.example. A")).to.deep.equal([
      "wiki.lan.example. 50 IN CNAME wiki.corp.example.org.",
      "wiki.corp.example.org. 50 IN A 192.0.2.4",
    ]);
    expect(asked.slice(0, 2)).to.deep.equal(["wiki.lan.example. A", "wiki.corp.example.org. A"]);
    expect(await ask("google.com.lan.example. A")).to.deep.equal([
      "google.com.lan.example. 300 IN CNAME google.com.",
      "google.com. 300 IN A 192.0.2.1",
    ]);
    expect(await ask("google.com.other.example. A")).to.deep.equal(["NXDOMAIN", `authority ${ROOT_SOA}`]);
  });

  it("with a Pod's list, the cluster's names stay what they are", async () => {
    using folder = temporaryFolder({ "search.conf": `search ${ZONE} svc.cluster.local cluster.local corp.example.org\n` });
    const { ask } = await setting("autopath search.conf", { file: `${folder.path}/Corefile` });
    expect(await ask(`db.prod.${ZONE} A`)).to.deep.equal(missing);
    expect((await ask(`example.com.${ZONE} A`)).at(-1)).to.equal("example.com.corp.example.org. 50 IN A 192.0.2.3");
    expect(await ask("google.com.prod.svc.cluster.local. A"), "another namespace").to.deep.equal(missing);
  });

  it("a file that can't be read, or says nonsense, is an error of the Corefile", async () => {
    using folder = temporaryFolder({ bad: "search a..b\n" });
    for (const [file, why] of [
      ["nosuch", /^autopath: failed to parse "nosuch": ENOENT/],
      ["bad", /^autopath: failed to parse "bad": /],
    ] as const) {
      const host = fakeHost("autopath", { file: `${folder.path}/Corefile` });
      await setUp(autopath, `autopath ${file}`, host);
      expect(host.reported.map(({ severity, message }) => [severity, why.test(message)])).to.deep.equal([["error", true]]);
    }
  });
});

describe("plugins/autopath: syntax", () => {
  for (const [line, finding] of [
    ["autopath", /no resolv-conf specified/],
    ["autopath cluster.local @erratic", /erratic can't tell a search list; @kubernetes can/],
    ["autopath @kubernetes\nautopath @kubernetes", /only be used once/],
  ] as const) {
    it(`${JSON.stringify(line)} is refused`, () => {
      expect(readDirective(autopath, line).findings.join()).to.match(finding);
    });
  }

  it("ZONES bound it", async () => {
    const { ask } = await setting("autopath example.org @kubernetes");
    expect(await ask(`google.com.${ZONE} A`)).to.deep.equal(missing);
  });

  it("@kubernetes without kubernetes is a warning at the start", async () => {
    const host = fakeHost("autopath");
    const instance = await setUp(autopath, "autopath @kubernetes", host);
    await instance.start?.();
    expect(host.reported).to.have.length(1);
    expect(host.reported[0]).to.include({ severity: "warning" });
  });
});

describe("plugins/autopath: what the answer table is told", () => {
  it("it asks the chain for names that are missing right below a namespace", async () => {
    const { instance } = await setting();
    const { missingBelow } = instance.transparent as Touches;
    const asks = (name: string): boolean | undefined => missingBelow?.(parseName(name));
    expect(asks(ZONE)).to.equal(true);
    for (const other of ["svc.cluster.local", `web.${ZONE}`, "cluster.local", "a.pod.cluster.local", "example.org"]) {
      expect(asks(other), other).to.equal(false);
    }
  });

  it("keeps what came from elsewhere, for its least TTL and at most a minute; never our own, nor for askers with DO", async () => {
    const kept: { name: string; qtype: number; seconds: number; wire: Wire }[] = [];
    const memory: Memory = {
      keep: (qname, qtype, wire, { storedAtMs, deadlineMs }) =>
        void kept.push({ name: formatName(qname), qtype, wire, seconds: Math.round(deadlineMs - storedAtMs) / 1000 }),
      forget: () => undefined,
      hits: () => ({ success: 2, denial: 1 }),
    };
    const { instance, ask, host } = await setting();
    instance.remember?.(memory);
    await ask(`google.com.${ZONE} A`, { edns: {} });
    await ask(`www.example.org.${ZONE} A`);
    await ask(`web.${ZONE}${ZONE} A`);
    await ask(`nosuch.com.${ZONE} A`);
    await ask(`google.com.prod.svc.cluster.local. A`, { edns: { dnssecOk: true } });
    await ask(`google.com.prod.svc.cluster.local. A`, { upstreamOptions: Uint8Array.of(0, 8, 0, 0) });
    expect(kept.map(({ name, qtype, seconds }) => ({ name, qtype, seconds }))).to.deep.equal([
      { name: `google.com.${ZONE}`, qtype: 1, seconds: 60 },
      { name: `www.example.org.${ZONE}`, qtype: 1, seconds: 20 },
    ]);
    const [first] = kept;
    expect(formatReply(recordsOf(first?.wire ?? expect.fail()))).to.deep.equal([
      `google.com.${ZONE} 300 IN CNAME google.com.`,
      "google.com. 300 IN A 192.0.2.1",
    ]);
    const metric = [...host.metrics.all()].find(({ name }) => name === "coredns_autopath_success_total");
    expect([...(metric?.collect() ?? [])][0]?.value, "what the table has told counts too").to.equal(5 + 3);
  });

  it("a flood of names makes room by forgetting the oldest", async () => {
    let held = 0;
    const memory: Memory = { keep: () => void held++, forget: () => void held--, hits: () => ({ success: 0, denial: 0 }) };
    const everyone = resolver("x.com. 300 IN A 192.0.2.1");
    const elsewhere: Elsewhere = (asked) => {
      const [label = ""] = formatName(asked.qname).split(".");
      if (!/^n\d+$/.test(label)) return everyone(asked);
      return {
        ...emptyReply(Rcodes.NOERROR, "forward"),
        recursionAvailable: true,
        answer: parseRecordSets(`${formatName(asked.qname)} 300 IN A 192.0.2.1`),
      };
    };
    const { instance, ask } = await setting("autopath @kubernetes", { elsewhere });
    instance.remember?.(memory);
    for (let n = 0; n < 10_500; n++) await ask(`n${n}.com.${ZONE} A`);
    expect(held).to.be.within(9_000, 9_984);
  });
});

describe("plugins/autopath: over the socket", () => {
  it("answers with the answer table in front, which leaves missing names of a namespace to the chain", async () => {
    await using dns = await startServer({
      corefile: `.:0 {
  autopath @kubernetes
  cache 30
  template IN A com {
    match ^google[.]com[.]$
    answer "{{ .Name }} 60 IN A 192.0.2.1"
    fallthrough
  }
  kubernetes cluster.local
}`,
    });
    dns.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.0.0.7"] }) });
    const answer = [`google.com.${ZONE} 30 IN CNAME google.com.`, "google.com. 30 IN A 192.0.2.1"];
    for (const transport of ["udp", "tcp"] as const) {
      const reply = await ask(dns.address, `google.com.${ZONE}`, "A", { transport });
      expect(reply.answer.map((line) => line.replace(/ (29|30) IN/, " 30 IN"))).to.deep.equal(answer);
      expect(reply.flags).to.include("ra").and.not.include("aa");
      expect((await ask(dns.address, `web.${ZONE}`, "A", { transport })).addresses).to.deep.equal(["10.0.0.7"]);
      expect((await ask(dns.address, `web-7.web.${ZONE}`, "A", { transport })).rcode).to.equal("NXDOMAIN");
    }
    dns.registry.apply({ verb: "upsert", object: namespace("team") });
    const ofTeam = await ask(dns.address, "google.com.team.svc.cluster.local.", "A");
    expect(ofTeam.addresses, "a namespace that is new").to.deep.equal(["192.0.2.1"]);
  });
});
