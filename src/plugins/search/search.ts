// search — answers short names (`my-nginx`, `my-nginx.default`) by itself, for clients without a search list: on
// development machines and in tests. A cluster's Pods bring their own search list and need none of this.

import { andThen } from "../../chain.ts";
import { systemClock } from "../../clock.ts";
import { oneOf, word } from "../../config/arguments.ts";
import { directive, none, once, one, rest, type Options, type Property } from "../../config/directive.ts";
import { followAlias } from "../../chase.ts";
import { chase, lookup, replyFrom, withStaleness } from "../../dns/lookup.ts";
import { DROP, emptyReply, Rcodes, type Query, type Reply } from "../../dns/message.ts";
import { isWithin, ROOT, type Name } from "../../dns/name.ts";
import { isMetaType } from "../../dns/records.ts";
import { recordsOf } from "../../dns/wire.ts";
import { isClusterZone, type ClusterZone, type Zone } from "../../dns/zone.ts";
import { definePlugin, type Answer, type Host, type Instance, type MaybePromise, type Next, type Plugin } from "../../plugin.ts";
import { findingAt, type Position } from "../../errors.ts";
import { candidatesOf, createWildcards, lengthenedByPod, namespaceAt, replyFound, walk, type Lengthened } from "../../search-walk.ts";
import { RESERVED, searchZone, TYPES } from "./zone.ts";

const NAME = "search";
const UNHANDLED: Reply = { ...emptyReply(Rcodes.REFUSED, ""), unhandled: true };
/** Names below which a cluster's own would hide the Internet's; any of two letters is one, too. */
const TOP_LEVEL_DOMAINS: ReadonlySet<string> = new Set(
  "app arpa biz cloud com dev edu gov info int mil mobi name net online org page pro shop site store tech xyz".split(" "),
);
/** Seconds, where the target has no record to take a TTL from; as `kubernetes`. */
const TTL_SECONDS = 5;

type SearchOptions = Options<
  readonly string[],
  { readonly namespaces: Property<"all" | undefined>; readonly autopath: Property<true | undefined> }
>;

const plugin: Plugin<SearchOptions> = definePlugin({
  name: NAME,
  syntax: directive({
    args: rest(word("NAMESPACE"), { min: 1 }),
    options: { namespaces: once(one(oneOf("all"))), autopath: once(none()) },
    check({ args: namespaces }, report, at) {
      for (const namespace of namespaces) {
        if (RESERVED.has(namespace))
          report.error(at, `"${namespace}" can't be searched: the name stands for itself below a cluster's zone`);
        else if (namespace.length === 2 || TOP_LEVEL_DOMAINS.has(namespace)) {
          report.warning(at, `"${namespace}" is a top-level domain too: its Services hide the names below it, like example.${namespace}`);
        }
      }
    },
  }),
  setup,
});
export default plugin;

