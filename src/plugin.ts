// What a plugin is. A plugin is one folder under plugins/ and one line in plugins/index.ts; its syntax table
// parses the Corefile, its setup makes one Instance per server block. Everything it may touch is in its Host.

import type { Syntax } from "./config/directive.ts";
import type { DROP, Query, Rcode, Reply } from "./dns/message.ts";
import type { Name } from "./dns/name.ts";
import type { RRType } from "./dns/records.ts";
import type { Zone } from "./dns/zone.ts";
import type { Position } from "./errors.ts";
import type { HttpRoute } from "./http.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Registry, Source } from "./registry/registry.ts";

export type MaybePromise<T> = T | Promise<T>;
export type Answer = Reply | typeof DROP;
export type Next = (query: Query) => MaybePromise<Answer>;
/** Answers, or hands on to the rest of the chain. A handler returns, it never writes. */
export type Handler = (query: Query, next: Next) => MaybePromise<Answer>;

export interface Plugin<Options> {
  /** Directive, folder, export, metric subsystem and log name in one. */
  readonly name: string;
  readonly syntax: Syntax<Options>;
  setup(options: Options, host: Host, at: Position): MaybePromise<Instance>;
}

/** What was sent, for observers. Sizes in bytes; `by` is the plugin that wrote the reply. */
export interface Sent {
  readonly rcode: Rcode;
  /** The reply header's flag word. */
  readonly flags: number;
  readonly requestBytes: number;
  readonly replyBytes: number;
  /** From receipt to hand-over to the kernel. */
  readonly durationMs: number;
  readonly by: string;
  /** NODATA or NXDOMAIN: for log classes. */
  readonly answerCount: number;
  readonly error?: string;
}

/** Which questions an instance cares about; to all others it is transparent. */
export interface Touches {
  readonly names?: readonly Name[];
  readonly suffixes?: readonly Name[];
  readonly types?: readonly RRType[];
}

/** One plugin in one server block. All members are optional. */
export interface Instance {
  /** Absent: not in the query path (health, ready, bind). */
  readonly handle?: Handler;
  /** Called after every answer that was sent, table hits included. */
  observe?(query: Query, sent: Sent): void;
  /** Called after answers that carry an error text; table hits never do. */
  observeError?(query: Query, sent: Sent): void;
  /** Authoritative data that the answer table may serve. */
  readonly zones?: readonly Zone[];
  /** True: a table hit may skip `handle`. Touches: except for these questions. Absent: opaque. */
  readonly transparent?: boolean | Touches;
  /** Answers of these types are rotated by the table, as `handle` does on the chain. */
  readonly rotates?: ReadonlySet<RRType>;
  /** Addresses to listen on instead of the wildcard. */
  readonly listen?: readonly string[];
  /** Bound of UDP replies and the size in our OPT record, 512–4096. */
  readonly udpSizeBytes?: number;
  /** How long queries are answered after the signal to stop. */
  readonly lameduckMs?: number;
  ready?(): boolean;
  /** Why ready() is false, for /ready and the log. */
  notReadyReason?(): string;
  start?(): MaybePromise<void>;
  stop?(): MaybePromise<void>;
}

/** What a server block offers its plugins; there are no globals. */
export interface Host {
  /** Zones of the server block's keys. */
  readonly zones: readonly Name[];
  /** The metrics' `server` and `zone` labels: `dns://:53`, `cluster.local.` */
  readonly server: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Folder that relative file names are relative to. */
  readonly directory: string;
  /** The registry that `source` fills; without one, the registry that the library's user fills. Equal keys share a source. */
  registry(source?: { readonly key: string; readonly create: () => Source }): Registry;
  /** False in a `kubernetes` block without a source outside the library: nothing would ever fill the registry. */
  readonly embedded: boolean;
  /** A sibling in the same block, once all are set up. */
  instance(plugin: string): Instance | undefined;
  /** Serves HTTP at an address that plugins and blocks may share; open from start to the end of stop. */
  http(route: HttpRoute): void;
  /** Plugins of the whole server that are not ready, with their reasons; sorted by name. */
  notReady(): readonly { readonly plugin: string; readonly reason: string }[];
  /** Addresses of the server's own DNS sockets; empty before start. */
  listenAddresses(): readonly string[];
  /** Counters of the hot path, one per server block that serves DNS; for the `prometheus` plugin. */
  enableTraffic(): void;
  /** True from the signal to stop until the sockets are drained. */
  readonly draining: boolean;
  /** A finding about the configuration that only setup can see. */
  warn(at: Position, message: string): void;
}

/** Gives a plugin's options their type from its syntax table. */
export function definePlugin<Options>(plugin: Plugin<Options>): Plugin<Options> {
  return plugin;
}
