// What the options of `kubernetes` say together: where the registry comes from, which sources are the same, and what is
// refused, in words with file and line.

import { expect } from "chai";
import { join } from "node:path";
import type { Host, SourceSpec } from "../../../src/plugin.ts";
import { createRegistry } from "../../../src/registry/registry.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";
import { parseName } from "../../../src/dns/name.ts";
import { fakeHost, query, readDirective, setUp, type FakeHost } from "../../helpers/fake-host.ts";
import { temporaryFolder } from "../../helpers/ndots-process.ts";

const KUBECONFIG = `apiVersion: v1
kind: Config
current-context: test
clusters: [{ name: test, cluster: { server: "https://192.0.2.1:6443" } }]
contexts: [{ name: test, context: { cluster: test } }, { name: admin@test, context: { cluster: test } }]
`;
/** Of the Corefile; what a block names has to be there. */
const folder = temporaryFolder({ "client.crt": "", "client.key": "", "ca.crt": "", "kube/config": KUBECONFIG, k: KUBECONFIG });
const HERE = folder.path;
const IN_A_POD = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };

interface Set {
  readonly host: FakeHost;
  /** What was asked for; undefined is the program's registry. */
  readonly specs: readonly (SourceSpec | undefined)[];
}

/** Sets up a `kubernetes` block of a program that is no embedded server, outside of a cluster unless given. */
async function settingUp(block: string, overrides: Partial<Host> = {}): Promise<Set> {
  const specs: (SourceSpec | undefined)[] = [];
  const host = fakeHost("kubernetes", {
    file: join(HERE, "Corefile"),
    embedded: false,
    env: IN_A_POD,
    registry: (spec) => {
      specs.push(spec);
      return createRegistry({ sources: ["test"] });
    },
    ...overrides,
  });
  await setUp(kubernetes, `kubernetes cluster.local clusterset.local {\n${block}\n}`, host);
  return { host, specs };
}

async function keyOf(block: string, overrides: Partial<Host> = {}): Promise<string> {
  const { specs, host } = await settingUp(block, overrides);
  expect(host.reported).to.deep.equal([]);
  return specs.map((spec) => spec?.key ?? "the program's").join(" and ");
}

const API_KEY = (access: object, more: object = {}): string =>
  `api ${JSON.stringify({
    access,
    endpoints: true,
    pods: "drop",
    multicluster: false,
    staleAfterMs: 300_000,
    limits: {},
    ...more,
  })}`;

after(() => folder[Symbol.dispose]());

