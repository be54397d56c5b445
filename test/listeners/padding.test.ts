// Padding of answers (C48): RFC 7830, RFC 8467.

import { decode } from "dns-packet";
import { expect } from "chai";
import { padded } from "../../src/listeners/padding.ts";
import { readQuestion } from "../../src/dns/question.ts";
import { query, uint16s, type EdnsOptions } from "../helpers/dns-client.ts";
import { exchangeOf } from "../helpers/exchange.ts";

const PADDING: EdnsOptions = { options: [{ code: 12, data: Buffer.alloc(64) }] };
const OPT = Buffer.concat([Buffer.from([0]), uint16s(41, 1232, 0, 0, 0)]);
/** Padding that nobody asked for is none; an extended error before it stays. */
const OPT_WITH_EDE = Buffer.concat([Buffer.from([0]), uint16s(41, 1232, 0, 0, 8, 15, 4, 14), Buffer.from("no")]);

/** An answer to `packet` with A records and what is given behind them. */
function answer(packet: Buffer, addresses: number, opt: Buffer): Buffer {
  const question = packet.subarray(12, packet.indexOf(Buffer.from([0, 0, 1, 0, 1])) + 5);
  const a = Buffer.concat([uint16s(0xc00c, 1, 1, 0, 30, 4), Buffer.from([192, 0, 2, 1])]);
  const counts = uint16s(1, 0x8180, 1, addresses, 0, opt.length === 0 ? 0 : 1);
  return Buffer.concat([counts, question, ...Array.from({ length: addresses }, () => a), opt]);
}

async function ask(packet: Buffer, answered: Buffer, late: boolean): Promise<Buffer> {
  const io = exchangeOf(packet, "tcp");
  const outAt = (io.outAt = answered.length > 60_000 ? 0 : 2); // behind a length, where there is room for both
  const given = padded({
    respond(asked) {
      readQuestion(asked);
      if (late) return Promise.resolve(new Uint8Array(answered));
      asked.out.set(answered, asked.outAt);
      return answered.length;
    },
  }).respond(io);
  if (typeof given === "number") return Buffer.from(io.out.subarray(outAt, outAt + given));
  return Buffer.from((await given) ?? []);
}

describe("listeners/padding", () => {
  for (const late of [false, true]) {
    const when = late ? "promised" : "at once";
    for (const [addresses, bytes] of [
      [0, 468],
      [1, 468],
      [24, 468],
      [26, 468],
      [27, 936],
      [100, 1872],
    ] as const) {
      it(`an answer of ${addresses} records, ${when}, has ${bytes} bytes if the query was padded`, async () => {
        const packet = query({ edns: PADDING });
        const plain = answer(packet, addresses, OPT);
        const wide = await ask(packet, plain, late);
        expect(wide).to.have.length(bytes);
        expect(wide.subarray(0, plain.length - 2)).to.deep.equal(plain.subarray(0, -2));
        const { answers = [], additionals: [opt] = [] } = decode(wide);
        expect(answers).to.have.length(addresses);
        const options = (opt as { options?: { code: number; data: Buffer }[] }).options ?? [];
        expect(options.map(({ code }) => code)).to.deep.equal([12]);
      });
    }

    it(`what it says otherwise stays, ${when}`, async () => {
      const packet = query({ edns: PADDING });
      const wide = await ask(packet, answer(packet, 1, OPT_WITH_EDE), late);
      expect(wide).to.have.length(468);
      const { additionals: [opt] = [] } = decode(wide);
      const { options = [] } = opt as { options?: { code: number }[] };
      expect(options.map(({ code }) => code)).to.deep.equal([15, 12]);
    });

    const same: readonly [rule: string, edns: EdnsOptions | undefined, opt: Buffer][] = [
      ["a query without OPT", undefined, Buffer.alloc(0)],
      ["a query that was not padded", {}, OPT],
      ["a query with another option", { options: [{ code: 10, data: Buffer.alloc(8) }] }, OPT],
      ["an answer without OPT", PADDING, Buffer.alloc(0)],
    ];
    for (const [rule, edns, opt] of same) {
      it(`${rule}, ${when}: no padding`, async () => {
        const packet = query({ edns });
        const plain = answer(packet, 1, opt);
        expect(await ask(packet, plain, late)).to.deep.equal(plain);
      });
    }

    it(`the largest that there can be stays within 65,535 bytes, ${when}`, async () => {
      const packet = query({ edns: PADDING });
      const wide = await ask(packet, answer(packet, 4080, OPT), late);
      expect(wide).to.have.length(65_520);
      const most = await ask(packet, answer(packet, 4093, OPT), late);
      expect(most).to.have.length(65_535);
    });
  }

  it("nothing is nothing", async () => {
    expect(await ask(query({ edns: PADDING }), Buffer.alloc(0), false)).to.have.length(0);
  });
});
