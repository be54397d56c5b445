// Incidents of CoreDNS in clusters, as far as they are about the API server and what is known of it; those about watches are
// in cases.test.ts.

import { expect } from "chai";
import { join } from "node:path";
import { buildQuery, readResult } from "../../src/client.ts";
import { createServer, type Server } from "../../src/server.ts";
import { startFakeApi } from "../helpers/fake-api/fake-api.ts";
import { fakeLog } from "../helpers/fake-host.ts";
import { until } from "../helpers/listening.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import { namespace, service } from "./objects.ts";

const OBJECTS = [namespace("default"), service("web", "10.96.0.10")];

interface Probed {
  readonly server: Server;
  get(path: string): Promise<number>;
  ask(name: string): Promise<string>;
}

async function start(folder: string, text: () => string): Promise<Probed> {
  const server = await createServer({
    corefile: text(),
    reread: text,
    file: join(folder, "Corefile"),
    port: 0,
    address: "127.0.0.1",
    embedded: false,
    strict: false,
    env: {},
    log: fakeLog(),
  });
  return {
    server,
    async get(path) {
      const statuses = await Promise.all(
        server.http.addresses.map(async ({ port }) => (await fetch(`http://127.0.0.1:${port}${path}`)).status),
      );
      return statuses.find((status) => status !== 404) ?? 404;
    },
    async ask(name) {
      const { rcode, addresses } = readResult((await server.ask(buildQuery(`${name}.cluster.local`, "A"), "udp")) ?? expect.fail());
      return addresses.join(" ") || rcode;
    },
  };
}

describe("incidents", () => {
  it("coredns#4014: readiness comes back after reloads, of the same source and of another, also while the API server is away", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({ kubeconfig: api.kubeconfig() });
    let options = "";
    const text = (): string =>
      `. {\nready 127.0.0.1:0\nkubernetes cluster.local {\nkubeconfig kubeconfig\nstartup_timeout 50ms\n${options}\n}\n}`;
    const { server, get, ask } = await start(folder.path, text);
    try {
      await until(() => server.registry.synced, "everything is listed");
      expect(await get("/ready")).to.equal(200);
      for (const next of ["ttl 7", "ttl 9", "pods verified", "ttl 9"]) {
        options = next;
        await server.reload();
        await until(() => server.registry.synced, "everything is listed again");
        expect([await get("/ready"), await ask("web.default.svc")]).to.deep.equal([200, "10.96.0.10"]);
      }
      await api.stop();
      options = "ttl 11";
      await server.reload();
      expect([await get("/ready"), await ask("web.default.svc")]).to.deep.equal([200, "10.96.0.10"]);
      options = "pods verified"; // another source, which knows nothing yet: what is known is not given up for it
      const refused: unknown = await server.reload().catch((error: unknown) => error);
      expect(refused).to.include({ code: "NDOTS_ERR_NOT_SYNCED" });
      expect([await get("/ready"), await ask("web.default.svc")]).to.deep.equal([200, "10.96.0.10"]);
      await api.start();
      const takesOver = (): Promise<boolean> =>
        server.reload().then(
          () => true,
          () => false,
        );
      for (const endMs = performance.now() + 10_000; !(await takesOver());) expect(performance.now()).to.be.below(endMs);
      expect([await get("/ready"), await ask("web.default.svc")]).to.deep.equal([200, "10.96.0.10"]);
    } finally {
      await server.stop("now");
    }
  }).timeout(20_000);

  it("coredns#3860: an object that nobody has thought of: the probes are green, and so is what they stand for", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({ kubeconfig: api.kubeconfig() });
    const { server, get, ask } = await start(
      folder.path,
      () => `. {\nready 127.0.0.1:0\nhealth 127.0.0.1:0\nkubernetes cluster.local {\nkubeconfig kubeconfig\n}\n}`,
    );
    try {
      for (const json of ["{}", "[]", '{"metadata":{"name":[]}}', '{"metadata":{"name":"x"},"spec":{"ports":[[]]}}']) {
        api.applyRaw("services", "default/strange", json);
        api.applyRaw("endpointslices", "default/strange", json);
        api.applyRaw("namespaces", "strange", json);
        api.apply(service("mark", `10.96.7.${json.length}`));
        let last = "";
        const isThere = (): boolean => {
          void ask("mark.default.svc").then((answer) => (last = answer)); // asked again each turn
          return last === `10.96.7.${json.length}`;
        };
        await until(isThere, "what comes after it");
        expect([await get("/ready"), await get("/health"), await ask("web.default.svc")]).to.deep.equal([200, 200, "10.96.0.10"]);
      }
    } finally {
      await server.stop("now");
    }
  });

  it("coredns#2593: a spike of names that don't exist, during a list: nothing is kept of them, and the list comes to its end", async () => {
    await using api = await startFakeApi({ objects: OBJECTS });
    using folder = temporaryFolder({ kubeconfig: api.kubeconfig() });
    const { server, ask } = await start(folder.path, () => `. {\nkubernetes cluster.local {\nkubeconfig kubeconfig\n}\n}`);
    try {
      api.delete("Service", "default", "web");
      api.apply(service("new", "10.96.0.11"));
      api.compact();
      api.expire();
      const answers = new Set<string>();
      for (let n = 0; n < 5000; n++) answers.add(await ask(`n${n}.default.svc`));
      expect([...answers]).to.deep.equal(["NXDOMAIN"]);
      await until(() => server.registry.service("default", "web") === undefined, "the list");
      expect(await ask("new.default.svc")).to.equal("10.96.0.11");
    } finally {
      await server.stop("now");
    }
  });
});
