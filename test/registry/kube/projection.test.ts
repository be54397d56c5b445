// What of the API server's objects is kept, and which are left out: rules in tables.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import {
  creationTimeOf,
  identify,
  isSelected,
  projectNamespace,
  projectPod,
  projectService,
  projectSlice,
  triggerTimeOf,
  Unfit,
  versionOf,
  type Project,
} from "../../../src/registry/kube/projection.ts";
import { readDocuments, readList } from "../../../src/registry/kube/stream.ts";
import { rawNamespace, rawService, rawSlice } from "./stub-client.ts";

type Raw = Readonly<Record<string, unknown>>;

const service = rawService("web", 7);
const slice = rawSlice("web-1", 7, ["10.1.0.1"]);
const namespace = rawNamespace("default", 7);
const pod: Raw = {
  metadata: { name: "web-0", namespace: "default", resourceVersion: "7" },
  status: { phase: "Running", podIP: "10.1.0.1", podIPs: [{ ip: "10.1.0.1" }, { ip: "2001:DB8::1" }] },
};
const ofService = (spec: Raw): Raw => ({ ...service, spec: { ...(service["spec"] as Raw), ...spec } });
const ofMetadata = (raw: Raw, metadata: Raw): Raw => ({ ...raw, metadata: { ...(raw["metadata"] as Raw), ...metadata } });
const ofEndpoint = (endpoint: Raw): Raw => ({ ...slice, endpoints: [{ addresses: ["10.1.0.1"], ...endpoint }] });

describe("registry/kube: what is kept of a Service", () => {
  it("is what the registry's objects have, and nothing else", () => {
    const raw = ofMetadata(ofService({ selector: { app: "web" }, sessionAffinity: "None" }), {
      labels: { app: "web" },
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" },
      managedFields: [{}],
    });
    expect(projectService(raw)).to.deep.equal({
      kind: "Service",
      namespace: "default",
      name: "web",
      type: "ClusterIP",
      clusterIPs: ["10.0.0.1"],
      headless: false,
      ports: [{ name: "http", protocol: "TCP", port: 80 }],
      externalName: "",
      publishNotReadyAddresses: false,
      labels: { app: "web" },
    });
  });

  const kept: readonly { what: string; raw: Raw; gives: Raw }[] = [
    { what: "addresses in canonical text", raw: ofService({ clusterIPs: ["2001:DB8:0:0::1"] }), gives: { clusterIPs: ["2001:db8::1"] } },
    { what: "clusterIP where clusterIPs are missing", raw: ofService({ clusterIPs: undefined }), gives: { clusterIPs: ["10.0.0.1"] } },
    { what: "None as headless", raw: ofService({ clusterIP: "None", clusterIPs: ["None"] }), gives: { headless: true, clusterIPs: [] } },
    { what: "an address not allocated yet as none", raw: ofService({ clusterIP: "", clusterIPs: null }), gives: { clusterIPs: [] } },
    { what: "ports that are null as none (C110)", raw: ofService({ ports: null }), gives: { ports: [] } },
    {
      what: "TCP and no name as a port's defaults",
      raw: ofService({ ports: [{ port: 1 }] }),
      gives: { ports: [{ name: "", protocol: "TCP", port: 1 }] },
    },
    {
      what: "an ExternalName lower-cased and without its last dot",
      raw: ofService({ type: "ExternalName", clusterIP: "", clusterIPs: undefined, externalName: "WWW.example.org." }),
      gives: { type: "ExternalName", externalName: "www.example.org", headless: false },
    },
    { what: "publishNotReadyAddresses", raw: ofService({ publishNotReadyAddresses: true }), gives: { publishNotReadyAddresses: true } },
    {
      what: "the old annotation for it",
      raw: ofMetadata(service, { annotations: { "service.alpha.kubernetes.io/tolerate-unready-endpoints": "true" } }),
      gives: { publishNotReadyAddresses: true },
    },
    {
      what: "external addresses and names",
      raw: {
        ...ofService({ externalIPs: ["192.0.2.1"] }),
        status: { loadBalancer: { ingress: [{ ip: "192.0.2.2" }, { hostname: "lb.example.org" }] } },
      },
      gives: { external: ["192.0.2.1", "192.0.2.2", "lb.example.org"] },
    },
    { what: "unknown fields as nothing (C110)", raw: { ...ofService({ future: [{}] }), later: 1 }, gives: { name: "web" } },
  ];
  for (const { what, raw, gives } of kept) {
    it(`has ${what}`, () =>
      expect(projectService(raw))
        .to.include.deep.keys(...Object.keys(gives))
        .and.to.deep.include(gives));
  }
});

