// A listener thread without sockets or tables, for tests of how threads are kept: it does what the test writes into the
// memory that its front brings as `owners`. Its words: order │ beats.

import { parentPort, workerData } from "node:worker_threads";

const { control, fronts } = workerData;
const words = new Int32Array(fronts[0].owners.buffer);
const [STOP, HEARTBEAT] = [0, 1];
const [RUN, END] = [1, 2];
const RUNNING = 0;
const WAIT_MS = 10;

let isRunning = false;
while (Atomics.load(control, STOP) === 0) {
  const order = Atomics.load(words, 0);
  if (order === END) process.exit(9);
  if (order === RUN) {
    if (!isRunning) parentPort.postMessage(RUNNING);
    isRunning = true;
    Atomics.add(control, HEARTBEAT, 1);
    Atomics.add(words, 1, 1);
  }
  Atomics.wait(words, 0, order, WAIT_MS);
}
