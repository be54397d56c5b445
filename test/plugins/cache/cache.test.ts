import { expect } from "chai";

import { DROP, emptyReply, Flags, Rcodes } from "../../../src/dns/message.ts";
import { createZone } from "../../../src/dns/map-zone.ts";
import { parseName, ROOT } from "../../../src/dns/name.ts";
import { RRTypes } from "../../../src/dns/records.ts";
import { parseRecordSets } from "../../../src/dns/text.ts";
import type { Zone } from "../../../src/dns/zone.ts";
import { query, replyWith } from "../../helpers/fake-host.ts";
import { gate, gives, rig, toldOf, type Given } from "./fixture.ts";

const SOA = "example.org. 3600 IN SOA ns.example.org. hostmaster.example.org. 1 7200 3600 1209600 60";
const ZONE = `
  ${SOA}
  web.example.org. 300 IN A 192.0.2.1
  web.example.org. 300 IN A 192.0.2.2
  long.example.org. 86400 IN A 192.0.2.3
  short.example.org. 1 IN A 192.0.2.4
  zero.example.org. 0 IN A 192.0.2.5
  www.example.org. 600 IN CNAME web.example.org.
`;

describe("plugins/cache", () => {
  it("tells a remembered answer with the asker's id and case, its TTL counted down, RA and no AA", async () => {
    const { ask, behave, clock, upstream } = rig("cache", { records: ZONE });
    behave({ flags: Flags.AA });
    const first = await ask("web.example.org", { id: 7 });
    expect(first).to.include({ id: 7, flags: 0x8580, by: "forward" });
    await clock.advance(100_500);
    const second = await ask("web.example.org", { id: 99, flags: 0x0000 });
    expect(second).to.include({ id: 99, flags: 0x8080, by: "cache" });
    expect(second?.answers).to.deep.equal(["web.example.org. 200 IN A 192.0.2.1", "web.example.org. 200 IN A 192.0.2.2"]);
    await clock.advance(199_499);
    expect((await ask("web.example.org"))?.answers[0]).to.equal("web.example.org. 1 IN A 192.0.2.1");
    await clock.advance(1);
    expect((await ask("web.example.org"))?.answers[0]).to.equal("web.example.org. 300 IN A 192.0.2.1");
    expect(upstream).to.have.length(2);
  });

  const lifetimes: readonly [lines: string, name: string, ttl: number][] = [
    ["cache", "web", 300],
    ["cache", "long", 3600],
    ["cache", "short", 5],
    ["cache", "nope", 60],
    ["cache 30", "long", 30],
    ["cache 30", "nope", 30],
    ["cache 30 {\n success 1024 60\n}", "long", 60],
    ["cache 30 {\n success 1024 60\n}", "nope", 30],
    ["cache {\n denial 1024 10\n}", "nope", 10],
    ["cache {\n success 1024 600 400\n}", "web", 400],
    ["cache {\n success 1024 600 0\n}", "short", 1],
    ["cache 3", "short", 3],
    ["cache 3 {\n disable success\n}", "web", 3],
  ];
  for (const [lines, name, ttl] of lifetimes) {
    it(`${lines.replaceAll("\n", ";")}: ${name} is told with TTL ${ttl}, from the first time on`, async () => {
      const { ask } = rig(lines, { records: ZONE });
      for (let times = 0; times < 2; times++) {
        const told = await ask(`${name}.example.org`);
        expect([...(told?.answer ?? []), ...(told?.authority ?? [])].map((record) => record.ttl)[0]).to.equal(ttl);
      }
    });
  }

  it("a chain of CNAMEs is remembered whole, for as long as its first record to end", async () => {
    const { ask, upstream } = rig("cache", { records: ZONE });
    await ask("www.example.org");
    expect((await ask("www.example.org"))?.answers).to.deep.equal([
      "www.example.org. 300 IN CNAME web.example.org.",
      "web.example.org. 300 IN A 192.0.2.1",
      "web.example.org. 300 IN A 192.0.2.2",
    ]);
    expect(upstream).to.have.length(1);
  });

  // What an upstream says, and how often it is asked by two askers.
  const remembered: readonly [what: string, given: Given, times: 1 | 2][] = [
    ["NODATA with SOA", { authority: SOA }, 1],
    ["NXDOMAIN with SOA", { rcode: Rcodes.NXDOMAIN, authority: SOA }, 1],
    ["NXDOMAIN at the end of a CNAME", { rcode: Rcodes.NXDOMAIN, answer: "a.example.org. 60 IN CNAME b.example.org.", authority: SOA }, 1],
    ["NODATA at the end of a CNAME", { answer: "a.example.org. 60 IN CNAME b.example.org.", authority: SOA }, 1],
    ["C93 NODATA without SOA", { answer: "" }, 2],
    ["C93 NXDOMAIN without SOA", { rcode: Rcodes.NXDOMAIN }, 2],
    ["C93 a CNAME that leads to nothing, without SOA", { answer: "a.example.org. 60 IN CNAME b.example.org." }, 2],
    ["an SOA of another zone", { authority: SOA.replace("example.org.", "example.net.") }, 2],
    ["a referral", { authority: "example.org. 60 IN NS ns.example.org." }, 2],
    ["SERVFAIL", { rcode: Rcodes.SERVFAIL }, 1],
    ["NOTIMP", { rcode: Rcodes.NOTIMP }, 1],
    ["REFUSED", { rcode: Rcodes.REFUSED }, 2],
    ["C85 a truncated answer", { answer: "a.example.org. 60 IN A 192.0.2.1", flags: Flags.TC }, 2],
    ["C92 TTL 0", { answer: "a.example.org. 0 IN A 192.0.2.1" }, 2],
    ["C92 one TTL of 0 among others", { answer: "a.example.org. 60 IN CNAME b.example.org.\nb.example.org. 0 IN A 192.0.2.1" }, 2],
    ["C92 a TTL with the top bit set", { answer: "a.example.org. 60 IN A 192.0.2.1", change: withTtlBits(0xffff) }, 2],
    ["C92 a TTL of 2^31-1", { answer: "a.example.org. 60 IN A 192.0.2.1", change: withTtlBits(0x7fff) }, 1],
    ["C92 an SOA whose MINIMUM is 0", { authority: SOA.replace(/60$/, "0") }, 2],
    ["C83 an answer with another name's record", { answer: "a.example.org. 60 IN A 192.0.2.1\nbank.example. 60 IN A 192.0.2.66" }, 2],
    ["C83 an answer of another name alone", { answer: "bank.example. 60 IN A 192.0.2.66" }, 2],
    ["a record of another class", { answer: "a.example.org. 60 CH A 192.0.2.1" }, 2],
    ["NXDOMAIN with the record itself", { rcode: Rcodes.NXDOMAIN, answer: "a.example.org. 60 IN A 192.0.2.1", authority: SOA }, 2],
    ["C84 a loop of CNAMEs", { answer: "a.example.org. 60 IN CNAME b.example.org.\nb.example.org. 60 IN CNAME a.example.org." }, 2],
    [
      "two CNAMEs of one name",
      { answer: "a.example.org. 60 IN CNAME b.example.org.\na.example.org. 60 IN CNAME c.example.org.\nc.example.org. 60 IN A 192.0.2.1" },
      2,
    ],
    ["a chain in disorder", { answer: "b.example.org. 60 IN A 192.0.2.1\na.example.org. 60 IN CNAME b.example.org." }, 1],
    [
      "a DNAME with its CNAME",
      {
        answer:
          "example.org. 60 IN DNAME \\# 13 076578616d706c65036e657400\na.example.org. 60 IN CNAME a.example.net.\na.example.net. 60 IN A 192.0.2.1",
      },
      1,
    ],
    ["another question's answer", { answer: "", change: (message) => Buffer.from(message).fill("b", 13, 14) }, 2],
    [
      "a synthesised answer",
      gives({ ...replyWith("a.example.org. 60 IN A 192.0.2.1"), authoritative: false, recursionAvailable: true }),
      1,
    ],
    [
      "a reply that depends on who asks",
      gives({ ...replyWith("a.example.org. 60 IN A 192.0.2.1"), recursionAvailable: true, perClient: true }),
      2,
    ],
    ["a failure of this server's own", gives({ ...emptyReply(Rcodes.SERVFAIL, "forward"), recursionAvailable: true, error: "timeout" }), 2],
    ["an answer of a zone of our own", gives(replyWith("a.example.org. 60 IN A 192.0.2.1")), 2],
  ];
  for (const [what, given, times] of remembered) {
    it(`${what} is ${times === 1 ? "" : "not "}remembered`, async () => {
      const { ask, behave, upstream } = rig("cache");
      behave(given);
      const first = await ask("a.example.org");
      const second = await ask("a.example.org");
      expect(upstream).to.have.length(times);
      expect(second?.answers).to.deep.equal(first?.answers);
      expect(second?.rcode).to.equal(first?.rcode);
    });
  }

  it("DROP stays DROP", async () => {
    const { ask, behave } = rig("cache");
    behave(gives(DROP));
    expect(await ask("a.example.org")).to.equal(undefined);
  });

  it("C83: what has nothing to do with the question is cut off behind the answer", async () => {
    const { ask, behave, count } = rig("cache");
    behave({
      answer: "a.example.org. 60 IN MX 10 mail.example.org.",
      authority: "example.org. 60 IN NS ns.example.org.",
      additional: "mail.example.org. 60 IN A 192.0.2.1\nns.example.org. 60 IN A 192.0.2.2\nbank.example. 1 IN A 192.0.2.66",
    });
    await ask("a.example.org", { type: RRTypes.MX });
    const told = await ask("a.example.org", { type: RRTypes.MX });
    expect(told?.answers).to.deep.equal(["a.example.org. 60 IN MX 10 mail.example.org."]);
    expect(told?.authorities).to.deep.equal(["example.org. 60 IN NS ns.example.org."]);
    expect(told?.additionals).to.deep.equal(["mail.example.org. 60 IN A 192.0.2.1", "ns.example.org. 60 IN A 192.0.2.2"]);
    expect(count("drops_total")).to.equal(0);

    behave({
      answer: "b.example.org. 60 IN A 192.0.2.1",
      authority: "bank.example. 60 IN NS evil.example.",
      additional: "evil.example. 60 IN A 192.0.2.66",
    });
    await ask("b.example.org");
    const bare = await ask("b.example.org");
    expect([bare?.authority, bare?.additional]).to.deep.equal([[], []]);
  });

  it("C83: a record of another name is used for no other question", async () => {
    const { ask, behave, upstream, count } = rig("cache");
    behave({ answer: "a.example.org. 60 IN A 192.0.2.1\nbank.example. 60 IN A 192.0.2.66" });
    await ask("a.example.org");
    await ask("bank.example");
    expect(upstream).to.deep.equal(["a.example.org. A", "bank.example. A"]);
    expect(count("drops_total")).to.equal(2);
  });

  it("type, class, DO and CD make questions of their own, the case of letters and RD do not (C35)", async () => {
    const { ask, upstream } = rig("cache", { records: ZONE });
    const edns = { udpSize: 1232 };
    const same = [{}, { flags: 0 }, { flags: Flags.AD }, { edns }, { client: { transport: "tcp" as const } }];
    for (const asked of same) await ask("web.example.org", asked);
    expect(upstream).to.have.length(1);
    const others = [{ type: RRTypes.AAAA }, { flags: Flags.CD }, { edns: { ...edns, dnssecOk: true } }];
    for (const asked of [...others, ...others]) await ask("web.example.org", asked);
    await ask("web.example.org", { flags: Flags.CD, edns: { ...edns, dnssecOk: true } });
    expect(upstream).to.have.length(5);
  });

  it("what plugins ask upstreams beside the question makes it another one, and is not for the table", () => {
    const { instance, table } = rig("cache");
    const asked = query("web.example.org");
    const subnets = [undefined, Buffer.from([0, 8, 0, 1, 1]), Buffer.from([0, 8, 0, 1, 2])];
    for (const [index, upstreamOptions] of [...subnets, ...subnets].entries()) {
      const given = { ...replyWith(`web.example.org. 60 IN A 192.0.2.${index}`), recursionAvailable: true };
      const reply = instance.handle?.({ ...asked, ...(upstreamOptions && { upstreamOptions }) }, () => given);
      if (reply === undefined || reply === DROP || reply instanceof Promise) throw new Error("no reply");
      expect(toldOf(reply, asked).answers).to.deep.equal([`web.example.org. 60 IN A 192.0.2.${index % 3}`]);
    }
    expect(table).to.have.length(1);
  });

  it("a dot in a label is another name (C17)", async () => {
    const { ask, upstream } = rig("cache", { records: ZONE });
    await ask("web.example.org");
    await ask("web\\.example.org");
    expect(upstream).to.have.length(2);
  });

  it("C98: whole questions are compared: no name gives another's answer", async () => {
    const names = Array.from({ length: 2000 }, (_, index) => `n${index}.example.org`);
    const { ask, behave, upstream } = rig("cache");
    behave((name) => ({ answer: `${name} 60 IN TXT "${name}"` }));
    for (const name of names) await ask(name, { type: RRTypes.TXT });
    for (const name of names) expect((await ask(name, { type: RRTypes.TXT }))?.answers).to.deep.equal([`${name}. 60 IN TXT "${name}."`]);
    expect(upstream).to.have.length(names.length);
  });

  it("AD is told to whoever asked for it or for DNSSEC records (RFC 6840 §5.7)", async () => {
    const { ask, behave } = rig("cache", { records: ZONE });
    behave({ flags: Flags.AD });
    const ad = async (asked: object): Promise<number> => ((await ask("web.example.org", asked))?.flags ?? 0) & Flags.AD;
    for (let times = 0; times < 2; times++) {
      expect(await ad({})).to.equal(0);
      expect(await ad({ flags: Flags.AD })).to.equal(Flags.AD);
      expect(await ad({ edns: { dnssecOk: true } })).to.equal(Flags.AD);
    }
  });

  it("C51: no OPT in the reply to a query without one, whatever was remembered; an upstream's EDE is for who has OPT (C50)", async () => {
    const { ask, behave } = rig("cache");
    behave({ rcode: Rcodes.NXDOMAIN, authority: SOA, options: Buffer.from([0, 15, 0, 5, 0, 17, 97, 100, 115]) });
    expect((await ask("ads.example.org", { edns: {} }))?.edns?.ede).to.deep.equal({ code: 17, text: "ads" });
    expect((await ask("ads.example.org"))?.edns).to.equal(undefined);
    expect((await ask("ads.example.org", { edns: {} }))?.edns?.ede).to.deep.equal({ code: 17, text: "ads" });
  });

  it("AAAA NODATA of an authoritative upstream has RA from memory, also without OPT", async () => {
    const { ask, behave } = rig("cache", { records: ZONE });
    // An authoritative server: AA, no RA.
    behave({ flags: Flags.AA, authority: SOA, change: (message) => Buffer.from(message).fill((message[3] as number) & ~Flags.RA, 3, 4) });
    const first = await ask("web.example.org", { type: RRTypes.AAAA });
    expect(first?.flags).to.equal(Flags.QR | Flags.AA | Flags.RD | Flags.RA);
    for (const asked of [{}, { edns: {} }]) {
      const told = await ask("web.example.org", { type: RRTypes.AAAA, ...asked });
      expect(told).to.include({ flags: Flags.QR | Flags.RD | Flags.RA, by: "cache" });
      expect([told?.answers, told?.authorities]).to.deep.equal([[], [SOA.replace("3600 IN", "60 IN")]]);
    }
  });

  it("SERVFAIL is remembered for 5 s, or for as long as servfail says", async () => {
    for (const [lines, seconds] of [["cache", 5] as const, ["cache {\n servfail 1m\n}", 60] as const]) {
      const { ask, behave, clock, upstream } = rig(lines);
      behave({ rcode: Rcodes.SERVFAIL });
      await ask("a.example.org");
      await clock.advance(seconds * 1000 - 1);
      expect((await ask("a.example.org"))?.rcode).to.equal(Rcodes.SERVFAIL);
      expect(upstream).to.have.length(1);
      await clock.advance(1);
      await ask("a.example.org");
      expect(upstream).to.have.length(2);
    }
    const off = rig("cache {\n servfail 0\n}");
    off.behave({ rcode: Rcodes.SERVFAIL });
    await off.ask("a.example.org");
    await off.ask("a.example.org");
    expect(off.upstream).to.have.length(2);
  });

  it("an answer and a denial of one question replace each other", async () => {
    const { ask, behave, clock, upstream } = rig("cache {\n success 1024 3600\n denial 1024 10\n}");
    behave({ answer: "a.example.org. 20 IN A 192.0.2.1" });
    await ask("a.example.org");
    await clock.advance(20_000);
    behave({ rcode: Rcodes.NXDOMAIN, authority: SOA });
    await ask("a.example.org");
    await clock.advance(10_000);
    behave({ answer: "a.example.org. 3600 IN A 192.0.2.2" });
    expect((await ask("a.example.org"))?.answers).to.deep.equal(["a.example.org. 3600 IN A 192.0.2.2"]);
    await clock.advance(3_599_000);
    expect((await ask("a.example.org"))?.answers).to.deep.equal(["a.example.org. 1 IN A 192.0.2.2"]);
    expect(upstream).to.have.length(3);
  });

  // Upstream queries for two askers each.
  const scopes: readonly [name: string, answer: 1 | 2, denial: 1 | 2][] = [
    ["example.org", 1, 1],
    ["a.example.org", 1, 1],
    ["a.static.example.org", 2, 1],
    ["dynamic.example.org", 1, 2],
    ["1.2.0.192.in-addr.arpa", 1, 1],
    ["example.net", 2, 2],
    ["evilexample.org", 2, 2],
  ];
  for (const [name, answer, denial] of scopes) {
    it(`in its zones and not disabled: answers of ${name} are asked for ${answer} of 2 times, denials ${denial}`, async () => {
      const lines = "cache 60 example.org 192.0.2.0/24 {\n disable success static.example.org\n disable denial dynamic.example.org\n}";
      for (const [given, times] of [
        [{ answer: `${name}. 60 IN A 192.0.2.1` }, answer] as const,
        [{ rcode: Rcodes.NXDOMAIN, authority: SOA.replace("example.org.", ".") }, denial] as const,
      ]) {
        const { ask, behave, upstream } = rig(lines);
        behave(given);
        await ask(name);
        await ask(name);
        expect(upstream).to.have.length(times);
      }
    });
  }

  it("keepttl tells the whole TTL for as long as it lasts, and keeps the table out of it", async () => {
    const { ask, clock, table, upstream } = rig("cache {\n keepttl\n}", { records: ZONE });
    await ask("web.example.org");
    await clock.advance(299_000);
    expect((await ask("web.example.org"))?.answers[0]).to.equal("web.example.org. 300 IN A 192.0.2.1");
    await clock.advance(1_000);
    await ask("web.example.org");
    expect(upstream).to.have.length(2);
    expect(table).to.deep.equal([]);
  });

  it("C94: a clock that is set changes nothing", async () => {
    const { ask, clock, upstream } = rig("cache", { records: ZONE });
    await ask("web.example.org");
    for (const day of [86_400_000, -172_800_000]) {
      clock.shiftNow(day);
      expect((await ask("web.example.org"))?.answers[0]).to.equal("web.example.org. 300 IN A 192.0.2.1");
    }
    await clock.advance(300_000);
    await ask("web.example.org");
    expect(upstream).to.have.length(2);
  });

  it("C125: names without end take no more than the capacity, and push no answers out", async () => {
    const { ask, behave, clock, count, table } = rig("cache {\n success 1024\n denial 1024\n}");
    behave({ answer: "web.example.org. 3600 IN A 192.0.2.1" });
    await ask("web.example.org");
    behave({ rcode: Rcodes.NXDOMAIN, authority: SOA });
    for (let index = 0; index < 3000; index++) for (let times = 0; times < 2; times++) await ask(`n${index}.example.org`);
    expect(count("entries", "denial")).to.equal(1024);
    expect(count("evictions_total", "denial")).to.equal(3000 - 1024);
    expect(table.filter((line) => line.startsWith("forget"))).to.have.length(3000 - 1024);
    await clock.advance(1);
    expect((await ask("web.example.org"))?.by).to.equal("cache");
  });

  it("C125: large answers take no more bytes than 1 KiB for each entry of the capacity", async () => {
    const { ask, behave, count } = rig("cache {\n success 1024\n}");
    const large = Array.from({ length: 60 }, (_, index) => `@ 60 IN TXT "${String(index).padEnd(250, "x")}"`);
    behave((name) => ({ answer: large.join("\n").replaceAll("@", name) }));
    for (let index = 0; index < 200; index++) await ask(`n${index}.example.org`, { type: RRTypes.TXT });
    expect(count("entries", "success")).to.be.within(40, 70);
    expect(count("evictions_total", "success")).to.be.above(100);
  });
});

