// deploy/kubernetes as a whole: the conventional names, kubeadm's Deployment with nothing but the image changed, a trial
// that stays out of the cluster's way, addresses and rules that fit together.

import { execFileSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { read, root } from "../helpers/source-tree.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import {
  find,
  needsKustomize,
  openedBy,
  parseObjects,
  readObjects,
  render,
  serverOf,
  type KubeObject,
  type Labels,
  type PodSpec,
} from "../helpers/rendered.ts";

interface Service {
  readonly clusterIP: string;
  readonly selector: Labels;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string; readonly targetPort: string }[];
}

interface Selecting {
  readonly selector: { readonly matchLabels: Labels };
}

const kubeadm = readObjects("test/deploy/kubeadm.yaml");
const folder = (name: string): string => `kubernetes/${name}`;

describe("deploy/kubernetes", () => {
  before(function () {
    needsKustomize(this);
  });

  describe("base", () => {
    let objects: readonly KubeObject[];
    before(() => {
      objects = render(folder("base"));
    });

    it("has every object of kubeadm's under its name", () => {
      for (const { kind, metadata } of kubeadm) {
        expect(find(objects, kind, metadata.name).metadata.namespace, `${kind} ${metadata.name}`).to.equal(metadata.namespace);
      }
    });

    it("the container is kubeadm's but for the image", () => {
      const ours = serverOf(objects, "Deployment", "coredns");
      const theirs = serverOf(kubeadm, "Deployment", "coredns");
      expect({ ...ours.container, image: "" }).to.deep.equal({ ...theirs.container, image: "" });
      expect(ours.pod.volumes).to.deep.equal(theirs.pod.volumes);
      expect(ours.labels).to.deep.equal(theirs.labels);
    });

    it("the Pod has kubeadm's priority, account, node selector and tolerations", () => {
      const ours = serverOf(objects, "Deployment", "coredns").pod;
      const {
        affinity: _,
        containers: _containers,
        ...theirs
      } = serverOf(kubeadm, "Deployment", "coredns").pod as PodSpec & { affinity: unknown };
      expect(ours).to.deep.include(theirs);
    });

    it("Pods keep apart: by node and by zone", () => {
      const pod = serverOf(objects, "Deployment", "coredns").pod as PodSpec & {
        affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ podAffinityTerm: { topologyKey: string } }] } };
        topologySpreadConstraints: [{ topologyKey: string; whenUnsatisfiable: string }];
      };
      const [{ podAffinityTerm }] = pod.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
      expect(podAffinityTerm.topologyKey).to.equal("kubernetes.io/hostname");
      expect(pod.topologySpreadConstraints[0]).to.include({
        topologyKey: "topology.kubernetes.io/zone",
        whenUnsatisfiable: "ScheduleAnyway",
      });
    });

    it("the Service is kubeadm's: address, ports, selector, labels, annotations", () => {
      const ours = find(objects, "Service", "kube-dns");
      const theirs = find(kubeadm, "Service", "kube-dns");
      const { resourceVersion: _, ...metadata } = theirs.metadata as typeof theirs.metadata & { resourceVersion: string };
      expect(ours.metadata).to.deep.equal(metadata);
      expect(numbered(ours, objects)).to.deep.equal(theirs.spec);
    });

    it("may list and watch Services, EndpointSlices, Endpoints, Pods and Namespaces, and nothing else", () => {
      const { rules } = find(objects, "ClusterRole", "system:coredns");
      expect(rules).to.deep.equal(find(kubeadm, "ClusterRole", "system:coredns").rules);
      expect(objects.filter(({ kind }) => kind === "Role")).to.deep.equal([]);
    });

    it("the Corefile is kubeadm's, directive by directive, and kubeadm's own has no errors", () => {
      const theirs = find(kubeadm, "ConfigMap", "coredns").data?.["Corefile"] ?? "";
      expect(directivesOf(serverOf(objects, "Deployment", "coredns").corefile)).to.deep.equal(directivesOf(theirs));
      expect(openedBy(theirs).errors).to.deep.equal([]);
    });

    it("a drained node takes one Pod at a time", () => {
      const { maxUnavailable, selector } = find(objects, "PodDisruptionBudget", "coredns").spec as Selecting & { maxUnavailable: number };
      expect(maxUnavailable).to.equal(1);
      expect(selector.matchLabels).to.deep.equal(serverOf(objects, "Deployment", "coredns").labels);
    });

    it("the network policy lets in DNS from everywhere and metrics, out the API server and DNS", () => {
      const policy = find(objects, "NetworkPolicy", "coredns").spec as {
        podSelector: { matchLabels: Labels };
        policyTypes: string[];
        ingress: { from?: unknown; ports: { port: number; protocol: string }[] }[];
        egress: { to?: unknown; ports: { port: number; protocol: string }[] }[];
      };
      const { labels, corefile } = serverOf(objects, "Deployment", "coredns");
      const { dnsPort, http } = openedBy(corefile);
      const shown = (ports: { port: number; protocol: string }[]): string[] => ports.map(({ port, protocol }) => `${port}/${protocol}`);
      expect(policy.podSelector.matchLabels).to.deep.equal(labels);
      expect(policy.policyTypes).to.deep.equal(["Ingress", "Egress"]);
      const [dns, metrics, ...more] = policy.ingress;
      expect(shown(dns?.ports ?? [])).to.deep.equal([`${dnsPort}/UDP`, `${dnsPort}/TCP`]);
      expect(dns).to.not.have.property("from");
      expect(shown(metrics?.ports ?? [])).to.deep.equal([`${http["/metrics"]?.port}/TCP`]);
      expect(more).to.deep.equal([]);
      expect(policy.egress.map(({ ports }) => shown(ports))).to.deep.equal([
        ["443/TCP", "6443/TCP"],
        ["53/UDP", "53/TCP"],
      ]);
    });
  });

  describe("components/autoscaler", () => {
    let objects: readonly KubeObject[];
    before(() => {
      using work = temporaryFolder({
        "top/kustomization.yaml": "resources: [../kubernetes/base]\ncomponents: [../kubernetes/components/autoscaler]\n",
      });
      cpSync(join(root, "deploy/kubernetes"), join(work.path, "kubernetes"), { recursive: true });
      objects = parseObjects(execFileSync("kubectl", ["kustomize", join(work.path, "top")], { encoding: "utf8" }));
    });

    it("takes the number of Pods over", () => {
      expect(find(objects, "Deployment", "coredns").spec).to.not.have.property("replicas");
    });

    it("has the addon's parameters, for the base's Deployment", () => {
      const { containers } = (find(objects, "Deployment", "kube-dns-autoscaler").spec as { template: { spec: PodSpec } }).template.spec;
      const command = containers[0]?.command ?? [];
      expect(command).to.include.members(["--namespace=kube-system", "--target=deployment/coredns"]);
      const params = command.find((word) => word.startsWith("--default-params="))?.slice("--default-params=".length) ?? "";
      expect(JSON.parse(params)).to.deep.equal({
        linear: { coresPerReplica: 256, nodesPerReplica: 16, preventSinglePointFailure: true, includeUnschedulableNodes: true },
      });
    });
  });

  describe("overlays/swap", () => {
    it("has nothing but the image, for server-side apply", () => {
      const image = serverOf(render(folder("base")), "Deployment", "coredns").container.image;
      const spec = { template: { spec: { containers: [{ name: "coredns", image }] } } };
      const metadata = { name: "coredns", namespace: "kube-system" };
      expect(render(folder("overlays/swap"))).to.deep.equal([{ apiVersion: "apps/v1", kind: "Deployment", metadata, spec }]);
    });

    it("merged into kubeadm's Deployment, it changes the image and nothing else", () => {
      using work = temporaryFolder({
        "kustomization.yaml": "resources: [kubeadm.yaml]\npatches: [{ path: image.yaml }]\n",
        "kubeadm.yaml": read("test/deploy/kubeadm.yaml"),
        "image.yaml": read("deploy/kubernetes/overlays/swap/image.yaml"),
      });
      const swapped = parseObjects(execFileSync("kubectl", ["kustomize", work.path], { encoding: "utf8" }));
      const before = find(kubeadm, "Deployment", "coredns");
      const after = find(swapped, "Deployment", "coredns");
      expect(JSON.stringify(after)).to.include('"image":"ndots"');
      const images = /"image":"[^"]*"/g;
      expect(sorted(JSON.parse(JSON.stringify(after).replace(images, '"image":""')))).to.deep.equal(
        sorted(JSON.parse(JSON.stringify(before).replace(images, '"image":""'))),
      );
    });

    it("the README's `kubectl set image` names the Deployment and container that kubeadm has", () => {
      const [, deployment, container] =
        /kubectl -n kube-system set image deployment\/(\S+) (\S+)=/.exec(read("deploy/kubernetes/README.md")) ?? [];
      expect(find(kubeadm, "Deployment", deployment ?? "")).to.be.an("object");
      expect(serverOf(kubeadm, "Deployment", "coredns").container.name).to.equal(container);
    });
  });

  describe("overlays/parallel", () => {
    let objects: readonly KubeObject[];
    before(() => {
      objects = render(folder("overlays/parallel"));
    });

    it("shares no name with the cluster's DNS", () => {
      const name = ({ kind, metadata }: KubeObject): string => `${kind} ${metadata.name}`;
      const taken = render(folder("base")).map(name);
      expect(objects).to.have.lengthOf(taken.length);
      expect(objects.map(name).filter((one) => taken.includes(one))).to.deep.equal([]);
    });

    it("its Pods are selected by its own Service, budget and policy, and not by the cluster's", () => {
      const { labels, workload } = serverOf(objects, "Deployment", "coredns-trial");
      expect((workload.spec as Selecting).selector.matchLabels).to.deep.equal(labels);
      expect((find(objects, "Service", "kube-dns-trial").spec as Service).selector).to.deep.equal(labels);
      expect((find(objects, "PodDisruptionBudget", "coredns-trial").spec as Selecting).selector.matchLabels).to.deep.equal(labels);
      expect(JSON.stringify(objects)).to.not.include('"k8s-app":"kube-dns"');
    });

    it("is not listed among the cluster's services", () => {
      expect(JSON.stringify(objects)).to.not.include("kubernetes.io/cluster-service");
    });

    it("its account has the rights, by its own binding", () => {
      const { pod } = serverOf(objects, "Deployment", "coredns-trial");
      const binding = find(objects, "ClusterRoleBinding", "system:coredns-trial") as KubeObject & {
        roleRef: { name: string };
        subjects: { name: string; namespace: string }[];
      };
      expect(binding.roleRef.name).to.equal("system:coredns-trial");
      expect(binding.subjects).to.deep.equal([{ kind: "ServiceAccount", name: pod.serviceAccountName, namespace: "kube-system" }]);
    });

    it("the client asks its Service", () => {
      const client = find(readObjects("deploy/kubernetes/overlays/parallel/client.yaml"), "Pod", "dns-trial");
      const { clusterIP } = find(objects, "Service", "kube-dns-trial").spec as Service;
      expect((client.spec as PodSpec).dnsConfig?.nameservers).to.deep.equal([clusterIP]);
      expect(clusterIP).to.not.equal((find(kubeadm, "Service", "kube-dns").spec as Service).clusterIP);
    });
  });

  describe("overlays/node-local", () => {
    it("binds the addresses that its first container makes, and is probed at the link-local one", () => {
      const { pod, corefile } = serverOf(render(folder("overlays/node-local")), "DaemonSet", "node-local-dns");
      const [addresses] = pod.initContainers ?? [];
      const made = addresses?.env?.find(({ name }) => name === "ADDRESSES")?.value.split(" ");
      expect(openedBy(corefile).hosts).to.deep.equal(made);
      expect(made?.[0]).to.equal("169.254.20.10");
      expect(made?.[1]).to.equal((find(kubeadm, "Service", "kube-dns").spec as Service).clusterIP);
    });

    it("only the container that makes addresses may change the node's network", () => {
      const { pod } = serverOf(render(folder("overlays/node-local")), "DaemonSet", "node-local-dns");
      const powers = [...(pod.initContainers ?? []), ...pod.containers].map(({ securityContext }) => securityContext.capabilities.add);
      expect(powers).to.deep.equal([["NET_ADMIN"], ["NET_BIND_SERVICE"]]);
      expect(pod.hostNetwork).to.equal(true);
    });

    it("has the rights of the cluster's DNS, and brings none", () => {
      const objects = render(folder("overlays/node-local"));
      expect(objects.map(({ kind }) => kind)).to.have.members(["ConfigMap", "DaemonSet", "Service"]);
      expect(serverOf(objects, "DaemonSet", "node-local-dns").pod.serviceAccountName).to.equal("coredns");
    });
  });

  describe("overlays/node-cache", () => {
    it("asks the Pods of the cluster's DNS by a Service that no node binds, over TCP, and has no account", () => {
      const objects = render(folder("overlays/node-cache"));
      expect(objects.map(({ kind }) => kind)).to.have.members(["ConfigMap", "DaemonSet", "Service", "Service"]);
      const { pod, corefile } = serverOf(objects, "DaemonSet", "node-local-dns");
      expect(pod).to.include({ automountServiceAccountToken: false }).and.to.not.have.property("serviceAccountName");
      const { selector, ports, clusterIP } = find(objects, "Service", "kube-dns-upstream").spec as Service;
      const { labels } = serverOf(render(folder("base")), "Deployment", "coredns");
      expect({ selector, clusterIP }).to.deep.equal({ selector: labels, clusterIP: undefined });
      expect(ports.map(({ port, protocol }) => `${port}/${protocol}`)).to.deep.equal(["53/UDP", "53/TCP"]);
      const forward = directivesOf(corefile).find(([name]) => name === "forward");
      expect(forward).to.deep.equal(["forward", ".", "{$KUBE_DNS_UPSTREAM_SERVICE_HOST}", "{", "force_tcp", "}"]);
    });

    it("is node-local's DaemonSet but for the account", () => {
      const [cache, full] = ["overlays/node-cache", "overlays/node-local"].map(
        (name) => serverOf(render(folder(name)), "DaemonSet", "node-local-dns").pod,
      );
      const { automountServiceAccountToken: _, ...rest } = cache as PodSpec;
      expect({ ...rest, serviceAccountName: "coredns" }).to.deep.equal(full);
    });
  });

  describe("overlays/openshift", () => {
    it("listens on 5353 behind port 53 of the Service", () => {
      const objects = render(folder("overlays/openshift"));
      const service = find(objects, "Service", "dns-default");
      expect(openedBy(serverOf(objects, "DaemonSet", "dns-default").corefile)).to.include({ dnsPort: 5353, lameduckMs: 20_000 });
      expect((numbered(service, objects, "DaemonSet", "dns-default") as { ports: unknown }).ports).to.deep.equal([
        { name: "dns", port: 53, protocol: "UDP", targetPort: 5353 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 5353 },
        { name: "metrics", port: 9153, protocol: "TCP", targetPort: 9153 },
      ]);
      expect(service.spec).to.include({ trafficDistribution: "PreferSameNode" });
    });

    it("its rights are the base's", () => {
      const { rules } = find(render(folder("overlays/openshift")), "ClusterRole", "openshift-dns");
      expect(rules).to.deep.equal(find(render(folder("base")), "ClusterRole", "system:coredns").rules);
    });
  });

  it("every Service selects the Pods of its workload", () => {
    for (const [name, kind, workload, service] of [
      ["base", "Deployment", "coredns", "kube-dns"],
      ["overlays/node-local", "DaemonSet", "node-local-dns", "node-local-dns"],
      ["overlays/node-cache", "DaemonSet", "node-local-dns", "node-local-dns"],
      ["overlays/openshift", "DaemonSet", "dns-default", "dns-default"],
    ] as const) {
      const objects = render(folder(name));
      const { labels, workload: found } = serverOf(objects, kind, workload);
      expect(labels).to.deep.include((find(objects, "Service", service).spec as Service).selector);
      expect(labels).to.deep.include((found.spec as Selecting).selector.matchLabels);
    }
  });
});

