// What goes wrong with requests to the fake API server: a fault waits for the requests it is meant for and spoils as many
// as it says. What happens to streams that are open is said by the server itself (cut, stall, send …).

import type { ResourceName } from "./resources.ts";

export type Fault =
  /** Accepts the request and never answers: TCP stays up. */
  | { readonly kind: "stall" }
  /** RST instead of an answer. */
  | { readonly kind: "reset" }
  /** A Status, or another body, with this code. */
  | { readonly kind: "status"; readonly code: number; readonly retryAfterSeconds?: number; readonly body?: "status" | "empty" | "html" }
  /** 200 with a body that is none of ours. */
  | { readonly kind: "body"; readonly text: string; readonly contentType?: string }
  /** The answer ends after so many bytes: as if it were whole, or cut off. */
  | { readonly kind: "truncate"; readonly bytes: number; readonly cut?: boolean }
  /** The answer comes in pieces of this size, with a pause after each. */
  | { readonly kind: "slow"; readonly bytes: number; readonly everyMs: number };

export interface FaultOptions {
  /** How many requests; all that come, if absent. */
  readonly times?: number;
  /** Both, if absent. */
  readonly verb?: "list" | "watch";
}

export interface Faults {
  /** Spoils coming requests; returns what ends that. */
  at(resource: ResourceName | "*", fault: Fault, options?: FaultOptions): () => void;
  clear(): void;
  /** The fault for this request, which then counts. */
  take(resource: ResourceName, verb: "list" | "watch"): Fault | undefined;
}

export function createFaults(): Faults {
  interface Waiting {
    readonly resource: ResourceName | "*";
    readonly fault: Fault;
    readonly verb: "list" | "watch" | undefined;
    left: number;
  }
  let waiting: Waiting[] = [];
  return {
    at(resource, fault, { times = Infinity, verb } = {}) {
      const one: Waiting = { resource, fault, verb, left: times };
      waiting.push(one);
      return () => (waiting = waiting.filter((other) => other !== one));
    },
    clear() {
      waiting = [];
    },
    take(resource, verb) {
      const found = waiting.find(
        (one) => (one.resource === "*" || one.resource === resource) && (one.verb ?? verb) === verb && one.left > 0,
      );
      if (found === undefined) return undefined;
      found.left--;
      return found.fault;
    },
  };
}
