// The query path of `cache`: what is remembered is told, what is not is asked for and judged. Names of the server's own
// zones pass: they are never remembered, so a new Service is not hidden by an NXDOMAIN from before it.

import { andThen } from "../../chain.ts";
import type { Clock } from "../../clock.ts";
import { toWire } from "../../dns/encode.ts";
import { DROP, EdeCodes, Flags, isPlain, isWire, Rcodes, type Ede, type Query, type Reply, type Wire } from "../../dns/message.ts";
import { isWithin, type Name } from "../../dns/name.ts";
import { boundReply } from "../../dns/ttl.ts";
import type { Zone } from "../../dns/zone.ts";
import type { Log } from "../../log.ts";
import type { Answer, Handler, Next } from "../../plugin.ts";
import type { Counters } from "./counters.ts";
import { judge, withTtl, type Lifetimes, type Worth } from "./judge.ts";
import type { Prefetch, ServeStale } from "./options.ts";
import { expiryOf, type Entry, type Store } from "./store.ts";

/** What the options come to. */
export interface Settings {
  readonly zones: readonly Name[];
  readonly lifetimes: Lifetimes;
  /** Zones whose answers, or denials, are not remembered. */
  readonly disabled: { readonly success: readonly Name[]; readonly denial: readonly Name[] };
  /** Undefined: off. */
  readonly prefetch: Prefetch | undefined;
  readonly stale: ServeStale | undefined;
  readonly preferPositive: boolean;
  /** TTLs are not counted down. */
  readonly keepTtl: boolean;
}

export interface HandlerContext {
  readonly settings: Settings;
  readonly store: Store;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
  localZones(): readonly Zone[];
}

const NAME = "cache";
const STALE: Ede = { code: EdeCodes.STALE, text: "remembered; no newer answer to be had yet" };

