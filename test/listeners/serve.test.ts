// Another configuration takes over at a listener: the contract over every implementation, and what only threads have.
// NDOTS_TEST_ROUNDS says how often.

import { expect } from "chai";
import type { BatchEngine } from "../../src/listeners/batch.ts";
import type { Listener, ServedBy } from "../../src/listeners/listener.ts";
import { BATCH, CONTROL_BYTES, Messages } from "../../src/listeners/messages.ts";
import { MSG_DONTWAIT } from "../../src/listeners/native.ts";
import { tcpListener } from "../../src/listeners/tcp.ts";
import { UdpSockets } from "../../src/listeners/udp-socket.ts";
import { udpListener } from "../../src/listeners/udp.ts";
import { isLent, served, serveContract } from "../contracts/listener-serve.ts";
import { engineRig, needNative, openSockets, wayward } from "../helpers/batch.ts";
import { built } from "../helpers/built.ts";
import { query, tcpConnection, udpAsk, udpClient } from "../helpers/dns-client.ts";
import { generation, HIT, load, MISS, numberOf, type Generation } from "../helpers/generations.ts";
import { until } from "../helpers/listening.ts";

const { batchListener } = await built<typeof import("../../src/listeners/batch.ts")>("listeners/batch");
const { createTcpThread } = await built<typeof import("../../src/listeners/tcp-thread.ts")>("listeners/tcp-thread");
const native = await needNative();
const ROUNDS = Number(process.env["NDOTS_TEST_ROUNDS"] ?? 20);

serveContract("listeners/udp", udpListener, ROUNDS);
serveContract("listeners/tcp", tcpListener, ROUNDS);
serveContract("listeners/batch", (options) => batchListener({ ...options, native }), Math.ceil(ROUNDS / 2)); // 0.1 s for each thread
serveContract("listeners/batch, three threads", (options) => batchListener({ ...options, native, threads: 3 }), Math.ceil(ROUNDS / 10));
serveContract("listeners/tcp-thread", (options) => createTcpThread({ native, ...options }).listener(options), ROUNDS);
const noThread = new URL("no-scheme-of-a-worker:thread");
serveContract(
  "listeners/tcp-thread, where there are none",
  (options) => createTcpThread({ native, ...options, worker: noThread }).listener(options),
  ROUNDS,
);

function listenerOf({ listeners }: { readonly listeners: readonly Listener[] }): Listener {
  return listeners[0] as Listener;
}

/** As `of`, but the first front that it shares is spoilt. */
function spoilt({ responder, share, unshare }: Generation, spoil: (front: ReturnType<ServedBy["share"]>) => void): ServedBy {
  let isFirst = true;
  return {
    responder,
    share() {
      const front = share();
      const isToSpoil = isFirst;
      isFirst = false;
      if (isToSpoil) spoil(front);
      return front;
    },
    unshare,
  };
}

/** So that the thread that opens it ends. */
function tear(front: ReturnType<ServedBy["share"]>): void {
  Object.assign(front.table, { grown: [] });
}

