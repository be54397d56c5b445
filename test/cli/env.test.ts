// `ndots env`: kubelet's variables in the three forms.

import { execFileSync } from "node:child_process";
import { expect } from "chai";
import { ndots, temporaryFolder } from "../helpers/ndots-process.ts";

const MANIFEST = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { clusterIP: 10.0.7.7, ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: 1st, namespace: shop }
spec: { clusterIP: 10.0.7.8, ports: [{ port: 81 }] }
---
apiVersion: v1
kind: Service
metadata: { name: other, namespace: elsewhere }
spec: { clusterIP: 10.0.7.9, ports: [{ port: 82 }] }
---
apiVersion: v1
kind: Service
metadata: { name: kubernetes, namespace: default }
spec: { clusterIP: 10.0.0.1, ports: [{ name: https, port: 443 }] }
`;

describe("ndots env", () => {
  const run = async (...args: readonly string[]) => {
    using folder = temporaryFolder({ "web.yaml": MANIFEST });
    return await ndots(["env", "--namespace", "shop", "--manifests", folder.path, ...args]);
  };

  it("gives the namespace's Services and the API server's as JSON", async () => {
    const { code, stdout } = await run("-o", "json");
    const variables = JSON.parse(stdout) as Record<string, string>;
    expect(variables).to.include({
      WEB_SERVICE_HOST: "10.0.7.7",
      WEB_SERVICE_PORT: "80",
      WEB_SERVICE_PORT_HTTP: "80",
      WEB_PORT: "tcp://10.0.7.7:80",
      WEB_PORT_80_TCP_ADDR: "10.0.7.7",
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
    });
    expect(Object.keys(variables).filter((name) => name.startsWith("OTHER_"))).to.deep.equal([]);
    expect(code).to.equal(0);
  });

  it("a shell can evaluate it, Services that begin with a digit included", async () => {
    const { stdout } = await run();
    const shown = execFileSync("/bin/sh", ["-euc", `${stdout}\nprintf %s "$WEB_PORT"; env | grep -c ^1ST || true`]).toString();
    expect(shown).to.equal("tcp://10.0.7.7:800\n");
    expect(stdout).to.include("# not a name for a shell: export 1ST_SERVICE_HOST='10.0.7.8'");
  });

  it("-o dotenv has neither export nor quotes", async () => {
    expect((await run("-o", "dotenv")).stdout).to.match(/^WEB_SERVICE_HOST=10\.0\.7\.7$/m);
  });

  it("--no-service-links leaves the API server's", async () => {
    const variables = Object.keys(JSON.parse((await run("-o", "json", "--no-service-links")).stdout) as object);
    expect(variables).to.not.have.lengthOf(0);
    expect(variables.filter((name) => !name.startsWith("KUBERNETES_"))).to.deep.equal([]);
  });

  it("a wrong manifest is told on standard error and fails; the rest is printed", async () => {
    using folder = temporaryFolder({ "a.yaml": MANIFEST, "b.yaml": "kind: Service\napiVersion: v1\nmetadata: {}\n" });
    const { code, stdout, stderr } = await ndots(["env", "-n", "shop", "--manifests", folder.path]);
    expect(stderr).to.match(/b\.yaml:\d+/);
    expect(stdout).to.include("WEB_SERVICE_HOST");
    expect(code).to.equal(1);
  });

  const CLUSTER = {
    "k8s/web.yaml": "apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { ports: [{ port: 80 }] }\n",
    Corefile:
      ".:1053 {\n    kubernetes cluster.local {\n        manifests k8s namespace shop\n        service_cidr 192.0.2.0/24\n        state addresses.json\n    }\n}\n",
    "addresses.json": '{"clusterIPs":{"shop/web":["192.0.2.77"]}}\n',
  };

  it("without --manifests it is the cluster of ./Corefile: its manifests, namespace, range and state", async () => {
    using folder = temporaryFolder(CLUSTER);
    const { code, stdout } = await ndots(["env", "-n", "shop", "-o", "json"], { cwd: folder.path });
    expect(JSON.parse(stdout)).to.include({ WEB_SERVICE_HOST: "192.0.2.77" });
    expect(code).to.equal(0);
  });

  it("-conf names another Corefile", async () => {
    using folder = temporaryFolder({ "etc/k8s/web.yaml": CLUSTER["k8s/web.yaml"], "etc/Corefile": CLUSTER.Corefile });
    const { stdout } = await ndots(["env", "-n", "shop", "-conf", "etc/Corefile", "-o", "dotenv"], { cwd: folder.path });
    expect(stdout).to.match(/^WEB_SERVICE_HOST=192\.0\.2\.\d+$/m);
  });

  it("without a Corefile it is the shipped cluster", async () => {
    using folder = temporaryFolder();
    const { code, stdout } = await ndots(["env", "-n", "default", "-o", "dotenv"], { cwd: folder.path });
    expect(stdout).to.match(/^MY_NGINX_SERVICE_HOST=10\.0\.\d+\.\d+$/m);
    expect(code).to.equal(0);
  });

  for (const { rule, corefile, args = [], status, says } of [
    { rule: "a wrong Corefile", corefile: ".:1053 {\n    whoam\n}\n", status: 1, says: /^Corefile:2:5: .*whoam/ },
    { rule: "a Corefile without a cluster", corefile: ".:1053 {\n    whoami\n}\n", status: 1, says: /^Corefile: no kubernetes block/ },
    { rule: "-conf and --manifests", corefile: "", args: ["-conf", "Corefile", "--manifests", "."], status: 2, says: /not both/ },
  ]) {
    it(`${rule}: exit code ${status}`, async () => {
      using folder = temporaryFolder({ Corefile: corefile });
      const { code, stdout, stderr } = await ndots(["env", "-n", "shop", ...args], { cwd: folder.path });
      expect(stderr).to.match(says);
      expect(stdout).to.equal("");
      expect(code).to.equal(status);
    });
  }
});
