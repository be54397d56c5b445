// What a program may give to registry.apply(), and what it is told when it gives something else.

import { expect } from "chai";
import { NdotsError } from "../../src/errors.ts";
import { checkedRegistry } from "../../src/registry/checked.ts";
import type { Change } from "../../src/registry/objects.ts";
import { createRegistry } from "../../src/registry/registry.ts";
import { namespace, pod, service, slice } from "../../src/testing.ts";

const GOOD: Change = { verb: "upsert", object: service({ name: "good" }) };
const web = (fields: object): unknown => ({ verb: "upsert", object: { ...service({ name: "web" }), ...fields } });
const slices = (fields: object): unknown => ({
  verb: "upsert",
  object: { ...slice({ service: "web", endpoints: ["192.0.2.1"] }), ...fields },
});

const REFUSED: readonly (readonly [rule: string, change: unknown, message: RegExp])[] = [
  ["an array", [GOOD], /^registry\.apply: change 2: Invalid value: .*must be \{ verb, object \}; .*apply\(\.\.\.changes\)$/],
  ["nothing", undefined, /change 2: Invalid value: undefined: must be \{ verb, object \}$/],
  ["null", null, /change 2: Invalid value: null: must be/],
  ["another verb", { ...GOOD, verb: "create" }, /verb: Unsupported value: "create": supported values: "upsert", "delete"$/],
  ["a verb that is nearly one", { ...GOOD, verb: "upser" }, /verb: .*"upser": did you mean "upsert"\?/],
  ["no object", { verb: "upsert" }, /object: Required value$/],
  [
    "text for an object",
    { verb: "upsert", object: "web" },
    /object: Invalid value: "web": must be a Service, EndpointSlice, Pod, Namespace$/,
  ],
  [
    "a Kubernetes manifest",
    { verb: "upsert", object: { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec: { ports: [{ port: 80 }] } } },
    /object: is a Kubernetes manifest; must be an object of ndots .*service\(\)/,
  ],
  ["another kind", web({ kind: "Deployment" }), /kind: Unsupported value: "Deployment": supported values: "Service"/],
  [
    "a ClusterIP that is no address",
    web({ clusterIPs: ["nope"] }),
    /change 2: Service "default\/web": clusterIPs\[0\]: Invalid value: "nope": must be a valid IP/,
  ],
  ["text for ClusterIPs", web({ clusterIPs: "10.0.0.1" }), /clusterIPs: Invalid value: "10\.0\.0\.1": must be an array$/],
  ["two ClusterIPs of one family", web({ clusterIPs: ["10.0.0.1", "10.0.0.2"] }), /clusterIPs\[1\]: .*no more than one IP/],
  ["a ClusterIP and headless", web({ headless: true }), /clusterIPs: .*must be empty for a headless Service$/],
  ["no ClusterIPs at all", web({ clusterIPs: undefined }), /clusterIPs: Required value: an array, \[\] for none$/],
  ["a bad name", web({ name: "My_Web" }), /Service "default\/My_Web": name: Invalid value: "My_Web": a lowercase RFC 1123 label/],
  ["no namespace", web({ namespace: undefined }), /namespace: Required value$/],
  [
    "a port that is none",
    web({ ports: [{ name: "", protocol: "TCP", port: 80_000 }] }),
    /ports\[0\]\.port: Invalid value: 80000: must be between 1 and 65535/,
  ],
  ["a hole in the ports", web({ ports: [undefined] }), /: ports\[0\]: Required value$/m],
  ["another protocol", web({ ports: [{ name: "", protocol: "tcp", port: 80 }] }), /ports\[0\]\.protocol: .*"tcp".*"TCP", "UDP", "SCTP"$/],
  ["a label that is no text", web({ labels: { a: 1 } }), /labels\.a: Invalid value: 1: must be a string: quote it/],
  ["an ExternalName without a name", web({ type: "ExternalName", clusterIPs: [] }), /externalName: Invalid value: ""/],
  ["an external that is neither address nor name", web({ external: ["a b"] }), /external\[0\]: Invalid value: "a b"/],
  ["an address of the other family", slices({ addressType: "IPv6" }), /endpoints\[0\]\.addresses\[0\]: .*must be a valid IPv6 address/],
  ["a slice of no Service", slices({ service: "" }), /service: Invalid value: ""/],
  [
    "an endpoint's hostname",
    slices({ endpoints: [{ addresses: ["192.0.2.1"], ready: true, hostname: "a.b" }] }),
    /endpoints\[0\]\.hostname: /,
  ],
  ["ready in words", slices({ endpoints: [{ addresses: ["192.0.2.1"], ready: "yes" }] }), /endpoints\[0\]\.ready: .*must be true or false/],
  ["a Pod's address", { verb: "upsert", object: pod({ name: "p", addresses: ["192.0.2.256"] }) }, /Pod "default\/p": addresses\[0\]/],
  ["a Namespace's name", { verb: "upsert", object: namespace("a.b") }, /Namespace "a\.b": name: /],
  ["a name that is no text", web({ name: Object.create(null) }), /name: Invalid value: \{…\}: must be a string$/],
  ["a delete without a name", { verb: "delete", object: { kind: "Service", namespace: "default" } }, /name: Required value$/],
];