describe("listeners/batch: threads of another configuration", function () {
  this.timeout(30_000);

  it("at several addresses in one turn, it costs one start of each thread", async () => {
    const [one, two] = [await generation(1), await generation(2)];
    const addresses = ["127.0.0.1", "127.0.0.2", "::1"].map((address) => ({ ...one, address }));
    await using dns = await engineRig({ threads: 2, addresses });
    await Promise.all(dns.listeners.map((listener) => listener.serve(two)));
    expect([one.shared, one.back, two.shared, two.back]).to.deep.equal([2, 2, 2, 0]);
    for (const { bound } of dns.listeners) {
      for (const name of [HIT, MISS]) expect(numberOf((await udpAsk(bound, query({ name }))) as Buffer)).to.equal(2);
    }
  });

  const refuse = (): never => {
    throw new Error("no memory");
  };
  for (const [how, spoil] of [
    ["can't be started", refuse],
    ["ends before it answers", tear],
  ] as const) {
    it(`where a thread ${how}, the old one answers until another does`, async () => {
      const [one, two] = [await generation(1), await generation(2)];
      await using dns = await engineRig({ addresses: [one] });
      const bounds = { oldest: 1, newest: 1 };
      const asking = await load(listenerOf(dns), bounds, 2);
      const taken = listenerOf(dns).serve(spoilt(two, spoil));
      await until(() => dns.log.lines.length > 0, "it is said");
      expect(dns.log.lines[0]).to.match(/^error: listener threads answer as they were configured before: .*; they are replaced in 1 s$/s);
      const before = asking.answered.get(1) ?? 0;
      await until(() => asking.failure !== undefined || (asking.answered.get(1) ?? 0) > before, "the old one goes on");
      bounds.newest = 2;
      await taken;
      bounds.oldest = 2;
      await until(() => asking.failure !== undefined || asking.answered.has(2), "the new one answers");
      await asking.end();
      expect(dns.log.lines).to.have.length(1);
      await dns.engine.stop(0);
      // What refused was counted by generation(), and never given.
      expect([one.shared - one.back, two.shared - two.back]).to.deep.equal([0, spoil === refuse ? 1 : 0]);
    });
  }

  it("while threads are lost, none keeps a front, and the new one answers", async () => {
    let lent = 0;
    const fronts = {
      share: () => (lent++, wayward.share()),
      unshare: () => void lent--,
    };
    const first = await generation(0);
    await using dns = await engineRig({ threads: 2, worker: wayward.worker, addresses: [{ responder: first.responder, ...fronts }] });
    const { bound } = listenerOf(dns);
    for (let number = 1; number <= 5; number++) {
      const { responder } = await generation(number);
      const taken = listenerOf(dns).serve({ responder, ...fronts });
      for (let times = 0; times < 3; times++) await udpAsk(bound, query({ name: "throw.example.org." }), 5);
      await taken;
      let answer: Buffer | undefined;
      for (const endMs = performance.now() + 5000; answer === undefined && performance.now() < endMs;) {
        answer = await udpAsk(bound, query({ name: "chain.example.org." }), 500);
      }
      expect(numberOf(answer as Buffer)).to.equal(number);
    }
    await dns.engine.stop(0);
    expect(lent).to.equal(0);
  });
});

describe("listeners/tcp-thread: a thread that another configuration ends", () => {
  it("where the thread ends of it, the next one answers from it", async () => {
    const [one, two] = [await generation(1), await generation(2)];
    await using dns = await served((options) => createTcpThread({ native, ...options }).listener(options), one);
    const before = await tcpConnection(dns.listener.bound);
    before.send(query({ name: HIT }));
    expect(numberOf((await before.receive()) as Buffer)).to.equal(1);
    await dns.listener.serve(spoilt(two, tear));
    expect([isLent(one), isLent(two)]).to.deep.equal([false, false]);
    await before.ended;
    const connection = await tcpConnection(dns.listener.bound);
    connection.send(query({ name: HIT }));
    expect(numberOf((await connection.receive()) as Buffer)).to.equal(2);
    expect(dns.log.lines).to.have.length(1);
    connection.close();
    before.close();
    await dns.listener.stop(1000);
    expect([isLent(one), isLent(two)]).to.deep.equal([false, false]);
  });
});

