// What is answered while the registry is not current: EDE 3 with all that is known (RFC 8914 §4.4), EDE 14 in the place of
// denials while not all is known (§4.15), and whether the server takes queries.

import { expect } from "chai";
import { decodeMessage } from "../../../src/dns/decode.ts";
import type { Reply } from "../../../src/dns/message.ts";
import { rcodeName } from "../../../src/dns/text.ts";
import { silentLog } from "../../../src/log.ts";
import type { Plugin, SourceSpec } from "../../../src/plugin.ts";
import { createRegistry, type Source, type WritableRegistry } from "../../../src/registry/registry.ts";
import type { RegistryObject } from "../../../src/registry/objects.ts";
import { stalenessOf } from "../../../src/plugins/kubernetes/freshness.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";
import { createServer } from "../../../src/server.ts";
import { query as clientQuery, udpAsk } from "../../helpers/dns-client.ts";
import { CLUSTER, formatReply, service, serving, slice, upserts, type Asking } from "./fixture.ts";

const STALE = { code: 3, text: "not confirmed by the API server for over 5m" };
const SNAPSHOT = { code: 3, text: "from a snapshot of an earlier run" };
const NOT_READ = "the cluster's objects have not been read yet";
const BLOCK = `kubernetes cluster.local in-addr.arpa {
  pods verified
  fallthrough in-addr.arpa
}`;
const OBJECTS: readonly RegistryObject[] = [...CLUSTER, { kind: "Pod", namespace: "default", name: "db-0", addresses: ["10.244.0.5"] }];

async function awaiting(block = BLOCK, objects = OBJECTS): Promise<Asking & { readonly registry: WritableRegistry }> {
  const registry = createRegistry({ sources: ["api"] });
  registry.apply(...upserts(...objects));
  return { ...(await serving(block, [], { host: { registry: () => registry } })), registry };
}

// `NOERROR` with the records, `NXDOMAIN`, or `SERVFAIL 14 text`.
function told(reply: Reply): string {
  const lines = formatReply(reply).filter((line) => !line.startsWith("authority"));
  const ede = reply.ede === undefined || reply.ede.code === 0 ? "" : ` ${reply.ede.code} ${reply.ede.text}`;
  return `${lines.join("; ") || "NODATA"}${ede}`;
}

