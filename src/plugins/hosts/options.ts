// The syntax of `hosts`: its options as a table, and between them lines of a hosts file, which no table can list: what is
// no option is an entry, as in CoreDNS. One that is not an address gets a warning, for it may be a misspelt option.

import { filePath, goDuration, integer } from "../../config/arguments.ts";
import {
  directive,
  none,
  once,
  one,
  readArgument,
  zones,
  zonesOrAll,
  type Directive,
  type Shape,
  type Syntax,
} from "../../config/directive.ts";
import type { Name } from "../../dns/name.ts";
import type { Position } from "../../errors.ts";

export interface HostsOptions {
  /** Undefined: /etc/hosts, whether or not it is there. */
  readonly file: string | undefined;
  /** Empty: those of the server block. */
  readonly zones: readonly Name[];
  readonly inline: readonly InlineLine[];
  /** Seconds. */
  readonly ttl: number | undefined;
  readonly noReverse: boolean;
  /** 0: never. */
  readonly reloadMs: number | undefined;
  /** Undefined: no name; empty: all. */
  readonly fallthrough: readonly Name[] | undefined;
  readonly fallthroughUnsupported: boolean;
}

export interface InlineLine {
  readonly at: Position;
  readonly text: string;
}

/** CoreDNS's bound. */
const MAX_TTL_SECONDS = 65_535;

interface FileAndZones {
  readonly file?: string;
  readonly zones: readonly Name[];
}

const fileAndZones: Shape<FileAndZones> = {
  usage: "[FILE [ZONES...]]",
  read([first, ...others], at, report) {
    if (first === undefined) return { zones: [] };
    const file = readArgument(filePath(), first, report);
    const read = zones().read(others, at, report);
    return file === undefined || read === undefined ? undefined : { file, zones: read };
  },
};

const options = {
  ttl: once(one(integer({ usage: "SECONDS", min: 1, max: MAX_TTL_SECONDS }))),
  no_reverse: once(none()),
  reload: once(one(goDuration())),
  fallthrough: once(zonesOrAll()),
  fallthrough_unsupported: once(none()),
} as const;

const table = directive({
  args: fileAndZones,
  options,
  check({ fallthrough, fallthrough_unsupported: unsupported }, report, at) {
    if (unsupported === true && fallthrough === undefined) report.error(at, "fallthrough_unsupported requires fallthrough");
  },
});

export const syntax: Syntax<HostsOptions> = {
  repeat: "once",
  usage(name) {
    const [first = "", ...lines] = table.usage(name);
    return [first, "    [INLINE]", ...lines];
  },
  read(occurrences, report) {
    const isOption = ({ name }: Directive): boolean => Object.hasOwn(options, name);
    const bare = occurrences.map((each) => (each.block === undefined ? each : { ...each, block: each.block.filter(isOption) }));
    const entries = occurrences[0]?.block?.filter((line) => !isOption(line)) ?? [];
    for (const line of entries) if (line.block !== undefined) report.error(line, "hosts: an entry takes no block");
    return table.read(bare, report).map((read) => ({
      ...read.args,
      file: read.args.file,
      inline: entries.map((line) => ({ at: line, text: [line.name, ...line.args.map(({ text }) => text)].join(" ") })),
      ttl: read.ttl,
      noReverse: read.no_reverse === true,
      reloadMs: read.reload,
      fallthrough: read.fallthrough,
      fallthroughUnsupported: read.fallthrough_unsupported === true,
    }));
  },
};

/** The options' names, for whoever misspells one. */
export const optionNames: readonly string[] = Object.keys(options);
