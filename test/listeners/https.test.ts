// The listener of DNS over HTTPS, asked over HTTP/2 and HTTP/1.1: answers and statuses, bounds, times, ends.

import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { Agent, request } from "node:https";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { expect } from "chai";
import { CLOSE_REASONS } from "../../src/listeners/connection.ts";
import { httpsListener, type HttpsOptions } from "../../src/listeners/https.ts";
import type { Credentials } from "../../src/plugin.ts";
import { serveContract } from "../contracts/listener-serve.ts";
import { listenerContract, rig, type ContractOptions, type Rig } from "../contracts/listener.ts";
import { createAuthority } from "../helpers/certificates.ts";
import { headerOf, query, type Target } from "../helpers/dns-client.ts";
import type { Asker } from "../helpers/generations.ts";
import { fakeClock, until } from "../helpers/listening.ts";

const authority = createAuthority();
const own = authority.issue({ commonName: "dns", names: ["localhost", "127.0.0.1", "::1"] });
const credentials: Credentials = { cert: Buffer.from(own.cert), key: Buffer.from(own.key), ca: undefined, clientAuth: "nocert" };
const CLOSED = "ndots_tcp_closed_total";
const ANSWERED = "coredns_dns_https_responses_total";
const TYPE = "application/dns-message";

function serve(options: Partial<ContractOptions & HttpsOptions> = {}): Promise<Rig> {
  const { httpsConnections, ...rest } = options;
  const server = "https://:443";
  return rig((given) => httpsListener({ ...given, httpsConnections, server, tls: { credentials } }), rest);
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>;
  readonly body: Buffer;
}

interface Asks {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** One way to ask. */
interface HttpClient {
  ask(asks: Asks): Promise<Answer>;
  close(): void;
}

const post = (packet: Uint8Array): Asks => ({ method: "POST", headers: { "content-type": TYPE }, body: packet });
const get = (packet: Uint8Array): Asks => ({ path: `/dns-query?dns=${Buffer.from(packet).toString("base64url")}` });

const clients: Readonly<Record<string, (dns: Rig) => Promise<HttpClient>>> = {
  "HTTP/2": async (dns) => {
    const session = await openSession(dns.listener.bound);
    return { ask: (asks) => askOver(session, asks), close: () => session.destroy() };
  },
  "HTTP/1.1": (dns) => {
    const agent = new Agent({ keepAlive: true, ca: authority.cert, maxSockets: 1 });
    return Promise.resolve({
      close: () => agent.destroy(),
      ask: ({ method = "GET", path = "/dns-query", headers = {}, body }) =>
        new Promise((resolve, reject) => {
          const { port } = dns.listener.bound;
          const asking = request({ host: "localhost", family: 4, port, agent, method, path, headers }, (response) => {
            const chunks: Buffer[] = [];
            response.on("data", (chunk: Buffer) => chunks.push(chunk));
            response.once("end", () =>
              resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
            );
          });
          asking.once("error", reject);
          asking.end(body);
        }),
    });
  },
};

function openSession({ address, port }: Target): Promise<ClientHttp2Session> {
  const host = address.includes(":") ? "[::1]" : "127.0.0.1";
  const session = connect(`https://${host}:${port}`, { ca: authority.cert });
  session.on("error", () => {});
  return new Promise((resolve, reject) => {
    session.once("remoteSettings", () => resolve(session));
    session.once("close", () => reject(new Error("closed")));
  });
}

function begin(
  session: ClientHttp2Session,
  { method = "GET", path = "/dns-query", headers = {} }: Asks,
  endStream: "end" | "go on",
): ClientHttp2Stream {
  const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: endStream === "end" });
  stream.on("error", () => {});
  return stream;
}

function askOver(session: ClientHttp2Session, asks: Asks): Promise<Answer> {
  const stream = begin(session, asks, asks.body === undefined ? "end" : "go on");
  if (asks.body !== undefined) stream.end(asks.body);
  return answerOf(stream);
}

function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let headers: Answer["headers"] = {};
    stream.on("response", (fields) => (headers = fields as Answer["headers"]));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("close", () => {
      if (headers[":status"] === undefined) reject(new Error(`reset ${stream.rstCode}`));
      else resolve({ status: Number(headers[":status"]), headers, body: Buffer.concat(chunks) });
    });
  });
}

