// One configuration of a running server, from its Corefile to what answers: plugins that are set up, chains, answer tables.
// server.ts makes one at start and another at each reload, and ends the one before when nothing asks it any more.

import { createGroups, type Group } from "./answering.ts";
import { acceptFragments, isImportStrict, type AcceptedFragments } from "./config/fragments.ts";
import { FindingsError, type Finding } from "./errors.ts";
import { within } from "./listeners/bind.ts";
import type { Log } from "./log.ts";
import { createServerMetrics, type Metrics, type MetricsScope } from "./metrics.ts";
import type { Configuration } from "./plugin.ts";
import { instancesOf, readCorefile, setUp, type Setup, type SetupOptions } from "./setup.ts";
import type { Lease, Sources } from "./sources.ts";
import { readVersion } from "./version.ts";

export interface GenerationOptions extends Omit<SetupOptions, "sources" | "configuration" | "replaced"> {
  readonly sources: Sources;
  readonly metrics: Metrics;
  readonly configuration: Omit<Configuration, "digest">;
  /** Texts of imported fragments that were good before, by path. */
  readonly lastGood: ReadonlyMap<string, string>;
  /** Fragments that were good but could not be brought up. */
  readonly refused?: readonly RefusedFragment[];
  /** Told of what plugins find wrong once they are set up. */
  readonly report: (finding: Finding) => void;
  /** `off` leaves the answer tables empty. */
  readonly table?: "on" | "off";
}

/** Answers that wait for other servers come within this time, or never: `forward` gives up after 5 s. */
const PROMISED_MS = 6_000;

/** What a fragment's text was refused for. */
interface RefusedFragment {
  readonly path: string;
  readonly text: string;
  readonly finding: Finding;
}

export interface Generation {
  readonly setup: Setup;
  /** Warnings, and errors in fragments that it does without. */
  readonly findings: readonly Finding[];
  /** The next generation's `lastGood`. */
  readonly goodFragments: ReadonlyMap<string, string>;
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
  /** Lets go of everything; the sources that nobody else uses end. What it has counted stays in the metrics. Never rejects. */
  end(): Promise<void>;
}

/**
 * Makes a generation and brings it up. A fragment that `bringUp` rejects for, as its address can't be listened on, is as bad as
 * one that can't be read: another generation does without it. Rejects, and holds nothing, if the rest can't be served either.
 */
export async function bringUpGeneration<Up>(
  options: GenerationOptions,
  bringUp: (generation: Generation) => Promise<Up>,
): Promise<{ readonly generation: Generation; readonly up: Up }> {
  const refused: RefusedFragment[] = [];
  let before: Generation | undefined;
  for (;;) {
    let generation: Generation;
    try {
      generation = await createGeneration({ ...options, refused });
    } finally {
      await before?.end(); // not earlier: sources that both use go on
    }
    try {
      return { generation, up: await bringUp(generation) };
    } catch (error) {
      const fragment = refusedFragment(generation, error);
      if (fragment === undefined) {
        await generation.end();
        throw error;
      }
      refused.push(fragment);
      before = generation;
    }
  }
}

// Its text is not used again, so that this comes to an end.
function refusedFragment({ goodFragments }: Generation, error: unknown): RefusedFragment | undefined {
  const [finding] = error instanceof FindingsError ? error.findings : [];
  const text = finding && goodFragments.get(finding.file);
  return finding === undefined || text === undefined ? undefined : { path: finding.file, text, finding };
}

// Rejects with FindingsError, and holds nothing, if the Corefile can't be served.
async function createGeneration(options: GenerationOptions): Promise<Generation> {
  const { log, report } = options;
  const { setup, lease, metrics, accepted } = await setUpFragments(options);
  setup.onFinding = report;
  const groups = createGroups(setup, metrics, createServerMetrics(metrics, { version: readVersion(), revision: "" }), log, options.table);
  const failed = metrics.gauge(
    "ndots_import_failed",
    "A metric with a constant '1' value for each imported file that is bad, labeled by what is served of it.",
  );
  for (const [file, served] of accepted.failed) failed.set(1, { file, served });
  const instances = instancesOf(setup.blocks);
  return {
    setup,
    findings: accepted.findings,
    goodFragments: accepted.good,
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
      await within(settled(groups), PROMISED_MS);
      await release({ setup, lease, metrics }, log);
    },
  };
}

/** A configuration that is set up and holds its share of what the server has. */
interface Attempt {
  readonly setup: Setup;
  readonly lease: Lease;
  readonly metrics: MetricsScope;
}

async function settled(groups: readonly Group[]): Promise<void> {
  await Promise.all(groups.map(({ responder }) => responder.settled()));
}

// A plugin that fails to stop keeps none of the others from it.
async function release({ setup, lease, metrics }: Attempt, log: Log): Promise<void> {
  await lease.end();
  for (const { name, instance } of setup.blocks.flatMap(({ instances }) => instances)) {
    try {
      await instance.stop?.();
    } catch (error) {
      log.plugin(name).error(`stop: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
  }
  metrics.close();
}

// Sets up what can be served: a fragment that is bad holds up nobody, unless `import_strict` says so.
async function setUpFragments(options: GenerationOptions): Promise<Attempt & { readonly accepted: AcceptedFragments }> {
  const corefile = readCorefile(options);
  const { globbed } = corefile;
  const configuration: Configuration = { digest: corefile.digest, ...options.configuration };
  let good: Attempt | undefined;
  const accepted = await acceptFragments({
    globbed: isImportStrict(corefile) ? new Map() : globbed,
    lastGood: options.lastGood,
    async trial(replaced) {
      const textOf = (path: string): string | undefined => (replaced.has(path) ? replaced.get(path) : globbed.get(path));
      const refused = options.refused?.filter(({ path, text }) => text === textOf(path)) ?? [];
      if (refused.length > 0) return refused.map(({ finding }) => finding);
      const lease = options.sources.lease();
      const metrics = options.metrics.scope();
      try {
        const setup = await setUp({ ...options, configuration, replaced, sources: lease, metrics });
        if (good !== undefined) await release(good, options.log);
        good = { setup, lease, metrics };
        return setup.findings;
      } catch (error) {
        metrics.close();
        await lease.end();
        if (error instanceof FindingsError) return error.findings;
        throw error;
      }
    },
  });
  if (good === undefined || !accepted.ok) throw new FindingsError("NDOTS_ERR_CONFIG", accepted.findings);
  return { ...good, accepted };
}
