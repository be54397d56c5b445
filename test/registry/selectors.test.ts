// Pods of workloads, and Pods of a Service as slices.

import { expect } from "chai";
import type { ManifestPod } from "../../src/registry/manifest-objects.ts";
import { mirrorEndpoints, type PlacedPod, podsOf, selects, slicesOf } from "../../src/registry/selectors.ts";
import { endpointsManifest, podManifest, serviceManifest, workloadManifest } from "../helpers/manifests.ts";

const placed = (fields: Partial<ManifestPod>, ...addresses: string[]): PlacedPod => ({ pod: podManifest(fields), addresses });

describe("selectors", () => {
  for (const [selector, labels, want] of [
    [{ a: "1" }, { a: "1", b: "2" }, true],
    [{ a: "1", b: "2" }, { a: "1" }, false],
    [{}, { a: "1" }, false],
    [{ toString: "x" }, {}, false],
  ] as const) {
    it(`${JSON.stringify(selector)} ${want ? "selects" : "does not select"} ${JSON.stringify(labels)}`, () =>
      expect(selects(selector, labels)).to.equal(want));
  }
});

describe("Pods of workloads", () => {
  it("a StatefulSet's are numbered, and named in its Service", () => {
    const pods = podsOf(workloadManifest({ kind: "StatefulSet", name: "db", replicas: 2, start: 3, serviceName: "db-headless" }));
    expect(pods.map(({ name, hostname, subdomain }) => ({ name, hostname, subdomain }))).to.deep.equal([
      { name: "db-3", hostname: "db-3", subdomain: "db-headless" },
      { name: "db-4", hostname: "db-4", subdomain: "db-headless" },
    ]);
  });
  it("a Deployment's have the same names every time, and as many more as it grows", () => {
    const names = (replicas: number): string[] => podsOf(workloadManifest({ replicas })).map(({ name }) => name);
    expect(names(3)).to.deep.equal(names(5).slice(0, 3));
    expect(names(3)[0]).to.match(/^web-[a-z0-9]{5}-[a-z0-9]{5}$/);
    expect(new Set(names(10_000)).size).to.equal(10_000);
    expect(names(0)).to.deep.equal([]);
  });
});

describe("slices of a Service", () => {
  const service = serviceManifest({ selector: { app: "web" }, ports: [{ name: "http", protocol: "TCP", port: 80, targetPort: "web" }] });
  const port = (number: number): Pick<ManifestPod, "ports"> => ({ ports: [{ name: "web", protocol: "TCP", port: number }] });

  it("a named targetPort is each Pod's own port; Pods that differ are in different slices", () => {
    const slices = slicesOf(
      service,
      [
        placed({ name: "a", ...port(8080) }, "10.1.0.1"),
        placed({ name: "b", ...port(9090) }, "10.1.0.2"),
        placed({ name: "c" }, "10.1.0.3"),
      ],
      ["IPv4"],
    );
    expect(slices.map(({ ports, endpoints }) => [ports[0]?.port, endpoints[0]?.addresses[0]])).to.deep.equal([
      [8080, "10.1.0.1"],
      [9090, "10.1.0.2"],
      [undefined, "10.1.0.3"],
    ]);
  });
  it("a hostname counts only where the subdomain is the Service's name", () => {
    const [slice] = slicesOf(
      service,
      [placed({ hostname: "a", subdomain: "web" }, "10.1.0.1"), placed({ hostname: "b", subdomain: "other" }, "10.1.0.2")],
      ["IPv4"],
    );
    expect(slice?.endpoints.map(({ hostname }) => hostname)).to.deep.equal(["a", undefined]);
  });
  it("Pods that are done, or without an address of the family, are left out", () => {
    expect(slicesOf(service, [placed({ gone: true }, "10.1.0.1"), placed({}), placed({}, "fd00::1")], ["IPv4"])).to.deep.equal([]);
  });
  it("Pods that are not ready are listed, and published if the Service wants them", () => {
    const ready = (publishNotReadyAddresses: boolean): boolean | undefined =>
      slicesOf({ ...service, publishNotReadyAddresses }, [placed({ ready: false }, "10.1.0.1")], ["IPv4"])[0]?.endpoints[0]?.ready;
    expect([ready(false), ready(true)]).to.deep.equal([false, true]);
  });
  it("a slice holds 100 endpoints of one family", () => {
    const pods = Array.from({ length: 101 }, (_, at) => placed({ name: `p${at}` }, `10.1.0.${at}`, `fd00::${at + 1}`));
    const slices = slicesOf(service, pods, ["IPv4", "IPv6"]);
    expect(slices.map(({ addressType, endpoints }) => `${addressType} ${endpoints.length}`)).to.deep.equal([
      "IPv4 100",
      "IPv4 1",
      "IPv6 100",
      "IPv6 1",
    ]);
    expect(new Set(slices.map(({ name }) => name)).size).to.equal(4);
  });
  it("legacy Endpoints are mirrored by family", () => {
    const subsets = [
      {
        ports: [{ name: "", protocol: "TCP" as const, port: 80 }],
        endpoints: ["10.1.0.1", "fd00::1"].map((address) => ({ addresses: [address], ready: address !== "fd00::1" })),
      },
    ];
    const slices = mirrorEndpoints(serviceManifest({}), endpointsManifest({ subsets }));
    expect(slices.map(({ addressType, endpoints }) => [addressType, endpoints[0]?.ready])).to.deep.equal([
      ["IPv4", true],
      ["IPv6", false],
    ]);
  });
});
