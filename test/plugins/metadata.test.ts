// Labels that plugins know of a query: of the name asked for and the Pod that asks (kubernetes), of the view; and who shows them.

import { expect } from "chai";

import { startServer } from "../../src/index.ts";
import { parseName } from "../../src/dns/name.ts";
import { createMetadata, type MetadataOptions } from "../../src/plugins/kubernetes/metadata.ts";
import log from "../../src/plugins/log/log.ts";
import metadata from "../../src/plugins/metadata/metadata.ts";
import view from "../../src/plugins/view/view.ts";
import { ask, pod } from "../../src/testing.ts";
import { fakeHost, fakeLog, query, readDirective, sent, setUp } from "../helpers/fake-host.ts";

const KEYS = ["kind", "namespace", "service", "endpoint", "port-name", "protocol", "cluster", "zone"] as const;

function kubernetesLabels(overrides: Partial<MetadataOptions> = {}): ReturnType<typeof createMetadata> {
  const zones = [parseName("cluster.local"), parseName("clusterset.local")];
  return createMetadata({ zones, isOfClusterSet: (zone) => zone === zones[1], zonal: true, podsAt: undefined, ...overrides });
}

describe("plugins/metadata", () => {
  describe("of kubernetes", () => {
    const rows: Readonly<Record<string, string>> = {
      "web.shop.svc.cluster.local": "kind=svc namespace=shop service=web",
      "shop.svc.cluster.local": "kind=svc namespace=shop",
      "svc.cluster.local": "kind=svc",
      "cluster.local": "",
      "10-0-0-1.shop.pod.cluster.local": "kind=pod namespace=shop service=10-0-0-1",
      "db-0.db.shop.svc.cluster.local": "kind=svc namespace=shop service=db endpoint=db-0",
      "_http._tcp.web.shop.svc.cluster.local": "kind=svc namespace=shop service=web port-name=http protocol=tcp",
      "http.tcp.web.shop.svc.cluster.local": "kind=svc namespace=shop service=web port-name=http protocol=tcp",
      "eu.west.pin._zone.web.shop.svc.cluster.local": "kind=svc namespace=shop service=web zone=eu.west",
      "a.prefer._zone.web.shop.svc.cluster.local": "kind=svc namespace=shop service=web zone=a",
      "a.b.c.web.shop.svc.cluster.local": "",
      "a.pin._zone.web.shop.pod.cluster.local": "",
      "db-0.west.db.shop.svc.clusterset.local": "kind=svc namespace=shop service=db endpoint=db-0 cluster=west",
      "_http._tcp.db.shop.svc.clusterset.local": "kind=svc namespace=shop service=db port-name=http protocol=tcp",
      "a.pin._zone.web.shop.svc.clusterset.local": "",
      "www.example.org": "",
      "dns-version.cluster.local": "",
      "a\\032b.shop.svc.cluster.local": "kind=svc namespace=shop service=a\\032b",
    };
    for (const [name, expected] of Object.entries(rows)) {
      it(`${name} has ${expected || "none"}`, () => {
        const labels = kubernetesLabels();
        const found = KEYS.map((key) => [key, labels(query(name), `kubernetes/${key}`)] as const).filter(
          ([, value]) => value !== undefined,
        );
        expect(found.map(([key, value]) => `${key}=${value}`).join(" ")).to.equal(expected);
      });
    }

    it("a zone's name needs the option `zonal`", () => {
      expect(kubernetesLabels({ zonal: false })(query("a.pin._zone.web.shop.svc.cluster.local"), "kubernetes/kind")).to.equal(undefined);
    });

    it("labels of others, and those that there are not, are none", () => {
      for (const label of ["kubernetes/none", "kubernetes/", "kubernetes/toString", "forward/upstream", "", "kind"]) {
        expect(kubernetesLabels()(query("web.shop.svc.cluster.local"), label), label).to.equal(undefined);
      }
    });

    it("the client's Pod is that of its address, if it has it alone", () => {
      const pods = {
        "10.1.0.1": [pod({ name: "web-1", namespace: "shop", addresses: ["10.1.0.1"] })],
        "192.0.2.1": [
          pod({ name: "proxy", namespace: "kube-system", addresses: [] }),
          pod({ name: "cni", namespace: "kube-system", addresses: [] }),
        ],
        "192.0.2.2": [pod({ name: "a", namespace: "x", addresses: [] }), pod({ name: "a", namespace: "y", addresses: [] })],
      };
      const labels = kubernetesLabels({ podsAt: (address) => pods[address as keyof typeof pods] ?? [] });
      const clientOf = (address: string) =>
        ["client-namespace", "client-pod-name"].map((key) =>
          labels(query("www.example.org", { client: { address } }), `kubernetes/${key}`),
        );
      expect(clientOf("10.1.0.1")).to.deep.equal(["shop", "web-1"]);
      expect(clientOf("192.0.2.1")).to.deep.equal(["kube-system", undefined]);
      expect(clientOf("192.0.2.2")).to.deep.equal([undefined, "a"]);
      expect(clientOf("192.0.2.9")).to.deep.equal([undefined, undefined]);
    });
  });

  it("asks the plugin that the label's first part names, for names in its zones", async () => {
    const host = fakeHost("metadata");
    host.siblings["some"] = { metadata: (_query, label) => `it is ${label}` };
    const { metadata: labels, handle } = await setUp(metadata, "metadata example.org", host);
    expect(handle).to.equal(undefined);
    expect(labels?.(query("a.example.org"), "some/thing")).to.equal("it is some/thing");
    expect(labels?.(query("a.example.org"), "some/more/of/it")).to.equal("it is some/more/of/it");
    for (const label of ["other/thing", "some", "/some", ""]) expect(labels?.(query("a.example.org"), label), label).to.equal(undefined);
    expect(labels?.(query("a.example.net"), "some/thing")).to.equal(undefined);
  });

  it("is given once, without a block", () => {
    expect(readDirective(metadata, "metadata\nmetadata").findings.join()).to.contain("this plugin can only be used once per Server Block");
    expect(readDirective(metadata, "metadata {\nx\n}").findings.join()).to.contain("takes no block");
    expect(readDirective(metadata, "metadata a..b").findings.join()).to.contain("must be a zone");
  });

  it("view tells its name", async () => {
    const { metadata: labels } = await setUp(view, "view inner {\nexpr true\n}", fakeHost("view"));
    expect(labels?.(query("example.org"), "view/name")).to.equal("inner");
    expect(labels?.(query("example.org"), "view/other")).to.equal(undefined);
  });

  it("log writes labels, and - where there is none", async () => {
    const host = fakeHost("log");
    const { observe } = await setUp(log, 'log . "{name} {/kubernetes/namespace} {/some/thing}"', host);
    observe?.(query("a.example.org"), sent());
    host.siblings["metadata"] = { metadata: (_query, label) => (label === "kubernetes/namespace" ? "shop" : "") };
    observe?.(query("b.example.org"), sent());
    expect(host.lines).to.deep.equal(["[INFO] a.example.org. - -", "[INFO] b.example.org. shop -"]);
  });

  it("over a socket: log and template tell the namespace asked for and the Pod that asks", async () => {
    const lines: string[] = [];
    const corefile = `. {
      metadata
      log . "{/kubernetes/client-pod-name} asks {/kubernetes/service} in {/kubernetes/namespace} {rcode}"
      kubernetes cluster.local {
        pods verified
      }
      template IN TXT {
        answer "{{ .Name }} TXT \\"{{ .Meta \`kubernetes/client-namespace\` }}\\" \\"{{ .Meta \`kubernetes/service\` }}\\""
      }
    }`;
    await using dns = await startServer({ corefile, address: "127.0.0.1", port: 0, log: fakeLog(lines) });
    dns.registry.apply({ verb: "upsert", object: pod({ name: "client-1", namespace: "apps", addresses: ["127.0.0.1"] }) });
    const told = await ask(dns.address, "web.shop.svc.cluster.local", "TXT");
    expect(told.answer).to.deep.equal(['web.shop.svc.cluster.local. 3600 IN TXT "apps" "web"']);
    await ask(dns.address, "cluster.local", "SOA");
    expect(lines.join("\n")).to.contain("client-1 asks web in shop NOERROR").and.to.contain("client-1 asks - in - NOERROR");
  });
});
