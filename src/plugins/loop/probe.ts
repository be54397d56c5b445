// One HINFO question over UDP to a socket of our own server: through the kernel, as a client's would come.

import { createSocket } from "node:dgram";
import { randomInt } from "node:crypto";
import { isIPv6 } from "node:net";

import { Flags, HEADER_BYTES, putUint16, uint16 } from "../../dns/message.ts";
import { nameToWire } from "../../dns/name.ts";
import { RRClasses, RRTypes } from "../../dns/records.ts";
import type { Ask } from "./watch.ts";

/** Longer than an upstream that has to recurse takes, and than a query that comes back. */
const TIMEOUT_MS = 5_000;

export const askOurselves: Ask = (name, { address, port }, signal) => {
  const question = nameToWire(name);
  const packet = new Uint8Array(HEADER_BYTES + question.length + 4);
  const id = randomInt(0x1_0000);
  putUint16(packet, 0, id);
  putUint16(packet, 2, Flags.RD);
  putUint16(packet, 4, 1);
  packet.set(question, HEADER_BYTES);
  putUint16(packet, HEADER_BYTES + question.length, RRTypes.HINFO);
  putUint16(packet, HEADER_BYTES + question.length + 2, RRClasses.IN);

  const host = loopbackFor(address);
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4").unref();
  return new Promise((resolve) => {
    const done = (isAnswered: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.removeAllListeners("message").close();
      resolve(isAnswered);
    };
    const onAbort = (): void => done(false);
    const timer = setTimeout(onAbort, TIMEOUT_MS).unref();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("message", (answer) => {
      if (answer.length >= HEADER_BYTES && uint16(answer, 0) === id) done(true);
    });
    // Nothing came of it: the timer says so.
    socket.on("error", () => undefined);
    socket.send(packet, port, host, () => undefined);
  });
};

/** A wildcard is no address to send to. */
function loopbackFor(address: string): string {
  return address === "" || address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address;
}
