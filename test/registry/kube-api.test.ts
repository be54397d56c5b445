// The source against a server over HTTP, whose time is the test's: what is watched, what is known when something is
// refused or away, and that the registry is right again afterwards.

import { expect } from "chai";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import fc from "fast-check";
import { kubeApiSource, type KubeApiOptions } from "../../src/registry/kube-api.ts";
import { createMetrics, type Metrics } from "../../src/metrics.ts";
import { createRegistry, type WritableRegistry } from "../../src/registry/registry.ts";
import { startFakeApi, type FakeApi, type FakeApiOptions } from "../helpers/fake-api/fake-api.ts";
import { fakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { recordedLog } from "../helpers/listening.ts";

type Raw = Parameters<FakeApi["apply"]>[0];

interface Running extends AsyncDisposable {
  readonly api: FakeApi;
  readonly registry: WritableRegistry;
  readonly metrics: Metrics;
  readonly clock: FakeClock;
  readonly log: string[];
  /** Moves time on, in small steps, until something is so. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** Ends the source; the registry stays. */
  end(): Promise<void>;
  /** Runs another one on the same registry. */
  again(): void;
  value(metric: string, labels?: Readonly<Record<string, string>>, suffix?: string): number | undefined;
}

interface Settings extends Partial<KubeApiOptions> {
  readonly api?: FakeApiOptions;
  /** Done before the source asks for anything. */
  readonly before?: (api: FakeApi) => Promise<void> | void;
  /** Whether to wait for the first full state; so it is, if absent. */
  readonly sync?: "wait" | "go on";
}

const web = (clusterIP = "10.96.0.1", name = "web", namespace = "default"): Raw => ({
  kind: "Service",
  metadata: { name, namespace, labels: { app: name } },
  spec: { clusterIP, ports: [{ name: "http", port: 80 }] },
});
const slice = (name: string, addresses: readonly string[], service = "web", more: object = {}): Raw => ({
  kind: "EndpointSlice",
  metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": service }, ...more },
  addressType: "IPv4",
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  ports: [{ name: "http", port: 80, protocol: "TCP" }],
});
const namespace = (name: string): Raw => ({ kind: "Namespace", metadata: { name } });
const OBJECTS: readonly Raw[] = [namespace("default"), web(), slice("web-1", ["10.1.0.1", "10.1.0.2"])];

// Small enough that no time-out falls into the wait for a loopback connection.
const STEP_MS = 20;
const REAL_BOUND_MS = 8_000;

async function start(settings: Settings = {}): Promise<Running> {
  const { api: apiOptions = {}, before, sync = "wait", ...options } = settings;
  const clock = fakeClock(Date.now());
  const api = await startFakeApi({ clock, objects: OBJECTS, ...apiOptions });
  await before?.(api);
  const log = recordedLog();
  const metrics = createMetrics();
  const registry = createRegistry({ sources: ["kubernetes"], now: () => clock.now() });
  let ending = new AbortController();
  const run = (): Promise<void> =>
    kubeApiSource({
      access: { kind: "endpoint", url: api.url },
      endpoints: true,
      pods: "drop",
      multicluster: false,
      staleAfterMs: 300_000,
      limits: {},
      clock,
      log,
      metrics,
      env: {},
      random: () => 0,
      ...options,
    }).run(registry, () => registry.markSynced("kubernetes"), ending.signal);
  let ended = run();
  const running: Running = {
    api,
    registry,
    metrics,
    clock,
    log: log.lines,
    async until(condition, what) {
      const deadline = performance.now() + REAL_BOUND_MS;
      while (!condition()) {
        if (performance.now() > deadline)
          expect.fail(`not so in time: ${what}; problem: ${registry.problem}; log: ${log.lines.join(" | ")}`);
        await wait(2);
        await clock.advance(STEP_MS);
      }
    },
    async end() {
      ending.abort();
      await ended;
    },
    again() {
      ending = new AbortController();
      ended = run();
    },
    value(metric, labels = {}, suffix) {
      const found = [...metrics.all()].find(({ name }) => name === metric);
      const sample = [...(found?.collect() ?? [])].find(
        (each) => each.suffix === suffix && Object.entries(labels).every(([key, value]) => each.labels[key] === value),
      );
      return sample?.value;
    },
    async [Symbol.asyncDispose]() {
      await running.end();
      await api.stop();
    },
  };
  if (sync === "wait") await running.until(() => registry.synced, "the first full state");
  return running;
}

const addressOf = ({ registry }: Running, name = "web"): string | undefined => registry.service("default", name)?.clusterIPs[0];
const endpointsOf = ({ registry }: Running, name = "web"): string[] =>
  registry.slices("default", name).flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses));

