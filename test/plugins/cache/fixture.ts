// `cache` with everything around it played by the test: an upstream of RR text as the rest of the chain, a clock, and the
// answer table's memory as a list.

import { encodeReply } from "../../../src/dns/encode.ts";
import { decodeMessage, type DecodedMessage, type DecodedRecord } from "../../../src/dns/decode.ts";
import { DROP, type Reply } from "../../../src/dns/message.ts";
import { formatName } from "../../../src/dns/name.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { readAnswer } from "../../../src/dns/wire.ts";
import type { Zone } from "../../../src/dns/zone.ts";
import type { Answer, Instance, MaybePromise, Memory } from "../../../src/plugin.ts";
import plugin, { createCache } from "../../../src/plugins/cache/cache.ts";
import { fakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { fakeHost, query, readDirective, type Asked, type FakeHost } from "../../helpers/fake-host.ts";
import { answerTo, readAsked, textRecords, type Behaviour } from "../../helpers/upstream-answers.ts";

/** A reply as the client reads it. */
export interface Told extends DecodedMessage {
  readonly by: string;
  /** Records of the section as text. */
  readonly answers: readonly string[];
  readonly authorities: readonly string[];
  readonly additionals: readonly string[];
}

/** What the rest of the chain gives to a query; text is an upstream's behaviour. */
export type Given = Behaviour | { readonly reply: MaybePromise<Answer> };

export interface Rig {
  readonly instance: Instance;
  readonly clock: FakeClock;
  readonly host: FakeHost;
  /** Names and types that came through to the rest of the chain. */
  readonly upstream: readonly string[];
  /** What the table was told to keep and forget: `keep web.example.org. A 300s`. */
  readonly table: readonly string[];
  /** Hits that the table claims. */
  readonly tableHits: { success: number; denial: number };
  behave(given: Given | ((name: string, index: number) => Given)): void;
  /** Undefined for a reply that is not sent. */
  ask(name: string, asked?: Asked): Promise<Told | undefined>;
  /** The value of a sample, by the metric's name without `coredns_cache_`, and the label `type`. */
  count(name: string, type?: string): number;
}

export interface RigOptions {
  readonly records?: string;
  readonly zones?: readonly Zone[];
  /** The table is there from the start unless false. */
  readonly table?: false;
}

/** @param lines the directive, as in the Corefile. */
export function rig(lines: string, { records = "", zones = [], table }: RigOptions = {}): Rig {
  const host = fakeHost("cache", { localZones: () => zones });
  const clock = fakeClock();
  const { options, findings } = readDirective(plugin, lines);
  if (options[0] === undefined || findings.length > 0) throw new Error(findings.join("\n"));
  const instance = createCache(options[0], host, clock);
  const upstream: string[] = [];
  const kept: string[] = [];
  const tableHits = { success: 0, denial: 0 };
  let behaviour: Given | ((name: string, index: number) => Given) = {};

  const memory: Memory = {
    keep: (qname, qtype, _answer, { storedAtMs, deadlineMs }) =>
      void kept.push(`keep ${formatName(qname)} ${qtype} ${(deadlineMs - storedAtMs) / 1000}s`),
    forget: (qname, qtype) => void kept.push(`forget ${formatName(qname)} ${qtype}`),
    hits: () => tableHits,
  };
  if (table !== false) instance.remember?.(memory);

  return {
    instance,
    clock,
    host,
    upstream,
    table: kept,
    tableHits,
    behave: (given) => void (behaviour = given),
    async ask(name, asked = {}) {
      const asking = query(name, asked);
      const reply = await instance.handle?.(asking, (onwards) => {
        const packet = query(onwards.qname, { ...asked, type: onwards.qtype, flags: onwards.flags });
        const plain = readAsked(Buffer.from(packet.wire), "udp", 1);
        if (plain === undefined) throw new Error("not a query");
        const edns = onwards.edns && { udpSize: 1232, version: 0, dnssecOk: onwards.edns.dnssecOk, options: [], ede: undefined };
        const read = { ...plain, edns };
        upstream.push(`${read.name} ${read.type}`);
        const given = typeof behaviour === "function" ? behaviour(read.name, upstream.length - 1) : behaviour;
        if ("reply" in given) return given.reply;
        const answer = readAnswer(answerTo(read, given, textRecords(records)), "forward");
        if (answer === undefined) throw new Error("not an answer");
        return given.after === undefined ? answer : given.after.then(() => answer);
      });
      if (reply === undefined || reply === DROP) return undefined;
      return toldOf(reply, asking);
    },
    count(name, type) {
      const metric = [...host.metrics.all()].find((one) => one.name === `coredns_cache_${name}`);
      const sample = [...(metric?.collect() ?? [])].find(({ labels }) => labels["type"] === type);
      return sample?.value ?? Number.NaN;
    },
  };
}

export function toldOf(reply: Reply, asked: ReturnType<typeof query>): Told {
  const out = new Uint8Array(65_535);
  const length = encodeReply(out, asked, reply, { maxBytes: out.length, udpSize: 1232 });
  const decoded = decodeMessage(out.subarray(0, length));
  if (decoded === undefined) throw new Error("not a message");
  return {
    ...decoded,
    by: reply.by,
    answers: decoded.answer.map(text),
    authorities: decoded.authority.map(text),
    additionals: decoded.additional.map(text),
  };
}

function text(record: DecodedRecord): string {
  return formatRecord(record, record.rdata);
}

/** The rest of the chain gives this reply. */
export function gives(reply: MaybePromise<Answer>): Given {
  return { reply };
}

/** A promise, and what resolves it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}
