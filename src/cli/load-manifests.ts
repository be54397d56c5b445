// Manifests read once, as the server would read them with its default ranges. For `check` and `env`.

import type { Finding } from "../errors.ts";
import { DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR } from "../registry/cluster-ips.ts";
import { manifestsSource } from "../registry/manifests.ts";
import { createRegistry, type Registry } from "../registry/registry.ts";

export interface LoadedManifests {
  readonly registry: Registry;
  readonly findings: readonly Finding[];
}

/** What is wrong in the files is among the findings; nothing is thrown for it. */
export async function loadManifests(paths: readonly string[]): Promise<LoadedManifests> {
  const findings: Finding[] = [];
  const registry = createRegistry();
  const source = manifestsSource({
    paths,
    namespace: "default",
    serviceCidr: [DEFAULT_SERVICE_CIDR],
    podCidr: [DEFAULT_POD_CIDR],
    watch: "off",
    onFinding: (finding) => void findings.push(finding),
    onNote: () => undefined,
  });
  await source.run(registry, () => undefined, new AbortController().signal);
  return { registry, findings };
}
