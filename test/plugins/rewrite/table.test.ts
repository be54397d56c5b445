// With the answer table and without it, servers with rules say the same: for names that rules find and for their
// neighbours, whether they exist or not.

import { expect } from "chai";

import { decodeMessage } from "../../../src/dns/decode.ts";
import { RRTypes } from "../../../src/dns/records.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { silentLog } from "../../../src/log.ts";
import { createServer, type Server } from "../../../src/server.ts";
import { namespace, service, slice } from "../../../src/testing.ts";
import { query } from "../../helpers/dns-client.ts";

const KUBERNETES = "kubernetes cluster.local in-addr.arpa {\npods insecure\nreasons fixed\nttl 5\n}";

const RULES: readonly string[] = [
  "rewrite name web.prod.svc.cluster.local db.prod.svc.cluster.local",
  "rewrite name none.prod.svc.cluster.local web.prod.svc.cluster.local",
  "rewrite name a.none.cluster.local web.prod.svc.cluster.local",
  "rewrite name cluster.local web.prod.svc.cluster.local",
  "rewrite name suffix .prod.svc.cluster.local .default.svc.cluster.local answer auto",
  "rewrite name suffix .none.cluster.local .default.svc.cluster.local answer auto",
  "rewrite name suffix b.prod.svc.cluster.local b.default.svc.cluster.local answer auto",
  "rewrite ttl suffix l 9",
  "rewrite ttl prefix web 9",
  "rewrite name prefix none web answer auto",
  "rewrite name substring prod default answer auto",
  "rewrite name regex (.*)\\.example\\.org {1}.prod.svc.cluster.local answer auto",
  "rewrite name regex (.*)\\.example\\.org\\.$ {1}.prod.svc.cluster.local answer auto",
  "rewrite name regex (.*)b\\.prod\\.svc\\.cluster\\.local\\.$ {1}b.default.svc.cluster.local answer auto",
  "rewrite name regex ^web\\.prod\\.svc\\.cluster\\.local\\.$ web.default.svc.cluster.local",
  "rewrite rcode regex ^n.*\\.prod NXDOMAIN NOERROR",
  "rewrite rcode suffix .svc.cluster.local NXDOMAIN NOERROR",
  "rewrite type AAAA A",
  "rewrite type TXT A",
  "rewrite continue ttl substring web 9\nrewrite name suffix .prod.svc.cluster.local .default.svc.cluster.local answer auto",
  "rewrite cname suffix .example. .prod.svc.cluster.local.",
  "rewrite edns0 local set 0xffee {qname}",
];

const NAMES: readonly string[] = ["web", "db", "none", "x.web", "x.none", "_http._tcp.web", "db-0.db", "10-1-0-7.db"].flatMap((name) =>
  ["prod", "default", "none", "svc", "pod"].map((ns) => `${name}.${ns}.svc.cluster.local`),
);
const OTHERS: readonly string[] = [
  "cluster.local",
  "svc.cluster.local",
  "prod.svc.cluster.local",
  "none.cluster.local",
  "a.none.cluster.local",
  "web.none.cluster.local",
  "1-2-3-4.prod.pod.cluster.local",
  "web.example.org",
  "none.example.org",
  "web.example.org.default.svc.cluster.local",
  "web.example.org.svc.cluster.local",
  "web.example.org.cluster.local",
  "web.prod",
  "80.0.0.10.in-addr.arpa",
  "81.0.0.10.in-addr.arpa",
];
const TYPES = ["A", "AAAA", "SRV", "TXT", "PTR"] as const;

async function start(rules: string, table: "on" | "off"): Promise<Server> {
  const corefile = `. {\n${rules}\n${KUBERNETES}\n}\n`;
  const options = { file: "Corefile", port: 0, address: "127.0.0.1", embedded: true, strict: true, env: {}, log: silentLog };
  const server = await createServer({ corefile, table, ...options });
  const objects = [
    ...["default", "prod"].flatMap((ns) => [
      namespace(ns),
      service({ name: "web", namespace: ns, clusterIPs: [ns === "prod" ? "10.0.0.81" : "10.0.0.80"], ports: [{ name: "http", port: 80 }] }),
      service({ name: "db", namespace: ns, headless: true, ports: [{ name: "sql", port: 5432 }] }),
      slice({
        service: "db",
        namespace: ns,
        endpoints: [{ addresses: ["10.1.0.7"], hostname: "db-0" }],
        ports: [{ name: "sql", port: 5432 }],
      }),
    ]),
    service({ name: "out", namespace: "prod", type: "ExternalName", externalName: "web.example" }),
  ];
  server.registry.apply(...objects.map((object) => ({ verb: "upsert", object }) as const));
  await server.settled();
  return server;
}

describe("rewrite: the table says what the chain says", () => {
  const questions = [...NAMES, ...OTHERS, "out.prod.svc.cluster.local"].flatMap((name) => TYPES.map((type) => ({ name, type })));
  const ask = async (server: Server, { name, type }: (typeof questions)[number]): Promise<string> => {
    const message = decodeMessage((await server.ask(query({ name, type, edns: {} }), "udp")) ?? expect.fail("no answer"));
    const { flags, answer, authority, additional, edns } = message ?? expect.fail("not sound");
    // The serial is the second of the last change.
    const shown = [answer, authority, additional].map((records) =>
      records.map((record) => formatRecord(record, record.type === RRTypes.SOA ? record.rdata.subarray(0, -20) : record.rdata)),
    );
    return JSON.stringify([flags, shown, edns?.ede]);
  };
  const plain = new Map<string, string>();

  before(async () => {
    const server = await start("", "off");
    for (const question of questions) plain.set(`${question.name} ${question.type}`, await ask(server, question));
    await server.stop("now");
  });

  for (const rules of RULES) {
    it(rules.replaceAll("\n", "; "), async () => {
      const [on, off] = await Promise.all([start(rules, "on"), start(rules, "off")]);
      try {
        let changed = 0;
        for (const question of questions) {
          const [table, chain] = [await ask(on, question), await ask(off, question)];
          const title = `${question.name} ${question.type}`;
          expect(table, title).to.equal(chain);
          if (chain !== plain.get(title)) changed++;
        }
        expect(changed > 0).to.equal(!rules.includes("edns0"));
      } finally {
        await Promise.all([on.stop("now"), off.stop("now")]);
      }
    });
  }
});
