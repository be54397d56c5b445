// any — answers ANY with one small record, as RFC 8482 §4.2 allows: no zone is listed, and no flood made larger.

import { directive, type Options } from "../../config/directive.ts";
import { emptyReply, Rcodes, type Query, type Records } from "../../dns/message.ts";
import { txtRdata } from "../../dns/rdata.ts";
import { RRClasses, RRTypes, type RecordSet } from "../../dns/records.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

const NAME = "any";
/** Long: nobody needs to ask again. CoreDNS's. */
const TTL_SECONDS = 8482;
/** CPU and OS of a HINFO record: character-strings, as in TXT. */
const HINFO = txtRdata("ANY obsoleted", "See RFC 8482");

const plugin: Plugin<Options<true, Record<never, never>>> = definePlugin({
  name: NAME,
  syntax: directive(),
  setup: () => ({
    transparent: { types: [RRTypes.ANY] },
    handle: (query, next) => (query.qtype === RRTypes.ANY && query.qclass === RRClasses.IN ? hinfo(query) : next(query)),
  }),
});
export default plugin;

function hinfo({ qname }: Query): Records {
  const rrset: RecordSet = { owner: qname, type: RRTypes.HINFO, ttl: TTL_SECONDS, rdata: [HINFO] };
  return { ...emptyReply(Rcodes.NOERROR, NAME), answer: [rrset] };
}
