// Short names, asked of `search` with a `kubernetes` beside it.

import { expect } from "chai";
import { DROP, emptyReply, type Query, type Records } from "../../src/dns/message.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { recordsOf } from "../../src/dns/wire.ts";
import { typeOf } from "../../src/dns/text.ts";
import kubernetes from "../../src/plugins/kubernetes/kubernetes.ts";
import search from "../../src/plugins/search/search.ts";
import type { Answer, Instance, Touches } from "../../src/plugin.ts";
import { createRegistry, type WritableRegistry } from "../../src/registry/registry.ts";
import { fakeHost, query, readDirective, replyWith, setUp, type FakeHost } from "../helpers/fake-host.ts";
import { CLUSTER, formatReply, SERIAL, service, SOA, upserts } from "./kubernetes/fixture.ts";

const OBJECTS = [
  ...CLUSTER,
  service({ namespace: "prod", name: "web", clusterIPs: ["10.3.1.1"] }),
  service({ namespace: "prod", name: "cart", clusterIPs: ["10.3.1.2"] }),
  service({ namespace: "svc", name: "odd", clusterIPs: ["10.3.1.3"] }),
  service({ namespace: "com", name: "google", clusterIPs: ["10.3.1.4"] }),
  service({ name: "gone", headless: true }),
  service({ name: "in", type: "ExternalName", externalName: "raw.default.svc.cluster.local" }),
];
const foreign: Records = emptyReply(5, "next");

interface Short {
  readonly instance: Instance;
  readonly host: FakeHost;
  readonly registry: WritableRegistry;
  ask(question: string): Records;
}

async function short(block: string, registry = createRegistry({ now: () => SERIAL * 1000 }), reasons = "nearest"): Promise<Short> {
  registry.apply(...upserts(...OBJECTS));
  const host = fakeHost("search", { registry: () => registry });
  const instance = await setUp(search, block, host); // before kubernetes, as in the order of execution
  host.siblings["kubernetes"] = await setUp(kubernetes, `kubernetes in-addr.arpa cluster.local {\nreasons ${reasons}\n}`, host);
  const ask = (question: string): Records => {
    const [name = "", type = "A"] = question.split(" ");
    const answer = instance.handle?.(query(name, { type: typeOf(type) ?? 0 }), () => foreign);
    if (answer === undefined || answer === DROP || answer instanceof Promise) throw new Error("no reply");
    return recordsOf(answer);
  };
  return { instance, host, registry, ask };
}

const LISTED = "search default prod";
const ALL = "search default {\nnamespaces all\n}";
const full = "web.default.svc.cluster.local.";
const cname = (owner: string, target: string = full) => `${owner} 5 IN CNAME ${target}`;
const address = `${full} 5 IN A 10.3.0.10`;

