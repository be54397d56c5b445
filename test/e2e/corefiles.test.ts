// The Corefiles that clusters come with start as they are, in a Pod as far as the server can tell: the service account
// where the kubelet puts it, the ConfigMap in /etc/coredns, port 53, the node's resolv.conf with a resolver behind it. Needs root.

import { execFile, spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { promisify } from "node:util";
import { expect } from "chai";
import { K3S, KUBEADM, OPENSHIFT } from "../helpers/cluster-corefiles.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { cli, root, startProcess, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";

const run = promisify(execFile);

interface Distribution {
  readonly name: string;
  /** In /etc/coredns. */
  readonly files: Readonly<Record<string, string>>;
  /** Beside the cluster's names and the Internet's: what custom files bring. By dig's words. */
  readonly also?: Readonly<Record<string, RegExp>>;
  readonly port?: number;
}

const EKS = KUBEADM.replace("       ttl 30\n", "")
  .replace(/ \{\n       max_concurrent 1000\n    \}/, "")
  .replace(/cache 30 \{[^}]*\}/, "cache 30");

const AKS = `.:53 {
    errors
    ready
    health {
      lameduck 5s
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
      ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
    import custom/*.override
    template ANY ANY internal.cloudapp.net {
      match "^(?:[^.]+\\.){4,}internal\\.cloudapp\\.net\\.$"
      rcode NXDOMAIN
      fallthrough
    }
    template ANY ANY reddog.microsoft.com {
      rcode NXDOMAIN
    }
}
import custom/*.server
`;

const GKE = `.:53 {
    errors
    health {
      lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . 192.0.2.53 {
      policy random
      max_fails 0
    }
    cache 30
    loop
    reload
    loadbalance
}
corp.example.net:53 {
    errors
    cache 30
    forward . 192.0.2.53
}
`;

const distributions: readonly Distribution[] = [
  { name: "kubeadm", files: { Corefile: KUBEADM } },
  { name: "kind", files: { Corefile: KUBEADM.replaceAll("       ", "      ") } },
  {
    name: "minikube",
    also: { "host.minikube.internal A": /\bA\t192\.168\.49\.1$/m },
    files: {
      Corefile: KUBEADM.replace("    errors\n", "    log\n    errors\n").replace(
        "    forward",
        "    hosts {\n       192.168.49.1 host.minikube.internal\n       fallthrough\n    }\n    forward",
      ),
    },
  },
  {
    name: "k3s, with NodeHosts and an empty custom/",
    also: { "node-1 A": /\bA\t192\.0\.2\.10$/m },
    files: { Corefile: K3S, NodeHosts: "192.0.2.10 node-1\n", "custom/.keep": "" },
  },
  { name: "EKS", files: { Corefile: EKS } },
  {
    name: "AKS, with files of its own in coredns-custom",
    files: {
      Corefile: AKS,
      "custom/test.override": "log\nrewrite name exact web.example.com kubernetes.default.svc.cluster.local\n",
      "custom/stub.server": "corp.example.net:53 {\n  errors\n  cache 30\n  forward . 192.0.2.53\n}\n",
    },
    also: {
      "web.example.com A": /\bA\t10\.96\.0\.1$/m,
      "db.corp.example.net A": /\bA\t192\.0\.2\.99$/m,
      "a.b.c.d.e.internal.cloudapp.net A": /status: NXDOMAIN/,
      "x.reddog.microsoft.com A": /status: NXDOMAIN/,
    },
  },
  {
    name: "GKE, with a stub domain and upstream name servers",
    files: { Corefile: GKE },
    also: { "db.corp.example.net A": /\bA\t192\.0\.2\.99$/m },
  },

  {
    name: "k3s, with files of its own in custom/",
    files: {
      Corefile: K3S,
      NodeHosts: "192.0.2.10 node-1\n",
      "custom/log.override": "log\n",
      "custom/team.server": "team.example.org:53 {\n  whoami\n}\n",
    },
    also: { "x.team.example.org A": /status: NOERROR.*aa/s },
  },
  {
    name: "OpenShift",
    port: 5353,
    also: { "hostname.bind TXT CH": /status: NOERROR/ },
    files: {
      Corefile: OPENSHIFT,
    },
  },
];

const API_PORT = 6443;

