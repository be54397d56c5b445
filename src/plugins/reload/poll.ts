// Looks now and then whether the Corefile, or anything it imports, is another than the one that runs. By content and by
// path: a mounted ConfigMap is swapped by a symbolic link, which neither inotify on the file nor its times tell.

import type { Clock } from "../../clock.ts";
import { NdotsError } from "../../errors.ts";
import type { Configuration } from "../../plugin.ts";

export interface PollOptions {
  readonly configuration: Configuration;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  onFailed(error: Error): void;
}

/**
 * Runs until `signal` aborts, which a reload that succeeds does: the next configuration looks for itself. What was tried
 * is not tried again until the files change again, unless it only lacked a source that was away. Never rejects.
 */
export async function pollConfiguration({ configuration, intervalMs, clock, signal, onFailed }: PollOptions): Promise<void> {
  let tried = configuration.digest;
  for (;;) {
    await clock.delay(intervalMs, signal);
    if (signal.aborted) return;
    const found = look(configuration);
    const running = found === configuration.digest; // also when a bad edit was taken back
    if (running || found === tried) {
      tried = found;
      continue;
    }
    tried = found;
    try {
      await configuration.reload();
    } catch (error) {
      const code = error instanceof NdotsError ? error.code : undefined;
      if (signal.aborted || code === "NDOTS_ERR_CLOSED") return; // the server stops
      if (code === "NDOTS_ERR_NOT_SYNCED") tried = "nothing";
      onFailed(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

// A file that is gone is a change, too: reload() then says what is missing.
function look(configuration: Configuration): string {
  try {
    return configuration.read();
  } catch (error) {
    return `unreadable: ${String(error)}`;
  }
}

/** What is looked at every `intervalMs` ± `jitterMs`/2, as CoreDNS does: `random` is 0 to 1. */
export function withJitter({ intervalMs, jitterMs }: { readonly intervalMs: number; readonly jitterMs: number }, random: number): number {
  const width = Math.min(jitterMs, intervalMs / 2);
  return intervalMs + (random - 0.5) * width;
}
