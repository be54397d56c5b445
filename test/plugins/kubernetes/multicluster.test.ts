// The zone of a cluster set (KEP-1645): ServiceImports as Services of a registry of their own, endpoints below the label of
// their cluster.

import { expect } from "chai";
import { parseName } from "../../../src/dns/name.ts";
import type { RegistryObject } from "../../../src/registry/objects.ts";
import { createRegistry, type WritableRegistry } from "../../../src/registry/registry.ts";
import { projectImportedSlice, projectServiceImport, Unfit } from "../../../src/registry/kube/projection.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";
import { typeOf } from "../../../src/dns/text.ts";
import { fakeHost, query, setUp } from "../../helpers/fake-host.ts";
import { CLUSTER, formatReply, SERIAL, service, slice, SOA, UNHANDLED, upserts } from "./fixture.ts";

const zone = "default.svc.clusterset.local.";
const SET_SOA = SOA.replaceAll("cluster.local", "clusterset.local");
const NXDOMAIN = ["NXDOMAIN", `authority ${SET_SOA}`];
const NODATA = [`authority ${SET_SOA}`];
const sql = [{ name: "sql", protocol: "TCP", port: 5432 }] as const;

const IMPORTS: readonly RegistryObject[] = [
  { kind: "Namespace", name: "default", labels: {} },
  service({ name: "vip", clusterIPs: ["10.9.0.1"], ports: sql }),
  slice({ service: "vip", name: "vip-1", cluster: "c1", endpoints: [{ addresses: ["10.1.0.9"], ready: true }], ports: sql }),
  service({ name: "db", headless: true }),
  slice({
    service: "db",
    name: "db-1",
    cluster: "c1",
    endpoints: [{ addresses: ["10.1.0.1"], ready: true, hostname: "db-0" }],
    ports: sql,
  }),
  slice({
    service: "db",
    name: "db-2",
    cluster: "C2",
    endpoints: [
      { addresses: ["10.2.0.1"], ready: true, hostname: "db-0" },
      { addresses: ["10.2.0.2"], ready: true },
      { addresses: ["10.2.0.3"], ready: false },
    ],
    ports: sql,
  }),
  slice({ service: "db", name: "db-3", endpoints: [{ addresses: ["10.3.0.1"], ready: true, hostname: "lone" }], ports: sql }),
  slice({ service: "db", name: "db-4", cluster: "c4", endpoints: [{ addresses: ["10.4.0.1"], ready: false }], ports: sql }),
];

interface Served {
  readonly local: WritableRegistry;
  readonly imports: WritableRegistry;
  ask(question: string): Promise<string[]>;
  ready(): boolean | undefined;
  names(zone: string): ReadonlySet<string>;
}

async function serving(lines = "", sources: readonly string[] = []): Promise<Served> {
  const now = () => SERIAL * 1000;
  const [local, imports] = [createRegistry({ now }), createRegistry({ now, sources })];
  local.apply(...upserts(...CLUSTER));
  imports.apply(...upserts(...IMPORTS));
  const host = fakeHost("kubernetes", { registry: (spec) => (spec?.key.includes('"multicluster":true') ? imports : local) });
  const block = `kubernetes clusterset.local cluster.local in-addr.arpa {\nin_cluster\nmulticluster clusterset.local\n${lines}\n}`;
  const instance = await setUp(kubernetes, block, host);
  return {
    local,
    imports,
    ready: () => instance.ready?.(),
    names: (apex) => new Set(instance.zones?.find((each) => each.apex === parseName(apex))?.names()),
    async ask(question) {
      const [name = "", type = "A"] = question.split(" ");
      const reply = await instance.handle?.(query(name, { type: typeOf(type) ?? 1, edns: {} }), UNHANDLED);
      return reply === undefined || typeof reply === "symbol" ? expect.fail() : formatReply(reply);
    },
  };
}

const a = (owner: string, ...addresses: readonly string[]) => addresses.map((address) => `${owner}.${zone} 5 IN A ${address}`);

