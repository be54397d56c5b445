// The loop of a listener thread, run by the test itself over system calls that it makes up.

import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { createThreadData, FAULTS, STOP, ThreadMemories, type Signal } from "../../src/listeners/batch-shared.ts";
import { runLoop } from "../../src/listeners/batch-loop.ts";
import { EAGAIN, type Native } from "../../src/listeners/native.ts";
import { needNative } from "../helpers/batch.ts";

const native = await needNative();
const EBADF = 9;
const SOCKETS = [{ fd: -1, hasPacketInfo: false, port: 53, front: -1 }];

/** Runs the loop with these results of recvmmsg; the thread is told to stop after so many calls. */
function run(recvmmsg: (call: number) => number, stopAfter: number): { calls: number; signals: Signal[]; faults: number } {
  const data = createThreadData(SOCKETS, [], new ThreadMemories().take());
  const signals: Signal[] = [];
  let calls = 0;
  const fake: Native = {
    ...native,
    recvmmsg() {
      if (++calls >= stopAfter) Atomics.store(data.control, STOP, 1);
      return recvmmsg(calls);
    },
  };
  const createFront = (): never => {
    throw new Error("there is no table");
  };
  runLoop({ native: fake, data, createFront, signal: (signal) => signals.push(signal) });
  return { calls, signals, faults: data.counters[FAULTS] as number };
}

describe("listeners/batch: clocks", () => {
  it("performance.now() goes on from the same beginning in a thread and on the main thread", async () => {
    const beforeMs = performance.now();
    const thread = new Worker('require("node:worker_threads").parentPort.postMessage(performance.now())', { eval: true });
    const inThreadMs = await new Promise<number>((resolve, reject) => thread.once("message", resolve).once("error", reject));
    expect(inThreadMs).to.be.within(beforeMs, performance.now());
  });
});

describe("listeners/batch: errors of recvmmsg", function () {
  this.timeout(10_000);

  it("one that lasts ends the thread, so that another takes its place", () => {
    expect(() => run(() => -EBADF, 1000)).to.throw("recvmmsg: EBADF, 100 times in a row");
  });

  it("some now and then are counted, and said once", () => {
    const { signals, faults } = run((call) => (call % 3 === 0 ? -EBADF : -EAGAIN), 60);
    expect(faults).to.equal(20);
    expect(signals.filter((signal) => typeof signal === "object")).to.deep.equal([{ fault: "recvmmsg: EBADF" }]);
  });
});
