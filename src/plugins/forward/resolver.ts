// The upstreams of one `forward` line and the questions that are being asked of them. Equal questions are asked once.

import { emptyReply, Rcodes, type Query, type Reply } from "../../dns/message.ts";
import { hostPort } from "./address-words.ts";
import { Ask, NAME } from "./ask.ts";
import { endpointKey, type Endpoint } from "./endpoint.ts";
import { encodeProbe, keyOf, questionOf } from "./packet.ts";
import type { Policy } from "./policy.ts";
import type { Asked, ResolverOptions } from "./settings.ts";
import { Upstream } from "./upstream.ts";

/** Hedged questions, of all. */
const HEDGE_SHARE = 0.05;
/** Hedges that may come at once, after a time without any. */
const HEDGE_BURST = 10;

export class Resolver implements Asked {
  readonly options: ResolverOptions;
  readonly policy: Policy;
  #upstreams: readonly Upstream[] = [];
  #retired: Upstream[] = [];
  readonly #inFlight = new Map<string, Ask>();
  #concurrent = 0;
  #hedges = 0;

  constructor(options: ResolverOptions, policy: Policy) {
    this.options = options;
    this.policy = policy;
  }

  get upstreams(): readonly Upstream[] {
    return this.#upstreams;
  }

  /** Asks these from now on; those that stay keep their connections and what is known of them. */
  use(endpoints: readonly Endpoint[]): void {
    const known = new Map(this.#upstreams.map((upstream) => [endpointKey(upstream.options.endpoint), upstream]));
    const wanted = new Map(endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
    this.#upstreams = [...wanted].map(([key, endpoint]) => known.get(key) ?? this.#create(endpoint));
    for (const upstream of known.values()) {
      if (this.#upstreams.includes(upstream)) continue;
      upstream.retire();
      this.#retired.push(upstream);
    }
  }

  /** Whether the question of `query` is being asked. */
  isAsking(query: Query): boolean {
    return this.#inFlight.has(keyOf(questionOf(query)));
  }

  ask(query: Query): Promise<Reply> | Reply {
    const { maxConcurrent, metrics } = this.options;
    if (this.#concurrent >= maxConcurrent) {
      metrics.rejected();
      return {
        ...emptyReply(Rcodes.REFUSED, NAME),
        recursionAvailable: true,
        error: `concurrent queries exceeded maximum ${maxConcurrent}`,
      };
    }
    const question = questionOf(query);
    const key = keyOf(question);
    this.#concurrent++;
    return new Promise((resolve) => {
      const asking = this.#inFlight.get(key);
      if (asking !== undefined) {
        metrics.joined();
        return asking.join(resolve);
      }
      const ask = new Ask(this, question, key, resolve);
      this.#inFlight.set(key, ask);
      this.#hedges = Math.min(this.#hedges + HEDGE_SHARE, HEDGE_BURST);
      ask.begin();
    });
  }

  over(key: string, waiters: number): void {
    this.#inFlight.delete(key);
    this.#concurrent -= waiters;
  }

  /** Whether one more question may be hedged; counts it. */
  mayHedge(): boolean {
    if (this.#hedges < 1) return false;
    this.#hedges--;
    this.options.metrics.hedged();
    return true;
  }

  /** Ends what was not used for long. */
  sweep(): void {
    const nowMs = this.options.clock.monotonic();
    for (const upstream of this.#upstreams) upstream.sweep(nowMs);
    this.#retired = this.#retired.filter((upstream) => {
      if (upstream.waiting.size > 0) return true;
      upstream.close();
      return false;
    });
  }

  close(): void {
    for (const ask of this.#inFlight.values()) ask.abort();
    for (const upstream of [...this.#upstreams, ...this.#retired]) upstream.close();
  }

  #create(endpoint: Endpoint): Upstream {
    const { healthCheck, metrics } = this.options;
    const { intervalMs, recursive, domain } = healthCheck;
    const upstream: Upstream = new Upstream({
      ...this.options,
      endpoint,
      probe: { packet: encodeProbe(domain, { recursive }), intervalMs },
      metrics: metrics.upstream(hostPort(endpoint.address, endpoint.port)),
    });
    return upstream;
  }
}
