// What a forwarder must stand, by the numbers of the cases it comes from, over real sockets: clients here, scripted
// upstreams there, the plugins and the answer table in between. What takes seconds of waiting is told to a fake clock in
// test/plugins/forward instead; real name servers as upstreams are in upstreams.test.ts.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

import { decodeMessage, type DecodedMessage } from "../../src/dns/decode.ts";
import { EdeCodes, Flags, Rcodes } from "../../src/dns/message.ts";
import { formatRecord } from "../../src/dns/text.ts";
import { startServer, type RunningServer } from "../../src/index.ts";
import { service } from "../../src/testing.ts";
import { query, tcpConnection, udpClient, type QueryOptions, type Target } from "../helpers/dns-client.ts";
import { fakeLog } from "../helpers/fake-host.ts";
import { freePort } from "../helpers/free-port.ts";
import { randomFrom } from "./coredns/random-cluster.ts";
import { startUpstream, type Behaviour, type Defect } from "../helpers/upstream.ts";

const SOA = "example.org. 300 IN SOA ns.example.org. hostmaster.example.org. 1 7200 3600 1209600 60";
const RECORDS = `
  ${SOA}
  www.example.org. 300 IN A 192.0.2.1
  *.many.example.org. 300 IN A 192.0.2.9
`;
const BOUND_MS = 5000;

interface Got extends DecodedMessage {
  /** The answer section, TTLs as `*`. */
  readonly lines: readonly string[];
  readonly bytes: number;
}

function read(packet: Buffer | undefined): Got {
  const message = packet === undefined ? undefined : decodeMessage(packet);
  if (packet === undefined || message === undefined) throw new Error(packet === undefined ? "no answer" : "the answer is not sound");
  return {
    ...message,
    bytes: packet.length,
    lines: message.answer.map((record) => formatRecord(record, record.rdata).replace(/ \d+ /, " * ")),
  };
}

/** Answers over UDP, in the order of the questions, which are all asked at once. */
async function askAll(target: Target, questions: readonly QueryOptions[]): Promise<Got[]> {
  const client = await udpClient(target);
  const got: Got[] = [];
  try {
    for (const [id, asked] of questions.entries()) client.send(query({ ...asked, id }));
    for (let left = questions.length; left > 0; left--) {
      const one = read(await client.receive(BOUND_MS));
      got[one.id] = one;
    }
  } finally {
    client.close();
  }
  return got;
}

async function ask(target: Target, asked: QueryOptions): Promise<Got> {
  const [got] = await askAll(target, [asked]);
  return got as Got;
}

function forwarder(to: string, { before = "", inside = "", log = fakeLog() } = {}): Promise<RunningServer> {
  return startServer({ corefile: `. {\n ${before}\n forward . ${to} {\n max_fails 0\n ${inside}\n }\n}`, log });
}

