// Services as they are seen from outside of the cluster: names, addresses, load balancers, and what changes do to them.

import { expect } from "chai";
import { DROP, emptyReply, Rcodes } from "../../src/dns/message.ts";
import { formatName } from "../../src/dns/name.ts";
import { parseRecordSets, typeOf } from "../../src/dns/text.ts";
import { startServer } from "../../src/index.ts";
import k8sExternal from "../../src/plugins/k8s_external/k8s_external.ts";
import kubernetes from "../../src/plugins/kubernetes/kubernetes.ts";
import type { Instance } from "../../src/plugin.ts";
import type { RegistryObject } from "../../src/registry/objects.ts";
import { createRegistry, type WritableRegistry } from "../../src/registry/registry.ts";
import * as testing from "../../src/testing.ts";
import { startFakeApi } from "../helpers/fake-api/fake-api.ts";
import type { KubeObject } from "../helpers/fake-api/objects.ts";
import { fakeHost, query, readDirective, setUp, type FakeHost } from "../helpers/fake-host.ts";
import { formatReply, SERIAL, service, slice, upserts } from "./kubernetes/fixture.ts";

const http = { name: "http", protocol: "TCP", port: 80 } as const;
const OBJECTS: readonly RegistryObject[] = [
  { kind: "Namespace", name: "default", labels: {} },
  { kind: "Namespace", name: "empty", labels: {} },
  service({ name: "web", clusterIPs: ["10.3.0.10"], ports: [http], external: ["192.0.2.10", "2001:db8::10", "192.0.2.11"] }),
  service({ name: "elb", clusterIPs: ["10.3.0.11"], ports: [http], external: ["lb.example.com"] }),
  service({ name: "both", clusterIPs: ["10.3.0.12"], ports: [http], external: ["192.0.2.10", "lb.example.com"] }),
  service({ name: "noports", headless: true, external: ["192.0.2.12"] }),
  service({ name: "inside", clusterIPs: ["10.3.0.13"], ports: [http] }),
  service({ name: "db", headless: true, ports: [http] }),
  slice({
    service: "db",
    endpoints: [
      { addresses: ["10.244.0.5"], ready: true, hostname: "db-0" },
      { addresses: ["10.244.0.6"], ready: false, hostname: "db-1" },
      { addresses: ["10.244.0.7"], ready: true },
    ],
    ports: [http],
  }),
];
const SOA = `example.org. 5 IN SOA ns1.dns.example.org. hostmaster.dns.example.org. ${SERIAL} 7200 1800 86400 5`;
const NODATA = [`authority ${SOA}`];
const NXDOMAIN = ["NXDOMAIN", ...NODATA];

interface Asking {
  readonly instance: Instance;
  readonly host: FakeHost;
  readonly registry: WritableRegistry;
  ask(question: string): Promise<readonly string[] | "next">;
}

async function asking(block = "k8s_external example.org", objects = OBJECTS): Promise<Asking> {
  const registry = createRegistry({ now: () => SERIAL * 1000 });
  registry.apply(...upserts(...objects));
  const host = fakeHost("k8s_external", { registry: () => registry });
  host.ask = () => ({
    ...emptyReply(Rcodes.NOERROR, "forward"),
    recursionAvailable: true,
    answer: parseRecordSets("lb.example.com. 60 IN A 198.51.100.1"),
  });
  const instance = await setUp(k8sExternal, block, host); // before kubernetes, as in the order of execution
  host.siblings["kubernetes"] = await setUp(kubernetes, "kubernetes cluster.local", host);
  const ask = async (question: string): Promise<readonly string[] | "next"> => {
    const [name = "", type = "A"] = question.split(" ");
    const next = emptyReply(Rcodes.NOERROR, "next");
    const answer = await instance.handle?.(query(name, { type: typeOf(type) ?? 0 }), () => next);
    if (answer === undefined || answer === DROP) throw new Error("no reply");
    return answer === next ? "next" : formatReply(answer);
  };
  return { instance, host, registry, ask };
}

