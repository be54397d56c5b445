// The servers in deploy/ started as their manifests say, without a cluster: image, arguments, user, capabilities, sysctls,
// read-only root, mounts and resolv.conf as a kubelet would give them, the API server a fake one in the same network, the
// node's resolver and the cluster's DNS in another one. Every probe is called, and DNS is asked where a Service or a Pod
// would ask. kubernetes/base has kubeadm's container, which test/deploy holds it to.

import { expect } from "chai";
import { until } from "../helpers/listening.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { temporaryFolder, type Running } from "../helpers/ndots-process.ts";
import {
  bytesOf,
  find,
  needsKustomize,
  openedBy,
  readObjects,
  render,
  serverOf,
  type KubeObject,
  type Probe,
  type Server,
} from "../helpers/rendered.ts";
import { containerPrograms, dig, layOutImage, pidOf, statusOf, type Image } from "./container.ts";
import {
  CLUSTER_DNS,
  CLUSTER_DNS_UPSTREAM,
  EXTERNAL_ADDRESS,
  fetchInNetworkOf,
  mountsOf,
  prepareNetwork,
  startApi,
  startDeployed,
  startPodNetwork,
} from "./deployed.ts";
import type { Asked } from "./in-cluster-api.ts";

const cluster = [
  ...["default", "kube-system", "shop"].map((name) => ({ kind: "Namespace", metadata: { name } })),
  service("default", "kubernetes", "10.96.0.1"),
  service("kube-system", "kube-dns", "10.96.0.10"),
  service("shop", "orders", "10.96.7.7"),
];

interface Row {
  readonly title: string;
  readonly objects: () => readonly KubeObject[];
  readonly kind: string;
  readonly name: string;
  /** The role whose rules the API server enforces; none: there is no API server. */
  readonly role?: { readonly kind: string; readonly name: string };
  /** A name and its address, or an rcode. */
  readonly answers: Readonly<Record<string, string>>;
}

/** The cluster's DNS, and what it alone knows. */
const clusterDns = [
  `--listen-address=${CLUSTER_DNS},${CLUSTER_DNS_UPSTREAM}`,
  "--local=/cluster.local/",
  "--host-record=elsewhere.default.svc.cluster.local,10.96.9.9",
];

const everything = {
  "kubernetes.default.svc.cluster.local": "10.96.0.1",
  "orders.shop.svc.cluster.local": "10.96.7.7",
  "nothing.shop.svc.cluster.local": "NXDOMAIN",
  "elsewhere.default.svc.cluster.local": "NXDOMAIN",
  "www.example.org": EXTERNAL_ADDRESS,
};
const forwarded = {
  "elsewhere.default.svc.cluster.local": "10.96.9.9",
  "nothing.shop.svc.cluster.local": "NXDOMAIN",
  "www.example.org": EXTERNAL_ADDRESS,
};
const rows: readonly Row[] = [
  {
    title: "kubeadm's Deployment with our image and nothing else changed",
    objects: () => readObjects("test/deploy/kubeadm.yaml"),
    kind: "Deployment",
    name: "coredns",
    role: { kind: "ClusterRole", name: "system:coredns" },
    answers: everything,
  },
  {
    title: "kubernetes/overlays/node-local",
    objects: () => [...render("kubernetes/overlays/node-local"), ...render("kubernetes/base")],
    kind: "DaemonSet",
    name: "node-local-dns",
    role: { kind: "ClusterRole", name: "system:coredns" },
    answers: everything,
  },
  {
    title: "kubernetes/overlays/node-cache",
    objects: () => render("kubernetes/overlays/node-cache"),
    kind: "DaemonSet",
    name: "node-local-dns",
    answers: forwarded,
  },
  {
    title: "kubernetes/overlays/node-cache with NodeLocal DNSCache's own Corefile",
    objects: () => render("kubernetes/overlays/node-cache").map(withNodeLocalDnsCache),
    kind: "DaemonSet",
    name: "node-local-dns",
    answers: forwarded,
  },
  {
    title: "kubernetes/overlays/openshift",
    objects: () => render("kubernetes/overlays/openshift"),
    kind: "DaemonSet",
    name: "dns-default",
    role: { kind: "ClusterRole", name: "openshift-dns" },
    answers: everything,
  },
  {
    title: "sidecar/manifests",
    objects: () => render("sidecar/manifests"),
    kind: "Pod",
    name: "app",
    answers: { ...forwarded, "orders.shop.svc.cluster.local": "10.0.0.20" },
  },
  {
    title: "sidecar/api",
    objects: () => render("sidecar/api"),
    kind: "Pod",
    name: "app",
    role: { kind: "Role", name: "app-dns" },
    answers: { ...forwarded, "orders.shop.svc.cluster.local": "10.96.7.7" },
  },
];

