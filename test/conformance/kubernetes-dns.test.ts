// The Kubernetes DNS specification 1.1.0, by section. Rules are numbered: 1 to 24 are the specification's (with the forms
// of CoreDNS where it leaves room), 25 to 31 what clients of CoreDNS rely on, 32 to 34 the search list.

import { conforms } from "./table.ts";

const WEB_PORTS = ["… 5 IN SRV 0 50 80 web.default.svc.cluster.local.", "… 5 IN SRV 0 50 53 web.default.svc.cluster.local."];
const WEB = ["web.default.svc.cluster.local. 5 IN A 10.3.0.10", "web.default.svc.cluster.local. 5 IN AAAA fd00::10"];

conforms("k8s-dns 2.1: comparisons ignore case", [
  { rule: "4", ask: "WEB.Default.SVC.cluster.LOCAL. A", gives: ["… 5 IN A 10.3.0.10"] },
  {
    rule: "4",
    ask: "_HTTP._tcp.Web.default.svc.Cluster.local. SRV",
    gives: ["… 5 IN SRV 0 100 80 web.default.svc.cluster.local."],
    also: WEB,
  },
  { rule: "4", ask: "10.0.3.10.IN-ADDR.Arpa. PTR", gives: ["… 5 IN PTR web.default.svc.cluster.local."] },
  { rule: "4", ask: "NoSuch.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
]);

conforms("k8s-dns 2.2: the schema's version", [
  { rule: "1", ask: "dns-version.cluster.local. TXT", gives: ['… 28800 IN TXT "1.1.0"'] },
  { rule: "1, no other type", ask: "dns-version.cluster.local. A" },
]);

conforms("k8s-dns 2.3.1: A and AAAA of a Service with a ClusterIP", [
  { rule: "2", ask: "web.default.svc.cluster.local. A", gives: ["… 5 IN A 10.3.0.10"] },
  { rule: "3", ask: "web.default.svc.cluster.local. AAAA", gives: ["… 5 IN AAAA fd00::10"] },
  { rule: "5, the other family is NODATA, never NXDOMAIN", ask: "raw.default.svc.cluster.local. AAAA" },
  { rule: "2, a namespace's own", ask: "web.prod.svc.cluster.local. A", gives: ["… 5 IN A 10.3.0.20"] },
  { rule: "2, a leading digit", ask: "1st.default.svc.cluster.local. A", gives: ["… 5 IN A 10.3.0.12"] },
]);

conforms("k8s-dns 2.3.2: SRV of a Service with a ClusterIP", [
  {
    rule: "6",
    ask: "_http._tcp.web.default.svc.cluster.local. SRV",
    gives: ["… 5 IN SRV 0 100 80 web.default.svc.cluster.local."],
    also: WEB,
  },
  {
    rule: "7",
    ask: "_dns._udp.web.default.svc.cluster.local. SRV",
    gives: ["… 5 IN SRV 0 100 53 web.default.svc.cluster.local."],
    also: WEB,
  },
  { rule: "7, by protocol too", ask: "_dns._tcp.web.default.svc.cluster.local. SRV", rcode: "NXDOMAIN" },
  { rule: "8, an unnamed port has none", ask: "_9000._tcp.raw.default.svc.cluster.local. SRV", rcode: "NXDOMAIN" },
  { rule: "8", ask: "_nope._tcp.web.default.svc.cluster.local. SRV", rcode: "NXDOMAIN", ede: "no such port" },
  { rule: "9, one record a port", ask: "web.default.svc.cluster.local. SRV", gives: WEB_PORTS, also: WEB },
  {
    rule: "9, the unnamed port too",
    ask: "raw.default.svc.cluster.local. SRV",
    gives: ["… 5 IN SRV 0 100 9000 raw.default.svc.cluster.local."],
    also: ["raw.default.svc.cluster.local. 5 IN A 10.3.0.11"],
  },
]);

conforms("k8s-dns 2.3.3: PTR of a ClusterIP", [
  { rule: "10", ask: "10.0.3.10.in-addr.arpa. PTR", gives: ["… 5 IN PTR web.default.svc.cluster.local."] },
  {
    rule: "11",
    ask: "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR",
    gives: ["… 5 IN PTR web.default.svc.cluster.local."],
  },
  { rule: "10, an address that nothing has", ask: "99.0.3.10.in-addr.arpa. PTR", rcode: "NXDOMAIN", soa: "in-addr.arpa." },
]);

conforms("k8s-dns 2.4.1: A and AAAA of a headless Service", [
  { rule: "12, ready ones only", ask: "db.default.svc.cluster.local. A", gives: ["… 5 IN A 10.244.0.5", "… 5 IN A 10.244.0.7"] },
  { rule: "13", ask: "mesh.default.svc.cluster.local. AAAA", gives: ["… 5 IN AAAA fd00:10::1", "… 5 IN AAAA fd00:10::"] },
  { rule: "13, each family by itself", ask: "mesh.default.svc.cluster.local. A", gives: ["… 5 IN A 10.244.1.1", "… 5 IN A 10.244.1.2"] },
  { rule: "14, none is ready", ask: "starting.default.svc.cluster.local. A", rcode: "NXDOMAIN", ede: "no ready endpoints" },
  { rule: "14, for every type", ask: "starting.default.svc.cluster.local. TXT", rcode: "NXDOMAIN" },
  { rule: "14, the other family is NODATA", ask: "db.default.svc.cluster.local. AAAA" },
  { rule: "14, serving while terminating is not ready", ask: "stopping.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "15", ask: "db-0.db.default.svc.cluster.local. A", gives: ["… 5 IN A 10.244.0.5"] },
  {
    rule: "15, several addresses under one hostname",
    ask: "pair.mesh.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.244.1.1", "… 5 IN A 10.244.1.2"],
  },
  { rule: "16, no hostname", ask: "10-244-0-7.db.default.svc.cluster.local. A", gives: ["… 5 IN A 10.244.0.7"] },
  {
    rule: "16, IPv6, a 0 behind a trailing dash",
    ask: "fd00-10--0.mesh.default.svc.cluster.local. AAAA",
    gives: ["… 5 IN AAAA fd00:10::"],
  },
  { rule: "17, not ready", ask: "db-1.db.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  {
    rule: "18, publishNotReadyAddresses",
    ask: "early.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.244.4.6"],
    manifests: "the endpoint slice controller, which reads the field",
  },
  {
    rule: "18, and by hostname",
    ask: "early-0.early.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.244.4.6"],
    manifests: "the endpoint slice controller, which reads the field",
  },
  {
    rule: "18, tolerate-unready-endpoints",
    ask: "tolerant-0.tolerant.default.svc.cluster.local. A",
    gives: ["… 5 IN A 10.244.4.7"],
    manifests: "the endpoint slice controller, which reads the annotation",
  },
]);

