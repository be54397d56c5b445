// The kubelet's variables, name by name.

import { expect } from "chai";
import { createRegistry } from "../../src/registry/registry.ts";
import type { Service, ServicePort } from "../../src/registry/objects.ts";
import { serviceEnvironment } from "../../src/registry/service-env.ts";

function registryOf(...services: Partial<Service>[]): ReturnType<typeof createRegistry> {
  const registry = createRegistry();
  for (const fields of services) {
    const object: Service = {
      kind: "Service",
      namespace: "default",
      name: "web",
      type: "ClusterIP",
      clusterIPs: [],
      headless: false,
      ports: [],
      externalName: "",
      publishNotReadyAddresses: false,
      labels: {},
      ...fields,
    };
    registry.apply({ verb: "upsert", object });
  }
  return registry;
}

const port = (number: number, name = "", protocol: ServicePort["protocol"] = "TCP"): ServicePort => ({ name, protocol, port: number });
const kubernetes: Partial<Service> = { name: "kubernetes", clusterIPs: ["10.0.0.1"], ports: [port(443, "https")] };
const KUBERNETES = [
  "KUBERNETES_SERVICE_HOST=10.0.0.1",
  "KUBERNETES_SERVICE_PORT=443",
  "KUBERNETES_SERVICE_PORT_HTTPS=443",
  "KUBERNETES_PORT=tcp://10.0.0.1:443",
  "KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443",
  "KUBERNETES_PORT_443_TCP_PROTO=tcp",
  "KUBERNETES_PORT_443_TCP_PORT=443",
  "KUBERNETES_PORT_443_TCP_ADDR=10.0.0.1",
];

describe("service environment", () => {
  const lines = (registry: ReturnType<typeof createRegistry>, namespace: string, serviceLinks?: "all" | "none"): string[] =>
    serviceEnvironment(registry, namespace, serviceLinks === undefined ? {} : { serviceLinks }).map(([name, value]) => `${name}=${value}`);

  it("a namespace's Services and the API server", () => {
    const registry = registryOf(kubernetes, {
      name: "my-nginx",
      clusterIPs: ["10.0.162.149", "fd00::1"],
      ports: [port(80, "http"), port(53, "dns-udp", "UDP")],
    });
    expect(lines(registry, "default")).to.deep.equal([
      ...KUBERNETES,
      "MY_NGINX_SERVICE_HOST=10.0.162.149",
      "MY_NGINX_SERVICE_PORT=80",
      "MY_NGINX_SERVICE_PORT_HTTP=80",
      "MY_NGINX_SERVICE_PORT_DNS_UDP=53",
      "MY_NGINX_PORT=tcp://10.0.162.149:80",
      "MY_NGINX_PORT_80_TCP=tcp://10.0.162.149:80",
      "MY_NGINX_PORT_80_TCP_PROTO=tcp",
      "MY_NGINX_PORT_80_TCP_PORT=80",
      "MY_NGINX_PORT_80_TCP_ADDR=10.0.162.149",
      "MY_NGINX_PORT_53_UDP=udp://10.0.162.149:53",
      "MY_NGINX_PORT_53_UDP_PROTO=udp",
      "MY_NGINX_PORT_53_UDP_PORT=53",
      "MY_NGINX_PORT_53_UDP_ADDR=10.0.162.149",
    ]);
    expect(lines(registry, "default", "none")).to.deep.equal(KUBERNETES);
    expect(lines(registry, "elsewhere")).to.deep.equal(KUBERNETES);
  });
  it("an IPv6 address is in brackets in URLs only", () => {
    const got = lines(registryOf({ clusterIPs: ["fd00::1"], ports: [port(80)] }), "default");
    expect(got)
      .to.include("WEB_PORT=tcp://[fd00::1]:80")
      .and.include("WEB_SERVICE_HOST=fd00::1")
      .and.include("WEB_PORT_80_TCP_ADDR=fd00::1");
  });
  it("headless Services and external names have none", () => {
    expect(
      lines(
        registryOf({ headless: true, ports: [port(80)] }, { name: "ext", type: "ExternalName", externalName: "example.org" }),
        "default",
      ),
    ).to.deep.equal([]);
  });
  it("a namespace's own kubernetes hides the API server's", () => {
    const registry = registryOf(kubernetes, { namespace: "a", name: "kubernetes", clusterIPs: ["10.0.9.9"], ports: [port(1)] });
    expect(lines(registry, "a")[0]).to.equal("KUBERNETES_SERVICE_HOST=10.0.9.9");
    expect(lines(registry, "a", "none")).to.deep.equal(KUBERNETES);
  });
});
