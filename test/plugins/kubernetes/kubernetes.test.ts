// The options of `kubernetes`, and what goes on beyond one name: aliases, fallthrough, an unsynced registry, name
// servers and reasons.

import { expect } from "chai";
import { emptyReply, type Reply } from "../../../src/dns/message.ts";
import type { Next } from "../../../src/plugin.ts";
import { createRegistry, type Registry } from "../../../src/registry/registry.ts";
import { AT, fakeHost, query, readDirective, setUp } from "../../helpers/fake-host.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";
import { createNearestNames } from "../../../src/plugins/kubernetes/nearest.ts";
import { createCluster } from "../../../src/plugins/kubernetes/cluster.ts";
import { lookup } from "../../../src/dns/lookup.ts";
import { parseName, readName } from "../../../src/dns/name.ts";
import { RRTypes } from "../../../src/dns/records.ts";
import type { Zone } from "../../../src/dns/zone.ts";
import { queryOf } from "../../helpers/exchange.ts";
import { until } from "../../helpers/listening.ts";
import { kubernetesZone } from "../../../src/plugins/kubernetes/zone.ts";
import { CLUSTER, serving, service, slice, SOA, upserts } from "./fixture.ts";

const NXDOMAIN = ["NXDOMAIN", `authority ${SOA}`];
const NODATA = [`authority ${SOA}`];
const zone = "default.svc.cluster.local.";

