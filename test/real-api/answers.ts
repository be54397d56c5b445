// Every kind of name, served from a real API server, and followed as objects change.

import { expect } from "chai";
import { reverseName } from "../../src/dns/reverse.ts";
import { formatName } from "../../src/dns/name.ts";
import { needs } from "../helpers/needs.ts";
import { inBatches, type Manifest, type RealCluster } from "./cluster.ts";
import { clusterIP, headless, reverse, slice, startSubject, type Subject } from "./subject.ts";

const NAMES = ["web", "db", "api"];

export function answersSuite(cluster: () => RealCluster): void {
  describe("answers", () => {
    let subject: Subject;
    let at: string;

    before(async () => {
      at = `${cluster().namespace}.svc.cluster.local`;
      subject = await startSubject({ kubeconfig: cluster().kubeconfig, options: [`namespace_labels ndots-test=${cluster().namespace}`] });
    });

    after(() => (subject as Subject | undefined)?.[Symbol.asyncDispose]());

    it("a Service with a ClusterIP: A, SRV, PTR; nothing of it when it is deleted", async () => {
      const { spec } = await cluster().apply(clusterIP("web"));
      const [address = ""] = spec?.clusterIPs ?? [];
      expect(address).to.match(/^\d/);
      const [type, name] = address.includes(":") ? ["AAAA", formatName(reverseName(address) ?? expect.fail())] : ["A", reverse(address)];
      await subject.tells({
        [`web.${at} ${type}`]: `NOERROR ${type} ${address}`,
        [`_http._tcp.web.${at} SRV`]: `NOERROR SRV 0 100 80 web.${at}.`,
        [`web.${at} TXT`]: "NOERROR",
        [`nosuch.${at} A`]: "NXDOMAIN",
        [`${name} PTR`]: `NOERROR PTR web.${at}.`,
      });
      await cluster().delete(clusterIP("web"));
      await subject.tells({ [`web.${at} ${type}`]: "NXDOMAIN", [`${name} PTR`]: "NXDOMAIN" });
    });

    it("a headless Service: ready endpoints, by hostname and by address, SRV, PTR", async () => {
      await cluster().apply(headless("db"));
      const ready = [{ addresses: ["192.0.2.11"], hostname: "db-0" }, "192.0.2.12"];
      await cluster().apply(slice("db", [...ready, { addresses: ["192.0.2.13"], conditions: { ready: false } }]));
      await subject.tells({
        [`db.${at} A`]: "NOERROR A 192.0.2.11, A 192.0.2.12",
        [`db.${at} AAAA`]: "NOERROR",
        [`db-0.db.${at} A`]: "NOERROR A 192.0.2.11",
        [`192-0-2-12.db.${at} A`]: "NOERROR A 192.0.2.12",
        [`192-0-2-13.db.${at} A`]: "NXDOMAIN",
        [`_http._tcp.db.${at} SRV`]: `NOERROR SRV 0 50 8080 192-0-2-12.db.${at}., SRV 0 50 8080 db-0.db.${at}.`,
        [`${reverse("192.0.2.11")} PTR`]: `NOERROR PTR db-0.db.${at}.`,
        [`${reverse("192.0.2.13")} PTR`]: "NXDOMAIN",
      });
    });

    it("an endpoint that moves from one slice to another, is no longer ready, and is there again", async () => {
      await cluster().apply(slice("db", ["192.0.2.12"]));
      await cluster().apply(slice("db", ["192.0.2.11"], "2"));
      await subject.tells({ [`db.${at} A`]: "NOERROR A 192.0.2.11, A 192.0.2.12" });
      await cluster().apply(slice("db", [{ addresses: ["192.0.2.11"], conditions: { ready: false } }], "2"));
      await subject.tells({ [`db.${at} A`]: "NOERROR A 192.0.2.12" });
      await cluster().delete(slice("db", []));
      await subject.tells({ [`db.${at} A`]: "NXDOMAIN" });
      await cluster().apply(slice("db", ["192.0.2.11"], "2"));
      await subject.tells({ [`db.${at} A`]: "NOERROR A 192.0.2.11" });
    });

    it("an ExternalName: its CNAME, into the cluster and out of it", async () => {
      await cluster().apply({
        kind: "Service",
        metadata: { name: "out" },
        spec: { type: "ExternalName", externalName: "www.example.com" },
      });
      await cluster().apply({ kind: "Service", metadata: { name: "in" }, spec: { type: "ExternalName", externalName: `db.${at}` } });
      await subject.tells({
        [`in.${at} A`]: `NOERROR A 192.0.2.11, CNAME db.${at}.`,
        [`out.${at} CNAME`]: "NOERROR CNAME www.example.com.",
      });
    });

    it("a Service that turns from headless into ExternalName and back", async () => {
      await cluster().delete(headless("db"));
      await cluster().apply({ kind: "Service", metadata: { name: "db" }, spec: { type: "ExternalName", externalName: "db.example.com" } });
      await subject.tells({ [`db.${at} CNAME`]: "NOERROR CNAME db.example.com." });
      await cluster().delete(headless("db"));
      await cluster().apply(headless("db"));
      await subject.tells({ [`db.${at} A`]: "NOERROR A 192.0.2.11" });
    });

    it("both families of a dual-stack Service", async function () {
      const both = await cluster().apply(clusterIP("both", { ipFamilyPolicy: "PreferDualStack" }));
      const addresses = both.spec?.clusterIPs ?? [];
      needs(this, addresses.length === 2, "the cluster has one address family");
      const typed = addresses.map((address) => ({ type: address.includes(":") ? "AAAA" : "A", address }));
      for (const { type, address } of typed) {
        await subject.tells({
          [`both.${at} ${type}`]: `NOERROR ${type} ${address}`,
          [`${formatName(reverseName(address) ?? expect.fail())} PTR`]: `NOERROR PTR both.${at}.`,
        });
      }
    });

    it("the name of a Pod, verified: while it is there, under its address", async () => {
      const pod = podNamed("app");
      const { namespace } = cluster();
      const asked = (address: string): string => `${address.replaceAll(".", "-")}.${namespace}.pod.cluster.local A`;
      await cluster().apply({ kind: "ServiceAccount", metadata: { name: "app" } });
      await cluster().apply(pod);
      await subject.tells({ [asked("192.0.2.21")]: "NXDOMAIN" });
      await cluster().setStatus(pod, { phase: "Running", podIP: "192.0.2.21", podIPs: [{ ip: "192.0.2.21" }] });
      await subject.tells({ [asked("192.0.2.21")]: "NOERROR A 192.0.2.21" });
      await cluster().setStatus(pod, { phase: "Succeeded", podIP: "192.0.2.21", podIPs: [{ ip: "192.0.2.21" }] });
      await subject.tells({ [asked("192.0.2.21")]: "NXDOMAIN" });
      await cluster().delete(pod);
    });

    it("a hundred changes in a row: each name ends at its last state", async () => {
      const rounds = Array.from({ length: 33 }, (_, round) => round);
      for (const name of NAMES) await cluster().apply(headless(`churn-${name}`));
      await inBatches(NAMES, async (name) => {
        for (const round of rounds) await cluster().apply(slice(`churn-${name}`, [`192.0.2.${100 + round}`]));
      });
      await subject.tells(Object.fromEntries(NAMES.map((name) => [`churn-${name}.${at} A`, "NOERROR A 192.0.2.132"])));
    });

    it("namespace_labels: a namespace that loses its label is no longer served, and is again", async () => {
      const { namespace } = cluster();
      const label = (value: string): Manifest => ({ kind: "Namespace", metadata: { name: namespace, labels: { "ndots-test": value } } });
      await cluster().apply(label("other"));
      await subject.tells({ [`db.${at} A`]: "NXDOMAIN" });
      await cluster().apply(label(namespace));
      await subject.tells({ [`db.${at} A`]: "NOERROR A 192.0.2.11" });
    });

    it("labels: the API server tells of a Service that no longer matches as of one that is deleted", async () => {
      const labelled = (team: string): Manifest => ({ ...clusterIP("picked"), metadata: { name: "picked", labels: { team } } });
      const { spec } = await cluster().apply(labelled("a"));
      const address = spec?.clusterIPs?.find((one) => !one.includes(":")) ?? "";
      await using picky = await startSubject({ kubeconfig: cluster().kubeconfig, options: ["labels team in (a, b)"] });
      await picky.tells({ [`picked.${at} A`]: `NOERROR A ${address}`, [`db.${at} A`]: "NXDOMAIN" });
      await cluster().apply(labelled("c"));
      await picky.tells({ [`picked.${at} A`]: "NXDOMAIN" });
      await cluster().apply(labelled("b"));
      await picky.tells({ [`picked.${at} A`]: `NOERROR A ${address}` });
    });
  });
}

// Nobody schedules it: it has no node, and the address that the test gives it.
function podNamed(name: string): Manifest {
  return {
    kind: "Pod",
    metadata: { name },
    spec: {
      schedulerName: "ndots-test",
      serviceAccountName: "app",
      automountServiceAccountToken: false,
      containers: [{ name, image: "registry.k8s.io/pause" }],
    },
  };
}
