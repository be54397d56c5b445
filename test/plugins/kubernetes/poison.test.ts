// Manifests that no cluster should have: what is invalid is refused by file, line and rule, what is odd but valid is served,
// and its neighbours are unaffected. No answer holds a label that was not checked, wherever the objects come from;
// test/kubernetes-api/poison.test.ts has the API's.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { stringify } from "yaml";
import { formatName, labelsOf, parseName } from "../../../src/dns/name.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { startServer, type Result } from "../../../src/index.ts";
import { projectNamespace, projectService, projectSlice, type Project } from "../../../src/registry/kube/projection.ts";
import { Unfit } from "../../../src/registry/kube/raw-fields.ts";
import type { RegistryObject } from "../../../src/registry/objects.ts";
import { temporaryFolder } from "../../helpers/ndots-process.ts";
import { serving } from "./fixture.ts";

type Raw = Readonly<Record<string, unknown>>;

interface Poison {
  readonly what: string;
  readonly object: Raw;
  /** The field at fault, and a word of the rule: the object is left out. */
  readonly refused?: { readonly field: string; readonly rule: RegExp };
  /** `NAME TYPE` below cluster.local, or with a dot at its end, and what is answered: data, NODATA or the rcode. */
  readonly asks?: Readonly<Record<string, string>>;
}

const PORTS = [{ name: "http", port: 80, protocol: "TCP" }];
const LONG = "a".repeat(64);
const LABEL_RULE = /RFC 1123 label|63 characters/;
const SUBDOMAIN_RULE = /RFC 1123 subdomain|253 characters/;
const ADDRESS_RULE = /must be a valid I/;

