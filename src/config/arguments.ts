// The kinds of single arguments that directives take: what a word must look like, what it becomes, and the words that
// say what is allowed. Plugin authors combine them into the shape of a line (directive.ts).

import { isIP } from "node:net";
import { nearest } from "../errors.ts";
import type { Name } from "../dns/name.ts";
import { parseCidr, parseZone } from "./zones.ts";

/** Why a text is not allowed: `must be 1–3600, found "0"`. The argument's name is put in front of it. */
export interface Problem {
  readonly problem: string;
}

/** One argument of a line. */
export interface ArgType<T> {
  /** As the README writes it: CAPITALS for a value, `a|b` for words. */
  readonly usage: string;
  parse(text: string): T | Problem;
}

export function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "problem" in value;
}

function mustBe(allowed: string, found: string): Problem {
  return { problem: `must be ${allowed}, found "${found}"` };
}

/** Any text but the empty one. */
export function word(usage: string): ArgType<string> {
  return { usage, parse: (text) => (text === "" ? mustBe("not empty", text) : text) };
}

/** A path; relative ones are left to the plugin. */
export function filePath(usage: string = "FILE"): ArgType<string> {
  return {
    usage,
    parse: (text) => (text === "" || text.includes("\0") ? mustBe("a file's path", text) : text),
  };
}

/** One of the given words. */
export function oneOf<const W extends string>(...words: readonly W[]): ArgType<W> {
  return {
    usage: words.join("|"),
    parse(text) {
      const found = words.find((allowed) => allowed === text);
      if (found !== undefined) return found;
      const meant = nearest(text, words);
      const { problem } = mustBe(listOf(words), text);
      return { problem: meant === undefined ? problem : `${problem}, did you mean "${meant}"?` };
    },
  };
}

/** The same, whatever the case of its letters. */
export function caseless<T>({ usage, parse }: ArgType<T>): ArgType<T> {
  return { usage, parse: (text) => parse(text.toLowerCase()) };
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

/** A decimal integer from `min` to `max`, both included. */
export function integer(spec: { readonly usage: string; readonly min?: number; readonly max?: number }): ArgType<number> {
  const { usage, min = 0, max = Number.MAX_SAFE_INTEGER } = spec;
  const allowed = max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `${min}–${max}`;
  return {
    usage,
    parse(text) {
      const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : mustBe(allowed, text);
    },
  };
}

/** A decimal number of at least 0, whole or not. */
export function decimal(usage: string): ArgType<number> {
  return { usage, parse: (text) => (/^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text) ? Number(text) : mustBe("a number of at least 0", text)) };
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** The milliseconds of a duration as Go writes it (`1m30s`, `1.5s`, `0`); undefined if it is none. */
export function parseGoDuration(text: string): number | undefined {
  const match = /^([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text);
  if (match === null) return undefined;
  let milliseconds = 0;
  for (const [, amount, unit] of (match[2] ?? "").matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    milliseconds += Number(amount) * (unitMs[unit ?? ""] ?? 0);
  }
  return match[1] === "-" ? -milliseconds : milliseconds;
}

/** A duration in Go's form, as milliseconds; `minMs` is 0 unless given. */
export function goDuration(usage: string = "DURATION", spec: { readonly minMs?: number; readonly maxMs?: number } = {}): ArgType<number> {
  const { minMs = 0, maxMs = Number.POSITIVE_INFINITY } = spec;
  const bounds = [minMs > 0 ? `at least ${minMs} ms` : "", maxMs < Number.POSITIVE_INFINITY ? `at most ${maxMs} ms` : ""];
  const allowed = [`a duration like "30s", "1m30s" or "500ms"`, ...bounds.filter((bound) => bound !== "")].join(", ");
  return {
    usage,
    parse(text) {
      const milliseconds = parseGoDuration(text);
      return milliseconds === undefined || milliseconds < minMs || milliseconds > maxMs ? mustBe(allowed, text) : milliseconds;
    },
  };
}

/** An IPv4 or IPv6 address. */
export function ipAddress(usage: string = "ADDRESS"): ArgType<string> {
  return { usage, parse: (text) => (isIP(text) === 0 ? mustBe("an IP address", text) : text) };
}

/** A network, as written. */
export function cidr(usage: string = "CIDR"): ArgType<string> {
  return {
    usage,
    parse: (text) => (parseCidr(text) === undefined ? mustBe("a network like 192.0.2.0/24 or 2001:db8::/32", text) : text),
  };
}

/** A zone, or a network that stands for its reverse zones: hence a list. */
export function zone(usage: string = "ZONE"): ArgType<readonly Name[]> {
  return {
    usage,
    parse(text) {
      const read = parseZone(text);
      return "problem" in read ? { problem: `must be a zone or a network: ${read.problem}` } : read.zones;
    },
  };
}

/** Where to listen: an empty host is every address. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `:PORT`, `[2001:db8::1]:PORT`; the port may be left out where a default is given. */
export function address(spec: { readonly usage?: string; readonly host?: string; readonly port?: number } = {}): ArgType<HostPort> {
  const { usage = "ADDRESS", host: defaultHost = "", port: defaultPort } = spec;
  return {
    usage,
    parse(text) {
      const match = /^(?:\[([^[\]]*)\]|([^:[\]\s/]*))(?::(\d{1,5}))?$/.exec(isIP(text) === 6 ? `[${text}]` : text);
      const [, bracketed, plain = "", digits] = match ?? [];
      const host = bracketed ?? plain;
      const port = digits === undefined ? defaultPort : Number(digits);
      const isHost = match !== null && text !== "" && (bracketed === undefined || isIP(bracketed) === 6);
      if (!isHost || port === undefined || port > 65_535) {
        return mustBe(`HOST:PORT${defaultPort === undefined ? "" : " or HOST"} with a port of 0–65535`, text);
      }
      return { host: host === "" ? defaultHost : host, port };
    },
  };
}

/** An `http` or `https` URL, as written; the scheme may be left out. What could be a password in it is refused. */
export function httpUrl(usage: string = "URL"): ArgType<string> {
  return {
    usage,
    parse(text) {
      const withScheme = text.includes("://") ? text : `http://${text}`;
      const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
      const isHttp = url !== undefined && /^https?:$/.test(url.protocol) && url.hostname !== "";
      if (isHttp && (url.username !== "" || url.password !== "")) return { problem: "must not hold a user or password" };
      return isHttp && url.search === "" && url.hash === "" ? text : mustBe("a URL like https://192.0.2.1:6443", text);
    },
  };
}

/** A duration as Go prints it: `500ms`, `30s`, `1m0s`, `1h0m0s`. */
export function formatGoDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds}ms`;
  const seconds = (milliseconds % 60_000) / 1000;
  const minutes = Math.floor(milliseconds / 60_000) % 60;
  const hours = Math.floor(milliseconds / 3_600_000);
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
