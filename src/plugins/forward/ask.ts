// One question on its way through the upstreams, for all the clients that ask it meanwhile: which upstream is tried, over
// what, for how long, and what becomes of the answer. The straight case is one packet out and one in; the rest of the
// file is what can go wrong.

import { EdeCodes, emptyReply, Flags, Rcodes, uint16, type Reply, type Wire } from "../../dns/message.ts";
import { readAnswer } from "../../dns/wire.ts";
import type { Asker, Exchange } from "./exchange.ts";
import { encodeQuestion, isEdnsRefusal, randomUint16, type Question } from "./packet.ts";
import type { Asked } from "./settings.ts";
import type { Rescued, Upstream } from "./upstream.ts";
import type { Timed } from "./wheel.ts";

export const NAME = "forward";

/** The whole time for one question, unless `read_timeout` is longer: clients wait for 5 s. */
const TOTAL_MS = 4_750;
/** For an answer from an upstream that is down by its probes, when all are. */
const LAST_RESORT_MS = 500;
/** Between passes over all upstreams, from the third on: refusals come at once. */
const PASS_PAUSE_MS = 100;
/** Packets with a wrong id or question, after which TCP is asked as well: somebody is guessing. */
const MISMATCHES_TO_TCP = 16;
/** And after which UDP is no longer listened to. */
const MISMATCHES_TO_END = 64;
/** Upstreams asked at the same time. */
const MAX_TRIES = 3;

interface Try {
  readonly upstream: Upstream;
  readonly exchange: Exchange;
}

const NO_TRIES: readonly Try[] = [];

export class Ask implements Asker, Timed, Rescued {
  readonly #resolver: Asked;
  readonly #question: Question;
  readonly #key: string;
  readonly #waiters: ((reply: Reply) => void)[];
  #order: readonly Upstream[] = [];
  /** Tries so far, by the order. */
  #turn = 0;
  #sent = 0;
  /** Replaced, not changed: arrays that grow take room for 16. */
  #tries: readonly Try[] = NO_TRIES;
  #endsAtMs = 0;
  #patienceMs: number;
  #hedgeAtMs = Number.POSITIVE_INFINITY;
  #resumeAtMs = Number.POSITIVE_INFINITY;
  #rested = false;
  #failovers = 0;
  /** TCP was asked because UDP's packets were not to be trusted. */
  #switched = false;
  /** Asked without EDNS, for it was refused. */
  #plain = false;
  #error = "";
  /** What is told if nothing better comes: a truncated answer, or one whose rcode calls for another upstream. */
  #fallback: Wire | undefined;
  #settled = false;

  dueAtMs = 0;
  slot = -1;
  nextTimed: Timed | undefined;
  previousTimed: Timed | undefined;

  constructor(resolver: Asked, question: Question, key: string, waiter: (reply: Reply) => void) {
    this.#waiters = [waiter];
    this.#resolver = resolver;
    this.#question = question;
    this.#key = key;
    this.#patienceMs = resolver.options.readTimeoutMs;
  }

  /** The reply goes to `waiter`, too. */
  join(waiter: (reply: Reply) => void): void {
    this.#waiters.push(waiter);
  }

  begin(): void {
    const { options, upstreams, policy } = this.#resolver;
    const nowMs = options.clock.monotonic();
    this.#endsAtMs = nowMs + Math.max(TOTAL_MS, options.readTimeoutMs);
    this.#order = ordered(policy(upstreams), nowMs);
    if (this.#order.length === 0) {
      options.metrics.allUnhealthy();
      const any = upstreams[randomUint16() % upstreams.length];
      if (options.failFast || any === undefined) return this.#settle(this.#failure());
      this.#order = [any];
      this.#turn = 1; // and then no more
      this.#patienceMs = Math.min(LAST_RESORT_MS, this.#patienceMs);
      return this.#send(any, any.prefersTcp(nowMs));
    }
    this.#tryNext();
  }

  /** The server ends: whoever still waits gets SERVFAIL. */
  abort(): void {
    this.#settle(this.#failure());
  }

