// What a manifest's text becomes, and how its faults are worded: tables of YAML and findings.

import { expect } from "chai";
import { formatFinding } from "../../src/errors.ts";
import type { Manifest, ManifestPod, ManifestService, ManifestWorkload } from "../../src/registry/manifest-objects.ts";
import { type ParsedManifests, parseManifests } from "../../src/registry/manifest-projection.ts";

function parse(text: string): ParsedManifests {
  return parseManifests({ file: "a.yaml", text, namespace: "default" }, (word) => word);
}

function faultsOf(text: string): string[] {
  return parse(text).findings.map(formatFinding);
}

function only<T extends Manifest>(text: string): T {
  const { objects, findings } = parse(text);
  expect(findings).to.deep.equal([]);
  expect(objects).to.have.length(1);
  return objects[0] as T;
}

const service = (spec: string, metadata = "name: web"): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {${metadata}}\nspec: {${spec}}\n`;
const pod = (spec: string, rest = ""): string => `apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {${spec}}\n${rest}`;
const slice = (rest: string): string =>
  `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n${rest}`;
const RULE_1123 =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an " +
  "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

describe("manifest faults", () => {
  const table: readonly { readonly rule: string; readonly text: string; readonly gives: readonly (string | RegExp)[] }[] = [
    {
      rule: "a port is a number from 1 to 65535",
      text: service("ports: [{port: 0}]"),
      gives: ["a.yaml:4:23: spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
    },
    {
      rule: "a port in words is no port",
      text: service('ports: [{port: "80"}]'),
      gives: [/spec\.ports\[0\]\.port: Invalid value: "80": must be a number$/],
    },
    { rule: "a name is required", text: service("ports: [{port: 1}]", ""), gives: ["a.yaml:3:1: metadata.name: Required value"] },
    {
      rule: "metadata is required",
      text: "apiVersion: v1\nkind: Service\nspec: {clusterIP: None}",
      gives: ["a.yaml:1:1: metadata.name: Required value"],
    },
    {
      rule: "a protocol is in capitals",
      text: service("ports: [{port: 1, protocol: tcp}]"),
      gives: [/spec\.ports\[0\]\.protocol: Unsupported value: "tcp": supported values: "TCP", "UDP", "SCTP"$/],
    },
    { rule: "ports are required", text: service(""), gives: ["a.yaml:4:1: spec.ports: Required value"] },
    {
      rule: "several ports need names",
      text: service("ports: [{port: 1}, {port: 2, name: b}]"),
      gives: [/spec\.ports\[0\]\.name: Required value$/],
    },
    {
      rule: "ports differ in name and in number",
      text: service("ports: [{port: 1, name: a}, {port: 1, name: a}]"),
      gives: [/spec\.ports\[1\]\.name: Duplicate value: "a"$/, /spec\.ports\[1\]: Duplicate value: \{"port":1,"protocol":"TCP"\}$/],
    },
    {
      rule: "a targetPort in words is a port name",
      text: service("ports: [{port: 1, targetPort: a--b}]"),
      gives: [/must not contain consecutive hyphens$/],
    },
    {
      rule: "a selector's values are text",
      text: service("ports: [{port: 1}], selector: {v: 1}"),
      gives: [/spec\.selector\.v: Invalid value: 1: must be a string: quote it \("1"\)$/],
    },
    {
      rule: "an address is an address",
      text: service("ports: [{port: 1}], clusterIP: 10.0.0.256"),
      gives: [/spec\.clusterIP: Invalid value: "10\.0\.0\.256": must be a valid IP address, \(e\.g\. 10\.9\.8\.7 or 2001:db8::ffff\)$/],
    },
    {
      rule: "an IPv4-mapped address is refused",
      text: service('ports: [{port: 1}], clusterIP: "::ffff:10.0.0.1"'),
      gives: [/spec\.clusterIP: Invalid value/],
    },
    {
      rule: "one address of a family",
      text: service("ports: [{port: 1}], clusterIPs: [10.0.0.1, 10.0.0.2]"),
      gives: [/spec\.clusterIPs\[1\]: .*no more than one IP for each IP family$/],
    },
    {
      rule: "SingleStack has one family",
      text: service("ports: [{port: 1}], ipFamilyPolicy: SingleStack, ipFamilies: [IPv4, IPv6]"),
      gives: [
        /spec\.ipFamilyPolicy: Invalid value: "SingleStack": must be RequireDualStack or PreferDualStack when multiple 'ipFamilies' are specified$/,
      ],
    },
    { rule: "an ExternalName needs its name", text: service("type: ExternalName"), gives: [/spec\.externalName: Required value$/] },
    {
      rule: "an ExternalName is a domain name",
      text: service('type: ExternalName, externalName: "foo..bar"'),
      gives: [/spec\.externalName: Invalid value: "foo\.\.bar": a lowercase RFC 1123 subdomain/],
    },
    {
      rule: "an ExternalName is no wildcard",
      text: service('type: ExternalName, externalName: "*.x"'),
      gives: [/spec\.externalName: Invalid value: "\*\.x"/],
    },
    {
      rule: "an ExternalName has at most 253 characters",
      text: service(`type: ExternalName, externalName: ${"a.".repeat(150)}b`),
      gives: [/must be no more than 253 characters$/],
    },
    {
      rule: "null is absent",
      text: "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: null",
      gives: [/spec\.ports: Required value$/],
    },
    {
      rule: "text is no object",
      text: "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: x",
      gives: [/spec: Invalid value: "x": must be an object$/, /spec\.ports: Required value$/],
    },
    {
      rule: "a list is no object",
      text: "- a",
      gives: ['a.yaml:1:1: Invalid value: ["a"]: must be an object with apiVersion, kind and metadata'],
    },
    { rule: "a kind is required", text: "apiVersion: v1", gives: ["a.yaml:1:1: kind: Required value"] },
    { rule: "an apiVersion is required", text: "kind: Service", gives: ["a.yaml:1:1: apiVersion: Required value"] },
    { rule: "a slice has a family", text: slice("endpoints: []"), gives: [/addressType: Required value$/] },
    {
      rule: "a slice's addresses are of its family",
      text: slice('addressType: IPv4\nendpoints: [{addresses: ["::1"]}]'),
      gives: [/endpoints\[0\]\.addresses\[0\]: Invalid value: "::1": must be a valid IPv4 address$/],
    },
    {
      rule: "a hostname is a label",
      text: slice(`addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], hostname: ${"a".repeat(64)}}]`),
      gives: [/endpoints\[0\]\.hostname: .*must be no more than 63 characters$/],
    },
    {
      rule: "a workload's selector matches its template",
      text: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}}}",
      gives: [/spec\.template\.metadata\.labels: Invalid value: \{"a":"c"\}: `selector` does not match template `labels`$/],
    },
    {
      rule: "a Deployment needs a selector",
      text: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {}}",
      gives: [/spec\.selector: Required value$/],
    },
    { rule: "tabs don't indent", text: "a:\n\tb: 1", gives: ["a.yaml:2:1: Tabs are not allowed as indentation"] },
    { rule: "a key stands once", text: "kind: Service\nkind: Pod", gives: ['a.yaml:2:1: mapping key "kind" is already defined'] },
    { rule: "NUL bytes are refused", text: "a: b\nc: \0", gives: ["a.yaml:2:4: control characters are not allowed, found U+0000"] },
    { rule: "C-R5: a tab is no indentation", text: `${service("ports: [{port: 1}]")}more:\n\ta: 1\n`, gives: [/^a\.yaml:6:1: .*[Tt]abs?/] },
    { rule: "C-R5: a key that is there twice", text: `${service("ports: [{port: 1}]")}kind: Service\n`, gives: [/^a\.yaml:5:1: .*kind/] },
    { rule: "C-R5: an alias of nothing", text: `${service("ports: [{port: 1}]")}more: *web\n`, gives: [/^a\.yaml:5:7: .*web/] },
    { rule: "tags are refused", text: "a: !evil b", gives: [/tags are not supported$/] },
    { rule: "a syntax error refuses the file", text: `${service("ports: [{port: 1}]")}---\na: [`, gives: [/^a\.yaml:/] },
  ];
  for (const { rule, text, gives } of table) {
    it(rule, () => {
      const faults = faultsOf(text);
      expect(faults, faults.join("\n")).to.have.length(gives.length);
      for (const [index, want] of gives.entries()) {
        if (typeof want === "string") expect(faults[index]).to.equal(want);
        else expect(faults[index]).to.match(want);
      }
      expect(parse(text).objects).to.deep.equal([]);
    });
  }

  for (const name of ["a.b", "A", "-x", "x-", "a".repeat(64), "😀", "..", "*", "_x", "ä"]) {
    it(`a Service can't be called ${name}`, () => {
      const [fault] = faultsOf(service("ports: [{port: 1}]", `name: "${name}"`));
      expect(fault).to.match(/^a\.yaml:3:18: metadata\.name: Invalid value: /);
      expect(fault).to.contain(name.length > 63 ? "must be no more than 63 characters" : RULE_1123);
    });
  }
  for (const name of ["svc", "pod", "cluster", "123", "0a", "kubernetes", "a".repeat(63), "constructor"]) {
    it(`a Service can be called ${name}`, () => expect(only(service("ports: [{port: 1}]", `name: "${name}"`)).name).to.equal(name));
  }
});

