// Contract: the answer table says what the plugin chain says, byte for byte, once the order of an rrset is fixed (no
// loadbalance). Random clusters, random changes, random questions.

import { expect } from "chai";
import fc from "fast-check";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import { createCompiler } from "../../src/answers/compile.ts";
import { openTable } from "../../src/answers/reader.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { DROP, MAX_MESSAGE_BYTES, replyLimit } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { readQuestion, Verdicts } from "../../src/dns/question.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { silentLog } from "../../src/log.ts";
import type { Change } from "../../src/registry/objects.ts";
import { createRegistry, type WritableRegistry } from "../../src/registry/registry.ts";
import { createServer, type Server } from "../../src/server.ts";
import { namespace, pod, service, slice } from "../../src/testing.ts";
import { query } from "../helpers/dns-client.ts";
import { exchangeOf, queryOf } from "../helpers/exchange.ts";
import { serving, UNHANDLED } from "../plugins/kubernetes/fixture.ts";

const COREFILES = {
  "one complete zone": `. {
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      reasons off
    }
  }`,
  "kubeadm's zones, search aliases": `. {
    search default shop {
      namespaces all
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods verified
      fallthrough in-addr.arpa ip6.arpa
      ttl 30
      reasons fixed
    }
    loadbalance
  }`,
  "a reverse zone in 264 parts": `. {
    kubernetes cluster.local 172.16.0.0/12 10.0.0.0/9 10.128.0.0/9 fd00::/8 {
      pods disabled
      reasons fixed
    }
  }`,
  "several blocks, whole reverse zone, endpoint pod names, zonal names": `. {
    whoami
  }
  cluster.local 10.0.0.0/8 {
    kubernetes {
      endpoint_pod_names
      zonal
      reasons nearest
    }
  }
  shop.svc.cluster.local {
    whoami
  }`,
  "plugins in front that keep questions to themselves, a cap on TTLs": `. {
    rewrite name exact web.default.svc.cluster.local db.default.svc.cluster.local
    rewrite name suffix .alias.cluster.local .svc.cluster.local answer auto
    local
    cache 7 {
      denial 9984 6
    }
    template ANY HINFO {
      rcode NXDOMAIN
    }
    template IN AAAA api.shop.svc.cluster.local {
      answer "{{ .Name }} 60 IN AAAA 2001:db8::1"
    }
    hosts {
      192.0.2.1 api.default.svc.cluster.local a.shop.svc.cluster.local
      fallthrough
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa
      ttl 30
      reasons fixed
    }
    whoami
  }`,
  "rules by patterns, answers without what was not asked for": `. {
    nsid
    any
    chaos
    rewrite continue ttl regex ^w.*\\.shop 9
    rewrite continue rcode substring svc.svc NXDOMAIN NOERROR
    rewrite name prefix api web answer auto
    rewrite name regex ([^.]*)\\.web\\.(default|shop)\\.svc\\.cluster\\.local\\.$ {1}.db.{2}.svc.cluster.local answer auto
    rewrite edns0 subnet set 24 56
    header {
      query set rd
    }
    minimal
    kubernetes cluster.local in-addr.arpa {
      pods insecure
      reasons fixed
    }
  }`,
  "search lists walked, Services as seen from outside": `. {
    autopath @kubernetes
    template IN A AAAA example.com {
      match ^www[.]example[.]com[.]$
      answer "{{ .Name }} 60 IN {{ .Type }} {{ if eq .Type \`A\` }}192.0.2.9{{ else }}2001:db8::9{{ end }}"
      fallthrough
    }
    k8s_external ext.example.org 192.0.2.0/28 {
      headless
      ttl 7
    }
    kubernetes cluster.local {
      reasons fixed
    }
  }`,
  "search lists walked for clients of listed namespaces": `. {
    template IN A example.com {
      match ^www[.]example[.]com[.]$
      answer "{{ .Name }} 60 IN A 192.0.2.9"
      fallthrough
    }
    k8s_external ext.example.org in-addr.arpa {
      fallthrough in-addr.arpa
    }
    search default shop {
      autopath
    }
    kubernetes cluster.local in-addr.arpa {
      reasons fixed
      fallthrough in-addr.arpa
    }
  }`,
};

const names = fc.constantFrom("web", "db", "api", "dns", "hostmaster", "svc", "a", "kubernetes");
const namespaces = fc.constantFrom("default", "shop", "svc", "dns", "kube-system");
const address4 = fc.integer({ min: 1, max: 6 }).map((n) => `10.244.0.${n}`);
const address6 = fc.integer({ min: 1, max: 4 }).map((n) => `fd00:10:244::${n}`);
const portNames = fc.constantFrom("", "http", "dns");
const protocols = fc.constantFrom("TCP" as const, "UDP" as const);

