// What goes wrong between a server and its API server, from the connection to the answer: each case by its number, asked
// for as clients do. Time is the fake clock's; the connection and its faults are real.

import { expect } from "chai";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildQuery, readResult } from "../../src/client.ts";
import { createServer } from "../../src/server.ts";
import { bigCluster } from "../helpers/fake-api/big-cluster.ts";
import { startFakeApi } from "../helpers/fake-api/fake-api.ts";
import type { Fault } from "../helpers/fake-api/faults.ts";
import { fakeLog } from "../helpers/fake-host.ts";
import { followCluster, type FollowedCluster } from "../helpers/followed-cluster.ts";
import { until } from "../helpers/listening.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import { headless, namespace, pod, service, slice } from "./objects.ts";

const WEB = "web.default.svc";
const NEW = "new.default.svc";
const DB = "db.default.svc";
const OBJECTS = [
  namespace("default"),
  namespace("shop"),
  service("web", "10.96.0.10"),
  service("old", "10.96.0.11"),
  headless("db"),
  slice("db-1", "db", ["10.244.0.1", "10.244.0.2"]),
];

/** Before a watch is open again, at most. */
const RESUME_MS = 2000;

async function answered(cluster: FollowedCluster, name: string, answer: string, ms = RESUME_MS): Promise<number> {
  return await cluster.within(ms, `${name} is ${answer}`, async () => (await cluster.ask(name)) === answer);
}

describe("an API server that fails at the start", () => {
  it("C99: whose certificate nobody knows: SERVFAIL and not NXDOMAIN, the log says why, and right once it is another", async () => {
    await using api = await startFakeApi({ tls: true, objects: OBJECTS });
    const strange = await startFakeApi({ tls: true });
    using folder = temporaryFolder({ kubeconfig: strange.kubeconfig().replace(strange.url, api.url) });
    await strange[Symbol.asyncDispose]();
    const log = fakeLog();
    const server = await createServer({
      corefile: `. {\nkubernetes cluster.local {\nkubeconfig ${join(folder.path, "kubeconfig")}\nstartup_timeout 50ms\n}\n}`,
      file: "Corefile",
      port: 0,
      address: "127.0.0.1",
      embedded: false,
      strict: true,
      env: {},
      log,
    });
    try {
      const ask = async (name: string): Promise<string> => {
        const { rcode, ede } = readResult((await server.ask(buildQuery(`${name}.cluster.local`, "A"), "udp")) ?? expect.fail());
        return `${rcode} ${ede?.code}`;
      };
      expect([await ask(WEB), await ask("nothing.default.svc")]).to.deep.equal(["SERVFAIL 14", "SERVFAIL 14"]);
      await until(() => log.lines.some((line) => line.includes("certificate")), "the log says that it is the certificate");
      expect(log.lines.join("\n")).to.contain("starting server with unsynced Kubernetes API");
    } finally {
      await server.stop("now");
    }
  });

  it("C114: whose certificate is not yet valid: the log says just that, and nothing else is needed once it is", async () => {
    await using cluster = await followCluster({
      api: { tls: true },
      objects: OBJECTS,
    });
    await cluster.api.stop();
    await cluster.api.start();
    cluster.api.certify({ validFrom: new Date(Date.now() + 3_600_000) });
    await cluster.within(60_000, "the log", () => cluster.lines.some((line) => line.includes("not yet valid")));
    expect(await cluster.ask(WEB)).to.equal("10.96.0.10");
    cluster.api.certify();
    cluster.api.apply(service("new", "10.96.0.12"));
    await answered(cluster, NEW, "10.96.0.12", 30_000);
  });

  it("C114: a clock that is an hour wrong, on either side, changes nothing", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    for (const hours of [1, -2]) {
      cluster.clock.shiftNow(hours * 3_600_000);
      cluster.api.apply(service("new", `10.96.1.${hours + 10}`));
      await answered(cluster, NEW, `10.96.1.${hours + 10}`);
      await cluster.pass(5000);
      expect([await cluster.ask(WEB), cluster.registry.freshness]).to.deep.equal(["10.96.0.10", "current"]);
    }
  });
});

