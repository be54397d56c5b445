// Names for a topology zone of a headless Service (`zonal`), through the handler and through the answer table.

import { expect } from "chai";
import { parseName } from "../../../src/dns/name.ts";
import { CLUSTER, serving, service, slice, SOA, upserts } from "./fixture.ts";

const zone = "default.svc.cluster.local.";
const DB = `db.${zone}`;
const NXDOMAIN = ["NXDOMAIN", `authority ${SOA}`];
const NODATA = [`authority ${SOA}`];

const OBJECTS = [
  ...CLUSTER.filter((object) => object.name !== "db-1" && object.name !== "db"),
  service({ name: "db", headless: true }),
  slice({
    service: "db",
    endpoints: [
      { addresses: ["10.244.1.1"], ready: true, hostname: "db-0", zone: "us-west-2a" },
      { addresses: ["10.244.2.1"], ready: true, zone: "us-west-2b" },
      { addresses: ["10.244.2.2"], ready: false, zone: "us-west-2c" },
      { addresses: ["10.244.3.1"], ready: true, zone: "Corp.example.com" },
      { addresses: ["10.244.4.1"], ready: true },
    ],
    ports: [{ name: "sql", protocol: "TCP", port: 5432 }],
  }),
  service({ name: "empty", headless: true }),
];
const ALL = ["10.244.1.1", "10.244.2.1", "10.244.3.1", "10.244.4.1"];
const a = (owner: string, ...addresses: readonly string[]) => addresses.map((address) => `${owner} 5 IN A ${address}`);

describe("kubernetes: zonal", () => {
  const rows: readonly { readonly rule: string; readonly ask: string; readonly gives: readonly string[] }[] = [
    { rule: "pin gives the zone's endpoints", ask: `us-west-2a.pin._zone.${DB} A`, gives: a(`us-west-2a.pin._zone.${DB}`, "10.244.1.1") },
    { rule: "pin of a zone without endpoints is NODATA", ask: `us-west-2x.pin._zone.${DB} A`, gives: NODATA },
    { rule: "pin of a drained zone is NODATA", ask: `us-west-2c.pin._zone.${DB} A`, gives: NODATA },
    { rule: "pin of an absent type is NODATA", ask: `us-west-2a.pin._zone.${DB} TXT`, gives: NODATA },
    { rule: "prefer gives the zone's", ask: `us-west-2b.prefer._zone.${DB} A`, gives: a(`us-west-2b.prefer._zone.${DB}`, "10.244.2.1") },
    { rule: "prefer gives all where the zone has none", ask: `x.prefer._zone.${DB} A`, gives: a(`x.prefer._zone.${DB}`, ...ALL) },
    {
      rule: "a zone's label may have dots, and letter case does not matter",
      ask: `CORP.example.com.pin._zone.${DB} A`,
      gives: a(`corp.example.com.pin._zone.${DB}`, "10.244.3.1"),
    },
    { rule: "part of such a label is another zone", ask: `example.com.pin._zone.${DB} A`, gives: NODATA },
    {
      rule: "SRV names the zone's endpoints, with their addresses",
      ask: `us-west-2a.pin._zone.${DB} SRV`,
      gives: [`us-west-2a.pin._zone.${DB} 5 IN SRV 0 100 5432 db-0.${DB}`, `additional db-0.${DB} 5 IN A 10.244.1.1`],
    },
    { rule: "what is above such names is NODATA", ask: `pin._zone.${DB} A`, gives: NODATA },
    { rule: "what is above such names is NODATA", ask: `_zone.${DB} A`, gives: NODATA },
    { rule: "another directive is NXDOMAIN", ask: `us-west-2a.any._zone.${DB} A`, gives: NXDOMAIN },
    { rule: "a ClusterIP Service has none", ask: `us-west-2a.pin._zone.web.${zone} A`, gives: NXDOMAIN },
    { rule: "an ExternalName has none", ask: `us-west-2a.pin._zone.ext.${zone} A`, gives: NXDOMAIN },
    { rule: "no such Service", ask: `us-west-2a.pin._zone.nosuch.${zone} A`, gives: NXDOMAIN },
    { rule: "a headless Service without endpoints: NODATA", ask: `us-west-2a.pin._zone.empty.${zone} A`, gives: NODATA },
    { rule: "no such depth elsewhere", ask: `a.b.c.d.web.${zone} A`, gives: NXDOMAIN },
    { rule: "the plain name is not touched", ask: `${DB} A`, gives: a(DB, ...ALL) },
  ];
  for (const { rule, ask, gives } of rows) {
    it(`${rule}: ${ask}`, async () => {
      const dns = await serving("kubernetes cluster.local {\nzonal\n}", OBJECTS);
      expect(await dns.ask(ask)).to.deep.equal(gives);
    });
  }

  it("without the option, nothing of it exists", async () => {
    const dns = await serving("kubernetes cluster.local", OBJECTS);
    for (const name of [`us-west-2a.pin._zone.${DB}`, `pin._zone.${DB}`, `_zone.${DB}`]) {
      expect(await dns.ask(`${name} A`), name).to.deep.equal(NXDOMAIN);
    }
  });

  it("`_zone` is listed below headless Services, and told when one comes, goes or changes", async () => {
    const dns = await serving("kubernetes cluster.local {\nzonal\n}", OBJECTS);
    const [zoneOf] = dns.instance.zones ?? [];
    const listed = new Set(zoneOf?.names());
    expect([listed.has(parseName(`_zone.${DB}`)), listed.has(parseName(`_zone.web.${zone}`))]).to.deep.equal([true, false]);
    const told = new Set<string>();
    zoneOf?.subscribe((names) => {
      for (const name of names) told.add(name);
    });
    dns.registry.apply(...upserts(service({ name: "web", headless: true })));
    expect(told.has(parseName(`_zone.web.${zone}`))).to.equal(true);
  });
});
