// Who is asked, and who else: policies, failover, the next forward, hedges, zones.

import { expect } from "chai";

import { EdeCodes, Flags, Rcodes } from "../../../src/dns/message.ts";
import { RRTypes } from "../../../src/dns/records.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";
import { replyWith } from "../../helpers/fake-host.ts";
import { startUpstream } from "../../helpers/upstream.ts";
import { forwarding } from "./forwarding.ts";

const records = (address: string): string => `
  example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 86400 30
  *.example.org. 300 IN A ${address}
`;
const ONE = records("192.0.2.1");
const TWO = records("192.0.2.2");

describe("plugins/forward: whom it asks", () => {
  const policies = [
    { policy: "sequential", first: [40, 40] },
    { policy: "round_robin", first: [20, 20] },
    { policy: "random", first: [5, 35] },
  ] as const;
  for (const {
    policy,
    first: [least, most],
  } of policies) {
    it(`policy ${policy}: of 40 questions the first of two upstreams gets ${least}–${most}`, async () => {
      await using one = await startUpstream({ records: ONE });
      await using two = await startUpstream({ records: TWO });
      await using forward = await forwarding(`forward . ${one.to} ${two.to} {\n policy ${policy}\n}`);
      for (let index = 0; index < 40; index++) await forward.ask(`q${index}.example.org.`);
      expect(one.asked.length).to.be.within(least, most);
      expect(one.asked.length + two.asked.length).to.equal(40);
    });
  }

  it("policy fastest: most questions go to the upstream that answers sooner", async () => {
    const clock = fakeClock();
    await using slow = await startUpstream({ records: ONE, script: () => ({ after: clock.delay(50) }) });
    await using fast = await startUpstream({ records: TWO, script: () => ({ after: clock.delay(5) }) });
    await using forward = await forwarding(`forward . ${slow.to} ${fast.to} {\n policy fastest\n}`, { clock });
    for (let index = 0; index < 100; index++) {
      const asked = forward.ask(`q${index}.example.org.`);
      await clock.advance(60);
      await asked;
    }
    expect(fast.asked.length).to.be.greaterThan(80);
  });

  it("only names below FROM are forwarded, and those of except are not, unless FROM is one of them", async () => {
    await using upstream = await startUpstream({ records: ONE });
    const next = () => replyWith("other.example. 5 IN A 192.0.2.99");
    await using forward = await forwarding(
      `forward example.org ${upstream.to} {\n except inner.example.org\n except example.org a.example.org\n}`,
      { next },
    );
    for (const name of ["www.example.com.", "x.inner.example.org.", "inner.example.org.", "www.example.org.", "a.example.org."]) {
      expect((await forward.ask(name)).answer, name).to.deep.equal(["other.example. 5 IN A 192.0.2.99"]);
    }
    expect((await forward.ask("example.org.", { type: RRTypes.SOA })).answer).to.have.length(1);
    expect(upstream.asked).to.have.length(1);
  });

  it("a network as FROM stands for all of its reverse zones", async () => {
    await using upstream = await startUpstream({ records: "*.in-addr.arpa. 300 IN PTR host.example.org." });
    await using forward = await forwarding(`forward 192.0.2.0/23 ${upstream.to}`);
    for (const name of ["1.2.0.192.in-addr.arpa.", "1.3.0.192.in-addr.arpa."]) {
      expect((await forward.ask(name, { type: RRTypes.PTR })).answer).to.have.length(1);
    }
  });

  it("failover: an answer with such an rcode calls for the next upstream; the last one's stands", async () => {
    await using one = await startUpstream({ script: { rcode: Rcodes.SERVFAIL } });
    await using two = await startUpstream({ records: TWO });
    await using forward = await forwarding(`forward . ${one.to} ${two.to} {\n policy sequential\n failover SERVFAIL refused\n}`);
    expect((await forward.ask("a.example.org.")).answer).to.have.length(1);
    two.behave({ rcode: Rcodes.REFUSED });
    expect((await forward.ask("b.example.org.")).rcode).to.equal(Rcodes.REFUSED);
  });

  for (const [rule, options, script, asksNext] of [
    ["next NXDOMAIN on NXDOMAIN", "next NXDOMAIN", { rcode: Rcodes.NXDOMAIN }, true],
    ["next NXDOMAIN on an answer", "next NXDOMAIN", {}, false],
    ["next_on_nodata on NODATA", "next_on_nodata", { answer: "" }, true],
    ["next_on_nodata on NXDOMAIN", "next_on_nodata", { rcode: Rcodes.NXDOMAIN }, false],
    ["nothing of it on NXDOMAIN", "", { rcode: Rcodes.NXDOMAIN }, false],
  ] as const) {
    it(`${rule}: the next forward is ${asksNext ? "" : "not "}asked`, async () => {
      await using one = await startUpstream({ records: ONE, script });
      await using two = await startUpstream({ records: TWO });
      await using forward = await forwarding(`forward . ${one.to} {\n ${options}\n}\nforward . ${two.to}`);
      await forward.ask("a.example.org.");
      expect(two.asked).to.have.length(asksNext ? 1 : 0);
    });
  }

  it("next is of no effect on the last forward: other plugins are not asked", async () => {
    await using one = await startUpstream({ script: { rcode: Rcodes.NXDOMAIN } });
    await using forward = await forwarding(`forward . ${one.to} {\n next NXDOMAIN\n}`);
    expect((await forward.ask("a.example.org.")).rcode).to.equal(Rcodes.NXDOMAIN);
  });

  it("hedge: a question without an answer for so long goes to a second upstream, one in 20 at most", async () => {
    const clock = fakeClock();
    await using slow = await startUpstream({ records: ONE });
    await using other = await startUpstream({ records: TWO });
    await using forward = await forwarding(`forward . ${slow.to} ${other.to} {\n policy sequential\n hedge 20ms\n}`, { clock });
    for (let index = 0; index < 40; index++) await forward.ask(`q${index}.example.org.`);
    expect(other.asked).to.have.length(0);
    slow.behave({ silent: true });
    const slowOnes = Array.from({ length: 4 }, (_, index) => forward.ask(`slow${index}.example.org.`));
    await clock.advance(30);
    expect(other.asked).to.have.length(2);
    const hedges = [...forward.host.metrics.all()].find(({ name }) => name === "ndots_forward_hedges_total");
    expect([...(hedges?.collect() ?? [])]).to.deep.equal([{ labels: {}, value: 2 }]);
    await clock.advance(2500);
    expect((await Promise.all(slowOnes)).map(({ rcode }) => rcode)).to.deep.equal(slowOnes.map(() => Rcodes.NOERROR));
  });

  it("hedge p95 waits for what 95 of 100 answers take", async () => {
    const clock = fakeClock();
    await using slow = await startUpstream({ records: ONE, script: () => ({ after: clock.delay(10) }) });
    await using other = await startUpstream({ records: TWO });
    await using forward = await forwarding(`forward . ${slow.to} ${other.to} {\n policy sequential\n hedge p95\n}`, { clock });
    for (let index = 0; index < 64; index++) {
      const asked = forward.ask(`q${index}.example.org.`);
      await clock.advance(15);
      await asked;
    }
    expect(other.asked).to.have.length(0);
    slow.behave({ silent: true });
    const asked = forward.ask("slow.example.org.");
    await clock.advance(30);
    expect((await asked).answer).to.deep.equal(["slow.example.org. 300 IN A 192.0.2.2"]);
  });

  it("ipv6 off: AAAA is NODATA with RA, and a SOA owned by the name asked, TTL 30; nobody is asked", async () => {
    await using upstream = await startUpstream({ records: ONE });
    await using forward = await forwarding(`forward . ${upstream.to} {\n ipv6 off\n}`);
    const { message, rcode } = await forward.ask("www.example.org.", { type: RRTypes.AAAA, edns: {} });
    expect(rcode).to.equal(Rcodes.NOERROR);
    expect(message.flags & (Flags.RA | Flags.AA)).to.equal(Flags.RA);
    expect(message.authority.map((record) => formatRecord(record, record.rdata))).to.deep.equal([
      "www.example.org. 30 IN SOA . . 1 7200 1800 86400 30",
    ]);
    expect(message.edns?.ede?.code).to.equal(EdeCodes.FILTERED);
    expect(upstream.asked).to.have.length(0);
    expect((await forward.ask("www.example.org.")).answer).to.have.length(1);
  });

  it("C95: a question that an upstream sends back while it is asked is dropped; over loopback it waits, and asks nothing again", async () => {
    await using upstream = await startUpstream({ script: { silent: true } });
    await using forward = await forwarding(`forward . ${upstream.to} 192.0.2.53 {\n policy sequential\n}`);
    const first = forward.answer("a.example.org.");
    await upstream.received(1);
    const loop = await forward.answer("a.example.org.", { client: { address: "192.0.2.53" } });
    expect(loop).to.be.a("symbol");
    const again = forward.answer("a.example.org.", { client: { address: "127.0.0.1" } });
    await forward[Symbol.asyncDispose]();
    expect(upstream.asked).to.have.length(1);
    for (const waiting of [first, again]) expect(await waiting).to.include({ rcode: Rcodes.SERVFAIL });
  });
});
