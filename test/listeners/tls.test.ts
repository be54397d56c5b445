// The TLS listener: the contracts of TCP over TLS, and what only it has.

import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { expect } from "chai";
import type { ServedBy } from "../../src/listeners/listener.ts";
import { tlsListener } from "../../src/listeners/tls.ts";
import type { ClientAuth, Credentials } from "../../src/plugin.ts";
import { serveContract } from "../contracts/listener-serve.ts";
import { listenerContract, rig, type ListenerFactory } from "../contracts/listener.ts";
import { tcpListenerContract, tcpTimeContract } from "../contracts/tcp-listener.ts";
import { createAuthority } from "../helpers/certificates.ts";
import { headerOf, query, tcpConnection, tlsConnection, uint16s, type Target, type TcpConnection } from "../helpers/dns-client.ts";
import { fakeClock, settled, until, type FakeResponder } from "../helpers/listening.ts";

const CLOSED = "ndots_tcp_closed_total";

const authority = createAuthority();
const own = authority.issue({ commonName: "dns", names: ["localhost", "127.0.0.1", "::1"] });
const credentials: Credentials = { cert: Buffer.from(own.cert), key: Buffer.from(own.key), ca: undefined, clientAuth: "nocert" };
const create: ListenerFactory = (options) => tlsListener({ ...options, tls: { credentials } });
const connect = (target: Target): Promise<TcpConnection> => tlsConnection(target, { ca: authority.cert });

listenerContract("listeners/tls", create, connect);
tcpListenerContract("listeners/tls", create, connect, "when idle");
tcpTimeContract("listeners/tls", create, connect, 100); // a handshake takes a millisecond or two

serveContract(
  "listeners/tls",
  (options) => tlsListener({ ...options, tls: { credentials } }),
  10,
  ({ bound }) => connect(bound),
);

describe("listeners/tls: handshakes", () => {
  it("who never begins one is closed after 3 s, as who never asks over TCP", async () => {
    const clock = fakeClock();
    await using dns = await rig(create, { clock });
    const silent = await tcpConnection(dns.listener.bound);
    await settled(dns.listener.bound, connect);
    clock.advance(2800);
    expect(dns.metrics.count(CLOSED, "read_timeout")).to.equal(0);
    clock.advance(200);
    await silent.ended;
    expect(dns.metrics.count(CLOSED, "read_timeout")).to.equal(1);
  });

  for (const [what, bytes] of [
    ["plain DNS", Buffer.concat([uint16s(query().length), query()])],
    ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a record of TLS 9.9 that is never whole", Buffer.from("160909ffff", "hex")],
  ] as const) {
    it(`${what} is closed, counted and harms nobody`, async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock });
      const stranger = await tcpConnection(dns.listener.bound);
      stranger.write(bytes);
      await settled(dns.listener.bound, connect);
      clock.advance(3000);
      await stranger.ended;
      await settled(dns.listener.bound, connect);
      expect(dns.metrics.count(CLOSED, "handshake") + dns.metrics.count(CLOSED, "read_timeout")).to.equal(1);
      expect(dns.log.lines).to.deep.equal([]);
    });
  }

  it("who resets in the middle of one harms nobody", async () => {
    await using dns = await rig(create);
    for (let round = 0; round < 20; round++) {
      const begun = tlsConnection(dns.listener.bound, { ca: authority.cert });
      begun.catch(() => undefined);
      const raw = await tcpConnection(dns.listener.bound);
      raw.write(Buffer.from("16030100", "hex"));
      raw.reset();
      (await begun).reset();
    }
    await settled(dns.listener.bound, connect);
    expect(dns.log.lines).to.deep.equal([]);
  });

  it("TLS 1.1 is refused (RFC 8996)", async () => {
    await using dns = await rig(create);
    const old = { ca: authority.cert, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" } as const;
    const error = await tlsConnection(dns.listener.bound, old).catch((refused: unknown) => refused);
    expect(error).to.be.instanceOf(Error);
  });

  it("ALPN: `dot` is agreed on, as zone transfers over TLS need it (RFC 9103 §7.1), and nothing is as good", async () => {
    await using dns = await rig(create);
    for (const [protocols, agreed] of [
      [["dot"], "dot"],
      [["h2", "dot"], "dot"],
      [undefined, false],
    ] as const) {
      const offer = protocols === undefined ? {} : { ALPNProtocols: [...protocols] };
      const client = await tlsConnection(dns.listener.bound, { ca: authority.cert, ...offer });
      expect(client.socket.alpnProtocol).to.equal(agreed);
      client.send(query({ id: 5 }));
      expect(headerOf((await client.receive()) as Buffer).id).to.equal(5);
      client.close();
    }
    const web = await tlsConnection(dns.listener.bound, { ca: authority.cert, ALPNProtocols: ["h2"] }).catch((refused: unknown) => refused);
    expect(web).to.be.instanceOf(Error);
  });

  it("stop() takes nobody's handshake for a reason to wait", async () => {
    await using dns = await rig(create);
    const silent = await tcpConnection(dns.listener.bound);
    await settled(dns.listener.bound, connect);
    await dns.listener.stop(60_000);
    await silent.ended;
  });
});

