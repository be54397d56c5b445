// From a Corefile's text to server blocks whose plugins are set up: everything that can be decided without opening
// a socket. server.ts starts the result; `ndots check` only looks at the findings.

import { dirname } from "node:path";
import { readBlocks, type PlannedBlock } from "./config/blocks.ts";
import { diskFiles, parseCorefile, type Corefile } from "./config/corefile.ts";
import type { ReplacedFragments } from "./config/imports.ts";
import { checkOverlaps, portOf } from "./config/server-keys.ts";
import { composeChain, type Chain, type NamedInstance } from "./chain.ts";
import { FindingsError, type Finding, type Position } from "./errors.ts";
import type { AskedRoute } from "./http.ts";
import type { Zone } from "./dns/zone.ts";
import { formatAddress } from "./listeners/bind.ts";
import type { ListenAddress, ServedAddress } from "./listeners/listener.ts";
import type { Log } from "./log.ts";
import type { Metric, Metrics } from "./metrics.ts";
import type { Configuration, Host, Instance, Next, Plugin } from "./plugin.ts";
import { createRouter } from "./route.ts";
import type { Lease } from "./sources.ts";
import { checkTransports } from "./transports.ts";

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
  /** Gives those of the names that are plugins, in execution order. */
  readonly plugins: (names: ReadonlySet<string>) => Promise<ReadonlyMap<string, Plugin<unknown>>>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly sources: Lease;
  readonly life: Life;
  readonly configuration: Configuration;
  /** What stands in the place of files that the Corefile imports by a pattern. */
  readonly replaced?: ReplacedFragments;
}

/** One server block of the Corefile with its plugins, in execution order. */
export interface ReadyBlock {
  readonly plan: PlannedBlock;
  readonly instances: readonly NamedInstance[];
  readonly chain: Chain;
  /** Where it listens. */
  readonly listen: readonly ServedAddress[];
  /** What says so: `bind`, else the block. */
  readonly listenAt: Position;
  /** In metrics: `dns://:53`, as CoreDNS labels its servers, and "" without a view. */
  readonly labels: { readonly server: string; readonly view: string };
  /** `prometheus` asked for the counters of the hot path. */
  readonly traffic: boolean;
}

/** What the running server tells its plugins through their Host. */
export interface Life {
  addresses: readonly ServedAddress[];
  standingStill: (overMs: number) => string | undefined;
  stopping: boolean;
  draining: boolean;
}

/** A server that does not run yet. */
export function newLife(): Life {
  return { addresses: [], standingStill: () => undefined, stopping: false, draining: false };
}

/** For whoever only looks at a configuration. */
export function notRunning(): Pick<SetupOptions, "life" | "configuration"> {
  return { life: newLife(), configuration: { digest: "", read: () => "", reload: () => Promise.resolve() } };
}

/** A configuration that can be started. */
export interface Setup {
  readonly blocks: readonly ReadyBlock[];
  readonly routes: readonly Required<AskedRoute>[];
  /** Warnings of the configuration, then what plugins find wrong until `onFinding` is replaced. */
  readonly findings: readonly Finding[];
  onFinding: (finding: Finding) => void;
}

/** Reads a Corefile and sets up its plugins. Rejects with FindingsError, holding every finding, if it can't be served. */
export async function setUp(options: SetupOptions): Promise<Setup> {
  const parsed = readCorefile(options);
  const plugins = await options.plugins(new Set(parsed.blocks.flatMap(({ directives }) => directives.map(({ name }) => name))));
  const planned = readBlocks(parsed, plugins);
  const findings: Finding[] = [...parsed.findings, ...planned.findings];
  refuseErrors(findings);

  const { life, sources } = options;
  const blocks: ReadyBlock[] = [];
  const routes: Required<AskedRoute>[] = [];
  const setup: Setup = { blocks, routes, findings, onFinding: (finding) => void findings.push(finding) };
  const made: Instance[] = [];
  try {
    for (const plan of planned.blocks) blocks.push(await setUpBlock(plan));
    findings.push(...checkOverlaps(planned.blocks, options.port, (plan) => boundAddresses(blocks, plan)));
    findings.push(...checkTransports(blocks), ...checkRoutes(routes, blocks));
    refuseErrors(findings);
    return setup;
  } catch (error) {
    for (const instance of made) await instance.stop?.(); // they may follow a registry that stays
    throw error;
  }

  async function setUpBlock(plan: PlannedBlock): Promise<ReadyBlock> {
    const instances: NamedInstance[] = [];
    let traffic = false;
    let listenAt: Position | undefined;
    let localZones: readonly Zone[] | undefined;
    let ask: Next | undefined;
    let registered: Metric[] | undefined = []; // asked for its samples only when the block, which they are labelled with, is ready
    const register = (metric: Metric): void => {
      if (registered === undefined) options.metrics.register(metric);
      else registered.push(metric);
    };
    for (const { name, options: pluginOptions, at } of plan.directives) {
      const plugin = plugins.get(name);
      if (plugin === undefined) continue; // readBlocks() has said so
      const host: Host = {
        zones: plan.keys.map((key) => key.zone),
        schemes: new Set(plan.keys.map((key) => key.scheme)),
        log: options.log.plugin(name),
        metrics: { ...options.metrics, register },
        file: options.file,
        folder: instances.find(({ instance }) => instance.folder !== undefined)?.instance.folder ?? dirname(options.file),
        embedded: options.embedded,
        env: options.env,
        registry: (source) => sources.of(name, source),
        configuration: options.configuration,
        instance: (sibling) => instances.find((other) => other.name === sibling)?.instance,
        localZones: () => (localZones ??= instances.flatMap(({ instance: { zones = [] } }) => zones)),
        labels: () => ready.labels,
        ask: (query) => (ask ??= askAnew(blocks, ready))(query),
        http: (route) => void routes.push({ ...route, handle: (request) => route.handle(request), at }),
        notReady: () => notReady(blocks),
        standingStill: (overMs) => life.standingStill(overMs),
        dnsSockets: () => life.addresses.filter(({ scheme }) => scheme === "dns"),
        enableTraffic: () => void (traffic = true),
        get stopping() {
          return life.stopping;
        },
        get draining() {
          return life.draining;
        },
        report: (finding) => setup.onFinding(finding),
      };
      const instance = await plugin.setup(pluginOptions, host, at);
      made.push(instance);
      if (instance.listen !== undefined) listenAt ??= at;
      instances.push({ name, instance });
    }
    const listen = listenAddresses(plan, instances, options);
    const view = instances.find(({ instance }) => instance.view !== undefined)?.instance.view ?? "";
    const labels = { server: serverLabel(listen[0]), view };
    const ready: ReadyBlock = { plan, instances, chain: composeChain(instances), listen, listenAt: listenAt ?? plan, labels, traffic };
    for (const metric of registered.splice(0)) options.metrics.register(metric);
    registered = undefined;
    return ready;
  }
}