describe("kubernetes: what is not known is not denied", () => {
  const A = (name: string, address: string): string => `${name}.default.svc.cluster.local. 5 IN A ${address}`;
  const servfail = `SERVFAIL 14 ${NOT_READ}`;
  const rows: readonly { readonly ask: string; readonly services: string; readonly all: string }[] = [
    { ask: "web.default.svc.cluster.local. A", services: A("web", "10.3.0.10"), all: A("web", "10.3.0.10") },
    { ask: "raw.default.svc.cluster.local. AAAA", services: "NODATA", all: "NODATA" },
    {
      ask: "_http._tcp.web.default.svc.cluster.local. A",
      services: A("_http._tcp.web", "10.3.0.10"),
      all: A("_http._tcp.web", "10.3.0.10"),
    },
    {
      ask: "ext.default.svc.cluster.local. A",
      services: "ext.default.svc.cluster.local. 5 IN CNAME www.example.com.",
      all: "ext.default.svc.cluster.local. 5 IN CNAME www.example.com.",
    },
    { ask: "dns-version.cluster.local. TXT", ...both('dns-version.cluster.local. 28800 IN TXT "1.1.0"') },
    { ask: "10.0.3.10.in-addr.arpa. PTR", ...both("10.0.3.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local.") },
    { ask: "db-0.db.default.svc.cluster.local. A", services: servfail, all: A("db-0.db", "10.244.0.5") },
    { ask: "db-0.db.default.svc.cluster.local. AAAA", services: servfail, all: "NODATA" },
    { ask: "db.default.svc.cluster.local. AAAA", services: servfail, all: "NODATA" },
    {
      ask: "_sql._tcp.db.default.svc.cluster.local. A",
      services: servfail,
      all: `${A("_sql._tcp.db", "10.244.0.5")}; ${A("_sql._tcp.db", "10.244.0.7")}`,
    },
    { ask: "db-0.web.default.svc.cluster.local. A", services: servfail, all: A("db-0.web", "10.244.0.5") },
    { ask: "_tcp.web.default.svc.cluster.local. A", services: servfail, all: "NODATA" },
    { ask: "nosuch.web.default.svc.cluster.local. A", services: servfail, all: "NXDOMAIN" },
    { ask: "nosuch.default.svc.cluster.local. A", services: servfail, all: "NXDOMAIN" },
    { ask: "web.nosuch.svc.cluster.local. A", services: servfail, all: "NXDOMAIN" },
    { ask: "default.svc.cluster.local. A", services: servfail, all: "NODATA" },
    { ask: "10-244-0-5.default.pod.cluster.local. A", services: servfail, all: "10-244-0-5.default.pod.cluster.local. 5 IN A 10.244.0.5" },
    { ask: "10-244-0-9.default.pod.cluster.local. A", services: servfail, all: "NXDOMAIN" },
    { ask: "nosuch.cluster.local. A", services: servfail, all: "NXDOMAIN" },
    { ask: "1.2.0.192.in-addr.arpa. PTR", services: servfail, all: "NXDOMAIN" },
  ];

  function both(answer: string): { readonly services: string; readonly all: string } {
    return { services: answer, all: answer };
  }

  for (const { ask, services, all } of rows) {
    it(`C99: ${ask}: with nothing, with Services, with all known`, async () => {
      const dns = await awaiting();
      expect(told(await dns.reply(ask))).to.equal(servfail);
      dns.registry.markKnown("EndpointSlice");
      expect(told(await dns.reply(ask)), "endpoints without their Services").to.equal(servfail);
      const other = await awaiting();
      other.registry.markKnown("Service");
      expect(told(await other.reply(ask))).to.equal(services);
      other.registry.markSynced("api");
      expect(told(await other.reply(ask))).to.equal(all);
    });
  }

  it("the reason is what keeps the source from delivering, in 64 bytes at most", async () => {
    const dns = await awaiting();
    dns.registry.setProblem("endpointslices: 403 Forbidden");
    expect((await dns.reply("nosuch.default.svc.cluster.local. A")).ede).to.deep.equal({ code: 14, text: "endpointslices: 403 Forbidden" });
    const refused = "namespaces, services, endpointslices: connection refused by ";
    const rows = {
      [`${refused}127.0.0.1:6443`]: "namespaces, services, endpointslices: connection refused by…",
      [`${refused}a:1`]: `${refused}a:1`,
      [`${"x".repeat(40)}, ${"ü".repeat(20)}, more`]: `${"x".repeat(40)}…`,
    };
    for (const [problem, text] of Object.entries(rows)) {
      dns.registry.setProblem(problem);
      expect((await dns.reply("nosuch.default.svc.cluster.local. A")).ede?.text).to.equal(text);
      expect(Buffer.byteLength(text)).to.be.at.most(64);
    }
  });

  it("endpoints are not waited for where they are not served", async () => {
    const dns = await awaiting("kubernetes cluster.local {\nnoendpoints\n}");
    dns.registry.markKnown("Service");
    dns.registry.markKnown("Namespace");
    expect(told(await dns.reply("nosuch.default.svc.cluster.local. A"))).to.equal("NXDOMAIN");
    expect(told(await dns.reply("db.default.svc.cluster.local. A"))).to.equal("NXDOMAIN");
    expect(dns.instance.zones?.[0]?.ready).to.equal(true);
  });

  it("C101: Pods that are refused concern the names of Pods only", async () => {
    const dns = await awaiting();
    for (const kind of ["Service", "Namespace", "EndpointSlice"] as const) dns.registry.markKnown(kind);
    dns.registry.setProblem("pods: 403 Forbidden");
    expect(dns.instance.zones?.[0]?.ready).to.equal(true);
    expect(dns.instance.ready?.()).to.equal(true);
    expect(told(await dns.reply("nosuch.default.svc.cluster.local. A"))).to.equal("NXDOMAIN");
    expect(told(await dns.reply("db-0.db.default.svc.cluster.local. A"))).to.include("10.244.0.5");
    expect(told(await dns.reply("10-244-0-5.default.pod.cluster.local. A"))).to.equal("SERVFAIL 14 pods: 403 Forbidden");
    expect(told(await dns.reply("x.default.pod.cluster.local. A"))).to.equal("NXDOMAIN");
    dns.registry.markKnown("Pod");
    expect(told(await dns.reply("10-244-0-5.default.pod.cluster.local. A"))).to.include("10.244.0.5");
  });

  it("where namespaces are chosen by label, nothing is said before the labels are known", async () => {
    const dns = await awaiting("kubernetes cluster.local {\nnamespace_labels !internal\n}");
    dns.registry.markKnown("Service");
    expect(told(await dns.reply("web.default.svc.cluster.local. A"))).to.equal(servfail);
    dns.registry.markKnown("Namespace");
    expect(told(await dns.reply("web.default.svc.cluster.local. A"))).to.include("10.3.0.10");
  });

  it("where empty Services don't exist, none does before endpoints are known", async () => {
    const dns = await awaiting("kubernetes cluster.local {\nignore empty_service\n}");
    dns.registry.markKnown("Service");
    expect(told(await dns.reply("web.default.svc.cluster.local. A"))).to.equal(servfail);
    dns.registry.markSynced("api");
    expect(told(await dns.reply("web.default.svc.cluster.local. A"))).to.include("10.3.0.10");
    expect(told(await dns.reply("raw.default.svc.cluster.local. A"))).to.equal("NXDOMAIN");
  });

  it("an alias of what is not known is SERVFAIL", async () => {
    const alias = service({ name: "alias", type: "ExternalName", externalName: "db.default.svc.cluster.local" });
    const dns = await awaiting("kubernetes cluster.local", [...OBJECTS, alias]);
    dns.registry.markKnown("Service");
    expect(told(await dns.reply("alias.default.svc.cluster.local. A"))).to.equal(servfail);
    expect(told(await dns.reply("alias.default.svc.cluster.local. CNAME"))).to.include("CNAME db.");
  });

  it("names that fall through do so whatever is known; those that are there don't", async () => {
    const asked: string[] = [];
    const registry = createRegistry({ sources: ["api"] });
    registry.apply(...upserts(...OBJECTS));
    const dns = await serving("kubernetes cluster.local in-addr.arpa {\nfallthrough\n}", [], {
      host: { registry: () => registry },
      next: (query) => {
        asked.push(query.qname);
        return { rcode: 0, authoritative: false, by: "next", answer: [], authority: [], additional: [] };
      },
    });
    registry.markKnown("Service");
    const by = async (ask: string): Promise<string> => (await dns.reply(ask)).by;
    expect(await by("nosuch.default.svc.cluster.local. A")).to.equal("next");
    expect(await by("1.2.0.192.in-addr.arpa. PTR")).to.equal("next");
    expect(await by("web.default.svc.cluster.local. A")).to.equal("kubernetes");
    expect(await by("db.default.svc.cluster.local. A"), "headless: it is there").to.equal("kubernetes");
    expect(asked).to.have.length(2);
  });
});

