// When `loop` probes, and what it says then: at start until it has seen its own query, for 30 s at most; then at growing
// intervals, for resolv.conf files, upstreams and their configurations change; often while there is a loop.

import { randomBytes } from "node:crypto";

import type { Clock } from "../../clock.ts";
import { Rcodes, type Rcode } from "../../dns/message.ts";
import { formatName, nameBelow, type Name } from "../../dns/name.ts";
import type { Log } from "../../log.ts";
import type { Guard, Sightings } from "./guard.ts";

/** One of the server's own sockets. */
export interface Target {
  /** "" and "::" are every address. */
  readonly address: string;
  readonly port: number;
  /** How it is reached from here. */
  readonly host: string;
}

/** Sends one question to ourselves; the answer's rcode, or undefined where there is none. Never rejects. */
export type Ask = (name: Name, target: Target, signal: AbortSignal) => Promise<Rcode | undefined>;

export interface WatchOptions {
  readonly guard: Guard;
  readonly zone: Name;
  readonly log: Log;
  /** May hold other server blocks' sockets too. */
  readonly targets: () => readonly Target[];
  /** True if queries have failed since it was asked last. */
  readonly hasFailed: () => boolean;
  readonly ask: Ask;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Ends the process when a loop is found at start. */
  readonly exit?: () => Promise<unknown>;
}

/** CoreDNS's time at start, and its pause between two probes then. */
const START_MS = 30_000;
const FIRST_PAUSE_MS = 1_000;
/** Later, without a loop, unless queries fail. A probe is a name that upstreams don't have: it must cost them nothing. */
const LEAST_PAUSE_MS = 60_000;
const MOST_PAUSE_MS = 16 * 60_000;
/** While there is a loop. */
const LOOP_PAUSE_MS = 30_000;
/** Probes without a loop until it is gone: with several upstreams only some of them may loop. */
const CLEAR_PROBES = 3;
const RANDOM_BYTES = 8;

// `hidden`: nobody came to us, as a plugin in front answers such names or the sockets are not ours yet. `silent`: no answer,
// or SERVFAIL, so that nothing is known.
type Outcome = "looping" | "clear" | "silent" | "hidden";

/** Resolves when `signal` aborts, or when nothing can be found out here. */
export async function watchForLoops(options: WatchOptions): Promise<void> {
  const { guard, zone, log, clock, signal, hasFailed, exit } = options;
  const startedMs = clock.monotonic();
  let wasSeen = false;
  let clearProbes = 0;
  let earlyPauseMs = FIRST_PAUSE_MS;
  let pauseMs = LEAST_PAUSE_MS;
  while (!signal.aborted) {
    const wasLooping = guard.isLooping;
    const { outcome, text } = await probe(options);
    if (signal.aborted) return;
    const isStarting = clock.monotonic() - startedMs + earlyPauseMs <= START_MS;
    wasSeen ||= outcome !== "hidden";
    clearProbes = outcome === "clear" ? clearProbes + 1 : 0;
    if (outcome === "looping" && !wasLooping) {
      const atStart = exit !== undefined && clock.monotonic() - startedMs <= START_MS;
      if (atStart) log.line(`[FATAL] plugin/loop: ${text}`);
      else log.error(text);
      if (atStart) await exit();
    }
    if (wasLooping && clearProbes >= CLEAR_PROBES) {
      guard.clear();
      log.info(`No loop any more for zone "${formatName(zone)}"`);
      pauseMs = LEAST_PAUSE_MS;
    }
    if (guard.isLooping) await clock.delay(LOOP_PAUSE_MS, signal);
    else if (isStarting && outcome !== "clear") {
      await clock.delay(earlyPauseMs, signal);
      earlyPauseMs *= 2;
    } else if (!wasSeen) return;
    else {
      let waitedMs = 0;
      do {
        await clock.delay(LEAST_PAUSE_MS, signal);
        waitedMs += LEAST_PAUSE_MS;
      } while (waitedMs < pauseMs && !signal.aborted && !hasFailed());
      pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS);
    }
  }
}

// One probe to each socket until one leads here; each has a name of its own, and is known only while it is under way.
async function probe({ guard, zone, targets, ask, signal }: WatchOptions): Promise<{ readonly outcome: Outcome; readonly text: string }> {
  for (const target of targets()) {
    const name = nameBelow(zone, randomNumber(), randomNumber());
    if (name === undefined || signal.aborted) break; // too long for a name: such a zone goes without
    const sightings = guard.expect(name);
    const rcode = await ask(sightings.name, target, signal);
    guard.forget(sightings);
    if (sightings.count === 0) continue;
    const outcome = sightings.count > 1 ? "looping" : rcode === undefined || rcode === Rcodes.SERVFAIL ? "silent" : "clear";
    return { outcome, text: textOf(zone, target, sightings) };
  }
  return { outcome: "hidden", text: "" };
}

function randomNumber(): string {
  return randomBytes(RANDOM_BYTES).readBigUInt64BE().toString();
}

// CoreDNS's words: people alert on them.
function textOf(zone: Name, target: Target, { name, client }: Sightings): string {
  const way = `${hostPort(client?.address ?? "", client?.port ?? 0)} -> ${hostPort(target.address, target.port)}`;
  const help = "https://coredns.io/plugins/loop#troubleshooting";
  return `Loop (${way}) detected for zone "${formatName(zone)}", see ${help}. Query: "HINFO ${formatName(name)}"`;
}

function hostPort(address: string, port: number): string {
  if (address === "::") return `:${port}`;
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}