describe("search: short names are aliases of the full one", () => {
  const rows: readonly {
    readonly rule: string;
    readonly block: string;
    readonly ask: string;
    readonly gives: readonly string[] | "next";
  }[] = [
    { rule: "bare", block: LISTED, ask: "web. A", gives: [cname("web."), address] },
    {
      rule: "bare, in the first listed namespace that has it",
      block: "search prod default",
      ask: "web. CNAME",
      gives: [cname("web.", "web.prod.svc.cluster.local.")],
    },
    { rule: "bare, in a later one", block: LISTED, ask: "cart. CNAME", gives: [cname("cart.", "cart.prod.svc.cluster.local.")] },
    { rule: "with its namespace", block: LISTED, ask: "web.default. A", gives: [cname("web.default."), address] },
    { rule: "with svc", block: LISTED, ask: "web.default.svc. A", gives: [cname("web.default.svc."), address] },
    { rule: "without svc", block: LISTED, ask: "web.default.cluster.local. A", gives: [cname("web.default.cluster.local."), address] },
    { rule: "letter case does not matter", block: LISTED, ask: "WEB.Default. CNAME", gives: [cname("web.default.")] },
    { rule: "the other family", block: LISTED, ask: "web. AAAA", gives: [cname("web."), `${full} 5 IN AAAA fd00::10`] },
    {
      rule: "a family that is not there is NODATA",
      block: LISTED,
      ask: "cart. AAAA",
      gives: [cname("cart.", "cart.prod.svc.cluster.local."), `authority ${SOA}`],
    },
    { rule: "HTTPS is NODATA", block: LISTED, ask: "web. HTTPS", gives: [cname("web."), `authority ${SOA}`] },
    { rule: "other types go on", block: LISTED, ask: "web. TXT", gives: "next" },
    {
      rule: "a port",
      block: LISTED,
      ask: "_http._tcp.web. SRV",
      gives: [
        cname("_http._tcp.web.", `_http._tcp.${full}`),
        `_http._tcp.${full} 5 IN SRV 0 100 80 ${full}`,
        `additional ${address}`,
        `additional ${full} 5 IN AAAA fd00::10`,
      ],
    },
    {
      rule: "a port with its namespace",
      block: LISTED,
      ask: "_http._tcp.web.default. CNAME",
      gives: [cname("_http._tcp.web.default.", `_http._tcp.${full}`)],
    },
    { rule: "a port that is not there", block: LISTED, ask: "_nope._tcp.web. SRV", gives: "next" },
    {
      rule: "an ExternalName, to its end",
      block: LISTED,
      ask: "in. A",
      gives: [
        cname("in.", "in.default.svc.cluster.local."),
        "in.default.svc.cluster.local. 5 IN CNAME raw.default.svc.cluster.local.",
        "raw.default.svc.cluster.local. 5 IN A 10.3.0.11",
      ],
    },
    { rule: "no such Service", block: LISTED, ask: "nosuch. A", gives: "next" },
    { rule: "a Service without endpoints", block: LISTED, ask: "gone. A", gives: "next" },
    { rule: "a namespace that is not listed", block: "search default", ask: "cart.prod. A", gives: "next" },
    {
      rule: "any namespace with `namespaces all`",
      block: ALL,
      ask: "cart.prod. CNAME",
      gives: [cname("cart.prod.", "cart.prod.svc.cluster.local.")],
    },
    { rule: "bare names only in listed ones", block: ALL, ask: "cart. A", gives: "next" },
    { rule: "a namespace com does not take google.com unasked", block: LISTED, ask: "google.com. A", gives: "next" },
    { rule: "never in a namespace called svc", block: ALL, ask: "odd.svc. A", gives: "next" },
    { rule: "never in a namespace called svc, in the zone", block: ALL, ask: "odd.svc.cluster.local. A", gives: "next" },
    { rule: "the full name is not ours", block: ALL, ask: `${full} A`, gives: "next" },
    { rule: "no bare name in the cluster's zone", block: ALL, ask: "web.cluster.local. A", gives: "next" },
    { rule: "no endpoint's name", block: ALL, ask: "db-0.db.default. A", gives: "next" },
    { rule: "the root", block: ALL, ask: ". A", gives: "next" },
  ];
  for (const { rule, block, ask, gives } of rows) {
    it(`${rule}: ${ask}`, async () => {
      const reply = (await short(block)).ask(ask);
      if (gives === "next") expect(reply).to.equal(foreign);
      else {
        expect(formatReply(reply)).to.deep.equal(gives);
        expect(reply).to.include({ authoritative: true, by: "search" });
      }
    });
  }

  it("its zone lists every form of every Service, and tells them when the Service changes", async () => {
    const { instance, registry } = await short("search default");
    const zone = instance.zones?.[0] ?? expect.fail();
    const forms = ["web.", "web.default.", "web.default.cluster.local.", "web.default.svc."];
    const listed = Array.from(zone.names(), formatName);
    expect(listed.filter((name) => name.startsWith("web.")).toSorted()).to.deep.equal(forms);
    expect(listed.filter((name) => name.startsWith("cart."))).to.deep.equal([]);
    const told: string[] = [];
    zone.subscribe((names) => told.push(...Array.from(names, formatName)));
    registry.apply({ verb: "delete", object: service({ name: "web" }) });
    expect(told.filter((name) => name.startsWith("web.")).toSorted()).to.deep.equal(forms);
    expect(told).to.include.members(["default.", "default.svc.", "default.cluster.local.", "_tcp.web.", "_tcp.web.default.svc."]);
    for (const name of zone.names()) expect(formatName(name)).to.not.match(/^web\./);
  });

  it("while the registry is not synced, listed names are SERVFAIL and all others go on", async () => {
    const { ask } = await short(ALL, createRegistry({ sources: ["test"] }));
    expect(ask("web. A")).to.deep.include({ rcode: 2, ede: { code: 14, text: "the cluster's objects have not been read yet" } });
    expect(ask("web.default. A").rcode).to.equal(2);
    expect(ask("example.org. A")).to.equal(foreign);
  });

  it("while not all of the cluster is known they say why, and no other namespace's Service is taken for the first one's", async () => {
    const registry = createRegistry({ sources: ["test"] });
    const { ask } = await short(LISTED, registry);
    registry.markKnown("Service");
    registry.setProblem("endpointslices: 403 Forbidden");
    for (const name of ["web", "gone", "cart", "nosuch"]) {
      expect(ask(`${name}. A`), name).to.deep.include({ rcode: 2, ede: { code: 14, text: "endpointslices: 403 Forbidden" } });
    }
    registry.markSynced("test");
    expect(ask("web. A")).to.deep.include({ rcode: 0 });
  });

  it("while the registry is stale, aliases, denials and names above short ones say so", async () => {
    const registry = createRegistry();
    const { instance } = await short(ALL, registry);
    registry.setFreshness("stale");
    const nobody = { ...emptyReply(5, ""), unhandled: true } as const;
    const stale = { ede: { code: 3, text: "not confirmed by the API server for over 5m" } };
    for (const name of ["web.", "web.default.", "nosuch.default.", "default.", "in."]) {
      const reply = instance.handle?.(query(name), () => nobody);
      expect(reply, name).to.deep.include(stale);
    }
    expect(instance.handle?.(query("example.org."), () => nobody)).to.equal(nobody);
  });
});

