// What Kubernetes' own e2e suite asks of a cluster's DNS (test/e2e/network/dns*.go), against manifests with selectors.

import { expect } from "chai";
import { ask } from "../../src/testing.ts";
import { becomes, has, live, manifest, type Live } from "./live.ts";

const FILES = {
  // The API server's Service; its ClusterIP is the range's first.
  "k8s/kubernetes.yaml": `apiVersion: v1
kind: Service
metadata: { name: kubernetes }
spec:
  ports: [{ name: https, port: 443 }]
`,
  "k8s/dns-test.yaml": `apiVersion: v1
kind: Service
metadata: { name: test-service-2, namespace: dns-1 }
spec:
  selector: { dns-test: "true" }
  ports: [{ name: http, port: 80, protocol: TCP }]
---
apiVersion: v1
kind: Service
metadata: { name: dns-test-service, namespace: dns-1 }
spec:
  clusterIP: None
  selector: { dns-test: "true" }
  ports: [{ name: http, port: 80, protocol: TCP }]
---
apiVersion: v1
kind: Service
metadata: { name: 1-starts-with-a-digit, namespace: dns-1 }
spec:
  clusterIP: 10.0.7.1
  ports: [{ port: 80 }]
---
apiVersion: v1
kind: Pod
metadata:
  name: dns-test
  namespace: dns-1
  labels: { dns-test: "true" }
spec:
  hostname: dns-querier-2
  subdomain: dns-test-service
  containers: [{ name: webserver, image: agnhost, ports: [{ containerPort: 80 }] }]
status:
  phase: Running
  podIP: 10.244.7.2
  conditions: [{ type: Ready, status: "True" }]
---
apiVersion: v1
kind: Pod
metadata:
  name: not-ready
  namespace: dns-1
  labels: { dns-test: "true" }
spec:
  containers: [{ name: webserver, image: agnhost }]
status:
  phase: Running
  podIP: 10.244.7.3
  conditions: [{ type: Ready, status: "False" }]
`,
};

function externalName(target: string): string {
  return `apiVersion: v1\nkind: Service\nmetadata:\n  name: dns-test-service-3\nspec:\n  type: ExternalName\n  externalName: ${target}\n`;
}

describe("Kubernetes' e2e suite for DNS", () => {
  let server: Live;
  before(async () => {
    server = await live(FILES);
  });
  after(() => server[Symbol.asyncDispose]());

  const HEADLESS = "dns-test-service.dns-1.svc.cluster.local.";
  const REGULAR = "test-service-2.dns-1.svc.cluster.local.";
  const rows: readonly (readonly [ask: string, gives: readonly RegExp[]])[] = [
    ["kubernetes.default.svc.cluster.local. A", [/ A 10\.0\.0\.1$/]],
    [`${REGULAR} A`, [/ A 10\.0\.\d+\.\d+$/]],
    [`${HEADLESS} A`, [/ A 10\.244\.7\.2$/]],
    [`_http._tcp.${HEADLESS} SRV`, [/ SRV 0 100 80 dns-querier-2\.dns-test-service\.dns-1\.svc\.cluster\.local\.$/]],
    [`_http._tcp.${REGULAR} SRV`, [/ SRV 0 100 80 test-service-2\.dns-1\.svc\.cluster\.local\.$/]],
    [`dns-querier-2.${HEADLESS} A`, [/ A 10\.244\.7\.2$/]],
    ["1-starts-with-a-digit.dns-1.svc.cluster.local. A", [/ A 10\.0\.7\.1$/]],
    ["1.7.0.10.in-addr.arpa. PTR", [/ PTR 1-starts-with-a-digit\.dns-1\.svc\.cluster\.local\.$/]],
    ["2.7.244.10.in-addr.arpa. PTR", [/ PTR 10-244-7-2\.test-service-2\./, / PTR dns-querier-2\.dns-test-service\./]],
    ["3.7.244.10.in-addr.arpa. PTR", []],
  ];
  for (const [question, gives] of rows) {
    it(`${question}, over UDP and TCP`, async () => {
      const [name = "", type = ""] = question.split(" ");
      for (const transport of ["udp", "tcp"] as const) {
        const { answer } = await ask(server.target, name, type, { transport });
        expect(answer).to.have.length(gives.length);
        for (const [index, pattern] of gives.entries()) expect(answer.toSorted()[index]).to.match(pattern);
      }
    });
  }

  it("an ExternalName's CNAME, its change, and its change to a ClusterIP", async () => {
    const name = "dns-test-service-3.default.svc.cluster.local";
    const pointsTo =
      (target: string) =>
      ({ answer }: { readonly answer: readonly string[] }): boolean =>
        answer.length === 1 && answer[0]?.endsWith(` IN CNAME ${target}.`) === true;
    server.write("k8s/external.yaml", externalName("foo.example.com"));
    await becomes(server.target, name, pointsTo("foo.example.com"));
    server.write("k8s/external.yaml", externalName("bar.example.com"));
    await becomes(server.target, name, pointsTo("bar.example.com"));
    server.write("k8s/external.yaml", manifest("dns-test-service-3", "10.0.7.3"));
    await becomes(server.target, name, has("10.0.7.3"));
  });
});