describe("listeners/batch: the number of threads changes", function () {
  this.timeout(30_000);

  it("under load, up and down, and nothing is lost", async () => {
    const one = await generation(1);
    await using dns = await engineRig({ threads: 1, addresses: [one, { ...one, address: "127.0.0.2" }] });
    const descriptors = openSockets();
    const bounds = { oldest: 1, newest: 1 };
    for (const threads of [3, 1, 4, 2, 1]) {
      const changed = resized(dns.engine, threads);
      // New clients all the time: the kernel spreads them by their ports.
      while (!changed.isOver) {
        const asking = await Promise.all(dns.listeners.map((listener) => load(listener, bounds, 4)));
        await until(
          () => asking.every(({ failure, answered }) => failure !== undefined || (answered.get(1) ?? 0) > 40),
          "they are answered",
        );
        await Promise.all(asking.map((each) => each.end()));
      }
      await changed.done;
      expect([dns.engine.threads, one.shared - one.back]).to.deep.equal([threads, threads]);
    }
    expect(openSockets()).to.equal(descriptors);
    expect(dns.log.lines).to.deep.equal([]);
    expect(dns.listeners.every(({ received }) => received > 0)).to.equal(true);
  });

  it("before they run, and an address that comes later has a socket for each", async () => {
    const { createBatchEngine } = await built<typeof import("../../src/listeners/batch.ts")>("listeners/batch");
    const one = await generation(1);
    const { log, metrics } = await engineRig().then(async (dns) => (await dns.engine.stop(0), dns));
    const engine = createBatchEngine({ native, threads: 1, log, metrics });
    const listeners = ["127.0.0.1", "127.0.0.2"].map((address) => engine.listener({ port: 0, ...one, address }));
    await listeners[0]?.start();
    await engine.resize(2);
    await engine.run();
    const descriptors = openSockets();
    await listeners[1]?.start();
    expect(openSockets()).to.equal(descriptors + 2);
    for (const listener of listeners) {
      const asking = await load(listener, { oldest: 1, newest: 1 }, 8);
      await until(() => asking.failure !== undefined || (asking.answered.get(1) ?? 0) > 80, "they are answered");
      await asking.end();
    }
    await engine.stop(0);
    expect(isLent(one)).to.equal(false);
  });

  it("a thread that can't be started leaves as many as there are, and what its socket had is answered", async () => {
    const one = await generation(1);
    const share = (): ReturnType<ServedBy["share"]> => {
      if (one.shared > 0) throw new Error("no memory");
      return one.share();
    };
    await using dns = await engineRig({ addresses: [{ ...one, share }] });
    const asking = await load(listenerOf(dns), { oldest: 1, newest: 1 }, 8);
    await dns.engine.resize(3);
    expect(dns.engine.threads).to.equal(1);
    expect(dns.log.lines).to.deep.equal(["error: listener thread 2 can't be started, 1 goes on: no memory"]);
    await asking.end();
  });

  it("stop() meanwhile leaves nothing", async () => {
    const one = await generation(1);
    const before = openSockets();
    const dns = await engineRig({ addresses: [one] });
    await Promise.all([dns.engine.resize(3), dns.engine.stop(0)]);
    await Promise.all([dns.engine.resize(1), dns.engine.stop(0)]);
    expect(isLent(one)).to.equal(false);
    expect(openSockets()).to.be.at.most(before);
  });

  for (const address of ["127.0.0.1", "::1", "0.0.0.0", "::"]) {
    it(`a socket on ${address} that is to be closed gets no more packets, and keeps what it has`, async () => {
      const sockets = new UdpSockets(native);
      const first = sockets.open(address, 0, "shared");
      const second = sockets.open(address, first.bound.port, "shared");
      const memory = new Uint8Array(new ArrayBuffer(Messages.BYTES + BATCH));
      const messages = new Messages(native, memory, 0);
      const clients = await Promise.all(Array.from({ length: 24 }, () => udpClient(first.bound)));
      const sendAll = async (): Promise<number[]> => {
        for (const client of clients) client.send(Uint8Array.of(0));
        const counts = [0, 0];
        await until(() => {
          for (const [index, { fd }] of [first, second].entries()) {
            for (let slot = 0; slot < BATCH; slot++) {
              messages.setPayload(slot, Messages.BYTES + slot, 1);
              messages.reset(slot, CONTROL_BYTES);
            }
            counts[index] = (counts[index] as number) + Math.max(0, native.recvmmsg(fd, messages.address, BATCH, MSG_DONTWAIT));
          }
          return (counts[0] as number) + (counts[1] as number) === clients.length;
        }, "all arrive");
        return counts;
      };
      expect((await sendAll())[1], "the kernel spreads them").to.be.greaterThan(0);
      sockets.retire(second);
      expect(await sendAll()).to.deep.equal([clients.length, 0]);
      sockets.close(second);
      sockets.close(first);
      for (const client of clients) client.close();
    });
  }
});

function resized(engine: BatchEngine, threads: number): { readonly done: Promise<void>; isOver: boolean } {
  const change = { isOver: false, done: engine.resize(threads).then(() => void (change.isOver = true)) };
  return change;
}
