// The syntax of `forward`, as CoreDNS has it, with ndots' own options, and what it reads into.

import { goDuration, integer, ipAddress, oneOf, parseGoDuration, word, zone, type ArgType } from "../../config/arguments.ts";
import {
  directive,
  each,
  none,
  notYet,
  once,
  one,
  optional,
  readArgument,
  rest,
  zones,
  type Shape,
  type Syntax,
} from "../../config/directive.ts";
import { ROOT, type Name } from "../../dns/name.ts";
import { rcodeName } from "../../dns/text.ts";
import { nearest } from "../../errors.ts";
import { upstreamAddress, type To } from "./endpoint.ts";
import { POLICIES, type PolicyName } from "./policy.ts";
import { MAX_UPSTREAMS } from "./resolv-conf.ts";

export interface Target {
  readonly from: readonly Name[];
  readonly to: readonly To[];
}

export interface HealthCheck {
  readonly intervalMs: number;
  readonly recursive: boolean;
  readonly domain: Name;
}

export const DEFAULT_HEALTH_CHECK: HealthCheck = { intervalMs: 500, recursive: true, domain: ROOT };
/** What may be asked between two probes of one upstream. */
const LEAST_PROBE_INTERVAL_MS = 10;
const LEAST_HEDGE_MS = 1;
const RCODES_KNOWN = 24; // BADCOOKIE is the last that has a name
const NODE_TIMER_MS = 2 ** 31 - 1;

/** What a `forward` line says; undefined and empty are what was not given. */
export interface ForwardOptions {
  readonly args: Target;
  readonly except: readonly (readonly Name[])[];
  readonly force_tcp: true | undefined;
  readonly prefer_udp: true | undefined;
  readonly expire: number | undefined;
  readonly max_age: number | undefined;
  readonly max_idle_conns: number | undefined;
  readonly read_timeout: number | undefined;
  readonly max_fails: number | undefined;
  readonly max_connect_attempts: number | undefined;
  readonly health_check: HealthCheck | undefined;
  readonly policy: PolicyName | undefined;
  readonly max_concurrent: number | undefined;
  readonly next: readonly (readonly number[])[];
  readonly next_on_nodata: true | undefined;
  readonly failover: readonly (readonly number[])[];
  readonly failfast_all_unhealthy_upstreams: true | undefined;
  readonly tls: TlsFiles | undefined;
  readonly tls_servername: string | undefined;
  readonly source_address: string | undefined;
  readonly doh_method: "POST" | "GET" | undefined;
  readonly hedge: number | "p95" | undefined;
  readonly case_randomization: "on" | "off" | undefined;
  readonly ipv6: "on" | "off" | undefined;
}

export const syntax: Syntax<ForwardOptions> = directive({
  args: target(),
  repeat: "each",
  options: {
    except: each(zones({ usage: "IGNORED_NAMES", min: 1 })),
    force_tcp: once(none()),
    prefer_udp: once(none()),
    expire: once(one(goDuration())),
    max_age: once(one(goDuration())),
    max_idle_conns: once(one(integer({ usage: "INTEGER" }))),
    read_timeout: once(one(goDuration("DURATION", { minMs: 1, maxMs: NODE_TIMER_MS }))),
    max_fails: once(one(integer({ usage: "INTEGER" }))),
    max_connect_attempts: once(one(integer({ usage: "INTEGER" }))),
    health_check: once(healthCheck()),
    policy: once(one(oneOf(...POLICIES))),
    max_concurrent: once(one(integer({ usage: "MAX" }))),
    next: each(rest(rcode(), { min: 1 })),
    next_on_nodata: once(none()),
    failover: each(rest(rcode("NOERROR"), { min: 1 })),
    failfast_all_unhealthy_upstreams: once(none()),
    tls: once(tlsFiles()),
    tls_servername: once(one(word("NAME"))),
    source_address: once(one(ipAddress("IP"))),
    doh_method: once(one(oneOf("POST", "GET"))),
    hedge: once(one(hedgeDelay())),
    case_randomization: once(optional(oneOf("on", "off"), "on" as const)),
    ipv6: once(one(oneOf("on", "off"))),
    resolver: notYet("upstreams by name are not supported yet, write their addresses"),
  },
  check({ args: { to }, expire = DEFAULT_EXPIRE_MS, max_age: maxAge = 0, tls_servername: serverName }, report, at) {
    if (maxAge > 0 && maxAge < expire) report.error(at, `max_age (${maxAge} ms) must not be less than expire (${expire} ms)`);
    for (const one of to) {
      if ("file" in one || one.serverName === "" || serverName === undefined) continue;
      report.error(at, `tls_servername ('${serverName}') and a name behind an upstream ('${one.serverName}') can't both be given`);
    }
  },
});

