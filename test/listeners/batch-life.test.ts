// The life of listener threads: they come and go without a trace, and one that goes astray is replaced while the others
// answer. NDOTS_TEST_ROUNDS says how often they start and stop; 25 times in CI.

import { spawn } from "node:child_process";
import { expect } from "chai";
import { engineRig, openSockets, sharedZone, wayward, type EngineRig } from "../helpers/batch.ts";
import { headerOf, query, udpAsk, udpClient, type Target } from "../helpers/dns-client.ts";
import { until } from "../helpers/listening.ts";

const ROUNDS = Number(process.env["NDOTS_TEST_ROUNDS"] ?? 25);
/** The receive timeout thrice, and some for a busy machine. */
const STOP_MS = 500;
const ZONE = ["example.org. 30 SOA ns.example.org. host.example.org. 1 7200 1800 86400 30", "www.example.org. 30 A 192.0.2.1"];
const SANE = query({ name: "www.example.org." });

function boundOf({ listeners }: EngineRig): Target {
  return listeners[0]?.bound ?? { address: "", port: 0 };
}

/** Threads that answer: each of 32 clients asks once, and the kernel spreads them. */
async function answering(target: Target): Promise<Set<number>> {
  const threads = new Set<number>();
  const answers = await Promise.all(Array.from({ length: 32 }, () => udpAsk(target, SANE, 500)));
  for (const answer of answers) if (answer !== undefined) threads.add(headerOf(answer).counts[1] ?? -1);
  return threads;
}

