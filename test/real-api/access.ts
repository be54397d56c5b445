// With the rights that a real API server gives: a namespaced Role, one that lacks something, tokens that end, the user's own.

import { expect } from "chai";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { needs } from "../helpers/needs.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import type { RealCluster } from "./cluster.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { clusterIP, headless, slice, startSubject, type SubjectOptions } from "./subject.ts";

const UNAUTHORIZED = 401;
/** After a cut a watch is opened again within 2 s. */
const RESUME_MS = 2_500;
const ALL = ["services", "endpointslices", "pods"];

export function accessSuite(cluster: () => RealCluster): void {
  describe("access", () => {
    let gateway: Gateway;
    let at: string;
    let address: string;

    before(async () => {
      at = `${cluster().namespace}.svc.cluster.local`;
      gateway = await startGateway(cluster().server);
      const { spec } = await cluster().apply(clusterIP("owned"));
      address = spec?.clusterIPs?.find((one) => !one.includes(":")) ?? "";
      await cluster().apply(headless("group"));
      await cluster().apply(slice("group", ["192.0.2.31"]));
    });

    after(() => (gateway as Gateway | undefined)?.[Symbol.asyncDispose]());

    function through(token: string, options: readonly string[] = [`namespaces ${cluster().namespace}`]): SubjectOptions {
      return { kubeconfig: { url: gateway.url, authority: gateway.authority, token }, options };
    }

    it("a Role in one namespace is enough for `namespaces`, though it gives no right to namespaces", async () => {
      const token = await cluster().account("namespaced", ALL);
      await using subject = await startSubject(through(token));
      await subject.tells({
        [`owned.${at} A`]: `NOERROR A ${address}`,
        [`group.${at} A`]: "NOERROR A 192.0.2.31",
        [`nosuch.${at} A`]: "NXDOMAIN",
        [`${at} A`]: "NOERROR",
        "kubernetes.default.svc.cluster.local A": "NXDOMAIN",
      });
      expect(await subject.readiness()).to.equal("200 OK");
      const asked = new Set(gateway.passed.map(({ resource }) => resource));
      expect([...asked].toSorted()).to.deep.equal(["endpointslices", "namespaces", "pods", "services"]);
    });

    it("without a right to EndpointSlices ClusterIPs are answered, the rest is not denied; and all is, with the right", async () => {
      const token = await cluster().account("partly", ["services", "pods"]);
      await using subject = await startSubject({ ...through(token), startupTimeout: "1s" });
      await subject.tells({
        [`owned.${at} A`]: `NOERROR A ${address}`,
        [`group.${at} A`]: "SERVFAIL EDE 14",
        [`nosuch.${at} A`]: "SERVFAIL EDE 14",
      });
      expect(await subject.readiness()).to.match(/^503 kubernetes/);
      expect(subject.log.join("\n")).to.match(/endpointslices.*403/);
      await cluster().account("partly", ALL);
      await subject.tells({ [`group.${at} A`]: "NOERROR A 192.0.2.31", [`nosuch.${at} A`]: "NXDOMAIN" }, 60_000);
      expect(await subject.readiness()).to.equal("200 OK");
    });

    it("without a right to the cluster, and no `namespaces`: nothing is known, nothing is denied, and it is said", async () => {
      const token = await cluster().account("lost", ALL);
      await using subject = await startSubject({ ...through(token, []), startupTimeout: "1s" });
      expect(await subject.ask(`owned.${at} A`)).to.equal("SERVFAIL EDE 14");
      expect(subject.log.join("\n")).to.match(/(services|endpointslices|namespaces|pods): 403 Forbidden/);
    });

    it("a token that has ended: the one in tokenFile takes its place, with no answer lost", async () => {
      using folder = temporaryFolder({ token: await cluster().account("first", ALL) });
      const tokenFile = join(folder.path, "token");
      const access = { url: gateway.url, authority: gateway.authority, tokenFile };
      await using subject = await startSubject({ kubeconfig: access, options: [`namespaces ${cluster().namespace}`] });
      await subject.tells({ [`group.${at} A`]: "NOERROR A 192.0.2.31" });

      const second = await cluster().account("second", ALL);
      await cluster().delete({ kind: "ServiceAccount", metadata: { name: "first" } });
      // The API server remembers for some ten seconds that the token was good.
      while (!gateway.passed.some(({ resource, status }) => resource === "endpointslices" && status === UNAUTHORIZED)) {
        gateway.cut();
        await wait(RESUME_MS);
      }
      writeFileSync(tokenFile, second);
      await cluster().apply(slice("group", ["192.0.2.32"]));
      expect(await subject.ask(`group.${at} A`)).to.match(/^NOERROR A 192\.0\.2\.3[12]$/);
      await subject.tells({ [`group.${at} A`]: "NOERROR A 192.0.2.32" });
      expect(await subject.readiness()).to.equal("200 OK");
      expect(subject.log.join("\n")).to.not.include(second);
    });

    it("the user's own way in: the whole cluster", async () => {
      await using subject = await startSubject({ kubeconfig: cluster().kubeconfig });
      await subject.tells({ [`owned.${at} A`]: `NOERROR A ${address}` });
      expect(await subject.ask("kubernetes.default.svc.cluster.local A")).to.match(/^NOERROR/);
      expect(await subject.readiness()).to.equal("200 OK");
    });

    it("a set of clusters: ServiceImports beside the cluster's own Services", async function () {
      needs(this, await cluster().has("ServiceImport"), "the cluster has no definition of ServiceImport (--whole makes one)");
      const ports = [{ name: "sql", port: 5432, protocol: "TCP" }];
      await cluster().apply({
        kind: "ServiceImport",
        metadata: { name: "vip" },
        spec: { type: "ClusterSetIP", ips: ["192.0.2.41"], ports },
      });
      await cluster().apply({ kind: "ServiceImport", metadata: { name: "db" }, spec: { type: "Headless", ports } });
      const imported = slice("imported", [{ addresses: ["192.0.2.42"], hostname: "db-0" }]);
      const labels = { "multicluster.kubernetes.io/service-name": "db", "multicluster.kubernetes.io/source-cluster": "east" };
      await cluster().apply({ ...imported, metadata: { name: "imported-1", labels } });
      await using subject = await startSubject({
        kubeconfig: cluster().kubeconfig,
        zones: "clusterset.local",
        options: ["multicluster clusterset.local"],
      });
      const set = at.replace("cluster.local", "clusterset.local");
      await subject.tells({
        [`vip.${set} A`]: "NOERROR A 192.0.2.41",
        [`_sql._tcp.vip.${set} SRV`]: `NOERROR SRV 0 100 5432 vip.${set}.`,
        [`db.${set} A`]: "NOERROR A 192.0.2.42",
        [`db-0.east.db.${set} A`]: "NOERROR A 192.0.2.42",
        [`owned.${set} A`]: "NXDOMAIN",
        [`owned.${at} A`]: `NOERROR A ${address}`,
        [`vip.${at} A`]: "NXDOMAIN",
      });
      await cluster().delete({ kind: "ServiceImport", metadata: { name: "db" } });
      await subject.tells({ [`db.${set} A`]: "NXDOMAIN" });
    });
  });
}
