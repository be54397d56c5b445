// What is known about directives beyond our own plugins: CoreDNS's execution order, and a sentence for each plugin of
// CoreDNS or of its surroundings that is not here. Read by blocks.ts for its errors.

/** The order in which plugins see a query: CoreDNS 1.14's, with our `ratelimit` in front of all that answers and `search` just before `kubernetes`. */
export const executionOrder: readonly string[] = `
  root metadata geoip cancel proxyproto quic grpc_server https https3 timeouts multisocket reload nsid bufsize bind
  debug trace ready health pprof shed prometheus errors log dnstap ratelimit local dns64 any chaos loadbalance tsig
  rewrite autopath acl cache header dnssec tls minimal template transfer hosts route53 azure clouddns k8s_external search
  kubernetes file auto secondary etcd loop forward grpc erratic whoami on sign view nomad
`
  .trim()
  .split(/\s+/);

/** Diagnostics of the Go runtime: no reason to refuse a Corefile. They are read over, with this warning. */
export const ignoredPlugins: ReadonlyMap<string, string> = new Map([
  ["pprof", "ignored: there are no Go profiles here; start node with --cpu-prof or --inspect instead"],
  ["trace", "ignored: no spans are sent; the metrics of prometheus and the log plugin stay"],
]);

/** Plugins that will not come: why, and what to use instead. What executionOrder has and this lacks comes later. */
export const refusedPlugins: ReadonlyMap<string, string> = new Map([
  ["etcd", "records in etcd are not read; keep them in Kubernetes or in a zone file"],
  ["route53", "cloud zones are not copied; forward to the VPC's resolver instead"],
  ["azure", "cloud zones are not copied; forward to 168.63.129.16 instead"],
  ["clouddns", "cloud zones are not copied; forward to 169.254.169.254 instead"],
  ["nomad", "only Kubernetes is watched; forward the zone to Consul's DNS instead"],
  ["dnssec", "answers are not signed; serve signed zones from an authoritative server"],
  ["sign", "zones are not signed; sign the file with ldns-signzone or dnssec-signzone"],
  ["tsig", "messages are not signed; restrict clients with a NetworkPolicy"],
  ["grpc", "upstreams are asked over plain DNS; use forward"],
  ["grpc_server", "DNS over gRPC is not served; use plain DNS"],
  ["quic", "Node.js has no QUIC; use plain DNS"],
  ["https3", "Node.js has no QUIC; use plain DNS"],
  ["geoip", "locations are not looked up; use a server with GeoIP support for such zones"],
  ["dnstap", "messages are not tapped; use log and prometheus"],
  ["proxyproto", "the PROXY protocol is not read; let the balancer keep the client's address"],
  ["on", "commands are not run; use a container's lifecycle hooks"],
  // Gone from CoreDNS itself, still in old Corefiles.
  ["proxy", "CoreDNS dropped it in 1.5; use forward"],
  ["federation", "CoreDNS dropped it in 1.7; remove the line"],
  // Out-of-tree plugins that people build into CoreDNS.
  ["k8s_gateway", "not part of CoreDNS; k8s_external serves external addresses"],
  ["kubeapi", "not part of CoreDNS; kubernetes connects by itself"],
  ["multicluster", "not part of CoreDNS; forward clusterset.local to a server that has it"],
  ["unbound", "not part of CoreDNS; forward to an Unbound beside it"],
  ["fanout", "not part of CoreDNS; use forward with several upstreams"],
  ["alternate", "not part of CoreDNS; use forward with failover"],
  ["redisc", "not part of CoreDNS; use cache"],
  ["redis", "not part of CoreDNS; use a zone file"],
  ["records", "not part of CoreDNS; use file, hosts or template"],
  ["ads", "not part of CoreDNS; use template or hosts, or forward to a filtering resolver"],
  ["blocklist", "not part of CoreDNS; use template or hosts, or forward to a filtering resolver"],
  ["mdns", "not part of CoreDNS; forward .local to a resolver that speaks mDNS"],
  ["wgsd", "not part of CoreDNS; keep the peers in a zone file"],
  ["netbox", "not part of CoreDNS; export the addresses to a zone file"],
  ["gslb", "not part of CoreDNS; delegate the zone to a load-balancing DNS service"],
  ["rrl", "not part of CoreDNS; use ratelimit"],
  ["ipset", "not part of CoreDNS; use a NetworkPolicy by name"],
]);