let nextAddress = 1;
function service(name: string, spec: Raw = {}, namespace = "default"): Raw {
  const clusterIP = `10.96.1.${nextAddress++}`;
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec: { clusterIP, ports: PORTS, ...spec } };
}
function external(name: string, externalName: string): Raw {
  return service(name, { type: "ExternalName", externalName, clusterIP: undefined });
}
function slice(owner: string, endpoint: Raw, more: Raw = {}): Raw {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${owner}-1`, namespace: "default", labels: { "kubernetes.io/service-name": owner } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.244.9.1"], ...endpoint }],
    ports: PORTS,
    ...more,
  };
}
const namespaceOf = (name: string): Raw => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
const INVALID_NAMES = ["a.b", "A", "-x", "x-", LONG, "😀", "..", "*", "_x"];

const cases: readonly Poison[] = [
  ...INVALID_NAMES.flatMap((name): Poison[] => [
    { what: `a Service called ${name}`, object: service(name), refused: { field: "metadata.name", rule: LABEL_RULE } },
    { what: `a Service in ${name}`, object: service("web", {}, name), refused: { field: "metadata.namespace", rule: LABEL_RULE } },
    { what: `a Namespace called ${name}`, object: namespaceOf(name), refused: { field: "metadata.name", rule: LABEL_RULE } },
    {
      what: `an endpoint whose hostname is ${name}`,
      object: slice("headless", { hostname: name }),
      refused: { field: "endpoints[0]", rule: LABEL_RULE },
      asks: { "headless.default.svc": "10.244.0.1" },
    },
    {
      what: `a port called ${name}`,
      object: service("port", { ports: [{ name, port: 80 }] }),
      refused: { field: "spec.ports[0].name", rule: LABEL_RULE },
      asks: { "port.default.svc": "NXDOMAIN" },
    },
  ]),
  {
    what: "a Service without a name",
    object: service(""),
    refused: { field: "metadata", rule: /Required value/ },
  },
  ...["svc", "pod", "cluster", "123"].map((name): Poison => {
    const object = service(name);
    return { what: `a Service called ${name}`, object, asks: { [`${name}.default.svc`]: (object["spec"] as Raw)["clusterIP"] as string } };
  }),
  {
    what: "kubernetes in another namespace: the real one stays",
    object: service("kubernetes", { clusterIP: "10.96.2.1" }, "team"),
    asks: { "kubernetes.team.svc": "10.96.2.1", "kubernetes.default.svc": "10.96.0.1" },
  },
  {
    what: "a namespace called svc",
    object: service("web", { clusterIP: "10.96.2.2" }, "svc"),
    asks: { "web.svc.svc": "10.96.2.2", "web.default.svc": "10.96.0.2", "svc.svc": "NODATA", "web.svc": "NXDOMAIN" },
  },
  {
    what: "ExternalName foo..bar",
    object: external("empty-label", "foo..bar"),
    refused: { field: "spec.externalName", rule: SUBDOMAIN_RULE },
    asks: { "empty-label.default.svc CNAME": "NXDOMAIN" },
  },
  {
    what: "ExternalName *.x",
    object: external("star", "*.x"),
    refused: { field: "spec.externalName", rule: SUBDOMAIN_RULE },
    asks: { "star.default.svc CNAME": "NXDOMAIN" },
  },
  {
    what: "ExternalName of 300 characters",
    object: external("long", "a.".repeat(149) + "ab"),
    refused: { field: "spec.externalName", rule: SUBDOMAIN_RULE },
    asks: { "long.default.svc CNAME": "NXDOMAIN" },
  },
  {
    what: "ExternalName with a label of 64 characters, which Kubernetes takes: no name",
    object: external("long-label", `${LONG}.example.org`),
    asks: { "long-label.default.svc CNAME": "NXDOMAIN" },
  },
  { what: "ExternalName is an IPv4 address: no name", object: external("v4", "192.0.2.1"), asks: { "v4.default.svc CNAME": "NXDOMAIN" } },
  {
    what: "ExternalName with its last dot",
    object: external("dot", "www.example.org."),
    asks: { "dot.default.svc CNAME": "www.example.org." },
  },
  {
    what: "C-R4: ExternalName is its own name: one CNAME, no recursion",
    object: external("self", "self.default.svc.cluster.local"),
    asks: { "self.default.svc": "self.default.svc.cluster.local.", "self.default.svc AAAA": "self.default.svc.cluster.local." },
  },
  {
    what: "a port's name that IANA would not take, for it is long",
    object: service("ports", { clusterIP: "10.96.2.3", ports: [{ name: "a-name-of-more-than-15-letters", port: 8080 }] }),
    asks: { "_a-name-of-more-than-15-letters._tcp.ports.default.svc SRV": "0 100 8080 ports.default.svc.cluster.local." },
  },
  {
    what: "a Pod's name of more than 63 characters: its address is its label",
    object: slice("pods", { targetRef: { kind: "Pod", name: `${LONG}-0`, namespace: "default" } }),
    asks: { "pods.default.svc SRV": "0 100 80 10-244-9-1.pods.default.svc.cluster.local.", "10-244-9-1.pods.default.svc": "10.244.9.1" },
  },
  {
    what: "a clusterIP that is an IPv4-mapped IPv6 address",
    object: service("mapped", { clusterIP: "::ffff:10.96.2.4" }),
    refused: { field: "spec.clusterIP", rule: ADDRESS_RULE },
    asks: { "mapped.default.svc AAAA": "NXDOMAIN", "mapped.default.svc": "NXDOMAIN" },
  },
  {
    what: "an endpoint with an IPv4-mapped IPv6 address",
    object: slice("headless", { addresses: ["::ffff:10.244.9.1"] }, { addressType: "IPv6" }),
    refused: { field: "endpoints[0].addresses", rule: ADDRESS_RULE },
    asks: { "headless.default.svc": "10.244.0.1", "headless.default.svc AAAA": "NODATA" },
  },
  { what: "clusterIP None without endpoints", object: service("none", { clusterIP: "None" }), asks: { "none.default.svc": "NXDOMAIN" } },
  {
    what: "an empty clusterIP: one is allocated",
    object: service("unset", { clusterIP: "" }),
    asks: { "unset.default.svc AAAA": "NODATA" },
  },
  {
    what: "a clusterIP twice in a Service",
    object: service("twice", { clusterIPs: ["10.96.2.5", "10.96.2.5"], clusterIP: "10.96.2.5" }),
    refused: { field: "spec.clusterIPs", rule: /no more than one IP for each IP family/ },
    asks: { "twice.default.svc": "NXDOMAIN" },
  },
  {
    what: "a clusterIP that another Service has",
    object: service("web-2", { clusterIP: "10.96.0.2" }),
    refused: { field: "spec.clusterIPs", rule: /10\.96\.0\.2: .*already allocated \(Service default\/web has it\)/ },
    asks: { "web.default.svc": "10.96.0.2" },
  },
];

const SOUND: readonly Raw[] = [
  { ...service("kubernetes"), spec: { clusterIP: "10.96.0.1", ports: PORTS } },
  { ...service("web"), spec: { clusterIP: "10.96.0.2", ports: PORTS } },
  service("headless", { clusterIP: "None" }),
  service("pods", { clusterIP: "None" }),
  { ...slice("headless", { addresses: ["10.244.0.1"] }), metadata: { ...(slice("headless", {})["metadata"] as Raw), name: "headless-0" } },
  ...["default", "team", "svc"].map(namespaceOf),
];
const SOUND_ANSWERS = { "kubernetes.default.svc": "10.96.0.1", "web.default.svc": "10.96.0.2", "headless.default.svc": "10.244.0.1" };

describe("registry poison: manifests", () => {
  for (const { what, object, refused, asks = {} } of cases) {
    it(`C-R1 ${what}${refused === undefined ? "" : ": refused by file, line and rule"}`, async () => {
      using folder = temporaryFolder({ "a-sound.yaml": SOUND.map((each) => stringify(each)).join("---\n") });
      writeFileSync(join(folder.path, "b-poison.yaml"), `# a line of its own\n${stringify(object)}`);
      const corefile = ". {\nkubernetes cluster.local {\nmanifests .\nendpoint_pod_names\nreasons off\n}\n}\n";
      const dns = await startServer({ corefile, file: join(folder.path, "Corefile") });
      try {
        const found = dns.findings.map(({ file, line, message }) => `${file.replace(/.*\//, "")}:${line}: ${message}`);
        if (refused === undefined) expect(found).to.deep.equal([]);
        else {
          expect(found, found.join("\n")).to.have.length(1);
          const [, field = "", rule = ""] = /^b-poison\.yaml:\d+: (?:Service "[^"]+": )?([\w.[\]]+): (.*)$/s.exec(found[0] ?? "") ?? [];
          expect(field, found[0]).to.include(refused.field);
          expect(rule).to.match(refused.rule);
          expect(dns.findings[0]?.line).to.be.above(1);
        }
        for (const [ask, gives] of Object.entries({ ...SOUND_ANSWERS, ...asks })) {
          const [name = "", type = "A"] = ask.split(" ");
          expect(told(await dns.query(`${name}.cluster.local.`, type)), ask).to.equal(gives);
        }
      } finally {
        await dns.close();
      }
    });
  }
});

