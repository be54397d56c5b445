// "There is no such record" as an authoritative upstream says it, through the resolvers that distrust such answers: glibc
// and Go take an empty answer without AA, RA and OPT for a lame server's, and ask on or fail. (Go sends OPT, glibc does
// not. glibc tells no fault where another family's answer has come before, so that it is asked for AAAA alone, too.) Needs root.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { until } from "../helpers/listening.ts";
import { programs, type NameServerProgram } from "../helpers/name-servers.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { cli, startProcess, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";
import { dig, runInNetworkOf } from "./container.ts";
import { runResolving } from "./deployed.ts";

const UPSTREAM_PORT = 5353;
const WEB_PORT = 8001;
const PATIENCE_MS = 40_000;

const COREFILE = `.:53 {
    bind 127.0.0.1
    errors
    cache 30
    forward . 127.0.0.1:${UPSTREAM_PORT}
}
`;
/** Serves HTTP at the addresses of the zone's www. With no IPv6 address glibc would not ask for AAAA. */
const NETWORK = `
  ip link set lo up
  for address in 192.0.2.1/32 192.0.2.2/32 2001:db8::1/128; do ip address add $address dev lo; done
  exec "$0" -e 'require("node:http").createServer((_, reply) => reply.end("reached")).listen(${WEB_PORT}, () => console.log("up"))'`;

/** getaddrinfo() for IPv6; a lame server's answer is a "Temporary failure in name resolution". */
const AAAA = `
import socket, sys
try: print(socket.getaddrinfo(sys.argv[1], None, socket.AF_INET6))
except socket.gaierror as error: print(error.strerror)`;

describe("NODATA of an authoritative upstream", function () {
  this.timeout(60_000);
  let folder: Folder;
  let network: Running;
  let upstream: Running;
  const pid = (): number => network.child.pid ?? 0;

  before(async function () {
    needsRoot(this);
    needsPrograms(this, "unshare", "nsenter", "ip", "dig", "getent", "kubectl", "knotd", "python3");
    folder = temporaryFolder({ Corefile: COREFILE, "resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n" });
    network = startProcess("unshare", ["--net", "/bin/sh", "-euc", NETWORK, process.execPath], { patienceMs: PATIENCE_MS });
    await network.shows(/^up$/m);
    const knot = programs.find(({ program }) => program === "knotd") as NameServerProgram;
    mkdirSync(join(folder.path, "knot"));
    upstream = inside(knot.program, ...knot.prepare(join(folder.path, "knot"), UPSTREAM_PORT));
    await until(() => isUp(upstream), "the upstream answers");
  });

  after(async () => {
    await (upstream as Running | undefined)?.[Symbol.asyncDispose]();
    await (network as Running | undefined)?.[Symbol.asyncDispose]();
    (folder as Folder | undefined)?.[Symbol.dispose]();
  });

  function isUp({ child }: Running): boolean {
    if (child.exitCode !== null) throw new Error("the upstream has ended");
    return runInNetworkOf(pid(), "sh", "-c", `dig +tries=1 +time=1 @127.0.0.1 -p ${UPSTREAM_PORT} www.peer.test || true`).includes(
      "status: NOERROR",
    );
  }

  function inside(program: string, ...args: readonly string[]): Running {
    return startProcess("nsenter", ["-t", String(pid()), "--net", program, ...args], { patienceMs: PATIENCE_MS });
  }

  function flagsOf(qtype: string, ...words: readonly string[]): string {
    const reply = dig(pid(), "+noedns", ...words, "www.peer.test", qtype);
    return /^;; flags: ([^;]*);.* ANSWER: 0, .*ADDITIONAL: 0$/m.exec(reply)?.[1] ?? reply;
  }

  const resolve = async (...words: readonly string[]): Promise<string> =>
    await runResolving(pid(), join(folder.path, "resolv.conf"), words, { GODEBUG: "netdns=go", KUBECONFIG: "/dev/null" });
  const glibc = async (name: string): Promise<string> =>
    [...new Set((await resolve("getent", "ahosts", name)).match(/^\S+/gm))].sort().join(" ");
  const aaaa = async (name: string): Promise<string> => await resolve("python3", "-c", AAAA, name);
  const go = async (name: string): Promise<string> => await resolve("kubectl", `--server=http://${name}:${WEB_PORT}`, "get", "--raw", "/");

  for (const [title, ...args] of [["in threads"], ["on the main thread", "-listeners=portable"]]) {
    it(`has RA, is taken by glibc and by Go, from the upstream and from memory, ${title}`, async () => {
      await using server = inside(process.execPath, cli, "-conf", join(folder.path, "Corefile"), ...args);
      await server.shows(/listening on /);
      expect(await glibc("www.peer.test"), "glibc").to.equal("192.0.2.1 192.0.2.2");
      expect(await aaaa("www.peer.test"), "glibc, AAAA alone, from memory").to.equal("No address associated with hostname\n");
      expect(await go("ns.peer.test"), "Go").to.equal("reached");
      expect(await go("www.peer.test"), "Go, from memory").to.equal("reached");
      expect(await glibc("ns.peer.test"), "glibc, from memory").to.equal("127.0.0.1");

      expect(flagsOf("MX"), "without OPT").to.equal("qr aa rd ra");
      expect(flagsOf("MX"), "without OPT, from memory").to.equal("qr rd ra");
      expect(flagsOf("AAAA")).to.equal("qr rd ra");
    });
  }
});
