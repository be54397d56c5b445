import { expect } from "chai";

import { DROP, emptyReply, Rcodes } from "../../../src/dns/message.ts";
import { gate, gives, rig, type Given, type Rig } from "./fixture.ts";

const SOA = "example.org. 3600 IN SOA ns.example.org. hostmaster.example.org. 1 7200 3600 1209600 60";
const edns = {};
const web = (address: number, ttl = 60): Given => ({ answer: `web.example.org. ${ttl} IN A 192.0.2.${address}` });
const DOWN: Given = gives({ ...emptyReply(Rcodes.SERVFAIL, "forward"), recursionAvailable: true, error: "no healthy proxies" });
const told = (address: number, ttl: number): string[] => [`web.example.org. ${ttl} IN A 192.0.2.${address}`];

// An entry whose time has been over for `ms`.
async function expired(lines: string, ms = 0): Promise<Rig> {
  const all = rig(`cache {\n ${lines}\n}`);
  all.behave(web(1));
  await all.ask("web.example.org");
  await all.clock.advance(60_000 + ms);
  return all;
}

describe("plugins/cache: serve_stale", () => {
  it("C90: immediate tells the old answer at once, with TTL 0 and EDE 3, and asks behind it", async () => {
    const { ask, behave, clock, count, upstream } = await expired("serve_stale");
    behave(web(2));
    const old = await ask("web.example.org", { edns });
    expect(old?.answers).to.deep.equal(told(1, 0));
    expect(old?.edns?.ede?.code).to.equal(3);
    await clock.settle();
    expect(upstream).to.have.length(2);
    const fresh = await ask("web.example.org", { edns });
    expect(fresh?.answers).to.deep.equal(told(2, 60));
    expect(fresh?.edns?.ede).to.equal(undefined);
    expect([count("served_stale_total"), count("prefetch_total")]).to.deep.equal([1, 1]);
  });

  it("C90: with all upstreams down the old answer is told until DURATION is over", async () => {
    const { ask, behave, clock, count } = await expired("serve_stale 10m immediate 30s");
    behave(DOWN);
    await clock.advance(599_999);
    expect(await ask("web.example.org")).to.deep.include({ answers: told(1, 30), rcode: Rcodes.NOERROR });
    expect((await ask("web.example.org"))?.edns).to.equal(undefined);
    await clock.advance(1);
    expect((await ask("web.example.org"))?.rcode).to.equal(Rcodes.SERVFAIL);
    expect(count("served_stale_total")).to.equal(2);
  });

  it("without it, or with 0, what is over is over", async () => {
    for (const lines of ["keepttl", "serve_stale 0"]) {
      const { ask, behave } = await expired(lines);
      behave(DOWN);
      expect((await ask("web.example.org"))?.rcode).to.equal(Rcodes.SERVFAIL);
    }
  });

  it("an old denial is told too, an old failure is not", async () => {
    const all = rig("cache {\n serve_stale\n}");
    all.behave({ rcode: Rcodes.NXDOMAIN, authority: SOA });
    await all.ask("web.example.org");
    await all.clock.advance(60_000);
    all.behave(DOWN);
    expect(await all.ask("web.example.org")).to.include({ rcode: Rcodes.NXDOMAIN, by: "cache" });
    all.behave({ rcode: Rcodes.SERVFAIL });
    await all.ask("other.example.org");
    await all.clock.advance(5_000);
    all.behave(web(1));
    await all.ask("other.example.org");
    expect(all.upstream.slice(-2)).to.deep.equal(["other.example.org. A", "other.example.org. A"]);
  });

  it("a failure, a truncated answer or no answer takes no old one's place", async () => {
    const bad: readonly Given[] = [
      DOWN,
      { rcode: Rcodes.SERVFAIL },
      { rcode: Rcodes.REFUSED },
      { answer: "web.example.org. 60 IN A 192.0.2.2", flags: 0x0200 },
      { answer: "bank.example. 60 IN A 192.0.2.66" },
      gives(DROP),
    ];
    for (const given of bad) {
      for (const lines of ["serve_stale", "serve_stale 1h verify"]) {
        const { ask, behave, clock } = await expired(lines);
        behave(given);
        for (let times = 0; times < 3; times++) {
          expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 0));
          await clock.settle();
        }
      }
    }
  });

  it("a refresh that throws is told in the log, and the old answer goes on", async () => {
    const { ask, behave, clock, host } = await expired("serve_stale");
    behave(() => {
      throw new Error("broken");
    });
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 0));
    await clock.settle();
    expect(host.lines).to.deep.equal(["[ERROR] plugin/cache: a refresh has failed: broken"]);
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 0));
  });

  it("an answer that is right and can't be remembered ends the old one", async () => {
    const { ask, behave, clock } = await expired("serve_stale");
    behave(web(2, 0));
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 0));
    await clock.settle();
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(2, 0));
  });

  it("verify asks first and tells what came, or else the old answer", async () => {
    const { ask, behave, clock, count, upstream } = await expired("serve_stale 1h verify");
    behave(DOWN);
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 0));
    behave(web(2));
    expect(await ask("web.example.org")).to.deep.include({ answers: told(2, 60), by: "forward" });
    expect(upstream).to.have.length(3);
    expect([count("served_stale_total"), count("prefetch_total")]).to.deep.equal([1, 0]);
    await clock.advance(60_000);
    behave({ rcode: Rcodes.NXDOMAIN, authority: SOA });
    expect((await ask("web.example.org"))?.rcode).to.equal(Rcodes.NXDOMAIN);
    expect((await ask("web.example.org"))?.rcode).to.equal(Rcodes.NXDOMAIN);
    expect(upstream).to.have.length(4);
  });

  it("verify waits for VERIFY_TIMEOUT at most; what comes later is for the next asker", async () => {
    const { ask, behave, clock, upstream } = await expired("serve_stale 1h verify 100ms 30s");
    const slow = gate();
    behave({ ...web(2), after: slow.opened });
    const waiting = ask("web.example.org");
    await clock.advance(99);
    expect(clock.waiting).to.have.length(1);
    await clock.advance(1);
    expect((await waiting)?.answers).to.deep.equal(told(1, 30));
    slow.open();
    await clock.settle();
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(2, 60));
    expect(upstream).to.have.length(2);
  });

  it("verify leaves no timer behind", async () => {
    const { ask, behave, clock } = await expired("serve_stale 1h verify 100ms");
    behave(web(2));
    await ask("web.example.org");
    await clock.settle();
    expect(clock.waiting).to.deep.equal([]);
  });

  for (const mode of ["immediate", "verify 0", "verify 100ms"]) {
    it(`C97: ${mode}: 1000 askers, one refresh`, async () => {
      const { ask, behave, clock, upstream } = await expired(`serve_stale 1h ${mode}`);
      const slow = gate();
      behave({ ...web(2), after: slow.opened });
      const askers = Array.from({ length: 1000 }, (_, id) => ask("web.example.org", { id }));
      await clock.settle();
      slow.open();
      const answers = await Promise.all(askers);
      expect(upstream).to.have.length(2);
      expect(new Set(answers.map((answer) => answer?.id)).size).to.equal(1000);
    });
  }

  for (const mode of ["immediate 30s 30s", "verify 0 30s 30s"]) {
    it(`${mode}: a refresh that has failed is not tried again before FAILURE_RECHECK`, async () => {
      const { ask, behave, clock, upstream } = await expired(`serve_stale 1h ${mode}`);
      behave(DOWN);
      for (let times = 0; times < 5; times++) {
        await ask("web.example.org");
        await clock.settle();
      }
      expect(upstream).to.have.length(2);
      await clock.advance(29_999);
      await ask("web.example.org");
      await clock.settle();
      expect(upstream).to.have.length(2);
      await clock.advance(1);
      await ask("web.example.org");
      await clock.settle();
      expect(upstream).to.have.length(3);
    });
  }

  it("verify with FAILURE_RECHECK: who comes while a refresh is under way gets the old answer at once", async () => {
    const { ask, behave, clock, upstream } = await expired("serve_stale 1h verify 0 30s 30s");
    const slow = gate();
    behave({ ...web(2), after: slow.opened });
    const first = ask("web.example.org");
    await clock.settle();
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 30));
    slow.open();
    expect((await first)?.answers).to.deep.equal(told(2, 60));
    expect(upstream).to.have.length(2);
  });

  it("a later denial hides an answer, with prefer_positive an answer goes before it", async () => {
    for (const [policy, rcode] of [["", Rcodes.NXDOMAIN] as const, ["\n serve_stale_policy prefer_positive", Rcodes.NOERROR] as const]) {
      const { ask, behave, clock, table } = await expired(`serve_stale${policy}`);
      behave({ rcode: Rcodes.NXDOMAIN, authority: SOA });
      await ask("web.example.org");
      await clock.settle();
      expect((await ask("web.example.org"))?.rcode).to.equal(rcode);
      expect(table.filter((line) => line.startsWith("keep"))).to.have.length(policy === "" ? 1 : 0);
      behave(web(2));
      await clock.advance(60_000);
      await ask("web.example.org");
      await clock.settle();
      expect((await ask("web.example.org"))?.answers).to.deep.equal(told(2, 60));
    }
  });

  it("verify with prefer_positive: only an answer takes an old answer's place", async () => {
    const { ask, behave } = await expired("serve_stale 1h verify\n serve_stale_policy prefer_positive");
    for (const given of [{ rcode: Rcodes.NXDOMAIN, authority: SOA }, { authority: SOA }, { answer: "" }]) {
      behave(given);
      expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 0));
    }
    behave(web(2, 0));
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(2, 0));
  });

  it("a failure that was remembered does not hide an old answer, and is not in the table", async () => {
    const { ask, behave, clock, table } = await expired("serve_stale 1h immediate\n success 1024 60");
    await clock.advance(3_600_000);
    behave({ rcode: Rcodes.SERVFAIL });
    for (let times = 0; times < 2; times++) expect((await ask("web.example.org"))?.rcode).to.equal(Rcodes.SERVFAIL);
    expect(table.at(-1)).to.equal("keep web.example.org. 1 5s");
  });
});

