// Every manifest below deploy/ is what an API server of the described Kubernetes takes, and the judge of that sees faults.

import { expect } from "chai";
import { problemsOf } from "../helpers/kubernetes-schema.ts";
import { needsKustomize, parseObjects, readObjects, render } from "../helpers/rendered.ts";

const folders = [
  "kubernetes/base",
  "kubernetes/overlays/parallel",
  "kubernetes/overlays/node-local",
  "kubernetes/overlays/node-cache",
  "kubernetes/overlays/openshift",
  "sidecar/manifests",
  "sidecar/api",
];
const files = [
  "deploy/kubernetes/components/autoscaler/autoscaler.yaml",
  "deploy/kubernetes/overlays/parallel/client.yaml",
  "deploy/sidecar/manifests/cluster.yaml",
  "test/deploy/kubeadm.yaml",
];

describe("deploy: manifests and Kubernetes' own description of them", () => {
  for (const folder of folders) {
    it(`${folder}: has no unknown, missing or wrong field`, function () {
      needsKustomize(this);
      const objects = render(folder);
      expect(objects).to.not.have.lengthOf(0);
      expect(objects.flatMap(judge)).to.deep.equal([]);
    });

    it(`${folder}: names no object twice`, function () {
      needsKustomize(this);
      const names = render(folder).map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`);
      expect(names).to.have.lengthOf(new Set(names).size);
    });
  }

  for (const file of files) {
    it(`${file}: has no unknown, missing or wrong field`, () => {
      expect(readObjects(file).flatMap(judge)).to.deep.equal([]);
    });
  }

  // Each a Pod of one container with one fault.
  const faults: readonly { fault: string; container: string; problem: string }[] = [
    {
      fault: "an unknown field",
      container: "{ name: a, livenesProbe: {} }",
      problem: "spec.containers[0].livenesProbe: there is no such field",
    },
    { fault: "a missing field", container: "{ image: a }", problem: "spec.containers[0]: name is missing" },
    {
      fault: "a number for a text",
      container: "{ name: a, env: [{ name: A, value: 1 }] }",
      problem: "spec.containers[0].env[0].value: must be of type string, found 1",
    },
    {
      fault: "a text for a number",
      container: '{ name: a, ports: [{ containerPort: "53" }] }',
      problem: 'spec.containers[0].ports[0].containerPort: must be of type integer, found "53"',
    },
    {
      fault: "a word that is none of those allowed",
      container: "{ name: a, ports: [{ containerPort: 53, protocol: udp }] }",
      problem: 'spec.containers[0].ports[0].protocol: must be one of SCTP, TCP, UDP, found "udp"',
    },
    {
      fault: "a quantity that is none",
      container: "{ name: a, resources: { limits: { memory: 170MiB } } }",
      problem: 'spec.containers[0].resources.limits.memory: "170MiB" is no Quantity',
    },
    {
      fault: "a port that is a list",
      container: "{ name: a, livenessProbe: { httpGet: { port: [80] } } }",
      problem: "spec.containers[0].livenessProbe.httpGet.port: [80] is no IntOrString",
    },
    {
      fault: "two list entries with one key",
      container: "{ name: a, env: [{ name: A }, { name: A }] }",
      problem: "spec.containers[0].env[1]: there are two with name A",
    },
    {
      fault: "a list that is none",
      container: "{ name: a, args: -conf }",
      problem: 'spec.containers[0].args: must be of type array, found "-conf"',
    },
  ];
  for (const { fault, container, problem } of faults) {
    it(`${fault} is seen`, () => {
      const [pod] = parseObjects(`{ apiVersion: v1, kind: Pod, metadata: { name: a }, spec: { containers: [${container}] } }`);
      expect(problemsOf(pod)).to.deep.equal([problem]);
    });
  }

  it("a kind that is not described is a problem", () => {
    expect(problemsOf({ apiVersion: "v1", kind: "Secret" })).to.deep.equal([
      "no description of v1 Secret: add it to scripts/kubernetes-schema.ts",
    ]);
  });
});

function judge(object: { readonly kind: string; readonly metadata: { readonly name: string } }): string[] {
  return problemsOf(object).map((problem) => `${object.kind} ${object.metadata.name}: ${problem}`);
}
