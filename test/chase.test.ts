// Where a CNAME leaves our zones: what becomes of the chain's answer to its target, and an ExternalName asked over the socket.

import { expect } from "chai";
import { followAlias } from "../src/chase.ts";
import { DROP, EdeCodes, emptyReply, Rcodes, type Query, type Records, type Reply } from "../src/dns/message.ts";
import { formatName, isWithin, parseName } from "../src/dns/name.ts";
import { parseRecordSets, typeOf } from "../src/dns/text.ts";
import { recordsOf } from "../src/dns/wire.ts";
import { startServer } from "../src/index.ts";
import { definePlugin, directive, zones, type Answer, type Plugin } from "../src/plugin.ts";
import type { Name } from "../src/dns/name.ts";
import type { Options } from "../src/config/directive.ts";
import { ask, service } from "../src/testing.ts";
import { nextGives, query, replyWith } from "./helpers/fake-host.ts";
import { formatReply } from "./plugins/kubernetes/fixture.ts";

const CNAME = "ext.default.svc.cluster.local. 5 IN CNAME www.example.com.";
const SOA = "example.com. 30 IN SOA ns.example.com. hostmaster.example.com. 1 2 3 4 30";
const TARGET = parseName("www.example.com.");
const ALIASES: Records = recordsOf(replyWith(CNAME, { by: "kubernetes" }));

function asking(type = "A", hops?: number): Query {
  return { ...query("ext.default.svc.cluster.local.", { type: typeOf(type) ?? 0, edns: {} }), ...(hops !== undefined && { hops }) };
}

async function joined(target: Answer, aliases = ALIASES): Promise<Records> {
  const answer = await followAlias(asking(), aliases, TARGET, () => target);
  if (answer === DROP) return expect.fail("dropped");
  return recordsOf(answer);
}

const foreign = (overrides: Partial<Records> = {}): Reply => ({
  ...emptyReply(Rcodes.NOERROR, "forward"),
  recursionAvailable: true,
  ...overrides,
});

describe("an alias whose target is elsewhere", () => {
  const rows: readonly { readonly rule: string; readonly target: Reply; readonly gives: readonly string[] }[] = [
    {
      rule: "has the target's records behind its own",
      target: foreign({ answer: parseRecordSets("www.example.com. 300 IN A 192.0.2.1") }),
      gives: [CNAME, "www.example.com. 300 IN A 192.0.2.1"],
    },
    {
      rule: "takes the rest of the chain along",
      target: foreign({ answer: parseRecordSets("www.example.com. 300 IN CNAME cdn.example.net.\ncdn.example.net. 20 IN A 192.0.2.2") }),
      gives: [CNAME, "www.example.com. 300 IN CNAME cdn.example.net.", "cdn.example.net. 20 IN A 192.0.2.2"],
    },
    {
      rule: "NODATA: the SOA of the chain's end",
      target: foreign({ authority: parseRecordSets(SOA) }),
      gives: [CNAME, `authority ${SOA}`],
    },
    {
      rule: "NXDOMAIN: rcode and SOA of the chain's end (RFC 6604 §2.1)",
      target: foreign({ rcode: Rcodes.NXDOMAIN, authority: parseRecordSets(SOA) }),
      gives: ["NXDOMAIN", CNAME, `authority ${SOA}`],
    },
    { rule: "SERVFAIL stays SERVFAIL", target: foreign({ rcode: Rcodes.SERVFAIL }), gives: ["SERVFAIL", CNAME] },
    {
      rule: "stands alone if nobody takes the target",
      target: { ...emptyReply(Rcodes.REFUSED, ""), unhandled: true },
      gives: [CNAME],
    },
    {
      rule: "that leads back to itself ends there",
      target: foreign({ answer: parseRecordSets(`www.example.com. 300 IN CNAME ext.default.svc.cluster.local.\n${CNAME}`) }),
      gives: [CNAME, "www.example.com. 300 IN CNAME ext.default.svc.cluster.local."],
    },
  ];
  for (const { rule, target, gives } of rows) {
    it(rule, async () => {
      const reply = await joined(target);
      expect(formatReply(reply)).to.deep.equal(gives);
      expect(reply).to.include({ authoritative: true, by: "kubernetes" });
    });
  }

  it("recursion was available if it was used; an answer that is foreign in part is remembered only in that part", async () => {
    const own = replyWith("www.example.com. 5 IN A 10.0.0.1");
    const made = recordsOf({ ...ALIASES, recursionAvailable: true }); // of `template`
    expect(await joined(foreign())).to.include({ recursionAvailable: true, perClient: true });
    expect(await joined(own)).to.not.have.any.keys("recursionAvailable", "perClient");
    expect(await joined(foreign(), made))
      .to.include({ recursionAvailable: true })
      .and.not.have.property("perClient");
    expect(await joined(own, made)).to.include({ recursionAvailable: true, perClient: true });
    expect(await joined({ ...own, perClient: true })).to.include({ perClient: true });
  });

  it("C50: a failure has the reason that the chain gives, else error 22", async () => {
    const ede = { code: EdeCodes.NETWORK_ERROR, text: "192.0.2.53: timed out" };
    const failed = foreign({ rcode: Rcodes.SERVFAIL, ede, error: "read udp: i/o timeout" });
    expect(await joined(failed)).to.deep.include({ ede, error: "read udp: i/o timeout" });
    expect((await joined(foreign({ rcode: Rcodes.SERVFAIL }))).ede?.code).to.equal(EdeCodes.NO_REACHABLE_AUTHORITY);
  });

  it("that may be old says so, unless the target's answer has a reason of its own", async () => {
    const old = { ...ALIASES, ede: { code: EdeCodes.STALE, text: "old" } };
    const blocked = { code: EdeCodes.FILTERED, text: "filtered" };
    expect((await joined(foreign(), old)).ede).to.equal(old.ede);
    expect((await joined(foreign({ ede: blocked }), old)).ede).to.equal(blocked);
  });

  it("C84: more than ten CNAMEs are not followed", async () => {
    const none = nextGives(undefined);
    expect(await followAlias(asking("A", 10), ALIASES, TARGET, none)).to.equal(ALIASES);
    let hops: number | undefined;
    await followAlias(asking("A", 9), ALIASES, TARGET, (asked) => {
      hops = asked.hops;
      return foreign();
    });
    expect(hops).to.equal(10);
  });

  it("questions about a name (ANY) are answered with what stands at it", async () => {
    expect(await followAlias(asking("ANY"), ALIASES, TARGET, nextGives(undefined))).to.equal(ALIASES);
  });

  it("what is dropped stays dropped", async () => {
    expect(await followAlias(asking(), ALIASES, TARGET, () => DROP)).to.equal(DROP);
  });
});

