// Opens the sockets of a server and says by which path they are served: UDP threads that take many packets from the
// kernel at a time and a TCP thread, where this system can have them and they are wanted; else Node's own sockets on the
// main thread. Called by server.ts, which need not know which.

import type { Group } from "./answering.ts";
import { listenErrorAt } from "./errors.ts";
import { bindPair } from "./listeners/bind.ts";
import { tcpConnectionCap } from "./listeners/descriptors.ts";
import type { ListenAddress, Listener, ServedAddress } from "./listeners/listener.ts";
import { loadNative, type Native } from "./listeners/native.ts";
import { tcpListener } from "./listeners/tcp.ts";
import { udpListener } from "./listeners/udp.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface ListeningOptions {
  /** `auto`: threads where they can be had. */
  readonly path: "auto" | "portable";
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface Listening {
  /** Resolves when all that the first configuration has opened is answered. */
  run(): Promise<void>;
  /**
   * Opens what a configuration's groups need beyond what is open, and answers there; rejects with NDOTS_ERR_LISTEN and the line
   * that asks for it. `threads` of UDP, where there are threads.
   */
  prepare(groups: readonly Group[], threads: number): Promise<ListenSwitch>;
  /** Which path it is, for people. */
  describe(): string;
  /** Packets and messages so far. */
  readonly received: number;
  /** A thread that has not worked for `overMs`, by its name. */
  standingStill(overMs: number): string | undefined;
  /** Connections end behind their next answer; new ones are taken. */
  windDown(): void;
  /** Takes nothing new, finishes what it has (at most `graceMs`), closes. */
  stop(graceMs: number): Promise<void>;
}

/** Addresses that wait to be answered by other groups: one of commit() and cancel() is to be called. */
export interface ListenSwitch {
  /** In the order of the groups. */
  readonly addresses: readonly ServedAddress[];
  /** Resolves when nothing reads what answered before, and the addresses that are no longer used are closed (at most `graceMs`). */
  commit(graceMs: number): Promise<void>;
  /** Closes what was opened. */
  cancel(): Promise<void>;
}

/** The sockets of one address. */
interface Site {
  /** As it was asked for: port 0 is the kernel's choice. */
  readonly at: ServedAddress;
  group: Group;
  /** UDP and TCP, or one over TLS. */
  listeners: readonly Listener[];
}

export async function createListening(options: ListeningOptions): Promise<Listening> {
  let path = await choosePath(options);
  let sites: readonly Site[] = [];
  let closedReceived = 0;
  let isRun = false;
  let isStopped = false;
  options.metrics.register({
    name: "ndots_listener_info",
    help: "A metric with a constant '1' value labeled by the path that queries take and its number of UDP threads.",
    type: "gauge",
    collect: () => (isRun ? [{ labels: { path: path.name, threads: String(path.threads) }, value: 1 }] : []),
  });

  async function listenersAt({ scheme, ...address }: ServedAddress, group: Group): Promise<readonly Listener[]> {
    try {
      if (scheme !== "dns") return [await startSecure(scheme, address, group)];
      const { udp, tcp } = await bindPair(address, {
        udp: (at) => path.udp({ ...at, ...group }),
        tcp: (at) => path.tcp({ ...at, ...group }),
      });
      return [udp, tcp];
    } catch (error) {
      throw listenErrorAt(group.at, error);
    }
  }

  // On the main thread, whatever the path: the handshakes are node:tls's. Loaded where they are used, as the threads are.
  async function startSecure(scheme: "tls" | "https", address: ListenAddress, { tls, ...group }: Group): Promise<Listener> {
    if (tls === undefined) throw new TypeError(`${scheme}:// without certificates`); // transports.ts has said so
    const served = { ...address, ...group, tls, log: options.log, metrics: options.metrics, limits: { connections: tcpConnectionCap() } };
    const listener =
      scheme === "tls"
        ? (await import("./listeners/tls.ts")).tlsListener(served)
        : (await import("./listeners/https.ts")).httpsListener(served);
    await listener.start();
    return listener;
  }

  async function close(closed: readonly Site[], graceMs: number): Promise<void> {
    await Promise.all(closed.flatMap(({ listeners }) => listeners.map((listener) => listener.stop(graceMs))));
    closedReceived += receivedBy(closed);
  }

  // Opens what `groups` listen on, but for `kept`; what it has opened is closed again if one address can't be.
  async function openMissing(groups: readonly Group[], kept: readonly Site[]): Promise<{ readonly group: Group; readonly site: Site }[]> {
    const wanted: { readonly group: Group; readonly site: Site }[] = [];
    const opened: Site[] = [];
    try {
      for (const group of groups) {
        for (const address of group.addresses) {
          const at = { ...address, scheme: group.scheme };
          const open = kept.find((site) => isSame(site.at, at) && !wanted.some((other) => other.site === site));
          const site = open ?? { at, group, listeners: await listenersAt(at, group) };
          if (open === undefined) opened.push(site);
          wanted.push({ group, site });
        }
      }
      return wanted;
    } catch (error) {
      await close(opened, 0);
      throw error;
    }
  }

  return {
    async run() {
      try {
        await path.run();
      } catch (error) {
        // The system has the calls but refuses a thread (a limit of processes, descriptors or memory): better slow than not at all.
        const threaded = sites.filter(({ at }) => at.scheme === "dns");
        const bound = threaded.map(boundOf);
        await close(threaded, 0);
        if (isStopped) return; // which is why no thread came up
        path = mainThread(options, `a thread can't be started: ${error instanceof Error ? error.message : String(error)}`);
        for (const [index, site] of threaded.entries()) {
          site.listeners = await listenersAt({ ...site.at, port: bound[index]?.port ?? site.at.port }, site.group);
        }
        if (isStopped) await close(sites, 0);
      }
      isRun = true;
    },
    async prepare(groups, threads) {
      const wanted = await openMissing(groups, sites);
      const opened = wanted.filter(({ site }) => !sites.includes(site)).map(({ site }) => site);
      return {
        addresses: wanted.map(({ site }) => boundOf(site)),
        async commit(graceMs) {
          const before = sites;
          sites = wanted.map(({ site }) => site);
          for (const { site, group } of wanted) site.group = group;
          const kept = wanted.filter(({ site }) => before.includes(site));
          // In one turn: threads that are new start with what is new.
          await Promise.all([
            ...kept.flatMap(({ site: { listeners }, group }) => listeners.map((listener) => listener.serve(group))),
            path.resize(threads),
          ]);
          await close(
            before.filter((site) => !sites.includes(site)),
            graceMs,
          );
        },
        cancel: () => close(opened, 0),
      };
    },
    describe: () => path.description,
    get received() {
      return closedReceived + receivedBy(sites);
    },
    standingStill: (overMs) => path.standingStill(overMs),
    windDown() {
      for (const listener of sites.flatMap(({ listeners }) => listeners)) listener.windDown?.();
    },
    stop(graceMs) {
      isStopped = true;
      return close(sites, graceMs);
    },
  };
}