describe("listeners/batch: starts and stops", function () {
  this.timeout(Math.max(60_000, ROUNDS * 2000));

  it(`four threads start and stop ${ROUNDS} times within ${STOP_MS} ms each, and leave no descriptor behind`, async () => {
    const zone = await sharedZone("example.org", ZONE);
    await engineRig({ threads: 4, addresses: [zone] }).then((dns) => dns.engine.stop(0)); // what is opened once is open now
    const before = openSockets();
    let longestMs = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const dns = await engineRig({ threads: 4, addresses: [zone, { ...zone, address: "::1" }] });
      expect(headerOf((await udpAsk(boundOf(dns), SANE)) as Buffer).counts[1]).to.equal(1);
      const startedMs = performance.now();
      await dns.engine.stop(100);
      longestMs = Math.max(longestMs, performance.now() - startedMs);
    }
    expect(longestMs).to.be.lessThan(STOP_MS);
    expect(zone.readers).to.equal(0);
    expect(openSockets()).to.equal(before);
  });

  it("threads are replaced without a lost query", async () => {
    const zone = await sharedZone("example.org", ZONE);
    await using dns = await engineRig({ threads: 2, addresses: [zone] });
    const asker = await udpClient(boundOf(dns));
    let answered = 0;
    let isOver = false;
    const asking = (async () => {
      for (let id = 0; !isOver; id = (id + 1) & 0xffff) {
        asker.send(query({ name: "www.example.org.", id }));
        const answer = await asker.receive(2000);
        expect(answer === undefined ? undefined : headerOf(answer).id).to.equal(id);
        answered++;
      }
    })();
    for (let round = 0; round < 3; round++) await dns.engine.refresh();
    await until(() => answered > 100, "queries were answered meanwhile");
    isOver = true;
    await asking;
    expect(zone.readers).to.equal(2);
    asker.close();
  });

  it("threads that are replaced and lost at the same time leave none behind", async () => {
    const front = { ...wayward, unshare: () => gone++, share: () => (lent++, wayward.share()) };
    let [lent, gone] = [0, 0];
    const dns = await engineRig({ threads: 2, worker: wayward.worker, addresses: [front] });
    const target = boundOf(dns);
    const replaced = Promise.all([dns.engine.refresh(), dns.engine.refresh()]);
    for (let times = 0; times < 10; times++) await udpAsk(target, query({ name: "throw.example.org." }), 5);
    await replaced;
    await untilAll(target, 2);
    expect(lent - gone).to.equal(2);
    await dns.engine.stop(0);
    expect(lent - gone).to.equal(0);
  });

  it("an address that leaves while no thread can be started keeps its sockets as long as a thread reads them", async () => {
    let fails = false;
    const front = {
      ...wayward,
      share() {
        if (fails) throw new Error("no memory");
        return wayward.share();
      },
    };
    const before = openSockets();
    const dns = await engineRig({ threads: 2, worker: wayward.worker, addresses: [front, { ...front, address: "127.0.0.2" }] });
    const running = openSockets();
    fails = true;
    const leaving = await dns.listeners[1]?.stop(0).catch((error: Error) => error.message);
    expect(leaving).to.equal("no memory");
    expect(openSockets()).to.equal(running);
    expect(await answering(boundOf(dns))).to.have.property("size", 2);
    fails = false;
    await dns.engine.refresh();
    expect(await udpAsk(dns.listeners[1]?.bound ?? { address: "", port: 0 }, SANE, 50)).to.equal(undefined);
    await dns.engine.stop(0);
    expect(openSockets()).to.be.at.most(before);
  });

  it("an address that comes while no thread can be started is refused, and the others go on", async () => {
    const zone = await sharedZone("example.org", ZONE);
    await using dns = await engineRig({ threads: 2, addresses: [zone] });
    const share = (): never => {
      throw new Error("no memory");
    };
    const later = dns.engine.listener({ address: "127.0.0.2", port: 0, responder: dns.responder, share });
    const refused = await later.start().catch((error: Error & { code: string }) => [error.code, error.message]);
    expect(refused).to.deep.equal(["NDOTS_ERR_LISTEN", `can't listen on 127.0.0.2, port ${later.bound.port}/UDP: no memory`]);
    await dns.engine.refresh();
    expect(headerOf((await udpAsk(boundOf(dns), SANE)) as Buffer).counts[1]).to.equal(1);
    await dns.engine.stop(0);
    expect(zone.readers).to.equal(0);
  });

  it("a process with four busy threads ends by process.exit()", async () => {
    const script = `
      const { createBatchEngine } = await import("../dist/listeners/batch.js");
      const { loadNative } = await import("../dist/listeners/native.js");
      const log = { error: console.error, warning() {} };
      const metrics = { counter: () => ({ add() {} }), register() {} };
      const engine = createBatchEngine({ native: await loadNative(), threads: 4, log, metrics });
      const listener = engine.listener({ address: "127.0.0.1", port: 0, responder: { respond: () => 0 } });
      await listener.start();
      await engine.run();
      console.log(listener.bound.port);
      process.stdin.once("data", () => process.exit(0));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { cwd: new URL("..", import.meta.url), stdio: "pipe" });
    try {
      const port = await new Promise<number>((resolve) => child.stdout.once("data", (text: Buffer) => resolve(Number(text))));
      const flood = await udpClient({ address: "127.0.0.1", port });
      for (let id = 0; id < 1000; id++) flood.send(query({ id }));
      const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
      child.stdin.write("now");
      expect(await ended).to.equal(0);
      flood.close();
    } finally {
      child.kill("SIGKILL");
    }
  });
});

describe("listeners/batch: threads that go astray (C121)", function () {
  this.timeout(60_000);

  const rows: readonly { deed: string; says: RegExp }[] = [
    { deed: "throw", says: /led astray/ },
    { deed: "exit", says: /exit code 3/ },
    { deed: "memory", says: /memory/i },
    { deed: "spin", says: /its loop stood still for 3 s/ },
  ];
  for (const { deed, says } of rows) {
    it(`${deed}: the thread is replaced, and the others answer meanwhile`, async () => {
      await using dns = await engineRig({ threads: 4, worker: wayward.worker, addresses: [wayward] });
      const target = boundOf(dns);
      await untilAll(target, 4);
      const before = openSockets();
      await udpAsk(target, query({ name: `${deed}.example.org.` }), 1); // no answer is waited for
      // Three are left, or four if it is replaced already: never fewer.
      const left = await answering(target);
      expect(left.size).to.be.greaterThan(1);
      await until(() => dns.log.lines.length > 0, "it is said", 8_000);
      expect(dns.log.lines).to.have.length(1);
      expect(dns.log.lines[0])
        .to.match(/^error: listener thread [1-4] ended: /)
        .and.to.match(says);
      await untilAll(target, 4);
      expect(openSockets()).to.equal(before);
    });
  }

  it("a thread that goes again and again is given time, and its clients go to others", async () => {
    await using dns = await engineRig({ threads: 2, worker: wayward.worker, addresses: [wayward] });
    const target = boundOf(dns);
    const mischief = await udpClient(target);
    // One client always meets the same thread as long as that has its socket.
    const ended = (): number => dns.log.lines.filter((line) => line.includes(" ended: ")).length;
    for (let times = 1; times <= 4; times++) {
      await until(
        () => {
          if (ended() < times) mischief.send(query({ name: "throw.example.org." }));
          return ended() >= times;
        },
        "it ends again",
        10_000,
      );
    }
    expect(dns.log.lines.some((line) => line.includes("at once"))).to.equal(true);
    expect(dns.log.lines.some((line) => line.includes("in 0.25 s"))).to.equal(true);
    const asker = await udpClient(target);
    asker.send(SANE);
    expect(await asker.receive(5000)).to.have.length(33);
    asker.close();
    mischief.close();
  });

  it("a thread that hangs is named to whoever asks for its health (coredns#3860)", async () => {
    await using dns = await engineRig({ threads: 1, worker: wayward.worker, addresses: [wayward] });
    expect(dns.engine.standingStill(2000)).to.equal(undefined);
    await udpAsk(boundOf(dns), query({ name: "spin.example.org." }), 1);
    await until(() => dns.engine.standingStill(2000) === "listener thread 1", "it is named", 10_000);
    await until(() => dns.engine.standingStill(2000) === undefined, "it is replaced", 10_000);
    expect(await udpAsk(boundOf(dns), SANE)).to.have.length(33);
  });
});

async function untilAll(target: Target, threads: number): Promise<void> {
  const endMs = performance.now() + 10_000;
  while ((await answering(target)).size < threads) {
    if (performance.now() > endMs) throw new Error(`not all of ${threads} threads answer`);
  }
}
