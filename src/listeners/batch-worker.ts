// A listener thread of the batch listener, started by batch.ts: opens its tables and runs the loop.

import { parentPort, workerData } from "node:worker_threads";
import { openTable } from "../answers/reader.ts";
import { createFront } from "../front.ts";
import { runLoop } from "./batch-loop.ts";
import type { ThreadData } from "./batch-shared.ts";
import { openNative } from "./native.ts";

const data = workerData as ThreadData;
const native = await openNative();
if ("missing" in native) throw new Error(native.missing);
const tables = data.fronts.map(({ table }) => openTable(table));
runLoop({
  native,
  data,
  signal: (signal) => parentPort?.postMessage(signal),
  createFront({ front }, onHit) {
    const table = tables[front] as (typeof tables)[number];
    const { blocks, owners } = data.fronts[front] as ThreadData["fronts"][number];
    const { answer } = createFront({ table, blocks, owners, now: () => performance.now(), onHit });
    return { answer, enter: () => table.enter(), leave: () => table.leave() };
  },
});
