// What plugins with zones of their own answer where the answer table leaves a question to the chain: the zone's word, an
// alias followed through all zones and then through the whole chain, or the next plugin's where a name falls through.

import { followAlias } from "../chase.ts";
import { chase, lookup, replyFrom, zoneOf, type Lookup } from "../dns/lookup.ts";
import { DROP, emptyReply, Rcodes, type Query } from "../dns/message.ts";
import { isWithin, type Name } from "../dns/name.ts";
import type { Zone } from "../dns/zone.ts";
import type { Answer, MaybePromise, Next } from "../plugin.ts";

export interface ZoneAnswers {
  /** The plugin's name. */
  readonly by: string;
  readonly zones: readonly Zone[];
  /** Names of a zone that go on down the chain where they don't exist in it. */
  readonly fallthroughOf: (zone: Zone) => readonly Name[];
  /** The server block's whole chain. */
  readonly ask: Next;
}

export function answerFromZones(query: Query, next: Next, { by, zones, fallthroughOf, ask }: ZoneAnswers): MaybePromise<Answer> {
  const { qname, qtype } = query;
  const zone = zoneOf(zones, qname);
  if (zone === undefined) return next(query);
  const found = lookup(zone, qname, qtype);
  const isMissing = found.kind === "nxdomain" || found.kind === "ask";
  if (!isMissing || !fallthroughOf(zone).some((suffix) => isWithin(qname, suffix))) return own(found);
  const foreign = next(query);
  const decide = (answer: Answer): MaybePromise<Answer> => (answer !== DROP && answer.unhandled === true ? own(found) : answer);
  return foreign instanceof Promise ? foreign.then(decide) : decide(foreign);

  function own(first: Lookup): MaybePromise<Answer> {
    const known: Lookup = first.kind === "ask" && zone !== undefined ? { kind: "nodata", answer: [], zone, reason: "" } : first;
    const end = chase(zones, known, qtype);
    const reply = replyFrom(end, by, zone) ?? emptyReply(Rcodes.SERVFAIL, by);
    return end.kind === "cname" ? followAlias(query, reply, end.target, ask) : reply;
  }
}
