// What tests of the batch listener need: an engine of the built code with what stands around it, and a table to answer from.

import { readdirSync } from "node:fs";
import { MessageChannel } from "node:worker_threads";
import { createCompiler } from "../../src/answers/compile.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { createZone } from "../../src/dns/map-zone.ts";
import { parseName } from "../../src/dns/name.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import type { SharedFront } from "../../src/front.ts";
import type { BatchAddress } from "../../src/listeners/batch-address.ts";
import type { BatchEngine, BatchEngineOptions } from "../../src/listeners/batch.ts";
import type { Listener } from "../../src/listeners/listener.ts";
import { loadNative, type Native } from "../../src/listeners/native.ts";
import { built } from "./built.ts";
import { countedMetrics, fakeResponder, recordedLog, type CountedMetrics, type FakeResponder, type RecordedLog } from "./listening.ts";

/** The native calls; a machine without them can't run these tests. */
export async function needNative(): Promise<Native> {
  const native = await loadNative();
  if ("missing" in native) throw new Error(native.missing);
  return native;
}

export interface EngineRig extends AsyncDisposable {
  readonly engine: BatchEngine;
  readonly listeners: readonly Listener[];
  readonly responder: FakeResponder;
  readonly log: RecordedLog;
  readonly metrics: CountedMetrics;
}

export interface EngineRigOptions extends Partial<Pick<BatchEngineOptions, "threads" | "worker">> {
  readonly addresses?: readonly Partial<BatchAddress>[];
}

/** Starts an engine; one address on loopback unless told otherwise. */
export async function engineRig({ threads = 1, addresses = [{}], worker }: EngineRigOptions = {}): Promise<EngineRig> {
  const { createBatchEngine } = await built<typeof import("../../src/listeners/batch.ts")>("listeners/batch");
  const around = { responder: fakeResponder(), log: recordedLog(), metrics: countedMetrics() };
  const native = await needNative();
  const engine = createBatchEngine({ native, threads, ...around, ...(worker === undefined ? {} : { worker }) });
  const listeners = addresses.map((address) => engine.listener({ address: "127.0.0.1", port: 0, responder: around.responder, ...address }));
  for (const listener of listeners) await listener.start();
  await engine.run();
  return { ...around, engine, listeners, [Symbol.asyncDispose]: () => engine.stop(0) };
}

/** Threads of wayward-thread.js, which their front leads astray. */
export const wayward: { readonly worker: URL; readonly share: () => SharedFront } = {
  worker: new URL("wayward-thread", import.meta.url),
  share: () => ({
    table: { control: new SharedArrayBuffer(8), grown: [], reader: 0, updates: new MessageChannel().port1 },
    blocks: [],
    owners: new Uint8Array(),
  }),
};

export interface SharedZone extends Required<Pick<BatchAddress, "share" | "unshare">> {
  /** Threads that have the table. */
  readonly readers: number;
}

/** A zone in a table, for threads to answer from. */
export async function sharedZone(apex: string, lines: readonly string[], observed = false): Promise<SharedZone> {
  const table = new TableWriter();
  const zone = createZone({ apex: parseName(apex), records: parseRecordSets(lines.join("\n")) });
  const instances = [{ name: "test", instance: { transparent: true as const, zones: [zone] } }];
  const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances }], (error) => {
    throw error;
  });
  compiler.start();
  await compiler.idle();
  compiler.stop();
  let readers = 0;
  return {
    get readers() {
      return readers;
    },
    share() {
      readers++;
      return { table: table.attach(), blocks: [{ cells: undefined, observed }], owners: new Uint8Array(256) };
    },
    unshare(shared) {
      readers--;
      table.detach(shared.table);
    },
  };
}

/** Open sockets of this process. */
export function openSockets(): number {
  return readdirSync("/proc/self/fd").length;
}
