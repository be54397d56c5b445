// The older edition of the same tutorial, which goes on to https: `my-nginx` is defined twice, first plain, then with two
// ports and as a NodePort. The two stand in folders of their own.

import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startServer, type RunningServer } from "../../src/index.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import { alias, copyOf, endpointsOf, here, mentions, registryHas, reverse, serve, serviceAt } from "./document.ts";

const PLAIN = "connect-applications-https/plain";
const HTTPS = "connect-applications-https/https";
const nginx = serviceAt("my-nginx");
const dns = serviceAt("kube-dns", "kube-system");

const plainSrv = `${nginx.name} IN SRV 0 100 80 ${nginx.name}`;
const httpsSrv = [`${nginx.name} IN SRV 0 50 8080 ${nginx.name}`, `${nginx.name} IN SRV 0 50 443 ${nginx.name}`];

describe("the connect-applications tutorial with https: plain", () => {
  let server: RunningServer;
  before(async () => {
    server = await serve([PLAIN]);
  });
  after(() => server.close());

  mentions(
    () => server,
    [
      { line: 47, ask: "10-244-3-4.default.pod.cluster.local. A", gives: ["10-244-3-4.default.pod.cluster.local. IN A 10.244.3.4"] },
      { line: 48, ask: "10-244-2-5.default.pod.cluster.local. A", gives: ["10-244-2-5.default.pod.cluster.local. IN A 10.244.2.5"] },
      { line: 77, ask: "my-nginx.default.svc.cluster.local. A", gives: [nginx.a] },
      { line: 82, ask: "my-nginx.default.svc.cluster.local. SRV", gives: [plainSrv] },
      { line: 102, ask: `${reverse(nginx.address)} PTR`, gives: [`${reverse(nginx.address)} IN PTR ${nginx.name}`] },
      { line: 122, ask: "kubernetes.default.svc.cluster.local. A", gives: ["kubernetes.default.svc.cluster.local. IN A 10.0.0.1"] },
      { line: 132, ask: "10-244-2-7.default.pod.cluster.local. A", gives: ["10-244-2-7.default.pod.cluster.local. IN A 10.244.2.7"] },
      { line: 133, ask: "10-244-3-8.default.pod.cluster.local. A", gives: ["10-244-3-8.default.pod.cluster.local. IN A 10.244.3.8"] },
      { line: 150, ask: "kube-dns.kube-system.svc.cluster.local. A", gives: [dns.a] },
      { line: 160, ask: "my-nginx. A", gives: alias("my-nginx.", nginx) },
      { line: 161, ask: "10.0.0.10.in-addr.arpa. PTR", gives: [`10.0.0.10.in-addr.arpa. IN PTR ${dns.name}`] },
    ],
  );

  it("line 104: the Service has the two Pods behind it", () => {
    expect(endpointsOf(server, "my-nginx")).to.have.length(2);
  });

  it("lines 122, 138: the environment of a Pod", () => {
    expect(server.env("default")).to.include({
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
      KUBERNETES_SERVICE_PORT: "443",
      KUBERNETES_SERVICE_PORT_HTTPS: "443",
      MY_NGINX_SERVICE_HOST: nginx.address,
      MY_NGINX_SERVICE_PORT: "80",
    });
  });
});

describe("the connect-applications tutorial with https: https", () => {
  let server: RunningServer;
  before(async () => {
    server = await serve([HTTPS]);
  });
  after(() => server.close());

  it("line 192: a Secret is nothing that DNS has to do with", () => {
    expect(server.findings).to.deep.equal([]);
  });

  mentions(
    () => server,
    [
      { line: 214, ask: "my-nginx.default.svc.cluster.local. A", gives: [nginx.a] },
      { line: 220, ask: "my-nginx.default.svc.cluster.local. SRV", gives: httpsSrv },
      {
        line: 223,
        ask: "_http._tcp.my-nginx.default.svc.cluster.local. SRV",
        gives: [`_http._tcp.${nginx.name} IN SRV 0 100 8080 ${nginx.name}`],
      },
      {
        line: 226,
        ask: "_https._tcp.my-nginx.default.svc.cluster.local. SRV",
        gives: [`_https._tcp.${nginx.name} IN SRV 0 100 443 ${nginx.name}`],
      },
      { line: 265, ask: "10-244-3-5.default.pod.cluster.local. A", gives: ["10-244-3-5.default.pod.cluster.local. IN A 10.244.3.5"] },
      { line: 276, ask: "curl-deployment.default.svc.cluster.local. A", rcode: "NXDOMAIN" }, // a Deployment is no Service
      { line: 305, ask: "my-nginx. A", gives: alias("my-nginx.", nginx) },
      { line: 317, ask: `${reverse(nginx.address)} PTR`, gives: [`${reverse(nginx.address)} IN PTR ${nginx.name}`] },
      { line: 332, ask: "11.41.197.104.in-addr.arpa. PTR", rcode: "NXDOMAIN" }, // a node's, not the cluster's
      { line: 361, ask: "a320587ffd19711e5a37606cf4a74574-1142138393.us-east-1.elb.amazonaws.com. A", rcode: "REFUSED" },
    ],
  );

  it("line 238: one Pod is behind the Service", () => {
    expect(endpointsOf(server, "my-nginx")).to.have.length(1);
  });

  it("the environment of a Pod has both ports, the first without its name too", () => {
    expect(server.env("default")).to.include({
      MY_NGINX_SERVICE_HOST: nginx.address,
      MY_NGINX_SERVICE_PORT: "8080",
      MY_NGINX_SERVICE_PORT_HTTP: "8080",
      MY_NGINX_SERVICE_PORT_HTTPS: "443",
    });
  });

  it("line 317: with the address that the document's cluster gave it", async () => {
    using copy = copyOf(HTTPS);
    copy.edit("nginx-secure-app.yaml", (text) => text.replace("spec:", "spec:\n  clusterIP: 10.0.162.149"));
    await using live = await serve([copy.path]);
    expect((await live.query("my-nginx.")).addresses).to.deep.equal(["10.0.162.149"]);
  });

  it("line 345: a LoadBalancer has the same name and address", async () => {
    using copy = copyOf(HTTPS);
    copy.edit("nginx-secure-app.yaml", (text) => text.replace("type: NodePort", "type: LoadBalancer"));
    await using live = await serve([copy.path]);
    expect((await live.query("my-nginx.")).addresses).to.deep.equal([nginx.address]);
  });
});

