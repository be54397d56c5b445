// What templates know of a query: the fields of `.`, CoreDNS's names for them, and their values for one query. compile.ts
// checks a template's fields against the table here; template.ts makes the values.

import { nearest } from "../../errors.ts";
import { Flags, HEADER_BYTES, type Query } from "../../dns/message.ts";
import { formatName, lowerCase, type Name } from "../../dns/name.ts";
import { RRClasses, RRTypes } from "../../dns/records.ts";
import { className, typeName } from "../../dns/text.ts";
import { TemplateError, type Struct, type Value } from "./values.ts";

// What may stand behind a field: nothing, any key, or one of these.
const QUESTION = ["Name", "Qtype", "Qclass"] as const;
const MESSAGE = [
  "Id", "Response", "Opcode", "Authoritative", "Truncated", "RecursionDesired", "RecursionAvailable", "Zero", "AuthenticatedData",
  "CheckingDisabled", "Rcode", "Question",
] as const; // prettier-ignore
const FIELDS: Readonly<Record<string, "value" | "keys" | readonly string[]>> = {
  Class: "value",
  Group: "keys",
  Match: "value",
  Message: MESSAGE,
  Meta: "value",
  Name: "value",
  Question: QUESTION,
  Regex: "value",
  Remote: "value",
  Type: "value",
  Zone: "value",
};

/** Fields that depend on who asks, or how: what a template that looks at them gives is nobody else's answer. */
export const PER_CLIENT: readonly string[] = ["Remote", "Meta", "Message", "Question"];

export function isRootField(field: string): boolean {
  return Object.hasOwn(FIELDS, field);
}

/** Throws TemplateError where the fields behind the query's `.` are none. */
export function checkPath([field, inner, ...more]: readonly string[]): void {
  if (field === undefined) return;
  const shape = isRootField(field) ? FIELDS[field] : undefined;
  if (shape === undefined) throw new TemplateError(noField(field, Object.keys(FIELDS), ""));
  if (inner === undefined) return;
  if (shape === "value" || more.length > 0) throw new TemplateError(`no field "${(shape === "value" ? inner : more[0]) ?? ""}" there`);
  if (shape !== "keys" && !shape.includes(inner)) throw new TemplateError(noField(inner, shape, `.${field}`));
}

function noField(field: string, known: readonly string[], of: string): string {
  const meant = nearest(field, known);
  return `${of === "" ? "" : `${of} has `}no field "${field}"${meant === undefined ? `; known: ${known.join(", ")}` : `, did you mean "${meant}"?`}`;
}

/** A regular expression's match: the groups with their names. */
export interface Match {
  readonly regex: string;
  readonly groups: readonly (string | undefined)[];
  readonly names: readonly string[];
}

/** A query that a template is about to answer. */
export interface Matched {
  readonly query: Query;
  readonly zone: Name;
  /** CoreDNS's text for them; for a question of any class or type, the template's own. */
  readonly rrclass: string;
  readonly type: string;
  readonly match: Match;
  /** What `metadata` says, if anything. */
  readonly metadata: (label: string) => string | undefined;
}

/** The fields of `.`; the rare ones are made when they are looked at. */
export function dataOf({ query, zone, rrclass, type, match, metadata }: Matched): Struct {
  const groups = match.groups.map((text) => text ?? ""); // Go knows no group that took no part
  let byName: ReadonlyMap<string, Value> | undefined;
  return {
    Zone: formatName(zone),
    Name: formatName(query.qname),
    Regex: match.regex,
    Class: rrclass,
    Type: type,
    Match: groups,
    Remote: query.client.address,
    Meta: (args) => metaOf(args, metadata),
    get Group() {
      return (byName ??= groupsByName(groups, match.names));
    },
    get Question() {
      return questionOf(query);
    },
    get Message() {
      return messageOf(query);
    },
  };
}

function metaOf(args: readonly Value[], metadata: Matched["metadata"]): string {
  const [label] = args;
  if (typeof label !== "string" || args.length > 1) throw new TemplateError(".Meta takes one string");
  return metadata(label) ?? "";
}

function groupsByName(groups: readonly string[], names: readonly string[]): ReadonlyMap<string, Value> {
  const byName = new Map<string, Value>(groups.map((text, index) => [String(index), text]));
  for (const [index, name] of names.entries()) if (name !== "") byName.set(name, groups[index]);
  return byName;
}

// The name with the client's own letters, unless a plugin has changed it.
function questionOf({ qname, qtype, qclass, wire }: Query): Struct {
  const asked = Buffer.from(wire.buffer, wire.byteOffset + HEADER_BYTES, Math.min(qname.length, wire.length - HEADER_BYTES)).toString(
    "latin1",
  );
  const name = lowerCase(asked) === qname ? (asked as Name) : qname;
  return { Name: formatName(name), Qtype: BigInt(qtype), Qclass: BigInt(qclass) };
}

function messageOf(query: Query): Struct {
  const { id, flags } = query;
  return {
    Id: BigInt(id),
    Response: (flags & Flags.QR) !== 0,
    Opcode: BigInt((flags >> 11) & 0x0f),
    Authoritative: (flags & Flags.AA) !== 0,
    Truncated: (flags & Flags.TC) !== 0,
    RecursionDesired: (flags & Flags.RD) !== 0,
    RecursionAvailable: (flags & Flags.RA) !== 0,
    Zero: (flags & 0x40) !== 0,
    AuthenticatedData: (flags & Flags.AD) !== 0,
    CheckingDisabled: (flags & Flags.CD) !== 0,
    Rcode: BigInt(flags & 0x0f),
    Question: [questionOf(query)],
  };
}

/** A type as text; ANY is the template's own. For metrics types without a name are "", for they are the clients' choice. */
export function typeText(qtype: number, own: number): string {
  return typeName(qtype === RRTypes.ANY ? own : qtype);
}

export function classText(qclass: number, own: number): string {
  return className(qclass === RRClasses.ANY ? own : qclass);
}