describe("manifest objects", () => {
  it("a Service keeps what DNS needs", () => {
    const web = only<ManifestService>(
      "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, labels: {app: web}}\nspec:\n  type: LoadBalancer\n  selector: {app: web}\n" +
        "  ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP, targetPort: dns}]\n  clusterIPs: [10.0.0.5, 'FD00::0:5']\n" +
        "  externalIPs: [192.0.2.1]\nstatus: {loadBalancer: {ingress: [{hostname: lb.example.org}]}}",
    );
    expect(web).to.deep.equal({
      kind: "Service",
      name: "web",
      namespace: "shop",
      at: { file: "a.yaml", line: 1, column: 1 },
      type: "LoadBalancer",
      headless: false,
      ports: [
        { name: "http", protocol: "TCP", port: 80, targetPort: 8080 },
        { name: "dns", protocol: "UDP", port: 53, targetPort: "dns" },
      ],
      selector: { app: "web" },
      clusterIPs: ["10.0.0.5", "fd00::5"],
      ipFamilies: [],
      externalName: "",
      publishNotReadyAddresses: false,
      labels: { app: "web" },
      external: ["192.0.2.1", "lb.example.org"],
    });
  });
  it("an ExternalName loses its trailing dot and its capitals", () =>
    expect(only<ManifestService>(service("type: ExternalName, externalName: WWW.Example.org.")).externalName).to.equal("www.example.org"));
  it("the old annotation publishes addresses that are not ready", () =>
    expect(
      only<ManifestService>(
        service("clusterIP: None", 'name: db, annotations: {service.alpha.kubernetes.io/tolerate-unready-endpoints: "true"}'),
      ).publishNotReadyAddresses,
    ).to.equal(true));
  it("a List, a typed list and several documents hold objects", () => {
    const item = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None}}";
    const text = `apiVersion: v1\nkind: List\nitems:\n- ${item}\n---\n---\napiVersion: v1\nkind: ServiceList\nitems:\n- {metadata: {name: b}, spec: {clusterIP: None}}\n`;
    expect(parse(text).objects.map(({ kind, name, at }) => `${kind} ${name} ${at.line}:${at.column}`)).to.deep.equal([
      "Service a 4:3",
      "Service b 10:3",
    ]);
  });
  it("JSON is read, tabs and all, and each item of a List knows its place", () => {
    const text =
      '{\n\t"apiVersion": "v1", "kind": "List", "metadata": {"items": [{}]},\n\t"items": [\n\t\t{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},\n{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "B"}}]}';
    const { objects, findings } = parse(text);
    expect(objects.map(({ name, at }) => `${name} ${at.line}:${at.column}`)).to.deep.equal(["a 4:3"]);
    expect(findings.map(formatFinding)[0]).to.match(/^a\.yaml:5:64: metadata\.name: Invalid value: "B"/);
  });
  it("other kinds and other groups are skipped with one note each", () => {
    const text = [1, 2].map((n) => `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i${n}}\n`).join("---\n");
    expect(parse(`${text}---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}`).notes).to.deep.equal([
      "a.yaml:1: skipped Ingress (networking.k8s.io/v1): DNS has no use for this kind",
      "a.yaml:9: skipped Service (serving.knative.dev/v1): DNS has no use for this kind",
    ]);
  });
  it("slices without a Service's label, or of names, are ignored with a note", () => {
    expect(parse("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4").notes[0]).to.match(
      /has no label kubernetes\.io\/service-name$/,
    );
    expect(parse(slice("addressType: FQDN\nendpoints: [{addresses: [a.example.org]}]")).notes[0]).to.match(/addressType FQDN/);
  });
  it("__proto__ is a key like any other", () => {
    const labels = only<ManifestPod>('apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {"__proto__": x, constructor: y}}').labels;
    expect(Object.entries(labels)).to.deep.equal([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    expect(({} as Record<string, unknown>)["x"]).to.equal(undefined);
    expect(only(`__proto__: {kind: Pod}\n${service("clusterIP: None")}`).kind).to.equal("Service");
  });
  for (const [status, want] of [
    ["", { addresses: undefined, ready: true, gone: false }],
    ["status: {}", { addresses: undefined, ready: true, gone: false }],
    ["status: {phase: Running, podIP: 10.1.1.1}", { addresses: ["10.1.1.1"], ready: true, gone: false }],
    [
      "status: {phase: Running, podIPs: [{ip: 10.1.1.1}, {ip: 'fd00::1'}], conditions: [{type: Ready, status: 'False'}]}",
      { addresses: ["10.1.1.1", "fd00::1"], ready: false, gone: false },
    ],
    ["status: {phase: Pending}", { addresses: [], ready: false, gone: false }],
    ["status: {phase: Succeeded, podIP: 10.1.1.1}", { addresses: ["10.1.1.1"], ready: false, gone: true }],
  ] as const) {
    it(`a Pod with ${status || "no status"}`, () => {
      const { addresses, ready, gone } = only<ManifestPod>(pod("", status));
      expect({ addresses, ready, gone }).to.deep.equal(want);
    });
  }
  it("a ReplicationController without a selector takes its template's labels", () => {
    const text =
      "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: rc}\nspec: {replicas: 2, template: {metadata: {labels: {app: x}}}}";
    expect(only<ManifestWorkload>(text)).to.include({ replicas: 2, kind: "ReplicationController" });
  });
});

