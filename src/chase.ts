// Where a CNAME of our own leaves our data: its target is asked of the server block's whole chain, so that hosts, cache and
// forward apply, and what they say is joined to the CNAMEs (RFC 1034 §4.3.2 step 3a, RFC 6604). Plugins with authoritative data
// call it when dns/lookup.ts can't go on. Pure but for the function it is given.

import { andThen } from "./chain.ts";
import { DROP, EdeCodes, emptyReply, Rcodes, type Ede, type Query, type Records } from "./dns/message.ts";
import type { Name } from "./dns/name.ts";
import { isMetaType, RRTypes } from "./dns/records.ts";
import { recordsOf } from "./dns/wire.ts";
import type { Answer, MaybePromise, Next } from "./plugin.ts";

/** CNAMEs that are followed for one question; CoreDNS's bound. */
const MAX_HOPS = 10;
const UNREACHED: Ede = { code: EdeCodes.NO_REACHABLE_AUTHORITY, text: "the target of the alias could not be asked" };

/**
 * The answer to a question whose CNAMEs lead to `target`. Its rcode, SOA and reason are those of the chain's end; AA speaks of
 * the first owner, which is ours (RFC 1034 §6.2.6). A loop, and what is more than ten CNAMEs away, end the answer there.
 * @param aliases our part: an answer of CNAMEs, the last of which names `target`.
 * @param ask the block's whole chain: `host.ask`.
 */
export function followAlias(query: Query, aliases: Records, target: Name, ask: Next): MaybePromise<Answer> {
  const hops = (query.hops ?? 0) + aliases.answer.length;
  if (hops > MAX_HOPS || isMetaType(query.qtype)) return aliases;
  return andThen(ask({ ...query, qname: target, hops }), (answer) => joined(aliases, answer));
}

function joined(aliases: Records, given: Answer): Answer {
  if (given === DROP) return given;
  if (given.unhandled === true) return aliases; // nobody knows the target, so whether it exists is not ours to say
  const end = recordsOf(given);
  const owners = new Set(aliases.answer.map(({ owner }) => owner));
  const again = end.answer.findIndex(({ owner, type }) => type === RRTypes.CNAME && owners.has(owner));
  if (again >= 0) return { ...aliases, answer: [...aliases.answer, ...end.answer.slice(0, again)] };
  const ede = end.ede ?? (end.rcode === Rcodes.SERVFAIL ? UNREACHED : aliases.ede);
  const isForeign = [aliases, end].map(({ recursionAvailable }) => recursionAvailable === true);
  // `cache` keeps foreign answers, and a foreign target's under its own name. What is ours in between may change at any time.
  const perClient = aliases.perClient === true || end.perClient === true || (isForeign.includes(true) && isForeign.includes(false));
  return {
    ...emptyReply(end.rcode, aliases.by),
    authoritative: aliases.authoritative,
    ...(isForeign.includes(true) && { recursionAvailable: true }),
    answer: [...aliases.answer, ...end.answer],
    authority: end.authority,
    additional: end.additional,
    ...(ede !== undefined && { ede }),
    ...(end.error !== undefined && { error: end.error }),
    ...(perClient && { perClient }),
  };
}
