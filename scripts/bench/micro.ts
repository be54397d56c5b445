// Micro-benchmarks of dns/: what a query costs before and after the answer is known. `npx tsx scripts/bench/micro.ts`

import { Bench } from "tinybench";
import { decodeMessage } from "../../src/dns/decode.ts";
import { lookup } from "../../src/dns/lookup.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { emptyReply, encodeReply, MAX_MESSAGE_BYTES, Rcodes } from "../../src/dns/message.ts";
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

const bench = new Bench({ time: 300 });
bench
  .add("question: a sound query with OPT", () => readQuestion(sound))
  .add("question: a header of counts 65535", () => readQuestion(evil))
  .add("question: and its qname as a Name", () => qnameOf(sound))
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