describe("search: configuration", () => {
  it("warns of a namespace that is a top-level domain", () => {
    expect(readDirective(search, "search default com").findings).to.deep.equal([
      'Corefile:2:1: warning: search: "com" is a top-level domain too: its Services hide the names below it, like example.com',
    ]);
    expect(readDirective(search, "search io").findings).to.have.length(1);
    expect(readDirective(search, "search default").findings).to.deep.equal([]);
  });

  it("refuses svc, pod and dns, and an empty list", () => {
    expect(readDirective(search, "search svc").findings[0]).to.include('search: "svc" can\'t be searched');
    expect(readDirective(search, "search").findings[0]).to.include("search: expected NAMESPACE..., found nothing");
  });

  it("without kubernetes it says so at start and hands everything on", async () => {
    const host = fakeHost("search");
    const instance = await setUp(search, "search default", host);
    await instance.start?.();
    expect(host.reported.map(({ message }) => message)).to.deep.equal([
      'search: does nothing without "kubernetes" in the same server block',
    ]);
    expect(instance.handle?.(query("web.", { type: RRTypes.A }), () => foreign)).to.equal(foreign);
    expect([...(instance.zones?.[0]?.names() ?? [])]).to.deep.equal([]);
  });
});

describe("search: short names that nobody takes", () => {
  const rows: readonly { readonly ask: string; readonly rcode: number; readonly ede?: string; readonly rule: string }[] = [
    { rule: "a bare name is NXDOMAIN, with the nearest", ask: "wbe. A", rcode: 3, ede: "no such Service; nearest: web.default" },
    { rule: "a bare name that is near to none", ask: "nosuchthing. A", rcode: 3, ede: "no such Service" },
    { rule: "a Service without endpoints has its own reason", ask: "gone. A", rcode: 3, ede: "no ready endpoints" },
    {
      rule: "a name below a namespace that is near to one that exists",
      ask: "cart.prodd. A",
      rcode: 3,
      ede: "no such namespace; nearest: cart.prod",
    },
    { rule: "a namespace that exists", ask: "nosuchthing.prod. A", rcode: 3, ede: "no such Service" },
    { rule: "a listed namespace", ask: "nosuchthing.default. A", rcode: 3, ede: "no such Service" },
    {
      rule: "a Service's label, in a namespace that is near to none",
      ask: "cart.zzzzzzzzz. A",
      rcode: 3,
      ede: "no such namespace; nearest: cart.prod",
    },
    { rule: "neither of them, though near to a namespace", ask: "nosuchthing.prodd. A", rcode: 5 },
    { rule: "a name that is anybody's stays refused", ask: "example.org. A", rcode: 5 },
    { rule: "other types stay refused", ask: "wbe. MX", rcode: 5 },
  ];
  for (const { rule, ask, rcode, ede } of rows) {
    it(`${rule}: ${ask}`, async () => {
      const { instance } = await short(ALL);
      const [name = "", type = "A"] = ask.split(" ");
      const edns = { udpSize: 1232, dnssecOk: false, options: new Uint8Array() };
      const reply = instance.handle?.(query(name, { type: typeOf(type) ?? 0, edns }), () => ({ ...emptyReply(5, ""), unhandled: true }));
      if (reply === undefined || reply === DROP || reply instanceof Promise) throw new Error("no reply");
      expect([reply.rcode, reply.ede?.text]).to.deep.equal([rcode, ede]);
      expect(recordsOf(reply).authority.map(({ owner, type: found }) => [formatName(owner), found])).to.deep.equal(
        rcode === 3 ? [[".", RRTypes.SOA]] : [],
      );
    });
  }

  for (const reasons of ["nearest", "fixed", "off"]) {
    it(`the rcode does not depend on OPT, the rate of look-ups or a reason: reasons ${reasons}`, async () => {
      const { instance } = await short(ALL, undefined, reasons);
      const edns = { udpSize: 1232, dnssecOk: false, options: new Uint8Array() };
      const rcode = (name: string, withOpt: { readonly edns?: typeof edns }) => {
        const reply = instance.handle?.(query(name, withOpt), () => ({ ...emptyReply(5, ""), unhandled: true }));
        if (reply === undefined || reply === DROP || reply instanceof Promise) throw new Error("no reply");
        return reply.rcode;
      };
      for (let index = 0; index < 250; index++) expect(rcode(`x-${index}.`, { edns })).to.equal(3);
      for (const { ask, rcode: expected } of rows) {
        const [name = "", type] = ask.split(" ");
        if (type !== "A") continue;
        expect([name, rcode(name, {}), rcode(name, { edns })]).to.deep.equal([name, expected, expected]);
      }
    });
  }
});