describe("registry.apply() of the library", () => {
  for (const [rule, change, message] of REFUSED) {
    it(`refuses ${rule}, and stores nothing of the batch`, () => {
      const registry = checkedRegistry(createRegistry());
      let told = 0;
      registry.subscribe(() => told++);
      const apply = (): void => registry.apply(GOOD, change as Change);
      expect(apply).to.throw(NdotsError, message).with.property("code", "NDOTS_ERR_USAGE");
      expect([...registry.services(), ...registry.namespaces(), told]).to.deep.equal([0]);
    });
  }
  it("tells several faults at once, but not thousands", () => {
    const many = Array.from({ length: 1_000 }, () => web({ name: "-" }) as Change);
    expect(() => checkedRegistry(createRegistry()).apply(...many)).to.throw(NdotsError, /^(registry\.apply: change \d: .*\n?){5}$/);
  });
  it("stores what the helpers for tests make, as it is", () => {
    const objects = [
      service({ name: "web", ports: [{ name: "http", port: 80, targetPort: "http" }], external: ["192.0.2.9", "lb.example.org"] }),
      service({ name: "none", headless: true }),
      service({ name: "out", type: "ExternalName", externalName: "example.org" }),
      slice({
        service: "web",
        endpoints: ["192.0.2.1", { addresses: ["192.0.2.2"], hostname: "a", podName: "p.q", zone: "z" }],
        ports: [{}],
      }),
      pod({ name: "p", addresses: [] }),
      namespace("default", { team: "a" }),
    ];
    const stored: unknown[] = [];
    const registry = checkedRegistry(createRegistry());
    registry.subscribe((changes) => stored.push(...changes.map(({ object }) => object)));
    registry.apply(...objects.map((object): Change => ({ verb: "upsert", object })));
    expect(stored).to.deep.equal(objects);
  });
  it("addresses and ExternalName targets are stored in canonical text", () => {
    const registry = checkedRegistry(createRegistry());
    registry.apply(
      { verb: "upsert", object: service({ name: "web", clusterIPs: ["2001:DB8:0:0::1"] }) },
      { verb: "upsert", object: slice({ service: "web", endpoints: ["2001:db8::0:2"] }) },
      { verb: "upsert", object: service({ name: "out", type: "ExternalName", externalName: "Example.ORG." }) },
    );
    expect(registry.servicesAt("2001:db8::1")).to.have.length(1);
    expect(registry.slicesAt("2001:db8::2")).to.have.length(1);
    expect(registry.service("default", "out")?.externalName).to.equal("example.org");
  });
  it("a delete needs no more than kind, namespace, name and a slice's service", () => {
    const registry = checkedRegistry(createRegistry());
    registry.apply(GOOD, { verb: "upsert", object: slice({ service: "good", name: "s", endpoints: ["192.0.2.1"] }) });
    registry.apply({ verb: "delete", object: { kind: "EndpointSlice", namespace: "default", name: "s", service: "good" } } as Change);
    expect(registry.slices("default", "good")).to.deep.equal([]);
    registry.apply({ verb: "delete", object: { kind: "Service", namespace: "default", name: "good" } } as Change);
    expect([...registry.services()]).to.deep.equal([]);
  });
  it("10,000 Services in one batch", () => {
    const registry = checkedRegistry(createRegistry());
    const many = Array.from({ length: 10_000 }, (_, at): Change => ({ verb: "upsert", object: service({ name: `s${at}` }) }));
    registry.apply(...many);
    expect([...registry.services()]).to.have.length(10_000);
  });
});
