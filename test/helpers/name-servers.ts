// Real name servers from Debian's packages, started on loopback with one small zone: upstreams that were not written by us.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, type ServerAddress } from "../../src/client.ts";
import { freePort } from "./free-port.ts";

export interface NameServer extends ServerAddress, AsyncDisposable {
  readonly name: string;
}

export interface NameServerProgram {
  readonly name: string;
  /** The program on the PATH. */
  readonly program: string;
  /** Answers that deny have no SOA: they are not to be remembered. */
  readonly deniesWithoutSoa?: true;
  /** Writes its files and gives the arguments. */
  readonly prepare: (folder: string, port: number) => readonly string[];
}

/** A TXT record that fits no UDP answer of 1,232 bytes. */
const LONG_TEXT = Array.from({ length: 8 }, (_, index) => `"${String(index).repeat(200)}"`).join(" ");

export const ZONE = `$ORIGIN peer.test.
$TTL 300
@ IN SOA ns.peer.test. host.peer.test. 1 7200 1800 86400 60
@ IN NS ns.peer.test.
ns IN A 127.0.0.1
www IN A 192.0.2.1
www IN A 192.0.2.2
six IN AAAA 2001:db8::1
alias IN CNAME www.peer.test.
long IN TXT ${LONG_TEXT}
mail IN MX 10 www.peer.test.
_http._tcp IN SRV 0 100 80 www.peer.test.
odd IN TYPE65280 \\# 4 0A000001
`;

export const programs: readonly NameServerProgram[] = [
  {
    name: "Unbound",
    program: "unbound",
    prepare(folder, port) {
      const zone = write(folder, "peer.test.zone", ZONE);
      const conf = `server:
    interface: 127.0.0.1
    port: ${port}
    num-threads: 1
    do-daemonize: no
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
auth-zone:
    name: peer.test.
    zonefile: ${zone}
    for-upstream: no
    for-downstream: yes
    fallback-enabled: no
remote-control:
    control-enable: no
`;
      return ["-d", "-c", write(folder, "unbound.conf", conf)];
    },
  },
  {
    name: "Knot",
    program: "knotd",
    prepare(folder, port) {
      const zone = write(folder, "peer.test.zone", ZONE);
      const conf = `server:
    listen: 127.0.0.1@${port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    rundir: ${folder}
database:
    storage: ${folder}
log:
  - target: stderr
    any: error
zone:
  - domain: peer.test
    file: ${zone}
    zonefile-sync: -1
    journal-content: none
`;
      return ["-c", write(folder, "knot.conf", conf)];
    },
  },
  {
    name: "BIND 9",
    program: "named",
    prepare(folder, port) {
      const zone = write(folder, "peer.test.zone", ZONE);
      const conf = `options {
    directory "${folder}";
    listen-on port ${port} { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile none;
    recursion no;
    dnssec-validation no;
};
controls {};
zone "peer.test" { type primary; file "${zone}"; };
`;
      return ["-g", "-n", "1", "-c", write(folder, "named.conf", conf)];
    },
  },
  {
    name: "dnsmasq",
    program: "dnsmasq",
    deniesWithoutSoa: true,
    prepare(folder, port) {
      const conf = `port=${port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
user=root
pid-file=
local=/peer.test/
local-ttl=300
host-record=www.peer.test,192.0.2.1
host-record=six.peer.test,2001:db8::1
cname=alias.peer.test,www.peer.test
txt-record=long.peer.test,${"0".repeat(200)},${"1".repeat(200)}
mx-host=mail.peer.test,www.peer.test,10
srv-host=_http._tcp.peer.test,www.peer.test,80,0,100
dns-rr=odd.peer.test,65280,0A000001
`;
      return ["--keep-in-foreground", `--conf-file=${write(folder, "dnsmasq.conf", conf)}`];
    },
  },
];

/** Starts a server; resolves when it answers, rejects with what it said if it ends. */
export async function startNameServer({ name, program, prepare }: NameServerProgram, folder: string): Promise<NameServer> {
  const port = await freePort();
  const own = join(folder, program);
  mkdirSync(own, { recursive: true });
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin`;
  const child = spawn(program, prepare(own, port), { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, PATH: path } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const server: NameServer = { name, address: "127.0.0.1", port, [Symbol.asyncDispose]: () => end(child) };
  for (let tries = 0; ; tries++) {
    try {
      await ask(server, "www.peer.test", "A", { timeoutMs: 200 });
      return server;
    } catch (error) {
      if (tries < 100 && child.exitCode === null) continue;
      await end(child);
      throw new Error(`${name} does not answer\n${output}`, { cause: error });
    }
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

function write(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