// A name that answering has led to is asked of the block that would answer a client for it at the same address, as in CoreDNS; of
// the block itself where that is none.
function askAnew(blocks: readonly ReadyBlock[], own: ReadyBlock): Next {
  const isOwn = (one: ServedAddress): boolean =>
    own.listen.some(({ address, port, scheme }) => one.address === address && one.port === port && one.scheme === scheme);
  const routeOf = createRouter(
    blocks.filter(({ listen }) => listen.some(isOwn)).flatMap((block) => block.plan.keys.map(({ zone }) => [zone, block] as const)),
    ({ instances }, query) => instances.every(({ instance }) => instance.filter?.(query) !== false),
  );
  return (query) => (routeOf(query) ?? own).chain.ask(query);
}

/** The Corefile with what it imports now. */
export function readCorefile({
  file,
  corefile,
  env,
  replaced = new Map(),
}: Pick<SetupOptions, "file" | "corefile" | "env" | "replaced">): Corefile {
  return parseCorefile({ file, text: corefile, env, files: diskFiles, replaced });
}

function refuseErrors(findings: readonly Finding[]): void {
  if (findings.some((finding) => finding.severity === "error")) throw new FindingsError("NDOTS_ERR_CONFIG", findings);
}

function boundAddresses(blocks: readonly ReadyBlock[], plan: PlannedBlock): readonly string[] {
  return blocks.find((block) => block.plan === plan)?.instances.flatMap(({ instance }) => instance.listen ?? []) ?? [];
}

// One would keep the other from opening: decided here, it is the fault of the file that comes with it, whichever is opened first.
function checkRoutes(routes: readonly Required<AskedRoute>[], blocks: readonly ReadyBlock[]): Finding[] {
  return routes.flatMap(({ host, port, path, at }) => {
    const isTakenBy = (dns: ListenAddress): boolean =>
      port !== 0 && dns.port === port && (dns.address === host || dns.address === "" || host === "");
    const block = blocks.find(({ listen }) => listen.some(isTakenBy));
    if (block === undefined) return [];
    const { file, line } = block.listenAt;
    return [{ ...at, severity: "error", message: `${path}: port ${port} is where ${file}:${line} serves DNS over TCP; choose another` }];
  });
}

function listenAddresses(
  plan: PlannedBlock,
  instances: readonly NamedInstance[],
  options: Pick<SetupOptions, "port" | "address">,
): ServedAddress[] {
  const bound = instances.flatMap(({ instance }) => instance.listen ?? []);
  const places = new Map(
    plan.keys.map((key) => {
      const { scheme } = key;
      const port = portOf(key, options.port);
      return [`${scheme} ${port}`, { scheme, port }];
    }),
  );
  return (bound.length > 0 ? bound : [options.address]).flatMap((address) => [...places.values()].map((place) => ({ address, ...place })));
}

/** `dns://:53`, `tls://192.0.2.1:853`: a server in metrics. */
export function serverLabel(first: ServedAddress = { scheme: "dns", address: "", port: 0 }): string {
  return `${first.scheme}://${formatAddress(first)}`;
}

/** Every plugin that is not ready, by name, each once. */
export function notReady(blocks: readonly ReadyBlock[]): { readonly plugin: string; readonly reason: string }[] {
  const reasons = new Map<string, string>();
  for (const { name, instance } of blocks.flatMap((block) => block.instances)) {
    if (instance.ready?.() === false) reasons.set(name, instance.notReadyReason?.() ?? "");
  }
  return [...reasons].map(([plugin, reason]) => ({ plugin, reason })).sort((a, b) => (a.plugin < b.plugin ? -1 : 1));
}

/** The instances of all blocks, in order. */
export function instancesOf(blocks: readonly ReadyBlock[]): Instance[] {
  return blocks.flatMap((block) => block.instances.map(({ instance }) => instance));
}