describe("an API server that refuses", () => {
  it("C100: a token that has expired: the new one is read from its file, without a restart", async () => {
    await using api = await startFakeApi({ tokens: ["first"], objects: OBJECTS });
    using folder = temporaryFolder({ token: "first\n" });
    const tokenFile = join(folder.path, "token");
    writeFileSync(join(folder.path, "kubeconfig"), api.kubeconfig({ tokenFile }));
    await using cluster = await followCluster({ source: { access: { kind: "kubeconfig", file: join(folder.path, "kubeconfig") } } });
    expect(await cluster.ask(WEB)).to.equal("10.96.0.10");
    api.tokens.add("second").delete("first");
    writeFileSync(tokenFile, "second\n");
    api.cut();
    api.apply(service("new", "10.96.0.12"));
    await answered(cluster, NEW, "10.96.0.12");
    expect(new Set(api.requests.map(({ headers }) => headers.authorization))).to.include("Bearer second");
    expect(cluster.lines.join("\n")).not.to.match(/first|second/); // tokens are no words for logs
  });

  it("C101: Pods only: Services go on, and the log tells of it once a minute", async () => {
    await using cluster = await followCluster({ objects: OBJECTS, source: { pods: "keep" } });
    cluster.api.forbid("pods");
    cluster.api.endWatches("pods");
    await cluster.pass(170_000);
    cluster.api.apply(service("new", "10.96.0.12"));
    await answered(cluster, NEW, "10.96.0.12");
    const told = cluster.lines.filter((line) => line.includes("pods") && line.includes("403"));
    expect(told).to.have.length.within(2, 4);
    expect(cluster.registry.problem).to.contain("pods");
  });

  it("C102: 429 with Retry-After: that resource waits so long, the others go on", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    const { api, clock } = cluster;
    api.faults.at("services", { kind: "status", code: 429, retryAfterSeconds: 7 }, { times: 1 });
    api.endWatches("services");
    await cluster.within(RESUME_MS, "the refusal", () => asked(cluster, "services").length > 1);
    const refusedMs = clock.monotonic();
    api.apply(service("new", "10.96.0.12"));
    api.apply(slice("db-1", "db", ["10.244.0.3"]));
    await answered(cluster, DB, "10.244.0.3", 500);
    await answered(cluster, NEW, "10.96.0.12", 10_000);
    const [, , again] = asked(cluster, "services");
    expect((again?.atMs ?? 0) - refusedMs).to.be.within(6900, 8500);
  });

  const spoiled: Readonly<Record<string, Fault>> = {
    "500": { kind: "status", code: 500 },
    "503": { kind: "status", code: 503 },
    "an empty body": { kind: "status", code: 503, body: "empty" },
    "an empty body with 200": { kind: "body", text: "" },
    HTML: { kind: "status", code: 502, body: "html" },
    "HTML with 200": { kind: "body", text: "<html></html>", contentType: "text/html" },
    "truncated JSON": { kind: "truncate", bytes: 15 },
    "JSON that is cut off": { kind: "truncate", bytes: 15, cut: true },
    "a Status with 200": { kind: "body", text: '{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","code":500}' },
    "null with 200": { kind: "body", text: "null" },
    "a reset connection": { kind: "reset" },
  };
  for (const [what, fault] of Object.entries(spoiled)) {
    for (const watchList of ["on", "off"] as const) {
      it(`C103: ${what}, ${watchList === "on" ? "as a watch" : "in pages"}: the registry is kept, and right afterwards`, async () => {
        await using cluster = await followCluster({ objects: OBJECTS, api: { watchList } });
        const { api } = cluster;
        api.faults.at("*", fault, { times: 6 });
        api.delete("Service", "default", "old");
        api.compact();
        api.expire();
        await cluster.pass(3000, async () => void expect(await cluster.ask(WEB)).to.equal("10.96.0.10"));
        api.apply(service("new", "10.96.0.12"));
        await answered(cluster, NEW, "10.96.0.12", 120_000);
        await answered(cluster, "old.default.svc", "NXDOMAIN", 120_000);
      });
    }
  }
});

