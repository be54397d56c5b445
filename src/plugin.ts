// What a plugin is. A plugin is one folder under plugins/ and one word in plugins/index.ts; its syntax table
// parses the Corefile, its setup makes one Instance per server block. Everything it may touch is in its Host.

import type { Syntax } from "./config/directive.ts";
import type { ServedScheme } from "./config/server-keys.ts";
import type { DROP, Query, Rcode, Reply, Wire } from "./dns/message.ts";
import type { Name } from "./dns/name.ts";
import type { RRClass, RRType } from "./dns/records.ts";
import type { TtlBounds } from "./dns/ttl.ts";
import type { Zone } from "./dns/zone.ts";
import type { Finding, Position } from "./errors.ts";
import type { HttpRoute } from "./http.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Registry, Source } from "./registry/registry.ts";
import type { ClusterView } from "./registry/served-cluster.ts";

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
  /** The cluster that the zones are made of, for plugins that show it otherwise (`kubernetes` has one for `k8s_external`). */
  readonly cluster?: ClusterView;
  /** A table hit may skip `handle`, except for what it touches. Absent: opaque, the table serves nothing from here on down the chain. */
  readonly transparent?: true | Touches;
  /** Whether the server block takes the query: of blocks with one zone, the first that does answers (`view`). */
  filter?(query: Query): boolean;
  /** The name of that choice, for metrics. */
  readonly view?: string;
  /** What it knows of a query under a label of its own, `kubernetes/namespace`; asked for through `metadata`, which the block may lack. */
  metadata?(query: Query, label: string): string | undefined;
  /** Classes beyond IN whose questions `handle` is to get; the server block gets them then. */
  readonly takesClasses?: readonly RRClass[];
  /** Where others take a class, `handle` gets its questions too: it decides who may ask at all. */
  readonly guardsClasses?: true;
  /** AXFR and IXFR questions over TCP and TLS are for the chain, too. What is too long for one message is sent in several (`transfer`). */
  readonly takesTransfers?: true;
  /** What the TTLs of our own zones' answers at a name are held within, in `handle` and in the table alike (`cache`). */
  ttlBounds?(name: Name): TtlBounds | undefined;
  /**
   * Called before start(), if all plugins in front of this one, and `cache`, are transparent: what is given to `memory` is told
   * again without asking the chain.
   */
  remember?(memory: Memory): void;
  /** Answers of these types are rotated by the table, as `handle` does on the chain. */
  readonly rotates?: ReadonlySet<RRType>;
  /** What relative file names of the plugins behind this one are relative to (`root`). */
  readonly folder?: string;
  /** Addresses to listen on instead of the wildcard. */
  readonly listen?: readonly string[];
  /** Bound of UDP replies and the size in our OPT record, 512–4096. */
  readonly udpSizeBytes?: number;
  /** Times and bounds of connections: over TCP, TLS and HTTPS. */
  readonly connections?: ConnectionTimes;
  /** What is shown over TLS: the block's `tls://` and `https://` keys are served with it. */
  readonly tls?: TlsOffer;
  /** Connections over HTTPS at one time, at one address. */
  readonly httpsConnections?: number;
  /** Called for each query over UDP that is dropped for newer ones; absent: none is (`shed`). */
  onShed?(): void;
  /** Threads that listen for UDP queries, where there are such threads; the most that any block asks for. */
  readonly threads?: number;
  /** How long queries are answered after the signal to stop. */
  readonly lameduckMs?: number;
  /** Where `search` is told to answer the short names of every namespace: not for names that others may choose. */
  readonly everyNamespace?: Position;
  ready?(): boolean;
  /** Why ready() is false, for /ready and the log. */
  notReadyReason?(): string;
  /** Once the sockets are open. What throws here ends the start, or leaves the configuration before in its place. */
  start?(): MaybePromise<void>;
  /** When its configuration has ended; also when that was refused before start(). */
  stop?(): MaybePromise<void>;
}