describe("deploy: servers started as their manifests say (C126)", function () {
  this.timeout(60_000);
  const images = new Map<boolean, Image>();

  before(function () {
    needsRoot(this);
    needsKustomize(this);
    needsPrograms(this, ...containerPrograms, "busybox", "dnsmasq");
    for (const nocap of [false, true]) images.set(nocap, layOutImage(nocap ? "nocap" : "standard"));
  });

  after(() => {
    for (const image of images.values()) image[Symbol.dispose]();
  });

  for (const { title, objects: objectsOf, kind, name, role, answers } of rows) {
    it(`${title}: answers for the cluster and the rest, probes as the kubelet would, asks the API for no more than it may`, async () => {
      const objects = objectsOf();
      const server = serverOf(objects, kind, name);
      await using network = await startPodNetwork(...clusterDns);
      const { pid } = network;
      prepareNetwork(server, pid);
      using work = temporaryFolder();
      const { api, authority } = role === undefined ? {} : await startApi(network, find(objects, role.kind, role.name), cluster);
      await using _api = api;
      const image = images.get(server.container.image.endsWith("-nocap")) as Image;
      await using running = startDeployed(server, image, network, mountsOf(server, work, authority));
      await running.shows(/^ndots-/m);

      const { hosts, dnsPort, http } = openedBy(server.corefile);
      const { livenessProbe, readinessProbe, startupProbe } = server.container;
      const readiness = http["/ready"] === undefined ? livenessProbe : (readinessProbe ?? startupProbe);
      const get = (path: string, probe: Probe): string => httpGet(pid, server, path, probe);
      await until(() => readiness !== undefined && get(readiness.httpGet.path, readiness) === "OK", `ready: ${running.stdout()}`);
      expect(get(livenessProbe.httpGet.path, livenessProbe)).to.equal("OK");

      const metrics = http["/metrics"];
      if (metrics !== undefined) {
        const page = fetchInNetworkOf(pid, `http://127.0.0.1:${metrics.port}/metrics`);
        expect(page).to.include("ndots_listener_info");
      }
      for (const host of hosts.length === 0 ? ["127.0.0.1"] : hosts) {
        for (const [qname, answer] of Object.entries(answers)) {
          for (const transport of ["+notcp", "+tcp"]) {
            const reply = dig(pid, `@${host}`, "-p", String(dnsPort), transport, qname);
            const expected = /^\d/.test(answer) ? new RegExp(`\\sIN\\s+A\\s+${answer}$`, "m") : new RegExp(`status: ${answer},`);
            expect(reply, `${qname} @${host} ${transport}`).to.match(expected);
          }
        }
      }

      const portable = server.container.args.includes("-listeners=portable");
      expect(running.stdout()).to.match(
        portable ? /^\[INFO\] listening on .* on the main thread/m : /^\[INFO\] listening on .* a UDP thread \(recvmmsg\)/m,
      );
      const status = statusOf(running);
      expect(status).to.match(/^Uid:\t65532\t65532\t65532\t65532$/m);
      expect(status).to.match(/^NoNewPrivs:\t1$/m);
      const peakKib = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]);
      expect(peakKib * 1024).to.be.within(1, bytesOf(server.container.resources.limits["memory"] ?? ""));

      process.kill(pidOf(running), "SIGINT");
      expect(await running.ended).to.include({ code: 0, stderr: "" });
      if (api !== undefined && role !== undefined) expectWithin(await requestsOf(api), find(objects, role.kind, role.name));
    });
  }
});

// Its ConfigMap, filled in as its manifest says.
function withNodeLocalDnsCache(object: KubeObject): KubeObject {
  return object.kind === "ConfigMap" ? { ...object, data: { Corefile: NODE_LOCAL_DNS_CACHE } } : object;
}

async function requestsOf(api: Running): Promise<Asked[]> {
  api.child.kill("SIGTERM");
  const { stdout } = await api.ended;
  const lines = stdout.split("\n").filter((line) => line.startsWith('{"verb"'));
  return lines.map((line) => JSON.parse(line) as Asked);
}

function expectWithin(asked: readonly Asked[], { kind, rules = [] }: KubeObject): void {
  expect(asked).to.not.have.lengthOf(0);
  // A Role can't allow a namespace itself: it is asked for, refused, and taken as there.
  const beyond = asked.filter(
    ({ verb, resource, namespace }) =>
      !rules.some(
        ({ resources, verbs }) => resources.includes(resource) && verbs.includes(verb) && (kind === "ClusterRole" || namespace === "shop"),
      ),
  );
  expect(new Set(beyond.map(({ resource }) => resource))).to.deep.equal(new Set(kind === "Role" ? ["namespaces"] : []));
}

function httpGet(pid: number, { container }: Server, path: string, { httpGet: { port, host = "127.0.0.1" } }: Probe): string {
  const number = container.ports.find(({ name }) => name === port)?.containerPort;
  return fetchInNetworkOf(pid, `http://${host}:${number}${path}`);
}

function service(
  namespace: string,
  name: string,
  clusterIP: string,
): { kind: string; metadata: { namespace: string; name: string }; spec: object } {
  return { kind: "Service", metadata: { namespace, name }, spec: { clusterIP, ports: [{ name: "http", port: 80 }] } };
}

// Of Kubernetes' cluster/addons/dns/nodelocaldns (Apache-2.0), its __PILLAR__ words filled in.
const CACHED = `bind 169.254.20.10 10.96.0.10
    forward . ${CLUSTER_DNS_UPSTREAM} {
            force_tcp
    }
    prometheus :9253`;
const NODE_LOCAL_DNS_CACHE = `cluster.local:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    ${CACHED}
    health 169.254.20.10:8080
    }
in-addr.arpa:53 {
    errors
    cache 30
    reload
    loop
    ${CACHED}
    }
ip6.arpa:53 {
    errors
    cache 30
    reload
    loop
    ${CACHED}
    }
.:53 {
    errors
    cache 30
    reload
    loop
    bind 169.254.20.10 10.96.0.10
    forward . /etc/resolv.conf
    prometheus :9253
    }
`;
