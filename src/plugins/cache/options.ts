// What `cache` takes in the Corefile: CoreDNS 1.14.7's forms, as one table. cache.ts turns the options into settings.

import { goDuration, integer, oneOf, zone, type ArgType } from "../../config/arguments.ts";
import {
  directive,
  each,
  none,
  once,
  one,
  readArgument,
  zones,
  type Options,
  type Property,
  type Shape,
  type Syntax,
} from "../../config/directive.ts";
import type { Name } from "../../dns/name.ts";

/** `success` and `denial`: entries, seconds, seconds. */
export interface Capacity {
  readonly capacity: number;
  readonly ttl: number | undefined;
  readonly minTtl: number | undefined;
}

export interface Prefetch {
  /** 0: off. */
  readonly amount: number;
  /** A gap this long makes a name unpopular again. */
  readonly gapMs: number;
  /** Of the TTL; refreshing starts when no more is left. */
  readonly percentage: number;
}

export interface ServeStale {
  /** How long after its end an answer may be told; 0: off. */
  readonly upToMs: number;
  readonly refresh: "immediate" | "verify";
  /** How long `verify` waits for the refresh; 0: as long as it takes. */
  readonly verifyTimeoutMs: number;
  readonly responseTtl: number;
  /** The least time between attempts of which the first has failed. */
  readonly failureRecheckMs: number;
}

/** `disable`; without zones it is all names. */
export interface Disabled {
  readonly kind: "success" | "denial";
  readonly zones: readonly Name[];
}

export interface CacheArgs {
  readonly ttl: number | undefined;
  readonly zones: readonly Name[];
}

export type CacheOptions = Options<
  CacheArgs,
  {
    readonly success: Property<Capacity | undefined>;
    readonly denial: Property<Capacity | undefined>;
    readonly prefetch: Property<Prefetch | undefined>;
    readonly serve_stale: Property<ServeStale | undefined>;
    readonly serve_stale_policy: Property<"prefer_positive" | undefined>;
    readonly servfail: Property<number | undefined>;
    readonly disable: Property<readonly Disabled[]>;
    readonly keepttl: Property<true | undefined>;
  }
>;

/** Seconds: TTLs have 31 bits (RFC 2181 §8). */
const MAX_TTL = 2 ** 31 - 1;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** RFC 2308 §7.1: SERVFAIL is remembered for 5 minutes at most; RFC 8767 §5: failures are rechecked as often. */
const MAX_FAILURE_MS = 5 * MINUTE_MS;

export const syntax: Syntax<CacheOptions> = directive({
  args: ttlAndZones(),
  options: {
    success: last(capacity()),
    denial: last(capacity()),
    prefetch: last(prefetch()),
    serve_stale: last(serveStale()),
    serve_stale_policy: once(one(anyCase(oneOf("prefer_positive")))),
    servfail: last(one(goDuration("DURATION", { maxMs: MAX_FAILURE_MS }))),
    disable: each(disabled()),
    keepttl: last(none()),
  },
  check({ serve_stale: stale, serve_stale_policy: policy }, report, at) {
    if (policy !== undefined && stale === undefined) report.error(at, "serve_stale_policy requires serve_stale");
  },
});

// A first argument that is a number is the TTL.
function ttlAndZones(): Shape<CacheArgs> {
  const names = zones();
  const seconds = ttl("TTL", 1);
  return {
    usage: "[TTL] [ZONES...]",
    read(tokens, at, report) {
      const [first] = tokens;
      const isTtl = first !== undefined && /^[+-]?\d+$/.test(first.text);
      const read = names.read(isTtl ? tokens.slice(1) : tokens, at, report);
      const limit = isTtl ? readArgument(seconds, first, report) : undefined;
      return read === undefined || (isTtl && limit === undefined) ? undefined : { ttl: limit, zones: read };
    },
  };
}

function ttl(usage: string, min: number): ArgType<number> {
  return integer({ usage, min, max: MAX_TTL });
}

function capacity(): Shape<Capacity> {
  const line = positional<[number, number, number]>(
    "CAPACITY [TTL [MINTTL]]",
    1,
    integer({ usage: "CAPACITY" }),
    ttl("TTL", 1),
    ttl("MINTTL", 0),
  );
  return mapped(line, ([entries = 0, most, least]) => ({ capacity: entries, ttl: most, minTtl: least }));
}

function prefetch(): Shape<Prefetch> {
  const line = positional<[number, number, number]>(
    "AMOUNT [[DURATION] [PERCENTAGE%]]",
    1,
    integer({ usage: "AMOUNT" }),
    goDuration(),
    percentage(),
  );
  return mapped(line, ([amount = 0, gapMs = MINUTE_MS, share = 10]) => ({ amount, gapMs, percentage: share }));
}

