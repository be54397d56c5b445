// A server while its API server is away, or refuses part of what is asked of it: what is known is answered, what may be old
// says so, and nothing is denied that may exist. The API is test/helpers/fake-api.

import { expect } from "chai";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildQuery, readResult } from "../../../src/client.ts";
import { createServer, type Server } from "../../../src/server.ts";
import { startFakeApi } from "../../helpers/fake-api/fake-api.ts";
import type { KubeObject } from "../../helpers/fake-api/objects.ts";
import { fakeLog } from "../../helpers/fake-host.ts";
import { until } from "../../helpers/listening.ts";
import { temporaryFolder } from "../../helpers/ndots-process.ts";

const ports = [{ name: "http", port: 80, protocol: "TCP" }];
const OBJECTS: readonly KubeObject[] = [
  { kind: "Namespace", metadata: { name: "default" } },
  clusterIP("web", "10.96.0.10"),
  clusterIP("old", "10.96.0.11"),
  { kind: "Service", metadata: { name: "db", namespace: "default" }, spec: { clusterIP: "None", clusterIPs: ["None"], ports } },
  {
    kind: "EndpointSlice",
    metadata: { name: "db-1", namespace: "default", labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.244.0.1"], conditions: { ready: true } }],
    ports,
  },
];
const NAMES = ["web", "old", "db", "new"];
const SNAPSHOT = " 3 from a snapshot of an earlier run";
/** The client's own pauses are in it: up to a second before a list, and up to two after a failure. */
const MOST_MS = 15_000;

function clusterIP(name: string, address: string): KubeObject {
  return {
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { type: "ClusterIP", clusterIP: address, clusterIPs: [address], ports },
  };
}

// A start with a snapshot waits for nothing else; one without it is not to wait long here.
async function start(folder: string, url: string, more: string, lines: string[] = []): Promise<Server> {
  const timeout = more.startsWith("snapshot") ? "30s" : "50ms";
  const block = `kubernetes cluster.local {\nendpoint ${url}\nstartup_timeout ${timeout}\nreasons off\n${more}\n}`;
  return createServer({
    corefile: `. {\n${block}\nready 127.0.0.1:0\n}\n`,
    file: join(folder, "Corefile"),
    port: 0,
    address: "127.0.0.1",
    embedded: false,
    strict: true,
    env: {},
    log: fakeLog(lines),
  });
}

// Of each name the rcode, the address and the extended error.
async function told(server: Server): Promise<string[]> {
  await server.settled();
  const answers: string[] = [];
  for (const name of NAMES) {
    const answer = await server.ask(buildQuery(`${name}.default.svc.cluster.local`, "A"), "udp");
    const { rcode, addresses, ede } = readResult(answer ?? expect.fail());
    answers.push([rcode, ...addresses].join(" ") + (ede === undefined ? "" : ` ${ede.code} ${ede.text}`));
  }
  return answers;
}

async function tells(server: Server, expected: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  let asking: Promise<void> | undefined;
  const isThere = (): boolean => {
    asking ??= told(server).then((now) => {
      last = now;
      asking = undefined;
    });
    return last.join() === expected.join();
  };
  await until(isThere, expected.join(", "), MOST_MS).catch(() => expect(last).to.deep.equal(expected));
}

async function readiness(server: Server): Promise<string> {
  const { port } = server.http.addresses[0] ?? expect.fail();
  const response = await fetch(`http://127.0.0.1:${port}/ready`);
  return `${response.status} ${await response.text()}`;
}

describe("kubernetes without its API server", function () {
  this.timeout(3 * MOST_MS);

  it("C99: a start without it is served from the last snapshot, and is right once the API server is back", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({});
    const file = join(folder.path, "snapshot");
    const snapshot = `snapshot ${file}`;
    const first = await start(folder.path, api.url, snapshot);
    await tells(first, ["NOERROR 10.96.0.10", "NOERROR 10.96.0.11", "NOERROR 10.244.0.1", "NXDOMAIN"]);
    await until(() => existsSync(file), "the snapshot");
    await first.stop("now");
    await api.stop();
    api.apply(clusterIP("web", "10.96.0.20"));
    api.delete("Service", "default", "old");
    api.apply(clusterIP("new", "10.96.0.12"));

    const lines: string[] = [];
    const second = await start(folder.path, api.url, snapshot, lines);
    try {
      const old = ["NOERROR 10.96.0.10", "NOERROR 10.96.0.11", "NOERROR 10.244.0.1", "NXDOMAIN"].map((answer) => answer + SNAPSHOT);
      expect(await told(second)).to.deep.equal(old);
      expect(lines.filter((line) => line.includes("snapshot"))).to.have.length(1);
      expect(await readiness(second)).to.equal("503 kubernetes");
      await api.start();
      await tells(second, ["NOERROR 10.96.0.20", "NXDOMAIN", "NOERROR 10.244.0.1", "NOERROR 10.96.0.12"]);
      expect(await readiness(second)).to.equal("200 OK");
      await until(() => readFileSync(file, "utf8").includes("10.96.0.20"), "the next snapshot", MOST_MS);
      expect(readFileSync(file, "utf8")).to.not.include("10.96.0.11");
    } finally {
      await second.stop("now");
    }
  });

  it("C99: without a snapshot, or with a broken one, nothing is denied", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({});
    const file = join(folder.path, "snapshot");
    writeFileSync(file, "not a snapshot");
    await api.stop();
    const lines: string[] = [];
    const server = await start(folder.path, api.url, `pods disabled\nsnapshot ${file}`, lines);
    try {
      for (const answer of await told(server)) expect(answer).to.match(/^SERVFAIL 14 /);
      expect(lines).to.include(`[WARNING] plugin/kubernetes: snapshot ${file} is not used: it is no snapshot`);
      expect(await readiness(server)).to.equal("503 kubernetes");
      await api.start();
      await tells(server, ["NOERROR 10.96.0.10", "NOERROR 10.96.0.11", "NOERROR 10.244.0.1", "NXDOMAIN"]);
      expect(await readiness(server)).to.equal("200 OK");
    } finally {
      await server.stop("now");
    }
  });

  it("a start with ready_from_snapshot is ready at once", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({});
    const file = join(folder.path, "snapshot");
    const options = `snapshot ${file}\nready_from_snapshot`;
    const first = await start(folder.path, api.url, options);
    await until(() => existsSync(file), "the snapshot", MOST_MS);
    await first.stop("now");
    await api.stop();
    const second = await start(folder.path, api.url, options);
    try {
      expect(await readiness(second)).to.equal("200 OK");
    } finally {
      await second.stop("now");
    }
  });

  it("EndpointSlices that are refused: ClusterIPs are answered, all else is SERVFAIL, until they are allowed", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({});
    api.forbid("endpointslices");
    const server = await start(folder.path, api.url, "");
    try {
      await until(() => api.requests.some(({ resource }) => resource === "endpointslices"), "the first list", MOST_MS);
      await tells(server, [
        "NOERROR 10.96.0.10",
        "NOERROR 10.96.0.11",
        "SERVFAIL 14 endpointslices: 403 Forbidden",
        "SERVFAIL 14 endpointslices: 403 Forbidden",
      ]);
      expect(await readiness(server)).to.equal("503 kubernetes");
      api.allow("endpointslices");
      await tells(server, ["NOERROR 10.96.0.10", "NOERROR 10.96.0.11", "NOERROR 10.244.0.1", "NXDOMAIN"]);
      expect(await readiness(server)).to.equal("200 OK");
    } finally {
      await server.stop("now");
    }
  });

  it("C101: Pods that are refused: all but their names is answered, and the server is ready", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({});
    api.forbid("pods");
    const server = await start(folder.path, api.url, "pods verified");
    try {
      await tells(server, ["NOERROR 10.96.0.10", "NOERROR 10.96.0.11", "NOERROR 10.244.0.1", "NXDOMAIN"]);
      const answer = await server.ask(buildQuery("10-244-0-1.default.pod.cluster.local", "A"), "udp");
      expect(readResult(answer ?? expect.fail())).to.deep.include({ rcode: "SERVFAIL" });
      expect(await readiness(server)).to.equal("200 OK");
    } finally {
      await server.stop("now");
    }
  });
});
