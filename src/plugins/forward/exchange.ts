// One packet to one upstream and the answer to it: what transports (udp.ts, stream.ts) and those who ask (ask.ts,
// health.ts) have in common.

/** Who waits for the answer. Called at most once for each exchange, but for `mismatched`. */
export interface Asker {
  answered(exchange: Exchange, packet: Buffer): void;
  /** In the words of the errors log: `read udp A->B: i/o timeout`. */
  failed(exchange: Exchange, error: string): void;
  /** A packet came that is not the answer; the exchange goes on. True where it answers but for the case of letters. */
  mismatched(exchange: Exchange, sameButCase: boolean): void;
}

export type Protocol = "udp" | "tcp" | "tcp-tls" | "https";

export interface Exchange {
  readonly protocol: Protocol;
  readonly asker: Asker;
  /** What was sent, id included. */
  readonly packet: Buffer;
  readonly startedAtMs: number;
  /** Packets that were not the answer. */
  mismatches: number;
  /** No answer is wanted any more; the asker hears nothing further. */
  cancel(): void;
  /** The same, because none came in time. */
  giveUp(): void;
  /** `read udp 192.0.2.7:41870->192.0.2.53:53`, for what an error says. */
  describe(): string;
}

/** A way to one upstream. */
export interface Transport {
  /** Sends `packet`, in which the transport puts the id. What goes wrong is told later, never while it is called. */
  ask(packet: Buffer, asker: Asker, nowMs: number): Exchange;
  /** Ends what has not been used for long. */
  sweep(nowMs: number): void;
  /** Ends everything. */
  close(): void;
}

/** How long ways to an upstream are kept. */
export interface KeepOptions {
  /** Ends what was not used for so long. */
  readonly expireMs: number;
  /** Ends what is older, once it is idle; 0 for never. */
  readonly maxAgeMs: number;
  /** How many idle ones are kept; 0 for all. */
  readonly maxIdle: number;
  /** Our address, if it must be one. */
  readonly sourceAddress: string | undefined;
}

/** What becomes of the cached ways. */
export interface Reuse {
  hit(protocol: Protocol): void;
  miss(protocol: Protocol): void;
}
