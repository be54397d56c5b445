// Asks one question each millisecond and tells when no answer came: `probe.ts PORT NAME PID`. A process of its own,
// started by scale.ts. Each message makes it tell the longest gap since the last one: between two answers, less the time
// in which this process or the server's main thread waited for a CPU, so that another program's hunger isn't taken for
// the server's pause.

import { createSocket } from "node:dgram";
import { closeSync, openSync, readSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { questionFor } from "./process.ts";

/** What the parent gets for each message it sends. */
export interface ProbeReport {
  readonly longestGapMs: number;
  /** As a client sees it, waiting for a CPU included. */
  readonly longestWithWaitsMs: number;
  readonly answered: number;
  readonly refused: number;
}

const EVERY_MS = 1;
/** A turn of this process's loop that takes longer was held up. */
const OWN_TURN_MS = 2;

const [port, name = "", pid = ""] = process.argv.slice(2);
const question = questionFor(name);
const socket = createSocket({ type: "udp4", lookup: (address, _family, callback) => callback(null, address, 4) });
const schedstat = openSync(`/proc/${pid}/task/${pid}/schedstat`, "r");
const text = Buffer.alloc(64);
let [longestGapMs, longestWithWaitsMs, answered, refused, heldUpMs, waitedMs] = [0, 0, 0, 0, 0, serverWaitedMs()];
let lastAnswerMs: number | undefined;
let lastTurnMs = performance.now();

socket.on("error", () => undefined); // before the server listens
socket.on("message", (reply) => {
  const nowMs = turn();
  if (((reply[3] as number) & 15) !== 0) refused++;
  answered++;
  take(nowMs);
  lastAnswerMs = nowMs;
  heldUpMs = 0;
  waitedMs = serverWaitedMs();
});
setInterval(() => {
  turn();
  socket.send(question, Number(port), "127.0.0.1");
}, EVERY_MS);

process.on("message", () => {
  // A gap that still lasts counts too.
  take(turn());
  const report: ProbeReport = { longestGapMs, longestWithWaitsMs, answered, refused };
  process.send?.(report);
  [longestGapMs, longestWithWaitsMs, answered, refused] = [0, 0, 0, 0];
});
process.on("disconnect", () => {
  closeSync(schedstat);
  process.exit(0);
});

function take(nowMs: number): void {
  if (lastAnswerMs === undefined) return;
  const gapMs = nowMs - lastAnswerMs;
  longestWithWaitsMs = Math.max(longestWithWaitsMs, gapMs);
  if (gapMs <= longestGapMs) return;
  longestGapMs = Math.max(longestGapMs, gapMs - heldUpMs - (serverWaitedMs() - waitedMs));
}

// Time that the thread was ready to run and did not: the second number (Documentation/scheduler/sched-stats.rst).
function serverWaitedMs(): number {
  const length = readSync(schedstat, text, 0, text.length, 0);
  return Number(text.toString("latin1", 0, length).split(" ")[1]) / 1e6;
}

function turn(): number {
  const nowMs = performance.now();
  if (nowMs - lastTurnMs > OWN_TURN_MS) heldUpMs += nowMs - lastTurnMs;
  lastTurnMs = nowMs;
  return nowMs;
}
