// file — serves zones from master files (RFC 1035 §5), which are read again when they change. A file that is wrong refuses
// the configuration at start; later it changes nothing and is told.

import { resolve } from "node:path";
import { systemClock, type Clock } from "../../clock.ts";
import { filePath, goDuration, word } from "../../config/arguments.ts";
import {
  deprecated,
  directive,
  none,
  once,
  one,
  readArgument,
  rest,
  zones,
  zonesOrAll,
  type Shape,
  type Syntax,
} from "../../config/directive.ts";
import { formatName, isWithin, type Name } from "../../dns/name.ts";
import type { Zone } from "../../dns/zone.ts";
import { findingAt, FindingsError, formatFinding, refusalAt, type Position } from "../../errors.ts";
import { lookEvery } from "../../followed-file.ts";
import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { zoneHandler } from "../../zones/zone-handler.ts";
import { replaceableZone, type ReplaceableZone } from "../../zones/replaceable-zone.ts";
import { zoneSource, type ZoneSource } from "../../zones/zone-source.ts";

const NAME = "file";
const DEFAULT_RELOAD_MS = 60_000;

interface FileAndZones {
  readonly file: string;
  readonly zones: readonly Name[];
  readonly at: Position;
}

/** One `file` line. */
export interface FileOptions {
  readonly args: FileAndZones;
  readonly reload: number | undefined;
  readonly fallthrough: readonly Name[] | undefined;
}

const fileAndZones: Shape<FileAndZones> = {
  usage: "DBFILE [ZONES...]",
  read(tokens, { file: where, line, column }, report) {
    const [first, ...others] = tokens;
    if (first === undefined) {
      report.error({ file: where, line, column }, `expected ${fileAndZones.usage}, found nothing`);
      return undefined;
    }
    const file = readArgument(filePath("DBFILE"), first, report);
    const read = zones().read(others, first, report);
    return file === undefined || read === undefined ? undefined : { file, zones: read, at: { file: where, line, column } };
  },
};

const line = directive({
  args: fileAndZones,
  options: {
    reload: once(one(goDuration())),
    reload_by_mtime: deprecated(none(), "files are always compared by content"),
    fallthrough: once(zonesOrAll()),
    upstream: deprecated(rest(word("ADDRESS")), "targets of CNAMEs are asked of the server itself"),
  },
  repeat: "each",
});

// The zones of all lines are one set: the longest that fits answers, whatever the order.
const syntax: Syntax<readonly FileOptions[]> = {
  repeat: "merge",
  usage: line.usage,
  read(occurrences, report) {
    const lines = line.read(occurrences, report);
    return lines.length === 0 ? [] : [lines];
  },
};

const plugin: Plugin<readonly FileOptions[]> = definePlugin({ name: NAME, syntax, setup: (lines, host) => setUpFiles(lines, host) });
export default plugin;

interface Served {
  readonly zone: ReplaceableZone;
  readonly source: ZoneSource;
  readonly path: string;
  readonly fallthrough: readonly Name[];
  readonly reloadMs: number;
  serial: number | undefined;
}

/** The plugin's setup, with a clock that tests can move. */
export async function setUpFiles(lines: readonly FileOptions[], host: Host, clock: Clock = systemClock): Promise<Instance> {
  const served = new Map<Name, Served>();
  for (const { args, reload: reloadMs = DEFAULT_RELOAD_MS, fallthrough = [] } of lines) {
    const path = resolve(host.folder, args.file);
    for (const apex of args.zones.length > 0 ? args.zones : host.zones) {
      if (served.has(apex)) throw refusalAt(args.at, `${NAME}: ${formatName(apex)} is served from ${served.get(apex)?.path} already`);
      served.set(apex, await open({ apex, path, reloadMs, fallthrough, at: args.at }));
    }
  }
  const all = [...served.values()];
  const published: readonly Zone[] = all.map(({ zone }) => zone);
  const handle = zoneHandler({
    name: NAME,
    zones: published,
    // What has not been read denies nothing, and hands nothing on.
    fallsThrough: (name, { apex, ready }) => ready && served.get(apex)?.fallthrough.some((suffix) => isWithin(name, suffix)) === true,
    ask: (query) => host.ask(query),
  });
  const ended = new AbortController();
  return {
    zones: published,
    transparent: true,
    handle,
    start() {
      for (const each of all) {
        // Ends with stop(), and never rejects.
        if (each.reloadMs > 0) void lookEvery(each.reloadMs, { clock, signal: ended.signal, look: () => look(each) });
      }
    },
    stop: () => ended.abort(),
  };

  async function open(wanted: Pick<Served, "path" | "reloadMs" | "fallthrough"> & { apex: Name; at: Position }): Promise<Served> {
    const { apex, at, ...rest } = wanted;
    const source = zoneSource(rest.path, apex, clock);
    const found = await source.look();
    if (found.kind === "wrong") throw new FindingsError("NDOTS_ERR_CONFIG", found.findings);
    if (found.kind === "lost") {
      const message = `${NAME}: Failed to open "${rest.path}": ${found.why}`;
      if (rest.reloadMs === 0) throw refusalAt(at, message);
      host.report(findingAt(at, "warning", `${message}: trying again in ${rest.reloadMs / 1_000}s`));
    }
    if (found.kind === "read") for (const finding of found.findings) host.report(finding);
    const { zone, serial } = found.kind === "read" ? found : { zone: undefined, serial: undefined };
    return { ...rest, source, serial, zone: replaceableZone({ apex, zone, fallthrough: rest.fallthrough }) };
  }

  async function look(each: Served): Promise<void> {
    const { zone, source, path } = each;
    const found = await source.look();
    if (ended.signal.aborted || found.kind === "same") return;
    const name = formatName(zone.apex);
    if (found.kind === "lost") return host.log.error(`Failed to open zone "${name}" in "${path}": ${found.why}`);
    if (found.kind === "wrong") {
      return host.log.error(`Parsing zone "${name}": ${found.findings.map(formatFinding).join("; ")}`);
    }
    for (const finding of found.findings) host.report(finding);
    await zone.replace(found.zone);
    host.log.info(`Successfully reloaded zone "${name}" in "${path}" with ${found.serial} SOA serial`);
    if (found.serial === each.serial) host.log.warning(`Zone "${name}" has changed, its SOA serial ${found.serial} has not`);
    each.serial = found.serial;
  }
}
