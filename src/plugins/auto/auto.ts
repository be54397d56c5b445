// auto — serves every zone whose master file stands in a folder: files that come, change and go are followed. Which zones there
// are is not known when the configuration is read, so the chain answers for them and the answer table asks it.

import { resolve } from "node:path";
import { systemClock, type Clock } from "../../clock.ts";
import { filePath, goDuration, word } from "../../config/arguments.ts";
import {
  deprecated,
  directive,
  once,
  one,
  readArgument,
  rest,
  zones,
  type Options,
  type Property,
  type Shape,
} from "../../config/directive.ts";
import { compileGoRegexp, goRegexp, type GoRegexp } from "../../config/go-regexp.ts";
import { formatName, isWithin, type Name } from "../../dns/name.ts";
import { findingAt, formatFinding, type Position } from "../../errors.ts";
import { lookEvery } from "../../followed-file.ts";
import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { zoneHandler } from "../../zones/zone-handler.ts";
import { replaceableZone, type ReplaceableZone } from "../../zones/replaceable-zone.ts";
import { zoneSource, type ZoneLook, type ZoneSource } from "../../zones/zone-source.ts";
import { findZoneFiles, unknownGroups, type NamePattern } from "./folder.ts";

const NAME = "auto";
const DEFAULT_REGEXP = "db\\.(.*)";
const DEFAULT_TEMPLATE = "{1}";
const DEFAULT_RELOAD_MS = 60_000;

interface DirectoryOption {
  readonly folder: string;
  readonly regexp?: GoRegexp;
  readonly template?: string;
}

const directory: Shape<DirectoryOption> = {
  usage: "DIR [REGEXP ORIGIN_TEMPLATE]",
  read(tokens, at, report) {
    const [first, second, third, ...more] = tokens;
    if (first === undefined || (second !== undefined && third === undefined) || more.length > 0) {
      const found = tokens.length === 0 ? "nothing" : `"${tokens.map(({ text }) => text).join(" ")}"`;
      report.error(more[0] ?? at, `expected ${directory.usage}, found ${found}`);
      return undefined;
    }
    const folder = readArgument(filePath("DIR"), first, report);
    if (folder === undefined || second === undefined || third === undefined) return folder === undefined ? undefined : { folder };
    const regexp = readArgument(goRegexp("REGEXP"), second, report);
    const template = readArgument(word("ORIGIN_TEMPLATE"), third, report);
    if (regexp === undefined || template === undefined) return undefined;
    if (regexp.names.length < 2) {
      report.error(second, "Need at least one sub expression");
      return undefined;
    }
    const unknown = unknownGroups({ regexp, template });
    if (unknown.length > 0) report.warning(third, `ORIGIN_TEMPLATE: REGEXP has no group ${unknown.join(", ")}; nothing stands there`);
    return { folder, regexp, template };
  },
};

export type AutoOptions = Options<
  readonly Name[],
  {
    readonly directory: Property<DirectoryOption | undefined>;
    readonly reload: Property<number | undefined>;
    readonly upstream: Property<undefined>;
  }
>;

const plugin: Plugin<AutoOptions> = definePlugin({
  name: NAME,
  syntax: directive({
    args: zones(),
    options: {
      directory: once(directory),
      reload: once(one(goDuration())),
      upstream: deprecated(rest(word("ADDRESS")), "targets of CNAMEs are asked of the server itself"),
    },
    check(options, report, at) {
      if (options.directory === undefined) report.error(at, `expected directory ${directory.usage}`);
    },
  }),
  setup: (options, host, at) => setUpAuto(options, host, at),
});
export default plugin;

interface Found {
  readonly path: string;
  readonly source: ZoneSource;
  /** Absent until the file has been right once. */
  readonly zone: ReplaceableZone | undefined;
}

/** The plugin's setup, with a clock that tests can move. */
export async function setUpAuto(options: AutoOptions, host: Host, at: Position, clock: Clock = systemClock): Promise<Instance> {
  const { args, directory: given, reload: reloadMs = DEFAULT_RELOAD_MS } = options;
  const folder = resolve(host.folder, given?.folder ?? ".");
  const pattern = patternOf(given);
  const origins = args.length > 0 ? args : host.zones;
  const ended = new AbortController();
  const found = new Map<Name, Found>();
  const log: string[] = []; // until start(): a configuration that is only looked at says nothing
  let info = (line: string): void => void log.push(line);
  let told: ReadonlySet<string> = new Set();
  let served: readonly ReplaceableZone[] = [];
  await look();
  const answer = zoneHandler({
    name: NAME,
    get zones() {
      return served;
    },
    fallsThrough: () => false,
    ask: (query) => host.ask(query),
  });

  return {
    transparent: { below: origins },
    handle: (query, next) => (origins.some((origin) => isWithin(query.qname, origin)) ? answer(query, next) : next(query)),
    start() {
      info = (line) => host.log.info(line);
      for (const line of log.splice(0)) info(line);
      // Ends with stop(), and never rejects.
      if (reloadMs > 0) void lookEvery(reloadMs, { clock, signal: ended.signal, look });
    },
    stop: () => ended.abort(),
  };

  async function look(): Promise<void> {
    const { files, problems } = await findZoneFiles(folder, pattern);
    for (const message of problems) if (!told.has(message)) warn(message);
    told = new Set(problems);
    for (const [origin, path] of files) {
      if (ended.signal.aborted) return;
      const held = found.get(origin);
      const source = held?.path === path ? held.source : zoneSource(path, origin, clock);
      found.set(origin, { path, source, zone: await taken(origin, path, held?.zone, await source.look()) });
    }
    for (const origin of found.keys()) {
      if (files.has(origin)) continue;
      found.delete(origin);
      info(`Deleting zone \`${formatName(origin)}'`);
    }
    served = [...found.values()].flatMap(({ zone }) => zone ?? []);
  }

  async function taken(
    origin: Name,
    path: string,
    zone: ReplaceableZone | undefined,
    given: ZoneLook,
  ): Promise<ReplaceableZone | undefined> {
    if (given.kind === "lost") warn(`Opening ${path} failed: ${given.why}`);
    if (given.kind === "wrong") warn(`Parse zone \`${formatName(origin)}': ${given.findings.map(formatFinding).join("; ")}`);
    if (given.kind !== "read") return zone;
    for (const finding of given.findings) host.report(finding);
    if (zone === undefined) {
      info(`Inserting zone \`${formatName(origin)}' from: ${path}`);
      return replaceableZone({ apex: origin, zone: given.zone, fallthrough: [] });
    }
    await zone.replace(given.zone);
    info(`Successfully reloaded zone "${formatName(origin)}" in "${path}" with ${given.serial} SOA serial`);
    return zone;
  }

  function warn(message: string): void {
    host.report(findingAt(at, "warning", `${NAME}: ${message}`));
  }
}

function patternOf(given: DirectoryOption | undefined): NamePattern {
  const { regexp = compileGoRegexp(DEFAULT_REGEXP), template = DEFAULT_TEMPLATE } = given ?? {};
  if ("problem" in regexp) throw new Error(regexp.problem);
  return { regexp, template };
}