conforms("k8s-dns 2.4.2: SRV of a headless Service", [
  {
    rule: "19, a record for each ready endpoint",
    ask: "_sql._tcp.db.default.svc.cluster.local. SRV",
    gives: ["… 5 IN SRV 0 50 5432 db-0.db.default.svc.cluster.local.", "… 5 IN SRV 0 50 5432 10-244-0-7.db.default.svc.cluster.local."],
    also: ["db-0.db.default.svc.cluster.local. 5 IN A 10.244.0.5", "10-244-0-7.db.default.svc.cluster.local. 5 IN A 10.244.0.7"],
  },
  {
    rule: "19, the endpoint's port, not the Service's",
    ask: "_http._tcp.mesh.default.svc.cluster.local. SRV",
    gives: [
      "… 5 IN SRV 0 33 8080 pair.mesh.default.svc.cluster.local.",
      "… 5 IN SRV 0 33 8080 six.mesh.default.svc.cluster.local.",
      "… 5 IN SRV 0 33 8080 fd00-10--0.mesh.default.svc.cluster.local.",
    ],
    also: [
      "pair.mesh.default.svc.cluster.local. 5 IN A 10.244.1.1",
      "pair.mesh.default.svc.cluster.local. 5 IN A 10.244.1.2",
      "six.mesh.default.svc.cluster.local. 5 IN AAAA fd00:10::1",
      "fd00-10--0.mesh.default.svc.cluster.local. 5 IN AAAA fd00:10::",
    ],
    ours: "CoreDNS counts weights before it drops equal records",
  },
  { rule: "19, a port that no endpoint has", ask: "_nope._tcp.db.default.svc.cluster.local. SRV", rcode: "NXDOMAIN" },
  { rule: "19, no ports at all", ask: "portless.default.svc.cluster.local. SRV" },
  { rule: "19, A records without ports", ask: "portless.default.svc.cluster.local. A", gives: ["… 5 IN A 10.244.5.1"] },
]);

