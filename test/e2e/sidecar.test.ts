// The sidecars of deploy/ from a program's point of view: in the Pod's network, with the Pod's resolv.conf, the C libraries
// and BusyBox find the sidecar's own names, the cluster's and external ones, the latter two through another ndots that is
// the cluster's DNS. And what the sidecar's memory is after that. Needs root.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { GETADDRINFO_C } from "../helpers/getaddrinfo.ts";
import { until } from "../helpers/listening.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { cli, startProcess, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";
import { find, needsKustomize, render, serverOf } from "../helpers/rendered.ts";
import { containerPrograms, layOutImage, statusOf, type Image } from "./container.ts";
import {
  CLUSTER_DNS,
  EXTERNAL_ADDRESS,
  fetchInNetworkOf,
  mountsOf,
  PATIENCE_MS,
  RESOLVER,
  runResolving,
  startApi,
  startDeployed,
  startPodNetwork,
  type PodNetwork,
} from "./deployed.ts";

const MIB = 1024 * 1024;
/** V8 itself takes more from Node 22 on. */
const MOST_MIB = Number(process.versions.node.split(".")[0]) < 22 ? 70 : 75;
const LOOKUPS = 1000;

const CLUSTER_COREFILE = `.:53 {
    bind ${CLUSTER_DNS}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests cluster.yaml
        service_cidr 10.96.0.0/12
        ttl 30
    }
    forward . ${RESOLVER}
    cache 30
}
`;
const CLUSTER_YAML = `{ apiVersion: v1, kind: Service, metadata: { name: kubernetes, namespace: default }, spec: { clusterIP: 10.96.0.1, ports: [{ port: 443 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: ledger, namespace: bank }, spec: { clusterIP: 10.96.8.8, ports: [{ port: 80 }] } }
`;
const ownCluster = [
  { kind: "Namespace", metadata: { name: "shop" } },
  {
    kind: "Service",
    metadata: { namespace: "shop", name: "orders" },
    spec: { clusterIP: "10.96.7.7", ports: [{ name: "http", port: 80 }] },
  },
];

/** Looks up names with getaddrinfo() and the search list, four at a time, many of them new ones. */
const MANY_LOOKUPS = `
  const { lookup } = require("node:dns").promises;
  const some = ["orders", "ledger.bank", "www.example.org"];
  let next = 0;
  const asker = async () => {
    for (let n = next++; n < ${LOOKUPS}; n = next++) await lookup(n % 4 === 0 ? "n" + n + ".example.org" : some[n % 4 - 1]);
  };
  Promise.all([1, 2, 3, 4].map(asker)).then(() => console.log("done"));`;

describe("the sidecar end to end", function () {
  this.timeout(60_000);
  let image: Image;
  let programs: Folder;

  before(function () {
    needsRoot(this);
    needsKustomize(this);
    needsPrograms(this, ...containerPrograms, "busybox", "dnsmasq", "getent", "musl-gcc");
    image = layOutImage("nocap");
    programs = temporaryFolder({ "getaddrinfo.c": GETADDRINFO_C });
    execFileSync("musl-gcc", ["-static", "-o", "getaddrinfo", "getaddrinfo.c"], { cwd: programs.path });
  });

  after(() => {
    (image as Image | undefined)?.[Symbol.dispose]();
    (programs as Folder | undefined)?.[Symbol.dispose]();
  });

  for (const { folder, ownAddress, role } of [
    { folder: "sidecar/manifests", ownAddress: "10.0.0.20", role: undefined },
    { folder: "sidecar/api", ownAddress: "10.96.7.7", role: "app-dns" },
  ]) {
    it(`${folder}: programs resolve its own names, the cluster's and external ones; at most ${MOST_MIB} MiB after ${LOOKUPS} lookups`, async () => {
      const objects = render(folder);
      const server = serverOf(objects, "Pod", "app");
      await using network = await startPodNetwork();
      using work = temporaryFolder({ "cluster/Corefile": CLUSTER_COREFILE, "cluster/cluster.yaml": CLUSTER_YAML });
      await using clusterDns = startClusterDns(network, join(work.path, "cluster"));
      const { api, authority } = role === undefined ? {} : await startApi(network, find(objects, "Role", role), ownCluster);
      await using _api = api;
      await using sidecar = startDeployed(server, image, network, mountsOf(server, work, authority));
      await Promise.all([clusterDns.shows(/^ndots-/m), sidecar.shows(/^ndots-/m)]);
      await until(() => fetchInNetworkOf(network.pid, "http://127.0.0.1:8181/ready") === "OK", "ready");

      const inPod = async (...words: readonly string[]): Promise<string> =>
        await runResolving(network.pid, join(work.path, "resolv.conf"), words);
      const resolvers: Readonly<Record<string, (name: string) => Promise<string>>> = {
        glibc: async (name) => addresses(await inPod("getent", "ahosts", name)),
        musl: async (name) => addresses(await inPod(join(programs.path, "getaddrinfo"), name)),
        // It takes names with a dot as they are.
        BusyBox: async (name) =>
          addresses((await inPod("busybox", "nslookup", name.replace(/^\w+\.\w+$/, "$&.svc.cluster.local"))).replaceAll("Address: ", "")),
      };
      const names = { orders: ownAddress, "ledger.bank": "10.96.8.8", "www.example.org": EXTERNAL_ADDRESS };
      for (const [title, resolve] of Object.entries(resolvers)) {
        for (const [name, address] of Object.entries(names)) expect(await resolve(name), `${title}: ${name}`).to.equal(address);
      }

      expect(await inPod(process.execPath, "-e", MANY_LOOKUPS)).to.equal("done\n");
      const status = statusOf(sidecar);
      expect(status).to.match(/^Uid:\t65532\t65532\t65532\t65532$/m);
      for (const field of ["VmRSS", "VmHWM"]) {
        const kib = Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]);
        expect(kib * 1024, field).to.be.within(1, MOST_MIB * MIB);
      }
      await clusterDns[Symbol.asyncDispose]();
      expect(await resolvers["musl"]?.("orders"), "without the cluster's DNS").to.equal(ownAddress);
      expect(sidecar.stdout()).to.match(/^\[INFO\] listening on 127\.0\.0\.1:53 .* on the main thread/m);
    });
  }
});

function startClusterDns({ outsidePid }: PodNetwork, cwd: string): Running {
  const args = ["-t", String(outsidePid), "--net", process.execPath, cli, "-conf", "Corefile"];
  return startProcess("nsenter", args, { cwd, patienceMs: PATIENCE_MS });
}

/** The addresses that lines begin with, each once. */
function addresses(text: string): string {
  return [...new Set([...text.matchAll(/^[\d.]+(?=\s)/gm)].map(([address]) => address))].join(" ");
}
