// Every server in deploy/ against what ndots really does: its arguments, ports, probes, capabilities, Corefile.

import { expect } from "chai";
import { fromCoreDnsFlags } from "../../src/coredns-flags.ts";
import { silentLog } from "../../src/log.ts";
import { checkConfiguration } from "../../src/server.ts";
import { lastOf, parseDockerfile } from "../helpers/dockerfile.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import { read } from "../helpers/source-tree.ts";
import { bytesOf, needsKustomize, openedBy, render, serverOf, serviceVariables, type Probe, type Server } from "../helpers/rendered.ts";

const KIB = 1024;
/** Kubernetes' default, which the addon leaves as it is. */
const GRACE_SECONDS = 30;
/** server.ts's LONGEST_DRAIN_MS, README of `health`. */
const LONGEST_DRAIN_MS = 25_000;
/** What a container runtime gives a Pod's network, and a node has. */
const FIRST_UNPRIVILEGED_PORT = 1024;

const servers: readonly { folder: string; kind: string; name: string; image: string }[] = [
  { folder: "kubernetes/base", kind: "Deployment", name: "coredns", image: "standard" },
  { folder: "kubernetes/overlays/parallel", kind: "Deployment", name: "coredns-trial", image: "standard" },
  { folder: "kubernetes/overlays/node-local", kind: "DaemonSet", name: "node-local-dns", image: "standard" },
  { folder: "kubernetes/overlays/node-cache", kind: "DaemonSet", name: "node-local-dns", image: "standard" },
  { folder: "kubernetes/overlays/openshift", kind: "DaemonSet", name: "dns-default", image: "nocap" },
  { folder: "sidecar/manifests", kind: "Pod", name: "app", image: "nocap" },
  { folder: "sidecar/api", kind: "Pod", name: "app", image: "nocap" },
];
const { version } = JSON.parse(read("package.json")) as { version: string };