describe("the Corefiles that clusters come with", function () {
  this.timeout(120_000);
  let folder: Folder;
  let pod: Running;
  let api: ChildProcessByStdio<Writable, Readable, null>;

  before(async function () {
    needsRoot(this);
    needsPrograms(this, "unshare", "nsenter", "ip", "mount", "dig", "dnsmasq");
    folder = temporaryFolder({ "account/token": "t0k3n", "etc/coredns/Corefile": "" });
    pod = startProcess("unshare", ["--net", "--mount", "--propagation", "private", "/bin/sh", "-euc", POD, "sh", folder.path], PATIENT);
    await pod.shows(/ready/);
    const kubeconfig = join(folder.path, "kubeconfig");
    const fake = ["--import", "tsx", join(root, "test/helpers/fake-api/main.ts"), "--tls", "--port", String(API_PORT), "--token", "t0k3n"];
    const size = ["--services", "0", "--namespaces", "2", "--headless", "0"];
    api = spawn("nsenter", [...inPod(), `--wd=${root}`, process.execPath, ...fake, ...size, "--kubeconfig", kubeconfig], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    api.stdin.write(`${JSON.stringify({ do: "apply", object: KUBERNETES })}\n`);
    for await (const line of createInterface({ input: api.stdout })) if (line.includes('"done":"apply"')) break;
    const [, authority = ""] = /certificate-authority-data: (\S+)/.exec(readFileSync(kubeconfig, "utf8")) ?? [];
    writeFileSync(join(folder.path, "account/ca.crt"), Buffer.from(authority, "base64"));
  });

  after(async () => {
    if ((api as typeof api | undefined)?.exitCode === null) {
      api.stdin.end(); // its end
      await once(api, "exit");
    }
    await (pod as Running | undefined)?.[Symbol.asyncDispose]();
    (folder as Folder | undefined)?.[Symbol.dispose]();
  });

  for (const { name, files, also = {}, port = 53 } of distributions) {
    it(name, async () => {
      const place = join(folder.path, "etc/coredns");
      rmSync(place, { recursive: true, force: true });
      for (const [file, text] of Object.entries(files)) {
        mkdirSync(join(place, file, ".."), { recursive: true });
        writeFileSync(join(place, file), text);
      }
      const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(API_PORT) };
      const args = [...inPod(), process.execPath, cli, "-conf", "/etc/coredns/Corefile"];
      await using server = startProcess("nsenter", args, { ...PATIENT, cwd: "/", env });
      await server.shows(/listening on /);
      const dig = (...words: readonly string[]): Promise<string> => inside("dig", "@127.0.0.1", "-p", String(port), ...words);
      expect(await dig("+short", "kubernetes.default.svc.cluster.local")).to.equal("10.96.0.1\n");
      expect(await dig("+short", "-x", "10.96.0.1")).to.equal("kubernetes.default.svc.cluster.local.\n");
      expect(await dig("+short", "www.example.org")).to.equal("192.0.2.99\n");
      for (const [words, gives] of Object.entries(also)) expect(await dig(...words.split(" "))).to.match(gives);
      const ready = "fetch('http://127.0.0.1:8181/ready').then(async (r) => console.log(r.status, await r.text()))";
      expect(await inside(process.execPath, "-e", ready)).to.equal("200 OK\n");
      const complaints = server.stdout().match(/\[(WARNING|ERROR)\].*/g) ?? [];
      expect(complaints.filter((line) => !line.endsWith("no files match"))).to.deep.equal([]); // as CoreDNS warns
    });
  }

  function inPod(): string[] {
    const pid = String(pod.child.pid);
    return [`--net=/proc/${pid}/ns/net`, `--mount=/proc/${pid}/ns/mnt`];
  }

  async function inside(program: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await run("nsenter", [...inPod(), program, ...args], { timeout: 20_000, cwd: "/" });
    return stdout;
  }
});

const PATIENT = { patienceMs: 120_000 };
/**
 * A Pod's network and mounts: loopback, the way to the node's resolver, a resolv.conf that names it, the service account.
 * dnsmasq forgets --pdeathsig when it changes its user, but ends with its PID namespace.
 */
const POD = `
  ip link set lo up
  setpriv --pdeathsig KILL unshare --net --pid --fork --kill-child /bin/sh -euc '
    ip link add node type veth peer name eth0 netns "/proc/$1/ns/net"
    ip address add 192.0.2.53/24 dev node && ip link set node up
    dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --no-resolv --no-hosts --listen-address=192.0.2.53 \
      --bind-interfaces --address=/example.org/192.0.2.99 --address=/example.net/192.0.2.99 &
    wait
  ' sh $$ >/dev/null 2>&1 &
  until ip link show eth0 >/dev/null 2>&1; do :; done
  ip address add 192.0.2.10/24 dev eth0 && ip link set eth0 up
  cp -a /etc/. "$1/etc/" && echo 'nameserver 192.0.2.53' > "$1/etc/resolv.conf"
  mount --bind "$1/etc" /etc
  mount -t tmpfs tmpfs "$(readlink -f /var/run)"
  mkdir -p /var/run/secrets/kubernetes.io
  ln -s "$1/account" /var/run/secrets/kubernetes.io/serviceaccount
  echo ready
  setpriv --pdeathsig KILL sleep 120 >/dev/null 2>&1 &
  wait`;
const KUBERNETES = {
  kind: "Service",
  metadata: { name: "kubernetes", namespace: "default" },
  spec: { type: "ClusterIP", clusterIP: "10.96.0.1", clusterIPs: ["10.96.0.1"], ports: [{ name: "https", port: 443, protocol: "TCP" }] },
};
