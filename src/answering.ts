// What answers at each address: server blocks that share addresses share one answer table and one responder, which the
// listeners of these addresses call, on the main thread or in threads of their own. Built once, by server.ts.

import { createCompiler, type Compiler } from "./answers/compile.ts";
import type { KeptAnswers } from "./answers/keeping.ts";
import { TableWriter } from "./answers/table.ts";
import { DEFAULT_UDP_BYTES, type Query } from "./dns/message.ts";
import { formatName } from "./dns/name.ts";
import type { ServedScheme } from "./config/server-keys.ts";
import type { ConnectionTimes, Instance, Memory, TlsOffer } from "./plugin.ts";
import { createErrorLimiter } from "./error-limit.ts";
import type { Position } from "./errors.ts";
import type { SharedFront } from "./front.ts";
import type { ListenAddress, ServedAddress } from "./listeners/listener.ts";
import type { Log } from "./log.ts";
import type { Metrics, ServerMetrics } from "./metrics.ts";
import { createResponder, type Block, type EndingResponder } from "./respond.ts";
import { serverLabel, type ReadyBlock, type Setup } from "./setup.ts";
import { createTraffic, pluginOf, type BlockLabels } from "./traffic.ts";

/** Addresses that are served by the same blocks. */
export interface Group {
  readonly addresses: readonly ListenAddress[];
  /** What is spoken there. */
  readonly scheme: ServedScheme;
  /** In metrics: `dns://:53`, `https://:443`. */
  readonly server: string;
  /** Told of queries that are dropped for newer ones. */
  readonly onShed: (() => void) | undefined;
  /** Of connections. */
  readonly times: ConnectionTimes;
  /** Over TLS and HTTPS. */
  readonly tls: TlsOffer | undefined;
  readonly httpsConnections: number | undefined;
  /** What asks for them first. */
  readonly at: Position;
  readonly responder: EndingResponder;
  readonly compiler: Compiler;
  readonly table: TableWriter;
  /** What one more thread needs to answer hits by itself. */
  share(): SharedFront;
  /** Takes back what a thread had that is gone. */
  unshare(shared: SharedFront): void;
}

/**
 * Makes the groups of a configuration, in the order in which the Corefile names their addresses.
 * @param tables `off`: the answer tables stay empty.
 */
