// From a Corefile's text to server blocks whose plugins are set up: everything that can be decided without opening
// a socket. server.ts starts the result; `ndots check` only looks at the findings.

import { setTimeout as delay } from "node:timers/promises";
import { readBlocks, type PlannedBlock } from "./config/blocks.ts";
import { diskFiles, parseCorefile } from "./config/corefile.ts";
import { checkOverlaps, portOf } from "./config/server-keys.ts";
import type { NamedInstance } from "./chain.ts";
import { FindingsError, type Finding } from "./errors.ts";
import type { HttpRoute } from "./http.ts";
import type { ListenAddress } from "./listeners/listener.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Host, Instance, Plugin } from "./plugin.ts";
import { createRegistry, type Registry, type Source, type WritableRegistry } from "./registry/registry.ts";

export interface SetupOptions {
  /** The Corefile's text. */
  readonly corefile: string;
  /** Its name in messages; relative paths in it are relative to its folder. */
  readonly file: string;
  /** Port of keys without one; 0: the kernel chooses, the same for UDP and TCP. */
  readonly port: number;
  /** Where a block without `bind` listens; "" is every address. */
  readonly address: string;
  /** The program may fill a registry: `kubernetes` needs no source. */
  readonly embedded: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly plugins: ReadonlyMap<string, Plugin<unknown>>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly addRoute: (route: HttpRoute) => void;
}

/** One server block of the Corefile with its plugins, in execution order. */
export interface ReadyBlock {
  readonly plan: PlannedBlock;
  readonly instances: readonly NamedInstance[];
  /** Where it listens. */
  readonly listen: readonly ListenAddress[];
  /** `prometheus` asked for the counters of the hot path. */
  readonly traffic: boolean;
}

/** What the running server tells its plugins through their Host. */
export interface Life {
  addresses: readonly ListenAddress[];
  standingStill: (overMs: number) => string | undefined;
  stopping: boolean;
  draining: boolean;
}

/** A configuration that can be started. */
export interface Setup {
  readonly blocks: readonly ReadyBlock[];
  readonly registries: Registries;
  readonly life: Life;
  /** Warnings of the configuration, then what the sources find wrong until `onFinding` is replaced. */
  readonly findings: readonly Finding[];
  onFinding: (finding: Finding) => void;
}

/** Reads a Corefile and sets up its plugins. Rejects with FindingsError, holding every finding, if it can't be served. */
export async function setUp(options: SetupOptions): Promise<Setup> {
  const parsed = parseCorefile({ file: options.file, text: options.corefile, env: options.env, files: diskFiles });
  const planned = readBlocks(parsed, options.plugins);
  const findings: Finding[] = [...parsed.findings, ...planned.findings];
  refuseErrors(findings);

  const life: Life = { addresses: [], standingStill: () => undefined, stopping: false, draining: false };
  const registries = createRegistries(options.log);
  const blocks: ReadyBlock[] = [];
  const setup: Setup = { blocks, registries, life, findings, onFinding: (finding) => void findings.push(finding) };
  for (const plan of planned.blocks) blocks.push(await setUpBlock(plan));
  findings.push(...checkOverlaps(planned.blocks, options.port, (plan) => boundAddresses(blocks, plan)));
  refuseErrors(findings);
  return setup;

  async function setUpBlock(plan: PlannedBlock): Promise<ReadyBlock> {
    const instances: NamedInstance[] = [];
    let traffic = false;
    for (const { name, options: pluginOptions, at } of plan.directives) {
      const plugin = options.plugins.get(name);
      if (plugin === undefined) continue; // readBlocks() has said so
      const host: Host = {
        zones: plan.keys.map((key) => key.zone),
        log: options.log.plugin(name),
        metrics: options.metrics,
        file: options.file,
        embedded: options.embedded,
        registry: registries.of,
        instance: (sibling) => instances.find((other) => other.name === sibling)?.instance,
        http: options.addRoute,
        notReady: () => notReady(blocks),
        standingStill: (overMs) => life.standingStill(overMs),
        listenAddresses: () => life.addresses.map(({ address }) => address),
        enableTraffic: () => void (traffic = true),
        get stopping() {
          return life.stopping;
        },
        get draining() {
          return life.draining;
        },
        report: (finding) => setup.onFinding(finding),
      };
      instances.push({ name, instance: await plugin.setup(pluginOptions, host, at) });
    }
    return { plan, instances, listen: listenAddresses(plan, instances, options), traffic };
  }
}