describe("kubernetes: where the registry comes from", () => {
  const rows: readonly { readonly rule: string; readonly block: string; readonly host?: Partial<Host>; readonly key: string | RegExp }[] = [
    { rule: "in a Pod, the cluster's API", block: "", host: { env: IN_A_POD }, key: API_KEY({ kind: "in-cluster" }) },
    {
      rule: "endpoint",
      block: `endpoint https://192.0.2.1:6443\ntls client.crt client.key ${HERE}/ca.crt`,
      key: API_KEY({
        kind: "endpoint",
        url: "https://192.0.2.1:6443",
        tls: { cert: `${HERE}/client.crt`, key: `${HERE}/client.key`, ca: `${HERE}/ca.crt` },
      }),
    },
    {
      rule: "endpoint without a scheme: the client takes https where there is tls, as client-go",
      block: "endpoint localhost:8080\ntls",
      key: API_KEY({ kind: "endpoint", url: "localhost:8080", tls: {} }),
    },
    {
      rule: "endpoint with an authority only",
      block: "endpoint https://a.example:6443\ntls ca.crt",
      key: API_KEY({ kind: "endpoint", url: "https://a.example:6443", tls: { ca: `${HERE}/ca.crt` } }),
    },
    {
      rule: "kubeconfig, with paths from the Corefile's folder",
      block: "kubeconfig kube/config",
      key: API_KEY({ file: `${HERE}/kube/config`, kind: "kubeconfig" }),
    },
    {
      rule: "kubeconfig with a context",
      block: "kubeconfig k admin@test",
      key: API_KEY({ file: `${HERE}/k`, context: "admin@test", kind: "kubeconfig" }),
    },
    {
      rule: "manifests win over the cluster that the server runs in",
      block: "manifests zones",
      host: { env: IN_A_POD },
      key: /^manifests /,
    },
    {
      rule: "manifests below the cluster, if asked for",
      block: "manifests zones\nin_cluster",
      key: /^api .*in-cluster.* over manifests .*zones/,
    },
    { rule: "manifests below a kubeconfig's", block: "manifests zones\nkubeconfig k", key: /^api .*kubeconfig.* over manifests / },
    { rule: "an embedded server's is filled by its program", block: "", host: { embedded: true, env: IN_A_POD }, key: "the program's" },
    { rule: "an embedded server asks an API that is named", block: "kubeconfig k", host: { embedded: true }, key: /^api / },
    {
      rule: "multicluster: the cluster set has a registry of its own",
      block: "in_cluster\nlabels a=b\npods verified\nmulticluster clusterset.local\nsnapshot s",
      key: /^api .*"multicluster":false.*"file":"[^"]+\/s".* and api .*"pods":"drop","multicluster":true.*"file":"[^"]+\/s.clusterset"/,
    },
  ];
  for (const { rule, block, host, key } of rows) {
    it(rule, async () => {
      if (typeof key === "string") expect(await keyOf(block, host)).to.equal(key);
      else expect(await keyOf(block, host)).to.match(key);
    });
  }

  it("outside of a cluster, without any source, it says what to write; the start fails, but not `ndots check`", async () => {
    const { host, specs } = await settingUp("", { env: {} });
    expect(host.reported.map(({ severity, line, message }) => [severity, line, message])).to.deep.equal([
      [
        "warning",
        2,
        "kubernetes: not in a Pod (KUBERNETES_SERVICE_HOST is not set), where it can't start; " +
          'name "kubeconfig FILE", "endpoint URL" or "manifests PATH..." in its block',
      ],
    ]);
    const [spec] = specs;
    expect(spec?.remote).to.equal(true);
    const source = spec?.create({ log: host.log, metrics: host.metrics, report: host.report });
    const failed = await source?.run(createRegistry(), () => undefined, new AbortController().signal).catch((error: unknown) => error);
    expect(failed).to.have.property("code", "NDOTS_ERR_CONFIG");
    expect(failed).to.have.property("message").that.includes("KUBERNETES_SERVICE_HOST");
  });

  it("the start waits 5 s for the API, as CoreDNS, or as long as startup_timeout says", async () => {
    const timeoutOf = async (block: string) => (await settingUp(block)).specs[0]?.startupTimeoutMs;
    expect(await timeoutOf("in_cluster")).to.equal(5_000);
    expect(await timeoutOf("in_cluster\nstartup_timeout 30s")).to.equal(30_000);
    expect(await timeoutOf("in_cluster\nstartup_timeout 0s\nmanifests zones")).to.equal(0);
    expect(await timeoutOf("manifests zones")).to.equal(undefined);
  });
});

describe("kubernetes: which sources are the same over a reload", () => {
  const BASE = "in_cluster";
  const same = [
    "ttl 30",
    "pods insecure",
    "fallthrough",
    "ignore empty_service",
    "namespace_labels team=a",
    "ptr one",
    "reasons off",
    "startup_timeout 9s",
    "ready_when_stale off",
    "stale_after 5m",
    "apiserver_qps 0",
  ];
  for (const line of same) it(`the same: ${line}`, async () => expect(await keyOf(`${BASE}\n${line}`)).to.equal(await keyOf(BASE)));

  const different = [
    "pods verified",
    "endpoint_pod_names",
    "zonal",
    "namespaces a",
    "labels app=web",
    "noendpoints",
    "stale_after 6m",
    "snapshot s",
    "apiserver_qps 5.5",
    "apiserver_burst 10",
    "apiserver_max_inflight 2",
    "manifests zones",
  ];
  for (const line of different) it(`another: ${line}`, async () => expect(await keyOf(`${BASE}\n${line}`)).to.not.equal(await keyOf(BASE)));

  it("namespaces in another order, or on lines of their own as CoreDNS allows", async () => {
    expect(await keyOf(`${BASE}\nnamespaces b a`)).to.equal(await keyOf(`${BASE}\nnamespaces a\nnamespaces b a`));
  });

  it("limits of 0 are none, as in CoreDNS; others reach the client", async () => {
    expect(await keyOf(`${BASE}\napiserver_qps 0.5\napiserver_burst 0\napiserver_max_inflight 3`)).to.include(
      '"limits":{"qps":0.5,"maxInflight":3}',
    );
  });

  it("the selector goes to the API server as it is written", async () => {
    expect(await keyOf(`${BASE}\nlabels environment in (production, qa),app=nginx`)).to.include(
      '"serviceLabels":"environment in (production, qa),app=nginx"',
    );
  });
});