conforms("k8s-dns 2.4.3: PTR of an endpoint", [
  { rule: "20", ask: "5.0.244.10.in-addr.arpa. PTR", gives: ["… 5 IN PTR db-0.db.default.svc.cluster.local."] },
  {
    rule: "21",
    ask: "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.d.f.ip6.arpa. PTR",
    gives: ["… 5 IN PTR six.mesh.default.svc.cluster.local."],
  },
  {
    rule: "20, one record for each Service that has it",
    ask: "7.0.244.10.in-addr.arpa. PTR",
    gives: ["… 5 IN PTR 10-244-0-7.db.default.svc.cluster.local.", "… 5 IN PTR 10-244-0-7.db-again.default.svc.cluster.local."],
  },
  { rule: "20, not ready", ask: "6.0.244.10.in-addr.arpa. PTR", rcode: "NXDOMAIN", soa: "in-addr.arpa." },
]);

conforms("k8s-dns 2.5: ExternalName", [
  {
    rule: "22, the CNAME and its target",
    ask: "ext-web.default.svc.cluster.local. A",
    gives: ["… 5 IN CNAME web.default.svc.cluster.local.", "web.default.svc.cluster.local. 5 IN A 10.3.0.10"],
  },
  {
    rule: "22",
    ask: "ext-web.default.svc.cluster.local. AAAA",
    gives: ["… 5 IN CNAME web.default.svc.cluster.local.", "web.default.svc.cluster.local. 5 IN AAAA fd00::10"],
  },
  {
    rule: "22, a target outside",
    ask: "ext.default.svc.cluster.local. A",
    gives: ["… 5 IN CNAME www.example.com."],
    ours: "no upstream is asked",
  },
  { rule: "23, only the CNAME", ask: "ext.default.svc.cluster.local. CNAME", gives: ["… 5 IN CNAME www.example.com."] },
  { rule: "23", ask: "ext-web.default.svc.cluster.local. CNAME", gives: ["… 5 IN CNAME web.default.svc.cluster.local."] },
]);

