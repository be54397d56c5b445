// The source over real folders: what is loaded, and what follows from each kind of change on disk.

import { expect } from "chai";
import { mkdir, mkdtemp, readFile, rename, rm, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatFinding } from "../../src/errors.ts";
import { type LoadSummary, manifestsSource, type ManifestsOptions } from "../../src/registry/manifests.ts";
import { createRegistry, type Registry } from "../../src/registry/registry.ts";

interface Loaded extends AsyncDisposable {
  readonly folder: string;
  readonly registry: Registry;
  readonly findings: string[];
  readonly notes: string[];
  readonly summaries: LoadSummary[];
  write(name: string, text: string): Promise<void>;
  clusterIP(name: string, namespace?: string): string | undefined;
  addresses(service: string, namespace?: string): string[];
}

/** A folder with these files, loaded and watched. */
async function load(
  files: Readonly<Record<string, string>>,
  options: Partial<ManifestsOptions> = {},
  before?: (folder: string) => Promise<void>,
): Promise<Loaded> {
  const folder = await mkdtemp(join(tmpdir(), "ndots-manifests-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await before?.(folder);
  const registry = createRegistry({ sources: ["manifests"] });
  const [findings, notes, summaries]: [string[], string[], LoadSummary[]] = [[], [], []];
  const stop = new AbortController();
  const relative = (text: string): string => text.replaceAll(`${folder}/`, "");
  const source = manifestsSource({
    paths: [folder],
    namespace: "default",
    serviceCidr: ["10.0.0.0/16"],
    podCidr: ["10.244.0.0/16"],
    onFinding: (finding) => findings.push(relative(formatFinding(finding))),
    onNote: (text) => notes.push(relative(text)),
    onLoaded: (summary) => summaries.push(summary),
    ...options,
  });
  const running = source.run(registry, () => registry.markSynced("manifests"), stop.signal);
  await registry.whenSynced();
  return {
    folder,
    registry,
    findings,
    notes,
    summaries,
    write: (name, text) => writeFile(join(folder, name), text),
    clusterIP: (name, namespace = "default") => registry.service(namespace, name)?.clusterIPs[0],
    addresses: (service, namespace = "default") =>
      registry.slices(namespace, service).flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses)),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await rm(folder, { recursive: true });
    },
  };
}

/** Resolves as soon as the condition holds; fails after 20 s: a thread that is started under load takes long. */
async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((done) => setTimeout(done, 2));
  }
}

const service = (name: string, spec = "ports: [{port: 80}]"): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {${spec}}\n`;
const deployment = (name: string, replicas = 2, labels = "{run: my-nginx}"): string =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: ${name}}\nspec: {replicas: ${replicas}, selector: {matchLabels: ${labels}}, template: {metadata: {labels: ${labels}}}}\n`;
const slice = (name: string, of: string, address: string): string =>
  `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ${name}, labels: {kubernetes.io/service-name: ${of}}}\naddressType: IPv4\nendpoints: [{addresses: [${address}]}]\n`;
