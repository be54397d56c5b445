// Where CoreDNS's answers surprise, and ours where they differ on purpose: a drop-in answers as CoreDNS does but for the
// rows that say why not.

import { conforms, type Row } from "./table.ts";

const loop: Row = {
  rule: "a circle of ExternalNames is cut, the chain as far as it goes",
  ask: "ext-ping.default.svc.cluster.local. A",
  gives: [
    "… 5 IN CNAME ext-pong.default.svc.cluster.local.",
    "ext-pong.default.svc.cluster.local. 5 IN CNAME ext-ping.default.svc.cluster.local.",
  ],
  ours: "CoreDNS leaves the CNAME out",
};

conforms("CoreDNS: names of Services", [
  {
    rule: "_port._proto asked for an address: the Service's",
    ask: "_http._tcp.web.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.3.0.10"],
  },
  {
    rule: "and of a headless Service",
    ask: "_sql._tcp.db.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.244.0.5", "… 5 IN A 10.244.0.7"],
  },
  {
    rule: "underscores are optional",
    ask: "http.tcp.raw.default.svc.cluster.local. SRV",
    rcode: "NXDOMAIN",
  },
  {
    rule: "underscores are optional",
    ask: "dns.udp.kube-dns.kube-system.svc.cluster.local. SRV",
    gives: ["… 5 IN SRV 0 100 53 kube-dns.kube-system.svc.cluster.local."],
    also: ["kube-dns.kube-system.svc.cluster.local. 5 IN A 10.3.0.53"],
  },
  {
    rule: "an empty one is no wildcard",
    ask: "_._tcp.web.default.svc.cluster.local. SRV",
    rcode: "NXDOMAIN",
    ours: "CoreDNS takes it for any port",
  },
  { rule: "no wildcards", ask: "*.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "no wildcards", ask: "any.any.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "_proto alone is an empty non-terminal", ask: "_tcp.web.default.svc.cluster.local. SRV", ours: "CoreDNS: NXDOMAIN" },
  { rule: "a protocol that no port has is none", ask: "_sctp.web.default.svc.cluster.local. SRV", rcode: "NXDOMAIN" },
  {
    rule: "SRV weights of a dual-stack Service: 100 by distinct records",
    ask: "_http._tcp.web.default.svc.cluster.local. SRV",
    gives: ["… 5 IN SRV 0 100 80 web.default.svc.cluster.local."],
    ours: "CoreDNS halves it",
    also: ["web.default.svc.cluster.local. 5 IN A 10.3.0.10", "web.default.svc.cluster.local. 5 IN AAAA fd00::10"],
  },
]);

conforms("CoreDNS: endpoints", [
  { rule: "the dashed address of one with a hostname", ask: "10-244-0-5.db.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "headless without ports, SRV", ask: "portless.default.svc.cluster.local. SRV" },
  {
    rule: "slices with different ports: the union, an address once",
    ask: "split.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.244.2.1", "… 5 IN A 10.244.2.2"],
  },
  {
    rule: "slices with different ports: the union",
    ask: "_http._tcp.split.default.svc.cluster.local. SRV",
    gives: [
      "… 5 IN SRV 0 33 8080 10-244-2-1.split.default.svc.cluster.local.",
      "… 5 IN SRV 0 33 8081 10-244-2-1.split.default.svc.cluster.local.",
      "… 5 IN SRV 0 33 8081 10-244-2-2.split.default.svc.cluster.local.",
    ],
    also: [
      "10-244-2-1.split.default.svc.cluster.local. 5 IN A 10.244.2.1",
      "10-244-2-2.split.default.svc.cluster.local. 5 IN A 10.244.2.2",
    ],
  },
  {
    rule: "two slices, one hostname: both addresses",
    ask: "one.twin.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.244.2.11", "… 5 IN A 10.244.2.12"],
  },
  {
    rule: "two slices, one hostname: one SRV record",
    ask: "_http._tcp.twin.default.svc.cluster.local. SRV",
    gives: ["… 5 IN SRV 0 100 80 one.twin.default.svc.cluster.local."],
    also: ["one.twin.default.svc.cluster.local. 5 IN A 10.244.2.11", "one.twin.default.svc.cluster.local. 5 IN A 10.244.2.12"],
    ours: "CoreDNS counts weights before it drops equal records",
  },
  {
    rule: "a slice without the service-name label is ignored",
    ask: "1.6.244.10.in-addr.arpa. PTR",
    rcode: "NXDOMAIN",
    soa: "in-addr.arpa.",
    ours: "CoreDNS does not answer at all",
  },
  {
    rule: "a slice whose Service does not exist is ignored",
    ask: "2.6.244.10.in-addr.arpa. PTR",
    rcode: "NXDOMAIN",
    soa: "in-addr.arpa.",
    ours: "CoreDNS gives a name that is itself NXDOMAIN",
  },
]);

