// minimal — leaves out of successful answers what the client has not asked for: the authority and additional sections.

import { andThen } from "../../chain.ts";
import { directive, type Options } from "../../config/directive.ts";
import { Flags, isWire, Rcodes, uint16, type Reply } from "../../dns/message.ts";
import { RRTypes } from "../../dns/records.ts";
import { recordsOf } from "../../dns/wire.ts";
import { DROP, definePlugin, type Answer, type Plugin } from "../../plugin.ts";

const plugin: Plugin<Options<true, Record<never, never>>> = definePlugin({
  name: "minimal",
  syntax: directive(),
  setup: () => ({
    // Zones of our own add addresses to these only, and no answer of theirs has an authority section (dns/lookup.ts).
    transparent: { types: [RRTypes.NS, RRTypes.MX, RRTypes.SRV] },
    handle: (query, next) => andThen(next(query), minimize),
  }),
});
export default plugin;

function minimize(answer: Answer): Answer {
  if (answer === DROP || answer.rcode !== Rcodes.NOERROR || !hasMore(answer)) return answer;
  const records = recordsOf(answer);
  // NODATA needs its SOA (RFC 2308 §2.2), a referral the names and addresses of the servers.
  const says = records.authority.some(({ type }) => type === RRTypes.SOA || type === RRTypes.NS);
  return records.answer.length === 0 && says ? answer : { ...records, authority: [], additional: [] };
}

// One that is cut stays: the client asks again anyway.
function hasMore(reply: Reply): boolean {
  if (!isWire(reply)) return reply.authority.length > 0 || reply.additional.length > 0;
  const { message } = reply;
  return uint16(message, 8) + uint16(message, 10) > 0 && (uint16(message, 2) & Flags.TC) === 0;
}
