// The Kubernetes DNS specification 1.1.0 as a table, asked of the handler; the order is that of the specification.

import { expect } from "chai";
import { CLUSTER, serving, service, slice, SOA } from "./fixture.ts";

interface Row {
  readonly rule: string;
  readonly ask: string;
  readonly gives: readonly string[];
}

const NODATA = [`authority ${SOA}`];
const NXDOMAIN = ["NXDOMAIN", ...NODATA];
const BLOCK = "kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n}";

function table(rows: readonly Row[], block: string = BLOCK, objects = CLUSTER): void {
  for (const { rule, ask, gives } of rows) {
    it(`${rule}: ${ask}`, async () => {
      const dns = await serving(block, objects);
      expect(await dns.ask(ask)).to.deep.equal(gives);
      expect((await dns.reply(ask)).authoritative).to.equal(true);
    });
  }
}

describe("kubernetes: the DNS specification", () => {
  const web = ["web.default.svc.cluster.local. 5 IN A 10.3.0.10"];
  const additional = [
    "additional web.default.svc.cluster.local. 5 IN A 10.3.0.10",
    "additional web.default.svc.cluster.local. 5 IN AAAA fd00::10",
  ];
  const ptr6 = "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
  table([
    { rule: "the version", ask: "dns-version.cluster.local. TXT", gives: ['dns-version.cluster.local. 28800 IN TXT "1.1.0"'] },
    { rule: "a ClusterIP", ask: "web.default.svc.cluster.local. A", gives: web },
    {
      rule: "a ClusterIP of the other family",
      ask: "web.default.svc.cluster.local. AAAA",
      gives: ["web.default.svc.cluster.local. 5 IN AAAA fd00::10"],
    },
    { rule: "letter case does not matter", ask: "WEB.Default.SVC.cluster.LOCAL. A", gives: web },
    { rule: "a family that is not there is NODATA", ask: "raw.default.svc.cluster.local. AAAA", gives: NODATA },
    {
      rule: "a named port",
      ask: "_http._tcp.web.default.svc.cluster.local. SRV",
      gives: ["_http._tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local.", ...additional],
    },
    {
      rule: "a named UDP port",
      ask: "_dns._udp.web.default.svc.cluster.local. SRV",
      gives: ["_dns._udp.web.default.svc.cluster.local. 5 IN SRV 0 100 53 web.default.svc.cluster.local.", ...additional],
    },
    { rule: "a port that is not there", ask: "_nope._tcp.web.default.svc.cluster.local. SRV", gives: NXDOMAIN },
    { rule: "a port of the other protocol", ask: "_http._udp.web.default.svc.cluster.local. SRV", gives: NXDOMAIN },
    { rule: "an empty port is no wildcard", ask: "_._tcp.web.default.svc.cluster.local. SRV", gives: NXDOMAIN },
    { rule: "an unnamed port has no name", ask: "_tcp.raw.default.svc.cluster.local. SRV", gives: NXDOMAIN },
    { rule: "above ports is an empty non-terminal", ask: "_tcp.web.default.svc.cluster.local. SRV", gives: NODATA },
    {
      rule: "a port asked for its address",
      ask: "_http._tcp.web.default.svc.cluster.local. A",
      gives: ["_http._tcp.web.default.svc.cluster.local. 5 IN A 10.3.0.10"],
    },
    {
      rule: "underscores are optional",
      ask: "http.tcp.web.default.svc.cluster.local. SRV",
      gives: ["http.tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local.", ...additional],
    },
    {
      rule: "SRV of a Service is all its ports",
      ask: "web.default.svc.cluster.local. SRV",
      gives: [
        "web.default.svc.cluster.local. 5 IN SRV 0 50 80 web.default.svc.cluster.local.",
        "web.default.svc.cluster.local. 5 IN SRV 0 50 53 web.default.svc.cluster.local.",
        ...additional,
      ],
    },
    {
      rule: "SRV of a Service, unnamed port",
      ask: "raw.default.svc.cluster.local. SRV",
      gives: [
        "raw.default.svc.cluster.local. 5 IN SRV 0 100 9000 raw.default.svc.cluster.local.",
        "additional raw.default.svc.cluster.local. 5 IN A 10.3.0.11",
      ],
    },
    {
      rule: "PTR of a ClusterIP",
      ask: "10.0.3.10.in-addr.arpa. PTR",
      gives: ["10.0.3.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local."],
    },
    { rule: "PTR of an IPv6 ClusterIP", ask: `${ptr6} PTR`, gives: [`${ptr6} 5 IN PTR web.default.svc.cluster.local.`] },
    {
      rule: "headless: ready endpoints",
      ask: "db.default.svc.cluster.local. A",
      gives: ["db.default.svc.cluster.local. 5 IN A 10.244.0.5", "db.default.svc.cluster.local. 5 IN A 10.244.0.7"],
    },
    { rule: "headless, a family without endpoints", ask: "db.default.svc.cluster.local. AAAA", gives: NODATA },
    {
      rule: "an endpoint's hostname",
      ask: "db-0.db.default.svc.cluster.local. A",
      gives: ["db-0.db.default.svc.cluster.local. 5 IN A 10.244.0.5"],
    },
    {
      rule: "an endpoint without one",
      ask: "10-244-0-7.db.default.svc.cluster.local. A",
      gives: ["10-244-0-7.db.default.svc.cluster.local. 5 IN A 10.244.0.7"],
    },
    { rule: "the address of an endpoint with a hostname is no name", ask: "10-244-0-5.db.default.svc.cluster.local. A", gives: NXDOMAIN },
    { rule: "an endpoint that is not ready", ask: "db-1.db.default.svc.cluster.local. A", gives: NXDOMAIN },
    {
      rule: "SRV of a headless port is one record an endpoint",
      ask: "_sql._tcp.db.default.svc.cluster.local. SRV",
      gives: [
        "_sql._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 5432 db-0.db.default.svc.cluster.local.",
        "_sql._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 5432 10-244-0-7.db.default.svc.cluster.local.",
        "additional db-0.db.default.svc.cluster.local. 5 IN A 10.244.0.5",
        "additional 10-244-0-7.db.default.svc.cluster.local. 5 IN A 10.244.0.7",
      ],
    },
    {
      rule: "PTR of an endpoint is one record a Service, sorted",
      ask: "5.0.244.10.in-addr.arpa. PTR",
      gives: [
        "5.0.244.10.in-addr.arpa. 5 IN PTR db-0.db.default.svc.cluster.local.",
        "5.0.244.10.in-addr.arpa. 5 IN PTR db-0.web.default.svc.cluster.local.",
      ],
    },
    {
      rule: "an ExternalName outside",
      ask: "ext.default.svc.cluster.local. A",
      gives: ["ext.default.svc.cluster.local. 5 IN CNAME www.example.com."],
    },
    {
      rule: "an ExternalName asked for CNAME",
      ask: "ext.default.svc.cluster.local. CNAME",
      gives: ["ext.default.svc.cluster.local. 5 IN CNAME www.example.com."],
    },
    {
      rule: "a Pod's address",
      ask: "10-244-0-9.default.pod.cluster.local. A",
      gives: ["10-244-0-9.default.pod.cluster.local. 5 IN A 10.244.0.9"],
    },
    {
      rule: "a Pod's IPv6 address",
      ask: "fd00--9.default.pod.cluster.local. AAAA",
      gives: ["fd00--9.default.pod.cluster.local. 5 IN AAAA fd00::9"],
    },
    { rule: "a Pod's other family", ask: "10-244-0-9.default.pod.cluster.local. AAAA", gives: NODATA },
    { rule: "no address", ask: "10-244-0-999.default.pod.cluster.local. A", gives: NXDOMAIN },
    { rule: "below a Pod", ask: "a.10-244-0-9.default.pod.cluster.local. A", gives: NXDOMAIN },
    { rule: "a Pod in no namespace", ask: "10-244-0-9.nosuchns.pod.cluster.local. A", gives: NXDOMAIN },
    { rule: "no such Service", ask: "nosuch.default.svc.cluster.local. A", gives: NXDOMAIN },
    { rule: "no such namespace", ask: "web.nosuchns.svc.cluster.local. A", gives: NXDOMAIN },
    { rule: "a namespace", ask: "default.svc.cluster.local. A", gives: NODATA },
    { rule: "svc", ask: "svc.cluster.local. A", gives: NODATA },
    { rule: "pod", ask: "pod.cluster.local. A", gives: NODATA },
    { rule: "a namespace below pod", ask: "default.pod.cluster.local. A", gives: NODATA },
    { rule: "the apex", ask: "cluster.local. A", gives: NODATA },
    { rule: "dns", ask: "dns.cluster.local. A", gives: NODATA },
    { rule: "the SOA", ask: "cluster.local. SOA", gives: [SOA] },
    { rule: "the SOA of a name that does not exist", ask: "nosuch.default.svc.cluster.local. SOA", gives: NXDOMAIN },
    { rule: "the SOA of a name that exists", ask: "web.default.svc.cluster.local. SOA", gives: NODATA },
    {
      rule: "an endpoint of a ClusterIP Service",
      ask: "db-0.web.default.svc.cluster.local. A",
      gives: ["db-0.web.default.svc.cluster.local. 5 IN A 10.244.0.5"],
    },
    { rule: "too many labels", ask: "a.b.c.web.default.svc.cluster.local. A", gives: NXDOMAIN },
    { rule: "another type", ask: "web.default.svc.cluster.local. MX", gives: NODATA },
    { rule: "ANY", ask: "web.default.svc.cluster.local. ANY", gives: NODATA },
    { rule: "no short forms", ask: "web.default.cluster.local. A", gives: NXDOMAIN },
  ]);
});

