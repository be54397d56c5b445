// A network namespace in which a Service IP leads to endpoints as in a cluster: nftables picks one for each flow, conntrack
// keeps the flow there (kube-proxy's nftables mode). For rollouts, in test/e2e and scripts/bench. Needs root, `ip`, `nft`
// and `conntrack`.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";

export const serviceNetworkPrograms: readonly string[] = ["ip", "nft", "conntrack"];

/** What clients ask. */
export const SERVICE_IP = "10.96.0.10";

export interface ServiceNetwork extends AsyncDisposable {
  /** Goes before a command that is to run in it. */
  readonly prefix: readonly string[];
  /** The endpoints of the Service from now on, out of those that the network was made with. Flows of others go on: see forget(). */
  lead(to: readonly string[]): Promise<void>;
  /** Deletes the UDP flows to an endpoint, as kube-proxy does once it has gone; those of TCP stay. */
  forget(endpoint: string): Promise<void>;
}

const CLIENT = "10.244.0.100";
const run = promisify(execFile);

/** `name` is the namespace's; `endpoints` are addresses on which servers may listen. */
export async function createServiceNetwork(name: string, endpoints: readonly string[]): Promise<ServiceNetwork> {
  const prefix = ["ip", "netns", "exec", name];
  const inside = async (...command: readonly string[]): Promise<void> => {
    const [program = "", ...args] = [...prefix, ...command];
    await run(program, args);
  };
  const dispose = async (): Promise<void> => void (await run("ip", ["netns", "delete", name]));
  await run("ip", ["netns", "add", name]);
  try {
    await inside("ip", "link", "set", "lo", "up");
    for (const address of [CLIENT, ...endpoints]) await inside("ip", "address", "add", `${address}/32`, "dev", "lo");
    await inside("ip", "route", "add", `${SERVICE_IP}/32`, "dev", "lo", "src", CLIENT);
    await inside("nft", TABLE);
    await lead(endpoints);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    prefix,
    lead,
    async forget(endpoint) {
      const command = ["conntrack", "--delete", "--proto", "udp", "--orig-dst", SERVICE_IP, "--dst-nat", endpoint];
      // Again until there are none: it gives up where a flow has expired between its look and its deletion.
      for (let code = 0; code === 0;) code = await exitCode([...prefix, ...command]);
    },
    [Symbol.asyncDispose]: dispose,
  };

  function lead(to: readonly string[]): Promise<void> {
    const map = to.map((endpoint, index) => `${index} : ${endpoint}`).join(", ");
    // One transaction.
    return inside(
      "nft",
      `flush chain ip kube-proxy endpoints; add rule ip kube-proxy endpoints dnat ip to numgen random mod ${to.length} map { ${map} }`,
    );
  }
}

// It prints each flow that it deletes; 1 where there is none.
async function exitCode([program = "", ...args]: readonly string[]): Promise<number> {
  const [code] = (await once(spawn(program, args, { stdio: "ignore" }), "exit")) as [number];
  return code;
}

// The clients are in the same namespace: their packets are seen on their way out.
const TABLE = `table ip kube-proxy {
  chain endpoints { }
  chain services {
    type nat hook output priority -100; policy accept;
    ip daddr ${SERVICE_IP} meta l4proto { tcp, udp } th dport 53 goto endpoints
  }
}`;