describe("hostile manifests end in a finding, soon (C-R5)", () => {
  const lol = `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghij"
    .split("")
    .map((name, at) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${"abcdefghij"[at]}`).join(",")}]`)
    .join("\n")}`;
  for (const [what, text] of [
    ["a billion laughs", lol],
    ["100,000 brackets", "[".repeat(100_000)],
    ["100,000 dashes", "- ".repeat(100_000)],
    ["5,000 nested maps", "a: {".repeat(5_000)],
    ["30,000 equal keys", "k: v\n".repeat(30_000)],
    ["100,000 documents", "a: 1\n---\n".repeat(100_000)],
    [
      "merges that double",
      `a: &a {x: 1}\n${Array.from({ length: 25 }, (_, at) => `m${at}: &m${at} {<<: [*${at === 0 ? "a" : `m${at - 1}`}, *${at === 0 ? "a" : `m${at - 1}`}]}`).join("\n")}`,
    ],
  ] as const) {
    it(what, () => {
      const { objects, findings } = parse(text);
      expect(objects).to.deep.equal([]);
      expect(findings).to.not.deep.equal([]);
      expect(findings.length).to.be.at.most(100);
    });
  }
  it("an object that contains itself", () => expect(parse("apiVersion: v1\nkind: List\nitems: &i [*i]").findings).to.have.length(1));
});

describe("the YAML of the source documents", () => {
  it("a block without metadata, with marks, gives its line", () => {
    const text =
      "apiVersion: v1\nkind: Service\n  name: nginx-service (1)\n  selector: (2)\n    app: nginx\n  ports: (3)\n    - protocol: TCP\n      port: 8081 (4)\n      targetPort: 3000 (5)\n";
    expect(faultsOf(text)).to.have.length(1);
    expect(faultsOf(text)[0]).to.match(
      /^a\.yaml:3:\d+: mapping values are not allowed here: the line is indented too far, or its parent key is missing/,
    );
  });
  it("its corrected form is read", () => {
    const text =
      "apiVersion: v1\nkind: Service\nmetadata:\n  name: nginx-service\nspec:\n  selector:\n    app: nginx\n  ports:\n    - protocol: TCP\n      port: 8081\n      targetPort: 3000\n";
    expect(only<ManifestService>(text).ports).to.deep.equal([{ name: "", protocol: "TCP", port: 8081, targetPort: 3000 }]);
  });
});
