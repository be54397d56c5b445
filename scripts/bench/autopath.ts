// How many queries a client's search list costs, with `autopath` and without: scripts/bench/run autopath. getaddrinfo() of glibc and of
// musl looks names up with ndots:5, as in a Pod; every query to the server is counted there, every one to the upstream there.
// Runs in a network namespace of its own, with a resolv.conf as kubelet writes it. Needs root.

import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { formatName } from "../../src/dns/name.ts";
import { startServer } from "../../src/index.ts";
import { definePlugin, directive, type Plugin } from "../../src/plugin.ts";
import { namespace } from "../../src/testing.ts";
import { GETADDRINFO_C } from "../../test/helpers/getaddrinfo.ts";
import { startUpstream } from "../../test/helpers/upstream.ts";
import { root } from "./process.ts";
import { table, writeSection } from "./results.ts";

const INSIDE = "--inside";
const NETWORK = `ndots-bench-${process.pid}`;
/** What `ip netns exec` mounts over /etc. */
const ETC = join("/etc/netns", NETWORK);
const FOLDER = join(root, ".tmp/bench-autopath");
const MUSL = join(FOLDER, "getaddrinfo");
const RESOLV_CONF = `nameserver 127.0.0.1
search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5 timeout:2
`;
const ELSEWHERE = `
. 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 86400
google.com. 300 IN A 192.0.2.1
google.com. 300 IN AAAA 2001:db8::1
github.com. 60 IN A 192.0.2.2
`;
const NAMES = [
  { name: "google.com", what: "both families" },
  { name: "github.com", what: "IPv4 only" },
  { name: "nosuch.example.com", what: "not there" },
];
const CLIENTS: readonly { readonly client: string; readonly command: readonly [string, ...string[]] }[] = [
  { client: "glibc", command: ["getent", "ahosts"] },
  { client: "musl", command: [MUSL] },
];

const run = promisify(execFile);

if (process.argv.includes(INSIDE)) await measure();
else runInNetwork();

function runInNetwork(): void {
  mkdirSync(FOLDER, { recursive: true });
  mkdirSync(ETC, { recursive: true });
  writeFileSync(join(ETC, "resolv.conf"), RESOLV_CONF);
  writeFileSync(join(ETC, "nsswitch.conf"), "hosts: dns\n");
  writeFileSync(`${MUSL}.c`, GETADDRINFO_C);
  execFileSync("musl-gcc", ["-static", "-o", MUSL, `${MUSL}.c`]);
  execFileSync("ip", ["netns", "add", NETWORK]);
  try {
    execFileSync("ip", ["-n", NETWORK, "link", "set", "lo", "up"]);
    const self = [process.execPath, "--import", "tsx", fileURLToPath(import.meta.url), INSIDE];
    execFileSync("ip", ["netns", "exec", NETWORK, ...self], { stdio: "inherit" });
  } finally {
    execFileSync("ip", ["netns", "delete", NETWORK]);
    rmSync(ETC, { recursive: true, force: true });
  }
}

interface Counted {
  readonly queries: number;
  readonly upstream: number;
  readonly found: string;
}

async function measure(): Promise<void> {
  const rows: string[][] = [];
  for (const { client, command } of CLIENTS) {
    for (const { name, what } of NAMES) {
      const [without, again] = await lookUpTwice("", command, name);
      const [withIt, againWithIt] = await lookUpTwice("autopath @kubernetes", command, name);
      if (without.found !== withIt.found || again.found !== againWithIt.found) {
        throw new Error(`${client} finds "${without.found}" for ${name} without autopath, and "${withIt.found}" with it`);
      }
      rows.push([`${client}: ${name} (${what})`, shown(without), shown(withIt), shown(again), shown(againWithIt)]);
    }
  }
  const head = ["client and name", "without autopath", "with autopath", "again, without", "again, with"];
  const note =
    "Queries from the client to the server, and in brackets those from the server to its upstream, for one getaddrinfo() with ndots:5 and a Pod's search list of three\n" +
    "domains. With autopath the first look-up below a top-level domain asks the upstream once more, for a name that nobody has.\n";
  writeSection("Autopath", `${note}\n${table(head, rows)}`);
}

function shown({ queries, upstream }: Counted): string {
  return `${queries} (${upstream})`;
}

// With nothing remembered, and once more.
async function lookUpTwice(line: string, command: readonly [string, ...string[]], name: string): Promise<readonly [Counted, Counted]> {
  const asked: string[] = [];
  const counter: Plugin<unknown> = definePlugin({
    name: "counter",
    syntax: directive(),
    setup: () => ({ observe: ({ qname }) => void asked.push(formatName(qname)) }),
  }) as Plugin<unknown>;
  await using upstream = await startUpstream({ records: ELSEWHERE });
  await using server = await startServer({
    corefile: `.:53 {
  counter
  ${line}
  cache 30
  kubernetes cluster.local
  forward . ${upstream.to}
}`,
    plugins: [counter],
  });
  server.registry.apply({ verb: "upsert", object: namespace("default") });
  const once = async (): Promise<Counted> => {
    const before = { queries: asked.length, upstream: upstream.asked.length };
    const [program, ...rest] = command;
    const { stdout } = await run(program, [...rest, name]).catch(() => ({ stdout: "" }));
    const found = [...new Set(stdout.match(/^[0-9a-f.:]+(?=\s)/gm))].toSorted().join(" ");
    return { queries: asked.length - before.queries, upstream: upstream.asked.length - before.upstream, found };
  };
  return [await once(), await once()];
}
