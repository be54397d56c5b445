// The system's clock.

import { setTimeout as wait } from "node:timers/promises";
import { expect } from "chai";
import { systemClock } from "../src/clock.ts";

describe("clock", () => {
  it("many may wait for one end, all leave with it, and Node warns of no leak", async () => {
    const warnings: string[] = [];
    const warned = ({ name }: Error): void => void warnings.push(name);
    process.on("warning", warned);
    const ended = new AbortController();
    const waiting = Array.from({ length: 50 }, () => systemClock.delay(60_000, ended.signal));
    ended.abort();
    await Promise.all(waiting);
    await wait(0); // warnings come a turn later
    process.off("warning", warned);
    expect(warnings).to.deep.equal([]);
  });
});
