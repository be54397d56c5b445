// How one listener thread is kept running, with threads that do what the test says.

import { MessageChannel } from "node:worker_threads";
import { expect } from "chai";
import type { SharedFront } from "../../src/front.ts";
import type { SlotOptions } from "../../src/listeners/thread-slot.ts";
import { needNative } from "../helpers/batch.ts";
import { built } from "../helpers/built.ts";
import { countedMetrics, fakeResponder, recordedLog, until, type RecordedLog } from "../helpers/listening.ts";

const { ThreadSlot } = await built<typeof import("../../src/listeners/thread-slot.ts")>("listeners/thread-slot");
const { Misses } = await built<typeof import("../../src/listeners/misses.ts")>("listeners/misses");
const { createFold } = await built<typeof import("../../src/listeners/batch-metrics.ts")>("listeners/batch-metrics");
const { ThreadMemories } = await built<typeof import("../../src/listeners/batch-shared.ts")>("listeners/batch-shared");
const native = await needNative();

/** One thread of stub-thread.js. */
class Stub {
  readonly #words = new Int32Array(new SharedArrayBuffer(8));

  get front(): SharedFront {
    const table = { control: new SharedArrayBuffer(8), grown: [], reader: 0, updates: new MessageChannel().port1 };
    return { table, blocks: [], owners: new Uint8Array(this.#words.buffer) };
  }

  get beats(): number {
    return Atomics.load(this.#words, 1);
  }

  run(): void {
    this.#order(1);
  }

  end(): void {
    this.#order(2);
  }

  #order(order: number): void {
    Atomics.store(this.#words, 0, order);
    Atomics.notify(this.#words, 0);
  }
}

interface SlotRig extends AsyncDisposable {
  readonly slot: InstanceType<typeof ThreadSlot>;
  readonly log: RecordedLog;
  /** In the order in which they were started. */
  readonly stubs: Stub[];
  readonly fronts: { lent: number };
  areSocketsOpen: boolean;
  /** The newest thread runs, and is the slot's. */
  runs(): Promise<void>;
}

function slotRig(more: readonly { share?: () => never; socketOf?: () => never }[] = []): SlotRig {
  const stubs: Stub[] = [];
  const fronts = { lent: 0 };
  const served = {
    address: "127.0.0.1",
    port: 53,
    fd: undefined,
    isOwnAddress: () => false,
    received: 0,
    socketOf: () => ({ fd: -1, bound: { address: "127.0.0.1", port: 53 }, hasPacketInfo: false }),
  };
  const by = {
    responder: fakeResponder(),
    share() {
      fronts.lent++;
      const stub = new Stub();
      stubs.push(stub);
      return stub.front;
    },
    unshare: () => void fronts.lent--,
  };
  const options: SlotOptions = {
    index: 0,
    worker: new URL("../helpers/stub-thread", import.meta.url),
    log: recordedLog(),
    misses: new Misses(native, 10),
    fold: createFold(countedMetrics(), String),
    memories: new ThreadMemories(),
    served: () => [
      { ...served, by },
      ...more.map(({ share, ...one }) => ({ ...served, ...one, by: share === undefined ? by : { ...by, share } })),
    ],
    release: () => (rig.areSocketsOpen = false),
    reopen: () => (rig.areSocketsOpen = true),
  };
  const slot = new ThreadSlot(options);
  const rig: SlotRig = {
    slot,
    log: options.log as RecordedLog,
    stubs,
    fronts,
    areSocketsOpen: true,
    async runs() {
      stubs.at(-1)?.run();
      await until(() => slot.isRunning, "it runs");
    },
    [Symbol.asyncDispose]: () => slot.stop(),
  };
  return rig;
}

describe("listeners/batch: one thread's slot", function () {
  this.timeout(30_000);

  it("a thread that ends again while its successor starts leaves that its sockets", async () => {
    await using rig = slotRig();
    const { slot, stubs } = rig;
    void slot.start();
    await rig.runs();
    for (let times = 1; times <= 3; times++) {
      stubs.at(-1)?.end();
      await until(() => stubs.length === times + 1, "it is started again");
      await rig.runs();
    }
    const replaced = slot.replace();
    stubs.at(-2)?.end();
    await until(() => rig.log.lines.length === 4, "it ends");
    expect(rig.log.lines[3]).to.equal("error: listener thread 1 ended: exit code 9; it was being replaced");
    expect(rig.areSocketsOpen).to.equal(true);
    await rig.runs();
    await replaced;
    expect(slot.isRunning).to.equal(true);
    expect(stubs).to.have.length(5);
    expect(rig.fronts.lent).to.equal(1);
  });

  it("a thread and its successor that both end are followed by another", async () => {
    await using rig = slotRig();
    const { slot, stubs } = rig;
    void slot.start();
    await rig.runs();
    const replaced = slot.replace().catch((error: Error) => error.message);
    stubs[0]?.end();
    await until(() => rig.log.lines.length === 1, "the first ends");
    stubs[1]?.end();
    expect(await replaced).to.equal("listener thread 1 did not start: exit code 9");
    await until(() => stubs.length === 3, "another is started");
    await rig.runs();
    expect(rig.log.lines[1]).to.equal("error: listener thread 1 ended: exit code 9; starting it again at once");
    expect(rig.fronts.lent).to.equal(1);
  });

  it("a successor that never gets to its loop is given up, and the one before goes on", async () => {
    await using rig = slotRig();
    const { slot, stubs } = rig;
    void slot.start();
    await rig.runs();
    const replaced = slot.replace().catch((error: Error) => error.message);
    for (let look = 0; look < 6; look++) {
      const beats = stubs[0]?.beats ?? 0;
      await until(() => (stubs[0]?.beats ?? 0) > beats + 1, "the first goes on");
      slot.look(2000);
    }
    expect(await replaced).to.equal("listener thread 1 did not start: its loop stood still for 10 s");
    expect({ isRunning: slot.isRunning, stillMs: slot.stillMs, lent: rig.fronts.lent }).to.deep.equal({
      isRunning: true,
      stillMs: 0,
      lent: 1,
    });
    expect(rig.log.lines).to.deep.equal([]);
  });

  it("a thread that can't be given all it needs leaves nothing behind", async () => {
    const refuse = (): never => {
      throw new Error("no memory");
    };
    for (const refused of [{ share: refuse }, { socketOf: refuse }]) {
      await using rig = slotRig([refused]);
      const error = await rig.slot.start().catch((reason: Error) => reason.message);
      expect(error).to.equal("no memory");
      expect(rig.fronts.lent).to.equal(0);
    }
  });
});