describe("kubernetes: multicluster", () => {
  const rows: readonly { readonly rule: string; readonly ask: string; readonly gives: readonly string[] }[] = [
    { rule: "a ServiceImport of type ClusterSetIP: its address", ask: `vip.${zone} A`, gives: a("vip", "10.9.0.1") },
    {
      rule: "a headless one: the endpoints of all clusters",
      ask: `db.${zone} A`,
      gives: a("db", "10.1.0.1", "10.2.0.1", "10.2.0.2", "10.3.0.1"),
    },
    { rule: "an endpoint by hostname and cluster", ask: `db-0.c2.db.${zone} A`, gives: a("db-0.c2.db", "10.2.0.1") },
    { rule: "an endpoint by address and cluster", ask: `10-2-0-2.c2.db.${zone} A`, gives: a("10-2-0-2.c2.db", "10.2.0.2") },
    { rule: "an endpoint that is not ready", ask: `10-2-0-3.c2.db.${zone} A`, gives: NXDOMAIN },
    { rule: "an endpoint of another cluster", ask: `10-2-0-2.c1.db.${zone} A`, gives: NXDOMAIN },
    { rule: "an endpoint without its cluster", ask: `db-0.db.${zone} A`, gives: NXDOMAIN },
    { rule: "a slice that names no cluster: the endpoint alone", ask: `lone.db.${zone} A`, gives: a("lone.db", "10.3.0.1") },
    { rule: "a cluster's name is an empty non-terminal", ask: `c2.db.${zone} A`, gives: NODATA },
    { rule: "a cluster without ready endpoints has none", ask: `c4.db.${zone} A`, gives: NXDOMAIN },
    { rule: "endpoints of a ClusterSetIP", ask: `10-1-0-9.c1.vip.${zone} A`, gives: a("10-1-0-9.c1.vip", "10.1.0.9") },
    {
      rule: "SRV of a port",
      ask: `_sql._tcp.vip.${zone} SRV`,
      gives: [`_sql._tcp.vip.${zone} 5 IN SRV 0 100 5432 vip.${zone}`, `additional vip.${zone} 5 IN A 10.9.0.1`],
    },
    {
      rule: "SRV of a headless one's port names endpoints with their clusters",
      ask: `_sql._tcp.db.${zone} SRV`,
      gives: [
        ...["db-0.c1.db", "db-0.c2.db", "10-2-0-2.c2.db", "lone.db"].map((to) => `_sql._tcp.db.${zone} 5 IN SRV 0 25 5432 ${to}.${zone}`),
        ...["db-0.c1.db 5 IN A 10.1.0.1", "db-0.c2.db 5 IN A 10.2.0.1", "10-2-0-2.c2.db 5 IN A 10.2.0.2", "lone.db 5 IN A 10.3.0.1"].map(
          (text) => `additional ${text.replace(" ", `.${zone} `)}`,
        ),
      ],
    },
    { rule: "the cluster's own Services are not in the set", ask: `raw.${zone} A`, gives: NXDOMAIN },
    {
      rule: "ServiceImports are not in the cluster's own zone",
      ask: "vip.default.svc.cluster.local. A",
      gives: ["NXDOMAIN", `authority ${SOA}`],
    },
    {
      rule: "the cluster's own zone is as ever",
      ask: "raw.default.svc.cluster.local. A",
      gives: ["raw.default.svc.cluster.local. 5 IN A 10.3.0.11"],
    },
    {
      rule: "PTR is in the cluster's own zone",
      ask: "11.0.3.10.in-addr.arpa. PTR",
      gives: ["11.0.3.10.in-addr.arpa. 5 IN PTR raw.default.svc.cluster.local."],
    },
    {
      rule: "a ServiceImport's address has no PTR",
      ask: "1.0.9.10.in-addr.arpa. PTR",
      gives: ["NXDOMAIN", `authority ${SOA.replaceAll("cluster.local.", "in-addr.arpa.")}`],
    },
  ];
  for (const { rule, ask, gives } of rows) {
    it(`${rule}: ${ask}`, async () => expect(await (await serving()).ask(ask)).to.deep.equal(gives));
  }

  it("lists the names of clusters and their endpoints", async () => {
    const names = (await serving()).names("clusterset.local");
    for (const name of ["c1.db", "db-0.c1.db", "10-2-0-2.c2.db", "10-1-0-9.c1.vip"]) {
      expect(names.has(parseName(`${name}.${zone}`)), name).to.equal(true);
    }
  });

  it("labels select among the cluster's Services only", async () => {
    const dns = await serving("labels app=web");
    expect(await dns.ask(`vip.${zone} A`)).to.deep.equal(a("vip", "10.9.0.1"));
  });

  it("zonal names are not defined there", async () => {
    expect(await (await serving("zonal")).ask(`x.pin._zone.db.${zone} A`)).to.deep.equal(NXDOMAIN);
  });

  it("ready when both registries are; an unread cluster set is SERVFAIL, and the cluster's zone answers", async () => {
    const dns = await serving("", ["api"]);
    expect(dns.ready()).to.equal(false);
    expect(await dns.ask(`nosuch.${zone} A`)).to.deep.equal(["SERVFAIL"]);
    expect(await dns.ask("raw.default.svc.cluster.local. A")).to.deep.equal(["raw.default.svc.cluster.local. 5 IN A 10.3.0.11"]);
    dns.imports.markSynced("api");
    expect(dns.ready()).to.equal(true);
  });
});