const pod = (name: string, labels: string, rest = ""): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: ${labels}}\n${rest}`;

describe("manifests: first load", () => {
  it("the shipped folder", async () => {
    const registry = createRegistry({ sources: ["manifests"] });
    const faults: unknown[] = [];
    const stop = new AbortController();
    const paths = [new URL("../../zones", import.meta.url).pathname];
    const source = manifestsSource({
      paths,
      namespace: "default",
      serviceCidr: ["10.0.0.0/16"],
      podCidr: ["10.244.0.0/16"],
      watch: "off",
      onFinding: (finding) => faults.push(finding),
      onNote: (note) => faults.push(note),
    });
    const running = source.run(registry, () => registry.markSynced("manifests"), stop.signal);
    await registry.whenSynced();
    stop.abort();
    await running;
    expect(faults).to.deep.equal([]);
    expect(registry.service("kube-system", "kube-dns")?.clusterIPs).to.deep.equal(["10.0.0.10"]);
    expect(registry.service("default", "kubernetes")?.clusterIPs).to.deep.equal(["10.0.0.1"]);
    expect(registry.slices("default", "my-nginx")[0]?.endpoints).to.have.length(2);
    expect([...registry.namespaces()].map(({ name }) => name)).to.deep.equal(["default", "kube-system"]);
  });
  it("bad files are reported, the rest is served; so are the good documents of a bad file", async () => {
    await using dns = await load({
      "a.yaml": "a: [",
      "b.yaml": `${service("good")}---\n${service("BAD")}`,
      "c.txt": "no manifest",
      ".d.yaml": "a: [",
      "e.json": "{",
    });
    expect(dns.clusterIP("good")).to.match(/^10\.0\./);
    expect(dns.findings.map((text) => text.replace(/: .*/s, ""))).to.deep.equal(["a.yaml:1:5", "b.yaml:8:18", "e.json:1:2"]);
    expect(dns.summaries).to.have.length(1);
    expect(dns.summaries[0]).to.include({ files: 3, objects: 1, errors: 3 });
  });
  it("of one object in two places the first in sorted order is served, and the error names both", async () => {
    await using dns = await load({
      "b.yaml": service("my-nginx", "clusterIP: 10.0.0.77, ports: [{port: 2}]"),
      "a.yaml": `---\n${service("my-nginx", "clusterIP: 10.0.0.99, ports: [{port: 1}]")}`,
    });
    expect(dns.clusterIP("my-nginx")).to.equal("10.0.0.99");
    expect(dns.findings).to.deep.equal([
      'b.yaml:1:1: Service "default/my-nginx" is already defined at a.yaml:2: that one is served, the first in sorted order',
    ]);
  });
  it("a missing folder is reported, and served when it comes", async () => {
    await using dns = await load({});
    const missing = join(dns.folder, "later");
    await using late = await load({}, { paths: [missing] });
    expect(late.findings[0]).to.match(/later:1: manifests: expected a folder with .*, or one such file: there is no such file or folder$/);
    await mkdir(missing);
    await writeFile(join(missing, "a.yaml"), service("web"));
    await eventually(() => late.clusterIP("web") !== undefined, "the new folder is read");
  });
  it("a folder without manifests is a warning, told once", async () => {
    await using dns = await load({ "readme.txt": "" }, {}, async (folder) => {
      await mkdir(join(folder, "deep"));
      await writeFile(join(folder, "deep", "a.yaml"), service("web"));
    });
    expect(dns.findings).to.have.length(1);
    expect(dns.findings[0]).to.match(/:1: warning: manifests: no \*\.yaml, \*\.yml or \*\.json files here; folders in it are not read$/);
    expect(dns.summaries[0]?.errors).to.equal(0);
    await dns.write("a.yaml", service("a"));
    await eventually(() => dns.clusterIP("a") !== undefined, "the first file is read");
    expect(dns.findings).to.have.length(1);
  });
  it("a single file, and objects' namespaces", async () => {
    await using dns = await load(
      { "a.yaml": `${service("web")}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}` },
      { namespace: "shop" },
    );
    expect(dns.clusterIP("web", "shop")).to.match(/^10\.0\./);
    expect(dns.registry.namespace("shop")?.labels).to.deep.equal({ team: "a" });
    expect(dns.registry.namespace("default")).to.not.equal(undefined);
  });
  it("a file over 16 MiB is refused unread, and others with it are not (C-R5)", async () => {
    await using dns = await load({ "a.yaml": service("web") }, {}, async (folder) => {
      await writeFile(join(folder, "big.yaml"), "");
      await truncate(join(folder, "big.yaml"), 17 * 1024 * 1024);
    });
    expect(dns.findings).to.deep.equal(["big.yaml:1: is 17825792 bytes: files over 16777216 bytes are refused"]);
    expect(dns.clusterIP("web")).to.not.equal(undefined);
  });
  it("a large file is read by a worker", async () => {
    const many = Array.from({ length: 700 }, (_, at) => service(`web-${at}`)).join("---\n");
    await using dns = await load({ "many.yaml": many, "small.yaml": service("web-0") });
    expect([...dns.registry.services()]).to.have.length(700);
    expect(dns.findings).to.deep.equal([
      'small.yaml:1:1: Service "default/web-0" is already defined at many.yaml:1: that one is served, the first in sorted order',
    ]);
    await dns.write("many.yaml", `${many}---\n${service("Web")}`);
    await eventually(() => dns.findings.length === 2, "the fault is reported");
    expect(dns.findings[1]).to.match(/^many\.yaml:3503:18: metadata\.name: Invalid value: "Web"/);
  }).timeout(30_000);
  it("what is not UTF-8 is refused", async () => {
    await using dns = await load({}, {}, (folder) => writeFile(join(folder, "a.yaml"), Buffer.from([0xff, 0xfe, 0x61, 0])));
    expect(dns.findings).to.deep.equal(["a.yaml:1: is not text in UTF-8"]);
  });
});

describe("manifests: changes", () => {
  it("create, edit, delete and rename, each in its turn", async () => {
    await using dns = await load({ "a.yaml": service("a") });
    await dns.write("b.yaml", service("b"));
    await eventually(() => dns.clusterIP("b") !== undefined, "b is created");
    const address = dns.clusterIP("b");
    await dns.write("b.yaml", service("b", "ports: [{port: 81}]"));
    await eventually(() => dns.registry.service("default", "b")?.ports[0]?.port === 81, "b is edited");
    await rename(join(dns.folder, "b.yaml"), join(dns.folder, "c.yaml"));
    await dns.write("d.yaml", service("d"));
    await eventually(() => dns.clusterIP("d") !== undefined, "d is created");
    expect(dns.clusterIP("b")).to.equal(address);
    await unlink(join(dns.folder, "c.yaml"));
    await eventually(() => dns.clusterIP("b") === undefined, "b is deleted");
    expect(dns.clusterIP("a")).to.not.equal(undefined);
    expect(dns.findings).to.deep.equal([]);
  });
  it("each file that changes later is told, many at once in one line", async () => {
    await using dns = await load({ "a.yaml": service("a") });
    expect(dns.notes).to.deep.equal([]);
    await dns.write("a.yaml", `${service("a")}---\n${service("b")}`);
    await eventually(() => dns.notes.length === 1, "the edit is told");
    await dns.write("c.yaml", service("c"));
    await eventually(() => dns.notes.length === 2, "the new file is told");
    await unlink(join(dns.folder, "a.yaml"));
    await eventually(() => dns.notes.length === 3, "the deletion is told");
    expect(dns.notes.splice(0)).to.deep.equal([
      "a.yaml: read again, 2 objects",
      "c.yaml: read, 1 object",
      "a.yaml: gone, 2 objects no longer served",
    ]);
    await rm(dns.folder, { recursive: true });
    await mkdir(`${dns.folder}.new`);
    for (const name of ["d", "e", "f"]) await writeFile(join(`${dns.folder}.new`, `${name}.yaml`), service(name));
    await rename(`${dns.folder}.new`, dns.folder);
    await eventually(() => dns.clusterIP("f") !== undefined, "the new folder is read");
    await eventually(() => dns.notes.length > 0, "the change is told");
    expect(dns.notes.at(-1)).to.match(/^(manifests: 4 files have changed or are gone|f\.yaml: read, 1 object)$/);
  });
  it("an edit tells the registry of nothing else", async () => {
    await using dns = await load({ "a.yaml": `${service("a")}---\n${service("b")}---\n${deployment("d")}` });
    const told: string[] = [];
    dns.registry.subscribe((changes) => told.push(...changes.map(({ verb, object }) => `${verb} ${object.kind} ${object.name}`)));
    await dns.write("a.yaml", `${service("a")}---\n${service("b", "ports: [{port: 81}]")}---\n${deployment("d")}`);
    await eventually(() => told.length > 0, "the edit is told");
    expect(told).to.deep.equal(["upsert Service b"]);
  });
  it("a broken file keeps its last good objects, and is served again once mended", async () => {
    const whole = `${service("a")}---\n${service("b")}`;
    await using dns = await load({ "a.yaml": whole });
    for (const broken of [whole.slice(0, 40), `${service("A")}---\n${service("c")}`, "\0", "a:\n\tb"]) {
      dns.findings.length = 0;
      await dns.write("a.yaml", broken);
      await eventually(() => dns.findings.length > 0, `a fault is reported for ${JSON.stringify(broken)}`);
      expect(dns.clusterIP("a") !== undefined && dns.clusterIP("b") !== undefined && dns.clusterIP("c") === undefined).to.equal(true);
    }
    await dns.write("a.yaml", service("c"));
    await eventually(() => dns.clusterIP("c") !== undefined, "the mended file is served");
    expect(dns.clusterIP("a")).to.equal(undefined);
  });
  it("a file that is truncated and then written is never seen empty", async () => {
    await using dns = await load({ "a.yaml": service("a") });
    const told: string[] = [];
    dns.registry.subscribe((changes) => told.push(...changes.map(({ verb, object }) => `${verb} ${object.kind} ${object.name}`)));
    await dns.write("a.yaml", "");
    await dns.write("b.yaml", service("b"));
    await eventually(() => dns.clusterIP("b") !== undefined, "the other file is read");
    await dns.write("a.yaml", service("a", "ports: [{port: 81}]"));
    await eventually(() => dns.registry.service("default", "a")?.ports[0]?.port === 81, "a is edited");
    expect(told).to.deep.equal(["upsert Service b", "upsert Service a"]);
    await dns.write("a.yaml", "");
    await eventually(() => dns.clusterIP("a") === undefined, "a file that stays empty counts as such");
  });
  it("a ConfigMap's symlink swap, again and again", async () => {
    await using dns = await load({}, {}, async (folder) => {
      await mkdir(join(folder, "..1"));
      await writeFile(join(folder, "..1", "a.yaml"), service("a", "clusterIP: 10.0.1.1, ports: [{port: 80}]"));
      await symlink("..1", join(folder, "..data"));
      await symlink("..data/a.yaml", join(folder, "a.yaml"));
    });
    expect(dns.clusterIP("a")).to.equal("10.0.1.1");
    for (const version of [2, 3]) {
      await mkdir(join(dns.folder, `..${version}`));
      await writeFile(join(dns.folder, `..${version}`, "a.yaml"), service("a", `clusterIP: 10.0.1.${version}, ports: [{port: 80}]`));
      await symlink(`..${version}`, join(dns.folder, "..data_tmp"));
      await rename(join(dns.folder, "..data_tmp"), join(dns.folder, "..data"));
      await rm(join(dns.folder, `..${version - 1}`), { recursive: true });
      await eventually(() => dns.clusterIP("a") === `10.0.1.${version}`, `version ${version} is served`);
    }
  });
  it("the loser of a duplicate is served when the winner goes", async () => {
    await using dns = await load({
      "a.yaml": service("web", "clusterIP: 10.0.0.5, ports: [{port: 1}]"),
      "b.yaml": service("web", "clusterIP: 10.0.0.6, ports: [{port: 1}]"),
    });
    await unlink(join(dns.folder, "a.yaml"));
    await eventually(() => dns.clusterIP("web") === "10.0.0.6", "the second is served");
  });
  it("an address in conflict is an error with its line, and is given once it is free", async () => {
    await using dns = await load({
      "a.yaml": service("a", "clusterIP: 10.0.0.5, ports: [{port: 1}]"),
      "b.yaml": `# b\n${service("b", "clusterIP: 10.0.0.5, ports: [{port: 1}]")}`,
    });
    expect(dns.findings).to.have.length(1);
    expect(dns.findings[0]).to.match(
      /^b\.yaml:2:1: Service "default\/b": spec\.clusterIPs: .*10\.0\.0\.5: provided IP is already allocated \(Service default\/a has it\)$/,
    );
    await unlink(join(dns.folder, "a.yaml"));
    await eventually(() => dns.clusterIP("b") === "10.0.0.5", "b gets the address");
  });
  it("two Services swap their addresses in one edit", async () => {
    const both = (a: string, b: string): string =>
      `${service("a", `clusterIP: ${a}, ports: [{port: 1}]`)}---\n${service("b", `clusterIP: ${b}, ports: [{port: 1}]`)}`;
    await using dns = await load({ "a.yaml": both("10.0.0.5", "10.0.0.6") });
    await dns.write("a.yaml", both("10.0.0.6", "10.0.0.5"));
    await eventually(() => dns.clusterIP("a") === "10.0.0.6" && dns.clusterIP("b") === "10.0.0.5", "the addresses are swapped");
    expect(dns.findings).to.deep.equal([]);
  });
});