const web = "web.default.example.org.";
const port = "_http._tcp.web.default.example.org.";
const A = (name: string, ...addresses: readonly string[]): string[] => addresses.map((address) => `${name} 5 IN A ${address}`);

describe("plugins/k8s_external", () => {
  const extra = [...A(web, "192.0.2.10", "192.0.2.11"), `${web} 5 IN AAAA 2001:db8::10`].map((line) => `additional ${line}`);
  const rows: readonly (readonly [question: string, gives: readonly string[] | "next"])[] = [
    [`${web} A`, A(web, "192.0.2.10", "192.0.2.11")],
    [`${web} AAAA`, [`${web} 5 IN AAAA 2001:db8::10`]],
    [`${web} SRV`, [`${web} 5 IN SRV 0 100 80 ${web}`, ...extra]],
    [`${web} PTR`, NODATA],
    [`${port} SRV`, [`${port} 5 IN SRV 0 100 80 ${web}`, ...extra]],
    [`http.tcp.${web} SRV`, [`http.tcp.${web} 5 IN SRV 0 100 80 ${web}`, ...extra]],
    [`${port} A`, A(port, "192.0.2.10", "192.0.2.11")],
    [`_tcp.${web} SRV`, NODATA],
    [`_udp.${web} SRV`, NXDOMAIN],
    [`_https._tcp.${web} SRV`, NXDOMAIN],
    [`x._http._tcp.${web} SRV`, NXDOMAIN],
    [`endpoint.${web} A`, NXDOMAIN],
    ["elb.default.example.org. A", ["elb.default.example.org. 5 IN CNAME lb.example.com.", "lb.example.com. 60 IN A 198.51.100.1"]],
    ["elb.default.example.org. CNAME", ["elb.default.example.org. 5 IN CNAME lb.example.com."]],
    ["elb.default.example.org. SRV", ["elb.default.example.org. 5 IN SRV 0 100 80 lb.example.com."]],
    ["both.default.example.org. A", A("both.default.example.org.", "192.0.2.10")],
    [
      "both.default.example.org. SRV",
      [
        "both.default.example.org. 5 IN SRV 0 50 80 both.default.example.org.",
        "both.default.example.org. 5 IN SRV 0 50 80 lb.example.com.",
        "additional both.default.example.org. 5 IN A 192.0.2.10",
      ],
    ],
    ["noports.default.example.org. A", A("noports.default.example.org.", "192.0.2.12")],
    ["noports.default.example.org. SRV", NODATA],
    ["inside.default.example.org. A", NXDOMAIN],
    ["db.default.example.org. A", NXDOMAIN],
    ["default.example.org. A", NODATA],
    ["empty.example.org. A", NODATA],
    ["nosuch.example.org. A", NXDOMAIN],
    ["nosuch.default.example.org. AAAA", NXDOMAIN],
    ["example.org. SOA", [SOA]],
    ["example.org. NS", ["example.org. 5 IN NS ns1.dns.example.org."]],
    ["example.org. A", NODATA],
    ["dns.example.org. A", NODATA],
    ["ns1.dns.example.org. A", NODATA],
    ["ns2.dns.example.org. A", NXDOMAIN],
    ["a.ns1.dns.example.org. A", NXDOMAIN],
    ["web.default.svc.cluster.local. A", "next"],
  ];
  for (const [question, gives] of rows) {
    it(`${question} gives ${gives === "next" ? "the next plugin" : (gives[0] ?? "")}`, async () => {
      const { ask } = await asking();
      expect(await ask(question)).to.deep.equal(gives);
    });
  }

  it("headless: Services without external addresses have those of their ready endpoints", async () => {
    const { ask } = await asking("k8s_external example.org {\nheadless\n}");
    const db = "db.default.example.org.";
    expect(await ask(`${db} A`)).to.deep.equal(A(db, "10.244.0.5", "10.244.0.7"));
    expect(await ask(`_http._tcp.${db} SRV`)).to.deep.equal([
      `_http._tcp.${db} 5 IN SRV 0 50 80 db-0.${db}`,
      `_http._tcp.${db} 5 IN SRV 0 50 80 10-244-0-7.${db}`,
      `additional db-0.${db} 5 IN A 10.244.0.5`,
      `additional 10-244-0-7.${db} 5 IN A 10.244.0.7`,
    ]);
    expect(await ask(`db-0.${db} A`)).to.deep.equal(A(`db-0.${db}`, "10.244.0.5"));
    expect(await ask(`db-1.${db} A`)).to.deep.equal(NXDOMAIN);
    expect(await ask("noports.default.example.org. A")).to.deep.equal(A("noports.default.example.org.", "192.0.2.12"));
  });

  it("ttl and apex", async () => {
    const { ask } = await asking("k8s_external example.org {\nttl 30\napex DNS-1\n}");
    expect(await ask("noports.default.example.org. A")).to.deep.equal(["noports.default.example.org. 30 IN A 192.0.2.12"]);
    expect(await ask("example.org. NS")).to.deep.equal(["example.org. 30 IN NS ns1.dns-1.example.org."]);
    expect(await ask("dns.example.org. A")).to.have.length(2);
  });

  it("the name server has the external addresses of the Services that front this one, else its own", async () => {
    const { ask, host, registry } = await asking();
    host.addresses = ["192.0.2.53"];
    expect(await ask("ns1.dns.example.org. A")).to.deep.equal(A("ns1.dns.example.org.", "192.0.2.53"));
    registry.apply(...upserts(service({ namespace: "kube-system", name: "kube-dns", clusterIPs: ["10.3.0.2"], external: ["192.0.2.54"] })));
    expect(await ask("ns1.dns.example.org. A")).to.deep.equal(A("ns1.dns.example.org.", "192.0.2.54"));
    expect(await ask("example.org. NS")).to.deep.equal([
      "example.org. 5 IN NS ns1.dns.example.org.",
      "additional ns1.dns.example.org. 5 IN A 192.0.2.54",
    ]);
  });

  it("reverse zones name the Services that have an address", async () => {
    const { ask } = await asking("k8s_external example.org 192.0.2.0/24");
    expect(await ask("12.2.0.192.in-addr.arpa. PTR")).to.deep.equal(["12.2.0.192.in-addr.arpa. 5 IN PTR noports.default.example.org."]);
    expect(await ask("10.2.0.192.in-addr.arpa. PTR")).to.deep.equal([
      "10.2.0.192.in-addr.arpa. 5 IN PTR both.default.example.org.",
      "10.2.0.192.in-addr.arpa. 5 IN PTR web.default.example.org.",
    ]);
    expect((await ask("13.2.0.192.in-addr.arpa. PTR"))[0]).to.equal("NXDOMAIN");
    expect(await ask("2.0.192.in-addr.arpa. NS")).to.deep.equal(["2.0.192.in-addr.arpa. 5 IN NS ns1.dns.example.org."]);
    expect(await ask("1.0.192.in-addr.arpa. PTR")).to.equal("next");
    const wide = await asking("k8s_external example.org in-addr.arpa");
    expect((await wide.ask("0.192.in-addr.arpa. A"))[0], "an empty non-terminal").to.match(/^authority /);
    expect((await wide.ask("1.192.in-addr.arpa. A"))[0]).to.equal("NXDOMAIN");
  });

  it("fallthrough hands on what does not exist, in its zones", async () => {
    const { ask, instance } = await asking("k8s_external example.org in-addr.arpa {\nfallthrough in-addr.arpa\n}");
    expect(await ask("13.2.0.192.in-addr.arpa. PTR")).to.equal("next");
    expect(await ask("nosuch.default.example.org. A")).to.deep.equal(NXDOMAIN);
    expect(instance.zones?.map(({ complete }) => complete)).to.deep.equal([true, false]);
    const all = await asking("k8s_external example.org {\nfallthrough\n}");
    expect(await all.ask("nosuch.default.example.org. A")).to.equal("next");
    expect(await all.ask(`${web} TXT`)).to.deep.equal(NODATA);
  });

  it("every name that has something is listed, and every change tells the names that it touches", async () => {
    const { instance, registry } = await asking("k8s_external example.org 192.0.2.0/24 {\nheadless\n}");
    const [forward, reverse] = instance.zones ?? [];
    if (forward === undefined || reverse === undefined) return expect.fail();
    const listed = (): Map<string, string> =>
      new Map(
        [forward, reverse].flatMap((zone) =>
          Array.from(zone.names(), (name) => {
            expect(zone.node(name), formatName(name)).to.not.equal(undefined);
            return [formatName(name), JSON.stringify(zone.node(name))] as const;
          }),
        ),
      );
    const told = new Set<string>();
    for (const zone of [forward, reverse]) zone.subscribe((names) => [...names].forEach((name) => told.add(formatName(name))));
    const steps: readonly (() => void)[] = [
      () => registry.apply({ verb: "delete", object: service({ name: "web" }) }),
      () =>
        registry.apply(
          ...upserts(service({ name: "inside", external: ["192.0.2.77"], ports: [http, { ...http, name: "dns", protocol: "UDP" }] })),
        ),
      () => registry.apply(...upserts(service({ name: "inside", external: ["192.0.2.78"], ports: [http] }))),
      () =>
        registry.apply(
          ...upserts(slice({ service: "db", endpoints: [{ addresses: ["10.244.0.6"], ready: true, hostname: "db-1" }], ports: [http] })),
        ),
      () => registry.apply(...upserts(service({ namespace: "new", name: "x", external: ["192.0.2.10"] }))),
      () => registry.apply({ verb: "delete", object: service({ name: "both" }) }),
    ];
    for (const step of steps) {
      const before = listed();
      told.clear();
      step();
      const after = listed();
      const changed = [...new Set([...before.keys(), ...after.keys()])].filter((name) => before.get(name) !== after.get(name));
      expect(changed.filter((name) => !told.has(name) && name !== "2.0.192.in-addr.arpa.")).to.deep.equal([]);
      expect(changed).to.not.have.length(0);
    }
    expect([...listed().keys()]).to.include.members([
      "_http._tcp.inside.default.example.org.",
      "db-1.db.default.example.org.",
      "x.new.example.org.",
    ]);
    await instance.stop?.();
  });

  it("what is not known yet is SERVFAIL, never NXDOMAIN", async () => {
    const registry = createRegistry({ sources: ["api"], now: () => SERIAL * 1000 });
    const host = fakeHost("k8s_external", { registry: () => registry });
    const instance = await setUp(k8sExternal, "k8s_external example.org", host);
    host.siblings["kubernetes"] = await setUp(kubernetes, "kubernetes cluster.local", host);
    registry.apply(...upserts(...OBJECTS));
    const answer = async (name: string): Promise<readonly string[]> => {
      const reply = await instance.handle?.(query(name), () => DROP);
      return reply === undefined || reply === DROP ? expect.fail() : formatReply(reply);
    };
    expect(await answer(web)).to.deep.equal(["SERVFAIL"]);
    registry.markKnown("Service");
    expect(await answer(web)).to.have.length(2);
    expect(await answer("nosuch.default.example.org.")).to.deep.equal(["SERVFAIL"]);
    registry.markSynced("api");
    expect(await answer("nosuch.default.example.org.")).to.deep.equal(NXDOMAIN);
  });

  for (const [text, finding] of [
    ["k8s_external example.org {\napex a.b\n}", /apex: APEX must be one label, found "a.b"/],
    ["k8s_external example.org {\nttl 3601\n}", /ttl: TTL must be/],
    ["k8s_external example.org {\nupstream\n}", /unknown property 'upstream'/],
  ] as const) {
    it(`${JSON.stringify(text)} is refused`, () => expect(readDirective(k8sExternal, text).findings.join()).to.match(finding));
  }

  it("a reverse zone alone is refused, and so is a block without kubernetes", async () => {
    const host = fakeHost("k8s_external");
    await setUp(k8sExternal, "k8s_external 192.0.2.0/24", host);
    expect(host.reported[0]?.message).to.match(
      /^k8s_external: at least one zone must not be a reverse zone; given: 2\.0\.192\.in-addr\.arpa\.$/,
    );
    const error = await startServer({ corefile: ". {\n  k8s_external example.org\n}" }).catch((reason: unknown) => String(reason));
    expect(error).to.match(/Corefile:2:3: k8s_external: kubernetes plugin not loaded/);
  });

  it("answers over the socket, out of the table too, and follows changes", async () => {
    await using dns = await startServer({ corefile: ". {\n  kubernetes cluster.local\n  k8s_external example.org 192.0.2.0/24\n}" });
    const first = testing.service({ name: "web", external: ["192.0.2.10"], ports: [{ name: "http", port: 80 }] });
    dns.registry.apply({ verb: "upsert", object: first });
    const { address } = dns;
    expect((await testing.ask(address, web, "A")).answer).to.deep.equal(A(web, "192.0.2.10"));
    expect((await testing.ask(address, "10.2.0.192.in-addr.arpa.", "PTR")).answer).to.have.length(1);
    for (const labels of ["_http._tcp", "http._tcp", "_http.tcp", "http.tcp"]) {
      expect((await testing.ask(address, `${labels}.${web}`, "SRV")).answer, labels).to.have.length(1);
    }
    expect((await testing.ask(address, `nosuch.tcp.${web}`, "SRV")).rcode).to.equal("NXDOMAIN");
    dns.registry.apply({ verb: "upsert", object: { ...first, external: ["192.0.2.11"] } });
    expect((await testing.ask(address, web, "A")).addresses).to.deep.equal(["192.0.2.11"]);
    expect((await testing.ask(address, "10.2.0.192.in-addr.arpa.", "PTR")).rcode).to.equal("NXDOMAIN");
    dns.registry.apply({ verb: "delete", object: first });
    expect((await testing.ask(address, web, "A")).rcode).to.equal("NXDOMAIN");
  });

  it("a load balancer that the API server tells of later is there then, and gone when it is", async () => {
    await using api = await startFakeApi();
    const balanced = (ingress: readonly object[]): KubeObject => ({
      kind: "Service",
      metadata: { name: "web", namespace: "default" },
      spec: {
        type: "LoadBalancer",
        clusterIP: "10.3.0.10",
        clusterIPs: ["10.3.0.10"],
        ports: [{ name: "http", port: 80, protocol: "TCP" }],
      },
      status: { loadBalancer: { ingress } },
    });
    api.apply({ kind: "Namespace", metadata: { name: "default" } });
    api.apply(balanced([]));
    await using dns = await startServer({
      corefile: `. {\n  kubernetes cluster.local {\n    endpoint ${api.url}\n  }\n  k8s_external example.org\n}`,
    });
    const told = async (): Promise<string> => {
      const { rcode, answer } = await testing.ask(dns.address, web, "A");
      return [rcode, ...answer.map((line) => line.split(" ").slice(3).join(" "))].join(" ");
    };
    const tells = async (text: string): Promise<void> => {
      const endMs = performance.now() + 5000;
      for (let now = await told(); now !== text; now = await told()) if (performance.now() > endMs) expect(now).to.equal(text);
    };
    await tells("NXDOMAIN");
    api.apply(balanced([{ ip: "192.0.2.10" }]));
    await tells("NOERROR A 192.0.2.10");
    api.apply(balanced([{ hostname: "lb.example.net" }]));
    await tells("NOERROR CNAME lb.example.net.");
    api.apply(balanced([]));
    await tells("NXDOMAIN");
  });
});
