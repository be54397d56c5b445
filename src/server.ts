// The life of a server: configuration → plugins → listeners → ready; drain; stop. index.ts offers it to programs,
// cli.ts to people. Everything a server holds hangs on the object made here: any number run side by side.

import { getHeapStatistics } from "node:v8";
import type { Group } from "./answering.ts";
import { formatGoDuration } from "./config/arguments.ts";
import { MAX_MESSAGE_BYTES } from "./dns/message.ts";
import { formatName } from "./dns/name.ts";
import { Exchange } from "./dns/question.ts";
import { FindingsError, formatFinding, NdotsError, type Finding } from "./errors.ts";
import { bringUpGeneration, type Generation } from "./generation.ts";
import { createHttpServers, type HttpServers, type HttpSwitch } from "./http.ts";
import { formatAddress, within } from "./listeners/bind.ts";
import type { ServedAddress } from "./listeners/listener.ts";
import { createListening, type ListenSwitch } from "./listening.ts";
import type { Log, LogOutput } from "./log.ts";
import { hintsFor } from "./hints.ts";
import { createMetrics } from "./metrics.ts";
import type { Plugin } from "./plugin.ts";
import { loadPlugins } from "./plugins/index.ts";
import type { Registry } from "./registry/registry.ts";
import { instancesOf, newLife, notRunning, readCorefile, setUp, type ReadyBlock, type SetupOptions } from "./setup.ts";
import { createSources } from "./sources.ts";

export interface ServerOptions extends Pick<SetupOptions, "corefile" | "file" | "port" | "address" | "embedded" | "env"> {
  readonly log: Log | LogOutput;
  /** The Corefile's text as it is now, for reload(); throws if it can't be read. Without it, it is the one that runs. */
  readonly reread?: () => string;
  /** A manifest that is wrong at start ends the start. */
  readonly strict: boolean;
  /** `auto`: threads of their own where this system can have them; `portable` (the default): the main thread. */
  readonly listeners?: "auto" | "portable";
  /** Plugins beyond ndots' own; they meet a query before them, in this order. */
  readonly plugins?: readonly Plugin<unknown>[];
  /** `off` answers everything through the plugin chain (`on`). For tests: both must say the same. */
  readonly table?: "on" | "off";
}

export interface Server {
  /** Every listening address, in the order of the Corefile. */
  readonly addresses: readonly ServedAddress[];
  /** Where health, ready and metrics are served. */
  readonly http: HttpServers;
  /** The first source's registry, else the one that the program fills. */
  readonly registry: Registry;
  /** What was wrong, but not so wrong that nothing could be served. */
  readonly findings: readonly Finding[];
  /** One line a zone, as CoreDNS prints them: `.:53`. */
  readonly zoneLines: readonly string[];
  /** What it serves on, by which path, within which bound of memory: for people, at the start. */
  describe(): readonly string[];
  /** Answers a packet as the first address would, without a socket; undefined: it would send nothing. */
  ask(packet: Uint8Array, transport: "udp" | "tcp"): Promise<Uint8Array | undefined>;
  /** Resolves when the answer tables hold every name. For tests and benchmarks. */
  settled(): Promise<void>;
  /**
   * Puts another Corefile, unless given the one that there is now, in the place of the one that runs. No listener that both have
   * is closed, a registry whose source is the same is kept. Rejects with a coded error when the new one can't be served: then
   * all goes on as it was.
   */
  reload(corefile?: string): Promise<void>;
  /**
   * Ends the server; idempotent. `drain` goes on answering through the lameduck time and until queries cease, at
   * most max(lameduck, min(2 × lameduck, 25 s)) in all, 1–5 s without `health`; `now` only finishes what it has.
   */
  stop(how: "drain" | "now"): Promise<void>;
}

/** What a configuration listens on, opened but not yet its own. */
interface Opened {
  readonly sockets: ListenSwitch;
  readonly routes: HttpSwitch;
}

const NOT_SYNCED =
  "the new Corefile asks for another source, or asks it otherwise, and that has not delivered its objects: what runs goes on";
const MIB = 1024 * 1024;

/** Longest time in which what is in flight may finish once the sockets take nothing new. */
const GRACE_MS = 5_000;
/** Queries have ceased when none came for this long. */
const QUIET_MS = 1_000;
/** How often the drain looks whether they have. */
const LOOK_MS = 100;
/** Before the end of the longest drain, so long at least (or half of it), TCP connections end behind an answer: stop() then meets few. */
const WIND_DOWN_MS = 2_000;
/** The drain of a server without `health`. */
const PLAIN_DRAIN = { leastMs: 1_000, mostMs: 5_000 };
/** Kubernetes kills 30 s after SIGTERM; the sockets need their grace too. */
const LONGEST_DRAIN_MS = 25_000;