describe("kubernetes: what may be old says so", () => {
  const questions = [
    "web.default.svc.cluster.local. A",
    "raw.default.svc.cluster.local. AAAA",
    "nosuch.default.svc.cluster.local. A",
    "ext.default.svc.cluster.local. A",
    "5.0.244.10.in-addr.arpa. PTR",
    "10-244-0-5.default.pod.cluster.local. A",
    "cluster.local. SOA",
  ];

  for (const ask of questions) {
    it(`${ask}: EDE 3 while the registry is stale or from a snapshot`, async () => {
      const dns = await serving("kubernetes cluster.local in-addr.arpa {\npods insecure\nreasons nearest\n}");
      const current = await dns.reply(ask);
      dns.registry.setFreshness("stale");
      expect(await dns.reply(ask)).to.deep.equal({ ...current, ede: STALE });
      dns.registry.setFreshness("snapshot");
      expect(await dns.reply(ask)).to.deep.equal({ ...current, ede: SNAPSHOT });
      dns.registry.setFreshness("current");
      expect(await dns.reply(ask)).to.deep.equal(current);
    });
  }

  it("what is not known is no stale answer", async () => {
    const dns = await awaiting();
    dns.registry.setFreshness("snapshot");
    expect(told(await dns.reply("nosuch.default.svc.cluster.local. A"))).to.equal(`SERVFAIL 14 ${NOT_READ}`);
  });

  it("zones tell when it begins and ends", async () => {
    const { registry, instance } = await serving("kubernetes cluster.local in-addr.arpa");
    const heard: (string | undefined)[] = [];
    for (const zone of instance.zones ?? []) zone.subscribe((names) => heard.push(zone.staleness, ...names));
    registry.setFreshness("stale");
    registry.setProblem("services: connection refused");
    registry.setFreshness("current");
    expect(heard).to.deep.equal([STALE.text, STALE.text, undefined, undefined]);
    heard.length = 0;
    await instance.stop?.();
    registry.setFreshness("stale");
    expect(heard, "after stop").to.deep.equal([]);
  });

  it("the text tells stale_after as its Corefile does", () => {
    const registry = createRegistry();
    registry.setFreshness("stale");
    const texts = [300_000, 90_000, 7_200_000].map((ms) => stalenessOf(registry, ms));
    expect(texts).to.deep.equal(["5m", "90s", "2h"].map((time) => `not confirmed by the API server for over ${time}`));
  });
});

describe("kubernetes: ready", () => {
  it("C99: not before the registry has synced, for the reason that keeps it from it", async () => {
    const { instance, registry } = await awaiting();
    expect([instance.ready?.(), instance.notReadyReason?.()]).to.deep.equal([false, NOT_READ]);
    registry.setProblem("services: connection refused");
    expect([instance.ready?.(), instance.notReadyReason?.()]).to.deep.equal([false, "services: connection refused"]);
    registry.markSynced("api");
    expect(instance.ready?.()).to.equal(true);
  });

  it("not with a snapshot", async () => {
    const { instance, registry } = await serving("kubernetes cluster.local");
    registry.setFreshness("snapshot");
    expect([instance.ready?.(), instance.notReadyReason?.()]).to.deep.equal([false, "from a snapshot of an earlier run"]);
    registry.setFreshness("current");
    expect(instance.ready?.()).to.equal(true);
  });

  it("C106: still, while the API server is away", async () => {
    const { instance, registry } = await serving("kubernetes cluster.local");
    registry.setFreshness("stale");
    expect(instance.ready?.()).to.equal(true);
  });
});