describe("a watch that can't go on", () => {
  for (const how of ["an ERROR event of 410", "HTTP 410", "410 for a list's next page"]) {
    it(`C104: ${how}: what is gone is deleted, and what is there is never missing`, async () => {
      const objects = [...OBJECTS, ...Array.from({ length: 600 }, (_, n) => service(`svc-${n}`, `10.97.${n >> 8}.${n & 255}`))];
      await using cluster = await followCluster({ objects, api: { watchList: how.includes("list") ? "off" : "on" } });
      const { api } = cluster;
      api.hold("services");
      api.delete("Service", "default", "old");
      api.apply(service("new", "10.96.0.12"));
      api.compact();
      if (how === "HTTP 410") api.faults.at("services", { kind: "status", code: 410 }, { times: 1, verb: "watch" });
      if (how.includes("list")) {
        // While the first page is read, its token expires.
        const { requests } = api;
        const from = requests.length;
        api.expire("services");
        await cluster.within(RESUME_MS, "the first page", () => requests.length > from);
        api.apply(service("newer", "10.96.0.13"));
        api.compact();
      } else if (how === "HTTP 410") api.endWatches("services");
      else api.expire("services");
      const kept = async (): Promise<void> => {
        expect([await cluster.ask(WEB), await cluster.ask("svc-599.default.svc")]).to.deep.equal(["10.96.0.10", "10.97.2.87"]);
      };
      await cluster.pass(2000, kept);
      await answered(cluster, "old.default.svc", "NXDOMAIN", 10_000);
      expect([await cluster.ask(NEW), await cluster.ask("11.0.96.10.in-addr.arpa.", "PTR")]).to.deep.equal(["10.96.0.12", "NXDOMAIN"]);
    });
  }

  it("C105, coredns#3879, #3587: half open: seen within 130 s, and what was deleted meanwhile is gone", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    const { api } = cluster;
    api.stall();
    api.delete("Service", "default", "old");
    api.apply(service("new", "10.96.0.12"));
    await cluster.pass(60_000);
    expect(await cluster.ask("old.default.svc")).to.equal("10.96.0.11");
    expect(cluster.metric("ndots_kubernetes_last_contact_seconds", "services")).to.be.within(59, 61);
    api.resume();
    await answered(cluster, "old.default.svc", "NXDOMAIN", 70_000 + RESUME_MS);
    expect(await cluster.ask(NEW)).to.equal("10.96.0.12");
    expect(cluster.metric("ndots_kubernetes_last_contact_seconds", "services")).to.be.below(3);
  });

  it("coredns#3587: a server that is away is in the log each minute, and old answers say so", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    await cluster.api.stop();
    await cluster.pass(290_000);
    expect(await cluster.ask(WEB)).to.equal("10.96.0.10");
    await cluster.pass(400_000);
    expect(await cluster.ask(WEB)).to.equal("10.96.0.10 !3");
    const told = cluster.lines.filter((line) => line.includes("refused"));
    expect(told).to.have.length.within(10, 13);
  });

  it("C106: away for ten minutes, fifty changes: the old is served, and all is right within 2 s", async () => {
    const objects = [...OBJECTS, ...Array.from({ length: 50 }, (_, n) => service(`s${n}`, `10.98.0.${n}`))];
    await using cluster = await followCluster({ objects });
    const { api } = cluster;
    await api.stop();
    for (let n = 0; n < 50; n++) {
      if (n % 2 === 0) api.delete("Service", "default", `s${n}`);
      else api.apply(service(`s${n}`, `10.99.0.${n}`));
    }
    await cluster.pass(600_000);
    expect(await cluster.ask("s2.default.svc")).to.equal("10.98.0.2 !3");
    await api.start();
    const isRight = async (): Promise<boolean> => {
      const answers = await Promise.all(Array.from({ length: 50 }, async (_, n) => await cluster.ask(`s${n}.default.svc`)));
      return answers.every((answer, n) => answer === (n % 2 === 0 ? "NXDOMAIN" : `10.99.0.${n}`));
    };
    await cluster.within(2000, "all fifty are right", isRight);
    const relisted = asked(cluster, "services").filter(({ query }) => query["resourceVersion"] === undefined);
    expect(relisted, "lists: the first one only").to.have.length(1);
  }).timeout(30_000); // a bound for busy machines; time is the fake clock's

  it("C107: three API servers restarted one after the other: watches go on from where they were, without a list", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    const { api } = cluster;
    for (const n of [1, 2, 3]) {
      await api.stop();
      api.apply(service("new", `10.96.1.${n}`));
      await cluster.pass(1000);
      await api.start();
      await answered(cluster, NEW, `10.96.1.${n}`);
    }
    for (const resource of ["services", "endpointslices", "namespaces"] as const) {
      const [, ...later] = asked(cluster, resource);
      expect(later.every(({ query }) => query["resourceVersion"] !== undefined && query["sendInitialEvents"] === undefined)).to.equal(true);
    }
  });

  it("C107: lists that are needed all the same are spread over a second", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    const { api, clock } = cluster;
    const waits: number[] = [];
    for (let n = 0; n < 20; n++) {
      api.apply(service("mark", `10.96.4.${n}`));
      await answered(cluster, "mark.default.svc", `10.96.4.${n}`);
      const begunMs = clock.monotonic();
      const from = asked(cluster, "services").length;
      api.compact();
      api.expire("services");
      await cluster.within(1500, "a list", () => asked(cluster, "services").length > from);
      waits.push(clock.monotonic() - begunMs);
      await cluster.pass(31_000); // sooner, it would be one that expires again and again
    }
    expect(Math.max(...waits) - Math.min(...waits)).to.be.above(300);
    expect(Math.max(...waits)).to.be.at.most(1100);
  });

  it("connections cut every 5 s while much changes: never more than a second behind", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    let n = 0;
    for (let cut = 0; cut < 6; cut++) {
      cluster.api.cut();
      for (let second = 0; second < 5; second++) {
        n++;
        cluster.api.apply(service("new", `10.96.2.${n}`));
        await answered(cluster, NEW, `10.96.2.${n}`, 1000);
        await cluster.pass(400);
      }
    }
  });
});

