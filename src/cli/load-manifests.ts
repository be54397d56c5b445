// Manifests read once, as the server would read them: those of a Corefile, or paths with the default ranges. For
// `check` and `env`.

import { NdotsError, type Finding } from "../errors.ts";
import { silentLog } from "../log.ts";
import { createMetrics } from "../metrics.ts";
import { loadPlugins } from "../plugins/index.ts";
import { DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR } from "../registry/cluster-ips.ts";
import { manifestsSource } from "../registry/manifests.ts";
import { createRegistry, type Registry } from "../registry/registry.ts";
import { instancesOf, notRunning, setUp } from "../setup.ts";
import { createSources } from "../sources.ts";
import type { ChosenCorefile } from "./corefile-choice.ts";

export interface LoadedManifests {
  readonly registry: Registry;
  readonly findings: readonly Finding[];
}

/** What is wrong in the files is among the findings; nothing is thrown for it. `onNote` is told what is left out. */
export async function loadManifests(paths: readonly string[], onNote: (text: string) => void = () => undefined): Promise<LoadedManifests> {
  const findings: Finding[] = [];
  const registry = createRegistry();
  const source = manifestsSource({
    paths,
    namespace: "default",
    serviceCidr: [DEFAULT_SERVICE_CIDR],
    podCidr: [DEFAULT_POD_CIDR],
    watch: "off",
    onFinding: (finding) => void findings.push(finding),
    onNote,
  });
  await source.run(registry, () => undefined, new AbortController().signal);
  return { registry, findings };
}

/** The cluster of a Corefile's first `kubernetes`, without opening a socket. Rejects with NDOTS_ERR_CONFIG for a wrong Corefile. */
export async function loadCluster({ text, file, port }: ChosenCorefile): Promise<LoadedManifests> {
  const findings: Finding[] = [];
  const metrics = createMetrics();
  const lease = createSources({ log: silentLog, metrics, report: (finding) => void findings.push(finding) }).lease();
  const setup = await setUp({
    corefile: text,
    file,
    port,
    address: "",
    embedded: false,
    env: process.env,
    plugins: loadPlugins,
    log: silentLog,
    metrics,
    sources: lease,
    ...notRunning(),
  });
  if (!setup.blocks.some(({ instances }) => instances.some(({ name }) => name === "kubernetes"))) {
    throw new NdotsError("NDOTS_ERR_CONFIG", `${file}: no kubernetes block, so no Services; name manifests with --manifests PATH`);
  }
  const registry = lease.first;
  await lease.load();
  if (!registry.synced) {
    throw new NdotsError("NDOTS_ERR_CONFIG", `${file}: its Services are in the Kubernetes API; name manifests with --manifests PATH`);
  }
  for (const instance of instancesOf(setup.blocks)) await instance.stop?.();
  return { registry, findings: [...setup.findings, ...findings] };
}
