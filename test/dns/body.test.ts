// What is done to the records of a message that is made already: cut, counted down, turned.

import { expect } from "chai";
import { countDown, cutBody, findRun, rotateRun, type Cut } from "../../src/dns/body.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { emptyReply, MAX_MESSAGE_BYTES, putUint16, questionEnd, uint16, type Records } from "../../src/dns/message.ts";
import { isMetaType, RRTypes } from "../../src/dns/records.ts";
import { formatRecord, parseRecordSets } from "../../src/dns/text.ts";
import { query } from "../helpers/fake-host.ts";

const asked = query("web.example.org");

function made(reply: Partial<Records>): Uint8Array {
  const out = new Uint8Array(MAX_MESSAGE_BYTES);
  const limits = { maxBytes: MAX_MESSAGE_BYTES, udpSize: 1232 };
  return out.slice(0, encodeReply(out, asked, { ...emptyReply(0, ""), ...reply }, limits));
}

function told(message: Uint8Array): string[] {
  const { answer, authority, additional } = decodeMessage(message) ?? expect.fail("not sound");
  return [...answer, ...authority, ...additional].map((record) => formatRecord(record, record.rdata));
}

const addresses = (count: number, owner = "web.example.org."): string =>
  Array.from({ length: count }, (_, index) => `${owner} 30 IN A 192.0.2.${index}`).join("\n");

describe("dns/body: cut to whole records (RFC 2181 §9)", () => {
  const message = made({
    answer: parseRecordSets(addresses(4)),
    authority: parseRecordSets("example.org. 60 IN NS ns.example.org."),
    additional: parseRecordSets(
      `${addresses(2, "ns.example.org.")}\nns.example.org. 30 IN AAAA 2001:db8::1\n${addresses(2, "far.example.net.")}`,
    ),
  });
  const start = questionEnd(message);

  function cutTo(room: number): Cut {
    const cut: Cut = { length: 0, answers: 0, authority: 0, additional: 0, truncated: false };
    cutBody(message, start, start, room, uint16(message, 6), uint16(message, 8), uint16(message, 10), cut);
    return cut;
  }

  it("all stays where all fits", () => {
    expect(cutTo(message.length - start)).to.deep.equal({
      length: message.length - start,
      answers: 4,
      authority: 1,
      additional: 5,
      truncated: false,
    });
  });

  it("every room gives a sound message, TC only where answers or authority are missing", () => {
    for (let room = 0; room <= message.length - start; room++) {
      const { length, answers, authority, additional, truncated } = cutTo(room);
      expect(length).to.be.at.most(room);
      const rest = message.slice(0, start + length);
      for (const [at, count] of [answers, authority, additional].entries()) putUint16(rest, 6 + at * 2, count);
      expect(told(rest), `${room}`).to.deep.equal(told(message).slice(0, answers + authority + additional));
      expect(truncated).to.equal(answers + authority < 5);
      if (truncated) expect(additional).to.equal(0);
      expect([0, 2, 3, 5]).to.include(additional); // whole rrsets
    }
  });
});

describe("dns/body: TTLs are counted down", () => {
  it("of the records named, to 0 at least", () => {
    const message = made({
      answer: parseRecordSets(
        "web.example.org. 30 IN CNAME a.example.org.\na.example.org. 5 IN A 192.0.2.1\na.example.org. 5 IN A 192.0.2.2",
      ),
    });
    countDown(message, questionEnd(message), 2, 10);
    expect(told(message)).to.deep.equal([
      "web.example.org. 20 IN CNAME a.example.org.",
      "a.example.org. 0 IN A 192.0.2.1",
      "a.example.org. 5 IN A 192.0.2.2",
    ]);
  });
});

describe("dns/body: runs of records that may change places", () => {
  const run = (message: Uint8Array, type: number) => findRun(message, questionEnd(message), message.length, uint16(message, 6), type);

  it("are those of the type asked for, side by side and of one length, behind a CNAME too", () => {
    const message = made({ answer: parseRecordSets(`web.example.org. 30 IN CNAME a.example.org.\n${addresses(3, "a.example.org.")}`) });
    const found = run(message, RRTypes.A) ?? expect.fail("no run");
    expect(found.count).to.equal(3);
    for (let by = 0; by < 7; by++) {
      const turned = told(rotateRun(message, found, by)).slice(1);
      const whole = told(message).slice(1);
      expect(turned).to.deep.equal([...whole.slice(by % 3), ...whole.slice(0, by % 3)]);
    }
    expect(told(message)).to.have.length(4); // the message itself stays
    expect(run(message, RRTypes.AAAA)).to.include({ count: 0 });
  });

  it("are none where records differ in length, or a name is compressed with one of them", () => {
    const uneven = "web.example.org. 30 IN MX 10 a.example.net.\nweb.example.org. 30 IN MX 20 longer.example.net.";
    expect(run(made({ answer: parseRecordSets(uneven) }), RRTypes.MX)).to.equal(undefined);
    const pointing = "web.example.org. 30 IN MX 10 a.example.net.\nweb.example.org. 30 IN MX 20 b.example.net.";
    expect(run(made({ answer: parseRecordSets(pointing) }), RRTypes.MX)).to.equal(undefined);
    const apart = "a.example.org. 30 IN A 192.0.2.1\nb.example.org. 30 IN AAAA 2001:db8::1\nc.example.org. 30 IN A 192.0.2.2";
    expect(run(made({ answer: parseRecordSets(apart) }), RRTypes.A)).to.equal(undefined);
  });
});

describe("dns/records: types that no zone has", () => {
  it("are those of questions and of OPT", () => {
    for (const type of [RRTypes.ANY, RRTypes.AXFR, RRTypes.IXFR]) expect(isMetaType(type)).to.equal(true);
    for (const type of [RRTypes.A, RRTypes.TXT, RRTypes.HTTPS]) expect(isMetaType(type)).to.equal(false);
  });
});
