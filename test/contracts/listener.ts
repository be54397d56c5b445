// What every listener keeps to, whatever its transport and whatever its engine. Run by test/listeners/*.test.ts over
// each implementation; udp-listener.ts and tcp-listener.ts hold what is the transport's own.

import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { expect } from "chai";
import type { Listener, ListenerOptions } from "../../src/listeners/listener.ts";
import type { SweepClock } from "../../src/listeners/accepting.ts";
import type { TcpLimits } from "../../src/listeners/connection.ts";
import { headerOf, query, tcpConnection, udpClient, type Target } from "../helpers/dns-client.ts";
import {
  countedMetrics,
  fakeResponder,
  recordedLog,
  until,
  type CountedMetrics,
  type FakeResponder,
  type RecordedLog,
} from "../helpers/listening.ts";

/** What a test may set; an implementation ignores what is not its transport's. */
export interface ContractOptions extends ListenerOptions {
  readonly limits?: Partial<TcpLimits>;
  readonly clock?: SweepClock;
  readonly maxPending?: number;
}

/** Makes the listener under test. */
export type ListenerFactory = (options: ContractOptions) => Listener;

/** A started listener and all that stands around it. */
export interface Rig extends AsyncDisposable {
  readonly listener: Listener;
  readonly responder: FakeResponder;
  readonly log: RecordedLog;
  readonly metrics: CountedMetrics;
}

/** Starts a listener on loopback. */
export async function rig(create: ListenerFactory, options: Partial<ContractOptions> = {}): Promise<Rig> {
  const responder = fakeResponder();
  const log = recordedLog();
  const metrics = countedMetrics();
  const listener = create({ address: "127.0.0.1", port: 0, responder, log, metrics, ...options });
  await listener.start();
  return { listener, responder, log, metrics, [Symbol.asyncDispose]: () => listener.stop(0) };
}

/** One client, the same for every transport. */
interface Client {
  send(packet: Buffer): void;
  receive(): Promise<Buffer | undefined>;
  close(): void;
}

