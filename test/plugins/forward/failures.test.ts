// Upstreams that do not answer, refuse, come and go: what clients get, and when. Time is told by the test.

import { expect } from "chai";

import { EdeCodes, Rcodes } from "../../../src/dns/message.ts";
import type { Sample } from "../../../src/metrics.ts";
import { fakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { freePort } from "../../helpers/free-port.ts";
import { startUpstream, type Behaviour, type Upstream } from "../../helpers/upstream.ts";
import { forwarding, type Forwarding, type Told } from "./forwarding.ts";

const RECORDS = "*.example.org. 300 IN A 192.0.2.1";
const SILENT: Behaviour = { silent: true };

/** Moves the clock on until `told` is there, at most `ms`; gives how long it took. */
async function until(clock: FakeClock, told: Promise<Told>, ms: number): Promise<{ readonly told: Told; readonly tookMs: number }> {
  const start = clock.monotonic();
  let settled: Told | undefined;
  void told.then((reply) => (settled = reply));
  while (settled === undefined && clock.monotonic() - start < ms) await clock.advance(5);
  if (settled === undefined) throw new Error(`no reply within ${ms} ms`);
  return { told: settled, tookMs: clock.monotonic() - start };
}

function questions(upstream: Upstream): string[] {
  return upstream.asked.filter(({ type }) => type === "A").map(({ transport, name }) => `${transport} ${name}`);
}

function counted(forward: Forwarding, metric: string): Sample[] {
  return [...([...forward.host.metrics.all()].find(({ name }) => name === metric)?.collect() ?? [])];
}

describe("plugins/forward with upstreams that fail", () => {
  it("C87: a silent upstream gives SERVFAIL with EDE 22 within 5 s, in CoreDNS's words", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ script: SILENT });
    await using forward = await forwarding(`forward . ${upstream.to}`, { clock });
    const { told, tookMs } = await until(clock, forward.ask("a.example.org.", { edns: {} }), 5000);
    expect(tookMs).to.be.within(3900, 5000);
    expect(told.rcode).to.equal(Rcodes.SERVFAIL);
    expect(told.message.edns?.ede?.code).to.equal(EdeCodes.NO_REACHABLE_AUTHORITY);
    expect(told.reply.error).to.match(/^read tcp 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+: i\/o timeout$/);
    expect(questions(upstream)).to.deep.equal(["udp a.example.org.", "tcp a.example.org."]);
  });

  it("C87: the next upstream is tried after read_timeout", async () => {
    const clock = fakeClock();
    await using silent = await startUpstream({ script: SILENT });
    await using good = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${silent.to} ${good.to} {\n policy sequential\n}`, { clock });
    const { told, tookMs } = await until(clock, forward.ask("a.example.org."), 5000);
    expect(told.answer).to.have.length(1);
    expect(tookMs).to.be.within(1995, 2100);
  });

  it("a refused port gives SERVFAIL with EDE 23 at once, in CoreDNS's words", async () => {
    await using forward = await forwarding(`forward . 127.0.0.1:${await freePort()}`);
    const { reply, rcode, message } = await forward.ask("a.example.org.", { edns: {} });
    expect(rcode).to.equal(Rcodes.SERVFAIL);
    expect(message.edns?.ede?.code).to.equal(EdeCodes.NETWORK_ERROR);
    expect(reply.error).to.match(/connection refused$/);
  });

  it("where one upstream refuses, the other one answers at once", async () => {
    await using good = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . 127.0.0.1:${await freePort()} ${good.to} {\n policy sequential\n}`);
    expect((await forward.ask("a.example.org.")).answer).to.have.length(1);
    expect((await forward.ask("b.example.org.")).answer).to.have.length(1);
  });

  it("where an upstream begins to refuse, the questions that wait for it go to the other one at once", async () => {
    const clock = fakeClock();
    await using dying = await startUpstream({ script: SILENT });
    await using good = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${dying.to} ${good.to} {\n policy sequential\n}`, { clock });
    const waiting = forward.ask("a.example.org.");
    await dying.received(1);
    await dying.down();
    expect((await until(clock, forward.ask("b.example.org."), 1000)).told.answer).to.have.length(1);
    expect((await until(clock, waiting, 100)).told.answer).to.have.length(1);
  });

  it("C86: an upstream that answers over TCP only is asked over TCP, for the next 10 s at once", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ records: RECORDS, script: ({ transport }) => (transport === "udp" ? SILENT : {}) });
    await using forward = await forwarding(`forward . ${upstream.to}`, { clock });
    expect((await until(clock, forward.ask("a.example.org."), 5000)).tookMs).to.be.within(1995, 2100);
    expect((await until(clock, forward.ask("b.example.org."), 5000)).tookMs).to.be.lessThan(100);
    await clock.advance(10_000);
    expect((await until(clock, forward.ask("c.example.org."), 5000)).tookMs).to.be.within(1995, 2100);
    expect(questions(upstream)).to.deep.equal([
      "udp a.example.org.",
      "tcp a.example.org.",
      "tcp b.example.org.",
      "udp c.example.org.",
      "tcp c.example.org.",
    ]);
  });

  it("C86: an upstream that answers over UDP only is asked over UDP", async () => {
    await using upstream = await startUpstream({ records: RECORDS, listen: ["udp"] });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    expect((await forward.ask("a.example.org.")).answer).to.have.length(1);
  });

  it("an upstream that falls silent is left within a fraction of a second, with the questions that wait for it", async () => {
    const clock = fakeClock();
    await using silent = await startUpstream({ script: SILENT });
    await using good = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${silent.to} ${good.to} {\n policy sequential\n}`, { clock });
    const first = Array.from({ length: 5 }, (_, index) => forward.ask(`q${index}.example.org.`));
    await clock.advance(1100);
    expect((await until(clock, forward.ask("last.example.org."), 1000)).tookMs).to.be.lessThan(50);
    expect((await Promise.all(first)).map(({ rcode }) => rcode)).to.deep.equal(first.map(() => Rcodes.NOERROR));
  });

  it("C89: with one of two upstreams coming and going every 2 s, for a minute, all questions are answered", async function () {
    this.timeout(30_000);
    const clock = fakeClock();
    await using flapping = await startUpstream({
      records: RECORDS,
      script: () => (Math.floor(clock.monotonic() / 2000) % 2 === 1 ? SILENT : {}),
    });
    await using good = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${flapping.to} ${good.to}`, { clock });
    const asked: Promise<Told>[] = [];
    for (let ms = 0; ms < 60_000; ms += 50) {
      asked.push(forward.ask(`q${ms}.example.org.`));
      await clock.advance(50);
    }
    await clock.advance(5000);
    const failed = (await Promise.all(asked)).filter(({ rcode }) => rcode !== Rcodes.NOERROR);
    expect(failed.length / asked.length).to.be.lessThan(0.005);
    expect(questions(flapping).length).to.be.greaterThan(asked.length / 8);
  });

  it("C90: once the probes say that all are down, SERVFAIL comes fast; when one is back it answers", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ records: RECORDS, script: SILENT });
    await using forward = await forwarding(`forward . ${upstream.to}`, { clock });
    await until(clock, forward.ask("a.example.org."), 5000);
    await clock.advance(5000);
    const { told, tookMs } = await until(clock, forward.ask("b.example.org."), 5000);
    expect(told.rcode).to.equal(Rcodes.SERVFAIL);
    expect(tookMs).to.be.within(400, 600);
    upstream.behave({});
    await clock.advance(2000);
    expect((await until(clock, forward.ask("c.example.org."), 100)).told.answer).to.have.length(1);
  });

  it("failfast_all_unhealthy_upstreams answers at once while all are down", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ records: RECORDS, script: SILENT });
    await using forward = await forwarding(`forward . ${upstream.to} {\n failfast_all_unhealthy_upstreams\n}`, { clock });
    await until(clock, forward.ask("a.example.org."), 5000);
    await clock.advance(5000);
    const { told, tookMs } = await until(clock, forward.ask("b.example.org.", { edns: {} }), 5000);
    expect(tookMs).to.be.lessThan(50);
    expect(told.reply.error).to.equal("no healthy proxies");
    expect(told.message.edns?.ede?.code).to.equal(EdeCodes.NO_REACHABLE_AUTHORITY);
    expect(counted(forward, "coredns_forward_healthcheck_broken_total")).to.deep.equal([{ labels: {}, value: 1 }]);
  });

  for (const [options, name, recursion] of [
    ["health_check 0.5s", ".", 0x0100],
    ["health_check 0.5s no_rec domain probe.example.org", "probe.example.org.", 0],
  ] as const) {
    it(`${options}: probes ask ${name} NS until an answer comes`, async () => {
      const clock = fakeClock();
      await using upstream = await startUpstream({ script: SILENT });
      await using forward = await forwarding(`forward . ${upstream.to} {\n ${options}\n}`, { clock });
      await until(clock, forward.ask("a.example.org."), 5000);
      const probes = upstream.asked.filter(({ type }) => type === "NS");
      expect(probes.length).to.be.within(1, 3);
      expect(probes[0]).to.include({ name, flags: recursion, edns: undefined });
      upstream.behave({ rcode: Rcodes.REFUSED });
      await clock.advance(2000);
      const before = upstream.asked.length;
      await clock.advance(5000);
      expect(upstream.asked).to.have.length(before);
    });
  }

  it("max_fails 0: nothing is probed, and nothing is ever down", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ script: SILENT });
    await using forward = await forwarding(`forward . ${upstream.to} {\n max_fails 0\n}`, { clock });
    await until(clock, forward.ask("a.example.org."), 5000);
    await clock.advance(10_000);
    expect((await until(clock, forward.ask("b.example.org."), 5000)).tookMs).to.be.greaterThan(3900);
    expect(upstream.asked.map(({ type }) => type)).to.not.include("NS");
  });

  it("max_connect_attempts bounds what is sent for one question", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ script: SILENT });
    await using forward = await forwarding(`forward . ${upstream.to} {\n max_connect_attempts 1\n}`, { clock });
    expect((await until(clock, forward.ask("a.example.org."), 5000)).tookMs).to.be.within(1995, 2100);
    expect(questions(upstream)).to.have.length(1);
  });

  it("max_connect_attempts 0: an upstream that refuses is not asked in a hot loop", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ script: { reset: true } });
    await using forward = await forwarding(`forward . ${upstream.to} {\n max_connect_attempts 0\n force_tcp\n}`, { clock });
    await until(clock, forward.ask("a.example.org."), 5000);
    expect(questions(upstream).length).to.be.within(10, 120);
  });

  it("read_timeout is how long an upstream is waited for", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ script: SILENT });
    await using forward = await forwarding(`forward . ${upstream.to} {\n read_timeout 300ms\n}`, { clock });
    expect((await until(clock, forward.ask("a.example.org."), 5000)).tookMs).to.be.within(595, 700);
  });

  it("C91: more than max_concurrent are REFUSED, in CoreDNS's words, and counted", async () => {
    let release = (): void => {};
    const after = new Promise<void>((resolve) => (release = resolve));
    await using upstream = await startUpstream({ records: RECORDS, script: { after } });
    await using forward = await forwarding(`forward . ${upstream.to} {\n max_concurrent 3\n}`);
    const waiting = [1, 2, 3].map((index) => forward.ask(`q${index}.example.org.`));
    await upstream.received(3);
    const { reply, rcode } = await forward.ask("one-too-many.example.org.");
    expect(rcode).to.equal(Rcodes.REFUSED);
    expect(reply.error).to.equal("concurrent queries exceeded maximum 3");
    release();
    await Promise.all(waiting);
    expect((await forward.ask("again.example.org.")).rcode).to.equal(Rcodes.NOERROR);
    expect(counted(forward, "coredns_forward_max_concurrent_rejects_total")).to.deep.equal([{ labels: {}, value: 1 }]);
  });

  it("stop() leaves no timer behind", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ records: RECORDS });
    const forward = await forwarding(`forward . ${upstream.to}`, { clock });
    await until(clock, forward.ask("a.example.org."), 1000);
    await forward[Symbol.asyncDispose]();
    await clock.settle();
    expect(clock.waiting).to.deep.equal([]);
  });
});
