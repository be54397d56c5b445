// Faults by the clock, as a test writes them down:
//   at 2s: stall
//   at 5s: 410
//   at 6.5s: 429 services retry-after 7 times 1

import type { Clock } from "../../../src/clock.ts";
import type { FakeApi } from "./fake-api.ts";
import type { ResourceName } from "./resources.ts";

type Action = (api: FakeApi, argument: Arguments) => void | Promise<void>;

interface Arguments {
  readonly resource: ResourceName | undefined;
  /** The resource, or all. */
  readonly where: ResourceName | "*";
  readonly retryAfterSeconds: number | undefined;
  readonly times: number;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  stall: (api) => api.stall(),
  resume: (api) => api.resume(),
  cut: (api) => api.cut(),
  stop: (api) => api.stop(),
  start: (api) => api.start(),
  compact: (api) => api.compact(),
  bookmark: (api, { resource }) => api.bookmark(resource),
  timeout: (api, { resource }) => api.endWatches(resource),
  "410": (api, { resource }) => {
    api.compact();
    api.expire(resource);
  },
  forbid: (api, { resource = "pods" }) => api.forbid(resource),
  allow: (api, { resource = "pods" }) => api.allow(resource),
  html: (api, { where, times }) => void api.faults.at(where, { kind: "status", code: 502, body: "html" }, { times }),
  truncate: (api, { where, times }) => void api.faults.at(where, { kind: "truncate", bytes: 100 }, { times }),
  reset: (api, { where, times }) => void api.faults.at(where, { kind: "reset" }, { times }),
  heal: (api) => {
    api.faults.clear();
    api.resume();
  },
};

/** Does what the lines say, each at its time from now on. Resolves after the last, or when `signal` aborts. */
export async function runScript(api: FakeApi, clock: Clock, text: string, signal: AbortSignal): Promise<void> {
  const begunMs = clock.monotonic();
  for (const { atMs, action } of parseScript(text)) {
    await clock.delay(begunMs + atMs - clock.monotonic(), signal);
    if (signal.aborted) return;
    await action(api);
  }
}

interface Step {
  readonly atMs: number;
  readonly action: (api: FakeApi) => void | Promise<void>;
}

export function parseScript(text: string): Step[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map(parseLine).sort((a, b) => a.atMs - b.atMs);
}

function parseLine(line: string): Step {
  const match = /^\s*at ([\d.]+)s: (\S+)(?: ([a-z]+s))?(?: retry-after (\d+))?(?: times (\d+))?\s*$/.exec(line);
  const [, seconds = "", name = "", resource, retryAfter, times] = match ?? [];
  const given: Arguments = {
    resource: resource as ResourceName | undefined,
    where: (resource as ResourceName | undefined) ?? "*",
    retryAfterSeconds: retryAfter === undefined ? undefined : Number(retryAfter),
    times: times === undefined ? Infinity : Number(times),
  };
  const action = ACTIONS[name] ?? (/^[45]\d\d$/.test(name) ? failWith(Number(name)) : undefined);
  if (match === null || action === undefined) throw new Error(`no such step: ${line.trim()}`);
  return { atMs: Number(seconds) * 1000, action: (api) => action(api, given) };
}

function failWith(code: number): Action {
  return (api, { where, times, retryAfterSeconds }) =>
    void api.faults.at(where, { kind: "status", code, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) }, { times });
}
