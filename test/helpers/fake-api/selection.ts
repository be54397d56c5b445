// What of a resource a request selects: by namespace, labelSelector and fieldSelector, in the syntax of a real API server.

import type { Labels, Version } from "./store.ts";

export type Selects = (version: Version) => boolean;

/** A predicate for objects; a text that is wrong is returned instead. */
export function selection(namespace: string | undefined, labelSelector = "", fieldSelector = ""): Selects | { readonly wrong: string } {
  const labels = terms(labelSelector).map(labelTerm);
  const fields = terms(fieldSelector).map(fieldTerm);
  const wrong = [...labels, ...fields].find((term) => typeof term === "string");
  if (typeof wrong === "string") return { wrong };
  return (version) =>
    (namespace === undefined || version.namespace === namespace) &&
    (labels as LabelTerm[]).every((holds) => holds(version.labels)) &&
    (fields as FieldTerm[]).every((holds) => holds(version));
}

type LabelTerm = (labels: Labels) => boolean;
type FieldTerm = (version: Version) => boolean;

// Commas inside parentheses belong to a set.
function terms(selector: string): string[] {
  return selector === "" ? [] : selector.split(/,(?![^(]*\))/).map((term) => term.trim());
}

function labelTerm(term: string): LabelTerm | string {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
  if (set !== null) {
    const values = (set[3] ?? "").split(",").map((value) => value.trim());
    const isIn = set[2] === "in";
    return (labels) => values.includes(labels[set[1] ?? ""] ?? "\0") === isIn;
  }
  const equality = /^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$/.exec(term);
  if (equality !== null) return (labels) => (labels[equality[1] ?? ""] === equality[3]) === (equality[2] !== "!=");
  const presence = /^(!?)([^\s=!()]+)$/.exec(term);
  if (presence !== null) return (labels) => (labels[presence[2] ?? ""] === undefined) === (presence[1] === "!");
  return `unable to parse requirement: found '${term}'`;
}

function fieldTerm(term: string): FieldTerm | string {
  const match = /^([a-zA-Z.]+?)(==|=|!=)(.*)$/.exec(term);
  const [, field = "", operator, value] = match ?? [];
  const read = FIELDS[field];
  if (match === null || read === undefined) return `field label not supported: ${term}`;
  return (version) => (read(version) === value) === (operator !== "!=");
}

const FIELDS: Readonly<Record<string, (version: Version) => string | undefined>> = {
  "metadata.name": ({ name }) => name,
  "metadata.namespace": ({ namespace }) => namespace,
  "status.phase": ({ json }) => (JSON.parse(json) as { status?: { phase?: string } }).status?.phase,
};
