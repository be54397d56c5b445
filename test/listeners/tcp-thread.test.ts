// The TCP listeners in a thread of their own: the contracts of every listener, and what only a thread has.

import { readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { TableWriter } from "../../src/answers/table.ts";
import { parseName } from "../../src/dns/name.ts";
import type { SharedFront } from "../../src/front.ts";
import type { Listener } from "../../src/listeners/listener.ts";
import type { Native } from "../../src/listeners/native.ts";
import type { TcpThread, TcpThreadOptions } from "../../src/listeners/tcp-thread.ts";
import { listenerContract, type ContractOptions } from "../contracts/listener.ts";
import { tcpListenerContract } from "../contracts/tcp-listener.ts";
import { built } from "../helpers/built.ts";
import { headerOf, query, tcpConnection, type TcpConnection } from "../helpers/dns-client.ts";
import {
  countedMetrics,
  fakeResponder,
  recordedLog,
  settled,
  until,
  type CountedMetrics,
  type FakeResponder,
  type RecordedLog,
} from "../helpers/listening.ts";

const { createTcpThread } = await built<typeof import("../../src/listeners/tcp-thread.ts")>("listeners/tcp-thread");
const { openNative } = await built<typeof import("../../src/listeners/native.ts")>("listeners/native");
const native = (await openNative()) as Native; // where it is missing, every test fails and says so

/** The test's table has this name; all else is the main thread's. */
const HIT = "hit.example.org.";

function threaded({ log, metrics, limits, ...options }: ContractOptions): Listener {
  return createTcpThread({ native, log, metrics, ...(limits && { limits }) }).listener({ ...options, ...sharing() });
}

listenerContract("listeners/tcp-thread", threaded);
tcpListenerContract("listeners/tcp-thread", threaded); // tcpTimeContract: the thread has its own clock

interface Sharing {
  readonly writer: TableWriter;
  /** What the threads were given, and have not given back. */
  readonly shared: Set<SharedFront>;
  share(): SharedFront;
  unshare(front: SharedFront): void;
}

function sharing({ observed = false, damage = (_front: SharedFront, _times: number): void => {} } = {}): Sharing {
  const writer = new TableWriter();
  const apex = parseName("example.org");
  writer.setZone(0, {
    apex,
    soa: undefined,
    soaPointers: [],
    soaLabels: [],
    complete: false,
    namesNearest: false,
    staleness: "",
    udpSize: 1232,
  });
  const rotation = { rotateAt: 0, rotateCount: 0, rotateSize: 0 };
  const answer = { type: 1, answerCount: 1, authorityCount: 0, additionalCount: 0, body: ADDRESS_RECORD, ...rotation };
  const flags = { askChain: false, openBelow: false, partial: false };
  writer.put(parseName(HIT), { zone: 0, block: 0, ...flags, reasonBelow: "", reason: "", answers: [answer] });
  const shared = new Set<SharedFront>();
  let times = 0;
  return {
    writer,
    shared,
    share: () => {
      const front = { table: writer.attach(), blocks: [{ cells: undefined, observed }], owners: Uint8Array.of(0) };
      damage(front, ++times);
      shared.add(front);
      return front;
    },
    unshare: (front) => {
      writer.detach(front.table);
      shared.delete(front);
    },
  };
}

const ADDRESS_RECORD = Buffer.from("c00c00010001000000050004c0000201", "hex");

interface Stage extends AsyncDisposable {
  readonly thread: TcpThread;
  readonly listener: Listener;
  readonly responder: FakeResponder;
  readonly log: RecordedLog;
  readonly metrics: CountedMetrics;
  readonly table: Sharing;
}

async function stage(table: Sharing = sharing(), options: Partial<TcpThreadOptions> = {}, responder = fakeResponder()): Promise<Stage> {
  const log = recordedLog();
  const metrics = countedMetrics();
  const thread = createTcpThread({ native, log, metrics, ...options });
  const listener = thread.listener({ address: "127.0.0.1", port: 0, responder, ...table });
  await listener.start();
  return { thread, listener, responder, log, metrics, table, [Symbol.asyncDispose]: () => listener.stop(0) };
}

async function idOf(connection: TcpConnection): Promise<number | undefined> {
  const message = await connection.receive();
  return message === undefined ? undefined : headerOf(message).id;
}

// Asks `count` times from a thread of its own while this one stands still; returns how many answers held a record.
async function askWhileBlocked(listener: Listener, count: number): Promise<number> {
  await settled(listener.bound); // the thread runs
  const result = new Int32Array(new SharedArrayBuffer(8)); // done, answers
  const packet = query({ name: HIT });
  const workerData = { port: listener.bound.port, count, packet, result };
  const client = new Worker(CLIENT, { eval: true, workerData, execArgv: [] });
  await new Promise((resolve) => client.once("message", resolve)); // it is connected
  client.postMessage("go");
  const woken = Atomics.wait(result, 0, 0, 8000);
  await client.terminate();
  expect(woken).to.equal("ok");
  return result[1] as number;
}

const CLIENT = `
  const { parentPort, workerData: { port, count, packet, result } } = require("node:worker_threads");
  const socket = require("node:net").connect(port, "127.0.0.1", () => parentPort.postMessage("connected"));
  const message = Buffer.concat([Buffer.from([packet.length >> 8, packet.length & 255]), packet]);
  parentPort.once("message", () => socket.write(Buffer.concat(Array.from({ length: count }, () => message))));
  let rest = Buffer.alloc(0), answers = 0;
  socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0); rest = rest.subarray(2 + rest.readUInt16BE(0))) {
      answers++;
      if (rest.readUInt16BE(2 + 6) === 1) result[1]++;
    }
    if (answers === count) { Atomics.store(result, 0, 1); Atomics.notify(result, 0); }
  });
`;

describe("listeners/tcp-thread: hits and misses", () => {
  it("table hits are answered while the main thread stands still (C122)", async () => {
    await using dns = await stage();
    expect(await askWhileBlocked(dns.listener, 1000)).to.equal(1000);
    expect(dns.responder.asked.map(({ qname }) => qname)).to.deep.equal(["control.example.org."]);
    expect(dns.listener.received).to.equal(1001);
  });

  it("a hit behind a question that waits for the main thread is answered first, and each answer has its question's id", async () => {
    await using dns = await stage();
    const connection = await tcpConnection(dns.listener.bound);
    const misses = [1, 2, 3].map((id) => query({ name: "slow.example.org.", id }));
    connection.send(...misses, query({ name: HIT, id: 4 }));
    expect(await idOf(connection)).to.equal(4);
    await until(() => dns.responder.waiting.length === 3, "three wait");
    for (const { answer } of dns.responder.waiting.toReversed()) {
      answer();
    }
    expect(new Set([await idOf(connection), await idOf(connection), await idOf(connection)])).to.deep.equal(new Set([1, 2, 3]));
    connection.close();
  });

  it("what is put into the table later is answered by the thread", async () => {
    await using dns = await stage();
    const { writer } = dns.table;
    const connection = await tcpConnection(dns.listener.bound);
    const flags = { askChain: false, openBelow: false, partial: false };
    const rotation = { rotateAt: 0, rotateCount: 0, rotateSize: 0 };
    const answer = { type: 1, answerCount: 1, authorityCount: 0, additionalCount: 0, body: ADDRESS_RECORD, ...rotation };
    for (let n = 0; n < 3000; n++) {
      writer.put(parseName(`n${n}.example.org`), { zone: 0, block: 0, ...flags, reasonBelow: "", reason: "", answers: [answer] });
    }
    connection.send(...Array.from({ length: 3000 }, (_, id) => query({ name: `n${id}.example.org.`, id })));
    for (let id = 0; id < 3000; id++) expect(await idOf(connection)).to.equal(id);
    expect(dns.responder.asked).to.deep.equal([]);
    connection.close();
  });

  it("one thread serves several addresses, each from its own table and responder, and ends with the last", async () => {
    await using dns = await stage();
    const other = { responder: fakeResponder(), table: sharing() };
    const second = dns.thread.listener({ address: "127.0.0.1", port: 0, responder: other.responder, ...other.table });
    await settled(dns.listener.bound);
    const threads = threadCount();
    await second.start();
    expect(threadCount()).to.equal(threads);
    const connection = await tcpConnection(second.bound);
    connection.send(query({ id: 1 }));
    expect(await idOf(connection)).to.equal(1);
    expect([dns.responder.asked.length, other.responder.asked.length]).to.deep.equal([1, 1]);
    connection.close();
    await second.stop(0);
    expect(other.table.shared.size).to.equal(0);
    await settled(dns.listener.bound);
  });

  it("the wildcard and one address may share a port, the same address twice may not", async () => {
    await using dns = await stage();
    const { port } = dns.listener.bound;
    const other = { responder: fakeResponder(), table: sharing() };
    const wildcard = dns.thread.listener({ address: "", port, responder: other.responder, ...other.table });
    await wildcard.start();
    await settled({ address: "127.0.0.1", port });
    await settled({ address: "127.0.0.2", port });
    expect([dns.responder.asked.length, other.responder.asked.length]).to.deep.equal([1, 1]);
    const again = dns.thread.listener({ address: "127.0.0.1", port, responder: other.responder, ...other.table });
    expect(await again.start().catch((error: { code: string }) => error.code)).to.equal("NDOTS_ERR_LISTEN");
    await wildcard.stop(0);
    expect(await settled({ address: "127.0.0.2", port }).catch((error: { code: string }) => error.code)).to.equal("ECONNREFUSED");
  });

  it("with too many questions on the main thread each connection may have one there, and hits of others go on", async () => {
    await using dns = await stage();
    const { waiting } = dns.responder;
    const connections = await Promise.all(Array.from({ length: 30 }, () => tcpConnection(dns.listener.bound)));
    for (const connection of connections) {
      connection.send(...Array.from({ length: 100 }, (_, id) => query({ name: "slow.example.org.", id })));
    }
    await until(() => waiting.length >= 1024, "the bound is reached");
    await settled(dns.listener.bound);
    expect(waiting.length).to.be.lessThan(1024 + 30);
    const other = await tcpConnection(dns.listener.bound);
    other.send(query({ name: HIT, id: 7 }));
    expect(await idOf(other)).to.equal(7);
    for (let answered = 0; answered < 3000; answered++) {
      await until(() => waiting.length > answered, "the next is asked");
      waiting[answered]?.answer();
    }
    for (const connection of connections) {
      for (let count = 0; count < 100; count++) await connection.receive();
      connection.close();
    }
    other.close();
  });
});

describe("listeners/tcp-thread: observers", () => {
  it("are told of each hit, with the client and what it was answered", async () => {
    const told: unknown[] = [];
    const responder: FakeResponder = {
      ...fakeResponder(),
      observed: ({ inAt, inEnd, remotePort, transport, family }, { rcode, answerCount, length }, durationMs) =>
        told.push({ bytes: inEnd - inAt, remotePort, transport, family, rcode, answerCount, length, isTimed: durationMs >= 0 }),
    };
    await using dns = await stage(sharing({ observed: true }), {}, responder);
    const connection = await tcpConnection(dns.listener.bound);
    const packet = query({ name: HIT });
    connection.send(packet, packet);
    const answer = (await connection.receive()) as Buffer;
    await until(() => told.length === 2, "both are told");
    const { port: remotePort } = connection;
    const hit = { bytes: packet.length, remotePort, transport: "tcp", family: 4, rcode: 0, answerCount: 1, length: answer.length };
    expect(told).to.deep.equal([
      { ...hit, isTimed: true },
      { ...hit, isTimed: true },
    ]);
    connection.close();
  });

  it("are not told of all while the main thread stands still: the rest is counted", async () => {
    let told = 0;
    await using dns = await stage(sharing({ observed: true }), {}, { ...fakeResponder(), observed: () => told++ });
    expect(await askWhileBlocked(dns.listener, 6000)).to.equal(6000);
    const dropped = (): number => dns.metrics.count("ndots_log_dropped_total", "");
    await until(() => told + dropped() === 6000, "each is told or counted");
    expect(told).to.equal(4096);
    expect(await askWhileBlocked(dns.listener, 100)).to.equal(100);
    await until(() => told === 4196, "those after them are told");
    expect(dropped()).to.equal(6000 - 4096);
  });

  it("a stop counts those that were told to nobody in the last second", async () => {
    let told = 0;
    const dns = await stage(sharing({ observed: true }), {}, { ...fakeResponder(), observed: () => told++ });
    expect(await askWhileBlocked(dns.listener, 5000)).to.equal(5000);
    await dns.listener.stop(1000);
    expect(told + dns.metrics.count("ndots_log_dropped_total", "")).to.equal(5000);
  });

  it("however many hits wait, a turn of the main thread's event loop tells of 256 at most", async () => {
    let told = 0;
    let most = 0;
    await using dns = await stage(sharing({ observed: true }), {}, { ...fakeResponder(), observed: () => told++ });
    let before = 0;
    const counted = until(() => {
      most = Math.max(most, told - before);
      before = told;
      return told === 4000;
    }, "all are told");
    const asked = askWhileBlocked(dns.listener, 4000);
    await counted;
    expect(await asked).to.equal(4000);
    expect(most).to.be.within(1, 256);
  });

  it("a stop tells of the hits that wait before it takes the table back", async () => {
    const said: string[] = [];
    const table = sharing({ observed: true });
    const unshare = (front: SharedFront): void => {
      said.push("unshared");
      table.unshare(front);
    };
    const responder = { ...fakeResponder(), observed: () => said.push("told") };
    const dns = await stage({ ...table, unshare }, {}, responder);
    expect(await askWhileBlocked(dns.listener, 4000)).to.equal(4000);
    await dns.listener.stop(1000);
    expect([said.length, said.indexOf("unshared")]).to.deep.equal([4001, 4000]);
  });
});

describe("listeners/tcp-thread: the thread's life (C121)", () => {
  // A thread that has no block for its hits throws.
  const dies = (lives: number): Sharing => sharing({ damage: (front, times) => times <= lives && Object.assign(front, { blocks: [] }) });

  it("a thread that dies is replaced, and clients that come meanwhile wait for the next one", async () => {
    await using dns = await stage(dies(2));
    const descriptors = descriptorCount();
    for (let life = 1; life <= 2; life++) {
      const connection = await tcpConnection(dns.listener.bound);
      connection.send(query({ name: HIT }));
      await connection.ended;
      connection.close();
    }
    const connection = await tcpConnection(dns.listener.bound);
    connection.send(query({ name: HIT, id: 1 }), query({ id: 2 }));
    expect([await idOf(connection), await idOf(connection)]).to.deep.equal([1, 2]);
    expect(dns.log.lines[0]).to.match(/^error: TCP thread: TypeError: .*; another one starts with the next client$/s);
    expect(dns.log.lines[1]).to.match(
      /^error: TCP thread: TypeError: .*; another one starts with the next client, in 0.25 s at the earliest$/s,
    );
    expect(dns.log.lines.length).to.equal(2);
    expect(dns.table.shared.size).to.equal(1);
    connection.close();
    await dns.listener.stop(1000);
    await until(() => descriptorCount() <= descriptors - 1, "nothing of the dead threads is open");
  });

  it("a thread that hangs is replaced", async () => {
    // In slots of which none is free, the search for a name that is not there has no end.
    const fill = ({ table }: SharedFront, times: number): void => {
      for (const grown of table.grown) if (times === 1 && "slots" in grown) new Int32Array(grown.buffer).fill(-1);
    };
    const table = sharing({ damage: fill });
    await using dns = await stage({ ...table, share: () => (table.shared.size === 0 ? table : sharing()).share() });
    const connection = await tcpConnection(dns.listener.bound);
    connection.send(query());
    await until(() => dns.log.lines.length === 1, "it is found out", 8000);
    expect(dns.log.lines[0]).to.equal("error: TCP thread: it has done nothing for 3 s; another one starts with the next client");
    connection.close();
  }).timeout(20_000);

  it("a table stays with its thread until that says it has stopped, or has ended", async () => {
    const order: string[] = [];
    const { terminate, emit } = Worker.prototype;
    Worker.prototype.terminate = async function () {
      const code = await terminate.call(this);
      order.push("ended");
      return code;
    };
    // As where the thread gets no time: it says nothing.
    Worker.prototype.emit = function (this: Worker, name: string, argument?: unknown) {
      return (argument as { kind?: string } | undefined)?.kind === "stopped" || emit.call(this, name, argument);
    };
    try {
      await using dns = await stage();
      const { share, unshare } = sharing();
      const said = (front: SharedFront): void => {
        order.push("back");
        unshare(front);
      };
      const leaving = dns.thread.listener({ address: "127.0.0.2", port: 0, responder: dns.responder, share, unshare: said });
      await leaving.start();
      await settled(leaving.bound);
      await leaving.stop(0);
      expect(order).to.deep.equal([]);
      await settled(dns.listener.bound);
      await dns.listener.stop(0);
      expect(order).to.deep.equal(["ended", "back"]);
    } finally {
      Object.assign(Worker.prototype, { terminate, emit });
    }
  });

  for (const [how, worker] of [
    ["is refused", new URL("no-scheme-of-a-worker:thread")],
    ["ends before it listens", new URL("no-such-thread", import.meta.url)],
  ] as const) {
    it(`where a thread ${how} twice, the main thread answers, and nobody has waited in vain`, async () => {
      const descriptors = descriptorCount();
      const dns = await stage(sharing(), { worker });
      const connection = await tcpConnection(dns.listener.bound);
      connection.send(query({ name: HIT, id: 1 }));
      expect(await idOf(connection)).to.equal(1);
      expect(dns.responder.asked.map(({ qname }) => qname)).to.deep.equal([HIT]);
      expect(dns.log.lines[0]).to.match(/another one starts with the next client$/);
      expect(dns.log.lines[1]).to.match(/the main thread answers TCP from now on$/);
      expect([dns.log.lines.length, dns.listener.received, dns.table.shared.size]).to.deep.equal([2, 1, 0]);
      const later = dns.thread.listener({ address: "127.0.0.2", port: 0, responder: dns.responder, ...dns.table });
      await later.start();
      await settled(later.bound);
      await Promise.all([dns.listener.stop(1000), later.stop(1000)]);
      expect(await connection.ended).to.equal("fin");
      expect(dns.metrics.count("ndots_log_dropped_total", "")).to.equal(0);
      connection.close();
      await until(() => descriptorCount() <= descriptors, "nothing is left open");
    });
  }

  it("stop() while no thread runs ends the attempts", async () => {
    const dns = await stage(dies(100));
    const connection = await tcpConnection(dns.listener.bound);
    connection.send(query({ name: HIT }));
    await connection.ended;
    await until(() => dns.log.lines.length === 1, "it died");
    connection.close();
    await dns.listener.stop(1000);
    expect(dns.table.shared.size).to.equal(0);
  });

  it("there is no thread before the first client", async () => {
    const before = threadCount();
    await using dns = await stage();
    expect([threadCount(), dns.table.shared.size]).to.deep.equal([before, 0]);
    await settled(dns.listener.bound);
    expect([threadCount(), dns.table.shared.size]).to.deep.equal([before + 1, 1]);
    await dns.listener.stop(1000);
    expect([threadCount(), dns.table.shared.size]).to.deep.equal([before, 0]);
  });

  it("20 starts and stops leave no descriptor and no thread", async () => {
    await using _first = await stage(); // what Node keeps from its first thread on
    const before = { descriptors: descriptorCount(), threads: threadCount() };
    for (let round = 0; round < 20; round++) {
      const dns = await stage();
      const connection = await tcpConnection(dns.listener.bound);
      connection.send(query({ name: HIT, id: round }));
      expect(await idOf(connection)).to.equal(round);
      await dns.listener.stop(1000);
      expect(await connection.ended).to.equal("fin");
      connection.close();
    }
    await until(() => descriptorCount() <= before.descriptors, "the clients' descriptors are closed");
    expect(threadCount()).to.equal(before.threads);
  });
});

function descriptorCount(): number {
  return readdirSync("/proc/self/fd").length;
}

function threadCount(): number {
  return readdirSync("/proc/self/task").length;
}
