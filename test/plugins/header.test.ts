import { expect } from "chai";

import { startServer } from "../../src/index.ts";
import { DROP, Flags, type Query, type Reply } from "../../src/dns/message.ts";
import header from "../../src/plugins/header/header.ts";
import { service } from "../../src/testing.ts";
import { headerOf, query as packet, udpAsk } from "../helpers/dns-client.ts";
import { fakeHost, nextGives, query, readDirective, replyWith, setUp } from "../helpers/fake-host.ts";

const block = (lines: string): string => `header {\n${lines}\n}`;

describe("plugins/header", () => {
  const queries: readonly (readonly [rules: string, flags: number, gives: number])[] = [
    ["query set rd", 0, Flags.RD],
    ["query clear rd", Flags.RD | Flags.CD, Flags.CD],
    ["query set RD\nquery clear rd", Flags.RD, 0],
    ["QUERY".toLowerCase() + " Clear rd ra\nquery set rd aa", 0, Flags.RD | Flags.AA],
    ["response set ra", Flags.RD, Flags.RD],
  ];
  for (const [rules, flags, gives] of queries) {
    it(`${rules.replaceAll("\n", "; ")}: a question with ${flags} is asked with ${gives}`, async () => {
      const { handle } = await setUp(header, block(rules), fakeHost("header"));
      let asked: Query | undefined;
      await handle?.(query("a.nl", { flags }), (behind) => {
        asked = behind;
        return DROP;
      });
      expect(asked?.flags).to.equal(gives);
    });
  }

  it("later rules count for answers, too; what came is left as it was", async () => {
    const { handle } = await setUp(header, block("response set ra aa rd\nresponse clear rd aa"), fakeHost("header"));
    const given = replyWith("a.nl. 5 IN A 192.0.2.1");
    for (const answer of [handle?.(query("a.nl"), nextGives(given)), await handle?.(query("a.nl"), async () => given)]) {
      expect(answer as Reply).to.deep.include({
        answer: given.answer,
        authoritative: false,
        recursionAvailable: true,
        recursionDesired: false,
      });
    }
    expect(given.authoritative).to.equal(true);
    expect(handle?.(query("a.nl"), nextGives(DROP))).to.equal(DROP);
  });

  it("rules for questions alone leave answers and the table alone", async () => {
    const { handle, transparent } = await setUp(header, block("query set rd"), fakeHost("header"));
    const given = replyWith("a.nl. 5 IN A 192.0.2.1");
    expect(handle?.(query("a.nl"), nextGives(given))).to.equal(given);
    expect(transparent).to.equal(true);
    expect((await setUp(header, block("response set ra"), fakeHost("header"))).transparent).to.equal(undefined);
  });

  it("through a socket, for what the table would have answered", async () => {
    const corefile = `. {\n${block("response set ra aa\nresponse clear rd")}\nkubernetes cluster.local\n}\n`;
    await using dns = await startServer({ corefile });
    dns.registry.apply({ verb: "upsert", object: service({ name: "web" }) });
    for (const name of ["web.default.svc.cluster.local", "none.default.svc.cluster.local"]) {
      const { flags } = headerOf((await udpAsk(dns.address, packet({ name, flags: Flags.RD }))) as Buffer);
      expect(flags & ~15).to.equal(Flags.QR | Flags.AA | Flags.RA);
    }
  });

  const wrong: readonly (readonly [text: string, says: string])[] = [
    ["header", "2:1: header: expected a block with query or response, and set or clear"],
    ["header {\n}", "2:1: header: expected a block with query or response, and set or clear"],
    ["header {\nfoo\n}", "3:1: header: unknown property 'foo'; known: query, response"],
    ["header {\nresponse set\n}", '3:1: header: response: expected set|clear FLAGS..., found "set"'],
    ["header {\nquery\n}", "3:1: header: query: expected set|clear FLAGS..., found nothing"],
    ["header {\nquery foo rd\n}", '3:7: header: query: must be set or clear, found "foo"'],
    ["header {\nquery set tc\n}", '3:11: header: query: must be aa, ra or rd, found "tc"'],
  ];
  for (const [text, says] of wrong) {
    it(`${text.replaceAll("\n", "; ")}: ${says}`, () => {
      expect(readDirective(header, text).findings[0]).to.equal(`Corefile:${says}`);
    });
  }
});
