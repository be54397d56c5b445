// `kubernetes` served from an API server: the options that say what is asked of it, manifests below it, a cluster set, and
// the start without it. The API is test/helpers/fake-api, the server the library's.

import { expect } from "chai";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildQuery, readResult } from "../../../src/client.ts";
import { createServer, type Server } from "../../../src/server.ts";
import { startServer, type FindingsError, type RunningServer } from "../../../src/index.ts";
import { startFakeApi, type FakeApi } from "../../helpers/fake-api/fake-api.ts";
import type { KubeObject } from "../../helpers/fake-api/objects.ts";
import { fakeLog } from "../../helpers/fake-host.ts";
import { until } from "../../helpers/listening.ts";
import { temporaryFolder, type Folder } from "../../helpers/ndots-process.ts";

const APP = { app: "web" };
const IMPORTED = { "multicluster.kubernetes.io/service-name": "db", "multicluster.kubernetes.io/source-cluster": "c1" };
const sql = [{ name: "sql", port: 5432, protocol: "TCP" }];

const OBJECTS: readonly KubeObject[] = [
  { kind: "Namespace", metadata: { name: "default" } },
  { kind: "Namespace", metadata: { name: "shop" } },
  clusterIP("web", "10.96.0.10", APP),
  clusterIP("raw", "10.96.0.11"),
  { kind: "Service", metadata: { name: "db", namespace: "shop" }, spec: { clusterIP: "None", clusterIPs: ["None"], ports: sql } },
  slice("db-1", { "kubernetes.io/service-name": "db" }, "10.244.0.1"),
  { kind: "ServiceImport", metadata: { name: "db", namespace: "shop" }, spec: { type: "Headless", ports: sql } },
  { kind: "ServiceImport", metadata: { name: "vip", namespace: "shop" }, spec: { type: "ClusterSetIP", ips: ["10.97.0.1"], ports: sql } },
  slice("imported-db", IMPORTED, "10.1.0.1"),
  {
    kind: "Pod",
    metadata: { name: "p", namespace: "shop" },
    status: { phase: "Running", podIPs: [{ ip: "10.244.0.9" }], podIP: "10.244.0.9" },
  },
];

function clusterIP(name: string, address: string, labels = {}): KubeObject {
  const spec = { type: "ClusterIP", clusterIP: address, clusterIPs: [address], ports: [{ port: 80, protocol: "TCP" }] };
  return { kind: "Service", metadata: { name, namespace: "default", labels }, spec };
}

function slice(name: string, labels: Readonly<Record<string, string>>, address: string): KubeObject {
  const endpoints = [{ addresses: [address], conditions: { ready: true } }];
  return { kind: "EndpointSlice", metadata: { name, namespace: "shop", labels }, addressType: "IPv4", endpoints, ports: sql };
}

interface Serving extends AsyncDisposable {
  readonly api: FakeApi;
  readonly dns: RunningServer;
  readonly folder: Folder;
  readonly lines: string[];
  ask(name: string, type?: string): Promise<string>;
}

