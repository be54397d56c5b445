// What `kubernetes` answers where the answer table leaves a question to the chain: the zones' own words, or that they are
// not to be had yet. Made once for a server block by kubernetes.ts.

import { followAlias } from "../../chase.ts";
import { chase, isMissing, lookup, replyFrom, zoneOf, type Lookup } from "../../dns/lookup.ts";
import { DROP, emptyReply, Rcodes, type Query } from "../../dns/message.ts";
import type { Name } from "../../dns/name.ts";
import type { Zone } from "../../dns/zone.ts";
import type { Answer, Handler, MaybePromise, Next } from "../../plugin.ts";
import type { NearestNames } from "./nearest.ts";

const NAME = "kubernetes";

export interface Serving {
  readonly zones: readonly Zone[];
  /** Whether the name goes on down the chain where it does not exist here. */
  readonly fallsThrough: (name: Name) => boolean;
  readonly nearest: NearestNames | undefined;
  /** The server block's whole chain, for targets of ExternalNames. */
  readonly ask: Next;
}

export function createHandler({ zones, fallsThrough, nearest, ask }: Serving): Handler {
  return (query, next) => {
    const { qname, qtype } = query;
    const zone = zoneOf(zones, qname);
    if (zone === undefined) return next(query);
    const found = lookup(zone, qname, qtype);
    const own = (): MaybePromise<Answer> => answerWith(query, zone, chase(zones, found, qtype));
    if (!isMissing(found) || !fallsThrough(qname)) return own();
    const foreign = next(query);
    const decide = (answer: Answer): MaybePromise<Answer> => (answer !== DROP && answer.unhandled === true ? own() : answer);
    return foreign instanceof Promise ? foreign.then(decide) : decide(foreign);
  };

  function answerWith(query: Query, zone: Zone, found: Lookup): MaybePromise<Answer> {
    const isExplained = nearest !== undefined && zone.namesNearest === true && query.edns !== undefined && zone.staleness === undefined;
    const told = isExplained && found.kind === "nxdomain" ? withNearest(found, query, nearest) : found;
    const reply = replyFrom(told, NAME, zone) ?? emptyReply(Rcodes.SERVFAIL, NAME);
    return told.kind === "cname" ? followAlias(query, reply, told.target, ask) : reply;
  }

  function withNearest(found: Extract<Lookup, { kind: "nxdomain" }>, query: Query, names: NearestNames): Lookup {
    if (found.answer.length > 0) return found; // the end of a chain of aliases is not what was asked for
    return { ...found, reason: names.explain(found.zone.apex, query.qname, found.reason) };
  }
}