describe("plugins/cache: names of the server's own zones", () => {
  const zone = (records: string, changes: Partial<Zone> = {}): Zone => ({
    ...createZone({ apex: parseName("example.org"), records: parseRecordSets(`${SOA}\n${records}`) }),
    ...changes,
  });

  it("are passed through and not remembered; their TTLs keep cap and minimum", async () => {
    const { ask, behave, upstream, count } = rig("cache 30", { zones: [zone("web.example.org. 300 IN A 192.0.2.1")] });
    behave(gives(replyWith("web.example.org. 300 IN A 192.0.2.1\nweb.example.org. 1 IN TXT x")));
    for (let times = 0; times < 2; times++) {
      const told = await ask("web.example.org");
      expect(told?.answers).to.deep.equal(["web.example.org. 30 IN A 192.0.2.1", 'web.example.org. 5 IN TXT "x"']);
      expect(told?.flags).to.equal(Flags.QR | Flags.AA | Flags.RD);
    }
    expect(upstream).to.have.length(2);
    expect(count("requests_total")).to.equal(0);
  });

  it("a denial of a complete zone has the cap of denials", async () => {
    const { ask, behave } = rig("cache 300 {\n denial 1024 20\n}", { zones: [zone("")] });
    behave(gives({ ...emptyReply(Rcodes.NXDOMAIN, "file"), authoritative: true, authority: parseRecordSets(SOA) }));
    expect((await ask("nope.example.org"))?.authority[0]?.ttl).to.equal(20);
  });

  it("a name that a zone takes over is asked for anew, at once: a new Service is not hidden by a remembered NXDOMAIN", async () => {
    let records = "";
    const grown: Zone = { ...zone(""), complete: false, node: (name) => zone(records).node(name) };
    const { ask, behave, upstream } = rig("cache", { zones: [grown] });
    behave({ rcode: Rcodes.NXDOMAIN, authority: SOA });
    await ask("new.example.org");
    expect((await ask("new.example.org"))?.rcode).to.equal(Rcodes.NXDOMAIN);
    expect(upstream).to.have.length(1);
    records = "new.example.org. 5 IN A 192.0.2.9";
    behave(gives(replyWith(records)));
    expect((await ask("new.example.org"))?.answers).to.deep.equal([records]);
  });

  it("a foreign reply to a local name (an ExternalName's) is passed as it is", async () => {
    const { ask, behave, upstream } = rig("cache 30", { zones: [zone("web.example.org. 300 IN CNAME web.example.net.")] });
    behave({ answer: "web.example.org. 300 IN CNAME web.example.net.\nweb.example.net. 10 IN A 192.0.2.1" });
    for (let times = 0; times < 2; times++) {
      expect((await ask("web.example.org"))?.answers[1]).to.equal("web.example.net. 10 IN A 192.0.2.1");
    }
    expect(upstream).to.have.length(2);
  });

  it("the table is told the same bounds, which no minimum above the cap can cross", () => {
    const { instance } = rig("cache 3 example.org {\n denial 1024 60 10\n disable success\n}");
    expect(instance.ttlBounds?.(parseName("a.example.org"))).to.deep.include({
      success: { min: 3, max: 3 },
      denial: { min: 10, max: 60 },
    });
    expect(instance.ttlBounds?.(parseName("example.net"))).to.equal(undefined);
  });

  it("is transparent, but for names below a zone of which only a part is covered", () => {
    const zones = [zone("")];
    expect(rig("cache", { zones }).instance.transparent).to.equal(true);
    expect(rig("cache example.org example.net", { zones }).instance.transparent).to.equal(true);
    const search = { ...zone(""), apex: ROOT, complete: false, soa: () => undefined };
    expect(rig("cache b.example.org", { zones: [search] }).instance.transparent).to.equal(true);
    expect(rig("cache b.example.org example.net", { zones }).instance.transparent).to.deep.equal({ below: [parseName("b.example.org")] });
  });
});

