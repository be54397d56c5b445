import { expect } from "chai";

import { startServer } from "../../src/index.ts";
import { DROP, Flags, type Records } from "../../src/dns/message.ts";
import { RRTypes, type RRType } from "../../src/dns/records.ts";
import { formatRecord } from "../../src/dns/text.ts";
import type { Instance } from "../../src/plugin.ts";
import erratic from "../../src/plugins/erratic/erratic.ts";
import { headerOf, query as packet, udpClient } from "../helpers/dns-client.ts";
import { fakeHost, nextGives, query, readDirective, setUp } from "../helpers/fake-host.ts";

const block = (lines: string): string => `erratic {\n${lines}\n}`;

/** What becomes of one question: nothing, a late answer, a cut one, an answer. */
function outcome({ handle }: Instance, type: RRType = RRTypes.A): string {
  const answer = handle?.(query("a.nl", { type }), nextGives(undefined));
  if (answer === DROP) return "-";
  if (answer instanceof Promise) return "late";
  return (answer as Records).truncated === true ? "cut" : "ok";
}

describe("plugins/erratic", () => {
  const rows: readonly (readonly [text: string, outcomes: string])[] = [
    ["erratic", "- ok - ok - ok"],
    [block("drop"), "- ok - ok - ok"],
    [block("drop 3"), "- ok ok - ok ok"],
    [block("drop 0"), "ok ok ok ok ok ok"],
    [block("truncate 3"), "cut ok ok cut ok ok"],
    [block("delay"), "late ok late ok late ok"],
    [block("delay 3 5ms\ntruncate 2"), "late ok cut late cut ok"],
    [block("drop 2\ntruncate 3\ndelay 5"), "- ok - cut - late"],
  ];
  for (const [text, outcomes] of rows) {
    it(`${text.replaceAll("\n", " ")}: ${outcomes}`, async () => {
      const instance = await setUp(erratic, text, fakeHost("erratic"));
      expect(
        outcomes
          .split(" ")
          .map(() => outcome(instance))
          .join(" "),
      ).to.equal(outcomes);
      await instance.stop?.();
    });
  }

  it("answers A, AAAA and nothing else", async () => {
    const { handle } = await setUp(erratic, block("drop 0"), fakeHost("erratic"));
    const ask = (type: RRType): Records => handle?.(query("a.nl", { type }), nextGives(undefined)) as Records;
    const lines = ({ answer }: Records): string[] => answer.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata)));
    expect(lines(ask(RRTypes.A))).to.deep.equal(["a.nl. 0 IN A 192.0.2.53"]);
    expect(lines(ask(RRTypes.AAAA))).to.deep.equal(["a.nl. 0 IN AAAA 2001:db8::53"]);
    expect(ask(RRTypes.A)).to.include({ rcode: 0, authoritative: true, by: "erratic" });
    expect(ask(RRTypes.TXT)).to.include({ rcode: 2, by: "erratic" });
  });

  it("large answers do not fit 512 octets", async () => {
    const { handle } = await setUp(erratic, block("drop 0\nlarge"), fakeHost("erratic"));
    const reply = handle?.(query("a.nl"), nextGives(undefined)) as Records;
    expect(reply.answer[0]?.rdata).to.have.length(30);
  });

  it("what waits is answered when it stops, and no more than so much waits", async () => {
    const instance = await setUp(erratic, block("delay 1 1h"), fakeHost("erratic"));
    const answers = Array.from({ length: 10_001 }, () => instance.handle?.(query("a.nl"), nextGives(undefined)));
    expect(answers.at(-1)).to.equal(DROP);
    await instance.stop?.();
    expect(await answers[0]).to.include({ by: "erratic" });
  });

  it("is ready for a while only", async () => {
    const instance = await setUp(erratic, "erratic", fakeHost("erratic"));
    const ready = Array.from({ length: 7 }, () => {
      const isReady = instance.ready?.();
      outcome(instance);
      return isReady;
    });
    expect(ready).to.deep.equal([false, false, false, true, true, false, false]);
    expect(instance.notReadyReason?.()).to.equal("is ready after 3 and before 5 queries only, 7 so far");
  });

  it("through a socket: every second answer is lost, others come with TC", async () => {
    await using dns = await startServer({ corefile: `. {\n${block("drop 2\ntruncate 3")}\n}\n` });
    const client = await udpClient(dns.address);
    try {
      for (let id = 0; id < 6; id++) client.send(packet({ name: "a.nl", id }));
      for (const id of [1, 3, 5]) {
        const { flags, ...head } = headerOf((await client.receive()) as Buffer);
        expect(head).to.deep.include({ id, counts: [1, 1, 0, 0] });
        expect((flags & Flags.TC) !== 0).to.equal(id === 3);
      }
    } finally {
      client.close();
    }
  });

  it("says what is wrong", () => {
    expect(readDirective(erratic, block("drop x")).findings).to.deep.equal([
      'Corefile:3:6: erratic: drop: AMOUNT must be 0–2147483647, found "x"',
    ]);
    expect(readDirective(erratic, block("delay 1 2")).findings.join()).to.contain("3:9: erratic: delay: DURATION must be a duration");
    expect(readDirective(erratic, block("delay 1 2s 3")).findings.join()).to.contain("expected [AMOUNT [DURATION]]");
  });
});
