// Judges an object by Kubernetes' OpenAPI description, as the API server does with `fieldValidation: Strict`: unknown and
// missing fields, types, enums, doubled list entries. For test/deploy; scripts/kubernetes-schema.ts makes the description.

import { readFileSync } from "node:fs";

/** A reduced JSON schema: `ref` names a definition, `values` describes a map's, `keys` tell the entries of a list apart. */
export interface Schema {
  readonly ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly values?: Schema;
  readonly keys?: readonly string[];
}

export interface KubernetesSchema {
  readonly kubernetes: string;
  /** Definitions by `apiVersion kind`. */
  readonly kinds: Readonly<Record<string, string>>;
  readonly definitions: Readonly<Record<string, Schema>>;
}

const file = new URL("../deploy/kubernetes-schema.json", import.meta.url);
const { kinds, definitions } = JSON.parse(readFileSync(file, "utf8")) as KubernetesSchema;

// apimachinery's pkg/api/resource: a number and a suffix.
const QUANTITY = /^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;
const UNTYPED: Readonly<Record<string, (value: unknown) => boolean>> = {
  "io.k8s.apimachinery.pkg.api.resource.Quantity": (value) =>
    typeof value === "number" || (typeof value === "string" && QUANTITY.test(value)),
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": (value) => typeof value === "string" || Number.isInteger(value),
};

/** What is wrong with it, each `PATH: PROBLEM`; nothing where all is well. */
export function problemsOf(object: unknown): string[] {
  const { apiVersion, kind } = object as { apiVersion?: string; kind?: string };
  const name = kinds[`${apiVersion} ${kind}`];
  if (name === undefined) return [`no description of ${apiVersion} ${kind}: add it to scripts/kubernetes-schema.ts`];
  return [...problems(object, { ref: name }, "")];
}

function* problems(value: unknown, schema: Schema, path: string): Generator<string> {
  if (schema.ref !== undefined) {
    const untyped = UNTYPED[schema.ref];
    if (untyped !== undefined) {
      if (!untyped(value)) yield `${path}: ${JSON.stringify(value)} is no ${schema.ref.split(".").at(-1)}`;
      return;
    }
    yield* problems(value, definitions[schema.ref] ?? {}, path);
    return;
  }
  if (schema.type !== undefined && !isOfType(value, schema.type)) {
    yield `${path}: must be of type ${schema.type}, found ${JSON.stringify(value)}`;
    return;
  }
  if (schema.enum !== undefined && !schema.enum.includes(value as string)) {
    yield `${path}: must be one of ${schema.enum.join(", ")}, found ${JSON.stringify(value)}`;
  }
  if (Array.isArray(value)) yield* problemsOfList(value, schema, path);
  else if (typeof value === "object" && value !== null) yield* problemsOfFields(value as Record<string, unknown>, schema, path);
}

function* problemsOfList(list: readonly unknown[], { items = {}, keys }: Schema, path: string): Generator<string> {
  const seen = new Set<string>();
  for (const [index, item] of list.entries()) {
    yield* problems(item, items, `${path}[${index}]`);
    if (keys === undefined) continue;
    const key = keys.map((field) => String((item as Record<string, unknown>)[field])).join(" ");
    if (seen.has(key)) yield `${path}[${index}]: there are two with ${keys.join(", ")} ${key}`;
    seen.add(key);
  }
}

function* problemsOfFields(fields: Readonly<Record<string, unknown>>, schema: Schema, path: string): Generator<string> {
  for (const field of schema.required ?? []) {
    if (!Object.hasOwn(fields, field)) yield `${path}: ${field} is missing`;
  }
  for (const [field, value] of Object.entries(fields)) {
    const at = path === "" ? field : `${path}.${field}`;
    const known = schema.properties === undefined ? undefined : schema.properties[field];
    if (known !== undefined) yield* problems(value, known, at);
    else if (schema.values !== undefined) yield* problems(value, schema.values, at);
    else if (schema.properties !== undefined) yield `${at}: there is no such field`;
  }
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