function receivedBy(sites: readonly Site[]): number {
  return sites.flatMap(({ listeners }) => listeners).reduce((sum, { received }) => sum + received, 0);
}

function boundOf({ at, listeners }: Site): ServedAddress {
  return { ...(listeners[0]?.bound ?? at), scheme: at.scheme };
}

function isSame(one: ServedAddress, other: ServedAddress): boolean {
  return one.address === other.address && one.port === other.port && one.scheme === other.scheme;
}

type Served = ListenAddress & Pick<Group, "responder" | "share" | "unshare" | "times">;

// One way to serve sockets.
interface Path {
  readonly name: "batch" | "portable";
  readonly description: string;
  readonly threads: number;
  udp(served: Served): Listener;
  tcp(served: Served): Listener;
  run(): Promise<void>;
  /** So many UDP threads from now on, where there are threads. */
  resize(threads: number): Promise<void>;
  standingStill(overMs: number): string | undefined;
}

async function choosePath(options: ListeningOptions): Promise<Path> {
  if (options.path === "portable") return portablePath(options);
  const native = await loadNative();
  return "missing" in native ? mainThread(options, native.missing) : threadedPath(native, options);
}

function mainThread(options: ListeningOptions, reason: string): Path {
  options.log.info(`no listening threads, the main thread answers: ${reason}`);
  return portablePath(options);
}

function portablePath({ log, metrics }: ListeningOptions): Path {
  const limits = { connections: tcpConnectionCap() };
  return {
    name: "portable",
    description: "on the main thread (node:dgram, node:net)",
    threads: 0,
    udp: (served) => udpListener({ ...served, log, metrics }),
    tcp: (served) => tcpListener({ ...served, log, metrics, limits }),
    run: () => Promise.resolve(),
    resize: () => Promise.resolve(),
    standingStill: () => undefined,
  };
}

// Its modules are loaded only where they are used: the library's start is counted in milliseconds.
async function threadedPath(native: Native, { log, metrics }: ListeningOptions): Promise<Path> {
  const [{ createBatchEngine }, { createTcpThread }] = await Promise.all([
    import("./listeners/batch.ts"),
    import("./listeners/tcp-thread.ts"),
  ]);
  const udp = createBatchEngine({ native, threads: 1, log, metrics }); // until a configuration says how many
  const tcp = createTcpThread({ native, log, metrics, limits: { connections: tcpConnectionCap() } });
  return {
    name: "batch",
    get description() {
      return `${udp.threads === 1 ? "a UDP thread" : `${udp.threads} UDP threads`} (recvmmsg), a TCP thread from the first connection on`;
    },
    get threads() {
      return udp.threads;
    },
    udp: (served) => udp.listener(served),
    tcp: (served) => tcp.listener(served),
    run: () => udp.run(),
    resize: (count) => udp.resize(count),
    standingStill: (overMs) => udp.standingStill(overMs) ?? tcp.standingStill(overMs),
  };
}
