// Requests to the Kubernetes API server, over HTTP/1.1: one connection a watch, lists on kept connections. Called by the
// reflector. By hand on node:https, for a client library's informers keep whole objects, stop on errors or end the process.
// Every wait has an end, a slow reader slows the server down (nothing piles up here), and every fault has plain words.

import { X509Certificate } from "node:crypto";
import type { ClientRequest, IncomingMessage } from "node:http";
import type { RequestOptions } from "node:https";
import { isIPv6 } from "node:net";
import type { Readable } from "node:stream";
import type { PeerCertificate } from "node:tls";
import type { Clock } from "../../clock.ts";
import { NdotsError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Metrics } from "../../metrics.ts";
import { readVersion } from "../../version.ts";
import { AnswerBody } from "./answer-body.ts";
import { Attempt } from "./attempt.ts";
import { readKubeconfig } from "./config.ts";
import { createCredentials, inClusterAccess, parseServer, SERVER_FORM, type KubeCluster, type Presented } from "./credentials.ts";
import { codeOf, connectionError, givenUp, KubeError } from "./kube-error.ts";
import { restMetrics, type RestMetrics } from "./rest-metrics.ts";
import { createLimiter, type KubeLimits } from "./limits.ts";

export { KubeError, type KubeErrorKind } from "./kube-error.ts";
export type { KubeLimits } from "./limits.ts";

export interface KubeClient {
  /** `https://10.96.0.1:443`, for labels and messages. */
  readonly host: string;
  /** Sends GET path?query. Resolves with the answer's head once it has come (any status); rejects with KubeError when none came. */
  get(path: string, query: Readonly<Record<string, string>>, options: KubeGetOptions): Promise<KubeResponse>;
  /** Monotonic ms when bytes last came from the API server; undefined before. */
  readonly lastContactMs: number | undefined;
  /** Ends what is under way; no request is sent any more. */
  close(): void;
}

export interface KubeGetOptions {
  /** A list that stands still is ended here; whether a watch does is the caller's to know. */
  readonly verb: "list" | "watch";
  readonly signal: AbortSignal;
}

export interface KubeResponse {
  readonly status: number;
  /** Retry-After in ms. */
  readonly retryAfterMs: number | undefined;
  readonly contentType: string;
  /** Decoded bytes as they come, once; ends, or throws KubeError (cut short, reset, malformed, given up). */
  readonly body: AsyncIterable<Uint8Array>;
  /** Gives up the rest. */
  cancel(): void;
}

export type KubeAccess =
  | { readonly kind: "in-cluster"; /** Where the service account is; for tests. */ readonly folder?: string }
  | { readonly kind: "kubeconfig"; readonly file: string; readonly context?: string }
  | {
      readonly kind: "endpoint";
      readonly url: string;
      readonly tls?: { readonly cert?: string; readonly key?: string; readonly ca?: string };
    };

export interface KubeClientOptions {
  readonly access: KubeAccess;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly limits: KubeLimits;
}

/** Between two addresses of one name; Node's own 250 ms is too short for a far-away one. */
const ADDRESS_TIMEOUT_MS = 3_000;
/** Without a byte of a list. */
const LIST_IDLE_MS = 30_000;
/** A list's connection is used by its next page or watch within milliseconds, or left to end. */
const IDLE_CONNECTION_MS = 15_000;
/** What a server may make us wait: it is a word from the network. */
const MAX_RETRY_AFTER_MS = 300_000;
/** Decoded at once: fewer turns for a list of megabytes than with 16 KiB. */
const GUNZIP_CHUNK_BYTES = 64 * 1024;

/** Rejects with NDOTS_ERR_CONFIG for an access that can't be used; whether the server is there shows with the first request. */
export async function createKubeClient(options: KubeClientOptions): Promise<KubeClient> {
  const cluster = await findCluster(options);
  const secure = cluster.server.protocol === "https:";
  const [{ request, Agent }, { createGunzip }, { pipeline }] = await Promise.all([
    secure ? import("node:https") : import("node:http"),
    import("node:zlib"),
    import("node:stream"),
  ]);
  // One pool for all certificates: connections with other TLS options are kept apart. Sessions are not: a resumed one is not verified again.
  const agent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS, maxCachedSessions: 0 });
  return new HttpKubeClient(cluster, options, {
    request: (sent) => request({ ...sent, agent }),
    close: () => agent.destroy(),
    gunzip: (response) => pipeline(response, createGunzip({ chunkSize: GUNZIP_CHUNK_BYTES }), () => {}), // its reader sees the error
  });
}

