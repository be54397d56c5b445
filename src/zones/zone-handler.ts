// The handler of a plugin with zones of its own: what they say of the question, or the rest of the chain where they have nothing
// and the name falls through. What the answer table leaves to the chain it answers as the table would: both look the name up
// in dns/lookup.ts.

import { andThen } from "../chain.ts";
import { followAlias } from "../chase.ts";
import { chase, isMissing, lookup, replyFrom, zoneOf, type Lookup } from "../dns/lookup.ts";
import { DROP, emptyReply, Rcodes, type Query } from "../dns/message.ts";
import type { Name } from "../dns/name.ts";
import type { Zone } from "../dns/zone.ts";
import type { Answer, Handler, MaybePromise, Next } from "../plugin.ts";

export interface ServedZones {
  /** The plugin's. */
  readonly name: string;
  /** Looked at for each query. */
  readonly zones: readonly Zone[];
  /** Whether a name goes on down the chain where it does not exist here, or is left to others. */
  readonly fallsThrough: (name: Name, zone: Zone) => boolean;
  /** The whole chain, for targets of CNAMEs: `host.ask`. */
  readonly ask: Next;
  /** A better reason why the name asked for does not exist. */
  readonly explain?: (query: Query, zone: Zone, reason: string) => string;
}

export function zoneHandler(served: ServedZones): Handler {
  const { name, fallsThrough, ask, explain } = served;
  return (query, next) => {
    const { qname, qtype } = query;
    const { zones } = served;
    const zone = zoneOf(zones, qname);
    if (zone === undefined) return next(query);
    const found = lookup(zone, qname, qtype);
    const isOpen = found.kind === "ask" || isMissing(found);
    const known: Lookup = found.kind === "ask" ? { kind: "nodata", answer: [], zone, reason: "" } : found;
    const own = (): MaybePromise<Answer> => answerWith(query, zone, chase(zones, known, qtype));
    if (!isOpen || !fallsThrough(qname, zone)) return own();
    return andThen(next(query), (answer) => (answer !== DROP && answer.unhandled === true ? own() : answer));
  };

  function answerWith(query: Query, zone: Zone, found: Lookup): MaybePromise<Answer> {
    // The end of a chain of aliases is not what was asked for.
    const isDenied = explain !== undefined && found.kind === "nxdomain" && found.answer.length === 0;
    const told = isDenied ? { ...found, reason: explain(query, zone, found.reason) } : found;
    const reply = replyFrom(told, name, zone) ?? emptyReply(Rcodes.SERVFAIL, name);
    return told.kind === "cname" ? followAlias(query, reply, told.target, ask) : reply;
  }
}
