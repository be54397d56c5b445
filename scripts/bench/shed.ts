// How old questions are when they are answered under three times what the server can answer, and how soon it is well again:
// scripts/bench/run shed. Open loop: the client sends what it wants to send, whatever comes back.

import { fork } from "node:child_process";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { query } from "../../test/helpers/dns-client.ts";
import { SERVER_CPU } from "./dnsperf.ts";
import { root } from "./process.ts";
import { percentile, shown, table, writeSection } from "./results.ts";

const PORT = 5491;
const QUERIES_PER_SECOND = 15_000;
const FLOOD_MS = 5_000;
const TICK_MS = 2;
/** What comes later is of no use: the client has asked again. */
const PATIENCE_MS = 2_000;
/** The client is well when a question takes no longer than this again. */
const WELL_MS = 10;
const IDS = 65_536;

const rows: string[][] = [];
for (const [what, directives] of [
  ["as it is", ""],
  ["with shed", "shed"],
] as const) {
  rows.push([what, ...(await flood(directives))]);
}
writeSection(
  "Overload",
  `A main thread that can answer some 5,000 questions a second is asked ${QUERIES_PER_SECOND} a second for ${FLOOD_MS / 1000} s (one UDP thread; none is
in the answer table). Age of questions when their answer comes; when a question that is sent behind the flood is answered within ${WELL_MS} ms again.

${table(["", "answered", "median age", "p99", "oldest", "well again after"], rows)}`,
);

async function flood(directives: string): Promise<string[]> {
  const pinned = { execPath: "taskset", execArgv: ["-c", String(SERVER_CPU), process.execPath] };
  const server = fork(join(root, "scripts/bench/overloaded.js"), [String(PORT), directives], pinned);
  await new Promise((resolve) => server.once("message", resolve));
  const socket = createSocket("udp4");
  socket.bind(0);
  socket.connect(PORT, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.setSendBufferSize(4 * 1024 * 1024);
  const sentMs = new Float64Array(IDS);
  const agesMs: number[] = [];
  let onAnswer = (_id: number): void => {};
  socket.on("message", (packet) => {
    const id = packet.readUInt16BE(0);
    const ageMs = performance.now() - (sentMs[id] as number);
    if (ageMs < PATIENCE_MS) agesMs.push(ageMs);
    onAnswer(id);
  });
  const packet = query({ name: "www.example.org." });
  let next = 0;
  const send = (): number => {
    const id = next++ % IDS;
    packet.writeUInt16BE(id, 0);
    sentMs[id] = performance.now();
    socket.send(Buffer.from(packet));
    return id;
  };
  const startMs = performance.now();
  for (let nowMs = startMs; nowMs - startMs < FLOOD_MS; nowMs = performance.now()) {
    const due = ((nowMs - startMs) * QUERIES_PER_SECOND) / 1000;
    while (next < due) send();
    await delay(TICK_MS);
  }
  const endMs = performance.now();
  const answered = agesMs.length;
  const ages = agesMs.slice();
  for (;;) {
    const askedMs = performance.now();
    const id = send();
    await new Promise<void>((resolve) => (onAnswer = (answeredId) => answeredId === id && resolve()));
    if (performance.now() - askedMs <= WELL_MS) break;
  }
  const wellMs = performance.now() - endMs;
  socket.close();
  server.disconnect();
  const ms = (value: number): string => `${shown(value)} ms`;
  return [
    `${shown((answered / FLOOD_MS) * 1000)}/s`,
    ms(percentile(ages, 50)),
    ms(percentile(ages, 99)),
    ms(Math.max(...ages)),
    ms(wellMs),
  ];
}
