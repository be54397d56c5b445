// One configuration of a running server, from its Corefile to what answers: plugins that are set up, chains, answer tables.
// server.ts makes one at start and another at each reload, and ends the one before when nothing asks it any more.

import { createGroups, type Group } from "./answering.ts";
import type { Finding } from "./errors.ts";
import { createServerMetrics, type Metrics } from "./metrics.ts";
import { instancesOf, setUp, type Setup, type SetupOptions } from "./setup.ts";
import type { Lease, Sources } from "./sources.ts";
import { readVersion } from "./version.ts";

export interface GenerationOptions extends Omit<SetupOptions, "sources"> {
  readonly sources: Sources;
  readonly metrics: Metrics;
  /** Told of what plugins find wrong once they are set up. */
  readonly report: (finding: Finding) => void;
  /** `off` leaves the answer tables empty. */
  readonly table?: "on" | "off";
}

export interface Generation {
  readonly setup: Setup;
  readonly groups: readonly Group[];
  readonly lease: Lease;
  /** UDP threads that its blocks ask for. */
  readonly threads: number;
  /** Starts the plugins, once the sockets' addresses are known. */
  start(): Promise<void>;
  /** Fills the answer tables and follows the zones from then on. */
  compile(): void;
  /** Resolves when the tables hold every name. */
  settled(): Promise<void>;
  /** Lets go of everything; the sources that nobody else uses end. What it has counted stays in the metrics. */
  end(): Promise<void>;
}

/** Rejects with FindingsError, and holds nothing, if the Corefile can't be served. */
export async function createGeneration(options: GenerationOptions): Promise<Generation> {
  const { log, report } = options;
  const lease = options.sources.lease();
  const metrics = options.metrics.scope();
  let setup: Setup;
  try {
    setup = await setUp({ ...options, sources: lease, metrics });
  } catch (error) {
    metrics.close();
    await lease.end();
    throw error;
  }
  setup.onFinding = report;
  const groups = createGroups(setup, metrics, createServerMetrics(metrics, { version: readVersion(), revision: "" }), log);
  const instances = instancesOf(setup.blocks);
  return {
    setup,
    groups,
    lease,
    threads: Math.max(1, ...instances.map((instance) => instance.threads ?? 1)),
    async start() {
      for (const instance of instances) await instance.start?.();
    },
    compile() {
      if (options.table !== "off") for (const { compiler } of groups) compiler.start();
    },
    async settled() {
      for (const { compiler } of groups) await compiler.idle();
    },
    async end() {
      for (const { compiler } of groups) compiler.stop();
      await lease.end();
      for (const instance of instances) await instance.stop?.();
      metrics.close();
    },
  };
}
