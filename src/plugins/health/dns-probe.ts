// Asks our own DNS socket once a second, so that a slow or deaf server shows in a metric. It never turns /health: a flood
// that drops our probe drops the queries of clients too, and a restart would not mend that.

import type { Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { randomInt } from "node:crypto";

import { nameToWire, type Name } from "../../dns/name.ts";
import { RRTypes } from "../../dns/records.ts";
import { TIME_BUCKETS, type Metrics } from "../../metrics.ts";
import { ownAddress } from "./self-probe.ts";

export interface DnsProbe {
  /** Asks once; resolves when the answer or the failure is counted. Never rejects. */
  once(): Promise<void>;
  close(): void;
}

/** Below the interval, so that no two are under way. */
const TIMEOUT_MS = 900;
const CLASS_IN = 1;

interface Options {
  /** Where we listen; "" is every address. */
  readonly target: { readonly address: string; readonly port: number };
  /** Its SOA is asked for, which the answer table has. */
  readonly zone: Name;
  readonly metrics: Metrics;
  readonly timeoutMs?: number;
}

export function createDnsProbe({ target: { address, port }, zone, metrics, timeoutMs = TIMEOUT_MS }: Options): DnsProbe {
  const host = ownAddress(address);
  const duration = metrics.histogram(
    "ndots_health_dns_duration_seconds",
    "Histogram of the time (in seconds) that our own query to the first DNS socket took.",
    TIME_BUCKETS,
  );
  const failures = metrics.counter("ndots_health_dns_failures_total", "How often our own query to the first DNS socket got no answer.");
  failures.add({}, 0);
  const ended = new AbortController();
  let socket: Promise<Socket> | undefined;

  return {
    async once() {
      if (ended.signal.aborted) return;
      const startedMs = performance.now();
      try {
        await ask(await (socket ??= open()));
        duration.observe((performance.now() - startedMs) / 1000);
      } catch {
        if (!ended.signal.aborted) failures.add();
      }
    },
    close() {
      ended.abort();
      void socket?.then((open) => open.close()); // open() never rejects
    },
  };

  async function open(): Promise<Socket> {
    const { createSocket } = await import("node:dgram");
    // An error between two questions is nobody's: the next one finds out.
    return createSocket(isIPv6(host) ? "udp6" : "udp4")
      .on("error", () => undefined)
      .unref();
  }

  function ask(from: Socket): Promise<void> {
    const id = randomInt(0x1_0000);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => done(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs).unref();
      const onMessage = (answer: Buffer): void => {
        if (answer.length >= 2 && answer.readUInt16BE() === id) done();
      };
      const stop = (): void => done(new Error("the server stops"));
      const done = (error?: Error): void => {
        clearTimeout(timer);
        from.off("message", onMessage).off("error", done);
        ended.signal.removeEventListener("abort", stop);
        if (error === undefined) resolve();
        else reject(error);
      };
      from.on("message", onMessage).on("error", done);
      ended.signal.addEventListener("abort", stop);
      from.send(question(id, zone), port, host, (error) => error && done(error));
    });
  }
}

function question(id: number, zone: Name): Uint8Array {
  const name = nameToWire(zone);
  const packet = Buffer.alloc(12 + name.length + 4);
  packet.writeUInt16BE(id);
  packet.writeUInt16BE(1, 4); // one question
  packet.set(name, 12);
  packet.writeUInt16BE(RRTypes.SOA, 12 + name.length);
  packet.writeUInt16BE(CLASS_IN, 14 + name.length);
  return packet;
}
