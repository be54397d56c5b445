// The fake API server as a process, started inside a container's network by deploy.test.ts: lets one token in, allows
// what RBAC rules allow and nothing else. Prints its authority's certificate, and on SIGTERM the requests that came.
//   node --import tsx test/e2e/in-cluster-api.ts '{"token": …, "port": …, "rules": […], "objects": […]}'

import { once } from "node:events";
import { startFakeApi } from "../helpers/fake-api/fake-api.ts";
import type { KubeObject } from "../helpers/fake-api/objects.ts";
import { resources, type ResourceName } from "../helpers/fake-api/resources.ts";

export interface InClusterApi {
  readonly token: string;
  readonly port: number;
  /** Of a ClusterRole, or with `namespace` of a Role in it. */
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }[];
  readonly namespace?: string;
  readonly objects: readonly KubeObject[];
}

/** A line at the end. */
export interface Asked {
  readonly verb: string;
  readonly resource: string;
  readonly namespace?: string;
}

const { token, port, rules, namespace, objects } = JSON.parse(process.argv[2] ?? "") as InClusterApi;
await using api = await startFakeApi({ tls: true, tokens: [token], port, objects });
for (const { name, group } of Object.values(resources)) {
  const isAllowed = rules.some(
    ({ apiGroups, resources: allowed, verbs }) =>
      apiGroups.includes(group) && allowed.includes(name) && ["list", "watch"].every((verb) => verbs.includes(verb)),
  );
  if (!isAllowed) api.forbid(name as ResourceName);
  else if (namespace !== undefined) api.forbid(name as ResourceName, [namespace]);
}
process.stdout.write(`${JSON.stringify({ authority: api.authority.cert })}\n`);
const alive = setInterval(() => undefined, 60_000);
await once(process, "SIGTERM");
clearInterval(alive);
for (const { verb, resource = "", namespace: at } of api.requests) {
  process.stdout.write(`${JSON.stringify({ verb, resource, ...(at !== undefined && { namespace: at }) } satisfies Asked)}\n`);
}