/** What a configuration says of connections; what it does not say stays as it is. */
export interface ConnectionTimes {
  /** From the first byte of a message to its last; from the connection's opening to its first message. */
  readonly readMs?: number;
  /** Output of which the client takes nothing. */
  readonly writeMs?: number;
  /** From the last answer to the next message. */
  readonly idleMs?: number;
  /** Messages of one connection over TCP or TLS; behind the last answer it ends. */
  readonly queries?: number;
}

/** Whether clients show a certificate: Go's words, as in CoreDNS. */
export type ClientAuth = "nocert" | "request" | "require" | "verify_if_given" | "require_and_verify";

/** What a server shows over TLS and asks for. Never changed: other files give other credentials. */
export interface Credentials {
  /** PEM, its own certificate first, then those that sign it. */
  readonly cert: Buffer;
  /** PEM */
  readonly key: Buffer;
  /** Who signs clients' certificates, PEM; undefined: the authorities that Node.js trusts. */
  readonly ca: Buffer | undefined;
  readonly clientAuth: ClientAuth;
}

/** Where the credentials of the next handshake come from. */
export interface CredentialSource {
  readonly credentials: Credentials;
}

export interface TlsOffer extends CredentialSource {
  /** All that makes it what it is: server blocks that share an address must have the same. */
  readonly key: string;
}

/**
 * The questions for which the answer table must ask the chain. They are worked out when the configuration is read, and may be
 * too many, but never too few.
 */
export interface Touches {
  /** All questions for these names. */
  readonly names?: readonly Name[];
  /** All questions for these names, and for those below them. */
  readonly below?: readonly Name[];
  /** All questions for names of which this is true: asked once for each that the table gets to hold. */
  readonly matches?: (name: Name) => boolean;
  /** These types, whatever the name. */
  readonly types?: readonly RRType[];
  /** Names that don't exist, if this is so of the nearest name above that does (their closest encloser, RFC 4592 §3.3.1). */
  readonly missingBelow?: (encloser: Name) => boolean;
}

/** Where foreign answers are kept that the listeners' threads may tell again: with a TTL that has counted down, RA and no AA. */
export interface Memory {
  /**
   * Keeps the answer to a question of class IN without DO, CD and AD, in the place of one that was kept before. The caller bounds
   * the number of names. Nothing happens where only the chain may answer the question.
   */
  keep(qname: Name, qtype: RRType, answer: Wire, times: { readonly storedAtMs: number; readonly deadlineMs: number }): void;
  /** Forgets an answer; nothing happens if there is none. */
  forget(qname: Name, qtype: RRType): void;
  /** How often kept answers have been told. NODATA and NXDOMAIN are denials. */
  hits(): { readonly success: number; readonly denial: number };
}

/**
 * A source of objects that a plugin wants, for host.registry().
 * @example
 * const registry = host.registry({
 *   key: `static ${address}`,
 *   create: () => ({
 *     name: "static",
 *     async run(registry, synced, signal) {
 *       registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: [address] }) });
 *       synced();
 *       await once(signal, "abort");
 *     },
 *   }),
 * });
 */
export interface SourceSpec {
  /** Equal keys are one source, also over a reload: it names all that makes the source what it is. */
  readonly key: string;
  /** How long a start or reload waits for the first full state before it goes on without; absent: for ever. */
  readonly startupTimeoutMs?: number;
  /** It asks other hosts: `ndots check` and `ndots env` don't run it. */
  readonly remote?: true;
  /** What they run instead: the part of it that reads files here. */
  readonly local?: SourceSpec;
  /** A file that it writes: two sources of one configuration can't have the same. */
  readonly writes?: string;
  create(context: SourceContext): Source;
}

/** What a source may use; it outlives the server block that asked for it. */
export interface SourceContext {
  /** The asking plugin's. */
  readonly log: Log;
  readonly metrics: Metrics;
  /** Something wrong in a file: it is told, and the rest goes on. */
  report(finding: Finding): void;
}

/** The Corefile that runs, and how it is replaced. */
export interface Configuration {
  /** SHA-512 of the Corefile and all that it imports, in hex. */
  readonly digest: string;
  /** The digest of what the files say now. Throws if they can't be read. */
  read(): string;
  /** Puts what the files say in the place of what runs. Rejects with FindingsError and the like; then all goes on as it was. */
  reload(): Promise<void>;
}

