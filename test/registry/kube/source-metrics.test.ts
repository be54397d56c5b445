// What several API sources of one server say together: a cluster's and its cluster set's share names of metrics.

import { expect } from "chai";
import { createMetrics, type Metrics } from "../../../src/metrics.ts";
import { createRegistry } from "../../../src/registry/registry.ts";
import { resourcesFor } from "../../../src/registry/kube/resources.ts";
import { createSourceMetrics, type SourceMetrics } from "../../../src/registry/kube/source-metrics.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";

function source(metrics: Metrics, multicluster: boolean, ageMs: number, size: number): SourceMetrics {
  const resources = resourcesFor({ endpoints: true, pods: "drop", multicluster });
  const [clock, registry] = [fakeClock(), createRegistry()];
  return createSourceMetrics({ metrics, clock, registry, resources, ageMs: () => ageMs, sizeOf: () => size, isSelective: false });
}

function valuesOf(metrics: Metrics, name: string): Record<string, number> {
  const samples = [...metrics.all()].find((metric) => metric.name === name)?.collect() ?? [];
  return Object.fromEntries(Array.from(samples, ({ labels, value }) => [Object.values(labels).join(), value]));
}

describe("registry/kube: metrics of several sources", () => {
  it("add up the objects, and tell of the longest silence; one that has ended is gone", () => {
    const metrics = createMetrics();
    const ofSet = source(metrics, true, 90_000, 10);
    source(metrics, false, 1_000, 3);
    expect(valuesOf(metrics, "ndots_registry_objects")).to.deep.equal({ Namespace: 13, Service: 13, EndpointSlice: 13 });
    expect(valuesOf(metrics, "ndots_kubernetes_last_contact_seconds")).to.deep.equal({
      namespaces: 90,
      services: 1,
      serviceimports: 90,
      endpointslices: 90,
    });
    ofSet.close();
    expect(valuesOf(metrics, "ndots_registry_objects")).to.deep.equal({ Namespace: 3, Service: 3, EndpointSlice: 3 });
    expect(valuesOf(metrics, "ndots_kubernetes_last_contact_seconds")).to.deep.equal({ namespaces: 1, services: 1, endpointslices: 1 });
  });
});
