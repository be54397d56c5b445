// Zones → the answer table: the only writer. Walks the plugins of each server block from the top for as long as they
// are transparent, takes the zones they publish, and keeps every name's entry as the chain would answer it. A change
// is applied at once when it is small; a large one (a first load, a relist) first turns the names it touches into
// "ask the chain" and compiles them in slices, so that no answer is ever old and the loop is never held.

import type { NamedInstance } from "../chain.ts";
import type { Name } from "../dns/name.ts";
import { emptyReply, Rcodes, type Records } from "../dns/message.ts";
import { lookupAt, zoneOf } from "../dns/lookup.ts";
import { RRTypes, type RRType } from "../dns/records.ts";
import type { Node, Zone } from "../dns/zone.ts";
import { route } from "../route.ts";
import { boundRecordSet, boundReply, type TtlBounds } from "../dns/ttl.ts";
import type { Instance } from "../plugin.ts";
import { createEncoder } from "./encode.ts";
import { createKeeping, type KeptAnswers } from "./keeping.ts";
import { isOpenBelow, isTouched, publish, touchedNames, type Published, type ServedZone } from "./published.ts";
import type { CompiledAnswer, CompiledName } from "./compiled.ts";
import type { TableWriter } from "./table.ts";

export interface Compiler {
  /** Fills the table from zones that are ready and follows their changes. */
  start(): void;
  stop(): void;
  /** The plugins that own the zones, by the table's zone index. */
  readonly owners: readonly string[];
  /** Where plugins may keep foreign answers. */
  readonly memories: ReadonlyMap<Instance, KeptAnswers>;
  /** Resolves when nothing is left to compile. For tests and benchmarks. */
  idle(): Promise<void>;
}

/** Names compiled at once on a change: about 5 ms. */
const AT_ONCE = 250;
/** How long a slice of a large change may hold the loop. */
const SLICE_MS = 5;

// A zone with what the table needs of its block; its position is the table's zone index.
interface PublishedZone {
  readonly zone: Zone;
  readonly owner: string;
  readonly udpSize: number;
  readonly from: Published;
}

/**
 * @param served the blocks of one address; their positions are the table's block indexes.
 * @param onError told of what a zone throws: the names it concerns are left to the chain, which answers SERVFAIL.
 */
