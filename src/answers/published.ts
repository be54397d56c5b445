// What the answer table may serve for a server block, worked out once: its plugins from the top, as far as a table hit may
// skip them. Zones of those plugins are compiled; foreign answers may be kept if the walk gets to `cache`.

import type { NamedInstance } from "../chain.ts";
import { isWithin, type Name } from "../dns/name.ts";
import type { RRType } from "../dns/records.ts";
import type { TtlBounds } from "../dns/ttl.ts";
import type { Zone } from "../dns/zone.ts";
import type { Instance, Touches } from "../plugin.ts";

/** A server block as it stands behind one of its zones. */
export interface ServedZone {
  readonly zone: Name;
  /** Bound of UDP answers in the block, and the size in our OPT record. */
  readonly udpSize: number;
  readonly instances: readonly NamedInstance[];
}

/** The zones that one plugin of a block publishes. */
export interface Publisher {
  readonly owner: string;
  readonly zones: readonly Zone[];
}

export interface Published {
  readonly publishers: readonly Publisher[];
  readonly rotates: ReadonlySet<RRType>;
  /** What plugins that are walked over keep to themselves. */
  readonly touches: readonly Touches[];
  readonly types: readonly RRType[];
  readonly ttlBounds: ((name: Name) => TtlBounds | undefined) | undefined;
  /** Plugins that may keep foreign answers here. */
  readonly keepers: readonly Instance[];
}

/** What comes in front of it decides whether what it remembers may be told without asking. */
const CACHE = "cache";
const NOTHING: Published = { publishers: [], rotates: new Set(), touches: [], types: [], ttlBounds: undefined, keepers: [] };

/** @param instances a server block's, in execution order. */
export function publish(instances: readonly NamedInstance[]): Published {
  if (instances.some(({ instance }) => instance.filter !== undefined)) return NOTHING; // who asks decides
  const publishers: Publisher[] = [];
  const rotates = new Set<RRType>();
  const touches: Touches[] = [];
  const keepers: Instance[] = [];
  let ttlBounds: Published["ttlBounds"];
  let isCached = false;
  for (const { name, instance } of instances) {
    const { transparent } = instance;
    if (instance.handle !== undefined && transparent === undefined) break;
    if (typeof transparent === "object") touches.push(transparent);
    if (instance.zones !== undefined) publishers.push({ owner: name, zones: instance.zones });
    for (const type of instance.rotates ?? []) rotates.add(type);
    ttlBounds ??= instance.ttlBounds?.bind(instance);
    if (instance.remember !== undefined && !isCached) keepers.push(instance);
    isCached ||= name === CACHE;
  }
  const types = [...new Set(touches.flatMap((touched) => touched.types ?? []))];
  return { publishers, rotates, touches, types, ttlBounds, keepers: isCached ? keepers : [] };
}

/** Whether only the chain may answer for a name, whatever the type. */
export function isTouched({ touches }: Published, name: Name): boolean {
  return touches.some(
    ({ names, below, matches }) =>
      names?.includes(name) === true || below?.some((above) => isWithin(name, above)) === true || matches?.(name) === true,
  );
}

/** Whether only the chain may answer for names that don't exist, right below one that does. */
export function isOpenBelow({ touches }: Published, encloser: Name): boolean {
  return touches.some(({ missingBelow }) => missingBelow?.(encloser) === true);
}

/** The names that must have an entry, so that those below them are not denied. */
export function touchedNames({ touches }: Published): Name[] {
  return touches.flatMap(({ names = [], below = [] }) => [...names, ...below]);
}
