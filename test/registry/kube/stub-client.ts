// A KubeClient whose server is the test: it sees each request as it comes and says, step by step, what is answered. Objects
// as the API server would send them, and their events, are made here too.

import { expect } from "chai";
import { KubeError, type KubeClient, type KubeErrorKind, type KubeResponse } from "../../../src/registry/kube/client.ts";
import type { FakeClock } from "../../helpers/fake-clock.ts";

/** A request that waits for its answer, or is being answered. */
export interface StubRequest {
  readonly path: string;
  readonly verb: "list" | "watch";
  readonly query: Readonly<Record<string, string>>;
  /** By the clock's monotonic(). */
  readonly atMs: number;
  readonly signal: AbortSignal;
  /** 200 and a stream, to which send() adds. */
  open(): StubRequest;
  /** A status with all of its body. */
  answer(status: number, body: unknown, retryAfterMs?: number): void;
  fail(kind: KubeErrorKind, message: string): void;
  /** Pieces of the body: text as it is, anything else as a JSON line. All of one call is one chunk. */
  send(...pieces: readonly unknown[]): void;
  end(): void;
  cut(): void;
}

export interface StubClient extends KubeClient {
  readonly requests: readonly StubRequest[];
  /** The newest request, of a path that ends so; fails where there is none, or where it is answered. */
  last(resource?: string): StubRequest;
  readonly isClosed: boolean;
}

export function stubClient(clock: FakeClock): StubClient {
  const requests: (StubRequest & { isAnswered: boolean })[] = [];
  let isClosed = false;
  return {
    host: "https://192.0.2.1:6443",
    lastContactMs: undefined,
    requests,
    get isClosed() {
      return isClosed;
    },
    last(resource = "") {
      const found = requests.findLast(({ path }) => path.endsWith(resource));
      if (found === undefined || found.isAnswered) expect.fail(`no request for ${resource} waits; there were ${list()}`);
      return found;
    },
    get: (path, query, { verb, signal }) =>
      new Promise<KubeResponse>((resolve, reject) => {
        const body = stubBody(signal);
        const request = {
          path,
          query,
          verb,
          signal,
          atMs: clock.monotonic(),
          isAnswered: false,
          open(): StubRequest {
            request.isAnswered = true;
            resolve(respond(200));
            return request;
          },
          answer(status: number, content: unknown, retryAfterMs?: number): void {
            request.isAnswered = true;
            body.send(content);
            body.finish(undefined);
            resolve(respond(status, retryAfterMs));
          },
          fail(kind: KubeErrorKind, message: string): void {
            request.isAnswered = true;
            reject(new KubeError(kind, message));
          },
          send: body.send,
          end: () => body.finish(undefined),
          cut: () => body.finish(new KubeError("cut", "the connection was closed in the middle of the answer")),
        };
        const respond = (status: number, retryAfterMs?: number): KubeResponse => ({
          status,
          retryAfterMs,
          contentType: "application/json",
          body: body.chunks,
          cancel: () => body.finish(new KubeError("cut", "given up")),
        });
        signal.addEventListener("abort", () => reject(new KubeError("cut", "given up")), { once: true });
        requests.push(request);
      }),
    close: () => void (isClosed = true),
  };

  function list(): string {
    return requests.map(({ verb, path, query }) => `${verb} ${path}?${new URLSearchParams(query).toString()}`).join(", ");
  }
}

function stubBody(signal: AbortSignal): {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly send: (...pieces: readonly unknown[]) => void;
  readonly finish: (error: Error | undefined) => void;
} {
  const waiting: Uint8Array[] = [];
  let end: { readonly error: Error | undefined } | undefined;
  let wake = (): void => {};
  const finish = (error: Error | undefined): void => {
    end ??= { error };
    wake();
  };
  signal.addEventListener("abort", () => finish(new KubeError("cut", "given up")), { once: true });
  return {
    finish,
    send(...pieces) {
      waiting.push(Buffer.from(pieces.map((piece) => (typeof piece === "string" ? piece : `${JSON.stringify(piece)}\n`)).join("")));
      wake();
    },
    chunks: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          const chunk = waiting.shift();
          if (chunk !== undefined) yield chunk;
          else if (end === undefined) await new Promise<void>((resolve) => (wake = resolve));
          else if (end.error === undefined) return;
          else throw end.error;
        }
      },
    },
  };
}

// ── what an API server sends ───────────────────────────────────────────────────────────────────────────────────

export interface RawObject {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

export function rawService(name: string, version: number, clusterIP = "10.0.0.1"): RawObject {
  return {
    metadata: { name, namespace: "default", resourceVersion: String(version) },
    spec: { type: "ClusterIP", clusterIP, clusterIPs: [clusterIP], ports: [{ name: "http", port: 80, protocol: "TCP" }] },
  };
}

export function rawSlice(name: string, version: number, addresses: readonly string[], service = "web"): RawObject {
  return {
    metadata: { name, namespace: "default", resourceVersion: String(version), labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
  };
}

export function rawNamespace(name: string, version: number): RawObject {
  return { metadata: { name, resourceVersion: String(version), labels: { "kubernetes.io/metadata.name": name } } };
}

export function event(type: string, object: unknown): { readonly type: string; readonly object: unknown } {
  return { type, object };
}

export function bookmark(version: number): unknown {
  return event("BOOKMARK", { metadata: { resourceVersion: String(version) } });
}

/** The end of the initial events of a WatchList. */
export function initialEnd(version: number): unknown {
  const metadata = { resourceVersion: String(version), annotations: { "k8s.io/initial-events-end": "true" } };
  return event("BOOKMARK", { metadata });
}

export function listOf(version: number, items: readonly unknown[] | null, more: { readonly continue?: string } = {}): unknown {
  return { kind: "List", apiVersion: "v1", metadata: { resourceVersion: String(version), ...more }, items };
}

export function status(code: number, reason: string, more: Readonly<Record<string, unknown>> = {}): unknown {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message: `${reason}, in more words`, reason, code, ...more };
}
