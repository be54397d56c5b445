// One upstream as it is known: how to reach it, whether it is well, how fast it is. Its health is judged by the answers
// to clients' questions first; probes are sent only while it looks ill, until it answers again.

import type { Clock } from "../../clock.ts";
import { hostPort } from "./address-words.ts";
import { createDoh, type DohMethod } from "./doh.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Asker, Exchange, KeepOptions, Transport } from "./exchange.ts";
import type { UpstreamMetrics } from "./metrics.ts";
import { createStream, type TlsOptions } from "./stream.ts";
import { createUdp } from "./udp.ts";
import type { Timed, Wheel } from "./wheel.ts";

export interface UpstreamOptions extends KeepOptions {
  readonly endpoint: Endpoint;
  readonly tls: TlsOptions;
  readonly dohMethod: DohMethod;
  readonly forceTcp: boolean;
  readonly readTimeoutMs: number;
  /** Failed probes in a row, beyond which it is down; 0: it is never down, and never probed. */
  readonly maxFails: number;
  readonly probe: { readonly packet: Buffer; readonly intervalMs: number };
  readonly clock: Clock;
  readonly wheel: Wheel;
  readonly metrics: UpstreamMetrics;
}

/** Questions that wait for an answer through it: moved on when it falls silent. */
export interface Rescued {
  rescue(from: Upstream): void;
}

/** How long TCP is preferred after it has helped where UDP had not. */
const PREFER_TCP_MS = 10_000;
/** How long it is asked without EDNS after it has refused that. */
const WITHOUT_EDNS_MS = 60_000;
/** Questions without any answer from it, and for how long, that make it look ill. */
const SILENT_QUESTIONS = 5;
const SILENT_LEAST_MS = 300;
/** Of the usual time of an answer. */
const SILENT_TIMES = 4;
/** The usual time of an answer, while it has given none. */
const UNKNOWN_RTT_MS = 250;
/** The weight of one answer in the usual time: as TCP's SRTT (RFC 6298 §2). */
const RTT_WEIGHT = 1 / 8;
const PROBE_TIMEOUT_MS = 1_000;
/** The last answers, of which the 95th percentile is taken after every so many. */
const RTT_SAMPLES = 128;
const RTT_REFRESH = 32;

export class Upstream implements Asker, Timed {
  readonly options: UpstreamOptions;
  /** As it stands in labels and logs. */
  readonly to: string;
  readonly metrics: UpstreamMetrics;
  readonly waiting: Set<Rescued> = new Set();
  readonly #udp: Transport | undefined;
  readonly #stream: Transport;
  #fails = 0;
  #suspect = false;
  #unanswered = 0;
  #silentSinceMs = 0;
  #rttMs = 0;
  readonly #rtts = new Float64Array(RTT_SAMPLES);
  #rttCount = 0;
  #p95Ms = Number.POSITIVE_INFINITY;
  #preferTcpUntilMs = Number.NEGATIVE_INFINITY;
  #plainUntilMs = Number.NEGATIVE_INFINITY;
  #probe: Exchange | undefined;
  #probing = false;
  #retired = false;

  dueAtMs = 0;
  slot = -1;
  nextTimed: Timed | undefined;
  previousTimed: Timed | undefined;

  constructor(options: UpstreamOptions) {
    const { endpoint, tls, forceTcp, dohMethod, metrics } = options;
    const { scheme, address, port, serverName } = endpoint;
    this.options = options;
    this.to = hostPort(address, port);
    this.metrics = metrics;
    const common = { ...options, address, port, reuse: metrics };
    const { tls: _, ...plain } = common;
    const secure = { ...common, tls: { ...tls, ...(serverName !== "" && { servername: serverName }) } };
    this.#udp = scheme !== "dns" || forceTcp ? undefined : createUdp(common);
    if (scheme === "https") this.#stream = createDoh({ ...secure, method: dohMethod });
    else this.#stream = createStream(scheme === "tls" ? secure : plain);
  }