const serviceChange = fc
  .record({
    verb: fc.constantFrom("upsert" as const, "upsert" as const, "upsert" as const, "delete" as const),
    name: names,
    namespace: namespaces,
    form: fc.constantFrom("cluster", "dual", "headless", "external", "unallocated"),
    publishNotReadyAddresses: fc.boolean(),
    clusterIP: fc.integer({ min: 1, max: 20 }).map((n) => `10.0.0.${n}`),
    externalName: fc.constantFrom("www.example.org", "db.shop.svc.cluster.local", "web.default.svc.cluster.local", "192.0.2.1"),
    ports: fc.uniqueArray(fc.record({ name: portNames, protocol: protocols, port: fc.integer({ min: 1, max: 9 }) }), {
      maxLength: 3,
      selector: ({ name, protocol }) => name + protocol,
    }),
    external: fc.constantFrom(
      [],
      [],
      ["192.0.2.1"],
      ["192.0.2.1", "2001:db8::2", "lb.example.net"],
      ["www.example.com"],
      ["lb.example.net"],
    ),
  })
  .map(({ verb, form, clusterIP, externalName, external, ...given }): Change => {
    const fields = { ...given, ...(external.length > 0 && { external }) };
    const forms = {
      cluster: { clusterIPs: [clusterIP] },
      dual: { clusterIPs: [clusterIP, `fd00::${clusterIP.slice(7)}`] },
      headless: { headless: true },
      external: { type: "ExternalName" as const, externalName },
      unallocated: { clusterIPs: [] },
    };
    return { verb, object: service({ ...fields, ...forms[form as keyof typeof forms] }) };
  });

// Too many for a client's UDP size, the more so as SRV with their addresses.
const manyEndpoints = fc
  .tuple(fc.integer({ min: 10, max: 90 }), fc.boolean())
  .map(([count, named]) =>
    Array.from({ length: count }, (_, n) => ({ addresses: [`10.244.1.${n}`], ready: true, ...(named && { hostname: `db-${n}` }) })),
  );

const sliceChange = fc
  .record({
    verb: fc.constantFrom("upsert" as const, "upsert" as const, "delete" as const),
    name: fc.constantFrom("one", "two"),
    cluster: fc.constantFrom("", "c1", "tcp"),
    service: names,
    namespace: namespaces,
    endpoints: fc.oneof({ weight: 2, arbitrary: endpointsOf(address4) }, endpointsOf(address6), manyEndpoints),
    ports: fc.uniqueArray(fc.record({ name: portNames, protocol: protocols, port: fc.integer({ min: 1, max: 9 }) }), {
      maxLength: 2,
      selector: ({ name, protocol }) => name + protocol,
    }),
  })
  .map(({ verb, cluster, ...fields }): Change => ({ verb, object: { ...slice(fields), ...(cluster !== "" && { cluster }) } }));

function endpointsOf(address: fc.Arbitrary<string>) {
  return fc.array(
    fc
      .record({
        address,
        ready: fc.boolean(),
        hostname: fc.constantFrom("", "db-0", "db-1", "a"),
        podName: fc.constantFrom("", "pod-1"),
        zone: fc.constantFrom("", "a", "b.c"),
      })
      .map(({ address: only, hostname, podName, ready, zone }) => ({
        addresses: [only],
        ready,
        ...(hostname !== "" && { hostname }),
        ...(podName !== "" && { podName }),
        ...(zone !== "" && { zone }),
      })),
    { maxLength: 4 },
  );
}

const otherChange = fc.oneof(
  fc.record({ verb: fc.constantFrom("upsert" as const, "delete" as const), object: namespaces.map((name) => namespace(name)) }),
  fc.record({
    verb: fc.constantFrom("upsert" as const, "delete" as const),
    object: fc.record({ name: names, namespace: namespaces, addresses: fc.array(address4, { maxLength: 2 }) }).map(pod),
  }),
);

const changes = fc.array(fc.oneof(serviceChange, sliceChange, otherChange), { maxLength: 25 });

const batchWithFreshness = fc.record({
  batch: changes,
  freshness: fc.constantFrom("current" as const, "stale" as const, "snapshot" as const),
});

const KINDS = ["Service", "EndpointSlice", "Namespace"] as const;
const batchWithState = fc
  .record({ change: batchWithFreshness, known: fc.oneof(fc.constant(KINDS), fc.subarray([...KINDS])) })
  .map(({ change, known }) => ({ ...change, known }));