describe("listeners/tls: windDown()", () => {
  it("who asks on is answered on, who is idle for 0.2 s is closed: close_notify and the next question could cross", async () => {
    const clock = fakeClock();
    await using dns = await rig(create, { clock });
    const [busy, idle] = [await connect(dns.listener.bound), await connect(dns.listener.bound)];
    for (const connection of [busy, idle]) {
      connection.send(query({ id: 1 }));
      expect(await idOf(connection)).to.equal(1);
    }
    dns.listener.windDown?.();
    for (let id = 2; id < 8; id++) {
      clock.advance(50);
      busy.send(query({ id }));
      expect(await idOf(busy)).to.equal(id);
    }
    expect(await idle.ended).to.equal("fin");
    expect(dns.metrics.count(CLOSED, "stopping")).to.equal(1);
    clock.advance(200);
    expect(await busy.ended).to.equal("fin");
    const late = await connect(dns.listener.bound);
    late.send(query({ id: 9 }));
    expect(await idOf(late)).to.equal(9);
    for (const connection of [busy, idle, late]) connection.close();
  });
});

describe("listeners/tls: certificates", () => {
  it("new connections get the new certificate, open ones go on", async () => {
    const source = { credentials };
    await using dns = await rig((options) => tlsListener({ ...options, tls: source }));
    const before = await tlsConnection(dns.listener.bound, { ca: authority.cert });
    const next = authority.issue({ commonName: "renewed", names: ["localhost"] });
    source.credentials = { ...credentials, cert: Buffer.from(next.cert), key: Buffer.from(next.key) };
    const after = await tlsConnection(dns.listener.bound, { ca: authority.cert });
    expect([before, after].map(({ socket }) => socket.getPeerCertificate().subject.CN)).to.deep.equal(["dns", "renewed"]);
    for (const [id, connection] of [before, after].entries()) {
      connection.send(query({ id }));
      expect(headerOf((await connection.receive()) as Buffer).id).to.equal(id);
      connection.close();
    }
  });

  it("a session of before is no reason to fail: it is a full handshake again", async () => {
    const source = { credentials };
    await using dns = await rig((options) => tlsListener({ ...options, tls: source }));
    const first = await tlsConnection(dns.listener.bound, { ca: authority.cert });
    const session = new Promise<Buffer>((resolve) => first.socket.once("session", resolve));
    first.send(query());
    await first.receive();
    const resumed = await tlsConnection(dns.listener.bound, { ca: authority.cert, session: await session });
    expect(resumed.socket.isSessionReused()).to.equal(true);
    source.credentials = { ...credentials };
    const again = await tlsConnection(dns.listener.bound, { ca: authority.cert, session: await session });
    expect(again.socket.isSessionReused()).to.equal(false);
    again.send(query({ id: 3 }));
    expect(headerOf((await again.receive()) as Buffer).id).to.equal(3);
    for (const connection of [first, resumed, again]) connection.close();
  });
});

describe("listeners/tls: clients' certificates", () => {
  const clients = createAuthority("clients");
  const shown = {
    none: {},
    good: clients.issue({ commonName: "pod" }),
    strange: createAuthority("strangers").issue({ commonName: "pod" }),
    old: clients.issue({ commonName: "pod", validTo: new Date(Date.now() - 60_000) }),
  } as const;
  const rows: readonly [clientAuth: ClientAuth, takes: readonly (keyof typeof shown)[]][] = [
    ["nocert", ["none", "good", "strange", "old"]],
    ["request", ["none", "good", "strange", "old"]],
    ["require", ["good", "strange", "old"]],
    ["verify_if_given", ["none", "good"]],
    ["require_and_verify", ["good"]],
  ];
  for (const [clientAuth, takes] of rows) {
    for (const [what, certified] of Object.entries(shown)) {
      const isTaken = (takes as readonly string[]).includes(what);
      it(`${clientAuth}: ${what === "none" ? "none" : `${what === "old" ? "an" : "a"} ${what} one`} is ${isTaken ? "taken" : "refused"}`, async () => {
        const tls = { credentials: { ...credentials, ca: Buffer.from(clients.cert), clientAuth } };
        await using dns = await rig((options) => tlsListener({ ...options, tls }));
        // In TLS 1.3 the client's handshake is done before the server has looked at its certificate.
        for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
          const asked = await ask(dns.listener.bound, { ca: authority.cert, maxVersion, ...certified });
          expect(asked, maxVersion).to.equal(isTaken ? 9 : undefined);
        }
        expect(dns.responder.asked).to.have.length(isTaken ? 2 : 0);
        await until(() => dns.metrics.count(CLOSED, "handshake") === (isTaken ? 0 : 2), "all that failed are counted");
      });
    }
  }
});

