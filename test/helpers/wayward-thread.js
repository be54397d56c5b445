// A listener thread that tests can lead astray: the loop as users run it, over a front that answers with the question,
// its own number as ANCOUNT, and that does to its thread what the first label of the qname says. Runs the built code.

import { parentPort, threadId, workerData } from "node:worker_threads";
import { runLoop } from "../../dist/listeners/batch-loop.js";
import { openNative } from "../../dist/listeners/native.js";
import { readQuestion } from "../../dist/dns/question.js";

const ASK_CHAIN = -1;

const DEEDS = {
  throw() {
    throw new Error("led astray");
  },
  exit: () => process.exit(3),
  memory() {
    for (const hoard = []; ;) hoard.push(Array.from({ length: 10_000 }, (_, index) => ({ index })));
  },
  spin() {
    for (;;);
  },
};

function createFront() {
  let deed;
  return {
    enter() {},
    leave: () => deed?.(),
    answer(io) {
      if (readQuestion(io) !== 0) return ASK_CHAIN;
      const length = io.questionEnd - io.inAt;
      const label = Buffer.from(io.name.slice(1, 1 + io.name[0])).toString();
      if (label === "chain") return ASK_CHAIN;
      if (label === "fault") throw new Error("a look-up that fails");
      if (label in DEEDS) {
        deed = DEEDS[label]; // when the batch is done
        return 0;
      }
      for (let index = 0; index < length; index++) io.out[io.outAt + index] = io.in[io.inAt + index];
      io.out[io.outAt + 2] |= 0x80;
      io.out[io.outAt + 6] = threadId >> 8;
      io.out[io.outAt + 7] = threadId;
      return length;
    },
  };
}

const native = await openNative();
runLoop({ native, data: workerData, createFront, signal: (signal) => parentPort?.postMessage(signal) });
