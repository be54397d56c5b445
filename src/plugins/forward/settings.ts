// What a `forward` line comes to, for those that carry it out: resolver.ts, which has the upstreams, and ask.ts.

import type { Clock } from "../../clock.ts";
import type { Name } from "../../dns/name.ts";
import type { DohMethod } from "./doh.ts";
import type { KeepOptions } from "./exchange.ts";
import type { ForwardMetrics } from "./metrics.ts";
import type { Policy } from "./policy.ts";
import type { TlsOptions } from "./stream.ts";
import type { Upstream } from "./upstream.ts";
import type { Wheel } from "./wheel.ts";

export interface ResolverOptions extends KeepOptions {
  readonly tls: TlsOptions;
  readonly dohMethod: DohMethod;
  readonly forceTcp: boolean;
  readonly readTimeoutMs: number;
  readonly maxFails: number;
  readonly healthCheck: { readonly intervalMs: number; readonly recursive: boolean; readonly domain: Name };
  /** Questions of clients at once; more are refused. */
  readonly maxConcurrent: number;
  /** For one question; 0 for no limit, undefined for two passes. */
  readonly maxConnectAttempts: number | undefined;
  readonly failFast: boolean;
  readonly failover: ReadonlySet<number>;
  readonly hedge: number | "p95" | undefined;
  readonly randomCase: boolean;
  readonly clock: Clock;
  readonly wheel: Wheel;
  readonly metrics: ForwardMetrics;
}

/** What a question needs to know of those who can be asked. */
export interface Asked {
  readonly options: ResolverOptions;
  readonly upstreams: readonly Upstream[];
  readonly policy: Policy;
  /** Whether one more question may be hedged; counts it. */
  mayHedge(): boolean;
  /** Called by the question when it has its reply, for so many clients. */
  over(key: string, waiters: number): void;
}
