// transfer — hands out whole zones (AXFR, RFC 5936) to the servers that it names, and tells these of changes. It asks the other
// plugins of its server block for zones whose records they store.

import { systemClock, type Clock } from "../../clock.ts";
import { emptyReply, questionEnd, Rcodes, RR_FIXED_BYTES, type Query, type Records } from "../../dns/message.ts";
import { formatName, isWithin, readName, type Name } from "../../dns/name.ts";
import { isTransfer, RRTypes, type RecordSet } from "../../dns/records.ts";
import type { Zone } from "../../dns/zone.ts";
import { definePlugin, type Answer, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { MAX_MESSAGE_BYTES } from "../../transfer-messages.ts";
import { notify } from "./notify.ts";
import { syntax, type TransferOptions } from "./options.ts";

const NAME = "transfer";
/** Of one zone: what is made in some 100 ms, and held until the client has taken it. */
const MAX_ZONE_BYTES = 16 * 1024 * 1024;
/** Of all zones together. A client that takes longer than this to take them is cut off. */
const MAX_WINDOW_BYTES = 64 * 1024 * 1024;
const WINDOW_MS = 60_000;
/** Question, OPT and the record's own head leave so much of a message. */
const MAX_RECORD_BYTES = MAX_MESSAGE_BYTES - 1_024;

const plugin: Plugin<readonly TransferOptions[]> = definePlugin({ name: NAME, syntax, setup: (lines, host) => setUpTransfer(lines, host) });
export default plugin;

/** The plugin's setup, with a clock that tests can move. */
export function setUpTransfer(lines: readonly TransferOptions[], host: Host, clock: Clock = systemClock): Instance {
  const ended = new AbortController();
  const subscriptions: (() => void)[] = [];
  const sent: { readonly bytes: number; readonly atMs: number }[] = [];

  return {
    transparent: true, // the table never answers transfers
    takesTransfers: true,
    handle: (query, next) => (isTransfer(query.qtype) ? transfer(query) : next(query)),
    start() {
      for (const zone of host.localZones()) {
        if (zone.records === undefined || lineFor(zone.apex) === undefined) continue;
        tellPeers(zone);
        subscriptions.push(zone.subscribe(() => tellPeers(zone)));
      }
    },
    stop() {
      ended.abort();
      for (const unsubscribe of subscriptions.splice(0)) unsubscribe();
    },
  };

  function transfer(query: Query): Answer {
    const { qname, client } = query;
    const line = lineFor(qname);
    const zone = host.localZones().find(({ apex, records }) => apex === qname && records !== undefined);
    const isAllowed = line?.to.some((peer) => peer === "*" || peer.address === client.address) === true;
    if (!isAllowed || zone === undefined) return emptyReply(Rcodes.REFUSED, NAME);
    const records = zone.records?.();
    const soa = records?.find(({ type }) => type === RRTypes.SOA);
    if (records === undefined || soa === undefined) return failed("the zone has not been read");
    const serial = serialOf(soa);
    if (query.qtype === RRTypes.IXFR && isUpToDate(query, serial)) return reply([soa]);
    const bytes = sizeOf(records);
    if (bytes === undefined) return failed(`zone ${formatName(qname)} is too large to transfer`);
    if (!mayTake(bytes)) return failed("too many transfers at once");
    const count = records.reduce((sum, { rdata }) => sum + rdata.length, 1);
    host.log.info(`Outgoing transfer of ${count} records of zone "${formatName(qname)}" to ${client.address} for ${serial} SOA serial`);
    return reply([soa, ...records.filter((rrset) => rrset !== soa), soa]);
  }

  // A client holds what it does not take: who asks again and again must not fill the memory.
  function mayTake(bytes: number): boolean {
    const now = clock.monotonic();
    while (sent[0] !== undefined && now - sent[0].atMs > WINDOW_MS) sent.shift();
    if (sent.reduce((sum, each) => sum + each.bytes, bytes) > MAX_WINDOW_BYTES) return false;
    sent.push({ bytes, atMs: now });
    return true;
  }

  // The line whose zone is the longest that the name is in.
  function lineFor(name: Name): TransferOptions | undefined {
    const lengthOf = ({ zones }: TransferOptions): number => {
      const own = zones.length > 0 ? zones : host.zones;
      return Math.max(0, ...own.filter((zone) => isWithin(name, zone)).map((zone) => zone.length));
    };
    const [best] = [...lines].sort((one, other) => lengthOf(other) - lengthOf(one));
    return best !== undefined && lengthOf(best) > 0 ? best : undefined;
  }

  function tellPeers(zone: Zone): void {
    if (!zone.ready || ended.signal.aborted) return;
    const { to = [], source } = lineFor(zone.apex) ?? {};
    for (const peer of to) {
      if (peer === "*") continue;
      // Never rejects; ends with stop().
      void notify({ apex: zone.apex, to: peer, source, clock, signal: ended.signal }).then((why) => {
        if (why !== undefined) host.log.warning(`Failed sending notify for zone "${formatName(zone.apex)}" to ${peer.address}: ${why}`);
      });
    }
  }
}

function reply(answer: readonly RecordSet[]): Records {
  return { ...emptyReply(Rcodes.NOERROR, NAME), authoritative: true, answer };
}

function failed(error: string): Records {
  return { ...emptyReply(Rcodes.SERVFAIL, NAME), error: `plugin/${NAME}: ${error}` };
}

// Uncompressed; undefined where it is too large, or a record fits into no message.
function sizeOf(records: readonly RecordSet[]): number | undefined {
  let bytes = 0;
  for (const { owner, rdata } of records) {
    for (const { length } of rdata) {
      if (length > MAX_RECORD_BYTES) return undefined;
      bytes += owner.length + RR_FIXED_BYTES + length;
    }
    if (bytes > MAX_ZONE_BYTES) return undefined;
  }
  return bytes;
}

/** The serial is followed by four times of 32 bits. */
const BEHIND_SERIAL_BYTES = 20;

function serialOf({ rdata: [soa] }: RecordSet): number {
  return soa === undefined ? 0 : serialAt(soa, soa.length - BEHIND_SERIAL_BYTES);
}

function serialAt(bytes: Uint8Array, at: number): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32BE(at);
}

// The client's SOA stands in the authority section (RFC 1995 §3). A serial that is newer than ours is none of a secondary's.
function isUpToDate({ wire }: Query, serial: number): boolean {
  const owner = readName(wire, questionEnd(wire));
  const mname = owner && readName(wire, owner.end + RR_FIXED_BYTES);
  const rname = mname && readName(wire, mname.end);
  if (rname === undefined || rname.end + BEHIND_SERIAL_BYTES > wire.length) return false;
  const ahead = (serial - serialAt(wire, rname.end)) >>> 0; // RFC 1982 §3.2
  return ahead === 0 || ahead >= 0x8000_0000;
}