describe("kubernetes: options of the API", () => {
  const findings: readonly (readonly [lines: string, ...found: string[]])[] = [
    ["endpoint", "Corefile:3:1: kubernetes: endpoint: expected URL..., found nothing"],
    ["endpoint ftp://a", 'Corefile:3:10: kubernetes: endpoint: URL must be a URL like https://192.0.2.1:6443, found "ftp://a"'],
    ["endpoint https://u:secret@a", "Corefile:3:10: kubernetes: endpoint: URL must not hold a user or password"],
    ["endpoint a:1 b:2", "Corefile:3:14: warning: kubernetes: endpoint: only the first URL is used: CoreDNS has given up on several"],
    ["tls a b c", "Corefile:2:1: warning: kubernetes: tls is ignored without endpoint: in a cluster the service account is used"],
    ["endpoint a:1\ntls a b c d", 'Corefile:4:11: kubernetes: tls: expected [CERT KEY] [CACERT], found "a b c d"'],
    ["kubeconfig", "Corefile:3:1: kubernetes: kubeconfig: expected FILE [CONTEXT], found nothing"],
    ["kubeconfig a b c", 'Corefile:3:16: kubernetes: kubeconfig: expected FILE [CONTEXT], found "a b c"'],
    [
      "kubeconfig a\nendpoint b:1",
      "Corefile:2:1: warning: kubernetes: endpoint is ignored: kubeconfig says where the API server is and how it is spoken to",
    ],
    [
      "in_cluster\nkubeconfig a",
      "Corefile:2:1: kubernetes: in_cluster asks the cluster that the server runs in: it can't be combined with endpoint or kubeconfig",
    ],
    ["apiserver_qps -1", 'Corefile:3:15: kubernetes: apiserver_qps: QPS must be a number of at least 0, found "-1"'],
    ["apiserver_burst 1.5", 'Corefile:3:17: kubernetes: apiserver_burst: BURST must be 0–1000000, found "1.5"'],
    ["apiserver_max_inflight x", 'Corefile:3:24: kubernetes: apiserver_max_inflight: MAX must be 0–1000000, found "x"'],
    [
      "startup_timeout 5",
      'Corefile:3:17: kubernetes: startup_timeout: DURATION must be a duration like "30s", "1m30s" or "500ms", at most 86400000 ms, found "5"',
    ],
    ["zonal\nnoendpoints", "Corefile:2:1: kubernetes: zonal answers from endpoints: it can't be combined with noendpoints"],
    ["ready_from_snapshot", 'Corefile:2:1: kubernetes: ready_from_snapshot needs "snapshot FILE" beside it'],
    ["snapshot", "Corefile:3:1: kubernetes: snapshot: expected FILE [MAX_AGE], found nothing"],
    [
      "snapshot f 0s",
      'Corefile:3:12: kubernetes: snapshot: MAX_AGE must be a duration like "30s", "1m30s" or "500ms", at least 1000 ms, found "0s"',
    ],
    [
      "stale_after 1m",
      "Corefile:2:1: warning: kubernetes: stale_after: from less than 2m, a cluster where nothing happens seems stale: its API server speaks once a minute",
    ],
    ["ready_when_stale no", 'Corefile:3:18: kubernetes: ready_when_stale: must be on or off, found "no", did you mean "on"?'],
    [
      "manifests m\nsnapshot f",
      "Corefile:2:1: kubernetes: snapshot is about the Kubernetes API: it needs endpoint, kubeconfig or in_cluster beside manifests",
    ],
    ["multicluster other.local", ""],
    ["namespaces shop team-1", ""],
    ["ignore nothing", 'Corefile:3:8: kubernetes: ignore: must be empty_service, found "nothing"'],
    [
      "namespaces shop Foo_Bar",
      'Corefile:3:17: kubernetes: namespaces: NAMESPACE "Foo_Bar": a lowercase RFC 1123 label must consist of lower case alphanumeric ' +
        "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is " +
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ],
  ];
  for (const [lines, ...found] of findings) {
    it(`${lines.replaceAll("\n", "; ")}: ${found.join("; ") || "fine"}`, () => {
      expect(readDirective(kubernetes, `kubernetes {\n${lines}\n}`).findings).to.deep.equal(found.filter((text) => text !== ""));
    });
  }

  it("multicluster zones must be the plugin's", async () => {
    const { host } = await settingUp("in_cluster\nmulticluster other.local");
    expect(host.reported.map(({ message }) => message)).to.deep.equal([
      "kubernetes: multicluster: other.local. is none of the plugin's zones: cluster.local., clusterset.local.",
    ]);
  });

  it("a snapshot lasts an hour unless given", () => {
    const read = (line: string) => readDirective(kubernetes, `kubernetes {\n${line}\n}`).options[0]?.snapshot;
    expect(read("snapshot f")).to.deep.include({ file: "f", maxAgeMs: 3_600_000 });
    expect(read("snapshot f 90s")).to.deep.include({ file: "f", maxAgeMs: 90_000 });
  });
});

