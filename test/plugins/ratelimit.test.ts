import { expect } from "chai";

import { DROP, emptyReply, Rcodes, type Reply } from "../../src/dns/message.ts";
import { startServer } from "../../src/index.ts";
import { createBuckets } from "../../src/plugins/ratelimit/buckets.ts";
import ratelimit, { setUpRatelimit } from "../../src/plugins/ratelimit/ratelimit.ts";
import { headerOf, query as packet, udpClient } from "../helpers/dns-client.ts";
import { fakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { fakeHost, query, readDirective, type FakeHost } from "../helpers/fake-host.ts";
import { startUpstream } from "../helpers/upstream.ts";

const passed = emptyReply(Rcodes.NOERROR, "next");

interface Limited {
  readonly clock: FakeClock;
  readonly host: FakeHost;
  /** What becomes of a query: "pass", "drop" or "refuse". */
  ask(from?: string): string;
  samples(): Record<string, number>;
}

function limited(lines: string): Limited {
  const { options, findings } = readDirective(ratelimit, lines);
  expect(findings).to.deep.equal([]);
  const [first] = options;
  if (first === undefined) throw new Error("not read");
  const host = fakeHost("ratelimit");
  const clock = fakeClock();
  const instance = setUpRatelimit(first, host, clock);
  return {
    clock,
    host,
    ask(from = "192.0.2.7") {
      const answer = instance.handle?.(query("www.example.org.", { client: { address: from } }), () => passed);
      if (answer === DROP) return "drop";
      if (answer === passed) return "pass";
      const { rcode, ede, perClient } = answer as Reply;
      expect({ rcode, ede, perClient }).to.deep.equal({
        rcode: Rcodes.REFUSED,
        ede: { code: 0, text: "too many queries" },
        perClient: true,
      });
      return "refuse";
    },
    samples: () =>
      Object.fromEntries(
        [...host.metrics.all()].flatMap(({ name, collect }) =>
          [...collect()].map(({ labels, value }) => [`${name} ${Object.values(labels).join(" ")}`, value]),
        ),
      ),
  };
}

const times = (count: number, ask: () => string): string => Array.from({ length: count }, ask).join(" ");

describe("plugins/ratelimit", () => {
  it("a client may have its burst at once, and then so many a second", async () => {
    const { ask, clock } = limited("ratelimit 2 {\n burst 3\n}");
    expect(times(4, ask)).to.equal("pass pass pass refuse");
    await clock.advance(500);
    expect(times(2, ask)).to.equal("pass refuse");
    await clock.advance(60_000);
    expect(times(4, ask), "it does not save up more than the burst").to.equal("pass pass pass refuse");
  });

  it("another client has tokens of its own", () => {
    const { ask } = limited("ratelimit 1");
    expect([ask(), ask(), ask("192.0.2.8"), ask("2001:db8::1")]).to.deep.equal(["pass", "refuse", "pass", "pass"]);
  });

  it("addresses with the first bits in common are one client: /32 and /64 unless said otherwise", () => {
    const plain = limited("ratelimit 1");
    expect([plain.ask("2001:db8::1"), plain.ask("2001:db8::2"), plain.ask("2001:db8:0:1::1")]).to.deep.equal(["pass", "refuse", "pass"]);
    const wide = limited("ratelimit 1 {\n prefix 24 48\n}");
    expect([wide.ask("192.0.2.1"), wide.ask("192.0.2.2"), wide.ask("192.0.3.1")]).to.deep.equal(["pass", "refuse", "pass"]);
    expect([wide.ask("2001:db8::1"), wide.ask("2001:db8:0:1::1")]).to.deep.equal(["pass", "refuse"]);
  });

  it("drops, exempts and only looks on, as told", () => {
    expect(times(2, limited("ratelimit 1 {\n action drop\n}").ask)).to.equal("pass drop");
    expect(times(3, limited("ratelimit 1 {\n except 198.51.100.0/24 192.0.2.0/24\n}").ask)).to.equal("pass pass pass");
    const dry = limited("ratelimit 1 {\n dry_run\n}");
    expect(times(3, dry.ask)).to.equal("pass pass pass");
    expect(dry.samples()).to.deep.equal({ "ndots_ratelimit_exceeded_total dns://:53  none": 2, "ndots_ratelimit_clients dns://:53 ": 1 });
  });

  it("tells how many, once a minute, and not who", async () => {
    const { ask, clock, host, samples } = limited("ratelimit 1");
    times(4, ask);
    await clock.advance(59_000);
    times(4, ask);
    await clock.advance(1_000);
    times(4, ask);
    expect(host.lines).to.deep.equal([
      "[WARNING] plugin/ratelimit: Limit of 1 queries a second exceeded: 1 query refused",
      "[WARNING] plugin/ratelimit: Limit of 1 queries a second exceeded: 6 queries refused",
    ]);
    expect(samples()["ndots_ratelimit_exceeded_total dns://:53  refuse"]).to.equal(9);
  });

  it("knows so many clients at most: the one that was quiet longest begins anew", () => {
    const buckets = createBuckets({ rate: 1, burst: 1, ipv4Bits: 32, ipv6Bits: 64, most: 3 });
    for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.4"]) buckets.take(address, 0);
    expect(buckets.size).to.equal(3);
    expect(buckets.take("192.0.2.1", 0), "still known").to.equal(false);
    expect(buckets.take("192.0.2.2", 0), "forgotten").to.equal(true);
    for (let index = 0; index < 100_000; index++) buckets.take(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, 0);
    expect(buckets.size).to.equal(3);
  });

  it("what is no address is not held up", () => {
    const { ask } = limited("ratelimit 1");
    expect(times(3, () => ask(""))).to.equal("pass pass pass");
  });

  const wrong: readonly (readonly [string, string])[] = [
    ["ratelimit", "Corefile:2:1: ratelimit: expected QUERIES, found nothing"],
    ["ratelimit 0", 'Corefile:2:11: ratelimit: QUERIES must be 1–1000000, found "0"'],
    ["ratelimit 5 {\n prefix 33 64\n}", 'Corefile:3:9: ratelimit: prefix: IPV4_BITS must be 8–32, found "33"'],
    ["ratelimit 5 {\n except 192.0.2.1\n}", "Corefile:3:9: ratelimit: except: NETWORK must be a network like"],
    ["ratelimit 5 {\n action deny\n}", 'Corefile:3:9: ratelimit: action: must be refuse or drop, found "deny"'],
  ];
  for (const [lines, says] of wrong) {
    it(`refuses ${lines.replaceAll("\n", " ")}`, () => expect(readDirective(ratelimit, lines).findings[0]).to.include(says));
  }

  it("over the socket: what was remembered is not limited, what must be asked for is", async () => {
    await using upstream = await startUpstream({ records: "*.example.org. 300 IN A 192.0.2.1" });
    await using dns = await startServer({ corefile: `. {\n ratelimit 4\n cache\n forward . ${upstream.to}\n}` });
    const client = await udpClient(dns.address);
    const ask = async (names: readonly string[]): Promise<number> => {
      for (const name of names) client.send(packet({ name: `${name}.example.org.` }));
      const rcodes = await Promise.all(names.map(async () => headerOf((await client.receive()) ?? Buffer.alloc(12)).rcode));
      return rcodes.filter((rcode) => rcode === Rcodes.REFUSED).length;
    };
    for (let times = 0; times < 2; times++) expect(await ask(["first"])).to.equal(0); // the table has it from the second time on
    expect(await ask(Array.from({ length: 50 }, (_, index) => `name-${index}`)), "all at once").to.be.within(1, 50);
    expect(await ask(Array.from({ length: 50 }, () => "first"))).to.equal(0);
    client.close();
  });
});