describe("plugins/cache: the answer table and the metrics", () => {
  it("the table keeps plain questions until they end, and forgets what is replaced", async () => {
    const { ask, clock, table } = rig("cache", { records: ZONE });
    await ask("web.example.org", { edns: { dnssecOk: true } });
    await ask("web.example.org", { flags: Flags.CD });
    await ask("web.example.org");
    expect(table).to.deep.equal([]); // many names are asked for once
    await ask("web.example.org");
    expect(table).to.deep.equal(["keep web.example.org. 1 300s"]);
    await clock.advance(300_000);
    await ask("web.example.org");
    expect(table.slice(1)).to.deep.equal(["forget web.example.org. 1"]);
    await ask("web.example.org");
    expect(table.slice(2)).to.deep.equal(["keep web.example.org. 1 300s"]);
    await ask("nope.example.org");
    await ask("nope.example.org");
    expect(table.at(-1)).to.equal("keep nope.example.org. 1 60s");
  });

  it("C81: what many asked for at once is kept once", async () => {
    const { ask, behave, clock, table } = rig("cache", { records: ZONE });
    const slow = gate();
    behave({ after: slow.opened });
    const askers = Array.from({ length: 200 }, (_, id) => ask("web.example.org", { id }));
    await clock.advance(10);
    slow.open();
    for (const [id, told] of (await Promise.all(askers)).entries()) expect(told).to.deep.include({ id, by: "forward" });
    for (let times = 0; times < 2; times++) await ask("web.example.org");
    expect(table).to.deep.equal(["keep web.example.org. 1 300s"]);
  });

  it("without a table all goes on", async () => {
    const { ask, upstream } = rig("cache", { records: ZONE, table: false });
    await ask("web.example.org");
    expect((await ask("web.example.org"))?.by).to.equal("cache");
    expect(upstream).to.have.length(1);
  });

  it("counts under CoreDNS's names, the table's hits included", async () => {
    const { ask, count, host, tableHits } = rig("cache", { records: ZONE });
    for (let times = 0; times < 3; times++) await ask("web.example.org");
    for (let times = 0; times < 2; times++) await ask("nope.example.org");
    tableHits.success = 10;
    tableHits.denial = 20;
    expect(count("requests_total")).to.equal(35);
    expect(count("misses_total")).to.equal(2);
    expect([count("hits_total", "success"), count("hits_total", "denial")]).to.deep.equal([12, 21]);
    expect([count("entries", "success"), count("entries", "denial")]).to.deep.equal([1, 1]);
    const samples = [...host.metrics.all()].flatMap((metric) =>
      [...metric.collect()].map(({ labels }) => `${metric.name} ${Object.keys(labels).join()}`),
    );
    expect(samples).to.include.members(["coredns_cache_hits_total server,type,zones,view", "coredns_cache_drops_total server,zones,view"]);
    expect([...host.metrics.all()].flatMap((metric) => [...metric.collect()])[0]?.labels).to.deep.equal({
      server: "dns://:53",
      type: "success",
      zones: ".",
      view: "",
    });
  });
});

// The upper half of the first answer's TTL. The owner is a pointer to the question.
function withTtlBits(bits: number) {
  return (message: Buffer): Buffer => {
    const changed = Buffer.from(message);
    changed.writeUInt16BE(bits, 12 + "a.example.org".length + 2 + 4 + 6);
    return changed;
  };
}
