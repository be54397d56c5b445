// Any sequence of changes and faults: once it is quiet, every answer is what the objects say by the rules of the Kubernetes
// DNS specification, worked out here from the objects alone.

import fc from "fast-check";
import { expect } from "chai";
import type { KubeObject } from "../helpers/fake-api/objects.ts";
import { followCluster, type FollowedCluster } from "../helpers/followed-cluster.ts";
import { headless, namespace, service, slice } from "./objects.ts";

/** Many more by hand, after a change in how the API server is followed. */
const RUNS = Number(process.env["FC_RUNS"] ?? 40);
const SERVICES = ["a", "b", "c"] as const;
const SPACES = ["default", "shop"] as const;
const ADDRESSES = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"] as const;
const CLUSTER_IPS = ["10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.5", "10.2.0.6"] as const;
const TEAM = "team";

type Step =
  | { readonly do: "apply"; readonly object: KubeObject }
  | { readonly do: "delete"; readonly kind: string; readonly namespace: string; readonly name: string }
  | { readonly do: "fault"; readonly fault: keyof typeof FAULTS }
  | { readonly do: "pass"; readonly ms: number };

const FAULTS: Readonly<Record<string, (cluster: FollowedCluster) => void | Promise<void>>> = {
  cut: ({ api }) => api.cut(),
  stop: ({ api }) => api.stop(),
  start: ({ api }) => api.start(),
  stall: ({ api }) => api.stall(),
  resume: ({ api }) => api.resume(),
  compact: ({ api }) => api.compact(),
  expire({ api }) {
    api.compact();
    api.expire();
  },
  timeout: ({ api }) => api.endWatches(),
  bookmark: ({ api }) => api.bookmark(),
  "500": ({ api }) => void api.faults.at("*", { kind: "status", code: 500 }, { times: 2 }),
  "429": ({ api }) => void api.faults.at("services", { kind: "status", code: 429, retryAfterSeconds: 2 }, { times: 1 }),
  html: ({ api }) => void api.faults.at("endpointslices", { kind: "status", code: 502, body: "html" }, { times: 1 }),
  truncate: ({ api }) => void api.faults.at("*", { kind: "truncate", bytes: 60 }, { times: 1 }),
  reset: ({ api }) => void api.faults.at("services", { kind: "reset" }, { times: 1 }),
  hold({ api }) {
    api.hold("services");
    api.hold("endpointslices");
  },
  release({ api }) {
    for (const resource of ["services", "endpointslices"] as const) api.release(resource, (lines) => [...lines.toReversed(), ...lines]);
  },
  "release twice"({ api }) {
    for (const resource of ["services", "endpointslices"] as const) api.release(resource, (lines) => lines.flatMap((line) => [line, line]));
  },
};

const place = fc.record({ name: fc.constantFrom(...SERVICES), namespace: fc.constantFrom(...SPACES) });
const aService = fc.oneof(
  place.map(({ name, namespace: space }) => service(name, addressOf(name, space), { namespace: space })),
  place.map(({ name, namespace: space }) => ({ ...headless(name), metadata: { name, namespace: space } })),
  place.map(({ name, namespace: space }): KubeObject => ({
    kind: "Service",
    metadata: { name, namespace: space },
    spec: { type: "ExternalName", externalName: "www.example.com" },
  })),
);
const aSlice = fc
  .record({
    place,
    n: fc.integer({ min: 1, max: 2 }),
    addresses: fc.uniqueArray(fc.constantFrom(...ADDRESSES), { maxLength: 3 }),
    ready: fc.boolean(),
  })
  .map(({ place: { name, namespace: space }, n, addresses, ready }) => {
    const made = slice(`${name}-${n}`, name, addresses, space);
    const endpoints = addresses.map((address, at) => ({ addresses: [address], conditions: { ready: ready || at > 0 } }));
    return { ...made, endpoints };
  });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.oneof(aService, aSlice, fc.constant(namespace(TEAM))).map((object): Step => ({ do: "apply", object })) },
  { weight: 2, arbitrary: place.map(({ name, namespace: space }): Step => ({ do: "delete", kind: "Service", namespace: space, name })) },
  {
    weight: 1,
    arbitrary: place.map(({ name, namespace: space }): Step => ({
      do: "delete",
      kind: "EndpointSlice",
      namespace: space,
      name: `${name}-1`,
    })),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: "delete", kind: "Namespace", namespace: "", name: TEAM }) },
  { weight: 4, arbitrary: fc.constantFrom(...Object.keys(FAULTS)).map((fault): Step => ({ do: "fault", fault })) },
  { weight: 2, arbitrary: fc.constantFrom(0, 100, 1500, 40_000).map((ms): Step => ({ do: "pass", ms })) },
);

// Each Service has an address of its own, as the API server sees to.
function addressOf(name: (typeof SERVICES)[number], space: (typeof SPACES)[number]): string {
  return CLUSTER_IPS[SERVICES.indexOf(name) + SPACES.indexOf(space) * SERVICES.length] ?? "";
}