export function createGroups(
  setup: Setup,
  metrics: Metrics,
  { panics, pluginEnabled }: ServerMetrics,
  log: Log,
  tables: "on" | "off" = "on",
): readonly Group[] {
  const dropped = metrics.counter("ndots_dropped_packets_total", "Packets that got no answer, by reason.");
  const errorLimiter = createErrorLimiter(() => dropped.add({ reason: "error_rate" }));
  const plugins = pluginSlots(setup);
  const memories = new Map<Instance, KeptIn[]>();
  const groups: readonly Group[] = groupByAddress(setup.blocks).map(({ addresses, scheme, blocks }) => {
    const table = new TableWriter();
    const server = labelOf(blocks[0] as ReadyBlock, scheme);
    const served = blocks.flatMap((block) => serveBlock(block, scheme, metrics, plugins));
    for (const { labels, instances } of served) {
      for (const { name } of instances) pluginEnabled.set(1, { ...labels, name });
    }
    const compiler = createCompiler(
      table,
      served.map(({ block, instances }) => ({ zone: block.zone, udpSize: block.udpSize, instances })),
      (error) => log.error(`answer table: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    );
    const owners = Uint8Array.from(compiler.owners, (owner) => plugins.indexOf(owner));
    for (const [keeper, kept] of compiler.memories) {
      const traffics = served.flatMap(({ instances: own, block: { traffic } }) =>
        traffic !== undefined && own.some(({ instance }) => instance === keeper) ? [traffic] : [],
      );
      const hits = (zone: number): number => sum(traffics.map((traffic) => traffic.answeredBy(plugins[owners[zone] as number] as string)));
      memories.set(keeper, [...(memories.get(keeper) ?? []), { kept, hits }]);
    }
    const responder = createResponder({
      blocks: served.map(({ block }) => block),
      table: table.reader,
      owners,
      plugins: plugins.map(pluginOf),
      refusedTraffic: blocks.some((block) => block.traffic)
        ? createTraffic(metrics, { server, zone: "dropped", view: "" }, plugins)
        : undefined,
      errorLimiter,
      log,
      panics,
      now: () => performance.now(),
    });
    const instances = blocks.flatMap((block) => block.instances.map(({ instance }) => instance));
    return {
      addresses,
      scheme,
      server,
      onShed: instances.find(({ onShed }) => onShed !== undefined)?.onShed,
      times: Object.assign({}, ...instances.map(({ connections }) => connections)) as ConnectionTimes,
      tls: instances.find(({ tls }) => tls !== undefined)?.tls,
      httpsConnections: instances.find(({ httpsConnections }) => httpsConnections !== undefined)?.httpsConnections,
      at: (blocks[0] as ReadyBlock).listenAt,
      responder,
      compiler,
      table,
      share: () => ({
        table: table.attach(),
        blocks: served.map(({ block: { traffic, observers } }) => ({ cells: traffic?.lend(), observed: observers.length > 0 })),
        owners,
      }),
      unshare(shared) {
        table.detach(shared.table);
        for (const [index, { cells }] of shared.blocks.entries()) if (cells !== undefined) served[index]?.block.traffic?.giveBack(cells);
      },
    };
  });
  if (tables === "on") for (const [keeper, kept] of memories) keeper.remember?.(memoryOf(kept));
  return groups;
}

// Who may write replies, "" for the server itself. Hits on what a plugin has kept in the tables are counted apart.
function pluginSlots({ blocks }: Setup): readonly string[] {
  const instances = blocks.flatMap((block) => block.instances);
  const keepers = instances.filter(({ instance }) => instance.remember !== undefined);
  const kept = keepers.flatMap(({ name }) => [`${name}/success`, `${name}/denial`]);
  return ["", ...new Set([...instances.map(({ name }) => name), ...kept])];
}

// A plugin's foreign answers in one table.
interface KeptIn {
  readonly kept: KeptAnswers;
  /** How often those of a zone index have been told. */
  hits(zone: number): number;
}

// A block that listens at addresses of several groups keeps its answers in each of their tables.
function memoryOf(tables: readonly KeptIn[]): Memory {
  return {
    keep(qname, qtype, answer, times) {
      for (const { kept } of tables) kept.keep(qname, qtype, answer, times);
    },
    forget(qname, qtype) {
      for (const { kept } of tables) kept.forget(qname, qtype);
    },
    hits: () => ({
      success: sum(tables.map(({ kept, hits }) => hits(kept.zones.success))),
      denial: sum(tables.map(({ kept, hits }) => hits(kept.zones.denial))),
    }),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

interface ServedBlock {
  readonly block: Block;
  readonly labels: BlockLabels;
  readonly instances: ReadyBlock["instances"];
}

// A server block as the responder sees it: one for each of its zones, for the metrics' labels.
function serveBlock(ready: ReadyBlock, scheme: ServedScheme, metrics: Metrics, plugins: readonly string[]): ServedBlock[] {
  const { instances, chain } = ready;
  const observers = instances.flatMap(({ instance }) => (instance.observe === undefined ? [] : [instance.observe.bind(instance)]));
  const errorObservers = instances.flatMap(({ instance }) =>
    instance.observeError === undefined ? [] : [instance.observeError.bind(instance)],
  );
  const udpSize = instances.find(({ instance }) => instance.udpSizeBytes !== undefined)?.instance.udpSizeBytes ?? DEFAULT_UDP_BYTES;
  const takesClasses = new Set(instances.flatMap(({ instance }) => instance.takesClasses ?? []));
  const takesTransfers = instances.some(({ instance }) => instance.takesTransfers === true);
  const filters = instances.flatMap(({ instance }) => (instance.filter === undefined ? [] : [instance.filter.bind(instance)]));
  const filter = filters.length === 0 ? undefined : (query: Query) => filters.every((passes) => passes(query));
  const server = labelOf(ready, scheme);
  const keys = ready.plan.keys.filter((key) => key.scheme === scheme);
  return keys.map(({ zone }) => {
    const labels = { ...ready.labels, server, zone: formatName(zone) };
    const traffic = ready.traffic ? createTraffic(metrics, labels, plugins) : undefined;
    return {
      labels,
      instances,
      block: {
        zone,
        filter,
        takesClasses,
        takesTransfers,
        chain: chain.ask,
        blame: chain.blame,
        udpSize,
        traffic,
        observers,
        errorObservers,
      },
    };
  });
}

function labelOf({ listen }: ReadyBlock, scheme: ServedScheme): string {
  return serverLabel(listen.find((address) => address.scheme === scheme));
}

interface AddressGroup {
  readonly addresses: ListenAddress[];
  readonly scheme: ServedScheme;
  readonly blocks: ReadyBlock[];
}

function groupByAddress(blocks: readonly ReadyBlock[]): AddressGroup[] {
  const byAddress = new Map<string, { address: ServedAddress; blocks: ReadyBlock[] }>();
  for (const block of blocks) {
    for (const address of block.listen) {
      const key = `${address.scheme} ${address.address} ${address.port}`;
      const held = byAddress.get(key) ?? { address, blocks: [] };
      held.blocks.push(block);
      byAddress.set(key, held);
    }
  }
  const groups = new Map<string, AddressGroup>();
  for (const { address, blocks: served } of byAddress.values()) {
    const { scheme } = address;
    const key = `${scheme} ${served.map((block) => blocks.indexOf(block)).join(" ")}`;
    const group = groups.get(key) ?? { addresses: [], scheme, blocks: served };
    group.addresses.push(address);
    groups.set(key, group);
  }
  return [...groups.values()];
}