function setup({ args: namespaces, namespaces: every, autopath }: SearchOptions, host: Host, at: Position): Instance {
  // `kubernetes` is set up after this plugin: its zones are asked for when they are first needed.
  let found: readonly Zone[] = [];
  const zonesOfCluster = (): readonly Zone[] => {
    if (found.length === 0) found = host.instance("kubernetes")?.zones ?? [];
    return found;
  };
  const clusterZone = (): ClusterZone | undefined => zonesOfCluster().find(isClusterZone);
  const zone = searchZone({
    namespaces,
    qualified: every === "all" ? "all" : "listed",
    cluster: clusterZone,
    ttl: TTL_SECONDS,
  });
  const wildcards = createWildcards(systemClock);
  return {
    ...(every === "all" && { everyNamespace: at }),
    zones: [zone],
    transparent: autopath === true ? { missingBelow: isAboveWalked } : true,
    handle(query, next) {
      const { qname, qtype } = query;
      const isOurs = TYPES.includes(qtype);
      if (!zone.ready) {
        if (!isOurs || !zone.covers(qname)) return next(query);
        return replyFrom({ kind: "unknown", answer: [], isThere: false, reason: zone.notReadyReason ?? "" }, NAME) ?? next(query);
      }
      const lengthened = readName(query);
      if (lengthened !== undefined) return walked(query, lengthened, next);
      const node = zone.node(qname);
      if (node?.rrsets.length === 0) return decided(next(query), (given) => (isDenial(given) ? nonTerminal(qname) : given));
      if (!isOurs) return next(query);
      if (node === undefined) return decided(next(query), (given) => (given.unhandled === true ? (missing(query) ?? given) : given));
      const found = chase(zonesOfCluster(), lookup(zone, qname, qtype), qtype);
      const reply = replyFrom(found, NAME, zone);
      if (reply === undefined) return next(query);
      return found.kind === "cname" ? followAlias(query, reply, found.target, (asked) => host.ask(asked)) : reply;
    },
    start() {
      if (zonesOfCluster().length > 0) return;
      host.report(findingAt(at, "warning", `${NAME}: does nothing without "kubernetes" in the same server block`));
    },
  };

  function isSearched(namespace: string): boolean {
    return every === "all" || namespaces.includes(namespace);
  }

  function isAboveWalked(encloser: Name): boolean {
    const cluster = clusterZone();
    const namespace = cluster && namespaceAt(cluster, encloser);
    return namespace !== undefined && isSearched(namespace);
  }

  // With `autopath`: what a Pod's search list has made longer, in a namespace that is searched.
  function readName({ qname, qtype, hops }: Query): Lengthened | undefined {
    if (autopath !== true || hops !== undefined || isMetaType(qtype) || host.instance("autopath") !== undefined) return undefined;
    const cluster = clusterZone();
    const lengthened = cluster && lengthenedByPod(cluster, qname);
    return lengthened !== undefined && isSearched(lengthened.namespace) ? lengthened : undefined;
  }

  // From the top of the chain: `acl` and `cache` are in front of this plugin.
  function walked(query: Query, lengthened: Lengthened, next: Next): MaybePromise<Answer> {
    const ask: Next = (asked) => host.ask({ ...asked, hops: 1 });
    return andThen(next(query), (first): MaybePromise<Answer> => {
      if (first === DROP || first.rcode !== Rcodes.NXDOMAIN) return first;
      const end = walk(query, candidatesOf(lengthened), { zones: zonesOfCluster(), wildcards, ask });
      return andThen(end, (found) => (found === undefined ? first : replyFound(query, found, NAME)));
    });
  }

  // NODATA for a name that has short names below it; in the cluster's zone the SOA stands where it is.
  function nonTerminal(qname: Name): Reply {
    const cluster = clusterZone();
    const soa = cluster?.soa();
    const owner = cluster !== undefined && isWithin(qname, cluster.apex) ? cluster.apex : ROOT;
    const authority = soa === undefined ? [] : [{ ...soa, owner }];
    return withStaleness({ ...emptyReply(Rcodes.NOERROR, NAME), authoritative: true, authority }, zone);
  }

  // A short name that nobody has taken: what `kubernetes` says of the full name that was meant, in the name of the
  // root, where short names stand. What exists decides, never the text of a reason. Other names stay refused.
  function missing(query: Query): Reply | undefined {
    const handle = host.instance("kubernetes")?.handle;
    if (handle === undefined || !zone.claims(query.qname)) return undefined;
    for (const full of zone.fullNames(query.qname)) {
      const reply = handle({ ...query, qname: full }, () => UNHANDLED);
      if (reply === DROP || reply instanceof Promise || reply.rcode !== Rcodes.NXDOMAIN) continue;
      const { authority } = recordsOf(reply);
      return { ...recordsOf(reply), by: NAME, authority: authority.map((rrset) => ({ ...rrset, owner: ROOT })) };
    }
    return undefined;
  }
}

// Nobody took the name, or `kubernetes` denied it, which knows no short names.
function isDenial({ unhandled, rcode, by }: Reply): boolean {
  return unhandled === true || (rcode === Rcodes.NXDOMAIN && by === "kubernetes");
}

function decided(answer: Answer | Promise<Answer>, decide: (given: Reply) => Answer): Answer | Promise<Answer> {
  if (answer instanceof Promise) return answer.then((given) => (given === DROP ? given : decide(given)));
  return answer === DROP ? answer : decide(answer);
}