export function createCompiler(table: TableWriter, served: readonly ServedZone[], onError: (error: unknown) => void): Compiler {
  const blockByZone = new Map<Name, number>();
  for (const [index, { zone }] of served.entries()) if (!blockByZone.has(zone)) blockByZone.set(zone, index);
  const published = publishAll(served);
  const zones: PublishedZone[] = [];
  const listed = new Set<Published>();
  for (const [block, { udpSize }] of served.entries()) {
    const from = published[block] as Published;
    if (listed.has(from)) continue;
    listed.add(from);
    for (const { owner, zones: own } of from.publishers) for (const zone of own) zones.push({ zone, owner, udpSize, from });
  }
  const indexes = new Map(zones.map(({ zone }, index) => [zone, index]));
  const encoder = createEncoder();
  const keeping = createKeeping({ table, served, published, blockByZone, firstZone: zones.length });
  const subscriptions: (() => void)[] = [];
  const queue = new Set<Name>();
  let unlisted: Iterator<Name>[] = []; // of names that are compiled for the first time, without being queued
  let isListed = true;
  const waiting = new Set<number>(); // zones that have not been ready: nothing of them is in the table
  let scheduled: ReturnType<typeof setImmediate> | undefined;
  const whenIdle: (() => void)[] = [];

  return {
    owners: [...zones.map(({ owner }) => owner), ...keeping.owners],
    memories: keeping.memories,
    start() {
      if (subscriptions.length > 0) return;
      for (const [index, { zone }] of zones.entries()) subscriptions.push(zone.subscribe((names) => change(index, names)));
      for (const [index, { zone }] of zones.entries()) if (!zone.ready) waiting.add(index);
      unlisted = [allNames(blockByZone.keys(), published, zones)];
      describeZones();
      keeping.start();
      schedule();
    },
    stop() {
      for (const unsubscribe of subscriptions.splice(0)) unsubscribe();
      queue.clear();
      unlisted = [];
      if (scheduled !== undefined) clearImmediate(scheduled);
      scheduled = undefined;
      for (const resolve of whenIdle.splice(0)) resolve();
    },
    idle: () => (scheduled === undefined ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };

  function change(index: number, names: Iterable<Name>): void {
    if (waiting.has(index)) return begin(index);
    const changed = [...names];
    if (scheduled === undefined && changed.length <= AT_ONCE) {
      for (const name of changed) compile(name);
      describeZone(index);
      return;
    }
    for (const name of changed) {
      if (table.has(name)) table.put(name, ASK_CHAIN);
      queue.add(name);
    }
    if (scheduled !== undefined) return describeZone(index);
    schedule();
    describeZones(); // none is complete from here on
  }

  // A large cluster's names at once would take 20 MiB, as a list and in the queue.
  function begin(index: number): void {
    const { zone } = zones[index] as PublishedZone;
    if (!zone.ready) return;
    waiting.delete(index);
    unlisted.push(zone.names()[Symbol.iterator]());
    if (scheduled !== undefined) return describeZone(index);
    schedule();
    describeZones(); // none is complete from here on
  }

  function schedule(): void {
    scheduled ??= setImmediate(compileSlice);
  }

  function compileSlice(): void {
    const endMs = performance.now() + SLICE_MS;
    scheduled = undefined;
    while (performance.now() < endMs) {
      const next = nextName();
      if (next === undefined) {
        describeZones(); // complete from here on
        for (const resolve of whenIdle.splice(0)) resolve();
        return;
      }
      compile(next);
    }
    schedule();
  }

  function nextName(): Name | undefined {
    for (const name of queue) {
      queue.delete(name);
      return name;
    }
    for (let next = unlisted[0]; next !== undefined; next = unlisted[0]) {
      try {
        const listed = next.next();
        if (listed.done !== true) return listed.value;
      } catch (error) {
        isListed = false; // some names are not listed, so none may be said to be missing
        onError(error);
      }
      unlisted.shift();
    }
    return undefined;
  }

  function compile(name: Name): void {
    let compiled: CompiledName | undefined;
    try {
      compiled = compileName(name);
    } catch (error) {
      compiled = ASK_CHAIN;
      onError(error);
    }
    if (compiled !== undefined) table.put(name, compiled);
    else if (blockByZone.has(name)) table.put(name, ASK_CHAIN); // the block's names must not look like another's missing ones
    else table.remove(name);
  }

  function compileName(name: Name): CompiledName | undefined {
    const block = route(blockByZone, name, RRTypes.A);
    if (block === undefined) return undefined;
    const from = published[block] as Published;
    if (isTouched(from, name)) return ASK_CHAIN;
    const { publishers, rotates } = from;
    const bounds = from.ttlBounds?.(name) ?? NO_BOUNDS;
    for (const { zones: candidates } of publishers) {
      const zone = zoneOf(candidates, name);
      if (zone === undefined) continue;
      if (!zone.ready) return name === zone.apex ? ASK_CHAIN : undefined; // its names must not look like another's missing ones
      const node = zone.node(name);
      if (node === undefined && zone.complete) return undefined;
      if (node === undefined) continue;
      const answers: CompiledAnswer[] = [];
      let partial = node.partial === true || node.rrsets.some((rrset) => rrset.type === RRTypes.CNAME);
      if (node.askChain !== true) {
        for (const type of typesAt(node)) {
          if (from.types.includes(type)) continue; // asked of the chain: see the zone's types
          const found = lookupAt(zone, node, name, type);
          const reply = found.kind === "answer" ? { ...AUTHORITATIVE, answer: found.answer, additional: found.additional } : undefined;
          const answer = reply === undefined ? undefined : encoder.answer(name, type, boundReply(reply, bounds), rotates);
          if (answer === undefined) partial = true;
          else answers.push(answer);
        }
      }
      return {
        zone: indexes.get(zone) ?? 0,
        block,
        askChain: node.askChain === true,
        openBelow: isOpenBelow(from, name) || (node.openBelow ?? false),
        partial,
        reasonBelow: node.reasonBelow ?? "",
        reason: node.reason ?? "",
        answers,
      };
    }
    return undefined;
  }

  // A zone's part in negative answers. It is complete only while nothing waits to be compiled.
  function describeZones(): void {
    for (const index of zones.keys()) describeZone(index);
  }

  function describeZone(index: number): void {
    const { zone, udpSize, from } = zones[index] as PublishedZone;
    const soa = zone.ready ? zone.soa() : undefined;
    const bounds = from.ttlBounds?.(zone.apex) ?? NO_BOUNDS;
    const settled = scheduled === undefined && unlisted.length === 0 && isListed;
    table.setZone(index, {
      apex: zone.apex,
      ...(soa === undefined ? { soa: undefined, soaPointers: [], soaLabels: [] } : encoder.soa(zone.apex, boundRecordSet(soa, bounds))),
      types: from.types,
      complete: settled && zone.ready && zone.complete,
      namesNearest: zone.namesNearest ?? false,
      staleness: zone.staleness ?? "",
      udpSize,
    });
  }
}

const NO_BOUNDS: TtlBounds = {};
const AUTHORITATIVE: Records = { ...emptyReply(Rcodes.NOERROR, ""), authoritative: true };

const ASK_CHAIN: CompiledName = {
  zone: 0,
  block: 0,
  askChain: true,
  openBelow: true,
  partial: false,
  reasonBelow: "",
  reason: "",
  answers: [],
};

// Blocks of one zone differ in who is answered, so that none of them is in the table.
function publishAll(served: readonly ServedZone[]): Published[] {
  const known = new Map<readonly NamedInstance[], Published>();
  const zones = new Map<Name, number>();
  for (const { zone } of served) zones.set(zone, (zones.get(zone) ?? 0) + 1);
  return served.map(({ zone, instances }) => {
    if ((zones.get(zone) ?? 0) > 1) return publish([]);
    const held = known.get(instances) ?? publish(instances);
    known.set(instances, held);
    return held;
  });
}

function* allNames(
  blockZones: Iterable<Name>,
  published: readonly Published[],
  zones: readonly { readonly zone: Zone }[],
): Generator<Name> {
  yield* blockZones;
  for (const from of new Set(published)) yield* touchedNames(from);
  for (const { zone } of zones) {
    if (zone.ready) yield* zone.names();
    else yield zone.apex;
  }
}

// The types that may have an answer of their own. Behind a CNAME that is no alias stands what only the chain can find.
function typesAt(node: Node): Iterable<RRType> {
  const types = new Set(node.rrsets.map((rrset) => rrset.type));
  for (const type of node.alias?.types ?? []) types.add(type);
  return types;
}