describe("registry/kube: ServiceImports (KEP-1645)", () => {
  const metadata = { name: "db", namespace: "shop", resourceVersion: "7", labels: { team: "a" } };
  const rawPorts = [{ name: "sql", port: 5432 }];

  it("of type ClusterSetIP have its addresses", () => {
    const kept = projectServiceImport({ metadata, spec: { type: "ClusterSetIP", ips: ["10.9.0.1", "2001:DB8::1"], ports: rawPorts } });
    expect(kept).to.deep.equal(
      service({ namespace: "shop", name: "db", clusterIPs: ["10.9.0.1", "2001:db8::1"], ports: sql, labels: { team: "a" } }),
    );
  });

  it("of type Headless have none, whatever stands there", () => {
    const kept = projectServiceImport({ metadata, spec: { type: "Headless", ips: ["10.9.0.1"], ports: null } });
    expect(kept).to.deep.include({ headless: true, clusterIPs: [], ports: [] });
  });

  it("without an address yet have none", () => {
    expect(projectServiceImport({ metadata, spec: { type: "ClusterSetIP" } })).to.deep.include({ headless: false, clusterIPs: [] });
  });

  for (const spec of [{ type: "Other" }, { type: "ClusterSetIP", ips: ["web"] }, { type: "Headless", ports: [{ port: 0 }] }]) {
    it(`are refused where they can't be: ${JSON.stringify(spec)}`, () => {
      expect(() => projectServiceImport({ metadata, spec })).to.throw(Unfit);
    });
  }

  it("their slices say by labels which Service and which cluster; others are none of theirs", () => {
    const labels = { "multicluster.kubernetes.io/service-name": "db", "multicluster.kubernetes.io/source-cluster": "c1" };
    const raw = { metadata: { ...metadata, labels }, addressType: "IPv4", endpoints: [{ addresses: ["10.1.0.1"] }], ports: rawPorts };
    const kept = projectImportedSlice(raw);
    expect({ ...kept }).to.deep.equal(
      slice({
        namespace: "shop",
        name: "db",
        service: "db",
        cluster: "c1",
        endpoints: [{ addresses: ["10.1.0.1"], ready: true }],
        ports: sql,
      }),
    );
    const own = { ...raw, metadata: { ...metadata, labels: { "kubernetes.io/service-name": "db" } } };
    expect(projectImportedSlice(own)).to.equal(undefined);
  });
});
