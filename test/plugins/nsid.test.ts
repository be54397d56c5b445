import { hostname } from "node:os";
import { expect } from "chai";

import { startServer } from "../../src/index.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { DROP, OPTION_NSID, type Reply } from "../../src/dns/message.ts";
import nsid from "../../src/plugins/nsid/nsid.ts";
import { service } from "../../src/testing.ts";
import { query as packet, udpAsk } from "../helpers/dns-client.ts";
import { fakeHost, nextGives, query, readDirective, replyWith, setUp } from "../helpers/fake-host.ts";

const ASKING = { edns: { options: Buffer.from("000a00000003000178", "hex") } }; // COOKIE, and NSID with data
const given = replyWith("a.nl. 5 IN A 192.0.2.1");

describe("plugins/nsid", () => {
  for (const [line, data] of [
    ["nsid", hostname()],
    ["nsid one", "one"],
    ["nsid Use The Force", "Use The Force"],
    ['nsid "ü"', "ü"],
  ] as const) {
    it(`${line} tells ${data}`, async () => {
      const { handle } = await setUp(nsid, line, fakeHost("nsid"));
      for (const answer of [handle?.(query("a.nl", ASKING), nextGives(given)), await handle?.(query("a.nl", ASKING), async () => given)]) {
        const { options } = answer as Reply;
        const length = Buffer.byteLength(data);
        expect(Buffer.from(options ?? [])).to.deep.equal(Buffer.concat([Buffer.from([0, 3, 0, length]), Buffer.from(data)]));
      }
    });
  }

  it("keeps other options of the answer", async () => {
    const { handle } = await setUp(nsid, "nsid x", fakeHost("nsid"));
    const answer = handle?.(query("a.nl", ASKING), nextGives({ ...given, options: Buffer.from("00080000", "hex") })) as Reply;
    expect(Buffer.from(answer.options ?? []).toString("hex")).to.equal("000300017800080000");
  });

  it("tells nobody who has not asked, and does not answer by itself", async () => {
    const { handle, transparent } = await setUp(nsid, "nsid x", fakeHost("nsid"));
    expect(handle?.(query("a.nl"), nextGives(given))).to.equal(given);
    expect(handle?.(query("a.nl", { edns: {} }), nextGives(given))).to.equal(given);
    expect(handle?.(query("a.nl", ASKING), nextGives(DROP))).to.equal(DROP);
    expect(transparent).to.equal(true);
  });

  for (const listeners of ["portable", "auto"] as const) {
    it(`${listeners} listeners: the table's answers have it, too, for who asks (C47)`, async () => {
      await using dns = await startServer({ corefile: ". {\n nsid me\n kubernetes cluster.local\n}\n", listeners });
      dns.registry.apply({ verb: "upsert", object: service({ name: "web" }) });
      const told = async (name: string, options: readonly { code: number; data?: Uint8Array }[]): Promise<string> => {
        const answer = decodeMessage((await udpAsk(dns.address, packet({ name, edns: { options } }))) as Buffer);
        const found = answer?.edns?.options
          .filter(({ code }) => code !== 15)
          .map(({ code, data }) => `${code}:${Buffer.from(data).toString()}`);
        return `${answer?.rcode} ${answer?.answer.length} ${found?.join()}`;
      };
      for (let turn = 0; turn < 3; turn++) {
        expect(await told("web.default.svc.cluster.local", [{ code: OPTION_NSID }])).to.equal("0 1 3:me");
        expect(await told("none.default.svc.cluster.local", [{ code: 10, data: Buffer.alloc(8) }, { code: OPTION_NSID }])).to.equal(
          "3 0 3:me",
        );
        expect(await told("example.org", [{ code: OPTION_NSID, data: Buffer.from("x") }])).to.equal("5 0 3:me");
        expect(await told("web.default.svc.cluster.local", [])).to.equal("0 1 ");
      }
    });
  }

  it("nobody is told without the plugin (C47)", async () => {
    await using dns = await startServer({ corefile: ". {\n kubernetes cluster.local\n}\n" });
    dns.registry.apply({ verb: "upsert", object: service({ name: "web" }) });
    const asks = packet({ name: "web.default.svc.cluster.local", edns: { options: [{ code: OPTION_NSID }] } });
    expect(decodeMessage((await udpAsk(dns.address, asks)) as Buffer)?.edns?.options).to.deep.equal([]);
  });

  it("is bounded, and given once", () => {
    expect(readDirective(nsid, `nsid ${"x".repeat(129)}`).findings).to.deep.equal([
      "Corefile:2:1: nsid: DATA has at most 128 octets, found 129",
    ]);
    expect(readDirective(nsid, "nsid a\nnsid b").findings.join()).to.contain("can only be used once");
  });
});