/** Of `counts` against the same number for each: with k cells it is k on average, and spread by √2k. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

describe("conformance: a forwarder", () => {
  describe("C50, C51: extended errors", () => {
    const cases = [
      ["15, blocked", EdeCodes.BLOCKED, "acl {\n block net 127.0.0.0/8\n }", {}],
      ["22, no reachable authority", EdeCodes.NO_REACHABLE_AUTHORITY, "", { silent: true }],
      ["what the upstream says", 17, "", { rcode: Rcodes.NXDOMAIN, options: Buffer.from([0, 15, 0, 5, 0, 17, 97, 100, 115]) }],
      [
        "what the upstream said, from memory",
        17,
        "cache",
        { rcode: Rcodes.NXDOMAIN, authority: SOA, options: Buffer.from([0, 15, 0, 2, 0, 17]) },
      ],
    ] as const;
    for (const [title, code, before, behaviour] of cases) {
      it(`${title}: for those who have OPT`, async () => {
        await using upstream = await startUpstream({ script: behaviour as Behaviour });
        await using dns = await forwarder(upstream.to, { before, inside: "read_timeout 50ms" });
        for (let times = 0; times < 2; times++) {
          expect((await ask(dns.address, { name: "a.example.org.", edns: {} })).edns?.ede?.code).to.equal(code);
          expect((await ask(dns.address, { name: "a.example.org." })).edns).to.equal(undefined);
        }
      });
    }

    it("23, network error: a port that refuses", async () => {
      await using dns = await forwarder(`127.0.0.1:${await freePort()}`);
      const got = await ask(dns.address, { name: "a.example.org.", edns: {} });
      expect([got.rcode, got.edns?.ede?.code]).to.deep.equal([Rcodes.SERVFAIL, EdeCodes.NETWORK_ERROR]);
    });

    it("an rcode that only OPT can hold is SERVFAIL without it", async () => {
      // BADCOOKIE, 23: 1 in OPT, 7 in the header
      const badCookie = (message: Buffer): Buffer => {
        message[3] = ((message[3] as number) & 0xf0) | 7;
        message[message.length - 6] = 1;
        return message;
      };
      await using upstream = await startUpstream({ script: { rcode: 0, change: badCookie } });
      await using dns = await forwarder(upstream.to);
      expect((await ask(dns.address, { name: "a.example.org.", edns: {} })).rcode).to.equal(23);
      expect((await ask(dns.address, { name: "a.example.org." })).rcode).to.equal(Rcodes.SERVFAIL);
    });
  });

  describe("C76: names that nobody has", () => {
    it("a flood of them below a forwarded zone leaves memory bounded and the others answered", async () => {
      const flood = 2400;
      await using upstream = await startUpstream({ records: RECORDS });
      const metrics = await freePort();
      const before = `prometheus 127.0.0.1:${metrics}\n cache {\n denial 1024\n success 1024\n }`;
      await using dns = await forwarder(upstream.to, { before });
      await ask(dns.address, { name: "www.example.org." });
      for (let first = 0; first < flood; first += 200) {
        const names = Array.from({ length: 200 }, (_, index) => ({ name: `n${first + index}.example.org.` }));
        const got = await askAll(dns.address, [...names, { name: "www.example.org." }]);
        expect(got.pop()?.lines).to.deep.equal(["www.example.org. * IN A 192.0.2.1"]);
        expect(new Set(got.map(({ rcode }) => rcode))).to.deep.equal(new Set([Rcodes.NXDOMAIN]));
      }
      expect(upstream.asked).to.have.length(flood + 1);
      const page = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
      expect(page).to.match(/coredns_cache_entries\{[^}]*type="denial"[^}]*\} 1024\n/);
      expect(page).to.match(new RegExp(`coredns_cache_evictions_total\\{[^}]*type="denial"[^}]*\\} ${flood - 1024}\n`));
      expect(page).to.not.include("n17.example.org");
    });
  });

  describe("C79: what an attacker has to guess", () => {
    it("ids are uniform, and ports are many, over 10,000 questions", async function () {
      this.timeout(30_000);
      const questions = 10_000;
      await using upstream = await startUpstream({ records: RECORDS });
      await using dns = await forwarder(upstream.to);
      for (let first = 0; first < questions; first += 250) {
        const names = Array.from({ length: 250 }, (_, index) => ({ name: `q${first + index}.many.example.org.` }));
        for (const { rcode } of await askAll(dns.address, names)) expect(rcode).to.equal(Rcodes.NOERROR);
      }
      const asked = upstream.asked.filter(({ transport }) => transport === "udp");
      expect(asked.length).to.be.at.least(questions);
      for (const bits of [(id: number) => id >> 8, (id: number) => id & 0xff, (id: number) => (id >> 4) & 0xff]) {
        const counts = Array.from({ length: 256 }, () => 0);
        for (const { id } of asked) counts[bits(id)] = (counts[bits(id)] ?? 0) + 1;
        // Six standard deviations: one run in some 10^8 is beyond.
        expect(chiSquare(counts)).to.be.within(255 - 6 * Math.sqrt(510), 255 + 6 * Math.sqrt(510));
      }
      // From one question to the next nothing can be told.
      const steps = Array.from({ length: 16 }, () => 0);
      for (let at = 1; at < asked.length; at++) {
        const step = (((asked[at]?.id ?? 0) - (asked[at - 1]?.id ?? 0)) & 0xffff) >> 12;
        steps[step] = (steps[step] ?? 0) + 1;
      }
      expect(chiSquare(steps)).to.be.lessThan(15 + 6 * Math.sqrt(30));
      const ports = new Set(asked.map(({ port }) => port));
      expect(ports.size).to.be.greaterThan(questions / 5);
    });

    it("no two questions that wait have one port", async () => {
      let release = (): void => {};
      const after = new Promise<void>((resolve) => (release = resolve));
      await using upstream = await startUpstream({ records: RECORDS, script: { after } });
      await using dns = await forwarder(upstream.to);
      const names = Array.from({ length: 200 }, (_, index) => ({ name: `q${index}.many.example.org.` }));
      const answers = askAll(dns.address, names);
      await upstream.received(names.length);
      expect(new Set(upstream.asked.map(({ port }) => port)).size).to.equal(names.length);
      release();
      expect((await answers).map(({ rcode }) => rcode)).to.deep.equal(names.map(() => Rcodes.NOERROR));
    });
  });

  describe("C80–C82: answers that are not", () => {
    it("C81: 200 equal questions of clients are one question upstream, each answered with its own id and case", async () => {
      let release = (): void => {};
      const after = new Promise<void>((resolve) => (release = resolve));
      await using upstream = await startUpstream({ records: RECORDS, script: { after } });
      await using dns = await forwarder(upstream.to, { before: "cache" });
      const names = Array.from({ length: 200 }, (_, index) => ({ name: index % 2 === 0 ? "www.example.org." : "wWw.eXample.org." }));
      const answers = askAll(dns.address, names);
      await upstream.received(1);
      // UDP keeps its order on loopback: all are in before one behind them is asked upstream.
      const last = ask(dns.address, { name: "last.many.example.org." });
      await upstream.received(2);
      release();
      for (const { lines } of await answers) expect(lines).to.deep.equal(["www.example.org. * IN A 192.0.2.1"]);
      await last;
      expect(upstream.asked).to.have.length(2);
    });

    it("C82: 50 bad datagrams, and 300 ms, before the good one: it wins", async () => {
      const defects: readonly Defect[] = ["short", "garbage", "wrong-id", "wrong-name", "wrong-type", "no-question", "query", "stranger"];
      const bad = Array.from({ length: 50 }, (_, index) => defects[index % defects.length] as Defect);
      await using upstream = await startUpstream({ records: RECORDS, script: { bad }, listen: ["udp"] });
      await using dns = await forwarder(upstream.to, { before: "cache" });
      for (let times = 0; times < 2; times++) {
        expect((await ask(dns.address, { name: "www.example.org." })).lines).to.deep.equal(["www.example.org. * IN A 192.0.2.1"]);
      }
    });

    it("C82: an answer that can't be read says nothing of the upstream: it is asked the next question", async () => {
      const broken = (message: Buffer): Buffer => message.subarray(0, -3);
      const script = ({ name, type }: { name: string; type: string }): Behaviour =>
        type === "NS" ? { silent: true } : name.startsWith("evil") ? { noEdns: true, change: broken } : {};
      await using first = await startUpstream({ records: RECORDS, script });
      await using second = await startUpstream({ records: RECORDS });
      await using dns = await startServer({ corefile: `. {\n forward . ${first.to} ${second.to} {\n policy sequential\n }\n}` });
      for (let index = 0; index < 5; index++) {
        expect((await ask(dns.address, { name: `evil${index}.many.example.org.` })).lines).to.have.length(1);
        expect((await ask(dns.address, { name: `good${index}.many.example.org.` })).lines).to.have.length(1);
      }
      expect(second.asked.filter(({ name }) => name.startsWith("good"))).to.have.length(0);
    });
  });

  describe("C83, C84: records that nobody has asked for", () => {
    it("C83: what has other owners is neither remembered nor used for their questions", async () => {
      const poison = "bank.example. 3600 IN A 192.0.2.66";
      const script = ({ name }: { name: string }): Behaviour => {
        const honest = `${name} 300 IN A 192.0.2.1`;
        if (name.startsWith("answer")) return { answer: `${honest}\n${poison}` };
        if (name.startsWith("authority"))
          return { answer: honest, authority: "bank.example. 3600 IN NS ns.bank.example.", additional: poison };
        if (name.startsWith("additional")) return { answer: honest, additional: `${poison}\nns.bank.example. 3600 IN A 192.0.2.66` };
        if (name.startsWith("denied")) return { rcode: Rcodes.NXDOMAIN, authority: "bank.example. 3600 IN SOA a. b. 1 2 3 4 3600" };
        return { answer: honest };
      };
      await using upstream = await startUpstream({ script });
      await using dns = await forwarder(upstream.to, { before: "cache" });
      for (const section of ["answer", "authority", "additional", "denied"]) {
        for (let times = 0; times < 3; times++) await ask(dns.address, { name: `${section}.example.org.` });
      }
      expect((await ask(dns.address, { name: "bank.example." })).lines).to.deep.equal(["bank.example. * IN A 192.0.2.1"]);
      expect((await ask(dns.address, { name: "ns.bank.example." })).lines).to.deep.equal(["ns.bank.example. * IN A 192.0.2.1"]);
      for (const section of ["authority", "additional"]) {
        const told = await ask(dns.address, { name: `${section}.example.org.` });
        expect([told.lines.length, told.authority.length + told.additional.length]).to.deep.equal([1, 0]);
      }
      const times = (start: string): number => upstream.asked.filter(({ name }) => name.startsWith(start)).length;
      expect(
        ["answer", "authority", "additional", "denied"].map(times),
        "remembered without what is not theirs, or not at all",
      ).to.deep.equal([3, 1, 1, 3]);
    });

    const chain = (length: number): string =>
      Array.from({ length }, (_, index) => `${index === 0 ? "a" : `c${index}`}.example.org. 300 IN CNAME c${index + 1}.example.org.`).join(
        "\n",
      );
    for (const [title, answer] of [
      ["a CNAME to itself", "a.example.org. 300 IN CNAME a.example.org."],
      ["a loop of two", "a.example.org. 300 IN CNAME b.example.org.\nb.example.org. 300 IN CNAME a.example.org."],
      ["a chain of 100", `${chain(100)}\nc100.example.org. 300 IN A 192.0.2.1`],
    ] as const) {
      it(`C84: ${title} is told as it came, asked for once each time, and not remembered`, async () => {
        await using upstream = await startUpstream({ script: { answer } });
        await using dns = await forwarder(upstream.to, { before: "cache\n loadbalance\n dns64" });
        for (let times = 1; times <= 3; times++) {
          const connection = await tcpConnection(dns.address);
          connection.send(query({ name: "a.example.org." }));
          expect(read(await connection.receive()).lines).to.have.length(answer.split("\n").length);
          connection.close();
          expect(upstream.asked).to.have.length(times);
        }
      });
    }

    it("C84: a Service that is a name elsewhere which leads back is cut, not followed for ever", async () => {
      const script = ({ name }: { name: string }): Behaviour => ({ answer: `${name} 300 IN CNAME loop.default.svc.cluster.local.` });
      await using upstream = await startUpstream({ script });
      await using dns = await forwarder(upstream.to, { before: "kubernetes cluster.local\n cache" });
      const object = service({ name: "loop", type: "ExternalName", externalName: "elsewhere.example.org" });
      dns.registry.apply({ verb: "upsert", object });
      const got = await ask(dns.address, { name: "loop.default.svc.cluster.local.", edns: {} });
      expect(got.lines[0]).to.equal("loop.default.svc.cluster.local. * IN CNAME elsewhere.example.org.");
      expect(got.lines.length).to.be.lessThan(12);
      expect(upstream.asked.length).to.be.lessThan(12);
    });
  });

  describe("C85, C86, C88: what upstreams say and how", () => {
    it("C85: an answer that is cut in the middle of a record is fetched over TCP, if TC says that it is", async () => {
      const cut = (message: Buffer): Buffer => {
        message[2] = (message[2] as number) | (Flags.TC >> 8);
        return message.subarray(0, message.length - 6);
      };
      const script = ({ transport }: { transport: string }): Behaviour => (transport === "udp" ? { noEdns: true, change: cut } : {});
      await using first = await startUpstream({ records: RECORDS, script });
      await using second = await startUpstream({ records: RECORDS });
      await using dns = await forwarder(`${first.to} ${second.to}`, { inside: "policy sequential" });
      expect((await ask(dns.address, { name: "www.example.org." })).lines).to.deep.equal(["www.example.org. * IN A 192.0.2.1"]);
      expect(first.asked.map(({ transport }) => transport)).to.deep.equal(["udp", "tcp"]);
      expect(second.asked).to.have.length(0);
    });

    it("C86: an upstream that takes TCP only is asked so at once, once that is known; one that takes UDP only over UDP", async () => {
      await using tcp = await startUpstream({ records: RECORDS, listen: ["tcp"] });
      await using udp = await startUpstream({ records: RECORDS, listen: ["udp"] });
      for (const upstream of [tcp, udp]) {
        await using dns = await forwarder(upstream.to);
        for (let index = 0; index < 5; index++) {
          expect((await ask(dns.address, { name: `q${index}.many.example.org.` })).rcode).to.equal(Rcodes.NOERROR);
        }
        expect(upstream.asked.map(({ transport }) => transport)).to.deep.equal(
          Array.from({ length: 5 }, () => (upstream === tcp ? "tcp" : "udp")),
        );
      }
    });

    it("an upstream that gives NOTIMP to one question still gets EDNS and DO with the next", async () => {
      const script = ({ type }: { type: string }): Behaviour => (type === "A" ? {} : { rcode: Rcodes.NOTIMP, noEdns: true });
      await using upstream = await startUpstream({ records: RECORDS, script });
      await using dns = await forwarder(upstream.to);
      expect((await ask(dns.address, { name: "www.example.org.", type: 65_280 })).rcode).to.equal(Rcodes.NOTIMP);
      await ask(dns.address, { name: "www.example.org.", edns: { dnssecOk: true } });
      expect(upstream.asked.at(-1)?.edns?.dnssecOk).to.equal(true);
    });

    it("C88: SERVFAIL and REFUSED are told on; SERVFAIL is not asked for again at once, REFUSED is", async () => {
      const script = ({ name }: { name: string }): Behaviour => ({ rcode: name.startsWith("servfail") ? Rcodes.SERVFAIL : Rcodes.REFUSED });
      await using first = await startUpstream({ script });
      await using second = await startUpstream({ records: RECORDS });
      await using dns = await forwarder(`${first.to} ${second.to}`, { before: "cache", inside: "policy sequential" });
      for (const [name, rcode, asked] of [["servfail", Rcodes.SERVFAIL, 1] as const, ["refused", Rcodes.REFUSED, 3] as const]) {
        for (let times = 0; times < 3; times++) expect((await ask(dns.address, { name: `${name}.example.org.` })).rcode).to.equal(rcode);
        expect(first.asked.filter(({ name: one }) => one.startsWith(name))).to.have.length(asked);
      }
      expect(second.asked).to.have.length(0);
    });
  });

  describe("C87, C89–C91: upstreams that are ill, or slow", () => {
    it("C87: a silent upstream is left for the next one, and SERVFAIL with the reason comes when all are silent", async () => {
      await using silent = await startUpstream({ script: { silent: true } });
      await using good = await startUpstream({ records: RECORDS });
      await using dns = await forwarder(`${silent.to} ${good.to}`, { inside: "policy sequential\n read_timeout 50ms" });
      expect((await ask(dns.address, { name: "www.example.org." })).lines).to.have.length(1);
      good.behave({ silent: true });
      const got = await ask(dns.address, { name: "a.many.example.org.", edns: {} });
      expect([got.rcode, got.edns?.ede?.code]).to.deep.equal([Rcodes.SERVFAIL, EdeCodes.NO_REACHABLE_AUTHORITY]);
      expect(silent.asked.filter(({ name }) => name === "a.many.example.org.").length).to.be.within(1, 2);
    });

    it("C89: one of two upstreams comes and goes: every question is answered", async () => {
      await using flapping = await startUpstream({ records: RECORDS });
      await using good = await startUpstream({ records: RECORDS });
      await using dns = await startServer({ corefile: `. {\n forward . ${flapping.to} ${good.to}\n}` });
      for (let round = 0; round < 10; round++) {
        await (round % 2 === 0 ? flapping.down() : flapping.up());
        const names = Array.from({ length: 50 }, (_, index) => ({ name: `q${round}-${index}.many.example.org.` }));
        expect((await askAll(dns.address, names)).map(({ rcode }) => rcode)).to.deep.equal(names.map(() => Rcodes.NOERROR));
      }
    });

    it("C90: with all upstreams down, and clients that go on asking for other names, cluster names are answered as ever", async () => {
      await using silent = await startUpstream({ script: { silent: true } });
      const to = `${silent.to} 127.0.0.1:${await freePort()}`;
      await using dns = await startServer({
        corefile: `. {\n errors\n cache\n kubernetes cluster.local\n forward . ${to} {\n read_timeout 300ms\n }\n}`,
      });
      dns.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.96.0.7"] }) });
      const foreign = Array.from({ length: 200 }, (_, index) => ({ name: `q${index}.example.org.`, edns: {} }));
      const waiting = askAll(dns.address, foreign);
      await silent.received(1);
      // Asked behind them, told in front of them.
      let answered = 0;
      void waiting.then(() => (answered = foreign.length));
      for (let times = 0; times < 50; times++) {
        for (const [name, rcode] of [["web", Rcodes.NOERROR] as const, ["nope", Rcodes.NXDOMAIN] as const]) {
          expect((await ask(dns.address, { name: `${name}.default.svc.cluster.local.` })).rcode).to.equal(rcode);
        }
        if (times === 0) expect(answered).to.equal(0);
      }
      for (const { rcode, edns } of await waiting) {
        expect(rcode).to.equal(Rcodes.SERVFAIL);
        expect(edns?.ede?.code).to.be.oneOf([EdeCodes.NO_REACHABLE_AUTHORITY, EdeCodes.NETWORK_ERROR]);
      }
    });

    it("C90: more questions for silent upstreams than a listener can hold do not keep cluster names from being answered", async () => {
      let release = (): void => {};
      const after = new Promise<void>((resolve) => (release = resolve));
      await using silent = await startUpstream({ records: RECORDS, script: { after } });
      const corefile = `. {\n cache\n kubernetes cluster.local\n forward . ${silent.to} {\n read_timeout 30s\n }\n}`;
      await using dns = await startServer({ corefile });
      dns.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.96.0.7"] }) });
      const flood = await udpClient(dns.address);
      for (let first = 0; first < 5000; first += 100) {
        for (let id = first; id < first + 100; id++) flood.send(query({ name: `q${id}.example.org.`, id }));
        // A step is in when what was asked behind it is answered.
        expect((await ask(dns.address, { name: "web.default.svc.cluster.local." })).rcode, `behind ${first + 100}`).to.equal(
          Rcodes.NOERROR,
        );
      }
      expect(silent.asked.length).to.be.at.least(3000);
      release(); // so that the server need not wait for them
      flood.close();
    });

    it("C91: of 2,000 questions for a slow upstream 1,000 are asked, by few sockets, and the others refused at once", async () => {
      // In groups: sockets' buffers are not what is looked at.
      const group = 100;
      const releases: (() => void)[] = [];
      const gates = Array.from({ length: 10 }, () => new Promise<void>((resolve) => releases.push(resolve)));
      const log = fakeLog();
      await using upstream = await startUpstream({
        records: RECORDS,
        script: (_, index) => ({ after: gates[Math.floor(index / group)] as Promise<void> }),
      });
      await using dns = await forwarder(upstream.to, { before: "errors", inside: "max_concurrent 1000\n read_timeout 20s", log });
      const client = await udpClient(dns.address);
      const rcodesOfGroup = async (): Promise<Set<number>> => {
        const rcodes = new Set<number>();
        for (let left = group; left > 0; left--) rcodes.add(read(await client.receive(BOUND_MS)).rcode);
        return rcodes;
      };
      for (let first = 0; first < 2000; first += group) {
        for (let id = first; id < first + group; id++) client.send(query({ name: `q${id}.many.example.org.`, id }));
        if (first < 1000) await upstream.received(first + group);
        else expect(await rcodesOfGroup()).to.deep.equal(new Set([Rcodes.REFUSED]));
      }
      expect(upstream.asked).to.have.length(1000);
      expect(new Set(upstream.asked.map(({ port }) => port)).size).to.be.at.most(512);
      for (const release of releases) {
        release();
        expect(await rcodesOfGroup()).to.deep.equal(new Set([Rcodes.NOERROR]));
      }
      client.close();
      expect(log.lines.filter((line) => line.includes("concurrent queries exceeded maximum 1000"))).to.have.length(1000);
    });
  });

  it("loadbalance turns the addresses of a foreign answer, and all stay in it, at first and from memory", async () => {
    const addresses = [1, 2, 3, 4, 5].map((last) => `*.many.example.org. 300 IN A 192.0.2.${last}`);
    await using upstream = await startUpstream({ records: addresses.join("\n") });
    for (const before of ["loadbalance", "loadbalance\n cache", "cache\n loadbalance"]) {
      await using dns = await forwarder(upstream.to, { before });
      const firsts = new Set<string>();
      for (let index = 0; index < 40; index++) {
        const name = `w${index >> 2}.many.example.org.`;
        const { lines } = await ask(dns.address, { name });
        firsts.add((lines[0] ?? "").slice(-1));
        expect(lines.toSorted(), before).to.deep.equal([1, 2, 3, 4, 5].map((last) => `${name} * IN A 192.0.2.${last}`));
      }
      expect(firsts.size).to.be.greaterThan(1);
    }
  });

  describe("C92, C93, C98: what is remembered", () => {
    for (const [title, ttl, asked, told] of [
      ["a TTL of 0 is not remembered", "0", 2, 0],
      ["a TTL of an hour and more is an hour", "2147483647", 1, 3600],
      ["a TTL with the top bit set is 0", undefined, 2, 0],
    ] as const) {
      it(`C92: ${title}`, async () => {
        const topBit = (message: Buffer): Buffer => Buffer.from(message).fill(0xff, message.length - 10, message.length - 6);
        const script: Behaviour = {
          answer: `a.example.org. ${ttl ?? 60} IN A 192.0.2.1`,
          noEdns: true,
          ...(ttl === undefined && { change: topBit }),
        };
        await using upstream = await startUpstream({ script });
        await using dns = await forwarder(upstream.to, { before: "cache" });
        await ask(dns.address, { name: "a.example.org." });
        expect((await ask(dns.address, { name: "a.example.org." })).answer[0]?.ttl).to.be.within(Math.max(0, told - 2), told);
        expect(upstream.asked).to.have.length(asked);
      });
    }

    it("C93: a denial without SOA is asked for each time", async () => {
      await using upstream = await startUpstream({
        script: ({ name }) => ({ rcode: name.startsWith("x") ? Rcodes.NXDOMAIN : Rcodes.NOERROR }),
      });
      await using dns = await forwarder(upstream.to, { before: "cache" });
      for (const name of ["x.example.org.", "x.example.org.", "y.example.org.", "y.example.org."]) await ask(dns.address, { name });
      expect(upstream.asked).to.have.length(4);
    });

    it("C98: names that collide under FNV-1a are told apart, by memory and by the answer table", async () => {
      // Of 300,000 labels some ten pairs share its 32 bits, and with them any name below; what is short shares the table's slots.
      const random = randomFrom(98);
      const byHash = new Map<number, string>();
      const labels: string[] = [];
      for (let left = 300_000; left > 0; left--) {
        const label = Math.floor(random() * 2 ** 32).toString(36);
        const hash = fnv1a(label);
        const other = byHash.get(hash);
        if (other !== undefined && other !== label) labels.push(other, label);
        else byHash.set(hash, label);
      }
      expect(labels.length).to.be.greaterThan(6);
      while (labels.length < 200) labels.push(`n${labels.length}`);
      const names = labels.map((label) => `${label}.example.org.`);
      await using upstream = await startUpstream({ script: ({ name }) => ({ answer: `${name} 300 IN TXT "${name}"` }) });
      await using dns = await forwarder(upstream.to, { before: "cache" });
      for (let times = 0; times < 3; times++) {
        const got = await askAll(
          dns.address,
          names.map((name) => ({ name, type: "TXT" as const })),
        );
        expect(got.map(({ lines }) => lines)).to.deep.equal(names.map((name) => [`${name} * IN TXT "${name}"`]));
      }
      expect(upstream.asked).to.have.length(names.length);
    });
  });

  describe("C95: questions that go round", () => {
    it("from us to another and back, without loop: few are asked, and SERVFAIL comes in time", async () => {
      const [a, b] = [await freePort(), await freePort()];
      const corefile = (port: number, to: number): string =>
        `.:${port} {\n cache\n forward . 127.0.0.1:${to} {\n read_timeout 100ms\n max_fails 0\n }\n}`;
      await using first = await startServer({ corefile: corefile(a, b) });
      await using second = await startServer({ corefile: corefile(b, a) });
      const before = process.cpuUsage();
      const names = Array.from({ length: 20 }, (_, index) => ({ name: `q${index}.example.org.`, edns: {} }));
      for (const server of [first, second]) {
        for (const { rcode } of await askAll(server.address, names)) expect(rcode).to.equal(Rcodes.SERVFAIL);
      }
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1000, "ms of CPU").to.be.lessThan(1000);
    });
  });

  describe("C96: upstreams out of a file", () => {
    let folder = "";
    before(() => (folder = mkdtempSync(join(tmpdir(), "ndots-c96-"))));
    after(() => rmSync(folder, { recursive: true }));

    for (const [title, text, said] of [
      ["127.0.0.53 alone", "nameserver 127.0.0.53\n", /127\.0\.0\.53 .*loopback.*forward \. \/run\/systemd\/resolve\/resolv\.conf/],
      ["an empty file", "", /no nameservers found/],
      ["names instead of addresses", "nameserver dns.example.org\n", /no nameservers found/],
    ] as const) {
      it(`${title}: the server does not start, and says why`, async () => {
        const file = join(folder, "resolv.conf");
        writeFileSync(file, text);
        const failed = await startServer({ corefile: `. {\n forward . ${file}\n}` }).then(
          async (dns) => dns.close(),
          (error: unknown) => error,
        );
        expect(String(failed)).to.match(said);
      });
    }

    it("more than 15, an IPv6 zone id, and a loopback address among them: it starts, and says what it leaves out", async () => {
      const file = join(folder, "resolv.conf");
      const many = Array.from({ length: 20 }, (_, index) => `nameserver 192.0.2.${index + 1}`);
      writeFileSync(file, ["nameserver 127.0.0.53", "nameserver fe80::1%lo", ...many].join("\n"));
      const log = fakeLog();
      await using _dns = await startServer({ corefile: `. {\n forward . ${file}\n}`, log });
      expect(log.lines.filter((line) => line.includes("WARNING")).join("\n")).to.match(
        /127\.0\.0\.53.*skipped[^]*21 nameservers: the first 15/,
      );
    });
  });
});

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