describe("listeners/tls: sessions of clients with certificates", () => {
  const clients = createAuthority("clients");
  const good = clients.issue({ commonName: "pod" });
  const strange = createAuthority("strangers").issue({ commonName: "pod" });
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    for (const clientAuth of ["require", "verify_if_given", "require_and_verify"] as const) {
      it(`${maxVersion}, ${clientAuth}: who was taken is taken again, who was refused gets in by no session`, async () => {
        const tls = { credentials: { ...credentials, ca: Buffer.from(clients.cert), clientAuth } };
        await using dns = await rig((options) => tlsListener({ ...options, tls }));
        const sessions: Buffer[] = [];
        const options = { ca: authority.cert, maxVersion };
        const first = await tlsConnection(dns.listener.bound, { ...options, ...good });
        first.socket.on("session", (session: Buffer) => sessions.push(session));
        const known = first.socket.getSession();
        first.send(query({ id: 9 }));
        expect(await idOf(first)).to.equal(9);
        first.close();
        const session = sessions.at(-1) ?? known;
        expect(await ask(dns.listener.bound, { ...options, ...good, ...(session !== undefined && { session }) })).to.equal(9);
        if (clientAuth === "require") return; // which takes strangers
        const refused: Buffer[] = [];
        await new Promise<void>((resolve) => {
          const { address, port } = dns.listener.bound;
          const socket = connectTls({ host: address, port, servername: "localhost", ...options, ...strange }, () => {
            const own = socket.getSession();
            if (own !== undefined) refused.push(own);
          });
          socket.on("session", (given: Buffer) => refused.push(given));
          socket.on("error", () => {});
          socket.once("close", () => resolve());
        });
        for (const given of refused) {
          for (const shown of [strange, {}]) {
            const id = await ask(dns.listener.bound, { ...options, ...shown, session: given });
            expect(id).to.equal(clientAuth === "verify_if_given" && shown !== strange ? id : undefined); // without one, anybody may
          }
        }
        expect(dns.responder.asked.length).to.be.at.most(2 + refused.length);
      });
    }
  }
});

describe("listeners/tls: timeouts", () => {
  it("maxtcpqueries: the connection ends behind the answers of so many", async () => {
    await using dns = await rig((options) => create({ ...options, times: { queries: 3 } }));
    const connection = await connect(dns.listener.bound);
    connection.send(query({ name: "slow.example.org.", id: 1 }), ...[2, 3, 4].map((id) => query({ id })));
    expect([await idOf(connection), await idOf(connection)]).to.deep.equal([2, 3]);
    dns.responder.waiting[0]?.answer();
    expect(await idOf(connection)).to.equal(1);
    expect(await connection.ended).to.equal("fin");
    expect(dns.metrics.count(CLOSED, "max_queries")).to.equal(1);
    expect(dns.responder.asked).to.have.length(3);
  });

  it("another configuration's times are those of connections that are open, too", async () => {
    const clock = fakeClock();
    await using dns = await rig(create, { clock });
    const connection = await connect(dns.listener.bound);
    connection.send(query({ id: 1 }));
    expect(await idOf(connection)).to.equal(1);
    await dns.listener.serve({ ...servedBy(dns.responder), times: { idleMs: 30_000 } });
    clock.advance(29_000);
    connection.send(query({ id: 2 }));
    expect(await idOf(connection)).to.equal(2);
    await dns.listener.serve(servedBy(dns.responder));
    clock.advance(10_000);
    expect(await connection.ended).to.equal("fin");
    expect(dns.metrics.count(CLOSED, "idle")).to.equal(1);
  });
});

async function idOf(connection: TcpConnection): Promise<number | undefined> {
  const message = await connection.receive();
  return message === undefined ? undefined : headerOf(message).id;
}

// The id of its answer; undefined: the server ends the connection first.
async function ask(target: Target, options: ConnectionOptions): Promise<number | undefined> {
  try {
    const connection = await tlsConnection(target, options);
    connection.send(query({ id: 9 }));
    const id = await idOf(connection);
    connection.close();
    return id;
  } catch {
    return undefined;
  }
}

function servedBy(responder: FakeResponder): ServedBy {
  return { responder, share: () => expect.fail("no thread is there"), unshare: () => {} };
}