const qname = fc.oneof(
  fc.tuple(names, namespaces).map(([name, ns]) => `${name}.${ns}.svc.cluster.local`),
  fc
    .tuple(
      fc.oneof(
        fc.constantFrom("_http._tcp", "_dns._udp", "_tcp", "http.tcp", "db-0", "10-244-0-1", "fd00-10-244--1", "pod-1", "a.b.c"),
        fc.constantFrom("_zone", "pin._zone", "a.pin._zone", "b.c.pin._zone", "c.pin._zone", "x.prefer._zone", "a.any._zone"),
        fc.constantFrom("c1", "db-0.c1", "10-244-0-1.c1", "db-0.tcp", "tcp"),
      ),
      names,
      namespaces,
      fc.constantFrom("cluster.local", "cluster.local", "clusterset.local"),
    )
    .map(([below, name, ns, zone]) => `${below}.${name}.${ns}.svc.${zone}`),
  fc.tuple(fc.constantFrom("10-244-0-1", "1-2-3-4", "x"), namespaces).map(([label, ns]) => `${label}.${ns}.pod.cluster.local`),
  fc.tuple(names, namespaces, fc.constantFrom("", ".svc", ".cluster.local")).map(([name, ns, tail]) => `${name}.${ns}${tail}`),
  names,
  namespaces.map((ns) => `${ns}.svc.cluster.local`),
  fc
    .tuple(fc.constantFrom("", "_tcp.web.", "_dns._udp.db."), namespaces, fc.constantFrom("", ".svc", ".cluster.local"))
    .map((parts) => parts.join("")),
  fc.constantFrom("_tcp.web", "_udp.db", "_dns._udp.db"),
  fc
    .tuple(
      fc.constantFrom("www.example.com", "x.example.com", "www.web", "web.default.svc.cluster.local", "web.shop", "www.example.com.x"),
      namespaces,
    )
    .map(([base, ns]) => `${base}.${ns}.svc.cluster.local`),
  fc
    .tuple(
      fc.constantFrom("", "", "_http._tcp.", "_tcp.", "http.tcp.", "_dns.udp.", "tcp.", "db-0.", "10-244-0-1.", "x."),
      names,
      namespaces,
    )
    .map(([below, name, ns]) => `${below}${name}.${ns}.ext.example.org`),
  fc.constantFrom("ext.example.org", "dns.ext.example.org", "ns1.dns.ext.example.org", "x.dns.ext.example.org", "default.ext.example.org"),
  fc.constantFrom("1.2.0.192.in-addr.arpa", "2.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa", "0.192.in-addr.arpa"),
  fc.constantFrom(
    "cluster.local",
    "svc.cluster.local",
    "pod.cluster.local",
    "dns.cluster.local",
    "ns.dns.cluster.local",
    "dns-version.cluster.local",
    "x.dns.cluster.local",
    "hostmaster.cluster.local",
    "x.hostmaster.cluster.local",
    "local",
    "example.org",
    ".",
  ),
  fc.integer({ min: 0, max: 8 }).map((n) => `${n}.0.244.10.in-addr.arpa`),
  fc.integer({ min: 0, max: 22 }).map((n) => `${n}.0.0.10.in-addr.arpa`),
  fc.constantFrom("244.10.in-addr.arpa", "10.in-addr.arpa", "in-addr.arpa", "9.in-addr.arpa", "0.d.f.ip6.arpa", "ip6.arpa"),
);

const question = fc.record({
  name: fc.tuple(qname, fc.boolean()).map(([name, upper]) => (upper ? name.toUpperCase() : name)),
  type: fc.constantFrom("A", "AAAA", "SRV", "PTR", "TXT", "SOA", "NS", "CNAME", "MX", "ANY", "HTTPS", "DS"),
  udpSize: fc.constantFrom(undefined, 512, 1232, 4096),
  transport: fc.constantFrom("udp", "tcp"),
});

const questions = fc.array(question, { minLength: 30, maxLength: 60 });

describe("table ≡ chain", () => {
  for (const [title, corefile] of Object.entries(COREFILES)) {
    it(title, async function () {
      this.timeout(60_000);
      await fc.assert(
        fc.asyncProperty(batchWithFreshness, batchWithFreshness, questions, async (first, later, asking) => {
          const [on, off] = await Promise.all([start(corefile, "on"), start(corefile, "off")]);
          try {
            for (const { batch, freshness } of [first, later]) {
              for (const { registry } of [on, off]) {
                registry.apply(...batch);
                (registry as WritableRegistry).setFreshness(freshness);
              }
              await on.settled();
              for (const asked of asking) {
                const [table, chain] = await Promise.all([on, off].map((server) => ask(server, asked)));
                const hex = (answer: Uint8Array | undefined): string => comparable(answer, corefile.includes("nearest"));
                expect(hex(table), `${asked.name} ${asked.type} ${asked.transport} ${asked.udpSize}`).to.equal(hex(chain));
              }
            }
          } finally {
            await Promise.all([on.stop("now"), off.stop("now")]);
          }
        }),
        { numRuns: 25 },
      );
    });
  }
});