function refuseErrors(findings: readonly Finding[]): void {
  if (findings.some((finding) => finding.severity === "error")) throw new FindingsError("NDOTS_ERR_CONFIG", findings);
}

function boundAddresses(blocks: readonly ReadyBlock[], plan: PlannedBlock): readonly string[] {
  return blocks.find((block) => block.plan === plan)?.instances.flatMap(({ instance }) => instance.listen ?? []) ?? [];
}

function listenAddresses(
  plan: PlannedBlock,
  instances: readonly NamedInstance[],
  options: Pick<SetupOptions, "port" | "address">,
): ListenAddress[] {
  const bound = instances.flatMap(({ instance }) => instance.listen ?? []);
  const ports = new Set(plan.keys.map((key) => portOf(key, options.port)));
  return (bound.length > 0 ? bound : [options.address]).flatMap((address) => [...ports].map((port) => ({ address, port })));
}

/** Every plugin that is not ready, by name, each once. */
export function notReady(blocks: readonly ReadyBlock[]): { readonly plugin: string; readonly reason: string }[] {
  const reasons = new Map<string, string>();
  for (const { name, instance } of blocks.flatMap((block) => block.instances)) {
    if (instance.ready?.() === false) reasons.set(name, instance.notReadyReason?.() ?? "");
  }
  return [...reasons].map(([plugin, reason]) => ({ plugin, reason })).sort((a, b) => (a.plugin < b.plugin ? -1 : 1));
}

/** The registries of one server, one for each different source; blocks that name the same source share it. */
export interface Registries {
  /** The registry that `source` fills; without one, the registry that the program fills. */
  readonly of: (source?: SourceSpec) => WritableRegistry;
  /** The first source's registry, else the program's. */
  readonly first: Registry;
  /** Runs every source until `signal` aborts; resolves when all have delivered their first full state. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when every source has ended; rejects with the first failure. */
  ended(): Promise<void>;
}

export interface SourceSpec {
  /** Equal keys are one source. */
  readonly key: string;
  readonly create: () => Source;
}

function createRegistries(log: Log): Registries {
  const own = createRegistry();
  const sourced = new Map<string, { readonly registry: WritableRegistry; readonly source: Source }>();
  const running: Promise<void>[] = [];
  return {
    of(spec) {
      if (spec === undefined) return own;
      const known = sourced.get(spec.key);
      if (known !== undefined) return known.registry;
      const source = spec.create();
      const registry = createRegistry({ sources: [source.name] });
      sourced.set(spec.key, { registry, source });
      return registry;
    },
    get first() {
      for (const { registry } of sourced.values()) return registry;
      return own;
    },
    async run(signal) {
      for (const { registry, source } of sourced.values()) {
        running.push(supervise(source, registry, signal, log));
      }
      const failed = Promise.all(running).then(() => undefined); // a source that ends or fails early ends the wait
      const filled = Promise.all([...sourced.values()].map(({ registry }) => registry.whenSynced())).then(() => undefined);
      await (running.length === 0 ? filled : Promise.race([filled, failed]));
    },
    ended: () => Promise.all(running).then(() => undefined),
  };
}

/** Pause before a source that has died is run again: doubled each time, within these bounds. */
const RESTART_MS = { least: 1_000, most: 30_000 };

// A source that fails before its first full state fails the start; later it is told and run again, and the registry
// goes on with what it has.
async function supervise(source: Source, registry: WritableRegistry, signal: AbortSignal, log: Log): Promise<void> {
  for (let pauseMs = RESTART_MS.least; ; pauseMs = Math.min(2 * pauseMs, RESTART_MS.most)) {
    try {
      return await source.run(registry, () => registry.markSynced(source.name), signal);
    } catch (error) {
      if (!registry.synced || signal.aborted) throw error;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      log.error(`source ${source.name} failed and is started again in ${pauseMs / 1000} s: ${text}`);
      await delay(pauseMs, undefined, { signal }).catch(() => undefined); // aborted: the server stops
      if (signal.aborted) return;
    }
  }
}

/** The instances of all blocks, in order. */
export function instancesOf(blocks: readonly ReadyBlock[]): Instance[] {
  return blocks.flatMap((block) => block.instances.map(({ instance }) => instance));
}