describe("registry/kube: what is kept of an EndpointSlice", () => {
  it("is its Service, addresses, ports, and of each endpoint what has a name", () => {
    const endpoint = {
      addresses: ["10.1.0.2"],
      conditions: { ready: false, serving: true },
      hostname: "db-0",
      nodeName: "node-1",
      targetRef: { kind: "Pod", name: "db-0.x", uid: "…" },
      zone: "eu-1a",
    };
    expect(projectSlice({ ...slice, endpoints: [{ addresses: ["10.1.0.1"] }, endpoint] })).to.deep.equal({
      kind: "EndpointSlice",
      namespace: "default",
      name: "web-1",
      service: "web",
      addressType: "IPv4",
      endpoints: [
        { addresses: ["10.1.0.1"], ready: true },
        { addresses: ["10.1.0.2"], ready: false, hostname: "db-0", podName: "db-0.x", zone: "eu-1a" },
      ],
      ports: [{ name: "http", protocol: "TCP", port: 80 }],
    });
  });

  it("has nothing of a slice without a Service, or with names for addresses", () => {
    expect(projectSlice(ofMetadata(slice, { labels: {} }))).to.equal(undefined);
    expect(projectSlice(ofMetadata(slice, { labels: null }))).to.equal(undefined);
    expect(projectSlice({ ...slice, addressType: "FQDN", endpoints: [{ addresses: ["www.example.org"] }] })).to.equal(undefined);
  });

  const kept: readonly { what: string; raw: Raw; gives: Raw }[] = [
    {
      what: "endpoints and ports that are null as none (C110)",
      raw: { ...slice, endpoints: null, ports: null },
      gives: { endpoints: [], ports: [] },
    },
    {
      what: "no readiness as ready",
      raw: ofEndpoint({ conditions: {} }),
      gives: { endpoints: [{ addresses: ["10.1.0.1"], ready: true }] },
    },
    {
      what: "readiness null as ready",
      raw: ofEndpoint({ conditions: { ready: null } }),
      gives: { endpoints: [{ addresses: ["10.1.0.1"], ready: true }] },
    },
    {
      what: "a target that is no Pod as none",
      raw: ofEndpoint({ targetRef: { kind: "Node", name: "n" } }),
      gives: { endpoints: [{ addresses: ["10.1.0.1"], ready: true }] },
    },
    {
      what: "a port without a number as any",
      raw: { ...slice, ports: [{ name: "a", port: null }] },
      gives: { ports: [{ name: "a", protocol: "TCP" }] },
    },
  ];
  for (const { what, raw, gives } of kept) it(`has ${what}`, () => expect({ ...projectSlice(raw) }).to.deep.include(gives));

  it("slices with equal ports share one list of them", () => {
    expect(projectSlice(rawSlice("a-1", 1, ["10.1.0.1"], "a"))?.ports).to.equal(projectSlice(rawSlice("b-1", 2, ["10.1.0.2"], "b"))?.ports);
  });
});

describe("registry/kube: what is kept of Pods and Namespaces", () => {
  it("is a Pod's addresses, canonical, and none of one that has finished", () => {
    expect(projectPod(pod)).to.deep.equal({ kind: "Pod", namespace: "default", name: "web-0", addresses: ["10.1.0.1", "2001:db8::1"] });
    for (const phase of ["Succeeded", "Failed"])
      expect(projectPod({ ...pod, status: { ...(pod["status"] as Raw), phase } }).addresses).to.deep.equal([]);
    expect(projectPod({ ...pod, status: { phase: "Pending" } }).addresses).to.deep.equal([]);
    expect(projectPod({ ...pod, status: { podIP: "10.1.0.1" } }).addresses).to.deep.equal(["10.1.0.1"]);
  });

  it("is a Namespace's labels", () => {
    expect(projectNamespace(namespace)).to.deep.equal({
      kind: "Namespace",
      name: "default",
      labels: { "kubernetes.io/metadata.name": "default" },
    });
  });
});

