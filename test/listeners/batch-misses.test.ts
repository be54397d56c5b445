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

describe("listeners/batch: more than the main thread can answer (C77)", () => {
  const WAITING = 3000;
  const KEPT = 1024;

  function flooded(points: readonly ReplyPoint[]): { readonly misses: Misses; readonly answered: number[] } {
    const memory = new ThreadMemories().take();
    const ring = new RingWriter(memory.misses);
    for (let id = 0; id < WAITING; id++) putMiss(ring, query({ name: "www.example.org.", id }), id % points.length);
    const responder = fakeResponder();
    const misses = new Misses(native, 10);
    const data = createThreadData([], [], memory);
    misses.add({ data, points, responders: points.map(() => responder) });
    misses.wake(Signals.MISSES);
    return {
      misses,
      get answered() {
        return responder.asked.map(({ id }) => id);
      },
    };
  }

  it("with shed the oldest are dropped and counted, the newest answered", async () => {
    let dropped = 0;
    const flood = flooded([{ ...POINT, onShed: () => void dropped++ }]);
    await until(() => dropped + flood.answered.length === WAITING, "all are taken");
    expect(flood.answered.length).to.be.within(KEPT, 2 * KEPT); // a question may be shorter than usual
    expect(flood.answered).to.deep.equal(Array.from({ length: flood.answered.length }, (_, index) => dropped + index));
    flood.misses.stop();
  });

  it("without it all that have found room are answered", async () => {
    const flood = flooded([POINT]);
    await until(() => flood.answered.length === WAITING, "all are taken");
    flood.misses.stop();
  });

  it("an address without it loses none to one that has it", async () => {
    let dropped = 0;
    const flood = flooded([POINT, { ...POINT, onShed: () => void dropped++ }]);
    await until(() => dropped + flood.answered.length === WAITING, "all are taken");
    expect(dropped).to.be.greaterThan(0);
    expect(flood.answered.filter((id) => id % 2 === 0)).to.have.length(WAITING / 2);
    flood.misses.stop();
  });
});

function putMiss(misses: RingWriter, packet: Buffer, socket: number): void {
  const at = misses.claim(Layout.MISS_PACKET + packet.length);
  expect(at).to.be.at.least(0);
  misses.bytes.fill(0, at, at + Layout.MISS_PACKET);
  misses.words[(at + Layout.SOCKET) >> 2] = socket;
  misses.words[(at + Layout.PACKET_LENGTH) >> 2] = packet.length;
  misses.bytes[at + Layout.NAME] = AF_INET;
  misses.bytes.set(packet, at + Layout.MISS_PACKET);
  misses.commit();
}
