// What `kubernetes` answers where the answer table leaves a question to the chain: the zones' own words, or that they are
// not to be had yet. Made once for a server block by kubernetes.ts.

import { chase, lookup, replyFrom, zoneOf, type Lookup } from "../../dns/lookup.ts";
import { DROP, EdeCodes, emptyReply, Rcodes, type Query } from "../../dns/message.ts";
import { isWithin, type Name } from "../../dns/name.ts";
import type { Zone } from "../../dns/zone.ts";
import type { Answer, Handler } from "../../plugin.ts";
import type { Registry } from "../../registry/registry.ts";
import type { NearestNames } from "./nearest.ts";

const NAME = "kubernetes";
export const NOT_SYNCED = "the cluster's objects have not been read yet";

export interface Serving {
  readonly registry: Registry;
  readonly zones: readonly Zone[];
  /** Names that go on down the chain where they don't exist here. */
  readonly fallthrough: readonly Name[];
  readonly nearest: NearestNames | undefined;
}

export function createHandler({ registry, zones, fallthrough, nearest }: Serving): Handler {
  return (query, next) => {
    const { qname, qtype } = query;
    const zone = zoneOf(zones, qname);
    if (zone === undefined) return next(query);
    const found = lookup(zone, qname, qtype);
    const own = (): Answer => (registry.synced ? answerWith(query, chase(zones, found, qtype)) : notSynced());
    if (found.kind !== "nxdomain" || !fallthrough.some((suffix) => isWithin(qname, suffix))) return own();
    const foreign = next(query);
    const decide = (answer: Answer): Answer => (answer !== DROP && answer.unhandled === true ? own() : answer);
    return foreign instanceof Promise ? foreign.then(decide) : decide(foreign);
  };

  function answerWith(query: Query, found: Lookup): Answer {
    const told =
      nearest !== undefined && query.edns !== undefined && found.kind === "nxdomain" ? withNearest(found, query, nearest) : found;
    return replyFrom(told, NAME) ?? emptyReply(Rcodes.SERVFAIL, NAME);
  }

  function withNearest(found: Extract<Lookup, { kind: "nxdomain" }>, query: Query, names: NearestNames): Lookup {
    if (found.answer.length > 0) return found; // the end of a chain of aliases is not what was asked for
    return { ...found, reason: names.explain(found.zone.apex, query.qname, found.reason) };
  }
}

function notSynced(): Answer {
  return { ...emptyReply(Rcodes.SERVFAIL, NAME), ede: { code: EdeCodes.NOT_READY, text: NOT_SYNCED } };
}