describe("kubernetes: the registry of an API", () => {
  it("search with namespaces all is refused, at its own line", async () => {
    const everyNamespace = { file: "Corefile", line: 7, column: 3 };
    const host = fakeHost("kubernetes", { embedded: false, env: IN_A_POD });
    host.siblings["search"] = { everyNamespace };
    await setUp(kubernetes, "kubernetes cluster.local {\nin_cluster\n}", host);
    expect(host.reported).to.deep.equal([
      {
        ...everyNamespace,
        severity: "error",
        message:
          "search: namespaces all: names of the Kubernetes API's namespaces would hide the Internet's; list the namespaces instead, or use manifests",
      },
    ]);
  });

  it("search with namespaces all is served from manifests", async () => {
    const host = fakeHost("kubernetes", { embedded: false });
    host.siblings["search"] = { everyNamespace: { file: "Corefile", line: 7, column: 3 } };
    await setUp(kubernetes, "kubernetes cluster.local {\nmanifests zones\n}", host);
    expect(host.reported).to.deep.equal([]);
  });

  it("readiness: from a snapshot and when stale only as the options say", async () => {
    const registry = createRegistry({ sources: ["test"] });
    const setUpWith = (lines: string) =>
      setUp(kubernetes, `kubernetes cluster.local {\nin_cluster\n${lines}\n}`, fakeHost("kubernetes", { registry: () => registry }));
    const [plain, lenient, strict] = [
      await setUpWith(""),
      await setUpWith("snapshot f\nready_from_snapshot"),
      await setUpWith("ready_when_stale off"),
    ];
    const ready = () => [plain, lenient, strict].map((instance) => instance.ready?.());
    expect(ready()).to.deep.equal([false, false, false]);
    registry.setFreshness("snapshot");
    registry.markSynced("test");
    expect(ready()).to.deep.equal([false, true, false]);
    registry.setFreshness("current");
    expect(ready()).to.deep.equal([true, true, true]);
    registry.setFreshness("stale");
    expect(ready()).to.deep.equal([true, true, false]);
    registry.setProblem("10.96.0.1:443: connect ECONNREFUSED");
    expect(strict.notReadyReason?.()).to.equal("10.96.0.1:443: connect ECONNREFUSED");
  });

  it("stale_after is what stale answers say", async () => {
    const registry = createRegistry();
    const host = fakeHost("kubernetes", { registry: () => registry });
    const instance = await setUp(kubernetes, "kubernetes cluster.local {\nin_cluster\nstale_after 150s\n}", host);
    registry.setFreshness("stale");
    const reply = await instance.handle?.(query(parseName("cluster.local"), { edns: {} }), () => expect.fail());
    expect(reply).to.have.deep.property("ede", { code: 3, text: "not confirmed by the API server for over 150s" });
  });
});
