// A server that can be told to live a hard life: its main thread blocked, its threads ended, its cluster changed. A
// program of its own over dist, started by subject.ts; in JavaScript, so that no loader sits in the process that is
// measured. `subject.js COREFILE` (the text).

import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { createServer } from "../../dist/server.js";
import { createLog } from "../../dist/log.js";

/** The oldest first; when each was started. */
const workers = new Map();
process.on("worker", (worker) => {
  workers.set(worker, performance.now());
  worker.on("exit", () => workers.delete(worker));
});

let [corefile] = process.argv.slice(2);
const log = createLog();
const server = await createServer({
  corefile,
  file: "Corefile",
  reread: () => corefile,
  port: 53,
  address: "",
  embedded: true,
  listeners: "auto",
  strict: true,
  env: {},
  log,
});

const asleep = new Int32Array(new SharedArrayBuffer(4));
const orders = {
  apply: ({ changes }) => server.registry.apply(...changes),
  // One after the other, by this process's own clock: nobody else's CPU is needed for it.
  async trickle({ changes, everyMs }) {
    let dueMs = performance.now();
    for (const some of changes) {
      dueMs += everyMs;
      await delay(Math.max(0, dueMs - performance.now()));
      server.registry.apply(...some);
    }
  },
  settle: () => server.settled(),
  block: ({ ms }) => void Atomics.wait(asleep, 0, 0, ms),
  // Whichever it is: UDP's, TCP's.
  async kill({ olderThanMs }) {
    const [oldest] = workers;
    if (oldest === undefined || performance.now() - oldest[1] < olderThanMs) return false;
    await oldest[0].terminate();
    return true;
  },
  async reload({ ttl }) {
    corefile = corefile.replace(/ttl \d+/, `ttl ${ttl}`);
    await server.reload();
  },
  // Node keeps some 7 MiB of the first fifty threads that end, whatever they were for, and little of later ones.
  async wear() {
    for (let nth = 0; nth < 100; nth++) {
      const worker = new Worker("setInterval(() => {}, 1000)", { eval: true });
      await once(worker, "online");
      await worker.terminate();
    }
  },
  // What is held, without what is only not yet collected.
  memory() {
    globalThis.gc?.();
    return process.memoryUsage.rss();
  },
};

process.on("message", async ({ id, order, ...rest }) => {
  const result = await orders[order](rest);
  process.send({ id, result });
});
process.on("disconnect", () => void server.stop("now").then(() => process.exit(0)));
process.send({ id: 0, result: server.describe() });
