// Asks one question each millisecond and tells when no answer came: `probe.ts PORT NAME`. A process of its own, started
// by scale.ts. Each message makes it print the longest gap since the last one: between two answers, less the time in
// which this process itself was held up, so that another program's CPU hunger isn't taken for the server's pause.

import { createSocket } from "node:dgram";
import { performance } from "node:perf_hooks";
import { questionFor } from "./process.ts";

/** What the parent gets for each message it sends. */
export interface ProbeReport {
  readonly longestGapMs: number;
  readonly answered: number;
  readonly refused: number;
}

const EVERY_MS = 1;
/** A turn of this process's loop that takes longer was held up. */
const OWN_TURN_MS = 2;

const [port, name = ""] = process.argv.slice(2);
const question = questionFor(name);
const socket = createSocket({ type: "udp4", lookup: (address, _family, callback) => callback(null, address, 4) });
let [longestGapMs, answered, refused, heldUpMs] = [0, 0, 0, 0];
let lastAnswerMs: number | undefined;
let lastTurnMs = performance.now();

socket.on("error", () => undefined); // before the server listens
socket.on("message", (reply) => {
  const nowMs = turn();
  if (((reply[3] as number) & 15) !== 0) refused++;
  answered++;
  if (lastAnswerMs !== undefined) longestGapMs = Math.max(longestGapMs, nowMs - lastAnswerMs - heldUpMs);
  lastAnswerMs = nowMs;
  heldUpMs = 0;
});
setInterval(() => {
  turn();
  socket.send(question, Number(port), "127.0.0.1");
}, EVERY_MS);

process.on("message", () => {
  // A gap that still lasts counts too.
  if (lastAnswerMs !== undefined) longestGapMs = Math.max(longestGapMs, turn() - lastAnswerMs - heldUpMs);
  const report: ProbeReport = { longestGapMs, answered, refused };
  process.send?.(report);
  [longestGapMs, answered, refused] = [0, 0, 0];
});
process.on("disconnect", () => process.exit(0));

function turn(): number {
  const nowMs = performance.now();
  if (nowMs - lastTurnMs > OWN_TURN_MS) heldUpMs += nowMs - lastTurnMs;
  lastTurnMs = nowMs;
  return nowMs;
}