describe("what is asked for", () => {
  it("labels go for Services, EndpointSlices and Pods, as in CoreDNS", async () => {
    await using cluster = await followCluster({ objects: OBJECTS, source: { serviceLabels: "team in (x)", pods: "keep" } });
    const selectors = cluster.api.requests.map(({ resource, query }) => `${resource} ${query["labelSelector"] ?? ""}`);
    expect(selectors.toSorted()).to.deep.equal(["endpointslices team in (x)", "namespaces ", "pods team in (x)", "services team in (x)"]);
  });

  it("ten namespaces, one by one: Node has nothing to warn of", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on("warning", note);
    try {
      const namespaces = Array.from({ length: 10 }, (_, n) => `team-${n}`);
      await using cluster = await followCluster({
        objects: [...OBJECTS, ...namespaces.map(namespace)],
        source: { namespaces, pods: "keep" },
      });
      await cluster.pass(1000);
      expect(cluster.api.watches()).to.have.length(31);
      expect(warnings.map(String)).to.deep.equal([]);
    } finally {
      process.off("warning", note);
    }
  });
});

describe("events", () => {
  it("C108: out of order, twice, MODIFIED before ADDED, DELETED unknown, an older version: the last write counts", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    const { api } = cluster;
    api.hold("services");
    api.apply(service("new", "10.96.1.1"));
    api.apply(service("new", "10.96.1.2"));
    api.apply(service("gone", "10.96.1.3"));
    api.delete("Service", "default", "gone");
    api.apply(service("new", "10.96.1.4"));
    api.delete("Service", "default", "old");
    api.release("services", (lines) => [...lines.toReversed(), ...lines, ...lines.slice(0, 3)]);
    api.send("services", { type: "DELETED", object: { metadata: { name: "never", namespace: "default", resourceVersion: "999" } } });
    api.apply(service("mark", "10.96.1.9"));
    await answered(cluster, "mark.default.svc", "10.96.1.9");
    expect(await cluster.ask(NEW)).to.equal("10.96.1.4");
    expect(await cluster.ask("old.default.svc")).to.equal("NXDOMAIN");
    expect(await cluster.ask("gone.default.svc")).to.equal("NXDOMAIN");
    expect(await cluster.ask(WEB)).to.equal("10.96.0.10");
  });

  it("C109: deleted and made again under its name: the new address, and a late DELETED of the old is none", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    const { api } = cluster;
    api.hold("services");
    api.delete("Service", "default", "web");
    api.apply(service("web", "10.96.1.1", { uid: "00000000-0000-4000-8000-000000000002" }));
    api.release("services", ([deleted = "", added = ""]) => [added, deleted]);
    await answered(cluster, WEB, "10.96.1.1");
    api.apply(service("mark", "10.96.1.9"));
    await answered(cluster, "mark.default.svc", "10.96.1.9");
    expect(await cluster.ask(WEB)).to.equal("10.96.1.1");
    expect(await cluster.ask("10.0.96.10.in-addr.arpa.", "PTR")).to.equal("NXDOMAIN");
  });

  for (const first of ["the new slice", "the old slice"]) {
    it(`C112: an endpoint moves to another slice, ${first} written first: there is no moment without it, and it is there once`, async () => {
      await using cluster = await followCluster({ objects: OBJECTS });
      const { api } = cluster;
      const stays = async (): Promise<void> => void expect(await cluster.ask(DB)).to.equal("10.244.0.1 10.244.0.2");
      api.hold("endpointslices");
      if (first === "the new slice") {
        api.apply(slice("db-2", "db", ["10.244.0.2"]));
        api.release("endpointslices");
        await cluster.pass(200, stays);
        api.apply(slice("db-1", "db", ["10.244.0.1"]));
      } else {
        api.apply(slice("db-1", "db", ["10.244.0.1"]));
        api.apply(slice("db-2", "db", ["10.244.0.2"]));
        api.release("endpointslices", (lines) => [lines.join("\n")]); // one write, as both come from one sync of the controller
      }
      await cluster.pass(500, stays);
      expect(cluster.registry.slices("default", "db")).to.have.length(2);
    });
  }

  it("C113, coredns#3765: an address that a Pod of another namespace has got while the watch was down is that Pod's alone", async () => {
    await using cluster = await followCluster({
      objects: [...OBJECTS, pod("a", "default", "10.244.0.9")],
      source: { pods: "keep" },
      options: ["pods verified"],
    });
    const { api } = cluster;
    const [before, after] = ["10-244-0-9.default.pod", "10-244-0-9.shop.pod"];
    expect([await cluster.ask(before), await cluster.ask(after)]).to.deep.equal(["10.244.0.9", "NXDOMAIN"]);
    await api.stop();
    api.delete("Pod", "default", "a");
    api.apply(pod("b", "shop", "10.244.0.9"));
    await cluster.pass(1000);
    await api.start();
    await answered(cluster, after, "10.244.0.9");
    expect(await cluster.ask(before)).to.equal("NXDOMAIN");
  });
});