  answered(exchange: Exchange, packet: Buffer): void {
    const upstream = this.#drop(exchange);
    if (upstream === undefined) return;
    upstream.heard(exchange);
    const flags = uint16(packet, 2);
    const { options } = this.#resolver;
    const refused = isEdnsRefusal(flags & 0x0f);
    if (exchange.packet[11] === 1) {
      if (refused && uint16(packet, 10) === 0) {
        this.#plain = true;
        return this.#send(upstream, exchange.protocol !== "udp");
      }
    } else if (this.#plain && !refused) upstream.withoutEdns(); // so it was EDNS, and not the question
    const wire = readAnswer(packet, NAME);
    const nowMs = options.clock.monotonic();
    if (wire !== undefined) upstream.metrics.answered(wire.rcode, nowMs - exchange.startedAtMs);
    // Some cut in the middle of a record.
    if ((flags & Flags.TC) !== 0 && exchange.protocol === "udp") {
      this.#fallback = wire ?? this.#fallback;
      return this.#send(upstream, true);
    }
    if (wire === undefined) {
      // It is there, and answers: whoever owns the name may have made it say this.
      this.#error = `${exchange.describe()}: bad message`;
      if (this.#tries.length === 0) this.#tryNext();
      return;
    }
    if (exchange.protocol === "udp") {
      if (upstream.prefersTcp(nowMs)) upstream.preferTcp("off");
    } else if (this.#switched || (this.#turn > this.#order.length && upstream.takesUdp)) upstream.preferTcp("on");
    if (options.failover.has(wire.rcode) && ++this.#failovers < this.#resolver.upstreams.length) {
      this.#fallback = wire;
      if (this.#tries.length === 0) this.#tryNext();
      return;
    }
    this.#settle(wire);
  }

  failed(exchange: Exchange, error: string): void {
    const upstream = this.#drop(exchange);
    if (upstream === undefined) return;
    if (exchange.protocol !== "udp" && upstream.takesUdp) upstream.preferTcp("off");
    this.#lost(upstream, error);
  }

  mismatched(exchange: Exchange, sameButCase: boolean): void {
    if (exchange.protocol !== "udp") return;
    const upstream = this.#tries.find((one) => one.exchange === exchange)?.upstream;
    if (upstream === undefined) return;
    if (exchange.mismatches >= MISMATCHES_TO_END) {
      this.#drop(exchange);
      exchange.cancel();
    }
    if (this.#switched || !(sameButCase || exchange.mismatches >= MISMATCHES_TO_TCP)) return;
    this.#switched = true;
    this.#send(upstream, true);
  }

  rescue(from: Upstream): void {
    if (this.#settled || this.#tries.length >= MAX_TRIES) return;
    const other = this.#another(from);
    if (other !== undefined) this.#send(other, other.prefersTcp(this.#resolver.options.clock.monotonic()));
  }

  due(): void {
    const nowMs = this.#resolver.options.clock.monotonic();
    if (nowMs >= this.#hedgeAtMs) this.#hedge();
    const late = this.#tries.filter(({ exchange }) => nowMs >= Math.min(exchange.startedAtMs + this.#patienceMs, this.#endsAtMs));
    for (const { exchange, upstream } of late) {
      this.#error = `${exchange.describe()}: i/o timeout`;
      this.#drop(exchange);
      exchange.giveUp();
      upstream.suspect();
    }
    if (this.#tries.length > 0) return this.#schedule();
    this.#resumeAtMs = Number.POSITIVE_INFINITY;
    this.#tryNext();
  }

  #tryNext(): void {
    const { clock, maxConnectAttempts } = this.#resolver.options;
    const nowMs = clock.monotonic();
    const count = this.#order.length;
    const limit = maxConnectAttempts ?? ATTEMPTS_PER_UPSTREAM * count;
    const isLastResort = this.#patienceMs < this.#resolver.options.readTimeoutMs;
    if (isLastResort || nowMs >= this.#endsAtMs || (limit > 0 && this.#sent >= limit))
      return this.#settle(this.#fallback ?? this.#failure());
    const pass = Math.floor(this.#turn / count);
    if (pass >= 2 && this.#turn % count === 0 && !this.#rested) {
      this.#rested = true;
      this.#resumeAtMs = nowMs + PASS_PAUSE_MS;
      return this.#schedule();
    }
    this.#rested = false;
    const upstream = this.#order[this.#turn++ % count] as Upstream;
    // Where the first pass got nothing over UDP the second goes over TCP: some networks let only one of them through.
    const overTcp = upstream.prefersTcp(nowMs) !== (pass % 2 === 1);
    this.#send(upstream, overTcp);
    if (this.#sent === 1) this.#planHedge(upstream, nowMs);
  }

  #send(upstream: Upstream, overTcp: boolean): void {
    const { clock, randomCase } = this.#resolver.options;
    const edns = !this.#plain && upstream.takesEdns(clock.monotonic());
    const packet = encodeQuestion(this.#question, { edns, randomCase: randomCase && !overTcp && upstream.takesUdp });
    this.#sent++;
    const one: Try = { upstream, exchange: upstream.ask(packet, this, overTcp) };
    this.#tries = this.#tries.length === 0 ? [one] : [...this.#tries, one];
    upstream.waiting.add(this);
    this.#schedule();
  }

  #planHedge(upstream: Upstream, nowMs: number): void {
    const { hedge } = this.#resolver.options;
    if (hedge === undefined || this.#order.length < 2) return;
    this.#hedgeAtMs = nowMs + (hedge === "p95" ? upstream.p95Ms : hedge);
    if (this.#hedgeAtMs < this.dueAtMs) this.#schedule();
  }

  #hedge(): void {
    this.#hedgeAtMs = Number.POSITIVE_INFINITY;
    const slow = this.#tries[0]?.upstream;
    const other = slow === undefined || this.#tries.length > 1 ? undefined : this.#another(slow);
    if (other !== undefined && this.#resolver.mayHedge()) this.#send(other, other.prefersTcp(this.#resolver.options.clock.monotonic()));
  }

  // The next one that looks well and is not being asked.
  #another(than: Upstream): Upstream | undefined {
    const nowMs = this.#resolver.options.clock.monotonic();
    return this.#order.find(
      (upstream) => upstream !== than && !upstream.isSuspect(nowMs) && !this.#tries.some((one) => one.upstream === upstream),
    );
  }

  #lost(upstream: Upstream, error: string): void {
    this.#error = error;
    upstream.lost();
    if (this.#tries.length === 0) this.#tryNext();
  }

  // Takes a try off the list, and gives its upstream.
  #drop(exchange: Exchange): Upstream | undefined {
    const found = this.#tries.find((one) => one.exchange === exchange);
    if (found === undefined) return undefined;
    const { upstream } = found;
    this.#tries = this.#tries.length === 1 ? NO_TRIES : this.#tries.filter((one) => one !== found);
    if (!this.#tries.some((one) => one.upstream === upstream)) upstream.waiting.delete(this);
    return upstream;
  }

  #schedule(): void {
    let dueAtMs = Math.min(this.#hedgeAtMs, this.#resumeAtMs, this.#endsAtMs);
    for (const { exchange } of this.#tries) dueAtMs = Math.min(dueAtMs, exchange.startedAtMs + this.#patienceMs);
    this.#resolver.options.wheel.set(this, dueAtMs);
  }

  #failure(): Reply {
    const timedOut = this.#error.endsWith("i/o timeout");
    const ede =
      this.#error === ""
        ? { code: EdeCodes.NO_REACHABLE_AUTHORITY, text: "all upstreams are down" }
        : timedOut
          ? { code: EdeCodes.NO_REACHABLE_AUTHORITY, text: "no upstream has answered in time" }
          : { code: EdeCodes.NETWORK_ERROR, text: "no upstream can be reached" };
    const error = this.#error === "" ? "no healthy proxies" : this.#error;
    return { ...emptyReply(Rcodes.SERVFAIL, NAME), recursionAvailable: true, ede, error };
  }

  #settle(reply: Reply): void {
    if (this.#settled) return;
    this.#settled = true;
    for (const { exchange, upstream } of this.#tries) {
      exchange.cancel();
      upstream.waiting.delete(this);
    }
    this.#tries = NO_TRIES;
    this.#resolver.options.wheel.clear(this);
    this.#resolver.over(this.#key, this.#waiters.length);
    for (const tell of this.#waiters) tell(reply);
  }
}

/** Two passes over the upstreams, unless `max_connect_attempts` says otherwise. */
const ATTEMPTS_PER_UPSTREAM = 2;

// Without those that are down; those that look ill last.
function ordered(upstreams: readonly Upstream[], nowMs: number): readonly Upstream[] {
  let ill = 0;
  for (const upstream of upstreams) if (upstream.isSuspect(nowMs)) ill++;
  if (ill === 0) return upstreams;
  const suspects = upstreams.filter((upstream) => upstream.isSuspect(nowMs));
  return [...upstreams.filter((upstream) => !suspects.includes(upstream)), ...suspects.filter(({ down }) => !down)];
}