describe("search: names above short names (RFC 8020)", () => {
  const soa = (owner: string) => [SOA.replace(/^\S+/, owner)];
  const root = soa(".");
  const rows: readonly { readonly ask: string; readonly gives: readonly string[] | "next"; readonly block?: string }[] = [
    { ask: "default. A", gives: root },
    { ask: "default. NS", gives: root },
    { ask: "svc. A", gives: root },
    { ask: "default.svc. A", gives: root },
    { ask: "default.cluster.local. A", gives: soa("cluster.local.") },
    { ask: "default.cluster.local. TXT", gives: soa("cluster.local.") },
    { ask: "_tcp.web. A", gives: root },
    { ask: "_tcp.web.default. A", gives: root },
    { ask: "_tcp.web.default.svc. SRV", gives: root },
    { ask: "_tcp.web.default.cluster.local. SRV", gives: soa("cluster.local.") },
    { ask: "prod. TXT", gives: root },
    { ask: "prod. TXT", gives: "next", block: "search default" },
    { ask: "prod.cluster.local. A", gives: "next", block: "search default" },
    { ask: "nosuch.cluster.local. A", gives: "next" },
    { ask: "svc.svc. A", gives: "next" },
  ];
  const denials: readonly Records[] = [
    { ...emptyReply(5, ""), unhandled: true },
    { ...emptyReply(3, "kubernetes"), authoritative: true },
  ];
  for (const { ask, gives, block = ALL } of rows) {
    const [name = "", type = "A"] = ask.split(" ");
    it(`${gives === "next" ? "is none" : "NODATA"}: ${ask}`, async () => {
      const { instance } = await short(block);
      const asked = query(name, { type: typeOf(type) ?? 0 });
      for (const denial of denials) {
        const reply = instance.handle?.(asked, () => denial);
        if (reply === undefined || reply === DROP || reply instanceof Promise) throw new Error("no reply");
        if (gives === "next") expect(reply.rcode).to.be.oneOf([3, 5]);
        else expect(formatReply(reply)).to.deep.equal(gives.map((line) => `authority ${line}`));
      }
    });
    if (gives !== "next") {
      it(`is somebody else's if they take it, and is listed: ${ask}`, async () => {
        const { instance } = await short(block);
        expect(instance.handle?.(query(name, { type: typeOf(type) ?? 0 }), () => foreign)).to.equal(foreign);
        expect(await instance.handle?.(query(name), async () => foreign)).to.equal(foreign);
        expect(Array.from(instance.zones?.[0]?.names() ?? [], formatName)).to.include(name);
      });
    }
  }
});