describe("manifests: endpoints", () => {
  const nginx = service("my-nginx", "ports: [{port: 80}], selector: {run: my-nginx}");

  it("Pods join and leave as labels and replicas change; addresses stay", async () => {
    await using dns = await load({ "svc.yaml": nginx, "d.yaml": deployment("d", 2) });
    const two = dns.addresses("my-nginx");
    expect(two).to.have.length(2);
    await dns.write("d.yaml", deployment("d", 3));
    await eventually(() => dns.addresses("my-nginx").length === 3, "a third joins");
    expect(dns.addresses("my-nginx")).to.include.members(two);
    await dns.write("p.yaml", pod("p", "{run: my-nginx}", "status: {phase: Running, podIP: 192.0.2.7}"));
    await eventually(() => dns.addresses("my-nginx").includes("192.0.2.7"), "a matching Pod joins");
    await dns.write("p.yaml", pod("p", "{run: my-nginx}", "status: {phase: Failed, podIP: 192.0.2.7}"));
    await eventually(() => !dns.addresses("my-nginx").includes("192.0.2.7"), "a failed Pod leaves");
    await dns.write("d.yaml", deployment("d", 1, "{run: other}"));
    await eventually(() => dns.addresses("my-nginx").length === 0, "Pods with other labels leave");
    await dns.write("svc.yaml", service("my-nginx", "ports: [{port: 80}], selector: {run: other}"));
    await eventually(() => dns.addresses("my-nginx").length === 1, "the selector is evaluated again");
  });
  it("manual slices need their Service; legacy Endpoints give way to them", async () => {
    const legacy = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: [{addresses: [{ip: 192.0.2.1}]}]\n";
    await using dns = await load({ "e.yaml": legacy, "s.yaml": slice("web-x", "web", "192.0.2.2") });
    expect(dns.notes).to.deep.equal(['s.yaml:1: EndpointSlice default/web-x: ignored: there is no Service "default/web"']);
    expect(dns.addresses("web")).to.deep.equal([]);
    await dns.write("web.yaml", service("web"));
    await eventually(() => dns.clusterIP("web") !== undefined, "the Service comes");
    expect(dns.addresses("web")).to.deep.equal(["192.0.2.2"]);
    await unlink(join(dns.folder, "s.yaml"));
    await eventually(() => dns.addresses("web").includes("192.0.2.1"), "the Endpoints are mirrored");
    expect(dns.addresses("web")).to.deep.equal(["192.0.2.1"]);
  });
  it("a StatefulSet's Pods have hostnames in their Service", async () => {
    const text = `${service("db", "clusterIP: None, selector: {app: db}")}---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {serviceName: db, replicas: 2, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}}}\n`;
    await using dns = await load({ "a.yaml": text });
    expect(dns.registry.slices("default", "db").flatMap(({ endpoints }) => endpoints.map(({ hostname }) => hostname))).to.deep.equal([
      "db-0",
      "db-1",
    ]);
  });
  it("a manifest's Pod takes a StatefulSet's name, and gives it back", async () => {
    const set = `apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {serviceName: db, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}}}\n`;
    await using dns = await load({ "a.yaml": `${service("db", "clusterIP: None, selector: {app: db}")}---\n${set}` });
    const [own] = dns.addresses("db");
    await dns.write("p.yaml", pod("db-0", "{app: db}", "status: {phase: Running, podIP: 192.0.2.9}"));
    await eventually(() => dns.addresses("db")[0] === "192.0.2.9", "the manifest's Pod counts");
    await unlink(join(dns.folder, "p.yaml"));
    await eventually(() => dns.addresses("db")[0] === own, "the set's Pod is back");
  });
  it("a dump with a Deployment, its ReplicaSet and its Pods has the Pods once", async () => {
    const owner = (kind: string, name: string): string => `ownerReferences: [{controller: true, kind: ${kind}, name: ${name}}]`;
    const replicaSet = deployment("d-abc")
      .replace("kind: Deployment", "kind: ReplicaSet")
      .replace("{name: d-abc}", `{name: d-abc, ${owner("Deployment", "d")}}`);
    const dumped = `apiVersion: v1\nkind: Pod\nmetadata: {name: d-abc-1, labels: {run: my-nginx}, ${owner("ReplicaSet", "d-abc")}}\nstatus: {phase: Running, podIP: 192.0.2.9}\n`;
    await using dns = await load({ "a.yaml": [nginx, deployment("d"), replicaSet, dumped].join("---\n") });
    expect(dns.addresses("my-nginx")).to.deep.equal(["192.0.2.9"]);
  });
});