describe("registry: the Kubernetes API as a source", () => {
  for (const watchList of ["on", "off", "unknown"] as const) {
    it(`fills the registry, and keeps it filled (WatchList ${watchList})`, async () => {
      await using it = await start({ api: { watchList } });
      expect(addressOf(it)).to.equal("10.96.0.1");
      expect(endpointsOf(it)).to.deep.equal(["10.1.0.1", "10.1.0.2"]);
      expect(it.registry.namespace("default")).to.deep.include({ kind: "Namespace" });
      expect(it.registry).to.deep.include({ freshness: "current", problem: undefined });
      it.api.apply(web("10.96.0.2", "new"));
      it.api.delete("Service", "default", "web");
      await it.until(() => addressOf(it, "new") === "10.96.0.2" && addressOf(it) === undefined, "the changes");
    });
  }

  it("asks for what is needed, and for Pods only when they are", async () => {
    await using it = await start();
    const asked = (running: Running): string[] => [...new Set(running.api.requests.map(({ path }) => path))].sort();
    expect(asked(it)).to.deep.equal(["/api/v1/namespaces", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"]);
    await using other = await start({ endpoints: false, pods: "keep" });
    expect(asked(other)).to.deep.equal(["/api/v1/namespaces", "/api/v1/pods", "/api/v1/services"]);
  });

  it("lets the server select by labels, and keeps those of Services then", async () => {
    await using it = await start({ serviceLabels: "app in (web)", before: (api) => void api.apply(web("10.96.0.2", "other")) });
    expect([...it.registry.services()].map(({ name, labels }) => ({ name, labels }))).to.deep.equal([
      { name: "web", labels: { app: "web" } },
    ]);
    const selected = it.api.requests.filter(({ query }) => query["labelSelector"] === "app in (web)").map(({ resource }) => resource);
    expect(selected).to.have.members(["services", "endpointslices"]);
    await using other = await start();
    expect(other.registry.service("default", "web")?.labels, "nobody asks for them").to.deep.equal({});
  });

  it("keeps of endpoints what is asked for", async () => {
    const endpoint = { addresses: ["10.1.0.1"], targetRef: { kind: "Pod", name: "web-0", namespace: "default" }, zone: "eu-1a" };
    const objects = [{ ...slice("web-1", []), endpoints: [endpoint] }];
    await using it = await start({ api: { objects }, podNames: "keep", zones: "keep" });
    const kept = ({ registry }: Running): unknown => registry.slices("default", "web")[0]?.endpoints[0];
    expect(kept(it)).to.deep.equal({ addresses: ["10.1.0.1"], ready: true, podName: "web-0", zone: "eu-1a" });
    await using lean = await start({ api: { objects } });
    expect(kept(lean)).to.deep.equal({ addresses: ["10.1.0.1"], ready: true });
  });

  it("watches a few namespaces one by one, so that a Role in each is enough, and takes them as there", async () => {
    const forbidden = (api: FakeApi): void => {
      api.forbid("namespaces");
      api.forbid("services", ["default", "team"]);
      api.forbid("endpointslices", ["default", "team"]);
      api.apply(web("10.96.0.7", "web", "other"));
    };
    await using it = await start({ namespaces: ["default", "team"], before: forbidden });
    expect([...it.registry.namespaces()].map(({ name }) => name)).to.have.members(["default", "team"]);
    expect([...it.registry.services()].map(({ name, namespace: at }) => `${at}/${name}`)).to.deep.equal(["default/web"]);
    expect(it.registry.problem).to.equal(undefined);
    it.api.apply(web("10.96.0.8", "web", "team"));
    await it.until(() => it.registry.service("team", "web") !== undefined, "the Service");
    it.api.allow("namespaces");
    await it.until(() => it.registry.namespace("team") === undefined, "what the server says of its namespaces, once it may be asked");
  });

  it("watches the cluster as a whole for more than ten namespaces, and keeps what is theirs", async () => {
    const namespaces = ["default", ...Array.from({ length: 10 }, (_, n) => `team-${n}`)];
    await using it = await start({ namespaces, before: (api) => void api.apply(web("10.96.0.7", "web", "other")) });
    expect([...it.registry.services()].map(({ name, namespace: at }) => `${at}/${name}`)).to.deep.equal(["default/web"]);
    expect(it.api.requests.map(({ path }) => path)).to.include("/api/v1/services");
  });

  it("goes on where another run has ended, with what has been deleted since", async () => {
    await using it = await start();
    await it.end();
    it.api.delete("Service", "default", "web");
    it.api.apply(web("10.96.0.2", "new"));
    it.again();
    await it.until(() => addressOf(it, "new") !== undefined && addressOf(it) === undefined, "the difference");
    expect(endpointsOf(it)).to.deep.equal(["10.1.0.1", "10.1.0.2"]);
  });

  it("rejects for an access that can't be used", async () => {
    const clock = fakeClock();
    const source = kubeApiSource({
      access: { kind: "kubeconfig", file: "/does/not/exist" },
      endpoints: true,
      pods: "drop",
      multicluster: false,
      staleAfterMs: 300_000,
      limits: {},
      clock,
      log: recordedLog(),
      metrics: createMetrics(),
      env: {},
    });
    const error: unknown = await source.run(createRegistry(), () => {}, new AbortController().signal).catch((reason: unknown) => reason);
    expect(error).to.have.property("code");
  });
});

describe("registry: what the Kubernetes API refuses", () => {
  it("403 on Pods leaves Services working, and is told once a minute (C101)", async () => {
    await using it = await start({ pods: "keep", before: (api) => api.forbid("pods"), sync: "go on" });
    await it.until(
      () => it.registry.knows("EndpointSlice") && it.registry.knows("Service") && it.registry.problem !== undefined,
      "the others",
    );
    expect(it.registry).to.include({ synced: false, problem: "pods: 403 Forbidden" });
    expect(it.registry.knows("Pod")).to.equal(false);
    expect(addressOf(it)).to.equal("10.96.0.1");
    for (let minute = 0; minute < 3; minute++) await it.clock.advance(60_000);
    expect(it.log.filter((line) => line.includes("pods: 403 Forbidden"))).to.have.lengthOf.within(3, 4);
    it.api.allow("pods");
    await it.until(() => it.registry.synced, "the Pods");
    expect(it.registry.problem).to.equal(undefined);
  });

  it("a 429 makes its resource wait, and no other (C102)", async () => {
    const busy = (api: FakeApi): void =>
      void api.faults.at("endpointslices", { kind: "status", code: 429, retryAfterSeconds: 7 }, { times: 1 });
    await using it = await start({ before: busy, sync: "go on" });
    await it.until(() => it.registry.knows("Service"), "the Services");
    const asked = it.api.requests.filter(({ resource }) => resource === "endpointslices");
    await it.until(() => it.registry.synced, "the slices");
    const again = it.api.requests.filter(({ resource }) => resource === "endpointslices")[1];
    expect((again?.atMs ?? 0) - (asked[0]?.atMs ?? 0)).to.be.within(7_000, 8_100);
  });

  it("objects that are wrong are left out, counted, and named in the log once a minute; the others are fine (C110)", async () => {
    const poison = (api: FakeApi): void => {
      api.applyRaw("services", "default/none", "{}");
      api.applyRaw("services", "default/null", '{"metadata":{"name":"null","namespace":"default","resourceVersion":"{rv}"},"spec":null}');
      api.applyRaw(
        "services",
        "default/a.b",
        '{"metadata":{"name":"a.b","namespace":"default","resourceVersion":"{rv}"},"spec":{"clusterIP":"10.0.0.1"}}',
      );
      api.applyRaw(
        "endpointslices",
        "default/null",
        '{"metadata":{"name":"null","namespace":"default","resourceVersion":"{rv}","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","endpoints":null,"ports":null}',
      );
      api.apply({
        ...web("10.96.0.3", "large"),
        metadata: { name: "large", namespace: "default", annotations: { big: "x".repeat(1 << 20) } },
      });
    };
    await using it = await start({ before: poison });
    expect([...it.registry.services()].map(({ name }) => name)).to.have.members(["web", "large"]);
    expect(endpointsOf(it)).to.deep.equal(["10.1.0.1", "10.1.0.2"]);
    expect(it.value("ndots_kubernetes_skipped_objects_total", { resource: "services" })).to.equal(3);
    const told = it.log.filter((line) => line.includes("an object is left out"));
    expect(told).to.have.lengthOf(1);
    expect(told[0]).to.match(/^warning: services: an object is left out: (default\/|an object without a name)/);
  });
});

describe("registry: an outage of the Kubernetes API", () => {
  it("never empties the registry; it is stale after a while, told once a minute, and right within 2 s of the return (C106, coredns#3587)", async () => {
    const objects = [...OBJECTS, ...Array.from({ length: 50 }, (_, n) => web(`10.96.1.${n}`, `svc-${n}`))];
    await using it = await start({ api: { objects }, random: () => 1 });
    await it.api.stop();
    for (let n = 0; n < 50; n++) {
      if (n % 2 === 0) it.api.apply(web(`10.96.2.${n}`, `svc-${n}`));
      else it.api.delete("Service", "default", `svc-${n}`);
    }
    const fromMs = it.clock.monotonic();
    await it.until(() => it.registry.problem !== undefined, "the problem");
    expect(it.registry).to.include({ freshness: "current" });
    for (let second = 0; second < 595; second++) await it.clock.advance(1_000);
    expect(it.registry.freshness).to.equal("stale");
    expect(it.registry.problem).to.match(/^namespaces, services, endpointslices: connection refused by 127\.0\.0\.1:\d+$/);
    expect(addressOf(it, "svc-1")).to.equal("10.96.1.1");
    const minutes = (it.clock.monotonic() - fromMs) / 60_000;
    expect(it.log.filter((line) => line.startsWith("warning"))).to.have.lengthOf.within(Math.floor(minutes), Math.ceil(minutes) + 1);
    expect(it.log.at(-1)).to.match(/last heard of \d+m\d+s ago, answering with what is known$/);
    expect(it.value("ndots_kubernetes_last_contact_seconds", { resource: "services" })).to.be.greaterThan(590);
    await it.api.start();
    const backMs = it.clock.monotonic();
    await it.until(() => addressOf(it, "svc-1") === undefined && addressOf(it, "svc-48") === "10.96.2.48", "the changes");
    expect(it.clock.monotonic() - backMs).to.be.at.most(2_100);
    await it.until(() => it.registry.freshness === "current" && it.registry.problem === undefined, "all is well");
    expect(it.log.at(-1)).to.match(/^info: Kubernetes API at http:\/\/127\.0\.0\.1:\d+: works again after \d+m/);
  }).timeout(20_000);

  it("is not what silence is: bookmarks come each minute, and stale_after may be shorter", async () => {
    await using it = await start({ staleAfterMs: 30_000, api: { bookmarkMs: 60_000 } });
    for (let second = 0; second < 100; second++) {
      await it.clock.advance(1_000);
      expect(it.registry.freshness).to.equal("current");
    }
    await it.api.stop();
    await it.until(() => it.registry.problem !== undefined, "the problem");
    for (let second = 0; second < 30; second++) await it.clock.advance(1_000);
    expect(it.registry.freshness).to.equal("stale");
  });

  it("does not leave a Pod's address with its last user: after it, the new one's is all there is (C113)", async () => {
    const pod = (name: string, namespace: string): Raw => ({
      kind: "Pod",
      metadata: { name, namespace },
      status: { phase: "Running", podIP: "10.1.0.9", podIPs: [{ ip: "10.1.0.9" }] },
    });
    await using it = await start({ pods: "keep", before: (api) => void api.apply(pod("old", "default")) });
    const users = (): string[] => it.registry.podsAt("10.1.0.9").map(({ name, namespace }) => `${namespace}/${name}`);
    expect(users()).to.deep.equal(["default/old"]);
    await it.api.stop();
    it.api.delete("Pod", "default", "old");
    it.api.apply(pod("new", "team"));
    it.api.compact();
    await it.api.start();
    await it.until(() => users().join() === "team/new", "the new user of the address");
  });

  it("with a half-open connection is noticed after 130 s, and what was deleted meanwhile is gone (C105, coredns#3879)", async () => {
    await using it = await start();
    it.api.stall();
    it.api.delete("Service", "default", "web");
    it.api.compact();
    await it.clock.advance(1_000);
    expect(addressOf(it)).to.equal("10.96.0.1");
    it.api.resume();
    for (let second = 0; second < 130; second++) await it.clock.advance(1_000);
    await it.until(() => addressOf(it) === undefined, "the deletion");
    expect(it.value("ndots_kubernetes_watch_restarts_total", { resource: "services", reason: "stalled" })).to.equal(1);
    expect(it.value("ndots_kubernetes_relists_total", { resource: "services" })).to.equal(1);
  });

  it("at the start is no answer from nothing: not synced, and why (C99)", async () => {
    await using it = await start({ before: (api) => api.stop(), sync: "go on" });
    await it.until(() => it.registry.problem !== undefined, "the problem");
    expect(it.registry.synced).to.equal(false);
    expect(it.log.at(-1)).to.match(/connection refused by .*; nothing heard for \d+s, waiting for it$/);
    await it.api.start();
    await it.until(() => it.registry.synced, "the first full state");
    expect(it.registry.problem).to.equal(undefined);
  });

  it("is told as of a certificate where it is one (C114)", async () => {
    const tls = { validFrom: new Date(Date.now() + 3_600_000), validTo: new Date(Date.now() + 7_200_000) };
    const folder = await mkdtemp(join(tmpdir(), "ndots-kube-"));
    try {
      const ca = join(folder, "ca.crt");
      const early = await startFakeApi({ tls });
      await writeFile(ca, early.authority.cert);
      await using it = await start({ access: { kind: "endpoint", url: early.url, tls: { ca } }, sync: "go on" });
      await it.until(() => it.registry.problem !== undefined, "the problem");
      expect(it.registry.problem).to.match(/certificate is not yet valid/);
      await early.stop();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("at the start is bridged by a snapshot, which the first lists put right", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ndots-kube-"));
    const snapshot = { file: join(folder, "snapshot"), maxAgeMs: 3_600_000 };
    try {
      const api = await startFakeApi({ objects: [...OBJECTS, web("10.96.0.9", "gone")] });
      const connected = { access: { kind: "endpoint", url: api.url } as const, snapshot };
      {
        await using first = await start(connected);
        await first.until(() => existsSync(snapshot.file), "the snapshot");
      }
      await api.stop();
      await using it = await start({ ...connected, sync: "go on" });
      await it.until(() => it.registry.synced, "the snapshot's state");
      expect(it.registry.freshness).to.equal("snapshot");
      expect([addressOf(it), addressOf(it, "gone")]).to.deep.equal(["10.96.0.1", "10.96.0.9"]);
      expect(endpointsOf(it)).to.deep.equal(["10.1.0.1", "10.1.0.2"]);
      const changed: string[] = [];
      it.registry.subscribe((changes) => changed.push(...changes.map(({ verb, object }) => `${verb} ${object.kind} ${object.name}`)));
      api.delete("Service", "default", "gone");
      await api.start();
      await it.until(() => it.registry.freshness === "current", "the first full state");
      expect(changed).to.deep.equal(["delete Service gone"]);
      await it.end();
      await api.stop();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("registry: what is counted of the Kubernetes API", () => {
  it("objects by kind, lag and DNS programming latency from what the controller says (CoreDNS's metric)", async () => {
    await using it = await start();
    const programmed = (kind: string): number | undefined =>
      it.value("coredns_kubernetes_dns_programming_duration_seconds", { service_kind: kind }, "_count");
    expect(it.value("ndots_registry_objects", { kind: "EndpointSlice" })).to.equal(1);
    expect(programmed("headless_with_selector"), "nothing of the first state").to.equal(undefined);
    const triggered = (managedBy: string): object => ({
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": new Date(it.clock.now() - 3_000).toISOString() },
      labels: { "kubernetes.io/service-name": "db", "endpointslice.kubernetes.io/managed-by": managedBy },
    });
    it.api.apply({ ...web("None", "db"), spec: { clusterIP: "None", ports: [] } });
    await it.until(() => it.registry.service("default", "db") !== undefined, "the headless Service");
    it.api.apply(slice("db-1", ["10.1.0.9"], "db", triggered("endpointslice-controller.k8s.io")));
    it.api.apply(slice("db-2", ["10.1.0.8"], "db", triggered("endpointslicemirroring-controller.k8s.io")));
    it.api.apply(web("10.96.0.4", "new"));
    await it.until(() => programmed("cluster_ip") === 1 && programmed("headless_without_selector") === 1, "the observations");
    expect(programmed("headless_with_selector")).to.equal(1);
    const sum = it.value("coredns_kubernetes_dns_programming_duration_seconds", { service_kind: "headless_with_selector" }, "_sum");
    expect(sum).to.be.within(3, 5);
    expect(it.value("ndots_kubernetes_event_lag_seconds", { resource: "services" }, "_count")).to.equal(2);
  });
});

describe("registry: the Kubernetes API under churn and faults", () => {
  const names = ["a", "b", "c"];
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("apply" as const), name: fc.constantFrom(...names), n: fc.nat(250) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("slice" as const), name: fc.constantFrom(...names), n: fc.nat(250) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), name: fc.constantFrom(...names), n: fc.nat(1) }) },
    fc.record({ do: fc.constantFrom("cut", "expire", "compact", "endWatches", "bookmark", "html", "error", "truncate", "wait") }),
  );

  it("ends with what the server has, whatever happened (C103, C104, C108)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.constantFrom("on" as const, "off" as const), async (steps, watchList) => {
        await using it = await start({ api: { watchList } });
        const services = new Map([["web", "10.96.0.1"]]);
        const slices = new Map([["web", ["10.1.0.1", "10.1.0.2"]]]);
        for (const each of steps) {
          switch (each.do) {
            case "apply":
              it.api.apply(web(`10.96.9.${each.n}`, each.name));
              services.set(each.name, `10.96.9.${each.n}`);
              break;
            case "slice":
              it.api.apply(slice(each.name, [`10.1.9.${each.n}`], each.name));
              slices.set(each.name, [`10.1.9.${each.n}`]);
              break;
            case "delete":
              if (services.delete(each.name)) it.api.delete("Service", "default", each.name);
              break;
            case "html":
              it.api.faults.at("*", { kind: "body", text: "<html>" }, { times: 1 });
              break;
            case "error":
              it.api.faults.at("services", { kind: "status", code: 500 }, { times: 1 });
              break;
            case "truncate":
              it.api.faults.at("endpointslices", { kind: "truncate", bytes: 20 }, { times: 1 });
              break;
            case "wait":
              await it.clock.advance(500);
              break;
            default:
              it.api[each.do]();
          }
        }
        it.api.faults.clear();
        const isSame = (): boolean =>
          ["web", ...names].every(
            (name) => addressOf(it, name) === services.get(name) && endpointsOf(it, name).join() === (slices.get(name) ?? []).join(),
          );
        await it.until(
          isSame,
          `${[...services].join(" ")} | ${[...slices].join(" ")}, not ${[...it.registry.services()].map((s) => s.name + s.clusterIPs.join()).join(" ")}`,
        );
      }),
      { numRuns: 25 },
    );
  }).timeout(30_000);
});