describe("kubernetes: options", () => {
  const rows: readonly { readonly block: string; readonly ask: string; readonly gives: readonly string[] }[] = [
    { block: "ttl 30", ask: `raw.${zone} A`, gives: [`raw.${zone} 30 IN A 10.3.0.11`] },
    { block: "ttl 0", ask: `raw.${zone} A`, gives: [`raw.${zone} 0 IN A 10.3.0.11`] },
    { block: "pods disabled", ask: "10-244-0-9.default.pod.cluster.local. A", gives: NXDOMAIN },
    { block: "pods verified", ask: "10-244-0-9.default.pod.cluster.local. A", gives: NXDOMAIN },
    {
      block: "pods verified",
      ask: "10-244-0-8.default.pod.cluster.local. A",
      gives: ["10-244-0-8.default.pod.cluster.local. 5 IN A 10.244.0.8"],
    },
    { block: "pods verified", ask: "10-244-0-8.kube-system.pod.cluster.local. A", gives: NXDOMAIN },
    { block: "noendpoints", ask: `db.${zone} A`, gives: NXDOMAIN },
    { block: "noendpoints", ask: `db-0.web.${zone} A`, gives: NXDOMAIN },
    { block: "noendpoints", ask: `raw.${zone} A`, gives: [`raw.${zone} 5 IN A 10.3.0.11`] },
    { block: "endpoint_pod_names", ask: `db-x7k2p.db.${zone} A`, gives: [`db-x7k2p.db.${zone} 5 IN A 10.244.0.7`] },
    { block: "endpoint_pod_names", ask: `10-244-0-7.db.${zone} A`, gives: NXDOMAIN },
    { block: "ignore empty_service", ask: `raw.${zone} A`, gives: NXDOMAIN },
    { block: "ignore empty_service", ask: `web.${zone} A`, gives: [`web.${zone} 5 IN A 10.3.0.10`] },
    { block: "namespaces kube-system", ask: `raw.${zone} A`, gives: NXDOMAIN },
    { block: "namespaces kube-system", ask: `${zone} A`, gives: NXDOMAIN },
    { block: "namespaces kube-system", ask: "kube-system.svc.cluster.local. A", gives: NODATA },
    { block: "namespaces kube-system default", ask: `raw.${zone} A`, gives: [`raw.${zone} 5 IN A 10.3.0.11`] },
    { block: "namespace_labels team=a", ask: `raw.${zone} A`, gives: [`raw.${zone} 5 IN A 10.3.0.11`] },
    { block: "namespace_labels team=a", ask: "kube-system.svc.cluster.local. A", gives: NXDOMAIN },
    { block: "labels app in (web, api)", ask: `raw.${zone} A`, gives: NXDOMAIN },
    { block: "labels app in (web, api)", ask: `web.${zone} A`, gives: [`web.${zone} 5 IN A 10.3.0.10`] },
    { block: "startup_timeout 10s", ask: `raw.${zone} A`, gives: [`raw.${zone} 5 IN A 10.3.0.11`] },
  ];
  for (const { block, ask, gives } of rows) {
    it(`${block}: ${ask}`, async () => {
      const pod = { kind: "Pod", namespace: "default", name: "p", addresses: ["10.244.0.8"] } as const;
      const dns = await serving(`kubernetes cluster.local {\n${block}\n}`, [...CLUSTER, pod]);
      expect(await dns.ask(ask)).to.deep.equal(gives);
    });
  }

  it("ptr one gives the first name", async () => {
    const dns = await serving("kubernetes cluster.local in-addr.arpa {\nptr one\n}");
    expect(await dns.ask("5.0.244.10.in-addr.arpa. PTR")).to.deep.equal([
      "5.0.244.10.in-addr.arpa. 5 IN PTR db-0.db.default.svc.cluster.local.",
    ]);
  });

  const findings: readonly (readonly [string, string])[] = [
    ["kubernetes in-addr.arpa", "Corefile:2:1: kubernetes: at least one zone must not be a reverse zone"],
    ["kubernetes {\nttl 3601\n}", 'Corefile:3:5: kubernetes: ttl: TTL must be 0–3600, found "3601"'],
    ["kubernetes {\npods all\n}", 'Corefile:3:6: kubernetes: pods: must be disabled, insecure or verified, found "all"'],
    [
      "kubernetes {\nlabels a in b\n}",
      'Corefile:3:8: kubernetes: labels: must be a label selector like "app=web,tier in (a, b),!old", found "a in b"',
    ],
    ["kubernetes {\nupstream\n}", "Corefile:3:1: warning: kubernetes: upstream: ignored: CoreDNS has removed this option"],
    ["kubernetes {\nstate x\n}", 'Corefile:2:1: kubernetes: state is about manifests: it needs "manifests PATH..." beside it'],
    ["kubernetes {\nnamespaces a\nnamespace_labels b\n}", "Corefile:2:1: kubernetes: namespaces and namespace_labels can't be combined"],
  ];
  for (const [text, finding] of findings) {
    it(`finding: ${finding}`, () => expect(readDirective(kubernetes, text).findings).to.deep.equal([finding]));
  }

  it("manifests take paths and a namespace", () => {
    const { options } = readDirective(kubernetes, "kubernetes {\nmanifests a b namespace shop\n}");
    expect(options[0]?.manifests).to.deep.equal({ paths: ["a", "b"], namespace: "shop" });
    const plain = readDirective(kubernetes, "kubernetes {\nmanifests namespace\n}");
    expect(plain.options[0]?.manifests).to.deep.equal({ paths: ["namespace"], namespace: "default" });
  });

  it("equal manifests are one source, with paths relative to the Corefile", async () => {
    const keys: string[] = [];
    const registry = createRegistry();
    const host = fakeHost("kubernetes", { file: "/etc/ndots/Corefile", embedded: false });
    host.registry = (source) => {
      keys.push(source?.key ?? "");
      return registry;
    };
    await setUp(kubernetes, "kubernetes cluster.local {\nmanifests zones\n}", host);
    await setUp(kubernetes, "kubernetes cluster.local {\nmanifests ./zones\nttl 7\n}", host);
    expect(keys[0]).to.include('"/etc/ndots/zones"');
    expect(keys[1]).to.equal(keys[0]);
  });

  it("without zones it serves its server block's", async () => {
    const dns = await serving("kubernetes", CLUSTER, { host: { zones: [parseName("example.org")] } });
    expect(await dns.ask("raw.default.svc.example.org. A")).to.deep.equal(["raw.default.svc.example.org. 5 IN A 10.3.0.11"]);
  });

  it("without any forward zone it is refused", async () => {
    const host = fakeHost("kubernetes", { zones: [parseName("in-addr.arpa")] });
    await kubernetes.setup(readDirective(kubernetes, "kubernetes").options[0] ?? expect.fail(), host, AT);
    expect(host.reported[0]?.message).to.equal("kubernetes: at least one zone must not be a reverse zone");
  });
});

