// The cases on a Responder, without sockets: what is decided about a packet is decided there.

import { expect } from "chai";
import { Outcomes } from "../../src/answers/table.ts";
import { chase, lookup, zoneOf, type Lookup } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { emptyReply, Rcodes, type Query, type Reply } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { Exchange, readQuestion } from "../../src/dns/question.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import { silentLog } from "../../src/log.ts";
import { createResponder, type Responder } from "../../src/respond.ts";
import { exchangeOf } from "../helpers/exchange.ts";
import { cases, WORLD } from "./cases.ts";
import { judge } from "./judge.ts";

const apex = parseName("cluster.local.");
const zone = createZone({ apex, records: parseRecordSets(WORLD) });

function answerFrom(query: Query): Reply {
  if (zoneOf([zone], query.qname) === undefined) return emptyReply(Rcodes.REFUSED, "");
  const found: Lookup = chase([zone], lookup(zone, query.qname, query.qtype), query.qtype);
  const ours = { ...emptyReply(Rcodes.NOERROR, "test"), authoritative: true };
  if (found.kind === "answer") return { ...ours, answer: found.answer };
  const soa = zone.soa();
  return { ...ours, rcode: found.kind === "nxdomain" ? Rcodes.NXDOMAIN : Rcodes.NOERROR, authority: soa === undefined ? [] : [soa] };
}

function responder(): Responder {
  const block = {
    zone: apex,
    chain: answerFrom,
    blame: () => "test",
    udpSize: 1232,
    traffic: undefined,
    observers: [],
    errorObservers: [],
  };
  return createResponder({
    blocks: [block],
    table: { answer: () => Outcomes.ASK_CHAIN },
    zoneOwner: () => "test",
    refusedTraffic: undefined,
    errorLimiter: { allows: () => true },
    log: silentLog,
    panics: { add: (): void => expect.fail("a panic was counted") },
    now: () => 0,
    onQuery: () => {},
  });
}

async function respond(subject: Responder, packet: Uint8Array, transport: "udp" | "tcp"): Promise<Uint8Array | undefined> {
  const io = exchangeOf(packet, transport);
  const result = subject.respond(io);
  if (typeof result !== "number") return result;
  return result === 0 ? undefined : io.out.slice(io.outAt, io.outAt + result);
}

for (const transport of ["udp", "tcp"] as const) {
  describe(`malformed: on a responder, as ${transport}`, () => {
    const subject = responder();
    for (const each of cases) {
      if (transport === "udp" ? each.tcpOnly : each.tcp === "skip") continue;
      it(`${each.id}: ${each.title}`, async () => {
        expect(judge(each, await respond(subject, each.packet, transport), transport)).to.deep.equal([]);
      });
    }
  });
}

describe("malformed: what holds over all cases", () => {
  const subject = responder();

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
