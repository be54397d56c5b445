// Makes test/deploy/kubernetes-schema.json: of Kubernetes' own OpenAPI description only the kinds that deploy/ has, only
// what a check needs. Run by hand for a new Kubernetes: `npx tsx scripts/kubernetes-schema.ts v1.36.3` (needs Go, whose
// module proxy has the sources). Enums are in the generated Go code alone, so they are read from there.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KubernetesSchema, Schema } from "../test/helpers/kubernetes-schema.ts";

const KINDS = [
  "io.k8s.api.apps.v1.DaemonSet",
  "io.k8s.api.apps.v1.Deployment",
  "io.k8s.api.core.v1.ConfigMap",
  "io.k8s.api.core.v1.Pod",
  "io.k8s.api.core.v1.Service",
  "io.k8s.api.core.v1.ServiceAccount",
  "io.k8s.api.networking.v1.NetworkPolicy",
  "io.k8s.api.policy.v1.PodDisruptionBudget",
  "io.k8s.api.rbac.v1.ClusterRole",
  "io.k8s.api.rbac.v1.ClusterRoleBinding",
  "io.k8s.api.rbac.v1.Role",
  "io.k8s.api.rbac.v1.RoleBinding",
];
const OUTPUT = "test/deploy/kubernetes-schema.json";

interface OpenApi {
  readonly definitions: Readonly<Record<string, Definition>>;
}

interface Definition {
  readonly type?: string;
  readonly format?: string;
  readonly $ref?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Definition>>;
  readonly items?: Definition;
  readonly additionalProperties?: Definition;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-group-version-kind"?: readonly { group: string; version: string; kind: string }[];
}

const [version = "v1.36.3"] = process.argv.slice(2);
const download = execFileSync("go", ["mod", "download", "-json", `k8s.io/kubernetes@${version}`], { encoding: "utf8" });
const { Dir: folder } = JSON.parse(download) as { Dir: string };
const { definitions } = JSON.parse(readFileSync(join(folder, "api/openapi-spec/swagger.json"), "utf8")) as OpenApi;
const enums = readEnums(readFileSync(join(folder, "pkg/generated/openapi/zz_generated.openapi.go"), "utf8"));

const kinds: Record<string, string> = {};
const reduced: Record<string, Schema> = {};
for (const name of KINDS) {
  const { group, version: apiVersion, kind } = definitions[name]?.["x-kubernetes-group-version-kind"]?.[0] ?? fail(name);
  kinds[`${group === "" ? "" : `${group}/`}${apiVersion} ${kind}`] = name;
  keep(name);
}
const schema: KubernetesSchema = { kubernetes: version, kinds, definitions: reduced };
writeFileSync(OUTPUT, `${JSON.stringify(schema)}\n`);
execFileSync("node_modules/.bin/oxfmt", [OUTPUT]);

// A definition and all that it refers to.
function keep(name: string): void {
  if (Object.hasOwn(reduced, name)) return;
  const definition = definitions[name] ?? fail(name);
  reduced[name] = {}; // before its parts: JSONSchemaProps and the like refer to themselves
  reduced[name] = reduce(definition, name);
}

function reduce(definition: Definition, name: string): Schema {
  const ref = definition.$ref?.replace("#/definitions/", "");
  if (ref !== undefined) keep(ref);
  const properties = Object.entries(definition.properties ?? {})
    .filter(([property]) => property !== "status" && property !== "managedFields") // the server's, never in a manifest
    .map(([property, value]) => {
      const values = enums.get(`${name}.${property}`);
      const found = reduce(value, "");
      if (values === undefined) return [property, found] as const;
      return [
        property,
        found.items === undefined ? { ...found, enum: values } : { ...found, items: { ...found.items, enum: values } },
      ] as const;
    });
  return {
    ...(ref !== undefined && { ref }),
    ...(definition.type !== undefined && { type: definition.type }),
    ...(definition.format !== undefined && { format: definition.format }),
    ...(definition.required !== undefined && { required: definition.required }),
    ...(properties.length > 0 && { properties: Object.fromEntries(properties) }),
    ...(definition.items !== undefined && { items: reduce(definition.items, "") }),
    ...(definition.additionalProperties !== undefined && { values: reduce(definition.additionalProperties, "") }),
    ...(definition["x-kubernetes-list-map-keys"] !== undefined && { keys: definition["x-kubernetes-list-map-keys"] }),
  };
}

// `func schema_k8sio_api_core_v1_ContainerPort(` … `"protocol": {` … `Enum: []interface{}{"SCTP", "TCP", "UDP"},`
function readEnums(source: string): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  let definition = "";
  let property = "";
  for (const line of source.split("\n")) {
    const [, groupVersion, kind] = /^func schema_k8sio_api_(\w+_v\w+?)_(\w+)\(/.exec(line) ?? [];
    if (line.startsWith("func ")) definition = groupVersion === undefined ? "" : `io.k8s.api.${groupVersion.replaceAll("_", ".")}.${kind}`;
    property = /^\t{5}"(\w+)": \{$/.exec(line)?.[1] ?? property;
    const [, values] = /^\t+Enum: +\[\]interface\{\}\{(.*)\},$/.exec(line) ?? [];
    if (definition !== "" && values !== undefined) found.set(`${definition}.${property}`, JSON.parse(`[${values}]`) as string[]);
  }
  return found;
}

function fail(name: string): never {
  throw new Error(`${version} does not describe ${name}`);
}