async function findCluster({ access, clock, env }: KubeClientOptions): Promise<KubeCluster> {
  switch (access.kind) {
    case "in-cluster":
      return inClusterAccess(env, access.folder);
    case "kubeconfig":
      return readKubeconfig({ file: access.file, env, clock, ...(access.context !== undefined && { context: access.context }) });
    case "endpoint": {
      const { url, tls = {} } = access;
      const server = parseServer(url, access.tls === undefined ? "http" : "https");
      if (server === undefined) throw new NdotsError("NDOTS_ERR_CONFIG", `endpoint: expected ${SERVER_FORM}, without credentials`);
      return {
        server,
        ...(tls.ca !== undefined && { ca: { file: tls.ca } }),
        ...(tls.cert !== undefined && { clientCert: { file: tls.cert } }),
        ...(tls.key !== undefined && { clientKey: { file: tls.key } }),
      };
    }
    default:
      return access satisfies never;
  }
}

// The last one is handed on to net.connect().
type SentOptions = RequestOptions & { readonly autoSelectFamilyAttemptTimeout: number };

interface Transport {
  request(options: SentOptions): ClientRequest;
  close(): void;
  gunzip(response: IncomingMessage): Readable;
}

class HttpKubeClient implements KubeClient {
  readonly host: string;
  lastContactMs: number | undefined;
  readonly #cluster: KubeCluster;
  readonly #hostname: string;
  readonly #port: number;
  readonly #clock: Clock;
  readonly #metrics: RestMetrics;
  readonly #transport: Transport;
  readonly #credentials: ReturnType<typeof createCredentials>;
  readonly #limiter: ReturnType<typeof createLimiter>;
  readonly #userAgent: string;
  readonly #underway = new Set<() => void>();
  #isClosed = false;

  constructor(cluster: KubeCluster, { clock, log, metrics, limits }: KubeClientOptions, transport: Transport) {
    const { protocol, hostname, port } = cluster.server;
    this.#cluster = cluster;
    this.#hostname = hostname.replace(/^\[|\]$/g, "");
    this.#port = Number(port) || (protocol === "https:" ? 443 : 80);
    this.host = `${protocol}//${hostname}:${this.#port}`;
    this.#clock = clock;
    this.#metrics = restMetrics(metrics, `${hostname}:${this.#port}`);
    this.#transport = transport;
    this.#credentials = createCredentials(cluster, { clock, log });
    this.#limiter = createLimiter(limits, clock);
    this.#userAgent = `ndots/${readVersion()} (${process.platform}/${process.arch})`;
  }

  async get(path: string, query: Readonly<Record<string, string>>, { verb, signal }: KubeGetOptions): Promise<KubeResponse> {
    // Not AbortSignal.any(): on Node 20 what it makes stays in memory as long as its long-lived signals.
    const given = new AbortController();
    const giveUp = (): void => given.abort();
    if (signal.aborted || this.#isClosed) throw givenUp();
    signal.addEventListener("abort", giveUp, { once: true });
    this.#underway.add(giveUp);
    let leave = (): void => {};
    const end = (): void => {
      signal.removeEventListener("abort", giveUp);
      this.#underway.delete(giveUp);
      leave();
    };
    try {
      const askedMs = this.#clock.monotonic();
      leave = await this.#limiter.enter(given.signal);
      const sentMs = this.#clock.monotonic();
      this.#metrics.limited(sentMs - askedMs);
      const response = await this.#authorized(this.#target(path, query), given.signal);
      if (verb === "watch") leave();
      return this.#answer(response, verb, given.signal, () => {
        end();
        if (verb === "list") this.#metrics.answered(this.#clock.monotonic() - sentMs);
      });
    } catch (error) {
      end();
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const giveUp of this.#underway) giveUp();
    this.#transport.close();
  }

