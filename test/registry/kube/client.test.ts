// The client's promises on the wire: what it sends, how it reads, how long it waits, and what it says when it fails.

import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import fc from "fast-check";
import { systemClock, type Clock } from "../../../src/clock.ts";
import { createMetrics, type Metrics } from "../../../src/metrics.ts";
import {
  createKubeClient,
  KubeError,
  type KubeAccess,
  type KubeClient,
  type KubeLimits,
  type KubeResponse,
} from "../../../src/registry/kube/client.ts";
import { connectionError } from "../../../src/registry/kube/kube-error.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";
import { fakeLog } from "../../helpers/fake-host.ts";
import { until } from "../../helpers/listening.ts";
import { apiServer, fixture } from "./api-server.ts";

const never = new AbortController().signal;

describe("the client of the Kubernetes API", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ndots-client-"));
    await writeFile(join(folder, "token"), "first-token\n");
  });
  afterEach(() => rm(folder, { recursive: true }));

  interface Opened extends KubeClient, Disposable {
    readonly metrics: Metrics;
    readonly lines: readonly string[];
  }

  async function open(
    access: KubeAccess,
    { clock = systemClock, limits = {}, env = {} }: { clock?: Clock; limits?: KubeLimits; env?: Record<string, string> } = {},
  ): Promise<Opened> {
    const metrics = createMetrics();
    const log = fakeLog();
    const client = await createKubeClient({ access, clock, metrics, log, env, limits });
    return Object.defineProperties(client, {
      metrics: { value: metrics },
      lines: { value: log.lines },
      [Symbol.dispose]: { value: () => client.close() },
    }) as unknown as Opened;
  }

  const endpoint = (url: string, tls?: { ca?: string; cert?: string; key?: string }): KubeAccess =>
    tls === undefined ? { kind: "endpoint", url } : { kind: "endpoint", url, tls };
  const list = (client: KubeClient, path = "/api/v1/services", signal: AbortSignal = never): Promise<KubeResponse> =>
    client.get(path, {}, { verb: "list", signal });
  const watch = (client: KubeClient, signal: AbortSignal = never): Promise<KubeResponse> =>
    client.get("/api/v1/services", { watch: "1" }, { verb: "watch", signal });
  const inPod = (port: number): { access: KubeAccess; env: Record<string, string> } => ({
    access: { kind: "in-cluster", folder },
    env: { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(port) },
  });
  const putAuthority = (): Promise<void> => copy("ca.crt");
  async function copy(name: string, as = "ca.crt"): Promise<void> {
    const { readFile } = await import("node:fs/promises");
    await writeFile(join(folder, as), await readFile(fixture(name)));
  }

  describe("a request", () => {
    it("has the path, the query, what is accepted and who asks", async () => {
      let seen: { url: string | undefined; method: string | undefined; headers: Record<string, unknown> } | undefined;
      await using api = await apiServer((request, response) => {
        seen = { url: request.url, method: request.method, headers: request.headers };
        response.end("{}");
      });
      using client = await open(endpoint(`${api.url}/k8s/clusters/c-1/`));
      const response = await client.get("/api/v1/pods", { limit: "500", labelSelector: "a=b,c in (d)" }, { verb: "list", signal: never });
      expect(response.status).to.equal(200);
      expect(await text(response)).to.equal("{}");
      expect(seen?.method).to.equal("GET");
      expect(seen?.url).to.equal("/k8s/clusters/c-1/api/v1/pods?limit=500&labelSelector=a%3Db%2Cc+in+%28d%29");
      expect(seen?.headers).to.include({ accept: "application/json", "accept-encoding": "gzip", host: `127.0.0.1:${api.port}` });
      expect(seen?.headers["user-agent"]).to.match(/^ndots\/\d+\.\d+\.\d+/);
      expect(seen?.headers).to.not.have.property("authorization");
    });

    it("uses a connection that is open for the next one, and another beside it for what goes on", async () => {
      await using api = await apiServer((request, response) => {
        if (request.url?.includes("watch") === true) response.write("{}\n");
        else response.end("{}");
      });
      using client = await open(endpoint(api.url));
      await text(await list(client));
      await text(await list(client));
      expect(api.accepted).to.equal(1);
      await watch(client);
      await text(await list(client));
      expect(api.accepted).to.equal(2);
    });

    it("is sent again when the server had closed the kept connection meanwhile", async () => {
      let asked = 0;
      await using api = await apiServer((request, response) => {
        if (++asked === 2) request.socket.resetAndDestroy();
        else response.end("{}");
      });
      using client = await open(endpoint(api.url));
      await text(await list(client));
      expect(await text(await list(client))).to.equal("{}");
      expect(asked).to.equal(3);
    });

    it("is not sent again when a new connection is reset", async () => {
      let asked = 0;
      await using api = await apiServer((request) => {
        asked++;
        request.socket.resetAndDestroy();
      });
      using client = await open(endpoint(api.url));
      expect(await failure(list(client))).to.equal(`unreachable: connection closed by 127.0.0.1:${api.port} before an answer came`);
      expect(asked).to.equal(1);
    });
  });

  describe("an answer", () => {
    it("of any status is given to the caller, with Retry-After in ms, as seconds or as a date (C102)", async () => {
      const clock = fakeClock(Date.parse("2026-01-01T00:00:00Z"));
      const cases: readonly (readonly [string | undefined, number | undefined])[] = [
        ["7", 7000],
        ["Thu, 01 Jan 2026 00:00:09 GMT", 9000],
        ["Wed, 31 Dec 2025 00:00:09 GMT", 0],
        ["999999999999", 300_000],
        ["soon", undefined],
        [undefined, undefined],
      ];
      let header: string | undefined;
      await using api = await apiServer((_, response) => {
        response.writeHead(429, header === undefined ? {} : { "retry-after": header }).end();
      });
      using client = await open(endpoint(api.url), { clock });
      for (const [given, expected] of cases) {
        header = given;
        const response = await list(client);
        response.cancel();
        expect([response.status, response.retryAfterMs], given).to.deep.equal([429, expected]);
      }
    });

    it("in gzip is decoded as it comes", async () => {
      const items = JSON.stringify({ items: "x".repeat(300_000) });
      await using api = await apiServer((_, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(gzipSync(items));
      });
      using client = await open(endpoint(api.url));
      const response = await list(client);
      expect(response.contentType).to.equal("application/json");
      expect(await text(response)).to.equal(items);
      await text(await list(client));
      expect(api.accepted).to.equal(1);
    });

    it("that is cut short throws `cut`, plain, chunked or in gzip (C103)", async () => {
      const heads: readonly Record<string, string>[] = [{ "content-length": "1000" }, {}, { "content-encoding": "gzip" }];
      for (const head of heads) {
        await using api = await apiServer((request, response) => {
          response.writeHead(200, head);
          response.write(head["content-encoding"] === undefined ? '{"items":[' : gzipSync("x".repeat(1000)).subarray(0, 20));
          setImmediate(() => request.socket.end());
        });
        using client = await open(endpoint(api.url));
        expect(await failure(list(client).then(text)), JSON.stringify(head)).to.equal(
          "cut: the connection was closed in the middle of the answer",
        );
      }
    });

    it("that ends before its gzip does, or is no gzip, throws `cut`", async () => {
      for (const bytes of [gzipSync("x".repeat(1000)).subarray(0, 15), Buffer.from("plain")]) {
        await using api = await apiServer((_, response) => void response.writeHead(200, { "content-encoding": "gzip" }).end(bytes));
        using client = await open(endpoint(api.url));
        expect(await failure(list(client).then(text))).to.match(/^cut: the answer is not valid gzip, or cut short \(Z_/);
      }
    });

    it("in an encoding that was not asked for is refused, and lets its connection go", async () => {
      await using api = await apiServer((_, response) => void response.writeHead(200, { "content-encoding": "br" }).end("x"));
      using client = await open(endpoint(api.url));
      expect(await failure(list(client))).to.equal("cut: the answer has an encoding that was not asked for");
      await until(() => api.sockets.size === 0, "closed");
    });

    it("that redirects is refused", async () => {
      await using api = await apiServer((_, response) => void response.writeHead(302, { location: "https://example.org/?token=x" }).end());
      using client = await open(endpoint(api.url));
      expect(await failure(list(client))).to.equal("unreachable: the server redirects (302), which is not followed");
    });

    it("that is not HTTP, or switches protocols, is refused", async () => {
      for (const [bytes, words] of [
        ["SSH-2.0-OpenSSH_9.2\r\n", "cut: the answer is not HTTP (HPE_INVALID_CONSTANT)"],
        [
          "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
          "unreachable: the connection was closed before an answer came",
        ],
        [`HTTP/1.1 200 OK\r\nx: ${"x".repeat(100_000)}\r\n\r\n`, "cut: the answer is not HTTP (HPE_HEADER_OVERFLOW)"],
      ] as const) {
        await using server = await rawServer((socket) => socket.write(bytes));
        using client = await open(endpoint(`http://127.0.0.1:${server.port}`));
        expect(await failure(list(client))).to.equal(words);
      }
    });

    it("of any bytes at all ends: read to its end, or in a KubeError", async () => {
      const piece = fc.constantFrom(
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.0 401\r\n",
        "HTTP/2 200\r\n",
        "content-length: 5\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: chunked\r\n",
        "content-encoding: gzip\r\n",
        "connection: close\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "retry-after: \xff\r\n",
        "\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "ffffffffff\r\n",
        "\0\x1f\x8b\x08",
        gzipSync("hello").toString("latin1"),
      );
      let sent = "";
      let ending: "end" | "reset" = "end";
      await using server = await rawServer((socket) => {
        socket.once("data", () => {
          socket.write(sent, "latin1");
          if (ending === "end") socket.end();
          else setImmediate(() => socket.resetAndDestroy());
        });
      });
      using client = await open(endpoint(`http://127.0.0.1:${server.port}`));
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { maxLength: 8 }), fc.constantFrom("end", "reset"), fc.boolean(), async (pieces, end, isRead) => {
          sent = pieces.join("");
          ending = end;
          try {
            const response = await list(client);
            if (isRead) await text(response);
            else response.cancel();
          } catch (error) {
            expect(error).to.be.instanceOf(KubeError);
          }
        }),
        { numRuns: 400 },
      );
    });

    it("is held back, not gathered, while nobody reads it", async () => {
      let written = 0;
      await using api = await apiServer((_, response) => {
        const chunk = Buffer.alloc(64 * 1024);
        const more = (): void => {
          if (response.destroyed) return;
          written += chunk.length;
          if (written > 256 * 1024 * 1024) response.end();
          else response.write(chunk, () => more());
        };
        more();
      });
      using client = await open(endpoint(api.url));
      const response = await watch(client);
      let before = -1;
      await until(() => {
        const stands = before === written;
        before = written;
        return stands && written > 0;
      }, "the server waits");
      expect(written).to.be.lessThan(64 * 1024 * 1024);
      response.cancel();
    });
  });

  describe("an end by the caller", () => {
    const endless = (): ReturnType<typeof apiServer> => apiServer((_, response) => void response.write("{}\n"));

    it("by abort before the head rejects, and closes the connection", async () => {
      await using api = await apiServer(() => {});
      using client = await open(endpoint(api.url));
      const abort = new AbortController();
      const asked = list(client, "/", abort.signal);
      await until(() => api.accepted === 1, "asked");
      abort.abort();
      expect(await failure(asked)).to.equal("cut: given up");
      await until(() => api.sockets.size === 0, "closed");
      expect(await failure(list(client, "/", abort.signal))).to.equal("cut: given up");
    });

    it("by abort while reading throws, and closes the connection", async () => {
      await using api = await endless();
      using client = await open(endpoint(api.url));
      const abort = new AbortController();
      const reading = watch(client, abort.signal).then(text);
      await until(() => api.accepted === 1, "asked");
      abort.abort();
      expect(await failure(reading)).to.equal("cut: given up");
      await until(() => api.sockets.size === 0, "closed");
    });

    it("by cancel(), by leaving the loop, and by close() closes the connection", async () => {
      await using api = await endless();
      using client = await open(endpoint(api.url));
      (await watch(client)).cancel();
      await until(() => api.sockets.size === 0, "closed by cancel()");
      for await (const _ of (await watch(client)).body) break;
      await until(() => api.sockets.size === 0, "closed by break");
      const unread = await watch(client);
      const reading = text(await watch(client));
      client.close();
      expect(await failure(reading)).to.equal("cut: given up");
      expect(await failure(text(unread))).to.equal("cut: given up");
      await until(() => api.sockets.size === 0, "closed by close()");
      expect(await failure(watch(client))).to.equal("cut: given up");
    });
  });

  it("an answer that has come whole and is not read lets its connection go, plain or in gzip", async () => {
    for (const head of [{}, { "content-encoding": "gzip" }]) {
      await using api = await apiServer((_, response) => void response.writeHead(403, head).end(gzipSync("{}")));
      using client = await open(endpoint(api.url));
      const response = await list(client);
      await nextTurn();
      response.cancel();
      response.cancel();
      await text(await list(client));
      await until(() => api.sockets.size === 1, "closed, or used again");
    }
  });

  describe("a wait", () => {
    it("for a connection ends after 10 s", async () => {
      const clock = fakeClock();
      await using server = await rawServer(() => {}); // accepts, and never shakes hands
      using client = await open(endpoint(`https://127.0.0.1:${server.port}`), { clock });
      const asked = failure(list(client));
      await until(() => server.accepted() === 1, "connected");
      await clock.advance(9_999);
      expect(clock.waiting).to.deep.equal([1]);
      await clock.advance(1);
      expect(await asked).to.equal("timeout: no connection within 10 s");
    });

    it("for an answer ends after 65 s, on a new connection and on a kept one", async () => {
      const clock = fakeClock();
      let asked = 0;
      await using api = await apiServer((_, response) => void (asked++ === 0 && response.end("{}")));
      using client = await open(endpoint(api.url), { clock });
      await text(await list(client));
      for (const accepted of [1, 2]) {
        const answer = failure(list(client));
        await until(() => asked === accepted + 1, "asked");
        await clock.advance(64_999);
        await clock.advance(1);
        expect(await answer).to.equal("timeout: no answer within 65 s");
        expect(api.accepted).to.equal(accepted);
      }
    });

    it("for the rest of a list ends after 30 s to 45 s without a byte, that of a watch never", async () => {
      const clock = fakeClock();
      await using api = await apiServer((_, response) => void response.write("{"));
      using client = await open(endpoint(api.url), { clock });
      const listed = list(client).then(text);
      const watched = watch(client).then(text);
      const ends = Promise.all([failure(listed), failure(watched)]);
      await until(() => api.accepted === 2 && clock.waiting.length === 1, "reading");
      await clock.advance(45_000);
      expect(await failure(listed)).to.equal("timeout: the answer stood still for 30 s");
      await clock.advance(3_600_000);
      await until(() => api.sockets.size === 1, "the watch stays");
      client.close();
      expect((await ends)[1]).to.equal("cut: given up");
    });
  });

  describe("a fault is told in plain words (C99, C114)", () => {
    const tls = { ca: fixture("ca.crt") };
    const certificates: readonly (readonly [string, string, RegExp])[] = [
      ["early", "ca.crt", /^tls: certificate is not yet valid \(the clock here says 20\d\d-.*Z\)$/],
      ["expired", "ca.crt", /^tls: certificate has expired \(the clock here says 20\d\d-.*Z\)$/],
      ["server", "other-ca.crt", /^tls: certificate is signed by an unknown authority$/],
      ["elsewhere", "ca.crt", /^tls: certificate is not for 127\.0\.0\.1 but for DNS:api\.example\.org$/],
    ];
    for (const [certificate, ca, words] of certificates) {
      it(`${certificate} certificate, ${ca}`, async () => {
        await using api = await apiServer((_, response) => void response.end(), { certificate });
        using client = await open(endpoint(api.url, { ca: fixture(ca) }));
        const error = await caught(list(client));
        expect(`${error.kind}: ${error.message}`).to.match(words);
        expect(error.cause).to.be.instanceOf(Error);
      });
    }

    it("no authority named", async () => {
      await using api = await apiServer((_, response) => void response.end(), { certificate: "server" });
      using client = await open(endpoint(api.url));
      expect(await failure(list(client))).to.equal("tls: certificate is signed by an unknown authority");
    });

    it("plain HTTP where TLS is expected", async () => {
      await using api = await apiServer((_, response) => void response.end());
      using client = await open(endpoint(api.url.replace("http:", "https:"), tls));
      expect(await failure(list(client))).to.equal("tls: the server does not speak TLS");
    });

    it("a client certificate that is demanded and not there", async () => {
      await using api = await apiServer((_, response) => void response.end(), { certificate: "server", demandsClient: true });
      using client = await open(endpoint(api.url, tls));
      expect(await failure(list(client))).to.match(
        /^(tls: the server refused the handshake: certificate required|unreachable: connection closed)/,
      );
    });

    it("a key of another certificate", async () => {
      await using api = await apiServer((_, response) => void response.end(), { certificate: "server" });
      using client = await open(endpoint(api.url, { ...tls, cert: fixture("client.crt"), key: fixture("server.key") }));
      expect(await failure(list(client))).to.equal("credentials: a certificate or key can't be used: key values mismatch");
    });

    it("a certificate file that is not there", async () => {
      using client = await open(endpoint("https://127.0.0.1:1", { ca: join(folder, "none.crt") }));
      expect(await failure(list(client))).to.equal(`credentials: ${join(folder, "none.crt")}: can't be read: no such file`);
    });

    it("what the system says of a name or a route", () => {
      const target = { hostname: "api.example.org", port: 6443, serverName: "api.example.org", nowMs: 0 };
      const words: Readonly<Record<string, string>> = {
        ENOTFOUND: 'DNS knows no address of "api.example.org"',
        EAI_AGAIN: 'DNS gives no answer for "api.example.org" now',
        EHOSTUNREACH: "no route to api.example.org:6443",
        ENETUNREACH: "no route to api.example.org:6443",
        ETIMEDOUT: "no connection to api.example.org:6443: it does not answer",
        EMFILE: "no answer: EMFILE",
      };
      for (const [code, message] of Object.entries(words)) {
        const explained = connectionError(Object.assign(new AggregateError([]), { code }), target);
        expect([explained.kind, explained.message]).to.deep.equal(["unreachable", message]);
      }
    });

    it("nobody listens", async () => {
      const { port } = await closedPort();
      using client = await open(endpoint(`http://127.0.0.1:${port}`));
      expect(await failure(list(client))).to.equal(`unreachable: connection refused by 127.0.0.1:${port}`);
    });
  });

  describe("TLS", () => {
    it("presents the client certificate that is configured", async () => {
      await using api = await apiServer((_, response) => void response.end("{}"), { certificate: "server", demandsClient: true });
      using client = await open(endpoint(api.url, { ca: fixture("ca.crt"), cert: fixture("client.crt"), key: fixture("client.key") }));
      expect(await text(await list(client))).to.equal("{}");
    });

    it("verifies, whatever NODE_TLS_REJECT_UNAUTHORIZED says, unless the kubeconfig says otherwise", async () => {
      await using api = await apiServer((_, response) => void response.end("{}"), { certificate: "elsewhere" });
      const cluster = { server: api.url, "insecure-skip-tls-verify": true };
      await writeFile(
        join(folder, "config"),
        JSON.stringify({
          clusters: [{ name: "c", cluster }],
          contexts: [{ name: "x", context: { cluster: "c" } }],
          "current-context": "x",
        }),
      );
      const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      const { emitWarning } = process;
      process.emitWarning = () => {}; // Node's, about the variable
      process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
      try {
        using strict = await open(endpoint(api.url));
        expect(await failure(list(strict))).to.equal("tls: certificate is signed by an unknown authority");
      } finally {
        process.emitWarning = emitWarning;
        if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
        else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
      }
      using lax = await open({ kind: "kubeconfig", file: join(folder, "config") });
      expect(await text(await list(lax))).to.equal("{}");
    });

    it("takes up a new authority with the next request after a fault", async () => {
      await using api = await apiServer((_, response) => void response.end("{}"), { certificate: "server" });
      await copy("other-ca.crt");
      const { access, env } = inPod(api.port);
      using client = await open(access, { env, clock: fakeClock() });
      expect(await failure(list(client))).to.equal("tls: certificate is signed by an unknown authority");
      await putAuthority();
      expect((await list(client)).status).to.equal(200);
    });
  });

  describe("in a Pod", () => {
    it("the service account's token is sent, and another one with the next try after a 401 (C100)", async () => {
      const seen: (string | undefined)[] = [];
      await using api = await apiServer(
        (request, response) => {
          seen.push(request.headers.authorization);
          response.writeHead(request.headers.authorization === "Bearer second-token" ? 200 : 401).end("{}");
        },
        { certificate: "server" },
      );
      await putAuthority();
      const { access, env } = inPod(api.port);
      using client = await open(access, { env, clock: fakeClock() });
      expect(client.host).to.equal(`https://127.0.0.1:${api.port}`);
      expect((await list(client)).status).to.equal(401);
      expect(seen).to.deep.equal(["Bearer first-token"]);
      await writeFile(join(folder, "token"), "second-token\n");
      expect((await list(client)).status).to.equal(200);
      expect((await list(client)).status).to.equal(200);
      expect(seen).to.deep.equal(["Bearer first-token", "Bearer first-token", "Bearer second-token", "Bearer second-token"]);
    });

    it("the API server may have an IPv6 address, which its certificate must have", async () => {
      await using other = await apiServer((_, response) => void response.end("{}"), { certificate: "elsewhere", host: "::1" });
      await using api = await apiServer((_, response) => void response.end("{}"), { certificate: "server", host: "::1" });
      await putAuthority();
      using client = await open(
        { kind: "in-cluster", folder },
        { env: { KUBERNETES_SERVICE_HOST: "::1", KUBERNETES_SERVICE_PORT: String(api.port) } },
      );
      expect(client.host).to.equal(`https://[::1]:${api.port}`);
      expect(await text(await list(client))).to.equal("{}");
      using wrong = await open(endpoint(other.url, { ca: fixture("ca.crt") }));
      expect(await failure(list(wrong))).to.equal("tls: certificate is not for ::1 but for DNS:api.example.org");
    });

    it("no error, log line or metric holds a token", async () => {
      await writeFile(join(folder, "token"), "sehr-geheim");
      await using api = await apiServer((request, response) => {
        if (request.url?.includes("reset") === true) request.socket.destroy();
        else response.writeHead(401).end(request.headers.authorization);
      });
      const { env } = inPod(api.port);
      const access: KubeAccess = { kind: "kubeconfig", file: join(folder, "config") };
      await writeFile(
        join(folder, "config"),
        JSON.stringify({
          clusters: [{ name: "c", cluster: { server: api.url } }],
          users: [{ name: "u", user: { tokenFile: "token" } }],
          contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
          "current-context": "x",
        }),
      );
      const clock = fakeClock();
      using client = await open(access, { env, clock });
      (await list(client)).cancel();
      const errors = [await caught(list(client, "/reset"))];
      await writeFile(join(folder, "token"), "sehr-geheim\nzweite Zeile");
      await clock.advance(120_000);
      errors.push(await caught(list(client)));
      const said = [...errors.flatMap((error) => [error.message, String(error.stack), String(error.cause)]), ...client.lines];
      const counted = [...client.metrics.all()].flatMap((metric) => [...metric.collect()].map((sample) => JSON.stringify(sample)));
      expect(client.lines.join()).to.include("token");
      expect([...said, ...counted].filter((line) => line.includes("geheim"))).to.deep.equal([]);
    });
  });

  describe("limits", () => {
    it("of the rate: a burst at once, then one each 1/qps s", async () => {
      const clock = fakeClock();
      let asked = 0;
      await using api = await apiServer((_, response) => {
        asked++;
        response.end("{}");
      });
      using client = await open(endpoint(api.url), { clock, limits: { qps: 2, burst: 3 } });
      const all = Promise.all(Array.from({ length: 5 }, () => list(client).then(text)));
      await until(() => asked === 3, "the burst");
      expect(clock.waiting.filter((ms) => ms <= 1000)).to.deep.equal([500, 1000]);
      await clock.advance(500);
      await until(() => asked === 4, "the fourth");
      await clock.advance(500);
      await all;
    });

    it("of what is under way: lists count to their end, watches to their head; the next goes when one ends or is given up", async () => {
      let asked = 0;
      await using api = await apiServer((request, response) => {
        asked++;
        response.write("{}");
        if (request.url?.includes("end") === true) response.end();
      });
      using client = await open(endpoint(api.url), { limits: { maxInflight: 1 } });
      await watch(client);
      const first = await list(client);
      const impatient = new AbortController();
      const second = list(client, "/second", impatient.signal);
      const third = list(client, "/end");
      impatient.abort();
      expect(await failure(second)).to.equal("cut: given up");
      expect(asked).to.equal(2);
      first.cancel();
      expect(await text(await third)).to.equal("{}");
      expect(asked).to.equal(3);
      expect(await text(await list(client, "/end"))).to.equal("{}");
    });
  });

  describe("metrics", () => {
    it("have CoreDNS's names: answers by code, `<error>` for none, the time of lists and of waiting", async () => {
      let status = 200;
      const api = await apiServer((_, response) => void response.writeHead(status).end("{}"));
      using client = await open(endpoint(api.url));
      await text(await list(client));
      status = 403;
      await text(await list(client));
      await text(await watch(client));
      await api[Symbol.asyncDispose]();
      await caught(list(client));
      const host = `127.0.0.1:${api.port}`;
      const samples = new Map([...client.metrics.all()].map((metric) => [metric.name, [...metric.collect()]]));
      expect(samples.get("coredns_kubernetes_rest_client_requests_total")).to.deep.equal([
        { labels: { code: "200", method: "GET", host }, value: 1 },
        { labels: { code: "403", method: "GET", host }, value: 2 },
        { labels: { code: "<error>", method: "GET", host }, value: 1 },
      ]);
      const count = (name: string): unknown =>
        samples.get(`coredns_kubernetes_rest_client_${name}_duration_seconds`)?.find(({ suffix }) => suffix === "_count");
      expect(count("request")).to.deep.equal({ labels: { verb: "GET", host }, value: 2, suffix: "_count" });
      expect(count("rate_limiter")).to.deep.equal({ labels: { verb: "GET", host }, value: 4, suffix: "_count" });
    });

    it("lastContactMs is when bytes last came", async () => {
      const clock = fakeClock();
      let more = (): void => {};
      await using api = await apiServer((_, response) => {
        response.write("a");
        more = () => void response.write("b");
      });
      using client = await open(endpoint(api.url), { clock });
      expect(client.lastContactMs).to.equal(undefined);
      const chunks = (await watch(client)).body[Symbol.asyncIterator]();
      await chunks.next();
      expect(client.lastContactMs).to.equal(0);
      await clock.advance(5_000);
      more();
      await chunks.next();
      expect(client.lastContactMs).to.equal(5_000);
    });
  });
});

async function text(response: KubeResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function caught(work: Promise<unknown>): Promise<KubeError> {
  const error: unknown = await work.then(
    () => new Error("nothing was thrown"),
    (thrown: unknown) => thrown,
  );
  expect(error, String(error)).to.be.instanceOf(KubeError);
  return error as KubeError;
}

async function failure(work: Promise<unknown>): Promise<string> {
  const { kind, message } = await caught(work);
  return `${kind}: ${message}`;
}

async function rawServer(connected: (socket: Socket) => void): Promise<AsyncDisposable & { port: number; accepted: () => number }> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer((socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => {});
    connected(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function closedPort(): Promise<{ port: number }> {
  await using server = await rawServer(() => {});
  return { port: server.port };
}
