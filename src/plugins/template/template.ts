// template — answers made up from the question: a Go template for each record, behind regular expressions for the name.
// Each directive is an instance of its own; one that does not take a question hands it to the next, in the order of the file.

import { followAlias } from "../../chase.ts";
import { isProblem } from "../../config/arguments.ts";
import { EdeCodes, emptyReply, Rcodes, type Query, type Records } from "../../dns/message.ts";
import { formatName, isWithin, readName, type Name } from "../../dns/name.ts";
import { RRClasses, RRTypes, type RRType } from "../../dns/records.ts";
import type { TextRecord } from "../../dns/text.ts";
import { definePlugin, type Handler, type Host, type Instance, type Plugin, type Touches } from "../../plugin.ts";
import { findingAt, type Position } from "../../errors.ts";
import type { Template } from "./compile.ts";
import { classText, dataOf, PER_CLIENT, typeText, type Match } from "./fields.ts";
import { syntax, type TemplateOptions } from "./options.ts";
import { readRecord, setsOf } from "./record.ts";
import type { Struct } from "./values.ts";

const NAME = "template";
type Section = "answer" | "additional" | "authority";

const plugin: Plugin<TemplateOptions> = definePlugin({ name: NAME, syntax, setup });
export default plugin;

function setup(options: TemplateOptions, host: Host, at: Position): Instance {
  const { rrclass, type, zones } = { ...options.args, zones: options.args.zones.length > 0 ? options.args.zones : host.zones };
  warnOfGroups(options, host, at);
  return {
    transparent: touchesOf(type, zones, host.zones),
    ...(rrclass !== RRClasses.IN && { takesClasses: rrclass === RRClasses.ANY ? [RRClasses.CS, RRClasses.CH, RRClasses.HS] : [rrclass] }),
    handle: createHandler(options, zones, host),
  };
}

// The questions that a template may take. It may hand some on again, which costs time and nothing else.
function touchesOf(type: RRType, zones: readonly Name[], blockZones: readonly Name[]): Touches {
  const isWholeBlock = zones.some((zone) => blockZones.some((blockZone) => isWithin(blockZone, zone)));
  if (type === RRTypes.ANY || !isWholeBlock) return { below: zones };
  return { types: [type, RRTypes.ANY] };
}

// No regular expression has the group: its field would be "<no value>".
function warnOfGroups({ match, answer, additional, authority }: TemplateOptions, host: Host, at: Position): void {
  const patterns = match.flat();
  const known = new Set(["0", ...patterns.flatMap(({ names }) => names.flatMap((name, index) => [name, String(index)]))]);
  const asked = new Set([answer, additional, authority].flat(2).flatMap(({ groups }) => [...groups]));
  for (const group of asked) {
    if (known.has(group)) continue;
    host.report(findingAt(at, "warning", `${NAME}: no regular expression has a group "${group}"`));
  }
}

