// The cluster of the soak, and what each question about it must bring. Some Services stay as they are; others change, and
// the version that a change made can be read from the addresses. Used by soak.ts, which makes the changes, and by
// soak-client.ts, which checks the answers.

import { randomInt } from "node:crypto";
import type { Change } from "../../src/registry/objects.ts";
import type { Result } from "../../src/client.ts";
import { service, slice } from "../../src/testing.ts";
import { type BenchService, benchServices, headlessServices, ZONE } from "./data.ts";
import { changesFor } from "./subject.ts";

/** What changes: the Service has another address, comes and goes, or has other endpoints. */
export type Kind = "turn" | "ghost" | "pods";

export interface Changing {
  readonly kind: Kind;
  readonly name: string;
  readonly index: number;
}

const NAMESPACE = "soak";
const EACH_KIND = 60;
const PODS = 3;

/** The index is that of the array. */
export const changing: readonly Changing[] = (["turn", "ghost", "pods"] as const).flatMap((kind, nth) =>
  Array.from({ length: EACH_KIND }, (_, index) => ({ kind, name: `${kind}-${index}`, index: nth * EACH_KIND + index })),
);

const steady: readonly BenchService[] = benchServices(2_000);
const headless: readonly BenchService[] = headlessServices();

/** Everything in its first state: version 1. */
export function firstChanges(): Change[] {
  return [...[...steady, ...headless].flatMap(changesFor), ...changing.flatMap((one) => changeTo(one, 1))];
}

/** What makes `version` of a changing Service out of the one before. */
export function changeTo({ kind, name, index }: Changing, version: number): Change[] {
  const ports = [{ name: "http", port: 80 }];
  if (kind === "pods") {
    const endpoints = Array.from({ length: PODS }, (_, nth) => addressAt(index, version, nth));
    const slices: Change = { verb: "upsert", object: slice({ service: name, namespace: NAMESPACE, endpoints, ports }) };
    return version > 1 ? [slices] : [{ verb: "upsert", object: service({ name, namespace: NAMESPACE, headless: true, ports }) }, slices];
  }
  const object = service({ name, namespace: NAMESPACE, clusterIPs: [addressAt(index, version, 0)], ports });
  return [{ verb: exists(kind, version) ? "upsert" : "delete", object }];
}

function exists(kind: Kind, version: number): boolean {
  return kind !== "ghost" || version % 2 === 1;
}

// 20 bits of version, 8 of index, 2 for the endpoint, below 64.0.0.0/2.
function addressAt(index: number, version: number, nth: number): string {
  const bits = version * 1024 + index * 4 + nth;
  return `${64 + (bits >>> 24)}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

/** A question, and a look at its answer: undefined if that is right. */
export interface Question {
  readonly name: string;
  readonly type: string;
  /** Of a Service that changes: the answer must be that of one version. */
  readonly changing?: Changing;
  wrong(result: Result): string | undefined;
}

// By weight: hits are most of what a cluster asks.
const makers: readonly [weight: number, make: () => Question][] = [
  [30, steadyAddress],
  [10, searchedInVain],
  [10, otherType],
  [8, servicePort],
  [8, manyAddresses],
  [8, podAddress],
  [26, changingAddress],
];
const weights = makers.reduce((sum, [weight]) => sum + weight, 0);

export function anyQuestion(): Question {
  let at = randomInt(weights);
  for (const [weight, make] of makers) if ((at -= weight) < 0) return make();
  return steadyAddress();
}

function steadyAddress(): Question {
  const { host, address } = pick(steady);
  return { name: host, type: "A", wrong: (result) => differs(result, "NOERROR", [address]) };
}

function manyAddresses(): Question {
  const { host, endpoints } = pick(headless);
  return { name: host, type: "A", wrong: (result) => differs(result, "NOERROR", endpoints) };
}

function servicePort(): Question {
  const { host, address } = pick(steady);
  const ends = [`SRV 0 100 80 ${host}.`, `A ${address}`];
  return {
    name: `_http._tcp.${host}`,
    type: "SRV",
    wrong: (result) =>
      differs(result, "NOERROR", []) ??
      ([...result.answer, ...result.additional].every((record, nth) => record.endsWith(ends[nth] ?? "–")) && result.answer.length === 1
        ? undefined
        : "other records than the Service's"),
  };
}

function otherType(): Question {
  return { name: pick(steady).host, type: "AAAA", wrong: (result) => differs(result, "NOERROR", []) ?? lacksSoa(result) };
}

function searchedInVain(): Question {
  const name = `www-${randomInt(1_000_000)}.example.org.${["default.svc.", "svc.", ""][randomInt(3)]}${ZONE}`;
  return { name, type: "A", wrong: (result) => differs(result, "NXDOMAIN", []) ?? lacksSoa(result) };
}

function podAddress(): Question {
  const parts = ["10", ...Array.from({ length: 3 }, () => String(randomInt(256)))];
  const name = `${parts.join("-")}.${pick(steady).namespace}.pod.${ZONE}`;
  return { name, type: "A", wrong: (result) => differs(result, "NOERROR", [parts.join(".")]) };
}

function changingAddress(): Question {
  const one = pick(changing);
  return { name: `${one.name}.${NAMESPACE}.svc.${ZONE}`, type: "A", changing: one, wrong: () => undefined };
}

function pick<T>(list: readonly T[]): T {
  return list[randomInt(list.length)] as T;
}

function differs({ rcode, addresses }: Result, expectedRcode: string, expected: readonly string[]): string | undefined {
  if (rcode !== expectedRcode) return `${rcode}, not ${expectedRcode}`;
  return sameSet(addresses, expected) ? undefined : `[${addresses.join(" ")}], not [${expected.join(" ")}]`;
}

function lacksSoa({ authority }: Result): string | undefined {
  return authority.length === 1 && authority[0]?.includes(" SOA ") === true ? undefined : "no SOA";
}

/**
 * The version of a changing Service that an answer shows, out of those from `least` to `most`; undefined: none of them.
 * The newest, where the answer doesn't tell (that a Service does not exist).
 */
export function versionShown({ kind, index }: Changing, { rcode, addresses }: Result, least: number, most: number): number | undefined {
  for (let version = most; version >= least; version--) {
    const expected = Array.from({ length: kind === "pods" ? PODS : 1 }, (_, nth) => addressAt(index, version, nth));
    const isShown = exists(kind, version) ? rcode === "NOERROR" && sameSet(addresses, expected) : rcode === "NXDOMAIN";
    if (isShown) return version;
  }
  return undefined;
}

// In any order: `loadbalance` rotates.
function sameSet(found: readonly string[], expected: readonly string[]): boolean {
  if (found.length !== expected.length) return false;
  const wanted = new Set(expected);
  return found.every((one) => wanted.delete(one));
}