describe("objects", () => {
  const strange: Readonly<Record<string, string>> = {
    "no metadata": "{}",
    "metadata null": '{"metadata":null}',
    "null itself": "null",
    "a number": "7",
    "spec null": '{"metadata":{"name":"bad","namespace":"default","resourceVersion":"{rv}"},"spec":null}',
    "ports null":
      '{"metadata":{"name":"bad","namespace":"default","resourceVersion":"{rv}"},"spec":{"clusterIP":"10.96.3.1","ports":null}}',
    "clusterIPs with a bad address":
      '{"metadata":{"name":"bad","namespace":"default","resourceVersion":"{rv}"},"spec":{"clusterIP":"10.96.3.999","clusterIPs":["10.96.3.999"],"ports":[{"port":80}]}}',
    "unknown fields":
      '{"metadata":{"name":"bad","namespace":"default","resourceVersion":"{rv}","x":{"y":[1]}},"zebra":[[]],"spec":{"clusterIP":"10.96.3.2","shape":"round"}}',
    "an annotation of 1 MB": `{"metadata":{"name":"bad","namespace":"default","resourceVersion":"{rv}","annotations":{"a":"${"x".repeat(1_000_000)}"}},"spec":{"clusterIP":"10.96.3.3"}}`,
    "a name with a dot": '{"metadata":{"name":"a.b","namespace":"default","resourceVersion":"{rv}"},"spec":{"clusterIP":"10.96.3.4"}}',
  };
  for (const [what, json] of Object.entries(strange)) {
    for (const when of ["listed", "as an event"]) {
      it(`C110, coredns#3860: ${what}, ${when}: the others are answered, and so are changes after it`, async () => {
        await using cluster = await followCluster({ objects: OBJECTS });
        const { api } = cluster;
        api.hold("services");
        api.applyRaw("services", "default/bad", json);
        if (when === "listed") {
          api.compact();
          api.expire("services");
        } else api.release("services");
        await cluster.pass(1200);
        api.apply(service("new", "10.96.0.12"));
        await answered(cluster, NEW, "10.96.0.12", 5000);
        expect([await cluster.ask(WEB), await cluster.ask(DB)]).to.deep.equal(["10.96.0.10", "10.244.0.1 10.244.0.2"]);
      });
    }
  }

  it("C110: an EndpointSlice whose endpoints are null is an empty one; what is wrong is counted, and named in the log", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    const { api } = cluster;
    api.applyRaw(
      "endpointslices",
      "default/db-1",
      '{"metadata":{"name":"db-1","namespace":"default","resourceVersion":"{rv}","labels":{"kubernetes.io/service-name":"db"}},"addressType":"IPv4","endpoints":null,"ports":null}',
    );
    await answered(cluster, DB, "NXDOMAIN");
    api.applyRaw(
      "services",
      "default/bad",
      '{"metadata":{"name":"bad","namespace":"default","resourceVersion":"{rv}"},"spec":{"clusterIP":"10.96.3.999","ports":[{"port":80}]}}',
    );
    await cluster.within(1000, "the log", () => cluster.lines.some((line) => line.includes("default/bad") && line.includes("10.96.3.999")));
    expect(cluster.metric("ndots_kubernetes_skipped_objects_total", "services")).to.equal(1);
  });

  it("C111: a headless Service of 3,000 endpoints among 300 others: one slice's change is one slice's work", async () => {
    const objects = bigCluster({ services: 300, endpointsEach: 2, namespaces: 30, headlessEndpoints: 3000 });
    await using cluster = await followCluster({ objects: [...objects] });
    const seen: number[] = [];
    cluster.registry.subscribe((changes) => seen.push(changes.length));
    const { api } = cluster;
    const name = cluster.registry.slices("bench", "big")[7]?.name ?? "";
    api.apply(slice(name, "big", ["10.250.0.1"], "bench"));
    await cluster.within(1000, "the endpoint", async () => (await cluster.ask("10-250-0-1.big.bench.svc")) === "10.250.0.1");
    expect(seen).to.deep.equal([1]);
    expect((await cluster.ask("big.bench.svc")).split(" ")).to.have.length.above(20); // as many as fit
  }).timeout(30_000);
});

function asked({ api }: FollowedCluster, resource: string): FollowedCluster["api"]["requests"] {
  return api.requests.filter((request) => request.resource === resource);
}
