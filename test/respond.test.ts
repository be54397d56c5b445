// The query path: which server block is asked, and what becomes of what a plugin does.

import { expect } from "chai";
import { Outcomes, type AnswerTable } from "../src/answers/answer-table.ts";
import { composeChain, type NamedInstance } from "../src/chain.ts";
import { decodeMessage } from "../src/dns/decode.ts";
import { DROP, emptyReply, Rcodes, type Query } from "../src/dns/message.ts";
import { parseName } from "../src/dns/name.ts";
import { createErrorLimiter } from "../src/error-limit.ts";
import { createMetrics, type Metrics } from "../src/metrics.ts";
import type { Answer, Handler, Sent } from "../src/plugin.ts";
import { createTraffic } from "../src/traffic.ts";
import { createResponder, type Block, type Responder } from "../src/respond.ts";
import { query, type QueryOptions } from "./helpers/dns-client.ts";
import { exchangeOf } from "./helpers/exchange.ts";
import { fakeLog } from "./helpers/fake-host.ts";

const PLUGINS = ["", "kubernetes", "test"];
const EMPTY_TABLE: AnswerTable = { answer: () => Outcomes.ASK_CHAIN };

interface Setting {
  readonly responder: Responder;
  readonly metrics: Metrics;
  readonly lines: readonly string[];
}

function setting(blocks: readonly Block[], table: AnswerTable = EMPTY_TABLE): Setting {
  const metrics = createMetrics();
  const log = fakeLog();
  const responder = createResponder({
    blocks,
    table,
    owners: Uint8Array.of(PLUGINS.indexOf("kubernetes")),
    plugins: PLUGINS,
    refusedTraffic: createTraffic(metrics, { server: "dns://:53", zone: "dropped", view: "" }, PLUGINS),
    errorLimiter: createErrorLimiter(() => undefined),
    log,
    panics: metrics.counter("coredns_panics_total", "test"),
    now: () => 0,
  });
  return { responder, metrics, lines: log.lines };
}

function block(zone: string, instances: readonly NamedInstance[], rest: Partial<Block> = {}): Block {
  const chain = composeChain(instances);
  return {
    zone: parseName(zone),
    chain: chain.ask,
    blame: chain.blame,
    udpSize: 1232,
    traffic: undefined,
    observers: [],
    errorObservers: [],
    ...rest,
  };
}

function plugin(name: string, handle: Handler): NamedInstance {
  return { name, instance: { handle } };
}

function says(rcode: number): Handler {
  return () => emptyReply(rcode, "test");
}

async function ask(responder: Responder, options: QueryOptions): Promise<ReturnType<typeof decodeMessage>> {
  const io = exchangeOf(query(options));
  const answer = await responder.respond(io);
  const bytes = typeof answer === "number" ? io.out.slice(0, answer) : answer;
  return bytes === undefined || bytes.length === 0 ? undefined : decodeMessage(bytes);
}

function total(metrics: Metrics, name: string): number {
  return [...metrics.all()]
    .filter((metric) => metric.name === name)
    .flatMap((metric) => [...metric.collect()])
    .reduce((sum, { value }) => sum + value, 0);
}

describe("server blocks", () => {
  const { responder } = setting([
    block(".", [plugin("root", says(Rcodes.NOERROR))]),
    block("cluster.local", [plugin("cluster", says(Rcodes.NXDOMAIN))]),
    block("org", [plugin("org", says(Rcodes.SERVFAIL))]),
    block("example.org", [plugin("example", says(Rcodes.NOTIMP))]),
  ]);
  const table: [string, QueryOptions["type"], number, string][] = [
    ["web.default.svc.cluster.local", "A", Rcodes.NXDOMAIN, "the longest zone that holds the name"],
    ["CLUSTER.LOCAL", "A", Rcodes.NXDOMAIN, "the zone's own name, in any case"],
    ["evilcluster.local", "A", Rcodes.NOERROR, "whole labels are compared, not the end of the text"],
    ["a.example.org", "A", Rcodes.NOTIMP, "the longer of two zones"],
    ["example.org", "DS", Rcodes.SERVFAIL, "DS belongs to the parent's block (RFC 4035 §3.1.4.1)"],
    ["a.example.org", "DS", Rcodes.NOTIMP, "DS of a name below the zone stays"],
    [".", "DS", Rcodes.NOERROR, "the root has no parent"],
  ];
  for (const [name, type, rcode, rule] of table) {
    it(`${name} ${type}: ${rule}`, async () => {
      expect((await ask(responder, { name, type: type ?? "A" }))?.rcode).to.equal(rcode);
    });
  }

  it("REFUSED, with our OPT, where no block has the name", async () => {
    const { responder: only, metrics } = setting([block("cluster.local", [])]);
    const reply = await ask(only, { name: "example.org", edns: { udpSize: 4096 } });
    expect(reply?.rcode).to.equal(Rcodes.REFUSED);
    expect(reply?.edns?.udpSize).to.equal(1232);
    expect(total(metrics, "coredns_dns_requests_total")).to.equal(1);
  });
});