describe("kubernetes: ExternalName", () => {
  const to = (name: string, externalName: string) => service({ name, type: "ExternalName", externalName });
  const objects = [
    ...CLUSTER,
    to("in", `raw.${zone.slice(0, -1)}`),
    to("chain", `in.${zone.slice(0, -1)}`),
    to("dangling", `nosuch.${zone.slice(0, -1)}`),
    to("self", `self.${zone.slice(0, -1)}`),
    to("ping", `pong.${zone.slice(0, -1)}`),
    to("pong", `ping.${zone.slice(0, -1)}`),
    to("v4", "192.0.2.1"),
    to("v6", "2001:db8::1"),
    to("broken", "foo..bar"),
    to("long", `${"a.".repeat(150)}b`),
    ...Array.from({ length: 12 }, (_, index) => to(`hop-${index}`, `hop-${index + 1}.${zone.slice(0, -1)}`)),
  ];
  const cname = (owner: string, target: string) => `${owner}.${zone} 5 IN CNAME ${target}.${zone}`;
  const rows: readonly { readonly rule: string; readonly ask: string; readonly gives: readonly string[] }[] = [
    { rule: "a target in the cluster is looked up", ask: "in", gives: [cname("in", "raw"), `raw.${zone} 5 IN A 10.3.0.11`] },
    { rule: "through several aliases", ask: "chain", gives: [cname("chain", "in"), cname("in", "raw"), `raw.${zone} 5 IN A 10.3.0.11`] },
    { rule: "a target without the type: CNAME and the SOA of the end", ask: "in AAAA", gives: [cname("in", "raw"), `authority ${SOA}`] },
    {
      rule: "a target that is not there: rcode and SOA of the end (RFC 6604)",
      ask: "dangling",
      gives: ["NXDOMAIN", cname("dangling", "nosuch"), `authority ${SOA}`],
    },
    { rule: "its own name: one CNAME", ask: "self", gives: [cname("self", "self")] },
    { rule: "a loop is cut", ask: "ping", gives: [cname("ping", "pong"), cname("pong", "ping")] },
    {
      rule: "at most ten CNAMEs",
      ask: "hop-0",
      gives: Array.from({ length: 10 }, (_, index) => cname(`hop-${index}`, `hop-${index + 1}`)),
    },
    { rule: "an IPv4 address is no name", ask: "v4", gives: NXDOMAIN },
    { rule: "an IPv6 address is no name", ask: "v6 AAAA", gives: NXDOMAIN },
    { rule: "no domain name", ask: "broken", gives: NXDOMAIN },
    { rule: "a name that is too long", ask: "long", gives: NXDOMAIN },
  ];
  for (const { rule, ask, gives } of rows) {
    it(rule, async () => {
      const [name, type = "A"] = ask.split(" ");
      const dns = await serving("kubernetes cluster.local", objects);
      expect(await dns.ask(`${name}.${zone} ${type}`)).to.deep.equal(gives);
    });
  }

  it("the reason says what is wrong with it", async () => {
    const dns = await serving("kubernetes cluster.local", objects);
    expect((await dns.reply(`v4.${zone} A`)).ede).to.deep.equal({ code: 0, text: "ExternalName is an IP address, not a name" });
  });
});

