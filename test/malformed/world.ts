// A Responder over the cases' world, without sockets, plugins and table.

import { Outcomes } from "../../src/answers/table.ts";
import { chase, lookup, replyFrom, zoneOf } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { emptyReply, Rcodes, type Query, type Reply } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import { silentLog } from "../../src/log.ts";
import { createResponder, type Responder } from "../../src/respond.ts";
import { exchangeOf } from "../helpers/exchange.ts";
import { WORLD } from "./cases.ts";

const apex = parseName("cluster.local.");
const zone = createZone({ apex, records: parseRecordSets(WORLD) });

function answerFrom(query: Query): Reply {
  if (zoneOf([zone], query.qname) === undefined) return emptyReply(Rcodes.REFUSED, "");
  const found = chase([zone], lookup(zone, query.qname, query.qtype), query.qtype);
  return replyFrom(found, "test") ?? emptyReply(Rcodes.REFUSED, "");
}

/** Answers from WORLD through the whole query path but the table. */
export function createWorldResponder(): Responder {
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
    panics: { add: (): void => panic() },
    now: () => 0,
    onQuery: () => {},
  });
}

function panic(): never {
  throw new Error("a panic was counted");
}

/** What a responder sends to a packet. */
export async function respond(subject: Responder, packet: Uint8Array, transport: "udp" | "tcp"): Promise<Uint8Array | undefined> {
  const io = exchangeOf(packet, transport);
  const result = subject.respond(io);
  if (typeof result !== "number") return result;
  return result === 0 ? undefined : io.out.slice(io.outAt, io.outAt + result);
}
