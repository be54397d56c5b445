// Addresses for Services (and, with the same ranges, for the Pods of workloads): what the API server's allocator does,
// but the same for the same namespace/name after a restart, because the first choice is a hash of it. Called by
// manifest-cluster.ts; addressForKey() alone gives src/testing.ts its defaults.

import ipaddr from "ipaddr.js";
import { NdotsError } from "../errors.ts";
import { type Family, familyOf } from "./kube-names.ts";
import type { ManifestService } from "./manifest-objects.ts";

export const DEFAULT_SERVICE_CIDR = "10.0.0.0/16";
export const DEFAULT_POD_CIDR = "10.244.0.0/16";

/** Services with a fixed place in every range: `kubernetes` at .1 and `kube-dns` at .10, which they get without asking. */
const RESERVED: ReadonlyMap<string, number> = new Map([
  ["default/kubernetes", 1],
  ["kube-system/kube-dns", 10],
]);

export interface AddressRange {
  readonly cidr: string;
  readonly family: Family;
  /** Addresses that may be given out: offsets 1 to `size`; the first and, in IPv4, the last address are not used. */
  readonly size: number;
  /** The address at an offset, canonical. */
  at(offset: number): string;
  /** For a canonical address of the same family. */
  has(address: string): boolean;
}

/** Parses a CIDR. Throws NDOTS_ERR_RANGE. At most the low 32 bits vary: 4 billion addresses are enough for any range. */
export function parseRange(cidr: string): AddressRange {
  if (!/^[0-9a-fA-F:.]+\/\d{1,3}$/.test(cidr) || !ipaddr.isValidCIDR(cidr)) throw rangeError(`"${cidr}" is not a CIDR (e.g. 10.0.0.0/16)`);
  const [address, bits] = ipaddr.parseCIDR(cidr);
  const bytes = address.toByteArray();
  const hostBits = bytes.length * 8 - bits;
  if (hostBits < 3) throw rangeError(`"${cidr}" is too small: it needs at least 8 addresses`);
  const family = bytes.length === 4 ? "IPv4" : "IPv6";
  const varying = Math.min(hostBits, 32);
  const first = ipaddr.fromByteArray(
    bytes.map((byte, index) => byte & (0xff << Math.min(8, Math.max(0, hostBits - (bytes.length - 1 - index) * 8)))),
  );
  const prefix = first.toByteArray();
  const low = readLow(prefix);
  return {
    cidr,
    family,
    size: 2 ** varying - 2,
    has: (candidate) => ipaddr.parse(candidate).match(address, bits),
    at(offset) {
      const value = low + offset;
      const last = prefix.length - 4;
      const parts = [...prefix.slice(0, last), (value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
      return family === "IPv4" ? parts.join(".") : (ipaddr.fromByteArray(parts) as ipaddr.IPv6).toRFC5952String();
    },
  };
}

function readLow(bytes: readonly number[]): number {
  return bytes.slice(-4).reduce((value, byte) => value * 256 + byte, 0);
}

function rangeError(message: string): NdotsError {
  return new NdotsError("NDOTS_ERR_RANGE", message);
}

/** One or two CIDRs, of one family each; the first is the primary one. Throws NDOTS_ERR_RANGE. */
export function parseRanges(cidrs: readonly string[]): AddressRange[] {
  const ranges = cidrs.map(parseRange);
  for (const [index, range] of ranges.entries()) {
    const same = ranges.slice(0, index).find((other) => other.family === range.family);
    if (same !== undefined)
      throw rangeError(`"${same.cidr}" and "${range.cidr}" are both ${range.family}: one CIDR of each family is allowed`);
  }
  return ranges;
}

/** Throws NDOTS_ERR_RANGE if two ranges overlap: an address would be a Service's and a Pod's. */
export function checkDisjoint(services: readonly AddressRange[], pods: readonly AddressRange[]): void {
  for (const service of services) {
    for (const pod of pods.filter(({ family }) => family === service.family)) {
      const [a, b] = [ipaddr.parseCIDR(service.cidr), ipaddr.parseCIDR(pod.cidr)];
      const bits = Math.min(a[1], b[1]);
      if (a[0].match(b[0], bits)) throw rangeError(`service_cidr ${service.cidr} and pod_cidr ${pod.cidr} overlap`);
    }
  }
}

/** The offset in 1–`size` that a key asks for first: FNV-1a, mixed so that neighbours lie apart. */
export function preferredOffset(key: string, size: number): number {
  return 1 + (hashText(key) % size);
}

/** 32-bit FNV-1a with a final mix (Murmur3's), the same on every machine and in every version. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The ClusterIP that a Service gets when it is alone in its range: a default for tests that allocate nothing. */
export function addressForKey(namespace: string, name: string, cidr: string = DEFAULT_SERVICE_CIDR): string {
  const range = parseRange(cidr);
  const key = `${namespace}/${name}`;
  const reserved = RESERVED.get(key);
  if (reserved !== undefined) return range.at(reserved);
  let offset = preferredOffset(key, range.size);
  while ([...RESERVED.values()].includes(offset)) offset = (offset % range.size) + 1;
  return range.at(offset);
}

/** Who holds which address. */
export interface Allocator {
  /** Takes this very address, in a range or not; false if another key has it. */
  claim(key: string, address: string): boolean;
  /** A free address of a range: the hash's, else the next after it; undefined when the range is full. */
  allocate(key: string, range: AddressRange, remembered?: string): string | undefined;
  release(key: string, address: string): void;
  holder(address: string): string | undefined;
}

/** `reserved` are addresses that are allocated to nobody but the key they belong to. */
export function createAllocator(ranges: readonly AddressRange[], reserved: ReadonlyMap<string, string> = new Map()): Allocator {
  const holders = new Map<string, string>();
  const used = new Map<AddressRange, number>();

  function count(address: string, step: 1 | -1): void {
    const range = ranges.find((candidate) => isInside(candidate, address));
    if (range !== undefined) used.set(range, (used.get(range) ?? 0) + step);
  }

  function claim(key: string, address: string): boolean {
    const holder = holders.get(address);
    if (holder !== undefined) return holder === key;
    holders.set(address, key);
    count(address, 1);
    return true;
  }

  function isReserved(key: string, address: string): boolean {
    const owner = reserved.get(address);
    return owner !== undefined && owner !== key;
  }

  return {
    claim,
    holder: (address) => holders.get(address),
    release(key, address) {
      if (holders.get(address) !== key) return;
      holders.delete(address);
      count(address, -1);
    },
    allocate(key, range, remembered) {
      const usable = (address: string): boolean => !holders.has(address) && !isReserved(key, address);
      if (remembered !== undefined && isInside(range, remembered) && usable(remembered) && claim(key, remembered)) return remembered;
      // Without this, each Service beyond a full range would cost a walk through all of it.
      const kept = [...reserved].filter(
        ([address]) => isInside(range, address) && !holders.has(address) && isReserved(key, address),
      ).length;
      if ((used.get(range) ?? 0) + kept >= range.size) return undefined;
      let offset = preferredOffset(key, range.size);
      for (let tries = 0; tries < range.size; tries++) {
        const address = range.at(offset);
        if (usable(address) && claim(key, address)) return address;
        offset = (offset % range.size) + 1;
      }
      return undefined;
    },
  };
}

function isInside(range: AddressRange, address: string): boolean {
  return familyOf(address) === range.family && range.has(address);
}

/** What a Service gets: its addresses, or why it gets none, in the API server's words. */
export type Allocation = { readonly addresses: readonly string[] } | { readonly error: string };

export interface ClusterIPs {
  /** The order to allocate in: fixed and explicit addresses first, then those with a past, then by name. */
  order(services: readonly ManifestService[]): ManifestService[];
  /** Moves Services that hold addresses to others that they ask for, each other's too. For those in order(), before allocate(). */
  exchange(services: readonly ManifestService[]): void;
  /** What the Service has already stays, unless it asks for something else. */
  allocate(service: ManifestService): Allocation;
  release(namespace: string, name: string): void;
  /** The families of a Service's addresses, or of a headless Service's endpoints. */
  families(service: ManifestService): readonly Family[];
  /** The addresses that nobody asked for, by `namespace/name`: what a state file keeps over a restart. */
  chosen(): Readonly<Record<string, readonly string[]>>;
}

const NONE: readonly never[] = [];

/** An empty allocator over the service CIDRs; `remembered` is what chosen() gave before the restart. */
export function createClusterIPs(
  ranges: readonly AddressRange[],
  remembered: ReadonlyMap<string, readonly string[]> = new Map(),
): ClusterIPs {
  const reserved = new Map<string, string>();
  for (const range of ranges) for (const [key, offset] of RESERVED) if (offset <= range.size) reserved.set(range.at(offset), key);
  const allocator = createAllocator(ranges, reserved);
  const held = new Map<string, { readonly addresses: readonly string[]; readonly chosen: readonly string[] }>();

  function families(service: ManifestService): readonly Family[] {
    if (service.clusterIPs.length === 2) return service.clusterIPs.map(familyOf);
    const named = service.ipFamilies.length > 0 ? [...service.ipFamilies] : service.clusterIPs.map(familyOf);
    if (named.length === 0) named.push(ranges[0]?.family ?? "IPv4");
    if (named.length === 2 || service.ipFamilyPolicy === undefined || service.ipFamilyPolicy === "SingleStack") return named;
    const second: Family = named[0] === "IPv4" ? "IPv6" : "IPv4";
    return ranges.some(({ family }) => family === second) ? [...named, second] : named;
  }

  function release(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    for (const address of held.get(key)?.addresses ?? []) allocator.release(key, address);
    held.delete(key);
  }

  function allocateOne(service: ManifestService, key: string): Allocation {
    const wanted = families(service);
    const fault = familyFault(service, wanted);
    if (fault !== undefined) return { error: fault };
    const before = held.get(key)?.addresses ?? [];
    const addresses: string[] = [];
    const chosen: string[] = [];
    for (const [index, family] of wanted.entries()) {
      const asked = service.clusterIPs.find((address) => familyOf(address) === family);
      const found = asked === undefined ? choose(key, family, before) : claim(service, key, asked);
      if (typeof found !== "string") {
        for (const address of addresses) if (!before.includes(address)) allocator.release(key, address);
        return (
          found ?? { error: `spec.ipFamilies[${index}]: Invalid value: "${family}": not configured on this cluster: ${addRange(family)}` }
        );
      }
      addresses.push(found);
      if (asked === undefined) chosen.push(found);
    }
    for (const address of before) if (!addresses.includes(address)) allocator.release(key, address);
    // Of the very length, and most often the manifest's own array: there are thousands.
    const exact = chosen.length === 0 && addresses.length === service.clusterIPs.length ? service.clusterIPs : addresses.slice();
    held.set(key, { addresses: exact, chosen: chosen.length === 0 ? NONE : chosen.slice() });
    return { addresses: exact };
  }

  /** The addresses that a Service gives up for those it asks for; none unless the move then can't fail. */
  function leavesOf(service: ManifestService, key: string): readonly string[] {
    const before = held.get(key)?.addresses ?? [];
    if (before.length === 0) return NONE;
    if (service.type === "ExternalName" || service.headless) return before;
    const wanted = families(service);
    const has = (addresses: readonly string[], family: Family): boolean => addresses.some((address) => familyOf(address) === family);
    if (familyFault(service, wanted) !== undefined) return NONE;
    if (!wanted.every((family) => has(service.clusterIPs, family) || has(before, family))) return NONE;
    return before.filter((address) => has(service.clusterIPs, familyOf(address)) && !service.clusterIPs.includes(address));
  }

  function exchange(services: readonly ManifestService[]): void {
    const moves = new Map<string, { readonly service: ManifestService; readonly leaves: readonly string[] }>();
    for (const service of services) {
      const key = `${service.namespace}/${service.name}`;
      const leaves = leavesOf(service, key);
      if (leaves.length > 0) moves.set(key, { service, leaves });
    }
    if (moves.size === 0) return;
    const claimants = new Map<string, string>();
    for (const { namespace, name, clusterIPs } of services) {
      for (const address of clusterIPs) if (!claimants.has(address)) claimants.set(address, `${namespace}/${name}`);
    }
    const isFree = (key: string, address: string): boolean => {
      if (claimants.get(address) !== key || (reserved.get(address) ?? key) !== key) return false;
      const holder = allocator.holder(address);
      return holder === undefined || holder === key || moves.get(holder)?.leaves.includes(address) === true;
    };
    // Who can't get what it asks for stays where it is, and with it who asks for its place, and so on.
    const staying = [...moves].filter(([key, { service }]) => !service.clusterIPs.every((address) => isFree(key, address)));
    for (const [key, { leaves }] of staying) {
      moves.delete(key);
      for (const address of leaves) {
        const claimant = claimants.get(address) ?? "";
        const move = moves.get(claimant);
        if (move !== undefined) staying.push([claimant, move]);
      }
    }
    for (const [key, { leaves }] of moves) for (const address of leaves) allocator.release(key, address);
    for (const [key, { service, leaves }] of moves) {
      for (const address of service.clusterIPs) allocator.claim(key, address);
      const { addresses, chosen } = held.get(key) ?? { addresses: NONE, chosen: NONE };
      const stays = (address: string): boolean => !leaves.includes(address);
      const now = new Set([...addresses.filter(stays), ...service.clusterIPs]);
      held.set(key, { addresses: [...now], chosen: chosen.filter(stays) });
    }
  }

  function claim(service: ManifestService, key: string, address: string): string | { readonly error: string } {
    if (allocator.claim(key, address)) return address;
    const holder = allocator.holder(address) ?? "";
    const value = JSON.stringify(service.clusterIPs.length > 0 ? service.clusterIPs : [address]);
    return {
      error: `spec.clusterIPs: Invalid value: ${value}: failed to allocate IP ${address}: provided IP is already allocated (Service ${holder} has it)`,
    };
  }

  function choose(key: string, family: Family, before: readonly string[]): string | { readonly error: string } | undefined {
    const range = ranges.find((candidate) => candidate.family === family);
    if (range === undefined) return undefined;
    const kept = before.find((address) => familyOf(address) === family);
    if (kept !== undefined) return kept;
    const fixed = RESERVED.get(key);
    if (fixed !== undefined && fixed <= range.size) {
      const own = range.at(fixed);
      const holder = allocator.holder(own);
      if (allocator.claim(key, own)) return own;
      return { error: `spec.clusterIPs: failed to allocate IP ${own}: provided IP is already allocated (Service ${holder ?? ""} has it)` };
    }
    const address = allocator.allocate(
      key,
      range,
      remembered.get(key)?.find((candidate) => familyOf(candidate) === family),
    );
    return address ?? { error: `spec.clusterIPs: failed to allocate a serviceIP: range ${range.cidr} is full (${range.size} addresses)` };
  }

  return {
    families,
    release,
    exchange,
    order(services) {
      const ranked = services.map((service) => {
        const key = `${service.namespace}/${service.name}`;
        const rank = RESERVED.has(key) ? 0 : service.clusterIPs.length > 0 ? 1 : held.has(key) || remembered.has(key) ? 2 : 3;
        return { service, key, rank };
      });
      ranked.sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
      return ranked.map(({ service }) => service);
    },
    allocate(service) {
      if (service.type !== "ExternalName" && !service.headless) return allocateOne(service, `${service.namespace}/${service.name}`);
      release(service.namespace, service.name);
      return { addresses: [] };
    },
    chosen() {
      const entries: [string, readonly string[]][] = [];
      for (const [key, { chosen }] of held) if (chosen.length > 0 && !RESERVED.has(key)) entries.push([key, chosen]);
      entries.sort(([a], [b]) => (a < b ? -1 : 1));
      return Object.fromEntries(entries);
    },
  };
}

function familyFault(service: ManifestService, wanted: readonly Family[]): string | undefined {
  if (service.ipFamilyPolicy === "RequireDualStack" && wanted.length < 2) {
    const missing: Family = wanted[0] === "IPv4" ? "IPv6" : "IPv4";
    return `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services: ${addRange(missing)}`;
  }
  for (const [index, address] of service.clusterIPs.entries()) {
    const named = service.ipFamilies[index];
    if (named !== undefined && named !== familyOf(address)) {
      return `spec.ipFamilies[${index}]: Invalid value: "${named}": expected to be "${familyOf(address)}" to match \`clusterIPs[${index}]\``;
    }
  }
  return undefined;
}

function addRange(family: Family): string {
  return `add an ${family} range to service_cidr`;
}
