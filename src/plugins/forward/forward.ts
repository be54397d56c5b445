// forward — asks upstream servers what the rest of the block does not know. This file is the plugin: what it takes, what it
// passes on, and its life. resolver.ts has the upstreams, ask.ts a question's way through them.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { systemClock, type Clock } from "../../clock.ts";
import { DROP, EdeCodes, emptyReply, Rcodes, type Query, type Reply } from "../../dns/message.ts";
import { isWithin, ROOT } from "../../dns/name.ts";
import { soaRdata } from "../../dns/rdata.ts";
import { RRTypes } from "../../dns/records.ts";
import { answerCountOf } from "../../dns/wire.ts";
import { findingAt, refusalAt, type Position } from "../../errors.ts";
import { followedFile, lookEvery, type FollowedFile } from "../../followed-file.ts";
import { definePlugin, type Answer, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { NAME } from "./ask.ts";
import { createClientGuard } from "./clients.ts";
import type { Endpoint } from "./endpoint.ts";
import { createForwardMetrics } from "./metrics.ts";
import { DEFAULT_EXPIRE_MS, DEFAULT_HEALTH_CHECK, syntax, type ForwardOptions, type TlsFiles } from "./options.ts";
import { createPolicy } from "./policy.ts";
import { MAX_UPSTREAMS, parseNameservers } from "./resolv-conf.ts";
import type { Resolver } from "./resolver.ts";
import type { TlsOptions } from "./stream.ts";
import { Wheel } from "./wheel.ts";

const DEFAULT_READ_TIMEOUT_MS = 2_000;
const DEFAULT_MAX_FAILS = 2;
/**
 * Where `max_concurrent` gives no bound: memory must have one (some 2 KB a question), and it stays below what listeners hold open
 * (4096), so that silent upstreams leave room for names that are answered without them.
 */
const MOST_CONCURRENT = 3_000;
/** How often files are looked at, and idle sockets ended. */
const LOOK_MS = 5_000;
const SWEEP_MS = 1_000;
const MAX_FILE_BYTES = 64 * 1024;
/** Of the NODATA that `ipv6 off` gives: as the default of `cache` for negative answers would soon be, but short. */
const NODATA_TTL_SECONDS = 30;

/** An instance of one `forward` line; the block's lines know how many there are. */
interface ForwardInstance extends Instance {
  readonly lines: { count: number };
}

export interface ForwardTools {
  readonly clock: Clock;
}

/** The plugin with a clock of its own. */
export function createForward({ clock }: ForwardTools): Plugin<ForwardOptions> {
  return definePlugin({ name: NAME, syntax, setup: (options, host, at) => setup(options, host, at, clock) });
}

const plugin: Plugin<ForwardOptions> = createForward({ clock: systemClock });
export default plugin;

async function setup(options: ForwardOptions, host: Host, at: Position, clock: Clock): Promise<Instance> {
  const { from, to } = options.args;
  const ignored = options.except.flat();
  const files = await Promise.all(to.map(async (one) => ("file" in one ? readUpstreams(one.file, host, at, clock) : undefined)));
  const endpoints = (): Endpoint[] => to.flatMap((one, index) => ("file" in one ? (files[index]?.endpoints ?? []) : [one]));
  if (endpoints().length > MAX_UPSTREAMS) throw refusalAt(at, `${NAME}: more than ${MAX_UPSTREAMS} TOs configured: ${endpoints().length}`);

  const { Resolver } = await import("./resolver.ts"); // with TLS and HTTP/2, for which no server without `forward` waits
  const wheel = new Wheel(clock);
  const resolver = new Resolver(
    {
      tls: readTls(options.tls ?? {}, options.tls_servername, host, at),
      dohMethod: options.doh_method ?? "POST",
      forceTcp: options.force_tcp === true,
      readTimeoutMs: options.read_timeout ?? DEFAULT_READ_TIMEOUT_MS,
      maxFails: options.max_fails ?? DEFAULT_MAX_FAILS,
      healthCheck: options.health_check ?? DEFAULT_HEALTH_CHECK,
      maxConcurrent: options.max_concurrent || MOST_CONCURRENT,
      maxConnectAttempts: options.max_connect_attempts,
      failFast: options.failfast_all_unhealthy_upstreams === true,
      failover: new Set(options.failover.flat()),
      hedge: options.hedge,
      randomCase: options.case_randomization === "on",
      expireMs: options.expire ?? DEFAULT_EXPIRE_MS,
      maxAgeMs: options.max_age ?? 0,
      maxIdle: options.max_idle_conns ?? 0,
      sourceAddress: options.source_address,
      clock,
      wheel,
      metrics: createForwardMetrics(host.metrics, { legacy: legacyMetrics(host) }),
    },
    createPolicy(options.policy ?? "random"),
  );
  resolver.use(endpoints());
  const checkClient = createClientGuard({ server: host.configuration.reload, warn: host.log.warning, now: () => clock.monotonic() });
  const lines = (host.instance(NAME) as ForwardInstance | undefined)?.lines ?? { count: 0 };
  const line = ++lines.count;
  const next = new Set(options.next.flat());
  const nextOnNodata = options.next_on_nodata === true;
  const withoutIpv6 = options.ipv6 === "off";
  const ended = new AbortController();

  const instance: ForwardInstance = {
    lines,
    handle(query, rest) {
      const { qname, qtype, client } = query;
      if (!from.some((zone) => isWithin(qname, zone)) || ignored.some((zone) => isWithin(qname, zone) && !from.includes(qname)))
        return rest(query);
      checkClient(client.address);
      if (withoutIpv6 && qtype === RRTypes.AAAA) return nodata(query);
      if (isLoop(query, resolver)) return DROP;
      const reply = resolver.ask(query);
      // As in CoreDNS only another `forward` is asked next.
      if (line === lines.count || !(nextOnNodata || next.size > 0) || !(reply instanceof Promise)) return reply;
      return reply.then((settled): Answer | Promise<Answer> => (isForNext(settled) ? rest(query) : settled));
    },
    start() {
      const { signal } = ended;
      // Neither rejects: they end with the signal.
      void lookEvery(SWEEP_MS, { clock, signal, look: () => Promise.resolve(resolver.sweep()) });
      if (files.some((file) => file !== undefined)) void lookEvery(LOOK_MS, { clock, signal, look: lookAtFiles });
    },
    stop() {
      ended.abort();
      wheel.stop();
      resolver.close();
    },
  };
  return instance;

  function isForNext(reply: Reply): boolean {
    if (reply.error !== undefined) return false;
    return next.has(reply.rcode) || (nextOnNodata && reply.rcode === Rcodes.NOERROR && answerCountOf(reply) === 0);
  }

  async function lookAtFiles(): Promise<void> {
    const changed = await Promise.all(files.map(async (file) => file?.look()));
    if (!changed.includes(true)) return;
    resolver.use(endpoints().slice(0, MAX_UPSTREAMS));
    host.log.info(`upstreams are now ${resolver.upstreams.map((upstream) => upstream.to).join(", ")}`);
  }
}

// A question that comes back from an upstream while it is being asked goes round (upstream → us → upstream). Over loopback
// it can't be told from a client's; there it waits for its own answer, and so asks nothing again.
function isLoop(query: Query, resolver: Resolver): boolean {
  const { address } = query.client;
  if (address.startsWith("127.") || address === "::1") return false;
  return resolver.upstreams.some((upstream) => upstream.options.endpoint.address === address) && resolver.isAsking(query);
}

function nodata({ qname }: Query): Reply {
  const soa = { mname: ROOT, rname: ROOT, serial: 1, refresh: 7200, retry: 1800, expire: 86_400, minimum: NODATA_TTL_SECONDS };
  return {
    ...emptyReply(Rcodes.NOERROR, NAME),
    recursionAvailable: true,
    authority: [{ owner: qname, type: RRTypes.SOA, ttl: NODATA_TTL_SECONDS, rdata: [soaRdata(soa)] }],
    ede: { code: EdeCodes.FILTERED, text: "ipv6 off" },
  };
}

interface UpstreamFile {
  readonly endpoints: readonly Endpoint[];
  /** True if its upstreams are others now. */
  look(): Promise<boolean>;
}

async function readUpstreams(path: string, host: Host, at: Position, clock: Clock): Promise<UpstreamFile> {
  const file: FollowedFile = followedFile(resolve(host.folder, path), MAX_FILE_BYTES, clock);
  const first = await file.look();
  if (first.kind !== "read") {
    throw refusalAt(at, `${NAME}: not an IP address or file "${path}"${first.kind === "lost" ? `: ${first.why}` : ""}`);
  }
  const parsed = parseNameservers(first.text, path);
  if (parsed.problem !== undefined) throw refusalAt(at, `${NAME}: ${parsed.problem}`);
  for (const warning of parsed.warnings) host.report(findingAt(at, "warning", `${NAME}: ${warning}`));
  let { endpoints } = parsed;
  return {
    get endpoints() {
      return endpoints;
    },
    async look() {
      const found = await file.look();
      if (found.kind === "lost") host.log.warning(`${path}: ${found.why}; its upstreams as last read are asked`);
      if (found.kind !== "read") return false;
      const read = parseNameservers(found.text, path);
      for (const warning of read.warnings) host.log.warning(warning);
      if (read.problem !== undefined) {
        host.log.warning(`${read.problem}; its upstreams as last read are asked`);
        return false;
      }
      ({ endpoints } = read);
      return true;
    },
  };
}

function readTls({ ca, cert, key }: TlsFiles, serverName: string | undefined, host: Host, at: Position): TlsOptions {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(resolve(host.folder, path));
    } catch (error) {
      throw refusalAt(at, `${NAME}: tls: ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
    }
  };
  return {
    ...(ca !== undefined && { ca: read(ca) }),
    ...(cert !== undefined && { cert: read(cert) }),
    ...(key !== undefined && { key: read(key) }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

function legacyMetrics(host: Host): boolean {
  const prometheus = host.instance("prometheus");
  return prometheus !== undefined && "legacyMetrics" in prometheus && prometheus.legacyMetrics === true;
}
