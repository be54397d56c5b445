// dns64 — gives IPv6 clients behind a NAT64 AAAA records for names that only have A records (RFC 6147). The prefix and the
// address make one as RFC 6052 §2.2 says.

import { andThen } from "../../chain.ts";
import { isProblem, type ArgType } from "../../config/arguments.ts";
import { directive, none, once, one, optional, type Options, type Property } from "../../config/directive.ts";
import { parseCidr } from "../../config/zones.ts";
import { DROP, Flags, Rcodes, uint16, type Query, type Records, type Reply } from "../../dns/message.ts";
import { RRClasses, RRTypes, type Rdata, type RecordSet } from "../../dns/records.ts";
import { recordsOf } from "../../dns/wire.ts";
import { definePlugin, type Answer, type Host, type Instance, type MaybePromise, type Next, type Plugin } from "../../plugin.ts";

const NAME = "dns64";
const WELL_KNOWN_PREFIX = "64:ff9b::/96";
/** What bounds the TTL where the empty answer has no SOA (RFC 6147 §5.1.7). */
const TTL_WITHOUT_SOA_SECONDS = 600;
const IPV6_BYTES = 16;
/** RFC 6052 §2.2: bits 64–71 of the address are zero. */
const ZERO_BYTE = 8;

interface Prefix {
  readonly bytes: readonly number[];
  readonly bits: number;
}

const prefix: ArgType<Prefix> = {
  usage: "PREFIX",
  parse(text) {
    const read = parseCidr(text);
    const isPrefix = read?.bytes.length === IPV6_BYTES && read.prefix % 8 === 0 && read.prefix >= 32 && read.prefix <= 96;
    if (read === undefined || !isPrefix) return { problem: `must be an IPv6 network of 32–96 bits, in whole bytes, found "${text}"` };
    return { bytes: read.bytes, bits: read.prefix };
  },
};

type Dns64Options = Options<
  Prefix | undefined,
  {
    readonly prefix: Property<Prefix | undefined>;
    readonly translate_all: Property<true | undefined>;
    readonly allow_ipv4: Property<true | undefined>;
  }
>;

const plugin: Plugin<Dns64Options> = definePlugin({
  name: NAME,
  syntax: directive({
    args: optional(prefix),
    options: { prefix: once(one(prefix)), translate_all: once(none()), allow_ipv4: once(none()) },
  }),
  setup,
});
export default plugin;

function setup(options: Dns64Options, host: Host): Instance {
  const { translate_all: translatesAll = false, allow_ipv4: allowsIpv4 = false } = options;
  const given = options.prefix ?? options.args ?? prefix.parse(WELL_KNOWN_PREFIX);
  if (isProblem(given)) throw new RangeError(given.problem);
  const addresses = given;
  const translated = host.metrics.counter("coredns_dns64_requests_translated_total", "Counter of DNS requests translated by dns64.");
  return {
    transparent: { types: [RRTypes.AAAA] },
    handle(query, next) {
      return isConcerned(query) ? andThen(next(query), (answer) => answered(query, answer, next)) : next(query);
    },
  };

  // A client that validates by itself could only take ours for forged (RFC 6147 §5.5).
  function isConcerned({ qtype, qclass, client, edns, flags }: Query): boolean {
    const validates = edns?.dnssecOk === true && (flags & Flags.CD) !== 0;
    return qtype === RRTypes.AAAA && qclass === RRClasses.IN && (allowsIpv4 || client.family === 6) && !validates;
  }

  function answered(query: Query, answer: Answer, next: Next): MaybePromise<Answer> {
    if (answer === DROP || answer.rcode === Rcodes.NXDOMAIN) return answer;
    const original = recordsOf(answer);
    if (!translatesAll && original.answer.some(hasOwnAddress)) return answer;
    return andThen(next({ ...query, qtype: RRTypes.A }), (addressed) => {
      const synthesised = addressed === DROP ? undefined : synthesise(original, addressed);
      if (synthesised === undefined) return answer;
      translated.add({ server: host.labels().server });
      return synthesised;
    });
  }

  // The answer to A with its addresses as AAAA; undefined where it has none.
  function synthesise(original: Records, addressed: Reply): Records | undefined {
    const reply = recordsOf(addressed);
    if (!reply.answer.some(({ type }) => type === RRTypes.A)) return undefined;
    const soa = original.authority.find(({ type }) => type === RRTypes.SOA);
    const mostSeconds = soa?.ttl ?? TTL_WITHOUT_SOA_SECONDS;
    const answer = reply.answer.map(withoutSignatures).flatMap((rrset) => {
      if (rrset === undefined) return [];
      if (rrset.type !== RRTypes.A) return [rrset];
      const rdata = rrset.rdata.map((address) => embed(addresses, address));
      return [{ ...rrset, type: RRTypes.AAAA, ttl: Math.min(rrset.ttl, mostSeconds), rdata }];
    });
    return { ...reply, answer, authenticated: false, by: NAME, ...(!allowsIpv4 && { perClient: true }) };
  }
}

// ::ffff:0:0/96 leads nowhere (RFC 6147 §5.1.4): as if it were not there.
function hasOwnAddress({ type, rdata }: RecordSet): boolean {
  return type === RRTypes.AAAA && rdata.some((address) => !MAPPED.every((byte, index) => address[index] === byte));
}

const MAPPED: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

// Those of the addresses don't fit what they have become.
function withoutSignatures(rrset: RecordSet): RecordSet | undefined {
  if (rrset.type !== RRTypes.RRSIG) return rrset;
  const rdata = rrset.rdata.filter((signature) => uint16(signature, 0) !== RRTypes.A);
  return rdata.length === 0 ? undefined : { ...rrset, rdata };
}

function embed({ bytes, bits }: Prefix, ipv4: Rdata): Rdata {
  const address = new Uint8Array(IPV6_BYTES);
  let at = bits / 8;
  address.set(bytes.slice(0, at));
  for (const byte of ipv4) {
    if (at === ZERO_BYTE) at++;
    address[at++] = byte;
  }
  return address;
}