describe("kubernetes: headless Services", () => {
  const headless = (endpoints: Parameters<typeof slice>[0]["endpoints"], ports = [{ name: "sql", protocol: "TCP" as const, port: 1 }]) => [
    service({ name: "db", headless: true }),
    slice({ service: "db", endpoints: endpoints ?? [], ports }),
  ];
  table(
    [
      { rule: "without ready endpoints: NXDOMAIN for every type", ask: "db.default.svc.cluster.local. MX", gives: NXDOMAIN },
      { rule: "without ready endpoints: no ports", ask: "_tcp.db.default.svc.cluster.local. SRV", gives: NXDOMAIN },
    ],
    BLOCK,
    headless([{ addresses: ["192.0.2.1"], ready: false }]),
  );
  table(
    [
      { rule: "without ports, SRV is NODATA", ask: "db.default.svc.cluster.local. SRV", gives: NODATA },
      {
        rule: "without ports there are addresses",
        ask: "db.default.svc.cluster.local. A",
        gives: ["db.default.svc.cluster.local. 5 IN A 192.0.2.1"],
      },
    ],
    BLOCK,
    headless([{ addresses: ["192.0.2.1"], ready: true }], []),
  );
  table(
    [
      {
        rule: "slices of one Service are one set, each address once",
        ask: "db.default.svc.cluster.local. A",
        gives: [1, 2, 9].map((last) => `db.default.svc.cluster.local. 5 IN A 192.0.2.${last}`),
      },
      {
        rule: "one hostname in two slices has both addresses",
        ask: "a.db.default.svc.cluster.local. A",
        gives: ["a.db.default.svc.cluster.local. 5 IN A 192.0.2.1", "a.db.default.svc.cluster.local. 5 IN A 192.0.2.2"],
      },
      {
        rule: "different port numbers are both told",
        ask: "_sql._tcp.db.default.svc.cluster.local. SRV",
        gives: [
          "_sql._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 1 a.db.default.svc.cluster.local.",
          "_sql._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 2 a.db.default.svc.cluster.local.",
          "additional a.db.default.svc.cluster.local. 5 IN A 192.0.2.1",
          "additional a.db.default.svc.cluster.local. 5 IN A 192.0.2.2",
        ],
      },
      {
        rule: "a dot inside a label is no dash",
        ask: "2001\\.db8\\.\\.0.db.default.svc.cluster.local. AAAA",
        gives: NXDOMAIN,
      },
      { rule: "a colon inside a label is no dash", ask: "2001:db8::.db.default.svc.cluster.local. AAAA", gives: NXDOMAIN },
      { rule: "a dot inside an IPv4 label is no dash", ask: "192\\.0\\.2\\.9.db.default.svc.cluster.local. A", gives: NXDOMAIN },
      {
        rule: "an endpoint without a hostname is called after its address",
        ask: "192-0-2-9.db.default.svc.cluster.local. A",
        gives: ["192-0-2-9.db.default.svc.cluster.local. 5 IN A 192.0.2.9"],
      },
      {
        rule: "an IPv6 label that would end in a dash gets a 0",
        ask: "2001-db8--0.db.default.svc.cluster.local. AAAA",
        gives: ["2001-db8--0.db.default.svc.cluster.local. 5 IN AAAA 2001:db8::"],
      },
    ],
    BLOCK,
    [
      ...headless([{ addresses: ["192.0.2.1"], ready: true, hostname: "a" }]),
      slice({
        service: "db",
        name: "db-2",
        endpoints: [
          { addresses: ["192.0.2.1"], ready: true, hostname: "a" },
          { addresses: ["192.0.2.2"], ready: true, hostname: "a" },
        ],
        ports: [{ name: "sql", protocol: "TCP", port: 2 }],
      }),
      slice({ service: "db", name: "db-9", endpoints: [{ addresses: ["192.0.2.9"], ready: true }] }),
      slice({ service: "db", name: "db-6", addressType: "IPv6", endpoints: [{ addresses: ["2001:db8::"], ready: true }] }),
    ],
  );
});