describe("search: autopath", () => {
  const ZONE = "default.svc.cluster.local.";
  const elsewhere: Records = recordsOf(
    replyWith("www.example.org. 300 IN A 192.0.2.1", { authoritative: false, recursionAvailable: true }),
  );
  const nowhere: Records = { ...emptyReply(3, "forward"), recursionAvailable: true };

  async function walking(block: string): Promise<Short & { readonly asked: string[] }> {
    const made = await short(block);
    const asked: string[] = [];
    const kubernetesFirst = (given: Query): Answer => {
      const answer = made.host.siblings["kubernetes"]?.handle?.(given, () => foreign);
      return answer === undefined || answer instanceof Promise ? expect.fail() : answer;
    };
    made.host.ask = (given) => {
      asked.push(formatName(given.qname));
      expect(given.hops, "the chain is asked anew, once").to.equal(1);
      if (given.qname.endsWith(parseName("cluster.local"))) return kubernetesFirst(given);
      return formatName(given.qname) === "www.example.org." ? elsewhere : nowhere;
    };
    const ask = (question: string): Records => {
      const [name = "", type = "A"] = question.split(" ");
      const answer = made.instance.handle?.(query(name, { type: typeOf(type) ?? 0 }), kubernetesFirst);
      return answer === undefined || answer === DROP || answer instanceof Promise ? expect.fail() : recordsOf(answer);
    };
    return { ...made, asked, ask };
  }

  it("a name that a Pod's search list has made longer is answered with what it is short for", async () => {
    const { ask, asked } = await walking("search default {\nautopath\n}");
    expect(formatReply(ask(`www.example.org.${ZONE}`))).to.deep.equal([
      `www.example.org.${ZONE} 300 IN CNAME www.example.org.`,
      "www.example.org. 300 IN A 192.0.2.1",
    ]);
    expect(asked[0]).to.equal("www.example.org.");
    expect(formatReply(ask(`web.${ZONE}${ZONE}`))).to.deep.equal([cname(`web.${ZONE}${ZONE}`), address]);
    expect(ask(`nosuch.example.org.${ZONE}`).rcode).to.equal(3);
  });

  it("with the exceptions of the plugin autopath, and only in namespaces that are searched", async () => {
    const { ask, asked } = await walking("search default {\nautopath\n}");
    for (const name of [`nosuch.${ZONE}`, `web-7.web.${ZONE}`, `nosuch.prod.${ZONE}`, "www.example.org.prod.svc.cluster.local."]) {
      expect(ask(name).rcode, name).to.equal(3);
    }
    expect(asked).to.deep.equal([]);
    const all = await walking("search default {\nautopath\nnamespaces all\n}");
    expect(all.ask("www.example.org.prod.svc.cluster.local.").rcode).to.equal(0);
  });

  it("the answer table asks the chain for missing names of those namespaces only", async () => {
    const { instance } = await walking("search default {\nautopath\n}");
    const { missingBelow } = instance.transparent as Touches;
    expect(
      [ZONE, "prod.svc.cluster.local", "svc.cluster.local", `web.${ZONE}`].map((name) => missingBelow?.(parseName(name))),
    ).to.deep.equal([true, false, false, false]);
    expect((await walking(LISTED)).instance.transparent).to.equal(true);
  });

  it("is the plugin autopath's business where that is in the server block", async () => {
    const { ask, host } = await walking("search default {\nautopath\n}");
    host.siblings["autopath"] = {};
    expect(ask(`www.example.org.${ZONE}`).rcode).to.equal(3);
  });
});
