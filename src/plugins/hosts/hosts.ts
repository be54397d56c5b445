// hosts — answers names and addresses from a file in the form of /etc/hosts, and from such lines in the Corefile. minikube,
// k3s and kind put the names of nodes and of the host into it.

import { resolve } from "node:path";
import { systemClock, type Clock } from "../../clock.ts";
import { emptyReply, Rcodes, type Query, type Records } from "../../dns/message.ts";
import { isWithin, type Name } from "../../dns/name.ts";
import { RRTypes, type RecordSet } from "../../dns/records.ts";
import { findingAt, nearest, type Position } from "../../errors.ts";
import { followedFile, lookEvery, type Look } from "../../followed-file.ts";
import { definePlugin, type Answer, type Host, type Instance, type MaybePromise, type Next, type Plugin } from "../../plugin.ts";
import { inSlices } from "../../time-slice.ts";
import { readHosts, type HostsLine, type HostsTable } from "./entries.ts";
import { optionNames, syntax, type HostsOptions } from "./options.ts";
import { hostsZone } from "./zone.ts";

const NAME = "hosts";
const DEFAULT_FILE = "/etc/hosts";
const DEFAULT_TTL_SECONDS = 3_600;
const DEFAULT_RELOAD_MS = 5_000;
/** Lists that block advertisers have some 200,000 lines in 6 MB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** Lines that are told one by one when a file is read. */
const MAX_WARNINGS = 10;

const plugin: Plugin<HostsOptions> = definePlugin({ name: NAME, syntax, setup: (options, host, at) => setUpHosts(options, host, at) });
export default plugin;

/** The plugin's setup, with a clock that tests can move. */
export async function setUpHosts(options: HostsOptions, host: Host, at: Position, clock: Clock = systemClock): Promise<Instance> {
  const { ttl = DEFAULT_TTL_SECONDS, reloadMs = DEFAULT_RELOAD_MS, fallthrough = [], fallthroughUnsupported, inline } = options;
  const path = resolve(host.folder, options.file ?? DEFAULT_FILE);
  const zones = options.zones.length > 0 ? options.zones : host.zones;
  const passes = (name: Name): boolean => fallthrough.some((suffix) => isWithin(name, suffix));
  const entries = host.metrics.gauge("coredns_hosts_entries", "The combined number of entries in hosts and Corefile.");
  const reloaded = host.metrics.gauge("coredns_hosts_reload_timestamp_seconds", "The timestamp of the last reload of hosts file.");
  const file = followedFile(path, MAX_FILE_BYTES, clock);
  const ended = new AbortController();

  const zone = hostsZone({ table: await read(true, await file.look()), zones, passes, ttl });
  return {
    zones: [zone],
    transparent: true,
    handle,
    start() {
      // Ends with stop(), and never rejects.
      if (reloadMs > 0) void lookEvery(reloadMs, { clock, signal: ended.signal, look });
    },
    stop: () => ended.abort(),
  };

  function handle(query: Query, next: Next): MaybePromise<Answer> {
    const { qname, qtype } = query;
    if (qtype === RRTypes.PTR) {
      const pointers = zone.pointers(qname);
      return pointers === undefined ? next(query) : reply([pointers]);
    }
    if (!zones.some((origin) => isWithin(qname, origin))) return next(query);
    const addresses = zone.addresses(qname);
    if (addresses === undefined) return passes(qname) ? next(query) : emptyReply(Rcodes.SERVFAIL, NAME); // there is no SOA to deny it with
    if (qtype !== RRTypes.A && qtype !== RRTypes.AAAA && fallthroughUnsupported && passes(qname)) return next(query);
    return reply(zone.addressSets(qname, addresses).filter(({ type }) => type === qtype));
  }

  // What is read takes the place of what was; what can't be read changes nothing.
  async function look(): Promise<void> {
    const found = await file.look();
    if (found.kind === "lost") host.log.warning(`Hosts file ${path} ${found.why}: what was read before is answered`);
    if (found.kind !== "read") return;
    const table = await read(false, found);
    if (!ended.signal.aborted) await zone.replace(table);
  }

  async function read(isFirst: boolean, found: Look): Promise<HostsTable> {
    if (found.kind === "lost" && options.file !== undefined) {
      warn(at, found.why === "no such file" ? `File does not exist: ${path}` : `Hosts file ${path} ${found.why}`);
    }
    const warnings = limitedWarnings();
    const table = await inSlices(readHosts(lines(), { zones, reverse: !options.noReverse }));
    warnings.end();
    entries.set(table.entries, { hostsfile: path });
    if (found.kind === "read") {
      reloaded.set(found.modifiedMs / 1_000);
      host.log.debug(`Parsed hosts file into ${table.entries} entries`);
    }
    return table;

    function* lines(): Generator<HostsLine> {
      if (found.kind === "read") {
        let line = 0;
        for (const text of found.text.split("\n")) {
          const position = { file: path, line: ++line, column: 0 };
          yield { text, skipped: (what) => warnings.add(position, what) };
        }
      }
      for (const { at: position, text } of inline)
        yield { text, skipped: (what) => (isFirst ? warnInline(position, text, what) : undefined) };
    }
  }

  function warnInline(position: Position, text: string, what: string): void {
    const meant = nearest(text.split(" ", 1)[0] ?? "", optionNames);
    warn(position, `${what}${meant === undefined ? "" : `, did you mean '${meant}'?`}; ignored`);
  }

  // A file that is none of this kind would have a warning for each line.
  function limitedWarnings(): { add(position: Position, what: string): void; end(): void } {
    let count = 0;
    return {
      add(position, what) {
        if (++count <= MAX_WARNINGS) warn(position, `${what}; ignored`);
      },
      end() {
        if (count > MAX_WARNINGS) warn({ file: path, line: 0, column: 0 }, `${count - MAX_WARNINGS} more entries are ignored`);
      },
    };
  }

  function warn(where: Position, message: string): void {
    host.report(findingAt(where, "warning", `${NAME}: ${message}`));
  }
}

function reply(answer: readonly RecordSet[]): Records {
  return { ...emptyReply(Rcodes.NOERROR, NAME), authoritative: true, answer };
}
