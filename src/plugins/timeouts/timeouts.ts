// timeouts — how long connections may take over what, and how many messages they may bring: over TCP, TLS and HTTPS.

import { goDuration, integer, type ArgType } from "../../config/arguments.ts";
import { directive, once, one, type Options, type Property } from "../../config/directive.ts";
import { definePlugin, type ConnectionTimes, type Plugin } from "../../plugin.ts";

type Time = Property<number | undefined>;
type TimeoutsOptions = Options<true, { readonly read: Time; readonly write: Time; readonly idle: Time; readonly maxtcpqueries: Time }>;

const DAY_MS = 24 * 3_600_000;
const inGo = goDuration("DURATION", { minMs: 1_000, maxMs: DAY_MS });
// As CoreDNS reads it: a number alone is seconds.
const duration: ArgType<number> = { usage: inGo.usage, parse: (text) => inGo.parse(/^\d+$/.test(text) ? `${text}s` : text) };

const UNLIMITED = -1;
const count = integer({ usage: "MAXIMUM", min: UNLIMITED });
const maximum: ArgType<number> = {
  usage: count.usage,
  parse: (text) => (Number(text) === 0 ? { problem: `must be -1 (no limit) or at least 1, found "${text}"` } : count.parse(text)),
};

const plugin: Plugin<TimeoutsOptions> = definePlugin({
  name: "timeouts",
  syntax: directive({
    options: { read: once(one(duration)), write: once(one(duration)), idle: once(one(duration)), maxtcpqueries: once(one(maximum)) },
    repeat: "merge",
    check({ read, write, idle, maxtcpqueries }, report, at) {
      if ([read, write, idle, maxtcpqueries].every((option) => option === undefined)) {
        report.error(at, "says nothing; give at least one of read, write, idle, maxtcpqueries");
      }
    },
  }),
  setup({ read, write, idle, maxtcpqueries }) {
    const connections: ConnectionTimes = {
      ...(read !== undefined && { readMs: read }),
      ...(write !== undefined && { writeMs: write }),
      ...(idle !== undefined && { idleMs: idle }),
      ...(maxtcpqueries !== undefined && { queries: maxtcpqueries === UNLIMITED ? Number.POSITIVE_INFINITY : maxtcpqueries }),
    };
    return { connections };
  },
});
export default plugin;
