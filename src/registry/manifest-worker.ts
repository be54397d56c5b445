// The thread that reads many or large manifest files, started by manifest-reader.ts: its garbage is gone when it ends,
// and the main thread answers meanwhile. It hands over some objects at a time and on demand: one message with all of
// them would hold up answers while it is unpacked.

import { readFileSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { type FilePart, readSmall, type WorkerRequest } from "./manifest-reader.ts";

/** Objects in one message: about 2 ms to unpack. */
const OBJECTS_PER_MESSAGE = 200;

let parts: Generator<FilePart> | undefined;

parentPort?.on("message", (request: WorkerRequest) => {
  if (request !== "next") parts = read(request);
  const reply: FilePart[] = [];
  let objects = 0;
  while (objects < OBJECTS_PER_MESSAGE) {
    const part = parts?.next();
    if (part === undefined || part.done === true) break;
    reply.push(part.value);
    // A file counts as an object: a thousand files without any must not become one message.
    objects += 1 + part.value.objects.length;
  }
  parentPort?.postMessage(reply);
});

function* read({ files, namespace }: Exclude<WorkerRequest, "next">): Generator<FilePart> {
  for (const { file, hash } of files) {
    const content = readSmall(
      () => readFileSync(file),
      file,
      hash,
      namespace,
      (text) => text,
    );
    if (content.state !== "read") {
      yield { file, content, objects: [], isLast: true };
      continue;
    }
    const { objects } = content.parsed;
    const head = { ...content, parsed: { ...content.parsed, objects: [] } };
    for (let at = 0; at === 0 || at < objects.length; at += OBJECTS_PER_MESSAGE) {
      const part = objects.slice(at, at + OBJECTS_PER_MESSAGE);
      yield { file, content: head, objects: part, isLast: at + OBJECTS_PER_MESSAGE >= objects.length };
    }
  }
}
