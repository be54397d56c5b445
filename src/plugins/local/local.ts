// local — answers names that are everybody's own (RFC 6761 §6.3, RFC 6303 §4.2), so that they never leave for the Internet.
// They are rare, so the table leaves them to the chain: they are counted there.

import { oneOf } from "../../config/arguments.ts";
import { directive, once, one, type Options, type Property } from "../../config/directive.ts";
import { lookup, replyFrom, zoneOf } from "../../dns/lookup.ts";
import { createZone } from "../../dns/map-zone.ts";
import { emptyReply, Rcodes, type Query, type Records } from "../../dns/message.ts";
import { countLabels, formatName, isWithin, parseName, type Name } from "../../dns/name.ts";
import { RRTypes } from "../../dns/records.ts";
import { parseRecordSets, typeName } from "../../dns/text.ts";
import type { Zone } from "../../dns/zone.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

const NAME = "local";
/** A week, as CoreDNS's. */
const TTL_SECONDS = 604_800;

const plugin: Plugin<Options<true, { readonly localhost_prefix: Property<"on" | "off" | undefined> }>> = definePlugin({
  name: NAME,
  syntax: directive({ options: { localhost_prefix: once(one(oneOf("on", "off"))) } }),
  setup({ localhost_prefix: prefix = "on" }, host) {
    const counter = host.metrics.counter("coredns_local_localhost_requests_total", "Counter of special localhost subdomain requests.");
    counter.add({}, 0);
    const count = ({ qname, qtype, client }: Query): void => {
      counter.add();
      host.log.debug(`Intercepting localhost query for "${formatName(qname)}" ${typeName(qtype)}, from ${client.address}`);
    };
    return {
      transparent: { below: apexes },
      handle(query, next) {
        const { qname, qtype } = query;
        const zone = zoneOf(zones, qname);
        if (zone !== undefined) {
          if (zone.apex === LOCALHOST && qname !== LOCALHOST) count(query);
          return replyFrom(lookup(zone, qname, qtype), NAME) ?? next(query);
        }
        const isPrefixed = prefix === "on" && qname.startsWith(LOCALHOST_LABEL) && countLabels(qname) > 1;
        if (!isPrefixed || host.localZones().some((served) => has(served, qname))) return next(query);
        count(query);
        return loopback(query);
      },
    };
  },
});
export default plugin;

// What the table would answer.
function has(zone: Zone, name: Name): boolean {
  return isWithin(name, zone.apex) && (zone.complete || zone.node(name) !== undefined);
}

const LOCALHOST = parseName("localhost");
/** ::1 (RFC 6303 §4.4). */
const LOOPBACK_IPV6 = parseName(`1.${"0.".repeat(31)}ip6.arpa`);
const LOCALHOST_LABEL = LOCALHOST.slice(0, -1);

const zones: readonly Zone[] = [
  zoneFor(LOCALHOST, ["localhost. A 127.0.0.1", "localhost. AAAA ::1", "*.localhost. A 127.0.0.1", "*.localhost. AAAA ::1"]),
  zoneFor(parseName("0.in-addr.arpa"), []),
  zoneFor(parseName("127.in-addr.arpa"), ["1.0.0.127.in-addr.arpa. PTR localhost."]),
  zoneFor(parseName("255.in-addr.arpa"), []),
  zoneFor(LOOPBACK_IPV6, [`${formatName(LOOPBACK_IPV6)} PTR localhost.`]),
];
const apexes: readonly Name[] = zones.map(({ apex }) => apex);

function zoneFor(apex: Name, records: readonly string[]): Zone {
  const own = [...soaAndNs(formatName(apex)), ...records.map((record) => record.replace(" ", ` ${TTL_SECONDS} IN `))];
  return createZone({ apex, records: parseRecordSets(own.join("\n")) });
}

function soaAndNs(owner: string): readonly string[] {
  const head = `${owner} ${TTL_SECONDS} IN`;
  return [`${head} SOA localhost. root.localhost. 1 0 0 0 ${TTL_SECONDS}`, `${head} NS localhost.`];
}

// What a search list has made of `localhost`. The name is in a zone of somebody else's, so the answer is not authoritative,
// and has RA: stub resolvers take an empty one without either for a broken server's.
function loopback({ qname, qtype }: Query): Records {
  const reply: Records = { ...emptyReply(Rcodes.NOERROR, NAME), recursionAvailable: true };
  const rrset = zones[0]?.node(LOCALHOST)?.rrsets.find(({ type }) => type === qtype);
  if (rrset !== undefined && (qtype === RRTypes.A || qtype === RRTypes.AAAA)) return { ...reply, answer: [{ ...rrset, owner: qname }] };
  const soa = zones[0]?.soa();
  return soa === undefined ? reply : { ...reply, authority: [{ ...soa, owner: qname }] };
}