  /** Sends `packet`; over TCP if `overTcp`, or if it takes nothing else. */
  ask(packet: Buffer, asker: Asker, overTcp: boolean): Exchange {
    const nowMs = this.options.clock.monotonic();
    if (this.#unanswered++ === 0) this.#silentSinceMs = nowMs;
    return (overTcp || this.#udp === undefined ? this.#stream : this.#udp).ask(packet, asker, nowMs);
  }

  /** Whether there is a choice between UDP and TCP. */
  get takesUdp(): boolean {
    return this.#udp !== undefined;
  }

  /** Down: it has failed more probes than it may. */
  get down(): boolean {
    return this.options.maxFails > 0 && this.#fails > this.options.maxFails;
  }

  /** Others are asked first. Finds out whether it has just fallen silent. */
  isSuspect(nowMs: number): boolean {
    if (this.#suspect || this.options.maxFails === 0) return this.#suspect;
    if (this.#unanswered < SILENT_QUESTIONS || nowMs - this.#silentSinceMs < this.#patienceMs()) return false;
    this.lost();
    return true;
  }

  /** It refuses, or says nothing at all: what waits for it waits in vain. */
  lost(): void {
    if (this.#suspect) return;
    this.suspect();
    if (this.#suspect) for (const question of this.waiting) question.rescue(this);
  }

  /** It has left a question without an answer: it is probed until it answers. */
  suspect(): void {
    if (this.options.maxFails === 0 || this.#retired) return;
    this.#suspect = true;
    if (this.#probing) return;
    this.#probing = true;
    this.#sendProbe();
  }

  /** It has answered a client's question. */
  heard(exchange: Exchange): void {
    const nowMs = this.options.clock.monotonic();
    this.#well();
    const rttMs = nowMs - exchange.startedAtMs;
    this.#rttMs = this.#rttMs === 0 ? rttMs : this.#rttMs + (rttMs - this.#rttMs) * RTT_WEIGHT;
    this.#rtts[this.#rttCount++ % RTT_SAMPLES] = rttMs;
    if (this.#rttCount % RTT_REFRESH === 0) this.#p95Ms = this.#percentile();
  }

  /** The usual time of an answer; 0 while none has come. */
  get rttMs(): number {
    return this.#rttMs;
  }

  /** 95 of 100 answers come within; infinite while too few have come. */
  get p95Ms(): number {
    return this.#p95Ms;
  }

  preferTcp(on: "on" | "off"): void {
    this.#preferTcpUntilMs = on === "on" ? this.options.clock.monotonic() + PREFER_TCP_MS : Number.NEGATIVE_INFINITY;
  }

  prefersTcp(nowMs: number): boolean {
    return nowMs < this.#preferTcpUntilMs;
  }

  withoutEdns(): void {
    this.#plainUntilMs = this.options.clock.monotonic() + WITHOUT_EDNS_MS;
  }

  takesEdns(nowMs: number): boolean {
    return nowMs >= this.#plainUntilMs;
  }

  sweep(nowMs: number): void {
    this.#udp?.sweep(nowMs);
    this.#stream.sweep(nowMs);
  }

  /** It is asked no more; what waits for it still gets its answer. */
  retire(): void {
    this.#retired = true;
    this.#stopProbing();
  }

  get isRetired(): boolean {
    return this.#retired;
  }

  close(): void {
    this.retire();
    this.#udp?.close();
    this.#stream.close();
  }

  // Probes, as their asker.

  /** Any answer will do: REFUSED says that it is there. */
  answered(): void {
    this.#probe = undefined;
    this.#well();
  }

  failed(): void {
    this.#probe = undefined;
    this.#probeFailed();
  }

  mismatched(): void {}

  due(): void {
    if (!this.#suspect) return this.#stopProbing(); // a client's question was answered meanwhile
    if (this.#probe === undefined) return this.#sendProbe();
    this.#probe.giveUp();
    this.#probe = undefined;
    this.#probeFailed();
  }

  #sendProbe(): void {
    const { probe, clock, wheel } = this.options;
    const nowMs = clock.monotonic();
    wheel.set(this, nowMs + PROBE_TIMEOUT_MS);
    const transport = this.#udp === undefined || this.prefersTcp(nowMs) ? this.#stream : this.#udp;
    this.#probe = transport.ask(Buffer.from(probe.packet), this, nowMs);
  }

  #probeFailed(): void {
    const { probe, clock, wheel } = this.options;
    this.#fails++;
    this.metrics.probeFailed();
    if (this.#probing) wheel.set(this, clock.monotonic() + probe.intervalMs);
  }

  #well(): void {
    this.#unanswered = 0;
    this.#fails = 0;
    this.#suspect = false;
    if (this.#probing) this.#stopProbing();
  }

  #stopProbing(): void {
    this.#probing = false;
    this.#probe?.cancel();
    this.#probe = undefined;
    this.options.wheel.clear(this);
  }

  #patienceMs(): number {
    const usual = this.#rttMs === 0 ? UNKNOWN_RTT_MS : this.#rttMs;
    return Math.min(Math.max(SILENT_LEAST_MS, SILENT_TIMES * usual), this.options.readTimeoutMs);
  }

  #percentile(): number {
    const sorted = this.#rtts.slice(0, Math.min(this.#rttCount, RTT_SAMPLES)).sort();
    return sorted[Math.floor(sorted.length * 0.95)] as number;
  }
}