describe("table ≡ chain, read as a thread does", () => {
  it("whatever is a hit is what the plugin's handler says, batch by batch", async function () {
    this.timeout(60_000);
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(batchWithState, { minLength: 1, maxLength: 4 }), questions, async (batches, asked) => {
        const registry = createRegistry({ sources: ["api"] });
        const options = "pods insecure\n reasons fixed\n in_cluster\n multicluster clusterset.local\n zonal";
        const { instance } = await serving(`kubernetes cluster.local clusterset.local 10.in-addr.arpa {\n ${options}\n}`, [], {
          host: { registry: () => registry, env: { KUBERNETES_SERVICE_HOST: "10.0.0.1" } },
        });
        const table = new TableWriter();
        const instances = [{ name: "kubernetes", instance }];
        const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances }], (error) => expect.fail(String(error)));
        compiler.start();
        const shared = table.attach();
        const reader = openTable(shared);
        for (const { batch, freshness, known } of batches) {
          registry.apply(...batch);
          registry.setFreshness(freshness);
          for (const kind of known) registry.markKnown(kind);
          await compiler.idle();
          reader.enter();
          for (const { name, type, udpSize, transport } of asked) {
            const options = { name, type: type as "A", ...(udpSize !== undefined && { edns: { udpSize } }) };
            const io = exchangeOf(query(options), transport as "udp");
            if (readQuestion(io) !== Verdicts.OK || reader.answer(io, hit) !== Outcomes.HIT) continue;
            hits++;
            expect(
              instance.zones?.every((zone) => zone.ready),
              "all is known",
            ).to.equal(true);
            const sent = Buffer.from(io.out.subarray(0, hit.length)).toString("hex");
            const asks = queryOf(options, { transport: transport as "udp" });
            const reply = await instance.handle?.(asks, UNHANDLED);
            if (reply === undefined || reply === DROP) throw new Error("no reply");
            const maxBytes = replyLimit(transport as "udp", udpSize ?? 0, 1232);
            const length = encodeReply(chainOut, asks, reply, { maxBytes, udpSize: 1232 });
            expect(sent, `${name} ${type} ${transport} ${udpSize}`).to.equal(Buffer.from(chainOut.subarray(0, length)).toString("hex"));
          }
          reader.leave();
        }
        compiler.stop();
        table.detach(shared);
      }),
      { numRuns: 50 },
    );
    expect(hits).to.be.above(500);
  });
});

const hit = createHit();
const chainOut = new Uint8Array(MAX_MESSAGE_BYTES);

function start(corefile: string, table: "on" | "off"): Promise<Server> {
  return createServer({
    corefile: corefile.replaceAll("    loadbalance\n", ""),
    file: "Corefile",
    port: 0,
    address: "127.0.0.1",
    embedded: true,
    strict: true,
    env: {},
    log: silentLog,
    table,
  });
}

interface Asked {
  readonly name: string;
  readonly type: string;
  readonly udpSize: number | undefined;
  readonly transport: string;
}

async function ask(server: Server, { name, type, udpSize, transport }: Asked): Promise<Uint8Array> {
  const packet = query({ name, type: type as "A", edns: udpSize === undefined ? undefined : { udpSize } });
  const answer = await server.ask(packet, transport as "udp");
  if (answer === undefined) throw new Error(`no answer to ${name} ${type}`);
  return answer;
}

// Hex of an answer; without its extended error where the nearest name is worked out, which is limited by the second.
// The two servers share one clock but may see a second change between them, so the SOA's serial is set to 0 as well.
function comparable(answer: Uint8Array | undefined, withoutReason: boolean): string {
  const bytes = Uint8Array.from(answer ?? []);
  const decoded = decodeMessage(bytes);
  expect(decoded, "the answer is a sound message").to.not.equal(undefined);
  const soa = [...(decoded?.authority ?? []), ...(decoded?.answer ?? [])].find(({ type }) => type === RRTypes.SOA);
  let hex = Buffer.from(bytes).toString("hex");
  if (soa !== undefined) {
    const serial = Buffer.from(soa.rdata.subarray(-20, -16)).toString("hex");
    hex = hex.replaceAll(serial, "00000000");
  }
  if (decoded?.edns?.ede === undefined || !withoutReason) return hex;
  const edeBytes = 4 + 2 + Buffer.byteLength(decoded.edns.ede.text);
  const optLength = hex.length - edeBytes * 2 - 4;
  return `${hex.slice(0, optLength)}0000`;
}