/** Others are answered. */
async function askOnce(dns: Rig): Promise<void> {
  const session = await openSession(dns.listener.bound);
  expect((await askOver(session, post(query()))).status).to.equal(200);
  session.destroy();
}

/** A TLS connection over which a test says what it likes. */
async function raw(dns: Rig, protocol: string): Promise<TLSSocket & { received: string }> {
  const socket = connectTls({
    host: "127.0.0.1",
    port: dns.listener.bound.port,
    servername: "localhost",
    ca: authority.cert,
    ALPNProtocols: [protocol],
  });
  const client = Object.assign(socket, { received: "" });
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => (client.received += chunk.toString("latin1")));
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  return client;
}

// POST over one connection; what is no answer to a query is nothing.
async function postClient(target: Target): Promise<Asker> {
  const session = await openSession(target);
  const answers: Buffer[] = [];
  return {
    send(...packets) {
      for (const packet of packets) {
        void askOver(session, post(packet)).then(
          ({ status, body }) => status === 200 && answers.push(body),
          () => undefined, // closed
        );
      }
    },
    async receive() {
      await until(() => answers.length > 0 || session.closed, "an answer");
      return answers.shift();
    },
    close: () => session.destroy(),
  };
}

listenerContract("listeners/https", (options) => httpsListener({ ...options, tls: { credentials } }), postClient);
serveContract(
  "listeners/https",
  (options) => httpsListener({ ...options, tls: { credentials } }),
  10,
  ({ bound }) => postClient(bound),
);

