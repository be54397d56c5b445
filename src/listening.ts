// Opens the sockets of a server and says by which path they are served: UDP threads that take many packets from the
// kernel at a time and a TCP thread, where this system can have them and they are wanted; else Node's own sockets on the
// main thread. Called by server.ts, which need not know which.

import type { Group } from "./answering.ts";
import { bindPair } from "./listeners/bind.ts";
import { tcpConnectionCap } from "./listeners/descriptors.ts";
import type { ListenAddress, Listener } from "./listeners/listener.ts";
import { loadNative, type Native } from "./listeners/native.ts";
import { tcpListener } from "./listeners/tcp.ts";
import { udpListener } from "./listeners/udp.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface ListeningOptions {
  readonly groups: readonly Group[];
  /** `auto`: threads where they can be had. */
  readonly path: "auto" | "portable";
  /** Of UDP, where there are threads. */
  readonly threads: number;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface Listening {
  /** Opens every socket; rejects with NDOTS_ERR_LISTEN. Gives the addresses in the order of the groups. */
  open(): Promise<readonly ListenAddress[]>;
  /** Resolves when all that was opened is answered. */
  run(): Promise<void>;
  /** Which path it is, for people. */
  describe(): string;
  /** Packets and messages so far. */
  readonly received: number;
  /** A thread that has not worked for `overMs`, by its name. */
  standingStill(overMs: number): string | undefined;
  /** Takes nothing new, finishes what it has (at most `graceMs`), closes. Also after a failed open(). */
  stop(graceMs: number): Promise<void>;
}

export async function createListening({ groups, ...options }: ListeningOptions): Promise<Listening> {
  let path = await choosePath(options);
  let listeners: Listener[] = [];
  const info = options.metrics.gauge(
    "ndots_listener_info",
    "A metric with a constant '1' value labeled by the path that queries take and its number of UDP threads.",
  );

  async function open(addresses: readonly Address[]): Promise<readonly ListenAddress[]> {
    const bound: ListenAddress[] = [];
    for (const { group, at: address } of addresses) {
      const { udp, tcp } = await bindPair(address, {
        udp: (at) => path.udp({ ...at, ...group }),
        tcp: (at) => path.tcp({ ...at, ...group }),
      });
      listeners.push(udp, tcp);
      bound.push(udp.bound);
    }
    return bound;
  }

  async function stop(graceMs: number): Promise<void> {
    await Promise.all(listeners.map((listener) => listener.stop(graceMs)));
  }

  const addresses = groups.flatMap((group) => group.addresses.map((at) => ({ group, at })));
  let bound: readonly ListenAddress[] = [];
  return {
    open: async () => (bound = await open(addresses)),
    async run() {
      try {
        await path.run();
      } catch (error) {
        // The system has the calls but refuses a thread (a limit of processes, descriptors or memory): better slow than not at all.
        await stop(0);
        listeners = [];
        path = mainThread(options, `a thread can't be started: ${error instanceof Error ? error.message : String(error)}`);
        await open(addresses.map(({ group, at }, index) => ({ group, at: { ...at, port: bound[index]?.port ?? at.port } })));
      }
      info.set(1, { path: path.name, threads: String(path.threads) });
    },
    describe: () => path.description,
    get received() {
      return listeners.reduce((sum, listener) => sum + listener.received, 0);
    },
    standingStill: (overMs) => path.standingStill(overMs),
    stop,
  };
}

interface Address {
  readonly group: Group;
  readonly at: ListenAddress;
}

type Served = ListenAddress & Pick<Group, "responder" | "share" | "unshare">;

// One way to serve sockets.
interface Path {
  readonly name: "batch" | "portable";
  readonly description: string;
  readonly threads: number;
  udp(served: Served): Listener;
  tcp(served: Served): Listener;
  run(): Promise<void>;
  standingStill(overMs: number): string | undefined;
}

type PathOptions = Omit<ListeningOptions, "groups">;

async function choosePath(options: PathOptions): Promise<Path> {
  if (options.path === "portable") return portablePath(options);
  const native = await loadNative();
  return "missing" in native ? mainThread(options, native.missing) : threadedPath(native, options);
}

function mainThread(options: PathOptions, reason: string): Path {
  options.log.info(`no listening threads, the main thread answers: ${reason}`);
  return portablePath(options);
}

function portablePath({ log, metrics }: PathOptions): Path {
  const limits = { connections: tcpConnectionCap() };
  return {
    name: "portable",
    description: "on the main thread (node:dgram, node:net)",
    threads: 0,
    udp: (served) => udpListener({ ...served, log, metrics }),
    tcp: (served) => tcpListener({ ...served, log, metrics, limits }),
    run: () => Promise.resolve(),
    standingStill: () => undefined,
  };
}

// Its modules are loaded only where they are used: the library's start is counted in milliseconds.
async function threadedPath(native: Native, { threads, log, metrics }: PathOptions): Promise<Path> {
  const [{ createBatchEngine }, { createTcpThread }] = await Promise.all([
    import("./listeners/batch.ts"),
    import("./listeners/tcp-thread.ts"),
  ]);
  const udp = createBatchEngine({ native, threads, log, metrics });
  const tcp = createTcpThread({ native, log, metrics, limits: { connections: tcpConnectionCap() } });
  return {
    name: "batch",
    description: `${threads === 1 ? "a UDP thread" : `${threads} UDP threads`} (recvmmsg), a TCP thread from the first connection on`,
    threads,
    udp: (served) => udp.listener(served),
    tcp: (served) => tcp.listener(served),
    run: () => udp.run(),
    standingStill: (overMs) => udp.standingStill(overMs) ?? tcp.standingStill(overMs),
  };
}
