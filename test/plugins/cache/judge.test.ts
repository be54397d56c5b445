import { expect } from "chai";
import fc from "fast-check";

import { decodeMessage, type DecodedRecord } from "../../../src/dns/decode.ts";
import { toWire } from "../../../src/dns/encode.ts";
import { emptyReply, Rcodes, type Wire } from "../../../src/dns/message.ts";
import { lowerCase, nameBelow, parseName, ROOT, type Name } from "../../../src/dns/name.ts";
import { nameRdata } from "../../../src/dns/rdata.ts";
import { RRClasses, RRTypes, type RecordSet } from "../../../src/dns/records.ts";
import { parseRecordSets } from "../../../src/dns/text.ts";
import { readAnswer } from "../../../src/dns/wire.ts";
import { judge, withTtl, type Lifetimes } from "../../../src/plugins/cache/judge.ts";

const LIFETIMES: Lifetimes = { success: { min: 5, max: 3600 }, denial: { min: 5, max: 1800 }, failureSeconds: 5 };
const RUNS = { numRuns: 300 };

const label = fc.string({ unit: fc.constantFrom(..."abcXYZ019-_. \0\xff"), minLength: 1, maxLength: 12 });
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => nameBelow(parseName("example.org"), ...labels) as Name);
const type = fc.constantFrom(RRTypes.A, RRTypes.AAAA, RRTypes.TXT, RRTypes.MX, RRTypes.SRV, 65_280);
const ttl = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const rdata = fc.uint8Array({ minLength: 7, maxLength: 40 });

// CNAMEs from a name to a name, and records of a type there.
const answered = fc
  .record({
    names: fc.uniqueArray(name, { minLength: 1, maxLength: 5 }),
    type,
    ttl,
    rdata: fc.array(rdata, { minLength: 1, maxLength: 5 }),
  })
  .map(({ names, type: qtype, ttl: seconds, rdata: data }) => {
    const cnames = names.slice(1).map((target, index): RecordSet => ({
      owner: names[index] as Name,
      type: RRTypes.CNAME,
      ttl: seconds,
      rdata: [nameRdata(target)],
    }));
    // Whatever is not a name in rdata is unread; what should be one and is not stays as it is.
    const safe = qtype === RRTypes.MX || qtype === RRTypes.SRV ? data.map(() => mail(qtype)) : data;
    const last: RecordSet = { owner: names.at(-1) as Name, type: qtype, ttl: seconds, rdata: safe };
    return { qname: names[0] as Name, qtype, answer: [...cnames, last] };
  });

function mail(qtype: number): Uint8Array {
  return Buffer.concat([Buffer.alloc(qtype === RRTypes.MX ? 2 : 6), nameRdata(parseName("mail.example.org"))]);
}

const withoutTtl = (records: readonly DecodedRecord[] = []): object[] => records.map(({ ttl: _ttl, ...rest }) => rest);