describe("kubernetes: down the chain", () => {
  const foreign: Reply = { ...emptyReply(0, "file") };
  const next: Next = () => foreign;

  it("names outside its zones go on", async () => {
    const dns = await serving("kubernetes cluster.local", CLUSTER, { next });
    expect(await dns.reply("example.org. A")).to.equal(foreign);
    expect(await dns.reply("evilcluster.local. A")).to.equal(foreign);
  });

  it("fallthrough hands on what does not exist, and nothing else", async () => {
    const dns = await serving("kubernetes cluster.local in-addr.arpa {\nfallthrough in-addr.arpa\n}", CLUSTER, { next });
    expect(await dns.reply("1.2.0.192.in-addr.arpa. PTR")).to.equal(foreign);
    expect((await dns.reply("10.0.3.10.in-addr.arpa. PTR")).by).to.equal("kubernetes");
    expect((await dns.reply("10.0.3.10.in-addr.arpa. A")).by).to.equal("kubernetes");
    expect((await dns.reply(`nosuch.${zone} A`)).rcode).to.equal(3);
    expect(dns.instance.zones?.map(({ complete }) => complete)).to.deep.equal([true, false]);
  });

  it("fallthrough without zones is for all", async () => {
    const dns = await serving("kubernetes cluster.local {\nfallthrough\n}", CLUSTER, { next });
    expect(await dns.reply(`nosuch.${zone} A`)).to.equal(foreign);
    expect(dns.instance.zones?.[0]?.complete).to.equal(false);
  });

  it("fallthrough into part of a zone makes the zone incomplete", async () => {
    const dns = await serving(`kubernetes cluster.local {\nfallthrough a.${zone}\n}`, CLUSTER, { next });
    expect(dns.instance.zones?.[0]?.complete).to.equal(false);
    expect(await dns.reply(`x.a.${zone} A`)).to.equal(foreign);
    expect((await dns.reply(`nosuch.${zone} A`)).rcode).to.equal(3);
  });

  it("what nobody takes is our own NXDOMAIN", async () => {
    const dns = await serving("kubernetes cluster.local {\nfallthrough\n}");
    expect(await dns.ask(`nosuch.${zone} A`)).to.deep.equal(NXDOMAIN);
    const slow = await serving("kubernetes cluster.local {\nfallthrough\n}", CLUSTER, {
      next: async () => ({ ...emptyReply(5, ""), unhandled: true }),
    });
    expect(await slow.ask(`nosuch.${zone} A`)).to.deep.equal(NXDOMAIN);
  });

  it("unsynced: SERVFAIL with the reason, but names that fall through go on", async () => {
    const registry = createRegistry({ sources: ["test"] });
    registry.apply(...upserts(...CLUSTER));
    const host = fakeHost("kubernetes", { registry: () => registry });
    const instance = await setUp(kubernetes, "kubernetes cluster.local in-addr.arpa {\nfallthrough in-addr.arpa\n}", host);
    const notReady = { rcode: 2, ede: { code: 14, text: "the cluster's objects have not been read yet" } };
    expect(instance.ready?.()).to.equal(false);
    expect(instance.handle?.(query(`nosuch.${zone}`), next)).to.deep.include(notReady);
    expect(instance.handle?.(query(`web.${zone}`), next)).to.deep.include(notReady);
    expect(instance.handle?.(query("1.2.0.192.in-addr.arpa.", { type: 12 }), next)).to.equal(foreign);
    registry.markSynced("test");
    expect(instance.ready?.()).to.equal(true);
    expect(instance.handle?.(query(`web.${zone}`), next)).to.deep.include({ rcode: 0, by: "kubernetes" });
  });
});

describe("kubernetes: name servers", () => {
  const kubeDns = [
    service({ namespace: "kube-system", name: "kube-dns", clusterIPs: ["10.3.0.2"] }),
    service({ namespace: "kube-system", name: "node-local", headless: true }),
    slice({ namespace: "kube-system", service: "node-local", endpoints: [{ addresses: ["192.0.2.53"], ready: true }] }),
  ];
  const rows: readonly {
    readonly rule: string;
    readonly at: readonly string[];
    readonly objects: typeof CLUSTER;
    readonly ns: readonly string[];
    readonly address: string;
  }[] = [
    {
      rule: "nothing fronts the server: ns.dns is its own addresses",
      at: ["127.0.0.1", "192.0.2.53"],
      objects: CLUSTER,
      ns: ["cluster.local. 5 IN NS ns.dns.cluster.local.", "additional ns.dns.cluster.local. 5 IN A 192.0.2.53"],
      address: "192.0.2.53",
    },
    {
      rule: "a Service with the server's address fronts it",
      at: ["192.0.2.53"],
      objects: [...CLUSTER, ...kubeDns],
      ns: [
        "cluster.local. 5 IN NS node-local.kube-system.svc.cluster.local.",
        "additional node-local.kube-system.svc.cluster.local. 5 IN A 192.0.2.53",
      ],
      address: "192.0.2.53",
    },
    {
      rule: "else kube-system/kube-dns does",
      at: ["198.51.100.1"],
      objects: [...CLUSTER, ...kubeDns],
      ns: [
        "cluster.local. 5 IN NS kube-dns.kube-system.svc.cluster.local.",
        "additional kube-dns.kube-system.svc.cluster.local. 5 IN A 10.3.0.2",
      ],
      address: "10.3.0.2",
    },
  ];
  for (const { rule, at, objects, ns, address } of rows) {
    it(rule, async () => {
      const dns = await serving("kubernetes Cluster.local in-addr.arpa", objects);
      dns.host.addresses = [...at];
      expect(await dns.ask("cluster.local. NS")).to.deep.equal(ns);
      expect(await dns.ask("ns.dns.cluster.local. A")).to.deep.equal([`ns.dns.cluster.local. 5 IN A ${address}`]);
      expect(await dns.ask("in-addr.arpa. NS")).to.deep.equal(["in-addr.arpa. 5 IN NS ns.dns.cluster.local."]);
    });
  }

  it("start tells the names that depend on the sockets", async () => {
    const dns = await serving("kubernetes cluster.local");
    const told: unknown[] = [];
    dns.instance.zones?.[0]?.subscribe((names) => told.push(...names));
    dns.host.addresses = ["192.0.2.53"];
    await dns.instance.start?.();
    expect(told).to.deep.equal([parseName("cluster.local"), parseName("ns.dns.cluster.local")]);
  });
});