function told({ rcode, answer, addresses }: Result): string {
  if (rcode !== "NOERROR") return rcode;
  const data = addresses.length > 0 ? addresses : answer.map((record) => record.split(" ").slice(4).join(" "));
  return data.length === 0 ? "NODATA" : data.toSorted().join(" ");
}

describe("registry poison: what is answered", () => {
  const SPECIAL = [
    "svc",
    "pod",
    "dns",
    "ns",
    "cluster",
    "local",
    "web",
    "a.b",
    "*",
    "_tcp",
    "",
    "..",
    LONG,
    "A",
    "ä",
    "\0",
    "x".repeat(300),
  ];
  const text = fc.oneof(fc.constantFrom(...SPECIAL), fc.string({ unit: "binary", maxLength: 70 }), fc.stringMatching(/^[a-z0-9-]{1,8}$/));
  const address = fc.oneof(fc.constantFrom("10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "None", "", "10.0.0.256"), text);
  const metadata = fc.record({ name: text, namespace: text, resourceVersion: fc.constant("1") });
  const port = fc.record({ name: text, port: fc.constantFrom(80, 0, 65536), protocol: fc.constantFrom("TCP", "UDP", "x") });
  const services = fc.record({
    metadata,
    spec: fc.record({
      clusterIP: address,
      ports: fc.array(port, { maxLength: 2 }),
      type: fc.constantFrom("ClusterIP", "ExternalName"),
      externalName: text,
    }),
  });
  const slices = fc.record({
    metadata: fc.record({ name: text, namespace: text, labels: fc.record({ "kubernetes.io/service-name": text }) }),
    addressType: fc.constantFrom("IPv4", "IPv6", "FQDN"),
    endpoints: fc.array(
      fc.record({
        addresses: fc.array(address, { maxLength: 2 }),
        hostname: text,
        targetRef: fc.record({ kind: fc.constant("Pod"), name: text }),
      }),
      { maxLength: 3 },
    ),
    ports: fc.array(port, { maxLength: 2 }),
  });

  it("C-R3 holds no label that was not checked, whatever the objects say (property)", async () => {
    const valid = /^_?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
    let kept = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(services, { maxLength: 4 }), fc.array(slices, { maxLength: 4 }), async (someServices, someSlices) => {
        const sameNamespace = someSlices.map((raw, index) => ({
          ...raw,
          metadata: {
            ...raw.metadata,
            namespace: someServices[index]?.metadata.namespace ?? "",
            labels: { "kubernetes.io/service-name": someServices[index]?.metadata.name ?? "" },
          },
        }));
        const objects = [
          ...someServices.flatMap((raw) => projected(projectService, raw)),
          ...someServices.flatMap((raw) => projected(projectNamespace, { metadata: { name: raw.metadata.namespace } })),
          ...[...someSlices, ...sameNamespace].flatMap((raw) => projected(projectSlice as Project, raw)),
        ];
        kept += objects.length;
        const { instance } = await serving("kubernetes cluster.local 10.0.0.0/8 {\nendpoint_pod_names\n}", objects);
        for (const zone of instance.zones ?? []) {
          for (const name of zone.names()) {
            for (const label of labelsOf(name)) expect(label, formatName(name)).to.match(valid);
            for (const rrset of zone.node(name)?.rrsets ?? []) {
              for (const rdata of rrset.rdata) {
                const target = formatRecord(rrset, rdata).split(" ").at(-1) ?? "";
                if (!/^[^:]*[a-z_][^:]*\.$/.test(target)) continue; // an address, or a number
                for (const label of labelsOf(parseName(target))) expect(label, target).to.match(valid);
              }
            }
          }
        }
      }),
      { numRuns: 300 },
    );
    expect(kept, "objects that were served").to.be.above(100);
  });

  function projected(project: Project, raw: Raw): RegistryObject[] {
    try {
      const object = project(raw);
      return object === undefined ? [] : [object as RegistryObject];
    } catch (error) {
      if (error instanceof Unfit) return [];
      throw error;
    }
  }
});
