// The first edition of the tutorial, from Kubernetes 1.0: a ReplicationController without a selector, which takes the
// labels of its template, and a Service in front of its Pods.

import { expect } from "chai";
import type { RunningServer } from "../../src/index.ts";
import { alias, copyOf, endpointsOf, mentions, reverse, serve, serviceAt } from "./document.ts";

const FOLDER = "replication-controller";
const POD_CIDR = "10.245.0.0/16"; // line 42
const nginx = serviceAt("nginxsvc");

describe("the replication controller tutorial", () => {
  let server: RunningServer;
  before(async () => {
    server = await serve([FOLDER], { podCidr: POD_CIDR });
  });
  after(() => server.close());

  it("has nothing to complain about", () => {
    expect(server.findings).to.deep.equal([]);
  });

  mentions(
    () => server,
    [
      { line: 18, ask: "my-nginx.default.svc.cluster.local. A", rcode: "NXDOMAIN" }, // the controller's name; no Service has it
      { line: 42, ask: "10-245-0-15.default.pod.cluster.local. A", gives: ["10-245-0-15.default.pod.cluster.local. IN A 10.245.0.15"] },
      { line: 43, ask: "10-245-0-14.default.pod.cluster.local. A", gives: ["10-245-0-14.default.pod.cluster.local. IN A 10.245.0.14"] },
      { line: 59, ask: "nginxsvc.default.svc.cluster.local. A", gives: [nginx.a] },
      { line: 64, ask: "nginxsvc.default.svc.cluster.local. SRV", gives: [`${nginx.name} IN SRV 0 100 80 ${nginx.name}`] },
      { line: 73, ask: "nginxsvc. A", gives: alias("nginxsvc.", nginx) },
      { line: 73, ask: `${reverse(nginx.address)} PTR`, gives: [`${reverse(nginx.address)} IN PTR ${nginx.name}`] },
      { line: 76, ask: "nginxsvc.default. A", gives: alias("nginxsvc.default.", nginx) },
    ],
  );

  it("lines 20, 24, 76: the Pods of the controller's template are the Service's endpoints", async () => {
    const addresses = endpointsOf(server, "nginxsvc");
    expect(addresses).to.have.length(2);
    for (const address of addresses) {
      expect(address).to.match(/^10\.245\./);
      const { answer } = await server.query(reverse(address), "PTR");
      expect(answer[0]).to.match(new RegExp(` PTR ${address.replaceAll(".", "-")}\\.nginxsvc\\.default\\.svc\\.cluster\\.local\\.$`));
    }
  });

  it("the environment of a Pod", () => {
    expect(server.env("default")).to.include({ NGINXSVC_SERVICE_HOST: nginx.address, NGINXSVC_SERVICE_PORT: "80" });
  });

  it("line 73: with the address that the document's cluster gave it", async () => {
    using copy = copyOf(FOLDER);
    copy.edit("nginxsvc.yaml", (text) => text.replace("spec:", "spec:\n  clusterIP: 10.0.116.146"));
    await using live = await serve([copy.path]);
    expect((await live.query("nginxsvc.")).addresses).to.deep.equal(["10.0.116.146"]);
    expect(live.env("default")).to.include({ NGINXSVC_SERVICE_HOST: "10.0.116.146" });
  });
});
