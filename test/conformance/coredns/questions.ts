// All that can sensibly be asked of a small cluster, and a little that can't: names of everything in it with every type that
// it may have, neighbours of those names that don't exist, and what every zone has.

import { dashed } from "../../../src/dns/address-label.ts";
import { formatName } from "../../../src/dns/name.ts";
import { reverseName } from "../../../src/dns/reverse.ts";
import type { KubeObject } from "../../helpers/fake-api/objects.ts";
import { ZONES } from "./random-cluster.ts";

/** `NAME TYPE`, where `~` is the cluster's zone and `^` that of the cluster set. */
export type Question = string;

const ZONE = "cluster.local.";
const SET_ZONE = "clusterset.local.";

/** `web.default.svc.cluster.local. A` for `web.default.svc.~ A`, and the other way round. */
export function spelledOut(text: string): string {
  return text.replaceAll("~", ZONE).replaceAll("^", SET_ZONE);
}

export function shortened(text: string): string {
  return text.replaceAll(SET_ZONE, "^").replaceAll(ZONE, "~");
}

interface SliceLike {
  readonly addressType: string;
  readonly endpoints: readonly { addresses: string[]; hostname?: string; targetRef?: { name: string } }[];
  readonly ports: readonly { name: string; protocol: string }[];
}

const ADDRESS_TYPES = ["A", "AAAA"] as const;

/** `zones`: names for topology zones are asked too. */
export function questionsAbout(objects: readonly KubeObject[], { zones }: { readonly zones: boolean }): Question[] {
  const asked = new Set<Question>();
  const ask = (name: string, ...types: readonly string[]): void => types.forEach((type) => asked.add(`${name} ${type}`));

  ask("~", "A", "SOA", "NS", "TXT", "ANY");
  ask("svc.~", "A", "SRV");
  ask("pod.~", "A");
  ask("dns-version.~", "TXT", "A");
  ask("nothing.~", "A", "SOA");
  ask("nothing.svc.~", "A");
  ask("1-2-3-4.nothing.pod.~", "A");
  const [first] = objects.filter(({ kind }) => kind === "Namespace").map(({ metadata }) => metadata.name);
  ask(`WEB.${first?.toUpperCase()}.Svc.~`, "A");

  for (const object of objects) {
    const { name, namespace = "" } = object.metadata;
    switch (object.kind) {
      case "Namespace":
        ask(`${name}.svc.~`, "A", "SOA");
        ask(`nothing.${name}.svc.~`, "A", "SRV");
        ask(`${name}.pod.~`, "A");
        ask(`1-2-3-4.${name}.pod.~`, "A", "AAAA", "TXT");
        ask(`fd00--1.${name}.pod.~`, "AAAA");
        ask(`1-2-3.${name}.pod.~`, "A");
        break;
      case "Service":
        askService(object, ask);
        if (zones) askZones(`${name}.${namespace}.svc.~`, ask);
        break;
      case "ServiceImport":
        askImport(object, ask);
        break;
      case "EndpointSlice":
        askSlice(baseOf(object), object as unknown as SliceLike, ask);
        break;
      case "Pod": {
        const { podIPs } = object["status"] as { podIPs: { ip: string }[] };
        for (const { ip } of podIPs) ask(`${dashed(ip)}.${namespace}.pod.~`, ...ADDRESS_TYPES);
        break;
      }
      default:
        throw new Error(`what to ask about a ${object.kind}?`);
    }
  }
  for (const address of ["10.9.9.9", "fd00:9::9"]) ask(reverseNameOf(address), "PTR");
  return [...asked];
}

function askService({ metadata, ...object }: KubeObject, ask: (name: string, ...types: string[]) => void): void {
  const base = `${metadata.name}.${metadata.namespace}.svc.~`;
  const { ports = [], clusterIPs = [] } = object["spec"] as { ports?: { name?: string; protocol: string }[]; clusterIPs?: string[] };
  ask(base, ...ADDRESS_TYPES, "SRV", "CNAME", "TXT");
  ask(`nothing.${base}`, "A");
  ask(`_nothing._tcp.${base}`, "SRV");
  ask(`_tcp.${base}`, "SRV");
  ask(`a.b.c.${base}`, "A");
  for (const { name, protocol } of ports) {
    if (name === undefined) continue;
    ask(`_${name}._${protocol.toLowerCase()}.${base}`, "SRV", "A");
    ask(`${name}.${protocol.toLowerCase()}.${base}`, "SRV");
  }
  for (const address of clusterIPs) if (address !== "None") ask(reverseNameOf(address), "PTR");
}

function askSlice(base: string, { addressType, endpoints, ports }: SliceLike, ask: (name: string, ...types: string[]) => void): void {
  for (const { name, protocol } of ports) if (name !== "") ask(`_${name}._${protocol.toLowerCase()}.${base}`, "SRV");
  if (addressType === "FQDN") return;
  for (const { addresses, hostname, targetRef } of endpoints) {
    for (const address of addresses) {
      ask(reverseNameOf(address), "PTR");
      ask(`${dashed(address)}.${base}`, ...ADDRESS_TYPES);
    }
    if (hostname !== undefined) ask(`${hostname}.${base}`, ...ADDRESS_TYPES, "SRV");
    if (targetRef !== undefined) ask(`${targetRef.name}.${base}`, "A");
  }
}

function askZones(base: string, ask: (name: string, ...types: string[]) => void): void {
  for (const zone of [...ZONES, "nowhere"]) {
    ask(`${zone}.pin._zone.${base}`, ...ADDRESS_TYPES, "SRV");
    ask(`${zone}.prefer._zone.${base}`, "A");
  }
  for (const label of ["_zone", "pin._zone", "eu-1a.nearest._zone"]) ask(`${label}.${base}`, "A");
}

function askImport({ metadata, ...object }: KubeObject, ask: (name: string, ...types: string[]) => void): void {
  const base = `${metadata.name}.${metadata.namespace}.svc.^`;
  const { ports, ips = [] } = object["spec"] as { ports: { name?: string; protocol: string }[]; ips?: string[] };
  ask("^", "A", "SOA");
  ask(`${metadata.namespace}.svc.^`, "A");
  ask(base, ...ADDRESS_TYPES, "SRV", "TXT");
  ask(`nothing.${base}`, "A");
  for (const { name, protocol } of ports) if (name !== undefined) ask(`_${name}._${protocol.toLowerCase()}.${base}`, "SRV", "A");
  for (const address of ips) ask(reverseNameOf(address), "PTR");
}

// Where a slice's endpoints stand: below their Service, or below their cluster and its ServiceImport.
function baseOf({ metadata }: KubeObject): string {
  const { labels = {}, namespace } = metadata;
  const imported = labels["multicluster.kubernetes.io/service-name"];
  if (imported !== undefined) return `${labels["multicluster.kubernetes.io/source-cluster"]}.${imported}.${namespace}.svc.^`;
  return `${labels["kubernetes.io/service-name"] ?? "nobody"}.${namespace}.svc.~`;
}

function reverseNameOf(address: string): string {
  const name = reverseName(address);
  if (name === undefined) throw new Error(`${address} is no address`);
  return formatName(name);
}
