// Runs dnsperf on a CPU of its own and reads what it prints. Used by every benchmark that puts a load on a server.

import { runOn } from "./process.ts";
import { percentile } from "./results.ts";

export const CLIENT_CPU = 0;
export const SERVER_CPU = 1;
/** Room for answers that come while dnsperf itself waits for its CPU. */
const SOCKET_BUFFER_KIB = "4096";

export interface Load {
  readonly port: number;
  readonly address?: string;
  readonly queryFile: string;
  readonly flags?: readonly string[];
}

export interface Answers {
  readonly completed: number;
  readonly sent: number;
  readonly perSecond: number;
  readonly byRcode: (rcode: string) => number;
  /** How much longer an answer is than its question, on average. */
  readonly addedBytes: number;
  readonly output: string;
}

/** As fast as the server answers, with this many queries under way. */
export async function flood(load: Load, seconds: number, outstanding: number): Promise<Answers> {
  return readAnswers(await dnsperf(load, ["-l", String(seconds), "-q", String(outstanding)]));
}

export interface Paced extends Answers {
  readonly lost: number;
  readonly microseconds: readonly number[];
}

/** At a fixed rate; gives each answer's latency. */
export async function pace(load: Load, seconds: number, queriesPerSecond: number): Promise<Paced> {
  // The time that dnsperf waits for a last answer must not end within a stall that is to be measured.
  const output = await dnsperf(load, ["-l", String(seconds), "-Q", String(queriesPerSecond), "-q", "65000", "-v"]);
  const answers = readAnswers(output);
  const microseconds = [...output.matchAll(/^> \S+ .* ([\d.]+)$/gm)].map((match) => Number(match[1]) * 1e6);
  return { ...answers, lost: answers.sent - answers.completed, microseconds };
}

export function p99Ms({ microseconds }: Paced): number {
  return percentile(microseconds, 99) / 1000;
}

function dnsperf({ port, address = "127.0.0.1", queryFile, flags = [] }: Load, how: readonly string[]): Promise<string> {
  const where = ["-s", address, "-p", String(port), "-d", queryFile, "-c", "1", "-T", "1", "-t", "2", "-b", SOCKET_BUFFER_KIB];
  return runOn(CLIENT_CPU, "dnsperf", [...where, ...how, ...flags]);
}

function readAnswers(output: string): Answers {
  const number = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? 0);
  return {
    completed: number(/Queries completed:\s+(\d+)/),
    sent: number(/Queries sent:\s+(\d+)/),
    perSecond: number(/Queries per second:\s+([\d.]+)/),
    byRcode: (rcode) => number(new RegExp(`${rcode} (\\d+)`)),
    addedBytes: number(/response (\d+)/) - number(/request (\d+)/),
    output,
  };
}
