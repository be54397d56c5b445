// What is said of a registry that is not current: the texts of extended errors (RFC 8914), and whether the server takes
// queries with it. Used by the zones, which tell it with their answers, and by the plugin's ready().

import type { Registry } from "../../registry/registry.ts";
import type { Known } from "../../registry/served-cluster.ts";

/** After this long without the API server, answers say that they may be old. */
export const DEFAULT_STALE_AFTER_MS: number = 5 * 60_000;
const NOT_READ = "the cluster's objects have not been read yet";
const FROM_SNAPSHOT = "from a snapshot of an earlier run";
/** Of our EDE texts, so that no reply grows by more. */
const MAX_TEXT_BYTES = 64;
const ELLIPSIS_BYTES = Buffer.byteLength("…");

/** Why not all of the cluster is known. */
export function unknownReason({ problem }: Registry): string {
  return problem === undefined ? NOT_READ : cut(problem);
}

/** Why what is known may be old; undefined while it is not. A constant text for each reason: the answer table keeps it for good. */
export function stalenessOf({ freshness }: Registry, staleAfterMs: number): string | undefined {
  switch (freshness) {
    case "current":
      return undefined;
    case "snapshot":
      return FROM_SNAPSHOT;
    case "stale":
      return `not confirmed by the API server for over ${durationText(staleAfterMs)}`;
    default:
      return freshness satisfies never;
  }
}

/** Which registries are good enough for a server that is to take queries. */
export interface Readiness {
  /** `ready_from_snapshot` */
  readonly fromSnapshot: boolean;
  /** `ready_when_stale` */
  readonly whenStale: boolean;
}

/** Why the server is not to take queries; undefined if it is. Pods are not waited for: what they are needed for is little. */
export function notReadyReason(
  { known, registry }: { readonly known: Known; readonly registry: Registry },
  { fromSnapshot, whenStale }: Readiness,
): string | undefined {
  const { freshness, problem } = registry;
  if (known !== "all") return problem ?? NOT_READ;
  if (freshness === "snapshot" && !fromSnapshot) return problem ?? FROM_SNAPSHOT;
  if (freshness === "stale" && !whenStale) return problem ?? "the API server is out of reach";
  return undefined;
}

// At a word: half an address is another one. The log and /ready have all of it.
function cut(text: string): string {
  if (Buffer.byteLength(text) <= MAX_TEXT_BYTES) return text;
  const start = Buffer.from(text).toString("utf8", 0, MAX_TEXT_BYTES - ELLIPSIS_BYTES);
  return `${start.replace(/[\s,;:]*\S*$/, "")}…`;
}

// `5m`, `90s`
function durationText(ms: number): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  return ms % 60_000 === 0 ? `${ms / 60_000}m` : `${ms / 1000}s`;
}
