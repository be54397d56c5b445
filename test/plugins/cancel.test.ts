import { expect } from "chai";

import { DROP, emptyReply, Rcodes, type Reply } from "../../src/dns/message.ts";
import { startServer } from "../../src/index.ts";
import { definePlugin, directive, type Answer } from "../../src/plugin.ts";
import cancel from "../../src/plugins/cancel/cancel.ts";
import { headerOf, query as packet, udpAsk } from "../helpers/dns-client.ts";
import { fakeHost, query, readDirective, setUp } from "../helpers/fake-host.ts";

const reply = emptyReply(Rcodes.NOERROR, "next");
const never = new Promise<Answer>(() => undefined);

async function handle(lines: string, answer: Answer | Promise<Answer>): Promise<Answer | undefined> {
  return (await setUp(cancel, lines, fakeHost("cancel"))).handle?.(query("www.example.org."), () => answer);
}

describe("plugins/cancel", () => {
  it("passes on what comes in time, at once what is there at once", async () => {
    expect(await handle("cancel", Promise.resolve(reply))).to.equal(reply);
    const instance = await setUp(cancel, "cancel", fakeHost("cancel"));
    expect(instance.handle?.(query("www.example.org."), () => DROP)).to.equal(DROP);
    expect(instance.transparent).to.equal(true);
  });

  it("answers SERVFAIL when the time is over, and ignores what comes then", async () => {
    let late: (answer: Answer) => void = () => undefined;
    const answer = (await handle("cancel 1ms", new Promise<Answer>((resolve) => (late = resolve)))) as Reply;
    late(reply);
    expect(answer).to.deep.include({ rcode: Rcodes.SERVFAIL, by: "cancel", error: "plugin/cancel: no answer within 1ms" });
    expect(answer.ede?.text).to.equal("no answer in time");
  });

  it("a failure that comes too late is nobody's, one in time is told on", async () => {
    let fail: (error: Error) => void = () => undefined;
    const answer = await handle("cancel 1ms", new Promise<Answer>((_, reject) => (fail = reject)));
    fail(new Error("late"));
    expect((answer as Reply).rcode).to.equal(Rcodes.SERVFAIL);
    const early = await handle("cancel", Promise.reject(new Error("early"))).catch((error: unknown) => (error as Error).message);
    expect(early).to.equal("early");
  });

  for (const [lines, says] of [
    ["cancel 0", 'Corefile:2:8: cancel: TIMEOUT must be a duration like "30s", "1m30s" or "500ms", at least 1 ms'],
    ["cancel -1s", "Corefile:2:8: cancel: TIMEOUT must be a duration"],
    ["cancel 5", "Corefile:2:8: cancel: TIMEOUT must be a duration"],
    ["cancel 1s 2s", "Corefile:2:11: cancel: expected [TIMEOUT]"],
    ["cancel 10000h", "Corefile:2:8: cancel: TIMEOUT must be a duration"],
  ] as const) {
    it(`refuses ${lines}`, () => expect(readDirective(cancel, lines).findings[0]).to.include(says));
  }

  it("over the socket", async () => {
    // A plugin of one's own stands in front of all others: it asks cancel, which has nothing but silence behind it.
    const silence = definePlugin({
      name: "silence",
      syntax: directive(),
      async setup(_, host, at) {
        const [options] = readDirective(cancel, "cancel 1ms").options;
        if (options === undefined) throw new Error("cancel 1ms was not read");
        const { handle: asked } = await cancel.setup(options, host, at);
        return { handle: (question) => asked?.(question, () => never) ?? DROP };
      },
    });
    await using dns = await startServer({ corefile: ". {\n silence\n}", plugins: [silence] });
    const answer = await udpAsk(dns.address, packet({ edns: {} }));
    expect(headerOf(answer ?? Buffer.alloc(12)).rcode).to.equal(Rcodes.SERVFAIL);
    expect(answer?.includes("no answer in time")).to.equal(true);
  });
});
