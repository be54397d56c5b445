// One HINFO question over UDP to a socket of our own server: through the kernel, as a client's would come.

import { createSocket } from "node:dgram";
import { randomInt } from "node:crypto";
import { isIPv6 } from "node:net";

import { Flags, HEADER_BYTES, putUint16, uint16, type Rcode } from "../../dns/message.ts";
import { nameToWire } from "../../dns/name.ts";
import { RRClasses, RRTypes } from "../../dns/records.ts";
import type { Ask, Target } from "./watch.ts";

/** Longer than an upstream that has to recurse takes, and than a query that comes back. */
const TIMEOUT_MS = 5_000;
const RCODE_MASK = 0x0f;

export const askOurselves: Ask = (name, { host, port }, signal) => {
  const question = nameToWire(name);
  const packet = new Uint8Array(HEADER_BYTES + question.length + 4);
  const id = randomInt(0x1_0000);
  putUint16(packet, 0, id);
  putUint16(packet, 2, Flags.RD);
  putUint16(packet, 4, 1);
  packet.set(question, HEADER_BYTES);
  putUint16(packet, HEADER_BYTES + question.length, RRTypes.HINFO);
  putUint16(packet, HEADER_BYTES + question.length + 2, RRClasses.IN);

  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4").unref();
  return new Promise((resolve) => {
    let isOver = false;
    const done = (rcode?: Rcode): void => {
      if (isOver) return; // an error may come by two ways
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      socket.close();
      resolve(rcode);
    };
    const end = (): void => done();
    const timer = setTimeout(end, TIMEOUT_MS).unref();
    signal.addEventListener("abort", end, { once: true });
    socket.on("message", (answer) => {
      if (answer.length >= HEADER_BYTES && uint16(answer, 0) === id) done(uint16(answer, 2) & RCODE_MASK);
    });
    socket.on("error", end);
    socket.send(packet, port, host, (error) => error !== null && done());
  });
};

/** A socket and the ways to it: a wildcard is no address to send to, and has either family, or both. */
export function waysTo({ address, port }: Omit<Target, "host">): readonly Target[] {
  const hosts = address === "" || address === "::" ? ["127.0.0.1", "::1"] : address === "0.0.0.0" ? ["127.0.0.1"] : [address];
  return hosts.map((host) => ({ address, port, host }));
}