for (const [version, open] of Object.entries(clients)) {
  describe(`listeners/https: ${version}`, () => {
    for (const [method, asks] of Object.entries({ POST: post, GET: get })) {
      it(`${method} is answered, and the responder is told who asks`, async () => {
        await using dns = await serve();
        const client = await open(dns);
        const packet = query({ id: 0 });
        const { status, headers, body } = await client.ask(asks(packet));
        expect([status, headers["content-type"], headers["content-length"], headers["cache-control"]]).to.deep.equal([
          200,
          TYPE,
          String(body.length),
          "max-age=0",
        ]);
        expect(headerOf(body).id).to.equal(0);
        const [asked] = dns.responder.asked;
        expect(asked).to.deep.include({ transport: "https", remoteAddress: "127.0.0.1", family: 4, localPort: dns.listener.bound.port });
        expect(dns.metrics.count(ANSWERED, "https://:443,200")).to.equal(1);
        client.close();
      });
    }

    it("the same connection is asked again and again", async () => {
      await using dns = await serve();
      const client = await open(dns);
      for (let id = 0; id < 50; id++)
        expect(headerOf((await client.ask(id % 2 === 0 ? post(query({ id })) : get(query({ id })))).body).id).to.equal(id);
      expect(new Set(dns.responder.asked.map(({ remotePort }) => remotePort)).size).to.equal(1);
      client.close();
    });

    it("late answers and the largest are sent", async () => {
      await using dns = await serve();
      const client = await open(dns);
      const late = client.ask(post(query({ name: "slow.example.org.", id: 1 })));
      await until(() => dns.responder.waiting.length === 1, "it waits");
      dns.responder.waiting[0]?.answer();
      expect(headerOf((await late).body).id).to.equal(1);
      expect((await client.ask(post(query({ name: "bytes-65535.example.org." })))).body).to.have.length(65_535);
      client.close();
    });

    const refused: readonly [what: string, asks: Asks, status: number][] = [
      ["another path", { path: "/" }, 404],
      ["HEAD", { ...get(query()), method: "HEAD" }, 405],
      ["PUT", { ...post(query()), method: "PUT" }, 405],
      ["another content type", { ...post(query()), headers: { "content-type": "text/plain" } }, 415],
      ["GET without a message", {}, 400],
      ["a runt", post(Buffer.alloc(11)), 400],
      ["an empty body", post(Buffer.alloc(0)), 400],
      ["a response", post(query({ flags: 0x8100 })), 400],
      ["garbage", post(Buffer.alloc(64, 0x55)), 200], // as a header it is of an opcode that nobody serves: NOTIMP
      ["two questions", post(query({ counts: [2, 0, 0, 0] })), 400],
      [
        "a body that is announced too large",
        { ...post(Buffer.alloc(65_536)), headers: { "content-type": TYPE, "content-length": "65536" } },
        413,
      ],
      ["a body that becomes too large", post(Buffer.alloc(70_000)), 413],
      ["what the responder drops", post(query({ name: "silent.example.org." })), 500],
    ];
    for (const [what, asks, status] of refused) {
      it(`${what}: ${status}`, async () => {
        await using dns = await serve();
        const client = await open(dns);
        const answer = await client.ask(asks);
        expect(answer.status).to.equal(status);
        if (status !== 200) expect(answer.body).to.have.length(0);
        if (status === 405) expect(answer.headers["allow"]).to.equal("GET, POST");
        expect(dns.metrics.count(ANSWERED, `https://:443,${status}`)).to.equal(1);
        // The next is answered, if need be over another connection.
        expect((await client.ask(post(query({ id: 2 })))).status).to.equal(200);
        client.close();
      });
    }

    it("windDown(): the connection ends when no more is asked, and stop() waits for what is asked", async () => {
      await using dns = await serve();
      const client = await open(dns);
      await client.ask(post(query()));
      dns.listener.windDown?.();
      expect((await client.ask(post(query({ id: 5 })))).status).to.equal(200);
      await until(() => dns.metrics.count(CLOSED, "stopping") === 1, "it ends");
      client.close();
      const another = await open(dns);
      const late = another.ask(post(query({ name: "slow.example.org.", id: 6 })));
      await until(() => dns.responder.waiting.length === 1, "it waits");
      const stopped = dns.listener.stop(10_000);
      dns.responder.waiting[0]?.answer();
      expect(headerOf((await late).body).id).to.equal(6);
      await stopped;
      another.close();
    });

    it("a client that ends its connection is not counted as closed", async () => {
      await using dns = await serve();
      const client = await open(dns);
      await client.ask(post(query()));
      client.close();
      const silent = await raw(dns, version === "HTTP/2" ? "h2" : "http/1.1");
      silent.end();
      await until(() => silent.destroyed, "it has ended");
      await askOnce(dns);
      expect(CLOSE_REASONS.map((reason) => dns.metrics.count(CLOSED, reason)).filter((count) => count > 0)).to.deep.equal([]);
    });

    it("stop() ends idle connections at once", async () => {
      await using dns = await serve();
      const client = await open(dns);
      await client.ask(post(query()));
      await dns.listener.stop(60_000);
      client.close();
    });

    it("idle for 10 s, or connected for 3 s without a request: closed", async () => {
      const clock = fakeClock();
      await using dns = await serve({ clock });
      const client = await open(dns);
      await client.ask(post(query()));
      await until(() => dns.responder.asked.length === 1, "it is asked");
      clock.advance(9800);
      expect((await client.ask(post(query()))).status).to.equal(200);
      expect(dns.metrics.count(CLOSED, "idle")).to.equal(0);
      await until(() => {
        clock.advance(10_000);
        return dns.metrics.count(CLOSED, "idle") === 1;
      }, "it is idle");
      const silent = await raw(dns, version === "HTTP/2" ? "h2" : "http/1.1");
      await until(() => {
        clock.advance(3000);
        return dns.metrics.count(CLOSED, "read_timeout") === 1;
      }, "it is closed");
      silent.destroy();
      client.close();
    });

    it("what is not HTTP is closed, and counted", async () => {
      await using dns = await serve();
      const stranger = await raw(dns, version === "HTTP/2" ? "h2" : "http/1.1");
      stranger.write("\0\x1d".repeat(200));
      await until(() => stranger.destroyed || stranger.readableEnded, "it is closed");
      await until(() => dns.metrics.count(CLOSED, "bad_http") === 1, "it is counted");
      stranger.destroy();
    });
  });
}

