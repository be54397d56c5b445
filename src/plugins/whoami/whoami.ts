// whoami — answers every question with the asker's own address, port and transport, in the additional section.

import { directive, type Options } from "../../config/directive.ts";
import { emptyReply, Rcodes, type Query, type Reply } from "../../dns/message.ts";
import { nameBelow } from "../../dns/name.ts";
import { addressToBytes } from "../../dns/rdata.ts";
import { RRTypes, type RecordSet } from "../../dns/records.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

const plugin: Plugin<Options<true, Record<never, never>>> = definePlugin({
  name: "whoami",
  syntax: directive(),
  setup: () => ({ handle: (query) => describe(query) }),
});
export default plugin;

function describe({ qname, client }: Query): Reply {
  const additional: RecordSet[] = [];
  const address = addressToBytes(client.address);
  if (address !== undefined)
    additional.push({ owner: qname, type: client.family === 6 ? RRTypes.AAAA : RRTypes.A, ttl: 0, rdata: [address] });
  const owner = nameBelow(qname, client.transport === "udp" ? "_udp" : "_tcp");
  if (owner !== undefined) {
    // Priority 0, weight 0, the port, and the root as target (RFC 2782).
    additional.push({ owner, type: RRTypes.SRV, ttl: 0, rdata: [Uint8Array.of(0, 0, 0, 0, client.port >> 8, client.port & 0xff, 0)] });
  }
  return { ...emptyReply(Rcodes.NOERROR, "whoami"), authoritative: true, additional };
}
