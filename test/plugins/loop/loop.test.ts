// Loops without sockets: servers are functions, and a query that is forwarded is a call.

import { expect } from "chai";

import { DROP, emptyReply, Rcodes, type Query, type Reply } from "../../../src/dns/message.ts";
import { formatName, isWithin, parseName, ROOT, type Name } from "../../../src/dns/name.ts";
import { RRTypes } from "../../../src/dns/records.ts";
import type { Answer, Next } from "../../../src/plugin.ts";
import { createGuard, type Guard } from "../../../src/plugins/loop/guard.ts";
import loop from "../../../src/plugins/loop/loop.ts";
import { watchForLoops, type Ask, type Target, type WatchOptions } from "../../../src/plugins/loop/watch.ts";
import { fakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { fakeHost, fakeLog, query, readDirective, setUp } from "../../helpers/fake-host.ts";

const UPSTREAM = "192.0.2.1";
const PROBE_PORT = 55_953;
const nxdomain: Reply = { ...emptyReply(Rcodes.NXDOMAIN, "forward"), recursionAvailable: true };
const silent = new Promise<never>(() => undefined);

interface World {
  readonly guard: Guard;
  readonly clock: FakeClock;
  readonly lines: string[];
  readonly probed: Name[];
  exits: number;
  /** What stands behind `loop`. */
  forward: Next;
  ask(question: Query): Promise<Answer>;
  stop(): Promise<void>;
  readonly done: Promise<void>;
}

function world(forward: (self: World) => Next, overrides: Partial<WatchOptions> = {}): World {
  const guard = createGuard();
  const clock = fakeClock();
  const log = fakeLog();
  const ended = new AbortController();
  const probed: Name[] = [];
  const self: World = {
    guard,
    clock,
    lines: log.lines,
    probed,
    exits: 0,
    forward: () => nxdomain,
    ask: async (question) => guard.handle(question, (asked) => self.forward(asked)),
    async stop() {
      ended.abort();
      await done;
    },
    get done() {
      return done;
    },
  };
  self.forward = forward(self);
  const ask: Ask = async (name, _target, signal) => {
    probed.push(name);
    const probe = query(name, { type: RRTypes.HINFO, client: { address: "127.0.0.1", port: PROBE_PORT } });
    const timeout = clock.delay(5000, signal).then(() => undefined);
    const answer = await Promise.race([self.ask(probe), timeout]);
    return answer === undefined || answer === DROP ? undefined : answer.rcode;
  };
  const targets = (): readonly Target[] => [{ address: "", port: 1053, host: "127.0.0.1" }];
  const done = watchForLoops({ guard, zone: ROOT, log, targets, ask, clock, signal: ended.signal, hasFailed: () => false, ...overrides });
  return self;
}

/** Sends everything on to ourselves, as from `address`. */
function toItself(self: World, address = UPSTREAM): Next {
  return (asked) => self.ask({ ...asked, client: { ...asked.client, address, port: 40_000 } });
}

const question = (name: string, address?: string): Query => query(name, { edns: {}, ...(address && { client: { address } }) });
const LOOPED = { rcode: Rcodes.SERVFAIL, by: "loop", ede: { code: 0, text: "loop" } };

describe("plugins/loop", () => {
  it("finds a server that forwards to itself, and tells it in CoreDNS's words, once (C95)", async () => {
    const self = world(toItself);
    await self.clock.advance(300_000);
    const [name = ROOT] = self.probed;
    expect(self.lines).to.deep.equal([
      `[ERROR] Loop (192.0.2.1:40000 -> :1053) detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting. ` +
        `Query: "HINFO ${formatName(name)}"`,
    ]);
    await self.stop();
  });

  it("answers what comes back with SERVFAIL and the reason, and asks on once (C95)", async () => {
    const self = world(toItself);
    await self.clock.settle();
    let forwarded = 0;
    const { forward } = self;
    self.forward = (asked) => {
      forwarded++;
      return forward(asked);
    };
    expect(await self.ask(question("www.example.org."))).to.deep.include(LOOPED);
    expect(forwarded).to.equal(1);
    await self.stop();
  });

  it("answers what does not come back as ever, while other names loop", async () => {
    const good = parseName("good.example.");
    const self = world((self) => {
      const back = toItself(self);
      return (asked) => (isWithin(asked.qname, good) ? nxdomain : back(asked));
    });
    await self.clock.settle();
    expect(await self.ask(question("www.good.example."))).to.equal(nxdomain);
    expect(await self.ask(question("www.example.org."))).to.deep.include(LOOPED);
    await self.stop();
  });

  it("lets clients ask the same at once while there is a loop", async () => {
    const self = world(toItself);
    await self.clock.settle();
    let answer = (_: Reply): void => undefined;
    const later = new Promise<Reply>((resolve) => (answer = resolve));
    self.forward = () => later;
    const both = [self.ask(question("www.example.org.")), self.ask(question("www.example.org.", "192.0.2.8"))];
    answer(nxdomain);
    expect(await Promise.all(both)).to.deep.equal([nxdomain, nxdomain]);
    await self.stop();
  });

  it("heals: three probes that come in once end it, and questions are answered from the first", async () => {
    const self = world(toItself);
    await self.clock.settle();
    self.forward = () => nxdomain;
    expect(await self.ask(question("www.example.org."))).to.equal(nxdomain);
    await self.clock.advance(2 * 30_000);
    expect(self.guard.isLooping, "two probes").to.equal(true);
    await self.clock.advance(30_000);
    expect(self.guard.isLooping, "three").to.equal(false);
    expect(self.lines.at(-1)).to.equal(`[INFO] No loop any more for zone "."`);
    await self.stop();
  });

  it("finds a loop that begins at run time, by probes at growing intervals", async () => {
    const self = world(() => () => nxdomain);
    await self.clock.advance(6 * 3_600_000);
    expect(self.probed.length).to.be.within(20, 30);
    expect(new Set(self.probed).size, "each has a name of its own").to.equal(self.probed.length);
    self.forward = toItself(self);
    await self.clock.advance(16 * 60_000);
    expect(self.lines).to.have.length(1);
    await self.stop();
  });

  it("finds it sooner where queries fail", async () => {
    let hasFailed = false;
    const self = world(() => () => nxdomain, { hasFailed: () => hasFailed });
    await self.clock.advance(6 * 3_600_000);
    const probes = self.probed.length;
    self.forward = toItself(self);
    hasFailed = true;
    await self.clock.advance(60_000);
    expect(self.probed.length).to.equal(probes + 1);
    expect(self.lines).to.have.length(1);
    await self.stop();
  });

  it("probes once a minute at most where queries fail all the time", async () => {
    const self = world(() => () => ({ ...nxdomain, rcode: Rcodes.SERVFAIL }), { hasFailed: () => true });
    await self.clock.advance(30_000);
    const early = self.probed.length;
    expect(early).to.be.at.most(6);
    await self.clock.advance(3_600_000);
    expect(self.probed.length - early).to.be.within(55, 60);
    await self.stop();
  });

  it("learns nothing of a SERVFAIL: the upstream may not have started yet", async () => {
    const self = world(() => () => ({ ...nxdomain, rcode: Rcodes.SERVFAIL }));
    await self.clock.advance(10_000);
    self.forward = toItself(self);
    await self.clock.advance(10_000);
    expect(self.lines).to.have.length(1);
    await self.stop();
  });

  it("takes no second query of its own for a loop: those that nothing answers are sent under new names", async () => {
    const self = world(() => () => silent);
    await self.clock.advance(3_600_000);
    expect(self.lines).to.deep.equal([]);
    expect(self.guard.isLooping).to.equal(false);
    await self.stop();
  });

  it("knows a name only while its probe is under way: who has seen it can do nothing with it (CVE-2026-26018)", async () => {
    const self = world(() => () => nxdomain);
    await self.clock.settle();
    const [name = ROOT] = self.probed;
    expect(formatName(name)).to.match(/^\d{10,20}\.\d{10,20}\.$/);
    for (const _ of [1, 2, 3]) expect(await self.ask(query(name, { type: RRTypes.HINFO }))).to.equal(nxdomain);
    expect(self.guard.isLooping).to.equal(false);
    await self.stop();
  });

  it("gives up after 30 s where another plugin answers such names", async () => {
    const self = world(() => () => nxdomain, { ask: () => Promise.resolve(Rcodes.NXDOMAIN) });
    await self.clock.advance(30_000);
    await self.done;
    expect(self.clock.monotonic()).to.equal(30_000);
  });

  it("ends the process only at start, and only if asked", async () => {
    let exits = 0;
    const exit = (): Promise<void> => Promise.resolve(void exits++);
    const atStart = world(toItself, { exit });
    await atStart.clock.settle();
    expect(atStart.lines[0]).to.match(/^\[FATAL\] plugin\/loop: Loop \(/);
    expect(exits).to.equal(1);
    await atStart.stop();

    const later = world(() => () => nxdomain, { exit });
    await later.clock.advance(31_000);
    later.forward = toItself(later);
    await later.clock.advance(120_000);
    expect(later.lines[0]).to.match(/^\[ERROR\] Loop \(/);
    expect(exits).to.equal(1);
    await later.stop();
  });

  it("leaves the process to the program that has started it", async () => {
    const host = fakeHost("loop");
    await setUp(loop, "loop {\n fatal\n}", host);
    expect(host.reported.map(({ severity, message }) => `${severity}: ${message}`)).to.deep.equal([
      "warning: loop: fatal: ignored: the process belongs to the program that has started the server",
    ]);
  });

  it("takes no arguments, and stands once in a server block", () => {
    expect(readDirective(loop, "loop .").findings).to.deep.equal([`Corefile:2:6: loop: takes no arguments, found "."`]);
    expect(readDirective(loop, "loop\nloop").findings.join()).to.match(/can only be used once per Server Block/);
  });
});
