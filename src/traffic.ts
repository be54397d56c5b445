// Counters of queries, one typed array per server block and thread: counting allocates nothing and locks nothing, for
// each array has one writer. They meet when the metrics are read, under CoreDNS's names.

import type { Rcode, Transport } from "./dns/message.ts";
import { RRTypes, type RRType } from "./dns/records.ts";
import { rcodeName } from "./dns/text.ts";
import { histogramSamples, observe, SIZE_BUCKETS, TIME_BUCKETS, type Labels, type Metrics, type Sample } from "./metrics.ts";

const PROTO_LABELS = ["udp", "tcp"] as const; // TLS and HTTPS count as tcp
const FAMILY_LABELS = ["1", "2"] as const; // IPv4, IPv6 (IANA address family numbers)

// The types that CoreDNS counts by name.
const COUNTED_TYPES = [
  "A",
  "AAAA",
  "ANY",
  "AXFR",
  "CNAME",
  "DNSKEY",
  "DS",
  "HTTPS",
  "IXFR",
  "MX",
  "NS",
  "NSEC",
  "NSEC3",
  "PTR",
  "RRSIG",
  "SOA",
  "SRV",
  "SVCB",
  "TXT",
] as const;
const TYPE_LABELS: readonly string[] = [...COUNTED_TYPES, "other"];
const OTHER_TYPE = COUNTED_TYPES.length;
const TYPE_INDEX = new Uint8Array(RRTypes.ANY + 1).fill(OTHER_TYPE);
for (const [index, type] of COUNTED_TYPES.entries()) TYPE_INDEX[RRTypes[type]] = index;

/** Response codes 0 to 23 (BADCOOKIE) are assigned (RFC 6895 §2.3, RFC 7873 §8). */
const RCODES = 24;
// One block's cells:
//
//   requests: proto × family × type │ DO │ seconds │ request bytes × proto │ reply bytes × proto │ responses: plugin × rcode
const REQUESTS = 0;
const DO_REQUESTS = REQUESTS + PROTO_LABELS.length * FAMILY_LABELS.length * TYPE_LABELS.length;
const SECONDS = DO_REQUESTS + 1;
const SIZE_CELLS = SIZE_BUCKETS.length + 2;
const REQUEST_BYTES = SECONDS + TIME_BUCKETS.length + 2;
const REPLY_BYTES = REQUEST_BYTES + PROTO_LABELS.length * SIZE_CELLS;
const RESPONSES = REPLY_BYTES + PROTO_LABELS.length * SIZE_CELLS;

/** The counters of one server block. */
export interface Traffic {
  /** Counts one answered query on the main thread. `by` is the plugin that wrote the reply, "" the server itself. */
  count(
    transport: Transport,
    family: 4 | 6,
    qtype: RRType,
    rcode: Rcode,
    requestBytes: number,
    replyBytes: number,
    durationMs: number,
    dnssecOk: boolean,
    by: string,
  ): void;
  /** What a plugin has answered, by its place in `plugins`. */
  answeredBy(slot: string): number;
  /** The main thread's counters. */
  readonly cells: Float64Array;
  /** Counters in shared memory for a thread of their own, which counts with countQuery(). */
  lend(): Float64Array;
  /** Takes the counters of a thread that has ended back, with what it counted; the next thread gets them. */
  giveBack(cells: Float64Array): void;
}

/** A server block as labels: `dns://:53`, `cluster.local.` (or `dropped` for queries that no block takes), "" without a view. */
export interface BlockLabels {
  readonly server: string;
  readonly zone: string;
  readonly view: string;
}

/**
 * Makes the counters of one server block and registers them.
 * @param plugins names of those that may write replies, "" among them; countQuery() takes their positions. The replies
 *   of others count as those of the first. What stands behind a slash is counted apart, and not told in labels.
 */
export function createTraffic(metrics: Metrics, { server, zone, view }: BlockLabels, plugins: readonly string[]): Traffic {
  const length = RESPONSES + plugins.length * RCODES;
  const cells = new Float64Array(length);
  const all: Float64Array[] = [cells];
  const unused: Float64Array[] = [];
  const indexes = new Map(plugins.map((name, index) => [name, index]));
  registerTraffic(metrics, { server, zone, view }, () => sumOf(all), plugins);
  return {
    cells,
    count(transport, family, qtype, rcode, requestBytes, replyBytes, durationMs, dnssecOk, by) {
      countQuery(cells, transport, family, qtype, rcode, requestBytes, replyBytes, durationMs, dnssecOk, indexes.get(by) ?? 0);
    },
    answeredBy(slot) {
      const at = RESPONSES + (indexes.get(slot) ?? 0) * RCODES;
      return sumOf(all)
        .subarray(at, at + RCODES)
        .reduce((sum, value) => sum + value, 0);
    },
    lend() {
      const known = unused.pop();
      if (known !== undefined) return known;
      const lent = new Float64Array(new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT));
      all.push(lent);
      return lent;
    },
    giveBack: (lent) => void unused.push(lent),
  };
}

