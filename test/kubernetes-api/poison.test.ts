// Objects whose names and values no sound cluster has, as an API server with a broken admission webhook or a strange version
// may send them: they are left out and counted, the others are answered, and no answer holds what is no domain name.

import { expect } from "chai";
import { followCluster, type FollowedCluster } from "../helpers/followed-cluster.ts";
import { headless, namespace, service, slice } from "./objects.ts";

const OBJECTS = [namespace("default"), namespace("svc"), service("web", "10.96.0.10"), headless("db"), slice("db-1", "db", ["10.244.0.1"])];
const SKIPPED = "ndots_kubernetes_skipped_objects_total";

interface Poison {
  readonly resource: "services" | "endpointslices" | "namespaces";
  readonly metadata?: object;
  readonly fields: object;
}

// `json` of an object of the API, with whatever is said.
async function poisoned(cluster: FollowedCluster, { resource, metadata = {}, fields }: Poison): Promise<void> {
  const head = { name: "bad", ...(resource !== "namespaces" && { namespace: "default" }), resourceVersion: "{rv}", ...metadata };
  cluster.api.applyRaw(resource, `default/${JSON.stringify(metadata)}`, JSON.stringify({ metadata: head, ...fields }));
  cluster.api.apply(service("mark", "10.96.9.9"));
  await cluster.within(1000, "what comes after it", async () => (await cluster.ask("mark.default.svc")) === "10.96.9.9");
  await cluster.pass(200);
  expect([await cluster.ask("web.default.svc"), await cluster.ask("db.default.svc")]).to.deep.equal(["10.96.0.10", "10.244.0.1"]);
}

const spec = { clusterIP: "10.96.5.5", clusterIPs: ["10.96.5.5"], ports: [{ name: "http", port: 80 }] };
const INVALID_NAMES = ["a.b", "A", "-x", "x-", "x".repeat(64), "\u{1F600}", "..", "", "*", "_x", "a b", "a\u0000b"];
const VALID_NAMES = ["svc", "pod", "cluster", "7", "7eleven", "kubernetes", "x".repeat(63), "xn--a"];

describe("C-R2: names that are none are left out and counted", () => {
  for (const name of INVALID_NAMES) {
    for (const resource of ["services", "namespaces"] as const) {
      it(`${resource}: ${JSON.stringify(name.slice(0, 10))}`, async () => {
        await using cluster = await followCluster({ objects: OBJECTS });
        await poisoned(cluster, { resource, metadata: { name }, fields: { spec } });
        expect(cluster.metric(SKIPPED, resource)).to.equal(1);
        expect(await cluster.ask("5.5.96.10.in-addr.arpa.", "PTR")).to.equal("NXDOMAIN");
      });
    }
  }

  for (const name of VALID_NAMES) {
    it(`${name.slice(0, 10)} is a Service's name like others`, async () => {
      await using cluster = await followCluster({ objects: OBJECTS });
      await poisoned(cluster, { resource: "services", metadata: { name }, fields: { spec } });
      expect(await cluster.ask(`${name}.default.svc`)).to.equal("10.96.5.5");
      expect(await cluster.ask("5.5.96.10.in-addr.arpa.", "PTR")).to.equal(`${name}.default.svc.cluster.local.`);
      expect(cluster.metric(SKIPPED)).to.equal(0);
    });
  }

  it("a Namespace and a Service called svc hide nothing of each other", async () => {
    await using cluster = await followCluster({ objects: [...OBJECTS, service("svc", "10.96.6.6", { namespace: "svc" })] });
    expect([await cluster.ask("svc.svc.svc"), await cluster.ask("svc.svc"), await cluster.ask("svc")]).to.deep.equal([
      "10.96.6.6",
      "NODATA",
      "NODATA",
    ]);
  });

  const wrongServices: Readonly<Record<string, object>> = {
    "a port's name that is none": { ...spec, ports: [{ name: "_x.y", port: 80 }] },
    "a port of 0": { ...spec, ports: [{ name: "http", port: 0 }] },
    "a port of 65536": { ...spec, ports: [{ name: "http", port: 65_536 }] },
    "a port that is text": { ...spec, ports: [{ name: "http", port: "80" }] },
    "ports that are no list": { ...spec, ports: { http: 80 } },
    "a protocol of its own": { ...spec, ports: [{ name: "http", port: 80, protocol: "QUIC" }] },
    "a type of its own": { ...spec, type: "Mesh" },
    "two addresses of a family": { ...spec, clusterIPs: ["10.96.5.5", "10.96.5.6"] },
    "an address with zeros in front": { ...spec, clusterIP: "010.096.5.5", clusterIPs: ["010.096.5.5"] },
  };
  for (const [what, fields] of Object.entries(wrongServices)) {
    it(`a Service with ${what}`, async () => {
      await using cluster = await followCluster({ objects: OBJECTS });
      await poisoned(cluster, { resource: "services", fields: { spec: fields } });
      expect(cluster.metric(SKIPPED, "services")).to.equal(1);
      expect(await cluster.ask("bad.default.svc")).to.equal("NXDOMAIN");
    });
  }

  const labels = { labels: { "kubernetes.io/service-name": "db" } };
  const wrongSlices: Readonly<Record<string, object>> = {
    "an address that is none": { addressType: "IPv4", endpoints: [{ addresses: ["10.244.0.999"] }] },
    "an address of the other family": { addressType: "IPv4", endpoints: [{ addresses: ["fd00::1"] }] },
    "endpoints that are no list": { addressType: "IPv4", endpoints: { addresses: ["10.244.0.7"] } },
    "an endpoint that is null": { addressType: "IPv4", endpoints: [null] },
    "a family of its own": { addressType: "IPv5", endpoints: [] },
  };
  for (const [what, fields] of Object.entries(wrongSlices)) {
    it(`an EndpointSlice with ${what}`, async () => {
      await using cluster = await followCluster({ objects: OBJECTS });
      await poisoned(cluster, { resource: "endpointslices", metadata: labels, fields });
      expect(cluster.metric(SKIPPED, "endpointslices")).to.equal(1);
    });
  }
});

