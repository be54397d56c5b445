// The servers that speed.ts compares, each with the same names on a loopback port of its own: how they are configured
// and started. All run in the foreground, with one thread where they let one choose, and log nothing per query.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type BenchService,
  hostsFile,
  serviceManifest,
  serviceWithEndpoints,
  unboundData,
  writeManifests,
  ZONE,
  zoneFile,
} from "./data.ts";
import { cli, NODE_FLAGS, root, type StartOptions } from "./process.ts";
import { shared, workloads } from "./workloads.ts";

export interface Peer extends Pick<StartOptions, "env" | "stdoutFile"> {
  readonly name: string;
  /** The addresses that clients ask, in equal shares; 127.0.0.1 if there is none. */
  readonly addresses?: readonly string[];
  readonly port: number;
  readonly program: string;
  readonly args: readonly string[];
  /** It answers with the question, whatever that is. */
  readonly echoes?: true;
  /** Names of the workloads that it is measured with. */
  readonly workloads: readonly string[];
}

export const NDOTS = "ndots";
export const NDOTS_BIND = "ndots, bind two";
export const NDOTS_LOG = "ndots, log";
/** The servers that a hit must be cheaper than. */
export const RIVALS: readonly string[] = ["Knot", "NSD", "Unbound", "dnsmasq"];

const FIRST_PORT = 5400;
const FIRST_FLOOR_PORT = 5440;
const everything = workloads.map(({ name }) => name);

/** Writes the servers' files under `folder`. */
export function preparePeers(folder: string, services: readonly BenchService[], headless: readonly BenchService[]): Peer[] {
  mkdirSync(folder, { recursive: true });
  const all = [...services, ...headless];
  const zone = write(folder, `${ZONE}.zone`, zoneFile(all));
  const manifests = join(folder, "manifests");
  writeManifests(manifests, all, (service) => (service.address === "None" ? serviceWithEndpoints(service) : serviceManifest(service)));
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
      return { name: "Knot", port, program: "knotd", args: ["-c", conf], workloads: shared };
    },
    (port) => {
      const conf = write(folder, "nsd.conf", nsdConf({ port, folder, zone: ZONE, file: zone }));
      return { name: "NSD", port, program: "nsd", args: ["-d", "-c", conf], workloads: shared };
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
${unboundData(all)}`,
      );
      return { name: "Unbound", port, program: "unbound", args: ["-d", "-c", conf], workloads: shared };
    },
    (port) => {
      const hosts = write(folder, "dnsmasq.hosts", hostsFile(all));
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
      const args = ["--keep-in-foreground", `--conf-file=${conf}`];
      return { name: "dnsmasq", port, program: "dnsmasq", args, workloads: shared.filter((name) => name !== "SRV") };
    },
    (port) => ({
      name: "bare node:dgram",
      port,
      program: process.execPath,
      args: [join(root, "scripts/bench/floor.js"), String(port)],
      echoes: true,
      workloads: ["A"],
    }),
    (port) => ndots({ name: NDOTS, port, workloads: everything }),
    (port) => ndots({ name: NDOTS_BIND, port, workloads: ["A", "A, OPT"], addresses: ["127.0.0.1", "127.0.0.2"] }),
    (port) =>
      ndots({ name: "ndots, prometheus", port, workloads: ["A", "NXDOMAIN, OPT", "TCP"], extra: `prometheus 127.0.0.1:${port + 100}` }),
    (port) => ndots({ name: NDOTS_LOG, port, workloads: ["A"], extra: "log", stdoutFile: join(folder, "queries.log") }),
    (port) =>
      ndots({
        name: "ndots, portable",
        port,
        workloads: ["A", "A, OPT", "NXDOMAIN, OPT", "SRV", "20 addresses", "miss", "TCP"],
        env: { NDOTS_LISTENERS: "portable" },
      }),
  ];
  const { COREDNS: coredns } = process.env;
  if (coredns !== undefined) {
    makers.push((port) => {
      const conf = write(folder, "coredns.Corefile", `${ZONE}:${port} {\n  bind 127.0.0.1\n  file ${zone}\n  loadbalance\n}\n`);
      return { name: "CoreDNS, file", port, program: coredns, args: ["-conf", conf, "-quiet"], workloads: shared };
    });
  }
  return makers.map((make, index) => make(FIRST_PORT + index));

  interface Variant extends Pick<Peer, "name" | "port" | "workloads" | "addresses" | "env" | "stdoutFile"> {
    readonly extra?: string;
  }

  // Without `bind` it listens on every address.
  function ndots({ extra = "", ...variant }: Variant): Peer {
    const conf = write(
      folder,
      `ndots-${variant.port}.Corefile`,
      `.:${variant.port} {
  ${variant.addresses === undefined ? "" : `bind ${variant.addresses.join(" ")}`}
  errors
  kubernetes ${ZONE} in-addr.arpa ip6.arpa {
    manifests ${manifests}
    pods insecure
    ttl 30
  }
  loadbalance
  ${extra}
}
`,
    );
    return { ...variant, program: process.execPath, args: [...NODE_FLAGS, cli, "-conf", conf, "-quiet"] };
  }
}

/** An NSD with one process and one zone, whose files are in `folder`. */
export function nsdConf({ port, folder, zone, file }: { port: number; folder: string; zone: string; file: string }): string {
  return `server:
    ip-address: 127.0.0.1@${port}
    server-count: 1
    username: ""
    chroot: ""
    database: ""
    pidfile: "${folder}/nsd-${port}.pid"
    zonelistfile: "${folder}/nsd-${port}.zones"
    xfrdfile: "${folder}/nsd-${port}.xfrd"
    xfrdir: "${folder}"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: ${zone}
    zonefile: ${file}
`;
}

/** The floor for answers that are `bytes` longer than their questions, compiled where it runs; `nth` picks the port. */
export function prepareFloor(folder: string, bytes: number, nth: number): Peer {
  const program = join(folder, "floor");
  if (nth === 0) execFileSync("cc", ["-O2", "-o", program, join(root, "scripts/bench/floor.c")], { stdio: "inherit" });
  const port = FIRST_FLOOR_PORT + nth;
  return { name: "C floor", port, program, args: [String(port), String(bytes)], echoes: true, workloads: everything };
}

function write(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