/** CoreDNS's. */
export const DEFAULT_EXPIRE_MS = 10_000;

function target(): Shape<Target> {
  const usage = "FROM TO...";
  const from = zone("FROM");
  const to = upstreamAddress("TO");
  return {
    usage,
    read(tokens, at, report) {
      const [first, ...others] = tokens;
      if (first === undefined || others.length === 0) {
        report.error(first ?? at, `expected ${usage}, found ${first === undefined ? "nothing" : `"${first.text}"`}`);
        return undefined;
      }
      const zonesOfFrom = readArgument(from, first, report);
      const read = others.map((token) => readArgument(to, token, report));
      if (others.length > MAX_UPSTREAMS) report.error(at, `more than ${MAX_UPSTREAMS} TOs configured: ${others.length}`);
      const all = read.filter((one) => one !== undefined);
      return zonesOfFrom === undefined || all.length < others.length ? undefined : { from: zonesOfFrom, to: all };
    },
  };
}

function healthCheck(): Shape<HealthCheck> {
  const usage = "DURATION [no_rec] [domain FQDN]";
  const duration = goDuration();
  const domain = zone("FQDN");
  return {
    usage,
    read(tokens, at, report) {
      const [first, ...words] = tokens;
      if (first === undefined) {
        report.error(at, `expected ${usage}, found nothing`);
        return undefined;
      }
      const intervalMs = readArgument(duration, first, report);
      let { recursive, domain: asked } = DEFAULT_HEALTH_CHECK;
      for (let word = words.shift(); word !== undefined; word = words.shift()) {
        if (word.text === "no_rec") recursive = false;
        else if (word.text === "domain") {
          const value = words.shift();
          if (value === undefined) report.error(word, "domain: expected FQDN, found nothing");
          else asked = readArgument(domain, value, report)?.[0] ?? ROOT;
        } else report.error(word, `unknown option ${word.text}; known: no_rec, domain`);
      }
      return intervalMs === undefined ? undefined : { intervalMs: Math.max(intervalMs, LEAST_PROBE_INTERVAL_MS), recursive, domain: asked };
    },
  };
}

/** The files of `tls`: none, an authority, a certificate and its key, or all three. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

function tlsFiles(): Shape<TlsFiles> {
  const usage = "[CERT KEY] [CA]";
  return {
    usage,
    read(tokens, at, report) {
      const [first, second, third] = tokens.map(({ text }) => text);
      if (tokens.length > 3) {
        report.error(tokens[3] ?? at, `expected ${usage}, found "${tokens.map(({ text }) => text).join(" ")}"`);
        return undefined;
      }
      if (first === undefined) return {};
      if (second === undefined) return { ca: first };
      return third === undefined ? { cert: first, key: second } : { cert: first, key: second, ca: third };
    },
  };
}

function rcode(but = ""): ArgType<number> {
  const names = Array.from({ length: RCODES_KNOWN }, (_, code) => [rcodeName(code), code] as const).filter(([name]) => /^[A-Z]/.test(name));
  return {
    usage: "RCODE",
    parse(text) {
      const name = text.toUpperCase();
      if (name === but) return { problem: `must be another than ${but}, found "${text}"` };
      const found = names.find(([known]) => known === name);
      if (found !== undefined) return found[1];
      const meant = nearest(
        name,
        names.map(([known]) => known),
      );
      const problem = `must be an rcode like SERVFAIL, REFUSED or NXDOMAIN, found "${text}"`;
      return { problem: meant === undefined ? problem : `${problem}, did you mean "${meant}"?` };
    },
  };
}

function hedgeDelay(): ArgType<number | "p95"> {
  return {
    usage: "DURATION|p95",
    parse(text) {
      if (text === "p95") return text;
      const milliseconds = parseGoDuration(text);
      if (milliseconds !== undefined && milliseconds >= LEAST_HEDGE_MS) return milliseconds;
      return { problem: `must be p95 or a duration like "50ms" of at least ${LEAST_HEDGE_MS} ms, found "${text}"` };
    },
  };
}
