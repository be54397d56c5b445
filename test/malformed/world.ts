// A Responder over a stored zone, without sockets and plugins; its answer table on or off.

import { createCompiler } from "../../src/answers/compile.ts";
import { Outcomes } from "../../src/answers/answer-table.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { chase, lookup, replyFrom, zoneOf } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { emptyReply, Rcodes, type Query, type Reply } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import type { Zone } from "../../src/dns/zone.ts";
import { silentLog } from "../../src/log.ts";
import { createResponder, type Block, type Responder } from "../../src/respond.ts";
import { exchangeOf } from "../helpers/exchange.ts";
import { WORLD } from "./cases.ts";

export type Table = "on" | "off";

/** Answers from WORLD. */
export function createWorldResponder(table: Table): Promise<Responder> {
  return createZoneResponder(createZone({ apex: parseName("cluster.local."), records: parseRecordSets(WORLD) }), table);
}

/** Answers from a zone through the whole query path. */
export async function createZoneResponder(zone: Zone, table: Table): Promise<Responder> {
  const handle = (query: Query): Reply => {
    if (zoneOf([zone], query.qname) === undefined) return emptyReply(Rcodes.REFUSED, "");
    const found = chase([zone], lookup(zone, query.qname, query.qtype), query.qtype);
    return replyFrom(found, "test") ?? emptyReply(Rcodes.REFUSED, "");
  };
  const block: Block = {
    zone: zone.apex,
    chain: handle,
    blame: () => "test",
    udpSize: 1232,
    traffic: undefined,
    observers: [],
    errorObservers: [],
  };
  const memory = new TableWriter();
  const compiler = createCompiler(
    memory,
    [{ zone: zone.apex, udpSize: block.udpSize, instances: [{ name: "test", instance: { handle, transparent: true, zones: [zone] } }] }],
    panic,
  );
  if (table === "on") compiler.start();
  await compiler.idle();
  return createResponder({
    blocks: [block],
    table: table === "on" ? memory.reader : { answer: () => Outcomes.ASK_CHAIN },
    owners: Uint8Array.of(0),
    plugins: ["test"],
    refusedTraffic: undefined,
    errorLimiter: { allows: () => true },
    log: silentLog,
    panics: { add: (): void => panic() },
    now: () => 0,
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
