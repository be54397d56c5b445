// The fake API server's control channel, when it is a process of its own: one JSON document a line on stdin, one a line
// back. `{"do":"apply","object":{…}}`, `{"do":"delete","kind":…,"namespace":…,"name":…}`, and what needs no words.

import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Fault, FaultOptions } from "./faults.ts";
import type { FakeApi } from "./fake-api.ts";
import type { KubeObject } from "./objects.ts";
import type { ResourceName } from "./resources.ts";

export type Command =
  | { readonly do: "apply"; readonly object: KubeObject }
  | { readonly do: "delete"; readonly kind: string; readonly namespace: string; readonly name: string }
  | { readonly do: "fault"; readonly resource: ResourceName | "*"; readonly fault: Fault; readonly options?: FaultOptions }
  | { readonly do: "forbid" | "allow"; readonly resource: ResourceName }
  | { readonly do: "compact" | "expire" | "bookmark" | "endWatches" | "cut" | "stall" | "resume" | "stop" | "start" | "clear" };

/** What comes back: the revision after the command, or what was wrong. */
export interface Done {
  readonly done: Command["do"];
  readonly revision: number;
}

/** Obeys until the input ends. */
export async function obey(api: FakeApi, input: Readable, output: Writable): Promise<void> {
  for await (const line of createInterface({ input })) {
    if (line.trim() === "") continue;
    try {
      const command = JSON.parse(line) as Command;
      await run(api, command);
      output.write(`${JSON.stringify({ done: command.do, revision: api.revision } satisfies Done)}\n`);
    } catch (error) {
      output.write(`${JSON.stringify({ wrong: String(error) })}\n`);
    }
  }
}

function run(api: FakeApi, command: Command): void | Promise<void> {
  switch (command.do) {
    case "apply":
      return void api.apply(command.object);
    case "delete":
      return api.delete(command.kind, command.namespace, command.name);
    case "fault":
      return void api.faults.at(command.resource, command.fault, command.options);
    case "clear":
      return api.faults.clear();
    case "forbid":
    case "allow":
      return api[command.do](command.resource);
    case "compact":
    case "expire":
    case "bookmark":
    case "endWatches":
    case "cut":
    case "stall":
    case "resume":
    case "stop":
    case "start":
      return api[command.do]();
    default:
      throw new Error(`there is no command ${JSON.stringify(command)}`);
  }
}
