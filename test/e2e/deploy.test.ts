// The servers in deploy/ started as their manifests say, without a cluster: image, arguments, user, capabilities, sysctls,
// read-only root and mounts as a kubelet would give them, the API server a fake one in the same network. Every probe is
// called, and DNS is asked where a Service or a Pod would ask. kubernetes/base has kubeadm's container, which
// test/deploy holds it to.

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { plugins } from "../../src/plugins/index.ts";
import { until } from "../helpers/listening.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { root, startProcess, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";
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
import { containerPrograms, dig, layOutImage, pidOf, runInNetworkOf, startContainer, statusOf, type Image } from "./container.ts";
import type { Asked, InClusterApi } from "./in-cluster-api.ts";

/** linux/capability.h */
const CAPABILITIES: Readonly<Record<string, number>> = { NET_BIND_SERVICE: 10 };
const API_PORT = 6443;
const TOKEN = "a-token";
const PATIENCE_MS = 30_000;
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

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

const everything = {
  "kubernetes.default.svc.cluster.local": "10.96.0.1",
  "orders.shop.svc.cluster.local": "10.96.7.7",
  "nothing.shop.svc.cluster.local": "NXDOMAIN",
  "example.org": "REFUSED",
};
const rows: readonly Row[] = [
  {
    title: "kubeadm's Deployment with our image and nothing else changed",
    objects: () => readObjects("test/deploy/kubeadm.yaml").map(withoutMissing),
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
    answers: { "orders.shop.svc.cluster.local": "10.0.0.20", "nothing.shop.svc.cluster.local": "NXDOMAIN", "example.org": "REFUSED" },
  },
  {
    title: "sidecar/api",
    objects: () => render("sidecar/api"),
    kind: "Pod",
    name: "app",
    role: { kind: "Role", name: "app-dns" },
    answers: { ...everything, "kubernetes.default.svc.cluster.local": "NXDOMAIN" },
  },
];