/** A server whose Corefile is in a folder with the API's kubeconfig and `files`. */
async function serving(block: string, files: Readonly<Record<string, string>> = {}, more = ""): Promise<Serving> {
  const api = await startFakeApi({ objects: OBJECTS, tls: true, tokens: ["t0k3n"] });
  const folder = temporaryFolder({ kubeconfig: api.kubeconfig(), ...files });
  const log = fakeLog();
  const corefile = `${more}\n. {\nkubernetes cluster.local clusterset.local {\n${block}\n}\n}`;
  const stop = async (): Promise<void> => {
    await api[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  };
  try {
    const dns = await startServer({ corefile, file: join(folder.path, "Corefile"), log });
    return {
      api,
      dns,
      folder,
      lines: log.lines,
      async ask(name, type = "A") {
        const { rcode, addresses } = await dns.query(name, type);
        return rcode === "NOERROR" ? addresses.join(" ") : rcode;
      },
      async [Symbol.asyncDispose]() {
        await dns.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function answer(server: Server, name: string): Promise<readonly string[]> {
  return readResult((await server.ask(buildQuery(name, "A"), "tcp")) ?? expect.fail()).answer;
}

const WEB = "web.default.svc.cluster.local";
const RAW = "raw.default.svc.cluster.local";
const DB = "db.shop.svc.cluster.local";
const POD = "10-244-0-9.shop.pod.cluster.local";

describe("kubernetes from an API server", () => {
  const rows: readonly {
    readonly block: string;
    readonly gives: Readonly<Record<string, string>>;
    /** What is asked for, by list and watch: resource, namespace and selector. */
    readonly asks: readonly string[];
  }[] = [
    {
      block: "kubeconfig kubeconfig",
      gives: { [WEB]: "10.96.0.10", [RAW]: "10.96.0.11", [DB]: "10.244.0.1", [POD]: "NXDOMAIN" },
      asks: ["endpointslices", "namespaces", "services"],
    },
    {
      block: "kubeconfig kubeconfig\npods verified",
      gives: { [POD]: "10.244.0.9", "10-244-0-8.shop.pod.cluster.local": "NXDOMAIN" },
      asks: ["endpointslices", "namespaces", "pods", "services"],
    },
    {
      block: "kubeconfig kubeconfig\nnoendpoints\nlabels app in (web, api)",
      gives: { [WEB]: "10.96.0.10", [RAW]: "NXDOMAIN", [DB]: "NXDOMAIN" },
      asks: ["namespaces", "services?app in (web, api)"],
    },
    {
      block: "kubeconfig kubeconfig\nnamespaces shop",
      gives: { [WEB]: "NXDOMAIN", [DB]: "10.244.0.1" },
      asks: ["endpointslices in shop", "namespaces", "services in shop"],
    },
    {
      block: "kubeconfig kubeconfig\nmulticluster clusterset.local",
      gives: {
        "vip.shop.svc.clusterset.local": "10.97.0.1",
        "db.shop.svc.clusterset.local": "10.1.0.1",
        "10-1-0-1.c1.db.shop.svc.clusterset.local": "10.1.0.1",
        "web.default.svc.clusterset.local": "NXDOMAIN",
        [DB]: "10.244.0.1",
        "vip.shop.svc.cluster.local": "NXDOMAIN",
      },
      asks: ["endpointslices", "endpointslices?multicluster.kubernetes.io/service-name", "namespaces", "serviceimports", "services"],
    },
  ];
  for (const { block, gives, asks } of rows) {
    it(block.split("\n").slice(1).join(", ") || "with nothing else said", async () => {
      await using dns = await serving(block);
      const given = await Promise.all(Object.keys(gives).map(async (name) => [name, await dns.ask(name)]));
      expect(Object.fromEntries(given)).to.deep.equal(gives);
      const asked = dns.api.requests.map(({ resource, namespace, query: { labelSelector } }) =>
        [resource, namespace && ` in ${namespace}`, labelSelector && `?${labelSelector}`].join(""),
      );
      expect([...new Set(asked)].sort()).to.deep.equal(asks);
    });
  }

  it("a change is answered when it has come", async () => {
    await using dns = await serving("kubeconfig kubeconfig");
    dns.api.apply(clusterIP("web", "10.96.0.99", APP));
    await until(() => dns.dns.registry.service("default", "web")?.clusterIPs[0] === "10.96.0.99", "the change");
    expect(await dns.ask(WEB)).to.equal("10.96.0.99");
  });

  it("two blocks that ask the same share what is known", async () => {
    await using dns = await serving("kubeconfig kubeconfig", {}, "shop.example {\nkubernetes {\nkubeconfig kubeconfig\nttl 9\n}\n}");
    expect(await dns.ask(WEB)).to.equal("10.96.0.10");
    expect(dns.api.watches("services")).to.have.lengthOf(1);
  });

  it("manifests are served where the API has nothing of that name, and the log tells of the others once", async () => {
    const manifest = (name: string, clusterIP: string): string =>
      JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name }, spec: { clusterIP, ports: [{ port: 80 }] } });
    await using dns = await serving("kubeconfig kubeconfig\nmanifests m", {
      "m/web.json": manifest("web", "10.0.0.77"),
      "m/own.json": manifest("own", "10.0.0.78"),
    });
    expect([await dns.ask(WEB), await dns.ask("own.default.svc.cluster.local")]).to.deep.equal(["10.96.0.10", "10.0.0.78"]);
    const conflict = '[WARNING] plugin/kubernetes: Service "default/web" is in manifests and in the Kubernetes API: the API\'s is served';
    expect(dns.lines.filter((line) => line.includes("is in manifests"))).to.deep.equal([conflict]);
    dns.api.delete("Service", "default", "web");
    await until(() => dns.dns.registry.service("default", "web")?.clusterIPs[0] === "10.0.0.77", "the manifest's");
    writeFileSync(join(dns.folder.path, "m/own.json"), manifest("own", "10.0.0.79"));
    await until(() => dns.dns.registry.service("default", "own")?.clusterIPs[0] === "10.0.0.79", "the edit");
    expect([await dns.ask(WEB), await dns.ask("own.default.svc.cluster.local")]).to.deep.equal(["10.0.0.77", "10.0.0.79"]);
  });

  it("a reload keeps the registry when what is asked is the same, and asks anew when it is not", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({ kubeconfig: api.kubeconfig() });
    let options = "ttl 7";
    const text = () => `cluster.local {\nkubernetes {\nkubeconfig kubeconfig\n${options}\n}\n}`;
    const server = await createServer({
      corefile: text(),
      reread: text,
      file: join(folder.path, "Corefile"),
      port: 0,
      address: "127.0.0.1",
      embedded: false,
      strict: false,
      env: {},
      log: fakeLog(),
    });
    try {
      const listsOf = (resource: string) =>
        api.requests.filter((request) => request.resource === resource && request.query["continue"] === undefined).length;
      const before = listsOf("services");
      const { registry } = server;
      options = "ttl 9\npods insecure";
      await server.reload();
      expect(server.registry).to.equal(registry);
      expect(await answer(server, WEB)).to.deep.equal([`${WEB}. 9 IN A 10.96.0.10`]);
      expect(await answer(server, "10-9-9-9.shop.pod.cluster.local")).to.have.lengthOf(1);
      expect(listsOf("services")).to.equal(before);
      expect(api.watches("services")).to.have.lengthOf(1);

      options = "pods verified";
      await server.reload();
      expect(server.registry).to.not.equal(registry);
      expect(await answer(server, POD)).to.deep.equal([`${POD}. 5 IN A 10.244.0.9`]);
      await until(() => api.watches("services").length === 1, "the old source's end");
    } finally {
      await server.stop("now");
    }
    await until(() => api.watches().length === 0, "the end of all watches");
  });

  it("an API that is away: the server starts after startup_timeout, with CoreDNS's words, and answers SERVFAIL", async () => {
    const log = fakeLog();
    const corefile = "cluster.local {\nkubernetes {\nendpoint http://127.0.0.1:9\nstartup_timeout 1ms\n}\n}";
    await using dns = await startServer({ corefile, log });
    const { rcode, ede } = await dns.query(WEB);
    expect([rcode, ede?.code]).to.deep.equal(["SERVFAIL", 14]);
    expect(log.lines).to.include("[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API");
  });

  it("a kubeconfig that can't be used is no start, with its file and line", async () => {
    using folder = temporaryFolder({ kubeconfig: "apiVersion: v1\nkind: Config\ncurrent-context: none\n" });
    const corefile = "cluster.local {\nkubernetes {\nkubeconfig kubeconfig\n}\n}";
    const failed = await startServer({ corefile, file: join(folder.path, "Corefile") }).catch((error: unknown) => error);
    const at = `${join(folder.path, "Corefile")}:3:1: kubernetes: kubeconfig: ${join(folder.path, "kubeconfig")}`;
    expect((failed as FindingsError).message).to.equal(`${at}:3:18: no context "none"; the file has none`);
    expect(failed).to.have.property("code", "NDOTS_ERR_CONFIG");
  });

  it("search with namespaces all is refused beside an API, at its own line", async () => {
    const corefile = ". {\nsearch default {\nnamespaces all\n}\nkubernetes cluster.local {\nendpoint 192.0.2.1:6443\n}\n}";
    const failed = await startServer({ corefile }).catch((error: unknown) => error);
    expect((failed as FindingsError).message).to.equal(
      "Corefile:2:1: search: namespaces all: names of the Kubernetes API's namespaces would hide the Internet's; " +
        "list the namespaces instead, or use manifests",
    );
  });
});
