// The fake API server as a process of its own, for benches, whose subject's memory and time are measured without it:
//   npx tsx test/helpers/fake-api/main.ts --kubeconfig FILE [--tls] [--port N] [--token T] [--services N] [--endpoints N]
//     [--namespaces N] [--headless N] [--pods N] [--watch-list on|off|unknown]
// Writes `listening URL` to stdout once it does, then obeys control.ts on stdin; the end of stdin is its end.

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { bigCluster, REFERENCE_CLUSTER } from "./big-cluster.ts";
import { obey } from "./control.ts";
import { startFakeApi } from "./fake-api.ts";

const { values } = parseArgs({
  options: {
    kubeconfig: { type: "string" },
    tls: { type: "boolean", default: false },
    port: { type: "string", default: "0" },
    token: { type: "string", multiple: true },
    services: { type: "string", default: String(REFERENCE_CLUSTER.services) },
    endpoints: { type: "string", default: String(REFERENCE_CLUSTER.endpointsEach) },
    namespaces: { type: "string", default: String(REFERENCE_CLUSTER.namespaces) },
    headless: { type: "string", default: String(REFERENCE_CLUSTER.headlessEndpoints) },
    pods: { type: "string", default: "0" },
    "watch-list": { type: "string", default: "on" },
  },
});

const api = await startFakeApi({
  tls: values.tls,
  port: Number(values.port),
  tokens: values.token ?? [],
  watchList: values["watch-list"] as "on" | "off" | "unknown",
  record: "nothing",
  objects: bigCluster({
    services: Number(values.services),
    endpointsEach: Number(values.endpoints),
    namespaces: Number(values.namespaces),
    headlessEndpoints: Number(values.headless),
    pods: Number(values.pods),
  }),
});
// What has to be replayed to a watch is what comes from now on.
api.compact();
if (values.kubeconfig !== undefined) writeFileSync(values.kubeconfig, api.kubeconfig());
process.stdout.write(`listening ${api.url}\n`);
await obey(api, process.stdin, process.stdout);
await api.stop();
