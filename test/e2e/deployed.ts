// A server of deploy/ as a kubelet would start it, for deploy.test.ts and sidecar.test.ts: a Pod's network with the node's
// resolver and the cluster's DNS outside of it, init containers, resolv.conf, ConfigMaps, capabilities, sysctls. Needs root.

import { execFile } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { root, startProcess, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";
import { find, type KubeObject, type PodSpec, type Server } from "../helpers/rendered.ts";
import { runInNetworkOf, startContainer, type Image } from "./container.ts";
import type { InClusterApi } from "./in-cluster-api.ts";

const run = promisify(execFile);

/** The resolver in a node's resolv.conf, and what it says of names below example.org. */
export const RESOLVER = "192.0.2.53";
export const EXTERNAL_ADDRESS = "192.0.2.99";
/** The cluster's DNS, and its Pods at the Service of overlays/node-cache. */
export const CLUSTER_DNS = "10.96.0.10";
export const CLUSTER_DNS_UPSTREAM = "10.96.0.11";
export const PATIENCE_MS = 30_000;

export const containerVariables: Readonly<Record<string, string>> = { KUBE_DNS_UPSTREAM_SERVICE_HOST: CLUSTER_DNS_UPSTREAM };

const API_PORT = 6443;
const TOKEN = "a-token";
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
/** linux/capability.h */
const CAPABILITIES: Readonly<Record<string, number>> = { NET_BIND_SERVICE: 10 };

export interface PodNetwork {
  /** A process in the Pod's network. */
  readonly pid: number;
  /** One outside of it, where the cluster's addresses are. */
  readonly outsidePid: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A network of its own, joined to another one that has the resolver and the cluster's addresses.
 * @param resolver dnsmasq's further arguments.
 */
export async function startPodNetwork(...resolver: readonly string[]): Promise<PodNetwork> {
  const args = ["--net", "/bin/sh", "-euc", POD_NETWORK, "sh", ...resolver];
  const running = startProcess("unshare", args, { patienceMs: 2 * PATIENCE_MS });
  const [, outsidePid] = await running.shows(/^up (\d+)$/m);
  return {
    pid: running.child.pid ?? 0,
    outsidePid: Number(outsidePid),
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

// dnsmasq forgets --pdeathsig when it changes its user, but ends with its PID namespace.
const POD_NETWORK = `
  ip link set lo up
  setpriv --pdeathsig KILL unshare --net --pid --fork --kill-child /bin/sh -euc '
    ip link set lo up
    ip link add node type veth peer name eth0 netns "/proc/$1/ns/net" && shift
    for address in ${RESOLVER}/24 ${CLUSTER_DNS}/32 ${CLUSTER_DNS_UPSTREAM}/32; do ip address add $address dev node; done
    ip link set node up
    dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --no-resolv --no-hosts --bind-interfaces \
      --listen-address=${RESOLVER} --local=/example.org/ --address=/example.org/${EXTERNAL_ADDRESS} "$@" &
    wait
  ' sh $$ "$@" >/dev/null 2>&1 &
  until ip link show eth0 >/dev/null 2>&1; do :; done
  ip address add 192.0.2.10/24 dev eth0 && ip link set eth0 up && ip route add 10.96.0.0/16 via ${RESOLVER}
  until dig +tries=1 +time=1 @${RESOLVER} example.org >/dev/null; do :; done
  echo up $!
  exec sleep 60`;

/** What init containers before the server do to the network, with busybox as their image has it. */
export function prepareNetwork({ pod, container }: Server, pid: number): void {
  using applets = temporaryFolder();
  const busybox = runInNetworkOf(pid, "sh", "-c", "command -v busybox").trim();
  for (const applet of ["sh", "ip", "grep"]) symlinkSync(busybox, join(applets.path, applet));
  for (const { name, command = [], env = [] } of pod.initContainers ?? []) {
    if (name === container.name) break;
    const variables = [`PATH=${applets.path}`, ...env.map(({ name: variable, value }) => `${variable}=${value}`)];
    // A restarted node runs it on a network that has been prepared.
    for (let time = 0; time < 2; time++) runInNetworkOf(pid, "env", ...variables, ...command);
  }
}

/** The container's files as the kubelet lays them out below `work`; the service account's too if there is an API's authority. */
export function mountsOf({ objects, pod, container }: Server, work: Folder, authority?: string): Record<string, string> {
  const resolvConf = join(work.path, "resolv.conf");
  writeFileSync(resolvConf, resolvConfOf(pod));
  const mounts: Record<string, string> = { "/etc/resolv.conf": resolvConf };
  for (const { name, mountPath } of container.volumeMounts) {
    const configMap = pod.volumes.find((volume) => volume.name === name)?.configMap;
    if (configMap !== undefined) mounts[mountPath] = keyFiles(join(work.path, name), find(objects, "ConfigMap", configMap.name).data ?? {});
  }
  if (authority !== undefined) {
    mounts[SERVICE_ACCOUNT] = keyFiles(join(work.path, "service-account"), { token: TOKEN, "ca.crt": authority, namespace: "shop" });
  }
  return mounts;
}

/** What the kubelet makes of dnsPolicy and dnsConfig. */
export function resolvConfOf({ dnsPolicy, dnsConfig }: PodSpec): string {
  if (dnsPolicy === "Default") return `nameserver ${RESOLVER}\n`;
  const { nameservers = [], searches = [], options = [] } = dnsConfig ?? {};
  const words = options.map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));
  return [...nameservers.map((address) => `nameserver ${address}`), `search ${searches.join(" ")}`, `options ${words.join(" ")}`, ""].join(
    "\n",
  );
}

// `..data` leads to a folder, each key to a file in it.
function keyFiles(folder: string, data: Readonly<Record<string, string>>): string {
  mkdirSync(join(folder, "..2026"), { recursive: true });
  symlinkSync("..2026", join(folder, "..data"));
  for (const [key, text] of Object.entries(data)) {
    writeFileSync(join(folder, "..2026", key), text);
    symlinkSync(`..data/${key}`, join(folder, key));
  }
  return folder;
}

export function startDeployed(
  { pod, container }: Server,
  image: Image,
  network: PodNetwork,
  mounts: Readonly<Record<string, string>>,
): Running {
  const { add } = container.securityContext.capabilities;
  const [sysctl] = pod.securityContext?.sysctls ?? [];
  return startContainer(image, {
    capabilities: add?.map((capability) => CAPABILITIES[capability]).join(",") ?? "-",
    ...(sysctl !== undefined && { sysctl: `${sysctl.name.replaceAll(".", "/")}=${sysctl.value}` }),
    command: container.command,
    args: container.args,
    env: { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(API_PORT), ...containerVariables },
    mounts,
    networkOf: network.pid,
    patienceMs: PATIENCE_MS,
  });
}

/** The API server, in the Pod's network, with these objects; lets in what the role allows. `authority`: its certificate. */
export async function startApi(
  { pid }: PodNetwork,
  { kind, rules = [] }: KubeObject,
  objects: InClusterApi["objects"],
): Promise<{ readonly api: Running; readonly authority: string }> {
  const options: InClusterApi = { token: TOKEN, port: API_PORT, rules, objects, ...(kind === "Role" && { namespace: "shop" }) };
  const program = [process.execPath, "--import", "tsx", join(root, "test/e2e/in-cluster-api.ts"), JSON.stringify(options)];
  const api = startProcess("nsenter", ["-t", String(pid), "--net", ...program], { cwd: root, patienceMs: PATIENCE_MS });
  const [line] = await api.shows(/^\{"authority":.*$/m);
  return { api, authority: (JSON.parse(line) as { authority: string }).authority };
}

/** Runs a program in a process's network with this resolv.conf; what it writes to stdout, also when it fails. */
export async function runResolving(
  pid: number,
  resolvConf: string,
  [program = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const inside = ["-t", String(pid), "--net", "unshare", "--mount", "/bin/sh", "-euc", RESOLVING, "sh", resolvConf, program, ...args];
  const failed = (error: { readonly stdout: string }): { stdout: string } => error;
  const { stdout } = await run("nsenter", inside, { timeout: PATIENCE_MS, env: { ...process.env, ...env } }).catch(failed);
  return stdout;
}

const RESOLVING = `
  mount --bind "$1" /etc/resolv.conf
  mount -t tmpfs tmpfs /mnt && echo 'hosts: files dns' >/mnt/nsswitch.conf
  [ ! -e /etc/nsswitch.conf ] || mount --bind /mnt/nsswitch.conf /etc/nsswitch.conf
  shift
  exec "$@"`;

/** What a URL gives with status 200; else nothing. */
export function fetchInNetworkOf(pid: number, url: string): string {
  return runInNetworkOf(pid, "sh", "-c", 'busybox wget -q -O - "$1" 2>/dev/null || true', "sh", url);
}
