// Which zone files there are in a folder and below it, and the zone that each name stands for. Called by auto.ts with every
// look; the folder is read anew each time, for nothing tells reliably that a mounted one has changed.

import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { GoRegexp } from "../../config/go-regexp.ts";
import { tryName, type Name } from "../../dns/name.ts";

export interface NamePattern {
  readonly regexp: GoRegexp;
  /** `{1}` and `{name}` stand for the groups. */
  readonly template: string;
}

export interface FoundZones {
  /** The file of each zone. */
  readonly files: ReadonlyMap<Name, string>;
  /** What can't be read or used, in words. */
  readonly problems: readonly string[];
}

/** Folders in folders. */
const MAX_DEPTH = 16;
const MAX_ENTRIES = 100_000;
const MAX_ZONES = 10_000;
/** Of a folder that is not one for zones there is more to say than anybody reads. */
const MAX_PROBLEMS = 20;

export async function findZoneFiles(folder: string, pattern: NamePattern): Promise<FoundZones> {
  const files = new Map<Name, string>();
  const problems: string[] = [];
  const walked = new Set<string>();
  let entries = 0;
  await walk(folder, await stat(folder).catch(() => undefined), 0);
  const more = problems.length - MAX_PROBLEMS;
  return { files, problems: more > 0 ? [...problems.slice(0, MAX_PROBLEMS), `${folder}: ${more} more`] : problems };

  async function walk(path: string, entry: Stats | undefined, depth: number): Promise<void> {
    // A link may lead to a folder that it is in.
    const id = `${entry?.dev}:${entry?.ino}`;
    if (walked.has(id)) return;
    walked.add(id);
    let names: string[];
    try {
      names = (await readdir(path)).sort();
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException;
      problems.push(code === "ENOENT" && depth === 0 ? `Directory does not exist: ${path}` : `error reading ${path}: ${code}`);
      return;
    }
    for (const name of names) {
      // What a ConfigMap's links lead to is met by their names.
      if (name.startsWith("..")) continue;
      if (++entries > MAX_ENTRIES) {
        if (entries === MAX_ENTRIES + 1) problems.push(`${folder} has more than ${MAX_ENTRIES} entries: the others are not looked at`);
        return;
      }
      const whole = join(path, name);
      const below = await stat(whole).catch(() => undefined);
      if (below?.isDirectory() !== true) take(name, whole);
      else if (depth < MAX_DEPTH) await walk(whole, below, depth + 1);
    }
  }

  function take(name: string, path: string): void {
    const origin = originOf(name, pattern);
    if (origin === undefined) return;
    const zone = tryName(origin);
    const other = zone === undefined ? undefined : files.get(zone);
    if (zone === undefined) problems.push(`${path}: "${origin}" is not the name of a zone`);
    else if (other !== undefined) problems.push(`Multiple zone files match origin "${origin}": using "${other}" instead of "${path}"`);
    else if (files.size === MAX_ZONES) problems.push(`${path}: there are ${MAX_ZONES} zones already`);
    else files.set(zone, path);
  }
}

const GROUP = /\{(\w+)\}/g;

/** Groups in the template that the expression has not: they stand for nothing. */
export function unknownGroups({ regexp, template }: NamePattern): readonly string[] {
  return [...template.matchAll(GROUP)].filter(([, key = ""]) => regexp.names[groupOf(regexp, key)] === undefined).map(([group]) => group);
}

function originOf(name: string, { regexp, template }: NamePattern): string | undefined {
  const groups = regexp.exec(name);
  if (groups === undefined) return undefined;
  return template.replace(GROUP, (_, key: string) => groups[groupOf(regexp, key)] ?? "");
}

function groupOf({ names }: GoRegexp, key: string): number {
  return /^\d+$/.test(key) ? Number(key) : names.indexOf(key);
}