describe("listeners/https: bounds", () => {
  it("of 10 clients beyond the bound each makes the longest idle one go", async () => {
    await using dns = await serve({ httpsConnections: 3 });
    const sessions: ClientHttp2Session[] = [];
    for (let count = 0; count < 13; count++) {
      const session = await openSession(dns.listener.bound);
      expect((await askOver(session, post(query({ id: count })))).status).to.equal(200);
      sessions.push(session);
    }
    await until(() => sessions.filter(({ destroyed, closed }) => !destroyed && !closed).length === 3, "three are left");
    expect(dns.metrics.count(CLOSED, "cap")).to.equal(10);
    for (const session of sessions) session.destroy();
  });

  it("beyond 100 requests at a time a client is told to wait, and loses none", async () => {
    await using dns = await serve();
    const session = await openSession(dns.listener.bound);
    expect(session.remoteSettings.maxConcurrentStreams).to.equal(100);
    const asked = Array.from({ length: 150 }, (_, id) => askOver(session, post(query({ name: "slow.example.org.", id }))));
    await until(() => dns.responder.waiting.length === 100, "100 wait");
    for (let id = 0; id < 150; id++) {
      await until(() => dns.responder.waiting.length > id, "the next is asked");
      dns.responder.waiting[id]?.answer();
    }
    expect((await Promise.all(asked)).map(({ status }) => status)).to.deep.equal(Array.from({ length: 150 }, () => 200));
    session.destroy();
  });

  it("HTTP/1.1: more than 100 requests in one go end the connection", async () => {
    await using dns = await serve();
    const client = await raw(dns, "http/1.1");
    const one = `GET ${get(query({ name: "slow.example.org." })).path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    client.write(one.repeat(150));
    await until(() => client.destroyed || client.readableEnded, "it is closed");
    expect(dns.responder.asked.length).to.be.at.most(100);
    client.destroy();
  });

  it("answers that a client does not take are bounded, and given up after 5 s", async () => {
    const clock = fakeClock();
    await using dns = await serve({ clock });
    const session = connect(`https://127.0.0.1:${dns.listener.bound.port}`, { ca: authority.cert, settings: { initialWindowSize: 0 } });
    session.on("error", () => {});
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    const streams = Array.from({ length: 50 }, () => {
      const stream = begin(session, post(query()), "go on");
      stream.end(query({ name: "bytes-65535.example.org." }));
      return stream;
    });
    await until(() => streams.filter(({ rstCode }) => rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM).length >= 40, "most are refused");
    expect(dns.responder.asked.length).to.be.at.most(6);
    await until(() => {
      clock.advance(5000);
      return streams.every(({ destroyed }) => destroyed);
    }, "all are given up");
    session.destroy();
  });

  it("messages that never become whole are bounded, and given up after 3 s", async () => {
    const clock = fakeClock();
    await using dns = await serve({ clock });
    const session = await openSession(dns.listener.bound);
    const streams = Array.from({ length: 20 }, () => {
      const stream = begin(session, post(query()), "go on");
      stream.write(Buffer.alloc(60_000));
      return stream;
    });
    await until(() => streams.filter(({ destroyed }) => destroyed).length >= 17, "most are refused");
    await until(() => {
      clock.advance(3000);
      return streams.every(({ destroyed }) => destroyed);
    }, "the rest is given up");
    expect((await askOver(session, post(query({ id: 8 })))).status).to.equal(200);
    session.destroy();
  });

  it("headers of more than 16 KiB are refused", async () => {
    await using dns = await serve();
    const client = await raw(dns, "http/1.1");
    client.write(`GET /dns-query HTTP/1.1\r\nHost: localhost\r\nx: ${"y".repeat(17_000)}\r\n\r\n`);
    await until(() => client.destroyed || client.readableEnded, "it is closed");
    expect(client.received).to.not.match(/^HTTP\/1.1 2/);
    expect(dns.responder.asked).to.deep.equal([]);
    client.destroy();
  });

  it("clients that reset in the middle of everything harm nobody", async () => {
    await using dns = await serve();
    for (let round = 0; round < 20; round++) {
      const session = await openSession(dns.listener.bound);
      const asked = [
        askOver(session, post(query({ name: "slow.example.org." }))),
        askOver(session, post(query({ name: "bytes-65535.example.org." }))),
      ];
      for (const answer of asked) answer.catch(() => undefined);
      const half = begin(session, post(query()), "go on");
      half.write("half");
      await until(() => dns.responder.waiting.length === 1, "it waits");
      session.destroy();
      if (round % 2 === 0) await askOnce(dns);
      dns.responder.waiting.pop()?.answer();
    }
    await askOnce(dns);
    expect(dns.log.lines).to.deep.equal([]);
  });

  it("streams that are reset as soon as they are opened are not worked on for ever (CVE-2023-44487)", async () => {
    await using dns = await serve();
    const session = await openSession(dns.listener.bound);
    for (let round = 0; round < 40 && !session.destroyed; round++) {
      for (let count = 0; count < 100 && !session.destroyed; count++) {
        const stream = begin(session, get(query({ name: "slow.example.org." })), "end");
        stream.close(constants.NGHTTP2_CANCEL);
      }
      await new Promise(setImmediate);
    }
    await askOnce(dns);
    session.destroy();
  });
});