  #target(path: string, query: Readonly<Record<string, string>>): string {
    const search = new URLSearchParams(query).toString();
    return `${this.#cluster.server.pathname.replace(/\/$/, "")}${path}${search === "" ? "" : `?${search}`}`;
  }

  // A 401 is answered once, by credentials that have been read again and are others.
  async #authorized(target: string, signal: AbortSignal): Promise<IncomingMessage> {
    const presented = await unlessAborted(this.#credentials.current(), signal);
    const response = await this.#send(target, presented, signal);
    if (response.statusCode !== 401) return response;
    let renewed: Presented;
    try {
      renewed = await unlessAborted(this.#credentials.renew(presented), signal);
    } catch (error) {
      response.destroy();
      throw error;
    }
    if (renewed === presented) return response;
    response.destroy();
    return this.#send(target, renewed, signal);
  }

  async #send(target: string, presented: Presented, signal: AbortSignal): Promise<IncomingMessage> {
    for (;;) {
      const attempt = new Attempt(this.#clock, signal);
      try {
        const response = await attempt.send(() => this.#transport.request(this.#requestOptions(target, presented)));
        this.lastContactMs = this.#clock.monotonic();
        this.#metrics.counted(String(response.statusCode));
        return response;
      } catch (error) {
        // The server had closed a kept connection: that says nothing about a new one. Each costs the pool one, so this ends.
        if (attempt.hasReused && codeOf(error) === "ECONNRESET" && !signal.aborted) continue;
        this.#metrics.counted("<error>");
        throw this.#explain(error);
      }
    }
  }

  #requestOptions(target: string, { authorization, ca, cert, key }: Presented): SentOptions {
    const { serverName, skipVerify } = this.#cluster;
    return {
      method: "GET",
      timeout: 0, // the agent's is for idle connections
      autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
      hostname: this.#hostname,
      port: this.#port,
      path: target,
      headers: {
        accept: "application/json",
        "accept-encoding": "gzip",
        "user-agent": this.#userAgent,
        ...(authorization !== undefined && { authorization }),
      },
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      ...(serverName !== undefined && { servername: serverName }),
      ...(serverName === undefined && isIPv6(this.#hostname) && { checkServerIdentity: checkAddress }),
      rejectUnauthorized: skipVerify !== true, // said, for NODE_TLS_REJECT_UNAUTHORIZED=0 would be believed otherwise
    };
  }

  #explain(error: unknown): KubeError {
    const explained = connectionError(error, {
      hostname: this.#hostname,
      port: this.#port,
      serverName: this.#cluster.serverName ?? this.#hostname,
      nowMs: this.#clock.now(),
    });
    if (explained.kind === "tls" || explained.kind === "credentials") this.#credentials.expire();
    return explained;
  }

  #answer(response: IncomingMessage, verb: KubeGetOptions["verb"], signal: AbortSignal, ended: () => void): KubeResponse {
    const status = response.statusCode ?? 0;
    if (status >= 300 && status < 400 && status !== 304) {
      response.destroy();
      throw new KubeError("unreachable", `the server redirects (${status}), which is not followed`);
    }
    const encoding = response.headers["content-encoding"] ?? "identity";
    if (encoding !== "identity" && encoding !== "gzip") {
      response.destroy();
      throw new KubeError("cut", "the answer has an encoding that was not asked for");
    }
    const body = new AnswerBody(response, encoding === "gzip" ? this.#transport.gunzip(response) : response, {
      clock: this.#clock,
      idleMs: verb === "list" ? LIST_IDLE_MS : Infinity,
      signal,
      contact: () => (this.lastContactMs = this.#clock.monotonic()),
      ended,
    });
    return {
      status,
      retryAfterMs: retryAfter(response.headers["retry-after"], this.#clock.now()),
      contentType: response.headers["content-type"] ?? "",
      body,
      cancel: () => body.giveUp(givenUp()),
    };
  }
}

// Node 22.23 matches no IPv6 address (its IDNA step makes nothing of one), so that is done here.
function checkAddress(address: string, cert: PeerCertificate): Error | undefined {
  if (new X509Certificate(cert.raw).checkIP(address) !== undefined) return undefined;
  return Object.assign(new Error("the certificate does not have the address"), { code: "ERR_TLS_CERT_ALTNAME_INVALID", cert });
}

// RFC 9110 §10.2.3: seconds or a date.
function retryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}

// What has begun goes on for others who wait for it.
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(givenUp());
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