/** The plugin that a slot belongs to: `cache` for `cache/denial`. */
export function pluginOf(slot: string): string {
  return slot.split("/", 1)[0] ?? "";
}

/** Counts one answered query in the cells of this thread. Primitives only, allocates nothing. */
export function countQuery(
  cells: Float64Array,
  transport: Transport,
  family: 4 | 6,
  qtype: RRType,
  rcode: Rcode,
  requestBytes: number,
  replyBytes: number,
  durationMs: number,
  dnssecOk: boolean,
  plugin: number,
): void {
  const proto = transport === "udp" ? 0 : 1;
  const type = qtype < TYPE_INDEX.length ? (TYPE_INDEX[qtype] as number) : OTHER_TYPE;
  (cells[REQUESTS + (proto * FAMILY_LABELS.length + (family === 6 ? 1 : 0)) * TYPE_LABELS.length + type] as number)++;
  if (dnssecOk) (cells[DO_REQUESTS] as number)++;
  (cells[RESPONSES + plugin * RCODES + (rcode < RCODES ? rcode : RCODES - 1)] as number)++;
  observe(cells, SECONDS, TIME_BUCKETS, durationMs / 1000);
  observe(cells, REQUEST_BYTES + proto * SIZE_CELLS, SIZE_BUCKETS, requestBytes);
  observe(cells, REPLY_BYTES + proto * SIZE_CELLS, SIZE_BUCKETS, replyBytes);
}

function sumOf(all: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(all[0]?.length ?? 0);
  for (const cells of all) for (let index = 0; index < sum.length; index++) (sum[index] as number) += cells[index] as number;
  return sum;
}

function registerTraffic(metrics: Metrics, block: BlockLabels & Labels, read: () => Float64Array, plugins: readonly string[]): void {
  metrics.register({
    name: "coredns_dns_requests_total",
    help: "Counter of DNS requests made per zone, protocol and family.",
    type: "counter",
    *collect() {
      const cells = read();
      let at = REQUESTS;
      for (const proto of PROTO_LABELS) {
        for (const family of FAMILY_LABELS) {
          for (const type of TYPE_LABELS) {
            const value = cells[at++] as number;
            if (value > 0) yield { labels: { ...block, proto, family, type }, value };
          }
        }
      }
    },
  });
  metrics.register({
    name: "coredns_dns_do_requests_total",
    help: "Counter of DNS requests with DO bit set per zone.",
    type: "counter",
    *collect() {
      const value = read()[DO_REQUESTS] as number;
      if (value > 0) yield { labels: block, value };
    },
  });
  metrics.register({
    name: "coredns_dns_responses_total",
    help: "Counter of response status codes.",
    type: "counter",
    *collect() {
      const cells = read();
      const slots = new Map<string, number[]>();
      for (const [index, slot] of plugins.entries()) slots.set(pluginOf(slot), [...(slots.get(pluginOf(slot)) ?? []), index]);
      for (const [plugin, indexes] of slots) {
        for (let rcode = 0; rcode < RCODES; rcode++) {
          const value = indexes.reduce((sum, index) => sum + (cells[RESPONSES + index * RCODES + rcode] as number), 0);
          if (value > 0) yield { labels: { ...block, rcode: rcodeName(rcode), plugin }, value };
        }
      }
    },
  });
  metrics.register({
    name: "coredns_dns_request_duration_seconds",
    help: "Histogram of the time (in seconds) each request took per zone.",
    type: "histogram",
    collect: () => nonEmpty(read(), SECONDS, TIME_BUCKETS, block),
  });
  registerSizes(
    metrics,
    "coredns_dns_request_size_bytes",
    "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
    REQUEST_BYTES,
    read,
    block,
  );
  registerSizes(metrics, "coredns_dns_response_size_bytes", "Size of the returned response in bytes.", REPLY_BYTES, read, block);
}

function registerSizes(metrics: Metrics, name: string, help: string, at: number, read: () => Float64Array, block: Labels): void {
  metrics.register({
    name,
    help,
    type: "histogram",
    *collect() {
      const cells = read();
      for (const [index, proto] of PROTO_LABELS.entries())
        yield* nonEmpty(cells, at + index * SIZE_CELLS, SIZE_BUCKETS, { ...block, proto });
    },
  });
}

// Like a labelled metric of CoreDNS, a histogram shows from its first observation on.
function* nonEmpty(cells: Float64Array, at: number, buckets: readonly number[], labels: Labels): Generator<Sample> {
  if (cells.subarray(at, at + buckets.length + 1).some((value) => value > 0)) yield* histogramSamples(cells, at, buckets, labels);
}