conforms(
  "CoreDNS: ptr one",
  [
    {
      rule: "PTR of an endpoint of several Services: the first",
      ask: "7.0.244.10.in-addr.arpa. PTR",
      gives: ["… 5 IN PTR 10-244-0-7.db.default.svc.cluster.local."],
    },
  ],
  (corefile) => corefile.replace("ttl 5", "ttl 5\n ptr one"),
);

conforms("CoreDNS: ExternalName", [
  {
    rule: "another type than A and AAAA: the CNAME, then NODATA",
    ask: "ext-web.default.svc.cluster.local. MX",
    gives: ["… 5 IN CNAME web.default.svc.cluster.local."],
    soa: "cluster.local.",
    ours: "CoreDNS leaves the CNAME out",
  },
  {
    rule: "the target lacks the type: the CNAME, then NODATA (RFC 6604)",
    ask: "ext-raw.default.svc.cluster.local. AAAA",
    gives: ["… 5 IN CNAME raw.default.svc.cluster.local."],
    soa: "cluster.local.",
    ours: "CoreDNS leaves the CNAME out",
  },
  {
    rule: "the target does not exist: the CNAME, then NXDOMAIN (RFC 6604)",
    ask: "ext-nowhere.default.svc.cluster.local. A",
    gives: ["… 5 IN CNAME nosuch.default.svc.cluster.local."],
    rcode: "NXDOMAIN",
    ours: "CoreDNS leaves the CNAME out",
  },
  {
    rule: "two links",
    ask: "ext-ext-web.default.svc.cluster.local. A",
    gives: [
      "… 5 IN CNAME ext-web.default.svc.cluster.local.",
      "ext-web.default.svc.cluster.local. 5 IN CNAME web.default.svc.cluster.local.",
      "web.default.svc.cluster.local. 5 IN A 10.3.0.10",
    ],
  },
  loop,
  {
    rule: "an address is no name",
    ask: "ext-address.default.svc.cluster.local. A",
    rcode: "NXDOMAIN",
    ede: "ExternalName is an IP address, not a name",
  },
]);

conforms("CoreDNS: names of Pods", [
  { rule: "labels below", ask: "x.10-244-0-9.default.pod.cluster.local. A", rcode: "NXDOMAIN", ours: "CoreDNS answers them too" },
  { rule: "SRV", ask: "10-244-0-9.default.pod.cluster.local. SRV", ours: "CoreDNS gives port 0" },
  { rule: "the namespace", ask: "default.pod.cluster.local. A" },
]);

conforms("CoreDNS: the zone", [
  { rule: "other types of existing names", ask: "web.default.svc.cluster.local. HTTPS" },
  { rule: "ANY without `any`", ask: "web.default.svc.cluster.local. ANY" },
  { rule: "SOA below the apex", ask: "web.default.svc.cluster.local. SOA" },
  { rule: "SOA of a name that does not exist", ask: "nosuch.default.svc.cluster.local. SOA", rcode: "NXDOMAIN", ours: "CoreDNS: NOERROR" },
  { rule: "ns.dns", ask: "ns.dns.cluster.local. A", gives: ["… 5 IN A 10.3.0.53"], ours: "CoreDNS looks for its own addresses" },
  {
    rule: "NS whatever the case",
    ask: "Cluster.LOCAL. NS",
    gives: ["… 5 IN NS kube-dns.kube-system.svc.cluster.local."],
    also: ["kube-dns.kube-system.svc.cluster.local. 5 IN A 10.3.0.53"],
    ours: "CoreDNS: empty",
  },
  {
    rule: "NS of a reverse zone: a name that exists",
    ask: "in-addr.arpa. NS",
    gives: ["… 5 IN NS ns.dns.cluster.local."],
    ours: "CoreDNS names one that does not",
  },
  { rule: "another class", ask: "web.default.svc.cluster.local. A", sends: { class: 3 }, rcode: "REFUSED", flags: "rd" },
]);

conforms(
  "CoreDNS: fallthrough for reverse names and nothing below",
  [
    { rule: "what is known", ask: "10.0.3.10.in-addr.arpa. PTR", gives: ["… 5 IN PTR web.default.svc.cluster.local."] },
    { rule: "what is not", ask: "99.0.3.10.in-addr.arpa. PTR", rcode: "NXDOMAIN", soa: "in-addr.arpa." },
  ],
  (corefile) => corefile.replace("ttl 5", "ttl 5\n fallthrough in-addr.arpa ip6.arpa"),
);