function createHandler(options: TemplateOptions, zones: readonly Name[], host: Host): Handler {
  const { rrclass, type } = options.args;
  const { rcode = Rcodes.NOERROR, ederror: ede } = options;
  const patterns = options.match.flat();
  const { fallthrough: passing = [] } = options;
  const sections = { answer: options.answer.flat(), additional: options.additional.flat(), authority: options.authority.flat() };
  const perClient = Object.values(sections).some((templates) => templates.some(({ mentions }) => PER_CLIENT.some(mentions)));
  const matches = host.metrics.counter("coredns_template_matches_total", "Counter of template regex matches.");
  const templateFailures = host.metrics.counter("coredns_template_template_failures_total", "Counter of go template failures.");
  const recordFailures = host.metrics.counter("coredns_template_rr_failures_total", "Counter of mis-templated RRs.");

  return (query, next) => {
    const { qname, qtype, qclass } = query;
    const zone = longestOf(zones, qname);
    if (zone === undefined || !takes(rrclass, qclass, RRClasses.ANY) || !takes(type, qtype, RRTypes.ANY)) return next(query);
    const match = matchOf(formatName(qname));
    if (match === undefined) return passing.some((suffix) => isWithin(qname, suffix)) ? next(query) : unmatched();

    const labels = { ...host.labels(), zone: formatName(zone), class: classLabel(query), type: typeLabel(query) };
    matches.add(labels);
    if (rcode === Rcodes.SERVFAIL) return { ...emptyReply(rcode, NAME), ...(ede && { ede }) };
    const data = dataOf({
      query,
      zone,
      rrclass: classText(qclass, rrclass),
      type: typeText(qtype, type),
      match,
      metadata: (label) => host.instance("metadata")?.metadata?.(query, label),
    });
    const made: Record<Section, TextRecord[]> = { answer: [], additional: [], authority: [] };
    for (const section of ["answer", "additional", "authority"] as const) {
      for (const template of sections[section]) {
        const record = recordFrom(template, section, data, labels);
        if (typeof record === "string") return { ...emptyReply(Rcodes.SERVFAIL, NAME), error: record };
        if (record !== undefined) made[section].push(record);
      }
    }
    const reply: Records = {
      ...emptyReply(rcode, NAME),
      authoritative: true,
      recursionAvailable: true,
      answer: setsOf(made.answer),
      additional: setsOf(made.additional),
      authority: setsOf(made.authority),
      ...(perClient && { perClient }),
      ...(ede && { ede }),
    };
    const target = rcode === Rcodes.NOERROR ? openAlias(made.answer, query) : undefined;
    return target === undefined ? reply : followAlias(query, reply, target, host.ask);
  };

  function matchOf(name: string): Match | undefined {
    if (patterns.length === 0) return { regex: ".*", groups: [name], names: [""] };
    for (const { source, names, exec } of patterns) {
      const groups = exec(name);
      if (groups !== undefined) return { regex: source, groups, names };
    }
    return undefined;
  }

  // The record, nothing if the text is empty, or why there is none.
  function recordFrom(template: Template, section: Section, data: Struct, labels: Readonly<Record<string, string>>) {
    const text = template.render(data);
    if (isProblem(text)) {
      templateFailures.add({ ...labels, section, template: template.source });
      return `${section}: ${text.problem}`;
    }
    const record = readRecord(text);
    if (!isProblem(record)) return record;
    recordFailures.add({ ...labels, section, template: template.source });
    return `${section}: ${record.problem}`;
  }

  // Classes and types without a name are the clients' to choose: one label for all.
  function classLabel({ qclass }: Query): string {
    const text = classText(qclass, rrclass);
    return text.startsWith("CLASS") ? "" : text;
  }

  function typeLabel({ qtype }: Query): string {
    const text = typeText(qtype, type);
    return text.startsWith("TYPE") ? "" : text;
  }
}

function longestOf(zones: readonly Name[], name: Name): Name | undefined {
  let longest: Name | undefined;
  for (const zone of zones) if (isWithin(name, zone) && zone.length > (longest?.length ?? 0)) longest = zone;
  return longest;
}

// ANY on either side takes all.
function takes(own: number, asked: number, any: number): boolean {
  return own === any || asked === any || own === asked;
}

// The name is the template's, but no regular expression takes it, and it must not fall through.
function unmatched(): Records {
  return { ...emptyReply(Rcodes.SERVFAIL, NAME), ede: { code: EdeCodes.OTHER, text: "no regular expression of the template matches" } };
}

// Where the answer ends with a CNAME that was not asked for: its target.
function openAlias(answer: readonly TextRecord[], { qtype }: Query): Name | undefined {
  const last = answer.at(-1);
  if (last?.type !== RRTypes.CNAME || qtype === RRTypes.CNAME) return undefined;
  const target = readName(last.rdata, 0)?.name;
  return answer.some(({ owner }) => owner === target) ? undefined : target;
}
