// The servers that forward.ts compares: each forwards everything to the same upstream, an NSD on the client's CPU, and
// remembers answers. One thread each, no logs.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nsdConf } from "./peers.ts";
import { cli, NODE_FLAGS } from "./process.ts";

export const UPSTREAM_PORTS = [5480, 5481] as const;
export const NAMES = 1_000;

export interface Forwarder {
  readonly name: string;
  readonly port: number;
  readonly program: string;
  readonly args: readonly string[];
}

/** A server whose zone holds `NAMES` names, any name below `miss.example.org`, and AAAA for none of them. */
export function upstream(folder: string, port: number): Forwarder {
  mkdirSync(folder, { recursive: true });
  const records = Array.from({ length: NAMES }, (_, n) => `n${n} IN A 192.0.2.${n % 250}`);
  const zone = write(
    folder,
    "example.org.zone",
    `$ORIGIN example.org.\n$TTL 3600\n@ IN SOA ns.example.org. host.example.org. 1 7200 1800 86400 3600\n@ IN NS ns.example.org.\nns IN A 127.0.0.1\n*.miss IN A 192.0.2.251\n${records.join("\n")}\n`,
  );
  const conf = write(folder, `nsd-${port}.conf`, nsdConf({ port, folder, zone: "example.org", file: zone }));
  return { name: `NSD ${port}`, port, program: "nsd", args: ["-d", "-c", conf] };
}

export const NDOTS = "ndots";

export function forwarders(folder: string): readonly Forwarder[] {
  const [first] = UPSTREAM_PORTS;
  const unbound = write(
    folder,
    "unbound-forward.conf",
    `server:
    interface: 127.0.0.1
    port: 5490
    num-threads: 1
    do-daemonize: no
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 0
    module-config: "iterator"
    do-not-query-localhost: no
    msg-cache-size: 64m
    rrset-cache-size: 128m
    outgoing-range: 8192
    num-queries-per-thread: 4096
    access-control: 127.0.0.0/8 allow
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@${first}
remote-control:
    control-enable: no
`,
  );
  const dnsmasq = write(
    folder,
    "dnsmasq-forward.conf",
    `port=5491
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
server=127.0.0.1#${first}
cache-size=10000
dns-forward-max=5000
user=root
pid-file=
`,
  );
  const ndots = corefile(folder, "ndots-forward.Corefile", 5492, `127.0.0.1:${first}`);
  const { COREDNS: coredns } = process.env;
  return [
    { name: "Unbound", port: 5490, program: "unbound", args: ["-c", unbound] },
    { name: "dnsmasq", port: 5491, program: "dnsmasq", args: ["--keep-in-foreground", `--conf-file=${dnsmasq}`] },
    { name: NDOTS, port: 5492, program: process.execPath, args: [...NODE_FLAGS, cli, "-conf", ndots] },
    ...(coredns === undefined
      ? []
      : [
          {
            name: "CoreDNS",
            port: 5493,
            program: coredns,
            args: ["-conf", corefile(folder, "coredns-forward.Corefile", 5493, `127.0.0.1:${first}`), "-quiet"],
          },
        ]),
  ];
}

/** ndots with two upstreams, one of which is to die. */
export function twoUpstreams(folder: string): Forwarder {
  const conf = corefile(folder, "ndots-two.Corefile", 5494, UPSTREAM_PORTS.map((port) => `127.0.0.1:${port}`).join(" "));
  return { name: "ndots, two upstreams", port: 5494, program: process.execPath, args: [...NODE_FLAGS, cli, "-conf", conf, "-quiet"] };
}

function corefile(folder: string, name: string, port: number, to: string): string {
  return write(folder, name, `.:${port} {\n  bind 127.0.0.1\n  errors\n  cache 3600\n  forward . ${to}\n}\n`);
}

function write(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
