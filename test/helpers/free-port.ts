// A port for tests that must know it before the server starts. From below the range out of which the kernel takes those of
// clients: a connection that has ended keeps its port for a minute (TIME_WAIT), and after a few thousand of them one in
// five that the kernel offers for UDP can't be had for TCP.

import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

/** net.ipv4.ip_local_port_range begins at 32,768 on Linux. */
const [LEAST, END] = [20_000, 32_768];
const TRIES = 100;

/** Free for UDP and TCP at any IPv4 address a moment ago. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(LEAST, END);
    if ((await isFreeForTcp(port)) && (await isFreeForUdp(port))) return port;
  }
  throw new Error(`no free port between ${LEAST} and ${END}`);
}

function isFreeForTcp(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "0.0.0.0", () => server.close(() => resolve(true)));
  });
}

function isFreeForUdp(port: number): Promise<boolean> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    socket.once("error", () => socket.close(() => resolve(false)));
    socket.bind(port, "0.0.0.0", () => socket.close(() => resolve(true)));
  });
}