describe("plugins/cache: what a reply is worth", () => {
  it("what is remembered is the upstream's answer, record by record and byte by byte but for TTLs", () => {
    fc.assert(
      fc.property(answered, fc.integer({ min: 0, max: 3600 }), ({ qname, qtype, answer }, seconds) => {
        const authority = parseRecordSets("example.org. 9 IN NS ns.example.org.");
        const additional = parseRecordSets("ns.example.org. 8 IN A 192.0.2.1\nns.example.org. 8 IN AAAA 2001:db8::1");
        const wire = toWire(
          { ...emptyReply(Rcodes.NOERROR, "t"), recursionAvailable: true, answer, authority, additional },
          question(qname, qtype),
        );
        const verdict = judge(wire, question(qname, qtype), LIFETIMES);
        if (typeof verdict === "string") throw new Error(verdict);
        const told = decodeMessage(withTtl(verdict.wire.message, seconds));
        const before = decodeMessage(wire.message);
        expect(told).to.not.equal(undefined);
        for (const section of ["answer", "authority", "additional"] as const) {
          expect(withoutTtl(told?.[section])).to.deep.equal(withoutTtl(before?.[section]));
          expect(new Set(told?.[section].map((record) => record.ttl))).to.deep.equal(new Set([seconds]));
        }
        expect(verdict.wire.message.length).to.equal(wire.message.length);
        expect(verdict.ttlSeconds).to.equal(Math.max(5, Math.min(8, 3600, ...answer.map((set) => set.ttl))));
      }),
      RUNS,
    );
  });

  it("the message that was judged is not changed: other askers may have it too", () => {
    fc.assert(
      fc.property(answered, ({ qname, qtype, answer }) => {
        const wire = toWire({ ...emptyReply(Rcodes.NOERROR, "t"), answer }, question(qname, qtype));
        const copy = wire.message.slice();
        judge(wire, question(qname, qtype), LIFETIMES);
        expect(wire.message).to.deep.equal(copy);
      }),
      RUNS,
    );
  });

  it("no packet that was read can hurt: what comes of it is a sound message, with no record of a stranger in the answer", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 });
    let worth = 0;
    fc.assert(
      fc.property(answered, changes, ({ qname, qtype, answer }, spots) => {
        const soa = parseRecordSets("example.org. 9 IN SOA ns.example.org. h.example.org. 1 2 3 4 5");
        const { message } = toWire({ ...emptyReply(Rcodes.NOERROR, "t"), answer, authority: soa }, question(qname, qtype));
        const packet = message.slice();
        packet[2] = 0x80;
        for (const [at, byte] of spots) packet[at % packet.length] = byte;
        const wire = readAnswer(packet, "t");
        if (wire === undefined) return;
        const verdict = judge(wire, question(qname, qtype), LIFETIMES);
        if (typeof verdict === "string") return;
        worth++;
        expect(readAnswer(withTtl(verdict.wire.message, 7), "t")).to.not.equal(undefined);
        const told = decodeMessage(verdict.wire.message);
        const targets = new Set([
          qname,
          ...(told?.answer ?? []).flatMap((record) => (record.type === RRTypes.CNAME ? [targetOf(record)] : [])),
        ]);
        const owners = (told?.answer ?? []).filter((record) => record.type !== RRTypes.DNAME && record.type !== RRTypes.RRSIG);
        for (const { owner } of owners) expect(targets.has(owner)).to.equal(true);
      }),
      { numRuns: 3000 },
    );
    expect(worth).to.be.above(20);
  });

  it("names whose pointers go round in an answer are a stranger's", () => {
    const wire = toWire(
      { ...emptyReply(Rcodes.NOERROR, "t"), answer: parseRecordSets("a.example.org. 5 IN A 192.0.2.1") },
      question(parseName("a.example.org"), RRTypes.A),
    );
    const message = wire.message.slice();
    // The owner, a pointer to the question, now points into the question's last labels by way of itself.
    const ownerAt = message.length - 16;
    message.set([0xc0, ownerAt], ownerAt);
    const broken: Wire = { ...wire, message };
    expect(judge(broken, question(parseName("a.example.org"), RRTypes.A), LIFETIMES)).to.equal("stranger");
  });

  it("a chain of 100 CNAMEs is not remembered (C84)", () => {
    const names = Array.from({ length: 100 }, (_, index) => parseName(`n${index}.example.org`));
    const answer = names.slice(1).map((target, index): RecordSet => ({
      owner: names[index] as Name,
      type: RRTypes.CNAME,
      ttl: 60,
      rdata: [nameRdata(target)],
    }));
    const last = { owner: names.at(-1) as Name, type: RRTypes.A, ttl: 60, rdata: [Buffer.from([192, 0, 2, 1])] };
    const wire = toWire({ ...emptyReply(Rcodes.NOERROR, "t"), answer: [...answer, last] }, question(names[0] as Name, RRTypes.A));
    expect(judge(wire, question(names[0] as Name, RRTypes.A), LIFETIMES)).to.equal("stranger");
  });

  it("signatures and proofs belong to the answer they come with", () => {
    const records = `
      a.example.org. 60 IN A 192.0.2.1
      a.example.org. 60 IN RRSIG \\# 4 00010203
    `;
    const answer = parseRecordSets(records.trim());
    const authority = parseRecordSets("z9.example.org. 60 IN NSEC \\# 4 00010203\nz9.example.org. 60 IN RRSIG \\# 4 00010203");
    const asked = question(parseName("a.example.org"), RRTypes.A);
    const verdict = judge(toWire({ ...emptyReply(Rcodes.NOERROR, "t"), answer, authority }, asked), asked, LIFETIMES);
    if (typeof verdict === "string") throw new Error(verdict);
    const told = decodeMessage(verdict.wire.message);
    expect([told?.answer.length, told?.authority.length]).to.deep.equal([2, 2]);
  });

  it("the answer to the root's own question is one", () => {
    const asked = question(ROOT, RRTypes.NS);
    const answer = parseRecordSets(". 60 IN NS a.root-servers.net.");
    expect(judge(toWire({ ...emptyReply(Rcodes.NOERROR, "t"), answer }, asked), asked, LIFETIMES)).to.include({
      kind: "success",
      ttlSeconds: 60,
    });
  });
});

function question(qname: Name, qtype: number): { qname: Name; qtype: number; qclass: number } {
  return { qname, qtype, qclass: RRClasses.IN };
}

function targetOf({ rdata: bytes }: DecodedRecord): Name {
  return lowerCase(Buffer.from(bytes).toString("latin1")) as Name;
}
