// The cluster of the DNS specification's tests, and questions asked of a set-up `kubernetes` plugin in text: what
// comes back is one line a record, with the rcode in front and the section where it is not the answer.

import { DROP, type Records, type Reply } from "../../../src/dns/message.ts";
import { recordsOf } from "../../../src/dns/wire.ts";
import { formatRecord, rcodeName, typeOf } from "../../../src/dns/text.ts";
import type { Answer, Host, Instance, Next } from "../../../src/plugin.ts";
import type { Change, EndpointSlice, RegistryObject, Service } from "../../../src/registry/objects.ts";
import { createRegistry, type WritableRegistry } from "../../../src/registry/registry.ts";
import { fakeHost, query, setUp, type FakeHost } from "../../helpers/fake-host.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";

export function service(given: Partial<Service> & { readonly name: string }): Service {
  return {
    kind: "Service",
    namespace: "default",
    type: "ClusterIP",
    clusterIPs: [],
    headless: false,
    ports: [],
    externalName: "",
    publishNotReadyAddresses: false,
    labels: {},
    ...given,
  };
}

export function slice(given: Partial<EndpointSlice> & { readonly service: string }): EndpointSlice {
  return {
    kind: "EndpointSlice",
    namespace: "default",
    name: `${given.service}-1`,
    addressType: "IPv4",
    endpoints: [],
    ports: [],
    ...given,
  };
}

export function upserts(...objects: readonly RegistryObject[]): Change[] {
  return objects.map((object) => ({ verb: "upsert", object }));
}

/** `web`, `raw`, `db` and `ext` in `default`, with their endpoints. */
export const CLUSTER: readonly RegistryObject[] = [
  { kind: "Namespace", name: "default", labels: { team: "a" } },
  { kind: "Namespace", name: "kube-system", labels: {} },
  service({
    name: "web",
    clusterIPs: ["10.3.0.10", "fd00::10"],
    ports: [
      { name: "http", protocol: "TCP", port: 80 },
      { name: "dns", protocol: "UDP", port: 53 },
    ],
    labels: { app: "web" },
  }),
  slice({
    service: "web",
    endpoints: [{ addresses: ["10.244.0.5"], ready: true, hostname: "db-0" }],
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
  }),
  service({ name: "raw", clusterIPs: ["10.3.0.11"], ports: [{ name: "", protocol: "TCP", port: 9000 }] }),
  service({ name: "db", headless: true, ports: [{ name: "sql", protocol: "TCP", port: 5432 }] }),
  slice({
    service: "db",
    endpoints: [
      { addresses: ["10.244.0.5"], ready: true, hostname: "db-0", podName: "db-0" },
      { addresses: ["10.244.0.6"], ready: false, hostname: "db-1", podName: "db-1" },
      { addresses: ["10.244.0.7"], ready: true, podName: "db-x7k2p" },
    ],
    ports: [{ name: "sql", protocol: "TCP", port: 5432 }],
  }),
  service({ name: "ext", type: "ExternalName", externalName: "www.example.com" }),
];

/** When the fixture's registry last changed: the serial of its zones. */
export const SERIAL = 1_700_000_000;
export const SOA = `cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. ${SERIAL} 7200 1800 86400 5`;

export interface Asking {
  readonly registry: WritableRegistry;
  readonly host: FakeHost;
  readonly instance: Instance;
  /** `NAME TYPE` → the reply as text. */
  ask(question: string): Promise<string[]>;
  reply(question: string): Promise<Records>;
}

/** What the end of the chain says. */
export const UNHANDLED: Next = () => ({
  rcode: 5,
  authoritative: false,
  by: "",
  answer: [],
  authority: [],
  additional: [],
  unhandled: true,
});

export async function serving(
  block: string,
  objects: readonly RegistryObject[] = CLUSTER,
  { next = UNHANDLED, host: overrides = {} }: { readonly next?: Next; readonly host?: Partial<Host> } = {},
): Promise<Asking> {
  const registry = createRegistry({ now: () => SERIAL * 1000 });
  registry.apply(...upserts(...objects));
  const host = fakeHost("kubernetes", { registry: () => registry, ...overrides });
  const instance = await setUp(kubernetes, block, host);
  const reply = async (question: string): Promise<Records> => {
    const [name = "", type = "A"] = question.split(" ");
    const answer: Answer | undefined = await instance.handle?.(query(name, { type: typeOf(type) ?? 1, edns: {} }), next);
    if (answer === undefined || answer === DROP) throw new Error("no reply");
    return recordsOf(answer);
  };
  return { registry, host, instance, reply, ask: async (question) => formatReply(await reply(question)) };
}

/** The rcode if it is not NOERROR, then the records; authority and additional marked. */
export function formatReply(given: Reply): string[] {
  const reply = recordsOf(given);
  const lines = reply.rcode === 0 ? [] : [rcodeName(reply.rcode)];
  for (const [section, rrsets] of [
    ["", reply.answer],
    ["authority ", reply.authority],
    ["additional ", reply.additional],
  ] as const) {
    for (const rrset of rrsets) for (const rdata of rrset.rdata) lines.push(section + formatRecord(rrset, rdata));
  }
  return lines;
}
