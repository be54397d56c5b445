// A master file on disk → a zone, again when the file or one that it includes says something else. Called by plugins that
// serve zones from files. What is included stays in the folder of the file: links that lead out of it are refused.

import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import type { Clock } from "../clock.ts";
import { zoneSteps } from "../dns/map-zone.ts";
import type { Name } from "../dns/name.ts";
import type { Zone } from "../dns/zone.ts";
import { zoneFileSteps, type IncludedFile } from "../dns/zone-file.ts";
import { NdotsError, type Finding } from "../errors.ts";
import { followedFile, whyUnreadable, type FollowedFile } from "../followed-file.ts";
import { inSlices } from "../time-slice.ts";

/** What a look at the files found. */
export type ZoneLook =
  | { readonly kind: "same" }
  /** The file itself can't be read now; told once. */
  | { readonly kind: "lost"; readonly why: string }
  /** What it says is no zone: at least one finding is an error. */
  | { readonly kind: "wrong"; readonly findings: readonly Finding[] }
  | { readonly kind: "read"; readonly zone: Zone; readonly serial: number; readonly findings: readonly Finding[] };

export interface ZoneSource {
  look(): Promise<ZoneLook>;
}

/** Of a file, and of all that it includes together. */
const MAX_BYTES = 64 * 1024 * 1024;

export function zoneSource(path: string, apex: Name, clock: Clock): ZoneSource {
  const file = followedFile(path, MAX_BYTES, clock);
  const included = new Map<string, FollowedFile>();
  let text = "";
  let digest = "";

  return {
    async look() {
      const found = await file.look();
      if (found.kind === "lost") return found;
      const others = await Promise.all([...included.values()].map((each) => each.look()));
      if (found.kind === "same" && others.every(({ kind }) => kind === "same")) return found;
      if (found.kind === "read") text = found.text;
      return read();
    },
  };

  async function read(): Promise<ZoneLook> {
    const hash = createHash("sha256").update(text);
    let left = MAX_BYTES;
    const include = (name: string, from: string): IncludedFile | string => {
      const other = resolve(dirname(from), name);
      const why = whyOutside(other, path);
      if (why !== undefined) return why;
      if (!included.has(other)) included.set(other, followedFile(other, MAX_BYTES, clock));
      const got = readIncluded(other, left);
      if (typeof got === "string") return got;
      left -= got.bytes;
      hash.update(`\n${other.length} ${other} ${got.text.length}\n`).update(got.text);
      return { file: other, text: got.text };
    };
    const zoneFile = await inSlices(zoneFileSteps({ file: path, text, apex, include }));
    if (included.size === 0) text = ""; // it is read again with every change
    const now = hash.digest("base64");
    if (now === digest) return { kind: "same" };
    digest = now;
    const { findings, serial, records } = zoneFile;
    if (findings.some(({ severity }) => severity === "error")) return { kind: "wrong", findings };
    try {
      return { kind: "read", zone: await inSlices(zoneSteps({ apex, records })), serial, findings };
    } catch (error) {
      if (!(error instanceof NdotsError)) throw error;
      return { kind: "wrong", findings: [...findings, { severity: "error", file: path, line: 0, column: 0, message: error.message }] };
    }
  }
}

function whyOutside(other: string, path: string): string | undefined {
  const folder = dirname(path);
  const outside = `is not in the folder ${folder}`;
  if (!isIn(other, folder)) return outside;
  try {
    return isIn(realpathSync(other), realpathSync(folder)) ? undefined : outside;
  } catch {
    return undefined; // not there: reading it says why
  }
}

function isIn(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && join(folder, way) === path;
}

function readIncluded(path: string, maxBytes: number): { readonly text: string; readonly bytes: number } | string {
  let descriptor: number | undefined;
  try {
    // Opening a FIFO would wait for its writer.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const entry = fstatSync(descriptor);
    if (!entry.isFile()) return "is not a regular file";
    if (entry.size > maxBytes) return `${MAX_BYTES} bytes are included at most`;
    return { text: readFileSync(descriptor, "utf8"), bytes: entry.size };
  } catch (error) {
    return whyUnreadable(error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