describe("plugins/cache: prefetch", () => {
  // Asked `times` times at once, then `ms` go by.
  async function popular(lines: string, times: number, ms: number): Promise<Rig> {
    const all = rig(`cache {\n ${lines}\n}`);
    all.behave(web(1, 100));
    for (let count = 0; count <= times; count++) await all.ask("web.example.org");
    await all.clock.advance(ms);
    all.behave(web(2, 100));
    return all;
  }

  it("what is popular is asked for anew when 10 % of its TTL is left", async () => {
    const { ask, clock, count, upstream } = await popular("prefetch 3", 3, 59_000);
    await ask("web.example.org"); // less than a minute after the last
    await clock.advance(30_999);
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 11));
    await clock.settle();
    expect(upstream).to.have.length(1);
    await clock.advance(1);
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 10));
    await clock.settle();
    expect(upstream).to.have.length(2);
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(2, 100));
    expect(count("prefetch_total")).to.equal(1);
  });

  it("what is asked for less, or after a gap, is left to end", async () => {
    for (const [times, gap] of [[1, 95_000] as const, [3, 95_000] as const]) {
      const { ask, clock, upstream } = await popular("prefetch 3 30s\n keepttl", times, gap);
      await ask("web.example.org");
      await clock.settle();
      expect(upstream).to.have.length(1);
    }
  });

  it("PERCENTAGE moves the window, and its beginning is rounded to a whole second in favour of asking early", async () => {
    const { ask, clock, upstream } = await popular("prefetch 1 10m 90%", 1, 9_999);
    await ask("web.example.org");
    await clock.settle();
    expect(upstream).to.have.length(1);
    await clock.advance(1);
    await ask("web.example.org");
    await clock.settle();
    expect(upstream).to.have.length(2);
  });

  it("C97: one refresh for 1000 askers", async () => {
    const { ask, behave, clock, upstream } = await popular("prefetch 1 10m", 1, 95_000);
    const slow = gate();
    behave({ ...web(2, 100), after: slow.opened });
    await Promise.all(Array.from({ length: 1000 }, () => ask("web.example.org")));
    await clock.settle();
    expect(upstream).to.have.length(2);
    slow.open();
    await clock.settle();
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(2, 100));
  });

  it("a failure leaves what there is until it ends", async () => {
    const { ask, behave, clock } = await popular("prefetch 1 10m", 1, 95_000);
    behave({ rcode: Rcodes.SERVFAIL });
    await ask("web.example.org");
    await clock.settle();
    expect((await ask("web.example.org"))?.answers).to.deep.equal(told(1, 5));
  });

  it("the table has only what is popular, and only until the window; then one asker is enough", async () => {
    const { ask, behave, clock, table, upstream } = rig("cache {\n prefetch 2\n}");
    behave(web(1, 1000));
    await ask("web.example.org");
    await ask("web.example.org");
    expect(table).to.deep.equal([]);
    await ask("web.example.org");
    expect(table).to.deep.equal(["keep web.example.org. 1 900s"]);
    behave(web(2, 1000));
    await clock.advance(930_000); // nobody knows who asked the table meanwhile
    await ask("web.example.org");
    await clock.settle();
    expect(upstream).to.have.length(2);
    expect(table.slice(1)).to.deep.equal(["forget web.example.org. 1", "keep web.example.org. 1 900s"]);
  });
});
