// What every TCP listener keeps to (RFC 7766, RFC 9210; cases C60–C71). Run by test/listeners/tcp*.test.ts. Where
// time matters, it is the test's: the clock stands still unless a test moves it.

import { expect } from "chai";
import { headerOf, query, tcpConnection, uint16s, type Target, type TcpConnection } from "../helpers/dns-client.ts";
import { fakeClock, settled as settledOver, until } from "../helpers/listening.ts";
import { rig, type ListenerFactory } from "./listener.ts";

const CLOSED = "ndots_tcp_closed_total";
type Connect = (target: Target) => Promise<TcpConnection>;

/** `ends`: when connections do after windDown(). */
export function tcpListenerContract(
  name: string,
  create: ListenerFactory,
  connect: Connect = tcpConnection,
  ends: "behind an answer" | "when idle" = "behind an answer",
): void {
  const settled = (target: Target): Promise<void> => settledOver(target, connect);
  describe(`${name}: messages in a stream`, () => {
    it("a query that comes one byte at a time is answered (C60)", async () => {
      await using dns = await rig(create);
      const connection = await connect(dns.listener.bound);
      const packet = query({ id: 60 });
      for (const byte of Buffer.concat([uint16s(packet.length), packet])) {
        connection.write(Uint8Array.of(byte));
        await settled(dns.listener.bound);
      }
      expect(await idOf(connection)).to.equal(60);
      connection.close();
    });

    it("a stream cut anywhere gives the same answers", async () => {
      await using dns = await rig(create);
      const packets = [1, 2, 3].map((id) => query({ id }));
      const stream = Buffer.concat(packets.flatMap((packet) => [uint16s(packet.length), packet]));
      for (let cut = 1; cut < stream.length; cut += 3) {
        const connection = await connect(dns.listener.bound);
        connection.write(stream.subarray(0, cut));
        await settled(dns.listener.bound);
        connection.write(stream.subarray(cut));
        expect([await idOf(connection), await idOf(connection), await idOf(connection)], `cut at ${cut}`).to.deep.equal([1, 2, 3]);
        connection.close();
      }
    });

    it("200 queries in one segment are all answered (C65)", async () => {
      await using dns = await rig(create);
      const connection = await connect(dns.listener.bound);
      connection.send(...Array.from({ length: 200 }, (_, id) => query({ id })));
      for (let id = 0; id < 200; id++) expect(await idOf(connection)).to.equal(id);
      connection.close();
    });

    it("answers overtake one that is slow (C65, RFC 7766 §6.2.1.1)", async () => {
      await using dns = await rig(create);
      const connection = await connect(dns.listener.bound);
      connection.send(query({ name: "slow.example.org.", id: 1 }), query({ id: 2 }), query({ id: 3 }));
      expect([await idOf(connection), await idOf(connection)]).to.deep.equal([2, 3]);
      dns.responder.waiting[0]?.answer();
      expect(await idOf(connection)).to.equal(1);
      connection.close();
    });

    for (const length of [0, 1, 11]) {
      it(`a message of ${length} bytes closes the connection, behind the answers before it (C64)`, async () => {
        await using dns = await rig(create);
        const connection = await connect(dns.listener.bound);
        const packet = query({ id: 1 });
        connection.write(Buffer.concat([uint16s(packet.length), packet, uint16s(length), Buffer.alloc(length)]));
        expect(await idOf(connection)).to.equal(1);
        expect(await connection.ended).to.equal("fin");
        expect(dns.metrics.count(CLOSED, "bad_length")).to.equal(1);
        connection.close();
      });
    }

    it("a message that is too short closes the connection behind late answers, too", async () => {
      await using dns = await rig(create);
      const connection = await connect(dns.listener.bound);
      const packet = query({ name: "slow.example.org.", id: 1 });
      connection.write(Buffer.concat([uint16s(packet.length), packet, uint16s(5), Buffer.alloc(5)]));
      await until(() => dns.responder.waiting.length === 1, "it waits");
      connection.write(Buffer.concat([uint16s(packet.length), packet]));
      await settled(dns.listener.bound);
      expect(dns.responder.waiting.length).to.equal(1);
      dns.responder.waiting[0]?.answer();
      expect(await idOf(connection)).to.equal(1);
      expect(await connection.ended).to.equal("fin");
      expect(dns.metrics.count(CLOSED, "bad_length")).to.equal(1);
      connection.close();
    });

    it("query and FIN: answered, also late, then FIN (C67)", async () => {
      await using dns = await rig(create);
      const connection = await connect(dns.listener.bound);
      connection.send(query({ id: 1 }), query({ name: "slow.example.org.", id: 2 }));
      connection.end();
      expect(await idOf(connection)).to.equal(1);
      await settled(dns.listener.bound);
      dns.responder.waiting[0]?.answer();
      expect(await idOf(connection)).to.equal(2);
      expect(await connection.ended).to.equal("fin");
      connection.close();
    });

    it("half a message and FIN: closed at once", async () => {
      await using dns = await rig(create);
      const connection = await connect(dns.listener.bound);
      connection.write(query().subarray(0, 10));
      connection.end();
      expect(await connection.ended).to.equal("fin");
      connection.close();
    });

    it("a client that resets while its answer is worked out or written harms nobody (C68)", async () => {
      await using dns = await rig(create);
      for (let round = 0; round < 10; round++) {
        const connection = await connect(dns.listener.bound);
        connection.send(query({ name: "slow.example.org." }), query({ name: "bytes-65535.example.org." }));
        await until(() => dns.responder.waiting.length === 1, "it waits");
        connection.reset();
        if (round % 2 === 0) await settled(dns.listener.bound);
        dns.responder.waiting.pop()?.answer();
      }
      await settled(dns.listener.bound);
    });
  });

  describe(`${name}: bounds`, () => {
    it("beyond the in-flight cap, queries wait for an answer to go", async () => {
      await using dns = await rig(create, { limits: { inFlight: 3 } });
      const { waiting } = dns.responder;
      const connection = await connect(dns.listener.bound);
      connection.send(...Array.from({ length: 10 }, (_, id) => query({ name: "slow.example.org.", id })));
      await settled(dns.listener.bound);
      expect(waiting.length).to.equal(3);
      for (let id = 0; id < 10; id++) {
        waiting[id]?.answer();
        expect(await idOf(connection)).to.equal(id);
        await settled(dns.listener.bound);
        expect(waiting.length).to.equal(Math.min(10, id + 4));
      }
      connection.close();
    });

    it("a client that reads late gets all", async () => {
      await using dns = await rig(create, { limits: { unsentBytes: 64 * 1024 } });
      const connection = await connect(dns.listener.bound);
      connection.pause();
      connection.send(...Array.from({ length: 1000 }, (_, id) => query({ name: "bytes-16000.example.org.", id })));
      await settled(dns.listener.bound);
      connection.resume();
      for (let id = 0; id < 1000; id++) expect(await idOf(connection)).to.equal(id);
      connection.close();
    });

    it("one address may have so many connections and no more, if that is set (C71)", async () => {
      await using dns = await rig(create, { limits: { connectionsPerAddress: 2 } });
      const [first, second] = [await connect(dns.listener.bound), await connect(dns.listener.bound)];
      const third = await connect(dns.listener.bound).catch(() => undefined); // over TLS it gets no handshake
      await third?.ended;
      expect(dns.metrics.count(CLOSED, "address_cap")).to.equal(1);
      first.close();
      second.send(query({ id: 1 }));
      expect(await idOf(second)).to.equal(1);
      await settled(dns.listener.bound);
      for (const connection of [second, third]) connection?.close();
    });

    it("off unless set: 50 from one address are served", async () => {
      await using dns = await rig(create);
      const connections = await Promise.all(Array.from({ length: 50 }, () => connect(dns.listener.bound)));
      for (const [id, connection] of connections.entries()) connection.send(query({ id }));
      for (const [id, connection] of connections.entries()) {
        expect(await idOf(connection)).to.equal(id);
        connection.close();
      }
    });

    if (ends === "behind an answer")
      it("windDown(): a held connection ends behind its next answer, so that none is lost; new ones are answered once", async () => {
        await using dns = await rig(create);
        const [held, slow, silent] = await Promise.all([1, 2, 3].map(() => connect(dns.listener.bound)));
        if (held === undefined || slow === undefined || silent === undefined) throw new Error("no connection");
        held.send(query({ id: 1 }));
        expect(await idOf(held)).to.equal(1);
        slow.send(query({ name: "slow.example.org.", id: 2 }));
        await until(() => dns.responder.waiting.length === 1, "one waits");
        dns.listener.windDown?.();
        // A thread hears of it a little later.
        for (let isKnown = false; !isKnown;) {
          const probe = await connect(dns.listener.bound);
          probe.send(query({ id: 9 }));
          expect(await idOf(probe)).to.equal(9);
          isKnown = await Promise.race([probe.ended.then(() => true), settled(dns.listener.bound).then(() => false)]);
          probe.close();
        }
        held.send(query({ id: 3 }), query({ id: 4 }));
        expect([await idOf(held), await idOf(held)]).to.deep.equal([3, 4]);
        expect(await held.ended).to.equal("fin");
        slow.send(query({ id: 5 }));
        expect(await idOf(slow)).to.equal(5);
        dns.responder.waiting[0]?.answer();
        expect(await idOf(slow)).to.equal(2);
        expect(await slow.ended).to.equal("fin");
        const later = await connect(dns.listener.bound);
        for (const connection of [later, silent]) {
          connection.send(query({ id: 6 }));
          expect(await idOf(connection)).to.equal(6);
          expect(await connection.ended).to.equal("fin");
        }
        expect(dns.metrics.count(CLOSED, "stopping")).to.be.at.least(4);
      });

    it("stop() sends FIN to idle connections at once", async () => {
      await using dns = await rig(create);
      const connection = await connect(dns.listener.bound);
      connection.send(query({ id: 1 }));
      expect(await idOf(connection)).to.equal(1);
      await dns.listener.stop(60_000);
      expect(await connection.ended).to.equal("fin");
      connection.close();
    });
  });
}

