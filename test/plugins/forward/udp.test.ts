// Questions over UDP, and what a hostile or broken network does to them.

import { expect } from "chai";

import { Flags, isWire, Rcodes } from "../../../src/dns/message.ts";
import { nameBytes } from "../../helpers/dns-client.ts";
import { startUpstream, type Behaviour, type Defect } from "../../helpers/upstream.ts";
import { forwarding } from "./forwarding.ts";

const RECORDS = `
  example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 86400 30
  www.example.org. 300 IN A 192.0.2.1
  odd.example.org. 300 IN TYPE65280 \\# 3 010203
  *.many.example.org. 300 IN A 192.0.2.9
`;
const WWW = ["www.example.org. 300 IN A 192.0.2.1"];

describe("plugins/forward over UDP", () => {
  it("tells the upstream's answer on, with RA and without AA", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    const { message, answer } = await forward.ask("www.example.org.");
    expect(answer).to.deep.equal(WWW);
    expect(message.flags & (Flags.AA | Flags.RA)).to.equal(Flags.RA);
    expect(upstream.asked).to.have.length(1);
  });

  it("gives the answer's bytes as they came, unknown types too", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    const { reply, answer } = await forward.ask("odd.example.org.", { type: 65280 });
    expect(isWire(reply)).to.equal(true);
    expect(answer).to.deep.equal(["odd.example.org. 300 IN TYPE65280 \\# 3 010203"]);
  });

  for (const [rule, rcode, name] of [
    ["NXDOMAIN", Rcodes.NXDOMAIN, "missing.example.org."],
    ["NODATA", Rcodes.NOERROR, "example.org."],
  ] as const) {
    it(`tells ${rule} on with its SOA`, async () => {
      await using upstream = await startUpstream({ records: RECORDS });
      await using forward = await forwarding(`forward . ${upstream.to}`);
      const { message } = await forward.ask(name);
      expect(message.rcode).to.equal(rcode);
      expect(message.authority).to.have.length(1);
    });
  }

  it("C88: SERVFAIL and REFUSED are passed on", async () => {
    await using upstream = await startUpstream({ script: (_, index) => ({ rcode: index === 0 ? Rcodes.SERVFAIL : Rcodes.REFUSED }) });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    expect((await forward.ask("a.example.org.")).rcode).to.equal(Rcodes.SERVFAIL);
    expect((await forward.ask("b.example.org.")).rcode).to.equal(Rcodes.REFUSED);
    expect(upstream.asked).to.have.length(2);
  });

  it("asks with RD, CD and DO as the client, AD and an OPT record of its own, and none of the client's options", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    const cookie = Buffer.from([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    await forward.ask("www.example.org.", { flags: Flags.RD | Flags.CD, edns: { dnssecOk: true, udpSize: 4096, options: cookie } });
    await forward.ask("www.example.org.", { flags: 0 });
    const [first, second] = upstream.asked;
    expect(first?.flags).to.equal(Flags.RD | Flags.CD | Flags.AD);
    expect(first?.edns).to.deep.include({ udpSize: 1232, dnssecOk: true, options: [] });
    expect(second?.flags).to.equal(Flags.AD);
    expect(second?.edns).to.deep.include({ udpSize: 1232, dnssecOk: false });
  });

  it("AD is told to those who ask with DO or AD", async () => {
    await using upstream = await startUpstream({ records: RECORDS, script: { flags: Flags.AD } });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    expect((await forward.ask("www.example.org.")).message.flags & Flags.AD).to.equal(0);
    expect((await forward.ask("www.example.org.", { flags: Flags.RD | Flags.AD })).message.flags & Flags.AD).to.equal(Flags.AD);
    expect((await forward.ask("www.example.org.", { edns: { dnssecOk: true } })).message.flags & Flags.AD).to.equal(Flags.AD);
  });

  for (const [rule, answer] of [
    ["a CNAME that leads to itself", "www.example.org. 5 IN CNAME www.example.org."],
    ["a CNAME loop", "www.example.org. 5 IN CNAME b.example.org.\nb.example.org. 5 IN CNAME www.example.org."],
    ["a chain of 100", Array.from({ length: 100 }, (_, n) => `c${n}.example.org. 5 IN CNAME c${n + 1}.example.org.`).join("\n")],
  ] as const) {
    it(`C84: ${rule} is passed on as it is, and nothing is asked for it`, async () => {
      await using upstream = await startUpstream({ script: { answer } });
      await using forward = await forwarding(`forward . ${upstream.to}`);
      expect((await forward.ask("www.example.org.")).answer).to.deep.equal(answer.split("\n"));
      expect(upstream.asked).to.have.length(1);
    });
  }

  it("an upstream's extended error is told on", async () => {
    const ede = Buffer.from([0, 15, 0, 5, 0, 9, 0x78, 0x79, 0x7a]); // 9: DNSKEY missing
    await using upstream = await startUpstream({ script: { rcode: Rcodes.SERVFAIL, options: ede } });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    expect((await forward.ask("www.example.org.", { edns: {} })).message.edns?.ede).to.deep.equal({ code: 9, text: "xyz" });
  });

  const bad: readonly Defect[] = ["short", "garbage", "wrong-id", "wrong-name", "wrong-type", "no-question", "query", "stranger"];
  for (const defect of bad) {
    it(`C82: a packet that is bad (${defect}) is ignored, and the good one behind it taken`, async () => {
      await using upstream = await startUpstream({ records: RECORDS, script: { bad: [defect, defect] }, listen: ["udp"] });
      await using forward = await forwarding(`forward . ${upstream.to}`);
      expect((await forward.ask("www.example.org.")).answer).to.deep.equal(WWW);
    });
  }

  it("C82: 50 bad packets do not win over the good one, with TCP and without", async () => {
    const fifty = Array.from({ length: 50 }, (_, index) => bad[index % bad.length] as Defect);
    for (const listen of [["udp"], ["udp", "tcp"]] as const) {
      const script = ({ transport }: { transport: string }): Behaviour => (transport === "udp" ? { bad: fifty } : {});
      await using upstream = await startUpstream({ records: RECORDS, script, listen });
      await using forward = await forwarding(`forward . ${upstream.to}`);
      expect((await forward.ask("www.example.org.")).answer).to.deep.equal(WWW);
    }
  });

  it("C82: where only wrong answers come over UDP it asks over TCP", async () => {
    const wrong = Array.from({ length: 20 }, (): Defect => "wrong-id");
    const script = ({ transport }: { transport: string }): Behaviour =>
      transport === "udp"
        ? { bad: wrong, change: (message) => Buffer.concat([Buffer.of(0xff & ~(message[0] as number)), message.subarray(1)]) }
        : {};
    await using upstream = await startUpstream({ records: RECORDS, script });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    expect((await forward.ask("www.example.org.")).answer).to.deep.equal(WWW);
    expect(upstream.asked.map(({ transport }) => transport)).to.deep.equal(["udp", "tcp"]);
  });

  it("C81: 200 equal questions at once are asked once, and all are answered", async () => {
    let release = (): void => {};
    const after = new Promise<void>((resolve) => (release = resolve));
    await using upstream = await startUpstream({ records: RECORDS, script: { after } });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    const asking = Array.from({ length: 200 }, (_, id) => forward.ask(id % 2 === 0 ? "www.example.org." : "WWW.example.ORG.", { id }));
    await upstream.received(1);
    release();
    const told = await Promise.all(asking);
    expect(told.map(({ answer }) => answer)).to.deep.equal(told.map(() => WWW));
    expect(told.map(({ message }) => message.id)).to.deep.equal(told.map((_, id) => id));
    expect(upstream.asked).to.have.length(1);
  });

  it("C81: questions that differ in DO, CD or RD are asked each", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    const asked = [{}, { flags: 0 }, { flags: Flags.RD | Flags.CD }, { edns: { dnssecOk: true } }, { edns: {} }];
    await Promise.all(asked.map((each) => forward.ask("www.example.org.", each)));
    expect(upstream.asked).to.have.length(4); // with and without OPT are one question
  });

  it("C79: ids and source ports are spread, and no port is used for many questions", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    const questions = 1500;
    for (let at = 0; at < questions; at += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, index) => forward.ask(`x${at + index}.many.example.org.`)));
    }
    const ports = new Map<number, number>();
    for (const { port } of upstream.asked) ports.set(port, (ports.get(port) ?? 0) + 1);
    expect(ports.size).to.be.greaterThan(questions / 5);
    expect(Math.max(...ports.values())).to.be.lessThan(16);
    const ids = upstream.asked.map(({ id }) => id);
    expect(new Set(ids).size).to.be.greaterThan(questions * 0.95);
    const highBits = new Set(ids.map((id) => id >> 12));
    expect(highBits.size).to.equal(16);
  });

  it("C80: with case_randomization a reply in another case is ignored, and TCP is asked", async () => {
    const name = "abcdefghijklmnopqrstuvwxyz.many.example.org.";
    const lowered = (message: Buffer): Buffer =>
      Buffer.concat([message.subarray(0, 12), nameBytes(name), message.subarray(12 + name.length + 1)]);
    const script = ({ transport }: { transport: string }): Behaviour => (transport === "udp" ? { change: lowered } : {});
    await using upstream = await startUpstream({ records: RECORDS, script });
    await using forward = await forwarding(`forward . ${upstream.to} {\n case_randomization\n}`);
    expect((await forward.ask(name)).answer).to.deep.equal([`${name} 300 IN A 192.0.2.9`]);
    expect(upstream.asked.map(({ transport }) => transport)).to.deep.equal(["udp", "tcp"]);
    expect(upstream.asked[0]?.packet.toString("latin1")).to.match(/[A-Z]/).and.to.match(/[a-z]/);
  });

  it("C85: an answer with TC is asked for again over TCP", async () => {
    const script = ({ transport }: { transport: string }): Behaviour => (transport === "udp" ? { truncated: true } : {});
    await using upstream = await startUpstream({ records: RECORDS, script });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    const { answer, message } = await forward.ask("www.example.org.");
    expect(answer).to.deep.equal(WWW);
    expect(message.flags & Flags.TC).to.equal(0);
    expect(upstream.asked.map(({ transport }) => transport)).to.deep.equal(["udp", "tcp"]);
  });

  it("C85: where there is no TCP, what came with TC is told on", async () => {
    await using upstream = await startUpstream({ records: RECORDS, script: { truncated: true }, listen: ["udp"] });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    expect((await forward.ask("www.example.org.")).message.flags & Flags.TC).to.equal(Flags.TC);
  });

  it("an upstream that refuses EDNS is asked without, and not again with it at once", async () => {
    const script = ({ edns }: { edns: unknown }): Behaviour => (edns === undefined ? {} : { rcode: Rcodes.FORMERR, noEdns: true });
    await using upstream = await startUpstream({ records: RECORDS, script });
    await using forward = await forwarding(`forward . ${upstream.to}`);
    expect((await forward.ask("www.example.org.")).answer).to.deep.equal(WWW);
    expect((await forward.ask("x.many.example.org.")).answer).to.have.length(1);
    expect(upstream.asked.map(({ edns }) => edns === undefined)).to.deep.equal([false, true, true]);
  });
});