describe("kubernetes: large headless Services", () => {
  const slices = Array.from({ length: 20 }, (_, index) =>
    slice({
      service: "db",
      name: `db-${index}`,
      // Every fourth has a hostname that it shares with endpoints of other slices, which may have another port.
      endpoints: Array.from({ length: 20 }, (__, at) => ({
        addresses: [`10.244.${index}.${at}`, ...(at % 3 === 0 ? [`fd00::${index}:${at}`] : [])],
        ready: at % 5 !== 0,
        ...(at % 4 === 0 ? { hostname: `h-${at}` } : {}),
      })),
      ports: [{ name: index % 2 === 0 ? "sql" : "admin", protocol: "TCP", port: 1 }],
    }),
  );
  for (const asked of ["db", "_sql._tcp.db"]) {
    it(`the addresses of SRV's targets are those at their names, found without a walk for each: ${asked}`, () => {
      const registry = createRegistry();
      registry.apply(...upserts(service({ name: "db", headless: true }), ...slices));
      let walks = 0;
      const counted: Registry = Object.assign(Object.create(registry) as Registry, {
        slices: (...at: Parameters<Registry["slices"]>) => {
          walks++;
          return registry.slices(...at);
        },
      });
      const cluster = kubernetesZone({
        cluster: createCluster(counted),
        apex: parseName("cluster.local"),
        ttl: 5,
        pods: "disabled",
        reasons: "off",
        complete: true,
        namesNearest: () => false,
        ownAddresses: () => [],
      });
      const found = lookup(cluster, parseName(`${asked}.${zone}`), RRTypes.SRV);
      if (found.kind !== "answer") return expect.fail();
      expect(walks).to.be.below(10);
      const targets = new Set(found.answer[0]?.rdata.map((rdata) => readName(rdata, 6)?.name ?? expect.fail()));
      const single = [...targets].flatMap((target) => cluster.node(target)?.rrsets ?? []);
      expect(found.additional).to.deep.equal(single.filter(({ type }) => type !== RRTypes.SRV));
      expect(found.additional).to.have.length.above(100);
      return undefined;
    });
  }
});