/** Starts a server; resolves when its sockets are open and its registry is filled. Rejects with a coded error. */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { log } = options;
  const metrics = createMetrics();
  if ("dropped" in log) {
    metrics.register({
      name: "ndots_log_unwritten_total",
      help: "Log lines that the log's destination did not take in time.",
      type: "counter",
      collect: () => [{ labels: {}, value: log.dropped }],
    });
  }
  const foundAtStart: Finding[] = [];
  const found = (finding: Finding): void => {
    foundAtStart.push(finding);
    tell(log, finding);
  };
  let report = found;
  const sources = createSources({ log, metrics, report: (finding) => report(finding) });
  const http = createHttpServers(log);
  const life = newLife();
  const stopping = new AbortController();
  const plan = { ...options, plugins: withOwn(options.plugins), metrics, sources, life };
  let reloading: Promise<void> = Promise.resolve();
  let running = options.corefile;
  const configuration = {
    read: () => readCorefile({ ...options, corefile: latest() }).digest,
    reload: () => reload(),
  };

  const listening = await createListening({ path: options.listeners ?? "portable", log, metrics });
  life.standingStill = listening.standingStill;
  const first = { ...plan, configuration, lastGood: new Map(), report: (finding: Finding) => report(finding) };
  const { generation, up } = await bringUpGeneration(first, openAll);
  let current = generation;
  for (const finding of current.findings) tell(log, finding);
  const starting = start(up);
  reloading = starting.catch(() => undefined); // told below; what plugins ask for meanwhile waits
  try {
    await starting;
  } catch (error) {
    await close();
    throw error;
  }
  const findings = [...current.findings, ...foundAtStart];
  report = (finding) => tell(log, finding);

  let stopped: Promise<void> | undefined;
  return {
    get addresses() {
      return life.addresses;
    },
    http,
    get registry() {
      return current.lease.first;
    },
    findings,
    get zoneLines() {
      return current.setup.blocks.flatMap(zoneLines);
    },
    describe() {
      const spoken = (scheme: ServedAddress["scheme"]): string =>
        life.addresses
          .filter((address) => address.scheme === scheme)
          .map(formatAddress)
          .join(", ");
      const listens = [
        [spoken("dns"), `for UDP and TCP: ${listening.describe()}`],
        [spoken("tls"), "for DNS over TLS: on the main thread (node:tls)"],
        [spoken("https"), "for DNS over HTTPS: on the main thread (node:tls, node:http2)"],
      ] as const;
      const heapMiB = Math.round(getHeapStatistics().heap_size_limit / MIB);
      const tableMiB = Math.round(current.groups.reduce((sum, { table }) => sum + table.bytes, 0) / MIB);
      return [
        ...listens.filter(([where]) => where !== "").map(([where, how]) => `listening on ${where} ${how}`),
        `memory: at most ${heapMiB} MiB of JavaScript heap (--max-old-space-size sets it), ${tableMiB} MiB of answer table beside it`,
      ];
    },
    async ask(packet, transport) {
      const io = new Exchange(MAX_MESSAGE_BYTES);
      Object.assign(io, { in: packet, inEnd: packet.length, transport, receivedAtMs: performance.now() });
      Object.assign(io, { remoteAddress: "127.0.0.1", localAddress: "127.0.0.1" });
      const answer = await (current.groups[0] as Group).responder.respond(io);
      if (typeof answer !== "number") return answer;
      return answer === 0 ? undefined : io.out.slice(0, answer);
    },
    settled: () => current.settled(),
    reload,
    stop(how) {
      stopped ??= (how === "drain" ? drain() : Promise.resolve()).then(close);
      return stopped;
    },
  };

  // DNS first: an endpoint on its port is the endpoint's fault.
  async function openAll({ groups, threads, setup }: Generation): Promise<Opened> {
    const sockets = await listening.prepare(groups, threads);
    try {
      return { sockets, routes: await http.prepare(setup.routes) };
    } catch (error) {
      await sockets.cancel();
      throw error;
    }
  }

  async function start({ sockets, routes }: Opened): Promise<void> {
    life.addresses = sockets.addresses;
    await Promise.all([sockets.commit(GRACE_MS), routes.commit()]);
    const threads = listening.run(); // they start while the sources are read
    threads.catch(() => undefined); // told below
    await current.start();
    await current.lease.run(stopping.signal);
    await threads;
    current.compile();
    const errors = foundAtStart.filter((finding) => finding.severity === "error");
    if (options.strict && errors.length > 0) throw new FindingsError("NDOTS_ERR_MANIFEST", errors);
  }

  function latest(): string {
    return options.reread?.() ?? running;
  }

  // One after the other: each starts from what the one before has left.
  function reload(corefile?: string): Promise<void> {
    const reloaded = reloading.then(async () => {
      log.info("Reloading");
      try {
        await replace(corefile ?? latest());
      } catch (error) {
        log.error(`Restart failed: ${error instanceof Error ? error.message.replaceAll("\n", "; ") : String(error)}`);
        throw error;
      }
      log.info("Reloading complete");
    });
    reloading = reloaded.catch(() => undefined); // the caller's
    return reloaded;
  }

  async function replace(corefile: string): Promise<void> {
    if (life.stopping) throw new NdotsError("NDOTS_ERR_CLOSED", "reload() of a server that stops");
    const changed = { ...first, corefile, lastGood: current.goodFragments };
    const { generation: next, up } = await bringUpGeneration(changed, takeOver);
    for (const finding of next.findings) tell(log, finding);
    const before = current;
    current = next;
    running = corefile;
    try {
      await Promise.all([up.sockets.commit(GRACE_MS), up.routes.commit()]);
    } finally {
      await before.end();
    }
  }

  // Up to where nothing can go wrong any more; what it has done is undone if something does.
  async function takeOver(next: Generation): Promise<Opened> {
    const undo: (() => Promise<void>)[] = [];
    try {
      await next.lease.run(stopping.signal, "reload");
      if (stopping.signal.aborted) throw new NdotsError("NDOTS_ERR_CLOSED", "the server stops before it has reloaded");
      if (current.lease.isFilled && !next.lease.isFilled) throw new NdotsError("NDOTS_ERR_NOT_SYNCED", NOT_SYNCED);
      next.compile();
      await next.settled();
      const opened = await openAll(next);
      undo.push(
        () => opened.sockets.cancel(),
        () => opened.routes.cancel(),
      );
      const addresses = life.addresses;
      undo.push(async () => void (life.addresses = addresses));
      life.addresses = opened.sockets.addresses;
      await next.start();
      return opened;
    } catch (error) {
      for (const step of undo.toReversed()) await step();
      throw error;
    }
  }

  async function drain(): Promise<void> {
    life.stopping = true;
    const lameducks = instancesOf(current.setup.blocks).flatMap((instance) => instance.lameduckMs ?? []);
    const lameduckMs = lameducks.length === 0 ? undefined : Math.max(...lameducks);
    const leastMs = lameduckMs ?? PLAIN_DRAIN.leastMs;
    const mostMs = lameduckMs === undefined ? PLAIN_DRAIN.mostMs : Math.max(leastMs, Math.min(2 * leastMs, LONGEST_DRAIN_MS));
    if (lameduckMs !== undefined && lameduckMs > 0) {
      log.plugin("health").info(`Going into lameduck mode for ${formatGoDuration(lameduckMs)}`);
    }
    const startedMs = performance.now();
    const windDownMs = Math.min(leastMs, mostMs - Math.min(WIND_DOWN_MS, mostMs / 2));
    let isWindingDown = false;
    let quietSinceMs = startedMs;
    let seen = listening.received;
    for (let nowMs = startedMs; nowMs - startedMs < leastMs || (nowMs - startedMs < mostMs && nowMs - quietSinceMs < QUIET_MS);) {
      await delay(LOOK_MS);
      nowMs = performance.now();
      if (!isWindingDown && nowMs - startedMs >= windDownMs) {
        isWindingDown = true;
        listening.windDown();
      }
      if (listening.received !== seen) quietSinceMs = nowMs;
      seen = listening.received;
    }
  }

  // Sources go on until the last socket is closed: what is answered to the end is not old.
  async function close(): Promise<void> {
    life.stopping = life.draining = true;
    stopping.abort(); // a reload that waits for a source gives up
    await within(reloading, GRACE_MS); // one whose threads can't be replaced ends with the sockets
    await listening.stop(GRACE_MS);
    await reloading;
    await current.end();
    await http.stop();
  }
}