/** Needs the test's clock, which no other thread can see. `cap` is the bound on connections; 1,000 is that of a server. */
export function tcpTimeContract(name: string, create: ListenerFactory, connect: Connect = tcpConnection, cap = 1000): void {
  const settled = (target: Target): Promise<void> => settledOver(target, connect);
  describe(`${name}: time`, () => {
    it("a connection that says nothing is closed after 3 s (C61)", async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock });
      const connection = await connect(dns.listener.bound);
      await settled(dns.listener.bound);
      clock.advance(2800);
      expect(await isOpen(connection, dns.listener.bound, connect)).to.equal(true);
      clock.advance(200);
      expect(await connection.ended).to.equal("fin");
      expect(dns.metrics.count(CLOSED, "read_timeout")).to.equal(1);
      connection.close();
    });

    it("a byte a second is closed 3 s after the first (C62)", async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock });
      const connection = await connect(dns.listener.bound);
      clock.advance(2000);
      for (const byte of [0, 29, 0]) {
        connection.write(Uint8Array.of(byte));
        expect(await isOpen(connection, dns.listener.bound, connect)).to.equal(true);
        clock.advance(1000);
      }
      expect(await connection.ended).to.equal("fin");
      connection.close();
    });

    it("65,535 bytes announced and 100 sent: closed after 3 s, and memory follows what was sent (C63)", async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock });
      const before = process.memoryUsage().arrayBuffers;
      const connections = await Promise.all(Array.from({ length: 100 }, () => connect(dns.listener.bound)));
      for (const connection of connections) connection.write(Buffer.concat([uint16s(65_535), Buffer.alloc(98)]));
      await settled(dns.listener.bound);
      expect(process.memoryUsage().arrayBuffers - before).to.be.lessThan(100 * 16 * 1024);
      clock.advance(3000);
      for (const connection of connections) {
        expect(await connection.ended).to.equal("fin");
        connection.close();
      }
      expect(dns.metrics.count(CLOSED, "read_timeout")).to.equal(100);
    });

    it("after a query the connection may be idle for 10 s, whatever edns-tcp-keepalive asks (C70)", async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock });
      const connection = await connect(dns.listener.bound);
      connection.send(query({ id: 1, edns: { options: [{ code: 11, data: uint16s(600) }] } }));
      await connection.receive();
      clock.advance(9000);
      connection.send(query({ id: 2 }));
      await connection.receive();
      clock.advance(9800);
      expect(await isOpen(connection, dns.listener.bound, connect)).to.equal(true);
      clock.advance(200);
      expect(await connection.ended).to.equal("fin");
      expect(dns.metrics.count(CLOSED, "idle")).to.equal(1);
      connection.close();
    });

    it("a connection that waits for its answer is not idle", async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock });
      const connection = await connect(dns.listener.bound);
      connection.send(query({ name: "slow.example.org.", id: 1 }));
      await until(() => dns.responder.waiting.length === 1, "it waits");
      clock.advance(30_000);
      dns.responder.waiting[0]?.answer();
      expect(await idOf(connection)).to.equal(1);
      connection.close();
    });
  });

  describe(`${name}: bounds in time`, () => {
    it("a client that never reads is read no further, and closed when it has taken nothing for 5 s (C66)", async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock });
      const connection = await connect(dns.listener.bound);
      connection.pause();
      connection.send(...Array.from({ length: 10_000 }, (_, id) => query({ name: "bytes-16000.example.org.", id })));
      let before = -1;
      await until(() => {
        const stands = dns.responder.asked.length === before;
        before = dns.responder.asked.length;
        return stands && before > 0;
      }, "its output has filled the socket");
      await settled(dns.listener.bound);
      const answered = dns.responder.asked.filter(({ qname }) => qname.startsWith("bytes")).length;
      expect(answered).to.be.lessThan(5000);
      clock.advance(5000);
      await settled(dns.listener.bound);
      expect(dns.metrics.count(CLOSED, "write_timeout")).to.equal(1);
      expect(dns.responder.asked.filter(({ qname }) => qname.startsWith("bytes")).length).to.equal(answered);
      connection.close();
    });

    it(`${cap} silent connections keep nobody out: the oldest goes (C61)`, async () => {
      const clock = fakeClock();
      await using dns = await rig(create, cap === 1000 ? { clock } : { clock, limits: { connections: cap } });
      const silent: TcpConnection[] = [];
      while (silent.length < cap) {
        silent.push(...(await Promise.all(Array.from({ length: 50 }, () => connect(dns.listener.bound)))));
        clock.advance(1);
      }
      await settled(dns.listener.bound);
      expect(dns.metrics.count(CLOSED, "cap")).to.equal(1);
      expect(await silent[0]?.ended).to.equal("fin");
      for (const connection of silent) connection.close();
    });

    it("at the cap, connections that never asked go before those that did, and those that wait for an answer stay", async () => {
      const clock = fakeClock();
      await using dns = await rig(create, { clock, limits: { connections: 3 } });
      const [waits, asked, silent] = [
        await connect(dns.listener.bound),
        await connect(dns.listener.bound),
        await connect(dns.listener.bound),
      ];
      waits.send(query({ name: "slow.example.org.", id: 1 }));
      asked.send(query({ id: 2 }));
      expect(await idOf(asked)).to.equal(2);
      await until(() => dns.responder.waiting.length === 1, "one waits");
      clock.advance(1000);
      const another = await connect(dns.listener.bound);
      expect(await silent.ended).to.equal("fin");
      another.send(query({ name: "slow.example.org.", id: 3 }));
      await until(() => dns.responder.waiting.length === 2, "two wait");
      const last = await connect(dns.listener.bound);
      expect(await asked.ended).to.equal("fin");
      last.send(query({ id: 4 }));
      expect(await idOf(last)).to.equal(4);
      dns.responder.waiting[0]?.answer();
      expect(await idOf(waits)).to.equal(1);
      for (const connection of [waits, asked, silent, another, last]) connection.close();
    });
  });
}

async function idOf(connection: TcpConnection): Promise<number | undefined> {
  const message = await connection.receive();
  return message === undefined ? undefined : headerOf(message).id;
}

// Still open after the listener has seen all that was sent before.
async function isOpen(connection: TcpConnection, target: Target, connect: Connect): Promise<boolean> {
  await settledOver(target, connect);
  return Promise.race([connection.ended.then(() => false), Promise.resolve(true)]);
}