describe("kubernetes: through a server, from a source that the test plays", () => {
  it("C99, C103, C106: unsynced, with Services, from a snapshot, current, stale, current again", async () => {
    const played = withResolvers<{ readonly registry: WritableRegistry; readonly synced: () => void }>();
    const source: Source = {
      name: "played",
      run: (registry, synced, signal) => {
        played.resolve({ registry, synced });
        return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      },
    };
    const spec: SourceSpec = { key: "played", startupTimeoutMs: 1, create: () => source };
    const plugin: Plugin<unknown> = {
      ...(kubernetes as Plugin<unknown>),
      name: "played",
      setup: (options, host, at) => kubernetes.setup(options as never, { ...host, registry: () => host.registry(spec) }, at),
    };
    const corefile = ". {\n  played cluster.local in-addr.arpa {\n    reasons fixed\n  }\n  ready 127.0.0.1:0\n}\n";
    const common = { file: "Corefile", port: 0, address: "127.0.0.1", embedded: true, strict: true, env: {}, log: silentLog } as const;
    const server = await createServer({ ...common, corefile, plugins: [plugin] });
    try {
      const { registry, synced } = await played.promise;
      const ask = async (name: string, opt: "OPT" | "no OPT" = "OPT"): Promise<string> => {
        await server.settled();
        const packet = clientQuery({ name: `${name}.svc.cluster.local`, type: "A", ...(opt === "OPT" && { edns: {} }) });
        const message = decodeMessage((await udpAsk(server.addresses[0] ?? expect.fail(), packet)) ?? expect.fail());
        const ede = message?.edns?.ede;
        return `${rcodeName(message?.rcode ?? -1)} ${message?.answer.length}${ede === undefined ? "" : ` ${ede.code} ${ede.text}`}`;
      };
      const all = async (): Promise<string[]> => [await ask("web.default"), await ask("db.default"), await ask("nosuch.default")];
      const servfail = `SERVFAIL 0 14 ${NOT_READ}`;

      registry.apply(...upserts(...CLUSTER));
      expect(await all()).to.deep.equal([servfail, servfail, servfail]);
      expect(await ask("web.default", "no OPT")).to.equal("SERVFAIL 0");
      registry.setProblem("endpointslices: 403 Forbidden");
      registry.markKnown("Service");
      const forbidden = "SERVFAIL 0 14 endpointslices: 403 Forbidden";
      expect(await all()).to.deep.equal(["NOERROR 1", forbidden, forbidden]);

      registry.setFreshness("snapshot");
      synced();
      const old = ` 3 ${SNAPSHOT.text}`;
      expect(await all()).to.deep.equal([`NOERROR 1${old}`, `NOERROR 2${old}`, `NXDOMAIN 0${old}`]);
      expect(await ask("web.default", "no OPT")).to.equal("NOERROR 1");
      registry.setProblem(undefined);
      registry.setFreshness("current");
      const current = ["NOERROR 1", "NOERROR 2", "NXDOMAIN 0 0 no such Service"];
      expect(await all()).to.deep.equal(current);
      registry.setFreshness("stale");
      const stale = ` 3 ${STALE.text}`;
      expect(await all()).to.deep.equal([`NOERROR 1${stale}`, `NOERROR 2${stale}`, `NXDOMAIN 0${stale}`]);
      registry.setFreshness("current");
      expect(await all()).to.deep.equal(current);
    } finally {
      await server.stop("now");
    }
  });
});

describe("kubernetes: slices that come before all of them are there", () => {
  it("an endpoint's addresses of several slices are told together or not at all", async () => {
    const dns = await awaiting("kubernetes cluster.local", []);
    const endpoint = (address: string) => ({ endpoints: [{ addresses: [address], ready: true, hostname: "db-0" }] });
    dns.registry.apply(...upserts(service({ name: "db", headless: true }), slice({ service: "db", ...endpoint("10.244.0.5") })));
    dns.registry.markKnown("Service");
    expect(told(await dns.reply("db.default.svc.cluster.local. A"))).to.equal(`SERVFAIL 14 ${NOT_READ}`);
    dns.registry.apply(...upserts(slice({ service: "db", name: "db-2", ...endpoint("10.244.0.6") })));
    dns.registry.markSynced("api");
    expect((await dns.reply("db-0.db.default.svc.cluster.local. A")).answer[0]?.rdata).to.have.length(2);
  });
});

function withResolvers<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}