export function listenerContract(
  name: string,
  create: ListenerFactory,
  connect: (target: Target) => Promise<Client> = tcpConnection,
): void {
  const client = (listener: Listener, target: Target = listener.bound): Promise<Client> =>
    listener.transport === "udp" ? udpClient(target) : connect(target);

  describe(`${name}: what every listener keeps to`, () => {
    it("port 0 is the kernel's choice, and bound says which", async () => {
      await using dns = await rig(create);
      expect(dns.listener.bound.address).to.equal("127.0.0.1");
      expect(dns.listener.bound.port).to.be.greaterThan(0);
    });

    const addresses = [
      { address: "127.0.0.1", reach: ["127.0.0.1"] },
      { address: "::1", reach: ["::1"] },
      { address: "", reach: ["127.0.0.1", "::1"] },
      { address: "0.0.0.0", reach: ["127.0.0.1"] },
    ];
    for (const { address, reach } of addresses) {
      it(`${address === "" ? "the wildcard" : address} is reached at ${reach.join(" and ")}, and the responder is told who asks`, async () => {
        await using dns = await rig(create, { address });
        for (const host of reach) {
          const asker = await client(dns.listener, { address: host, port: dns.listener.bound.port });
          asker.send(query({ id: 7 }));
          expect(headerOf((await asker.receive()) as Buffer).id).to.equal(7);
          const { transport, family, remoteAddress, localPort } = dns.responder.asked.pop() ?? {};
          expect({ transport, family, remoteAddress, localPort }).to.deep.equal({
            transport: dns.listener.transport,
            family: host.includes(":") ? 6 : 4,
            remoteAddress: host,
            localPort: dns.listener.bound.port,
          });
          asker.close();
        }
      });
    }

    it("a late answer does not hold up the next, and each goes to its asker", async () => {
      await using dns = await rig(create);
      const [first, second] = [await client(dns.listener), await client(dns.listener)];
      first.send(query({ name: "slow.example.org.", id: 1 }));
      first.send(query({ id: 2 }));
      second.send(query({ name: "slow.example.org.", id: 3 }));
      expect(headerOf((await first.receive()) as Buffer).id).to.equal(2);
      await until(() => dns.responder.waiting.length === 2, "both wait");
      for (const slow of dns.responder.waiting.toReversed()) slow.answer();
      expect(headerOf((await first.receive()) as Buffer).id).to.equal(1);
      expect(headerOf((await second.receive()) as Buffer).id).to.equal(3);
      first.close();
      second.close();
    });

    it("where the responder says nothing, now or later, nothing is sent", async () => {
      await using dns = await rig(create);
      const asker = await client(dns.listener);
      asker.send(query({ name: "silent.example.org.", id: 1 }));
      asker.send(query({ name: "slow.example.org.", id: 2 }));
      await until(() => dns.responder.waiting.length === 1, "one waits");
      dns.responder.waiting[0]?.drop();
      asker.send(query({ id: 3 }));
      expect(headerOf((await asker.receive()) as Buffer).id).to.equal(3);
      asker.close();
    });

    it("a response is never answered (C4, C69)", async () => {
      await using dns = await rig(create);
      const asker = await client(dns.listener);
      for (let id = 1; id <= 100; id++) asker.send(query({ id, flags: 0x8180 }));
      asker.send(query({ id: 1000 }));
      expect(headerOf((await asker.receive()) as Buffer).id).to.equal(1000);
      asker.close();
    });

    it("an answer is sent as the responder wrote it, from a few bytes to its largest", async () => {
      await using dns = await rig(create);
      const asker = await client(dns.listener);
      for (const bytes of [40, 512, 1232, 4096, dns.listener.transport === "udp" ? 65_507 : 65_535]) {
        asker.send(query({ name: `bytes-${bytes}.example.org.`, id: bytes }));
        const answer = (await asker.receive()) as Buffer;
        expect(answer.length).to.equal(bytes);
        expect(headerOf(answer).id).to.equal(bytes);
      }
      asker.close();
    });

    it("stop() lets late answers out and takes nothing new", async () => {
      await using dns = await rig(create);
      const asker = await client(dns.listener);
      asker.send(query({ name: "slow.example.org.", id: 1 }));
      await until(() => dns.responder.waiting.length === 1, "it waits");
      const stopped = dns.listener.stop(5000);
      dns.responder.waiting[0]?.answer();
      expect(headerOf((await asker.receive()) as Buffer).id).to.equal(1);
      await stopped;
      asker.close();
      expect(await freeAgain(dns.listener)).to.equal(true);
    });

    it("stop() waits no longer than its grace, and a second call is the first", async () => {
      await using dns = await rig(create);
      const asker = await client(dns.listener);
      asker.send(query({ name: "slow.example.org.", id: 1 }));
      await until(() => dns.responder.waiting.length === 1, "it waits");
      const startedMs = performance.now();
      await Promise.all([dns.listener.stop(20), dns.listener.stop(60_000)]);
      expect(performance.now() - startedMs).to.be.lessThan(5000);
      dns.responder.waiting[0]?.answer(); // too late: goes nowhere, breaks nothing
      expect(await freeAgain(dns.listener)).to.equal(true);
      asker.close();
    });

    it("stop() before start() does nothing", async () => {
      const listener = create({ address: "127.0.0.1", port: 0, responder: fakeResponder(), log: recordedLog(), metrics: countedMetrics() });
      await listener.stop(0);
    });

    it("an address in use is refused with who may hold it and what to do (C127)", async () => {
      await using dns = await rig(create);
      const error = await failure(create, dns.listener.bound);
      const protocol = dns.listener.transport === "udp" ? "UDP" : "TCP";
      expect(error.message).to.include(`127.0.0.1, port ${dns.listener.bound.port}/${protocol}`);
      expect(error.message)
        .to.match(/another process has it \(to see which: sudo (ss|lsof) /)
        .and.include("-p N")
        .and.include('"bind ADDRESS"');
    });

    it("an address that no interface has is refused with how to see them", async () => {
      expect((await failure(create, { address: "192.0.2.1", port: 0 })).message).to.include("no interface of this machine has the address");
    });
  });
}

async function failure(create: ListenerFactory, target: Target): Promise<Error> {
  try {
    await using _dns = await rig(create, target);
  } catch (error) {
    // By its code: the built listeners throw the built class.
    if (!(error instanceof Error) || !("code" in error)) throw error;
    expect(error.code).to.equal("NDOTS_ERR_LISTEN");
    return error;
  }
  throw new Error("it started");
}

// Whether another socket can have the address now.
function freeAgain(listener: Listener): Promise<boolean> {
  const { address, port } = listener.bound;
  return new Promise((resolve) => {
    if (listener.transport === "udp") {
      const socket = createSocket("udp4");
      socket.on("error", () => socket.close(() => resolve(false)));
      socket.bind(port, address, () => socket.close(() => resolve(true)));
    } else {
      const server = createServer();
      server.on("error", () => resolve(false));
      server.listen(port, address, () => server.close(() => resolve(true)));
    }
  });
}
