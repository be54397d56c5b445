// A file whose content is followed: read when the configuration is set up, looked at now and then. By content, for a
// mounted ConfigMap is swapped by a symbolic link and times can lie; the cheap look at the inode comes first. Called by
// plugins that serve what a file says (hosts, file, auto). Never rejects: what is wrong is told, once.

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Clock } from "./clock.ts";

/** What a look at the file found. */
export type Look =
  /** Nothing new since the last look. */
  | { readonly kind: "same" }
  | { readonly kind: "read"; readonly text: string; readonly modifiedMs: number }
  /** It can't be read now, for this reason; "same" from the next look on, until that changes. */
  | { readonly kind: "lost"; readonly why: string };

export interface FollowedFile {
  look(): Promise<Look>;
}

/** A file that was written to less than this before it was read may change within one tick of its clock: it is read again. */
const SETTLED_MS = 2_000;

/** @param maxBytes larger files are not read. */
export function followedFile(path: string, maxBytes: number, clock: Pick<Clock, "now">): FollowedFile {
  let identity = "";
  let digest = "";
  let lost = "";

  const loseBecause = (why: string): Look => {
    identity = ""; // whatever comes back is read
    if (why === lost) return { kind: "same" };
    lost = why;
    return { kind: "lost", why };
  };

  return {
    async look() {
      try {
        // Opening a FIFO would wait for its writer.
        await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
        const entry = await file.stat({ bigint: true });
        const { dev, ino, size, mtimeNs, ctimeNs, mtimeMs } = entry;
        if (!entry.isFile()) return loseBecause(entry.isDirectory() ? "is a directory" : "is not a regular file");
        if (size > maxBytes) return loseBecause(`is larger than ${maxBytes} bytes`);
        const seen = `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
        const wasLost = lost !== "";
        lost = "";
        if (seen === identity) return { kind: "same" };
        const bytes = await file.readFile();
        const isSettled = clock.now() - Number(mtimeMs) > SETTLED_MS;
        identity = isSettled ? seen : "";
        const found = createHash("sha256").update(bytes).digest("base64");
        if (found === digest && !wasLost) return { kind: "same" };
        digest = found;
        return { kind: "read", text: bytes.toString("utf8"), modifiedMs: Number(mtimeMs) };
      } catch (error) {
        return loseBecause(whyUnreadable(error));
      }
    },
  };
}

/** Why a file can't be read, in few words. */
export function whyUnreadable(error: unknown): string {
  const { code = String(error) } = error as NodeJS.ErrnoException;
  return code === "ENOENT" ? "no such file" : code === "EACCES" ? "permission denied" : code;
}

/** Looking more often than this would only warm the room. */
const MIN_INTERVAL_MS = 100;

/** Calls `look` every `intervalMs`, or 100 ms, until `signal` aborts; a new one begins when the last has ended. */
export async function lookEvery(
  intervalMs: number,
  {
    clock,
    signal,
    look,
  }: {
    readonly clock: Clock;
    readonly signal: AbortSignal;
    /** Must not reject. */
    readonly look: () => Promise<void>;
  },
): Promise<void> {
  for (;;) {
    await clock.delay(Math.max(intervalMs, MIN_INTERVAL_MS), signal);
    if (signal.aborted) return;
    await look();
  }
}