describe("manifests: state file", () => {
  it("keeps addresses over a restart, whatever has come meanwhile", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ndots-state-"));
    const state = join(folder, "state.json");
    const cidr = { serviceCidr: ["192.0.2.0/28"], state };
    const names = ["p", "q", "r", "s", "t"];
    const before = new Map<string, string | undefined>();
    {
      await using dns = await load(Object.fromEntries(names.map((name) => [`${name}.yaml`, service(name)])), cidr);
      for (const name of names) before.set(name, dns.clusterIP(name));
    }
    expect(Object.keys((JSON.parse(await readFile(state, "utf8")) as { clusterIPs: object }).clusterIPs)).to.deep.equal(
      names.map((name) => `default/${name}`),
    );
    const more = [...names, "a", "b", "c", "d"];
    await using dns = await load(Object.fromEntries(more.map((name) => [`${name}.yaml`, service(name)])), cidr);
    for (const name of names) expect(dns.clusterIP(name)).to.equal(before.get(name));
    expect(new Set(more.map((name) => dns.clusterIP(name))).size).to.equal(more.length);
    await rm(folder, { recursive: true });
  });
  it("a state file that can't be read is a warning", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ndots-state-"));
    await writeFile(join(folder, "state.json"), "{");
    await using dns = await load({ "a.yaml": service("a") }, { state: join(folder, "state.json") });
    expect(dns.findings[0]).to.match(/warning: state file can't be read, addresses are allocated anew/);
    expect(dns.clusterIP("a")).to.not.equal(undefined);
    await rm(folder, { recursive: true });
  });
});

