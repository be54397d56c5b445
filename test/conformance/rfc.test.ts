// The DNS's own rules, by RFC. What a packet can do wrong is test/malformed/; what TCP does is tcp.test.ts.

import { conforms } from "./table.ts";

const WEB = "web.default.svc.cluster.local.";
const A = ["… 5 IN A 10.3.0.10"];

conforms("RFC 1034, 1035: answers", [
  {
    rule: "§3.6.2 a CNAME is followed within the zone",
    ask: "ext-web.default.svc.cluster.local. A",
    gives: [`… 5 IN CNAME ${WEB}`, `${WEB} * IN A 10.3.0.10`],
  },
  { rule: "§3.6.2 but not for CNAME itself", ask: "ext-web.default.svc.cluster.local. CNAME", gives: [`… 5 IN CNAME ${WEB}`] },
  { rule: "§4.1.1 RD is copied: not set", ask: `${WEB} A`, sends: { flags: 0 }, gives: A, flags: "aa" },
  { rule: "§4.1.1 AA, TC, RA and RCODE of a query are not", ask: `${WEB} A`, sends: { flags: 0x0785 }, gives: A },
  { rule: "§4.1.1 Z is 0", ask: `${WEB} A`, sends: { flags: 0x0140 }, gives: A },
  { rule: "§4.1.1 a name of no zone of ours is refused", ask: "www.example.org. A", rcode: "REFUSED", flags: "rd", ours: "others forward" },
  { rule: "§4.1.1 so is the root", ask: ". NS", rcode: "REFUSED", flags: "rd", ours: "others forward" },
  {
    rule: "§2.3.4 255 octets are a name",
    ask: `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(47)}.cluster.local. A`,
    rcode: "NXDOMAIN",
  },
  { rule: "§3.3 a dot in a label separates nothing", ask: "web\\.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "§3.1 labels are any octets", ask: "\\000\\001\\010\\255.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "§3.1 also words that mean something to a program", ask: "__proto__.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "§3.1", ask: "constructor.constructor.svc.cluster.local. A", rcode: "NXDOMAIN" },
  {
    rule: "§4.2.1 nothing behind the last section is read",
    ask: `${WEB} A`,
    sends: { trailer: Buffer.from("junk") },
    gives: A,
    edns: false,
  },
]);

conforms("RFC 1996, 5936, 1995: no transfers", [
  { rule: "AXFR", ask: "cluster.local. AXFR", rcode: "REFUSED", flags: "rd" },
  { rule: "IXFR", ask: "cluster.local. IXFR", rcode: "REFUSED", flags: "rd", ours: "others: NOTAUTH, NOTIMP or REFUSED" },
]);

conforms("RFC 2308: negative answers", [
  { rule: "§2.1 NXDOMAIN has the SOA", ask: "nosuch.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "§2.2 NODATA has the SOA", ask: `${WEB} MX` },
  { rule: "§2.1 of the zone the name is in", ask: "9.9.9.10.in-addr.arpa. PTR", rcode: "NXDOMAIN", soa: "in-addr.arpa." },
  { rule: "§2.1 also without EDNS", ask: "nosuch.default.svc.cluster.local. A", rcode: "NXDOMAIN", edns: false },
  {
    rule: "§2.2 a chain of CNAMEs ends in NODATA",
    ask: "ext-raw.default.svc.cluster.local. AAAA",
    gives: ["… * IN CNAME raw.default.svc.cluster.local."],
    soa: "cluster.local.",
    ours: "CoreDNS leaves the CNAME out",
  },
]);

conforms("RFC 8020, 4592: what does not exist has nothing below; what has something below exists", [
  { rule: "§2 below NXDOMAIN", ask: "a.nosuch.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "§2 below NXDOMAIN", ask: "a.b.nosuchns.svc.cluster.local. A", rcode: "NXDOMAIN" },
  { rule: "an empty non-terminal", ask: "svc.cluster.local. A" },
  { rule: "an empty non-terminal", ask: "dns.cluster.local. A", ours: "CoreDNS: NXDOMAIN" },
  { rule: "an empty non-terminal", ask: "_udp.web.default.svc.cluster.local. SRV", ours: "CoreDNS: NXDOMAIN" },
  { rule: "an empty non-terminal", ask: "3.10.in-addr.arpa. PTR", soa: "in-addr.arpa.", ours: "CoreDNS: NXDOMAIN" },
  { rule: "an empty non-terminal", ask: "d.f.ip6.arpa. PTR", soa: "ip6.arpa.", ours: "CoreDNS: NXDOMAIN" },
]);

conforms("RFC 2782, 3596, 3597: types", [
  {
    rule: "2782: the target's addresses come along",
    ask: `_http._tcp.${WEB} SRV`,
    gives: [`… 5 IN SRV 0 100 80 ${WEB}`],
    also: [`${WEB} 5 IN A 10.3.0.10`, `${WEB} 5 IN AAAA fd00::10`],
  },
  {
    rule: "3596 §2.5 ip6.arpa in any case",
    ask: "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.F.IP6.ARPA. PTR",
    gives: [`… 5 IN PTR ${WEB}`],
  },
  { rule: "3596 half an address is not one", ask: "10.in-addr.arpa. A", soa: "in-addr.arpa.", ours: "CoreDNS: NXDOMAIN" },
  { rule: "3597: a type that nobody knows", ask: `${WEB} TYPE1000` },
  { rule: "3597", ask: `${WEB} TYPE65535` },
  { rule: "3597", ask: `${WEB} TYPE0` },
  { rule: "4035 §3.1.4.1 DS", ask: `${WEB} DS` },
  { rule: "9460: SVCB and HTTPS", ask: `${WEB} SVCB` },
]);

conforms("RFC 4343: case", [
  { rule: "§4.1 is kept in the question", ask: "wEb.dEfAuLt.SvC.cLuStEr.LoCaL. A", gives: A },
  { rule: "§4.1 in NXDOMAIN too", ask: "nOsUcH.dEfAuLt.SvC.cLuStEr.LoCaL. A", rcode: "NXDOMAIN" },
  { rule: "§4.1 for refused names too", ask: "wWw.ExAmPlE.oRg. A", rcode: "REFUSED", flags: "rd", ours: "others forward" },
  { rule: "§3 only ASCII letters have it", ask: "\\215\\247.default.svc.cluster.local. A", rcode: "NXDOMAIN" },
]);

conforms("RFC 6891: EDNS", [
  { rule: "§6.1.1 no OPT for those who sent none", ask: `${WEB} A`, edns: false, gives: A },
  { rule: "§6.2.3 our own size, not an echo", ask: `${WEB} A`, edns: { udpSize: 4096 }, gives: A, ours: "CoreDNS echoes the size" },
  { rule: "§6.2.3 below 512 is 512", ask: `${WEB} A`, edns: { udpSize: 0 }, gives: A, ours: "CoreDNS echoes the size" },
  { rule: "§6.1.3 another version", ask: `${WEB} A`, edns: { version: 1 }, rcode: "BADVERS", flags: "rd" },
  {
    rule: "§6.1.3 another version with DO",
    ask: `${WEB} A`,
    edns: { version: 255, dnssecOk: true },
    rcode: "BADVERS",
    flags: "rd",
    ours: "CoreDNS drops DO",
  },
  {
    rule: "§6.1.2 unknown options are ignored",
    ask: `${WEB} A`,
    edns: { options: [{ code: 100 }, { code: 65_001, data: Buffer.alloc(200) }] },
    gives: A,
  },
  { rule: "7873: a cookie is not echoed", ask: `${WEB} A`, edns: { options: [{ code: 10, data: Buffer.alloc(8, 1) }] }, gives: A },
  {
    rule: "7871: client subnet is ignored",
    ask: `${WEB} A`,
    edns: { options: [{ code: 8, data: Buffer.from([0, 9, 0, 0]) }] },
    gives: A,
    ours: "CoreDNS: FORMERR",
  },
  { rule: "7830: no padding over UDP", ask: `${WEB} A`, edns: { options: [{ code: 12, data: Buffer.alloc(64) }] }, gives: A },
  { rule: "3225: DO is copied", ask: `${WEB} A`, edns: { dnssecOk: true }, gives: A },
  { rule: "4035 §3.1.6, 3.2.2: CD is copied, AD is not", ask: `${WEB} A`, sends: { flags: 0x0130 }, gives: A, flags: "aa rd cd" },
]);

conforms("RFC 8482: ANY", [
  { rule: "NODATA without `any`", ask: `${WEB} ANY` },
  { rule: "NXDOMAIN all the same", ask: "nosuch.default.svc.cluster.local. ANY", rcode: "NXDOMAIN" },
]);

conforms("RFC 8906 §8: what every server must answer", [
  {
    rule: "8.1.1 SOA of a zone",
    ask: "cluster.local. SOA",
    gives: ["… * IN SOA ns.dns.cluster.local. hostmaster.cluster.local. SERIAL 7200 1800 86400 5"],
    edns: false,
  },
  { rule: "8.1.2 an unknown type", ask: "cluster.local. TYPE1000", edns: false },
  { rule: "8.1.3.1 CD", ask: "cluster.local. TYPE1000", sends: { flags: 0x0010 }, flags: "aa cd", edns: false },
  { rule: "8.1.3.2 AD", ask: "cluster.local. TYPE1000", sends: { flags: 0x0020 }, flags: "aa", edns: false },
  { rule: "8.1.3.3 Z", ask: "cluster.local. TYPE1000", sends: { flags: 0x0040 }, flags: "aa", edns: false },
  { rule: "8.2.2 unknown version", ask: "cluster.local. SOA", edns: { version: 1 }, rcode: "BADVERS", flags: "rd" },
  {
    rule: "8.2.5 unknown version and option",
    ask: "cluster.local. SOA",
    edns: { version: 1, options: [{ code: 100 }] },
    rcode: "BADVERS",
    flags: "rd",
  },
]);

conforms("RFC 8914: reasons", [
  { rule: "§2 in NXDOMAIN", ask: "nosuch.default.svc.cluster.local. A", rcode: "NXDOMAIN", ede: "no such Service" },
  { rule: "§2 no such namespace", ask: "web.nosuchns.svc.cluster.local. A", rcode: "NXDOMAIN", ede: "no such namespace" },
  { rule: "§2 no such endpoint", ask: "nosuch.db.default.svc.cluster.local. A", rcode: "NXDOMAIN", ede: "no such endpoint or port" },
  {
    rule: "§2 no such address",
    ask: "9.9.9.10.in-addr.arpa. PTR",
    rcode: "NXDOMAIN",
    soa: "in-addr.arpa.",
    ede: "no Service or endpoint has this address",
  },
]);

conforms(
  "RFC 8914: reasons nearest",
  [
    {
      rule: "the nearest Service",
      ask: "my-ngnix.default.svc.cluster.local. A",
      rcode: "NXDOMAIN",
      ede: "no such Service; nearest: my-nginx.default",
    },
    {
      rule: "the nearest namespace",
      ask: "kube-dns.kube-sytem.svc.cluster.local. A",
      rcode: "NXDOMAIN",
      ede: "no such namespace; nearest: kube-dns.kube-system",
    },
  ],
  (corefile) => corefile.replace("reasons fixed", "reasons nearest"),
);
