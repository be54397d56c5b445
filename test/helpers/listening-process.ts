// A process of its own with a UDP and a TCP listener, for tests that spoil a whole process. Prints a line of JSON with
// its ports and its open descriptors, then its log. Ends with its standard input.

import { readdirSync } from "node:fs";
import { tcpListener } from "../../src/listeners/tcp.ts";
import { udpListener } from "../../src/listeners/udp.ts";
import type { Log } from "../../src/log.ts";
import { countedMetrics, fakeResponder, recordedLog } from "./listening.ts";

const log: Log = { ...recordedLog(), error: (message) => console.log(`error: ${message}`) };
const options = { address: "127.0.0.1", port: 0, responder: fakeResponder(), metrics: countedMetrics(), log };
const [udp, tcp] = [udpListener(options), tcpListener(options)];
void Promise.all([udp.start(), tcp.start()]).then(() => {
  console.log(JSON.stringify({ udp: udp.bound, tcp: tcp.bound, descriptors: readdirSync("/proc/self/fd").length }));
});
process.stdin.on("end", () => process.exit(0)).resume();
