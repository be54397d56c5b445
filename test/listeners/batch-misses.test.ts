// The main thread's half of the batch listener, with rings that are filled by the test instead of a thread.

import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "chai";
import { createThreadData, Layout, Signals, ThreadMemories } from "../../src/listeners/batch-shared.ts";
import { Misses, type ReplyPoint } from "../../src/listeners/misses.ts";
import { AF_INET } from "../../src/listeners/native.ts";
import { RingWriter } from "../../src/listeners/ring.ts";
import { needNative } from "../helpers/batch.ts";
import { query } from "../helpers/dns-client.ts";
import { fakeResponder, until } from "../helpers/listening.ts";

const native = await needNative();
const PACKET = query();
/** Far more than observers as slow as the test's take in one turn. */
const HITS = 1000;

describe("listeners/batch: turns of the main thread", () => {
  it("signals that come at once begin one turn of telling observers, not one each", async () => {
    let told = 0;
    const responder = {
      ...fakeResponder(),
      observed() {
        told++;
        for (const endMs = performance.now() + 0.2; performance.now() < endMs;);
      },
    };
    const { data, hits } = threadData();
    for (let count = 0; count < HITS; count++) putHit(hits);
    const misses = new Misses(native, 10);
    misses.add({ data, points: [POINT], responders: [responder] });
    misses.wake(Signals.HITS_NOW);
    const inFirst = told;
    expect(inFirst).to.be.within(1, HITS - 1);
    misses.wake(Signals.HITS_NOW);
    misses.wake(Signals.HITS_NOW);
    expect(told).to.equal(inFirst);
    await nextTurn();
    misses.wake(Signals.HITS_NOW);
    await until(() => told === HITS, "the rest follows");
    misses.stop();
  });
});

function threadData(): { data: ReturnType<typeof createThreadData>; hits: RingWriter } {
  const memory = new ThreadMemories().take();
  return {
    data: { ...createThreadData([], [], memory), hits: memory.hits },
    hits: new RingWriter(memory.hits),
  };
}

const POINT: ReplyPoint = { address: "127.0.0.1", port: 53, fd: undefined, isOwnAddress: () => false };

function putHit(hits: RingWriter): void {
  const at = hits.claim(Layout.HIT_PACKET + PACKET.length);
  hits.bytes.fill(0, at, at + Layout.HIT_PACKET);
  hits.words[(at + Layout.PACKET_LENGTH) >> 2] = PACKET.length;
  hits.bytes[at + Layout.NAME] = AF_INET;
  hits.bytes.set(PACKET, at + Layout.HIT_PACKET);
  hits.commit();
}