describe("manifests: the source documents", () => {
  const nginxService =
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: my-nginx\n  labels:\n    run: my-nginx\nspec:\n  ports:\n  - port: 80\n    protocol: TCP\n  selector:\n    run: my-nginx\n";
  it("my-nginx defined twice: the first file's is served, with Pods of the Deployment", async () => {
    const secure = nginxService
      .replace("spec:\n", "spec:\n  type: NodePort\n")
      .replace("  - port: 80\n", "  - port: 8080\n    targetPort: 80\n    name: http\n  - port: 443\n    name: https\n");
    await using dns = await load({
      "nginx-secure-app.yaml": `${secure}---\n${deployment("my-nginx", 1)}`,
      "run-my-nginx.yaml": deployment("my-nginx"),
      "svc.yaml": nginxService,
    });
    expect(dns.registry.service("default", "my-nginx")?.ports.map(({ port }) => port)).to.deep.equal([8080, 443]);
    expect(dns.addresses("my-nginx")).to.have.length(1);
    expect(dns.findings.map((text) => text.replace(/ is already.*at (\S+):.*/, " → $1"))).to.have.members([
      'run-my-nginx.yaml:1:1: Deployment "default/my-nginx" → nginx-secure-app.yaml:19',
      'svc.yaml:1:1: Service "default/my-nginx" → nginx-secure-app.yaml:1',
    ]);
  });
  it("a ReplicationController without a selector, and its Service", async () => {
    const controller =
      "apiVersion: v1\nkind: ReplicationController\nmetadata:\n  name: my-nginx\nspec:\n  replicas: 2\n  template:\n    metadata:\n      labels:\n        app: nginx\n    spec:\n      containers:\n      - name: nginx\n        image: nginx\n        ports:\n        - containerPort: 80\n";
    const nginxsvc = nginxService.replaceAll("run: my-nginx", "app: nginx").replace("name: my-nginx", "name: nginxsvc");
    await using dns = await load({ "nginxrc.yaml": controller, "nginxsvc.yaml": nginxsvc });
    expect(dns.findings).to.deep.equal([]);
    expect(dns.addresses("nginxsvc")).to.have.length(2);
  });
});
