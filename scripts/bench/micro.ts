// Micro-benchmarks: what a query costs before and after the answer is known, and by way of the answer table.
// `npx tsx scripts/bench/micro.ts`

import { Bench } from "tinybench";
import { createHit } from "../../src/answers/answer-table.ts";
import { createCompiler } from "../../src/answers/compile.ts";
import { openTable } from "../../src/answers/reader.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { lookup } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { emptyReply, MAX_MESSAGE_BYTES, Rcodes } from "../../src/dns/message.ts";
import { formatName, parseName } from "../../src/dns/name.ts";
import { Exchange, qnameOf, readQuestion } from "../../src/dns/question.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import { queryOf } from "../../test/helpers/exchange.ts";

const NAME = "my-nginx.default.svc.cluster.local.";
const apex = parseName("cluster.local.");
const name = parseName(NAME);
const zone = createZone({
  apex,
  records: parseRecordSets(`
    cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    ${NAME} 5 A 10.0.0.1
    ${Array.from({ length: 10_000 }, (_, index) => `svc-${index}.default.svc.cluster.local. 5 A 10.1.${index >> 8}.${index & 255}`).join("\n")}
    ${Array.from({ length: 20 }, (_, index) => `headless.default.svc.cluster.local. 5 A 10.245.0.${index + 1}`).join("\n")}
    ${Array.from({ length: 121 }, (_, index) => `big.default.svc.cluster.local. 5 A 10.244.0.${index + 1}`).join("\n")}`),
});
const limits = { maxBytes: 1232, udpSize: 1232 };
const out = new Uint8Array(MAX_MESSAGE_BYTES);
const one = queryOf({ name: NAME, edns: {} });
const big = queryOf({ name: "big.default.svc.cluster.local.", edns: {} });
const none = queryOf({ name: `x.${NAME}`, edns: {} });
const replyTo = (qname: typeof name) => ({ ...emptyReply(Rcodes.NOERROR, ""), answer: zone.node(qname)?.rrsets ?? [] });
const oneReply = replyTo(name);
const bigReply = replyTo(big.qname);
const soa = zone.soa();
const noneReply = { ...emptyReply(Rcodes.NXDOMAIN, ""), authority: soa === undefined ? [] : [soa] };
const encoded = out.slice(0, encodeReply(out, one, oneReply, limits));

function exchangeWith(packet: Uint8Array): Exchange {
  const io = new Exchange(512);
  io.in = packet;
  io.inEnd = packet.length;
  return io;
}
const sound = exchangeWith(one.wire);
const evil = exchangeWith(new Uint8Array(12).fill(0xff).fill(0, 2, 4));

// As a listener thread has it: packets and answers in one memory, and the questions of 10,000 names in turns.
const table = new TableWriter();
const instances = [{ name: "test", instance: { transparent: true, zones: [zone], rotates: new Set([RRTypes.A]) } } as const];
const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances }], (error) => console.error(error));
compiler.start();
await compiler.idle();
const reader = openTable(table.attach());
const hit = createHit();
const PACKET_BYTES = 128;
const QUESTIONS = 10_000;
function askTable(nameOf: (index: number) => string): () => number {
  const memory = new Uint8Array(MAX_MESSAGE_BYTES + QUESTIONS * PACKET_BYTES);
  const ends = new Uint32Array(QUESTIONS);
  for (let index = 0; index < QUESTIONS; index++) {
    const { wire } = queryOf({ name: nameOf(index), edns: {} });
    const at = MAX_MESSAGE_BYTES + index * PACKET_BYTES;
    memory.set(wire, at);
    ends[index] = at + wire.length;
  }
  const io = Object.assign(new Exchange(0), { in: memory, out: memory });
  let turn = 0;
  return () => {
    turn = (turn + 7919) % QUESTIONS;
    io.inAt = MAX_MESSAGE_BYTES + turn * PACKET_BYTES;
    io.inEnd = ends[turn] as number;
    readQuestion(io);
    return reader.answer(io, hit);
  };
}

const bench = new Bench({ time: 300 });
bench
  .add("question: a sound query with OPT", () => readQuestion(sound))
  .add("question: a header of counts 65535", () => readQuestion(evil))
  .add("question: and its qname as a Name", () => qnameOf(sound))
  .add(
    "question and table: one of 10,000 A",
    askTable((index) => `svc-${index}.default.svc.cluster.local.`),
  )
  .add(
    "question and table: 20 A records, rotated",
    askTable(() => "headless.default.svc.cluster.local."),
  )
  .add(
    "question and table: NODATA",
    askTable(() => "svc.cluster.local."),
  )
  .add(
    "question and table: NXDOMAIN, random names",
    askTable((index) => `www.example${index}.org.default.svc.cluster.local.`),
  )
  .add("name: parse", () => parseName(NAME))
  .add("name: format", () => formatName(name))
  .add("lookup: a name that exists", () => lookup(zone, name, RRTypes.A))
  .add("lookup: a name that does not", () => lookup(zone, none.qname, RRTypes.A))
  .add("encode: one A record", () => encodeReply(out, one, oneReply, limits))
  .add("encode: NXDOMAIN with SOA", () => encodeReply(out, none, noneReply, limits))
  .add("encode: 121 A records, truncated", () => encodeReply(out, big, bigReply, limits))
  .add("decode: one A record", () => decodeMessage(encoded));
await bench.run();

console.table(
  bench.tasks.map(({ name: task, result }) => ({
    task,
    "µs (median)": "latency" in result ? (result.latency.p50 * 1000).toFixed(2) : "failed",
  })),
);
