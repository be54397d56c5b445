// autopath — spares clients the walk through their search list: a name that the list's first domain has made longer
// (`google.com.default.svc.cluster.local`) is answered with what the walk would end in. The walk itself is search-walk.ts's.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { andThen } from "../../chain.ts";
import { systemClock } from "../../clock.ts";
import { directive, zones, type Options, type Shape } from "../../config/directive.ts";
import { DROP, Rcodes, type Query } from "../../dns/message.ts";
import { isWithin, labelsBelow, type Name } from "../../dns/name.ts";
import { isMetaType, RRClasses } from "../../dns/records.ts";
import { isClusterZone, type ClusterZone } from "../../dns/zone.ts";
import { findingAt, type Position } from "../../errors.ts";
import {
  definePlugin,
  type Answer,
  type Host,
  type Instance,
  type MaybePromise,
  type Next,
  type Plugin,
  type Touches,
} from "../../plugin.ts";
import { candidatesOf, createWildcards, namespaceAt, lengthenedByPod, replyFound, walk, type Lengthened } from "../../search-walk.ts";
import { createRemembered } from "./memory.ts";
import { readSearchList } from "./search-list.ts";

const NAME = "autopath";

/** `[ZONES...] RESOLV-CONF|@PLUGIN` */
interface Source {
  readonly zones: readonly Name[];
  /** A path, or `@kubernetes`. */
  readonly searchList: string;
}

const source: Shape<Source> = {
  usage: "[ZONES...] RESOLV-CONF|@kubernetes",
  read(tokens, at, report) {
    const last = tokens.at(-1);
    if (last === undefined || last.text === "") {
      report.error(at, "no resolv-conf specified: expected [ZONES...] RESOLV-CONF|@kubernetes");
      return undefined;
    }
    if (last.text.startsWith("@") && last.text !== KUBERNETES) {
      report.error(last, `${last.text.slice(1)} can't tell a search list; ${KUBERNETES} can, and so can a file like resolv.conf`);
      return undefined;
    }
    const served = zones().read(tokens.slice(0, -1), at, report);
    return served === undefined ? undefined : { zones: served, searchList: last.text };
  },
};
const KUBERNETES = "@kubernetes";

type AutopathOptions = Options<Source, Record<never, never>>;

const plugin: Plugin<AutopathOptions> = definePlugin({ name: NAME, syntax: directive({ args: source }), setup });
export default plugin;

function setup({ args: { zones: given, searchList } }: AutopathOptions, host: Host, at: Position): Instance {
  const served = given.length > 0 ? given : host.zones;
  const list = searchList === KUBERNETES ? undefined : readFile(searchList, host, at);
  // The plugins behind this one are set up later: their zones are asked for when they are first needed.
  let found: readonly ClusterZone[] | undefined;
  const clusters = (): readonly ClusterZone[] =>
    (found ??= (host.instance("kubernetes")?.zones ?? []).filter(isClusterZone).filter(({ isClusterSet }) => !isClusterSet));
  const wildcards = createWildcards(systemClock);
  const remembered = createRemembered(systemClock);
  let walked = 0;
  host.metrics.register({
    name: "coredns_autopath_success_total",
    help: "Counter of requests that did autopath.",
    type: "counter",
    collect: () => [{ labels: { server: host.labels().server }, value: walked + remembered.hits() }],
  });

  return {
    transparent: touches(),
    remember: (memory) => remembered.attach(memory),
    handle(query, next) {
      const lengthened = query.hops === undefined && isAskedFor(query) ? readName(query.qname) : undefined;
      if (lengthened === undefined) return next(query);
      const candidates = candidatesOf(lengthened);
      // What is none of the block's names is another one's, which may look at who asks.
      const isOfBlock = (name: Name): boolean => host.zones.some((zone) => isWithin(name, zone));
      const ask: Next = (asked) => (isOfBlock(asked.qname) ? next(asked) : host.ask({ ...asked, hops: 1 }));
      return andThen(next(query), (first): MaybePromise<Answer> => {
        if (first === DROP || first.rcode !== Rcodes.NXDOMAIN) return first;
        return andThen(walk(query, candidates, { zones: host.localZones(), wildcards, ask }), (end) => {
          if (end === undefined) return first;
          walked++;
          const reply = replyFound(query, end, NAME);
          if (isOfBlock(end.name)) remembered.keep(query, reply);
          return reply;
        });
      });
    },
    start() {
      if (list !== undefined || clusters().length > 0) return;
      host.report(findingAt(at, "warning", `${NAME}: ${KUBERNETES} does nothing without "kubernetes" in the same server block`));
    },
  };

  function isAskedFor({ qclass, qtype, qname }: Query): boolean {
    return qclass === RRClasses.IN && !isMetaType(qtype) && served.some((zone) => isWithin(qname, zone));
  }

  function readName(qname: Name): Lengthened | undefined {
    if (list !== undefined) return lengthenedByList(qname, list);
    for (const cluster of clusters()) {
      const lengthened = lengthenedByPod(cluster, qname);
      if (lengthened !== undefined) return lengthened;
    }
    return undefined;
  }

  // A list whose first domain is a Pod's is read like one: names of the cluster must stay what they are.
  function lengthenedByList(qname: Name, [first, ...domains]: readonly Name[]): Lengthened | undefined {
    const base = first === undefined ? undefined : labelsBelow(qname, first);
    if (first === undefined || base === undefined || base.length === 0) return undefined;
    const ofPod = clusters().find((cluster) => namespaceAt(cluster, first) !== undefined);
    return ofPod !== undefined && lengthenedByPod(ofPod, qname) === undefined ? undefined : { base, domains };
  }

  function touches(): Touches {
    const [first] = list ?? [];
    if (list === undefined)
      return { missingBelow: (encloser) => clusters().some((cluster) => namespaceAt(cluster, encloser) !== undefined) };
    // What is missing may lack the first domain itself.
    return { missingBelow: (encloser) => first !== undefined && (isWithin(encloser, first) || isWithin(first, encloser)) };
  }
}

function readFile(path: string, { file, report }: Host, at: Position): readonly Name[] {
  const refuse = (why: string): readonly Name[] => {
    report({ file: at.file, line: at.line, column: at.column, severity: "error", message: `${NAME}: failed to parse "${path}": ${why}` });
    return [];
  };
  let text: string;
  try {
    text = readFileSync(resolve(dirname(file), path), "utf8");
  } catch (error) {
    return refuse((error as Error).message);
  }
  const list = readSearchList(text);
  return "problem" in list ? refuse(list.problem) : list;
}