describe("deploy: servers started as their manifests say (C126)", function () {
  this.timeout(60_000);
  const images = new Map<boolean, Image>();

  before(function () {
    needsRoot(this);
    needsKustomize(this);
    needsPrograms(this, ...containerPrograms, "busybox");
    for (const nocap of [false, true]) images.set(nocap, layOutImage(nocap ? "nocap" : "standard"));
  });

  after(() => {
    for (const image of images.values()) image[Symbol.dispose]();
  });

  for (const { title, objects: objectsOf, kind, name, role, answers } of rows) {
    it(`${title}: answers, probes as the kubelet would, asks the API for no more than it may`, async () => {
      const objects = objectsOf();
      const server = serverOf(objects, kind, name);
      await using network = startNetwork();
      await network.shows(/^up$/m);
      const pid = network.child.pid ?? 0;
      prepareNetwork(server, pid);
      using work = temporaryFolder();
      const mounts = mountsOf(server, work);
      await using api = role === undefined ? undefined : startApi(pid, find(objects, role.kind, role.name));
      if (api !== undefined) {
        const [line] = await api.shows(/^\{"authority":.*$/m);
        mounts[SERVICE_ACCOUNT] = serviceAccount(work, (JSON.parse(line) as { authority: string }).authority);
      }
      const { capabilities } = server.container.securityContext;
      const [sysctl] = server.pod.securityContext?.sysctls ?? [];
      await using running = startContainer(images.get(server.container.image.endsWith("-nocap")) as Image, {
        capabilities: capabilities.add?.map((capability) => CAPABILITIES[capability]).join(",") ?? "-",
        ...(sysctl !== undefined && { sysctl: `${sysctl.name.replaceAll(".", "/")}=${sysctl.value}` }),
        args: server.container.args,
        env: { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(API_PORT) },
        mounts,
        networkOf: pid,
        patienceMs: PATIENCE_MS,
      });
      await running.shows(/^ndots-/m);

      const { livenessProbe, readinessProbe, startupProbe } = server.container;
      const readiness = readinessProbe ?? startupProbe;
      const get = (path: string, probe: Probe): string => httpGet(pid, server, path, probe);
      await until(() => readiness !== undefined && get(readiness.httpGet.path, readiness) === "200 OK", `ready: ${running.stdout()}`);
      expect(get(livenessProbe.httpGet.path, livenessProbe)).to.equal("200 OK");

      const { hosts, dnsPort, http } = openedBy(server.corefile);
      const metrics = http["/metrics"];
      if (metrics !== undefined) {
        const page = fetchInNetworkOf(pid, `http://127.0.0.1:${metrics.port}/metrics`);
        expect(page).to.match(/^200 /).and.include("ndots_listener_info");
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

// kubeadm's Corefile less what this version has not; see test/deploy/kubernetes.test.ts.
function withoutMissing(object: KubeObject): KubeObject {
  const corefile = object.data?.["Corefile"];
  if (corefile === undefined) return object;
  const missing = ["forward", "cache", "loop"].filter((name) => !plugins.has(name)).join("|");
  const directive = new RegExp(`^ {4}(${missing})\\b.*?(\\{$[\\s\\S]*?^ {4}\\}$|$)\\n`, "gm");
  return { ...object, data: { Corefile: missing === "" ? corefile : corefile.replace(directive, "") } };
}

// Holds a network of its own; the API server, the container and the questions join it.
function startNetwork(): Running {
  return startProcess("unshare", ["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 60"], {
    patienceMs: PATIENCE_MS,
  });
}

// What init containers before the server do to the network, with busybox as their image has it.
function prepareNetwork({ pod, container }: Server, pid: number): void {
  using applets = temporaryFolder();
  const busybox = runInNetworkOf(pid, "sh", "-c", "command -v busybox").trim();
  for (const applet of ["sh", "ip", "grep"]) symlinkSync(busybox, join(applets.path, applet));
  for (const { name, command = [], env = [] } of pod.initContainers ?? []) {
    if (name === container.name) break;
    const variables = [`PATH=${applets.path}`, ...env.map(({ name: variable, value }) => `${variable}=${value}`)];
    // A restarted node runs it on a network that has been prepared.
    for (let time = 0; time < 2; time++) runInNetworkOf(pid, "env", ...variables, ...command);
  }
}

// The container's ConfigMaps as the kubelet lays them out: `..data` leads to a folder, each key to a file in it.
function mountsOf({ objects, pod, container }: Server, work: Folder): Record<string, string> {
  const mounts: Record<string, string> = {};
  for (const { name, mountPath } of container.volumeMounts) {
    const configMap = pod.volumes.find((volume) => volume.name === name)?.configMap;
    if (configMap !== undefined) mounts[mountPath] = keyFiles(join(work.path, name), find(objects, "ConfigMap", configMap.name).data ?? {});
  }
  return mounts;
}

function serviceAccount(work: Folder, authority: string): string {
  return keyFiles(join(work.path, "service-account"), { token: TOKEN, "ca.crt": authority, namespace: "shop" });
}

function keyFiles(folder: string, data: Readonly<Record<string, string>>): string {
  mkdirSync(join(folder, "..2026"), { recursive: true });
  symlinkSync("..2026", join(folder, "..data"));
  for (const [key, text] of Object.entries(data)) {
    writeFileSync(join(folder, "..2026", key), text);
    symlinkSync(`..data/${key}`, join(folder, key));
  }
  return folder;
}

function startApi(pid: number, { kind, rules = [] }: KubeObject): Running {
  const options: InClusterApi = { token: TOKEN, port: API_PORT, rules, objects: cluster, ...(kind === "Role" && { namespace: "shop" }) };
  const program = [process.execPath, "--import", "tsx", join(root, "test/e2e/in-cluster-api.ts"), JSON.stringify(options)];
  return startProcess("nsenter", ["-t", String(pid), "--net", ...program], { cwd: root, patienceMs: PATIENCE_MS });
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

// `200 BODY`
function fetchInNetworkOf(pid: number, url: string): string {
  const program = `fetch(${JSON.stringify(url)}).then(async (reply) => process.stdout.write(reply.status + " " + (await reply.text())))`;
  return runInNetworkOf(pid, process.execPath, "-e", program);
}

function service(
  namespace: string,
  name: string,
  clusterIP: string,
): { kind: string; metadata: { namespace: string; name: string }; spec: object } {
  return { kind: "Service", metadata: { namespace, name }, spec: { clusterIP, ports: [{ name: "http", port: 80 }] } };
}