describe("any changes and any faults", function () {
  this.timeout(Math.max(60_000, RUNS * 1000));

  it("once it is quiet, the answers are those of the objects", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 30 }),
        fc.constantFrom("on" as const, "off" as const, "unknown" as const),
        async (steps, watchList) => {
          const objects = new Map<string, KubeObject>();
          const first = [namespace("default"), namespace("shop")];
          await using cluster = await followCluster({ objects: first, api: { watchList } });
          for (const one of steps) await take(one, cluster, objects);
          await FAULTS["release"]?.(cluster);
          cluster.api.faults.clear();
          cluster.api.resume();
          await cluster.api.start();
          const expected = model([...objects.values()]);
          let last: Record<string, string> = {};
          const isRight = async (): Promise<boolean> => {
            last = await answersTo(cluster, Object.keys(expected));
            return JSON.stringify(last) === JSON.stringify(expected);
          };
          // A connection that is half open is given up after 130 s; a list is tried again after at most 30 s.
          await cluster.within(200_000, "the answers are right", isRight).catch(() => expect(last).to.deep.equal(expected));
          await cluster.pass(3000);
          expect(await answersTo(cluster, Object.keys(expected))).to.deep.equal(expected);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

async function take(one: Step, cluster: FollowedCluster, objects: Map<string, KubeObject>): Promise<void> {
  switch (one.do) {
    case "apply":
      cluster.api.apply(one.object);
      objects.set(keyOf(one.object.kind, one.object.metadata.namespace ?? "", one.object.metadata.name), one.object);
      return;
    case "delete":
      cluster.api.delete(one.kind, one.namespace, one.name);
      objects.delete(keyOf(one.kind, one.namespace, one.name));
      return;
    case "fault":
      return await FAULTS[one.fault]?.(cluster);
    case "pass":
      return await cluster.pass(one.ms);
    default:
      one satisfies never;
  }
}

function keyOf(kind: string, space: string, name: string): string {
  return `${kind}/${space}/${name}`;
}

async function answersTo(cluster: FollowedCluster, questions: readonly string[]): Promise<Record<string, string>> {
  const answers: Record<string, string> = {};
  for (const question of questions) {
    const [name = "", type] = question.split(" ");
    answers[question] = (await cluster.ask(name, type)).replace(/ !\d+$/, "");
  }
  return answers;
}

interface SliceLike {
  readonly endpoints: readonly { readonly addresses: readonly string[]; readonly conditions: { readonly ready: boolean } }[];
}

// Kubernetes DNS specification 1.1.0 §2.3 to §2.5.
function model(objects: readonly KubeObject[]): Record<string, string> {
  const answers: Record<string, string> = {};
  const pointers = new Map<string, string[]>([...ADDRESSES, ...CLUSTER_IPS].map((address) => [address, []]));
  for (const space of SPACES) {
    for (const name of SERVICES) {
      const base = `${name}.${space}.svc`;
      const full = `${base}.cluster.local.`;
      const found = objects.find((object) => object.kind === "Service" && isAt(object, space, name));
      const { type, clusterIP = "" } = (found?.["spec"] ?? {}) as { type?: string; clusterIP?: string };
      const ready = found === undefined || type === "ExternalName" ? [] : readyOf(objects, space, name);
      for (const address of ready) pointers.get(address)?.push(`${dashed(address)}.${full}`);
      const all = ready.toSorted().join(" ");
      if (found === undefined) answer(base, "NXDOMAIN", "NXDOMAIN", "NXDOMAIN");
      else if (type === "ExternalName") answer(base, "www.example.com.", "www.example.com.", "NXDOMAIN");
      else if (clusterIP === "None") answer(base, all || "NXDOMAIN", ready.length === 0 ? "NXDOMAIN" : "NODATA", srvOf(ready, full));
      else {
        answer(base, clusterIP, "NODATA", `0 100 80 ${full}`);
        pointers.get(clusterIP)?.push(full);
      }
      for (const address of ADDRESSES) answers[`${dashed(address)}.${base} A`] = ready.includes(address) ? address : "NXDOMAIN";
    }
  }
  for (const [address, names] of pointers) {
    answers[`${address.split(".").toReversed().join(".")}.in-addr.arpa. PTR`] = names.toSorted().join(" ") || "NXDOMAIN";
  }
  answers[`${TEAM}.svc A`] = objects.some(({ kind, metadata }) => kind === "Namespace" && metadata.name === TEAM) ? "NODATA" : "NXDOMAIN";
  return answers;

  function answer(base: string, a: string, aaaa: string, srv: string): void {
    answers[`${base} A`] = a;
    answers[`${base} AAAA`] = aaaa;
    answers[`_http._tcp.${base} SRV`] = srv;
  }
}

function isAt({ metadata }: KubeObject, space: string, name: string): boolean {
  return metadata.namespace === space && metadata.name === name;
}

function readyOf(objects: readonly KubeObject[], space: string, name: string): string[] {
  const slices = objects.filter(
    ({ kind, metadata }) =>
      kind === "EndpointSlice" && metadata.namespace === space && metadata.labels?.["kubernetes.io/service-name"] === name,
  );
  const endpoints = slices.flatMap((one) => (one as unknown as SliceLike).endpoints);
  return [...new Set(endpoints.filter(({ conditions }) => conditions.ready).flatMap(({ addresses }) => addresses))];
}

function srvOf(ready: readonly string[], full: string): string {
  const weight = Math.floor(100 / ready.length);
  const records = ready.map((address) => `0 ${weight} 80 ${dashed(address)}.${full}`);
  return records.toSorted().join(" ") || "NXDOMAIN";
}

function dashed(address: string): string {
  return address.replaceAll(".", "-");
}
