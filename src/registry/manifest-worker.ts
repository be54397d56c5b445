// The thread that parses large manifest files, started by manifest-reader.ts. It hands its objects over some at a time
// and on demand: one message with all of them would hold up the main thread's answers while it is unpacked.

import { readFile } from "node:fs/promises";
import { parentPort } from "node:worker_threads";
import type { Manifest } from "./manifest-objects.ts";
import { hashOf, parseBytes, type WorkerReply, type WorkerRequest } from "./manifest-reader.ts";

/** Objects in one message: about 2 ms to unpack. */
const OBJECTS_PER_MESSAGE = 200;

let objects: readonly Manifest[] = [];
let given = 0;

parentPort?.on("message", (request: WorkerRequest) => {
  if (request === "next") {
    reply({ objects: objects.slice(given, given + OBJECTS_PER_MESSAGE) });
    given += OBJECTS_PER_MESSAGE;
    if (given >= objects.length) objects = [];
    return;
  }
  void read(request);
});

async function read({ file, namespace, hash }: Exclude<WorkerRequest, "next">): Promise<void> {
  // A rejection ends the worker; the main thread hears of it as an error of this file.
  const bytes = await readFile(file);
  const found = hashOf(bytes);
  if (found === hash) return reply({ hash, parsed: undefined });
  const parsed = parseBytes(bytes, file, namespace, (text) => text);
  objects = parsed.objects;
  given = 0;
  reply({ hash: found, parsed: { ...parsed, objects: [] } });
}

function reply(message: WorkerReply): void {
  parentPort?.postMessage(message);
}
