// "Connecting Applications with Services", the tutorial of the Kubernetes documentation: a Deployment of two nginx Pods,
// and a Service in front of them.

import { expect } from "chai";
import type { RunningServer } from "../../src/index.ts";
import { alias, copyOf, endpointsOf, mentions, registryHas, reverse, serve, serviceAt } from "./document.ts";

const FOLDER = "connect-applications";
const nginx = serviceAt("my-nginx");
const dns = serviceAt("kube-dns", "kube-system");
const kubernetes = serviceAt("kubernetes");

describe("the connect-applications tutorial", () => {
  let server: RunningServer;
  before(async () => {
    server = await serve([FOLDER]);
  });
  after(() => server.close());

  it("has nothing to complain about", () => {
    expect(server.findings).to.deep.equal([]);
  });

  mentions(
    () => server,
    [
      { line: 49, ask: "10-244-3-4.default.pod.cluster.local. A", gives: ["10-244-3-4.default.pod.cluster.local. IN A 10.244.3.4"] },
      { line: 50, ask: "10-244-2-5.default.pod.cluster.local. A", gives: ["10-244-2-5.default.pod.cluster.local. IN A 10.244.2.5"] },
      { line: 86, ask: "my-nginx.default.svc.cluster.local. A", gives: [nginx.a] },
      { line: 91, ask: "my-nginx.default.svc.cluster.local. SRV", gives: [`${nginx.name} IN SRV 0 100 80 ${nginx.name}`] },
      { line: 117, ask: "my-nginx.default.svc.cluster.local. AAAA" },
      { line: 119, ask: `${reverse(nginx.address)} PTR`, gives: [`${reverse(nginx.address)} IN PTR ${nginx.name}`] },
      { line: 120, ask: "_http._tcp.my-nginx.default.svc.cluster.local. SRV", rcode: "NXDOMAIN" },
      { line: 146, ask: "kubernetes.default.svc.cluster.local. A", gives: ["kubernetes.default.svc.cluster.local. IN A 10.0.0.1"] },
      { line: 146, ask: "1.0.0.10.in-addr.arpa. PTR", gives: [`1.0.0.10.in-addr.arpa. IN PTR ${kubernetes.name}`] },
      {
        line: 148,
        ask: "_https._tcp.kubernetes.default.svc.cluster.local. SRV",
        gives: [`_https._tcp.${kubernetes.name} IN SRV 0 100 443 ${kubernetes.name}`],
      },
      { line: 158, ask: "10-244-2-7.default.pod.cluster.local. A", gives: ["10-244-2-7.default.pod.cluster.local. IN A 10.244.2.7"] },
      { line: 159, ask: "10-244-3-8.default.pod.cluster.local. A", gives: ["10-244-3-8.default.pod.cluster.local. IN A 10.244.3.8"] },
      { line: 180, ask: "kube-dns.kube-system.svc.cluster.local. A", gives: ["kube-dns.kube-system.svc.cluster.local. IN A 10.0.0.10"] },
      { line: 180, ask: `_dns._udp.${dns.name} SRV`, gives: [`_dns._udp.${dns.name} IN SRV 0 100 53 ${dns.name}`] },
      { line: 180, ask: `_dns-tcp._tcp.${dns.name} SRV`, gives: [`_dns-tcp._tcp.${dns.name} IN SRV 0 100 53 ${dns.name}`] },
      { line: 180, ask: "kube-dns.kube-system. A", gives: alias("kube-dns.kube-system.", dns) },
      { line: 191, ask: "my-nginx. A", gives: alias("my-nginx.", nginx) },
      { line: 192, ask: "10.0.0.10.in-addr.arpa. PTR", gives: [`10.0.0.10.in-addr.arpa. IN PTR ${dns.name}`] },
      { line: 195, ask: "my-nginx.default.svc. A", gives: alias("my-nginx.default.svc.", nginx) },
    ],
  );

  it("line 122: the Service has the two Pods behind it", () => {
    const addresses = endpointsOf(server, "my-nginx");
    expect(addresses).to.have.length(2);
    for (const address of addresses) expect(address).to.match(/^10\.244\./);
  });

  it("lines 146, 166: the environment of a Pod", () => {
    expect(server.env("default")).to.include({
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
      KUBERNETES_SERVICE_PORT: "443",
      KUBERNETES_SERVICE_PORT_HTTPS: "443",
      MY_NGINX_SERVICE_HOST: nginx.address,
      MY_NGINX_SERVICE_PORT: "80",
    });
  });

  it("lines 70, 106, 154: Pods leave and join, the address stays while the Service lives", async () => {
    using copy = copyOf(FOLDER);
    await using live = await serve([copy.path]);
    const first = endpointsOf(live, "my-nginx");
    expect(first).to.have.length(2);
    copy.edit("run-my-nginx.yaml", (text) => text.replace("replicas: 2", "replicas: 0"));
    await registryHas(live, () => endpointsOf(live, "my-nginx").length === 0);
    expect((await live.query(nginx.name)).addresses).to.deep.equal([nginx.address]);
    copy.edit("run-my-nginx.yaml", (text) => text.replace("replicas: 0", "replicas: 3"));
    await registryHas(live, () => endpointsOf(live, "my-nginx").length === 3);
    expect((await live.query(nginx.name)).addresses).to.deep.equal([nginx.address]);
  });

  it("lines 102, 118, 167, 196: with the address that the document's cluster gave it", async () => {
    using copy = copyOf(FOLDER);
    copy.edit("nginx-svc.yaml", (text) => text.replace("spec:", "spec:\n  clusterIP: 10.0.162.149"));
    await using live = await serve([copy.path]);
    expect((await live.query("my-nginx.")).addresses).to.deep.equal(["10.0.162.149"]);
    expect((await live.query("149.162.0.10.in-addr.arpa.", "PTR")).answer[0]).to.match(/ PTR my-nginx\.default\.svc\.cluster\.local\.$/);
    expect(live.env("default")).to.include({ MY_NGINX_SERVICE_HOST: "10.0.162.149", MY_NGINX_SERVICE_PORT: "80" });
  });
});
