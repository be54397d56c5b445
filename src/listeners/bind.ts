// Opens sockets for the portable listeners: the wildcard, the same port for UDP and TCP, and errors in words
// that say who holds the address and what to do.

import { setTimeout as delay } from "node:timers/promises";
import { NdotsError } from "../errors.ts";
import type { ListenAddress, Listener } from "./listener.ts";

/** UDP and TCP on one address and port. */
export interface ListenerPair {
  readonly udp: Listener;
  readonly tcp: Listener;
}

// The kernel hands out a UDP port without a look at TCP. A taken one is rare: so many in a row means something else.
const PORT_TRIES = 20;

/** Starts both listeners on the same port. With port 0 the kernel's choice for UDP is tried for TCP, until one is free for both. */
export async function bindPair(
  address: ListenAddress,
  open: { readonly udp: (address: ListenAddress) => Listener; readonly tcp: (address: ListenAddress) => Listener },
): Promise<ListenerPair> {
  for (let tries = 1; ; tries++) {
    const udp = open.udp(address);
    await udp.start();
    const tcp = open.tcp({ address: address.address, port: udp.bound.port });
    try {
      await tcp.start();
      return { udp, tcp };
    } catch (error) {
      await udp.stop(0);
      // By its code: where loaders keep two graphs of modules (tsx under mocha), a lazily loaded listener's errors are of another class.
      const isTaken = codeOf(error) === "NDOTS_ERR_LISTEN" && codeOf((error as NdotsError).cause) === "EADDRINUSE";
      if (address.port !== 0 || !isTaken || tries === PORT_TRIES) throw error;
    }
  }
}

/** Binds `address`; the wildcard as one dual-stack socket where there is IPv6, else as IPv4. */
export async function bindAddress<Socket>(
  transport: "udp" | "tcp",
  { address, port }: ListenAddress,
  open: (host: string) => Promise<Socket>,
): Promise<Socket> {
  try {
    return await open(address === "" ? "::" : address);
  } catch (error) {
    if (address !== "" || !NO_IPV6.has(codeOf(error) ?? "")) throw listenError(transport, { address, port }, error);
  }
  try {
    return await open("0.0.0.0");
  } catch (error) {
    throw listenError(transport, { address, port }, error);
  }
}

/** Another address of the same server. */
export interface Neighbour {
  readonly bound: ListenAddress;
  /** Lets others bind beside it (SO_REUSEPORT), if they do the same. */
  reusePort(): void;
}

/**
 * Opens a socket alone, so that an address somebody else has is refused; beside `neighbours` of the same port, as the
 * wildcard is beside one address, all share it: the kernel then gives each packet or client to the one that says more.
 */
export function openBeside<Socket>(
  host: string,
  port: number,
  neighbours: readonly Neighbour[],
  open: (sharing: "alone" | "shared") => Socket,
): Socket {
  try {
    return open("alone");
  } catch (error) {
    const beside = neighbours.filter(({ bound }) => bound.port === port);
    const isOurs = beside.some(({ bound }) => bound.address === host);
    if (codeOf(error) !== "EADDRINUSE" || beside.length === 0 || isOurs) throw error;
    for (const neighbour of beside) neighbour.reusePort();
    return open("shared");
  }
}

// The kernel is built without IPv6, or net.ipv6.conf.*.disable_ipv6 is set.
const NO_IPV6: ReadonlySet<string> = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL", "EPROTONOSUPPORT"]);

/** Why an address can't be listened on, and the way out. */
export function listenError(transport: "udp" | "tcp", { address, port }: ListenAddress, cause: unknown): NdotsError {
  const host = address === "" ? "all addresses" : address;
  const where = `${host}, port ${port}/${transport.toUpperCase()}`;
  return new NdotsError("NDOTS_ERR_LISTEN", `can't listen on ${where}: ${explain(transport, address, port, cause)}`, { cause });
}

function explain(transport: "udp" | "tcp", address: string, port: number, cause: unknown): string {
  switch (codeOf(cause)) {
    case "EADDRINUSE": {
      const holder =
        port === 53 ? "another process has it; on port 53 that is often systemd-resolved or dnsmasq" : "another process has it";
      const flags = transport === "udp" ? "-lunp" : "-ltnp";
      const look = process.platform === "linux" ? `ss ${flags} 'sport = :${port}'` : `lsof -nP -i ${transport}:${port}`;
      return `${holder} (to see which: sudo ${look}). Choose another port (-p N), or other addresses with "bind ADDRESS" in the Corefile.`;
    }
    case "EACCES":
    case "EPERM":
      return (
        `this user may not open ports below 1024. Choose another port (-p 1053), or grant the capability ` +
        `(setcap cap_net_bind_service=+ep on the node binary; NET_BIND_SERVICE in a container), or set the sysctl net.ipv4.ip_unprivileged_port_start=${port}.`
      );
    case "EADDRNOTAVAIL":
      return `no interface of this machine has the address (to see them: ip addr). Correct "bind" in the Corefile${address.startsWith("fe80:") ? "; a link-local address needs its interface, as in fe80::1%eth0" : ""}.`;
    case "EMFILE":
    case "ENFILE":
      return "out of file descriptors; raise the limit (ulimit -n).";
    default:
      return cause instanceof Error ? cause.message : String(cause);
  }
}

/** `127.0.0.1:53`, `[::1]:53`, `:53`. */
export function formatAddress({ address, port }: ListenAddress): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** The system's code of an error, such as EADDRINUSE. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** An IPv4 address in dotted form, also where an IPv6 socket shows it as ::ffff:192.0.2.1. */
export function plainAddress(address: string): string {
  // The test by length first: most addresses through a dual-stack socket are mapped, and this runs for each packet.
  return address.length > 9 && address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** Waits until `done` is settled, at most `graceMs`. */
export async function within(done: Promise<void>, graceMs: number): Promise<void> {
  const abort = new AbortController();
  await Promise.race([done, delay(graceMs, undefined, { signal: abort.signal }).catch(() => {})]);
  abort.abort();
}
