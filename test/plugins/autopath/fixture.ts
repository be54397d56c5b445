// A cluster with `autopath` in front of `kubernetes`, and names elsewhere behind it, which keep count of what they are asked.

import { emptyReply, Rcodes, type Query, type Records } from "../../../src/dns/message.ts";
import { formatName } from "../../../src/dns/name.ts";
import { parseRecordSets, typeName, typeOf } from "../../../src/dns/text.ts";
import { recordsOf } from "../../../src/dns/wire.ts";
import type { Answer, Instance } from "../../../src/plugin.ts";
import { DROP } from "../../../src/dns/message.ts";
import autopath from "../../../src/plugins/autopath/autopath.ts";
import kubernetes from "../../../src/plugins/kubernetes/kubernetes.ts";
import type { RegistryObject } from "../../../src/registry/objects.ts";
import { createRegistry, type WritableRegistry } from "../../../src/registry/registry.ts";
import { fakeHost, query, setUp, type Asked, type FakeHost } from "../../helpers/fake-host.ts";
import { CLUSTER, formatReply, SERIAL, service, upserts } from "../kubernetes/fixture.ts";

export const OBJECTS: readonly RegistryObject[] = [
  ...CLUSTER,
  service({ namespace: "prod", name: "cart", clusterIPs: ["10.3.1.2"] }),
  service({ namespace: "prod", name: "prod", headless: true }),
];

export const ROOT_SOA = ". 60 IN SOA a.root-servers.net. nstld.verisign-grs.com. 1 2 3 4 60";

/** Names elsewhere. */
export const ELSEWHERE = `
google.com. 300 IN A 192.0.2.1
www.example.org. 100 IN CNAME cdn.example.net.
cdn.example.net. 20 IN A 192.0.2.2
cdn.example.net. 20 IN AAAA 2001:db8::2
example.com.corp.example.org. 50 IN A 192.0.2.3
wiki.corp.example.org. 50 IN A 192.0.2.4
db.prod. 50 IN A 192.0.2.5
`;

export type Elsewhere = (asked: Query) => Answer | Promise<Answer>;

/** What a resolver says: records, NODATA or NXDOMAIN. */
export function resolver(text: string = ELSEWHERE): Elsewhere {
  const sets = parseRecordSets(text.trim());
  return ({ qname, qtype }) => {
    const chain = sets.filter(({ owner, type }) => owner === qname && (type === 5 || type === qtype));
    const answer = chain.flatMap((set) =>
      set.type === 5
        ? [set, ...sets.filter(({ type }) => type === qtype).filter((one) => formatName(one.owner) === "cdn.example.net.")]
        : [set],
    );
    const exists = sets.some(({ owner }) => owner === qname);
    const authority = answer.length === 0 ? parseRecordSets(ROOT_SOA) : [];
    return { ...emptyReply(exists ? Rcodes.NOERROR : Rcodes.NXDOMAIN, "forward"), recursionAvailable: true, answer, authority };
  };
}

export interface Setting {
  readonly instance: Instance;
  readonly host: FakeHost;
  readonly registry: WritableRegistry;
  /** What was asked elsewhere: `google.com. A`. */
  readonly asked: string[];
  /** `NAME TYPE` → the reply as text. */
  ask(question: string, how?: Asked): Promise<string[]>;
  reply(question: string, how?: Asked): Promise<Records>;
}

export async function setting(
  line = "autopath @kubernetes",
  {
    elsewhere = resolver(),
    block = "kubernetes cluster.local",
    file = "Corefile",
  }: { readonly elsewhere?: Elsewhere; readonly block?: string; readonly file?: string } = {},
): Promise<Setting> {
  const registry = createRegistry({ now: () => SERIAL * 1000 });
  registry.apply(...upserts(...OBJECTS));
  const host = fakeHost("autopath", { registry: () => registry, file });
  const instance = await setUp(autopath, line, host);
  const cluster = await setUp(kubernetes, `${block} {\nreasons off\n}`, host);
  host.siblings["kubernetes"] = cluster;
  const asked: string[] = [];
  const last = (given: Query): Answer | Promise<Answer> => {
    asked.push(`${formatName(given.qname)} ${typeName(given.qtype)}`);
    return elsewhere(given);
  };
  const reply = async (question: string, how: Asked = {}): Promise<Records> => {
    const [name = "", type = "A"] = question.split(" ");
    const given = query(name, { type: typeOf(type) ?? 0, ...how });
    const answer = await instance.handle?.(given, (next) => cluster.handle?.(next, last) ?? DROP);
    if (answer === undefined || answer === DROP) throw new Error("no reply");
    return recordsOf(answer);
  };
  return { instance, host, registry, asked, reply, ask: async (question, how) => formatReply(await reply(question, how)) };
}
