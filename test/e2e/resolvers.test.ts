// The resolvers that programs really use, on port 53, in a network namespace with a resolv.conf as kubelet writes it:
// all of them find my-nginx, and the same address. Needs root.

import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { GETADDRINFO_C } from "../helpers/getaddrinfo.ts";
import { needs, needsPrograms, needsRoot } from "../helpers/needs.ts";
import { cli, root, startProcess, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";

const run = promisify(execFile);

const NAMESPACE = `ndots-e2e-${process.pid}`;
/** What `ip netns exec` mounts over /etc. */
const ETC = join("/etc/netns", NAMESPACE);
const RESOLV_CONF = `nameserver 127.0.0.1
search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5 timeout:2
`;
const COREFILE = `.:53 {
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests "${join(root, "zones")}"
        pods insecure
        ttl 30
    }
    loadbalance
}
`;
/** Names elsewhere come from a template here, as from an upstream. */
const WALKING = `.:53 {
    bind 127.0.0.2
    errors
    log
    autopath @kubernetes
    cache 30
    template IN A example.com {
        match ^(one|both)[.]example[.]com[.]$
        answer "{{ .Name }} 60 IN A 192.0.2.1"
        fallthrough
    }
    template IN AAAA example.com {
        match ^both[.]example[.]com[.]$
        answer "{{ .Name }} 60 IN AAAA 2001:db8::1"
        fallthrough
    }
    template IN AAAA one.example.com {
        authority "example.com. 60 IN SOA ns.example.com. hostmaster.example.com. 1 2 3 4 60"
    }
    template ANY ANY example.com {
        rcode NXDOMAIN
        authority "example.com. 60 IN SOA ns.example.com. hostmaster.example.com. 1 2 3 4 60"
    }
    kubernetes cluster.local {
        manifests "${join(root, "zones")}"
    }
}
`;

describe("resolvers with a search list, on port 53", function () {
  this.timeout(60_000);
  let folder: Folder;
  let server: Running;
  let walking: Running;
  let clusterIP: string;
  let stopNamespace = (): void => undefined;

  before(async function () {
    needsRoot(this);
    needsPrograms(this, "ip", "dig", "busybox", "nslookup", "getent", "musl-gcc", "python3");
    needs(this, canAddNamespace(), "needs network namespaces");
    stopNamespace = () => {
      execFileSync("ip", ["netns", "delete", NAMESPACE]);
      rmSync(ETC, { recursive: true, force: true });
    };
    mkdirSync(ETC, { recursive: true });
    writeFileSync(join(ETC, "resolv.conf"), RESOLV_CONF);
    writeFileSync(join(ETC, "nsswitch.conf"), "hosts: files dns\n");
    execFileSync("ip", ["-n", NAMESPACE, "link", "set", "lo", "up"]);
    folder = temporaryFolder({ Corefile: COREFILE, Walking: WALKING, "getaddrinfo.c": GETADDRINFO_C });
    execFileSync("musl-gcc", ["-static", "-o", "getaddrinfo", "getaddrinfo.c"], { cwd: folder.path });
    // `ip netns exec` becomes the program: the process that is ended is the server itself.
    const inside = (corefile: string): string[] => [
      "netns",
      "exec",
      NAMESPACE,
      process.execPath,
      cli,
      "-conf",
      join(folder.path, corefile),
    ];
    server = startProcess("ip", inside("Corefile"), { patienceMs: 60_000 });
    walking = startProcess("ip", inside("Walking"), { patienceMs: 60_000 });
    await server.shows(/listening on 127\.0\.0\.1:53 /);
    await walking.shows(/listening on 127\.0\.0\.2:53 /);
    clusterIP = (await inNamespace("dig", "+short", "my-nginx.default.svc.cluster.local")).trim();
    expect(clusterIP).to.match(/^10\.0\.\d+\.\d+$/);
  });

  after(async () => {
    try {
      await (server as Running | undefined)?.[Symbol.asyncDispose]();
      await (walking as Running | undefined)?.[Symbol.asyncDispose]();
    } finally {
      stopNamespace();
      (folder as Folder | undefined)?.[Symbol.dispose]();
    }
  });

  async function inNamespace(program: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await run("ip", ["netns", "exec", NAMESPACE, program, ...args], { timeout: 20_000 });
    return stdout;
  }

  // It asks for the name in every domain of the search list, and fails because two of three don't have it.
  async function busyboxNslookup(name: string): Promise<string> {
    return await inNamespace("busybox", "nslookup", name).catch((error: { readonly stdout: string }) => error.stdout);
  }

  const PYTHON = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))";
  const NODE = "require('node:dns').lookup(process.argv[1], (error, address) => console.log(error ? error.code : address))";
  const BUSYBOX = "nslookup of busybox";
  const resolvers: readonly (readonly [title: string, resolve: (name: string) => Promise<string>])[] = [
    // Both print the server first, then the answer.
    [BUSYBOX, async (name) => lastAddress(await busyboxNslookup(name))],
    ["nslookup of bind9-dnsutils", async (name) => lastAddress(await inNamespace("nslookup", name))],
    ["getent hosts (glibc)", async (name) => (await inNamespace("getent", "hosts", name)).split(/\s/)[0] ?? ""],
    ["getent ahosts (glibc, both families)", async (name) => distinct(await inNamespace("getent", "ahosts", name))],
    ["getaddrinfo of musl", async (name) => distinct(await inNamespace(join(folder.path, "getaddrinfo"), name))],
    ["Python's socket.gethostbyname", async (name) => (await inNamespace("python3", "-c", PYTHON, name)).trim()],
    ["Node's dns.lookup", async (name) => (await inNamespace(process.execPath, "-e", NODE, name)).trim()],
    ["dig +search", async (name) => (await inNamespace("dig", "+search", "+short", name)).trim()],
  ];
  for (const [title, resolve] of resolvers) {
    it(`${title} finds my-nginx`, async () => {
      expect(await resolve("my-nginx")).to.equal(clusterIP);
    });

    if (title === BUSYBOX) continue; // it never completes a name with a dot, whatever ndots says
    it(`${title} finds kube-dns in another namespace`, async () => {
      expect(await resolve("kube-dns.kube-system")).to.equal("10.0.0.10");
    });
  }

  it("the answer of nslookup names the Service in full", async () => {
    expect(await inNamespace("nslookup", "my-nginx")).to.match(
      /^Server:\s+127\.0\.0\.1\n[^]*^Name:\s+my-nginx\.default\.svc\.cluster\.local\n/m,
    );
    expect(await busyboxNslookup("my-nginx")).to.match(/^Name:\s+my-nginx\.default\.svc\.cluster\.local$/m);
  });

  it("an address leads back to its name (getnameinfo of glibc, nslookup)", async () => {
    expect(await inNamespace("getent", "hosts", clusterIP)).to.match(/\smy-nginx\.default\.svc\.cluster\.local$/m);
    expect(await inNamespace("nslookup", "10.0.0.10")).to.match(/name = kube-dns\.kube-system\.svc\.cluster\.local\.$/m);
  });

  it("a name that is not there is not found, at once", async () => {
    const failed = async (program: string, ...args: readonly string[]): Promise<unknown> =>
      await inNamespace(program, ...args).then(
        (text) => text,
        (error: { readonly code: unknown }) => error.code,
      );
    const startedMs = performance.now();
    expect(await failed("getent", "hosts", "nosuch"), "getent: not found").to.equal(2);
    // With a dot at the end: musl waits for another answer when a bare name is refused at last, as it is without a forwarder.
    expect(await failed(join(folder.path, "getaddrinfo"), "nosuch.default.svc.cluster.local."), "musl").to.equal(1);
    expect(performance.now() - startedMs, "no time-out of a resolver").to.be.below(2_000);
  });

  const LONG = `${"long-".repeat(12)}x.${"domain-".repeat(8)}x.example.org`;
  const OTHERS = Array.from({ length: 8 }, (_, index) => `search-${index}.example.org`).join(" ");
  const configurations: readonly (readonly [title: string, text: string])[] = [
    ["use-vc: TCP", `${RESOLV_CONF}options use-vc\n`],
    ["edns0", `${RESOLV_CONF}options edns0\n`],
    ["single-request", `${RESOLV_CONF}options single-request\n`],
    // Kubernetes allows 32 domains and 2048 characters in all; the cluster's own come first. musl ignores lines over 255.
    ["more than six domains, and long ones", RESOLV_CONF.replace("cluster.local\n", `cluster.local ${OTHERS} ${LONG}\n`)],
    ["a domain with an underscore", RESOLV_CONF.replace("search ", "search default.svc.cluster.local _sip._tcp.example.org ")],
    ["the root as a domain", RESOLV_CONF.replace("cluster.local\n", "cluster.local .\n")],
  ];
  for (const [title, text] of configurations) {
    it(`resolv.conf with ${title} is as good`, async () => {
      writeFileSync(join(ETC, "resolv.conf"), text);
      try {
        expect((await inNamespace("getent", "hosts", "my-nginx")).split(/\s/)[0]).to.equal(clusterIP);
        if (text.includes(LONG)) return;
        expect(distinct(await inNamespace(join(folder.path, "getaddrinfo"), "my-nginx"))).to.equal(clusterIP);
      } finally {
        writeFileSync(join(ETC, "resolv.conf"), RESOLV_CONF);
      }
    });
  }

  describe("with autopath: a name elsewhere, in the first round trip", () => {
    before(() => writeFileSync(join(ETC, "resolv.conf"), RESOLV_CONF.replace("127.0.0.1", "127.0.0.2")));
    after(() => writeFileSync(join(ETC, "resolv.conf"), RESOLV_CONF));

    for (const [title, resolve] of resolvers) {
      if (title === BUSYBOX) continue;
      for (const name of ["one.example.com", "both.example.com"]) {
        it(`${title} finds ${name}`, async () => {
          expect(await resolve(name)).to.match(/\b192\.0\.2\.1$|\b2001:db8::1$/);
        });
      }
    }

    it("nobody has to ask for them in the other domains of the list", () => {
      const asked = walking.stdout().match(/(?<=IN )\S+\.(?= )/g) ?? [];
      expect(new Set(asked.filter((name) => name.endsWith(".cluster.local.")))).to.deep.equal(
        new Set(["one.example.com.default.svc.cluster.local.", "both.example.com.default.svc.cluster.local."]),
      );
    });
  });
});

function canAddNamespace(): boolean {
  try {
    execFileSync("ip", ["netns", "add", NAMESPACE], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function lastAddress(text: string): string {
  return [...text.matchAll(/^Address(?: \d+)?:\s+([\d.]+)\s*$/gm)].at(-1)?.[1] ?? text;
}

/** The addresses at the starts of lines, each once. */
function distinct(text: string): string {
  return [...new Set([...text.matchAll(/^[\da-f.:]+(?=\s)/gm)].map(([address]) => address))].join(" ");
}