describe("registry/kube: an object that is wrong is left out, and it is said why (C110, registry poison)", () => {
  const wrong: readonly [what: string, project: Project, raw: Raw, why: string][] = [
    ["no metadata", projectService, { spec: {} }, "metadata: Required value"],
    ["metadata null", projectSlice, { ...slice, metadata: null }, "metadata: Required value"],
    ["a Service with spec null", projectService, { ...service, spec: null }, "spec: Required value"],
    ["a spec that is a list", projectService, { ...service, spec: [] }, "spec: Invalid value"],
    ["a clusterIP that is none", projectService, ofService({ clusterIPs: ["10.0.0.256"] }), "spec.clusterIPs[0]: Invalid value"],
    ["an IPv4-mapped clusterIP", projectService, ofService({ clusterIPs: ["::ffff:10.0.0.1"] }), "spec.clusterIPs[0]"],
    [
      "the same clusterIP twice",
      projectService,
      ofService({ clusterIPs: ["10.0.0.1", "10.0.0.1"] }),
      "no more than one IP for each IP family",
    ],
    ["a port out of range", projectService, ofService({ ports: [{ port: 65536 }] }), "spec.ports[0].port"],
    ["a port that is text", projectService, ofService({ ports: [{ port: "80" }] }), "spec.ports[0].port"],
    ["ports that are no list", projectService, ofService({ ports: {} }), "spec.ports"],
    ["an unknown protocol", projectService, ofService({ ports: [{ port: 80, protocol: "QUIC" }] }), "spec.ports[0].protocol"],
    ["an unknown type", projectService, ofService({ type: "Other" }), "spec.type"],
    [
      "ExternalName with an empty label",
      projectService,
      ofService({ type: "ExternalName", externalName: "foo..bar" }),
      "spec.externalName",
    ],
    ["ExternalName *.x", projectService, ofService({ type: "ExternalName", externalName: "*.x" }), "spec.externalName"],
    [
      "ExternalName of 300 characters",
      projectService,
      ofService({ type: "ExternalName", externalName: "a.".repeat(150) }),
      "253 characters",
    ],
    ["an endpoint's address of another family", projectSlice, ofEndpoint({ addresses: ["2001:db8::1"] }), "endpoints[0].addresses"],
    ["an endpoint's address that is none", projectSlice, ofEndpoint({ addresses: ["web"] }), "endpoints[0].addresses"],
    ["an endpoint that is null", projectSlice, { ...slice, endpoints: [null] }, "endpoints[0]"],
    ["a hostname of 64 characters", projectSlice, ofEndpoint({ hostname: "a".repeat(64) }), "63 characters"],
    ["a slice without addressType", projectSlice, { ...slice, addressType: undefined }, "addressType: Required value"],
    ["a slice of a Service that can't be", projectSlice, rawSlice("x", 1, [], "a.b"), "metadata.labels[kubernetes.io/service-name]"],
    ["a Pod's address that is none", projectPod, { ...pod, status: { podIPs: [{ ip: "x" }] } }, "status.podIPs"],
    ["labels that are text", projectNamespace, ofMetadata(namespace, { labels: "a=b" }), "metadata.labels"],
    ["a label that is a number", projectNamespace, ofMetadata(namespace, { labels: { a: 1 } }), "metadata.labels.a"],
  ];
  for (const [what, project, raw, why] of wrong) it(what, () => expect(() => project(raw)).to.throw(Unfit, why));

  const names = ["a.b", "A", "-x", "x-", "a".repeat(64), "😀", "..", "*", "_x", "a b", "a/b", "\0"];
  for (const name of names) {
    it(`a Service, or a Namespace, called ${JSON.stringify(name)}`, () => {
      expect(() => projectService(ofMetadata(service, { name }))).to.throw(Unfit, "metadata.name");
      expect(() => projectService(ofMetadata(service, { namespace: name }))).to.throw(Unfit, "metadata.namespace");
      expect(() => projectNamespace(ofMetadata(namespace, { name }))).to.throw(Unfit, "metadata.name");
    });
  }
  for (const name of ["svc", "pod", "cluster", "123", "kubernetes"]) {
    it(`but not one called ${name}`, () => expect(projectService(ofMetadata(service, { name })).name).to.equal(name));
  }
});

describe("registry/kube: what an object is called", () => {
  it("is its namespace, name and version", () => {
    expect(identify(service)).to.deep.equal({ namespace: "default", name: "web", version: 7 });
    expect(identify(namespace)).to.deep.equal({ namespace: "", name: "default", version: 7 });
  });

  for (const raw of [null, 1, [], {}, { metadata: null }, { metadata: {} }, { metadata: { name: 1 } }, { metadata: { name: "" } }])
    it(`${JSON.stringify(raw)} has no name`, () => expect(() => identify(raw)).to.throw(Unfit));

  it("versions are numbers of any size, or none", () => {
    expect(versionOf("18446744073709551615")).to.equal(2 ** 64);
    for (const none of ["", "a", "-1", "1.5", 7, null, undefined, "9".repeat(21)]) expect(versionOf(none), String(none)).to.be.NaN;
  });
});

describe("registry/kube: recordings of an API server", () => {
  const body = (name: string): string =>
    readFileSync(join(import.meta.dirname, "../../helpers/fake-api/recordings", name), "utf8").split("\r\n\r\n")[1] ?? "";

  it("its Services are read", () => {
    const found: string[] = [];
    const reader = readList((item) => found.push(projectService(item as Raw).name));
    reader.push(Buffer.from(body("services-list-page1.http")));
    reader.end();
    expect(found).to.deep.equal(["7eleven", "a"]);
    expect(reader.head()).to.include({ isList: true, resourceVersion: "520", remainingItemCount: 59 });
    expect(reader.head().continue).to.match(/^eyJ2Ijoi/);
  });

  it("its slices are read, which have neither endpoints nor ports at first", () => {
    const found: unknown[] = [];
    const reader = readDocuments((document) => {
      const { type, object } = document as { readonly type: string; readonly object: Raw };
      if (type === "BOOKMARK") return;
      expect(projectSlice(object)).to.deep.include({ service: "my-nginx", endpoints: [], ports: [] });
      expect(isSelected(object)).to.equal(true);
      expect(creationTimeOf(object)).to.equal(Date.parse("2026-11-21T02:48:38Z"));
      found.push(triggerTimeOf(object));
    });
    reader.push(Buffer.from(body("endpointslices-watch.http")));
    reader.end();
    expect(found).to.deep.equal([Date.parse("2026-11-21T02:48:38Z"), undefined, undefined]);
  });
});