describe("C-R3: no answer holds what is no domain name", () => {
  for (const hostname of ["x".repeat(64), "a.b", "UPPER", "-x", "*", "a b", ""]) {
    it(`an endpoint's hostname ${JSON.stringify(hostname.slice(0, 10))}`, async () => {
      await using cluster = await followCluster({ objects: OBJECTS });
      cluster.api.apply({
        ...slice("db-1", "db", []),
        endpoints: [{ addresses: ["10.244.0.1"], conditions: { ready: true }, hostname }],
      });
      await cluster.pass(500);
      // Left out, or called after its address: never by that name.
      const pointer = await cluster.ask("1.0.244.10.in-addr.arpa.", "PTR");
      expect(pointer).to.be.oneOf(["NXDOMAIN", "10-244-0-1.db.default.svc.cluster.local."]);
      expect(await cluster.ask("_http._tcp.db.default.svc", "SRV")).to.be.oneOf([
        "NXDOMAIN",
        "0 100 80 10-244-0-1.db.default.svc.cluster.local.",
      ]);
    });
  }

  it("an IPv4-mapped IPv6 address is no other's A record", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    cluster.api.apply({ ...service("mapped", "::ffff:10.96.0.10") });
    await cluster.pass(500);
    expect(await cluster.ask("mapped.default.svc", "A")).to.be.oneOf(["NXDOMAIN", "NODATA"]);
    expect(await cluster.ask("10.0.96.10.in-addr.arpa.", "PTR")).to.equal("web.default.svc.cluster.local.");
  });

  it("clusterIPs: None is headless, none is not there yet, one that another has gives both names", async () => {
    await using cluster = await followCluster({ objects: OBJECTS });
    cluster.api.apply({ kind: "Service", metadata: { name: "pending" }, spec: { clusterIP: "", clusterIPs: [], ports: [{ port: 80 }] } });
    cluster.api.apply(service("twin", "10.96.0.10"));
    await cluster.within(1000, "both", async () => (await cluster.ask("twin.default.svc")) === "10.96.0.10");
    expect(await cluster.ask("pending.default.svc")).to.be.oneOf(["NODATA", "NXDOMAIN"]);
    expect(await cluster.ask("10.0.96.10.in-addr.arpa.", "PTR")).to.equal("twin.default.svc.cluster.local. web.default.svc.cluster.local.");
  });
});

describe("C-R4: names that Services are called after", () => {
  const names: Readonly<Record<string, string>> = {
    "foo..bar": "NXDOMAIN",
    "*.x": "NXDOMAIN",
    [`${"x".repeat(63)}.`.repeat(5)]: "NXDOMAIN",
    "192.0.2.7": "NXDOMAIN",
    "": "NXDOMAIN",
    "www.example.com.": "www.example.com.",
    "WWW.example.com": "www.example.com.",
    "ext.default.svc.cluster.local": "ext.default.svc.cluster.local.",
  };
  for (const [externalName, answer] of Object.entries(names)) {
    it(`${externalName.slice(0, 40) || "none"} gives ${answer}`, async () => {
      await using cluster = await followCluster({ objects: OBJECTS });
      cluster.api.apply({ kind: "Service", metadata: { name: "ext" }, spec: { type: "ExternalName", externalName } });
      await cluster.pass(500);
      const asked = await cluster.ask("ext.default.svc");
      expect(asked.replace(/ !\d+$/, "")).to.equal(answer);
      expect(await cluster.ask("web.default.svc")).to.equal("10.96.0.10");
    });
  }
});