describe("the connect-applications tutorial with https: my-nginx in two places", () => {
  const read = (path: string): string => readFileSync(join(here, path), "utf8");
  const plain = read(`${PLAIN}/nginx-svc.yaml`);
  const https = read(`${HTTPS}/nginx-secure-app.yaml`);
  const corefile = (paths: string): string => `. {\n kubernetes cluster.local {\n manifests ${paths}\n }\n}\n`;

  const orders: readonly (readonly [title: string, files: Record<string, string>, paths: string, winner: string, loser: string])[] = [
    ["files of a folder, the plain one first", { "a/1.yaml": plain, "a/2.yaml": https }, "a", "a/1.yaml:1", "a/2.yaml:1:1"],
    ["files of a folder, the https one first", { "a/2.yaml": plain, "a/1.yaml": https }, "a", "a/1.yaml:1", "a/2.yaml:1:1"],
    ["folders", { "b/nginx.yaml": plain, "a/nginx.yaml": https }, "b a", "a/nginx.yaml:1", "b/nginx.yaml:1:1"],
    ["folders", { "a/nginx.yaml": plain, "b/nginx.yaml": https }, "b a", "a/nginx.yaml:1", "b/nginx.yaml:1:1"],
    ["documents of a file", { "a/nginx.yaml": `${plain}---\n${https}` }, "a", "a/nginx.yaml:1", "a/nginx.yaml:14:1"],
  ];
  for (const [title, files, paths, winner, loser] of orders) {
    it(`the first in sorted order wins and the error names both: ${title}: ${Object.keys(files).join(", ")}`, async () => {
      using folder = temporaryFolder(files);
      await using server = await startServer({ corefile: corefile(paths), file: join(folder.path, "Corefile") });
      const text = files[winner.replace(/:.*/, "")] as string;
      const { answer } = await server.query(nginx.name, "SRV");
      expect(answer, "which is served").to.have.length(text.startsWith(plain) ? 1 : 2);
      const found = server.findings.filter(({ message }) => message.startsWith('Service "default/my-nginx" is already defined at '));
      expect(found.map(({ file, line, column }) => `${file}:${line}:${column}`)).to.deep.equal([join(folder.path, loser)]);
      expect(found[0]?.message).to.include(` at ${join(folder.path, winner)}: `);
    });
  }

  it("the error of the Deployment, which is there twice as well", async () => {
    await using server = await serve([PLAIN, HTTPS]);
    expect(server.findings.map(({ message }) => message.replace(/ at .*/, ""))).to.have.members([
      'Service "default/my-nginx" is already defined',
      'Deployment "default/my-nginx" is already defined',
    ]);
  });

  it("line 260: when the one is deleted the other takes its place, and the address stays", async () => {
    using folder = temporaryFolder({ "1.yaml": plain, "2.yaml": https });
    using copy = copyOf(folder.path);
    await using server = await serve([copy.path]);
    expect((await server.query(nginx.name, "SRV")).answer).to.have.length(1);
    copy.remove("1.yaml");
    await registryHas(server, () => server.registry.service("default", "my-nginx")?.ports.length === 2);
    expect((await server.query(nginx.name, "SRV")).answer).to.have.length(2);
    expect((await server.query(nginx.name)).addresses).to.deep.equal([nginx.address]);
  });
});