// A Service's spec with its targetPorts as numbers: kubeadm writes numbers, we write names.
function numbered(service: KubeObject, objects: readonly KubeObject[], kind = "Deployment", name = "coredns"): unknown {
  const { container } = serverOf(objects, kind, name);
  const spec = service.spec as Service;
  const numberOf = (target: string, protocol: string): number | undefined =>
    container.ports.find((port) => port.name === target && port.protocol === protocol)?.containerPort;
  return { ...spec, ports: spec.ports.map((port) => ({ ...port, targetPort: numberOf(port.targetPort, port.protocol) })) };
}

// The words of each directive of the first block, with those of its own block.
function directivesOf(corefile: string): string[][] {
  const found: string[][] = [];
  let depth = 0;
  for (const line of corefile.split("\n")) {
    const words = line
      .trim()
      .split(/\s+/)
      .filter((word) => word !== "");
    if (depth === 1 && words.length > 0 && words[0] !== "}") found.push([]);
    if (depth > 0) found.at(-1)?.push(...words);
    depth += words.filter((word) => word === "{").length - words.filter((word) => word === "}").length;
    if (depth === 0 && found.length > 0) break;
  }
  found.at(-1)?.pop(); // the block's own brace
  return found;
}

// Lists of fields have no order; keys of JSON have one.
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
