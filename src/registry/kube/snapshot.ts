// The registry in a file, for a start while the Kubernetes API is away: written by the API's source while it is current,
// read by the next run's before it has heard from the API. JSON lines: a head, a Change a line, the checksum of all that.
// Read and written piece by piece: at no time is there a second copy of the cluster in memory.

import { createHash } from "node:crypto";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { Applied, Change, EndpointSlice, RegistryObject } from "../objects.ts";
import { packedSlice, packEndpoints } from "../packed-slice.ts";
import type { WritableRegistry } from "../registry.ts";

export interface SnapshotOptions {
  readonly file: string;
  /** An older file is not read; a current one is never left to become that old. */
  readonly maxAgeMs: number;
  /** Which API server, and what is listed from it: the snapshot of anything else is not read. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LoadOptions extends SnapshotOptions {
  /** Takes the snapshot in batches. */
  readonly apply: (changes: readonly Change[]) => void;
}

export interface KeepOptions extends SnapshotOptions {
  readonly registry: WritableRegistry;
}

interface Head {
  readonly snapshot: number;
  readonly identity: string;
  readonly savedAtMs: number;
}

/** Goes up when what a line says changes. */
const VERSION = 1;
const HASH = "sha256";
const NEWLINE = 0x0a;
/** The checksum in hex and a newline. */
const CHECKSUM_BYTES = 65;
/** An identity names each list that was asked for: some 150 bytes, and what the user selects by. */
const MAX_HEAD_BYTES = 64 * 1024;
const SHOWN_CHARACTERS = 80;
/** Read, or written, at once: some 2 ms between two turns of the event loop. */
const PIECE_BYTES = 16 * 1024;
/** Between two snapshots. */
const LEAST_MS = 60_000;
/** How often it is looked whether one is due. */
const LOOK_MS = 5_000;
/** An unchanged snapshot is written again at this part of its greatest age, for what it says is still so. */
const RENEW_AT = 1 / 4;
/** Changes that may come while a snapshot is written: a disk that takes longer is too slow. */
const MAX_MEANWHILE = 10_000;

// Why a file is of no use, in words for its operator.
class Unusable extends Error {}

/**
 * Gives the objects of the snapshot to `apply`. Resolves with false where there is none that can be used, and says why; never
 * rejects. On a read error half-way it is false too: what was applied by then is for the first list to put right.
 */
export async function loadSnapshot(options: LoadOptions): Promise<boolean> {
  const { file, clock, log } = options;
  let handle: FileHandle | undefined;
  try {
    if (!(await stat(file)).isFile()) throw new Unusable("it is not a file"); // opening a pipe would wait for its writer
    handle = await open(file);
    const { start, end, savedAtMs } = await verify(handle, options);
    let objects = 0;
    for await (const changes of readChanges(handle, start, end)) {
      options.apply(changes);
      objects += changes.length;
    }
    log.info(`snapshot ${file}: ${objects} objects as of ${ageText(clock.now() - savedAtMs)} ago`);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") log.warning(`snapshot ${file} is not used: ${messageOf(error)}`);
    return false;
  } finally {
    await handle?.close().catch(() => undefined); // it was read to the end, or is of no use
  }
}

/** Writes snapshots of the registry until the signal aborts; never rejects. */
export async function keepSnapshot(options: KeepOptions, signal: AbortSignal): Promise<void> {
  const { registry, file, maxAgeMs, clock, log } = options;
  let hasChanged = true;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let savedAtMs = Number.NEGATIVE_INFINITY;
  let told = "";
  let wake = (): void => {};
  const stops = [
    registry.subscribe(() => void (hasChanged = true)),
    registry.onState(() => wake()), // at the latest when it is current, there is something to keep
  ];
  signal.addEventListener("abort", () => wake(), { once: true });
  while (!signal.aborted) {
    const now = clock.monotonic();
    const isDue = now - triedAtMs >= LEAST_MS && (hasChanged || now - savedAtMs >= maxAgeMs * RENEW_AT);
    if (isDue && isWorthKeeping(registry)) {
      triedAtMs = now;
      hasChanged = false;
      try {
        if (await save(options, signal)) savedAtMs = now;
        else hasChanged = true;
        told = "";
      } catch (error) {
        hasChanged = true;
        if (messageOf(error) !== told) log.warning(`snapshot ${file} can't be written: ${messageOf(error)}`);
        told = messageOf(error);
      }
    }
    const woken = new AbortController();
    wake = () => woken.abort();
    if (!signal.aborted) await clock.delay(LOOK_MS, woken.signal);
  }
  for (const stop of stops) stop();
}

// A snapshot's time stamp says that all of it was so at that time.
function isWorthKeeping({ synced, freshness }: WritableRegistry): boolean {
  return synced && freshness === "current";
}

// ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