/** What a server block offers its plugins; there are no globals. */
export interface Host {
  /** Zones of the server block's keys. */
  readonly zones: readonly Name[];
  /** Schemes of the server block's keys. */
  readonly schemes: ReadonlySet<ServedScheme>;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The Corefile's path. */
  readonly file: string;
  /** What relative file names in the block are relative to: the Corefile's folder, unless `root` names another. */
  readonly folder: string;
  /** A program runs this server and may fill the registry itself: `kubernetes` needs no source. */
  readonly embedded: boolean;
  /** The environment that the Corefile was read with. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The registry that `source` fills; without one, the registry that the program fills. Equal keys share a source. */
  registry(source?: SourceSpec): Registry;
  readonly configuration: Configuration;
  /** A sibling in the same block, once all are set up. */
  instance(plugin: string): Instance | undefined;
  /** The zones that the block's plugins publish, once all are set up. */
  localZones(): readonly Zone[];
  /** The block's labels in metrics, once all are set up: `dns://:53`, and "" without a view. */
  labels(): { readonly server: string; readonly view: string };
  /**
   * Asks a whole chain anew, for a name that answering has led to: that of the block at the same address that answers clients
   * for it, or of this one if none does. Who asks raises `hops`, and stops at 10. Not before start().
   */
  ask(query: Query): MaybePromise<Answer>;
  /** Serves HTTP at an address that plugins and blocks may share; open from start to the end of stop. */
  http(route: HttpRoute): void;
  /** Plugins of the whole server that are not ready, with their reasons; sorted by name. */
  notReady(): readonly { readonly plugin: string; readonly reason: string }[];
  /** What stands still: a thread that has not worked for `overMs`, by its name. */
  standingStill(overMs: number): string | undefined;
  /** Where the server's own sockets of plain DNS are, "" for every address; empty before start. */
  dnsSockets(): readonly { readonly address: string; readonly port: number }[];
  /** Keeps the counters of the hot path for this block (the `prometheus` plugin). */
  enableTraffic(): void;
  /** True once the server takes no new queries. */
  readonly draining: boolean;
  /** True from the signal to stop on: queries are still answered, through the lameduck time. */
  readonly stopping: boolean;
  /** Something wrong in a file: an error during setup refuses the configuration, later it is told and the rest goes on. */
  report(finding: Finding): void;
}

/**
 * Gives a plugin's options their type from its syntax table.
 * @example
 * export default definePlugin({
 *   name: "refuse",
 *   syntax: directive({ args: zones({ min: 1 }) }),
 *   setup: ({ args }) => ({
 *     handle: (query, next) => (args.some((zone) => isWithin(query.qname, zone)) ? emptyReply(Rcodes.REFUSED, "refuse") : next(query)),
 *   }),
 * });
 */
export function definePlugin<Options>(plugin: Plugin<Options>): Plugin<Options> {
  return plugin;
}

// What a plugin is written with: this module is all that `ndots/plugin` offers.
export {
  directive,
  each,
  none,
  once,
  one,
  args,
  optional,
  rest,
  zones,
  type Syntax,
  type Shape,
  type Property,
} from "./config/directive.ts";
export { cidr, goDuration, integer, oneOf, word, type ArgType } from "./config/arguments.ts";
export {
  DROP,
  EdeCodes,
  emptyReply,
  Flags,
  isWire,
  Rcodes,
  type Client,
  type Ede,
  type Edns,
  type Query,
  type Records,
  type Reply,
  type Wire,
} from "./dns/message.ts";
export { formatName, isWithin, labelsOf, nameBelow, parentOf, parseName, type Name } from "./dns/name.ts";
export { addressRdata, nameRdata, srvRdata, txtRdata } from "./dns/rdata.ts";
export { RRTypes, type Rdata, type RecordSet, type RRType } from "./dns/records.ts";
export type { TtlBounds, TtlRange } from "./dns/ttl.ts";
export { recordsOf } from "./dns/wire.ts";
export type { Node, Zone } from "./dns/zone.ts";
export { findingAt, refusalAt, type Finding, type Position } from "./errors.ts";
export type { Registry, Source, WritableRegistry } from "./registry/registry.ts";