describe("kubernetes: reasons", () => {
  const rows: readonly (readonly [string, string, string | undefined])[] = [
    ["fixed", `nosuch.${zone}`, "no such Service"],
    ["fixed", "web.nosuch.svc.cluster.local.", "no such namespace"],
    ["fixed", `nosuch.web.${zone}`, "no such endpoint or port"],
    ["fixed", `_nosuch._tcp.web.${zone}`, "no such port"],
    ["fixed", "nosuch.cluster.local.", "no such name in the cluster's zone"],
    ["fixed", "1-1-1-1.default.pod.cluster.local.", "Pod names are disabled (pods disabled)"],
    ["fixed", `gone.${zone}`, "no ready endpoints"],
    ["off", `nosuch.${zone}`, undefined],
    ["off", `gone.${zone}`, undefined],
    ["nearest", `wbe.${zone}`, "no such Service; nearest: web.default"],
    ["nearest", "web.defualt.svc.cluster.local.", "no such namespace; nearest: web.default"],
    ["nearest", "nosuch.defualt.svc.cluster.local.", "no such namespace; nearest: default"],
    ["nearest", "web.kube-system.svc.cluster.local.", "no such Service; nearest: web.default"],
    ["nearest", `zzzzzzzz.${zone}`, "no such Service"],
    ["nearest", `_nosuch._tcp.web.${zone}`, "no such port"],
  ];
  for (const [mode, name, text] of rows) {
    it(`${mode}: ${name} ${text ?? "without a reason"}`, async () => {
      const dns = await serving(`kubernetes cluster.local {\nreasons ${mode}\n}`, [...CLUSTER, service({ name: "gone", headless: true })]);
      expect((await dns.reply(`${name} A`)).ede?.text).to.equal(text);
    });
  }

  it("a nearest name that would not fit in 64 bytes is left out, not cut", () => {
    const registry = createRegistry();
    const fits = "b".repeat(64 - "no such Service; nearest: .default".length);
    registry.apply(...upserts(service({ name: "a".repeat(60) }), service({ name: fits })));
    const names = createNearestNames(createCluster(registry), { now: () => 0 });
    const explain = (label: string) =>
      names.explain(parseName("cluster.local"), parseName(`${label}.default.svc.cluster.local`), "no such Service");
    expect(explain("a".repeat(59))).to.equal("no such Service");
    expect(explain(`${fits.slice(1)}c`)).to.equal(`no such Service; nearest: ${fits}.default`);
  });

  it("a second's look-ups walk a bounded number of Services", () => {
    const registry = createRegistry();
    const count = 10_000;
    registry.apply(
      ...upserts(...Array.from({ length: count }, (_, index) => service({ name: `s-${index}`, namespace: `n-${index % 20}` }))),
    );
    let walked = 0;
    const counted: Registry = Object.assign(Object.create(registry) as Registry, {
      *services() {
        for (const each of registry.services()) {
          walked++;
          yield each;
        }
      },
    });
    let now = 0;
    const names = createNearestNames(createCluster(counted), { now: () => now });
    walked = 0;
    const explain = (label: string) => names.explain(parseName("cluster.local"), parseName(`${label}.n-1.svc.cluster.local`), "none");
    for (let index = 0; index < 200; index++) explain(`z-${index}`);
    expect(walked).to.be.within(count, 3 * count);
    expect(explain("s-1x")).to.equal("none");
    now = 1000;
    expect(explain("s-1x")).to.equal("none; nearest: s-1.n-1");
  });

  it("when a second's nearest names are spent the zone leaves the reasons to the table, and takes them back", async () => {
    const registry = createRegistry();
    registry.apply(...upserts(service({ name: "web" })));
    const host = fakeHost("kubernetes", { registry: () => registry });
    const instance = await setUp(kubernetes, "kubernetes cluster.local {\n reasons nearest\n}", host);
    const forward = instance.zones?.[0] as Zone;
    let told = 0;
    const unsubscribe = forward.subscribe(() => told++);
    expect(forward.namesNearest).to.equal(true);
    for (let index = 0; index < 200; index++) {
      await instance.handle?.(queryOf({ name: `n-${index}.default.svc.cluster.local.`, edns: {} }), () => expect.fail());
    }
    expect(forward.namesNearest).to.equal(false);
    expect(told).to.equal(1);
    await until(() => forward.namesNearest === true, "the next second");
    expect(told).to.equal(2);
    unsubscribe();
    await instance.stop?.();
  });

  it("nearest names are remembered until a change, and bounded to 200 a second", () => {
    const registry = createRegistry();
    const long = "a".repeat(20);
    registry.apply(...upserts(service({ name: long })));
    let now = 0;
    const names = createNearestNames(createCluster(registry), { now: () => now });
    const apex = parseName("cluster.local");
    const typo = parseName(`${"a".repeat(19)}.default.svc.cluster.local`);
    expect(names.explain(apex, typo, "no such Service")).to.equal(`no such Service; nearest: ${long}.default`);
    for (let index = 0; index < 199; index++) names.explain(apex, parseName(`n-${index}.default.svc.cluster.local`), "no such Service");
    const late = parseName(`${"a".repeat(18)}.default.svc.cluster.local`);
    expect(names.explain(apex, late, "no such Service")).to.equal("no such Service");
    expect(names.explain(apex, typo, "no such Service")).to.include("nearest");
    now = 1000;
    expect(names.explain(apex, late, "no such Service")).to.include("nearest");
    registry.apply({ verb: "delete", object: service({ name: long }) });
    expect(names.explain(apex, typo, "no such Service")).to.equal("no such Service");
  });
});