for (const { folder, kind, name, image } of servers) {
  describe(`deploy/${folder}: ${kind} ${name}`, () => {
    let server: Server;
    before(function () {
      needsKustomize(this);
      server = serverOf(render(folder), kind, name);
    });

    it(`takes the ${image} image of this version`, () => {
      expect(server.container.image).to.equal(`registry.example.org/ndots:${version}${image === "nocap" ? "-nocap" : ""}`);
    });

    it("its arguments are CoreDNS's, and name the mounted Corefile", () => {
      const sidecars = kind === "Pod" ? ["--listeners=portable"] : [];
      expect(fromCoreDnsFlags(server.container.args)).to.deep.equal(["--conf=/etc/coredns/Corefile", ...sidecars]);
      const [mount] = server.container.volumeMounts.filter(({ mountPath }) => mountPath === "/etc/coredns");
      expect(mount?.readOnly).to.equal(true);
    });

    it("starts as the image says; in a sidecar with a heap below the limit, and without optimized code", () => {
      const { command, resources } = server.container;
      expect(command !== undefined).to.equal(kind === "Pod");
      if (command === undefined) return;
      const [, heapMib = ""] = /^--max-old-space-size=(\d+)$/.exec(command[1] ?? "") ?? [];
      expect(bytesOf(`${heapMib}Mi`)).to.be.within(1, bytesOf(resources.limits["memory"] ?? "") / 2);
      const added = [command[1], "--no-opt", "--no-maglev", "--no-sparkplug", "--optimize-for-size"];
      const { instructions = [] } = parseDockerfile(read("Dockerfile")).find(({ name: stage }) => stage === "app") ?? {};
      expect(command.filter((word) => !added.includes(word))).to.deep.equal(lastOf(instructions, "ENTRYPOINT"));
    });

    it("its Corefile gives `ndots check` nothing to say, in a Pod", async () => {
      expect(server.corefile).to.not.equal("");
      using zones = temporaryFolder(server.objects.find(({ metadata }) => metadata.name === "cluster-manifests")?.data ?? {});
      const corefile = server.corefile.replace("manifests /zones", `manifests ${zones.path}`);
      const place = { file: "Corefile", port: 53, address: "", embedded: false, log: silentLog };
      expect(await checkConfiguration({ ...place, corefile, env: serviceVariables })).to.deep.equal([]);
    });

    it("declares the ports that the Corefile opens, and no others", () => {
      const { dnsPort, hosts, http } = openedBy(server.corefile);
      const declared = server.container.ports.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`);
      // A sidecar's DNS is on the loopback address: no port of the Pod.
      const dns = hosts.includes("127.0.0.1") ? [] : [`${dnsPort}/UDP`, `${dnsPort}/TCP`];
      expect(declared).to.have.members([...dns, ...Object.values(http).map(({ port }) => `${port}/TCP`)]);
    });

    it("is probed where the Corefile has health and ready", () => {
      const { livenessProbe, readinessProbe, startupProbe } = server.container;
      expectProbe(server, livenessProbe, "/health");
      const probe = readinessProbe ?? startupProbe;
      if (probe === undefined) throw new Error("nothing asks /ready");
      expectProbe(server, probe, "/ready");
    });

    it("may bind its port: by the file capability, by the sysctl, or because it is above 1023", () => {
      const { drop, add = [] } = server.container.securityContext.capabilities;
      expect(drop).to.deep.equal(["ALL"]);
      if (image === "standard") {
        expect(add, "node has the file capability, so it can't be executed where this is not allowed").to.deep.equal(["NET_BIND_SERVICE"]);
        return;
      }
      expect(add).to.deep.equal([]);
      const sysctl = server.pod.securityContext?.sysctls?.find((one) => one.name === "net.ipv4.ip_unprivileged_port_start");
      expect(openedBy(server.corefile).dnsPort).to.be.at.least(Number(sysctl?.value ?? FIRST_UNPRIVILEGED_PORT));
    });

    it("a sysctl is set for no node's network", () => {
      if (server.pod.hostNetwork === true) expect(server.pod.securityContext?.sysctls).to.equal(undefined);
    });

    it("runs as the image's user, on a read-only root, without gaining rights", () => {
      const { securityContext } = server.container;
      expect(securityContext).to.include({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true });
      expect(securityContext).to.not.have.any.keys("runAsUser", "privileged");
      expect(server.pod.securityContext).to.not.have.any.keys("runAsUser", "runAsGroup");
    });

    it("has memory to the addon's limit at most, and no CPU limit", () => {
      const { requests, limits } = server.container.resources;
      expect(Object.keys(limits)).to.deep.equal(["memory"]);
      expect(bytesOf(limits["memory"] ?? "")).to.be.at.most(170 * KIB * KIB);
      expect(bytesOf(requests["memory"] ?? "")).to.be.within(1, 70 * KIB * KIB);
    });

    it("is not killed before the end of its lameduck time and drain", () => {
      const { lameduckMs } = openedBy(server.corefile);
      const longestMs = Math.max(lameduckMs, Math.min(2 * lameduckMs, LONGEST_DRAIN_MS));
      expect(longestMs).to.be.below((server.pod.terminationGracePeriodSeconds ?? GRACE_SECONDS) * 1000);
    });

    it("does not ask itself for its own names", () => {
      expect(server.pod.dnsPolicy).to.equal(kind === "Pod" ? "None" : "Default");
    });
  });
}

it("the longest drain is the server's", () => {
  expect(read("src/server.ts")).to.match(/LONGEST_DRAIN_MS = 25_000;/);
});

function expectProbe({ container, corefile }: Server, { httpGet }: Probe, path: string): void {
  const opened = openedBy(corefile).http[path];
  const port = container.ports.find(({ name }) => name === httpGet.port)?.containerPort;
  expect({ path: httpGet.path, port, host: httpGet.host ?? "" }).to.deep.equal({ path, port: opened?.port, host: opened?.host });
}