export function createHandler({ settings, store, counters, clock, log, localZones }: HandlerContext): Handler {
  const { zones, lifetimes, disabled, prefetch, stale, preferPositive, keepTtl } = settings;

  return (query, next) => {
    if (!isIn(query.qname, zones)) return next(query);
    if (isLocal(query.qname)) return andThen(next(query), bounded);
    counters.requests++;
    const nowMs = clock.monotonic();
    const entry = store.find(keyOf(query), nowMs);
    if (entry === undefined) {
      counters.misses++;
      return andThen(next(query), (answer) => fromMiss(answer, query, nowMs));
    }
    if (entry.kind === "success") counters.successHits++;
    else counters.denialHits++;
    if (expiryOf(entry) <= nowMs) return fromStale(entry, query, next, nowMs);
    if (prefetch !== undefined) {
      countAsked(entry, prefetch, nowMs);
      if (isPopular(entry, prefetch) && nowMs >= windowOf(entry, prefetch)) refreshBehind(entry, query, next);
    }
    offerToTable(entry, nowMs);
    return told(entry, keepTtl ? entry.ttlSeconds : entry.ttlSeconds - Math.floor((nowMs - entry.storedMs) / 1000));
  };

  // A zone that holds the name, or says by itself that there is none.
  function isLocal(qname: Name): boolean {
    return localZones().some((zone) => isWithin(qname, zone.apex) && (zone.complete || zone.node(qname) !== undefined));
  }

  function fromMiss(answer: Answer, query: Query, askedMs: number): Answer {
    if (answer === DROP || !isForeign(answer)) return bounded(answer);
    const verdict = take(answer, query, askedMs);
    return typeof verdict === "string" ? answer : verdict.wire;
  }

  function bounded(answer: Answer): Answer {
    if (answer === DROP || isWire(answer) || isForeign(answer) || answer.perClient === true) return answer;
    return boundReply(answer, lifetimes);
  }

  // Remembers a foreign reply if that is right; what comes back has the TTL that later askers see counted down.
  function take(reply: Reply, query: Query, askedMs: number, before?: Entry): Worth | "stranger" | "unfit" {
    // An error is this server's own: it says nothing about the name.
    if (reply.perClient === true || reply.error !== undefined) return "unfit";
    const verdict = judge(isWire(reply) ? reply : toWire(reply, query), query, lifetimes);
    if (verdict === "stranger") counters.drops++;
    if (typeof verdict === "string" || verdict.ttlSeconds === 0) return verdict;
    if (isIn(query.qname, disabled[verdict.kind === "success" ? "success" : "denial"])) return verdict;
    const nowMs = clock.monotonic();
    const key = keyOf(query);
    // Many ask for a name at once, and `forward` gives them all the same answer.
    const other = store.find(key, nowMs);
    if (other !== undefined && other.storedMs > askedMs) return verdict;
    const entry: Entry = {
      kind: verdict.kind,
      ttlSeconds: verdict.ttlSeconds,
      wire: fromMemory(verdict.wire),
      key,
      qname: query.qname,
      qtype: query.qtype,
      isPlain: isPlain(query),
      storedMs: nowMs,
      asked: before?.asked ?? 0,
      lastAskedMs: nowMs,
      inTable: false,
      refreshing: undefined,
      retryMs: 0,
    };
    // Many names are asked for once. The table gets them when they are asked for again: a flood of names does not churn it.
    const wasTold = before?.inTable === true;
    store.put(entry);
    if (wasTold) offerToTable(entry, nowMs);
    return verdict;
  }

  // The table tells an entry by itself until somebody has to look at it again. With `prefetch` that is only worth it for what is
  // popular, and until it is to be fetched anew: what the table tells is not counted, so it counts as asked for all the time.
  function offerToTable(entry: Entry, nowMs: number): void {
    if (!entry.isPlain || entry.inTable || keepTtl || store.find(entry.key, nowMs) !== entry) return;
    if (prefetch === undefined) return store.tell(entry, expiryOf(entry));
    const untilMs = windowOf(entry, prefetch);
    if (!isPopular(entry, prefetch) || nowMs >= untilMs) return;
    store.tell(entry, untilMs);
    if (entry.inTable) entry.lastAskedMs = untilMs;
  }

  function fromStale(entry: Entry, query: Query, next: Next, nowMs: number): Answer | Promise<Answer> {
    const { refresh: mode = "immediate", verifyTimeoutMs = 0, failureRecheckMs = 0 } = stale ?? {};
    const mayAsk = nowMs >= entry.retryMs && (failureRecheckMs === 0 || entry.refreshing === undefined);
    if (mode === "verify" && mayAsk) {
      return within(refreshed(entry, query, next), verifyTimeoutMs).then((reply) => reply ?? toldStale(entry));
    }
    if (mayAsk) refreshBehind(entry, query, next);
    return toldStale(entry);
  }

  function refreshBehind(entry: Entry, query: Query, next: Next): void {
    if (entry.refreshing !== undefined) return;
    counters.prefetches++;
    void refreshed(entry, query, next); // it never rejects, and who asks has an answer already
  }

  // One query for an entry, whoever waits for it. Undefined where the reply is none to put in its place. Never rejects.
  function refreshed(entry: Entry, query: Query, next: Next): Promise<Reply | undefined> {
    entry.refreshing ??= refresh(entry, query, next);
    return entry.refreshing;
  }

  async function refresh(entry: Entry, query: Query, next: Next): Promise<Reply | undefined> {
    // A query of its own: the asker's packet may be gone by then.
    const own = { ...query, wire: query.wire.slice() };
    await Promise.resolve(); // so that `refreshing` is set before anything can fail
    const askedMs = clock.monotonic();
    let reply: Reply | undefined;
    try {
      reply = replacement(await next(own), entry, query, askedMs);
    } catch (error) {
      log.error(`a refresh has failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    entry.refreshing = undefined;
    entry.retryMs = reply === undefined ? clock.monotonic() + (stale?.failureRecheckMs ?? 0) : 0;
    return reply;
  }

  // RFC 8767 §4: only NOERROR and NXDOMAIN are news.
  function replacement(answer: Answer, entry: Entry, query: Query, askedMs: number): Reply | undefined {
    if (answer === DROP || (answer.rcode !== Rcodes.NOERROR && answer.rcode !== Rcodes.NXDOMAIN)) return undefined;
    const verdict = isForeign(answer) ? take(answer, query, askedMs, entry) : "unfit";
    if (verdict === "stranger" || isTruncated(answer)) return undefined;
    const isKnown = typeof verdict !== "string";
    if (preferPositive && entry.kind === "success" && !(isKnown && verdict.kind === "success")) return undefined;
    // What is right now and not to be remembered ends what was.
    if (expiryOf(entry) <= clock.monotonic()) store.drop(entry);
    return isKnown ? verdict.wire : (bounded(answer) as Reply);
  }

  async function within(reply: Promise<Reply | undefined>, timeoutMs: number): Promise<Reply | undefined> {
    if (timeoutMs === 0) return reply;
    const over = new AbortController();
    const first = await Promise.race([reply, clock.delay(timeoutMs, over.signal).then(() => undefined)]);
    over.abort();
    return first;
  }

  function toldStale(entry: Entry): Wire {
    counters.servedStale++;
    return { ...told(entry, stale?.responseTtl ?? 0), ede: STALE };
  }
}

// What later askers get: no AA, for no authority has answered them.
function fromMemory({ rcode, authenticated = false, ede, message }: Wire): Wire {
  const wire: Wire = { rcode, authoritative: false, recursionAvailable: true, authenticated, by: NAME, message };
  return ede === undefined ? wire : { ...wire, ede };
}

function told({ wire }: Entry, ttlSeconds: number): Wire {
  return { ...wire, message: withTtl(wire.message, ttlSeconds) };
}

function isIn(name: Name, zones: readonly Name[]): boolean {
  return zones.some((zone) => isWithin(name, zone));
}

/** Another server's, and so to be remembered. */
function isForeign(reply: Reply): boolean {
  return reply.recursionAvailable === true;
}

function isTruncated(reply: Reply): boolean {
  return isWire(reply) && ((reply.message[2] as number) & (Flags.TC >> 8)) !== 0;
}

// The wire form of a name ends in its only zero length: no two questions have one key. What plugins have put in for upstreams (a
// client's subnet) makes it another question.
function keyOf({ qname, qtype, qclass, flags, edns, upstreamOptions }: Query): string {
  const wants = (edns?.dnssecOk === true ? 2 : 0) + ((flags & Flags.CD) === 0 ? 0 : 1);
  const key = qname + String.fromCharCode(qtype, qclass, wants);
  return upstreamOptions === undefined ? key : key + Buffer.from(upstreamOptions).toString("latin1");
}

// CoreDNS's measure: so many queries without a gap between two of them.
function countAsked(entry: Entry, { gapMs }: Prefetch, nowMs: number): void {
  entry.asked = nowMs - entry.lastAskedMs > gapMs ? 1 : entry.asked + 1;
  entry.lastAskedMs = Math.max(entry.lastAskedMs, nowMs);
}

function isPopular({ asked }: Entry, { amount }: Prefetch): boolean {
  return asked >= amount;
}

/** From when on an entry that is popular is fetched anew. */
function windowOf({ storedMs, ttlSeconds }: Entry, { percentage }: Prefetch): number {
  return storedMs + (ttlSeconds - Math.ceil((percentage / 100) * ttlSeconds)) * 1000;
}
