// The servers that speed.ts compares, each with the same names on a loopback port of its own: how they are configured
// and started. All run in the foreground, with one thread where they let one choose, and log nothing per query.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BenchService, hostsFile, serviceManifest, unboundData, writeManifests, ZONE, zoneFile } from "./data.ts";
import { cli, NODE_FLAGS, root } from "./process.ts";

export interface Peer {
  readonly name: string;
  readonly port: number;
  readonly program: string;
  readonly args: readonly string[];
  /** It answers with the question, whatever that is. */
  readonly echoes?: boolean;
  /** Workloads that it is left out of. */
  readonly lacks?: readonly string[];
}

const FIRST_PORT = 5400;

/** Writes the servers' files under `folder`. */
export function preparePeers(folder: string, services: readonly BenchService[]): Peer[] {
  mkdirSync(folder, { recursive: true });
  const zone = write(folder, `${ZONE}.zone`, zoneFile(services));
  const manifests = join(folder, "manifests");
  writeManifests(manifests, services, serviceManifest);
  const makers: ((port: number) => Peer)[] = [
    (port) => {
      mkdirSync(join(folder, "knot"), { recursive: true });
      const conf = write(
        folder,
        "knot.conf",
        `server:
    listen: 127.0.0.1@${port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    rundir: ${folder}/knot
database:
    storage: ${folder}/knot
log:
  - target: stderr
    any: error
zone:
  - domain: ${ZONE}
    file: ${zone}
    zonefile-sync: -1
    journal-content: none
`,
      );
      return { name: "Knot", port, program: "knotd", args: ["-c", conf] };
    },
    (port) => {
      const conf = write(
        folder,
        "nsd.conf",
        `server:
    ip-address: 127.0.0.1@${port}
    server-count: 1
    username: ""
    chroot: ""
    database: ""
    pidfile: "${folder}/nsd.pid"
    zonelistfile: "${folder}/nsd.zones"
    xfrdfile: "${folder}/nsd.xfrd"
    xfrdir: "${folder}"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: ${ZONE}
    zonefile: ${zone}
`,
      );
      return { name: "NSD", port, program: "nsd", args: ["-d", "-c", conf] };
    },
    (port) => {
      const conf = write(
        folder,
        "unbound.conf",
        `server:
    interface: 127.0.0.1@${port}
    num-threads: 1
    username: ""
    chroot: ""
    directory: "${folder}"
    pidfile: "${folder}/unbound.pid"
    use-syslog: no
    do-daemonize: no
    module-config: "iterator"
    incoming-num-tcp: 100
remote-control:
    control-enable: no
server:
${unboundData(services)}`,
      );
      return { name: "Unbound", port, program: "unbound", args: ["-d", "-c", conf] };
    },
    (port) => {
      const hosts = write(folder, "dnsmasq.hosts", hostsFile(services));
      const conf = write(
        folder,
        "dnsmasq.conf",
        `port=${port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
addn-hosts=${hosts}
local=/${ZONE}/
local-ttl=30
user=root
pid-file=
`,
      );
      return { name: "dnsmasq", port, program: "dnsmasq", args: ["--keep-in-foreground", `--conf-file=${conf}`], lacks: ["SRV"] };
    },
    (port) => ({
      name: "bare node:dgram",
      port,
      program: process.execPath,
      args: [join(root, "scripts/bench/floor.js"), String(port)],
      echoes: true,
      lacks: ["TCP"],
    }),
    (port) => ndots("ndots", port, ""),
    (port) => ndots("ndots, prometheus", port, `prometheus 127.0.0.1:${port + 100}`),
  ];
  const { COREDNS: coredns } = process.env;
  if (coredns !== undefined) {
    makers.push((port) => {
      const conf = write(folder, "coredns.Corefile", `${ZONE}:${port} {\n  bind 127.0.0.1\n  file ${zone}\n  loadbalance\n}\n`);
      return { name: "CoreDNS, file", port, program: coredns, args: ["-conf", conf, "-quiet"] };
    });
  }
  return makers.map((make, index) => make(FIRST_PORT + index));

  function ndots(name: string, port: number, extra: string): Peer {
    const conf = write(
      folder,
      `ndots-${port}.Corefile`,
      `.:${port} {
  bind 127.0.0.1
  errors
  kubernetes ${ZONE} in-addr.arpa ip6.arpa {
    manifests ${manifests}
    ttl 30
  }
  loadbalance
  ${extra}
}
`,
    );
    return { name, port, program: process.execPath, args: [...NODE_FLAGS, cli, "-conf", conf, "-quiet"] };
  }
}

function write(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
