// The cases on a Responder, without sockets: what is decided about a packet is decided there.

import { expect } from "chai";
import { Exchange, readQuestion } from "../../src/dns/question.ts";
import type { Responder } from "../../src/respond.ts";
import { cases } from "./cases.ts";
import { judge } from "./judge.ts";
import { createWorldResponder, respond } from "./world.ts";

for (const table of ["on", "off"] as const) {
  for (const transport of ["udp", "tcp"] as const) {
    describe(`malformed: on a responder, as ${transport}, with the table ${table}`, () => {
      let subject: Responder;
      before(async () => {
        subject = await createWorldResponder(table);
      });
      for (const each of cases) {
        if (transport === "udp" ? each.tcpOnly : each.tcp === "skip") continue;
        it(`${each.id}: ${each.title}`, async () => {
          expect(judge(each, await respond(subject, each.packet, transport), transport)).to.deep.equal([]);
        });
      }
    });
  }
}

describe("malformed: what holds over all cases", () => {
  let subject: Responder;
  before(async () => {
    subject = await createWorldResponder("on");
  });

  it("C5: no answer is answered, so two servers never talk to each other for ever", async () => {
    for (const each of cases) {
      const answer = await respond(subject, each.packet, "udp");
      if (answer !== undefined) expect(await respond(subject, answer, "udp"), each.title).to.equal(undefined);
    }
  });

  it("C59: an answer over UDP has at most 25 times the bytes of its question", async () => {
    for (const each of cases) {
      const answer = await respond(subject, each.packet, "udp");
      if (answer !== undefined) expect(answer.length / each.packet.length, each.title).to.be.at.most(25);
    }
  });

  it("C3, C8, C12: a packet is judged in microseconds, whatever it promises", () => {
    const io = new Exchange(512);
    const evil = cases.filter(({ id }) => id === "C3" || id === "C8" || id === "C12");
    const before = process.cpuUsage();
    for (let round = 0; round < 10_000; round++) {
      io.in = (evil[round % evil.length] as (typeof evil)[number]).packet;
      io.inEnd = io.in.length;
      readQuestion(io);
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 10_000, "µs a packet").to.be.below(20);
  });
});