// Checks all that can be checked before an object is believed; tells where the objects stand, and when they were saved.
async function verify(
  handle: FileHandle,
  { identity, maxAgeMs, clock }: SnapshotOptions,
): Promise<{ readonly start: number; readonly end: number; readonly savedAtMs: number }> {
  const { size } = await handle.stat();
  const { head, start } = await readHead(handle);
  if (head.snapshot !== VERSION) throw new Unusable(`its format is version ${head.snapshot}, not ${VERSION}`);
  if (head.identity !== identity)
    throw new Unusable(`it is of another cluster, or of another part of it (${head.identity.slice(0, SHOWN_CHARACTERS)})`);
  const ageMs = clock.now() - head.savedAtMs;
  if (!(ageMs <= maxAgeMs)) throw new Unusable(`it is ${ageText(ageMs)} old, more than ${ageText(maxAgeMs)}`);
  if (ageMs < -maxAgeMs) throw new Unusable(`its time stamp is ${ageText(-ageMs)} ahead of this machine's clock`);
  const end = size - CHECKSUM_BYTES;
  const hash = createHash(HASH);
  for await (const piece of pieces(handle, 0, end)) hash.update(piece);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(CHECKSUM_BYTES), 0, CHECKSUM_BYTES, Math.max(end, 0));
  if (buffer.toString("latin1", 0, bytesRead) !== `${hash.digest("hex")}\n`)
    throw new Unusable("it is cut short or was changed (checksum)");
  return { start, end, savedAtMs: head.savedAtMs };
}

async function readHead(handle: FileHandle): Promise<{ readonly head: Head; readonly start: number }> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_HEAD_BYTES), 0, MAX_HEAD_BYTES, 0);
  const end = buffer.subarray(0, bytesRead).indexOf(NEWLINE);
  const head = parse(buffer.toString("utf8", 0, Math.max(end, 0))) as Partial<Head> | undefined;
  const { snapshot, identity, savedAtMs } = head ?? {};
  if (typeof snapshot !== "number" || typeof identity !== "string" || typeof savedAtMs !== "number")
    throw new Unusable("it is no snapshot");
  return { head: { snapshot, identity, savedAtMs }, start: end + 1 };
}

async function* readChanges(handle: FileHandle, start: number, end: number): AsyncGenerator<Change[]> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of pieces(handle, start, end)) {
    const text = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const changes: Change[] = [];
    let from = 0;
    for (let to = text.indexOf(NEWLINE); to >= 0; to = text.indexOf(NEWLINE, from)) {
      changes.push(readChange(text.toString("utf8", from, to)));
      from = to + 1;
    }
    rest = text.subarray(from);
    if (changes.length > 0) yield changes;
  }
}

// What the checksum vouches for was written by this file's other half: only its outline is looked at.
function readChange(line: string): Change {
  const { verb, object } = (parse(line) ?? {}) as Partial<Change>;
  if (object === undefined || (verb !== "upsert" && verb !== "delete"))
    throw new Unusable(`a line is no change: ${line.slice(0, SHOWN_CHARACTERS)}`);
  return { verb, object: verb === "upsert" && object.kind === "EndpointSlice" ? packed(object) : object };
}

function packed(slice: EndpointSlice): EndpointSlice {
  return packedSlice(slice, packEndpoints(slice.endpoints));
}

async function* pieces(handle: FileHandle, start: number, end: number): AsyncGenerator<Buffer> {
  for (let at = start; at < end;) {
    const length = Math.min(PIECE_BYTES, end - at);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, at);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────

// Written beside and renamed: a crash leaves the old file or the new one, never half of one. False if it was given up.
async function save(options: KeepOptions, signal: AbortSignal): Promise<boolean> {
  const { file } = options;
  const beside = `${file}.tmp`;
  await rm(beside, { force: true }); // of a run that ended in the midst: its mode may be another
  const handle = await open(beside, "wx", 0o600); // names and addresses are information
  let isSaved = false;
  try {
    try {
      if (!(await write(handle, options, signal))) return false;
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
    isSaved = true;
  } finally {
    if (!isSaved) await rm(beside, { force: true });
  }
  return true;
}

// The event loop runs between two pieces. What changes meanwhile stands behind the objects, in its order: who reads all of
// it has the registry as it was at the end.
async function write(handle: FileHandle, { registry, identity, clock }: KeepOptions, signal: AbortSignal): Promise<boolean> {
  const meanwhile: Applied[] = [];
  const unsubscribe = registry.subscribe((changes) => void meanwhile.push(...changes));
  const hash = createHash(HASH);
  try {
    for (const piece of inPieces(linesOf({ snapshot: VERSION, identity, savedAtMs: clock.now() }, registry.objects(), meanwhile))) {
      hash.update(piece);
      await handle.writeFile(piece); // at the handle's place: behind what it has
      if (signal.aborted || meanwhile.length > MAX_MEANWHILE || !isWorthKeeping(registry)) return false;
    }
    await handle.writeFile(`${hash.digest("hex")}\n`);
    return true;
  } finally {
    unsubscribe();
  }
}

function* linesOf(head: Head, objects: Iterable<RegistryObject>, meanwhile: Iterable<Applied>): Generator<string> {
  yield JSON.stringify(head);
  for (const object of objects) yield JSON.stringify({ verb: "upsert", object });
  for (const { verb, object } of meanwhile) yield JSON.stringify({ verb, object });
}

function* inPieces(lines: Iterable<string>): Generator<string> {
  let piece = "";
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_BYTES) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

function ageText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