/** Reads and sets up a configuration and loads its sources once, without opening a socket: all that is to be said of it. */
export async function checkConfiguration(options: Omit<ServerOptions, "strict">): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  const metrics = createMetrics();
  const lease = createSources({ log: options.log, metrics, report: (finding) => void found.push(finding) }).lease();
  try {
    const setup = await setUp({ ...options, plugins: withOwn(options.plugins), metrics, sources: lease, ...notRunning() });
    await lease.load();
    for (const instance of instancesOf(setup.blocks)) await instance.stop?.();
    return [...setup.findings, ...found, ...hintsFor(setup.blocks)];
  } catch (error) {
    if (error instanceof FindingsError) return error.findings;
    throw error;
  } finally {
    await lease.end();
  }
}

function withOwn(more: readonly Plugin<unknown>[] = []): SetupOptions["plugins"] {
  return async (names) => new Map([...more.map((plugin) => [plugin.name, plugin] as const), ...(await loadPlugins(names))]);
}

function tell(log: Log, finding: Finding): void {
  const text = formatFinding(finding);
  if (finding.severity === "error") log.error(text);
  else log.warning(text);
}

function zoneLines(block: ReadyBlock): string[] {
  return block.plan.keys.flatMap(({ scheme, zone, port }) =>
    block.listen
      .filter((address) => address.scheme === scheme && (port === undefined || address.port === port))
      .map(({ address, port: served }) => {
        const where = `${formatName(zone)}:${served}${address === "" ? "" : ` on ${address}`}`;
        return scheme === "dns" ? where : `${scheme}://${where}`;
      }),
  );
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
