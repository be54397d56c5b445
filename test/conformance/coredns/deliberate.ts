// Where our answers to questions about random clusters differ from CoreDNS's on purpose, and how such a difference is told
// from a mistake. Whatever is not on this list is a mistake.

import type { KubeObject } from "../../helpers/fake-api/objects.ts";
import type { Answer } from "./asking.ts";
import type { Question } from "./questions.ts";

export interface Difference {
  readonly question: Question;
  readonly theirs: Answer;
  readonly ours: Answer;
  readonly variant: string;
  /** The cluster. */
  readonly objects: readonly KubeObject[];
}

interface Deliberate {
  readonly why: string;
  holds(difference: Read): boolean;
}

interface Read extends Difference {
  readonly name: string;
  readonly type: string;
}

const list: readonly Deliberate[] = [
  {
    why: "a name that has other types, or names below it, is NODATA (RFC 8020)",
    holds: ({ name, theirs, ours }) =>
      isEmpty(ours, "NOERROR") &&
      isEmpty(theirs, "NXDOMAIN") &&
      (/^(\^|~|dns-version\.~)$/.test(name) || /^(_?(tcp|udp|sctp)|_zone|pin\._zone)\.[^.]+\.[^.]+\.svc\.[~^]$/.test(name)),
  },
  {
    why: "the SOA of a name that does not exist is NXDOMAIN",
    holds: ({ type, theirs, ours }) => type === "SOA" && isEmpty(theirs, "NOERROR") && isEmpty(ours, "NXDOMAIN"),
  },
  {
    why: "NS is there with bind too",
    holds: ({ name, type, theirs, ours }) => /^[~^]$/.test(name) && type === "NS" && isEmpty(theirs, "NOERROR") && ours.includes(" NS "),
  },
  {
    why: "what falls through and nobody takes is NXDOMAIN: CoreDNS gives SERVFAIL",
    holds: ({ type, theirs, ours }) => type === "PTR" && theirs.startsWith("SERVFAIL") && isEmpty(ours, "NXDOMAIN"),
  },
  {
    why: "slices of no Service are ignored: CoreDNS gives names that don't exist, or no answer",
    holds: ({ type, theirs, ours, objects }) =>
      type === "PTR" &&
      (theirs === "nothing" ||
        same(
          answersOf(ours),
          answersOf(theirs).filter((record) => existsIn(objects, record)),
        )),
  },
  {
    why: "names of namespaces that namespace_labels leaves out have no PTR: CoreDNS gives names that don't exist",
    holds: ({ type, variant, theirs, ours }) =>
      type === "PTR" && variant === "namespace_labels" && answersOf(ours).every((record) => answersOf(theirs).includes(record)),
  },
  {
    why: "an rrset in the additional section is whole (RFC 2181 §5), whatever topology zone or port the question is about",
    holds: ({ type, theirs, ours }) =>
      type === "SRV" &&
      additionalOf(theirs).length < additionalOf(ours).length &&
      additionalOf(theirs).every((record) => additionalOf(ours).includes(record)) &&
      same(answersOf(withoutWeights(theirs)), answersOf(withoutWeights(ours))),
  },
  {
    why: "SRV weights share 100 among records that differ; CoreDNS counts before it leaves out equal ones",
    holds: ({ type, theirs, ours }) => type === "SRV" && theirs !== ours && withoutWeights(theirs) === withoutWeights(ours),
  },
  {
    why: "the CNAME of an ExternalName is always there, with the rcode of its end (RFC 6604)",
    holds: ({ name, theirs, ours, objects }) =>
      isEmpty(theirs, "NOERROR") && / \| @ \d+ CNAME /.test(ours) && serviceAt(objects, name)?.["type"] === "ExternalName",
  },
  {
    why: "slices of type FQDN are ignored: CoreDNS makes CNAMEs of them, several at a name",
    holds: ({ name, objects }) => {
      const [service, namespace] = serviceIn(name);
      return objects.some(
        ({ kind, metadata, ...fields }) =>
          kind === "EndpointSlice" &&
          fields["addressType"] === "FQDN" &&
          metadata.namespace === namespace &&
          metadata.labels?.["kubernetes.io/service-name"] === service,
      );
    },
  },
  {
    why: "a Pod is there under all its addresses, not the first alone",
    holds: ({ name, theirs, ours, objects }) => {
      const [label, namespace] = name.split(".");
      const isOther = (object: KubeObject): boolean => {
        const { podIP, podIPs = [] } = object["status"] as { podIP?: string; podIPs?: { ip: string }[] };
        return podIPs.some(({ ip }) => ip !== podIP && ip.replaceAll(":", "-").replace(/-$/, "-0") === label);
      };
      return (
        name.endsWith(".pod.~") &&
        isEmpty(theirs, "NXDOMAIN") &&
        ours.startsWith("NOERROR") &&
        objects.some((object) => object.kind === "Pod" && object.metadata.namespace === namespace && isOther(object))
      );
    },
  },
];

/** The reasons. */
export const deliberateDifferences: readonly string[] = list.map(({ why }) => why);

/** Why ours is another on purpose; undefined for a mistake. */
export function whyDeliberate(difference: Difference): string | undefined {
  const [name = "", type = ""] = difference.question.split(" ");
  const read: Read = { ...difference, name, type };
  return list.find((each) => each.holds(read))?.why;
}

function isEmpty(answer: Answer, rcode: string): boolean {
  return new RegExp(`^${rcode} aa rd \\|\\| [^;|]* SOA$`).test(answer);
}

function answersOf(answer: Answer): string[] {
  const section = answer.split(" || ")[0]?.split(" | ")[1];
  return section === undefined || section === "" ? [] : section.split("; ");
}

function additionalOf(answer: Answer): string[] {
  return answer.split(" || ")[1]?.split("; ") ?? [];
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((record) => b.includes(record));
}

// The Service in `@ 5 PTR 10-1-0-6.web.default.svc.~`.
function existsIn(objects: readonly KubeObject[], record: string): boolean {
  return serviceAt(objects, record.split(" PTR ")[1] ?? "") !== undefined;
}

function serviceAt(objects: readonly KubeObject[], name: string): Record<string, unknown> | undefined {
  const [service, namespace] = serviceIn(name);
  const found = objects.find(({ kind, metadata }) => kind === "Service" && metadata.name === service && metadata.namespace === namespace);
  return found?.["spec"] as Record<string, unknown> | undefined;
}

function withoutWeights(answer: Answer): string {
  return answer.replaceAll(/ SRV (\d+) \d+ /g, " SRV $1 W ");
}

// The last two labels above `svc.~`.
function serviceIn(name: string): string[] {
  return name
    .toLowerCase()
    .replace(/\.svc\.~$/, "")
    .split(".")
    .slice(-2);
}