describe("what a plugin does", () => {
  for (const [how, handle] of [
    [
      "throws",
      (): never => {
        throw new Error("boom");
      },
    ],
    ["rejects", () => Promise.reject(new Error("boom"))],
  ] satisfies [string, Handler][]) {
    it(`SERVFAIL, counted and logged with its name, when it ${how}`, async () => {
      const { responder, metrics, lines } = setting([
        block(".", [plugin("outer", (asked, next) => next(asked)), plugin("culprit", handle)]),
      ]);
      expect((await ask(responder, {}))?.rcode).to.equal(Rcodes.SERVFAIL);
      expect(total(metrics, "coredns_panics_total")).to.equal(1);
      expect(lines.join("\n")).to.match(/plugin\/culprit: Error: boom/);
    });
  }

  for (const [what, handle] of [
    ["undefined", () => undefined],
    ["undefined later", async () => undefined],
    ["a thenable that is no Promise", () => ({ then: (): void => undefined })],
    ["a reply with a record that is none", () => ({ ...emptyReply(Rcodes.NOERROR, "x"), answer: [{}] })],
  ] as [string, () => unknown][]) {
    it(`SERVFAIL, counted, when it gives ${what}`, async () => {
      const { responder, metrics } = setting([block(".", [plugin("culprit", handle as Handler)])]);
      expect((await ask(responder, {}))?.rcode).to.equal(Rcodes.SERVFAIL);
      expect(total(metrics, "coredns_panics_total")).to.equal(1);
    });
  }

  it("the answer is sent, and the fault counted, when an observer throws", async () => {
    const observers = [
      (): never => {
        throw new Error("boom");
      },
    ];
    const { responder, metrics } = setting([block(".", [plugin("a", says(Rcodes.NXDOMAIN))], { observers })]);
    expect((await ask(responder, {}))?.rcode).to.equal(Rcodes.NXDOMAIN);
    expect(total(metrics, "coredns_panics_total")).to.equal(1);
  });

  it("nothing is sent for DROP, at once or later", async () => {
    expect(await ask(setting([block(".", [plugin("a", () => DROP)])]).responder, {})).to.equal(undefined);
    expect(await ask(setting([block(".", [plugin("a", async (): Promise<Answer> => DROP)])]).responder, {})).to.equal(undefined);
  });

  it("REFUSED at the end of the chain, in the words that people alert on", async () => {
    const errors: Sent[] = [];
    const last = plugin("kubernetes", (asked, next) => next(asked));
    const { responder } = setting([block(".", [last], { errorObservers: [(_, sent) => errors.push(sent)] })]);
    expect((await ask(responder, {}))?.rcode).to.equal(Rcodes.REFUSED);
    expect(errors.map(({ error }) => error)).to.deep.equal(["plugin/kubernetes: no next plugin found"]);
  });

  it("answers that come later keep to their own question", async () => {
    const waiting: (() => void)[] = [];
    const { responder } = setting([
      block(".", [
        plugin(
          "slow",
          (asked) =>
            new Promise((resolve) =>
              waiting.push(() => resolve({ ...emptyReply(Rcodes.NOERROR, "slow"), ...(asked.id === 2 && { rcode: Rcodes.NXDOMAIN }) })),
            ),
        ),
      ]),
    ]);
    const io = exchangeOf(query({ id: 1, name: "one.example.org" }));
    const first = responder.respond(io) as Promise<Uint8Array>;
    const second = ask(responder, { id: 2, name: "two.example.org" });
    for (const answer of waiting.toReversed()) answer();
    const decoded = decodeMessage(await first);
    expect([decoded?.id, decoded?.rcode, decoded?.question?.qname]).to.deep.equal([1, Rcodes.NOERROR, parseName("one.example.org")]);
    expect([(await second)?.id, (await second)?.rcode]).to.deep.equal([2, Rcodes.NXDOMAIN]);
  });

  it("observers see table hits too, with what was sent", async () => {
    const seen: [Query, Sent][] = [];
    const hits: AnswerTable = {
      answer(io, hit) {
        io.out.set(io.in.subarray(0, io.questionEnd), 0);
        Object.assign(hit, { length: io.questionEnd, rcode: Rcodes.NOERROR, replyFlags: 0x8400, answerCount: 1, block: 0, zone: 0 });
        return Outcomes.HIT;
      },
    };
    const { responder } = setting([block(".", [], { observers: [(asked, sent) => seen.push([asked, sent])] })], hits);
    await ask(responder, { name: "WEB.example.org", id: 7 });
    expect(seen.map(([asked, sent]) => [asked.id, asked.qname, sent.by, sent.rcode, sent.answerCount])).to.deep.equal([
      [7, parseName("web.example.org"), "kubernetes", Rcodes.NOERROR, 1],
    ]);
  });
});

describe("answers to packets that ask nothing", () => {
  it("are at most 200 a second to one network, and 2,000 in all", () => {
    let dropped = 0;
    const limiter = createErrorLimiter(() => dropped++);
    const io = exchangeOf(query());
    io.receivedAtMs = 0;
    const allowed = (address: string, times: number): number => {
      io.remoteAddress = address;
      io.family = address.includes(":") ? 6 : 4;
      return Array.from({ length: times }, () => limiter.allows(io)).filter(Boolean).length;
    };
    expect(allowed("192.0.2.1", 150) + allowed("192.0.2.99", 150)).to.equal(200);
    expect(allowed("2001:db8:1:200::1", 150) + allowed("2001:db8:1:2ff::1", 150)).to.equal(200);
    expect(allowed("2001:db8:1:300::1", 150)).to.equal(150);
    let others = 0;
    for (let network = 0; network < 20; network++) others += allowed(`198.51.${network}.1`, 100);
    expect(others).to.equal(2_000 - 200 - 200 - 150);
    expect(dropped).to.equal(100 + 100 + 2_000 - others);
    io.receivedAtMs = 1_000;
    expect(allowed("192.0.2.1", 1)).to.equal(1);
  });

  it("are not limited over TCP, where a sender is who it says", () => {
    const limiter = createErrorLimiter(() => undefined);
    const io = exchangeOf(query(), "tcp");
    expect(Array.from({ length: 500 }, () => limiter.allows(io)).every(Boolean)).to.equal(true);
  });
});
