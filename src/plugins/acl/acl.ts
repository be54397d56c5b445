// acl — lets some clients ask, and refuses, empties or drops the queries of others. It stands in front of whatever answers
// and remembers; what it concerns is never answered by the table.

import { andThen } from "../../chain.ts";
import { DROP, EdeCodes, emptyReply, Rcodes, type Query, type Records } from "../../dns/message.ts";
import { formatName, isWithin, type Name } from "../../dns/name.ts";
import { createNetworks, type Networks } from "../../dns/networks.ts";
import type { RRType } from "../../dns/records.ts";
import type { Metrics } from "../../metrics.ts";
import { definePlugin, type Answer, type Plugin, type Touches } from "../../plugin.ts";
import { syntax, type AclOptions, type Action, type Rule } from "./syntax.ts";

const NAME = "acl";

const plugin: Plugin<readonly AclOptions[]> = definePlugin({
  name: NAME,
  syntax,
  setup(options, host) {
    const lists = options.map(({ zones, rules }) => ({ zones: zones.length === 0 ? host.zones : zones, rules: rules.map(compile) }));
    const counters = createCounters(host.metrics);
    const isPerClient = ({ qname, qtype }: Query): boolean =>
      lists.some(({ zones, rules }) => rules.some((rule) => rule.concerns(qtype)) && longestZone(zones, qname) !== undefined);
    return {
      transparent: touches(lists),
      guardsClasses: true,
      handle(query, next) {
        for (const { zones, rules } of lists) {
          const zone = longestZone(zones, query.qname);
          const action = zone && rules.find(({ matches }) => matches(query))?.action;
          if (zone === undefined || action === undefined) continue;
          if (action === "allow") break;
          counters[action].add({ ...host.labels(), zone: formatName(zone) });
          return answers[action];
        }
        counters.allow.add({ ...host.labels() });
        return isPerClient(query) ? andThen(next(query), forThisClient) : next(query);
      },
    };
  },
});
export default plugin;

interface CompiledRule {
  readonly action: Action;
  readonly types: ReadonlySet<RRType> | undefined;
  matches(query: Query): boolean;
  /** Whether it tells clients apart for a type. */
  concerns(qtype: RRType): boolean;
}

function compile({ action, types, sources }: Rule): CompiledRule {
  const networks: Networks | undefined = sources && createNetworks(sources);
  const isOfType = (qtype: RRType): boolean => types === undefined || types.has(qtype);
  return {
    action,
    types,
    matches: ({ qtype, client }) => isOfType(qtype) && (networks === undefined || networks.has(client.address)),
    concerns: (qtype) => networks !== undefined && isOfType(qtype),
  };
}

// Others may not have it: `autopath`, in front of this, would tell it to them under the name that it was asked for.
function forThisClient(answer: Answer): Answer {
  return answer === DROP ? answer : { ...answer, perClient: true };
}

function longestZone(zones: readonly Name[], qname: Name): Name | undefined {
  let best: Name | undefined;
  for (const zone of zones) if ((best === undefined || zone.length > best.length) && isWithin(qname, zone)) best = zone;
  return best;
}

// Whoever asks for a name of the zones, or, where every rule names types, for one of these types, asks us first: the table
// does not know clients.
function touches(lists: readonly { readonly zones: readonly Name[]; readonly rules: readonly CompiledRule[] }[]): Touches {
  const below: Name[] = [];
  const types: RRType[] = [];
  for (const { zones, rules } of lists) {
    const named = rules.map((rule) => rule.types);
    if (named.every((set) => set !== undefined)) types.push(...named.flatMap((set) => [...set]));
    else below.push(...zones);
  }
  return { below, types };
}

// RA in what is empty: without it and AA, glibc and Go take an answer for a lame server's and ask the next one.
const answers: Readonly<Record<Exclude<Action, "allow">, Answer>> = {
  block: refusal(Rcodes.REFUSED, EdeCodes.BLOCKED, "blocked by acl"),
  filter: { ...refusal(Rcodes.NOERROR, EdeCodes.FILTERED, "filtered by acl"), recursionAvailable: true },
  drop: DROP,
};

function refusal(rcode: number, code: number, text: string): Records {
  return { ...emptyReply(rcode, NAME), ede: { code, text }, perClient: true };
}

function createCounters(metrics: Metrics): Readonly<Record<Action, ReturnType<Metrics["counter"]>>> {
  return {
    allow: metrics.counter("coredns_acl_allowed_requests_total", "Counter of DNS requests being allowed."),
    block: metrics.counter("coredns_acl_blocked_requests_total", "Counter of DNS requests being blocked."),
    filter: metrics.counter("coredns_acl_filtered_requests_total", "Counter of DNS requests being filtered."),
    drop: metrics.counter("coredns_acl_dropped_requests_total", "Counter of DNS requests being dropped."),
  };
}