// In front of `kubernetes`: foreign names, one of which leads back into the cluster.
const elsewhere: Plugin<Options<readonly Name[], Record<never, never>>> = definePlugin({
  name: "elsewhere",
  syntax: directive({ args: zones() }),
  setup: ({ args }) => ({
    handle(asked, next) {
      if (!args.some((zone) => isWithin(asked.qname, zone))) return next(asked);
      const [label] = formatName(asked.qname).split(".");
      if (label === "nosuch") return foreign({ rcode: Rcodes.NXDOMAIN, authority: parseRecordSets(SOA) });
      const text =
        label === "back" ? "back.example.com. 60 IN CNAME loop.default.svc.cluster.local." : "www.example.com. 60 IN A 192.0.2.1";
      const answer = parseRecordSets(text).filter(({ type }) => label === "back" || type === asked.qtype);
      return Promise.resolve(foreign({ answer, authority: answer.length === 0 ? parseRecordSets(SOA) : [] }));
    },
  }),
});

describe("an ExternalName, asked over the socket", () => {
  const TARGETS: Readonly<Record<string, string>> = {
    ext: "www.example.com",
    two: "ext.default.svc.cluster.local",
    gone: "nosuch.example.com",
    loop: "back.example.com",
    far: "www.example.net",
  };
  const cname = (name: string): string => `${name}.default.svc.cluster.local. 5 IN CNAME ${TARGETS[name]}.`;
  const rows: readonly (readonly [rule: string, question: string, rcode: string, answer: readonly string[], authority?: string])[] = [
    ["the target's address", "ext A", "NOERROR", [cname("ext"), "www.example.com. 60 IN A 192.0.2.1"]],
    ["the other family", "ext AAAA", "NOERROR", [cname("ext")], SOA],
    ["a CNAME question gets only the CNAME", "ext CNAME", "NOERROR", [cname("ext")]],
    ["a target that does not exist", "gone A", "NXDOMAIN", [cname("gone")], SOA],
    ["through another ExternalName", "two A", "NOERROR", [cname("two"), cname("ext"), "www.example.com. 60 IN A 192.0.2.1"]],
    [
      "C-R4: a loop through another's name is told once",
      "loop A",
      "NOERROR",
      [cname("loop"), "back.example.com. 60 IN CNAME loop.default.svc.cluster.local."],
    ],
    ["a target that nobody takes", "far A", "NOERROR", [cname("far")]],
  ];
  for (const [rule, question, rcode, answer, authority] of rows) {
    it(rule, async () => {
      await using dns = await startServer({
        corefile: ". {\n  elsewhere example.com\n  kubernetes cluster.local\n}",
        plugins: [elsewhere as unknown as Plugin<unknown>],
      });
      for (const [name, externalName] of Object.entries(TARGETS)) {
        dns.registry.apply({ verb: "upsert", object: service({ name, type: "ExternalName", externalName }) });
      }
      const [name = "", type = ""] = question.split(" ");
      const reply = await ask(dns.address, `${name}.default.svc.cluster.local.`, type);
      expect(reply.rcode).to.equal(rcode);
      expect(reply.answer).to.deep.equal(answer);
      expect(reply.authority).to.deep.equal(authority === undefined ? [] : [authority]);
      expect(reply.flags).to.include("aa");
    });
  }
});