function percentage(): ArgType<number> {
  return {
    usage: "PERCENTAGE",
    parse(text) {
      const value = Number(/^(\d+)%$/.exec(text)?.[1]);
      return value >= 10 && value <= 90 ? value : { problem: `must be 10%–90%, found "${text}"` };
    },
  };
}

// What stands behind the mode depends on it: `verify` has a timeout there first.
function serveStale(): Shape<ServeStale> {
  const usage = "[DURATION] [immediate [RESPONSE_TTL [FAILURE_RECHECK]] | verify [VERIFY_TIMEOUT [RESPONSE_TTL [FAILURE_RECHECK]]]]";
  const mode = anyCase(oneOf("immediate", "verify"));
  const recheck = goDuration("FAILURE_RECHECK", { maxMs: MAX_FAILURE_MS });
  const immediate = mapped(
    positional<[number, "immediate" | "verify", number, number]>(usage, 0, goDuration(), mode, wholeSeconds("RESPONSE_TTL"), recheck),
    ([upToMs = HOUR_MS, , responseTtl = 0, failureRecheckMs = 0]) =>
      ({ upToMs, refresh: "immediate", verifyTimeoutMs: 0, responseTtl, failureRecheckMs }) as const,
  );
  const verify = mapped(
    positional<[number, "immediate" | "verify", number, number, number]>(
      usage,
      0,
      goDuration(),
      mode,
      goDuration("VERIFY_TIMEOUT"),
      wholeSeconds("RESPONSE_TTL"),
      recheck,
    ),
    ([upToMs = HOUR_MS, , verifyTimeoutMs = 0, responseTtl = 0, failureRecheckMs = 0]) =>
      ({ upToMs, refresh: "verify", verifyTimeoutMs, responseTtl, failureRecheckMs }) as const,
  );
  return {
    usage,
    read: (tokens, at, report) => (tokens[1]?.text.toLowerCase() === "verify" ? verify : immediate).read(tokens, at, report),
  };
}

function wholeSeconds(usage: string): ArgType<number> {
  const duration = goDuration(usage, { maxMs: MAX_TTL * 1000 });
  return {
    usage,
    parse(text) {
      const milliseconds = duration.parse(text);
      if (typeof milliseconds !== "number") return milliseconds;
      return milliseconds % 1000 === 0 ? milliseconds / 1000 : { problem: `must be whole seconds, found "${text}"` };
    },
  };
}

function disabled(): Shape<Disabled> {
  const kinds = oneOf("success", "denial");
  const name = zone("ZONES");
  return {
    usage: "success|denial [ZONES...]",
    read(tokens, at, report) {
      const [first, ...rest] = tokens;
      if (first === undefined) {
        report.error(at, `expected success|denial [ZONES...], found nothing`);
        return undefined;
      }
      const kind = readArgument(kinds, first, report);
      const names = rest.map((token) => readArgument(name, token, report));
      return kind === undefined || names.includes(undefined) ? undefined : { kind, zones: names.flatMap((one) => one ?? []) };
    },
  };
}

// CoreDNS takes these words in any case.
function anyCase<T>(type: ArgType<T>): ArgType<T> {
  return { usage: type.usage, parse: (text) => type.parse(text.toLowerCase()) };
}

// Given several times, the last counts, as in CoreDNS.
function last<T>(shape: Shape<T>): Property<T | undefined> {
  const lines = each(shape);
  return { usage: lines.usage, read: (given, report) => lines.read(given, report).at(-1) };
}

// Arguments of which those behind the first `min` may be left out from the end.
function positional<T extends readonly unknown[]>(
  usage: string,
  min: number,
  ...types: { readonly [K in keyof T]: ArgType<T[K]> }
): Shape<Partial<T>> {
  return {
    usage,
    read(tokens, at, report) {
      if (tokens.length < min || tokens.length > types.length) {
        const found = tokens.length === 0 ? "nothing" : `"${tokens.map(({ text }) => text).join(" ")}"`;
        report.error(tokens[types.length] ?? at, `expected ${usage}, found ${found}`);
        return undefined;
      }
      const values = tokens.map((token, index) => readArgument(types[index] as ArgType<unknown>, token, report));
      return values.includes(undefined) ? undefined : (values as unknown as Partial<T>);
    },
  };
}

function mapped<T, U>(shape: Shape<T>, make: (value: T) => U): Shape<U> {
  return {
    usage: shape.usage,
    read(tokens, at, report) {
      const value = shape.read(tokens, at, report);
      return value === undefined ? undefined : make(value);
    },
  };
}