conforms("k8s-dns 2.6: names of Pods, pods insecure", [
  { rule: "24", ask: "10-244-0-9.default.pod.cluster.local. A", gives: ["… 5 IN A 10.244.0.9"] },
  { rule: "24, any address", ask: "192-0-2-1.empty.pod.cluster.local. A", gives: ["… 5 IN A 192.0.2.1"] },
  { rule: "24, IPv6", ask: "fd00-10--9.default.pod.cluster.local. AAAA", gives: ["… 5 IN AAAA fd00:10::9"] },
  { rule: "24, the other family", ask: "10-244-0-9.default.pod.cluster.local. AAAA" },
  { rule: "24, no such namespace", ask: "10-244-0-9.nosuchns.pod.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "24, not an address", ask: "web.default.pod.cluster.local. A", rcode: "NXDOMAIN", ede: "not the name of an address" },
]);

conforms(
  "k8s-dns 2.6: names of Pods, pods disabled",
  [
    { rule: "24", ask: "10-244-0-9.default.pod.cluster.local. A", rcode: "NXDOMAIN", ede: "Pod names are disabled (pods disabled)" },
    { rule: "24", ask: "pod.cluster.local. A" },
  ],
  (corefile) => corefile.replace("pods insecure", "pods disabled"),
);

conforms(
  "k8s-dns 2.6: names of Pods, pods verified",
  [
    { rule: "24", ask: "10-244-0-9.default.pod.cluster.local. A", gives: ["… 5 IN A 10.244.0.9"] },
    { rule: "24, no Pod has the address", ask: "10-244-0-10.default.pod.cluster.local. A", rcode: "NXDOMAIN", ede: "no such Pod" },
    { rule: "24, none of this namespace", ask: "10-244-0-9.prod.pod.cluster.local. A", rcode: "NXDOMAIN" },
  ],
  (corefile) => corefile.replace("pods insecure", "pods verified"),
);

conforms("beyond the specification, as CoreDNS", [
  { rule: "25", ask: "nosuch.default.svc.cluster.local. A", rcode: "NXDOMAIN", ede: "no such Service" },
  { rule: "26", ask: "web.nosuchns.svc.cluster.local. A", rcode: "NXDOMAIN", ede: "no such namespace" },
  { rule: "27, a namespace exists", ask: "default.svc.cluster.local. A" },
  { rule: "27, one without Services too", ask: "empty.svc.cluster.local. A" },
  { rule: "27", ask: "svc.cluster.local. A" },
  { rule: "27", ask: "cluster.local. A" },
  {
    rule: "28",
    ask: "cluster.local. SOA",
    gives: ["… 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. SERIAL 7200 1800 86400 5"],
  },
  {
    rule: "28",
    ask: "cluster.local. NS",
    gives: ["… 5 IN NS kube-dns.kube-system.svc.cluster.local."],
    also: ["kube-dns.kube-system.svc.cluster.local. 5 IN A 10.3.0.53"],
    ours: "CoreDNS looks for the Services that front its own addresses",
  },
  { rule: "29, an endpoint of a ClusterIP Service", ask: "web-0.web.default.svc.cluster.local. A", gives: ["… 5 IN A 10.244.0.8"] },
  { rule: "29, without a hostname", ask: "10-244-0-18.web.default.svc.cluster.local. A", gives: ["… 5 IN A 10.244.0.18"] },
  { rule: "30, too many labels", ask: "a.b.c.web.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "31", ask: "web.default.svc.cluster.local. MX" },
  { rule: "31", ask: "web.default.svc.cluster.local. TXT" },
]);

conforms("the search list", [
  { rule: "32, what a client with a search list asks", ask: "my-nginx.default.svc.cluster.local. A", gives: ["… 5 IN A 10.3.0.149"] },
  {
    rule: "32, the bare name",
    ask: "my-nginx. A",
    gives: ["… 5 IN CNAME my-nginx.default.svc.cluster.local.", "my-nginx.default.svc.cluster.local. 5 IN A 10.3.0.149"],
    ours: "`search` is ours",
  },
  {
    rule: "33",
    ask: "my-nginx.default. A",
    gives: ["… 5 IN CNAME my-nginx.default.svc.cluster.local.", "my-nginx.default.svc.cluster.local. 5 IN A 10.3.0.149"],
    ours: "`search` is ours",
  },
  {
    rule: "33",
    ask: "my-nginx.default.svc. A",
    gives: ["… 5 IN CNAME my-nginx.default.svc.cluster.local.", "my-nginx.default.svc.cluster.local. 5 IN A 10.3.0.149"],
    ours: "`search` is ours",
  },
  {
    rule: "33",
    ask: "my-nginx.default.cluster.local. A",
    gives: ["… 5 IN CNAME my-nginx.default.svc.cluster.local.", "my-nginx.default.svc.cluster.local. 5 IN A 10.3.0.149"],
    ours: "`search` is ours",
  },
  {
    rule: "33, the absent family is NODATA",
    ask: "my-nginx. AAAA",
    gives: ["… 5 IN CNAME my-nginx.default.svc.cluster.local."],
    soa: "cluster.local.",
    ours: "`search` is ours",
  },
  {
    rule: "33, the second namespace",
    ask: "kube-dns. A",
    gives: ["… 5 IN CNAME kube-dns.kube-system.svc.cluster.local.", "kube-dns.kube-system.svc.cluster.local. 5 IN A 10.3.0.53"],
    ours: "`search` is ours",
  },
  {
    rule: "33, a port",
    ask: "_dns._udp.kube-dns. SRV",
    gives: [
      "… 5 IN CNAME _dns._udp.kube-dns.kube-system.svc.cluster.local.",
      "_dns._udp.kube-dns.kube-system.svc.cluster.local. 5 IN SRV 0 100 53 kube-dns.kube-system.svc.cluster.local.",
    ],
    also: ["kube-dns.kube-system.svc.cluster.local. 5 IN A 10.3.0.53"],
    ours: "`search` is ours",
  },
  { rule: "33, never for the words of the zone", ask: "web.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "33, a Service that is not there", ask: "nosuch. A", rcode: "NXDOMAIN", soa: ".", ours: "`search` is ours" },
  {
    rule: "34, nslookup asks for its server's name",
    ask: "53.0.3.10.in-addr.arpa. PTR",
    gives: ["… 5 IN PTR kube-dns.kube-system.svc.cluster.local."],
  },
  { rule: "34, and for the answer's", ask: "149.0.3.10.in-addr.arpa. PTR", gives: ["… 5 IN PTR my-nginx.default.svc.cluster.local."] },
]);
